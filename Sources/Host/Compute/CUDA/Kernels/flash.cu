/* flash.cu - attention on tensor cores, bfloat16: segments over themselves (causally) and their prefix, the derivative, and one query row
   of a sequence over the KV cache.

   A tile of query rows belongs to one key-value head: row r of a segment is position r / share, head g share + r % share, so keys are read
   once for all heads that share them. Keys come in blocks of 64 positions counted from the beginning of the context, prefix first, whatever
   the tile. What a row is, is one fixed sequence of operations:
     block by block: z = q k (m16n8k16 steps over channels, ascending, from zero); top' = the highest of top and z where seen;
     factor = 2^((top - top') scale log2 e); p = 2^(z scale log2 e - top' scale log2 e), 0 where not seen; out = out factor, then steps over
     the block's keys, ascending, of bf16(p) v;
     the sum of p is kept in sixteen parts, part (w, t) of keys 16 w + 2 t + {0, 1, 8, 9} of each block, in this order; they are joined at
     the end, over w as (0 + 1) + (2 + 3), then over t with t ^ 1, then with t ^ 2.
   A block of which a row sees nothing leaves its values alone (factor 1, p 0), so a batch and decoding agree in every bit; zeros are stored
   without a sign, for a product with 0 may turn it.

   W is the number of channels that a kernel has room for, 64 or 128; those from C on are zeros. C is even. Strides are any: where
   addresses, strides and C are multiples of 16 bytes rows travel as such, else element by element.
   Rows in shared memory have their chunks of 8 channels exchanged by the row modulo 8, so that eight rows lie in different banks. */
#include "device.cuh"
#include "flash_arguments.h"

static constexpr int ROWS = NRC_FLASH_ROWS, KEYS = NRC_FLASH_KEYS;
static constexpr float LOG2_E = 1.4426950408889634f, LN_2 = 0.6931471805599453f;

/* The byte of a chunk of a row of a tile. */
template <int W> static DEVICE int at(int row, int chunk) { return row * (W * 2) + ((chunk ^ (row & 7)) << 4); }
/* r / share with inverse = 65536 / share + 1: exact where r share < 65536. */
static DEVICE int quotient(int r, int inverse) { return r * inverse >> 16; }
/* Whether rows at x, `stride` elements apart, can be read and written 16 bytes at a time. */
static DEVICE bool is_whole(const void *x, i64 stride, int C) { return (((u64)x | (u64)(stride * 2) | (u64)(C * 2)) & 15) == 0; }

struct Segment { int start, length, prefix_start, prefix_length; };
static DEVICE Segment segment_of(const nrc_attention_segment &s) {
  return {(int)s.start, (int)s.length, (int)s.prefix_start, (int)s.prefix_length};
}

/* Rows of a segment from row `first` on, those that exist: row i of them is `head + i` rows after head 0 of `position`. */
struct Rows { int position, head, count, share, inverse; };
static DEVICE Rows rows_of(int first, int rows, int share, int most) {
  int position = first / share;
  return {position, first - position * share, minimum(most, rows - first), share, 65536 / share + 1};
}
/* Where row i lies: element p stride + h C from head 0 of the first position. */
static DEVICE i64 element_of(const Rows &r, int i, i64 stride, int C) {
  int p = quotient(r.head + i, r.inverse);
  return p * stride + (r.head + i - p * r.share) * C;
}
/* The position of row i, of the last one for those that do not exist. */
static DEVICE int position_of(const Rows &r, int i) { return r.position + quotient(r.head + minimum(i, r.count - 1), r.inverse); }

/* N rows into shared memory by THREADS threads. row(i, exists) says where row i begins and whether it exists; where not, it is an address
   that may be read. What does not exist, and channels from C on, become zeros. */
template <int W, int N, int THREADS, class Row> static DEVICE void fetch(u8 *to, int C, bool whole, Row row) {
  constexpr int CHUNKS = W / 8, STEP = THREADS / CHUNKS;
  const int first = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS, c = chunk * 8;
  if (whole) {
#pragma unroll
    for (int i = 0; i < N; i += STEP) {
      bool exists = true;
      const bf16 *from = row(first + i, exists);
      copy_async_16(to + at<W>(first + i, chunk), c < C ? from + c : from, exists && c < C);
    }
  } else {
#pragma unroll 1
    for (int i = 0; i < N; i += STEP) {
      bool exists = true;
      const bf16 *from = row(first + i, exists);
      u32 x[4] = {0, 0, 0, 0};
#pragma unroll
      for (int e = 0; e < 4; e++)
        if (exists && c + 2 * e < C) x[e] = from[c + 2 * e] | (u32)from[c + 2 * e + 1] << 16;
      *(uint4 *)(to + at<W>(first + i, chunk)) = make_uint4(x[0], x[1], x[2], x[3]);
    }
  }
}

/* Rows of a segment; x is head 0 of the segment's first row. */
template <int W, int N, int THREADS> static DEVICE void fetch_rows(u8 *to, int C, const bf16 *x, i64 stride, const Rows &r, bool whole) {
  x += r.position * stride;
  fetch<W, N, THREADS>(to, C, whole, [&](int i, bool &exists) {
    exists = i < r.count;
    return x + element_of(r, minimum(i, r.count - 1), stride, C);
  });
}

/* A block of keys, from position j0 < end of the context on; those before `end` exist. */
template <int W, int THREADS>
static DEVICE void fetch_context(u8 *to, int C, const bf16 *x, i64 stride, const Segment &s, int j0, int end, bool whole) {
  fetch<W, KEYS, THREADS>(to, C, whole, [&](int i, bool &exists) {
    int j = minimum(j0 + i, end - 1);
    exists = j0 + i < end;
    return x + (j < s.prefix_length ? s.prefix_start + j : s.start + j - s.prefix_length) * stride;
  });
}

