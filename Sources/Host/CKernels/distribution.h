/* distribution.h - what the loss heads and the samplers of float32 and of bfloat16 share: what follows from a row's sums, and a draw from
   the tokens that top-k and top-p keep. */

/* Of z = logit * factor over a row: the largest, the sum of exp(z - top), its logarithm, and the sum of exp(z - top) (z - top). */
typedef struct softmax_row { float top, sum, log_sum, weighted; } softmax_row;

NRK_INLINE float row_log_z(softmax_row r) { return r.top + r.log_sum; }
/* At a temperature near 0 the largest logit takes the sum's logarithm into its last digit; there it is subtracted by itself. */
NRK_INLINE float row_log_prob(softmax_row r, float logit, float factor) {
  return fabsf(r.top) > 0x1p24f ? (logit * factor - r.top) - r.log_sum : logit * factor - row_log_z(r);
}
/* log z - sum p z = log sum - sum p (z - max): without the cancellation of two large numbers */
NRK_INLINE float row_entropy(softmax_row r) { return r.log_sum - r.weighted / r.sum; }

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

NRK_INLINE int is_greedy(const sample_job *j) { return !(j->temperature > 0); }
NRK_INLINE int is_truncated(const sample_job *j) { return !is_greedy(j) && ((j->top_k > 0 && j->top_k < j->V) || j->top_p < 1); }
/* Colder than this the reciprocal, or a logit times it, overflows, and nothing is left to tell: all probability is the likeliest token's
   already (SamplingSettings.coldest). */
NRK_INLINE float sampling_factor(const sample_job *j) {
  return is_greedy(j) ? 1.0f : 1.0f / (j->temperature < 1e-20f ? 1e-20f : j->temperature);
}

/* A row with a NaN, an infinite logit, or nothing possible. */
static void reject_row(const sample_job *j, int64_t row) {
  j->tokens[row] = -1;
  j->log_prob[row] = NAN;
  if (j->entropy) j->entropy[row] = NAN;
}

/* The first index of the largest logit. */
static int32_t first_equal(const float *logits, int64_t V, float top) {
  int64_t i = 0;
  for (; i + 16 <= V; i += 16)
    if (__builtin_reduce_or(load(logits + i) == splat(top))) break;
  while (i < V - 1 && logits[i] != top) i++;
  return (int32_t)i;
}

static float exp_of(float x) { return exp16(splat(x))[0]; }

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

/* Floats of its scratch. */
NRK_INLINE int64_t truncated_floats(int64_t V) { return (int64_t)(sizeof(bins) / sizeof(float)) + V * 2; }

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
