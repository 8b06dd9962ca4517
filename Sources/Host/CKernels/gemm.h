/* gemm.h - the one matrix product everything else is made of:

     c[m, n] = (load ? c[m, n] : 0), then for k = 0, 1, 2, ...: c = fma(a[m, k], b[k, n], c), then + bias[n]

   Vectors lie along n and a is broadcast, so no sum is ever split and every element sees this sequence exactly, however
   the matrix is cut. Blocks of k write c and read it back, which changes nothing.

   b stands in panels of 16 columns, each [k][16]. a is staged into rows of a fixed stride (ROW), so that a tile addresses
   it with constants and rows a power of two apart do not fight over the same cache sets. */
enum { BLOCK = 384, ROW = BLOCK + 16, STAGE = 16 * ROW, SCALES = BLOCK / NF4_BLOCK };

/* Bytes that so many weights of a panel take. */
NRK_INLINE int64_t panel_bytes(int kind, int64_t elements) {
  return kind == NRK_F32 ? elements * 4 : kind == NRK_BF16 ? elements * 2 : elements / 2;
}

/* What a tile fetches while it computes: the sums of the tile after it, and a little of the rows that are staged next, `hop` bytes at each
   k. Activations of a training pass come from memory. */
typedef struct tile_ahead {
  const float *c;
  const char *a;
  int64_t hop;
} tile_ahead;

typedef void (*tile_function)(const float *a, const void *b, const float *scales, int64_t panel, int64_t depth, float *c, int64_t ldc,
                              int64_t last, int load_c, const float *bias, tile_ahead ahead);

/* R rows by P panels held in registers; `last` columns of the last panel exist. Weights of four bits are expanded on the way: `scales`
   [P][SCALES][16] are the magnitudes of their blocks, of which depth is a multiple. */
NRK_INLINE void tile(const int R, const int P, const int kind, const float *a, const void *b, const float *scales, int64_t panel,
                     int64_t depth, float *c, int64_t ldc, int64_t last, int load_c, const float *bias, tile_ahead ahead) {
  const int bf16 = kind == NRK_BF16;
  v16 sum[NRK_ROWS][NRK_PANELS];
#pragma clang loop unroll(full)
  for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
    for (int p = 0; p < P; p++)
      sum[m][p] = !load_c ? splat(0) : load_part(c + m * ldc + 16 * p, p == P - 1 ? last : 16, 0);
  if (kind >= NRK_NF4) {
    for (int64_t block = 0; block < depth; block += NF4_BLOCK)
      for (int64_t k = block; k < block + NF4_BLOCK; k += 8) {
        u16 word[NRK_PANELS];
#pragma clang loop unroll(full)
        for (int p = 0; p < P; p++) word[p] = load_words((const uint32_t *)((const char *)b + (p * panel + k * 16) / 2));
#if NRK_PAIRS
        if (kind == NF4_ROUNDED_IN_PAIRS) {
          for (int i = 0; i < 8; i += 2) {
            v16 pair[2][NRK_PANELS];
#pragma clang loop unroll(full)
            for (int p = 0; p < P; p++) {
              v16 scale = load(scales + (p * SCALES + block / NF4_BLOCK) * 16);
              pair[0][p] = numbers_of(word[p]) * scale, pair[1][p] = numbers_of(word[p] >> 4) * scale;
              word[p] >>= 8;
              round_pair(&pair[0][p], &pair[1][p]);
            }
#pragma clang loop unroll(full)
            for (int half = 0; half < 2; half++)
#pragma clang loop unroll(full)
              for (int m = 0; m < R; m++) {
                v16 row = splat(a[m * ROW + k + i + half]);
#pragma clang loop unroll(full)
                for (int p = 0; p < P; p++) sum[m][p] = fma16(row, pair[half][p], sum[m][p]);
              }
          }
          continue;
        }
#endif
        for (int i = 0; i < 8; i++) {
          v16 column[NRK_PANELS];
#pragma clang loop unroll(full)
          for (int p = 0; p < P; p++) {
            column[p] = numbers_of(word[p]) * load(scales + (p * SCALES + block / NF4_BLOCK) * 16);
            if (kind == NRK_NF4_BF16) column[p] = rounded(column[p]);
            word[p] >>= 4;
          }
#pragma clang loop unroll(full)
          for (int m = 0; m < R; m++) {
            v16 row = splat(a[m * ROW + k + i]);
#pragma clang loop unroll(full)
            for (int p = 0; p < P; p++) sum[m][p] = fma16(row, column[p], sum[m][p]);
          }
        }
      }
  } else for (int64_t k = 0; k < depth; k++) {
    v16 column[NRK_PANELS];
    /* A narrow tile has few loads to spare. */
    const int fetch = R >= 4 && P == tile_width[R];
    if (R >= 4) __builtin_prefetch(ahead.a + k * ahead.hop, 0, 3);
    if (fetch) {
#pragma clang loop unroll(full)
      for (int p = 0; p < P; p++) __builtin_prefetch(ahead.c + 16 * p, 0, 3);
      ahead.c += k < R - 1 ? ldc : 0;
    }
#pragma clang loop unroll(full)
    for (int p = 0; p < P; p++) {
      /* The next panels on their way while these are used: with 4 to 50 rows, weights from memory cost as much as the
         arithmetic. With fewer rows the hardware's own prefetching is the best there is. */
      if (fetch && !(bf16 && (k & 1)))
        __builtin_prefetch((const char *)b + ((p + P) * panel + k * 16) * (bf16 ? 2 : 4), 0, 2);
      column[p] = bf16 ? widen((const uint16_t *)b + p * panel + k * 16) : load((const float *)b + p * panel + k * 16);
    }
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++) {
      v16 row = splat(a[m * ROW + k]);
#pragma clang loop unroll(full)
      for (int p = 0; p < P; p++) sum[m][p] = fma16(row, column[p], sum[m][p]);
    }
  }
