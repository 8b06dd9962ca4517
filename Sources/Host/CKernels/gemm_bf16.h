/* gemm_bf16.h - products in bfloat16 with float32 sums, as the instruction for them (vdpbf16ps, NRK_DOT) computes them, and the same
   numbers where there is none:

     sum = 0, then for k = 0, 1, 2, ...: sum = fma(a[m, k], b[k, n], sum)

   a is bfloat16, or is rounded to it; b is bfloat16. A longer sum is cut at multiples of DOT_CHUNK: each chunk is such a chain, chunks are
   added in ascending order. All of it without numbers below the normal ones: they are zeros as operands and as results (dot_begin). So
   no element depends on how the matrix is cut.

   The instruction multiplies a pair of halves by a pair, the upper halves first: the upper half is k, the lower one k + 1. Where k + 1 does
   not exist it is 0. b stands in panels of 16 columns, each [k / 2][16] pairs. a is staged once, in blocks of R rows, each [k / 2][R]
   pairs, so that a tile reads one sequence; without the instruction a pair is two floats, k and k + 1.

   An instruction set's file defines NRK_DOT beside NRK_FMA, NRK_LOOKUP and NRK_TILES, and NRK_DOT_ROWS, the most rows of a tile whose sums,
   two halves of weights and a row stay in registers. */
enum {
  DOT_CHUNK = 2304,
  DOT_RUN = 512,                  /* the chunk of a product over tokens */
  DOT_WORDS = NRK_DOT ? 1 : 2,    /* of a pair in the stage */
  DOT_STAGE = 112 * 1024,         /* words of a stage beside which weights have room in a second-level cache of 1 MB */
  DOT_HEIGHT = DOT_CHUNK / 2,
  DOT_PANEL = DOT_HEIGHT * 16, /* words of one panel in a tile of weights that is made for a chunk */
};
typedef enum dot_kind { DOT_PAIRS, DOT_NF4, DOT_KINDS } dot_kind;

typedef uint16_t h32 __attribute__((ext_vector_type(32)));
typedef uint64_t q8 __attribute__((ext_vector_type(8)));

/* ---- numbers below the normal ones ---------------------------------------------------------------------- */

/* They are zeros until dot_end: what vdpbf16ps does always. */
NRK_INLINE uint64_t dot_begin(void) {
#if defined(__x86_64__)
  uint32_t old = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(old | 0x8040);
  return old;
#elif defined(__aarch64__)
  uint64_t old;
  __asm__ volatile("mrs %0, fpcr" : "=r"(old));
  __asm__ volatile("msr fpcr, %0" ::"r"(old | 1 << 24));
  return old;
#endif
}
NRK_INLINE void dot_end(uint64_t old) {
#if defined(__x86_64__)
  __builtin_ia32_ldmxcsr((uint32_t)old);
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" ::"r"(old));
#endif
}

/* ---- to pairs ------------------------------------------------------------------------------------------- */

NRK_INLINE void store_words(uint32_t *p, u16 v) { __builtin_memcpy(p, &v, sizeof v); }

#if NRK_DOT
NRK_INLINE h32 halves_of(v16 first, v16 second) { return (h32)__builtin_ia32_cvtne2ps2bf16_512(second, first); }
NRK_INLINE v16 dot16(v16 sum, u16 a, u16 b) {
  typedef __bf16 b32 __attribute__((vector_size(64)));
  return (v16)__builtin_ia32_dpbf16ps_512(sum, (b32)a, (b32)b);
}
#else
/* Rounded to the nearest half, ties to even, in the upper half of each lane; NaN stays NaN, what is below the normal numbers is 0. */
NRK_INLINE u16 upper_half(v16 x) {
  u16 bits = (u16)x, magnitude = bits & 0x7FFFFFFF;
  u16 result = bits + 0x7FFF + (bits >> 16 & 1);
  result = magnitude > 0x7F800000 ? (bits | 0x400000) : result;
  result = magnitude < 0x00800000 ? (bits & 0x80000000) : result;
  return result & 0xFFFF0000;
}
#endif

