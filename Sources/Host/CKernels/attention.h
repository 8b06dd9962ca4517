/* attention.h - attention of segments over themselves and their prefix, and of one query row over the KV cache.

   A query row's scores are sums over channels in order; its weights exp(score - max) are joined over 16 lanes by position
   modulo 16; its output is the sum over positions in order, then divided. Positions count from the prefix's first row.
   The decode path runs the same sequence, so it gives the same bits. Keys a row may not see are never multiplied in. */

#include "attention_shared.h"

typedef struct attention_job {
  nrk_pool *pool;
  const nrk_segment *segments;
  int64_t count, T, H, G, C, ldq, ldk, ldv, ldo, lddo, lddq, lddk, lddv, capacity, prompt_capacity;
  const float *q, *k, *v, *o, *d_o, *lse, *cache, *prompts;
  const int32_t *slots, *lengths, *prompt_slots, *prompt_lengths;
  float *out, *lse_out, *dq, *dk, *dv, scale;
} attention_job;

/* Scores (not yet scaled) of `n` positions become exp(scale s - max), then zeros to the end of the last sixteen. */
NRK_INLINE float weigh(float *s, int64_t n, float scale, float *maximum) {
  v16 highest = splat(-INFINITY), sum = splat(0);
  for (int64_t j = 0; j < n; j += 16) {
    v16 z = load(s + j) * splat(scale);
    if (n - j < 16) z = first_lanes(z, n - j, -INFINITY);
    store(s + j, z);
    highest = max16(z, highest);
  }
  float top = max_lanes(highest);
  for (int64_t j = 0; j < n; j += 16) {
    v16 p = exp16(load(s + j) - splat(top));
    store(s + j, p);
    sum += p;
  }
  *maximum = top;
  return sum_lanes(sum);
}

/* The rows of a segment's context, prefix first. */
NRK_INLINE int64_t context_row(const nrk_segment *s, int64_t j) {
  return j < s->prefix_length ? s->prefix_start + j : s->start + j - s->prefix_length;
}

/* Rows [from, length) of a context as [C][16] panels of sixteen positions, for products that run over channels; then as
   [C/16][height][16] panels, for products that run over positions. `from` is a multiple of 16 that the prefix reaches, or 0. */
static void turn_context(float *panels, const nrk_segment *s, int64_t from, int64_t length, const float *x, int64_t ld, int64_t C) {
  for (int64_t j = from; j < length; j += 16) {
    const float *rows[16];
    int64_t count = nrk_min(16, length - j);
    for (int64_t i = 0; i < count; i++) rows[i] = x + context_row(s, j + i) * ld;
    panel_of_columns(panels + j * C, rows, count, C);
  }
}
static void lay_context(float *panels, int64_t height, const nrk_segment *s, int64_t from, int64_t length, const float *x, int64_t ld,
                        int64_t C) {
  int64_t before = nrk_min(length, s->prefix_length);
  panels_of_rows(panels + from * 16, height, before - from, C, x + (s->prefix_start + from) * ld, ld);
  panels_of_rows(panels + before * 16, height, length - before, C, x + s->start * ld, ld);
}

/* The stride of rows of so many floats that products read as they stand where it is ROW. */
NRK_INLINE int64_t staged_row(int64_t floats) { return floats <= ROW ? ROW : floats; }

NRK_INLINE void copy_row(float *to, const float *from, int64_t n) {
  for (int64_t c = 0; c < n; c += 16) store_part(to + c, load_part(from + c, n - c, 0), n - c);
}

/* A row on its way while something else is computed. */
NRK_INLINE void fetch_row(const float *from, int64_t n) {
  for (int64_t c = 0; c < n; c += 16) __builtin_prefetch(from + c, 0, 3);
}

/* The sums o of one row over the positions before `begin` go on to `end`, over v panels [C/16][height][16]; then times 1 / sum. */
NRK_INLINE void finish_row(float *to, const float *o, const float *p, int64_t begin, int64_t end, float sum, const float *v,
                           int64_t height, int64_t C) {
  v16 factor = splat(1.0f / sum);
  for (int64_t c = 0; c < C; c += 16) {
    v16 total = load_part(o + c, C - c, 0);
    for (int64_t j = begin; j < end; j++) total = fma16(splat(p[j]), load(v + c * height + j * 16), total);
    store_part(to + c, total * factor, C - c);
  }
}

/* ---- forward: a task is some rows of one segment, one key-value head --------------------------------- */

enum { QUERIES = 128, TOGETHER = 48 }; /* positions of a task; query rows of a run of decoding and of a step of the backward */

