/* product_backward.c - product_backward.cu: gradients of inputs and of weights, bit for bit against plain loops; and that all kernels give
   the same bits. */
#include "common.h"
#include "product_backward_arguments.h"

typedef struct { const char *name; int rows, columns, threads, shared; void *f; } Kernel;
static Kernel dx_kernels[] = {
  {"product_dx_128x128", 128, 128, 256, 98304, 0}, {"product_dx_64x64", 64, 64, 128, 65536, 0},
  {"product_dx_64x16", 64, 16, 128, 81920, 0}};
static Kernel dw_kernels[] = {
  {"product_dw_128x128", 128, 128, 256, 98304, 0}, {"product_dw_16x128", 16, 128, 128, 73728, 0},
  {"product_dw_128x16", 128, 16, 128, 73728, 0}};
static void *join;

/* A matrix [rows, columns] with stride ld, `shift` elements into its allocation, which is as long as it must be. Between rows it is NaN. */
typedef struct {
  int rows, columns, is_float, shift;
  i64 ld;
  float *values;
  unsigned char *host;
  size_t bytes;
  Pointer base, at;
} Matrix;
static size_t size_of(const Matrix *m) { return m->is_float ? 4 : 2; }
static size_t place_of(const Matrix *m, int i, int j) { return (size_t)(m->shift + i * m->ld + j) * size_of(m); }
static void set(Matrix *m, int i, int j, float x) {
  u16 h = half_of(x);
  memcpy(m->host + place_of(m, i, j), m->is_float ? (void *)&x : (void *)&h, size_of(m));
}
static Matrix matrix(int rows, int columns, i64 ld, int is_float, int shift) {
  Matrix m = {rows, columns, is_float, shift, ld, malloc((size_t)rows * (size_t)columns * 4), NULL, 0, 0, 0};
  m.bytes = ((size_t)((rows - 1) * ld + columns) + (size_t)shift) * size_of(&m);
  m.host = malloc(m.bytes);
  memset(m.host, 0xFF, m.bytes);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++) {
      float x = operand(1) * (is_float ? 1 - 0x1p-11f : 1); /* what is no bfloat16 must be rounded */
      if (pick(50) == 0) x = 0;
      m.values[(size_t)i * (size_t)columns + (size_t)j] = is_float ? x : rounded(x);
      set(&m, i, j, x);
    }
  m.base = memory_of(m.host, m.bytes), m.at = m.base + (u64)shift * size_of(&m);
  return m;
}
static void free_matrix(Matrix *m) { release(m->base), free(m->values), free(m->host); }
static float value(const Matrix *m, int i, int j) { return m->values[(size_t)i * (size_t)m->columns + (size_t)j]; }
/* Everything in its allocation; `want` has rows without gaps. */
static void compare(Matrix *m, const float *want, const char *what) {
  unsigned char *got = host_of(m->base, m->bytes);
  size_t wrong = 0, at = 0;
  for (int i = 0; i < m->rows; i++)
    for (int j = 0; j < m->columns; j++) {
      set(m, i, j, want[(size_t)i * (size_t)m->columns + (size_t)j]);
      if (memcmp(m->host + place_of(m, i, j), got + place_of(m, i, j), size_of(m)) && !wrong++)
        at = (size_t)i * (size_t)m->columns + (size_t)j;
    }
  EXPECT(!memcmp(got, m->host, m->bytes), "%s: %zu are wrong, the first at %zu, %zu%s", what, wrong, at / (size_t)m->columns,
         at % (size_t)m->columns, wrong ? "" : "; written between rows");
  free(got);
}
/* ---- gradients of inputs --------------------------------------------------------------------------------------------------------- */

