/* attention_backward.h - a task is one cluster of segments that share rows, one key-value head. Scores are computed again
   and normalised with lse. With p the weights, dp = d_o v and D = d_o·o of a row: ds = p (dp - D) scale, dq = ds k,
   dk += ds q, dv += p d_o; the sums over query rows run segment by segment in list order, row by row. */

/* What a task works in: `height` positions of a context, `most` query rows of a step, ld and ldq floats a row. */
typedef struct backward_room {
  int64_t height, most, ld, ldq;
  float *stage, *panel, *turned_keys, *turned_values, *keys, *weights, *ds, *queries, *d_o, *dq;
} backward_room;

static backward_room room_of_backward(const attention_job *j, int64_t longest, int32_t worker) {
  int64_t share = j->H / j->G, C = j->C, wide = nrk_round(C, 16), height = nrk_round(longest, 16);
  backward_room b = {.height = height, .most = nrk_max(1, nrk_min(BLOCK, TOGETHER) / share) * share, .ld = staged_row(height),
                     .ldq = staged_row(C)};
  b.stage = nrk_scratch(j->pool, worker, STAGE + b.most * (16 + 2 * b.ld + 2 * b.ldq + C) + height * (2 * C + wide));
  b.panel = b.stage + STAGE, b.turned_keys = b.panel + b.most * 16, b.turned_values = b.turned_keys + height * C;
  b.keys = b.turned_values + height * C, b.weights = b.keys + height * wide, b.ds = b.weights + b.most * b.ld;
  b.queries = b.ds + b.most * b.ld, b.d_o = b.queries + b.most * b.ldq, b.dq = b.d_o + b.most * b.ldq;
  return b;
}

/* grad [rows of the context, C] += weights^T [rows, n] times x; the prefix's rows and the segment's own lie apart. */
static void spread(const backward_room *b, const nrk_segment *s, int64_t rows, int64_t n, int64_t C, const float *weights, const float *x,
                   float *grad, int64_t ldg) {
  int64_t before = nrk_min(n, s->prefix_length);
  multiply_rows(b->stage, b->panel, before, C, rows, weights, b->ld, x, b->ldq, grad + s->prefix_start * ldg, ldg);
  multiply_rows(b->stage, b->panel, n - before, C, rows, weights + before, b->ld, x, b->ldq, grad + s->start * ldg, ldg);
}

/* Scores of a row become weights p, and dp becomes ds, zeros from `seen` to the end of the last sixteen of n. */
NRK_INLINE void weigh_backward(float *p, float *dp, int64_t seen, int64_t n, v16 scale, v16 lse, v16 D) {
  int64_t m = 0;
  for (; m < seen; m += 16) {
    v16 weight = exp16(load(p + m) * scale - lse), ds = weight * (load(dp + m) - D) * scale;
    if (seen - m < 16) weight = first_lanes(weight, seen - m, 0), ds = first_lanes(ds, seen - m, 0);
    store(p + m, weight), store(dp + m, ds);
  }
  for (; m < n; m += 16) store(p + m, splat(0)), store(dp + m, splat(0));
}

