/* attention_backward.h - a task is one cluster of segments that share rows, one key-value head. Scores are computed again
   and normalised with lse. With p the weights, dp = d_o v and D = d_o·o of a row: ds = p (dp - D) scale, dq = ds k,
   dk += ds q, dv += p d_o; the sums over query rows run segment by segment in list order, row by row. */

typedef struct row_span { int64_t start, end; } row_span;

NRK_INLINE int overlaps(row_span a, int64_t start, int64_t length) { return length > 0 && start < a.end && start + length > a.start; }
NRK_INLINE void cover(row_span *a, int64_t start, int64_t length) {
  if (length <= 0) return;
  if (a->start == a->end) *a = (row_span){start, start + length};
  a->start = nrk_min(a->start, start), a->end = nrk_max(a->end, start + length);
}

/* The cluster that begins at segment `first` ends before the returned one. */
static int64_t cluster_end(const attention_job *j, int64_t first) {
  row_span span = {0, 0};
  for (int64_t s = first; s < j->count; s++) {
    const nrk_segment *x = j->segments + s;
    if (s > first && !overlaps(span, x->start, x->length) && !overlaps(span, x->prefix_start, x->prefix_length)) return s;
    cover(&span, x->start, x->length);
    cover(&span, x->prefix_start, x->prefix_length);
  }
  return j->count;
}

/* grad [rows of the context, C] += weights^T [rows, n] times x panels; the prefix's rows and the segment's own lie apart. */
static void spread(float *stage, const nrk_segment *s, int64_t rows, int64_t n, int64_t C, const float *weights, int64_t ld,
                   const float *panels, int64_t height, float *grad, int64_t ldg) {
  int64_t before = nrk_min(n, s->prefix_length);
  multiply_block(stage, before, C, rows, weights, 1, ld, panels, NULL, NRK_F32, height * 16, grad + s->prefix_start * ldg, ldg, 1, NULL);
  multiply_block(stage, n - before, C, rows, weights + before, 1, ld, panels, NULL, NRK_F32, height * 16, grad + s->start * ldg, ldg, 1, NULL);
}

