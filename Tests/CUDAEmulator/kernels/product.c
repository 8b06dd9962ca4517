/* product.c - product.cu and product_nf4.cu: every kernel, whole and split, bit for bit against plain loops; and matrices of four bits
   expanded and reordered. Products of four bits have no exact sums: with --exact they are near the loops' and all kernels give the same
   bits, those of bfloat16 over the expanded matrix among them. */
#include "common.h"
#include "product_arguments.h"

typedef struct { const char *name; int rows, columns, threads, shared, one_chunk, nf4; void *f; } Kernel;
static Kernel kernels[] = {
  {"product_128x256", 128, 256, 256, 98304, 1, 0, 0}, {"product_128x128", 128, 128, 256, 98304, 0, 0, 0},
  {"product_128x64", 128, 64, 128, 73728, 1, 0, 0},   {"product_64x64", 64, 64, 128, 65536, 0, 0, 0},
  {"product_32x64", 32, 64, 128, 49152, 0, 0, 0},     {"product_16x32", 16, 32, 64, 36864, 0, 0, 0},
  {"nf4_16", 16, 64, 128, 66560, 0, 1, 0},            {"nf4_32", 32, 64, 128, 66560, 0, 1, 0},
  {"nf4_64", 64, 64, 128, 82944, 0, 1, 0},            {"nf4_128", 128, 64, 128, 97280, 0, 1, 0},
};
enum { KERNELS = sizeof kernels / sizeof *kernels };
static void *join, *expand, *reorder;