typedef struct { int T, K, parts; Matrix dy[3], w[3], low[3], down[3], dx; nrc_product_dx_arguments a; } Input;
/* pad: added to strides; shift: of every operand; floats: 1 dy, 2 dx are float32 */
static Input input_of(int T, int K, int parts, const int *N, const int *R, int pad, int shift, int floats, int accumulate, float scale) {
  Input c = {.T = T, .K = K, .parts = parts, .dx = matrix(T, K, K + pad, floats >> 1, shift)};
  c.a = (nrc_product_dx_arguments){
    .dx = c.dx.at, .lddx = c.dx.ld, .T = T, .K = K, .parts = parts, .accumulate = accumulate, .is_float = floats >> 1, .scale = scale};
  for (int p = 0; p < parts; p++) {
    c.dy[p] = matrix(T, N[p], N[p] + pad, floats & 1, shift), c.w[p] = matrix(N[p], K, K, 0, shift);
    c.a.part[p] = (nrc_product_dx_part){.dy = c.dy[p].at, .w = c.w[p].at, .lddy = c.dy[p].ld, .N = N[p], .R = R[p], .is_float = floats & 1};
    if (!R[p]) continue;
    c.low[p] = matrix(T, R[p], R[p], 0, shift), c.down[p] = matrix(R[p], K, K, 0, shift);
    c.a.part[p].low = c.low[p].at, c.a.part[p].down = c.down[p].at;
  }
  return c;
}
static void free_input(Input *c) {
  for (int p = 0; p < c->parts; p++) {
    free_matrix(&c->dy[p]), free_matrix(&c->w[p]);
    if (c->a.part[p].low) free_matrix(&c->low[p]), free_matrix(&c->down[p]);
  }
  free_matrix(&c->dx);
}
static void launch_dx(const Kernel *k, Input *c) {
  launch(k->f, ceil_div(c->K, k->columns), ceil_div(c->T, k->rows), 1, k->threads, k->shared, &c->a);
}
static void dx_case(int which, int T, int K, int parts, const int *N, const int *R, int pad, int shift, int floats, int accumulate,
                    float scale) {
  if (enough()) return;
  Input c = input_of(T, K, parts, N, R, pad, shift, floats, accumulate, scale);
  float *want = malloc((size_t)T * (size_t)K * 4), *row = malloc((size_t)K * 4);
  for (int t = 0; t < T; t++) {
    memset(row, 0, (size_t)K * 4);
    for (int p = 0; p < parts; p++)
      for (int n = 0; n < N[p]; n++) {
        float x = rounded(value(&c.dy[p], t, n));
        for (int k = 0; k < K; k++) row[k] = fmaf(x, value(&c.w[p], n, k), row[k]);
      }
    for (int p = 0; p < parts; p++)
      for (int r = 0; r < R[p]; r++) {
        float x = value(&c.low[p], t, r);
        for (int k = 0; k < K; k++) row[k] = fmaf(x, value(&c.down[p], r, k), row[k]);
      }
    for (int k = 0; k < K; k++) {
      float old = accumulate ? value(&c.dx, t, k) : 0, scaled = row[k] * scale;
      want[(size_t)t * (size_t)K + (size_t)k] = old + scaled;
    }
  }
  launch_dx(&dx_kernels[which], &c);
  compare(&c.dx, want, text("%s T %d K %d parts %d N %d %d %d R %d %d %d pad %d shift %d floats %d accumulate %d scale %g",
                            dx_kernels[which].name, T, K, parts, N[0], parts > 1 ? N[1] : 0, parts > 2 ? N[2] : 0, R[0],
                            parts > 1 ? R[1] : 0, parts > 2 ? R[2] : 0, pad, shift, floats, accumulate, scale));
  free_input(&c), free(want), free(row);
}

/* ---- gradients of weights -------------------------------------------------------------------------------------------------------- */

