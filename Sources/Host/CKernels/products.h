/* products.h - linear layers in bfloat16, forward and backward, as jobs over all layers that share their rows (gemm_bf16.h). */

/* A task is a rectangle: some rows, which it stages, and some panels, over which it passes them. Weights are read, expanded or turned once
   for all its rows. A stage is read as one sequence, so where that work is much it may be larger than the second-level cache. Rectangles
   are nearly equal, so that threads end together: `widest` panels are a group, and parts of a matrix differ by a group at most. */
typedef struct dot_cut {
  int64_t row_chunk, row_chunks, panel_chunk, widest;
} dot_cut;
NRK_INLINE int64_t column_parts(dot_cut cut, int64_t columns) { return nrk_ceil(nrk_ceil(columns, 16), cut.panel_chunk); }
/* The first column of part i. */
NRK_INLINE int64_t part_start(dot_cut cut, int64_t columns, int64_t i) {
  int64_t groups = nrk_ceil(nrk_ceil(columns, 16), cut.widest);
  return nrk_min(columns, groups * i / column_parts(cut, columns) * cut.widest * 16);
}

/* - words: of a stage; panels: of all layers together. */
static dot_cut cut_products(nrk_pool *pool, int64_t rows, int64_t panels, int64_t depth, int64_t words) {
  if (rows <= 0 || panels <= 0) return (dot_cut){.row_chunk = 1, .panel_chunk = 1, .widest = 1};
  /* Few rows are staged for little work. */
  int64_t threads = nrk_pool_threads(pool), wanted = threads == 1 ? 1 : (rows <= NRK_DOT_ROWS ? 4 : 6) * threads;
  int64_t most = nrk_max(1, words / nrk_max(1, nrk_ceil(depth, 2) * DOT_WORDS) / NRK_DOT_ROWS) * NRK_DOT_ROWS;
  dot_cut cut = {.row_chunks = nrk_ceil(rows, most)};
  cut.row_chunk = nrk_ceil(rows, cut.row_chunks);
  cut.row_chunks = nrk_ceil(rows, cut.row_chunk);
  cut.widest = group_width(cut.row_chunk);
  int64_t groups = nrk_ceil(panels, cut.widest), parts = nrk_min(groups, nrk_ceil(wanted, cut.row_chunks));
  while (parts < groups && cut.row_chunks * parts % threads) parts++;
  cut.panel_chunk = nrk_ceil(groups, parts) * cut.widest;
  return cut;
}

/* ---- forward -------------------------------------------------------------------------------------------- */

typedef struct product_job {
  nrk_pool *pool;
  int64_t T, K, ldx, count;
  const void *x;
  int32_t x_is_float;
  const nrk_product_part *parts;
  dot_cut cut;
} product_job;

/* y = scale c + bias + residual, each rounded; c is a group's `rows` by `columns`, n its first output. */
static void finish_product(const nrk_product_part *part, int64_t t, int64_t rows, int64_t n, int64_t columns, const float *c, int64_t ldc) {
  v16 scale = splat(part->scale);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < columns; i += 16) {
      int64_t exist = columns - i;
      v16 y = load(c + r * ldc + i) * scale;
      if (part->bias) y += load_part(part->bias + n + i, exist, 0);
      if (part->residual) y += load_part(part->residual + (t + r) * part->ldr + n + i, exist, 0);
      store_elements(part->y, part->y_is_float, (t + r) * part->ldy + n + i, y, exist);
    }
}

/* A group of outputs of a matrix that four bits are kept of, over a chunk of inputs from k on. */
static void four_bit_group(const dot_rows *r, const nf4_matrix *m, int64_t n, int64_t k, int64_t columns, float *scales, uint32_t *room,
                           float *c, int64_t ldc, dot_start start) {
  int aligned = is_aligned(m);
  for (int64_t p = 0; p * 16 < columns && aligned; p++) dot_scales(scales + p * DOT_SCALES, m, n + p * 16, k, r->depth);
  if (aligned && r->rows <= NRK_DOT_ROWS) {
    const uint32_t *words = m->words + n / 16 * nf4_panel_words(m->K) + k / 8 * 16;
    dot_group(r, DOT_NF4, words, scales, nf4_panel_words(m->K), columns, c, ldc, start, 0);
    return;
  }
  for (int64_t p = 0; p * 16 < columns; p++)
    expand_pairs(room + p * DOT_PANEL, m, n + p * 16, k, r->depth, aligned ? scales + p * DOT_SCALES : NULL);
  dot_group(r, DOT_PAIRS, room, NULL, DOT_PANEL, columns, c, ldc, start, 0);
}

