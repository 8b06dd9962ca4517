/* head.c - the loss head and the sampler in bfloat16 of the table in use (NR_ISA chooses) against plain loops over their definition, bit for
   bit, and against float64; rows alone, in batches, on one thread and several. */
#define _POSIX_C_SOURCE 200809L
#define NRK_FMA 1
#define NRK_LOOKUP 8
#include "system.h"
#include "vectors.h"
#include "harness.h"
#include <stdio.h>
static double uniform(void) { return (double)(random_bits() >> 11) / 9007199254740992.0; }
static float rnd(void) { return (float)(uniform() * 2 - 1); }
static unsigned mode(void) {
  unsigned old = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(old | 0x8040);
  return old;
}
static void unmode(unsigned old) { __builtin_ia32_ldmxcsr(old); }
static __attribute__((noinline)) float ex(float x) { return exp16(splat(x))[0]; }
static float lanes_sum(const float *l) { return sum_lanes(load(l)); }
static int exact;
static long checks, mistakes;
static void same(const char *what, float e, float g, double tolerance, int64_t a, int64_t b, const char *where) {
  checks++;
  int ok = exact ? bits_of(e) == bits_of(g) || (e != e && g != g)
                 : (e != e && g != g) || e == g || fabs((double)e - g) <= tolerance * (1 + fabs((double)e));
  if (!ok && mistakes++ < 40)
    printf("%s [%lld, %lld] %s: %.9g (%08x), not %.9g (%08x)\n", what, (long long)a, (long long)b, where, g, bits_of(g), e, bits_of(e));
}
/* ---- the definition ---- */
static float ref_logit(const uint16_t *h, const uint16_t *w, int64_t D) {
  float z = 0;
  for (int64_t k = 0; k < D; k += 2304) {
    float c = chain(h + k, 1, w + k, 1, nrk_min(2304, D - k), 0);
    z = k ? z + c : c;
  }
  return z;
}
typedef struct sums {
  float top, sum, weighted;
} sums;
static float shift_of(float top) { return top == -INFINITY ? 0 : top; }
static sums ref_tile(const float *x, int64_t n) {
  sums s = {-INFINITY, 0, 0};
  float a[16] = {0}, b[16] = {0};
  for (int64_t i = 0; i < n; i++)
    if (x[i] > s.top) s.top = x[i];
  for (int64_t i = 0; i < n; i++) {
    float d = x[i] - shift_of(s.top), e = ex(d);
    a[i % 16] += e;
    b[i % 16] = fmaf(e, d < -1e30f ? -1e30f : d, b[i % 16]);
  }
  s.sum = lanes_sum(a), s.weighted = lanes_sum(b);
  return s;
}
static sums ref_join(const sums *c, int64_t n) {
  sums s = {-INFINITY, 0, 0};
  float a[16] = {0}, b[16] = {0};
  for (int64_t i = 0; i < n; i++)
    if (c[i].top > s.top) s.top = c[i].top;
  for (int64_t i = 0; i < n; i++) {
    float d = c[i].top - shift_of(s.top), e = ex(d);
    a[i % 16] += c[i].sum * e;
    b[i % 16] += fmaf(c[i].sum, d < -1e30f ? -1e30f : d, c[i].weighted) * e;
  }
  s.sum = lanes_sum(a), s.weighted = lanes_sum(b);
  return s;
}
static int64_t ref_part(int64_t V) { return nrk_ceil(nrk_ceil(V, 512), 16) * 512; }
typedef struct outcome {
  float log_z, entropy, top, log_sum;
} outcome;
static outcome ref_row(const float *x, int64_t V) {
  int64_t part = ref_part(V), parts = 0;
  sums p[16];
  for (int64_t s = 0; s < V; s += part) {
    sums *t = malloc(sizeof(sums) * (size_t)(part / 128));
    int64_t n = 0, end = nrk_min(V, s + part);
    for (int64_t v = s; v < end; v += 128) t[n++] = ref_tile(x + v, nrk_min(128, end - v));
    p[parts++] = ref_join(t, n);
    free(t);
  }
  sums r = ref_join(p, parts);
  float l = logf(r.sum);
  return (outcome){r.top + l, l - r.weighted / r.sum, r.top, l};
}
static float ref_log_prob(outcome o, float z, float f) {
  return fabsf(o.top) > 0x1p24f ? (z * f - o.top) - o.log_sum : z * f - (o.top + o.log_sum);
}
static void ref_mean(const float *x, const uint16_t *w, int64_t V, int64_t D, float *mean) {
  int64_t part = ref_part(V);
  float M = 0, N = 0;
  float *acc = malloc((size_t)D * 4), group_norm;
  uint16_t h[512];
  for (int64_t s = 0; s < V; s += part) {
    float top = 0, norm = 0;
    int64_t end = nrk_min(V, s + part);
    for (int64_t g = s; g < end; g += 512) {
      int64_t n = nrk_min(512, end - g);
      float old = top, gt = -INFINITY, l[16] = {0};
      for (int64_t i = 0; i < n; i++)
        if (x[g + i] > gt) gt = x[g + i];
      top = g == s || gt > old ? gt : old;
      for (int64_t i = 0; i < n; i++) h[i] = half_of_float(ex(x[g + i] - shift_of(top))), l[i % 16] += wide_of(h[i]);
      group_norm = lanes_sum(l);
      float scale = g == s || top == old ? 1 : ex(old - shift_of(top));
      norm = g == s ? group_norm : norm * scale + group_norm;
      for (int64_t k = 0; k < D; k++) {
        float c = chain(h, 1, w + g * D + k, D, n, 0);
        if (scale != 1) acc[k] *= scale;
        acc[k] = g == s ? c : acc[k] + c;
      }
    }
    if (s == 0) {
      M = top, N = norm;
      memcpy(mean, acc, (size_t)D * 4);
    } else {
      float t = top > M ? top : M, kept = ex(M - shift_of(t)), counts = ex(top - shift_of(t));
      N = fmaf(norm, counts, N * kept), M = t;
      for (int64_t k = 0; k < D; k++) mean[k] = fmaf(acc[k], counts, mean[k] * kept);
    }
  }
  for (int64_t k = 0; k < D; k++) mean[k] /= N;
  free(acc);
}
/* ---- */
static void *guarded(int64_t bytes) {
  char *p = aligned_alloc(64, (size_t)nrk_round(bytes + 256, 64));
  memset(p, 0x5A, (size_t)nrk_round(bytes + 256, 64));
  return p;
}
static int guard_ok(const void *p, int64_t from, int64_t bytes) {
  const unsigned char *c = p;
  for (int64_t i = from; i < from + bytes; i++)
    if (c[i] != 0x5A) return 0;
  return 1;
}
static void guard(const char *what, const void *p, int64_t rows, int64_t columns, int64_t ld) {
  checks++;
  for (int64_t i = 0; i < rows; i++) {
    int64_t from = (i * ld + columns) * 4, to = i + 1 < rows ? (i + 1) * ld * 4 : from + 64;
    if (!guard_ok(p, from, to - from)) {
      if (mistakes++ < 40) printf("%s: written past row %lld\n", what, (long long)i);
      return;
    }
  }
}
static nrk_pool *pools[3];