#pragma clang loop unroll(full)
  for (int p = 0; p < P; p++) {
    int64_t width = p == P - 1 ? last : 16;
    v16 add = bias ? load_part(bias + 16 * p, width, 0) : splat(0);
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++)
      store_part(c + m * ldc + 16 * p, bias ? sum[m][p] + add : sum[m][p], width);
  }
}

#define NRK_TILE_OF(name, kind, R, P)                                                                                          \
  static __attribute__((noinline)) void tile_##name##_##R##_##P(const float *a, const void *b, const float *scales, int64_t panel, \
                                                                int64_t depth, float *c, int64_t ldc, int64_t last, int load_c, \
                                                                const float *bias, tile_ahead ahead) {                        \
    tile(R, P, kind, a, b, scales, panel, depth, c, ldc, last, load_c, bias, ahead);                                          \
  }
#define NRK_TILE(R, P)                                                                                                         \
  NRK_TILE_OF(f32, NRK_F32, R, P) NRK_TILE_OF(bf16, NRK_BF16, R, P) NRK_TILE_OF(nf4, NRK_NF4, R, P)                            \
  NRK_TILE_OF(nf4_bf16, NRK_NF4_BF16, R, P)
NRK_TILES(NRK_TILE)
#if NRK_PAIRS
#define NRK_PAIRED(R, P) NRK_TILE_OF(nf4_pairs, NF4_ROUNDED_IN_PAIRS, R, P)
NRK_TILES(NRK_PAIRED)
#define NRK_PAIRED_ENTRY(R, P) [NF4_ROUNDED_IN_PAIRS][R][P] = tile_nf4_pairs_##R##_##P,
#else
#define NRK_PAIRED_ENTRY(R, P)
#endif
#define NRK_ENTRY(R, P)                                                                                                        \
  [NRK_F32][R][P] = tile_f32_##R##_##P, [NRK_BF16][R][P] = tile_bf16_##R##_##P, [NRK_NF4][R][P] = tile_nf4_##R##_##P,          \
  [NRK_NF4_BF16][R][P] = tile_nf4_bf16_##R##_##P, NRK_PAIRED_ENTRY(R, P)
static const tile_function tiles[TILE_KINDS][NRK_ROWS + 1][NRK_PANELS + 1] = {NRK_TILES(NRK_ENTRY)};

/* Rows m0 ..< m0 + count of a, depth columns, into the stage. Element (m, k) is a[m * row + k * column]; one of the two
   strides is 1. `rows` is how many rows may be read in all. */
NRK_INLINE void stage_rows(float *stage, const float *a, int64_t row, int64_t column, int64_t m0, int64_t count, int64_t rows,
                           int64_t depth) {
  if (column == 1) {
    for (int64_t m = 0; m < count; m++) {
      const float *from = a + (m0 + m) * row;
      float *to = stage + m * ROW;
      int64_t k = 0;
      for (; k + 16 <= depth; k += 16) store(to + k, load(from + k));
      for (; k < depth; k++) to[k] = from[k];
    }
    return;
  }
  int64_t k = 0;
  if (rows >= 16) {
    int64_t first = nrk_min(m0, rows - 16), skip = m0 - first;
    for (; k + 16 <= depth; k += 16) {
      v16 block[16];
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; i++) block[i] = load(a + first + (k + i) * column);
      transpose(block);
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; i++)
        if (i >= skip && i < skip + count) store(stage + (i - skip) * ROW + k, block[i]);
    }
  }
  for (; k < depth; k++)
    for (int64_t m = 0; m < count; m++) stage[m * ROW + k] = a[m0 + m + k * column];
}