/* Sixteen rows of a tile from row0 on into global memory, by a warp; row(i) says where row i goes, null: nowhere. */
template <int W, class Row> static DEVICE void store(const u8 *from, int row0, int C, bool whole, Row row) {
  constexpr int CHUNKS = W / 8;
  const int lane = threadIdx.x & 31, chunk = lane % CHUNKS, c = chunk * 8;
#pragma unroll 1
  for (int i = lane / CHUNKS; i < 16; i += 32 / CHUNKS) {
    bf16 *to = row(i);
    if (!to || c >= C) continue;
    uint4 x = *(const uint4 *)(from + at<W>(row0 + i, chunk));
    if (whole) {
      *(uint4 *)(to + c) = x;
    } else {
      const u32 pairs[4] = {x.x, x.y, x.z, x.w};
#pragma unroll
      for (int e = 0; e < 4; e++)
        if (c + 2 * e < C) to[c + 2 * e] = (bf16)pairs[e], to[c + 2 * e + 1] = (bf16)(pairs[e] >> 16);
    }
  }
}

/* Accumulators of sixteen rows times a factor for each half of them, rounded, into a tile from row0 and chunk0 on. */
template <int W, int N> static DEVICE void put(u8 *tile, int row0, int chunk0, const float (&x)[N][4], float low, float high) {
  const int lane = threadIdx.x & 31, row = row0 + (lane >> 2);
#pragma unroll
  for (int n = 0; n < N; n++) {
    u8 *to = tile + at<W>(row, chunk0 + n) + (lane & 3) * 4;
    *(u32 *)to = pack_bf16(fmaf(x[n][0], low, 0.0f), fmaf(x[n][1], low, 0.0f));
    *(u32 *)(to + 8 * W * 2) = pack_bf16(fmaf(x[n][2], high, 0.0f), fmaf(x[n][3], high, 0.0f)); /* eight rows on */
  }
}

template <int M, int N> static DEVICE void clear(float (&x)[M][N][4]) {
#pragma unroll
  for (int m = 0; m < M; m++)
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int e = 0; e < 4; e++) x[m][n][e] = 0;
}

/* Two column tiles of accumulators, rounded, as the left operand of a step over those columns. */
static DEVICE void operand_of(u32 (&a)[1][4], const float (&x)[4], const float (&y)[4]) {
  a[0][0] = pack_bf16(x[0], x[1]), a[0][1] = pack_bf16(x[2], x[3]);
  a[0][2] = pack_bf16(y[0], y[1]), a[0][3] = pack_bf16(y[2], y[3]);
}

/* Where the rows of ldmatrix lie: sixteen rows as left operand, and as right operand with the rows as columns (n) or as the sum's k. */
template <int W> static DEVICE const u8 *left(const u8 *tile, int row0, int step) {
  int lane = threadIdx.x & 31;
  return tile + at<W>(row0 + (lane & 15), step * 2 + (lane >> 4));
}
template <int W> static DEVICE const u8 *right(const u8 *tile, int row0, int step) {
  int lane = threadIdx.x & 31;
  return tile + at<W>(row0 + (lane & 7) + (lane >> 4) * 8, step * 2 + (lane >> 3 & 1));
}
template <int W> static DEVICE const u8 *right_transposed(const u8 *tile, int row0, int chunk0) {
  int lane = threadIdx.x & 31;
  return tile + at<W>(row0 + (lane & 15), chunk0 + (lane >> 4));
}

/* ---- forward ------------------------------------------------------------------------------------------------ */

