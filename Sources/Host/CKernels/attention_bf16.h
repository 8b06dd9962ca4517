/* attention_bf16.h - attention in bfloat16, over segments and over the KV cache, and its backward. Chains are those of gemm_bf16.h:
   fused multiply-adds, ascending, from zero; an operand that is float32 is rounded to bfloat16 as it is multiplied.

   A query row t, a context of positions j counted from its first row, the prefix's where there is one:

     s[j]   = scale * chain over channels of q[t] k[j]
     p[j]   = exp(s[j] - max s), over the positions the row may see, no others
     o[t]   = chain over positions of p v, times 1 / sum p; the sum is float32, in 16 lanes by position modulo 16 joined in one tree
     lse[t] = max s + log(sum p)

   Nothing of this depends on where a context is cut: a pair of positions is two steps of the chain, a half of a pair that is not there is
   a step that adds zero, and a zero that a chain ends in loses its sign. So a prompt's rows may stand before a segment's own, in
   their place or in a cache apart. Positions a row may not see are not multiplied in, whatever they hold.

   The backward forms p = exp(s - lse) again, dp[j] = chain over channels of d_o[t] v[j], D[t] = sum over channels of d_o o (fused
   multiply-adds in 16 lanes by channel modulo 16, joined in the tree), and ds = p (dp - D) scale; p and ds are 0 where a row does not see:

     dq[t] = chain over positions of ds k
     dk[j] = sum over chains of ds q, dv[j] = sum over chains of p d_o

   A chain of dk and dv is a block of a segment's query rows: BACKWARD_ROWS / (H / G) positions from a multiple of that, at least one;
   position by position, at each the query heads of the group in order. Chains are added, from zero, segment by segment in the order of the
   list and block by block. */
#include "attention_shared.h"

enum {
  FORWARD_POSITIONS = 128, /* of a task at most */
  POSITION_RUN = 512,      /* positions whose weights are staged at once */
  DECODE_ROWS = 56,        /* query rows that read a prompt together */
  BACKWARD_ROWS = 112,     /* query rows of a block of the backward */
  BACKWARD_KEYS = 224,     /* keys whose weights by these rows exist at a time */
  BACKWARD_LD = BACKWARD_KEYS + 16,
};

typedef struct half_attention {
  nrk_pool *pool;
  const nrk_segment *segments;
  int64_t count, T, H, G, C, share, ldq, ldk, ldv, ldo, lddo, lddq, lddk, lddv, capacity, prompt_capacity;
  const nrk_bf16 *q, *k, *v, *o, *d_o, *cache, *prompts;
  const float *lse;
  const int32_t *slots, *lengths, *prompt_slots, *prompt_lengths;
  nrk_bf16 *out, *dq, *dk, *dv;
  float *lse_out, scale;
  int64_t positions, parts, key_rows, key_tasks; /* positions of a task, how many parts that makes; the same of keys */
} half_attention;

/* ---- rows and products ------------------------------------------------------------------------------------ */

/* Scores (not yet scaled) of `n` positions become exp(scale s - max), then zeros to the end of the last sixteen. */
NRK_INLINE float weigh_scores(float *s, int64_t n, float scale, float *maximum) {
  v16 highest = splat(-INFINITY), sum = splat(0);
  for (int64_t j = 0; j < n; j += 16) highest = max16(first_lanes(load(s + j) * splat(scale), n - j, -INFINITY), highest);
  float top = max_lanes(highest);
  for (int64_t j = 0; j < n; j += 16) {
    v16 p = exp16(first_lanes(load(s + j) * splat(scale), n - j, -INFINITY) - splat(top));
    store(s + j, p);
    sum += p;
  }
  *maximum = top;
  return sum_lanes(sum);
}

/* Panels of pairs along the columns of `rows` rows: [ceil(rows / 16)][ceil(columns / 2)][16] words, zero-padded. */
static void pairs_along_rows(uint32_t *panels, const nrk_bf16 *x, int64_t ld, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; r += 16, panels += pair_panel_words(columns))
    for (int64_t c = 0; c < columns; c += 32) {
      v16 block[16];
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; i++) block[i] = i < rows - r ? (v16)load_pairs(x, 0, (r + i) * ld + c, columns - c) : splat(0);
      transpose(block);
      if (columns - c >= 32) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; i++) store_words(panels + (c / 2 + i) * 16, (u16)block[i]);
      } else
        for (int64_t i = 0; 2 * i < columns - c; i++) store_words(panels + (c / 2 + i) * 16, (u16)block[i]);
    }
}
/* Words of these. */
NRK_INLINE int64_t row_panels(int64_t rows, int64_t columns) { return nrk_ceil(rows, 16) * pair_panel_words(columns); }

