/* rows_bf16.c - rows_bf16.cu: norms, rotary embedding, gated units and taking rows on bfloat16 are, bit for bit, what the kernels of the
   CPU make of the same numbers as float32, rounded at the end. */
#include "common.h"
#include "nr_kernels.h"
#include "rows_bf16_arguments.h"

static nrk_pool *pool;
static void *norm_of_float, *norm, *norm_dx, *norm_dw, *rope, *swiglu, *swiglu_backward, *take_rows;

/* `n` numbers, `shift` of them into their allocation, and what they are as float32. Where `v` is NaN with all bits set, so is the memory:
   between rows, and where nothing may be written. */
typedef struct { int is_float, shift; size_t n, size, bytes; float *v; unsigned char *host; Pointer base, at; } Array;
static Array array(size_t n, int is_float, int shift) {
  Array a = {.is_float = is_float, .shift = shift, .n = n, .size = is_float ? 4 : 2};
  a.bytes = (n + (size_t)shift) * a.size;
  a.v = malloc(n * 4), a.host = malloc(a.bytes);
  memset(a.v, 0xFF, n * 4), memset(a.host, 0xFF, a.bytes);
  a.base = memory_of(a.host, a.bytes), a.at = a.base + (u64)shift * a.size;
  return a;
}
static Array rows_of(int rows, int columns, i64 ld, int is_float, int shift, float scale) {
  Array a = array((size_t)((rows - 1) * ld + columns), is_float, shift);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++) {
      int k = pick(60);
      float x = k == 0 ? 0 : k == 1 ? -0.0f : normal() * scale;
      size_t at = (size_t)(i * ld + j), place = at + (size_t)shift;
      a.v[at] = is_float ? x : rounded(x);
      if (is_float) ((float *)a.host)[place] = x;
      else ((u16 *)a.host)[place] = half_of(x);
    }
  write_memory(a.base, a.host, a.bytes);
  return a;
}
static void free_array(Array *a) { release(a->base), free(a->v), free(a->host); }
/* `v` is what is wanted. */
static void compare(Array *a, const char *what) {
  unsigned char *got = host_of(a->base, a->bytes);
  size_t wrong = 0, first = 0;
  for (size_t i = 0; i < a->n; i++) {
    u32 bits = bits_of(a->v[i]);
    u16 half = bits == 0xFFFFFFFF ? 0xFFFF : half_of(a->v[i]);
    if (memcmp(got + (i + (size_t)a->shift) * a->size, a->is_float ? (void *)&bits : (void *)&half, a->size) && !wrong++) first = i;
  }
  for (size_t i = 0; i < (size_t)a->shift * a->size; i++) wrong += got[i] != 0xFF;
  EXPECT(!wrong, "%s: %zu are wrong, the first at %zu", what, wrong, first);
  free(got);
}
/* Bytes of a row in shared memory, as rows_bf16.cu says. */
static int piece(int K, int size) { return ceil_div((K < 4096 ? K : 4096) * size, 128) * 128 + 64; }