static __attribute__((noinline)) void product_part(const product_job *j, int64_t index, int32_t worker) {
  int64_t t = index % j->cut.row_chunks * j->cut.row_chunk, rows = nrk_min(j->cut.row_chunk, j->T - t), K = j->K;
  int64_t chunk = index / j->cut.row_chunks;
  const nrk_product_part *part = j->parts;
  for (; chunk >= column_parts(j->cut, part->N); part++) chunk -= column_parts(j->cut, part->N);
  int64_t first = part_start(j->cut, part->N, chunk), end = part_start(j->cut, part->N, chunk + 1);
  int is_nf4 = part->kind >= NRK_NF4;
  /* Where nothing follows the sum it is made in its place; otherwise apart, for all outputs of the task where the sum has several chunks. */
  int is_direct = part->y_is_float && part->scale == 1 && !part->bias && !part->residual;
  int64_t group = group_width(rows), wide = K > DOT_CHUNK ? nrk_round(end - first, 16) : group * 16;
  int64_t staged = stage_floats(rows, nrk_min(K, DOT_CHUNK)), low_staged = part->R ? stage_floats(rows, part->R) : 0;
  int64_t expanded = is_nf4 ? group * (DOT_SCALES + DOT_PANEL) : 0;
  float *scratch = nrk_scratch(j->pool, worker, staged + low_staged + (is_direct ? 0 : rows * wide) + expanded);
  float *sums = scratch + staged + low_staged, *scales = sums + (is_direct ? 0 : rows * wide);
  uint32_t *room = (uint32_t *)(scales + group * DOT_SCALES);
  nf4_matrix m = is_nf4 ? nf4_view(part->panels, part->N, K) : (nf4_matrix){0};
  dot_rows low = rows_of((uint32_t *)scratch + staged, rows, part->R);
  if (part->R) stage_rows_of(&low, part->low + t * part->ldlow, 0, part->ldlow);
  int64_t k = 0;
  do {
    dot_rows r = rows_of((uint32_t *)scratch, rows, nrk_min(DOT_CHUNK, K - k));
    stage_rows_of(&r, element_at(j->x, j->x_is_float, t * j->ldx + k), j->x_is_float, j->ldx);
    for (int64_t n = first; n < end; n += group * 16) {
      int64_t columns = nrk_min(group * 16, end - n), ldc = is_direct ? part->ldy : wide;
      float *c = is_direct ? (float *)part->y + t * part->ldy + n : sums + (K > DOT_CHUNK ? n - first : 0);
      dot_start start = k > 0 ? DOT_ADD : DOT_SET;
      if (is_nf4) four_bit_group(&r, &m, n, k, columns, scales, room, c, ldc, start);
      else {
        const uint32_t *b = (const uint32_t *)part->panels + n / 16 * pair_panel_words(K) + k / 2 * 16;
        dot_group(&r, DOT_PAIRS, b, NULL, pair_panel_words(K), columns, c, ldc, start, 1);
      }
      if (k + r.depth < K) continue;
      if (part->R) {
        const uint32_t *up = (const uint32_t *)part->up + n / 16 * pair_panel_words(part->R);
        dot_group(&low, DOT_PAIRS, up, NULL, pair_panel_words(part->R), columns, c, ldc, DOT_GO_ON, 0);
      }
      if (!is_direct) finish_product(part, t, rows, n, columns, c, ldc);
    }
    k += DOT_CHUNK;
  } while (k < K);
}
static void product_task(void *context, int64_t index, int32_t worker) {
  uint64_t old = dot_begin();
  product_part(context, index, worker);
  dot_end(old);
}

static void products(nrk_pool *pool, int64_t T, int64_t K, const void *x, int64_t ldx, int32_t x_is_float, int64_t parts,
                     const nrk_product_part *list) {
  product_job job = {.pool = pool, .T = T, .K = K, .ldx = ldx, .x = x, .x_is_float = x_is_float, .parts = list};
  int64_t panels = 0, widest = 0, tasks = 0;
  for (int64_t i = 0; i < parts; i++) panels += nrk_ceil(list[i].N, 16), widest |= list[i].kind >= NRK_NF4;
  if (T <= 0 || panels <= 0) return;
  job.cut = cut_products(pool, T, panels, nrk_min(DOT_CHUNK, K), widest ? 4 * DOT_STAGE : DOT_STAGE);
  for (int64_t i = 0; i < parts; i++) tasks += column_parts(job.cut, list[i].N);
  nrk_share(pool, T * panels * (K / (2 * DOT_WORDS) + 8), tasks * job.cut.row_chunks, product_task, &job);
}