typedef struct { int T, parts, runs; Matrix dy[3], x[3], dw[3]; nrc_product_dw_arguments a; } Weight;
/* floats: 1 dy, 2 x are float32; splits: bit p: part p has room for partial sums */
static Weight weight_of(int T, int parts, const int *N, const int *K, int pad, int shift, int floats, int splits) {
  Weight c = {.T = T, .parts = parts, .runs = ceil_div(T, NRC_PRODUCT_RUN), .a = {.T = T, .parts = parts}};
  for (int p = 0; p < parts; p++) {
    c.dy[p] = matrix(T, N[p], N[p] + pad, floats & 1, shift), c.x[p] = matrix(T, K[p], K[p] + pad, floats >> 1, shift);
    c.dw[p] = matrix(N[p], K[p], K[p] + pad, 1, shift);
    c.a.part[p] = (nrc_product_dw_part){.dy = c.dy[p].at, .x = c.x[p].at, .dw = c.dw[p].at, .lddy = c.dy[p].ld, .ldx = c.x[p].ld,
      .lddw = c.dw[p].ld, .N = N[p], .K = K[p], .dy_is_float = floats & 1, .x_is_float = floats >> 1};
    if (splits >> p & 1) c.a.part[p].partial = empty_memory((size_t)c.runs * (size_t)N[p] * (size_t)K[p] * 4);
  }
  return c;
}
static void free_weight(Weight *c) {
  for (int p = 0; p < c->parts; p++) {
    free_matrix(&c->dy[p]), free_matrix(&c->x[p]), free_matrix(&c->dw[p]);
    release(c->a.part[p].partial);
  }
}
static void launch_dw(const Kernel *k, Weight *c, int splits) {
  int tiles = 0, largest = 0;
  for (int p = 0; p < c->parts; p++) {
    nrc_product_dw_part *q = &c->a.part[p];
    q->first = tiles, tiles += ceil_div(q->N, k->rows) * ceil_div(q->K, k->columns);
    if (q->N * q->K > largest) largest = q->N * q->K;
  }
  launch(k->f, tiles, 1, splits ? c->runs : 1, k->threads, k->shared, &c->a);
  if (splits) launch(join, ceil_div(largest, 1024), c->parts, 1, 256, 0, &c->a);
}
static float *dw_wanted(const Weight *c, int p) {
  int N = c->dw[p].rows, K = c->dw[p].columns, all = N * K;
  float *want = calloc((size_t)all, 4), *run = malloc((size_t)all * 4);
  for (int start = 0; start < c->T; start += NRC_PRODUCT_RUN) {
    memset(run, 0, (size_t)all * 4);
    for (int t = start; t < c->T && t < start + NRC_PRODUCT_RUN; t++)
      for (int n = 0; n < N; n++) {
        float d = rounded(value(&c->dy[p], t, n));
        for (int k = 0; k < K; k++) run[n * K + k] = fmaf(d, rounded(value(&c->x[p], t, k)), run[n * K + k]);
      }
    for (int i = 0; i < all; i++) want[i] += run[i];
  }
  for (int i = 0; i < all; i++) want[i] = c->dw[p].values[i] + want[i];
  free(run);
  return want;
}
static void dw_case(int which, int T, int parts, const int *N, const int *K, int pad, int shift, int floats, int splits) {
  if (enough()) return;
  Weight c = weight_of(T, parts, N, K, pad, shift, floats, splits);
  launch_dw(&dw_kernels[which], &c, splits);
  for (int p = 0; p < parts; p++) {
    float *want = dw_wanted(&c, p);
    compare(&c.dw[p], want, text("%s T %d part %d of %d N %d K %d pad %d shift %d floats %d splits %d", dw_kernels[which].name, T, p, parts,
                                 N[p], K[p], pad, shift, floats, splits));
    free(want);
  }
  free_weight(&c);
}

/* ---- which kernel it is does not matter, whatever the order of a device's sums --------------------------------------------------- */

static void same_bits(void) {
  static const int N[] = {200, 72}, R[] = {16, 8}, K[] = {136, 48};
  int was = exact;
  if (enough()) return;
  exact = 0;
  Input c = input_of(150, 136, 2, N, R, 0, 0, 2, 0, 0.37f);
  void *first = NULL, *got;
  for (int i = 0; i < 3; i++) {
    launch_dx(&dx_kernels[i], &c);
    got = host_of(c.dx.base, c.dx.bytes);
    EXPECT(!first || !memcmp(first, got, c.dx.bytes), "%s gives other bits", dx_kernels[i].name);
    if (first) free(got);
    else first = got;
  }
  free_input(&c), free(first), first = NULL;
  Weight w = weight_of(1100, 2, N, K, 0, 0, 0, 3);
  Pointer partial[] = {w.a.part[0].partial, w.a.part[1].partial};
  for (int i = 0; i < 6; i++) {
    for (int p = 0; p < 2; p++) w.a.part[p].partial = i % 2 ? partial[p] : 0;
    write_memory(w.dw[0].base, w.dw[0].host, w.dw[0].bytes);
    launch_dw(&dw_kernels[i / 2], &w, i % 2);
    got = host_of(w.dw[0].base, w.dw[0].bytes);
    EXPECT(!first || !memcmp(first, got, w.dw[0].bytes), "%s%s gives other bits", dw_kernels[i / 2].name, i % 2 ? " split" : "");
    if (first) free(got);
    else first = got;
  }
  free_weight(&w), free(first);
  exact = was;
}