/* A warp has sixteen rows. Two blocks of keys and two of values take turns in shared memory. */
template <int W> static DEVICE void forward(const nrc_flash_arguments &a, u8 *memory) {
  constexpr int TILE = KEYS * W * 2;
  const nrc_attention_query_tile tile = a.tiles[blockIdx.x];
  const Segment s = segment_of(a.segments[tile.segment]);
  const int C = a.channels, share = a.heads / a.groups, g = blockIdx.y, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  u8 *queries = memory, *keys = queries + TILE, *values = keys + 2 * TILE;
  const Rows rows = rows_of(tile.first, s.length * share, share, ROWS);
  const int end = s.prefix_length + position_of(rows, ROWS) + 1, common = s.prefix_length + rows.position; /* all rows see `common` */
  const bf16 *k = a.k + g * C, *v = a.v + g * C;
  const bool k_whole = is_whole(a.k, a.ldk, C), v_whole = is_whole(a.v, a.ldv, C);
  fetch_rows<W, ROWS, 128>(queries, C, a.q + s.start * a.ldq + g * share * C, a.ldq, rows, is_whole(a.q, a.ldq, C));
  fetch_context<W, 128>(keys, C, k, a.ldk, s, 0, end, k_whole);
  copy_commit();
  fetch_context<W, 128>(values, C, v, a.ldv, s, 0, end, v_whole);
  copy_commit();

  int last[2]; /* the last key that this thread's rows see */
#pragma unroll
  for (int h = 0; h < 2; h++) last[h] = s.prefix_length + position_of(rows, warp * 16 + (lane >> 2) + h * 8);
  float out[1][W / 8][4], top[2] = {-INFINITY, -INFINITY}, sum[2][4];
  clear(out);
#pragma unroll
  for (int h = 0; h < 2; h++)
#pragma unroll
    for (int w = 0; w < 4; w++) sum[h][w] = 0;
  const float to_log2 = a.scale * LOG2_E;
  u32 q[W / 16][4];

  for (int j0 = 0, turn = 0; j0 < end; j0 += KEYS, turn ^= 1) {
    const u8 *block_keys = keys + turn * TILE, *block_values = values + turn * TILE;
    copy_wait<1>(); /* this block's keys; at first the queries too */
    barrier();
    if (j0 == 0) load_matrices(q, [&](int step) { return left<W>(queries, warp * 16, step); });
    if (j0 + KEYS < end) fetch_context<W, 128>(keys + (turn ^ 1) * TILE, C, k, a.ldk, s, j0 + KEYS, end, k_whole);
    copy_commit();
    float z[1][8][4];
    clear(z);
#pragma unroll
    for (int step = 0; step < W / 16; step++) {
      u32 b[4][4];
      load_matrices(b, [&](int n) { return right<W>(block_keys, n * 16, step); });
      mma<1, 4>(z, reinterpret_cast<const u32(&)[1][4]>(q[step]), b);
    }
    if (j0 + KEYS - 1 > common) {
#pragma unroll
      for (int n = 0; n < 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
          if (j0 + n * 8 + (lane & 3) * 2 + (e & 1) > last[e >> 1]) z[0][n][e] = -INFINITY;
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
      float highest = top[h];
#pragma unroll
      for (int n = 0; n < 8; n++) highest = fmaxf(highest, fmaxf(z[0][n][2 * h], z[0][n][2 * h + 1]));
      highest = fmaxf(highest, shuffle_xor(highest, 1));
      highest = fmaxf(highest, shuffle_xor(highest, 2));
      float factor = exp2_fast((top[h] - highest) * to_log2), offset = highest * to_log2;
      top[h] = highest;
#pragma unroll
      for (int n = 0; n < 8; n++)
#pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; e++) z[0][n][e] = exp2_fast(fmaf(z[0][n][e], to_log2, -offset));
#pragma unroll
      for (int w = 0; w < 4; w++) {
        const float(&p)[4] = z[0][2 * w], (&p8)[4] = z[0][2 * w + 1];
        sum[h][w] = fmaf(sum[h][w], factor, (p[2 * h] + p[2 * h + 1]) + (p8[2 * h] + p8[2 * h + 1]));
      }
#pragma unroll
      for (int n = 0; n < W / 8; n++) out[0][n][2 * h] *= factor, out[0][n][2 * h + 1] *= factor;
    }
    copy_wait<1>(); /* this block's values */
    barrier();
    if (j0 + KEYS < end) fetch_context<W, 128>(values + (turn ^ 1) * TILE, C, v, a.ldv, s, j0 + KEYS, end, v_whole);
    copy_commit();
#pragma unroll
    for (int step = 0; step < KEYS / 16; step++) {
      u32 p[1][4], b[W / 16][4];
      operand_of(p, z[0][2 * step], z[0][2 * step + 1]);
      load_matrices_transposed(b, [&](int n) { return right_transposed<W>(block_values, step * 16, n * 2); });
      mma<1, W / 16>(out, p, b);
    }
  }
  copy_wait<0>();

  float factor[2];
#pragma unroll
  for (int h = 0; h < 2; h++) {
    float total = (sum[h][0] + sum[h][1]) + (sum[h][2] + sum[h][3]);
    total += shuffle_xor(total, 1);
    total += shuffle_xor(total, 2);
    factor[h] = 1.0f / total;
    int i = warp * 16 + (lane >> 2) + h * 8;
    if (a.log_sum && (lane & 3) == 0 && i < rows.count)
      a.log_sum[(i64)(s.start + rows.position) * a.heads + g * share + element_of(rows, i, a.heads, 1)] =
          top[h] * a.scale + log2_fast(total) * LN_2;
  }
  put<W>(queries, warp * 16, 0, out[0], factor[0], factor[1]); /* a warp's own rows, which it has in registers */
  warp_barrier();
  bf16 *to = a.out + (s.start + rows.position) * a.ldo + g * share * C;
  store<W>(queries, warp * 16, C, is_whole(a.out, a.ldo, C), [&](int i) {
    return warp * 16 + i < rows.count ? to + element_of(rows, warp * 16 + i, a.ldo, C) : nullptr;
  });
}

/* grid (query tiles, G, 1), 640 W bytes of shared memory: 40960. */
KERNEL(128, 3) flash_forward_64(nrc_flash_arguments a) {
  SHARED(memory);
  forward<64>(a, memory);
}
/* grid (query tiles, G, 1), 640 W bytes of shared memory: 81920. */
KERNEL(128, 2) flash_forward_128(nrc_flash_arguments a) {
  SHARED(memory);
  forward<128>(a, memory);
}

/* ---- backward: ds = p (dp - D) scale with p = 2^(z scale log2 e - log_sum log2 e), dp = d_out v and D = d_out out of a row -------- */

/* dq = ds k, a warp with sixteen rows; blocks of keys take turns in two places, values have one. And D. */
template <int W> static DEVICE void backward_queries(const nrc_flash_backward_arguments &a, u8 *memory) {
  constexpr int TILE = KEYS * W * 2;
  const nrc_attention_query_tile tile = a.query_tiles[blockIdx.x];
  const Segment s = segment_of(a.segments[tile.segment]);
  const int C = a.channels, share = a.heads / a.groups, g = blockIdx.y, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  u8 *queries = memory, *slopes = queries + TILE, *values = slopes + TILE, *keys = values + TILE;
  const Rows rows = rows_of(tile.first, s.length * share, share, ROWS);
  const int end = s.prefix_length + position_of(rows, ROWS) + 1, common = s.prefix_length + rows.position;
  const bf16 *k = a.k + g * C, *v = a.v + g * C;
  const bool k_whole = is_whole(a.k, a.ldk, C), v_whole = is_whole(a.v, a.ldv, C);
  fetch_rows<W, ROWS, 128>(queries, C, a.q + s.start * a.ldq + g * share * C, a.ldq, rows, is_whole(a.q, a.ldq, C));
  fetch_rows<W, ROWS, 128>(slopes, C, a.d_out + s.start * a.ldd + g * share * C, a.ldd, rows, is_whole(a.d_out, a.ldd, C));
  fetch_rows<W, ROWS, 128>(keys + TILE, C, a.out + s.start * a.ldo + g * share * C, a.ldo, rows, is_whole(a.out, a.ldo, C));
  fetch_context<W, 128>(keys, C, k, a.ldk, s, 0, end, k_whole);
  fetch_context<W, 128>(values, C, v, a.ldv, s, 0, end, v_whole);
  copy_commit();

  const i64 place = (i64)(s.start + rows.position) * a.heads + g * share; /* of the first position in log_sum and dots */
  int last[2];
  float offset[2], D[2] = {0, 0};
#pragma unroll
  for (int h = 0; h < 2; h++) {
    int i = warp * 16 + (lane >> 2) + h * 8;
    last[h] = s.prefix_length + position_of(rows, i);
    offset[h] = a.log_sum[place + element_of(rows, minimum(i, rows.count - 1), a.heads, 1)] * LOG2_E;
  }
  copy_wait<0>();
  barrier();
#pragma unroll
  for (int step = 0; step < W / 16; step++) {
    u32 x[2][4];
    load_matrices(x, [&](int i) { return left<W>(i == 0 ? slopes : keys + TILE, warp * 16, step); });
#pragma unroll
    for (int e = 0; e < 4; e++) {
      D[e & 1] = fmaf(from_bits(x[0][e] << 16), from_bits(x[1][e] << 16), D[e & 1]);
      D[e & 1] = fmaf(from_bits(x[0][e] & 0xffff0000u), from_bits(x[1][e] & 0xffff0000u), D[e & 1]);
    }
  }
#pragma unroll
  for (int h = 0; h < 2; h++) {
    int i = warp * 16 + (lane >> 2) + h * 8;
    D[h] += shuffle_xor(D[h], 1);
    D[h] += shuffle_xor(D[h], 2);
    if ((lane & 3) == 0 && i < rows.count) a.dots[place + element_of(rows, i, a.heads, 1)] = D[h];
  }

  float dq[1][W / 8][4];
  clear(dq);
  const float to_log2 = a.scale * LOG2_E;
  for (int j0 = 0, turn = 0; j0 < end; j0 += KEYS, turn ^= 1) {
    const u8 *block_keys = keys + turn * TILE;
    copy_wait<0>();
    barrier();
    if (j0 + KEYS < end) fetch_context<W, 128>(keys + (turn ^ 1) * TILE, C, k, a.ldk, s, j0 + KEYS, end, k_whole);
    copy_commit();
    float z[1][8][4], dp[1][8][4];
    clear(z), clear(dp);
#pragma unroll
    for (int step = 0; step < W / 16; step++) {
      u32 x[1][4], b[4][4];
      load_matrices(x, [&](int) { return left<W>(queries, warp * 16, step); });
      load_matrices(b, [&](int n) { return right<W>(block_keys, n * 16, step); });
      mma<1, 4>(z, x, b);
      load_matrices(x, [&](int) { return left<W>(slopes, warp * 16, step); });
      load_matrices(b, [&](int n) { return right<W>(values, n * 16, step); });
      mma<1, 4>(dp, x, b);
    }
    barrier(); /* nobody needs this block's values any more */
    if (j0 + KEYS < end) fetch_context<W, 128>(values, C, v, a.ldv, s, j0 + KEYS, end, v_whole);
    copy_commit();
    if (j0 + KEYS - 1 > common) {
#pragma unroll
      for (int n = 0; n < 8; n++)
#pragma unroll
        for (int e = 0; e < 4; e++)
          if (j0 + n * 8 + (lane & 3) * 2 + (e & 1) > last[e >> 1]) z[0][n][e] = -INFINITY;
    }
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
      for (int e = 0; e < 4; e++)
        dp[0][n][e] = exp2_fast(fmaf(z[0][n][e], to_log2, -offset[e >> 1])) * (dp[0][n][e] - D[e >> 1]) * a.scale;
#pragma unroll
    for (int step = 0; step < KEYS / 16; step++) {
      u32 ds[1][4], b[W / 16][4];
      operand_of(ds, dp[0][2 * step], dp[0][2 * step + 1]);
      load_matrices_transposed(b, [&](int n) { return right_transposed<W>(block_keys, step * 16, n * 2); });
      mma<1, W / 16>(dq, ds, b);
    }
  }
  copy_wait<0>();
  put<W>(queries, warp * 16, 0, dq[0], 1, 1); /* only this warp reads these rows */
  warp_barrier();
  bf16 *to = a.dq + (s.start + rows.position) * a.lddq + g * share * C;
  store<W>(queries, warp * 16, C, is_whole(a.dq, a.lddq, C), [&](int i) {
    return warp * 16 + i < rows.count ? to + element_of(rows, warp * 16 + i, a.lddq, C) : nullptr;
  });
}

/* grid (query tiles, G, 1), 640 W bytes of shared memory: 40960. */
KERNEL(128, 3) flash_backward_queries_64(nrc_flash_backward_arguments a) {
  SHARED(memory);
  backward_queries<64>(a, memory);
}
/* grid (query tiles, G, 1), 640 W bytes of shared memory: 81920. */
KERNEL(128, 2) flash_backward_queries_128(nrc_flash_backward_arguments a) {
  SHARED(memory);
  backward_queries<128>(a, memory);
}

/* dk = ds q and dv = p d_out over the rows that see a key. A block has 32 keys, half a tile: a prefix is seen by all its completions, so
   few keys may have very many rows, and small blocks share that work. It walks those rows in steps of 64, segment by segment; warp (x, y)
   = (warp % 2, warp / 2) has keys 16 x.. and rows 16 y.. of each step. At the end sums are joined over y as (0 + 2) + (1 + 3). */
static constexpr int PART = 32; /* keys of a block */

/* A step: rows from `first` on, of `rows`, of segment `index`. */
struct Walk { int index, first, rows; Segment s; };

template <int W> static DEVICE void backward_keys(const nrc_flash_backward_arguments &a, u8 *memory) {
  constexpr int TILE = ROWS * W * 2;
  const nrc_attention_key_tile tile = a.key_tiles[blockIdx.x >> 1];
  const Segment own = segment_of(a.segments[tile.segment]);
  const int begin = tile.first + (blockIdx.x & 1) * PART, first = own.start + begin, count = minimum(PART, own.length - begin);
  if (count <= 0) return;
  const int C = a.channels, share = a.heads / a.groups, g = blockIdx.y, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const int x = warp & 1, y = warp >> 1;
  float *statistics = (float *)(memory + 4 * TILE); /* of two steps: log-sums of 64 rows, then their D */
  u8 *values = memory + 4 * TILE + 1024;            /* keys are in registers */
  const bool q_whole = is_whole(a.q, a.ldq, C), d_whole = is_whole(a.d_out, a.ldd, C);
  auto fetch_keys = [&](u8 *to, const bf16 *from, i64 stride) {
    fetch<W, PART, 256>(to, C, is_whole(from, stride, C), [&](int i, bool &exists) {
      exists = i < count;
      return from + (first + minimum(i, count - 1)) * stride + g * C;
    });
  };
  /* The next step; false: there is none. */
  auto advance = [&](Walk &w) {
    w.first += ROWS;
    while (w.first >= w.rows) {
      if (++w.index >= tile.end) return false;
      w.s = segment_of(a.segments[w.index]);
      const int prefix_end = w.s.prefix_start + w.s.prefix_length, own_end = w.s.start + w.s.length;
      w.first = w.rows = w.s.length * share;
      if (first < own_end && first + count > w.s.start) w.first = first > w.s.start ? (first - w.s.start) * share : 0;
      if (first < prefix_end && first + count > w.s.prefix_start) w.first = 0;
    }
    return true;
  };
  /* Rows of a step into place `turn`; gives what this thread has of their statistics. */
  auto fetch_step = [&](const Walk &w, int turn) {
    const Rows rows = rows_of(w.first, w.rows, share, ROWS);
    u8 *to = memory + turn * 2 * TILE;
    fetch_rows<W, ROWS, 256>(to, C, a.q + w.s.start * a.ldq + g * share * C, a.ldq, rows, q_whole);
    fetch_rows<W, ROWS, 256>(to + TILE, C, a.d_out + w.s.start * a.ldd + g * share * C, a.ldd, rows, d_whole);
    const int i = threadIdx.x & 63;
    if (threadIdx.x >= 128 || i >= rows.count) return 0.0f;
    const i64 place = (i64)(w.s.start + rows.position) * a.heads + g * share + element_of(rows, i, a.heads, 1);
    return threadIdx.x < 64 ? a.log_sum[place] : a.dots[place];
  };

  fetch_keys(memory + 2 * TILE, a.k, a.ldk);
  fetch_keys(values, a.v, a.ldv);
  Walk next;
  next.index = tile.from - 1, next.first = next.rows = 0;
  bool more = advance(next);
  if (more) {
    float own_statistic = fetch_step(next, 0);
    if (threadIdx.x < 128) statistics[threadIdx.x] = own_statistic;
  }
  copy_commit();
  copy_wait<0>();
  barrier();
  u32 k[W / 16][4];
  load_matrices(k, [&](int step) { return left<W>(memory + 2 * TILE, x * 16, step); });

  float dk[2][1][W / 16][4], dv[2][1][W / 16][4]; /* of either half of the channels */
#pragma unroll
  for (int half = 0; half < 2; half++) clear(dk[half]), clear(dv[half]);
  const float to_log2 = a.scale * LOG2_E;
  for (int turn = 0; more; turn ^= 1) {
    const u8 *queries = memory + turn * 2 * TILE, *slopes = queries + TILE;
    copy_wait<0>();
    barrier();
    const int step_first = next.first, step_rows = next.rows;
    int see[2]; /* the first row of the segment that sees this thread's keys */
#pragma unroll
    for (int h = 0; h < 2; h++) {
      int t = first + x * 16 + (lane >> 2) + h * 8;
      see[h] = t >= next.s.prefix_start && t < next.s.prefix_start + next.s.prefix_length ? 0
             : t >= next.s.start && t < next.s.start + next.s.length                      ? (t - next.s.start) * share
                                                                                          : next.rows;
    }
    more = advance(next);
    float next_statistic = 0;
    if (more) next_statistic = fetch_step(next, turn ^ 1);
    copy_commit();

    float z[1][2][4], dp[1][2][4]; /* keys by rows */
    clear(z), clear(dp);
#pragma unroll
    for (int step = 0; step < W / 16; step++) {
      u32 m[3][4];
      load_matrices(m, [&](int i) {
        return i == 0 ? right<W>(queries, y * 16, step) : i == 1 ? right<W>(slopes, y * 16, step) : left<W>(values, x * 16, step);
      });
      mma<1, 1>(z, reinterpret_cast<const u32(&)[1][4]>(k[step]), reinterpret_cast<const u32(&)[1][4]>(m[0]));
      mma<1, 1>(dp, reinterpret_cast<const u32(&)[1][4]>(m[2]), reinterpret_cast<const u32(&)[1][4]>(m[1]));
    }
#pragma unroll
    for (int n = 0; n < 2; n++) {
      const int i = y * 16 + n * 8 + (lane & 3) * 2;
      float2 log_sum = *(const float2 *)(statistics + turn * 128 + i), D = *(const float2 *)(statistics + turn * 128 + 64 + i);
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int row = step_first + i + (e & 1);
        bool is_seen = row >= see[e >> 1] && row < step_rows;
        float p = is_seen ? exp2_fast(fmaf(z[0][n][e], to_log2, -(e & 1 ? log_sum.y : log_sum.x) * LOG2_E)) : 0;
        z[0][n][e] = p;
        dp[0][n][e] = p * (dp[0][n][e] - (e & 1 ? D.y : D.x)) * a.scale;
      }
    }
    u32 p[1][4], ds[1][4];
    operand_of(p, z[0][0], z[0][1]);
    operand_of(ds, dp[0][0], dp[0][1]);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      u32 b[W / 32][4];
      load_matrices_transposed(b, [&](int n) { return right_transposed<W>(slopes, y * 16, half * (W / 16) + n * 2); });
      mma<1, W / 32>(dv[half], p, b);
      load_matrices_transposed(b, [&](int n) { return right_transposed<W>(queries, y * 16, half * (W / 16) + n * 2); });
      mma<1, W / 32>(dk[half], ds, b);
    }
    if (threadIdx.x < 128) statistics[(turn ^ 1) * 128 + threadIdx.x] = next_statistic;
  }
  copy_wait<0>();

  /* Sums of a warp in its part of shared memory, a thread's own 16 bytes next to its neighbour's. */
  auto give = [&](int part) {
    float4 *to = (float4 *)(memory + part * (W * 128)) + lane;
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int n = 0; n < W / 16; n++) {
        const float(&s)[4] = dk[half][0][n], (&t)[4] = dv[half][0][n];
        to[(half * (W / 16) + n) * 64] = make_float4(s[0], s[1], s[2], s[3]);
        to[(half * (W / 16) + n) * 64 + 32] = make_float4(t[0], t[1], t[2], t[3]);
      }
  };
  auto take = [&](int part) {
    const float4 *from = (const float4 *)(memory + part * (W * 128)) + lane;
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int n = 0; n < W / 16; n++) {
        float4 s = from[(half * (W / 16) + n) * 64], t = from[(half * (W / 16) + n) * 64 + 32];
        float(&to_k)[4] = dk[half][0][n], (&to_v)[4] = dv[half][0][n];
        to_k[0] += s.x, to_k[1] += s.y, to_k[2] += s.z, to_k[3] += s.w;
        to_v[0] += t.x, to_v[1] += t.y, to_v[2] += t.z, to_v[3] += t.w;
      }
  };
  barrier();
  if (y >= 2) give(warp - 4);
  barrier();
  if (y < 2) take(warp);
  barrier();
  if (y == 1) give(x);
  barrier();
  if (y != 0) return;
  take(x);
  u8 *tile_k = memory + 2 * TILE, *tile_v = tile_k + PART * W * 2; /* beside the parts 0 and 1 */
