/* linear.h - a linear layer forward and backward, and the packing of its weights. */

typedef struct linear_job {
  nrk_pool *pool;
  int64_t T, N, K, ldx, ldy, ldw;
  const float *x, *dy, *bias;
  const void *panels;
  float *out;
  nrk_kind kind;
  int32_t accumulate, is_turned;
  int64_t row_chunk, panel_chunk, row_chunks; /* a task is a rectangle of the output */
  int64_t *stands;                            /* the first input of the weights that stand turned, of each of KEEPERS workers */
} linear_job;

enum { KEEPERS = 64 };

/* The time of so many equal rectangles and of one whose rows are fewer, in rows. */
NRK_INLINE int64_t rows_of_longest(int64_t threads, int64_t tasks, int64_t row_chunk, int64_t last_rows) {
  return (tasks - 1) / threads * row_chunk + (tasks % threads == 1 ? last_rows : row_chunk);
}

/* Rectangles small enough for `panel_chunk` panels of one block to stay in the second-level cache, enough of them to go round, and so
   that the threads end together. Few rows: cut along the panels, so that weights are read once, and into few tasks, each of which stages
   the rows. */
static int64_t cut(linear_job *job, int64_t rows, int64_t panels, int64_t most_rows, int64_t few_rows) {
  int64_t threads = nrk_pool_threads(job->pool), narrowest = rows > 2 * NRK_ROWS ? tile_width[NRK_ROWS] : 4, tasks;
  int are_few = rows <= few_rows;
  int64_t wanted = threads == 1 ? 1 : are_few ? 2 * threads : 4 * threads;
  job->row_chunk = nrk_min(rows, most_rows), job->panel_chunk = nrk_min(panels, 16);
  if (are_few && threads > 1) job->panel_chunk = nrk_min(job->panel_chunk, nrk_round(nrk_ceil(panels, wanted), narrowest));
  for (;;) {
    tasks = nrk_ceil(rows, job->row_chunk) * nrk_ceil(panels, job->panel_chunk);
    int can_narrow = job->panel_chunk > narrowest, can_shorten = job->row_chunk > NRK_ROWS && !(are_few && tasks >= threads);
    if (tasks >= wanted || !(can_narrow || can_shorten)) break;
    if (can_narrow && (job->row_chunk <= few_rows || !can_shorten)) job->panel_chunk = nrk_round(job->panel_chunk / 2, narrowest);
    else job->row_chunk = nrk_round(job->row_chunk / 2, NRK_ROWS);
  }
  int64_t panel_chunks = nrk_ceil(panels, job->panel_chunk), best = INT64_MAX, least = nrk_max(NRK_ROWS, job->row_chunk / 2);
  job->panel_chunk = nrk_min(job->panel_chunk, nrk_round(nrk_ceil(panels, panel_chunks), narrowest));
  for (int64_t chunk = job->row_chunk; !are_few && threads > 1 && chunk >= least; chunk -= NRK_ROWS) {
    int64_t chunks = nrk_ceil(rows, chunk), time = rows_of_longest(threads, chunks * panel_chunks, chunk, rows - (chunks - 1) * chunk);
    if (time < best) best = time, job->row_chunk = chunk;
  }
  job->row_chunks = nrk_ceil(rows, job->row_chunk);
  return job->row_chunks * nrk_ceil(panels, job->panel_chunk);
}

static void linear_task(void *context, int64_t index, int32_t worker) {
  const linear_job *j = context;
  int64_t t = index % j->row_chunks * j->row_chunk, p = index / j->row_chunks * j->panel_chunk, n = p * 16;
  if (j->kind >= NRK_NF4) {
    float *stage = nrk_scratch(j->pool, worker, STAGE + j->panel_chunk * BLOCK * 16);
    nf4_matrix m = nf4_view(j->panels, j->N, j->K);
    multiply_nf4(stage, stage + STAGE, nrk_min(j->row_chunk, j->T - t), nrk_min(j->panel_chunk * 16, j->N - n), j->x + t * j->ldx, j->ldx,
                 &m, j->kind, n, j->out + t * j->ldy + n, j->ldy, j->accumulate, j->bias ? j->bias + n : NULL);
    return;
  }
  const char *panels = (const char *)j->panels + panel_bytes(j->kind, p * j->K * 16);
  multiply(nrk_scratch(j->pool, worker, STAGE), nrk_min(j->row_chunk, j->T - t), nrk_min(j->panel_chunk * 16, j->N - n), j->K,
           j->x + t * j->ldx, j->ldx, panels, j->kind, j->K * 16, j->out + t * j->ldy + n, j->ldy, j->accumulate,
           j->bias ? j->bias + n : NULL);
}

