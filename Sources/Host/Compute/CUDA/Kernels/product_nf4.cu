/* product_nf4.cu - weights of four bits (product_arguments.h): products for few rows, expanding as they go, and the expansion of a matrix.

   A weight is bf16(number * absmax), so a product here is the same bits as one over the expanded matrix (product.cu). */
#include "product.cuh"

static const float nf4_numbers[16] = {
  -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
  -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
  0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

/* The magnitude of a block; a product and a sum, each rounded. */
DEVICE float nf4_scale(const u8 *absmax_codes, const float *absmax, const float *map, bool is_nested, i64 block) {
  return is_nested ? map[absmax_codes[block]] * absmax[block >> 8] + map[256] : absmax[block];
}

/* ---- products ------------------------------------------------------------------------------------------ */

/* 16 MI rows and 64 columns of a part, 16 columns a warp. In shared memory stand

   - the numbers of both codes of a byte, for each of the 256 bytes: sixteen times, so that sixteen lanes read theirs at once, whatever
     the bytes;
   - the magnitudes of the blocks of 64 rows of w in one chunk of K;
   - STAGES tiles of x (as in Product) and of codes, 16 bytes a lane: what this lane expands into its fragments. */
template <int MI, int STAGES> struct Nf4Product {
  static constexpr int ROWS = 16 * MI, COLUMNS = 64, THREADS = 128, CHUNK_TILES = NRC_PRODUCT_CHUNK / 64;
  static constexpr int NUMBERS_BYTES = 256 * 16 * 8, SCALES_BYTES = COLUMNS * CHUNK_TILES * 4, STAGE_BYTES = ROWS * 128 + 2048;
  static constexpr int SHARED_BYTES = NUMBERS_BYTES + SCALES_BYTES + STAGES * STAGE_BYTES;
  static_assert(SHARED_BYTES <= 101376, "what every card has");

  /* The first of a byte's codes is its low half. Threads 8i .. 8i + 7 write sixteen copies of the pairs whose first number is i. */
  static DEVICE void set_numbers(u8 *numbers) {
    float first = nf4_numbers[threadIdx.x / 8];
#pragma unroll
    for (int i = 0; i < 16; i++)
      *(float4 *)(numbers + i * 2048 + threadIdx.x * 16) = make_float4(first, nf4_numbers[i], first, nf4_numbers[i]);
  }
  /* Magnitudes of `count` blocks from block `tile` of each of the rows n0 .. n0 + 63 that exist: two threads a row. Codes of twelve blocks
     are on their way at once, then the numbers that they name. */
  static DEVICE void set_scales(float *scales, const nrc_product_part &part, int n0, int tiles, int tile, int count) {
    int row = (int)(threadIdx.x / 2);
    if (n0 + row >= part.N) return;
    i64 block = (i64)(n0 + row) * tiles + tile;
#pragma unroll 1
    for (int from = (int)(threadIdx.x % 2); from < count; from += 24) {
      float values[12];
      if (part.is_nested) {
        float offset = part.map[256];
        u8 codes[12];
#pragma unroll
        for (int i = 0; i < 12; i++) codes[i] = part.absmax_codes[block + minimum(from + 2 * i, count - 1)];
#pragma unroll
        for (int i = 0; i < 12; i++)
          values[i] = part.map[codes[i]] * part.absmax[(block + minimum(from + 2 * i, count - 1)) >> 8] + offset;
      } else {
#pragma unroll
        for (int i = 0; i < 12; i++) values[i] = part.absmax[block + minimum(from + 2 * i, count - 1)];
      }
#pragma unroll
      for (int i = 0; i < 12; i++)
        if (from + 2 * i < count) scales[row * CHUNK_TILES + from + 2 * i] = values[i];
    }
  }
  /* Fragments of w, k as in `word`'s step: byte 2 j + e holds two k's of half e, column tile j. */
  static DEVICE void expand(u32 (&b)[1][4], const u8 *numbers, u32 word, const float (&scale)[2]) {
    u32 own = threadIdx.x % 16 * 8;
#pragma unroll
    for (int e = 0; e < 4; e++) {
      u32 byte = e == 0 ? word << 7 : word >> (8 * e - 7); /* times 128 */
      float2 pair = *(const float2 *)(numbers + ((byte & 0x7f80) | own));
      b[0][e] = pack_bf16(pair.x * scale[e / 2], pair.y * scale[e / 2]);
    }
  }

  static DEVICE void run(const nrc_product_arguments &a) {
    u8 *numbers = product_memory(), *stages = numbers + NUMBERS_BYTES + SCALES_BYTES;
    float *scales = (float *)(numbers + NUMBERS_BYTES);
    int row, column;
    product_tile(row, column);
    int which = product_part_of(a, column), warp = (int)(threadIdx.x / 32), lane = (int)(threadIdx.x % 32);
    int first_tile = a.partial ? (int)blockIdx.z * CHUNK_TILES : 0, all_tiles = a.K / 64;
    int tiles = a.partial ? minimum(all_tiles - first_tile, CHUNK_TILES) : all_tiles, m0 = row * ROWS, n0;
    bool works;
    const u8 *codes; /* of this lane in tile 0 */
    {
      nrc_product_part part = product_part(a, which);
      n0 = (column - part.first) * COLUMNS, works = n0 + warp * 16 < part.N;
      codes = (const u8 *)part.w + (((i64)(n0 / 16 + warp) * all_tiles + first_tile) * 32 + lane) * 16;
    }
    ProductRows<ROWS, THREADS> x(a.x, a.ldx, a.is_float, m0, a.T, (first_tile + tiles) * 64);
    auto fetch = [&](u8 *to, int t) {
      x.fetch(to, (first_tile + t) * 64);
      copy_async_16(to + ROWS * 128 + threadIdx.x * 16, codes + (i64)t * 512, works);
    };
#pragma unroll 1
    for (int s = 0; s < STAGES; s++) {
      if (s < tiles) fetch(stages + s * STAGE_BYTES, s);
      copy_commit();
    }
    set_numbers(numbers);
    set_scales(scales, product_part(a, which), n0, all_tiles, first_tile, minimum(tiles, CHUNK_TILES));

    int a_at = product_piece(lane % 16, lane / 16);
    u32 left[2][MI][4], right[1][4];
    auto load = [&](int to, int tile, int step) {
      load_matrices(left[to], [&](int i) { return stages + tile + (a_at ^ step << 5) + i * 2048; });
    };
    auto load_codes = [&](int tile) { return *(const uint4 *)(stages + tile + ROWS * 128 + threadIdx.x * 16); };
    float sum[MI][2][4], total[MI][2][4];
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int j = 0; j < 2; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) sum[i][j][e] = 0, total[i][j][e] = -0.0f; /* -0 + c is c, also where c is -0 */

    copy_wait<STAGES - 1>();
    barrier();
    int now = 0; /* where the tile stands */
    uint4 words = make_uint4(0, 0, 0, 0);
    if (works) load(0, now, 0), words = load_codes(now);
    const float *own_scales = scales + (warp * 16 + lane / 4) * CHUNK_TILES;
#pragma unroll 1
    for (int t = 0, in_chunk = 0; t < tiles; t++) {
      float scale[2];
      u32 step_words[4] = {words.x, words.y, words.z, words.w};
      if (works) {
        scale[0] = own_scales[in_chunk], scale[1] = own_scales[8 * CHUNK_TILES + in_chunk];
#pragma unroll
        for (int step = 0; step < 3; step++) {
          load((step + 1) % 2, now, step + 1);
          expand(right, numbers, step_words[step], scale);
          mma<MI, 1>(sum, left[step % 2], right);
        }
      }
      copy_wait<STAGES - 2>();
      barrier();
      if (t + STAGES < tiles) fetch(stages + now, t + STAGES);
      copy_commit();
      now = now == (STAGES - 1) * STAGE_BYTES ? 0 : now + STAGE_BYTES;
      if (works) {
        if (t + 1 < tiles) load(0, now, 0), words = load_codes(now);
        expand(right, numbers, step_words[3], scale);
        mma<MI, 1>(sum, left[1], right);
      }
      if (++in_chunk == CHUNK_TILES || t + 1 == tiles) {
#pragma unroll
        for (int i = 0; i < MI; i++)
#pragma unroll
          for (int j = 0; j < 2; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) total[i][j][e] += sum[i][j][e], sum[i][j][e] = 0;
        in_chunk = 0;
        if (t + 1 < tiles) { /* every warp has read its last magnitudes of this chunk before the tile's barrier */
          set_scales(scales, product_part(a, which), n0, all_tiles, first_tile + t + 1, minimum(tiles - t - 1, CHUNK_TILES));
          barrier();
        }
      }
    }
    product_finish(total, stages, a, which, a.partial != nullptr, m0, n0 + warp * 16);
  }
};