/* Sixteen pairs of the lanes of two vectors. */
NRK_INLINE u16 pairs_of(v16 first, v16 second) {
#if NRK_DOT
  h32 h = halves_of(second, first);
  return (u16)__builtin_shufflevector(h, h, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28,
                                      13, 29, 14, 30, 15, 31);
#else
  return upper_half(first) | upper_half(second) >> 16;
#endif
}

#define NRK_EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define NRK_ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31

/* Elements of a matrix that is float32 or bfloat16. */
NRK_INLINE const void *element_at(const void *p, int is_float, int64_t index) {
  return is_float ? (const void *)((const float *)p + index) : (const void *)((const nrk_bf16 *)p + index);
}
NRK_INLINE v16 widen_part(const nrk_bf16 *p, int64_t n) {
  if (n >= 16) return widen(p);
  nrk_bf16 lanes[16] = {0};
  for (int64_t i = 0; i < n; i++) lanes[i] = p[i];
  return widen(lanes);
}
/* The first n of sixteen elements from p + index on, zeros for the others. */
NRK_INLINE v16 load_elements(const void *p, int is_float, int64_t index, int64_t n) {
  return is_float ? load_part((const float *)p + index, n, 0) : widen_part((const nrk_bf16 *)p + index, n);
}
NRK_INLINE h16 round_halves(v16 x) {
#if NRK_DOT
  return halves_of(x, x).lo;
#else
  return __builtin_convertvector(upper_half(x) >> 16, h16);
#endif
}
NRK_INLINE void store_halves(nrk_bf16 *p, v16 x, int64_t n) {
  h16 halves = round_halves(x);
  if (n >= 16) { __builtin_memcpy(p, &halves, sizeof halves); return; }
  for (int64_t i = 0; i < n; i++) p[i] = halves[i];
}
NRK_INLINE void store_elements(void *p, int is_float, int64_t index, v16 x, int64_t n) {
  if (is_float) store_part((float *)p + index, x, n);
  else store_halves((nrk_bf16 *)p + index, x, n);
}

/* Sixteen pairs of thirty-two numbers that follow one another. */
NRK_INLINE u16 pairs_along(v16 low, v16 high) {
#if NRK_DOT
  u16 h = (u16)halves_of(low, high);
  return h << 16 | h >> 16;
#else
  return pairs_of(__builtin_shufflevector(low, high, NRK_EVEN), __builtin_shufflevector(low, high, NRK_ODD));
#endif
}

/* Sixteen pairs of the first n of thirty-two elements from p + index on; zeros for the others. */
NRK_INLINE u16 load_pairs(const void *p, int is_float, int64_t index, int64_t n) {
  if (is_float) {
    const float *from = (const float *)p + index;
    if (n >= 32) return pairs_along(load(from), load(from + 16));
    return pairs_along(load_part(from, n, 0), n > 16 ? load_part(from + 16, n - 16, 0) : splat(0));
  }
  nrk_bf16 part[32] = {0};
  const nrk_bf16 *from = (const nrk_bf16 *)p + index;
  if (n < 32) {
    for (int64_t i = 0; i < n; i++) part[i] = from[i];
    from = part;
  }
  u16 words;
  __builtin_memcpy(&words, from, sizeof words);
  return words << 16 | words >> 16;
}
/* Sixteen pairs of the elements of two rows, the first n of them; `second` is zeros where it is NULL. */
NRK_INLINE u16 load_two(const void *first, const void *second, int is_float, int64_t n) {
  v16 a = load_elements(first, is_float, 0, n), b = second ? load_elements(second, is_float, 0, n) : splat(0);
  if (is_float) return pairs_of(a, b);
  return (u16)a | (u16)b >> 16;
}

/* The pairs of sixteen rows into a block of which `to` is the first; the next pair overwrites those that are not the block's. */
NRK_INLINE void store_stage(uint32_t *to, u16 pairs) {
#if NRK_DOT
  store_words(to, pairs);
#else
  v16 first = (v16)(pairs & 0xFFFF0000), second = (v16)(pairs << 16);
  store((float *)to, __builtin_shufflevector(first, second, NRK_SHUFFLE_LOW));
  store((float *)to + 16, __builtin_shufflevector(first, second, NRK_SHUFFLE_HIGH));
#endif
}