static void linear(nrk_pool *pool, int64_t T, int64_t N, int64_t K, const float *x, int64_t ldx, const void *panels, nrk_kind kind,
                   const float *bias, float *y, int64_t ldy, int32_t accumulate) {
  if (T <= 0 || N <= 0) return;
  linear_job job = {.pool = pool, .T = T, .N = N, .K = K, .ldx = ldx, .ldy = ldy, .x = x, .bias = bias, .panels = panels, .out = y,
                    .kind = kind, .accumulate = accumulate};
  int64_t P = nrk_ceil(N, 16), tasks = cut(&job, T, P, 12 * NRK_ROWS, 48);
  nrk_share(pool, T * P * (K + 8), tasks, linear_task, &job);
}

/* W [n, k] stands in panels along n; this product runs over n and needs panels along k: transposed block by block. */
static void turn_weights(const linear_job *j, const nf4_matrix *m, float *turned, int64_t n, int64_t depth, int64_t k0, int64_t columns) {
  for (int64_t i = 0; i < depth; i += 16)
    for (int64_t k = 0; k < columns; k += 16) {
      v16 block[16];
      float expanded[16 * 16], *to = turned + (k / 16 * BLOCK + i) * 16;
      int64_t from = ((n + i) / 16 * j->K + k0 + k) * 16, exist = columns - k;
      if (j->kind >= NRK_NF4) expand_panel(expanded, m, n + i, k0 + k, nrk_min(16, exist), j->kind);
#pragma clang loop unroll(full)
      for (int r = 0; r < 16; r++)
        block[r] = r >= exist              ? splat(0)
                   : j->kind >= NRK_NF4    ? load(expanded + r * 16)
                   : j->kind == NRK_BF16   ? widen((const uint16_t *)j->panels + from + r * 16)
                                           : load((const float *)j->panels + from + r * 16);
      transpose(block);
#pragma clang loop unroll(full)
      for (int r = 0; r < 16; r++) store(to + r * 16, block[r]);
    }
}

/* Where all outputs are one block, a worker's next task finds its weights turned, unless it is of other inputs. */
static void linear_dx_task(void *context, int64_t index, int32_t worker) {
  const linear_job *j = context;
  int64_t t = index % j->row_chunks * j->row_chunk, k0 = index / j->row_chunks * j->panel_chunk * 16;
  int64_t rows = nrk_min(j->row_chunk, j->T - t), columns = nrk_min(j->panel_chunk * 16, j->K - k0);
  float *stage = nrk_scratch(j->pool, worker, STAGE + j->panel_chunk * BLOCK * 16), *turned = stage + STAGE;
  nf4_matrix m = j->kind >= NRK_NF4 ? nf4_view(j->panels, j->N, j->K) : (nf4_matrix){0};
  int64_t *stands = j->N <= BLOCK && worker < KEEPERS ? j->stands + worker : NULL;
  for (int64_t n = 0; n < j->N || n == 0; n += BLOCK) {
    int64_t depth = nrk_min(BLOCK, j->N - n);
    if (!stands || *stands != k0) turn_weights(j, &m, turned, n, depth, k0, columns);
    multiply_block(stage, rows, columns, depth, j->dy + t * j->ldy + n, j->ldy, 1, turned, NULL, NRK_F32, BLOCK * 16,
                   j->out + t * j->ldx + k0, j->ldx, j->accumulate || n > 0, NULL);
  }
  if (stands) *stands = k0;
}

static void linear_dx(nrk_pool *pool, int64_t T, int64_t N, int64_t K, const float *dy, int64_t lddy, const void *panels, nrk_kind kind,
                      float *dx, int64_t lddx, int32_t accumulate) {
  if (T <= 0 || K <= 0) return;
  int64_t stands[KEEPERS];
  for (int i = 0; i < KEEPERS; i++) stands[i] = -1;
  linear_job job = {.pool = pool, .T = T, .N = N, .K = K, .ldx = lddx, .ldy = lddy, .dy = dy, .panels = panels, .out = dx,
                    .kind = kind, .accumulate = accumulate, .stands = stands};
  int64_t P = nrk_ceil(K, 16), tasks = cut(&job, T, P, 32 * NRK_ROWS, 192);
  nrk_share(pool, T * P * (N + 8), tasks, linear_dx_task, &job);
}

