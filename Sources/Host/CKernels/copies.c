/* copies.c - moving rows about: the embedding, chosen rows, the KV cache. Nothing here depends on the instruction set. */
#include "nf4.h"
#include <string.h>

typedef struct copy_job {
  int64_t n, K, ldx, ldo, G, C, capacity, columns;
  const void *panels;
  nrk_kind kind;
  const int32_t *ids, *positions;
  const float *x, *v;
  float *out;
} copy_job;

/* ---- rows ------------------------------------------------------------------------------------------- */

static void gather_task(void *context, int64_t t, int32_t worker) {
  const copy_job *j = context;
  (void)worker;
  float *out = j->out + t * j->ldo;
  int64_t from = j->ids[t] / 16 * j->K * 16 + j->ids[t] % 16;
  if (j->kind >= NRK_NF4) {
    nf4_matrix m = nf4_view(j->panels, j->n, j->K);
    const uint32_t *words = m.words + j->ids[t] / 16 * nf4_panel_words(j->K) + j->ids[t] % 16;
    for (int64_t k = 0; k < j->K; k++) {
      float value = nrk_nf4_values[words[k / 8 * 16] >> 4 * (k % 8) & 15] * nf4_scale(&m, (j->ids[t] * j->K + k) / NF4_BLOCK);
      out[k] = j->kind == NRK_NF4_BF16 ? nf4_rounded(value) : value;
    }
  } else if (j->kind == NRK_BF16_PAIRS) {
    const nrk_bf16 *halves = (const nrk_bf16 *)j->panels + j->ids[t] / 16 * nrk_round(j->K, 2) * 16 + j->ids[t] % 16 * 2;
    for (int64_t k = 0; k < j->K; k++) {
      uint32_t bits = (uint32_t)halves[k / 2 * 32 + 1 - k % 2] << 16; /* the upper half of a word is its second */
      memcpy(out + k, &bits, 4);
    }
  } else if (j->kind == NRK_F32)
    for (int64_t k = 0; k < j->K; k++) out[k] = ((const float *)j->panels)[from + k * 16];
  else
    for (int64_t k = 0; k < j->K; k++) {
      uint32_t bits = (uint32_t)((const uint16_t *)j->panels)[from + k * 16] << 16;
      memcpy(out + k, &bits, 4);
    }
}

void nrk_gather(nrk_pool *pool, int64_t T, int64_t N, int64_t K, const void *panels, nrk_kind kind, const int32_t *ids, float *out,
                int64_t ld) {
  copy_job job = {.n = N, .K = K, .panels = panels, .kind = kind, .ids = ids, .out = out, .ldo = ld};
  nrk_share(pool, T * K * 2, T, gather_task, &job);
}

static void take_rows_task(void *context, int64_t i, int32_t worker) {
  const copy_job *j = context;
  (void)worker;
  memcpy(j->out + i * j->ldo, j->x + j->ids[i] * j->ldx, (size_t)j->K * sizeof(float));
}

void nrk_take_rows(nrk_pool *pool, int64_t n, int64_t K, const float *x, int64_t ldx, const int32_t *rows, float *out, int64_t ldo) {
  copy_job job = {.K = K, .x = x, .ldx = ldx, .ids = rows, .out = out, .ldo = ldo};
  if (K > 0) nrk_share(pool, n * K / 4, n, take_rows_task, &job);
}

/* Rows may repeat and their order counts, so tasks are columns. */
static void add_rows_task(void *context, int64_t index, int32_t worker) {
  const copy_job *j = context;
  (void)worker;
  int64_t k = index * j->columns, width = nrk_min(j->columns, j->K - k);
  for (int64_t i = 0; i < j->n; i++) {
    const float *from = j->x + i * j->ldx + k;
    float *to = j->out + j->ids[i] * j->ldo + k;
    for (int64_t c = 0; c < width; c++) to[c] += from[c];
  }
}

void nrk_add_rows(nrk_pool *pool, int64_t n, int64_t K, const float *y, int64_t ldy, const int32_t *rows, float *x, int64_t ldx) {
  copy_job job = {.n = n, .K = K, .x = y, .ldx = ldy, .ids = rows, .out = x, .ldo = ldx, .columns = 128};
  nrk_share(pool, n * K / 4, nrk_ceil(K, job.columns), add_rows_task, &job);
}

void nrk_embedding_backward(nrk_pool *pool, int64_t T, int64_t K, const int32_t *ids, const float *dx, int64_t ld, float *dtable) {
  nrk_add_rows(pool, T, K, dx, ld, ids, dtable, K);
}

/* ---- the KV cache ------------------------------------------------------------------------------------ */

int64_t nrk_kv_slot_elements(int64_t G, int64_t C, int64_t capacity) { return G * capacity * (C + nrk_round(C, 16)); }
int64_t nrk_kv_slot_elements_bf16(int64_t G, int64_t C, int64_t capacity) { return G * capacity * (nrk_round(C, 2) + nrk_round(C, 16)); }

static void kv_write_task(void *context, int64_t t, int32_t worker) {
  const copy_job *j = context;
  (void)worker;
  int64_t C = j->C, wide = nrk_round(C, 16), position = j->positions[t];
  float *slot = j->out + j->ids[t] * nrk_kv_slot_elements(j->G, C, j->capacity);
  for (int64_t g = 0; g < j->G; g++) {
    float *keys = slot + g * j->capacity * C + position / 16 * C * 16 + position % 16;
    float *values = slot + j->G * j->capacity * C + g * j->capacity * wide + position * 16;
    const float *k = j->x + t * j->ldx + g * C, *v = j->v + t * j->ldo + g * C;
    for (int64_t c = 0; c < C; c++) keys[c * 16] = k[c];
    for (int64_t c = 0; c < wide; c += 16) {
      float panel[16] = {0};
      memcpy(panel, v + c, sizeof(float) * (size_t)nrk_min(16, C - c));
      memcpy(values + c * j->capacity, panel, sizeof panel);
    }
  }
}

void nrk_kv_write(nrk_pool *pool, int64_t T, int64_t G, int64_t C, const float *k, int64_t ldk, const float *v, int64_t ldv, float *cache,
                  int64_t capacity, const int32_t *slots, const int32_t *positions) {
  copy_job job = {.G = G, .C = C, .capacity = capacity, .x = k, .ldx = ldk, .v = v, .ldo = ldv, .out = cache, .ids = slots,
                  .positions = positions};
  nrk_share(pool, T * G * C * 2, T, kv_write_task, &job);
}
