/* vocabulary.c - vocabulary.cu, sampler_tiles.cu and sampler.cu against plain C: logits and sums of tiles, their join, the gradient, and
   tokens drawn from them, all bit for bit; with what decoding does with a token. Logarithms are a library's: with --exact, as on a GPU,
   what comes of one need only be near. */
#include "common.h"
#include "sampler_arguments.h"
#include "vocabulary_arguments.h"

enum { TILE = NRC_VOCABULARY_TILE, CHUNK = 2304, RUN = 32 };
static void *vocabulary_module, *tiles_module, *sampler_module, *join, *backward;
static struct { const char *name; int rows, threads, shared; void *f; } heads[] = {
  {"vocabulary_16", 16, 128, 55296, 0}, {"vocabulary_32", 32, 128, 61440, 0},
  {"vocabulary_64", 64, 128, 73728, 0}, {"vocabulary_128", 128, 256, 98304, 0}};

static int same(float a, float b) { return bits_of(a) == bits_of(b) || (isnan(a) && isnan(b)); }
/* But for the sign of a zero. */
static int is_equal(float a, float b) { return a == b || same(a, b); }
/* Of a logarithm that was added to numbers up to `size`. */
static int same_log(float a, float b, float size) {
  return same(a, b) || (exact && fabsf(a - b) <= 1e-6f * (1 + fabsf(b) + fabsf(size)));
}

/* ---- what vocabulary.cuh and sampler_tiles.cu say, in plain C ---------------------------------------------------------------------- */

static float ref_exp(float x) {
  const float magic = 12582912.0f;
  x = x < -105.0f ? -105.0f : x, x = x > 89.0f ? 89.0f : x;
  float t = fmaf(x, 1.44269504f, magic), n = t - magic, r = fmaf(n, 2.12194440e-4f, fmaf(n, -0.693359375f, x)), p = 1.9875691500e-4f;
  p = fmaf(p, r, 1.3981999507e-3f), p = fmaf(p, r, 8.3334519073e-3f), p = fmaf(p, r, 4.1665795894e-2f);
  p = fmaf(p, r, 1.6666665459e-1f), p = fmaf(p, r, 5.0000001201e-1f), p = fmaf(p, r * r, r) + 1.0f;
  int e = (int)(bits_of(t) - bits_of(magic)), half = e >> 1;
  return p * of_bits((u32)(half + 127) << 23) * of_bits((u32)(e - half + 127) << 23);
}
static float *ref_logits(const u16 *h, i64 ldh, const u16 *w, int n, int V, int D) {
  float *wt = malloc(4 * (size_t)V * (size_t)D), *chunk = malloc(4 * (size_t)V), *logits = malloc(4 * (size_t)n * (size_t)V);
  for (int v = 0; v < V; v++)
    for (int k = 0; k < D; k++) wt[(i64)k * V + v] = float_of(w[(i64)v * D + k]);
  for (int i = 0; i < n; i++) {
    float *row = logits + (i64)i * V;
    for (int k0 = 0; k0 < D; k0 += CHUNK) {
      for (int v = 0; v < V; v++) chunk[v] = 0;
      for (int k = k0; k < D && k < k0 + CHUNK; k++) {
        float x = float_of(h[i * ldh + k]);
        const float *wk = wt + (i64)k * V;
        for (int v = 0; v < V; v++) chunk[v] = fmaf(x, wk[v], chunk[v]);
      }
      for (int v = 0; v < V; v++) row[v] = k0 ? row[v] + chunk[v] : chunk[v];
    }
  }
  free(wt), free(chunk);
  return logits;
}
static nrc_tile_sums ref_tile(const float *logits, int V, int tile, float factor) {
  int first = tile * TILE, count = V - first < TILE ? V - first : TILE;
  float z[TILE], top = -INFINITY, sum[4], weighted[4];
  for (int c = 0; c < count; c++) {
    z[c] = logits[first + c] * factor;
    if (z[c] > top) top = z[c];
  }
  top += 0.0f;
  float shift = top == -INFINITY ? 0 : top;
  for (int g = 0; g < 4; g++) {
    float s[4] = {0}, w[4] = {0};
    for (int t = 0; t < 4; t++)
      for (int j = 0; j < 8; j++) {
        int c = 32 * g + j / 2 * 8 + 2 * t + j % 2;
        if (c >= count) continue;
        float d = z[c] - shift, y = ref_exp(d);
        s[t] += y, w[t] = fmaf(y, d < -1e30f ? -1e30f : d, w[t]);
      }
    sum[g] = (s[0] + s[1]) + (s[2] + s[3]), weighted[g] = (w[0] + w[1]) + (w[2] + w[3]);
  }
  return (nrc_tile_sums){top, ((sum[0] + sum[1]) + sum[2]) + sum[3], ((weighted[0] + weighted[1]) + weighted[2]) + weighted[3], 0};
}
static nrc_tile_sums *ref_tiles(const float *logits, i64 ld, int rows, int V, float factor) {
  int tiles = ceil_div(V, TILE);
  nrc_tile_sums *s = malloc(sizeof *s * (size_t)rows * (size_t)tiles);
  for (int i = 0; i < rows * tiles; i++) s[i] = ref_tile(logits + i / tiles * ld, V, i % tiles, factor);
  return s;
}
typedef struct { float top, sum, weighted, log_sum, running[600]; } Row; /* running: after each run of tiles */
static float tree(float *x) {
  for (int m = RUN / 2; m; m /= 2)
    for (int i = 0; i < m; i++) x[i] += x[i + m];
  return x[0];
}
static Row ref_join(const nrc_tile_sums *s, int tiles) {
  Row r = {.top = -INFINITY};
  for (int i = 0; i < tiles; i++)
    if (s[i].top > r.top) r.top = s[i].top;
  for (int first = 0; first < tiles; first += RUN) {
    float a[RUN] = {0}, b[RUN] = {0};
    for (int k = 0; k < RUN && first + k < tiles; k++) {
      nrc_tile_sums x = s[first + k];
      float d = x.top - r.top, e = ref_exp(d);
      a[k] = x.sum * e, b[k] = fmaf(x.sum, d < -1e30f ? -1e30f : d, x.weighted) * e;
    }
    r.running[first / RUN] = r.sum += tree(a), r.weighted += tree(b);
  }
  r.log_sum = logf(r.sum);
  return r;
}
static float ref_log_prob(const Row *r, float logit, float factor) {
  return fabsf(r->top) > 16777216.0f ? (logit * factor - r->top) - r->log_sum : logit * factor - (r->top + r->log_sum);
}
static float ref_entropy(const Row *r) { return r->log_sum - r->weighted / r->sum; }
static double ref_random(const int *words, u64 position) {
  u32 key0 = (u32)words[0], key1 = (u32)words[1], x = (u32)position, y = (u32)(position >> 32), z = (u32)words[2], w = (u32)words[3];
  for (int round = 0; round < 10; round++) {
    u64 first = 0xD2511F53ull * x, second = 0xCD9E8D57ull * z;
    x = (u32)(second >> 32) ^ y ^ key0, y = (u32)second, z = (u32)(first >> 32) ^ w ^ key1, w = (u32)first;
    key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
  }
  return (double)((x | (u64)y << 32) >> 11) * 0x1p-53;
}
static float factor_of(float t) { return t > 0 ? 1.0f / (t < 1e-20f ? 1e-20f : t) : 1.0f; }
static int ref_draw(const float *logits, const nrc_tile_sums *s, int V, float temperature, const int *words, u64 position) {
  int tiles = ceil_div(V, TILE), run = 0, runs = ceil_div(tiles, RUN), tile = -1, passes = 0;
  Row r = ref_join(s, tiles);
  float factor = factor_of(temperature);
  if (!(r.sum > 0)) return -1;
  if (!(temperature > 0)) {
    for (int v = 0; v < V; v++)
      if (logits[v] == r.top) return v;
    return V - 1;
  }
  double goal = ref_random(words, position) * (double)r.sum;
  while (run < runs - 1 && (double)r.running[run] <= goal) run++;
  double running = run ? (double)r.running[run - 1] : 0;
  for (int k = run * RUN; k < tiles && k < run * RUN + RUN && !passes; k++) {
    double share = (double)(s[k].sum * ref_exp(s[k].top - r.top));
    if (!(share > 0)) continue;
    tile = k, passes = running + share > goal;
    if (!passes) running += share;
  }
  if (!passes) goal = INFINITY;
  double scale = (double)ref_exp(s[tile].top - r.top);
  int token = tile * TILE;
  for (int v = tile * TILE; v < V && v < tile * TILE + TILE && running <= goal; v++) {
    float e = ref_exp(logits[v] * factor - s[tile].top);
    if (e > 0) token = v, running += (double)e * scale;
  }
  return token;
}
/* The probabilities of what top-k, then top-p keep, in float64, and how many those are; and the token at which their sum, the likeliest
   first, passes u. edge: a sum so near top_p or u that rounding decides. */