static void check(int kind, int64_t n, int64_t V, int64_t D, float f) {
  char where[200];
  int64_t ldh = D + 3, ldm = D + 2, ldd = D + 5, ldw = D + 1;
  uint16_t *h = malloc((size_t)(n * ldh) * 2), *w = malloc((size_t)(V * D) * 2);
  for (int64_t i = 0; i < n * ldh; i++) h[i] = half_of_float(rnd());
  float spread = kind == 1 ? 12 : 3;
  spread /= sqrtf((float)D);
  for (int64_t i = 0; i < V * D; i++) w[i] = half_of_float((rnd() + 0.3f) * spread);
  if (kind == 2) { /* huge, ties, overflowing either way, NaN, infinite rows */
    for (int64_t r = 0; r < n; r++) {
      float scale = r % 6 == 0 ? 1e30f : r % 6 == 1 ? 3e38f : r % 6 == 3 ? 1e-30f : r % 6 == 4 ? 0 : 1;
      for (int64_t k = 0; k < D; k++) h[r * ldh + k] = half_of_float(wide_of(h[r * ldh + k]) * scale);
      if (r % 6 == 2) h[r * ldh + D / 2] = 0x7FC0;
    }
    for (int64_t v = 0; v < V; v += 3)
      for (int64_t k = 0; k < D; k++) w[v * D + k] = half_of_float(wide_of(w[v * D + k]) * (v % 2 ? 1e3f : 1));
  }
  if (kind == 3) /* logits of -inf alone for whole tiles and groups, first and last; a row of nothing else */
    for (int64_t r = 0; r < n; r++) {
      for (int64_t k = 0; k < D; k++) h[r * ldh + k] = half_of_float(fabsf(wide_of(h[r * ldh + k])) + 0.1f);
      h[r * ldh] = half_of_float(r % 4 == 0 ? 3e38f : r % 4 == 1 ? 3e38f : 1);
    }
  if (kind == 3)
    for (int64_t v = 0; v < V; v++) {
      int cut = v < 700 || (v > 1300 && v < 1500) || v > V - 300;
      w[v * D] = half_of_float(cut ? -3e38f : (v % 5 ? 1e-37f : -3e38f));
    }
  uint32_t *panels = guarded(nrk_round(V, 16) * nrk_ceil(D, 2) * 4);
  nrk_pack(pools[0], V, D, w, NRK_BF16, D, panels, NRK_BF16_PAIRS);
  int32_t *targets = malloc((size_t)n * 4);
  float *d_lp = malloc((size_t)n * 4), *d_en = malloc((size_t)n * 4);
  for (int64_t i = 0; i < n; i++) targets[i] = (int32_t)(random_bits() % (uint64_t)V), d_lp[i] = rnd(), d_en[i] = i % 3 ? rnd() * 0.1f : 0;
  float *x = malloc((size_t)(n * V) * 4), *z = malloc((size_t)(n * V) * 4), *mean = malloc((size_t)(n * D) * 4);
  float *lp = malloc((size_t)n * 4), *en = malloc((size_t)n * 4), *lz = malloc((size_t)n * 4);
  unsigned old = mode();
  for (int64_t i = 0; i < n; i++) {
    for (int64_t v = 0; v < V; v++) z[i * V + v] = ref_logit(h + i * ldh, w + v * D, D), x[i * V + v] = z[i * V + v] * f;
    outcome o = ref_row(x + i * V, V);
    lz[i] = o.log_z, en[i] = o.entropy, lp[i] = ref_log_prob(o, z[i * V + targets[i]], f);
    ref_mean(x + i * V, w, V, D, mean + i * D);
  }
  /* dz for d_log_prob with and without d_entropy */
  uint16_t *dz[2];
  float *dh[2], *dw[2], *dw0 = malloc((size_t)(V * ldw) * 4);
  for (int64_t i = 0; i < V * ldw; i++) dw0[i] = rnd();
  for (int e = 0; e < 2; e++) {
    dz[e] = malloc((size_t)(n * V) * 2), dh[e] = malloc((size_t)(n * D) * 4), dw[e] = malloc((size_t)(V * D) * 4);
    for (int64_t i = 0; i < n; i++) {
      float a = -d_lp[i] * f, de = e ? d_en[i] : 0, b = -de * f;
      for (int64_t v = 0; v < V; v++) {
        float log_p = z[i * V + v] * f - lz[i], p = ex(log_p),
              d = de == 0 ? a * p : p * fmaf(b, (log_p < -1e30f ? -1e30f : log_p) + en[i], a);
        if (v == targets[i]) d += d_lp[i] * f;
        dz[e][i * V + v] = half_of_float(d);
      }
      for (int64_t k = 0; k < D; k++) {
        float total = 0;
        for (int64_t s = 0; s < V; s += ref_part(V)) {
          float part = 0;
          int64_t end = nrk_min(V, s + ref_part(V));
          for (int64_t g = s; g < end; g += 512) {
            float c = chain(dz[e] + i * V + g, 1, w + g * D + k, D, nrk_min(512, end - g), 0);
            part = g == s ? c : part + c;
          }
          total = s == 0 ? part : total + part;
        }
        dh[e][i * D + k] = total;
      }
    }
    for (int64_t v = 0; v < V; v++)
      for (int64_t k = 0; k < D; k++) {
        float t = dw0[v * ldw + k];
        for (int64_t r = 0; r < n; r += 512) t += chain(dz[e] + r * V + v, V, h + r * ldh + k, ldh, nrk_min(512, n - r), 0);
        dw[e][v * D + k] = t;
      }
  }
  float *dh_mean = malloc((size_t)(n * D) * 4);
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k < D; k++) dh_mean[i * D + k] = f * d_lp[i] * (wide_of(w[targets[i] * D + k]) - mean[i * D + k]);
  unmode(old);
  /* float64 */
  if (kind < 2)
    for (int64_t i = 0; i < n; i++) {
      double m = -1e300, s = 0, t = 0;
      for (int64_t v = 0; v < V; v++) m = fmax(m, (double)x[i * V + v]);
      for (int64_t v = 0; v < V; v++) {
        double d = x[i * V + v] - m;
        s += exp(d), t += exp(d) * d;
      }
      int save = exact;
      exact = 0;
      snprintf(where, sizeof where, "against float64 kind %d n %lld V %lld D %lld", kind, (long long)n, (long long)V, (long long)D);
      same("log_z", (float)(m + log(s)), lz[i], 1e-6, i, 0, where), same("entropy", (float)(log(s) - t / s), en[i], 2e-6, i, 0, where);
      double worst = 0, norm = 0, gw = 0, gn = 0;
      for (int64_t k = 0; k < D; k++) {
        double y = 0;
        for (int64_t v = 0; v < V; v++) y += exp(x[i * V + v] - m) / s * wide_of(w[v * D + k]);
        worst += (y - mean[i * D + k]) * (y - mean[i * D + k]), norm += y * y;
        double g = f * d_lp[i] * (wide_of(w[targets[i] * D + k]) - y);
        gw += (g - dh[0][i * D + k]) * (g - dh[0][i * D + k]), gn += g * g;
      }
      checks += 2;
      if (sqrt(worst) > 3e-3 * sqrt(norm) + 1e-6 || sqrt(gw) > 4e-3 * (sqrt(gn) + f * fabs(d_lp[i]) * sqrt(norm)) + 1e-6) {
        if (mistakes++ < 40)
          printf("mean or gradient %s row %lld: off by %.2e, %.2e\n", where, (long long)i, sqrt(worst / norm), sqrt(gw / gn));
      }
      exact = save;
    }
  double T = 1e-3; /* of other tables */
  for (int threads = 0; threads < 3; threads++)
    for (int form = 0; form < 3; form++) { /* all rows; each alone (a few); without mean, in two halves */
      nrk_pool *pool = pools[threads];
      float *glp = guarded(n * 4), *gen = guarded(n * 4), *glz = guarded(n * 4), *gm = guarded(n * ldm * 4), *gd = guarded(n * ldd * 4);
      snprintf(where, sizeof where, "kind %d n %lld V %lld D %lld threads %d form %d %s", kind, (long long)n, (long long)V, (long long)D,
               threads + 1, form, nrk_isa());
      int64_t step = form == 0 ? n : form == 1 ? 1 : (n + 1) / 2, upto = form == 1 ? nrk_min(n, 5) : n;
      for (int64_t i = 0; i < upto; i += step)
        nrk_head_bf16(pool, nrk_min(step, upto - i), V, D, h + i * ldh, ldh, panels, f, targets + i, glp + i, form == 1 ? NULL : gen + i,
                      glz + i, form == 2 ? NULL : gm + i * ldm, ldm);
      for (int64_t i = 0; i < upto; i++) {
        same("log_prob", lp[i], glp[i], T, i, 0, where), same("log_z", lz[i], glz[i], T, i, 0, where);
        if (form != 1) same("entropy", en[i], gen[i], T, i, 0, where);
        for (int64_t k = 0; k < D && form != 2; k++) same("mean", mean[i * D + k], gm[i * ldm + k], 2e-2, i, k, where);
      }
      if (form != 2) guard("mean", gm, upto, D, ldm);
      for (int e = 0; e < 3; e++) { /* without and with d_entropy; from the mean */
        if (e == 2 && form == 2) continue;
        memset(gd, 0x5A, (size_t)(n * ldd * 4));
        for (int64_t i = 0; i < upto; i += step)
          nrk_head_backward_bf16(pool, nrk_min(step, upto - i), V, D, h + i * ldh, ldh, panels, f, targets + i, lz + i, en + i, d_lp + i,
                                 e == 1 ? d_en + i : NULL, e == 2 ? gm + i * ldm : NULL, ldm, gd + i * ldd, ldd, NULL, 0);
        for (int64_t i = 0; i < upto; i++)
          for (int64_t k = 0; k < D; k++)
            same(e == 2 ? "d_hidden of the mean" : "d_hidden", e == 2 ? dh_mean[i * D + k] : dh[e][i * D + k], gd[i * ldd + k], 2e-2, i, k,
                 where);
        guard("d_hidden", gd, upto, D, ldd);
      }
      if (form == 0)
        for (int e = 0; e < 3; e++) { /* without a mean; with d_entropy; with a mean alone */
          float *gw = guarded(V * ldw * 4);
          for (int64_t v = 0; v < V; v++) memcpy(gw + v * ldw, dw0 + v * ldw, (size_t)D * 4);
          memset(gd, 0x5A, (size_t)(n * ldd * 4));
          nrk_head_backward_bf16(pool, n, V, D, h, ldh, panels, f, targets, lz, en, d_lp, e == 1 ? d_en : NULL, e ? gm : NULL, ldm, gd, ldd,
                                 gw, ldw);
          for (int64_t v = 0; v < V; v++)
            for (int64_t k = 0; k < D; k++) same("dw", dw[e % 2][v * D + k], gw[v * ldw + k], 2e-2, v, k, where);
          for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < D; k++)
              same("d_hidden beside dw", e == 2 ? dh_mean[i * D + k] : dh[e][i * D + k], gd[i * ldd + k], 2e-2, i, k, where);
          guard("dw", gw, V, D, ldw);
          free(gw);
        }
      if (!guard_ok(glp, n * 4, 64) || !guard_ok(gen, n * 4, 64) || !guard_ok(glz, n * 4, 64)) mistakes++, printf("guards %s\n", where);
      free(glp), free(gen), free(glz), free(gm), free(gd);
    }
  /* logits of nrk_products, the sampler's numbers on them against the head's of what was drawn */
  float *logits = guarded(n * (V + 7) * 4);
  for (int64_t r = 0; r < n; r++) memset(logits + r * (V + 7), 0xFF, (size_t)(V + 7) * 4);
  nrk_product_part q = {.panels = panels, .kind = NRK_BF16_PAIRS, .y_is_float = 1, .N = V, .scale = 1, .y = logits, .ldy = V + 7};
  nrk_products(pools[1], n, D, h, ldh, 0, 1, &q);
  for (int64_t i = 0; i < n; i++)
    for (int64_t v = 0; v < V; v++) same("logit", z[i * V + v], logits[i * (V + 7) + v], T, i, v, "products");
  double *u = malloc((size_t)n * 8);
  int32_t *tok = malloc((size_t)n * 4), *tok2 = malloc((size_t)n * 4);
  float *slp = malloc((size_t)n * 4), *sen = malloc((size_t)n * 4), *hlp = malloc((size_t)n * 4), *hen = malloc((size_t)n * 4),
        *hlz = malloc((size_t)n * 4);
  static const float temperatures[] = {1, 0, 0.7f, 1e-3f, 1e-25f, 3, 1e10f};
  for (int t = 0; t < 7; t++)
    for (int threads = 0; threads < 3; threads++) {
      float temperature = temperatures[t], inverse = temperature > 0 ? 1.0f / (temperature < 1e-20f ? 1e-20f : temperature) : 1;
      snprintf(where, sizeof where, "sampler kind %d n %lld V %lld D %lld threads %d temperature %g %s", kind, (long long)n, (long long)V,
               (long long)D, threads + 1, temperature, nrk_isa());
      if (threads == 0)
        for (int64_t i = 0; i < n; i++) u[i] = i % 5 == 4 ? 1 - 1.2e-16 : i % 5 == 3 ? 0 : uniform();
      nrk_sample_bf16(pools[threads], n, V, logits, V + 7, temperature, 0, 1, u, threads ? tok2 : tok, slp, sen);
      if (threads)
        for (int64_t i = 0; i < n; i++) {
          checks++;
          if (tok[i] != tok2[i]) mistakes++, printf("threads: token %s\n", where);
        }
      int32_t *given = malloc((size_t)n * 4);
      for (int64_t i = 0; i < n; i++) given[i] = tok[i] < 0 ? 0 : tok[i];
      nrk_head_bf16(pools[2 - threads], n, V, D, h, ldh, panels, inverse, given, hlp, hen, hlz, NULL, 0);
      int save = exact;
      for (int64_t i = 0; i < n; i++) {
        const float *l = logits + i * (V + 7);
        float top = -INFINITY;
        int bad = 0;
        double total = 0, before = 0;
        for (int64_t v = 0; v < V; v++) {
          float y = l[v] * inverse;
          if (y != y || y == INFINITY) bad = 1;
          if (y > top) top = y;
        }
        if (top == -INFINITY) bad = 1;
        checks++;
        if (bad != (tok[i] < 0)) {
          if (mistakes++ < 40) printf("token %d, bad %d row %lld %s\n", tok[i], bad, (long long)i, where);
        }
        if (bad) {
          checks++;
          if (slp[i] == slp[i] || sen[i] == sen[i]) mistakes++, printf("bad row's log_prob %s\n", where);
          continue;
        }
        exact = 1; /* in every table */
        same("log_prob", hlp[i], slp[i], 0, i, 0, where), same("entropy", hen[i], sen[i], 0, i, 0, where);
        exact = save;
        if (temperature == 0) {
          int64_t best = 0;
          for (int64_t v = 1; v < V; v++)
            if (l[v] > l[best]) best = v;
          checks++;
          if (best != tok[i]) mistakes++, printf("not the first of the largest %s\n", where);
          continue;
        }
        for (int64_t v = 0; v < V; v++) {
          double e = exp((double)(l[v] * inverse) - top);
          if (v < tok[i]) before += e;
          total += e;
        }
        double own = exp((double)(l[tok[i]] * inverse) - top);
        checks++;
        if (!(before - 2e-6 * total <= u[i] * total && u[i] * total <= before + own + 2e-6 * total) || !(own > 0)) {
          if (mistakes++ < 40)
            printf("drawn %d at %.17g of [%.9g, %.9g] row %lld %s\n", tok[i], u[i], before / total, (before + own) / total, (long long)i,
                   where);
        }
      }
      free(given);
    }
  for (int t = 0; t < 6; t++) { /* truncated: as the sampler of float32 */
    int32_t k = t == 0 ? 1 : t == 1 ? 5 : t == 2 ? 0 : t == 3 ? 40 : 0;
    float top_p = t < 2 ? 1 : t == 2 ? 0.9f : t == 3 ? 0.5f : 1e-4f, temperature = t == 5 ? 1e-3f : 0.8f;
    for (int64_t i = 0; i < n; i++) u[i] = uniform();
    nrk_sample_bf16(pools[t % 3], n, V, logits, V + 7, temperature, k, top_p, u, tok, slp, sen);
    nrk_sample(pools[1], n, V, logits, V + 7, temperature, k, top_p, u, tok2, hlp, hen);
    if (V > 5)
      for (int64_t i = 0; i < n; i++) {
        checks++;
        if (tok[i] != tok2[i] || (bits_of(slp[i]) != bits_of(hlp[i]) && slp[i] == slp[i]) ||
            (bits_of(sen[i]) != bits_of(hen[i]) && sen[i] == sen[i] && fabsf(sen[i] - hen[i]) > 1e-36f)) {
          if (mistakes++ < 40)
            printf("truncated %d %d %.9g %.9g entropy %.9g %.9g kind %d V %lld t %d\n", tok[i], tok2[i], slp[i], hlp[i], sen[i], hen[i],
                   kind, (long long)V, t);
        }
      }
  }
  free(u), free(tok), free(tok2), free(slp), free(sen), free(hlp), free(hen), free(hlz), free(logits);
  free(h), free(w), free(panels), free(targets), free(d_lp), free(d_en), free(x), free(z), free(mean), free(lp), free(en), free(lz),
      free(dw0), free(dh_mean);
  for (int e = 0; e < 2; e++) free(dz[e]), free(dh[e]), free(dw[e]);
}

