/* nr_math.h - the few functions of libm a loss is written with, for plugins in Embedded Swift, which has no `import Glibc`.
   Not part of the contract: a plugin in C includes <math.h>. Link with -lm. */
#ifndef NR_MATH_H
#define NR_MATH_H

static inline double nr_exp(double x) { return __builtin_exp(x); }
static inline double nr_log(double x) { return __builtin_log(x); }
static inline double nr_pow(double x, double y) { return __builtin_pow(x, y); }
static inline double nr_tanh(double x) { return __builtin_tanh(x); }

#endif
