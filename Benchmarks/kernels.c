/* kernels.c - rates of the CPU kernels at the shapes the program meets. Build and run from the repository's root:

     clang -std=c11 -O3 -ffp-contract=off -fno-math-errno -I Sources/Host/CKernels/include \
       Benchmarks/kernels.c Sources/Host/CKernels/[a-z]*.c -lm -lpthread -o /tmp/kernels && /tmp/kernels [threads] [avx512|avx2|portable]

   Each line is the best of several runs: GFLOP/s counts a multiply and an add as two. */
#define _POSIX_C_SOURCE 200809L
#include "nr_kernels.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static nrk_pool *pool;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static float *numbers(int64_t n) {
  float *x = malloc((size_t)(n + 16) * sizeof *x);
  uint32_t state = 12345;
  for (int64_t i = 0; i < n + 16; i++) state = state * 1664525u + 1013904223u, x[i] = (float)(int32_t)state * 4e-10f;
  return x;
}

/* Runs `body` for about a third of a second in batches and keeps the fastest batch's time for one. */
#define BEST(seconds, body)                                                                      \
  double seconds = 1e30;                                                                         \
  {                                                                                              \
    int64_t batch = 1;                                                                           \
    for (double begin = now(); now() - begin < 0.35;) {                                          \
      double start = now();                                                                      \
      for (int64_t turn = 0; turn < batch; turn++) body;                                                 \
      double each = (now() - start) / (double)batch;                                             \
      if (each < seconds) seconds = each;                                                        \
      if (each * (double)batch < 1e-3) batch *= 2;                                               \
    }                                                                                            \
  }

#define TIMED(best, body)                     \
  {                                           \
    double start = now();                     \
    body;                                     \
    double each = now() - start;              \
    if (each < best) best = each;             \
  }

static void *four_bits(int64_t N, int64_t K, const float *w) {
  int64_t blocks = (N * K + 63) / 64;
  uint8_t *codes = malloc((size_t)(N * K + 1) / 2), *small = malloc((size_t)blocks);
  float *absmax = malloc((size_t)blocks * 4), *nested = malloc((size_t)(blocks + 255) / 256 * 4);
  void *panels = aligned_alloc(64, (size_t)(nrk_nf4_bytes(N, K, 1) + 63) / 64 * 64);
  nrk_nf4_quantize(pool, N * K, w, NRK_F32, codes, absmax);
  float offset = nrk_nf4_nest(blocks, absmax, small, nested);
  nrk_nf4_pack(pool, N, K, codes, nested, small, nrk_nf4_map(), offset, panels);
  free(codes), free(small), free(absmax), free(nested);
  return panels;
}

static void linear(int64_t T, int64_t N, int64_t K) {
  float *x = numbers(T * K), *w = numbers(N * K), *y = numbers(T * N), *dx = numbers(T * K), *dw = numbers(N * K);
  float *f32 = malloc((size_t)nrk_panel_elements(N, K, NRK_F32) * 4);
  nrk_bf16 *pairs = aligned_alloc(64, (size_t)(nrk_panel_elements(N, K, NRK_BF16_PAIRS) * 2 + 63) / 64 * 64);
  nrk_bf16 *xh = malloc((size_t)(T * K) * 2), *yh = malloc((size_t)(T * N) * 2);
  void *nf4 = four_bits(N, K, w);
  nrk_pack(pool, N, K, w, NRK_F32, K, f32, NRK_F32);
  nrk_pack(pool, N, K, w, NRK_F32, K, pairs, NRK_BF16_PAIRS);
  nrk_convert(pool, T, K, x, K, 1, xh, K, 0);
  nrk_convert(pool, T, N, y, N, 1, yh, N, 0);
  nrk_product_part part = {.panels = pairs, .kind = NRK_BF16_PAIRS, .N = N, .scale = 1, .y = yh, .ldy = N}, small_part = part;
  small_part.panels = nf4, small_part.kind = NRK_NF4_BF16;
  nrk_product_term term = {.dy = yh, .panels = pairs, .kind = NRK_BF16_PAIRS, .lddy = N, .N = N}, small_term = term;
  small_term.panels = nf4, small_term.kind = NRK_NF4_BF16;
  nrk_product_dw weights = {.dy = yh, .x = xh, .lddy = N, .ldx = K, .N = N, .K = K, .dw = dw, .lddw = K};
  double flops = 2.0 * (double)T * (double)N * (double)K;
  BEST(forward, nrk_linear(pool, T, N, K, x, K, f32, NRK_F32, NULL, y, N, 0))
  BEST(input, nrk_linear_dx(pool, T, N, K, y, N, f32, NRK_F32, dx, K, 0))
  BEST(weight, nrk_linear_dw(pool, T, N, K, y, N, x, K, dw, K))
  BEST(half_weight, nrk_products_dw(pool, T, 1, &weights))
  /* Ratios, so the two are timed in turns. */
  double whole = 1e30, small = 1e30, back = 1e30, small_back = 1e30;
  for (double begin = now(); now() - begin < 0.7;) {
    TIMED(whole, nrk_products(pool, T, K, xh, K, 0, 1, &part))
    TIMED(small, nrk_products(pool, T, K, xh, K, 0, 1, &small_part))
    TIMED(back, nrk_products_dx(pool, T, K, 1, &term, 1, dx, K, 1, 0))
    TIMED(small_back, nrk_products_dx(pool, T, K, 1, &small_term, 1, dx, K, 1, 0))
  }
  printf("%6lld %7lld %6lld | f32 %7.1f dx %7.1f dw %7.1f | bf16 %7.1f dx %7.1f dw %7.1f GFLOP/s, weights %5.1f GB/s | nf4, time by that of bf16: %4.2f, dx %4.2f\n",
         (long long)T, (long long)N, (long long)K, flops / forward * 1e-9, flops / input * 1e-9, flops / weight * 1e-9, flops / whole * 1e-9,
         flops / back * 1e-9, flops / half_weight * 1e-9, (double)(N * K) * 2 / whole * 1e-9, small / whole, small_back / back);
  free(nf4), free(x), free(w), free(y), free(dx), free(dw), free(f32), free(pairs), free(xh), free(yh);
}

