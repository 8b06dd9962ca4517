/* sampler.h - one token from each row of logits. */

typedef struct sample_job {
  nrk_pool *pool;
  int64_t V, ld;
  const float *logits;
  float temperature, top_p;
  int32_t top_k;
  const double *uniforms;
  int32_t *tokens;
  float *log_prob, *entropy;
} sample_job;

typedef struct candidate { float z; int32_t token; } candidate;

/* Most likely first, ties by index. */
static int by_likelihood(const void *left, const void *right) {
  const candidate *a = left, *b = right;
  if (a->z != b->z) return a->z > b->z ? -1 : 1;
  return a->token < b->token ? -1 : a->token > b->token;
}

static int32_t largest(const float *logits, int64_t V) {
  int32_t best = 0;
  for (int64_t i = 1; i < V; i++)
    if (logits[i] > logits[best]) best = (int32_t)i;
  return best;
}

static float exp_of(float x) { return exp16(splat(x))[0]; }

/* The first token at which the running sum passes u times the total. Blocks by the sums `normalise` left in prefix, then
   token by token in double; if rounding carries past the block's end, its last token that has any probability. */
static int32_t draw(const float *logits, int64_t V, float factor, softmax_row r, const float *prefix, double u) {
  double goal = u * (double)r.sum;
  int64_t blocks = nrk_ceil(V, SOFTMAX_BLOCK), block = 0;
  while (block < blocks - 1 && (double)prefix[block] <= goal) block++;
  /* The last blocks may hold nothing. */
  while (block > 0 && prefix[block] == prefix[block - 1]) block--;
  double running = block > 0 ? (double)prefix[block - 1] : 0;
  int32_t token = -1;
  for (int64_t i = block * SOFTMAX_BLOCK, end = nrk_min(V, i + SOFTMAX_BLOCK); i < end; i++) {
    float e = exp_of(logits[i] * factor - r.top);
    if (e > 0) token = (int32_t)i;
    running += (double)e;
    if (running > goal) break;
  }
  return token;
}

/* How finely likelihoods are told apart before sorting: bins of 1/32 below the maximum; the last takes the rest. */
enum { BINS = 2048 };
NRK_INLINE int64_t bin_of(float z, float top) {
  float below = (top - z) * 32.0f;
  return below < (float)(BINS - 1) ? (int64_t)below : BINS - 1;
}

static void draw_truncated(const sample_job *j, int64_t row, softmax_row r, float factor, float *scratch) {
  const float *logits = j->logits + row * j->ld;
  int64_t V = j->V, limit = j->top_k > 0 ? nrk_min(j->top_k, V) : V;
  double *mass = (double *)scratch;
  int64_t *count = (int64_t *)(mass + BINS), kept = 0, found = 0;
  candidate *list = (candidate *)(count + BINS);
  memset(mass, 0, BINS * (sizeof *mass + sizeof *count));
  for (int64_t i = 0; i < V; i += 16) {
    int64_t width = nrk_min(16, V - i);
    v16 z = load_part(logits + i, width, 0) * splat(factor), e = exp16(z - splat(r.top));
    for (int64_t lane = 0; lane < width; lane++) {
      int64_t bin = bin_of(z[lane], r.top);
      mass[bin] += (double)e[lane];
      count[bin]++;
    }
  }
  /* Whole bins until they surely hold every token to keep (a hair more of the mass, for the order of additions). */
  double total = 0, reached = 0;
  for (int64_t bin = 0; bin < BINS; bin++) total += mass[bin];
  int64_t last = 0;
  for (int64_t members = 0; last < BINS - 1; last++) {
    members += count[last], reached += mass[last];
    if (members >= limit || (limit == V && j->top_p < 1 && reached >= (double)j->top_p * total * (1 + 1e-9))) break;
  }
  for (int64_t i = 0; i < V; i++) {
    float z = logits[i] * factor;
    if (bin_of(z, r.top) <= last) list[found++] = (candidate){z, (int32_t)i};
  }
  qsort(list, (size_t)found, sizeof *list, by_likelihood);
  found = nrk_min(found, limit);
  if (limit < V) {
    total = 0;
    for (int64_t i = 0; i < found; i++) total += (double)exp_of(list[i].z - r.top);
  }
  double sum = 0, weighted = 0;
  while (kept < found) {
    float d = list[kept++].z - r.top;
    double e = (double)exp_of(d);
    sum += e;
    if (e > 0) weighted += e * (double)d;
    if (j->top_p < 1 && sum >= (double)j->top_p * total) break;
  }
  double goal = j->uniforms[row] * sum, running = 0, log_sum = log(sum);
  int64_t chosen = 0;
  for (int64_t i = 0; i < kept; i++) {
    double e = (double)exp_of(list[i].z - r.top);
    if (e > 0) chosen = i;
    running += e;
    if (running > goal) break;
  }
  j->tokens[row] = list[chosen].token;
  j->log_prob[row] = (float)((double)(list[chosen].z - r.top) - log_sum);
  if (j->entropy) j->entropy[row] = (float)(log_sum - weighted / sum);
}

static void sample_task(void *context, int64_t row, int32_t worker) {
  const sample_job *j = context;
  const float *logits = j->logits + row * j->ld;
  int greedy = !(j->temperature > 0), truncated = !greedy && ((j->top_k > 0 && j->top_k < j->V) || j->top_p < 1);
  float factor = greedy ? 1.0f : 1.0f / j->temperature;
  int64_t blocks = nrk_ceil(j->V, SOFTMAX_BLOCK);
  float *scratch = nrk_scratch(j->pool, worker, nrk_max(blocks, truncated ? BINS * 4 + j->V * 2 : 0));
  softmax_row r = normalise(logits, j->V, factor, truncated ? NULL : scratch);
  if (!(r.sum > 0)) { /* a NaN, an infinite logit, or nothing possible */
    j->tokens[row] = -1;
    j->log_prob[row] = NAN;
    if (j->entropy) j->entropy[row] = NAN;
    return;
  }
  if (truncated) {
    draw_truncated(j, row, r, factor, scratch);
    return;
  }
  int32_t token = greedy ? largest(logits, j->V) : draw(logits, j->V, factor, r, scratch, j->uniforms[row]);
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