static const float numbers[16] = {
  -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
  -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
  0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

/* ---- weights of four bits, in a file's order ------------------------------------------------------------------------------------- */

typedef struct { unsigned char *codes, *absmax_codes; float *absmax, *map; i64 blocks, outer; u16 *w; } Nf4;

/* SHARP: every magnitude rounds to another bfloat16 if its product and sum are fused. VANISHING: all weights are negative and tiny. */
enum { FLAT, VANISHING, NESTED, SHARP };
static float magnitude(float number, float outer, float offset) {
  volatile float product = number * outer;
  return product + offset;
}
static Nf4 nf4_of(i64 N, i64 K, int kind) {
  i64 all = N * K, blocks = (all + 63) / 64;
  int is_nested = kind >= NESTED;
  Nf4 q = {.blocks = blocks, .outer = is_nested ? (blocks + 255) / 256 : blocks};
  q.codes = malloc((size_t)(all + 1) / 2), q.absmax_codes = malloc((size_t)blocks), q.absmax = malloc((size_t)q.outer * 4);
  q.map = malloc(257 * 4), q.w = malloc((size_t)all * 2);
  for (i64 i = 0; i < (all + 1) / 2; i++) q.codes[i] = (unsigned char)(kind == VANISHING ? pick(7) * 17 : pick(256));
  for (i64 i = 0; i < blocks; i++) q.absmax_codes[i] = (unsigned char)pick(256);
  for (i64 i = 0; i < q.outer; i++) {
    q.absmax[i] = is_nested ? 0.02f + 0.01f * uniform() : 0.05f + 0.04f * uniform();
    if (kind == SHARP) q.absmax[i] = 0.0234567f;
    if (kind == VANISHING) q.absmax[i] = 0x1p-100f;
  }
  q.map[256] = 0.0371f;
  for (int i = 0; i < 256; i++)
    do q.map[i] = uniform();
    while (kind == SHARP && half_of(magnitude(q.map[i], 0.0234567f, 0.0371f)) == half_of(fmaf(q.map[i], 0.0234567f, 0.0371f)));
  for (i64 i = 0; i < all; i++) {
    int byte = q.codes[i / 2], code = i % 2 ? byte & 15 : byte >> 4;
    i64 b = i / 64;
    q.w[i] = half_of(numbers[code] * (is_nested ? magnitude(q.map[q.absmax_codes[b]], q.absmax[b / 256], q.map[256]) : q.absmax[b]));
  }
  return q;
}
static void free_nf4(Nf4 *q) { free(q->codes), free(q->absmax_codes), free(q->absmax), free(q->map), free(q->w); }
static unsigned char *reordered(const unsigned char *codes, int N, int K) {
  unsigned char *out = malloc((size_t)N * (size_t)K / 2);
  for (int i = 0; i < N / 16; i++)
    for (int j = 0; j < K / 64; j++)
      for (int lane = 0; lane < 32; lane++)
        for (int b = 0; b < 16; b++) {
          i64 n = i * 16 + b / 2 % 2 * 8 + lane / 4, k = j * 64 + b / 4 * 16 + b % 2 * 8 + lane % 4 * 2, at = n * K + k;
          out[(((i64)i * (K / 64) + j) * 32 + lane) * 16 + b] = (unsigned char)(codes[at / 2] >> 4 | (codes[at / 2] & 15) << 4);
        }
  return out;
}

/* ---- products -------------------------------------------------------------------------------------------------------------------- */

/* residual: 1 there is one, 2 it is y itself */
typedef struct { int N, R, bias, residual, is_float, ldy, ldr, misalign; float scale; } Part;
/* kind: of weights of four bits; where it is VANISHING every product is lost, and all sums are -0 */
typedef struct { int T, K, ldx, x_float, misalign, parts, kind; Part part[3]; } Case;
static int case_number;

/* y of one part, as product_arguments.h says; `sizes`: of what was added up, where that is wanted */
static float *reference(const Case *c, const float *x, const u16 *w, const Part *p, const u16 *low, const u16 *up, const float *bias,
                        const float *residual, float *sizes) {
  int N = p->N, K = c->K;
  float *wt = malloc((size_t)K * (size_t)N * 4), *y = malloc((size_t)c->T * (size_t)N * 4), *sum = malloc((size_t)N * 4);
  for (int n = 0; n < N; n++)
    for (int k = 0; k < K; k++) wt[(i64)k * N + n] = float_of(w[(i64)n * K + k]);
  for (int t = 0; t < c->T; t++) {
    float *total = y + (i64)t * N;
    for (int k0 = 0; k0 < K; k0 += NRC_PRODUCT_CHUNK) {
      for (int n = 0; n < N; n++) sum[n] = 0;
      for (int k = k0; k < K && k < k0 + NRC_PRODUCT_CHUNK; k++) {
        float left = x[(i64)t * K + k];
        const float *row = wt + (i64)k * N;
        for (int n = 0; n < N; n++) sum[n] = fmaf(left, row[n], sum[n]);
      }
      for (int n = 0; n < N; n++) total[n] = k0 ? total[n] + sum[n] : sum[n];
    }
    for (int n = 0; n < N; n++) {
      float size = 0;
      for (int k = 0; k < K && sizes; k++) size += fabsf(x[(i64)t * K + k] * wt[(i64)k * N + n]);
      for (int r = 0; r < p->R; r++) {
        float a = float_of(low[(i64)t * p->R + r]), b = float_of(up[(i64)n * p->R + r]);
        total[n] = fmaf(a, b, total[n]), size += fabsf(a * b);
      }
      if (sizes) sizes[(i64)t * N + n] = size * fabsf(p->scale);
      total[n] *= p->scale;
      if (bias) total[n] += bias[n];
      if (residual) total[n] += residual[(i64)t * p->ldr + n];
    }
  }
  free(wt), free(sum);
  return y;
}

/* What a part is made of, and what must come out. Of y: `before`, which is the residual too where that is y. */
typedef struct {
  Pointer w_base, codes, absmax_codes, absmax, map, low, up, bias, residual, y;
  float *want, *sizes;
  unsigned char *before;
  size_t bytes;
} Operands;
static Operands operands_of(const Case *c, const Part *p, const float *x, int is_nf4, nrc_product_part *a) {
  Operands o = {0};
  int N = p->N, K = c->K, T = c->T, R = p->R;
  u16 *w, *base = NULL, *low = NULL, *up = NULL;
  float *bias = NULL, *residual = NULL;
  Nf4 q;
  *a = (nrc_product_part){.ldr = p->ldr, .ldy = p->ldy, .N = N, .R = R, .is_float = p->is_float, .scale = p->scale};
  if (is_nf4) {
    q = nf4_of(N, K, c->kind), w = q.w;
    unsigned char *codes = reordered(q.codes, N, K);
    o.codes = memory_of(codes, (size_t)N * (size_t)K / 2), o.absmax = memory_of(q.absmax, (size_t)q.outer * 4);
    if (c->kind >= NESTED) o.absmax_codes = memory_of(q.absmax_codes, (size_t)q.blocks), o.map = memory_of(q.map, 257 * 4);
    a->absmax_codes = o.absmax_codes, a->absmax = o.absmax, a->map = o.map, a->is_nested = c->kind >= NESTED;
    o.w_base = memory_of(w, (size_t)N * (size_t)K * 2);
    free(codes);
  } else {
    base = halves((size_t)N * (size_t)K + (size_t)p->misalign, 0.05f), w = base + p->misalign;
    for (i64 i = 0; i < (i64)N * K && c->kind == VANISHING; i++) w[i] = half_of(-0x1p-100f);
    o.w_base = memory_of(base, ((size_t)N * (size_t)K + (size_t)p->misalign) * 2);
  }
  a->w = o.w_base + (is_nf4 ? 0 : 2 * (u64)p->misalign);
  if (R) {
    low = halves((size_t)T * (size_t)R, 1), up = halves((size_t)N * (size_t)R, 0.3f);
    a->low = o.low = memory_of(low, (size_t)T * (size_t)R * 2), a->up = o.up = memory_of(up, (size_t)N * (size_t)R * 2);
  }
  if (p->bias) {
    bias = malloc((size_t)N * 4);
    for (int n = 0; n < N; n++) bias[n] = normal();
    a->bias = o.bias = memory_of(bias, (size_t)N * 4);
  }
  o.bytes = ((size_t)(T - 1) * (size_t)p->ldy + (size_t)N) * (p->is_float ? 4 : 2);
  o.before = malloc(o.bytes), o.y = memory(o.bytes);
  memset(o.before, 0xA5, o.bytes);
  if (p->residual) {
    size_t n = (size_t)(T - 1) * (size_t)p->ldr + (size_t)N;
    residual = malloc(n * 4);
    for (size_t i = 0; i < n; i++) residual[i] = normal();
    if (p->residual == 2) memcpy(o.before, residual, o.bytes);
    else o.residual = memory_of(residual, n * 4);
    a->residual = p->residual == 2 ? o.y : o.residual;
  }
  a->y = o.y;
  if (is_nf4 && exact) o.sizes = malloc((size_t)T * (size_t)N * 4);
  o.want = reference(c, x, w, p, low, up, bias, residual, o.sizes);
  free(low), free(up), free(bias), free(residual);
  if (is_nf4) free_nf4(&q);
  else free(base);
  return o;
}
static void compare(const Case *c, const Part *p, int i, Operands *o, const char *kernel, int is_split) {
  unsigned char *got = host_of(o->y, o->bytes);
  long wrong = 0;
  int size = p->is_float ? 4 : 2, wrong_t = 0, wrong_n = 0;
  for (int t = 0; t < c->T; t++)
    for (int n = 0; n < (t + 1 < c->T ? p->ldy : p->N); n++) {
      size_t at = ((size_t)t * (size_t)p->ldy + (size_t)n) * (size_t)size;
      u32 want = 0, value = 0;
      memcpy(&value, got + at, (size_t)size);
      if (n >= p->N) memcpy(&want, o->before + at, (size_t)size); /* between rows nothing is written */
      else {
        float *sum = &o->want[(i64)t * p->N + n], y = p->is_float ? of_bits(value) : float_of((u16)value);
        if (o->sizes) { /* near what it should be; and from now on the bits */
          float near = o->sizes[(i64)t * p->N + n] * (float)(c->K / 16 + 8) * 0x1p-22f + 2e-6f + (p->is_float ? 0 : fabsf(*sum) / 250);
          if (fabsf(y - *sum) <= near) *sum = y;
        }
        want = p->is_float ? bits_of(*sum) : half_of(*sum);
      }
      if (value != want && !wrong++) wrong_t = t, wrong_n = n;
    }
  EXPECT(!wrong, "%s%s case %d: T %d K %d part %d N %d R %d: %ld are wrong, the first at %d, %d", kernel, is_split ? " split" : "",
         case_number, c->T, c->K, i, p->N, p->R, wrong, wrong_t, wrong_n);
  free(o->sizes), o->sizes = NULL, free(got);
}
static void run_kernel(const Case *c, nrc_product_arguments a, Operands *o, const Kernel *f, int is_split) {
  int chunks = ceil_div(c->K, NRC_PRODUCT_CHUNK), tiles = 0, all = 0;
  for (int i = 0; i < c->parts; i++) {
    write_memory(o[i].y, o[i].before, o[i].bytes);
    a.part[i].first = tiles, tiles += ceil_div(a.part[i].N, f->columns), all += a.part[i].N;
    if (f->nf4) a.part[i].w = o[i].codes;
  }
  if (is_split) a.partial = filled_memory(0xFF, (size_t)chunks * (size_t)c->T * (size_t)all * 4); /* all must be written */
  launch(f->f, tiles, ceil_div(c->T, f->rows), is_split ? chunks : 1, f->threads, f->shared, &a);
  if (is_split) {
    tiles = 0;
    for (int i = 0; i < c->parts; i++) a.part[i].first = tiles, tiles += ceil_div(a.part[i].N, 32);
    launch(join, tiles, ceil_div(c->T, 16), 1, 64, 2048, &a);
  }
  for (int i = 0; i < c->parts; i++) compare(c, &c->part[i], i, &o[i], f->name, is_split);
  release(a.partial);
}
static void run_case(Case c, int is_nf4) {
  int T = c.T, K = c.K;
  case_number++;
  if (enough()) return;
  /* x with a gap after each row that is no number, `misalign` elements into its allocation */
  size_t n = (size_t)(T - 1) * (size_t)c.ldx + (size_t)K + (size_t)c.misalign, size = c.x_float ? 4 : 2;
  float *x = malloc((size_t)T * (size_t)K * 4);
  unsigned char *host = malloc(n * size);
  memset(host, 0xFF, n * size);
  for (int t = 0; t < T; t++)
    for (int k = 0; k < K; k++) {
      /* what is given as float32 is no bfloat16, so it must be rounded */
      float v = c.kind == VANISHING ? 0x1p-100f : operand(1) * (c.x_float ? 1 - 0x1p-11f : 1);
      size_t at = (size_t)c.misalign + (size_t)t * (size_t)c.ldx + (size_t)k;
      if (c.x_float) ((float *)host)[at] = v;
      else ((u16 *)host)[at] = half_of(v);
      x[(i64)t * K + k] = rounded(v);
    }
  Pointer base = memory_of(host, n * size);
  nrc_product_arguments a = {.x = base + size * (u64)c.misalign, .ldx = c.ldx, .T = T, .K = K, .parts = c.parts, .is_float = c.x_float};
  Operands o[3];
  for (int i = 0; i < c.parts; i++) o[i] = operands_of(&c, &c.part[i], x, is_nf4, &a.part[i]);
  for (int k = 0; k < KERNELS; k++)
    if (kernels[k].nf4 == is_nf4 || (is_nf4 && exact))
      for (int is_split = kernels[k].one_chunk && K > NRC_PRODUCT_CHUNK; is_split < 2; is_split++)
        run_kernel(&c, a, o, &kernels[k], is_split);
  for (int i = 0; i < c.parts; i++) {
    release(o[i].w_base, o[i].codes, o[i].absmax_codes, o[i].absmax, o[i].map, o[i].low, o[i].up, o[i].bias, o[i].residual, o[i].y);
    free(o[i].want), free(o[i].before);
  }
  release(base), free(x), free(host);
}
static Part part_of(int N, int R, int bias, int residual, int is_float, int gap) {
  return (Part){N, R, bias, residual, is_float, N + gap, residual == 2 ? N + gap : N + (gap ? 3 : 0), 0, 1};
}
/* The same with weights of bfloat16 and of four bits. */
static void both(Case c) { run_case(c, 0), run_case(c, 1); }

/* Shapes that were thought of. */
static void chosen_cases(void) {
  static const int Ts[] = {1, 15, 16, 17, 63, 65, 127, 129};
  for (int i = 0; i < 8; i++) { /* rows and columns around the tiles */
    Case c = {Ts[i], 128, 128, .parts = 1, .kind = i % 2 ? NESTED : FLAT};
    c.part[0] = part_of(Ts[7 - i] + (i & 1), 16, i & 1, (i >> 1) % 3, i >> 2 & 1, 0);
    run_case(c, 0);
    c.part[0].N = (c.part[0].N + 15) / 16 * 16, c.part[0].ldy = c.part[0].ldr = c.part[0].N;
    run_case(c, 1);
  }
  both((Case){33, 192, 192, .parts = 3, .kind = NESTED, /* q, k, v with bias and low rank */
              .part = {part_of(192, 8, 1, 0, 0, 0), part_of(64, 16, 1, 0, 0, 0), part_of(48, 32, 1, 0, 0, 8)}});
  both((Case){70, 64, 72, .parts = 2, .part = {part_of(272, 4, 0, 0, 0, 0), part_of(272, 1, 0, 0, 0, 0)}}); /* gate, up */
  both((Case){18, 8960, 8960, .parts = 1, .kind = NESTED, .part = {part_of(48, 17, 0, 2, 1, 0)}}); /* down: four chunks, residual = y */
  both((Case){5, 2304, 2304, .parts = 1, .kind = NESTED, .part = {part_of(32, 0, 0, 0, 1, 0)}});   /* one chunk and no more */
  both((Case){5, 2368, 2368, .parts = 1, .part = {part_of(32, 0, 0, 1, 1, 0)}});
  both((Case){20, 128, 128, .parts = 1, .part = {part_of(64, 0, 0, 1, 1, 4)}}); /* a residual whose rows are no multiples of 16 bytes */
  both((Case){3, 4608, 4608, .parts = 1, .part = {part_of(16, 0, 0, 0, 1, 0)}});
  run_case((Case){17, 4611, 4613, .parts = 1, .part = {part_of(37, 3, 1, 1, 1, 5)}}, 0);
  run_case((Case){2200, 24, 24, .parts = 2, .part = {part_of(70, 2, 1, 1, 0, 0), part_of(33, 0, 0, 0, 1, 1)}}, 0); /* groups of tiles */
  run_case((Case){40, 200, 204, .x_float = 1, .parts = 1, .part = {part_of(72, 16, 0, 0, 0, 0)}}, 0);
  run_case((Case){40, 200, 208, .misalign = 1, .parts = 1, .part = {part_of(72, 16, 0, 0, 0, 0)}}, 0);
  run_case((Case){7, 192, 192, .parts = 1, .kind = SHARP, .part = {part_of(48, 0, 0, 0, 1, 0)}}, 1);
  run_case((Case){20, 203, 208, .parts = 1, .part = {part_of(40, 0, 0, 0, 1, 0)}}, 0);
  if (!exact) /* what becomes of products that are too small is the device's matter */
    both((Case){20, 4672, 4672, .parts = 1, .kind = VANISHING, .part = {part_of(48, 0, 0, 0, 1, 0)}});
  run_case((Case){1, 1, 1, .parts = 3, .part = {part_of(1, 1, 1, 1, 0, 0), part_of(2, 0, 0, 0, 1, 0), part_of(1, 17, 0, 2, 1, 0)}}, 0);
}
static void random_case(void) {
  static const int ranks[] = {0, 0, 1, 2, 4, 8, 15, 16, 16, 17, 31, 32, 40};
  int is_nf4 = pick(3) == 0;
  Case c = {1 + pick(pick(3) ? 40 : 200), 0, 0, pick(5) == 0, pick(3) == 0 ? pick(8) : 0, 1 + pick(3), pick(2) ? NESTED : FLAT, {{0}}};
  c.K = pick(8) == 0 ? 2304 + pick(500) : 1 + pick(300);
  if (pick(2)) c.K = (c.K + 7) / 8 * 8;
  if (is_nf4) c.K = (c.K + 63) / 64 * 64;
  c.ldx = c.K + (pick(2) ? pick(3) * 8 : pick(9));
  for (int p = 0; p < c.parts; p++) {
    int N = 1 + pick(pick(3) ? 80 : 300), residual = pick(3), gap = pick(2) ? 0 : pick(6);
    if (pick(2)) N = (N + 7) / 8 * 8;
    if (is_nf4) N = (N + 15) / 16 * 16;
    c.part[p] = part_of(N, ranks[pick(13)], pick(2), residual, residual == 2 ? 1 : pick(2), gap);
    c.part[p].misalign = pick(4) == 0 ? pick(8) : 0;
    if (pick(2)) c.part[p].scale = normal();
  }
  run_case(c, is_nf4);
}

/* ---- matrices of four bits ----------------------------------------------------------------------------------------------------- */

/* From the order of a file, codes and result `misalign` bytes and elements into their allocations; and through that of fragments. */
static void matrix_case(int N, int K, int kind, int misalign) {
  if (enough()) return;
  i64 all = (i64)N * K;
  Nf4 q = nf4_of(N, K, kind);
  size_t bytes = (size_t)(all + 1) / 2, result = (size_t)all * 2;
  Pointer base = memory(bytes + (size_t)misalign), fragments = 0, out = memory(result + (size_t)misalign * 2);
  int is_nested = kind >= NESTED;
  Pointer absmax_codes = is_nested ? memory_of(q.absmax_codes, (size_t)q.blocks) : 0, map = is_nested ? memory_of(q.map, 257 * 4) : 0;
  Pointer absmax = memory_of(q.absmax, (size_t)q.outer * 4);
  write_memory(base + (u64)misalign, q.codes, bytes);
  nrc_nf4_matrix_arguments a = {base + (u64)misalign, absmax_codes, absmax, map, 0, N, K, is_nested, 0};
  int grid = ceil_div(all, 8192), orders = N % 16 == 0 && K % 64 == 0 ? 2 : 1;
  if (orders == 2) {
    a.out = fragments = empty_memory(bytes);
    launch(reorder, grid, 1, 1, 256, 0, &a);
    unsigned char *got = host_of(fragments, bytes), *want = reordered(q.codes, N, K);
    EXPECT(!memcmp(got, want, bytes), "nf4_reorder %d x %d", N, K);
    free(got), free(want);
  }
  unsigned char *poison = malloc(result);
  memset(poison, 0xA5, result);
  for (int order = 0; order < orders; order++) {
    a.out = out + 2 * (u64)misalign, a.is_reordered = order;
    if (order) a.codes = fragments;
    write_memory(a.out, poison, result);
    launch(expand, grid, 1, 1, 256, 16448, &a);
    u16 *got = host_of(a.out, result);
    EXPECT(!memcmp(got, q.w, result), "nf4_expand %d x %d, order %d, %d from its place", N, K, order, misalign);
    free(got);
  }
  release(base, fragments, out, absmax_codes, map, absmax);
  free(poison), free_nf4(&q);
}

int main(int count, char **words) {
  open_gpu(count, words);
  void *plain = module_of_file("product.cu"), *nf4 = module_of_file("product_nf4.cu");
  for (int k = 0; k < KERNELS; k++) kernels[k].f = kernel_of(kernels[k].nf4 ? nf4 : plain, kernels[k].name, kernels[k].shared);
  join = kernel_of(plain, "product_join", 0), expand = kernel_of(nf4, "nf4_expand", 0), reorder = kernel_of(nf4, "nf4_reorder", 0);
  chosen_cases();
  for (int i = 0; i < (brief ? 40 : 400); i++) random_case();
  static const int shapes[][2] = {{16, 64}, {64, 192}, {48, 1024}, {5, 7}, {3, 64}, {33, 65}, {17, 100}, {128, 2304}, {1, 1}, {100, 127}};
  matrix_case(48, 128, SHARP, 0), matrix_case(5, 77, SHARP, 0);
  for (int i = 0; i < 10; i++)
    for (int kind = FLAT; kind <= NESTED; kind += NESTED)
      matrix_case(shapes[i][0], shapes[i][1], kind, 0), matrix_case(shapes[i][0], shapes[i][1], kind, 1 + pick(7));
  return finish(1);
}