static void attention(int64_t prompt, int64_t completions, int64_t length, int64_t H, int64_t G, int64_t C) {
  int64_t T = prompt + completions * length, count = completions + 1, pairs = prompt * (prompt + 1) / 2;
  nrk_segment *segments = malloc((size_t)count * sizeof *segments);
  segments[0] = (nrk_segment){0, prompt, 0, 0};
  for (int64_t i = 0; i < completions; i++) segments[i + 1] = (nrk_segment){prompt + i * length, length, 0, prompt};
  pairs += completions * (length * prompt + length * (length + 1) / 2);
  float *q = numbers(T * H * C), *k = numbers(T * G * C), *v = numbers(T * G * C), *o = numbers(T * H * C), *lse = numbers(T * H);
  float *dq = numbers(T * H * C), *dk = numbers(T * G * C), *dv = numbers(T * G * C);
  double flops = 4.0 * (double)pairs * (double)(H * C);
  BEST(forward, nrk_attention(pool, segments, count, H, G, C, q, H * C, k, G * C, v, G * C, 0.1f, o, H * C, lse))
  BEST(backward, nrk_attention_backward(pool, segments, count, H, G, C, q, H * C, k, G * C, v, G * C, 0.1f, o, H * C, lse, o, H * C,
                                        dq, H * C, dk, G * C, dv, G * C))
  int64_t capacity = (prompt + length + 15) / 16 * 16;
  float *cache = numbers(completions * nrk_kv_slot_elements(G, C, capacity));
  int32_t *slots = malloc((size_t)completions * 4), *lengths = malloc((size_t)completions * 4);
  for (int32_t i = 0; i < completions; i++) slots[i] = i, lengths[i] = (int32_t)(prompt + length);
  BEST(decode, nrk_attention_decode(pool, completions, H, G, C, q, H * C, cache, capacity, slots, NULL, cache, capacity, slots, lengths, 0.1f, o, H * C))
  printf("attention %lld + %lld x %lld, %lld/%lld heads of %lld | %8.1f us %6.1f | backward %9.1f us %6.1f GFLOP/s | decode %7.1f us\n",
         (long long)prompt, (long long)completions, (long long)length, (long long)H, (long long)G, (long long)C, forward * 1e6,
         flops / forward * 1e-9, backward * 1e6, 2.5 * flops / backward * 1e-9, decode * 1e6);
  free(segments), free(q), free(k), free(v), free(o), free(lse), free(dq), free(dk), free(dv), free(cache), free(slots), free(lengths);
}