static void norm_case(int T, int K, int is_float, int shift, int wants_rstd, float scale) {
  if (enough()) return;
  Array x = rows_of(T, K, K, is_float, shift, scale), w = rows_of(1, K, K, 1, shift, 1);
  Array y = array((size_t)T * (size_t)K, 0, shift), rstd = array((size_t)T, 1, 0);
  nrc_rmsnorm_bf16_arguments a = {x.at, w.at, y.at, wants_rstd ? rstd.at : 0, T, K, 1e-6f};
  nrk_rmsnorm(pool, T, K, x.v, w.v, 1e-6f, y.v, wants_rstd ? rstd.v : NULL);
  launch(is_float ? norm_of_float : norm, ceil_div(T, 4), 1, 1, 64, 4 * piece(K, is_float ? 4 : 2), &a);
  const char *what = text("norm T %d K %d float %d shift %d", T, K, is_float, shift);
  compare(&y, what), compare(&rstd, what);
  free_array(&x), free_array(&w), free_array(&y), free_array(&rstd);
}
/* over: dx lies over dy. */
static void norm_backward_case(int T, int K, int shift, int accumulate, int over) {
  if (enough()) return;
  Array dy = rows_of(T, K, K, 0, shift, 1), x = rows_of(T, K, K, 0, shift, 1), w = rows_of(1, K, K, 1, shift, 1);
  Array rstd = rows_of(T, 1, 1, 1, 0, 1), dx = rows_of(T, K, K, 0, shift, 1), dw = rows_of(1, K, K, 1, shift, 1);
  nrc_rmsnorm_backward_bf16_arguments a = {dy.at, x.at, w.at, rstd.at, over ? dy.at : dx.at, dw.at, T, K, accumulate};
  launch(norm_dw, ceil_div(K, 64), 1, 1, 64, 0, &a);
  launch(norm_dx, ceil_div(T, 4), 1, 1, 64, 8 * piece(K, 2), &a);
  if (over) memcpy(dx.v, dy.v, (size_t)T * (size_t)K * 4);
  nrk_rmsnorm_backward(pool, T, K, dy.v, x.v, w.v, rstd.v, dx.v, accumulate, dw.v);
  const char *what = text("norm backward T %d K %d shift %d accumulate %d over %d", T, K, shift, accumulate, over);
  Array written = over ? dy : dx;
  written.v = dx.v;
  compare(&written, what), compare(&dw, what);
  free_array(&dy), free_array(&x), free_array(&w), free_array(&rstd), free_array(&dx), free_array(&dw);
}
/* Lanes whose sums vanish to -0. */
static void zero_case(int K) {
  if (enough()) return;
  Array dy = rows_of(1, K, K, 0, 0, 1), x = rows_of(1, K, K, 0, 0, 1), w = rows_of(1, K, K, 1, 0, 1), rstd = rows_of(1, 1, 1, 1, 0, 1);
  Array dx = array((size_t)K, 0, 0);
  for (int k = 0; k < K; k++) {
    ((u16 *)dy.host)[k] = half_of(k == 3 ? -0.0f : -1e-30f), ((u16 *)x.host)[k] = half_of(1e-30f), ((float *)w.host)[k] = w.v[k] = 1;
    dy.v[k] = float_of(((u16 *)dy.host)[k]), x.v[k] = float_of(((u16 *)x.host)[k]);
  }
  ((float *)rstd.host)[0] = rstd.v[0] = 1;
  Array *inputs[] = {&dy, &x, &w, &rstd};
  for (int i = 0; i < 4; i++) write_memory(inputs[i]->base, inputs[i]->host, inputs[i]->bytes);
  nrc_rmsnorm_backward_bf16_arguments a = {dy.at, x.at, w.at, rstd.at, dx.at, 0, 1, K, 0};
  launch(norm_dx, 1, 1, 1, 64, 8 * piece(K, 2), &a);
  nrk_rmsnorm_backward(pool, 1, K, dy.v, x.v, w.v, rstd.v, dx.v, 0, NULL);
  compare(&dx, text("zeros %d", K));
  for (int i = 0; i < 4; i++) free_array(inputs[i]);
  free_array(&dx);
}
static void swiglu_case(int count, int shift, float scale) {
  if (enough()) return;
  Array gate = rows_of(1, count, count, 0, shift, scale), up = rows_of(1, count, count, 0, shift, 1);
  Array d = rows_of(1, count, count, 0, shift, 1), out = array((size_t)count, 0, shift);
  Array dgate = array((size_t)count, 0, shift), dup = array((size_t)count, 0, shift);
  nrc_swiglu_bf16_arguments a = {gate.at, up.at, out.at, count};
  nrc_swiglu_backward_bf16_arguments b = {gate.at, up.at, d.at, dgate.at, dup.at, count};
  launch(swiglu, ceil_div(count, 2048), 1, 1, 256, 0, &a), launch(swiglu_backward, ceil_div(count, 2048), 1, 1, 256, 0, &b);
  nrk_swiglu(pool, count, gate.v, up.v, out.v), nrk_swiglu_backward(pool, count, gate.v, up.v, d.v, dgate.v, dup.v);
  const char *what = text("swiglu %d shift %d", count, shift);
  compare(&out, what), compare(&dgate, what), compare(&dup, what);
  a.out = up.at, launch(swiglu, ceil_div(count, 2048), 1, 1, 256, 0, &a);
  memcpy(up.v, out.v, (size_t)count * 4), compare(&up, "swiglu in place");
  free_array(&gate), free_array(&up), free_array(&d), free_array(&out), free_array(&dgate), free_array(&dup);
}
static void rope_case(int T, int heads, int C, int pad, int shift, int inverse) {
  if (enough()) return;
  enum { POSITIONS = 50 };
  int half = C / 2, ld = heads * C + pad, *at = malloc((size_t)T * 4);
  Array x = rows_of(T, heads * C, ld, 0, shift, 1);
  Array c = rows_of(POSITIONS, half, half, 1, shift, 1), s = rows_of(POSITIONS, half, half, 1, shift, 1);
  for (int t = 0; t < T; t++) at[t] = pick(POSITIONS);
  Pointer positions = memory_of(at, (size_t)T * 4);
  nrc_rope_bf16_arguments a = {x.at, positions, c.at, s.at, ld, T, heads, C, inverse};
  launch(rope, ceil_div(T * heads * ceil_div(C, 16), 256), 1, 1, 256, 0, &a);
  nrk_rope(pool, T, heads, C, x.v, ld, at, c.v, s.v, inverse);
  compare(&x, text("rope T %d heads %d C %d pad %d shift %d inverse %d", T, heads, C, pad, shift, inverse));
  free_array(&x), free_array(&c), free_array(&s), release(positions), free(at);
}
/* floats: 1 x, 2 out are float32 */
static void take_case(int n, int K, int pad, int shift, int floats, int with_rows) {
  if (enough()) return;
  int N = with_rows ? 23 : n, ldx = K + pad, ldo = K + 2 * pad, *rows = malloc((size_t)n * 4);
  Array x = rows_of(N, K, ldx, floats & 1, shift, 1), out = array((size_t)((n - 1) * ldo + K), floats >> 1, shift);
  for (int i = 0; i < n; i++) rows[i] = with_rows ? pick(N) : i;
  Pointer list = with_rows ? memory_of(rows, (size_t)n * 4) : 0;
  nrc_take_rows_bf16_arguments a = {x.at, list, out.at, ldx, ldo, n, K, floats & 1, floats >> 1};
  launch(take_rows, ceil_div(n * ceil_div(K, 256), 8), 1, 1, 256, 0, &a);
  nrk_take_rows(pool, n, K, x.v, ldx, rows, out.v, ldo);
  compare(&out, text("take n %d K %d pad %d shift %d floats %d rows %d", n, K, pad, shift, floats, with_rows));
  free_array(&x), free_array(&out), release(list), free(rows);
}

