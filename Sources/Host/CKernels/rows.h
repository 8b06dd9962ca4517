/* rows.h - what is done element by element or along one row: sums, norms, rotary embedding, the gated activation. */

#include "gate.h"

enum { CHUNK = 8192, LEAST = 2048 }; /* elements a task takes of a flat array */

typedef struct flat_job {
  int64_t count, chunk;
  float *out, *out2;
  const float *a, *b, *c;
  float factor;
} flat_job;

static void scale_task(void *context, int64_t index, int32_t worker) {
  const flat_job *j = context;
  (void)worker;
  int64_t end = nrk_min(j->count, (index + 1) * CHUNK);
  for (int64_t i = index * CHUNK; i < end; i++) j->out[i] *= j->factor;
}
static void scale(nrk_pool *pool, int64_t count, float *x, float factor) {
  flat_job job = {.count = count, .out = x, .factor = factor};
  nrk_share(pool, count / 8, nrk_ceil(count, CHUNK), scale_task, &job);
}

static void add_task(void *context, int64_t index, int32_t worker) {
  const flat_job *j = context;
  (void)worker;
  int64_t end = nrk_min(j->count, (index + 1) * CHUNK);
  for (int64_t i = index * CHUNK; i < end; i++) j->out[i] += j->a[i];
}
static void add(nrk_pool *pool, int64_t count, float *x, const float *y) {
  flat_job job = {.count = count, .out = x, .a = y};
  nrk_share(pool, count / 8, nrk_ceil(count, CHUNK), add_task, &job);
}

/* Nearly equal tasks, one for every thread if there is enough to do; returns their number. */
static int64_t cut_flat(nrk_pool *pool, flat_job *job) {
  int64_t tasks = nrk_max(nrk_ceil(job->count, CHUNK), nrk_min(nrk_pool_threads(pool), nrk_ceil(job->count, LEAST)));
  job->chunk = nrk_max(16, nrk_round(nrk_ceil(job->count, nrk_max(tasks, 1)), 16));
  return nrk_ceil(job->count, job->chunk);
}

NRK_INLINE v16 sigmoid(v16 z) { return splat(1) / (splat(1) + exp16(-z)); }

static void swiglu_task(void *context, int64_t index, int32_t worker) {
  const flat_job *j = context;
  (void)worker;
  int64_t end = nrk_min(j->count, (index + 1) * j->chunk);
  for (int64_t i = index * j->chunk; i < end; i += 16) {
    v16 z = load_part(j->a + i, end - i, 0), up = load_part(j->b + i, end - i, 0);
    store_part(j->out + i, z * sigmoid(z) * up, end - i);
  }
}
static void swiglu(nrk_pool *pool, int64_t count, const float *gate, const float *up, float *out) {
  flat_job job = {.count = count, .a = gate, .b = up, .out = out};
  int64_t tasks = cut_flat(pool, &job);
  nrk_share(pool, count * 2, tasks, swiglu_task, &job);
}

static void swiglu_backward_task(void *context, int64_t index, int32_t worker) {
  const flat_job *j = context;
  (void)worker;
  int64_t end = nrk_min(j->count, (index + 1) * j->chunk);
  for (int64_t i = index * j->chunk; i < end; i += 16) {
    int64_t n = end - i;
    v16 dgate, dup;
    gate_backward(load_part(j->a + i, n, 0), load_part(j->b + i, n, 0), load_part(j->c + i, n, 0), &dgate, &dup);
    store_part(j->out + i, dgate, n), store_part(j->out2 + i, dup, n);
  }
}
static void swiglu_backward(nrk_pool *pool, int64_t count, const float *gate, const float *up, const float *dout, float *dgate,
                            float *dup) {
  flat_job job = {.count = count, .a = gate, .b = up, .c = dout, .out = dgate, .out2 = dup};
  int64_t tasks = cut_flat(pool, &job);
  nrk_share(pool, count * 2, tasks, swiglu_backward_task, &job);
}

/* ---- root mean square norm ---------------------------------------------------------------------------- */

typedef struct norm_job {
  int64_t T, K, rows;
  const float *x, *w, *dy, *rstd;
  float *y, *rstd_out, *dw;
  float epsilon;
  int32_t accumulate;
} norm_job;