static void logits(int64_t n, int64_t V) {
  float *z = numbers(n * V), *out = numbers(n * 3), zero = 0;
  int32_t *targets = calloc((size_t)n, 4);
  double *uniforms = calloc((size_t)n, 8);
  for (int64_t i = 0; i < n; i++) uniforms[i] = ((double)i + 0.5) / (double)n;
  (void)zero;
  for (int64_t i = 0; i < n * V; i++) z[i] *= 8;
  BEST(forward, nrk_log_softmax(pool, n, V, z, V, 1, targets, out, out + n, out + 2 * n))
  BEST(sampled, nrk_sample(pool, n, V, z, V, 1, 0, 1, uniforms, targets, out, NULL))
  BEST(greedy, nrk_sample(pool, n, V, z, V, 0, 0, 1, uniforms, targets, out, NULL))
  BEST(truncated, nrk_sample(pool, n, V, z, V, 1, 50, 0.95f, uniforms, targets, out, NULL))
  BEST(nucleus, nrk_sample(pool, n, V, z, V, 1, 0, 0.95f, uniforms, targets, out, NULL))
  BEST(backward, nrk_log_softmax_backward(pool, n, V, z, V, 1, targets, out + 2 * n, out + n, out, out))
  printf("logits %lld x %lld, us a row | log_softmax %7.2f | backward %7.2f | sample %7.2f | greedy %7.2f | top-k 50 %7.2f | top-p .95 %7.2f\n",
         (long long)n, (long long)V, forward / (double)n * 1e6, backward / (double)n * 1e6, sampled / (double)n * 1e6,
         greedy / (double)n * 1e6, truncated / (double)n * 1e6, nucleus / (double)n * 1e6);
  free(z), free(out), free(targets), free(uniforms);
}

static void rows(int64_t T, int64_t K) {
  int64_t n = T * K;
  float *x = numbers(n), *w = numbers(K), *y = numbers(n), *r = numbers(T), *d = numbers(n), *u = numbers(n), *m = numbers(n), *v = numbers(n);
  for (int64_t i = 0; i < n; i++) v[i] = v[i] * v[i];
  BEST(norm, nrk_rmsnorm(pool, T, K, x, w, 1e-6f, y, r))
  BEST(dnorm, nrk_rmsnorm_backward(pool, T, K, d, x, w, r, y, 0, w))
  BEST(gate, nrk_swiglu(pool, n, x, d, y))
  BEST(dgate, nrk_swiglu_backward(pool, n, x, d, y, u, m))
  BEST(adam, nrk_adamw(pool, n, x, d, y, v, 1e-9, 0.9, 0.999, 1e-8, 0, 10, 1))
  nrk_part all = {0, n};
  BEST(squares, nrk_sum_squares(pool, 1, &all, x))
  printf("rows %lld x %lld, ns an element | rmsnorm %5.2f | backward %5.2f | swiglu %5.2f | backward %5.2f | adamw %5.2f | squares %5.2f\n",
         (long long)T, (long long)K, norm / (double)n * 1e9, dnorm / (double)n * 1e9, gate / (double)n * 1e9, dgate / (double)n * 1e9,
         adam / (double)n * 1e9, squares / (double)n * 1e9);
  free(x), free(w), free(y), free(r), free(d), free(u), free(m), free(v);
}

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  if (argc > 2) setenv("NR_ISA", argv[2], 1);
  if (argc > 2 && !nrk_has_isa(argv[2])) return fprintf(stderr, "this machine has no %s\n", argv[2]), 64;
  if (!(pool = nrk_pool_create(threads))) return fprintf(stderr, "no pool of %d threads\n", threads), 70;
  printf("%s, %d threads\n     T       N      K\n", nrk_isa(), threads);
  const int64_t shapes[][3] = {
      {8, 128, 128},   {8, 384, 128},   {8, 512, 128},    {32, 192, 192},  {64, 512, 192},   {64, 192, 512},    {1, 896, 896},
      {8, 896, 896},   {64, 16, 896},   {64, 896, 16},    {1024, 16, 896}, {1024, 896, 16},  {1024, 192, 192},  {1024, 512, 192},
      {1024, 192, 512}, {512, 896, 896}, {512, 4864, 896}, {512, 896, 4864}, {256, 8960, 1536}, {1, 16384, 896}, {16, 16384, 896},
      {1, 8960, 1536}, {4, 8960, 1536}, {8, 8960, 1536}, {16, 8960, 1536}, {1, 1536, 8960}, {8, 1536, 8960}};
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) linear(shapes[i][0], shapes[i][1], shapes[i][2]);
  attention(60, 8, 100, 4, 2, 32);
  attention(100, 8, 200, 14, 2, 64);
  attention(1024, 1, 1024, 12, 2, 128);
  logits(64, 512), logits(8, 151936);
  rows(512, 192), rows(1024, 896);
  nrk_pool_destroy(pool);
}