/* The query heads of a group at `positions` positions that follow one another, position by position: [positions * share][C]. */
static void gather_heads(nrk_bf16 *to, const half_attention *j, const nrk_bf16 *x, int64_t ld, int64_t t, int64_t g, int64_t positions) {
  int64_t width = j->share * j->C;
  for (int64_t i = 0; i < positions; i++) memcpy(to + i * width, x + (t + i) * ld + g * width, (size_t)width * sizeof *x);
}

/* One block of staged rows. */
NRK_INLINE dot_rows block_of(const dot_rows *r, int64_t i) {
  return (dot_rows){.rows = block_start(r, i + 1) - block_start(r, i), .blocks = 1, .depth = r->depth, .stage = block_stage(r, i)};
}

/* c [rows, C] goes on by `depth` positions: weights p [rows, ldp] times panels of pairs along positions, `panel` words each. Meanwhile
   `next` is fetched where it is not NULL. */
static void blend_pairs(uint32_t *stage, int64_t rows, int64_t depth, const float *p, int64_t ldp, const uint32_t *panels, int64_t panel,
                        int64_t C, float *c, int64_t ldc, const uint32_t *next) {
  for (int64_t j = 0; j < depth; j += POSITION_RUN) {
    dot_rows r = rows_of(stage, rows, nrk_min(POSITION_RUN, depth - j));
    stage_rows_of(&r, p + j, 1, ldp);
    dot_group_before(&r, DOT_PAIRS, panels + j / 2 * 16, NULL, panel, C, c, ldc, DOT_GO_ON, 0, next ? next + j / 2 * 16 : NULL);
  }
}

NRK_INLINE v16 half_rounded(v16 x) {
  nrk_bf16 halves[16];
  store_halves(halves, x, 16);
  return widen(halves);
}
/* A chain that ended, times a factor, to bfloat16. */
NRK_INLINE void finish_chain(nrk_bf16 *to, const float *c, int64_t C, float factor) {
  for (int64_t i = 0; i < C; i += 16) store_halves(to + i, (load(c + i) + splat(0)) * splat(factor), C - i);
}

/* Floats of memory for so many halves. */
NRK_INLINE int64_t half_floats(int64_t count) { return nrk_round(count, 32) / 2; }

/* ---- forward: a task is some positions of one segment, one key-value head --------------------------------- */

static __attribute__((noinline)) void attention_half_part(const half_attention *j, int64_t index, int32_t worker) {
  int64_t which = 0, part = 0, C = j->C, g = index % j->G, share = j->share, wide = nrk_round(C, 16);
  /* The last part of a segment sees the most keys and comes first. */
  part_of_segments(j->segments, j->count, j->positions, j->parts - 1 - index / j->G, &which, &part);
  const nrk_segment *s = j->segments + which;
  int64_t begin = part * j->positions, end = nrk_min(s->length, begin + j->positions), P = s->prefix_length;
  int64_t step = nrk_max(1, NRK_DOT_ROWS / share), most = step * share, padded = nrk_round(P + end, 16) + 16;
  int64_t height = nrk_ceil(P, 2) + nrk_ceil(end, 2), staged = stage_floats(most, nrk_max(C, POSITION_RUN));
  int64_t before = row_panels(P, C), own = row_panels(end, C);
  float *scores = nrk_scratch(j->pool, worker, most * (padded + wide + 1) + staged + half_floats(most * C) + before + own + wide * height);
  float *outputs = scores + most * padded;
  uint32_t *stage = (uint32_t *)outputs + most * wide, *keys = stage + staged, *values = keys + before + own;
  nrk_bf16 *queries = (nrk_bf16 *)(values + wide * height);
  float *sums = (float *)queries + half_floats(most * C);
  const nrk_bf16 *k = j->k + g * C, *v = j->v + g * C;
  pairs_along_rows(keys, k + s->prefix_start * j->ldk, j->ldk, P, C);
  pairs_along_rows(keys + before, k + s->start * j->ldk, j->ldk, end, C);
  pairs_of_rows(values, height, v + s->prefix_start * j->ldv, 0, j->ldv, C, P);
  pairs_of_rows(values + nrk_ceil(P, 2) * 16, height, v + s->start * j->ldv, 0, j->ldv, C, end);
  for (int64_t i = begin; i < end; i += step) {
    int64_t positions = nrk_min(step, end - i), rows = positions * share, common = (i + 1) & ~1;
    gather_heads(queries, j, j->q, j->ldq, s->start + i, g, positions);
    dot_rows r = rows_of(stage, rows, C);
    stage_rows_of(&r, queries, 0, C);
    /* Scores of whole panels: what is past the prefix is overwritten, what is past the end is not used. */
    dot_group(&r, DOT_PAIRS, keys, NULL, pair_panel_words(C), nrk_round(P, 16), scores, padded, DOT_SET, 0);
    dot_group(&r, DOT_PAIRS, keys + before, NULL, pair_panel_words(C), nrk_round(i + positions, 16), scores + P, padded, DOT_SET, 0);
    for (int64_t row = 0; row < rows; row++) {
      int64_t position = i + row / share;
      float top;
      sums[row] = weigh_scores(scores + row * padded, P + position + 1, j->scale, &top);
      if (j->lse_out) j->lse_out[(s->start + position) * j->H + g * share + row % share] = top + logf(sums[row]);
    }
    memset(outputs, 0, (size_t)(rows * wide) * sizeof *outputs);
    blend_pairs(stage, rows, P, scores, padded, values, height * 16, C, outputs, wide, NULL);
    /* Pairs that all rows see, then what each sees beyond them: no more than the rows of a tile. */
    blend_pairs(stage, rows, common, scores + P, padded, values + nrk_ceil(P, 2) * 16, height * 16, C, outputs, wide, NULL);
    for (int64_t row = 0; row < rows; row++) {
      int64_t position = i + row / share;
      float weights[16];
      store(weights, half_rounded(load(scores + row * padded + P + common)));
      for (int64_t c = 0; c < C; c += 16) {
        v16 total = load(outputs + row * wide + c);
        for (int64_t m = common; m <= position; m++)
          total = fma16(splat(weights[m - common]), widen_part(v + (s->start + m) * j->ldv + c, C - c), total);
        store(outputs + row * wide + c, total);
      }
      finish_chain(j->out + (s->start + position) * j->ldo + (g * share + row % share) * C, outputs + row * wide, C, 1.0f / sums[row]);
    }
  }
}
static void attention_half_task(void *context, int64_t index, int32_t worker) {
  uint64_t old = dot_begin();
  attention_half_part(context, index, worker);
  dot_end(old);
}

