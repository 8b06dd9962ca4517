/* products.c - products in bfloat16 of the table in use (NR_ISA chooses) against plain loops over the scalar model of the instruction, bit
   for bit: layers together, low-rank parts, four bits, both gradients; matrices of both kinds; chunks and runs; one thread and two. */
#include "harness.h"
#include "nf4.h"
#include "nr_kernels.h"
#include "pool.h"
#include <stdio.h>
#include <stdlib.h>

static int64_t below(int64_t n) { return (int64_t)(random_bits() % (uint64_t)n); }

/* kind 0: about 1; 1: products around the least normal number; 2: now and then anything at all; 3: what rounding could make normal */
static float number(int kind, int tiny) {
  uint64_t r = random_bits();
  uint32_t sign = (uint32_t)(r >> 63) << 31, mantissa = (r >> 8) & 0x7FFFFF;
  if (kind == 1) return float_of(sign | (uint32_t)(r % 16 == 0 ? 0 : tiny ? 58 + r % 8 : 64 + r % 8) << 23 | mantissa);
  if (kind == 3 && !tiny && r % 4) return float_of(sign | (r % 2 ? 0x007F0000 + (uint32_t)(mantissa >> 6) : 0x00800000));
  if (kind == 2 && r % 97 == 0) return float_of((uint32_t)(r >> 32));
  return float_of(sign | (uint32_t)(122 + (r >> 40) % 6) << 23 | mantissa);
}
static float add_flushed(float a, float b) {
  float x = float_of(without_denormals(bits_of(a))), y = float_of(without_denormals(bits_of(b)));
  return float_of(without_denormals(bits_of(x + y)));
}
static float multiply_flushed(float a, float b) {
  float x = float_of(without_denormals(bits_of(a))), y = float_of(without_denormals(bits_of(b))), p = x * y;
  if ((bits_of(p) & 0x7FFFFFFF) == 0x00800000 && 0x1p-126 - fabs((double)x * y) > 0x1p-151) p = float_of(bits_of(p) & 0x80000000);
  return float_of(without_denormals(bits_of(p)));
}

/* The sum in chunks, added to c where there is one. */
static float chunks(const uint16_t *a, int64_t as, const uint16_t *b, int64_t bs, int64_t depth, int64_t chunk, int adds, float c) {
  int64_t k = 0;
  do {
    int64_t count = depth - k < chunk ? depth - k : chunk;
    float sum = chain(a + k * as, as, b + k * bs, bs, count, 0);
    c = adds || k > 0 ? add_flushed(c, sum) : sum;
    k += chunk;
  } while (k < depth);
  return c;
}

static long mistakes, checks;
static void compare(const char *what, int kind, const char *shape, const void *expected, const void *got, int is_float, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    uint32_t e = is_float ? ((const uint32_t *)expected)[i] : ((const uint16_t *)expected)[i];
    uint32_t g = is_float ? ((const uint32_t *)got)[i] : ((const uint16_t *)got)[i];
    int shift = is_float ? 0 : 16;
    checks++;
    if (e == g || (is_nan_bits(e << shift) && is_nan_bits(g << shift))) continue;
    if (mistakes++ < 20) printf("%s, numbers of kind %d, %s: element %lld is %08x, not %08x\n", what, kind, shape, (long long)i, g, e);
  }
}

/* A matrix as kernels are given it, and its elements as products read them. */
typedef struct matrix { void *at; uint16_t *halves; int is_float; int64_t ld, count; } matrix;
static matrix make(int64_t rows, int64_t columns, int kind, int tiny) {
  matrix m = {.is_float = (int)below(2), .ld = columns + below(5)};
  m.count = rows * m.ld;
  float *x = malloc((size_t)m.count * 4 + 4);
  m.halves = malloc((size_t)m.count * 2 + 2);
  for (int64_t i = 0; i < m.count; i++) x[i] = number(kind, tiny), m.halves[i] = half_of_float(x[i]);
  m.at = m.is_float ? (void *)x : memcpy(malloc((size_t)m.count * 2 + 2), m.halves, (size_t)m.count * 2);
  if (!m.is_float) free(x);
  return m;
}
static void drop(matrix m) { free(m.at), free(m.halves); }
static matrix twin(matrix m) {
  size_t size = (size_t)m.count * (m.is_float ? 4 : 2);
  m.at = memcpy(malloc(size + 4), m.at, size), m.halves = NULL;
  return m;
}
static void set(matrix m, int64_t i, float x) {
  if (m.is_float) ((float *)m.at)[i] = x;
  else ((uint16_t *)m.at)[i] = half_of_float(x);
}
static float get(matrix m, int64_t i) { return m.is_float ? ((float *)m.at)[i] : wide_of(((uint16_t *)m.at)[i]); }