static void frequencies(void) {
  enum { V = 5000, N = 200000, B = 500 };
  float *l = malloc(V * 4 * B);
  double p[V], s = 0;
  int *count = calloc(V, 4);
  for (int v = 0; v < V; v++) l[v] = rnd() * 4 + (v == 77 ? 6 : 0) + (v == 4321 ? 7 : 0);
  for (int v = 100; v < 800; v++) l[v] = -INFINITY;
  for (int b = 1; b < B; b++) memcpy(l + b * V, l, V * 4);
  for (int v = 0; v < V; v++) s += p[v] = exp(l[v]);
  int32_t tok[B];
  float lp[B];
  double u[B];
  for (int i = 0; i < N; i += B) {
    for (int b = 0; b < B; b++) u[b] = uniform();
    nrk_sample_bf16(pools[1], B, V, l, V, 1, 0, 1, u, tok, lp, NULL);
    for (int b = 0; b < B; b++) count[tok[b]]++;
  }
  double chi = 0;
  int dof = 0;
  double rest = 0, rest_count = 0;
  for (int v = 0; v < V; v++) {
    double e = N * p[v] / s;
    if (e < 10) {
      rest += e, rest_count += count[v];
      continue;
    }
    chi += (count[v] - e) * (count[v] - e) / e, dof++;
  }
  chi += (rest_count - rest) * (rest_count - rest) / rest;
  printf("frequencies: chi square %.1f for %d degrees of freedom\n", chi, dof);
  if (chi > dof + 6 * sqrt(2.0 * dof)) mistakes++;
  /* evenly spaced uniforms: counts within one of what they must be */
  memset(count, 0, V * 4);
  for (int i = 0; i < N; i += B) {
    for (int b = 0; b < B; b++) u[b] = (i + b + 0.5) / N;
    nrk_sample_bf16(pools[1], B, V, l, V, 1, 0, 1, u, tok, lp, NULL);
    for (int b = 0; b < B; b++) count[tok[b]]++;
  }
  double worst = 0;
  for (int v = 0; v < V; v++) worst = fmax(worst, fabs(count[v] - N * p[v] / s));
  printf("even uniforms: counts off by at most %.2f\n", worst);
  if (worst > 1.3) mistakes++;
  free(l), free(count);
}