static void segment_backward(const attention_job *j, const nrk_segment *s, int64_t g, int32_t worker) {
  int64_t C = j->C, share = j->H / j->G, P = s->prefix_length, length = P + s->length, padded = nrk_round(length, 16);
  int64_t wide = nrk_round(C, 16), step = nrk_max(1, nrk_min(BLOCK, TOGETHER) / share), most = step * share;
  float *stage = nrk_scratch(j->pool, worker, STAGE + padded * (2 * C + wide) + most * (2 * padded + 3 * C + 2 * wide));
  float *turned_keys = stage + STAGE, *turned_values = turned_keys + padded * C, *keys = turned_values + padded * C;
  float *weights = keys + padded * wide, *ds = weights + most * padded, *queries = ds + most * padded, *d_o = queries + most * C;
  float *dq = d_o + most * C, *query_panels = dq + most * C, *d_o_panels = query_panels + most * wide;
  turn_context(turned_keys, s, length, j->k + g * C, j->ldk, C);
  turn_context(turned_values, s, length, j->v + g * C, j->ldv, C);
  lay_context(keys, padded, s, length, j->k + g * C, j->ldk, C);
  for (int64_t i0 = 0; i0 < s->length; i0 += step) {
    int64_t i1 = nrk_min(s->length, i0 + step), rows = (i1 - i0) * share, n = P + i1, filled = nrk_round(n, 16);
    for (int64_t r = 0; r < rows; r++) {
      int64_t t = s->start + i0 + r / share, h = g * share + r % share;
      memcpy(queries + r * C, j->q + t * j->ldq + h * C, (size_t)C * 4);
      memcpy(d_o + r * C, j->d_o + t * j->lddo + h * C, (size_t)C * 4);
    }
    multiply(stage, rows, n, C, queries, C, turned_keys, NRK_F32, C * 16, weights, padded, 0, NULL);
    multiply(stage, rows, n, C, d_o, C, turned_values, NRK_F32, C * 16, ds, padded, 0, NULL);
    for (int64_t r = 0; r < rows; r++) {
      int64_t t = s->start + i0 + r / share, h = g * share + r % share, seen = P + i0 + r / share + 1;
      float *p = weights + r * padded, *d = ds + r * padded;
      v16 dot = splat(0), lse = splat(j->lse[t * j->H + h]), scale = splat(j->scale);
      for (int64_t c = 0; c < C; c += 16)
        dot = fma16(load_part(d_o + r * C + c, C - c, 0), load_part(j->o + t * j->ldo + h * C + c, C - c, 0), dot);
      v16 D = splat(sum_lanes(dot));
      for (int64_t m = 0; m < filled; m += 16) {
        int64_t exist = nrk_max(0, seen - m);
        v16 weight = exp16(load_scaled(p + m, exist, scale) - lse);
        store(p + m, weight);
        store(d + m, weight * (load_part(d + m, exist, 0) - D) * scale);
      }
      for (int64_t m = seen; m < filled; m++) p[m] = d[m] = 0;
    }
    multiply(stage, rows, C, n, ds, padded, keys, NRK_F32, padded * 16, dq, C, 0, NULL);
    for (int64_t r = 0; r < rows; r++)
      memcpy(j->dq + (s->start + i0 + r / share) * j->lddq + (g * share + r % share) * C, dq + r * C, (size_t)C * 4);
    panels_of_rows(query_panels, most, rows, C, queries, C);
    panels_of_rows(d_o_panels, most, rows, C, d_o, C);
    spread(stage, s, rows, n, C, ds, padded, query_panels, most, j->dk + g * C, j->lddk);
    spread(stage, s, rows, n, C, weights, padded, d_o_panels, most, j->dv + g * C, j->lddv);
  }
}

static void attention_backward_task(void *context, int64_t index, int32_t worker) {
  const attention_job *j = context;
  int64_t g = index % j->G, first = 0;
  for (int64_t i = index / j->G; i > 0; i--) first = cluster_end(j, first);
  int64_t end = cluster_end(j, first);
  for (int64_t s = first; s < end; s++)
    for (int64_t i = 0; i < j->segments[s].length; i++) {
      int64_t t = j->segments[s].start + i;
      memset(j->dk + t * j->lddk + g * j->C, 0, (size_t)j->C * 4);
      memset(j->dv + t * j->lddv + g * j->C, 0, (size_t)j->C * 4);
    }
  for (int64_t s = first; s < end; s++) segment_backward(j, j->segments + s, g, worker);
}

static void attention_backward(nrk_pool *pool, const nrk_segment *segments, int64_t count, int64_t H, int64_t G, int64_t C,
                               const float *q, int64_t ldq, const float *k, int64_t ldk, const float *v, int64_t ldv, float scale,
                               const float *o, int64_t ldo, const float *lse, const float *d_o, int64_t lddo, float *dq, int64_t lddq,
                               float *dk, int64_t lddk, float *dv, int64_t lddv) {
  attention_job job = {.pool = pool, .segments = segments, .count = count, .H = H, .G = G, .C = C, .ldq = ldq, .ldk = ldk, .ldv = ldv,
                       .ldo = ldo, .lddo = lddo, .lddq = lddq, .lddk = lddk, .lddv = lddv, .q = q, .k = k, .v = v, .o = o, .d_o = d_o,
                       .lse = lse, .dq = dq, .dk = dk, .dv = dv, .scale = scale};
  int64_t clusters = 0;
  for (int64_t s = 0; s < count; s = cluster_end(&job, s)) clusters++;
  nrk_share(pool, attention_cost(&job) * 3, clusters * G, attention_backward_task, &job);
}