/* `count` rows of a, depth columns: element (m, k) is a[m * ld + k]. */
static void stage_block(uint32_t *to, const void *a, int is_float, int64_t ld, int64_t count, int64_t depth) {
  for (int64_t k = 0; k < depth; k += 32) {
    int64_t exist = depth - k;
    v16 block[16];
#pragma clang loop unroll(full)
    for (int m = 0; m < 16; m++) block[m] = m >= count ? splat(0) : (v16)load_pairs(a, is_float, m * ld + k, exist);
    if (count > 1) transpose(block);
    if (exist >= 32 && count > 1) {
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; i++) store_stage(to + (k / 2 + i) * count * DOT_WORDS, (u16)block[i]);
    } else if (count > 1) {
      for (int64_t i = 0; 2 * i < exist; i++) store_stage(to + (k / 2 + i) * count * DOT_WORDS, (u16)block[i]);
    } else store_stage(to + k / 2 * DOT_WORDS, (u16)block[0]);
  }
}

/* The same of columns: element (m, k) is a[k * ld + m], `exist` of m may be read. */
static void stage_block_of_columns(uint32_t *to, const void *a, int is_float, int64_t ld, int64_t count, int64_t exist, int64_t depth) {
  for (int64_t k = 0; k < depth; k += 2) {
    const void *second = k + 1 < depth ? element_at(a, is_float, (k + 1) * ld) : NULL;
    store_stage(to + k / 2 * count * DOT_WORDS, load_two(element_at(a, is_float, k * ld), second, is_float, exist));
  }
}

/* Panels of pairs from `depth` rows of `columns` elements, `ld` apart: [ceil(columns / 16)][height][16] words, zero-padded. */
static void pairs_of_rows(uint32_t *panels, int64_t height, const void *rows, int is_float, int64_t ld, int64_t columns, int64_t depth) {
  for (int64_t c = 0; c < columns; c += 16, panels += height * 16)
    for (int64_t k = 0; k < depth; k += 2) {
      const void *second = k + 1 < depth ? element_at(rows, is_float, (k + 1) * ld + c) : NULL;
      store_words(panels + k / 2 * 16, load_two(element_at(rows, is_float, k * ld + c), second, is_float, columns - c));
    }
}

/* Sixteen columns n by sixteen k as eight vectors, a vector the pairs (k, k + 1) of all n, become the pairs (n, n + 1) of all k: a square
   of two by two changes sides within each eight bytes, then the eight by eight of them do. */
#define NRK_TURN(q) 4 * (q) + 3, 4 * (q) + 1, 4 * (q) + 2, 4 * (q)
#define NRK_TURN_TWO(q) NRK_TURN(q), NRK_TURN((q) + 8)
NRK_INLINE void turn_square(q8 r[8]) {
  q8 t[8];
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
#if NRK_LOOKUP == 16
    h32 a = (h32)r[i], b = (h32)r[i + 4];
    t[2 * i] = (q8)__builtin_shufflevector(a, b, NRK_TURN_TWO(0), NRK_TURN_TWO(1), NRK_TURN_TWO(2), NRK_TURN_TWO(3));
    t[2 * i + 1] = (q8)__builtin_shufflevector(a, b, NRK_TURN_TWO(4), NRK_TURN_TWO(5), NRK_TURN_TWO(6), NRK_TURN_TWO(7));
#else
    h32 pair[2] = {(h32)r[i], (h32)r[i + 4]};
    for (int k = 0; k < 2; k++)
      pair[k] = __builtin_shufflevector(pair[k], pair[k], NRK_TURN(0), NRK_TURN(1), NRK_TURN(2), NRK_TURN(3), NRK_TURN(4), NRK_TURN(5),
                                        NRK_TURN(6), NRK_TURN(7));
    t[2 * i] = __builtin_shufflevector((q8)pair[0], (q8)pair[1], 0, 8, 1, 9, 2, 10, 3, 11);
    t[2 * i + 1] = __builtin_shufflevector((q8)pair[0], (q8)pair[1], 4, 12, 5, 13, 6, 14, 7, 15);
#endif
  }