/* Of segments first ..< end. */
static int64_t half_attention_cost(const half_attention *j, int64_t first, int64_t end) {
  int64_t cost = 0;
  for (int64_t s = first; s < end; s++)
    cost += j->segments[s].length * (j->segments[s].prefix_length + j->segments[s].length / 2 + 8) * j->H * (j->C / 16 + 3);
  return cost;
}

static void attention_bf16(nrk_pool *pool, const nrk_segment *list, int64_t segments, int64_t H, int64_t G, int64_t C, const nrk_bf16 *q,
                           int64_t ldq, const nrk_bf16 *k, int64_t ldk, const nrk_bf16 *v, int64_t ldv, float scale, nrk_bf16 *o,
                           int64_t ldo, float *lse) {
  half_attention job = {.pool = pool, .segments = list, .count = segments, .H = H, .G = G, .C = C, .share = H / G, .ldq = ldq, .ldk = ldk,
                        .ldv = ldv, .ldo = ldo, .q = q, .k = k, .v = v, .scale = scale, .out = o, .lse_out = lse};
  int64_t ignored, step = nrk_max(1, NRK_DOT_ROWS / job.share), T = 0;
  for (int64_t s = 0; s < segments; s++) T += list[s].length;
  /* Several tasks for every thread. */
  job.positions = nrk_min(FORWARD_POSITIONS, nrk_max(2 * step, T * G / (8 * nrk_pool_threads(pool))));
  job.positions = nrk_round(job.positions, step);
  job.parts = part_of_segments(list, segments, job.positions, -1, &ignored, &ignored);
  nrk_share(pool, half_attention_cost(&job, 0, segments), job.parts * G, attention_half_task, &job);
}

/* ---- backward --------------------------------------------------------------------------------------------- */

/* A block of query rows of one group, as all keys read it. */
typedef struct query_block {
  int64_t first, positions, rows;     /* the first position within its segment */
  dot_rows q, d_o;                    /* staged along channels */
  uint32_t *q_panels, *d_o_panels;    /* pairs along rows: [C / 16][BACKWARD_HEIGHT][16] */
  nrk_bf16 *gathered;
  float *lse, *D, *dq;
} query_block;

/* Memory of a task beside sums of dk and dv. */
typedef struct half_room {
  query_block block;
  float *p, *ds; /* [rows][BACKWARD_LD] */
  uint32_t *stage, *keys, *values, *keys_along;
  int64_t height;
} half_room;

NRK_INLINE int64_t block_positions(const half_attention *j) { return nrk_max(1, BACKWARD_ROWS / j->share); }