typedef struct weights { void *panels; nrk_kind kind; uint16_t *halves; } weights;
static weights pack(nrk_pool *pool, int64_t N, int64_t K, int kind, int four_bits) {
  weights w = {.halves = malloc((size_t)(N * K) * 2 + 2)};
  float *x = malloc((size_t)(N * K) * 4 + 4);
  for (int64_t i = 0; i < N * K; i++) x[i] = number(kind, 1);
  if (!four_bits) {
    w.kind = NRK_BF16_PAIRS;
    /* Packing keeps what is below the normal numbers; products do not. */
    for (int64_t i = 0; i < N * K; i++) {
      uint32_t b = bits_of(x[i]);
      w.halves[i] = is_nan_bits(b) ? (uint16_t)(b >> 16 | 0x40) : (uint16_t)((b + 0x7FFF + (b >> 16 & 1)) >> 16);
    }
    w.panels = aligned_alloc(64, (size_t)nrk_round(nrk_panel_elements(N, K, NRK_BF16_PAIRS) * 2 + 64, 64));
    if (below(2)) nrk_pack(pool, N, K, x, NRK_F32, K, w.panels, NRK_BF16_PAIRS);
    else nrk_pack(pool, N, K, w.halves, NRK_BF16, K, w.panels, NRK_BF16_PAIRS);
    free(x);
    return w;
  }
  int nested = (int)below(2);
  int64_t count = N * K, blocks = nf4_blocks(N, K);
  uint8_t *codes = calloc((size_t)(count + 1) / 2 + 1, 1), *bytes = malloc((size_t)blocks + 1);
  float *absmax = malloc((size_t)blocks * 4 + 4), *nest = malloc((size_t)nrk_ceil(blocks, 256) * 4 + 4), offset = 0;
  nrk_nf4_quantize(pool, count, x, NRK_F32, codes, absmax);
  if (nested) offset = nrk_nf4_nest(blocks, absmax, bytes, nest);
  w.kind = NRK_NF4_BF16;
  w.panels = aligned_alloc(64, (size_t)nrk_round(nrk_nf4_bytes(N, K, nested) + 64, 64));
  nrk_nf4_pack(pool, N, K, codes, nested ? nest : absmax, nested ? bytes : NULL, nrk_nf4_map(), offset, w.panels);
  nf4_matrix m = nf4_view(w.panels, N, K);
  for (int64_t i = 0; i < count; i++) {
    float scale = m.absmax[nested ? i / 64 / 256 : i / 64];
    if (nested) scale = add_flushed(multiply_flushed(m.head->map[m.codes[i / 64]], scale), m.head->offset);
    w.halves[i] = half_of_float(multiply_flushed(nrk_nf4_values[i & 1 ? codes[i / 2] & 15 : codes[i / 2] >> 4], scale));
  }
  free(codes), free(bytes), free(absmax), free(nest), free(x);
  return w;
}
static void drop_weights(weights w) { free(w.panels), free(w.halves); }

enum { PARTS = 3 };