#pragma clang loop unroll(full)
  for (int stage = 0; stage < 2; stage++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 8; i++) r[i] = t[i];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
      t[2 * i] = __builtin_shufflevector(r[i], r[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
      t[2 * i + 1] = __builtin_shufflevector(r[i], r[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i++) r[i] = t[i];
}

/* Words of one panel of a matrix [N, K]. */
NRK_INLINE int64_t pair_panel_words(int64_t K) { return nrk_ceil(K, 2) * 16; }

/* Panels of pairs along k of outputs n ..< n + depth, as panels of pairs along n: columns k ..< k + columns, k a multiple of 16, to
   [ceil(columns / 16)][height][16] words. `from` is the panel of output n; outputs past the last one are zeros in it, and so are inputs. */
static void turn_pairs(uint32_t *to, int64_t height, const uint32_t *from, int64_t panel, int64_t depth, int64_t k, int64_t columns) {
  for (int64_t i = 0; i < depth; i += 16, from += panel)
    for (int64_t c = 0; c < columns; c += 16) {
      q8 block[8];
      int64_t exist = nrk_ceil(columns - c, 2);
      const uint32_t *words = from + (k + c) / 2 * 16;
      /* The next outputs' on their way: they stand far apart. */
      for (int r = 0; r < 8; r++) __builtin_prefetch(words + panel + r * 16, 0, 3);
#pragma clang loop unroll(full)
      for (int r = 0; r < 8; r++) block[r] = r < exist ? (q8)load_words(words + r * 16) : (q8)(0);
      turn_square(block);
#pragma clang loop unroll(full)
      for (int r = 0; r < 8; r++) store_words(to + (c / 16 * height + i / 2 + r) * 16, (u16)block[r]);
    }
}

/* ---- weights of four bits -------------------------------------------------------------------------------- */

/* The magnitudes of sixteen outputs as products read them. With the instruction lanes are halves of pairs until they are rounded, so that
   rounding two vectors leaves the pairs in order: each magnitude stands twice. */
enum { DOT_SCALE = NRK_DOT ? 32 : 16, DOT_SCALES = DOT_CHUNK / NF4_BLOCK * DOT_SCALE /* of a panel */ };

#define NRK_TWICE_LOW 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7
#define NRK_TWICE_HIGH 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15
NRK_INLINE void store_scale(float *to, v16 scale) {
#if NRK_DOT
  store(to, __builtin_shufflevector(scale, scale, NRK_TWICE_LOW));
  store(to + 16, __builtin_shufflevector(scale, scale, NRK_TWICE_HIGH));
#else
  store(to, scale);
#endif
}

/* Codes of sixteen outputs, eight each, of which the next two become a pair at a time. */
typedef struct dot_codes {
  u16 word[NRK_DOT ? 2 : 1];
} dot_codes;
NRK_INLINE dot_codes codes_of(u16 word) {
#if NRK_DOT
  const u16 nibble = {4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0, 4, 0};
  return (dot_codes){{__builtin_shufflevector(word, word, NRK_TWICE_LOW) >> nibble,
                      __builtin_shufflevector(word, word, NRK_TWICE_HIGH) >> nibble}};
#else
  return (dot_codes){{word}};
#endif
}
NRK_INLINE u16 next_pairs(dot_codes *codes, const float *scale) {
#if NRK_DOT
  u16 pairs = (u16)halves_of(numbers_of(codes->word[0]) * load(scale), numbers_of(codes->word[1]) * load(scale + 16));
  codes->word[0] >>= 8, codes->word[1] >>= 8;
#else
  u16 pairs = pairs_of(numbers_of(codes->word[0]) * load(scale), numbers_of(codes->word[0] >> 4) * load(scale));
  codes->word[0] >>= 8;
#endif
  return pairs;
}

/* Columns k ..< k + depth of the panel of outputs from n on, k a multiple of 8, as pairs. `scales` where the matrix is aligned. */
static void expand_pairs(uint32_t *to, const nf4_matrix *m, int64_t n, int64_t k, int64_t depth, const float *scales) {
  const uint32_t *words = m->words + n / 16 * nf4_panel_words(m->K) + k / 8 * 16;
  for (int64_t c = 0; c < depth; c += 8, words += 16) {
    u16 word = load_words(words);
    if (scales) {
      dot_codes codes = codes_of(word);
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; i++) store_words(to + (c / 2 + i) * 16, next_pairs(&codes, scales + c / NF4_BLOCK * DOT_SCALE));
      continue;
    }
    for (int64_t i = 0; i < 8 && c + i < depth; i += 2, word >>= 8) {
      v16 first = numbers_of(word) * scales_of(m, n, k + c + i);
      v16 second = c + i + 1 < depth ? numbers_of(word >> 4) * scales_of(m, n, k + c + i + 1) : splat(0);
      store_words(to + (c + i) / 2 * 16, pairs_of(first, second));
    }
  }
}

/* nf4_scale of up to sixteen blocks that follow one another, which lie in one or two blocks of magnitudes; their numbers of the map. */
NRK_INLINE v16 nested_scales(const nf4_matrix *m, int64_t at, int64_t count, v16 numbers) {
  const i16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  int64_t next = nrk_round(at + 1, NF4_NESTED_BLOCK); /* where the second one begins */
  const float *absmax = m->absmax + at / NF4_NESTED_BLOCK;
  v16 largest = lane < (i16)((int32_t)(next - at)) ? splat(absmax[0]) : splat(absmax[next < at + count]);
  return numbers * largest + splat(m->head->offset);
}

/* The magnitudes of a panel over `depth` inputs from k on, as above: [depth / 64][DOT_SCALE], zeros for outputs that do not exist. Those of
   an output follow one another in memory, so they are turned sixteen by sixteen. */
static void dot_scales(float *to, const nf4_matrix *m, int64_t n, int64_t k, int64_t depth) {
  int64_t blocks = depth / NF4_BLOCK, step = m->K / NF4_BLOCK, from = (n * m->K + k) / NF4_BLOCK, all = nf4_blocks(m->N, m->K);
  for (int64_t b = 0; b < blocks; b += 16) {
    v16 block[16];
    int64_t exist = nrk_min(16, blocks - b), rows = nrk_min(16, m->N - n);
    float numbers[16 * 16];
    for (int64_t i = 0; m->head->is_nested && i < rows; i++) {
      const uint8_t *codes = m->codes + from + i * step + b;
      for (int64_t c = 0; c < exist; c++) numbers[i * 16 + c] = m->head->map[codes[c]];
      for (int64_t c = exist; c < 16; c++) numbers[i * 16 + c] = 0;
    }
    for (int64_t i = 0; i < 16; i++) {
      int64_t at = from + i * step + b;
      if (i >= rows) block[i] = splat(0);
      else if (m->head->is_nested) block[i] = nested_scales(m, at, exist, load(numbers + i * 16));
      else block[i] = at + 16 <= all ? load(m->absmax + at) : load_part(m->absmax + at, exist, 0);
    }
    transpose(block);
    for (int64_t c = 0; c < exist; c++) store_scale(to + (b + c) * DOT_SCALE, block[c]);
  }
}

/* ---- tiles ----------------------------------------------------------------------------------------------- */

/* What becomes of c: the chain, c plus the chain, or the chain that goes on from c. */
typedef enum dot_start { DOT_SET, DOT_ADD, DOT_GO_ON } dot_start;

typedef void (*dot_function)(const uint32_t *a, const uint32_t *b, const float *scales, int64_t panel, int64_t ahead, int64_t pairs,
                             float *c, int64_t ldc, int64_t last, dot_start start);

/* One step: a pair of each row by sixteen pairs of each panel. */
NRK_INLINE void dot_step(const int R, const int P, v16 sum[NRK_ROWS][NRK_PANELS], const uint32_t *a, const u16 column[NRK_PANELS]) {
#if NRK_DOT
#pragma clang loop unroll(full)
  for (int m = 0; m < R; m++) {
    u16 row = (u16)(a[m]);
#pragma clang loop unroll(full)
    for (int p = 0; p < P; p++) sum[m][p] = dot16(sum[m][p], row, column[p]);
  }
#else
  const float *rows = (const float *)a;
#pragma clang loop unroll(full)
  for (int half = 0; half < 2; half++) {
    v16 weights[NRK_PANELS];
#pragma clang loop unroll(full)
    for (int p = 0; p < P; p++) weights[p] = (v16)(half ? column[p] << 16 : column[p] & 0xFFFF0000);
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++) {
      v16 row = splat(rows[2 * m + half]);
#pragma clang loop unroll(full)
      for (int p = 0; p < P; p++) sum[m][p] = fma16(row, weights[p], sum[m][p]);
    }
  }
#endif
}