static void rmsnorm_task(void *context, int64_t index, int32_t worker) {
  const norm_job *j = context;
  (void)worker;
  for (int64_t t = index * j->rows, end = nrk_min(j->T, t + j->rows); t < end; t++) {
    const float *x = j->x + t * j->K;
    float *y = j->y + t * j->K;
    v16 sum = splat(0);
    for (int64_t k = 0; k < j->K; k += 16) {
      v16 v = load_part(x + k, j->K - k, 0);
      sum = fma16(v, v, sum);
    }
    float rstd = 1.0f / sqrtf(sum_lanes(sum) / (float)j->K + j->epsilon);
    for (int64_t k = 0; k < j->K; k++) y[k] = x[k] * rstd * j->w[k];
    if (j->rstd_out) j->rstd_out[t] = rstd;
  }
}
static void rmsnorm(nrk_pool *pool, int64_t T, int64_t K, const float *x, const float *w, float epsilon, float *y, float *rstd) {
  norm_job job = {.T = T, .K = K, .rows = nrk_max(1, CHUNK / nrk_max(K, 1)), .x = x, .w = w, .epsilon = epsilon, .y = y, .rstd_out = rstd};
  nrk_share(pool, T * K / 4, nrk_ceil(T, job.rows), rmsnorm_task, &job);
}

static void rmsnorm_dx_task(void *context, int64_t index, int32_t worker) {
  const norm_job *j = context;
  (void)worker;
  for (int64_t t = index * j->rows, end = nrk_min(j->T, t + j->rows); t < end; t++) {
    const float *x = j->x + t * j->K, *dy = j->dy + t * j->K;
    float *dx = j->y + t * j->K, rstd = j->rstd[t];
    v16 sum = splat(0);
    for (int64_t k = 0; k < j->K; k += 16) {
      int64_t n = j->K - k;
      sum = fma16(load_part(dy + k, n, 0) * load_part(j->w + k, n, 0), load_part(x + k, n, 0), sum);
    }
    float share = sum_lanes(sum) / (float)j->K * rstd * rstd;
    if (j->accumulate)
      for (int64_t k = 0; k < j->K; k++) dx[k] += (dy[k] * j->w[k] - x[k] * share) * rstd;
    else
      for (int64_t k = 0; k < j->K; k++) dx[k] = (dy[k] * j->w[k] - x[k] * share) * rstd;
  }
}
static void rmsnorm_dw_task(void *context, int64_t index, int32_t worker) {
  const norm_job *j = context;
  (void)worker;
  int64_t k = index * 64, width = nrk_min(64, j->K - k);
  float sum[64];
  for (int64_t i = 0; i < width; i++) sum[i] = j->dw[k + i];
  for (int64_t t = 0; t < j->T; t++) {
    const float *x = j->x + t * j->K + k, *dy = j->dy + t * j->K + k;
    float rstd = j->rstd[t];
    for (int64_t i = 0; i < width; i++) sum[i] += dy[i] * x[i] * rstd;
  }
  for (int64_t i = 0; i < width; i++) j->dw[k + i] = sum[i];
}
static void rmsnorm_backward(nrk_pool *pool, int64_t T, int64_t K, const float *dy, const float *x, const float *w, const float *rstd,
                             float *dx, int32_t accumulate, float *dw) {
  norm_job job = {.T = T, .K = K, .rows = nrk_max(1, CHUNK / nrk_max(K, 1)), .x = x, .w = w, .dy = dy, .rstd = rstd, .y = dx,
                  .dw = dw, .accumulate = accumulate};
  /* The weight's gradient first: dx may lie over dy. */
  if (dw) nrk_share(pool, T * K / 6, nrk_ceil(K, 64), rmsnorm_dw_task, &job);
  nrk_share(pool, T * K / 3, nrk_ceil(T, job.rows), rmsnorm_dx_task, &job);
}

/* ---- rotary embedding --------------------------------------------------------------------------------- */

typedef struct rope_job {
  int64_t T, heads, C, ld, rows;
  float *x;
  const int32_t *positions;
  const float *cos, *sin;
  int32_t inverse;
} rope_job;

static void rope_task(void *context, int64_t index, int32_t worker) {
  const rope_job *j = context;
  (void)worker;
  int64_t half = j->C / 2;
  float sign = j->inverse ? -1.0f : 1.0f;
  for (int64_t t = index * j->rows, end = nrk_min(j->T, t + j->rows); t < end; t++) {
    const float *restrict c = j->cos + j->positions[t] * half, *restrict s = j->sin + j->positions[t] * half;
    for (int64_t h = 0; h < j->heads; h++) {
      float *restrict x = j->x + t * j->ld + h * j->C, *restrict y = x + half;
      for (int64_t i = 0; i < half; i++) {
        float a = x[i], b = y[i], turn = s[i] * sign;
        x[i] = a * c[i] - b * turn;
        y[i] = b * c[i] + a * turn;
      }
    }
  }
}
static void rope(nrk_pool *pool, int64_t T, int64_t heads, int64_t C, float *x, int64_t ld, const int32_t *positions, const float *cos,
                 const float *sin, int32_t inverse) {
  rope_job job = {.T = T, .heads = heads, .C = C, .ld = ld, .rows = nrk_max(1, CHUNK / nrk_max(heads * C, 1)), .x = x,
                  .positions = positions, .cos = cos, .sin = sin, .inverse = inverse};
  nrk_share(pool, T * heads * C / 6, nrk_ceil(T, job.rows), rope_task, &job);
}