static half_room room_of(const half_attention *j, int32_t worker, int64_t more, float **rest) {
  int64_t C = j->C, wide = nrk_round(C, 16), rows = block_positions(j) * j->share, height = nrk_ceil(rows, 2), lines = nrk_round(rows, 16);
  int64_t staged = stage_floats(rows, C), aside = stage_floats(NRK_DOT_ROWS, nrk_max(rows, POSITION_RUN));
  int64_t panels = row_panels(BACKWARD_KEYS, C), along = wide * (BACKWARD_KEYS / 2), turned = 2 * panels + along + 2 * wide * height;
  float *at = nrk_scratch(j->pool, worker, 2 * rows * BACKWARD_LD + 2 * staged + aside + turned + rows * wide + 2 * lines +
                                               half_floats(rows * C) + more);
  half_room room = {.p = at, .ds = at + rows * BACKWARD_LD, .height = height};
  at += 2 * rows * BACKWARD_LD;
  room.block.q.stage = (uint32_t *)at, at += staged;
  room.block.d_o.stage = (uint32_t *)at, at += staged;
  room.stage = (uint32_t *)at, at += aside;
  room.keys = (uint32_t *)at, at += panels;
  room.values = (uint32_t *)at, at += panels;
  room.keys_along = (uint32_t *)at, at += along;
  room.block.q_panels = (uint32_t *)at, at += wide * height;
  room.block.d_o_panels = (uint32_t *)at, at += wide * height;
  room.block.dq = at, at += rows * wide;
  room.block.lse = at, at += lines;
  room.block.D = at, at += lines;
  room.block.gathered = (nrk_bf16 *)at, at += half_floats(rows * C);
  *rest = at;
  return room;
}

/* Positions first ..< first + positions of a segment that starts at row `start`. */
static void prepare_block(const half_attention *j, half_room *room, int64_t start, int64_t first, int64_t positions, int64_t g) {
  query_block *b = &room->block;
  int64_t C = j->C, t = start + first, rows = positions * j->share;
  b->first = first, b->positions = positions, b->rows = rows;
  b->q = rows_of(b->q.stage, rows, C), b->d_o = rows_of(b->d_o.stage, rows, C);
  gather_heads(b->gathered, j, j->q, j->ldq, t, g, positions);
  stage_rows_of(&b->q, b->gathered, 0, C);
  pairs_of_rows(b->q_panels, room->height, b->gathered, 0, C, C, rows);
  gather_heads(b->gathered, j, j->d_o, j->lddo, t, g, positions);
  stage_rows_of(&b->d_o, b->gathered, 0, C);
  pairs_of_rows(b->d_o_panels, room->height, b->gathered, 0, C, C, rows);
  for (int64_t r = 0; r < rows; r++) {
    int64_t row = t + r / j->share, h = g * j->share + r % j->share;
    v16 dot = splat(0);
    for (int64_t c = 0; c < C; c += 16)
      dot = fma16(widen_part(b->gathered + r * C + c, C - c), widen_part(j->o + row * j->ldo + h * C + c, C - c), dot);
    b->D[r] = sum_lanes(dot);
    b->lse[r] = j->lse[row * j->H + h];
  }
}

/* A row's scores and dp over `seen` keys become p and ds, then zeros to the end of `count` keys. */
NRK_INLINE void weigh_halves_backward(float *p, float *ds, int64_t seen, int64_t count, float scale, float lse, float D) {
  int64_t m = 0;
  for (; m < seen; m += 16) {
    v16 weight = first_lanes(exp16(load(p + m) * splat(scale) - splat(lse)), seen - m, 0);
    store(p + m, weight);
    store(ds + m, first_lanes(weight * (load(ds + m) - splat(D)) * splat(scale), seen - m, 0));
  }
  for (; m < count; m += 16) store(p + m, splat(0)), store(ds + m, splat(0));
}

/* The block's rows and `count` keys from row `key` on, which is position `at` of the block's segment; keys of a prefix all come before
   it. dq [rows, C] goes on by these keys, dk and dv [count, C] grow by one chain. Where they are NULL they are not wanted. */
