/* attention.c - attention in bfloat16 of the table in use (NR_ISA chooses) against plain loops over its definition, bit for bit, and against
   float64: packed, alone and from caches, on one thread and several. The argument is the number of rounds. */
#include "system.h"
#include "harness.h"
#include <stdio.h>
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define NRK_FMA 1
#define NRK_LOOKUP 8
#include "vectors.h"
static __attribute__((noinline)) float exp_of(float x) {
  v16 e = exp16(splat(x));
  return e[0];
}

static int64_t upto(int64_t n) { return n <= 0 ? 0 : (int64_t)(random_bits() % (uint64_t)n); }
static float normalish(void) {
  float s = 0;
  for (int i = 0; i < 4; i++) s += (float)(random_bits() >> 40) / 8388608.0f - 1;
  return s * 0.9f;
}

typedef struct matrix {
  nrk_bf16 *base, *p;
  int64_t rows, width, ld, total;
} matrix;
enum { GUARD = 64 };
static matrix make(int64_t rows, int64_t width, int64_t ld, uint16_t fill) {
  matrix m = {.rows = rows, .width = width, .ld = ld, .total = 2 * GUARD + (rows - 1) * ld + width};
  m.base = malloc((size_t)m.total * 2), m.p = m.base + GUARD;
  for (int64_t i = 0; i < m.total; i++) m.base[i] = fill;
  return m;
}
static matrix exact(int64_t rows, int64_t width, int64_t ld) { /* input: nothing past its end may be read */
  matrix m = {.rows = rows, .width = width, .ld = ld, .total = (rows - 1) * ld + width};
  m.base = m.p = malloc((size_t)m.total * 2);
  for (int64_t i = 0; i < m.total; i++) m.base[i] = 0x7FC1;
  return m;
}
static matrix clone(matrix m) {
  matrix c = m;
  c.base = malloc((size_t)m.total * 2), c.p = c.base + (m.p - m.base);
  memcpy(c.base, m.base, (size_t)m.total * 2);
  return c;
}
static long mistakes, numbers;
static int is_near;
static const char *isa;
static char shape[400];
static void compare(const char *what, matrix expected, matrix got) {
  for (int64_t i = 0; i < expected.total; i++) {
    uint16_t e = expected.base[i], g = got.base[i];
    numbers++;
    if (e == g) continue;
    if (is_near && fabsf(wide_of(e) - wide_of(g)) <= 0.02f + 0.02f * fabsf(wide_of(e))) continue;
    int64_t at = i - (expected.p - expected.base);
    if (mistakes++ < 20)
      printf("%s %s: [%lld, %lld] %04x (%g), not %04x (%g)  %s\n", isa, what, (long long)(at / expected.ld), (long long)(at % expected.ld),
             g, wide_of(g), e, wide_of(e), shape);
  }
}
static void compare_floats(const char *what, const float *e, const float *g, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    numbers++;
    if (bits_of(e[i]) == bits_of(g[i])) continue;
    if (is_near && fabsf(e[i] - g[i]) <= 1e-3f + 1e-3f * fabsf(e[i])) continue;
    if (mistakes++ < 20) printf("%s %s: [%lld] %a, not %a  %s\n", isa, what, (long long)i, g[i], e[i], shape);
  }
}

typedef struct problem {
  nrk_segment list[64];
  int64_t count, T, H, G, C;
  float scale;
  matrix q, k, v, o, d_o, dq, dk, dv;
  float *lse;
} problem;

static int64_t row_of(const nrk_segment *s, int64_t j) {
  return j < s->prefix_length ? s->prefix_start + j : s->start + j - s->prefix_length;
}
static float lanes_joined(const float *l) {
  float a[8], b[4], c[2];
  for (int i = 0; i < 8; i++) a[i] = l[i] + l[i + 8];
  for (int i = 0; i < 4; i++) b[i] = a[i] + a[i + 4];
  for (int i = 0; i < 2; i++) c[i] = b[i] + b[i + 2];
  return c[0] + c[1];
}
static uint32_t flush_on(void) {
  uint32_t old = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(old | 0x8040);
  return old;
}