#pragma unroll
  for (int half = 0; half < 2; half++) {
    put<W>(tile_k, x * 16, half * (W / 16), dk[half][0], 1, 1);
    put<W>(tile_v, x * 16, half * (W / 16), dv[half][0], 1, 1);
  }
  warp_barrier();
  store<W>(tile_k, x * 16, C, is_whole(a.dk, a.lddk, C), [&](int i) {
    return x * 16 + i < count ? a.dk + (first + x * 16 + i) * a.lddk + g * C : nullptr;
  });
  store<W>(tile_v, x * 16, C, is_whole(a.dv, a.lddv, C), [&](int i) {
    return x * 16 + i < count ? a.dv + (first + x * 16 + i) * a.lddv + g * C : nullptr;
  });
}

/* grid (2 key tiles, G, 1), 576 W + 1024 bytes of shared memory: 37888. */
KERNEL(256, 1) flash_backward_keys_64(nrc_flash_backward_arguments a) {
  SHARED(memory);
  backward_keys<64>(a, memory);
}
/* grid (2 key tiles, G, 1), 576 W + 1024 bytes of shared memory: 74752. */
KERNEL(256, 1) flash_backward_keys_128(nrc_flash_backward_arguments a) {
  SHARED(memory);
  backward_keys<128>(a, memory);
}