/* One block of the reduction: depth <= BLOCK. `stage` holds STAGE floats; rows that stand as in a stage, ROW apart, need none. */
static void multiply_block(float *stage, int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t row, int64_t column,
                           const void *b, const float *scales, int kind, int64_t panel, float *c, int64_t ldc, int load_c,
                           const float *bias) {
  int64_t panels = nrk_ceil(columns, 16), blocks = nrk_ceil(rows, NRK_ROWS), done = 0;
  for (int64_t i = 0; i < blocks; i++) {
    int64_t count = nrk_ceil(rows - done, blocks - i), left = rows - done - count, next = left ? nrk_ceil(left, blocks - i - 1) : 0;
    int64_t wide = nrk_min(tile_width[count], panels);
    const float *staged = row == ROW && column == 1 ? a + done * ROW : stage;
    if (staged == stage) stage_rows(stage, a, row, column, done, count, rows, depth);
    tile_ahead ahead = {.a = (const char *)a, .hop = 0};
    if (next && column == 1 && row == depth)
      ahead.a = (const char *)(a + (done + count) * row), ahead.hop = nrk_ceil(next * (int64_t)sizeof(float) * wide, panels);
    for (int64_t p = 0; p < panels;) {
      int64_t width = tile_width[count];
      while (width > panels - p) width /= 2;
      int64_t last = nrk_min(16, columns - 16 * (p + width - 1));
      const char *panel_start = (const char *)b + panel_bytes(kind, p * panel);
      float *to = c + done * ldc + 16 * p;
      ahead.c = p + width < panels ? to + 16 * width : next ? c + (done + count) * ldc : to;
      tiles[kind][count][width](staged, panel_start, scales ? scales + p * SCALES * 16 : NULL, panel, depth, to, ldc, last, load_c,
                                bias ? bias + 16 * p : NULL, ahead);
      ahead.a += ahead.hop * depth;
      p += width;
    }
    done += count;
  }
}

/* The whole reduction, where b's panels stand ready. */
static void multiply(float *stage, int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const void *b,
                     nrk_kind kind, int64_t panel, float *c, int64_t ldc, int load_c, const float *bias) {
  int64_t k = 0;
  do {
    int64_t part = nrk_min(BLOCK, depth - k);
    const char *from = (const char *)b + panel_bytes(kind, k * 16);
    multiply_block(stage, rows, columns, part, a + k, lda, 1, from, NULL, kind, panel, c, ldc, load_c || k > 0, k + part == depth ? bias : NULL);
    k += part;
  } while (k < depth);
}

/* The same over panels of four bits, n0 the first output of them. Few rows expand them in registers; more, into a panel that all of them
   read: the same numbers. `room` holds 16 * BLOCK * 16 floats: panels of sixteen columns, at most sixteen of them. */
static void multiply_nf4(float *stage, float *room, int64_t rows, int64_t columns, const float *a, int64_t lda, const nf4_matrix *m,
                         nrk_kind kind, int64_t n0, float *c, int64_t ldc, int load_c, const float *bias) {
  /* Where a look-up is one instruction, two tiles' rows cost no more than a panel; rounding leaves too few registers for many rows. */
  int64_t few = kind == NRK_NF4_BF16 ? nrk_min(8, NRK_ROWS) : NRK_LOOKUP == 16 ? 2 * NRK_ROWS : NRK_ROWS;
  int64_t panels = nrk_ceil(columns, 16), k = 0;
  do {
    int64_t part = nrk_min(BLOCK, m->K - k);
    const float *add = k + part == m->K ? bias : NULL;
    if (rows <= few && is_aligned(m)) {
      const uint32_t *words = m->words + n0 / 16 * nf4_panel_words(m->K) + k / 8 * 16;
      for (int64_t p = 0; p < panels; p++) panel_scales(room + p * SCALES * 16, m, n0 + p * 16, k, part);
      multiply_block(stage, rows, columns, part, a + k, lda, 1, words, room, tile_kind(m, kind), m->K * 16, c, ldc, load_c || k > 0, add);
    } else {
      for (int64_t p = 0; p < panels; p++) expand_panel(room + p * BLOCK * 16, m, n0 + p * 16, k, part, kind);
      multiply_block(stage, rows, columns, part, a + k, lda, 1, room, NULL, NRK_F32, BLOCK * 16, c, ldc, load_c || k > 0, add);
    }
    k += part;
  } while (k < m->K);
}

/* Panels from rows: `count` rows of `columns` floats, `ld` apart, to [ceil(columns / 16)][height][16], zero-padded to the right. */
NRK_INLINE void panels_of_rows(float *panels, int64_t height, int64_t count, int64_t columns, const float *rows, int64_t ld) {
  for (int64_t p = 0; p * 16 < columns; p++)
    for (int64_t r = 0; r < count; r++)
      store(panels + (p * height + r) * 16, load_part(rows + r * ld + p * 16, columns - p * 16, 0));
}