typedef struct { double z; int v; } Entry;
static int by_rank(const void *a, const void *b) {
  const Entry *x = a, *y = b;
  return x->z > y->z ? -1 : x->z < y->z ? 1 : x->v - y->v;
}
static int ref_kept(const float *l, int V, float factor, int top_k, float top_p, double *p, double u, int *token, int *edge) {
  Entry *e = malloc(sizeof *e * (size_t)V);
  double top = -INFINITY, total = 0, sum = 0;
  int k = top_k > 0 && top_k < V ? top_k : V, kept = 0;
  for (int v = 0; v < V; v++) e[v] = (Entry){(double)(l[v] * factor), v}, top = fmax(top, e[v].z);
  qsort(e, (size_t)V, sizeof *e, by_rank);
  for (int i = 0; i < k; i++) total += exp(e[i].z - top);
  for (int v = 0; v < V; v++) p[v] = 0;
  for (*edge = 0; kept < k; kept++) {
    sum += p[e[kept].v] = exp(e[kept].z - top);
    if (top_p < 1 && fabs(sum / total - (double)top_p) < 1e-5) *edge = 1;
    if (top_p < 1 && sum >= (double)top_p * total) break;
  }
  for (int v = 0; v < V; v++) p[v] /= sum;
  sum = 0, *token = -1;
  for (int i = 0; i < k && *token < 0; i++) {
    sum += p[e[i].v];
    if (sum > u) *token = e[i].v;
    if (fabs(sum - u) < 1e-6) *edge = 1;
  }
  free(e);
  return kept + (kept < k);
}

/* ---- the head ---------------------------------------------------------------------------------------------------------------------- */

static void forward(int head, nrc_vocabulary_arguments *a) {
  launch(heads[head].f, ceil_div(a->n, heads[head].rows), ceil_div(a->V, TILE), 1, heads[head].threads, heads[head].shared, a);
}
static void run_join(Pointer sums, Pointer target_logit, Pointer log_prob, Pointer entropy, Pointer log_z, int n, int tiles, float factor) {
  nrc_vocabulary_join_arguments a = {sums, target_logit, log_prob, entropy, log_z, n, tiles, factor, 0};
  launch(join, n, 1, 1, 128, 128 + 8 * ceil_div(tiles, RUN), &a);
}
static int is_same_tile(nrc_tile_sums a, nrc_tile_sums b) {
  return same(a.top, b.top) && same(a.sum, b.sum) && same(a.weighted, b.weighted);
}

static double worst_log_prob, worst_entropy, worst_gradient; /* from float64 */
/* What the cases of the head have on the device: hidden rows, w, targets, and what they come to. */
typedef struct {
  int n, V, D, tiles, *targets;
  i64 ldh, ldl;
  float factor, *want;
  nrc_tile_sums *want_sums;
  const char *where;
  Pointer hidden, w, target_list, log_prob, entropy, log_z;
} Head;

