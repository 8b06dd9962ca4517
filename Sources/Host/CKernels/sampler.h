/* sampler.h - one token from each row of logits. */

/* The first token, in index order, at which the running sum passes u times the total: first by the sums `normalise` left
   after each block, then by sixteen, then one by one. Where rounding makes a finer sum fall short of a coarser one, the
   last token that has any probability. */
static int32_t draw(const float *logits, int64_t V, float factor, softmax_row r, const float *prefix, double u) {
  double goal = u * (double)r.sum;
  int64_t blocks = nrk_ceil(V, SOFTMAX_BLOCK), block = 0;
  while (block < blocks - 1 && (double)prefix[block] <= goal) block++;
  double running = block > 0 ? (double)prefix[block - 1] : 0;
  int32_t token = 0;
  for (int64_t i = block * SOFTMAX_BLOCK, end = nrk_min(V, i + SOFTMAX_BLOCK); i < end; i += 16) {
    v16 e = exp16(load_scaled(logits + i, end - i, splat(factor)) - splat(r.top));
    float sum = sum_lanes(e);
    if (sum == 0) continue;
    for (int lane = 0; lane < 16; lane++)
      if (e[lane] > 0) token = (int32_t)(i + lane);
    if (running + (double)sum <= goal) {
      running += (double)sum;
      continue;
    }
    for (int lane = 0; lane < 16; lane++) {
      running += (double)e[lane];
      if (e[lane] > 0 && running > goal) return (int32_t)(i + lane);
    }
    return token;
  }
  return token;
}

static void sample_task(void *context, int64_t row, int32_t worker) {
  const sample_job *j = context;
  const float *logits = j->logits + row * j->ld;
  float factor = sampling_factor(j);
  int truncated = is_truncated(j);
  float *scratch = nrk_scratch(j->pool, worker, truncated ? truncated_floats(j->V) : nrk_ceil(j->V, SOFTMAX_BLOCK));
  softmax_row r = normalise(logits, j->V, factor, truncated ? NULL : scratch);
  if (!(r.sum > 0)) {
    reject_row(j, row);
    return;
  }
  if (truncated) {
    draw_truncated(j, row, r, factor, scratch);
    return;
  }
  int32_t token = is_greedy(j) ? first_equal(logits, j->V, r.top) : draw(logits, j->V, factor, r, scratch, j->uniforms[row]);
  j->tokens[row] = token;
  j->log_prob[row] = row_log_prob(r, logits[token], factor);
  if (j->entropy) j->entropy[row] = row_entropy(r);
}

static void sample(nrk_pool *pool, int64_t n, int64_t V, const float *logits, int64_t ld, float temperature, int32_t top_k, float top_p,
                   const double *uniforms, int32_t *tokens, float *log_prob, float *entropy) {
  sample_job job = {.pool = pool, .V = V, .ld = ld, .logits = logits, .temperature = temperature, .top_p = top_p, .top_k = top_k,
                    .uniforms = uniforms, .tokens = tokens, .log_prob = log_prob, .entropy = entropy};
  if (V > 0) nrk_share(pool, n * V * 3, n, sample_task, &job);
}