/* R rows by P panels held in registers; `panel` words from one panel to the next, `ahead` to those that follow; `last` columns of the last
   panel exist. Weights of four bits are expanded on the way: `scales` [P][DOT_SCALES]. */
NRK_INLINE void dot_tile(const int R, const int P, const dot_kind kind, const uint32_t *a, const uint32_t *b, const float *scales,
                         int64_t panel, int64_t ahead, int64_t pairs, float *c, int64_t ldc, int64_t last, dot_start start) {
  v16 sum[NRK_ROWS][NRK_PANELS];
#pragma clang loop unroll(full)
  for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
    for (int p = 0; p < P; p++) {
      if (start == DOT_ADD && R > 1) __builtin_prefetch(c + m * ldc + 16 * p, 1, 3);
      sum[m][p] = start == DOT_GO_ON ? load_part(c + m * ldc + 16 * p, p == P - 1 ? last : 16, 0) : splat(0);
    }
  if (kind == DOT_NF4) {
    for (int64_t block = 0; block < pairs; block += NF4_BLOCK / 2)
      for (int64_t k = block; k < block + NF4_BLOCK / 2; k += 4) {
        dot_codes codes[NRK_PANELS];
        u16 column[NRK_PANELS];
#pragma clang loop unroll(full)
        for (int p = 0; p < P; p++) codes[p] = codes_of(load_words(b + p * panel + k / 4 * 16));
#pragma clang loop unroll(full)
        for (int i = 0; i < 4; i++, a += R * DOT_WORDS) {
#pragma clang loop unroll(full)
          for (int p = 0; p < P; p++) column[p] = next_pairs(&codes[p], scales + p * DOT_SCALES + block * 2 / NF4_BLOCK * DOT_SCALE);
          dot_step(R, P, sum, a, column);
        }
      }
  } else
    for (int64_t k = 0; k < pairs; k++, a += R * DOT_WORDS, b += 16) {
      u16 column[NRK_PANELS];
#pragma clang loop unroll(full)
      for (int p = 0; p < P; p++) {
        /* The next panels on their way while these are used, as in gemm.h. */
        if (R >= 4) __builtin_prefetch(b + p * panel + ahead, 0, 2);
        column[p] = load_words(b + p * panel);
      }
      dot_step(R, P, sum, a, column);
    }
#pragma clang loop unroll(full)
  for (int p = 0; p < P; p++) {
    int64_t width = p == P - 1 ? last : 16;
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++) {
      float *to = c + m * ldc + 16 * p;
      store_part(to, start == DOT_ADD ? load_part(to, width, 0) + sum[m][p] : sum[m][p], width);
    }
  }
}