/* ---- the gradient of inputs ------------------------------------------------------------------------------- */

typedef struct product_dx_job {
  nrk_pool *pool;
  int64_t T, K, lddx, count, depth;
  const nrk_product_term *terms;
  void *dx;
  float scale;
  int32_t dx_is_float, accumulate;
  dot_cut cut;
} product_dx_job;

/* Weights of a chunk of outputs, n ..< n + depth, as panels of pairs along n: columns k ..< k + columns, k a multiple of 16. */
static void turn_term(uint32_t *to, const nrk_product_term *term, int64_t K, int64_t n, int64_t depth, int64_t k, int64_t columns) {
  if (term->kind == NRK_BF16_PAIRS) {
    const uint32_t *from = (const uint32_t *)term->panels + n / 16 * pair_panel_words(K);
    turn_pairs(to, DOT_HEIGHT, from, pair_panel_words(K), depth, k, columns);
    return;
  }
  nf4_matrix m = nf4_view(term->panels, term->N, K);
  for (int64_t i = 0; i < depth; i += 16) {
    float scale[DOT_SCALE];
    for (int64_t c = 0; c < columns; c += 16) {
      q8 block[8];
      if (is_aligned(&m)) {
        const uint32_t *words = m.words + (n + i) / 16 * nf4_panel_words(K) + (k + c) / 8 * 16;
        if (c == 0 || (k + c) % NF4_BLOCK == 0) store_scale(scale, scales_of(&m, n + i, k + c));
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
          dot_codes codes = codes_of(load_words(words + half * 16));
#pragma clang loop unroll(full)
          for (int r = 0; r < 4; r++) block[half * 4 + r] = (q8)next_pairs(&codes, scale);
        }
      } else {
        uint32_t expanded[8 * 16];
        int64_t exist = nrk_ceil(columns - c, 2);
        expand_pairs(expanded, &m, n + i, k + c, nrk_min(16, columns - c), NULL);
#pragma clang loop unroll(full)
        for (int r = 0; r < 8; r++) block[r] = r < exist ? (q8)load_words(expanded + r * 16) : (q8)(0);
      }
      turn_square(block);
#pragma clang loop unroll(full)
      for (int r = 0; r < 8; r++) store_words(to + c / 16 * DOT_PANEL + (i / 2 + r) * 16, (u16)block[r]);
    }
  }
}

static __attribute__((noinline)) void product_dx_part(const product_dx_job *j, int64_t index, int32_t worker) {
  int64_t t = index % j->cut.row_chunks * j->cut.row_chunk, first = part_start(j->cut, j->K, index / j->cut.row_chunks);
  int64_t rows = nrk_min(j->cut.row_chunk, j->T - t), end = part_start(j->cut, j->K, index / j->cut.row_chunks + 1);
  int is_direct = j->dx_is_float && j->scale == 1 && !j->accumulate;
  int64_t group = group_width(rows), wide = nrk_round(end - first, 16), staged = stage_floats(rows, j->depth);
  float *scratch = nrk_scratch(j->pool, worker, staged + group * DOT_PANEL + (is_direct ? 0 : rows * wide));
  uint32_t *room = (uint32_t *)(scratch + staged);
  float *sums = is_direct ? (float *)j->dx + t * j->lddx + first : scratch + staged + group * DOT_PANEL;
  int64_t ldc = is_direct ? j->lddx : wide;
  dot_start start = DOT_SET;
  for (const nrk_product_term *term = j->terms; term < j->terms + j->count; term++) {
    int64_t n = 0;
    do {
      dot_rows r = rows_of((uint32_t *)scratch, rows, nrk_min(DOT_CHUNK, term->N - n));
      stage_rows_of(&r, element_at(term->dy, term->dy_is_float, t * term->lddy + n), term->dy_is_float, term->lddy);
      for (int64_t k = first; k < end; k += group * 16) {
        int64_t columns = nrk_min(group * 16, end - k);
        turn_term(room, term, j->K, n, r.depth, k, columns);
        dot_group(&r, DOT_PAIRS, room, NULL, DOT_PANEL, columns, sums + k - first, ldc, start, 0);
      }
      start = DOT_ADD, n += DOT_CHUNK;
    } while (n < term->N);
  }
  if (is_direct) return;
  v16 scale = splat(j->scale);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t k = first; k < end; k += 16) {
      v16 sum = load(sums + r * wide + k - first) * scale;
      int64_t at = (t + r) * j->lddx + k;
      if (j->accumulate) sum = load_elements(j->dx, j->dx_is_float, at, end - k) + sum;
      store_elements(j->dx, j->dx_is_float, at, sum, end - k);
    }
}
static void product_dx_task(void *context, int64_t index, int32_t worker) {
  uint64_t old = dot_begin();
  product_dx_part(context, index, worker);
  dot_end(old);
}

