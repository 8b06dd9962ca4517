/* dispatch.c - the table of kernels in use: the best this machine has, or the one NR_ISA names. */
#include "pool.h"
#include "entries.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

extern const nrk_table nrk_portable;
extern const nrk_bf16_table nrk_portable_bf16;
#if defined(__x86_64__)
extern const nrk_table nrk_avx512, nrk_avx2;
extern const nrk_bf16_table nrk_avx512_bf16, nrk_avx2_bf16, nrk_avx512_dot;
static int has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
static int has_dot(void) { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif
static int has_any(void) { return 1; }

/* The best first. */
typedef struct choice {
  const char *isa;
  int (*is_here)(void);
  const nrk_table *table;
  const nrk_bf16_table *bf16;
} choice;
static const choice choices[] = {
#if defined(__x86_64__)
    {"avx512-bf16", has_dot, &nrk_avx512, &nrk_avx512_dot},
    {"avx512", has_avx512, &nrk_avx512, &nrk_avx512_bf16},
    {"avx2", has_avx2, &nrk_avx2, &nrk_avx2_bf16},
#endif
    {"portable", has_any, &nrk_portable, &nrk_portable_bf16},
};

static _Atomic(const choice *) chosen;

static const choice *find(const char *name) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
    if ((!name || !strcmp(name, choices[i].isa)) && choices[i].is_here()) return &choices[i];
  return NULL;
}

static void choose(void) {
  const choice *found = find(getenv("NR_ISA"));
  atomic_store(&chosen, found ? found : find(NULL));
}

static const choice *now(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  const choice *it = atomic_load_explicit(&chosen, memory_order_acquire);
  if (it) return it;
  pthread_once(&once, choose);
  return atomic_load(&chosen);
}

const char *nrk_isa(void) { return now()->isa; }

int32_t nrk_has_isa(const char *name) { return find(name) != NULL; }

int64_t nrk_panel_elements(int64_t N, int64_t K, nrk_kind kind) {
  return nrk_round(N, 16) * (kind == NRK_BF16_PAIRS ? nrk_round(K, 2) : K);
}

#define NRK_PUBLIC(result, name, parameters, arguments) \
  result nrk_##name parameters { return now()->table->name arguments; }
NRK_ENTRIES(NRK_PUBLIC)
#define NRK_PUBLIC_BF16(result, name, parameters, arguments) \
  result nrk_##name parameters { now()->bf16->name arguments; }
NRK_BF16_ENTRIES(NRK_PUBLIC_BF16)
