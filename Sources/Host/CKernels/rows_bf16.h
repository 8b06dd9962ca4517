/* rows_bf16.h - row operations on bfloat16: read as float32, computed as rows.h does, rounded where they are stored. */

#include "gate.h"

enum { HALF_CHUNK = 4096 };

typedef struct half_job {
  int64_t T, K, rows, count, ldx, ldo, heads, C;
  const void *x;
  const nrk_bf16 *a, *b, *c;
  void *out;
  nrk_bf16 *out2;
  int32_t x_is_float, out_is_float, accumulate, inverse;
  const int32_t *ids;
  const float *w, *rstd, *cos, *sin;
  float *rstd_out, *dw, epsilon;
} half_job;

/* ---- copies --------------------------------------------------------------------------------------------- */

/* Rows of one kind to the other, row t from ids[t] where there are ids. */
static void convert_task(void *context, int64_t index, int32_t worker) {
  const half_job *j = context;
  (void)worker;
  for (int64_t t = index * j->rows, end = nrk_min(j->T, t + j->rows); t < end; t++) {
    int64_t from = (j->ids ? j->ids[t] : t) * j->ldx;
    if (j->x_is_float == j->out_is_float) {
      size_t size = j->x_is_float ? sizeof(float) : sizeof(nrk_bf16);
      memcpy((char *)j->out + (size_t)(t * j->ldo) * size, (const char *)j->x + (size_t)from * size, (size_t)j->K * size);
      continue;
    }
    for (int64_t k = 0; k < j->K; k += 16)
      store_elements(j->out, j->out_is_float, t * j->ldo + k, load_elements(j->x, j->x_is_float, from + k, j->K - k), j->K - k);
  }
}
static void convert(nrk_pool *pool, int64_t T, int64_t K, const void *x, int64_t ldx, int32_t x_is_float, void *out, int64_t ldo,
                    int32_t out_is_float) {
  half_job job = {.T = T, .K = K, .rows = nrk_max(1, HALF_CHUNK / nrk_max(K, 1)), .x = x, .ldx = ldx, .x_is_float = x_is_float, .out = out,
                  .ldo = ldo, .out_is_float = out_is_float};
  if (K > 0) nrk_share(pool, T * K / 8, nrk_ceil(T, job.rows), convert_task, &job);
}
static void take_rows_bf16(nrk_pool *pool, int64_t n, int64_t K, const nrk_bf16 *x, int64_t ldx, const int32_t *rows, nrk_bf16 *out,
                           int64_t ldo) {
  half_job job = {.T = n, .K = K, .rows = nrk_max(1, HALF_CHUNK / nrk_max(K, 1)), .x = x, .ldx = ldx, .ids = rows, .out = out, .ldo = ldo};
  if (K > 0) nrk_share(pool, n * K / 8, nrk_ceil(n, job.rows), convert_task, &job);
}

/* ---- root mean square norm ------------------------------------------------------------------------------ */

static void rmsnorm_bf16_task(void *context, int64_t index, int32_t worker) {
  const half_job *j = context;
  (void)worker;
  for (int64_t t = index * j->rows, end = nrk_min(j->T, t + j->rows); t < end; t++) {
    int64_t at = t * j->K;
    v16 sum = splat(0);
    for (int64_t k = 0; k < j->K; k += 16) {
      v16 v = load_elements(j->x, j->x_is_float, at + k, j->K - k);
      sum = fma16(v, v, sum);
    }
    float rstd = 1.0f / sqrtf(sum_lanes(sum) / (float)j->K + j->epsilon);
    for (int64_t k = 0; k < j->K; k += 16) {
      int64_t n = j->K - k;
      v16 y = load_elements(j->x, j->x_is_float, at + k, n) * splat(rstd) * load_part(j->w + k, n, 0);
      store_halves((nrk_bf16 *)j->out + at + k, y, n);
    }
    if (j->rstd_out) j->rstd_out[t] = rstd;
  }
}
static void rmsnorm_bf16(nrk_pool *pool, int64_t T, int64_t K, const void *x, int32_t x_is_float, const float *w, float epsilon,
                         nrk_bf16 *y, float *rstd) {
  half_job job = {.T = T, .K = K, .rows = nrk_max(1, HALF_CHUNK / nrk_max(K, 1)), .x = x, .x_is_float = x_is_float, .w = w,
                  .epsilon = epsilon, .out = y, .rstd_out = rstd};
  nrk_share(pool, T * K / 4, nrk_ceil(T, job.rows), rmsnorm_bf16_task, &job);
}