/* One kernel, with and without logits; `with_targets`. */
static void check_forward(const Head *c, int head, int wants_logits, int with_targets) {
  size_t sum_bytes = sizeof(nrc_tile_sums) * (size_t)(c->n * c->tiles), bytes = 4 * (size_t)((c->n - 1) * c->ldl + c->V);
  Pointer sums = empty_memory(sum_bytes), found = empty_memory(4 * (size_t)c->n), logits = wants_logits ? filled_memory(0x5A, bytes) : 0;
  nrc_vocabulary_arguments a = {c->hidden, c->w, with_targets ? c->target_list : 0, logits, sums, found, c->ldh, c->ldl, c->n, c->V, c->D,
                                c->factor};
  forward(head, &a);
  nrc_tile_sums *s = host_of(sums, sum_bytes);
  for (int i = 0; i < c->n * c->tiles; i++)
    EXPECT(is_same_tile(s[i], c->want_sums[i]) && same(s[i].unused, 0), "%s %s: sums of row %d, tile %d", heads[head].name, c->where,
           i / c->tiles, i % c->tiles);
  if (with_targets) {
    float *t = host_of(found, 4 * (size_t)c->n);
    for (int i = 0; i < c->n; i++)
      EXPECT(same(t[i], c->want[(i64)i * c->V + c->targets[i]]), "%s %s: the target's logit of row %d", heads[head].name, c->where, i);
    free(t);
  }
  if (wants_logits) {
    float *l = host_of(logits, bytes);
    for (int i = 0; i < c->n; i++)
      for (int v = 0; v < (i + 1 < c->n ? c->ldl : c->V); v++)
        EXPECT(bits_of(l[i * c->ldl + v]) == (v < c->V ? bits_of(c->want[(i64)i * c->V + v]) : 0x5A5A5A5Au), "%s %s: logit %d of row %d",
               heads[head].name, c->where, v, i);
    free(l);
  }
  free(s), release(sums, found, logits);
}
static void check_join(const Head *c) {
  int n = c->n, V = c->V;
  float *logit = malloc(4 * (size_t)n);
  for (int i = 0; i < n; i++) logit[i] = c->want[(i64)i * V + c->targets[i]];
  Pointer sums = memory_of(c->want_sums, sizeof(nrc_tile_sums) * (size_t)(n * c->tiles)), target_logit = memory_of(logit, 4 * (size_t)n);
  run_join(sums, target_logit, c->log_prob, c->entropy, c->log_z, n, c->tiles, c->factor);
  float *log_prob = host_of(c->log_prob, 4 * (size_t)n), *entropy = host_of(c->entropy, 4 * (size_t)n);
  float *log_z = host_of(c->log_z, 4 * (size_t)n);
  for (int i = 0; i < n; i++) {
    Row r = ref_join(c->want_sums + i * c->tiles, c->tiles);
    const float *l = c->want + (i64)i * V;
    EXPECT(same_log(log_prob[i], ref_log_prob(&r, logit[i], c->factor), r.top) && same_log(entropy[i], ref_entropy(&r), 0) &&
             same_log(log_z[i], r.top + r.log_sum, r.top), "join %s: row %d", c->where, i);
    double top = -INFINITY, sum = 0, weighted = 0;
    for (int v = 0; v < V; v++) top = fmax(top, (double)l[v] * (double)c->factor);
    for (int v = 0; v < V; v++) {
      double d = (double)l[v] * (double)c->factor - top;
      sum += exp(d), weighted += exp(d) * d;
    }
    double off = fabs((double)log_prob[i] - ((double)logit[i] * (double)c->factor - top - log(sum))) / (1 + fabs(top));
    double entropy_off = fabs((double)entropy[i] - (log(sum) - weighted / sum));
    worst_log_prob = fmax(worst_log_prob, off), worst_entropy = fmax(worst_entropy, entropy_off);
    EXPECT(off < 1e-6 && entropy_off < 4e-6, "join %s: row %d is %g and %g from float64", c->where, i, off, entropy_off);
  }
  free(logit), free(log_prob), free(entropy), free(log_z), release(sums, target_logit);
}
/* From what the join gave. */
static void check_backward(const Head *c, int with_entropy) {
  int n = c->n, V = c->V;
  size_t bytes = 2 * (size_t)((n - 1) * c->ldl + V);
  float *log_z = host_of(c->log_z, 4 * (size_t)n), *entropy = host_of(c->entropy, 4 * (size_t)n);
  float *d_log_prob = malloc(4 * (size_t)n), *d_entropy = calloc((size_t)n, 4);
  for (int i = 0; i < n; i++) d_log_prob[i] = i % 7 == 3 ? 0 : normal(), d_entropy[i] = !with_entropy || i % 3 == 1 ? 0 : normal();
  Pointer p = memory_of(d_log_prob, 4 * (size_t)n), e = with_entropy ? memory_of(d_entropy, 4 * (size_t)n) : 0;
  Pointer d = filled_memory(0x5A, bytes);
  nrc_vocabulary_backward_arguments a = {c->hidden, c->w, c->target_list, c->log_z, c->entropy, p, e, d, c->ldh, c->ldl, n, V, c->D,
                                         c->factor};
  launch(backward, ceil_div(n, 128), ceil_div(V, TILE), 1, 256, 98304, &a);
  u16 *got = host_of(d, bytes);
  for (int i = 0; i < n; i++) {
    float slope = d_log_prob[i], of_entropy = d_entropy[i];
    for (int v = 0; v < (i + 1 < n ? c->ldl : V); v++) {
      u16 g = got[i * c->ldl + v];
      if (v >= V) {
        EXPECT(g == 0x5A5A, "backward %s: row %d was written past its end", c->where, i);
        continue;
      }
      float logit = c->want[(i64)i * V + v], log_p = logit * c->factor - log_z[i], prob = ref_exp(log_p), y = -slope * c->factor;
      if (of_entropy != 0) y = fmaf(-of_entropy * c->factor, (log_p < -1e30f ? -1e30f : log_p) + entropy[i], y);
      y *= prob;
      if (v == c->targets[i]) y += slope * c->factor;
      EXPECT(g == half_of(y), "backward %s: row %d column %d: %g is not %g", c->where, i, v, (double)float_of(g), (double)y);
      double z = (double)logit * (double)c->factor - (double)log_z[i], q = exp(z);
      double x = (double)c->factor * ((double)slope * ((v == c->targets[i]) - q) - (double)of_entropy * q * (z + (double)entropy[i]));
      worst_gradient = fmax(worst_gradient, fabs((double)float_of(g) - x) / (fabs(x) + 1e-4 * (double)c->factor));
    }
  }
  free(got), free(log_z), free(entropy), free(d_log_prob), free(d_entropy), release(p, e, d);
}
static void case_head(int n, int V, int D, int more_h, int more_l, float factor, float scale, int with_logits) {
  if (enough()) return;
  char where[100];
  snprintf(where, sizeof where, "n %d V %d D %d ldh +%d ldl +%d factor %g", n, V, D, more_h, more_l, (double)factor);
  Head c = {.n = n, .V = V, .D = D, .tiles = ceil_div(V, TILE), .ldh = D + more_h, .ldl = V + more_l, .factor = factor, .where = where};
  size_t hidden = (size_t)((n - 1) * c.ldh + D), words = 4 * (size_t)n;
  u16 *h = halves(hidden, 1), *w = halves((size_t)V * (size_t)D, scale);
  c.targets = malloc(words);
  for (int i = 0; i < n; i++) c.targets[i] = i == 0 ? V - 1 : i == 1 ? 0 : pick(V);
  c.want = ref_logits(h, c.ldh, w, n, V, D), c.want_sums = ref_tiles(c.want, V, n, V, factor);
  c.hidden = memory_of(h, 2 * hidden), c.w = memory_of(w, 2 * (size_t)V * (size_t)D), c.target_list = memory_of(c.targets, words);
  c.log_prob = empty_memory(words), c.entropy = empty_memory(words), c.log_z = empty_memory(words);
  for (int head = 0; head < 4; head++)
    for (int logits = 0; logits <= with_logits; logits++) check_forward(&c, head, logits, head != 1 || !logits);
  check_join(&c), check_backward(&c, 0), check_backward(&c, 1);
  release(c.hidden, c.w, c.target_list, c.log_prob, c.entropy, c.log_z);
  free(h), free(w), free(c.targets), free(c.want), free(c.want_sums);
}
/* Large and small logits, infinities and NaN: row i of hidden is 1 in column i, so column i of w is the row's logits. */
static void case_special(void) {
  enum { V = 300, D = 64, ROWS = 9, TILES = 3 };
  static const float factors[] = {1, 0.7f, 1e20f, 0, 3};
  for (int round = 0; round < 3; round++) {
    u16 h[ROWS * D] = {0}, *w = calloc(V * D, 2);
    int n = round == 2 ? 1 : ROWS; /* an infinity times the zeros of other rows is NaN */
    if (enough()) return;
    for (int i = 0; i < ROWS; i++) h[i * D + i] = half_of(1);
    for (int v = 0; v < V; v++)
      for (int i = 0; i < ROWS; i++) {
        float x = normal() * 3;
        if (i == 1 && v == 140) x = 2e30f;
        if (i == 2 && v < 128) x = -2e30f;
        if (i == 3) x = v == 7 ? 0 : -200;
        if (i == 4) x = -0.0f;
        if (i == 5) x = v % 2 ? -0.0f : 0.0f;
        if (i == 6) x = 3e38f;
        if (i == 7) x = v >= 256 ? x : -3e38f;
        w[v * D + i] = round == 2 && i == 0 && v < 128 ? 0xFF80 : half_of(x); /* a tile that is all -inf */
      }
    if (round == 1) h[2 * D + 2] = 0x7FC0;
    float *want = ref_logits(h, D, w, n, V, D);
    Pointer hidden = memory_of(h, 2 * (size_t)(n * D)), matrix = memory_of(w, 2 * V * D);
    for (int f = 0; f < 5; f++)
      for (int head = 0; head < 4; head++) {
        Pointer sums = empty_memory(sizeof(nrc_tile_sums) * (size_t)(n * TILES)), logits = empty_memory(4 * (size_t)(n * V));
        nrc_vocabulary_arguments a = {hidden, matrix, 0, logits, sums, 0, D, V, n, V, D, factors[f]};
        forward(head, &a);
        nrc_tile_sums *s = host_of(sums, sizeof(nrc_tile_sums) * (size_t)(n * TILES));
        float *l = host_of(logits, 4 * (size_t)(n * V));
        for (int i = 0; i < n * V; i++) EXPECT(same(l[i], want[i]), "%s: special logit %d of row %d", heads[head].name, i % V, i / V);
        for (int i = 0; i < n * TILES; i++) {
          nrc_tile_sums r = ref_tile(want + i / TILES * V, V, i % TILES, factors[f]);
          int lost = round == 1 && i / TILES == 2 && !isnan(s[i].sum);
          EXPECT(is_same_tile(s[i], r) && !lost, "%s: special sums of row %d, tile %d, factor %g", heads[head].name, i / TILES, i % TILES,
                 (double)factors[f]);
        }
        free(s), free(l), release(sums, logits);
      }
    free(want), free(w), release(hidden, matrix);
  }
}
/* Addresses that are no multiples of 16: the same bits. */
static void case_misaligned(int by) {
  enum { N = 17, V = 136, D = 72 };
  if (enough()) return;
  u16 *h = halves(N * D + (size_t)by, 1), *w = halves(V * D + (size_t)by, 0.3f);
  float *want = ref_logits(h + by, D, w + by, N, V, D), halfs[N];
  int targets[N];
  for (int i = 0; i < N; i++) halfs[i] = 0.5f, targets[i] = i;
  Pointer hidden = memory_of(h, 2 * (size_t)(N * D + by)), matrix = memory_of(w, 2 * (size_t)(V * D + by));
  Pointer logits = empty_memory(4 * (size_t)(N * V + by)), gradient = empty_memory(2 * (size_t)(N * V + by));
  Pointer sums = empty_memory(sizeof(nrc_tile_sums) * N * 2);
  Pointer half = memory_of(halfs, sizeof halfs), list = memory_of(targets, sizeof targets);
  for (int head = 0; head < 4; head++) {
    nrc_vocabulary_arguments a = {hidden + 2 * (u64)by, matrix + 2 * (u64)by, 0, logits + 4 * (u64)by, sums, 0, D, V, N, V, D, 1};
    forward(head, &a);
    float *l = host_of(logits + 4 * (u64)by, 4 * N * V);
    for (int i = 0; i < N * V; i++) EXPECT(same(l[i], want[i]), "%s: logit %d, %d from its place", heads[head].name, i, by);
    free(l);
  }
  nrc_vocabulary_backward_arguments b = {hidden + 2 * (u64)by, matrix + 2 * (u64)by, list, half, half, half, 0, gradient + 2 * (u64)by,
                                         D, V, N, V, D, 1};
  launch(backward, 1, 2, 1, 256, 98304, &b);
  u16 *d = host_of(gradient + 2 * (u64)by, 2 * N * V);
  for (int i = 0; i < N * V; i++) {
    float y = -0.5f * ref_exp(want[i] - 0.5f) + (i % V == i / V ? 0.5f : 0);
    EXPECT(d[i] == half_of(y), "backward: %d, %d from its place", i, by);
  }
  free(h), free(w), free(want), free(d), release(hidden, matrix, logits, sums, half, list, gradient);
}

