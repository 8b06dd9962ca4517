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

/* The first index of the largest logit. */
static int32_t first_equal(const float *logits, int64_t V, float top) {
  int64_t i = 0;
  for (; i + 16 <= V; i += 16)
    if (__builtin_reduce_or(load(logits + i) == splat(top))) break;
  while (i < V - 1 && logits[i] != top) i++;
  return (int32_t)i;
}

static float exp_of(float x) { return exp16(splat(x))[0]; }

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

/* ---- top-k and top-p: tokens most likely first --------------------------------------------------------- */

/* Tokens are told apart by bins of 1/32 below the maximum (the last bin takes the rest). The order inside a bin matters
   only where the kept set ends and where the drawn token lies, so only those bins are sorted. */
enum { BINS = 2048 };
typedef struct bins {
  double mass[BINS], weighted[BINS]; /* sums of exp(z - max), and of that times z - max, in index order */
  int64_t count[BINS];
} bins;
typedef struct candidate { float z; int32_t token; } candidate;

NRK_INLINE v16 bins_of(v16 z, float top) {
  v16 below = (splat(top) - z) * splat(32);
  return below < splat(BINS - 1) ? below : splat(BINS - 1);
}

static int by_likelihood(const void *left, const void *right) {
  const candidate *a = left, *b = right;
  if (a->z != b->z) return a->z > b->z ? -1 : 1;
  return a->token < b->token ? -1 : a->token > b->token;
}

static void fill_bins(bins *all, const float *logits, int64_t V, float factor, float top) {
  memset(all, 0, sizeof *all);
  for (int64_t i = 0; i < V; i += 16) {
    v16 z = load_scaled(logits + i, V - i, splat(factor)), d = z - splat(top), e = exp16(d);
    v16 w = e * (d < splat(-1e30f) ? splat(-1e30f) : d);
    i16 bin = __builtin_convertvector(bins_of(z, top), i16);
    for (int64_t lane = 0, width = nrk_min(16, V - i); lane < width; lane++) {
      all->mass[bin[lane]] += (double)e[lane];
      all->weighted[bin[lane]] += (double)w[lane];
      all->count[bin[lane]]++;
    }
  }
}

/* The tokens of one bin in order; returns how many. */
static int64_t sort_bin(candidate *list, const float *logits, int64_t V, float factor, float top, int64_t bin) {
  int64_t found = 0;
  for (int64_t i = 0; i < V; i += 16) {
    v16 z = load_scaled(logits + i, V - i, splat(factor));
    i16 equal = __builtin_convertvector(bins_of(z, top), i16) == (i16)((int32_t)bin);
    if (!__builtin_reduce_or(equal)) continue;
    for (int64_t lane = 0, width = nrk_min(16, V - i); lane < width; lane++)
      if (equal[lane]) list[found++] = (candidate){z[lane], (int32_t)(i + lane)};
  }
  qsort(list, (size_t)found, sizeof *list, by_likelihood);
  return found;
}

static void draw_truncated(const sample_job *j, int64_t row, softmax_row r, float factor, float *scratch) {
  const float *logits = j->logits + row * j->ld;
  int64_t V = j->V;
  bins *all = (bins *)scratch;
  candidate *list = (candidate *)(all + 1);
  fill_bins(all, logits, V, factor, r.top);

  /* Where the kept set ends: bins before `last` whole, then the first `part` tokens of that bin, in order. */
  int64_t last = 0, part = 0, sorted = -1;
  double total = 0;
  if (j->top_k > 0 && j->top_k < V) {
    int64_t members = 0;
    for (; members + all->count[last] < j->top_k; last++) members += all->count[last], total += all->mass[last];
    part = j->top_k - members, sorted = last;
    sort_bin(list, logits, V, factor, r.top, last);
    for (int64_t i = 0; i < part; i++) total += (double)exp_of(list[i].z - r.top);
  } else {
    for (last = BINS - 1; last > 0 && !all->count[last]; last--) {}
    for (int64_t bin = 0; bin <= last; bin++) total += all->mass[bin];
    part = all->count[last];
  }
  double before = 0, weighted = 0, sum; /* over the whole bins, then with the part */
  int64_t end = last;
  for (last = 0; last < end; last++) {
    if (j->top_p < 1 && before + all->mass[last] >= (double)j->top_p * total) break;
    before += all->mass[last], weighted += all->weighted[last];
  }
  if (sorted != last) {
    sorted = last;
    int64_t found = sort_bin(list, logits, V, factor, r.top, last);
    if (last < end) part = found;
  }
  sum = before;
  for (int64_t i = 0; i < part; i++) {
    float d = list[i].z - r.top;
    double e = (double)exp_of(d);
    sum += e;
    if (e > 0) weighted += e * (double)d;
    if (j->top_p < 1 && sum >= (double)j->top_p * total) part = i + 1;
  }

  double goal = j->uniforms[row] * sum, running = 0, log_sum = log(sum);
  int64_t bin = 0, chosen = 0;
  for (; bin < last && running + all->mass[bin] <= goal; bin++) running += all->mass[bin];
  if (bin < last) part = sort_bin(list, logits, V, factor, r.top, bin);
  for (int64_t i = 0; i < part; i++) {
    double e = (double)exp_of(list[i].z - r.top);
    if (e > 0) chosen = i;
    running += e;
    if (e > 0 && running > goal) break;
  }
  j->tokens[row] = list[chosen].token;
  j->log_prob[row] = (float)((double)(list[chosen].z - r.top) - log_sum);
  if (j->entropy) j->entropy[row] = (float)(log_sum - weighted / sum);
}

static void sample_task(void *context, int64_t row, int32_t worker) {
  const sample_job *j = context;
  const float *logits = j->logits + row * j->ld;
  int greedy = !(j->temperature > 0), truncated = !greedy && ((j->top_k > 0 && j->top_k < j->V) || j->top_p < 1);
  /* Colder than this the reciprocal, or a logit times it, overflows, and nothing is left to tell: all probability is the
     likeliest token's already (SamplingSettings.coldest). */
  float factor = greedy ? 1.0f : 1.0f / (j->temperature < 1e-20f ? 1e-20f : j->temperature);
  int64_t floats = truncated ? (int64_t)sizeof(bins) / 4 + j->V * 2 : nrk_ceil(j->V, SOFTMAX_BLOCK);
  float *scratch = nrk_scratch(j->pool, worker, floats);
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
  int32_t token = greedy ? first_equal(logits, j->V, r.top) : draw(logits, j->V, factor, r, scratch, j->uniforms[row]);
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
