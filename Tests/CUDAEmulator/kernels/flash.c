/* flash.c - flash.cu: attention and its gradients near float64 of the same inputs, a row's bits as flash.cu says them, operation by
   operation (not with --exact: a tensor core adds in an order of its own), the same bits in any batch and in decoding; and the cache. */
#include "common.h"
#include "flash_arguments.h"
typedef nrc_attention_segment Segment;

enum { FORWARD, BACKWARD_QUERIES, BACKWARD_KEYS, DECODE, WRITE };
/* For up to 64 channels and for up to 128. */
static struct { const char *name; int threads, shared; void *f; } kernels[5][2] = {
  {{"flash_forward_64", 128, 40960, 0}, {"flash_forward_128", 128, 81920, 0}},
  {{"flash_backward_queries_64", 128, 40960, 0}, {"flash_backward_queries_128", 128, 81920, 0}},
  {{"flash_backward_keys_64", 256, 37888, 0}, {"flash_backward_keys_128", 256, 74752, 0}},
  {{"flash_decode_64", 128, 50336, 0}, {"flash_decode_128", 128, 91296, 0}},
  {{"flash_write", 128, 0, 0}, {"flash_write", 128, 0, 0}},
};
static void run(int kernel, int C, i64 x, i64 y, void *arguments) {
  launch(kernels[kernel][C > 64].f, x, y, 1, kernels[kernel][C > 64].threads, kernels[kernel][C > 64].shared, arguments);
}
static double worst_forward, worst_log_sum, worst_backward[3], worst_difference;
static int random_below(int n) { return (int)((uniform() * 0.5f + 0.5f) * (float)n) % n; }

/* ---- rows and segments ------------------------------------------------------------------------------------------------------------- */

/* share: query heads of a group; G groups; C channels; extra: elements between rows; shift: elements before the first */
typedef struct { int share, G, C, extra, shift; } Shape;
typedef struct { int n, T; Segment s[64]; } Batch;
/* Rows of bfloat16, NaN where nobody wrote. */
typedef struct { u16 *p; i64 ld; size_t n; int shift; } Matrix;
static Matrix matrix(int T, int width, Shape h) {
  Matrix m = {NULL, width + h.extra, (size_t)T * (size_t)(width + h.extra) + (size_t)h.shift, h.shift};
  m.p = malloc(m.n * 2);
  for (size_t i = 0; i < m.n; i++) m.p[i] = 0x7fff;
  return m;
}
static u16 *at(Matrix m, i64 t) { return m.p + m.shift + t * m.ld; }
static Pointer up(Matrix m) { return memory_of(m.p, m.n * 2) + 2 * (u64)m.shift; }
static void free_up(Matrix m, Pointer p) { release(p - 2 * (u64)m.shift); }
static void down(Matrix m, Pointer p) {
  u16 *x = host_of(p - 2 * (u64)m.shift, m.n * 2);
  memcpy(m.p, x, m.n * 2), free(x);
}
static void copy_row(Matrix to, i64 t, Matrix from, i64 u, int width) { memcpy(at(to, t), at(from, u), (size_t)width * 2); }

static i64 position_in(const Segment *s, i64 j) { return j < s->prefix_length ? s->prefix_start + j : s->start + j - s->prefix_length; }
/* A cluster: a prompt of its own rows, and completions, with rows of nobody between segments. */
static void cluster(Batch *b, int prompt, int n, const int *lengths, int hole) {
  i64 next = b->T + hole, start = next;
  if (prompt) b->s[b->n++] = (Segment){start, prompt, 0, 0}, next += prompt + hole;
  for (int i = 0; i < n; i++) {
    b->s[b->n++] = (Segment){next, lengths[i], prompt ? start : 0, prompt};
    next += lengths[i] + hole;
  }
  b->T = (int)next;
}
/* Which rows are somebody's. */
static char *owned(const Batch *b) {
  char *is_row = calloc((size_t)b->T, 1);
  for (int i = 0; i < b->n; i++) memset(is_row + b->s[i].start, 1, (size_t)b->s[i].length);
  return is_row;
}
static int is_untouched(Matrix m, int T, const char *is_row, int width) {
  for (int t = 0; t < T; t++)
    for (int c = is_row[t] ? width : 0; c < m.ld && t * m.ld + c + m.shift < (i64)m.n; c++)
      if (at(m, t)[c] != 0x7fff) return 0;
  return 1;
}
static void mix(void *p, int n, size_t size) {
  char t[64];
  for (int i = n - 1; i > 0; i--) {
    char *x = (char *)p + (size_t)i * size, *y = (char *)p + (size_t)random_below(i + 1) * size;
    memcpy(t, x, size), memcpy(x, y, size), memcpy(y, t, size);
  }
}

/* ---- forward ----------------------------------------------------------------------------------------------------------------------- */