static void reference_forward(problem *x) {
  uint32_t old = flush_on();
  int64_t C = x->C, share = x->H / x->G;
  float *s = malloc(sizeof(float) * (size_t)x->T * 3);
  uint16_t *p = malloc(2 * (size_t)x->T * 3);
  for (int64_t i = 0; i < x->count; i++)
    for (int64_t t = 0; t < x->list[i].length; t++)
      for (int64_t h = 0; h < x->H; h++) {
        const nrk_segment *e = x->list + i;
        int64_t n = e->prefix_length + t + 1, row = e->start + t, g = h / share;
        float top = -INFINITY, lanes[16] = {0};
        for (int64_t j = 0; j < n; j++) {
          s[j] = chain(x->q.p + row * x->q.ld + h * C, 1, x->k.p + row_of(e, j) * x->k.ld + g * C, 1, C, 0) * x->scale;
          top = s[j] > top ? s[j] : top;
        }
        for (int64_t j = 0; j < n; j++) {
          float w = exp_of(s[j] - top);
          lanes[j % 16] += w, p[j] = half_of_float(w);
        }
        float sum = lanes_joined(lanes), factor = 1.0f / sum;
        x->lse[row * x->H + h] = top + logf(sum);
        for (int64_t c = 0; c < C; c++) {
          float total = 0;
          for (int64_t j = 0; j < n; j++) total = dot_step(p[j], x->v.p[row_of(e, j) * x->v.ld + g * C + c], bits_of(total));
          x->o.p[row * x->o.ld + h * C + c] = half_of_float((total + 0.0f) * factor);
        }
      }
  free(s), free(p);
  __builtin_ia32_ldmxcsr(old);
}
static void reference_backward(problem *x) {
  uint32_t old = flush_on();
  int64_t C = x->C, share = x->H / x->G, step = nrk_max(1, 112 / share);
  float *dk = calloc((size_t)(x->T * x->G * C), 4), *dv = calloc((size_t)(x->T * x->G * C), 4);
  float *ck = malloc((size_t)(x->T * x->G * C) * 4), *cv = malloc((size_t)(x->T * x->G * C) * 4);
  uint16_t *ds = malloc((size_t)x->T * 6), *p = malloc((size_t)x->T * 6);
  for (int64_t i = 0; i < x->count; i++) {
    const nrk_segment *e = x->list + i;
    for (int64_t b = 0; b < e->length; b += step) {
      memset(ck, 0, (size_t)(x->T * x->G * C) * 4), memset(cv, 0, (size_t)(x->T * x->G * C) * 4);
      int64_t end = nrk_min(e->length, b + step);
      for (int64_t t = b; t < end; t++)
        for (int64_t h = 0; h < x->H; h++) {
          int64_t n = e->prefix_length + t + 1, row = e->start + t, g = h / share;
          const uint16_t *q = x->q.p + row * x->q.ld + h * C, *d = x->d_o.p + row * x->d_o.ld + h * C, *o = x->o.p + row * x->o.ld + h * C;
          float lanes[16] = {0}, lse = x->lse[row * x->H + h];
          for (int64_t c = 0; c < C; c++) lanes[c % 16] = fmaf(wide_of(d[c]), wide_of(o[c]), lanes[c % 16]);
          float D = lanes_joined(lanes);
          for (int64_t j = 0; j < n; j++) {
            float w = exp_of(chain(q, 1, x->k.p + row_of(e, j) * x->k.ld + g * C, 1, C, 0) * x->scale - lse);
            float dp = chain(d, 1, x->v.p + row_of(e, j) * x->v.ld + g * C, 1, C, 0);
            p[j] = half_of_float(w), ds[j] = half_of_float(w * (dp - D) * x->scale);
          }
          for (int64_t c = 0; c < C; c++) {
            float total = 0;
            for (int64_t j = 0; j < n; j++) total = dot_step(ds[j], x->k.p[row_of(e, j) * x->k.ld + g * C + c], bits_of(total));
            x->dq.p[row * x->dq.ld + h * C + c] = half_of_float(total + 0.0f);
          }
          for (int64_t j = 0; j < n; j++)
            for (int64_t c = 0; c < C; c++) {
              int64_t at = (row_of(e, j) * x->G + g) * C + c;
              ck[at] = dot_step(ds[j], q[c], bits_of(ck[at])), cv[at] = dot_step(p[j], d[c], bits_of(cv[at]));
            }
        }
      for (int64_t at = 0; at < x->T * x->G * C; at++) dk[at] += ck[at], dv[at] += cv[at];
    }
  }
  for (int64_t i = 0; i < x->count; i++)
    for (int64_t t = x->list[i].start; t < x->list[i].start + x->list[i].length; t++)
      for (int64_t c = 0; c < x->G * C; c++) {
        x->dk.p[t * x->dk.ld + c] = half_of_float(dk[t * x->G * C + c] + 0.0f);
        x->dv.p[t * x->dv.ld + c] = half_of_float(dv[t * x->G * C + c] + 0.0f);
      }
  free(dk), free(dv), free(ck), free(cv), free(ds), free(p);
  __builtin_ia32_ldmxcsr(old);
}
/* In double, from the same inputs, nothing rounded between; relative errors of whole matrices. */
static double worst[4];
static void against_double(const problem *x) {
  int64_t C = x->C, share = x->H / x->G;
  size_t nq = (size_t)(x->T * x->H * C), nk = (size_t)(x->T * x->G * C);
  double *o = calloc(nq, 8), *dq = calloc(nq, 8), *dk = calloc(nk, 8), *dv = calloc(nk, 8), *p = malloc((size_t)x->T * 24),
         *dp = malloc((size_t)x->T * 24);
  for (int64_t i = 0; i < x->count; i++)
    for (int64_t t = 0; t < x->list[i].length; t++)
      for (int64_t h = 0; h < x->H; h++) {
        const nrk_segment *e = x->list + i;
        int64_t n = e->prefix_length + t + 1, row = e->start + t, g = h / share;
        const uint16_t *q = x->q.p + row * x->q.ld + h * C, *d = x->d_o.p + row * x->d_o.ld + h * C;
        double top = -1e300, sum = 0, D = 0;
        for (int64_t j = 0; j < n; j++) {
          double s = 0, z = 0;
          const uint16_t *k = x->k.p + row_of(e, j) * x->k.ld + g * C, *v = x->v.p + row_of(e, j) * x->v.ld + g * C;
          for (int64_t c = 0; c < C; c++) s += (double)wide_of(q[c]) * wide_of(k[c]), z += (double)wide_of(d[c]) * wide_of(v[c]);
          p[j] = s * x->scale, dp[j] = z, top = p[j] > top ? p[j] : top;
        }
        for (int64_t j = 0; j < n; j++) sum += p[j] = exp(p[j] - top);
        for (int64_t j = 0; j < n; j++) p[j] /= sum, D += p[j] * dp[j];
        for (int64_t j = 0; j < n; j++) {
          double ds = p[j] * (dp[j] - D) * x->scale;
          int64_t r = row_of(e, j);
          for (int64_t c = 0; c < C; c++) {
            o[(row * x->H + h) * C + c] += p[j] * wide_of(x->v.p[r * x->v.ld + g * C + c]);
            dq[(row * x->H + h) * C + c] += ds * wide_of(x->k.p[r * x->k.ld + g * C + c]);
            dk[(r * x->G + g) * C + c] += ds * wide_of(q[c]), dv[(r * x->G + g) * C + c] += p[j] * wide_of(d[c]);
          }
        }
      }
  double *want[4] = {o, dq, dk, dv};
  matrix got[4] = {x->o, x->dq, x->dk, x->dv};
  for (int m = 0; m < 4; m++) {
    double error = 0, norm = 0;
    for (int64_t i = 0; i < x->count; i++)
      for (int64_t t = x->list[i].start; t < x->list[i].start + x->list[i].length; t++)
        for (int64_t c = 0; c < got[m].width; c++) {
          double w = want[m][t * got[m].width + c], z = wide_of(got[m].p[t * got[m].ld + c]);
          error += (w - z) * (w - z), norm += w * w;
        }
    double relative = norm > 1e-12 ? sqrt(error / norm) : 0;
    if (relative > worst[m]) worst[m] = relative;
  }
  free(o), free(dq), free(dk), free(dv), free(p), free(dp);
}