/* ---- the KV cache --------------------------------------------------------------------------------------------- */

/* Where the keys of a slot and head begin; its values begin G capacity C further. */
static DEVICE i64 slot_of(i64 slot, int G, int C, i64 capacity, int g) { return (slot * 2 * G + g) * capacity * C; }

/* grid (T, 1, 1), no shared memory. */
KERNEL(128, 4) flash_write(nrc_flash_write_arguments a) {
  const i64 t = blockIdx.x, slot = a.slots[t], position = a.positions[t];
  const int C = a.channels, G = a.groups;
  const bool whole = is_whole(a.k, a.ldk, C) && is_whole(a.v, a.ldv, C) && is_whole(a.cache, 0, C);
  const int width = whole ? 8 : 1, chunks = C / width;
  for (int i = threadIdx.x; i < 2 * G * chunks; i += 128) {
    int row = i / chunks, c = (i - row * chunks) * width, g = row < G ? row : row - G;
    const bf16 *from = (row < G ? a.k + t * a.ldk : a.v + t * a.ldv) + g * C + c;
    bf16 *to = a.cache + slot_of(slot, G, C, a.capacity, row) + position * C + c;
    if (whole) *(uint4 *)to = *(const uint4 *)from;
    else *to = *from;
  }
}

/* A block has some neighbouring sequences: 8 where the device is full with them, fewer, down to 1, where it would not be. Those that stand
   next to each other with the same prompt are a run: blocks of keys that lie wholly in the prompt are read once for the run; then each
   sequence has its own, the first of which may begin with the prompt's last positions.
   A sequence has eight rows of a tile, those of its heads and zeros: tile i has sequences 2 i and 2 i + 1. All warps work on one block of
   keys at a time: warp w makes the scores of keys 16 w.. and, of the outputs, channels W / 4 w... They tell each other the highest
   scores and, as bfloat16, the weights. What the loop walks grows with the lengths, the grid does not. */