typedef struct { Batch b; Shape h; int H; Matrix q, k, v, out; float *log_sum; } Run;
static Run run_of(Batch b, Shape h) {
  Run r = {b, h, h.share * h.G, matrix(b.T, h.share * h.G * h.C, h), matrix(b.T, h.G * h.C, h), matrix(b.T, h.G * h.C, h),
           matrix(b.T, h.share * h.G * h.C, h), NULL};
  size_t bytes = (size_t)b.T * (size_t)r.H * 4;
  r.log_sum = malloc(bytes);
  memset(r.log_sum, 0xFF, bytes);
  return r;
}
static void free_run(Run *r) { free(r->q.p), free(r->k.p), free(r->v.p), free(r->out.p), free(r->log_sum); }
/* Rows of segments only. */
static void fill(Run *r) {
  int qw = r->H * r->h.C, kw = r->h.G * r->h.C;
  for (int i = 0; i < r->b.n; i++)
    for (i64 t = r->b.s[i].start; t < r->b.s[i].start + r->b.s[i].length; t++) {
      float sharp = uniform() > 0.8f ? 3 : 1;
      for (int c = 0; c < qw; c++) at(r->q, t)[c] = half_of(normal() * sharp);
      for (int c = 0; c < kw; c++) at(r->k, t)[c] = half_of(normal()), at(r->v, t)[c] = half_of(normal());
    }
}
static Matrix slopes_of(const Run *r) {
  Matrix m = matrix(r->b.T, r->H * r->h.C, r->h);
  for (int i = 0; i < r->b.n; i++)
    for (i64 t = r->b.s[i].start; t < r->b.s[i].start + r->b.s[i].length; t++)
      for (int c = 0; c < r->H * r->h.C; c++) at(m, t)[c] = half_of(normal());
  return m;
}
/* Tiles of query rows, in any order. */
static Pointer query_tiles(const Run *r, int *count) {
  static nrc_attention_query_tile tiles[20000];
  int n = 0;
  for (int i = 0; i < r->b.n; i++)
    for (int first = 0; first < r->b.s[i].length * r->h.share; first += NRC_FLASH_ROWS) tiles[n++] = (nrc_attention_query_tile){i, first};
  mix(tiles, n, sizeof *tiles);
  *count = n;
  return memory_of(tiles, sizeof *tiles * (size_t)n);
}
static void forward(Run *r, int with_log_sum) {
  int n;
  size_t bytes = (size_t)r->b.T * (size_t)r->H * 4;
  Pointer tiles = query_tiles(r, &n), segments = memory_of(r->b.s, sizeof(Segment) * (size_t)r->b.n);
  Pointer q = up(r->q), k = up(r->k), v = up(r->v), out = up(r->out), log_sum = memory_of(r->log_sum, bytes);
  nrc_flash_arguments a = {segments, tiles, q, k, v, out, with_log_sum ? log_sum : 0, r->q.ld, r->k.ld, r->v.ld, r->out.ld,
                           r->H, r->h.G, r->h.C, 1 / sqrtf((float)r->h.C)};
  run(FORWARD, r->h.C, n, r->h.G, &a);
  down(r->out, out);
  float *x = host_of(log_sum, bytes);
  memcpy(r->log_sum, x, bytes), free(x);
  free_up(r->q, q), free_up(r->k, k), free_up(r->v, v), free_up(r->out, out), release(log_sum, segments, tiles);
}