/* For up to 16, 32, 64, 128 rows (more rows: more tiles, each of which expands w again). N a multiple of 16, K of 64.
   grid: x = sum over parts of ceil(N / 64), y = ceil(T / rows), z = a.partial ? ceil(K / NRC_PRODUCT_CHUNK) : 1;
   shared memory: 66560, 66560, 82944, 97280 bytes. */
KERNEL(128, 3) nf4_16(nrc_product_arguments a) { Nf4Product<1, 6>::run(a); }
KERNEL(128, 3) nf4_32(nrc_product_arguments a) { Nf4Product<2, 4>::run(a); }
KERNEL(128, 2) nf4_64(nrc_product_arguments a) { Nf4Product<4, 4>::run(a); }
KERNEL(128, 2) nf4_128(nrc_product_arguments a) { Nf4Product<8, 3>::run(a); }

/* ---- whole matrices ------------------------------------------------------------------------------------ */

/* A warp takes 16 rows and 64 columns of a matrix in the order of fragments, or 1024 weights one after another of one in the order of a
   file.
   grid: x = ceil(N K / 8192), y = z = 1; 16448 bytes of shared memory. */
KERNEL(256, 4) nf4_expand(nrc_nf4_matrix_arguments a) {
  u8 *memory = product_memory();
  float *numbers = (float *)(memory + 16384);
  int warp = (int)(threadIdx.x / 32), lane = (int)(threadIdx.x % 32);
  if (threadIdx.x < 16) numbers[threadIdx.x] = nf4_numbers[threadIdx.x];
  barrier();
  i64 all = (i64)a.N * a.K, index = (i64)blockIdx.x * 8 + warp;
  if (index * 1024 >= all) return;
  bf16 *out = (bf16 *)a.out;
  if (a.is_reordered) {
    int tiles = a.K / 64, n0 = (int)((u32)index / tiles) * 16, tile = (int)((u32)index % tiles);
    uint4 codes = *(const uint4 *)(a.codes + (index * 32 + lane) * 16);
    u32 words[4] = {codes.x, codes.y, codes.z, codes.w};
    u8 *rows = memory + warp * 2048;
#pragma unroll
    for (int j = 0; j < 2; j++) {
      int row = 8 * j + lane / 4;
      float scale = nf4_scale(a.absmax_codes, a.absmax, a.map, a.is_nested, (i64)(n0 + row) * tiles + tile);
#pragma unroll
      for (int step = 0; step < 4; step++)
#pragma unroll
        for (int e = 0; e < 2; e++) {
          u32 byte = words[step] >> (16 * j + 8 * e);
          *(u32 *)(rows + product_piece(row, step * 2 + e) + lane % 4 * 4) =
            pack_bf16(numbers[byte & 15] * scale, numbers[byte >> 4 & 15] * scale);
        }
    }
    warp_barrier();
    bool in_pieces = ((u64)out & 15) == 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int row = i * 4 + lane / 8, piece = lane % 8;
      uint4 eight = *(const uint4 *)(rows + product_piece(row, piece));
      bf16 *to = out + (i64)(n0 + row) * a.K + tile * 64 + piece * 8;
      if (in_pieces) *(uint4 *)to = eight;
      else {
        u32 pairs[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
        for (int e = 0; e < 8; e++) to[e] = (bf16)(pairs[e / 2] >> e % 2 * 16);
      }
    }
  } else {
    bool in_pieces = ((u64)out & 15) == 0 && ((u64)a.codes & 3) == 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      i64 at = index * 1024 + i * 256 + lane * 8;
      if (at >= all) break;
      float scale = nf4_scale(a.absmax_codes, a.absmax, a.map, a.is_nested, at >> 6);
      if (in_pieces && at + 8 <= all) {
        u32 word = *(const u32 *)(a.codes + (at >> 1)), pairs[4];
#pragma unroll
        for (int e = 0; e < 4; e++)
          pairs[e] = pack_bf16(numbers[word >> (8 * e + 4) & 15] * scale, numbers[word >> 8 * e & 15] * scale);
        *(uint4 *)(out + at) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
      } else {
#pragma unroll 1
        for (i64 e = at; e < smaller(at + 8, all); e++) {
          u32 byte = a.codes[e >> 1];
          out[e] = (bf16)pack_bf16(numbers[e & 1 ? byte & 15 : byte >> 4] * scale, 0);
        }
      }
    }
  }
}

/* Codes from the order of a file into that of fragments: a warp takes 16 rows and 64 columns. N a multiple of 16, K of 64.
   grid: x = ceil(N K / 8192), y = z = 1; no shared memory. */
KERNEL(256, 4) nf4_reorder(nrc_nf4_matrix_arguments a) {
  int lane = (int)(threadIdx.x % 32), tiles = a.K / 64;
  i64 index = (i64)blockIdx.x * 8 + threadIdx.x / 32;
  if (index * 1024 >= (i64)a.N * a.K) return;
  i64 n0 = (u32)index / tiles * 16, tile = (u32)index % tiles;
  u32 words[4];
#pragma unroll
  for (int step = 0; step < 4; step++) {
    words[step] = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) { /* byte 2 j + e */
      u32 byte = a.codes[((n0 + i / 2 * 8 + lane / 4) * a.K + tile * 64 + step * 16 + i % 2 * 8 + lane % 4 * 2) >> 1];
      words[step] |= (byte >> 4 | (byte & 15) << 4) << 8 * i;
    }
  }
  *(uint4 *)((u8 *)a.out + (index * 32 + lane) * 16) = make_uint4(words[0], words[1], words[2], words[3]);
}
