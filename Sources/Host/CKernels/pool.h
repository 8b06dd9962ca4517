/* pool.h - what the kernels ask of the thread pool beyond the public header. */
#ifndef NRK_POOL_H
#define NRK_POOL_H
#include "include/nr_kernels.h"

/* As nrk_parallel, but on the calling thread alone when `cost` (in vector operations, about a nanosecond's third each)
   is too small to pay for handing work over. */
void nrk_share(nrk_pool *, int64_t cost, int64_t count, nrk_task, void *context);

/* At least `floats` floats of this worker's own memory, aligned to 64 bytes, until the task returns. Not cleared. */
float *nrk_scratch(nrk_pool *, int32_t worker, int64_t floats);

/* The same for what the tasks of a call leave to each other: the caller frees it. */
float *nrk_allocate(int64_t floats);

static inline int64_t nrk_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t nrk_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t nrk_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t nrk_round(int64_t a, int64_t b) { return nrk_ceil(a, b) * b; }

#endif
