/* expand_f32.h - weights of four bits for products in float32: panels of their values, which may be rounded to bfloat16. */

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
