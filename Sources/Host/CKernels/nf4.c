/* nf4.c - what of weights of four bits does not depend on the instruction set: their layout, and the statistics of their blocks as
   bitsandbytes and torch compute them on a CPU, bit for bit. */
#include "nf4.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const float nrk_nf4_values[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
    -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

int64_t nrk_nf4_bytes(int64_t N, int64_t K, int32_t is_nested) {
  int64_t blocks = nf4_blocks(N, K), bytes = (int64_t)sizeof(nf4_head) + nrk_ceil(N, 16) * nf4_panel_words(K) * 4;
  return bytes + (is_nested ? nrk_round(blocks, 64) + nrk_ceil(blocks, NF4_NESTED_BLOCK) * 4 : blocks * 4);
}

/* ---- from the order of a file to panels ---------------------------------------------------------------- */

typedef struct layout_job {
  int64_t N, K;
  const uint8_t *codes;
  uint32_t *words;
} layout_job;

static void layout_task(void *context, int64_t panel, int32_t worker) {
  const layout_job *j = context;
  (void)worker;
  int64_t rows = nrk_min(16, j->N - panel * 16), wide = nrk_ceil(j->K, 8);
  uint32_t *to = j->words + panel * nf4_panel_words(j->K);
  for (int64_t i = 0; i < 16; i++)
    for (int64_t w = 0; w < wide; w++) {
      uint32_t word = 0;
      for (int64_t k = 8 * w; k < 8 * w + 8; k++) {
        int64_t at = (panel * 16 + i) * j->K + k;
        /* Outputs and inputs that do not exist are 0, which is code 7. */
        uint32_t code = i < rows && k < j->K ? (at & 1 ? j->codes[at / 2] & 15 : j->codes[at / 2] >> 4) : 7;
        word |= code << 4 * (k % 8);
      }
      to[w * 16 + i] = word;
    }
}

void nrk_nf4_pack(nrk_pool *pool, int64_t N, int64_t K, const uint8_t *codes, const float *absmax, const uint8_t *absmax_codes,
                  const float *map, float offset, void *panels) {
  nf4_head *head = panels;
  memset(head, 0, sizeof *head);
  head->is_nested = absmax_codes != NULL;
  if (absmax_codes) memcpy(head->map, map, sizeof head->map), head->offset = offset;
  nf4_matrix m = nf4_view(panels, N, K);
  int64_t blocks = nf4_blocks(N, K);
  if (absmax_codes) memcpy((void *)m.codes, absmax_codes, (size_t)blocks);
  memcpy((void *)m.absmax, absmax, (size_t)(absmax_codes ? nrk_ceil(blocks, NF4_NESTED_BLOCK) : blocks) * 4);
  head->is_normal = 1;
  for (int64_t i = 0; i < blocks; i++) {
    float scale = nf4_scale(&m, i);
    if (scale != 0 && !(fabsf(scale) >= 0x1p-120f)) head->is_normal = 0;
  }
  layout_job job = {.N = N, .K = K, .codes = codes, .words = (uint32_t *)m.words};
  nrk_share(pool, N * K, nrk_ceil(N, 16), layout_task, &job);
}

void nrk_nf4_expand(int64_t count, const uint8_t *codes, const float *absmax, const uint8_t *absmax_codes, const float *map, float offset,
                    float *out) {
  for (int64_t i = 0; i < count; i++) {
    int64_t block = i / NF4_BLOCK;
    float scale = absmax_codes ? map[absmax_codes[block]] * absmax[block / NF4_NESTED_BLOCK] : absmax[block];
    if (absmax_codes) scale += offset;
    out[i] = nrk_nf4_values[i & 1 ? codes[i / 2] & 15 : codes[i / 2] >> 4] * scale;
  }
}

/* ---- the magnitudes in one byte ------------------------------------------------------------------------ */

static float map_values[256];
static uint8_t nearest[65536]; /* the code of the number nearest to i / 32767.5 - 1 */