static void backward_block(const half_attention *j, half_room *room, int64_t key, int64_t count, int64_t at, int64_t g, float *dq,
                           float *dk, float *dv) {
  const query_block *b = &room->block;
  int64_t C = j->C, share = j->share, wide = nrk_round(C, 16);
  const nrk_bf16 *k = j->k + key * j->ldk + g * C, *v = j->v + key * j->ldv + g * C;
  pairs_along_rows(room->keys, k, j->ldk, count, C);
  pairs_along_rows(room->values, v, j->ldv, count, C);
  if (dq) pairs_of_rows(room->keys_along, BACKWARD_KEYS / 2, k, 0, j->ldk, C, count);
  for (int64_t i = 0; i < b->q.blocks; i++) {
    int64_t first = block_start(&b->q, i), end = block_start(&b->q, i + 1);
    int64_t limit = nrk_max(0, nrk_min(count, b->first + (end - 1) / share + 1 - at));
    float *p = room->p + first * BACKWARD_LD, *ds = room->ds + first * BACKWARD_LD;
    dot_rows q = block_of(&b->q, i), d_o = block_of(&b->d_o, i);
    dot_group(&q, DOT_PAIRS, room->keys, NULL, pair_panel_words(C), nrk_round(limit, 16), p, BACKWARD_LD, DOT_SET, 0);
    dot_group(&d_o, DOT_PAIRS, room->values, NULL, pair_panel_words(C), nrk_round(limit, 16), ds, BACKWARD_LD, DOT_SET, 0);
    for (int64_t r = first; r < end; r++) {
      int64_t seen = nrk_max(0, nrk_min(count, b->first + r / share + 1 - at));
      weigh_halves_backward(room->p + r * BACKWARD_LD, room->ds + r * BACKWARD_LD, seen, count, j->scale, b->lse[r], b->D[r]);
    }
    if (!dq) continue;
    blend_pairs(room->stage, end - first, limit, ds, BACKWARD_LD, room->keys_along, BACKWARD_KEYS * 8, C, dq + first * wide, wide, NULL);
  }
  if (!dk) return;
  dot_rows keys = rows_of(NULL, count, 0);
  for (int64_t i = 0; i < keys.blocks; i++) {
    int64_t m = block_start(&keys, i), size = block_start(&keys, i + 1) - m;
    /* Rows before those that see the first of these keys would add zeros. */
    int64_t skip = nrk_max(0, at + m - b->first) * share & ~1;
    if (skip >= b->rows) break;
    dot_rows r = rows_of(room->stage, size, b->rows - skip);
    stage_columns_of(&r, room->ds + skip * BACKWARD_LD + m, 1, BACKWARD_LD, 16);
    dot_group(&r, DOT_PAIRS, b->q_panels + skip / 2 * 16, NULL, room->height * 16, C, dk + m * wide, wide, DOT_ADD, 0);
    stage_columns_of(&r, room->p + skip * BACKWARD_LD + m, 1, BACKWARD_LD, 16);
    dot_group(&r, DOT_PAIRS, b->d_o_panels + skip / 2 * 16, NULL, room->height * 16, C, dv + m * wide, wide, DOT_ADD, 0);
  }
}

/* Query positions first ..< end of a segment, from the start of a block on, and those keys of its context that are within `keys`; dk and dv
   begin at keys.start. */
static void backward_rows(const half_attention *j, half_room *room, const nrk_segment *s, int64_t first, int64_t end, int64_t g,
                          row_span keys, int wants_dq, float *dk, float *dv) {
  int64_t C = j->C, wide = nrk_round(C, 16), step = block_positions(j);
  for (int64_t i = first; i < end; i += step) {
    int64_t positions = nrk_min(step, end - i);
    row_span parts[2] = {{s->prefix_start, s->prefix_start + s->prefix_length}, {s->start, s->start + i + positions}};
    float *dq = wants_dq ? room->block.dq : NULL;
    int is_prepared = 0;
    for (int part = 0; part < 2; part++) {
      int64_t from = nrk_max(parts[part].start, keys.start), to = nrk_min(parts[part].end, keys.end);
      for (int64_t key = from; key < to; key += BACKWARD_KEYS) {
        int64_t count = nrk_min(BACKWARD_KEYS, to - key);
        if (!is_prepared) {
          prepare_block(j, room, s->start, i, positions, g);
          memset(room->block.dq, 0, (size_t)(room->block.rows * wide) * sizeof(float));
          is_prepared = 1;
        }
        backward_block(j, room, key, count, part == 0 ? -count : key - s->start, g, dq, dk ? dk + (key - keys.start) * wide : NULL,
                       dv ? dv + (key - keys.start) * wide : NULL);
      }
    }
    for (int64_t r = 0; dq && r < positions * j->share; r++)
      finish_chain(j->dq + (s->start + i + r / j->share) * j->lddq + (g * j->share + r % j->share) * C, dq + r * wide, C, 1);
  }
}

/* dk and dv of rows start ..< end are done. */
static void finish_keys(const half_attention *j, int64_t start, int64_t end, int64_t g, const float *dk, const float *dv) {
  int64_t C = j->C, wide = nrk_round(C, 16);
  for (int64_t t = start; t < end; t++, dk += wide, dv += wide) {
    finish_chain(j->dk + t * j->lddk + g * C, dk, C, 1);
    finish_chain(j->dv + t * j->lddv + g * C, dv, C, 1);
  }
}