static void attention_task(void *context, int64_t index, int32_t worker) {
  const attention_job *j = context;
  int64_t which = 0, part = 0, C = j->C, g = index % j->G, share = j->H / j->G;
  part_of_segments(j->segments, j->count, QUERIES, index / j->G, &which, &part);
  const nrk_segment *s = j->segments + which;
  int64_t begin = part * QUERIES, end = nrk_min(s->length, begin + QUERIES), P = s->prefix_length;
  int64_t length = P + end, padded = nrk_round(length, 16), wide = nrk_round(C, 16), ld = staged_row(padded), ldq = staged_row(C);
  int64_t rows = (end - begin) * share, blocks = nrk_ceil(rows, NRK_ROWS), seen[NRK_ROWS];
  float *stage = nrk_scratch(j->pool, worker, STAGE + padded * (C + wide) + NRK_ROWS * (ld + ldq + C));
  float *keys = stage + STAGE, *values = keys + padded * C, *scores = values + padded * wide, *queries = scores + NRK_ROWS * ld;
  float *outputs = queries + NRK_ROWS * ldq, sums[NRK_ROWS], tops[NRK_ROWS];
  turn_context(keys, s, 0, length, j->k + g * C, j->ldk, C);
  lay_context(values, padded, s, 0, length, j->v + g * C, j->ldv, C);
  /* The rows of one tile at a time: few positions that some of them see and others do not. */
  for (int64_t i = 0, done = 0, count; i < blocks; i++, done += count) {
    count = nrk_ceil(rows - done, blocks - i);
    for (int64_t r = 0; r < count; r++) {
      int64_t t = begin + (done + r) / share, h = g * share + (done + r) % share;
      copy_row(queries + r * ldq, j->q + (s->start + t) * j->ldq + h * C, C);
      seen[r] = P + t + 1;
    }
    multiply(stage, count, nrk_round(seen[count - 1], 16), C, queries, ldq, keys, NRK_F32, C * 16, scores, ld, 0, NULL);
    for (int64_t r = 0; r < count; r++) {
      int64_t next = nrk_min(rows - 1, done + count + r), t = s->start + begin + next / share, h = g * share + next % share;
      fetch_row(j->q + t * j->ldq + h * C, C), fetch_row(j->out + t * j->ldo + h * C, C);
      sums[r] = weigh(scores + r * ld, seen[r], j->scale, &tops[r]);
    }
    multiply(stage, count, C, seen[0], scores, ld, values, NRK_F32, padded * 16, outputs, C, 0, NULL);
    for (int64_t r = 0; r < count; r++) {
      int64_t t = s->start + seen[r] - P - 1, h = g * share + (done + r) % share;
      finish_row(j->out + t * j->ldo + h * C, outputs + r * C, scores + r * ld, seen[0], seen[r], sums[r], values, padded, C);
      if (j->lse_out) j->lse_out[t * j->H + h] = tops[r] + logf(sums[r]);
    }
  }
}

NRK_INLINE int64_t attention_cost(const attention_job *j) {
  int64_t cost = 0;
  for (int64_t s = 0; s < j->count; s++)
    cost += j->segments[s].length * (j->segments[s].prefix_length + j->segments[s].length / 2 + 8) * j->H * (j->C / 8 + 2);
  return cost;
}

static void attention(nrk_pool *pool, const nrk_segment *segments, int64_t count, int64_t H, int64_t G, int64_t C, const float *q,
                      int64_t ldq, const float *k, int64_t ldk, const float *v, int64_t ldv, float scale, float *o, int64_t ldo, float *lse) {
  attention_job job = {.pool = pool, .segments = segments, .count = count, .H = H, .G = G, .C = C, .ldq = ldq, .ldk = ldk, .ldv = ldv,
                       .ldo = ldo, .q = q, .k = k, .v = v, .scale = scale, .out = o, .lse_out = lse};
  int64_t ignored, parts = part_of_segments(segments, count, QUERIES, -1, &ignored, &ignored);
  nrk_share(pool, attention_cost(&job), parts * G, attention_task, &job);
}

/* ---- decode: a task is a run of sequences that continue one prompt, one key-value head --------------- */

/* The prompt of sequence t: its positions in the prompts' cache. */
NRK_INLINE int64_t prompt_length(const attention_job *j, int64_t t) { return j->prompt_lengths ? j->prompt_lengths[t] : 0; }

/* Run `index` of sequences: long enough to share the prompt's keys and short enough for every thread to get one. */
static int64_t decode_run(const attention_job *j, int64_t index, int64_t *first, int64_t *count) {
  int64_t most = nrk_min(nrk_max(1, TOGETHER / (j->H / j->G)), nrk_max(1, j->T * j->G / (2 * nrk_pool_threads(j->pool))));
  return run_of_sequences(j->T, j->prompt_slots, j->prompt_lengths, most, index, first, count);
}