/* ---- a step of sampling ------------------------------------------------------------------------------------------------------------ */

/* What is drawn goes to one of three lines, which are as wide as some number of rows that may have room; the rest of them is left alone. */
enum { WINDOW = 3, NOTHING = 0x5A5A5A5A };
static const int stop_tokens[] = {3, 5, 700};
/* Words of a decode state. Rows that have an outcome are at their end. */
typedef struct {
  int rows, width, *streams; /* and the fields: */
  int *tokens, *drawn, *log_prob, *entropy, *positions, *own, *lengths, *remaining, *outcomes;
} State;
enum { FIELDS = 9 };
static int **fields_of(State *s, int **list) {
  int *all[FIELDS] = {s->tokens, s->drawn, s->log_prob, s->entropy, s->positions, s->own, s->lengths, s->remaining, s->outcomes};
  memcpy(list, all, sizeof all);
  return list;
}
static size_t field_bytes(const State *s, int field) { return 4 * (size_t)(field >= 1 && field <= 3 ? WINDOW * s->width : s->rows); }
static State copy_of(State s) {
  int *from[FIELDS], *to[FIELDS];
  fields_of(&s, from);
  for (int f = 0; f < FIELDS; f++) memcpy(to[f] = malloc(field_bytes(&s, f)), from[f], field_bytes(&s, f));
  return (State){s.rows, s.width, s.streams, to[0], to[1], to[2], to[3], to[4], to[5], to[6], to[7], to[8]};
}
static void free_copy(State s) {
  int *fields[FIELDS];
  fields_of(&s, fields);
  for (int f = 0; f < FIELDS; f++) free(fields[f]);
}
static State state_of(int rows) {
  State s = {.rows = rows, .width = rows + 2};
  size_t words = 4 * (size_t)rows, lines = 4 * (size_t)(WINDOW * s.width);
  s.streams = malloc(4 * words), s.tokens = malloc(words), s.drawn = malloc(lines), s.log_prob = malloc(lines), s.entropy = malloc(lines);
  s.positions = malloc(words), s.own = malloc(words), s.lengths = malloc(words), s.remaining = malloc(words), s.outcomes = malloc(words);
  for (int i = 0; i < 4 * rows; i++) s.streams[i] = (int)next_random();
  for (int i = 0; i < WINDOW * s.width; i++) s.drawn[i] = s.log_prob[i] = s.entropy[i] = NOTHING;
  for (int i = 0; i < rows; i++) {
    s.tokens[i] = NOTHING, s.positions[i] = i * 3 + 1, s.own[i] = i, s.lengths[i] = i * 7 + 2, s.remaining[i] = i % 5;
    s.outcomes[i] = i % 7 == 5 ? 1 + i % 3 : 0;
  }
  return s;
}
static void free_state(State s) { free(s.streams), free_copy(s); }
static int line_of(const State *s, int row) { return s->lengths[row] % WINDOW * s->width + row; }