/* A whole cluster, one key-value head: p and ds are formed once for all that needs them. */
static __attribute__((noinline)) void backward_cluster(const half_attention *j, int64_t index, int32_t worker) {
  int64_t g = index % j->G, first = 0, wide = nrk_round(j->C, 16), end;
  row_span rows;
  for (int64_t i = index / j->G; end = cluster_end(j->segments, j->count, first, &rows), i > 0; i--) first = end;
  int64_t sums = (rows.end - rows.start) * wide;
  float *dk;
  half_room room = room_of(j, worker, 2 * sums, &dk);
  float *dv = dk + sums;
  memset(dk, 0, (size_t)(2 * sums) * sizeof *dk);
  for (const nrk_segment *s = j->segments + first; s < j->segments + end; s++)
    backward_rows(j, &room, s, 0, s->length, g, rows, 1, dk, dv);
  for (const nrk_segment *s = j->segments + first; s < j->segments + end; s++)
    finish_keys(j, s->start, s->start + s->length, g, dk + (s->start - rows.start) * wide, dv + (s->start - rows.start) * wide);
}
static void backward_cluster_task(void *context, int64_t index, int32_t worker) {
  uint64_t old = dot_begin();
  backward_cluster(context, index, worker);
  dot_end(old);
}

/* Where clusters are too few to go round: some keys of a segment by all rows that see them, or one block of rows by all their keys. */
static __attribute__((noinline)) void backward_part(const half_attention *j, int64_t index, int32_t worker) {
  int64_t g = index % j->G, which = 0, part = 0, wide = nrk_round(j->C, 16);
  float *dk;
  if (index >= j->key_tasks) {
    part_of_segments(j->segments, j->count, block_positions(j), j->parts - 1 - (index - j->key_tasks) / j->G, &which, &part);
    const nrk_segment *s = j->segments + which;
    int64_t first = part * block_positions(j);
    half_room room = room_of(j, worker, 0, &dk);
    backward_rows(j, &room, s, first, nrk_min(s->length, first + block_positions(j)), g, (row_span){0, INT64_MAX}, 1, NULL, NULL);
    return;
  }
  part_of_segments(j->segments, j->count, j->key_rows, index / j->G, &which, &part);
  const nrk_segment *s = j->segments + which;
  row_span keys = {s->start + part * j->key_rows, nrk_min(s->start + s->length, s->start + (part + 1) * j->key_rows)}, rows;
  int64_t sums = (keys.end - keys.start) * wide, end, first = 0;
  half_room room = room_of(j, worker, 2 * sums, &dk);
  float *dv = dk + sums;
  memset(dk, 0, (size_t)(2 * sums) * sizeof *dk);
  while ((end = cluster_end(j->segments, j->count, first, &rows)) <= which) first = end;
  for (; first < end; first++) {
    const nrk_segment *x = j->segments + first;
    if (overlaps(keys, x->prefix_start, x->prefix_length) || overlaps(keys, x->start, x->length))
      backward_rows(j, &room, x, 0, x->length, g, keys, 0, dk, dv);
  }
  finish_keys(j, keys.start, keys.end, g, dk, dv);
}
static void backward_part_task(void *context, int64_t index, int32_t worker) {
  uint64_t old = dot_begin();
  backward_part(context, index, worker);
  dot_end(old);
}

static void attention_backward_bf16(nrk_pool *pool, const nrk_segment *list, int64_t segments, int64_t H, int64_t G, int64_t C,
                                    const nrk_bf16 *q, int64_t ldq, const nrk_bf16 *k, int64_t ldk, const nrk_bf16 *v, int64_t ldv,
                                    float scale, const nrk_bf16 *o, int64_t ldo, const float *lse, const nrk_bf16 *d_o, int64_t lddo,
                                    nrk_bf16 *dq, int64_t lddq, nrk_bf16 *dk, int64_t lddk, nrk_bf16 *dv, int64_t lddv) {
  half_attention job = {.pool = pool, .segments = list, .count = segments, .H = H, .G = G, .C = C, .share = H / G, .ldq = ldq, .ldk = ldk,
                        .ldv = ldv, .ldo = ldo, .lddo = lddo, .lddq = lddq, .lddk = lddk, .lddv = lddv, .q = q, .k = k, .v = v, .o = o,
                        .d_o = d_o, .lse = lse, .dq = dq, .dk = dk, .dv = dv, .scale = scale};
  int64_t clusters = 0, ignored, T = 0, threads = nrk_pool_threads(pool), cost = 3 * half_attention_cost(&job, 0, segments), longest = 0;
  row_span span;
  for (int64_t s = 0, end; s < segments; s = end, clusters++) {
    end = cluster_end(list, segments, s, &span);
    longest = nrk_max(longest, 3 * half_attention_cost(&job, s, end));
  }
  if (clusters == 0) return;
  /* Parts form p and ds twice, seven products instead of five: that pays where clusters keep too few threads at work. */
  longest = nrk_max(longest / G, cost / (clusters * G) * nrk_ceil(clusters * G, threads));
  if (5 * longest * threads <= 7 * cost) {
    nrk_share(pool, cost, clusters * G, backward_cluster_task, &job);
    return;
  }
  for (int64_t s = 0; s < segments; s++) T += list[s].length;
  job.key_rows = nrk_min(BACKWARD_KEYS, nrk_max(2 * NRK_DOT_ROWS, T * G / (8 * threads)));
  job.key_tasks = part_of_segments(list, segments, job.key_rows, -1, &ignored, &ignored) * G;
  job.parts = part_of_segments(list, segments, block_positions(&job), -1, &ignored, &ignored);
  nrk_share(pool, cost, job.key_tasks + job.parts * G, backward_part_task, &job);
}