/* What flash.cu says a row is. */
static void row_reference(const Run *r, const Segment *s, int position, int head, u16 *out, float *log_sum) {
  int C = r->h.C, g = head / r->h.share, n = (int)s->prefix_length + position + 1;
  float scale = 1 / sqrtf((float)C), to_log2 = scale * 1.4426950408889634f, sums[128] = {0}, top = -INFINITY, part[4][4] = {{0}}, t[4];
  const u16 *q = at(r->q, s->start + position) + head * C;
  for (int j0 = 0; j0 < n; j0 += 64) {
    float z[64], p[64], most = top;
    for (int j = 0; j < 64; j++) {
      z[j] = -INFINITY;
      if (j0 + j >= n) continue;
      const u16 *k = at(r->k, position_in(s, j0 + j)) + g * C;
      z[j] = 0;
      for (int c = 0; c < C; c++) z[j] = fmaf(float_of(q[c]), float_of(k[c]), z[j]);
      most = fmaxf(most, z[j]);
    }
    float factor = exp2f((top - most) * to_log2), offset = most * to_log2;
    top = most;
    for (int j = 0; j < 64; j++) p[j] = exp2f(fmaf(z[j], to_log2, -offset));
    for (int w = 0; w < 4; w++)
      for (int i = 0; i < 4; i++) {
        const float *x = p + 16 * w + 2 * i;
        part[w][i] = fmaf(part[w][i], factor, (x[0] + x[1]) + (x[8] + x[9]));
      }
    for (int c = 0; c < C; c++) sums[c] *= factor;
    for (int j = 0; j < 64; j++) {
      const u16 *v = at(r->v, position_in(s, j0 + j < n ? j0 + j : n - 1)) + g * C;
      for (int c = 0; c < C; c++) sums[c] = fmaf(rounded(p[j]), j0 + j < n ? float_of(v[c]) : 0, sums[c]);
    }
  }
  for (int i = 0; i < 4; i++) t[i] = (part[0][i] + part[1][i]) + (part[2][i] + part[3][i]);
  float total = (t[0] + t[1]) + (t[2] + t[3]), inverse = 1 / total;
  for (int c = 0; c < C; c++) out[c] = half_of(fmaf(sums[c], inverse, 0));
  *log_sum = top * scale + log2f(total) * 0.6931471805599453f;
}
/* One row and head against float64: within 2.05 units of 2^-8 of the sum of what was added up, without signs. */
static void check_row(const Run *r, const Segment *s, int x, int h, int with_log_sum) {
  static double p[20000];
  int C = r->h.C, g = h / r->h.share, n = (int)s->prefix_length + x + 1;
  const u16 *q = at(r->q, s->start + x) + h * C, *o = at(r->out, s->start + x) + h * C;
  double most = -INFINITY, sum = 0, y[128] = {0}, size[128] = {0}, worst = 0;
  for (int j = 0; j < n; j++) {
    const u16 *k = at(r->k, position_in(s, j)) + g * C;
    p[j] = 0;
    for (int c = 0; c < C; c++) p[j] += (double)float_of(q[c]) * (double)float_of(k[c]);
    p[j] /= sqrt(C);
    most = fmax(most, p[j]);
  }
  for (int j = 0; j < n; j++) sum += p[j] = exp(p[j] - most);
  for (int j = 0; j < n; j++)
    for (int c = 0; c < C; c++) {
      double e = p[j] / sum * (double)float_of(at(r->v, position_in(s, j))[g * C + c]);
      y[c] += e, size[c] += fabs(e);
    }
  for (int c = 0; c < C; c++) {
    double off = fabs((double)float_of(o[c]) - y[c]) / (size[c] + 1e-30) * 256;
    if (!(off <= worst)) worst = off; /* NaN too */
  }
  worst_forward = fmax(worst_forward, worst);
  EXPECT(worst < 2.05, "forward share %d C %d row %d head %d is %g from float64", r->h.share, C, (int)s->start + x, h, worst);
  float l = r->log_sum[(s->start + x) * r->H + h];
  double off = fabs((double)l - (most + log(sum))) / (1 + fabs(most));
  if (with_log_sum) {
    worst_log_sum = fmax(worst_log_sum, off);
    EXPECT(off < 2e-6, "log_sum row %d head %d: %g is not %g", (int)s->start + x, h, (double)l, most + log(sum));
  } else EXPECT(isnan(l), "log_sum was written");
  if (exact || (x + h) % 3) return;
  u16 bits[128];
  float log_sum;
  row_reference(r, s, x, h, bits, &log_sum);
  EXPECT(!memcmp(bits, o, (size_t)C * 2), "bits of share %d C %d row %d head %d", r->h.share, C, (int)s->start + x, h);
  if (with_log_sum) EXPECT(bits_of(log_sum) == bits_of(l), "bits of log_sum: %a is not %a", (double)l, (double)log_sum);
}
static void check_forward(const Run *r, int with_log_sum) {
  char *is_row = owned(&r->b);
  for (int i = 0; i < r->b.n; i++)
    for (int x = 0; x < r->b.s[i].length; x++)
      for (int h = 0; h < r->H; h++) check_row(r, &r->b.s[i], x, h, with_log_sum);
  EXPECT(is_untouched(r->out, r->b.T, is_row, r->H * r->h.C), "out was written where nothing is");
  for (int i = 0; i < r->b.T * r->H; i++)
    EXPECT(is_row[i / r->H] || isnan(r->log_sum[i]), "log_sum of row %d, which is nobody's", i / r->H);
  free(is_row);
}

/* ---- backward ---------------------------------------------------------------------------------------------------------------------- */