static void check_forward(nrk_pool *const pools[2], int kind, int64_t T, const int64_t N[PARTS], int64_t K, int parts, int four_bits, const char *shape) {
  matrix x = make(T, K, kind, 0), y[PARTS], expected[PARTS], low[PARTS], residual[PARTS];
  weights w[PARTS], up[PARTS];
  nrk_product_part list[PARTS];
  float *bias[PARTS];
  for (int i = 0; i < parts; i++) {
    int64_t R = below(3) ? below(20) : 0;
    w[i] = pack(pools[0], N[i], K, kind == 2 ? 0 : kind, four_bits), up[i] = pack(pools[0], N[i], R, 0, 0);
    y[i] = make(T, N[i], 0, 0), expected[i] = twin(y[i]), low[i] = make(T, R, 0, 0), residual[i] = make(T, N[i], 0, 0);
    bias[i] = malloc((size_t)N[i] * 4 + 4);
    for (int64_t n = 0; n < N[i]; n++) bias[i][n] = number(0, 0);
    uint16_t *halves = malloc((size_t)low[i].count * 2 + 2);
    memcpy(halves, low[i].halves, (size_t)low[i].count * 2);
    free(low[i].at), low[i].at = halves;
    list[i] = (nrk_product_part){.panels = w[i].panels, .kind = w[i].kind, .N = N[i], .R = R, .low = low[i].at, .ldlow = low[i].ld,
                                 .up = up[i].panels, .scale = below(2) ? 1 : 1.25f, .bias = below(2) ? bias[i] : NULL,
                                 .residual = residual[i].is_float && below(2) ? residual[i].at : NULL, .ldr = residual[i].ld,
                                 .y = y[i].at, .ldy = y[i].ld, .y_is_float = y[i].is_float};
    for (int64_t t = 0; t < T; t++)
      for (int64_t n = 0; n < N[i]; n++) {
        float c = chunks(x.halves + t * x.ld, 1, w[i].halves + n * K, 1, K, 2304, 0, 0);
        if (R) c = chain(low[i].halves + t * low[i].ld, 1, up[i].halves + n * R, 1, R, c);
        if (list[i].scale != 1 || list[i].bias || list[i].residual || !y[i].is_float) c = multiply_flushed(c, list[i].scale);
        if (list[i].bias) c = add_flushed(c, bias[i][n]);
        if (list[i].residual) c = add_flushed(c, ((float *)residual[i].at)[t * residual[i].ld + n]);
        set(expected[i], t * y[i].ld + n, c);
      }
  }
  for (int threads = 0; threads < 2; threads++) {
    nrk_products(pools[threads], T, K, x.at, x.ld, x.is_float, parts, list);
    for (int i = 0; i < parts; i++) compare(four_bits ? "products, four bits" : "products", kind, shape, expected[i].at, y[i].at, y[i].is_float, y[i].count);
  }
  for (int i = 0; i < parts; i++)
    drop(y[i]), drop(expected[i]), drop(low[i]), drop(residual[i]), drop_weights(w[i]), drop_weights(up[i]), free(bias[i]);
  drop(x);
}

static void check_inputs(nrk_pool *const pools[2], int kind, int64_t T, const int64_t N[PARTS], int64_t K, int parts, int four_bits, const char *shape) {
  matrix dy[PARTS], start = make(T, K, 0, 0);
  weights w[PARTS];
  nrk_product_term list[PARTS];
  for (int i = 0; i < parts; i++) {
    dy[i] = make(T, N[i], kind, 0), w[i] = pack(pools[0], N[i], K, kind == 2 ? 0 : kind, four_bits);
    list[i] = (nrk_product_term){.dy = dy[i].at, .panels = w[i].panels, .kind = w[i].kind, .dy_is_float = dy[i].is_float, .lddy = dy[i].ld, .N = N[i]};
  }
  for (int threads = 0; threads < 2; threads++) {
    int accumulate = (int)below(2);
    float scale = below(2) ? 1 : 0.75f;
    matrix expected = twin(start), dx = twin(start);
    for (int64_t t = 0; t < T; t++)
      for (int64_t k = 0; k < K; k++) {
        float c = 0;
        for (int i = 0; i < parts; i++) c = chunks(dy[i].halves + t * dy[i].ld, 1, w[i].halves + k, K, N[i], 2304, i > 0, c);
        if (scale != 1 || accumulate || !dx.is_float) c = multiply_flushed(c, scale);
        if (accumulate) c = add_flushed(get(start, t * start.ld + k), c);
        set(expected, t * start.ld + k, c);
      }
    nrk_products_dx(pools[threads], T, K, parts, list, scale, dx.at, dx.ld, dx.is_float, accumulate);
    compare(four_bits ? "gradients of inputs, four bits" : "gradients of inputs", kind, shape, expected.at, dx.at, dx.is_float, dx.count);
    drop(expected), drop(dx);
  }
  for (int i = 0; i < parts; i++) drop(dy[i]), drop_weights(w[i]);
  drop(start);
}