static void linear_dw_task(void *context, int64_t index, int32_t worker) {
  const linear_job *j = context;
  int64_t n = index % j->row_chunks * j->row_chunk, k = index / j->row_chunks * j->panel_chunk * 16;
  int64_t rows = nrk_min(j->row_chunk, j->N - n), columns = nrk_min(j->panel_chunk * 16, j->K - k);
  float *stage = nrk_scratch(j->pool, worker, STAGE + j->panel_chunk * BLOCK * 16), *panels = stage + STAGE;
  for (int64_t t = 0; t < j->T; t += BLOCK) {
    int64_t depth = nrk_min(BLOCK, j->T - t);
    panels_of_rows(panels, BLOCK, depth, columns, j->x + t * j->ldx + k, j->ldx);
    multiply_block(stage, rows, columns, depth, j->dy + t * j->ldy + n, 1, j->ldy, panels, NULL, NRK_F32, BLOCK * 16,
                   j->out + n * j->ldw + k, j->ldw, 1, NULL);
  }
}

/* Few outputs: both matrices are read where they stand. With few inputs the two change places and the sums are turned. */
enum { FEW = 32, TOKENS = 128 };
static void linear_dw_few_task(void *context, int64_t index, int32_t worker) {
  const linear_job *j = context;
  int64_t k = index * j->panel_chunk * 16, columns = nrk_min(j->panel_chunk * 16, j->K - k);
  float *stage = nrk_scratch(j->pool, worker, STAGE + TOKENS * 16 + j->N * j->panel_chunk * 16), *panel = stage + STAGE;
  float *out = j->out + (j->is_turned ? k * j->ldw : k), *sums = j->is_turned ? panel + TOKENS * 16 : out;
  int64_t ld = j->is_turned ? j->panel_chunk * 16 : j->ldw;
  if (j->is_turned) turn(sums, ld, out, j->ldw, columns, j->N);
  for (int64_t t = 0; t < j->T; t += TOKENS)
    multiply_rows(stage, panel, j->N, columns, nrk_min(TOKENS, j->T - t), j->dy + t * j->ldy, j->ldy, j->x + t * j->ldx + k, j->ldx,
                  sums, ld);
  if (j->is_turned) turn(out, j->ldw, sums, ld, j->N, columns);
}

static void linear_dw(nrk_pool *pool, int64_t T, int64_t N, int64_t K, const float *dy, int64_t lddy, const float *x, int64_t ldx,
                      float *dw, int64_t lddw) {
  if (T <= 0 || N <= 0 || K <= 0) return;
  linear_job job = {.pool = pool, .T = T, .N = N, .K = K, .ldx = ldx, .ldy = lddy, .ldw = lddw, .x = x, .dy = dy, .out = dw};
  if (K < N && K <= FEW)
    job = (linear_job){.pool = pool, .T = T, .N = K, .K = N, .ldx = lddy, .ldy = ldx, .ldw = lddw, .x = dy, .dy = x, .out = dw,
                       .is_turned = 1};
  int64_t P = nrk_ceil(job.K, 16), cost = T * P * (job.N + 8);
  if (job.N <= FEW) {
    int64_t group = tile_width[nrk_ceil(job.N, nrk_ceil(job.N, NRK_ROWS))];
    job.panel_chunk = nrk_min(16, nrk_round(nrk_ceil(P, 2 * nrk_pool_threads(pool)), group));
    nrk_share(pool, cost, nrk_ceil(P, job.panel_chunk), linear_dw_few_task, &job);
    return;
  }
  int64_t tasks = cut(&job, N, P, 16 * NRK_ROWS, 96);
  nrk_share(pool, cost, tasks, linear_dw_task, &job);
}

static void linear_db_task(void *context, int64_t index, int32_t worker) {
  const linear_job *j = context;
  (void)worker;
  int64_t n = index * 64, width = nrk_min(64, j->N - n);
  float *db = j->out + n;
  if (width == 64) {
    v16 sum[4];
    for (int i = 0; i < 4; i++) sum[i] = load(db + 16 * i);
    for (int64_t t = 0; t < j->T; t++)
      for (int i = 0; i < 4; i++) sum[i] += load(j->dy + t * j->ldy + n + 16 * i);
    for (int i = 0; i < 4; i++) store(db + 16 * i, sum[i]);
    return;
  }
  for (int64_t t = 0; t < j->T; t++)
    for (int64_t i = 0; i < width; i++) db[i] += j->dy[t * j->ldy + n + i];
}