static nrk_pool *pools[3];

static void check(int64_t H, int64_t G, int64_t C, int64_t clusters, int64_t longest, int backward) {
  problem x = {.H = H, .G = G, .C = C, .scale = 1.0f / sqrtf((float)C)};
  int64_t T = upto(3);
  int64_t parents[64];
  for (int64_t c = 0; c < clusters; c++) {
    int64_t prompt = 1 + upto(longest), first = T, n = x.count, children = upto(4);
    parents[x.count] = -1;
    x.list[x.count++] = (nrk_segment){T, prompt, T, 0}, T += prompt;
    for (int64_t i = 0; i < children; i++) {
      int64_t length = 1 + upto(longest), prefix = upto(4) == 0 ? upto(prompt + 1) : prompt;
      if (i == 1 && upto(3) == 0 && x.list[n + 1].start == first + prompt)
        prefix = prompt + x.list[n + 1].length; /* goes on from the first child */
      if (upto(3) == 0) T += upto(4);
      x.list[x.count++] = (nrk_segment){T, length, first, prefix}, T += length;
    }
    T += upto(3);
  }
  x.T = T;
  snprintf(shape, sizeof shape, "H %lld G %lld C %lld T %lld segments %lld", (long long)H, (long long)G, (long long)C, (long long)T,
           (long long)x.count);
  x.q = exact(T, H * C, H * C + upto(2) * 5), x.k = exact(T, G * C, G * C + upto(2) * 3), x.v = exact(T, G * C, G * C + upto(2) * 7);
  x.d_o = exact(T, H * C, H * C + upto(2)), x.lse = malloc((size_t)(T * H) * 4);
  for (int64_t i = 0; i < T * H; i++) x.lse[i] = -77;
  matrix *inputs[] = {&x.q, &x.k, &x.v, &x.d_o};
  int sparse = upto(4) == 0;
  for (int m = 0; m < 4; m++)
    for (int64_t i = 0; i < x.count; i++)
      for (int64_t t = x.list[i].start; t < x.list[i].start + x.list[i].length; t++)
        for (int64_t c = 0; c < inputs[m]->width; c++)
          inputs[m]->p[t * inputs[m]->ld + c] =
              sparse && upto(3) ? (uint16_t)(upto(2) << 15) : half_of_float(normalish() * (m == 0 ? 2 : 1));
  x.o = make(T, H * C, H * C + upto(2) * 3, 0xABCD);
  x.dq = make(T, H * C, H * C + upto(2) * 3, 0xABCD), x.dk = make(T, G * C, G * C + upto(2), 0xABCD),
  x.dv = make(T, G * C, G * C + upto(2) * 9, 0xABCD);
  matrix o = clone(x.o), dq = clone(x.dq), dk = clone(x.dk), dv = clone(x.dv);
  float *lse = malloc((size_t)(T * H) * 4);
  memcpy(lse, x.lse, (size_t)(T * H) * 4);
  matrix o0 = clone(o), dq0 = clone(dq), dk0 = clone(dk), dv0 = clone(dv);
  reference_forward(&x);
  for (int i = 0; i < 3; i++) {
    memcpy(o.base, o0.base, (size_t)o.total * 2);
    for (int64_t n = 0; n < T * H; n++) lse[n] = -77;
    nrk_attention_bf16(pools[i], x.list, x.count, H, G, C, x.q.p, x.q.ld, x.k.p, x.k.ld, x.v.p, x.v.ld, x.scale, o.p, o.ld,
                       upto(8) || i == 0 ? lse : memcpy(lse, x.lse, (size_t)(T * H) * 4));
    compare("o", x.o, o), compare_floats("lse", x.lse, lse, T * H);
    if (i == 2) {
      memcpy(o.base, o0.base, (size_t)o.total * 2);
      nrk_attention_bf16(pools[i], x.list, x.count, H, G, C, x.q.p, x.q.ld, x.k.p, x.k.ld, x.v.p, x.v.ld, x.scale, o.p, o.ld, NULL);
      compare("o without lse", x.o, o);
    }
  }
  if (backward) {
    reference_backward(&x);
    for (int i = 0; i < 3; i++) {
      memcpy(dq.base, dq0.base, (size_t)dq.total * 2), memcpy(dk.base, dk0.base, (size_t)dk.total * 2),
          memcpy(dv.base, dv0.base, (size_t)dv.total * 2);
      nrk_attention_backward_bf16(pools[i], x.list, x.count, H, G, C, x.q.p, x.q.ld, x.k.p, x.k.ld, x.v.p, x.v.ld, x.scale, x.o.p, x.o.ld,
                                  x.lse, x.d_o.p, x.d_o.ld, dq.p, dq.ld, dk.p, dk.ld, dv.p, dv.ld);
      compare("dq", x.dq, dq), compare("dk", x.dk, dk), compare("dv", x.dv, dv);
    }
    against_double(&x);
  }
  /* Each segment's context as rows of its own. */
  for (int64_t i = 0; i < x.count; i++) {
    nrk_segment *s = x.list + i, alone = {0, s->prefix_length + s->length, 0, 0};
    if (s->prefix_length == 0 || upto(2)) continue;
    matrix q = exact(alone.length, H * C, H * C), k = exact(alone.length, G * C, G * C), v = exact(alone.length, G * C, G * C),
           out = make(alone.length, H * C, H * C, 0xABCD), want;
    float *l = malloc((size_t)(alone.length * H) * 4);
    for (int64_t j = 0; j < alone.length; j++) {
      int64_t r = row_of(s, j);
      memcpy(q.p + j * q.ld, x.q.p + r * x.q.ld, (size_t)(H * C) * 2), memcpy(k.p + j * k.ld, x.k.p + r * x.k.ld, (size_t)(G * C) * 2),
          memcpy(v.p + j * v.ld, x.v.p + r * x.v.ld, (size_t)(G * C) * 2);
    }
    nrk_attention_bf16(pools[i % 3], &alone, 1, H, G, C, q.p, q.ld, k.p, k.ld, v.p, v.ld, x.scale, out.p, out.ld, l);
    want = clone(out);
    for (int64_t j = s->prefix_length; j < alone.length; j++) memcpy(want.p + j * want.ld, o.p + row_of(s, j) * o.ld, (size_t)(H * C) * 2);
    compare("alone", want, out);
    compare_floats("lse alone", x.lse + s->start * H, l + s->prefix_length * H, s->length * H);
    free(q.base), free(k.base), free(v.base), free(out.base), free(want.base), free(l);
  }
  /* The same from caches: prompts in one, own rows in another whose slots held something else before; at several positions. */
  int64_t capacity = nrk_round(longest * 3 + 2, 16), slots = x.count + 2, size = nrk_kv_slot_elements_bf16(G, C, capacity);
  size_t bytes = (size_t)(slots * size) * 2;
  nrk_bf16 *prompts = aligned_alloc(64, (bytes + 63) / 64 * 64), *own = aligned_alloc(64, (bytes + 63) / 64 * 64),
           *whole = aligned_alloc(64, (bytes + 63) / 64 * 64);
  memset(prompts, 0xFF, bytes), memset(own, 0xFF, bytes), memset(whole, 0xFF, bytes);
  for (int round = 0; round < 2; round++) { /* 0: other sequences, longer; 1: these */
    for (int64_t i = 0; i < x.count; i++) {
      nrk_segment *s = x.list + (round ? i : (i + 1) % x.count);
      int64_t n = s->prefix_length + s->length;
      matrix k = exact(n, G * C, G * C), v = exact(n, G * C, G * C);
      int32_t slot[8192], position[8192];
      int64_t rotate = upto(n);
      for (int64_t j = 0; j < n; j++) {
        int64_t at = (j + rotate) % n;
        memcpy(k.p + j * k.ld, x.k.p + row_of(s, at) * x.k.ld, (size_t)(G * C) * 2),
            memcpy(v.p + j * v.ld, x.v.p + row_of(s, at) * x.v.ld, (size_t)(G * C) * 2);
        slot[j] = (int32_t)(i + 1), position[j] = (int32_t)at;
      }
      nrk_kv_write_bf16(pools[i % 3], n, G, C, k.p, k.ld, v.p, v.ld, whole, capacity, slot, position);
      free(k.base), free(v.base);
      if (s->prefix_length) {
        for (int64_t j = 0; j < s->prefix_length; j++)
          slot[j] = (int32_t)(s->prefix_length == x.list[i].prefix_length ? i + 1 : 0), position[j] = (int32_t)j;
        nrk_kv_write_bf16(pools[0], s->prefix_length, G, C, x.k.p + s->prefix_start * x.k.ld, x.k.ld, x.v.p + s->prefix_start * x.v.ld,
                          x.v.ld, prompts, capacity, slot, position);
      }
      for (int64_t j = 0; j < s->length; j++) slot[j] = (int32_t)(x.count - i), position[j] = (int32_t)j;
      nrk_kv_write_bf16(pools[1], s->length, G, C, x.k.p + s->start * x.k.ld, x.k.ld, x.v.p + s->start * x.v.ld, x.v.ld, own, capacity,
                        slot, position);
    }
  }
  for (int trial = 0; trial < 4; trial++) {
    int32_t prompt_slots[64], prompt_lengths[64], own_slots[64], lengths[64], whole_slots[64], whole_lengths[64];
    matrix q = exact(x.count, H * C, H * C + trial), out = make(x.count, H * C, H * C + 3, 0xABCD), want = clone(out), clean = clone(out);
    for (int64_t i = 0; i < x.count; i++) {
      nrk_segment *s = x.list + i;
      int64_t t = trial == 0 ? s->length - 1 : upto(s->length);
      /* Segments that share a whole prefix share the first one's slot. */
      int64_t same = i;
      for (int64_t b = i; b >= 0; b--)
        if (x.list[b].prefix_start == s->prefix_start && x.list[b].prefix_length == s->prefix_length) same = b;
      prompt_slots[i] = (int32_t)(s->prefix_length ? same + 1 : 0), prompt_lengths[i] = (int32_t)s->prefix_length;
      own_slots[i] = (int32_t)(x.count - i), lengths[i] = (int32_t)(t + 1);
      whole_slots[i] = (int32_t)(i + 1), whole_lengths[i] = (int32_t)(s->prefix_length + t + 1);
      memcpy(q.p + i * q.ld, x.q.p + (s->start + t) * x.q.ld, (size_t)(H * C) * 2);
      memcpy(want.p + i * want.ld, o.p + (s->start + t) * o.ld, (size_t)(H * C) * 2);
    }
    nrk_attention_decode_bf16(pools[trial % 3], x.count, H, G, C, q.p, q.ld, prompts, capacity, prompt_slots, prompt_lengths, own, capacity,
                              own_slots, lengths, x.scale, out.p, out.ld);
    compare("decode", want, out);
    memcpy(out.base, clean.base, (size_t)out.total * 2);
    nrk_attention_decode_bf16(pools[trial % 3], x.count, H, G, C, q.p, q.ld, NULL, 0, NULL, NULL, whole, capacity, whole_slots,
                              whole_lengths, x.scale, out.p, out.ld);
    compare("decode whole", want, out);
    free(q.base), free(out.base), free(want.base), free(clean.base);
  }
  free(prompts), free(own), free(whole), free(lse);
  matrix all[] = {x.q, x.k, x.v, x.d_o, x.o, x.dq, x.dk, x.dv, o, dq, dk, dv, o0, dq0, dk0, dv0};
  for (unsigned i = 0; i < sizeof all / sizeof *all; i++) free(all[i].base);
  free(x.lse);
}