static void products_dx(nrk_pool *pool, int64_t T, int64_t K, int64_t terms, const nrk_product_term *list, float scale, void *dx, int64_t lddx,
                        int32_t dx_is_float, int32_t accumulate) {
  product_dx_job job = {.pool = pool, .T = T, .K = K, .terms = list, .count = terms, .scale = scale, .dx = dx, .lddx = lddx,
                        .dx_is_float = dx_is_float, .accumulate = accumulate};
  int64_t P = nrk_ceil(K, 16), outputs = 0, longest = 0;
  for (int64_t i = 0; i < terms; i++) outputs += list[i].N, longest = nrk_max(longest, list[i].N);
  if (T <= 0 || K <= 0 || terms <= 0) return;
  job.depth = nrk_min(DOT_CHUNK, longest);
  job.cut = cut_products(pool, T, P, job.depth, 4 * DOT_STAGE);
  nrk_share(pool, T * P * (outputs / (2 * DOT_WORDS) + 8), job.cut.row_chunks * column_parts(job.cut, K), product_dx_task, &job);
}

/* ---- the gradient of weights ------------------------------------------------------------------------------ */

typedef struct product_dw_job {
  nrk_pool *pool;
  int64_t T, count, tasks;
  const nrk_product_dw *list;
} product_dw_job;

/* Outputs are the rows, inputs the columns; runs of DOT_RUN tokens are the chunks. */
static dot_cut cut_dw(nrk_pool *pool, const nrk_product_dw *w, int64_t T) {
  return cut_products(pool, w->N, nrk_ceil(w->K, 16), nrk_min(DOT_RUN, T), 2 * DOT_STAGE);
}
NRK_INLINE int64_t tasks_of_dw(const nrk_product_dw *w, dot_cut cut) {
  return cut.row_chunks * column_parts(cut, w->K);
}

static __attribute__((noinline)) void product_dw_part(const product_dw_job *j, int64_t index, int32_t worker) {
  const nrk_product_dw *w = j->list;
  dot_cut cut = cut_dw(j->pool, w, j->T);
  while (index >= tasks_of_dw(w, cut)) index -= tasks_of_dw(w, cut), w++, cut = cut_dw(j->pool, w, j->T);
  int64_t n = index % cut.row_chunks * cut.row_chunk, first = part_start(cut, w->K, index / cut.row_chunks);
  int64_t rows = nrk_min(cut.row_chunk, w->N - n), end = part_start(cut, w->K, index / cut.row_chunks + 1);
  int64_t group = group_width(rows), staged = stage_floats(rows, nrk_min(DOT_RUN, j->T)), height = DOT_RUN / 2;
  float *scratch = nrk_scratch(j->pool, worker, staged + group * height * 16);
  uint32_t *room = (uint32_t *)(scratch + staged);
  for (int64_t t = 0; t < j->T; t += DOT_RUN) {
    dot_rows r = rows_of((uint32_t *)scratch, rows, nrk_min(DOT_RUN, j->T - t));
    stage_columns_of(&r, element_at(w->dy, w->dy_is_float, t * w->lddy + n), w->dy_is_float, w->lddy, w->N - n);
    for (int64_t k = first; k < end; k += group * 16) {
      int64_t columns = nrk_min(group * 16, end - k);
      pairs_of_rows(room, height, element_at(w->x, w->x_is_float, t * w->ldx + k), w->x_is_float, w->ldx, columns, r.depth);
      dot_group(&r, DOT_PAIRS, room, NULL, height * 16, columns, w->dw + n * w->lddw + k, w->lddw, DOT_ADD, 0);
    }
  }
}
static void product_dw_task(void *context, int64_t index, int32_t worker) {
  uint64_t old = dot_begin();
  product_dw_part(context, index, worker);
  dot_end(old);
}

static void products_dw(nrk_pool *pool, int64_t T, int64_t count, const nrk_product_dw *list) {
  product_dw_job job = {.pool = pool, .T = T, .count = count, .list = list};
  int64_t cost = 0;
  for (int64_t i = 0; i < count && T > 0; i++) {
    job.tasks += tasks_of_dw(list + i, cut_dw(pool, list + i, T));
    cost += list[i].N * nrk_ceil(list[i].K, 16) * (T / (2 * DOT_WORDS) + 8);
  }
  nrk_share(pool, cost, job.tasks, product_dw_task, &job);
}