static void check_weights(nrk_pool *const pools[2], int kind, int64_t T, const int64_t N[PARTS], int64_t K, int parts, const char *shape) {
  matrix dy[PARTS], x[PARTS], start[PARTS];
  for (int i = 0; i < parts; i++) {
    dy[i] = make(T, N[i], kind, 0), x[i] = make(T, K, kind == 2 ? 0 : kind, 1);
    do start[i] = make(N[i], K, 0, 0);
    while (!start[i].is_float && (drop(start[i]), 1));
  }
  for (int threads = 0; threads < 2; threads++) {
    nrk_product_dw list[PARTS];
    matrix expected[PARTS], dw[PARTS];
    for (int i = 0; i < parts; i++) {
      expected[i] = twin(start[i]), dw[i] = twin(start[i]);
      list[i] = (nrk_product_dw){.dy = dy[i].at, .x = x[i].at, .dy_is_float = dy[i].is_float, .x_is_float = x[i].is_float, .lddy = dy[i].ld,
                                 .ldx = x[i].ld, .N = N[i], .K = K, .dw = dw[i].at, .lddw = dw[i].ld};
      for (int64_t n = 0; n < N[i]; n++)
        for (int64_t k = 0; k < K; k++)
          set(expected[i], n * start[i].ld + k,
              chunks(dy[i].halves + n, dy[i].ld, x[i].halves + k, x[i].ld, T, 512, 1, get(start[i], n * start[i].ld + k)));
    }
    nrk_products_dw(pools[threads], T, parts, list);
    for (int i = 0; i < parts; i++) {
      compare("gradients of weights", kind, shape, expected[i].at, dw[i].at, 1, dw[i].count);
      drop(expected[i]), drop(dw[i]);
    }
  }
  for (int i = 0; i < parts; i++) drop(dy[i]), drop(x[i]), drop(start[i]);
}

int main(void) {
  nrk_pool *pools[2] = {nrk_pool_create(1), nrk_pool_create(3)};
  /* Without fused multiply-add the model holds only where no product leaves the normal numbers, and not to the last bit. */
  int fuses = strcmp(nrk_isa(), "portable") != 0;
  if (!fuses) return printf("products: SKIPPED, this table does not fuse\n"), 0;
  static const int64_t shapes[][3] = {{1, 16, 64},   {1, 1, 1},      {2, 17, 2},   {3, 200, 63},  {14, 130, 64}, {15, 33, 2305}, {29, 40, 4609}, {5, 2307, 18},
                                      {100, 48, 130}, {1, 5, 7000},  {230, 20, 900}, {513, 18, 37}, {1030, 15, 16}, {3, 4700, 33}, {64, 64, 64},   {47, 300, 31},
                                      {7, 64, 2304}, {3, 5, 0},      {3, 0, 7},    {20, 31, 0},   {8, 512, 896},  {9, 33, 128},   {30, 35, 2368},  {2, 2320, 64}};
  for (int64_t turn = 0; turn < 34 + (int64_t)(sizeof shapes / sizeof *shapes); turn++) {
    int64_t T = turn < 34 ? turn + 1 : shapes[turn - 34][0], K = turn < 34 ? 1 + (T * 29) % 101 : shapes[turn - 34][2];
    int64_t N[PARTS] = {turn < 34 ? 1 + (T * 7) % 53 : shapes[turn - 34][1], 1 + below(40), 1 + below(70)};
    for (int kind = 0; kind < 4; kind++) {
      int parts = 1 + (int)below(PARTS);
      char shape[80];
      snprintf(shape, sizeof shape, "T %lld, N %lld (%d), K %lld", (long long)T, (long long)N[0], parts, (long long)K);
      check_forward(pools, kind, T, N, K, parts, 0, shape);
      check_inputs(pools, kind, T, N, K, parts, 0, shape);
      check_weights(pools, kind, T, N, K, parts, shape);
      if (kind < 2 && N[0] > 0 && K > 0) check_forward(pools, kind, T, N, K, parts, 1, shape), check_inputs(pools, kind, T, N, K, parts, 1, shape);
    }
  }
  printf("products, %s: %ld numbers, %ld mistakes\n", nrk_isa(), checks, mistakes);
  nrk_pool_destroy(pools[0]), nrk_pool_destroy(pools[1]);
  return mistakes != 0;
}
