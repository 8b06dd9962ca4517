/* dispatch.c - the table of kernels in use: the best this machine has, or the one NR_ISA names. */
#include "pool.h"
#include "entries.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern const nrk_table nrk_portable;
#if defined(__x86_64__)
extern const nrk_table nrk_avx512, nrk_avx2;
static int has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

static _Atomic(const nrk_table *) chosen;

static const nrk_table *find(const char *name) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (has_avx512() && (!name || !strcmp(name, nrk_avx512.isa))) return &nrk_avx512;
  if (has_avx2() && (!name || !strcmp(name, nrk_avx2.isa))) return &nrk_avx2;
#endif
  return !name || !strcmp(name, nrk_portable.isa) ? &nrk_portable : NULL;
}

static void choose(void) {
  const nrk_table *table = find(getenv("NR_ISA"));
  atomic_store(&chosen, table ? table : find(NULL));
}

static const nrk_table *table(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  const nrk_table *now = atomic_load_explicit(&chosen, memory_order_acquire);
  if (now) return now;
  pthread_once(&once, choose);
  return atomic_load(&chosen);
}

const char *nrk_isa(void) { return table()->isa; }

int32_t nrk_has_isa(const char *name) { return find(name) != NULL; }

int64_t nrk_panel_elements(int64_t N, int64_t K) { return nrk_round(N, 16) * K; }

#define NRK_PUBLIC(result, name, parameters, arguments) \
  result nrk_##name parameters { return table()->name arguments; }
NRK_ENTRIES(NRK_PUBLIC)