#define L(...) (const int[]){__VA_ARGS__}
int main(int count, char **words) {
  open_gpu(count, words);
  void *module = module_of_file("product_backward.cu");
  for (int i = 0; i < 3; i++) {
    dx_kernels[i].f = kernel_of(module, dx_kernels[i].name, dx_kernels[i].shared);
    dw_kernels[i].f = kernel_of(module, dw_kernels[i].name, dw_kernels[i].shared);
  }
  join = kernel_of(module, "product_dw_join", 0);
  static const int sizes[] = {1, 2, 15, 16, 17, 40, 63, 64, 65, 127, 128, 129, 136, 200, 257}, ranks[] = {0, 1, 4, 8, 16, 17, 32};
  static const int lengths[] = {511, 512, 513, 575, 1024, 1100, 1537};
  for (int which = 0; which < 3; which++) {
    for (int i = 0; i < 15; i += brief ? 3 : 1) { /* every size on every side */
      int s = sizes[i], rows = dw_kernels[which].rows, columns = dx_kernels[which].columns;
      dx_case(which, s, columns, 1, L(96), L(16), 0, 0, 0, 0, 1);
      dx_case(which, 33, s, 1, L(96), L(16), 0, 0, 2, 1, 0.5f);
      dx_case(which, 33, columns < 40 ? columns : 40, 1, L(s), L(0), 0, 0, 0, 0, 1);
      dw_case(which, 100, 1, L(s), L(dw_kernels[which].columns), 0, 0, 0, i & 1);
      dw_case(which, 100, 1, L(rows), L(s), 0, 0, 0, i & 1);
      dw_case(which, s, 1, L(24), L(40), 0, 0, 0, i & 1);
    }
    for (int i = 0; i < (brief ? 20 : 200); i++) { /* parts, ranks, strides, alignment, types */
      int parts = 1 + pick(3), N[3], R[3], K[3], pad = pick(3) * (pick(2) ? 8 : 1), shift = pick(2) ? pick(9) : 0, wide = pick(2);
      for (int p = 0; p < 3; p++) {
        N[p] = wide ? 8 * (1 + pick(30)) : 1 + pick(200), R[p] = ranks[pick(7)];
        K[p] = wide ? 8 * (1 + pick(20)) : 1 + pick(150);
      }
      dx_case(which, 1 + pick(150), K[0], parts, N, R, pad, shift, pick(4), pick(2), pick(2) ? 1 : 0.37f);
      dw_case(which, 1 + pick(300), parts, N, K, pad, shift, pick(4), pick(8));
    }
    for (int i = brief; i < 7; i += 1 + brief) /* runs */
      for (int splits = 0; splits < 4; splits++)
        dw_case(which, lengths[i], 2, which == 2 ? L(40, 8) : L(16, 17), which == 2 ? L(16, 3) : L(40, 7), splits & 1 ? 8 : 0, 0, 0,
                splits);
    dx_case(which, 17, 16, 1, L(brief ? 2400 : 9000), L(16), 0, 0, 0, 0, 1); /* long sums */
    if (!brief) dx_case(which, 130, which == 2 ? 16 : 264, 2, L(1536, 256), L(16, 16), 0, 0, 0, 0, 1);
    dx_case(which, 3, 24, 3, L(2305, 64, 2400), L(1, 16, 0), 8, 0, 1, 1, 2);
  }
  same_bits();
  return finish(0);
}