#define NRK_DOT_TILE_OF(name, kind, R, P)                                                                                      \
  static __attribute__((noinline)) void dot_##name##_##R##_##P(const uint32_t *a, const uint32_t *b, const float *scales,     \
                                                               int64_t panel, int64_t ahead, int64_t pairs, float *c,         \
                                                               int64_t ldc, int64_t last, dot_start start) {                  \
    dot_tile(R, P, kind, a, b, scales, panel, ahead, pairs, c, ldc, last, start);                                             \
  }
#define NRK_DOT_TILE(R, P) NRK_DOT_TILE_OF(pairs, DOT_PAIRS, R, P) NRK_DOT_TILE_OF(nf4, DOT_NF4, R, P)
NRK_TILES(NRK_DOT_TILE)
#define NRK_DOT_ENTRY(R, P) [DOT_PAIRS][R][P] = dot_pairs_##R##_##P, [DOT_NF4][R][P] = dot_nf4_##R##_##P,
static const dot_function dot_tiles[DOT_KINDS][NRK_ROWS + 1][NRK_PANELS + 1] = {NRK_TILES(NRK_DOT_ENTRY)};

/* ---- a chunk of a product ---------------------------------------------------------------------------------- */

/* `rows` rows in blocks of nearly equal size, none above NRK_DOT_ROWS. */
typedef struct dot_rows {
  int64_t rows, blocks, depth;
  uint32_t *stage;
} dot_rows;

