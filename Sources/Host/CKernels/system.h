/* system.h - what the kernels need of the C library, included before an instruction set is asked for. */
#ifndef NRK_SYSTEM_H
#define NRK_SYSTEM_H
#include "nf4.h"
#include "pool.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#endif
