/* arguments.h - how the arguments of a kernel are declared once for both sides: a pointer is one on the device, and an address on the
   host. */
#pragma once
#ifdef NR_DEVICE
#define POINTER(type) type *
#else
#define POINTER(type) uint64_t
#endif
#if defined(NR_DEVICE) && !defined(NREMU)
typedef unsigned short uint16_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#else
#include <stdint.h>
#endif