/* The keys and the values of one slot and head. */
NRK_INLINE const float *cached_keys(const float *cache, int64_t slot, int64_t G, int64_t C, int64_t capacity, int64_t g) {
  return cache + slot * nrk_kv_slot_elements(G, C, capacity) + g * capacity * C;
}
NRK_INLINE const float *cached_values(const float *cache, int64_t slot, int64_t G, int64_t C, int64_t capacity, int64_t g) {
  return cache + slot * nrk_kv_slot_elements(G, C, capacity) + G * capacity * C + g * capacity * nrk_round(C, 16);
}

static void decode_task(void *context, int64_t index, int32_t worker) {
  const attention_job *j = context;
  int64_t first = 0, count = 0, g = index % j->G, C = j->C, share = j->H / j->G, longest = 0;
  decode_run(j, index / j->G, &first, &count);
  int64_t P = prompt_length(j, first), rows = count * share;
  for (int64_t t = first; t < first + count; t++) longest = nrk_max(longest, P + j->lengths[t]);
  /* A row has room for whole panels of scores from position P on. */
  int64_t ld = staged_row(nrk_round(longest, 16) + 16), ldq = staged_row(C);
  float *stage = nrk_scratch(j->pool, worker, STAGE + rows * (ld + ldq + C + 1)), *scores = stage + STAGE;
  float *queries = scores + rows * ld, *outputs = queries + rows * ldq, *sums = outputs + rows * C;
  for (int64_t r = 0; r < rows; r++)
    copy_row(queries + r * ldq, j->q + (first + r / share) * j->ldq + (g * share + r % share) * C, C);
  if (P > 0)
    multiply(stage, rows, nrk_round(P, 16), C, queries, ldq, cached_keys(j->prompts, j->prompt_slots[first], j->G, C, j->prompt_capacity, g),
             NRK_F32, C * 16, scores, ld, 0, NULL);
  for (int64_t t = 0; t < count; t++)
    multiply(stage, share, nrk_round(j->lengths[first + t], 16), C, queries + t * share * ldq, ldq,
             cached_keys(j->cache, j->slots[first + t], j->G, C, j->capacity, g), NRK_F32, C * 16, scores + t * share * ld + P, ld, 0, NULL);
  for (int64_t r = 0; r < rows; r++) {
    float top;
    sums[r] = weigh(scores + r * ld, P + j->lengths[first + r / share], j->scale, &top);
  }
  if (P > 0)
    multiply(stage, rows, C, P, scores, ld, cached_values(j->prompts, j->prompt_slots[first], j->G, C, j->prompt_capacity, g), NRK_F32,
             j->prompt_capacity * 16, outputs, C, 0, NULL);
  for (int64_t t = 0; t < count; t++)
    multiply(stage, share, C, j->lengths[first + t], scores + t * share * ld + P, ld,
             cached_values(j->cache, j->slots[first + t], j->G, C, j->capacity, g), NRK_F32, j->capacity * 16, outputs + t * share * C, C,
             P > 0, NULL);
  for (int64_t r = 0; r < rows; r++)
    finish_row(j->out + (first + r / share) * j->ldo + (g * share + r % share) * C, outputs + r * C, NULL, 0, 0, sums[r], NULL, 0, C);
}

static void attention_decode(nrk_pool *pool, int64_t T, int64_t H, int64_t G, int64_t C, const float *q, int64_t ldq,
                             const float *prompts, int64_t prompt_capacity, const int32_t *prompt_slots, const int32_t *prompt_lengths,
                             const float *cache, int64_t capacity, const int32_t *slots, const int32_t *lengths, float scale, float *o,
                             int64_t ldo) {
  attention_job job = {.pool = pool, .T = T, .H = H, .G = G, .C = C, .ldq = ldq, .ldo = ldo, .capacity = capacity, .q = q,
                       .cache = cache, .slots = slots, .lengths = lengths, .prompts = prompts, .prompt_capacity = prompt_capacity,
                       .prompt_slots = prompt_slots, .prompt_lengths = prompt_lengths, .scale = scale, .out = o};
  int64_t cost = 0, ignored;
  for (int64_t t = 0; t < T; t++) cost += (prompt_length(&job, t) + lengths[t] + 8) * H * (C / 8 + 2);
  nrk_share(pool, cost, decode_run(&job, -1, &ignored, &ignored) * G, decode_task, &job);
}