/* The first `kept` positions of the context stand in the room. */
static void segment_backward(const attention_job *j, const nrk_segment *s, int64_t g, const backward_room *b, int64_t kept) {
  int64_t C = j->C, share = j->H / j->G, P = s->prefix_length, length = P + s->length, step = b->most / share, ld = b->ld, ldq = b->ldq;
  turn_context(b->turned_keys, s, kept, length, j->k + g * C, j->ldk, C);
  turn_context(b->turned_values, s, kept, length, j->v + g * C, j->ldv, C);
  lay_context(b->keys, b->height, s, kept, length, j->k + g * C, j->ldk, C);
  for (int64_t i0 = 0; i0 < s->length; i0 += step) {
    int64_t i1 = nrk_min(s->length, i0 + step), rows = (i1 - i0) * share, n = P + i1, blocks = nrk_ceil(rows, NRK_ROWS);
    for (int64_t r = 0; r < rows; r++) {
      int64_t t = s->start + i0 + r / share, h = g * share + r % share;
      copy_row(b->queries + r * ldq, j->q + t * j->ldq + h * C, C);
      copy_row(b->d_o + r * ldq, j->d_o + t * j->lddo + h * C, C);
    }
    for (int64_t i = 0, done = 0, count; i < blocks; i++, done += count) {
      count = nrk_ceil(rows - done, blocks - i);
      int64_t columns = nrk_round(P + i0 + (done + count - 1) / share + 1, 16);
      float *p = b->weights + done * ld, *dp = b->ds + done * ld;
      multiply(b->stage, count, columns, C, b->queries + done * ldq, ldq, b->turned_keys, NRK_F32, C * 16, p, ld, 0, NULL);
      multiply(b->stage, count, columns, C, b->d_o + done * ldq, ldq, b->turned_values, NRK_F32, C * 16, dp, ld, 0, NULL);
    }
    for (int64_t r = 0; r < rows; r++) {
      int64_t t = s->start + i0 + r / share, h = g * share + r % share, next = nrk_min(s->start + s->length - 1, t + step);
      fetch_row(j->q + next * j->ldq + h * C, C), fetch_row(j->d_o + next * j->lddo + h * C, C);
      fetch_row(j->o + next * j->ldo + h * C, C), fetch_row(j->dq + t * j->lddq + h * C, C);
      v16 dot = splat(0);
      for (int64_t c = 0; c < C; c += 16)
        dot = fma16(load_part(b->d_o + r * ldq + c, C - c, 0), load_part(j->o + t * j->ldo + h * C + c, C - c, 0), dot);
      weigh_backward(b->weights + r * ld, b->ds + r * ld, P + i0 + r / share + 1, n, splat(j->scale), splat(j->lse[t * j->H + h]),
                     splat(sum_lanes(dot)));
    }
    multiply(b->stage, rows, C, n, b->ds, ld, b->keys, NRK_F32, b->height * 16, b->dq, C, 0, NULL);
    for (int64_t r = 0; r < rows; r++)
      copy_row(j->dq + (s->start + i0 + r / share) * j->lddq + (g * share + r % share) * C, b->dq + r * C, C);
    spread(b, s, rows, n, C, b->ds, b->queries, j->dk + g * C, j->lddk);
    spread(b, s, rows, n, C, b->weights, b->d_o, j->dv + g * C, j->lddv);
  }
}

static void attention_backward_task(void *context, int64_t index, int32_t worker) {
  const attention_job *j = context;
  int64_t g = index % j->G, first = 0, longest = 0;
  row_span span;
  for (int64_t i = index / j->G; i > 0; i--) first = cluster_end(j->segments, j->count, first, &span);
  int64_t end = cluster_end(j->segments, j->count, first, &span);
  for (int64_t s = first; s < end; s++) {
    longest = nrk_max(longest, j->segments[s].prefix_length + j->segments[s].length);
    for (int64_t i = 0; i < j->segments[s].length; i++) {
      int64_t t = j->segments[s].start + i;
      memset(j->dk + t * j->lddk + g * j->C, 0, (size_t)j->C * 4);
      memset(j->dv + t * j->lddv + g * j->C, 0, (size_t)j->C * 4);
    }
  }
  backward_room b = room_of_backward(j, longest, worker);
  for (int64_t s = first; s < end; s++) {
    const nrk_segment *x = j->segments + s;
    int is_same = s > first && x[-1].prefix_start == x->prefix_start && x[-1].prefix_length == x->prefix_length;
    segment_backward(j, x, g, &b, is_same ? x->prefix_length / 16 * 16 : 0);
  }
}

static void attention_backward(nrk_pool *pool, const nrk_segment *segments, int64_t count, int64_t H, int64_t G, int64_t C,
                               const float *q, int64_t ldq, const float *k, int64_t ldk, const float *v, int64_t ldv, float scale,
                               const float *o, int64_t ldo, const float *lse, const float *d_o, int64_t lddo, float *dq, int64_t lddq,
                               float *dk, int64_t lddk, float *dv, int64_t lddv) {
  attention_job job = {.pool = pool, .segments = segments, .count = count, .H = H, .G = G, .C = C, .ldq = ldq, .ldk = ldk, .ldv = ldv,
                       .ldo = ldo, .lddo = lddo, .lddq = lddq, .lddk = lddk, .lddv = lddv, .q = q, .k = k, .v = v, .o = o, .d_o = d_o,
                       .lse = lse, .dq = dq, .dk = dk, .dv = dv, .scale = scale};
  int64_t clusters = 0;
  row_span span;
  for (int64_t s = 0; s < count; s = cluster_end(segments, count, s, &span)) clusters++;
  nrk_share(pool, attention_cost(&job) * 3, clusters * G, attention_backward_task, &job);
}