typedef struct { Matrix d[3]; float *dots; } Gradients; /* of q, k, v */
static Gradients backward(const Run *r, Matrix slopes) {
  static nrc_attention_key_tile tiles[20000];
  Shape h = r->h, other = {h.share, h.G, h.C, h.extra ? h.extra + 2 : 0, h.shift};
  int n, m = 0;
  for (int i = 0; i < r->b.n; i++)
    for (int first = 0; first < r->b.s[i].length; first += NRC_FLASH_KEYS) tiles[m++] = (nrc_attention_key_tile){i, first, 0, r->b.n};
  mix(tiles, m, sizeof *tiles);
  Gradients d = {{matrix(r->b.T, r->H * h.C, other), matrix(r->b.T, h.G * h.C, other), matrix(r->b.T, h.G * h.C, other)}, NULL};
  size_t bytes = (size_t)r->b.T * (size_t)r->H * 4;
  Pointer segments = memory_of(r->b.s, sizeof(Segment) * (size_t)r->b.n), rows = query_tiles(r, &n);
  Pointer keys = memory_of(tiles, sizeof *tiles * (size_t)m), log_sum = memory_of(r->log_sum, bytes), dots = filled_memory(0xFF, bytes);
  Pointer q = up(r->q), k = up(r->k), v = up(r->v), out = up(r->out), slope = up(slopes), dq = up(d.d[0]), dk = up(d.d[1]), dv = up(d.d[2]);
  nrc_flash_backward_arguments a = {segments, rows, keys, q, k, v, out, log_sum, slope, dots, dq, dk, dv, r->q.ld, r->k.ld, r->v.ld,
                                    r->out.ld, slopes.ld, d.d[0].ld, d.d[1].ld, d.d[2].ld, r->H, h.G, h.C, 1 / sqrtf((float)h.C)};
  run(BACKWARD_QUERIES, h.C, n, h.G, &a);
  run(BACKWARD_KEYS, h.C, 2 * m, h.G, &a);
  down(d.d[0], dq), down(d.d[1], dk), down(d.d[2], dv);
  d.dots = host_of(dots, bytes);
  free_up(r->q, q), free_up(r->k, k), free_up(r->v, v), free_up(r->out, out), free_up(slopes, slope);
  free_up(d.d[0], dq), free_up(d.d[1], dk), free_up(d.d[2], dv), release(log_sum, dots, segments, rows, keys);
  return d;
}
static void free_gradients(Gradients d) { free(d.d[0].p), free(d.d[1].p), free(d.d[2].p), free(d.dots); }
static const char *const names[] = {"dq", "dk", "dv"};

/* Against float64 of the same inputs: q, k, v, out, their slopes and log_sum. Sizes are those of what is added up, without signs; float32
   has its share in ds. */