int main(int count, char **words) {
  open_gpu(count, words);
  pool = nrk_pool_create(1);
  void *module = module_of_file("rows_bf16.cu");
  norm_of_float = kernel_of(module, "rmsnorm_to_bf16", 101376), norm = kernel_of(module, "rmsnorm_bf16", 101376);
  norm_dx = kernel_of(module, "rmsnorm_dx_bf16", 101376), norm_dw = kernel_of(module, "rmsnorm_dw_bf16", 0);
  rope = kernel_of(module, "rope_bf16", 0), take_rows = kernel_of(module, "take_rows_bf16", 0);
  swiglu = kernel_of(module, "swiglu_bf16", 0), swiglu_backward = kernel_of(module, "swiglu_backward_bf16", 0);
  static const int Ks[] = {1,   2,   7,   8,   15,  16,  17,   24,   63,   64,   65,   120,  127,  128,
                           129, 136, 256, 257, 896, 1000, 1001, 1536, 4095, 4096, 4104, 4112, 9001, 9008};
  static const int Ts[] = {1, 2, 3, 4, 5, 9, 33}, counts[] = {1, 7, 8, 9, 255, 256, 257, 2047, 2048, 2049, 2056, 5000};
  static const int channels[] = {2, 6, 16, 32, 64, 80, 128, 96, 20, 256};
  static const int widths[] = {1, 3, 4, 8, 31, 32, 128, 132, 136, 255, 256, 257, 264, 384, 512, 1536};
  for (int i = 0; i < 28; i++) {
    int t = Ks[i] > 4000 ? 3 : Ts[i % 7];
    for (int shift = 0; shift < 4; shift += 3) {
      norm_case(t, Ks[i], 0, shift, 1, 1), norm_case(t, Ks[i], 1, shift, i % 3, 1);
      for (int j = 0; j < 4; j++) norm_backward_case(t, Ks[i], shift, j & 1, j >> 1);
    }
  }
  norm_case(70, 128, 0, 0, 1, 1), norm_case(701, 1536, 1, 0, 1, 30), norm_case(4, 64, 1, 0, 1, 0), norm_backward_case(41, 128, 0, 1, 0);
  for (int i = 0; i < 14; i++) norm_case(Ts[i % 7], 256, i & 1, 8, 1, 1), norm_backward_case(Ts[i % 7], 256, 0, i & 1, 0);
  zero_case(32), zero_case(33), zero_case(47);
  swiglu_case(1000000, 0, 3);
  for (int i = 0; i < 12; i++)
    for (int shift = 0; shift < 9; shift += 4) swiglu_case(counts[i], shift, i & 1 ? 40 : 3);
  for (int i = 0; i < 80; i++)
    rope_case(Ts[i % 7], 1 + i % 5 * 3, channels[i % 10], i % 3 * 8 + (i % 4 == 3), i % 5 == 4, i & 1);
  for (int i = 0; i < 16; i++)
    for (int floats = 0; floats < 4; floats++)
      for (int j = 0; j < 4; j++) take_case(Ts[(i + j) % 7], widths[i], j % 3 * 4, j == 3 ? 2 : 0, floats, j & 1);
  nrk_pool_destroy(pool);
  return finish(3);
}