typedef struct { int V, top_k; i64 ld; float temperature, top_p; } Settings;
static int is_truncated(Settings s) { return (s.top_k > 0 && s.top_k < s.V) || s.top_p < 1; }
/* The state after a step: from tiles' sums where they are given, else from logits alone. */
static State step(Settings c, const float *logits, const nrc_tile_sums *sums, State before) {
  int rows = before.rows, tiles = ceil_div(c.V, TILE), truncated = is_truncated(c), base = 2048 + 128 * ceil_div(c.V, 1024), *from[FIELDS];
  State after = copy_of(before);
  fields_of(&after, from);
  Pointer f[FIELDS], l = memory_of(logits, 4 * (size_t)((rows - 1) * c.ld + c.V)), streams = memory_of(before.streams, 16 * (size_t)rows);
  Pointer s = sums ? memory_of(sums, sizeof *sums * (size_t)(rows * tiles)) : 0, stops = memory_of(stop_tokens, sizeof stop_tokens);
  Pointer scratch = truncated ? empty_memory(8 * (size_t)rows * (size_t)c.V) : 0;
  for (int i = 0; i < FIELDS; i++) f[i] = memory_of(from[i], field_bytes(&after, i));
  if (sums) {
    nrc_draw_arguments a = {l, s, streams, stops, scratch, f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], c.V, c.ld, c.temperature,
                            c.top_p, c.top_k, 3, WINDOW, after.width};
    int shared = truncated ? 82000 : 2304 + 8 * ceil_div(tiles, RUN);
    launch(kernel_of(tiles_module, truncated ? "draw_truncated" : "draw", shared), rows, 1, 1, 512, shared, &a);
  } else {
    nrc_sample_arguments a = {l, streams, stops, scratch, f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], c.V, c.ld, c.temperature,
                              c.top_p, c.top_k, 3, WINDOW, after.width};
    int shared = truncated ? 49168 + (base > 32832 ? base : 32832) : base + 4352;
    launch(kernel_of(sampler_module, truncated ? "sample_truncated" : "sample", shared), rows, 1, 1, 512, shared, &a);
  }
  for (int i = 0; i < FIELDS; i++) {
    int *got = host_of(f[i], field_bytes(&after, i));
    memcpy(from[i], got, field_bytes(&after, i)), free(got), release(f[i]);
  }
  release(l, streams, s, stops, scratch);
  return after;
}
static float log_prob_of(const State *before, const State *after, int row) { return of_bits((u32)after->log_prob[line_of(before, row)]); }
static float entropy_of(const State *before, const State *after, int row) { return of_bits((u32)after->entropy[line_of(before, row)]); }