static void check_backward(const Run *r, Matrix slopes, Gradients d) {
  int C = r->h.C, H = r->H, width[] = {H * C, r->h.G * C, r->h.G * C};
  double scale = 1 / sqrt(C), *y[3], *size[3];
  for (int i = 0; i < 3; i++) y[i] = calloc((size_t)r->b.T * (size_t)width[i], 8), size[i] = calloc((size_t)r->b.T * (size_t)width[i], 8);
  for (int i = 0; i < r->b.n; i++)
    for (int x = 0; x < r->b.s[i].length; x++)
      for (int h = 0; h < H; h++) {
        const Segment *s = &r->b.s[i];
        i64 t = s->start + x;
        int g = h / r->h.share, n = (int)s->prefix_length + x + 1;
        const u16 *q = at(r->q, t) + h * C, *o = at(r->out, t) + h * C, *slope = at(slopes, t) + h * C;
        double dot = 0, dot_size = 0;
        for (int c = 0; c < C; c++) {
          double e = (double)float_of(o[c]) * (double)float_of(slope[c]);
          dot += e, dot_size += fabs(e);
        }
        EXPECT(fabs((double)d.dots[t * H + h] - dot) <= 2e-6 * dot_size + 1e-30, "dots row %d head %d: %g is not %g", (int)t, h,
               (double)d.dots[t * H + h], dot);
        for (int j = 0; j < n; j++) {
          i64 u = position_in(s, j);
          const u16 *k = at(r->k, u) + g * C, *v = at(r->v, u) + g * C;
          double z = 0, dp = 0, dp_size = 0;
          for (int c = 0; c < C; c++) {
            double e = (double)float_of(slope[c]) * (double)float_of(v[c]);
            z += (double)float_of(q[c]) * (double)float_of(k[c]), dp += e, dp_size += fabs(e);
          }
          double p = exp(z * scale - (double)r->log_sum[t * H + h]), ds = p * (dp - dot) * scale;
          double ds_size = fabs(ds) + p * scale * (dp_size + dot_size) * 3e-4;
          double *to[] = {y[0] + t * width[0] + h * C, y[1] + u * width[1] + g * C, y[2] + u * width[2] + g * C};
          double *sizes[] = {size[0] + t * width[0] + h * C, size[1] + u * width[1] + g * C, size[2] + u * width[2] + g * C};
          for (int c = 0; c < C; c++) {
            double key = (double)float_of(k[c]), query = (double)float_of(q[c]), e = p * (double)float_of(slope[c]);
            to[0][c] += ds * key, to[1][c] += ds * query, to[2][c] += e;
            sizes[0][c] += ds_size * fabs(key), sizes[1][c] += ds_size * fabs(query), sizes[2][c] += fabs(e);
          }
        }
      }
  char *is_row = owned(&r->b);
  for (int i = 0; i < 3; i++) {
    for (int t = 0; t < r->b.T; t++) {
      double worst = 0;
      if (!is_row[t]) continue;
      for (int c = 0; c < width[i]; c++) {
        i64 place = (i64)t * width[i] + c;
        double off = fabs((double)float_of(at(d.d[i], t)[c]) - y[i][place]) / (size[i][place] + 1e-30) * 256;
        if (!(off <= worst)) worst = off;
      }
      worst_backward[i] = fmax(worst_backward[i], worst);
      EXPECT(worst < 2.05, "%s share %d C %d row %d is %g from float64", names[i], r->h.share, C, t, worst);
    }
    EXPECT(is_untouched(d.d[i], r->b.T, is_row, width[i]), "%s was written where nothing is", names[i]);
    free(y[i]), free(size[i]);
  }
  free(is_row);
}
/* The sum of attention times slopes in float64, of values x: those of q, of k and of v. */
static double loss_of(const Run *r, Matrix slopes, const double *x) {
  int C = r->h.C, H = r->H, G = r->h.G;
  const double *q = x, *k = q + (i64)r->b.T * H * C, *v = k + (i64)r->b.T * G * C;
  double loss = 0;
  for (int i = 0; i < r->b.n; i++)
    for (int position = 0; position < r->b.s[i].length; position++)
      for (int h = 0; h < H; h++) {
        const Segment *s = &r->b.s[i];
        i64 t = s->start + position;
        double sum = 0, y = 0;
        for (int j = 0; j <= s->prefix_length + position; j++) {
          i64 u = position_in(s, j) * G + h / r->h.share;
          double z = 0, e = 0;
          for (int c = 0; c < C; c++)
            z += q[(t * H + h) * C + c] * k[u * C + c], e += v[u * C + c] * (double)float_of(at(slopes, t)[h * C + c]);
          z = exp(z / sqrt(C)), sum += z, y += z * e;
        }
        loss += y / sum;
      }
  return loss;
}
/* Gradients against differences of that. */
static void test_differences(Shape h) {
  static const int lengths[] = {9, 40, 3};
  Batch b = {0};
  cluster(&b, 31, 3, lengths, 0);
  Run r = run_of(b, h);
  fill(&r), forward(&r, 1);
  Matrix slopes = slopes_of(&r), values[] = {r.q, r.k, r.v};
  Gradients d = backward(&r, slopes);
  int width[] = {r.H * h.C, h.G * h.C, h.G * h.C};
  double *all = malloc(8 * (size_t)b.T * (size_t)(width[0] + 2 * width[1])), *x = all;
  for (int i = 0; i < 3; x += (i64)b.T * width[i++])
    for (int t = 0; t < b.T; t++)
      for (int c = 0; c < width[i]; c++) x[(i64)t * width[i] + c] = (double)float_of(at(values[i], t)[c]);
  x = all;
  for (int i = 0; i < 3; x += (i64)b.T * width[i++]) {
    double largest = 0;
    for (int t = 0; t < b.T; t++)
      for (int c = 0; c < width[i]; c++) largest = fmax(largest, fabs((double)float_of(at(d.d[i], t)[c])));
    for (int n = 0; n < 60; n++) {
      int t = n * 7 % b.T, c = n * 13 % width[i];
      double *e = x + (i64)t * width[i] + c, keep = *e, got = (double)float_of(at(d.d[i], t)[c]);
      *e = keep + 1e-4;
      double y = loss_of(&r, slopes, all);
      *e = keep - 1e-4;
      y = (y - loss_of(&r, slopes, all)) / 2e-4, *e = keep;
      worst_difference = fmax(worst_difference, fabs(y - got) / largest);
      EXPECT(fabs(y - got) / largest < 1.0 / 128, "%s row %d column %d: %g, by differences %g", names[i], t, c, got, y);
    }
  }
  free(all), free(slopes.p), free_gradients(d), free_run(&r);
}

/* ---- batches ----------------------------------------------------------------------------------------------------------------------- */