static void rmsnorm_dx_bf16_task(void *context, int64_t index, int32_t worker) {
  const half_job *j = context;
  (void)worker;
  for (int64_t t = index * j->rows, end = nrk_min(j->T, t + j->rows); t < end; t++) {
    const nrk_bf16 *x = j->a + t * j->K, *dy = j->b + t * j->K;
    nrk_bf16 *dx = (nrk_bf16 *)j->out + t * j->K;
    float rstd = j->rstd[t];
    v16 sum = splat(0);
    for (int64_t k = 0; k < j->K; k += 16) {
      int64_t n = j->K - k;
      sum = fma16(widen_part(dy + k, n) * load_part(j->w + k, n, 0), widen_part(x + k, n), sum);
    }
    float share = sum_lanes(sum) / (float)j->K * rstd * rstd;
    for (int64_t k = 0; k < j->K; k += 16) {
      int64_t n = j->K - k;
      v16 d = (widen_part(dy + k, n) * load_part(j->w + k, n, 0) - widen_part(x + k, n) * splat(share)) * splat(rstd);
      if (j->accumulate) d = widen_part(dx + k, n) + d;
      store_halves(dx + k, d, n);
    }
  }
}
static void rmsnorm_dw_bf16_task(void *context, int64_t index, int32_t worker) {
  const half_job *j = context;
  (void)worker;
  int64_t k = index * 16, n = nrk_min(16, j->K - k);
  v16 sum = load_part(j->dw + k, n, 0);
  for (int64_t t = 0; t < j->T; t++)
    sum += widen_part(j->b + t * j->K + k, n) * widen_part(j->a + t * j->K + k, n) * splat(j->rstd[t]);
  store_part(j->dw + k, sum, n);
}
static void rmsnorm_backward_bf16(nrk_pool *pool, int64_t T, int64_t K, const nrk_bf16 *dy, const nrk_bf16 *x, const float *w,
                                  const float *rstd, nrk_bf16 *dx, int32_t accumulate, float *dw) {
  half_job job = {.T = T, .K = K, .rows = nrk_max(1, HALF_CHUNK / nrk_max(K, 1)), .a = x, .b = dy, .w = w, .rstd = rstd, .out = dx,
                  .dw = dw, .accumulate = accumulate};
  /* The weight's gradient first: dx may lie over dy. */
  if (dw) nrk_share(pool, T * K / 6, nrk_ceil(K, 16), rmsnorm_dw_bf16_task, &job);
  nrk_share(pool, T * K / 3, nrk_ceil(T, job.rows), rmsnorm_dx_bf16_task, &job);
}

/* ---- rotary embedding ----------------------------------------------------------------------------------- */

static void rope_bf16_task(void *context, int64_t index, int32_t worker) {
  const half_job *j = context;
  (void)worker;
  int64_t half = j->C / 2;
  v16 sign = splat(j->inverse ? -1.0f : 1.0f);
  for (int64_t t = index * j->rows, end = nrk_min(j->T, t + j->rows); t < end; t++) {
    const float *c = j->cos + j->ids[t] * half, *s = j->sin + j->ids[t] * half;
    for (int64_t h = 0; h < j->heads; h++) {
      nrk_bf16 *x = (nrk_bf16 *)j->out + t * j->ldo + h * j->C, *y = x + half;
      for (int64_t i = 0; i < half; i += 16) {
        int64_t n = half - i;
        v16 a = widen_part(x + i, n), b = widen_part(y + i, n), cosine = load_part(c + i, n, 0), turn = load_part(s + i, n, 0) * sign;
        store_halves(x + i, a * cosine - b * turn, n);
        store_halves(y + i, b * cosine + a * turn, n);
      }
    }
  }
}
static void rope_bf16(nrk_pool *pool, int64_t T, int64_t heads, int64_t C, nrk_bf16 *x, int64_t ld, const int32_t *positions,
                      const float *cos, const float *sin, int32_t inverse) {
  half_job job = {.T = T, .heads = heads, .C = C, .ldo = ld, .rows = nrk_max(1, HALF_CHUNK / nrk_max(heads * C, 1)), .out = x,
                  .ids = positions, .cos = cos, .sin = sin, .inverse = inverse};
  nrk_share(pool, T * heads * C / 6, nrk_ceil(T, job.rows), rope_bf16_task, &job);
}

/* ---- the gated unit --------------------------------------------------------------------------------------- */

static void swiglu_bf16_task(void *context, int64_t index, int32_t worker) {
  const half_job *j = context;
  (void)worker;
  int64_t end = nrk_min(j->count, (index + 1) * HALF_CHUNK);
  for (int64_t i = index * HALF_CHUNK; i < end; i += 16) {
    v16 z = widen_part(j->a + i, end - i), up = widen_part(j->b + i, end - i);
    store_halves((nrk_bf16 *)j->out + i, z / (splat(1) + exp16(-z)) * up, end - i);
  }
}
static void swiglu_bf16(nrk_pool *pool, int64_t count, const nrk_bf16 *gate, const nrk_bf16 *up, nrk_bf16 *out) {
  half_job job = {.count = count, .a = gate, .b = up, .out = out};
  nrk_share(pool, count * 2, nrk_ceil(count, HALF_CHUNK), swiglu_bf16_task, &job);
}

static void swiglu_backward_bf16_task(void *context, int64_t index, int32_t worker) {
  const half_job *j = context;
  (void)worker;
  int64_t end = nrk_min(j->count, (index + 1) * HALF_CHUNK);
  for (int64_t i = index * HALF_CHUNK; i < end; i += 16) {
    int64_t n = end - i;
    v16 dgate, dup;
    gate_backward(widen_part(j->a + i, n), widen_part(j->b + i, n), widen_part(j->c + i, n), &dgate, &dup);
    store_halves((nrk_bf16 *)j->out + i, dgate, n), store_halves(j->out2 + i, dup, n);
  }
}
static void swiglu_backward_bf16(nrk_pool *pool, int64_t count, const nrk_bf16 *gate, const nrk_bf16 *up, const nrk_bf16 *dout,
                                 nrk_bf16 *dgate, nrk_bf16 *dup) {
  half_job job = {.count = count, .a = gate, .b = up, .c = dout, .out = dgate, .out2 = dup};
  nrk_share(pool, count * 2, nrk_ceil(count, HALF_CHUNK), swiglu_backward_bf16_task, &job);
}