static void linear_db(nrk_pool *pool, int64_t T, int64_t N, const float *dy, int64_t lddy, float *db) {
  linear_job job = {.T = T, .N = N, .ldy = lddy, .dy = dy, .out = db};
  nrk_share(pool, T * N / 16, nrk_ceil(N, 64), linear_db_task, &job);
}

/* ---- packing ------------------------------------------------------------------------------------------ */

typedef struct pack_job {
  int64_t N, K, ld;
  const void *source;
  void *panels;
  nrk_kind from, to;
} pack_job;

/* Rounds to the nearest, ties to even; NaN stays NaN. */
NRK_INLINE h16 narrow(v16 x) {
  u16 bits = (u16)x, rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  return __builtin_convertvector((bits & 0x7FFFFFFF) > 0x7F800000 ? (bits >> 16 | 0x40) : rounded, h16);
}

NRK_INLINE float widen_one(uint16_t half) {
  uint32_t bits = (uint32_t)half << 16;
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

static void pack_task(void *context, int64_t index, int32_t worker) {
  const pack_job *j = context;
  (void)worker;
  int64_t n = index * 16, count = nrk_min(16, j->N - n), K = j->K;
  for (int64_t k = 0; k < K; k += 16) {
    int64_t width = nrk_min(16, K - k);
    v16 block[16];
    for (int i = 0; i < 16; i++) {
      int64_t at = (n + i) * j->ld + k;
      if (i >= count) block[i] = splat(0);
      else if (j->from == NRK_F32) block[i] = load_part((const float *)j->source + at, width, 0);
      else if (width == 16) block[i] = widen((const uint16_t *)j->source + at);
      else {
        float lanes[16] = {0};
        for (int64_t c = 0; c < width; c++) lanes[c] = widen_one(((const uint16_t *)j->source)[at + c]);
        block[i] = load(lanes);
      }
    }
    transpose(block);
    if (j->to == NRK_BF16_PAIRS) {
      uint32_t *pairs = (uint32_t *)j->panels + (index * nrk_ceil(K, 2) + k / 2) * 16;
      for (int64_t c = 0; c < width; c += 2) {
        u16 first = __builtin_convertvector(narrow(block[c]), u16), second = __builtin_convertvector(narrow(block[c + 1]), u16);
        u16 words = first << 16 | second;
        memcpy(pairs + c / 2 * 16, &words, sizeof words);
      }
      continue;
    }
    int64_t to = (index * K + k) * 16;
    for (int64_t c = 0; c < width; c++) {
      if (j->to == NRK_F32) store((float *)j->panels + to + c * 16, block[c]);
      else {
        h16 halves = narrow(block[c]);
        memcpy((uint16_t *)j->panels + to + c * 16, &halves, sizeof halves);
      }
    }
  }
}

static void pack(nrk_pool *pool, int64_t N, int64_t K, const void *source, nrk_kind from, int64_t ld, void *panels, nrk_kind to) {
  pack_job job = {.N = N, .K = K, .ld = ld, .source = source, .panels = panels, .from = from, .to = to};
  nrk_share(pool, N * K / 4, nrk_ceil(N, 16), pack_task, &job);
}


/* A task is sixteen outputs of one of the matrices. */
static void pack_list_task(void *context, int64_t index, int32_t worker) {
  const nrk_packing *m = context;
  for (; index >= nrk_ceil(m->N, 16); m++) index -= nrk_ceil(m->N, 16);
  pack_job one = {.N = m->N, .K = m->K, .ld = m->ld, .source = m->source, .panels = m->panels, .from = NRK_F32, .to = m->kind};
  pack_task(&one, index, worker);
}

static void pack_list(nrk_pool *pool, int64_t count, const nrk_packing *list) {
  int64_t tasks = 0, cost = 0;
  for (int64_t i = 0; i < count; i++) tasks += nrk_ceil(list[i].N, 16), cost += list[i].N * list[i].K / 4;
  nrk_share(pool, cost, tasks, pack_list_task, (void *)list);
}