/* Each segment alone, at another place, with its prefix as rows of its own: the same bits. */
static void check_alone(const Run *r) {
  Shape h = r->h;
  int width = r->H * h.C, key_width = h.G * h.C;
  for (int i = 0; i < r->b.n; i++) {
    const Segment *s = &r->b.s[i];
    int n = (int)(s->prefix_length + s->length);
    Batch one = {1, n + 3, {{1 + i % 2, n, 0, 0}}};
    i64 start = one.s[0].start;
    Run x = run_of(one, (Shape){h.share, h.G, h.C, i % 2 ? 0 : h.C % 8 ? 1 : 8, 0});
    for (int j = 0; j < n; j++) {
      i64 t = position_in(s, j);
      copy_row(x.q, start + j, r->q, t, width), copy_row(x.k, start + j, r->k, t, key_width), copy_row(x.v, start + j, r->v, t, key_width);
    }
    forward(&x, 1);
    for (int j = (int)s->prefix_length; j < n; j++) {
      i64 t = position_in(s, j);
      int same = !memcmp(at(x.out, start + j), at(r->out, t), (size_t)width * 2) &&
                 !memcmp(x.log_sum + (start + j) * r->H, r->log_sum + t * r->H, (size_t)r->H * 4);
      EXPECT(same, "row %d of segment %d has other bits alone (share %d, C %d)", j - (int)s->prefix_length, i, h.share, h.C);
    }
    free_run(&x);
  }
}
static void test_batch(Batch b, Shape h) {
  if (enough()) return;
  Run r = run_of(b, h);
  fill(&r), forward(&r, 1);
  check_forward(&r, 1), check_alone(&r);
  Matrix slopes = slopes_of(&r);
  Gradients d = backward(&r, slopes), again = backward(&r, slopes);
  check_backward(&r, slopes, d);
  for (int i = 0; i < 3; i++) EXPECT(!memcmp(d.d[i].p, again.d[i].p, d.d[i].n * 2), "%s differs between two runs", names[i]);
  free_gradients(d), free_gradients(again), free(slopes.p), free_run(&r);
}
/* A sum that is -0 before a block that its row does not see. */
static void test_zeros(void) {
  static const int length = 130;
  Batch b = {0};
  if (enough()) return;
  cluster(&b, 0, 1, &length, 0);
  Run r = run_of(b, (Shape){3, 1, 32, 0, 0});
  for (int t = 0; t < length; t++) {
    for (int c = 0; c < 96; c++) at(r.q, t)[c] = half_of(16);
    for (int c = 0; c < 32; c++) at(r.k, t)[c] = half_of(t == 64 ? 16 : -16), at(r.v, t)[c] = half_of(t == 0 ? -1 : t < 128 ? -0.0f : 1);
  }
  forward(&r, 1), check_forward(&r, 1);
  free_run(&r);
}

/* ---- the cache and decoding -------------------------------------------------------------------------------------------------------- */

/* Prompts, each with `per` completions up to `longest` positions long, and the caches of both. A prompt given as -n is n rows of the prompt
   before, in its slot. Completion j of prompt i is in slot i per + j + 1. */
enum { PROMPTS = 16 };
typedef struct {
  Run r;
  int count, per, length[PROMPTS], slot[PROMPTS], first[PROMPTS]; /* first: completion */
  int prompt_capacity, capacity;
  Pointer prompts, cache;
} Caches;

/* Rows of a segment into a slot. */
static void write_rows(const Caches *s, Pointer k, Pointer v, const Segment *from, Pointer cache, int slot, int capacity) {
  int *slots = malloc((size_t)from->length * 4), *positions = malloc((size_t)from->length * 4);
  for (int i = 0; i < from->length; i++) slots[i] = slot, positions[i] = i;
  Pointer slot_list = memory_of(slots, (size_t)from->length * 4), position_list = memory_of(positions, (size_t)from->length * 4);
  u64 at_k = k + 2 * (u64)(from->start * s->r.k.ld), at_v = v + 2 * (u64)(from->start * s->r.v.ld);
  nrc_flash_write_arguments a = {at_k, at_v, cache, slot_list, position_list, s->r.k.ld, s->r.v.ld, capacity, s->r.h.G, s->r.h.C};
  run(WRITE, 0, from->length, 1, &a);
  CHECK(cu.StreamSynchronize(stream));
  release(slot_list, position_list), free(slots), free(positions);
}
static Caches caches_of(Shape h, const int *given, int count, int per, int longest) {
  Caches s = {.count = count, .per = per, .capacity = (longest + 31) / 32 * 32};
  Batch b = {0};
  for (int i = 0; i < count; i++) {
    int lengths[8];
    for (int j = 0; j < per; j++) lengths[j] = longest - j * 3;
    s.length[i] = abs(given[i]), s.first[i] = b.n + (given[i] > 0);
    s.slot[i] = given[i] < 0 ? s.slot[i - 1] : count - 1 - i;
    cluster(&b, given[i] < 0 ? 0 : given[i], per, lengths, 0);
    for (int j = 0; j < per && given[i] < 0; j++)
      b.s[s.first[i] + j].prefix_start = b.s[s.first[i] - per - 1].start, b.s[s.first[i] + j].prefix_length = s.length[i];
    if (s.length[i] > s.prompt_capacity) s.prompt_capacity = s.length[i];
  }
  s.prompt_capacity = (s.prompt_capacity + 32) / 32 * 32;
  s.r = run_of(b, h);
  fill(&s.r), forward(&s.r, 0);
  s.prompts = filled_memory(0xFF, (size_t)(count * 2 * h.G * s.prompt_capacity * h.C) * 2);
  s.cache = filled_memory(0xFF, (size_t)((count * per + 1) * 2 * h.G * s.capacity * h.C) * 2);
  Pointer k = up(s.r.k), v = up(s.r.v);
  for (int i = 0; i < count; i++) {
    if (given[i] > 0) write_rows(&s, k, v, &b.s[s.first[i] - 1], s.prompts, s.slot[i], s.prompt_capacity);
    for (int j = 0; j < per; j++) write_rows(&s, k, v, &b.s[s.first[i] + j], s.cache, i * per + j + 1, s.capacity);
  }
  free_up(s.r.k, k), free_up(s.r.v, v);
  return s;
}
/* Every element of the completions' slots is where it should be. */
static void check_cache(const Caches *s) {
  int G = s->r.h.G, C = s->r.h.C, slots = s->count * s->per + 1, wrong = 0;
  u16 *got = host_of(s->cache, (size_t)(slots * 2 * G * s->capacity * C) * 2);
  for (int slot = 1; slot < slots; slot++)
    for (int row = 0; row < 2 * G; row++)
      for (int x = 0; x < s->capacity; x++) {
        const Segment *from = &s->r.b.s[s->first[(slot - 1) / s->per] + (slot - 1) % s->per];
        const u16 *want = x < from->length ? at(row < G ? s->r.k : s->r.v, from->start + x) + row % G * C : NULL;
        const u16 *x_got = got + (((i64)slot * 2 * G + row) * s->capacity + x) * C;
        for (int c = 0; c < C; c++) wrong += x_got[c] != (want ? want[c] : 0xFFFF);
      }
  EXPECT(!wrong, "flash_write C %d: %d are wrong", C, wrong);
  free(got);
}
/* T sequences against forward's rows. Those with the same prompt stand side by side, `together` of them (0: any number). has_nan: one
   sequence whose values are no numbers, which the others must not see. */