NRK_INLINE int64_t block_start(const dot_rows *r, int64_t i) { return i * (r->rows / r->blocks) + nrk_min(i, r->rows % r->blocks); }
NRK_INLINE uint32_t *block_stage(const dot_rows *r, int64_t i) {
  return r->stage + block_start(r, i) * nrk_ceil(r->depth, 2) * DOT_WORDS + i * 32 * DOT_WORDS;
}
/* Floats that the stage of so many rows takes. */
NRK_INLINE int64_t stage_floats(int64_t rows, int64_t depth) {
  return nrk_round((rows * nrk_ceil(depth, 2) + nrk_ceil(rows, NRK_DOT_ROWS) * 32 + 32) * DOT_WORDS, 16);
}
NRK_INLINE dot_rows rows_of(uint32_t *stage, int64_t rows, int64_t depth) {
  return (dot_rows){.rows = rows, .blocks = nrk_ceil(rows, NRK_DOT_ROWS), .depth = depth, .stage = stage};
}
/* Panels that the rows pass over together. */
NRK_INLINE int64_t group_width(int64_t rows) {
  int64_t blocks = nrk_ceil(rows, NRK_DOT_ROWS);
  return tile_width[rows / blocks];
}

/* Stages all rows of a: element (m, k) is a[m * ld + k]. */
static void stage_rows_of(const dot_rows *r, const void *a, int is_float, int64_t ld) {
  for (int64_t i = 0; i < r->blocks; i++) {
    int64_t start = block_start(r, i);
    stage_block(block_stage(r, i), element_at(a, is_float, start * ld), is_float, ld, block_start(r, i + 1) - start, r->depth);
  }
}
/* The same of columns: element (m, k) is a[k * ld + m], `exist` of m may be read. */
static void stage_columns_of(const dot_rows *r, const void *a, int is_float, int64_t ld, int64_t exist) {
  for (int64_t i = 0; i < r->blocks; i++) {
    int64_t start = block_start(r, i);
    stage_block_of_columns(block_stage(r, i), element_at(a, is_float, start), is_float, ld, block_start(r, i + 1) - start, exist - start,
                           r->depth);
  }
}

/* All rows by one group of panels. Meanwhile what will be read after them is fetched: `next`, in the order of b, where it is not NULL; the
   panels that follow, where `follow` says that they lie in memory. */
static void dot_group_before(const dot_rows *r, dot_kind kind, const uint32_t *b, const float *scales, int64_t panel, int64_t columns,
                             float *c, int64_t ldc, dot_start start, int follow, const uint32_t *next) {
  int64_t panels = nrk_ceil(columns, 16);
  for (int64_t i = 0; i < r->blocks; i++) {
    int64_t first = block_start(r, i), count = block_start(r, i + 1) - first;
    for (int64_t p = 0; p < panels;) {
      int64_t width = tile_width[count];
      while (width > panels - p) width /= 2;
      dot_tiles[kind][count][width](block_stage(r, i), b + p * panel, scales ? scales + p * DOT_SCALES : NULL, panel,
                                    next ? next - b : follow ? width * panel : 0, nrk_ceil(r->depth, 2), c + first * ldc + 16 * p, ldc,
                                    nrk_min(16, columns - 16 * (p + width - 1)), start);
      p += width;
    }
  }
}
static void dot_group(const dot_rows *r, dot_kind kind, const uint32_t *b, const float *scales, int64_t panel, int64_t columns, float *c,
                      int64_t ldc, dot_start start, int follow) {
  dot_group_before(r, kind, b, scales, panel, columns, c, ldc, start, follow, NULL);
}