/* A row was moved on by its token and is in its line; one that was at its end, and everything else in the lines, is what it was. */
static void check_state(const char *where, const State *before, const State *after) {
  State want = copy_of(*before);
  for (int i = 0; i < before->rows; i++) {
    int line = line_of(before, i), token = after->tokens[i], outcome = before->remaining[i] - 1 <= 0 ? 2 : 0;
    if (before->outcomes[i]) continue;
    for (int k = 0; k < 3; k++)
      if (stop_tokens[k] == token) outcome = 1;
    want.tokens[i] = want.drawn[line] = token, want.log_prob[line] = after->log_prob[line], want.entropy[line] = after->entropy[line];
    want.positions[i]++, want.own[i]++, want.lengths[i]++, want.remaining[i]--, want.outcomes[i] = token < 0 ? 3 : outcome;
  }
  int *a[FIELDS], *b[FIELDS];
  State got = *after;
  static const char *const field[] = {"tokens",        "drawn",   "log_prob",  "entropy", "positions",
                                      "own_positions", "lengths", "remaining", "outcomes"};
  fields_of(&want, a), fields_of(&got, b);
  for (int f = 0; f < FIELDS; f++)
    for (size_t i = 0; i < field_bytes(after, f) / 4; i++)
      EXPECT(a[f][i] == b[f][i], "%s: %s[%d] is %d, not %d", where, field[f], (int)i, b[f][i], a[f][i]);
  free_copy(want);
}
static float *logits_of(int rows, i64 ld, int V, int kind) {
  float *l = malloc(4 * (size_t)rows * (size_t)ld);
  for (i64 i = 0; i < rows * ld; i++) {
    l[i] = normal() * 4;
    if (kind == 1) l[i] = roundf(l[i] * 2) / 2; /* ties */
    if (kind == 2) l[i] = normal() * 200;       /* most underflow */
    if (kind == 3) l[i] = 1;
    if (kind == 5) l[i] = normal() * 40; /* some tiles underflow */
    if (kind == 6) l[i] = 100 + normal() * 0.01f;
  }
  for (int i = 0; i < rows && kind == 4; i++) { /* NaN and infinities */
    float *r = l + i * ld;
    int v = i * 37 % V;
    if (i % 4 == 0) r[v] = NAN;
    if (i % 4 == 1) r[v] = INFINITY;
    for (int u = 0; u < V; u++)
      if ((i % 4 == 2 && (u % 4 || V < 4)) || (i % 8 == 6 && u < 128 && V > 128) || i % 8 == 7) r[u] = -INFINITY;
  }
  return l;
}
static void case_sample(int rows, int V, int more, float temperature, int top_k, float top_p, int kind) {
  if (enough()) return;
  char where[120];
  snprintf(where, sizeof where, "rows %d V %d T %g k %d p %g kind %d", rows, V, (double)temperature, top_k, (double)top_p, kind);
  Settings c = {V, top_k, V + more, temperature, top_p};
  int tiles = ceil_div(V, TILE), differ = 0;
  float factor = factor_of(temperature), *l = logits_of(rows, c.ld, V, kind), *logit = malloc(4 * (size_t)rows);
  nrc_tile_sums *s = ref_tiles(l, c.ld, rows, V, factor);
  State before = state_of(rows), o = step(c, l, s, before), other = step(c, l, NULL, before);
  check_state(where, &before, &o), check_state(where, &before, &other);
  /* what the join says of the tokens drawn */
  for (int i = 0; i < rows; i++) logit[i] = o.tokens[i] >= 0 && o.tokens[i] < V ? l[i * c.ld + o.tokens[i]] : NAN;
  Pointer sums = memory_of(s, sizeof *s * (size_t)(rows * tiles)), target_logit = memory_of(logit, 4 * (size_t)rows);
  Pointer log_prob = empty_memory(4 * (size_t)rows), entropy = empty_memory(4 * (size_t)rows);
  run_join(sums, target_logit, log_prob, entropy, 0, rows, tiles, factor);
  float *of_join = host_of(log_prob, 4 * (size_t)rows), *entropy_of_join = host_of(entropy, 4 * (size_t)rows);
  double *p = malloc(8 * (size_t)V);
  for (int i = 0; i < rows; i++) {
    const float *row = l + i * c.ld;
    int token = o.tokens[i], edge, drawn;
    float lp = log_prob_of(&before, &o, i), en = entropy_of(&before, &o, i), other_lp = log_prob_of(&before, &other, i);
    if (before.outcomes[i]) continue;
    Row r = ref_join(s + i * tiles, tiles);
    differ += token != other.tokens[i];
    EXPECT((token < 0) == (other.tokens[i] < 0), "%s: row %d: %d, sampler.cu %d", where, i, token, other.tokens[i]);
    if (token < 0) EXPECT(isnan(lp) && isnan(en), "%s: row %d has no token, but a probability", where, i);
    if (!is_truncated(c)) {
      int want = ref_draw(row, s + i * tiles, V, temperature, before.streams + 4 * i, (u64)before.lengths[i]);
      EXPECT(token == want, "draw %s: row %d: %d is not %d", where, i, token, want);
      EXPECT(temperature > 0 || token == other.tokens[i], "%s: row %d: the largest is %d, sampler.cu's %d", where, i, token,
             other.tokens[i]);
      if (token < 0) continue;
      EXPECT(same_log(lp, ref_log_prob(&r, row[token], factor), r.top) && same_log(en, ref_entropy(&r), 0), "log_prob %s: row %d", where,
             i);
      EXPECT(same(lp, of_join[i]) && same(en, entropy_of_join[i]), "%s: row %d: the join has another log_prob", where, i);
      EXPECT(token != other.tokens[i] || fabsf(lp - other_lp) <= 1e-5f * (1 + fabsf(r.top)), "%s: row %d: log_prob %g, sampler.cu's %g",
             where, i, (double)lp, (double)other_lp);
    } else {
      EXPECT(token == other.tokens[i] && is_equal(lp, other_lp) && is_equal(en, entropy_of(&before, &other, i)),
             "%s: row %d: %d %g is not sample_truncated's %d %g", where, i, token, (double)lp, other.tokens[i], (double)other_lp);
      if (token < 0) continue;
      ref_kept(row, V, factor, top_k, top_p, p, ref_random(before.streams + 4 * i, (u64)before.lengths[i]), &drawn, &edge);
      if (edge) continue;
      EXPECT(token == drawn, "%s: row %d: %d is not %d", where, i, token, drawn);
      double h = 0;
      for (int v = 0; v < V; v++) h -= p[v] > 0 ? p[v] * log(p[v]) : 0;
      EXPECT(!(p[token] > 0) || fabs((double)lp - log(p[token])) < 2e-6 * (1 + fabs((double)lp)),
             "%s: row %d: log_prob %g of what is kept is not %g", where, i, (double)lp, log(p[token]));
      EXPECT(fabs((double)en - h) < 4e-6 * (1 + h), "%s: row %d: the entropy of what is kept is %g, not %g", where, i, (double)en, h);
    }
  }
  EXPECT(is_truncated(c) || kind || differ <= rows / 50 + 1, "%s: %d rows are not as sampler.cu draws", where, differ);
  free(p), free(logit), free(of_join), free(entropy_of_join), free(l), free(s), free_copy(o), free_copy(other), free_state(before);
  release(sums, target_logit, log_prob, entropy);
}
/* Many draws from one row, by chi-square. */
static void case_distribution(int draws, int V, float temperature, int top_k, float top_p) {
  if (enough()) return;
  Settings c = {V, top_k, V, temperature, top_p};
  int tiles = ceil_div(V, TILE), *count = calloc((size_t)V, 4), rest = 0, cells = 0, edge;
  float *l = malloc(4 * (size_t)draws * (size_t)V);
  for (int v = 0; v < V; v++) l[v] = normal() * 2;
  for (int i = 1; i < draws; i++) memcpy(l + (i64)i * V, l, 4 * (size_t)V);
  nrc_tile_sums *one = ref_tiles(l, V, 1, V, factor_of(temperature)), *s = malloc(sizeof *s * (size_t)(draws * tiles));
  for (int i = 0; i < draws; i++) memcpy(s + i * tiles, one, sizeof *s * (size_t)tiles);
  State before = state_of(draws);
  memset(before.outcomes, 0, 4 * (size_t)draws);
  State o = step(c, l, s, before);
  double *p = malloc(8 * (size_t)V), chi = 0, rest_p = 0;
  int drawn, kept = ref_kept(l, V, factor_of(temperature), top_k, top_p, p, 0, &drawn, &edge);
  for (int i = 0; i < draws; i++) count[o.tokens[i]]++;
  for (int v = 0; v < V; v++) {
    EXPECT(!count[v] || p[v] > 0, "draws of V %d: %d was not kept", V, v);
    if (p[v] * draws >= 5) chi += pow(count[v] - p[v] * draws, 2) / (p[v] * draws), cells++;
    else rest_p += p[v], rest += count[v];
  }
  if (rest_p * draws >= 5) chi += pow(rest - rest_p * draws, 2) / (rest_p * draws), cells++;
  double z = cells > 1 ? (chi - (cells - 1)) / sqrt(2.0 * (cells - 1)) : 0;
  printf("  %d draws, V %d, T %g, k %d, p %g: %d kept, chi-square %.1f of %d cells, %.2f sigma\n", draws, V, (double)temperature, top_k,
         (double)top_p, kept, chi, cells, z);
  EXPECT(fabs(z) <= 4, "chi-square: %.2f sigma", z);
  free(l), free(one), free(s), free(p), free(count), free_copy(o), free_state(before);
}
/* From hidden rows to tokens, then the trainer's pass over the same rows in another order, with another tile and no logits. */
static void case_end_to_end(int n, int V, int D, float temperature, int top_k, float top_p) {
  if (enough()) return;
  Settings c = {V, top_k, V, temperature, top_p};
  int tiles = ceil_div(V, TILE), more = 2 * n + 3, *targets = malloc(4 * (size_t)more), *from = malloc(4 * (size_t)more);
  size_t sum_bytes = sizeof(nrc_tile_sums) * (size_t)(n * tiles);
  float factor = factor_of(temperature);
  u16 *h = halves((size_t)n * (size_t)D, 1), *w = halves((size_t)V * (size_t)D, 2 / sqrtf((float)D));
  u16 *rows = malloc(2 * (size_t)more * (size_t)D);
  Pointer hidden = memory_of(h, 2 * (size_t)n * (size_t)D), matrix = memory_of(w, 2 * (size_t)V * (size_t)D);
  Pointer logits = empty_memory(4 * (size_t)(n * V)), sums = empty_memory(sum_bytes);
  nrc_vocabulary_arguments a = {hidden, matrix, 0, logits, sums, 0, D, V, n, V, D, factor};
  forward(n <= 16 ? 0 : n <= 32 ? 1 : n <= 64 ? 2 : 3, &a);
  float *l = host_of(logits, 4 * (size_t)(n * V));
  nrc_tile_sums *s = host_of(sums, sum_bytes);
  State before = state_of(n);
  memset(before.outcomes, 0, 4 * (size_t)n);
  State o = step(c, l, s, before);
  for (int i = 0; i < more; i++) {
    from[i] = (i * 5 + 1) % n, targets[i] = o.tokens[from[i]];
    memcpy(rows + i * D, h + from[i] * D, 2 * (size_t)D);
  }
  Pointer again = memory_of(rows, 2 * (size_t)more * (size_t)D), list = memory_of(targets, 4 * (size_t)more);
  Pointer all_sums = empty_memory(sizeof(nrc_tile_sums) * (size_t)(more * tiles)), found = empty_memory(4 * (size_t)more);
  Pointer log_prob = empty_memory(4 * (size_t)more), entropy = empty_memory(4 * (size_t)more);
  nrc_vocabulary_arguments b = {again, matrix, list, 0, all_sums, found, D, 0, more, V, D, factor};
  forward(3, &b);
  run_join(all_sums, found, log_prob, entropy, 0, more, tiles, factor);
  float *lp = host_of(log_prob, 4 * (size_t)more), *en = host_of(entropy, 4 * (size_t)more);
  for (int i = 0; i < more; i++) {
    float drawn = log_prob_of(&before, &o, from[i]);
    if (is_truncated(c)) EXPECT(drawn >= lp[i] - 1e-5f, "end to end, row %d: less likely among what is kept: %g", i, (double)drawn);
    else EXPECT(same(lp[i], drawn) && same(en[i], entropy_of(&before, &o, from[i])), "end to end, row %d: the trainer's log_prob", i);
  }
  release(hidden, matrix, logits, sums, again, list, found, all_sums, log_prob, entropy);
  free(h), free(w), free(rows), free(l), free(s), free(targets), free(from), free(lp), free(en), free_copy(o), free_state(before);
}
/* Where sums promise more than is there: the last token that has any probability, of a tile; and of the tiles of a run, with a random
   number so near 1 that what they add up to in double precision falls short of the run's. */