static int ascending(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* The signed dynamic map of eight bits (Dettmers, arXiv 1511.04561): seven decades, each of twice as many numbers as the one below, midway
   between equidistant bounds; 0 and 1. */
static void make_map(void) {
  int count = 0;
  for (int i = 0; i < 7; i++) {
    int parts = 1 << i;
    float bounds[65], step = (1.0f - 0.1f) / (float)parts;
    /* As torch.linspace: from either end to the middle. */
    for (int k = 0; k <= parts; k++)
      bounds[k] = k < (parts + 1) / 2 ? fmaf(step, (float)k, 0.1f) : fmaf(-step, (float)(parts - k), 1.0f);
    float power = (float)pow(10, i - 6);
    for (int k = 0; k < parts; k++) {
      float mean = (bounds[k] + bounds[k + 1]) / 2.0f;
      map_values[count++] = power * mean;
      map_values[count++] = -power * mean;
    }
  }
  map_values[count++] = 0;
  map_values[count++] = 1;
  qsort(map_values, 256, sizeof *map_values, ascending);
  int code = 0;
  for (int i = 0; i < 65536; i++) {
    double x = (double)i * 2 / 65535 - 1;
    while (code < 255 && x > ((double)map_values[code] + (double)map_values[code + 1]) / 2) code++;
    nearest[i] = (uint8_t)code;
  }
}

const float *nrk_nf4_map(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_map);
  return map_values;
}

/* The sum as torch takes it with one thread: lanes of eight by four, added up at four levels. */
static void add_rows(float *sums, const float *x, int64_t lanes, int64_t size) {
  int64_t log = 0;
  while ((int64_t)1 << log < size) log++;
  int64_t power = nrk_max(4, log / 4), step = (int64_t)1 << power, i = 0;
  float level[4][32] = {{0}};
  while (i + step <= size) {
    for (int64_t j = 0; j < step; j++, i++)
      for (int64_t k = 0; k < lanes; k++) level[0][k] += x[i * lanes + k];
    for (int64_t j = 1; j < 4; j++) {
      for (int64_t k = 0; k < lanes; k++) level[j][k] += level[j - 1][k], level[j - 1][k] = 0;
      if (i & (step - 1) << j * power) break;
    }
  }
  for (; i < size; i++)
    for (int64_t k = 0; k < lanes; k++) level[0][k] += x[i * lanes + k];
  for (int64_t j = 1; j < 4; j++)
    for (int64_t k = 0; k < lanes; k++) level[0][k] += level[j][k];
  memcpy(sums, level[0], sizeof level[0]);
}

static float torch_sum(const float *x, int64_t count) {
  int64_t width = count < 8 ? 1 : 8, vectors = count / width, whole = vectors / 4;
  float sums[32], total = 0;
  add_rows(sums, x, 4 * width, whole);
  for (int64_t i = whole * 4; i < vectors; i++)
    for (int64_t k = 0; k < width; k++) sums[k] += x[i * width + k];
  for (int64_t part = 1; part < 4; part++)
    for (int64_t k = 0; k < width; k++) sums[k] += sums[part * width + k];
  if (width == 1) return sums[0];
  for (int64_t i = vectors * width; i < count; i++) total += x[i];
  for (int64_t k = 0; k < width; k++) total += sums[k];
  return total;
}

float nrk_nf4_nest(int64_t blocks, const float *absmax, uint8_t *codes, float *nested) {
  nrk_nf4_map();
  float offset = torch_sum(absmax, blocks) / (float)blocks;
  for (int64_t start = 0; start < blocks; start += NF4_NESTED_BLOCK) {
    int64_t end = nrk_min(blocks, start + NF4_NESTED_BLOCK);
    float largest = 0;
    for (int64_t i = start; i < end; i++) largest = fmaxf(largest, fabsf(absmax[i] - offset));
    nested[start / NF4_NESTED_BLOCK] = largest;
    float inverse = 1.0f / largest;
    for (int64_t i = start; i < end; i++) {
      float x = (absmax[i] - offset) * inverse;
      /* A block of zeros, or one whose inverse is not finite, has no numbers to speak of: bitsandbytes' code for them is 0. */
      if (largest == 0 || isnan(x)) codes[i] = 0;
      else codes[i] = nearest[(int32_t)((fminf(fmaxf(x, -1.0f), 1.0f) + 1.0f) * 32767.5f + 0.5f)];
    }
  }
  return offset;
}
