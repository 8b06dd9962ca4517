#include "nr_kernels.h"