static void case_short(void) {
  enum { V = 5003, ROWS = 200, TILES = 40 };
  if (enough()) return;
  Settings c = {V, 0, V, 1, 1};
  float *l = malloc(4 * V * ROWS);
  for (int i = 0; i < ROWS * V; i++) l[i] = normal() * (i % 128 > 100 ? 1 : 30);
  nrc_tile_sums *s = ref_tiles(l, V, ROWS, V, 1);
  State before = state_of(ROWS);
  memset(before.outcomes, 0, 4 * ROWS);
  for (int i = 0; i < ROWS * TILES; i++) s[i].sum *= 1.5f;
  for (int pass = 0; pass < 2; pass++) {
    int n = pass ? 1 : ROWS;
    if (pass) { /* rows of 31 tiles; the one of widest gap */
      double widest = 0, of_widest = 0;
      int at = 0;
      for (int i = 0; i < ROWS * V; i++) l[i] = i % V < 31 * TILE ? normal() * 0.3f : -INFINITY;
      free(s), s = ref_tiles(l, V, ROWS, V, 1);
      for (int i = 0; i < ROWS; i++) {
        Row r = ref_join(s + i * TILES, TILES);
        double sum = 0;
        for (int k = 0; k < RUN; k++) sum += (double)(s[i * TILES + k].sum * ref_exp(s[i * TILES + k].top - r.top));
        if ((double)r.running[0] / sum - 1 > widest) widest = (double)r.running[0] / sum - 1, at = i, of_widest = sum;
      }
      Row r = ref_join(s + at * TILES, TILES);
      u64 position = 0;
      while (position < 200000000 && !(ref_random(before.streams, position) * (double)r.sum > of_widest)) position++;
      EXPECT(position < 200000000, "no random number is in a gap of %g", widest);
      memcpy(l, l + (i64)at * V, 4 * V), memcpy(s, s + at * TILES, sizeof *s * TILES);
      before.lengths[0] = (int)position, before.rows = 1;
    }
    State o = step(c, l, s, before);
    for (int i = 0; i < n; i++) {
      int want = ref_draw(l + (i64)i * V, s + i * TILES, V, 1, before.streams + 4 * i, (u64)before.lengths[i]);
      EXPECT(o.tokens[i] == want, "%s that falls short, row %d: %d is not %d", pass ? "a run" : "a tile", i, o.tokens[i], want);
    }
    free_copy(o);
  }
  free(l), free(s), free_state(before);
}

