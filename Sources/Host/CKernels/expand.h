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

NRK_INLINE u16 load_words(const uint32_t *p) { u16 v; __builtin_memcpy(&v, p, sizeof v); return v; }

/* The magnitudes of sixteen outputs, from `n` on, at input k; 0 for those that do not exist. */
NRK_INLINE v16 scales_of(const nf4_matrix *m, int64_t n, int64_t k) {
  float lanes[16];
  for (int64_t i = 0; i < 16; i++) lanes[i] = n + i < m->N ? nf4_scale(m, ((n + i) * m->K + k) / NF4_BLOCK) : 0;
  return load(lanes);
}

/* Where the blocks of all outputs begin and end together. */
NRK_INLINE int is_aligned(const nf4_matrix *m) { return m->K % NF4_BLOCK == 0; }