int main(int argc, char **argv) {
  (void)argv;
  exact = strcmp(nrk_isa(), "portable") != 0;
  for (int i = 0; i < 3; i++) pools[i] = nrk_pool_create(i + 1);
  static const int64_t shapes[][3] = {{1, 1, 1},      {2, 5, 3},      {3, 16, 16},     {5, 130, 7},    {9, 512, 128},
                                      {17, 1000, 33}, {4, 1537, 129}, {15, 9000, 40},  {3, 20000, 24}, {3, 300, 2310},
                                      {2, 700, 4700}, {130, 600, 20}, {200, 1100, 18}, {530, 140, 17}, {1030, 40, 9},
                                      {29, 8200, 31}, {1, 8193, 50},  {70, 2049, 64},  {61, 17000, 5}};
  int small = argc > 1;
  for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++)
    for (int kind = 0; kind < 4; kind++) {
      if (!exact && kind > 1) continue;
      if (small && shapes[i][0] * shapes[i][1] * shapes[i][2] > 2000000) continue;
      check(kind, shapes[i][0], shapes[i][1], shapes[i][2], kind == 1 ? 1.7f : kind == 3 ? 0.5f : 1);
    }
  frequencies();
  printf("%s: %ld numbers, %ld mistakes\n", nrk_isa(), checks, mistakes);
  for (int i = 0; i < 3; i++) nrk_pool_destroy(pools[i]);
  return mistakes != 0;
}