static void head_cases(void) {
  static const int Vs[] = {1, 2, 31, 33, 127, 128, 129, 257, 1000}, ns[] = {1, 15, 16, 17, 63, 64, 65, 127, 128, 129};
  for (int i = 0; i < 9; i++) case_head(i % 2 ? 17 : 5, Vs[i], 64 + 8 * (i % 3), 8 * (i % 2), i % 4, i % 2 ? 1 : 0.7f, 0.3f, 1);
  for (int i = 0; i < 10; i++)
    case_head(ns[i], brief ? 130 : 200, i % 3 == 2 ? 65 : 64, i % 3, i % 2 * 8 + (i == 3), i % 2 ? 1.25f : 1, 0.4f, i % 2);
  case_head(3, 136, 8, 0, 8, 1, 1, 1), case_head(2, 130, 2304, 0, 0, 1, 0.05f, 0), case_head(3, 70, 2305, 3, 1, 1, 0.05f, 1);
  case_head(18, 140, 2320, 8, 4, 1, 0.05f, 1);
  case_special();
  for (int by = 1; by < 8; by++) case_misaligned(by);
  if (brief) return;
  case_head(5, 129, 4700, 4, 0, 2, 0.02f, 0), case_head(2, 33, 8192, 0, 0, 1, 0.02f, 1), case_head(33, 5003, 64, 0, 5, 1, 0.3f, 1);
  case_head(8, 1000, 1536, 0, 0, 1, 0.06f, 1);
}
static void sampler_cases(void) {
  static const int Vs[] = {1, 2, 127, 128, 129, 1000, 5003}, ks[] = {1, 2, 20, 0, 0, 300}, ns[] = {1, 16, 30, 50, 70};
  static const float temperatures[] = {1, 0, 0.6f, 0.05f, 3, 1e-30f}, ps[] = {1, 0.5f, 0.9f, 0.95f, 0.01f, 0.999f};
  for (int i = 0; i < 7; i++)
    for (int k = 0; k < 6; k++)
      for (int kind = 0; kind < 6; kind++)
        case_sample(brief ? 12 : Vs[i] > 1000 ? 24 : 40, Vs[i], (i + k) % 3, temperatures[k], 0, 1, kind);
  case_sample(14, 1000, 0, 0, 0, 1, 6), case_sample(14, 1000, 0, 1, 0, 1, 6), case_sample(14, 1000, 0, 0.6f, 20, 0.9f, 6);
  case_sample(brief ? 2 : 16, 40000, 0, 1, 0, 1, 0), case_sample(brief ? 2 : 8, 151936, 0, 1, 0, 1, 5);
  case_sample(2, 151936, 0, 0, 0, 1, 1);
  for (int i = 1; i < 7; i++)
    for (int k = 0; k < 6; k++)
      for (int kind = 0; kind < 5; kind++)
        case_sample(brief ? 7 : 14, Vs[i], k % 3, temperatures[k % 2 ? 0 : 2 + k / 2], ks[k], ps[k], kind);
  for (int i = 0; i < 5; i++) {
    int n = ns[i], V = i == 2 ? 1000 : 300, D = i == 4 ? 2368 : 96;
    case_end_to_end(n, V, D, 1, 0, 1), case_end_to_end(n, V, D, 0, 0, 1), case_end_to_end(n, V, D, 0.8f, 40, 0.95f);
  }
  case_short();
  case_distribution(brief ? 1000 : 20000, 300, 1, 0, 1), case_distribution(brief ? 1000 : 8000, 1000, 0.7f, 0, 1);
  if (brief) return;
  case_sample(3000, 1000, 0, 1, 0, 1, 0);
  case_distribution(6000, 5003, 2, 0, 1), case_distribution(8000, 300, 1, 20, 1), case_distribution(8000, 300, 1, 0, 0.8f);
  case_distribution(8000, 129, 0.8f, 30, 0.9f);
}
int main(int count, char **words) {
  open_gpu(count, words);
  vocabulary_module = module_of_file("vocabulary.cu"), tiles_module = module_of_file("sampler_tiles.cu");
  sampler_module = module_of_file("sampler.cu");
  for (int i = 0; i < 4; i++) heads[i].f = kernel_of(vocabulary_module, heads[i].name, heads[i].shared);
  join = kernel_of(vocabulary_module, "vocabulary_join", 0), backward = kernel_of(vocabulary_module, "vocabulary_backward", 98304);
  head_cases();
  check_device(0);
  printf("the farthest from float64: log_prob %.1e of 1 + the largest, entropy %.1e, gradient %.4f of itself\n", worst_log_prob,
         worst_entropy, worst_gradient);
  sampler_cases();
  return finish(15); /* sorting and one thread that adds up meet banks more than once */
}