/* A row after NaN and infinity in later rows stays what it was; before the end of a pair too. */
static void later_rows(void) {
  enum { N = 33, H = 4, G = 2, C = 24 };
  matrix q = exact(N, H * C, H * C), k = exact(N, G * C, G * C), v = exact(N, G * C, G * C), a = make(N, H * C, H * C, 0), b;
  for (int64_t i = 0; i < N * H * C; i++) q.p[i] = half_of_float(normalish());
  for (int64_t i = 0; i < N * G * C; i++) k.p[i] = half_of_float(normalish()), v.p[i] = half_of_float(normalish());
  nrk_segment s = {0, N, 0, 0};
  nrk_attention_bf16(pools[0], &s, 1, H, G, C, q.p, q.ld, k.p, k.ld, v.p, v.ld, 0.2f, a.p, a.ld, NULL);
  b = clone(a);
  for (int64_t from = 1; from < N; from++) {
    matrix k2 = clone(k), v2 = clone(v);
    for (int64_t i = from * G * C; i < N * G * C; i++) k2.p[i] = i % 2 ? 0x7FC0 : 0x7F80, v2.p[i] = i % 3 ? 0xFF80 : 0x7FC0;
    nrk_attention_bf16(pools[0], &s, 1, H, G, C, q.p, q.ld, k2.p, k2.ld, v2.p, v2.ld, 0.2f, b.p, b.ld, NULL);
    memcpy(b.p + from * b.ld, a.p + from * a.ld, (size_t)(N - from) * H * C * 2);
    compare("later rows", a, b);
    free(k2.base), free(v2.base);
  }
  free(q.base), free(k.base), free(v.base), free(a.base), free(b.base);
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 40;
  isa = nrk_isa(), is_near = !strcmp(isa, "portable");
  for (int i = 0; i < 3; i++) pools[i] = nrk_pool_create(i + 1);
  static const int64_t heads[][3] = {{14, 2, 64}, {4, 2, 8},   {1, 1, 1}, {3, 3, 17}, {6, 2, 33},  {2, 1, 128},
                                     {14, 2, 16}, {16, 1, 20}, {8, 2, 7}, {5, 1, 31}, {30, 1, 48}, {12, 2, 65}};
  later_rows();
  for (int i = 0; i < rounds; i++) {
    const int64_t *h = heads[i % 12];
    check(h[0], h[1], h[2], 1 + upto(3), i % 5 == 0 ? 300 : i % 5 == 1 ? 3 : 40, i < 4 || i % 2);
    if (mistakes > 100) break;
  }
  if (argc > 2) check(2, 1, 8, 1, 1300, 1), check(7, 1, 16, 1, 900, 1);
  printf("%s: %ld numbers, %ld mistakes; against double: o %.2g dq %.2g dk %.2g dv %.2g\n", isa, numbers, mistakes, worst[0], worst[1],
         worst[2], worst[3]);
  int bad = mistakes != 0 || worst[0] > 0.01 || worst[1] > 0.02 || worst[2] > 0.02 || worst[3] > 0.01;
  for (int i = 0; i < 3; i++) nrk_pool_destroy(pools[i]);
  return bad;
}
#pragma clang attribute pop