static constexpr int SEQUENCES = 8, TILES = SEQUENCES / 2;

/* A block of keys: `block` of sequence `sequence`, for it and, if `block` lies in the prompt, for those after it up to `end`. */
struct Item { int sequence, block, end; };
struct Sequence { int prompt_slot, prompt_length, slot, keys, end; }; /* end: of its run, where it is the first of one, else 0 */

template <int W> static DEVICE void decode(const nrc_flash_decode_arguments &a, u8 *memory) {
  constexpr int TILE = KEYS * W * 2, PAIRS = W / 64; /* PAIRS: of column tiles of a warp's outputs */
  const int C = a.channels, G = a.groups, share = a.heads / G, g = blockIdx.y, warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const int most = a.T * G < 256 ? 1 : a.T * G < 512 ? 2 : a.T * G < 1024 ? 4 : SEQUENCES;
  const int t0 = blockIdx.x * most, count = minimum(most, a.T - t0);
  if (count <= 0) return;
  u8 *queries = memory, *keys = queries + TILE, *values = keys + 2 * TILE, *weights = values + 2 * TILE;
  float *highest = (float *)(weights + ROWS * KEYS * 2); /* of a row: four warps' */
  float *sums = (float *)weights;                                              /* at the end: of a warp, a row's four threads' */
  Sequence *sequences = (Sequence *)(highest + ROWS * 4);

  fetch<W, ROWS, 128>(queries, C, is_whole(a.q, a.ldq, C), [&](int i, bool &exists) {
    exists = (i >> 3) < count && (i & 7) < share;
    return exists ? a.q + (t0 + (i >> 3)) * a.ldq + (g * share + (i & 7)) * C : a.q;
  });
  if (threadIdx.x < count) {
    const int t = t0 + threadIdx.x, slot = a.prompt_slots[t], length = a.prompt_lengths[t];
    int end = 0;
    if (threadIdx.x == 0 || a.prompt_slots[t - 1] != slot || a.prompt_lengths[t - 1] != length)
      for (end = threadIdx.x + 1; end < count && a.prompt_slots[t0 + end] == slot && a.prompt_lengths[t0 + end] == length;) end++;
    sequences[threadIdx.x] = {slot, length, a.slots[t], length + a.lengths[t], end};
  }
  barrier();

  /* The item after; false: there is none. */
  auto advance = [&](Item &item) {
    item.block++;
    if (item.sequence < 0 || item.block * KEYS >= sequences[item.sequence].keys) {
      if (++item.sequence >= count) return false;
      const Sequence s = sequences[item.sequence];
      item.block = s.end > 0 ? 0 : s.prompt_length / KEYS;
    }
    const Sequence s = sequences[item.sequence];
    item.end = (item.block + 1) * KEYS <= s.prompt_length ? s.end : item.sequence + 1;
    return true;
  };
  const bool prompts_whole = is_whole(a.prompts, 0, C), cache_whole = is_whole(a.cache, 0, C);
  auto fetch_keys = [&](u8 *to, const Item &item, int row) { /* row: g of keys, G + g of values */
    const Sequence s = sequences[item.sequence];
    const bf16 *prompt = a.prompts + slot_of(s.prompt_slot, G, C, a.prompt_capacity, row);
    const bf16 *own = a.cache + slot_of(s.slot, G, C, a.capacity, row);
    const int j0 = item.block * KEYS;
    fetch<W, KEYS, 128>(to, C, prompts_whole && cache_whole, [&](int i, bool &exists) {
      int j = minimum(j0 + i, s.keys - 1);
      exists = j0 + i < s.keys;
      return j < s.prompt_length ? prompt + (i64)j * C : own + (i64)(j - s.prompt_length) * C;
    });
  };

  float out[TILES][1][2 * PAIRS][4], top[TILES][2], sum[TILES][2];
#pragma unroll
  for (int i = 0; i < TILES; i++) {
    clear(out[i]);
#pragma unroll
    for (int h = 0; h < 2; h++) top[i][h] = -INFINITY, sum[i][h] = 0;
  }
  const float to_log2 = a.scale * LOG2_E;
  Item item, next;
  next.sequence = -1, next.block = 0, next.end = 0;
  bool more = advance(next);
  fetch_keys(keys, next, g);
  copy_commit();
  fetch_keys(values, next, G + g);
  copy_commit();
  for (int turn = 0; more; turn ^= 1) {
    item = next, more = advance(next);
    const u8 *block_keys = keys + turn * TILE, *block_values = values + turn * TILE;
    const int limit = item.end > item.sequence + 1 ? KEYS : sequences[item.sequence].keys - item.block * KEYS; /* keys seen */
    copy_wait<1>();
    barrier();
    if (more) fetch_keys(keys + (turn ^ 1) * TILE, next, g);
    copy_commit();

    float z[TILES][1][2][4];
    u32 k[W / 16][4];
    load_matrices(k, [&](int step) { return right<W>(block_keys, warp * 16, step); });
#pragma unroll
    for (int i = 0; i < TILES; i++)
      if (2 * i + 2 > item.sequence && 2 * i < item.end) {
        u32 q[W / 16][4];
        load_matrices(q, [&](int step) { return left<W>(queries, i * 16, step); });
        clear(z[i]);
#pragma unroll
        for (int step = 0; step < W / 16; step++)
          mma<1, 1>(z[i], reinterpret_cast<const u32(&)[1][4]>(q[step]), reinterpret_cast<const u32(&)[1][4]>(k[step]));
#pragma unroll
        for (int h = 0; h < 2; h++) {
          float most_of_row = -INFINITY;
#pragma unroll
          for (int n = 0; n < 2; n++)
#pragma unroll
            for (int e = 2 * h; e < 2 * h + 2; e++) {
              if (warp * 16 + n * 8 + (lane & 3) * 2 + (e & 1) >= limit) z[i][0][n][e] = -INFINITY;
              most_of_row = fmaxf(most_of_row, z[i][0][n][e]);
            }
          most_of_row = fmaxf(most_of_row, shuffle_xor(most_of_row, 1));
          most_of_row = fmaxf(most_of_row, shuffle_xor(most_of_row, 2));
          if ((lane & 3) == 0) highest[(i * 16 + h * 8 + (lane >> 2)) * 4 + warp] = most_of_row;
        }
      }
    barrier();
    float factor[TILES][2];
#pragma unroll
    for (int i = 0; i < TILES; i++)
      if (2 * i + 2 > item.sequence && 2 * i < item.end)
#pragma unroll
        for (int h = 0; h < 2; h++) {
          const int row = i * 16 + h * 8 + (lane >> 2);
          const bool takes = 2 * i + h >= item.sequence && 2 * i + h < item.end;
          factor[i][h] = 1;
          if (takes) {
            float4 m = *(const float4 *)(highest + row * 4);
            float most_of_row = fmaxf(fmaxf(top[i][h], fmaxf(m.x, m.y)), fmaxf(m.z, m.w)), offset = most_of_row * to_log2;
            factor[i][h] = exp2_fast((top[i][h] - most_of_row) * to_log2);
            top[i][h] = most_of_row;
#pragma unroll
            for (int n = 0; n < 2; n++)
#pragma unroll
              for (int e = 2 * h; e < 2 * h + 2; e++) z[i][0][n][e] = exp2_fast(fmaf(z[i][0][n][e], to_log2, -offset));
            sum[i][h] = fmaf(sum[i][h], factor[i][h],
                             (z[i][0][0][2 * h] + z[i][0][0][2 * h + 1]) + (z[i][0][1][2 * h] + z[i][0][1][2 * h + 1]));
          }
#pragma unroll
          for (int n = 0; n < 2; n++)
            *(u32 *)(weights + at<KEYS>(row, warp * 2 + n) + (lane & 3) * 4) =
                takes ? pack_bf16(z[i][0][n][2 * h], z[i][0][n][2 * h + 1]) : 0;
        }
    copy_wait<1>();
    barrier();
    if (more) fetch_keys(values + (turn ^ 1) * TILE, next, G + g);
    copy_commit();

    u32 b[4][PAIRS][4];
#pragma unroll
    for (int step = 0; step < 4; step++)
      load_matrices_transposed(b[step], [&](int n) { return right_transposed<W>(block_values, step * 16, (warp * PAIRS + n) * 2); });
#pragma unroll
    for (int i = 0; i < TILES; i++)
      if (2 * i + 2 > item.sequence && 2 * i < item.end) {
        u32 p[4][4];
        load_matrices(p, [&](int step) { return left<KEYS>(weights, i * 16, step); });
        float x[1][2 * PAIRS][4];
#pragma unroll
        for (int n = 0; n < 2 * PAIRS; n++)
#pragma unroll
          for (int e = 0; e < 4; e++) x[0][n][e] = out[i][0][n][e] * factor[i][e >> 1];
#pragma unroll
        for (int step = 0; step < 4; step++) mma<1, PAIRS>(x, reinterpret_cast<const u32(&)[1][4]>(p[step]), b[step]);
#pragma unroll
        for (int n = 0; n < 2 * PAIRS; n++)
#pragma unroll
          for (int e = 0; e < 4; e++) /* another sequence's rows stay as they are, whatever these values hold */
            if (2 * i + (e >> 1) >= item.sequence && 2 * i + (e >> 1) < item.end) out[i][0][n][e] = x[0][n][e];
      }
  }
  copy_wait<0>();
  barrier();
#pragma unroll
  for (int i = 0; i < TILES; i++)
#pragma unroll
    for (int h = 0; h < 2; h++) sums[(warp * ROWS + i * 16 + h * 8) * 4 + lane] = sum[i][h];
  barrier();
#pragma unroll
  for (int i = 0; i < TILES; i++) {
    float inverse[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
      const float *s = sums + (i * 16 + h * 8) * 4 + lane;
      float total = (s[0] + s[ROWS * 4]) + (s[2 * ROWS * 4] + s[3 * ROWS * 4]);
      total += shuffle_xor(total, 1);
      total += shuffle_xor(total, 2);
      inverse[h] = 1.0f / total;
    }
    put<W>(queries, i * 16, warp * 2 * PAIRS, out[i][0], inverse[0], inverse[1]);
  }
  barrier();
  const bool whole = is_whole(a.out, a.ldo, C);
  store<W>(queries, warp * 16, C, whole, [&](int i) {
    int sequence = warp * 2 + (i >> 3), head = i & 7;
    return sequence < count && head < share ? a.out + (t0 + sequence) * a.ldo + (g * share + head) * C : nullptr;
  });
}

/* A block has n sequences: 1 where T G < 256, 2 where < 512, 4 where < 1024, else 8. H / G is at most 8.
   grid (T / n rounded up, or more, G, 1), 640 W + 9376 bytes of shared memory: 50336. */
KERNEL(128, 3) flash_decode_64(nrc_flash_decode_arguments a) {
  SHARED(memory);
  decode<64>(a, memory);
}
/* grid as above, 640 W + 9376 bytes of shared memory: 91296. */
KERNEL(128, 2) flash_decode_128(nrc_flash_decode_arguments a) {
  SHARED(memory);
  decode<128>(a, memory);
}