/* ---- the KV cache ------------------------------------------------------------------------------------------- */

/* Of one layer: per slot, keys [G][capacity / 16][ceil(C / 2)][16] words, panels of pairs along channels, then values
   [G][ceil(C / 16)][capacity / 2][16] words, panels of pairs along positions: a position is halves of their words. */
NRK_INLINE uint32_t *cached_pairs(const nrk_bf16 *cache, int64_t slot, int64_t G, int64_t C, int64_t capacity) {
  return (uint32_t *)(cache + slot * nrk_kv_slot_elements_bf16(G, C, capacity));
}
NRK_INLINE uint32_t *key_pairs(const nrk_bf16 *cache, int64_t slot, int64_t G, int64_t C, int64_t capacity, int64_t g) {
  return cached_pairs(cache, slot, G, C, capacity) + g * capacity * nrk_ceil(C, 2);
}
NRK_INLINE uint32_t *value_pairs(const nrk_bf16 *cache, int64_t slot, int64_t G, int64_t C, int64_t capacity, int64_t g) {
  return cached_pairs(cache, slot, G, C, capacity) + G * capacity * nrk_ceil(C, 2) + g * capacity / 2 * nrk_round(C, 16);
}

static void kv_write_half_task(void *context, int64_t t, int32_t worker) {
  const half_attention *j = context;
  int64_t C = j->C, position = j->lengths[t];
  (void)worker;
  for (int64_t g = 0; g < j->G; g++) {
    nrk_bf16 *keys = (nrk_bf16 *)(key_pairs(j->out, j->slots[t], j->G, C, j->capacity, g) + position / 16 * pair_panel_words(C));
    nrk_bf16 *values = (nrk_bf16 *)(value_pairs(j->out, j->slots[t], j->G, C, j->capacity, g) + position / 2 * 16);
    const nrk_bf16 *k = j->k + t * j->ldk + g * C, *v = j->v + t * j->ldv + g * C;
    /* The first of a pair is the upper half of its word. */
    for (int64_t c = 0; c < C; c++) keys[c / 2 * 32 + position % 16 * 2 + 1 - c % 2] = k[c];
    if (C % 2) keys[C / 2 * 32 + position % 16 * 2] = 0;
    for (int64_t c = 0; c < C; c++) values[c / 16 * j->capacity * 16 + c % 16 * 2 + 1 - position % 2] = v[c];
  }
}

static void kv_write_bf16(nrk_pool *pool, int64_t T, int64_t G, int64_t C, const nrk_bf16 *k, int64_t ldk, const nrk_bf16 *v, int64_t ldv,
                          nrk_bf16 *cache, int64_t capacity, const int32_t *slots, const int32_t *positions) {
  half_attention job = {.G = G, .C = C, .capacity = capacity, .k = k, .ldk = ldk, .v = v, .ldv = ldv, .out = cache, .slots = slots,
                        .lengths = positions};
  nrk_share(pool, T * G * C * 2, T, kv_write_half_task, &job);
}

/* ---- decode: a task is a run of sequences that continue one prompt, one key-value head ----------------------- */

static int64_t half_decode_run(const half_attention *j, int64_t index, int64_t *first, int64_t *count) {
  int64_t most = nrk_min(nrk_max(1, DECODE_ROWS / j->share), nrk_max(1, j->T * j->G / (2 * nrk_pool_threads(j->pool))));
  return run_of_sequences(j->T, j->prompt_slots, j->prompt_lengths, most, index, first, count);
}

/* c goes on by the first `length` positions of a head's values. What stands in the other half of the last pair is not read. */
static void blend_cached(uint32_t *stage, int64_t rows, int64_t length, const float *p, int64_t ldp, const uint32_t *values,
                         int64_t capacity, int64_t C, float *c, int64_t ldc, uint32_t *last, const uint32_t *next) {
  int64_t even = length & ~1, panel = capacity / 2 * 16;
  blend_pairs(stage, rows, even, p, ldp, values, panel, C, c, ldc, next);
  if (even == length) return;
  for (int64_t i = 0; i < C; i += 16) store_words(last + i, load_words(values + i / 16 * panel + even / 2 * 16) & 0xFFFF0000);
  blend_pairs(stage, rows, 1, p + even, ldp, last, 16, C, c, ldc, NULL);
}

