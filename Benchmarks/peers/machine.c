/* machine.c - what the machine can do at most: multiply-adds of float32 and of bfloat16 (vdpbf16ps) on independent accumulators, and a
   plain read of memory, on some threads at once. machine.py compiles it:

     clang -std=gnu11 -O3 -shared -fPIC machine.c -lpthread */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { MAX_THREADS = 256, ROUNDS = 3000000 };
enum kind { F32 = 0, BF16 = 1, READ = 2 };

typedef struct part {
  int kind, processor;
  int64_t rounds;
  const char *data;
  size_t bytes;
  double work, start, end;
  pthread_barrier_t *barrier;
} part;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__x86_64__)
#define LOOP(N, LANES, TYPE, ZERO, INSTRUCTION, FLOPS)                                       \
  TYPE s[N], a = ZERO, b = ZERO;                                                             \
  for (int i = 0; i < N; i++) s[i] = ZERO;                                                   \
  for (int64_t r = 0; r < rounds; r++)                                                       \
    _Pragma("clang loop unroll(full)") for (int j = 0; j < N; j++)                           \
        __asm__ volatile(INSTRUCTION " %2, %1, %0" : "+v"(s[j]) : "v"(a), "v"(b));           \
  return (double)rounds * N * LANES * FLOPS;

__attribute__((target("avx512f"))) static double f32_512(int64_t rounds) { LOOP(24, 16, __m512, _mm512_setzero_ps(), "vfmadd231ps", 2) }
__attribute__((target("avx512f"))) static double bf16_512(int64_t rounds) { LOOP(24, 16, __m512, _mm512_setzero_ps(), "vdpbf16ps", 4) }
__attribute__((target("avx2,fma"))) static double f32_256(int64_t rounds) { LOOP(12, 8, __m256, _mm256_setzero_ps(), "vfmadd231ps", 2) }
int nrb_has_bf16(void) { return __builtin_cpu_supports("avx512bf16") != 0; }
static double f32(int64_t rounds) { return __builtin_cpu_supports("avx512f") ? f32_512(rounds) : f32_256(rounds); }
static double bf16(int64_t rounds) { return bf16_512(rounds); }
#elif defined(__aarch64__)
int nrb_has_bf16(void) { return 0; }
static double f32(int64_t rounds) {
  float32x4_t s[24], a = vdupq_n_f32(0);
  for (int i = 0; i < 24; i++) s[i] = a;
  for (int64_t r = 0; r < rounds; r++)
    _Pragma("clang loop unroll(full)") for (int j = 0; j < 24; j++) __asm__ volatile("fmla %0.4s, %1.4s, %1.4s" : "+w"(s[j]) : "w"(a));
  return (double)rounds * 24 * 4 * 2;
}
static double bf16(int64_t rounds) { return f32(rounds); }
#endif

typedef uint64_t lanes __attribute__((vector_size(64), aligned(64)));

#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static double read_all(const char *data, size_t bytes) {
  lanes sum[8];
  memset(sum, 0, sizeof sum);
  const lanes *x = (const lanes *)data;
  for (size_t i = 0; i + 8 <= bytes / sizeof *x; i += 8)
    _Pragma("clang loop unroll(full)") for (int j = 0; j < 8; j++) sum[j] ^= x[i + (size_t)j];
  for (int j = 1; j < 8; j++) sum[0] ^= sum[j];
  __asm__ volatile("" ::"r"(&sum[0]) : "memory");
  return (double)bytes;
}

static void *run(void *context) {
  part *p = context;
  cpu_set_t one;
  CPU_ZERO(&one);
  if (p->processor >= 0) CPU_SET(p->processor, &one), pthread_setaffinity_np(pthread_self(), sizeof one, &one);
  pthread_barrier_wait(p->barrier);
  p->start = now();
  p->work = p->kind == F32 ? f32(p->rounds) : p->kind == BF16 ? bf16(p->rounds) : read_all(p->data, p->bytes);
  p->end = now();
  return NULL;
}

/* Operations or bytes a second on so many threads, the best of `repeats`; 0 where a thread or memory is not to be had. */
double nrb_rate(int kind, int threads, int repeats, size_t bytes) {
  if (threads < 1 || threads > MAX_THREADS) return 0;
  char *data = NULL;
  if (kind == READ) {
    if (!(data = aligned_alloc(1 << 21, bytes))) return 0;
    madvise(data, bytes, MADV_HUGEPAGE);
    memset(data, 1, bytes);
  }
  /* Each thread on a processor of its own: for so short a time the scheduler may leave two on one. */
  cpu_set_t allowed;
  int processors[MAX_THREADS], count = 0;
  if (!sched_getaffinity(0, sizeof allowed, &allowed))
    for (int i = 0; i < CPU_SETSIZE && count < MAX_THREADS; i++)
      if (CPU_ISSET(i, &allowed)) processors[count++] = i;
  double best = 0;
  for (int repeat = 0; repeat < repeats; repeat++) {
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, (unsigned)threads);
    part parts[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    size_t share = bytes / (size_t)threads / 4096 * 4096;
    for (int i = 0; i < threads; i++) {
      parts[i] = (part){kind, i < count ? processors[i] : -1, ROUNDS, data ? data + (size_t)i * share : NULL, share, 0, 0, 0, &barrier};
      if (pthread_create(&ids[i], NULL, run, &parts[i])) return 0;
    }
    double work = 0, start = 1e300, end = 0;
    for (int i = 0; i < threads; i++) {
      pthread_join(ids[i], NULL);
      work += parts[i].work;
      if (parts[i].start < start) start = parts[i].start;
      if (parts[i].end > end) end = parts[i].end;
    }
    if (work / (end - start) > best) best = work / (end - start);
    pthread_barrier_destroy(&barrier);
  }
  free(data);
  return best;
}