/* One panel of the transpose: up to 16 rows of `columns` floats to [columns][16]; rows that do not exist are zero. */
NRK_INLINE void panel_of_columns(float *panel, const float *const rows[16], int64_t count, int64_t columns) {
  int64_t k = 0;
  for (; k + 16 <= columns; k += 16) {
    v16 block[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) block[i] = i < count ? load(rows[i] + k) : splat(0);
    transpose(block);
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) store(panel + (k + i) * 16, block[i]);
  }
  for (; k < columns; k++)
    for (int64_t i = 0; i < 16; i++) panel[k * 16 + i] = i < count ? rows[i][k] : 0;
}

/* to[c, r] = from[r, c] */
static void turn(float *to, int64_t ldt, const float *from, int64_t ldf, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; r += 16)
    for (int64_t c = 0; c < columns; c += 16) {
      v16 block[16];
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; i++) block[i] = r + i < rows ? load_part(from + (r + i) * ldf + c, columns - c, 0) : splat(0);
      transpose(block);
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; i++)
        if (c + i < columns) store_part(to + (c + i) * ldt + r, block[i], rows - r);
    }
}

/* c[m, n] += sum_k a[k, m] b[k, n], the sum over rows of both, read where they stand: a product over tokens. */
typedef void (*rows_function)(const float *a, int64_t lda, const float *b, int64_t ldb, int64_t depth, float *c, int64_t ldc);

NRK_INLINE void tile_of_rows(const int R, const int P, const float *a, int64_t lda, const float *b, int64_t ldb, int64_t depth, float *c,
                             int64_t ldc) {
  enum { AHEAD = 32 }; /* rows that are on their way */
  v16 sum[NRK_ROWS][NRK_PANELS];
#pragma clang loop unroll(full)
  for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
    for (int p = 0; p < P; p++) sum[m][p] = load(c + m * ldc + 16 * p);
  for (int64_t k = 0; k < depth; k++, a += lda, b += ldb) {
    v16 column[NRK_PANELS];
#pragma clang loop unroll(full)
    for (int p = 0; p < P; p++) {
      __builtin_prefetch(b + AHEAD * ldb + 16 * p, 0, 3);
      column[p] = load(b + 16 * p);
    }
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++) {
      v16 row = splat(a[m]);
#pragma clang loop unroll(full)
      for (int p = 0; p < P; p++) sum[m][p] = fma16(row, column[p], sum[m][p]);
    }
  }
#pragma clang loop unroll(full)
  for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
    for (int p = 0; p < P; p++) store(c + m * ldc + 16 * p, sum[m][p]);
}

#define NRK_TILE_OF_ROWS(R, P)                                                                                                 \
  static __attribute__((noinline)) void tile_of_rows_##R##_##P(const float *a, int64_t lda, const float *b, int64_t ldb,      \
                                                               int64_t depth, float *c, int64_t ldc) {                        \
    tile_of_rows(R, P, a, lda, b, ldb, depth, c, ldc);                                                                        \
  }
NRK_TILES(NRK_TILE_OF_ROWS)
#define NRK_ENTRY_OF_ROWS(R, P) [R][P] = tile_of_rows_##R##_##P,
static const rows_function tiles_of_rows[NRK_ROWS + 1][NRK_PANELS + 1] = {NRK_TILES(NRK_ENTRY_OF_ROWS)};

/* Columns that fill no panel go through `panel` [depth][16]; depth <= BLOCK. */
static void multiply_rows(float *stage, float *panel, int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda,
                          const float *b, int64_t ldb, float *c, int64_t ldc) {
  if (rows <= 0) return;
  int64_t panels = columns / 16, rest = columns % 16, whole = columns - rest;
  int64_t blocks = nrk_ceil(rows, NRK_ROWS), least = rows / blocks, more = rows % blocks;
  for (int64_t p = 0, width; p < panels; p += width) {
    width = tile_width[least + (more > 0)];
    while (width > panels - p) width /= 2;
    for (int64_t i = 0, done = 0; i < blocks; i++) {
      int64_t count = least + (i < more);
      tiles_of_rows[count][width](a + done, lda, b + 16 * p, ldb, depth, c + done * ldc + 16 * p, ldc);
      done += count;
    }
  }
  if (!rest) return;
  panels_of_rows(panel, depth, depth, rest, b + whole, ldb);
  multiply_block(stage, rows, rest, depth, a, 1, lda, panel, NULL, NRK_F32, depth * 16, c + whole, ldc, 1, NULL);
}