static __attribute__((noinline)) void decode_half_part(const half_attention *j, int64_t index, int32_t worker) {
  int64_t first = 0, count = 0, g = index % j->G, C = j->C, share = j->share, wide = nrk_round(C, 16), longest = 0;
  half_decode_run(j, index / j->G, &first, &count);
  int64_t P = j->prompt_lengths ? j->prompt_lengths[first] : 0, rows = count * share;
  for (int64_t t = first; t < first + count; t++) longest = nrk_max(longest, P + j->lengths[t]);
  int64_t padded = nrk_round(longest, 16) + 16, staged = stage_floats(rows, C), aside = stage_floats(rows, nrk_max(C, POSITION_RUN));
  float *scores = nrk_scratch(j->pool, worker, rows * (padded + wide + 1) + staged + aside + half_floats(rows * C) + wide);
  float *outputs = scores + rows * padded;
  uint32_t *stage = (uint32_t *)outputs + rows * wide, *room = stage + staged, *last = room + aside;
  nrk_bf16 *queries = (nrk_bf16 *)(last + wide);
  float *sums = (float *)queries + half_floats(rows * C);
  gather_heads(queries, j, j->q, j->ldq, first, g, count);
  if (P > 0) {
    dot_rows r = rows_of(stage, rows, C);
    stage_rows_of(&r, queries, 0, C);
    dot_group(&r, DOT_PAIRS, key_pairs(j->prompts, j->prompt_slots[first], j->G, C, j->prompt_capacity, g), NULL, pair_panel_words(C),
              nrk_round(P, 16), scores, padded, DOT_SET, 1);
  }
  /* Each sequence's keys and then its values are fetched while those before them are used. */
  for (int64_t t = 0; t < count; t++) {
    const int32_t *slot = j->slots + first + t;
    dot_rows r = rows_of(room, share, C);
    stage_rows_of(&r, queries + t * share * C, 0, C);
    dot_group_before(&r, DOT_PAIRS, key_pairs(j->cache, *slot, j->G, C, j->capacity, g), NULL, pair_panel_words(C),
                     nrk_round(j->lengths[first + t], 16), scores + t * share * padded + P, padded, DOT_SET, 0,
                     t + 1 < count ? key_pairs(j->cache, slot[1], j->G, C, j->capacity, g)
                                   : value_pairs(j->cache, j->slots[first], j->G, C, j->capacity, g));
  }
  for (int64_t r = 0; r < rows; r++) {
    float top;
    sums[r] = weigh_scores(scores + r * padded, P + j->lengths[first + r / share], j->scale, &top);
  }
  memset(outputs, 0, (size_t)(rows * wide) * sizeof *outputs);
  if (P > 0)
    blend_cached(room, rows, P, scores, padded, value_pairs(j->prompts, j->prompt_slots[first], j->G, C, j->prompt_capacity, g),
                 j->prompt_capacity, C, outputs, wide, last, NULL);
  for (int64_t t = 0; t < count; t++) {
    const int32_t *slot = j->slots + first + t;
    blend_cached(room, share, j->lengths[first + t], scores + t * share * padded + P, padded,
                 value_pairs(j->cache, *slot, j->G, C, j->capacity, g), j->capacity, C, outputs + t * share * wide, wide, last,
                 t + 1 < count ? value_pairs(j->cache, slot[1], j->G, C, j->capacity, g) : NULL);
  }
  for (int64_t r = 0; r < rows; r++)
    finish_chain(j->out + (first + r / share) * j->ldo + (g * share + r % share) * C, outputs + r * wide, C, 1.0f / sums[r]);
}
static void decode_half_task(void *context, int64_t index, int32_t worker) {
  uint64_t old = dot_begin();
  decode_half_part(context, index, worker);
  dot_end(old);
}

static void attention_decode_bf16(nrk_pool *pool, int64_t T, int64_t H, int64_t G, int64_t C, const nrk_bf16 *q, int64_t ldq,
                                  const nrk_bf16 *prompts, int64_t prompt_capacity, const int32_t *prompt_slots,
                                  const int32_t *prompt_lengths, const nrk_bf16 *cache, int64_t capacity, const int32_t *slots,
                                  const int32_t *lengths, float scale, nrk_bf16 *o, int64_t ldo) {
  half_attention job = {.pool = pool, .T = T, .H = H, .G = G, .C = C, .share = H / G, .ldq = ldq, .ldo = ldo, .capacity = capacity, .q = q,
                        .cache = cache, .slots = slots, .lengths = lengths, .prompts = prompts, .prompt_capacity = prompt_capacity,
                        .prompt_slots = prompt_slots, .prompt_lengths = prompt_lengths, .scale = scale, .out = o};
  int64_t cost = 0, ignored;
  for (int64_t t = 0; t < T; t++) cost += ((prompt_lengths ? prompt_lengths[t] : 0) + lengths[t] + 8) * H * (C / 16 + 3);
  nrk_share(pool, cost, half_decode_run(&job, -1, &ignored, &ignored) * G, decode_half_task, &job);
}
