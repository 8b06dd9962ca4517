/* quantize.h - numbers to four bits. */

typedef struct quantize_job {
  int64_t count;
  const void *source;
  nrk_kind kind;
  uint8_t *codes;
  float *absmax;
} quantize_job;

enum { QUANTIZED_BLOCKS = 256 }; /* of a task */

/* As torch computes it: the codes of numbers between -1 and 1 by the midpoints of the sixteen; what is on one takes the lower. */
static void quantize_block(float *x, int64_t count, int is_whole, uint8_t *codes, float *absmax) {
  float largest = 0, bounds[15];
  for (int i = 0; i < 15; i++) bounds[i] = (nrk_nf4_values[i] + nrk_nf4_values[i + 1]) / 2;
  for (int64_t i = 0; i < count; i++) largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
  /* The last block, where it is not whole, is divided by its magnitude and keeps the least one there is. */
  float divisor = largest < 1e-38f ? 1e-38f : largest, inverse = 1.0f / divisor;
  *absmax = is_whole ? largest : divisor;
  for (int64_t i = count; i < NF4_BLOCK; i++) x[i] = 0;
  uint32_t lanes[NF4_BLOCK];
  for (int64_t i = 0; i < NF4_BLOCK; i += 16) {
    v16 v = is_whole ? load(x + i) * splat(inverse) : load(x + i) / splat(divisor);
    u16 code = (u16)(0);
    for (int b = 0; b < 15; b++) code -= (u16)(v > splat(bounds[b]));
    __builtin_memcpy(lanes + i, &code, sizeof code);
  }
  for (int64_t i = 0; i < count; i += 2) codes[i / 2] = (uint8_t)(lanes[i] << 4 | lanes[i + 1]);
}

static void quantize_task(void *context, int64_t index, int32_t worker) {
  const quantize_job *j = context;
  (void)worker;
  int64_t end = nrk_min(nrk_ceil(j->count, NF4_BLOCK), (index + 1) * QUANTIZED_BLOCKS);
  for (int64_t block = index * QUANTIZED_BLOCKS; block < end; block++) {
    float x[NF4_BLOCK];
    int64_t at = block * NF4_BLOCK, count = nrk_min(NF4_BLOCK, j->count - at);
    if (j->kind == NRK_F32) memcpy(x, (const char *)j->source + at * 4, (size_t)count * 4);
    else
      for (int64_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, (const char *)j->source + (at + i) * 2, 2);
        uint32_t bits = (uint32_t)half << 16;
        memcpy(x + i, &bits, 4);
      }
    quantize_block(x, count, count == NF4_BLOCK, j->codes + at / 2, j->absmax + block);
  }
}

static void nf4_quantize(nrk_pool *pool, int64_t count, const void *source, nrk_kind kind, uint8_t *codes, float *absmax) {
  quantize_job job = {.count = count, .source = source, .kind = kind, .codes = codes, .absmax = absmax};
  nrk_share(pool, count, nrk_ceil(nrk_ceil(count, NF4_BLOCK), QUANTIZED_BLOCKS), quantize_task, &job);
}
