/* softmax.h - the loss head on rows of logits, forward and backward. */

/* One row's normalisation: z = logits * factor; the sums run over 16 lanes by index modulo 16, block by block, and the
   blocks' lanes are added in order (over 150 000 tokens a single float would gather too much rounding). The sampler calls
   this too, so its log-probabilities are these. `prefix`, when given, takes the running sum after every block. */
enum { SOFTMAX_BLOCK = 1024 };

static softmax_row normalise(const float *logits, int64_t V, float factor, float *prefix) {
  v16 highest[4], f = splat(factor);
  for (int i = 0; i < 4; i++) highest[i] = splat(-INFINITY);
  int64_t i = 0;
  for (; i + 64 <= V; i += 64)
    for (int u = 0; u < 4; u++) highest[u] = max16(load(logits + i + 16 * u) * f, highest[u]);
  for (; i < V; i += 16) highest[0] = max16(load_scaled(logits + i, V - i, f), highest[0]);
  float top = max_lanes(max16(max16(highest[0], highest[1]), max16(highest[2], highest[3])));
  v16 sum = splat(0), weighted = splat(0), m = splat(top);
  for (int64_t block = 0; block < V; block += SOFTMAX_BLOCK) {
    int64_t end = nrk_min(V, block + SOFTMAX_BLOCK);
    v16 part = splat(0), part_weighted = splat(0);
    for (i = block; i < end; i += 16) {
      v16 d = load_scaled(logits + i, end - i, f) - m;
      v16 e = exp16(d);
      part += e;
      part_weighted = fma16(e, d < splat(-1e30f) ? splat(-1e30f) : d, part_weighted); /* 0 * -inf counts nothing */
    }
    sum += part, weighted += part_weighted;
    if (prefix) prefix[block / SOFTMAX_BLOCK] = sum_lanes(sum);
  }
  float total = sum_lanes(sum);
  return (softmax_row){top, total, logf(total), sum_lanes(weighted)};
}
typedef struct softmax_job {
  int64_t n, V, ld, rows; /* a task is so many rows */
  const float *logits;
  float *inout, factor;
  const int32_t *targets;
  float *log_prob, *entropy, *log_z;
  const float *entropies, *log_zs, *d_log_prob, *d_entropy;
} softmax_job;

static void log_softmax_task(void *context, int64_t index, int32_t worker) {
  const softmax_job *j = context;
  (void)worker;
  for (int64_t i = index * j->rows, end = nrk_min(j->n, i + j->rows); i < end; i++) {
    const float *logits = j->logits + i * j->ld;
    softmax_row r = normalise(logits, j->V, j->factor, NULL);
    if (j->targets) j->log_prob[i] = row_log_prob(r, logits[j->targets[i]], j->factor);
    if (j->entropy) j->entropy[i] = row_entropy(r);
    if (j->log_z) j->log_z[i] = row_log_z(r);
  }
}

/* A task is long enough to be worth handing out, and there is one for every thread. */
NRK_INLINE int64_t softmax_rows(nrk_pool *pool, int64_t n, int64_t V) {
  return nrk_max(1, nrk_min(CHUNK / V, n / (4 * nrk_pool_threads(pool))));
}

static void log_softmax(nrk_pool *pool, int64_t n, int64_t V, const float *logits, int64_t ld, float factor, const int32_t *targets,
                        float *log_prob, float *entropy, float *log_z) {
  if (V <= 0) return;
  softmax_job job = {.n = n, .V = V, .ld = ld, .rows = softmax_rows(pool, n, V), .logits = logits, .factor = factor, .targets = targets,
                     .log_prob = log_prob, .entropy = entropy, .log_z = log_z};
  nrk_share(pool, n * V * 2, nrk_ceil(n, job.rows), log_softmax_task, &job);
}

NRK_INLINE void log_softmax_backward_row(const softmax_job *j, int64_t i) {
  float *x = j->inout + i * j->ld;
  float from_log_prob = j->targets && j->d_log_prob ? j->d_log_prob[i] : 0, from_entropy = j->d_entropy ? j->d_entropy[i] : 0;
  v16 f = splat(j->factor), a = splat(-from_log_prob * j->factor), b = splat(-from_entropy * j->factor), log_z = splat(j->log_zs[i]);
  if (from_entropy == 0) { /* the common case, and it needs no entropy */
    for (int64_t v = 0; v < j->V; v += 16)
      store_part(x + v, a * exp16(load_part(x + v, j->V - v, 0) * f - log_z), j->V - v);
  } else {
    v16 entropy = splat(j->entropies[i]);
    for (int64_t v = 0; v < j->V; v += 16) {
      v16 log_p = load_part(x + v, j->V - v, 0) * f - log_z, p = exp16(log_p);
      log_p = log_p < splat(-1e30f) ? splat(-1e30f) : log_p;
      store_part(x + v, p * fma16(b, log_p + entropy, a), j->V - v);
    }
  }
  if (j->targets) x[j->targets[i]] += from_log_prob * j->factor;
}
static void log_softmax_backward_task(void *context, int64_t index, int32_t worker) {
  const softmax_job *j = context;
  (void)worker;
  for (int64_t i = index * j->rows, end = nrk_min(j->n, i + j->rows); i < end; i++) log_softmax_backward_row(j, i);
}

static void log_softmax_backward(nrk_pool *pool, int64_t n, int64_t V, float *logits, int64_t ld, float factor, const int32_t *targets,
                                 const float *log_z, const float *entropy, const float *d_log_prob, const float *d_entropy) {
  if (V <= 0) return;
  softmax_job job = {.n = n, .V = V, .ld = ld, .rows = softmax_rows(pool, n, V), .inout = logits, .factor = factor, .targets = targets,
                     .log_zs = log_z, .entropies = entropy, .d_log_prob = d_log_prob, .d_entropy = d_entropy};
  nrk_share(pool, n * V * 2, nrk_ceil(n, job.rows), log_softmax_backward_task, &job);
}