static void test_decode(Shape h, const int *given, int count, int per, int longest, int T, int together, int has_nan) {
  static const int wanted[] = {1, 2, 63, 64, 65, 127, 128, 129, 150, 28, 27, 36, 100};
  if (enough()) return;
  Caches s = caches_of(h, given, count, per, longest);
  int G = h.G, C = h.C, width = s.r.H * C, bad = has_nan ? T / 2 : -1;
  check_cache(&s);
  int *lists[4], *completion = malloc((size_t)T * 4); /* slot and length of the prompt, slot and length of its own */
  for (int i = 0; i < 4; i++) lists[i] = malloc((size_t)T * 4);
  Matrix q = matrix(T, width, h), out = matrix(T, width, h);
  for (int t = 0, left = 0, p = 0; t < T; t++, left--) {
    if (left == 0) p = random_below(count), left = together > 0 ? together : 1 + random_below(9);
    int j = random_below(per), length = wanted[random_below(13)];
    const Segment *from = &s.r.b.s[s.first[p] + j];
    if (length > from->length || uniform() > 0.3f) length = 1 + random_below((int)from->length);
    completion[t] = s.first[p] + j;
    lists[0][t] = s.slot[p], lists[1][t] = s.length[p], lists[2][t] = p * per + j + 1, lists[3][t] = length;
    copy_row(q, t, s.r.q, from->start + length - 1, width);
  }
  if (has_nan) { /* in slot 0, which no completion has */
    Matrix nans = matrix(1, 2 * G * C, (Shape){0});
    int zero = 0;
    Pointer n = up(nans), list = memory_of(&zero, 4);
    nrc_flash_write_arguments w = {n, n + 2 * (u64)(G * C), s.cache, list, list, G * C, G * C, s.capacity, G, C};
    run(WRITE, 0, 1, 1, &w);
    CHECK(cu.StreamSynchronize(stream));
    lists[2][bad] = 0, lists[3][bad] = 1;
    release(n, list), free(nans.p);
  }
  Pointer at_q = up(q), at_out = up(out), l[4];
  for (int i = 0; i < 4; i++) l[i] = memory_of(lists[i], (size_t)T * 4);
  nrc_flash_decode_arguments a = {at_q, s.prompts, s.cache, l[0], l[1], l[2], l[3], at_out, q.ld, out.ld, s.prompt_capacity, s.capacity,
                                  T, s.r.H, G, C, 1 / sqrtf((float)C), 0};
  int of_a_block = T * G < 256 ? 1 : T * G < 512 ? 2 : T * G < 1024 ? 4 : 8;
  run(DECODE, C, T % 2 ? T : ceil_div(T, of_a_block), G, &a);
  down(out, at_out);
  for (int t = 0; t < T; t++) {
    i64 row = s.r.b.s[completion[t]].start + lists[3][t] - 1;
    if (t != bad)
      EXPECT(!memcmp(at(out, t), at(s.r.out, row), (size_t)width * 2), "decode share %d G %d C %d T %d row %d (prompt %d, length %d)",
             h.share, G, C, T, t, lists[1][t], lists[3][t]);
  }
  char *all = malloc((size_t)T);
  memset(all, 1, (size_t)T);
  EXPECT(is_untouched(out, T, all, width), "decode wrote between rows");
  free_up(q, at_q), free_up(out, at_out), release(s.prompts, s.cache, l[0], l[1], l[2], l[3]);
  for (int i = 0; i < 4; i++) free(lists[i]);
  free(all), free(completion), free(q.p), free(out.p), free_run(&s.r);
}

