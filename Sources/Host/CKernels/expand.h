/* expand.h - weights of four bits become float32 within a product: sixteen outputs at a time, in registers or in a panel that stays in
   the cache. Either way they are the same numbers. */

/* The numbers of sixteen codes, each the low four bits of its lane. */
NRK_INLINE v16 numbers_of(u16 codes) {
#if NRK_LOOKUP == 16
  const v16 table = load(nrk_nf4_values);
  return (v16)__builtin_ia32_permvarsf512(table, (i16)codes);
#elif NRK_LOOKUP == 8
  /* Eight numbers fit a register: the fourth bit chooses between two. */
  const v8 low = load(nrk_nf4_values).lo, high = load(nrk_nf4_values).hi;
  v16 result;
  i16 sign = (i16)(codes << 28);
  v8 a = __builtin_ia32_permvarsf256(low, (i8)codes.lo), b = __builtin_ia32_permvarsf256(high, (i8)codes.lo);
  result.lo = sign.lo < 0 ? b : a;
  a = __builtin_ia32_permvarsf256(low, (i8)codes.hi), b = __builtin_ia32_permvarsf256(high, (i8)codes.hi);
  result.hi = sign.hi < 0 ? b : a;
  return result;
#else
  float lanes[16];
  for (int i = 0; i < 16; i++) lanes[i] = nrk_nf4_values[codes[i] & 15];
  return load(lanes);
#endif
}

/* Rounded to the nearest number of bfloat16, ties to even. */
NRK_INLINE v16 rounded(v16 x) {
  u16 bits = (u16)x;
  return (v16)((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000u);
}

#if NRK_PAIRS
/* The same of two vectors of normal numbers, by the instruction for it (AVX-512 BF16), which not every machine of this table has. */
NRK_INLINE void round_pair(v16 *a, v16 *b) {
  typedef uint16_t h32 __attribute__((ext_vector_type(32)));
  h32 halves;
  const h32 zero = (h32)((uint16_t)0);
  __asm__("vcvtne2ps2bf16 %2, %1, %0" : "=v"(halves) : "v"(*b), "v"(*a));
  *a = (v16)__builtin_shufflevector(halves, zero, 32, 0, 32, 1, 32, 2, 32, 3, 32, 4, 32, 5, 32, 6, 32, 7, 32, 8, 32, 9, 32, 10, 32, 11, 32, 12,
                                    32, 13, 32, 14, 32, 15);
  *b = (v16)__builtin_shufflevector(halves, zero, 32, 16, 32, 17, 32, 18, 32, 19, 32, 20, 32, 21, 32, 22, 32, 23, 32, 24, 32, 25, 32, 26, 32,
                                    27, 32, 28, 32, 29, 32, 30, 32, 31);
}
#endif
/* Which tiles expand a matrix. */
NRK_INLINE int tile_kind(const nf4_matrix *m, nrk_kind kind) {
#if NRK_PAIRS
  if (kind == NRK_NF4_BF16 && m->head->is_normal && __builtin_cpu_supports("avx512bf16")) return NF4_ROUNDED_IN_PAIRS;
#endif
  (void)m;
  return (int)kind;
}

NRK_INLINE u16 load_words(const uint32_t *p) { u16 v; __builtin_memcpy(&v, p, sizeof v); return v; }

/* The magnitudes of sixteen outputs, from `n` on, at input k; 0 for those that do not exist. */
NRK_INLINE v16 scales_of(const nf4_matrix *m, int64_t n, int64_t k) {
  float lanes[16];
  for (int64_t i = 0; i < 16; i++) lanes[i] = n + i < m->N ? nf4_scale(m, ((n + i) * m->K + k) / NF4_BLOCK) : 0;
  return load(lanes);
}

/* Where the blocks of all outputs begin and end together. */
NRK_INLINE int is_aligned(const nf4_matrix *m) { return m->K % NF4_BLOCK == 0; }

/* Columns k ..< k + count of the panel of outputs from n on, k a multiple of 8: each of sixteen numbers, one after another. */
static void expand_panel(float *to, const nf4_matrix *m, int64_t n, int64_t k, int64_t count, nrk_kind kind) {
  const uint32_t *words = m->words + n / 16 * nf4_panel_words(m->K) + k / 8 * 16;
  int aligned = is_aligned(m), rounds = kind == NRK_NF4_BF16;
#if NRK_PAIRS
  int tiles_of = tile_kind(m, kind);
#endif
  v16 scale = splat(0);
  for (int64_t c = 0; c < count; c += 8, words += 16) {
    u16 word = load_words(words);
    int64_t part = nrk_min(8, count - c);
    if (c == 0 || (aligned && (k + c) % NF4_BLOCK == 0)) scale = scales_of(m, n, k + c);
#if NRK_PAIRS
    if (aligned && tiles_of == NF4_ROUNDED_IN_PAIRS) {
      for (int64_t i = 0; i < 8; i += 2, word >>= 8) {
        v16 a = numbers_of(word) * scale, b = numbers_of(word >> 4) * scale;
        round_pair(&a, &b);
        store(to + (c + i) * 16, a), store(to + (c + i + 1) * 16, b);
      }
      continue;
    }
#endif
    for (int64_t i = 0; i < part; i++, word >>= 4) {
      if (!aligned && c + i > 0) scale = scales_of(m, n, k + c + i);
      v16 x = numbers_of(word) * scale;
      store(to + (c + i) * 16, rounds ? rounded(x) : x);
    }
  }
}

/* The magnitudes of a panel over `count` inputs from k on, as a product reads them: [count / 64][16]. */
static void panel_scales(float *to, const nf4_matrix *m, int64_t n, int64_t k, int64_t count) {
  for (int64_t b = 0; b < count; b += NF4_BLOCK, to += 16) store(to, scales_of(m, n, k + b));
}

/* ---- to four bits ---------------------------------------------------------------------------------------- */

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