/* ---- what is tested ---------------------------------------------------------------------------------------------------------------- */

/* One of each. */
static void brief_tests(void) {
  static const int first[] = {70, 5}, second[] = {1, 65}, prompts[] = {0, 64, 100, -64, 64, 1};
  Batch b = {0};
  cluster(&b, 70, 2, first, 1), cluster(&b, 0, 2, second, 2);
  test_batch(b, (Shape){3, 2, 80, 8, 0}), test_batch(b, (Shape){6, 1, 32, 0, 0}), test_batch(b, (Shape){2, 1, 18, 3, 1});
  test_zeros();
  test_decode((Shape){3, 1, 32, 0, 0}, prompts, 6, 2, 70, 13, 0, 0), test_decode((Shape){8, 8, 32, 8, 0}, prompts, 6, 2, 70, 130, 0, 1);
  test_decode((Shape){2, 8, 80, 8, 0}, prompts, 6, 2, 70, 40, 3, 1), test_decode((Shape){2, 8, 18, 1, 1}, prompts, 6, 2, 40, 70, 2, 0);
}
static void all_batches(void) {
  static const int shares[] = {1, 2, 3, 6, 7, 8, 12}, channels[] = {16, 32, 64, 80, 96, 128, 2, 18, 126, 66};
  static const int prompts[] = {0, 1, 63, 64, 100, 17, 128}, extra[] = {0, 8, 3, 40}, lengths[] = {129, 300, 1, 64};
  for (int c = 0, n = 0; c < 10; c++)
    for (int s = 0; s < 7; s++, n++) {
      if (c >= 6 && s % 3 != c % 3) continue;
      Batch b = {0};
      int own[] = {1 + n % 3 * 15, 16, (63 + n) % 66 + 1, 127 - n};
      cluster(&b, prompts[n % 7], 3, own, n % 3), cluster(&b, prompts[(n + 3) % 7], 2, own + 1, 1), cluster(&b, 0, 1, own + 3, 0);
      test_batch(b, (Shape){shares[s], 1 + n % 2, channels[c], extra[n % 4], n % 4 == 2 ? n % 3 : 0});
    }
  for (int i = 0; i < 3; i++) {
    Batch b = {0};
    cluster(&b, i ? 257 : 128, 4, lengths, 0);
    test_batch(b, (Shape){i == 1 ? 6 : 1, 1, i ? 128 : 64, 0, 0});
  }
}
static void all_decoding(void) {
  static const int shares[] = {1, 2, 3, 6, 7, 8}, channels[] = {16, 32, 64, 80, 96, 128, 18, 126}, extra[] = {0, 8, 5};
  static const int prompts[] = {0, 1, 64, 63, 100, -64, 64, 128};
  static const int groups[] = {1, 16, 8, 4, 2}, Ts[] = {60, 66, 80, 91, 131}; /* blocks of 1, 8, 4, 2 sequences */
  for (int c = 0, n = 0; c < 8; c++)
    for (int s = 0; s < 6; s++, n++) {
      if (c >= 6 && s % 3 != c % 3) continue;
      Shape h = {shares[s], groups[n % 5], channels[c], extra[n % 3], n % 3 == 2};
      test_decode(h, prompts, 8, 2, 152, Ts[n % 5], n % 10, n % 4 == 1);
    }
}
int main(int count, char **words) {
  open_gpu(count, words);
  void *module = module_of_file("flash.cu");
  for (int i = 0; i < 5; i++)
    for (int j = 0; j < 2; j++) kernels[i][j].f = kernel_of(module, kernels[i][j].name, kernels[i][j].shared);
  if (brief) brief_tests();
  else test_zeros(), test_differences((Shape){2, 2, 16, 0, 0}), test_differences((Shape){3, 1, 80, 8, 0}), all_batches(), all_decoding();
  printf("the farthest from float64, of 2^-8 of what is added up: out %.2f dq %.2f dk %.2f dv %.2f; log_sum %.1e; differences %.1e\n",
         worst_forward, worst_backward[0], worst_backward[1], worst_backward[2], worst_log_sum, worst_difference);
  return finish(0);
}
