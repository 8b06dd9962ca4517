/* product.cuh - what products on tensor cores share: rows on their way to shared memory, the main loop, and what follows the sum. */
#pragma once
#include "device.cuh"
#include "product_arguments.h"

/* ---- rows of an operand -------------------------------------------------------------------------------- */

/* A tile's row is 64 elements, 128 bytes of shared memory: eight pieces of 16 bytes. Where a piece stands depends on the row, so that
   neither copies nor ldmatrix meet a bank twice. */
DEVICE int product_piece(int row, int piece) { return row * 128 + ((piece ^ (row & 7)) << 4); }

/* ROWS rows on their way to shared memory, 64 elements of each at a time: eight threads a row, a piece each. Rows that do not exist and
   elements from k_end on are zeros, and nothing is read for them. Where addresses are multiples of 16 bytes the copies are asynchronous. */
template <int ROWS, int THREADS> struct ProductRows {
  static constexpr int STEP = THREADS / 8, COUNT = (ROWS + STEP - 1) / STEP;
  static_assert(STEP % 8 == 0, "a thread's piece stands at the same place in each of its rows");
  const u8 *from; /* this thread's first element of its first row */
  i64 step;       /* bytes from one of its rows to the next */
  int row, rows, k_end, to;
  bool is_float, is_async;

  DEVICE ProductRows(const void *matrix, i64 ld, bool is_float, int row0, int rows, int k_end) : is_float(is_float) {
    int piece = (int)(threadIdx.x % 8), size = is_float ? 4 : 2;
    row = (int)(threadIdx.x / 8);
    from = (const u8 *)matrix + ((row0 + row) * ld + piece * 8) * size;
    step = STEP * ld * size;
    this->rows = rows - row0 - row, this->k_end = k_end - piece * 8, to = product_piece(row, piece);
    is_async = !is_float && (((u64)matrix | (u64)ld * 2 | (u64)k_end * 2) & 15) == 0;
  }
  /* elements k .. k + 63 of each row, to the tile's place in shared memory */
  DEVICE void fetch(u8 *tile, int k) const {
    if (is_async) {
      const u8 *p = from + (u32)k * 2;
#pragma unroll
      for (int i = 0; i < COUNT; i++, p += step)
        if (ROWS % STEP == 0 || row + i * STEP < ROWS) copy_async_16(tile + to + i * STEP * 128, p, i * STEP < rows && k < k_end);
    } else {
#pragma unroll 1
      for (int i = 0; i < COUNT; i++) {
        if (ROWS % STEP != 0 && row + i * STEP >= ROWS) break;
        int count = i * STEP < rows ? k_end - k : 0;
        const u8 *p = from + i * step + (i64)k * (is_float ? 4 : 2);
        u32 pairs[4];
#pragma unroll
        for (int e = 0; e < 4; e++) pairs[e] = pack_bf16(element(p, 2 * e, count), element(p, 2 * e + 1, count));
        *(uint4 *)(tile + to + i * STEP * 128) = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
      }
    }
  }
  DEVICE float element(const u8 *p, int i, int count) const {
    return i >= count ? 0.0f : is_float ? ((const float *)p)[i] : widen(((const bf16 *)p)[i]);
  }
};

/* ---- the main loop ------------------------------------------------------------------------------------- */

/* A tile of BM x BN of x w^T by warps of WM x WN, 64 k's at a time; STAGES such steps of x and w stand in shared memory.
   SHARED_BYTES are also enough for product_finish. */
template <int BM, int BN, int WM, int WN, int STAGES> struct Product {
  static constexpr int ROWS = BM, COLUMNS = BN, MI = WM / 16, NI = WN / 8, THREADS = BM / WM * (BN / WN) * 32;
  static constexpr int STAGE_BYTES = (BM + BN) * 128, SHARED_BYTES = STAGES * STAGE_BYTES;
  static_assert(WM % 16 == 0 && WN % 16 == 0 && BM % WM == 0 && BN % WN == 0 && STAGES >= 2, "whole fragments, and a stage to fill");
  static_assert(NRC_PRODUCT_CHUNK % 64 == 0, "a step lies in one chunk");

  /* this warp's first row and column within the tile */
  static DEVICE int row0() { return (int)(threadIdx.x / 32 / (BN / WN) * WM); }
  static DEVICE int column0() { return (int)(threadIdx.x / 32 % (BN / WN) * WN); }

  /* total = the sums of the chunks of [k_begin, k_end), added in order; k_begin is a multiple of NRC_PRODUCT_CHUNK. x [M, ldx] from row
     m0, w [N, ldw] from row n0; fragments as of `mma`. A warp none of whose rows or columns exist gets no sums. All threads of the block
     call it; it ends with a barrier after which shared memory may be used again. */
  static DEVICE void multiply(float (&total)[MI][NI][4], u8 *memory, const void *x, i64 ldx, bool x_is_float, int m0, int M, const bf16 *w,
                              i64 ldw, int n0, int N, int k_begin, int k_end) {
    float sum[MI][NI][4];
    clear(sum, 0.0f), clear(total, -0.0f); /* -0 + c is c, also where c is -0 */
    int left = NRC_PRODUCT_CHUNK / 64;
    walk(sum, memory, x, ldx, x_is_float, m0, M, w, ldw, n0, N, k_begin, k_end, [&](bool is_last) {
      if (--left && !is_last) return;
      left = NRC_PRODUCT_CHUNK / 64;
#pragma unroll
      for (int i = 0; i < MI; i++)
#pragma unroll
        for (int j = 0; j < NI; j++)
#pragma unroll
          for (int e = 0; e < 4; e++) total[i][j][e] += sum[i][j][e], sum[i][j][e] = 0;
    });
  }
  /* The same of at most one chunk, in half as many registers. */
  static DEVICE void multiply_chunk(float (&total)[MI][NI][4], u8 *memory, const void *x, i64 ldx, bool x_is_float, int m0, int M,
                                    const bf16 *w, i64 ldw, int n0, int N, int k_begin, int k_end) {
    clear(total, 0.0f);
    walk(total, memory, x, ldx, x_is_float, m0, M, w, ldw, n0, N, k_begin, k_end, [](bool) {});
  }

  static DEVICE void clear(float (&c)[MI][NI][4], float value) {
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int j = 0; j < NI; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) c[i][j][e] = value;
  }
  /* Fragments of the next sixteen k's are loaded while sixteen are multiplied, also from one tile to the next: so the barrier that says
     that a tile was read, and the next one has come, stands before a tile's last sixteen. `after` is called when a tile was added to c. */
  template <class After>
  static DEVICE void walk(float (&c)[MI][NI][4], u8 *memory, const void *x, i64 ldx, bool x_is_float, int m0, int M, const bf16 *w, i64 ldw,
                          int n0, int N, int k_begin, int k_end, After after) {
    int lane = (int)(threadIdx.x % 32), tiles = (k_end - k_begin + 63) / 64;
    bool works = m0 + row0() < M && n0 + column0() < N;
    ProductRows<BM, THREADS> left(x, ldx, x_is_float, m0, M, k_end);
    ProductRows<BN, THREADS> right(w, ldw, false, n0, N, k_end);
    /* of this lane in a tile's first sixteen k's; those of step s: bits 5 and 6 changed by s. A row's last three bits are the lane's. */
    int a_at = product_piece(row0() + lane % 16, lane / 16);
    int b_at = BM * 128 + product_piece(column0() + lane % 8 + lane / 16 * 8, lane / 8 % 2);
    u32 a[2][MI][4], b[2][NI / 2][4];
    auto load = [&](int to, int tile, int step) {
      load_matrices(a[to], [&](int i) { return memory + tile + (a_at ^ step << 5) + i * 2048; });
      load_matrices(b[to], [&](int j) { return memory + tile + (b_at ^ step << 5) + j * 2048; });
    };
#pragma unroll 1
    for (int s = 0; s < STAGES; s++) {
      u8 *tile = memory + s * STAGE_BYTES;
      int k = k_begin + s * 64;
      if (s < tiles) left.fetch(tile, k), right.fetch(tile + BM * 128, k);
      copy_commit();
    }
    copy_wait<STAGES - 1>();
    barrier();
    int now = 0; /* where the tile stands */
    if (works) load(0, now, 0);
#pragma unroll 1
    for (int t = 0; t < tiles; t++) {
      if (works) {
#pragma unroll
        for (int step = 0; step < 3; step++) {
          load((step + 1) % 2, now, step + 1);
          mma<MI, NI / 2>(c, a[step % 2], b[step % 2]);
        }
      }
      copy_wait<STAGES - 2>();
      barrier();
      if (t + STAGES < tiles) {
        int k = k_begin + (t + STAGES) * 64;
        left.fetch(memory + now, k), right.fetch(memory + now + BM * 128, k);
      }
      copy_commit();
      now = now == (STAGES - 1) * STAGE_BYTES ? 0 : now + STAGE_BYTES;
      if (works) {
        if (t + 1 < tiles) load(0, now, 0);
        mma<MI, NI / 2>(c, a[1], b[1]);
      }
      after(t + 1 == tiles);
    }
  }
};

/* ---- after the sum ------------------------------------------------------------------------------------- */

/* The part to which column tile `tile` of a launch belongs. */
DEVICE int product_part_of(const nrc_product_arguments &a, int tile) {
  int which = 0;
#pragma unroll
  for (int i = 1; i < NRC_PRODUCT_PARTS; i++)
    if (i < a.parts && tile >= a.part[i].first) which = i;
  return which;
}
/* Part `which`, chosen without an index into the arguments, which would move them to local memory. */
DEVICE nrc_product_part product_part(const nrc_product_arguments &a, int which) {
  nrc_product_part part = a.part[0];
#pragma unroll
  for (int i = 1; i < NRC_PRODUCT_PARTS; i++)
    if (which == i) part = a.part[i];
  return part;
}
/* The columns of all parts, and those before part `which`: `partial` has the parts side by side. */
DEVICE void product_columns(const nrc_product_arguments &a, int which, int &before, int &all) {
  before = all = 0;
#pragma unroll
  for (int i = 0; i < NRC_PRODUCT_PARTS; i++) {
    if (i == which) before = all;
    if (i < a.parts) all += a.part[i].N;
  }
}

/* total += low up^T, sixteen of R at a time and zeros past its end, of the warp's tile at row m0, column n0. In place of rows that do not
   exist the last one is read: what comes of it is not stored. */
template <int MI, int NI>
DEVICE void product_low_rank(float (&total)[MI][NI][4], const bf16 *low, const bf16 *up, int R, int m0, int M, int n0, int N) {
  int g = (int)(threadIdx.x % 32 / 4), t = (int)(threadIdx.x % 4 * 2);
  low += (i64)m0 * R + t, up += (i64)n0 * R + t, M -= m0 + 1, N -= n0 + 1;
  auto add = [&](auto pair) {
#pragma unroll 1
    for (int r = 0; r < R; r += 16) {
      u32 a[MI][4], b[NI / 2][4];
#pragma unroll
      for (int i = 0; i < MI; i++)
#pragma unroll
        for (int e = 0; e < 4; e++) a[i][e] = pair(low, minimum(i * 16 + g + e % 2 * 8, M), r + e / 2 * 8);
#pragma unroll
      for (int j = 0; j < NI / 2; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) b[j][e] = pair(up, minimum(j * 16 + e / 2 * 8 + g, N), r + e % 2 * 8);
      mma<MI, NI / 2>(total, a, b);
    }
  };
  if (R % 2 == 0 && (((u64)low | (u64)up) & 3) == 0)
    add([&](const bf16 *rows, int row, int r) { return r + t < R ? *(const u32 *)(rows + (row * R + r)) : 0u; });
  else
    add([&](const bf16 *rows, int row, int r) {
      const bf16 *from = rows + (row * R + r);
      u32 first = r + t < R ? from[0] : 0u, second = r + t + 1 < R ? from[1] : 0u;
      return first | second << 16;
    });
}

/* Where element (row, column) of sixteen rows of WN floats stands: fours permuted by row, so that pairs of fragments meet no bank twice. */
template <int WN> DEVICE int product_place(int row, int column) {
  return row * WN + (column ^ (WN % 32 ? row / 2 % 2 : row % 4) * 8);
}
/* Completes the warp's tile, whose first row is m0 and whose first column is column n0 of part `which`: low rank, scale, bias, residual,
   rounding; or, where the product is split, writes this chunk's sums. `memory`: 64 WN bytes for each warp of the block. */
template <int MI, int NI>
DEVICE void product_finish(float (&total)[MI][NI][4], u8 *memory, const nrc_product_arguments &a, int which, bool is_split, int m0,
                           int n0) {
  constexpr int WN = NI * 8, LANES = WN / 4; /* of a row */
  int lane = (int)(threadIdx.x % 32);
  nrc_product_part part = product_part(a, which);
  if (m0 >= a.T || n0 >= part.N) return;
  if (is_split) {
    int before, all;
    product_columns(a, which, before, all);
    part.y = a.partial + (i64)blockIdx.z * a.T * all + before, part.ldy = all, part.is_float = true;
    part.scale = 1, part.bias = nullptr, part.residual = nullptr;
  } else if (part.low)
    product_low_rank(total, part.low, part.up, part.R, m0, a.T, n0, part.N);
  int alignment = part.is_float ? 15 : 7;
  bool in_fours = n0 + WN <= part.N && (((u64)part.y | (u64)part.ldy * (part.is_float ? 4 : 2)) & alignment) == 0 &&
                  ((u64)part.bias & 15) == 0 && (!part.residual || (((u64)part.residual | (u64)part.ldr * 4) & 15) == 0);
  float *rows = (float *)memory + (int)(threadIdx.x / 32) * 16 * WN;
#pragma unroll
  for (int i = 0; i < MI; i++) {
#pragma unroll
    for (int j = 0; j < NI; j++)
#pragma unroll
      for (int half = 0; half < 2; half++)
        *(float2 *)(rows + product_place<WN>(lane / 4 + half * 8, j * 8 + lane % 4 * 2)) =
          make_float2(total[i][j][half * 2], total[i][j][half * 2 + 1]);
    warp_barrier();
    if (in_fours) {
#pragma unroll
      for (int r = 0; r < 16; r += 32 / LANES) {
        int row = r + lane / LANES, column = lane % LANES * 4, m = m0 + i * 16 + row, n = n0 + column;
        if (m >= a.T) continue;
        float4 v = *(const float4 *)(rows + product_place<WN>(row, column));
        v.x *= part.scale, v.y *= part.scale, v.z *= part.scale, v.w *= part.scale;
        if (part.bias) {
          float4 add = *(const float4 *)(part.bias + n);
          v.x += add.x, v.y += add.y, v.z += add.z, v.w += add.w;
        }
        if (part.residual) {
          float4 add = *(const float4 *)(part.residual + (i64)m * part.ldr + n);
          v.x += add.x, v.y += add.y, v.z += add.z, v.w += add.w;
        }
        i64 at = (i64)m * part.ldy + n;
        if (part.is_float) *(float4 *)((float *)part.y + at) = v;
        else *(uint2 *)((bf16 *)part.y + at) = make_uint2(pack_bf16(v.x, v.y), pack_bf16(v.z, v.w));
      }
    } else {
#pragma unroll 1
      for (int index = lane; index < 16 * WN; index += 32) {
        int column = index % WN, m = m0 + i * 16 + index / WN, n = n0 + column;
        if (m >= a.T || n >= part.N) continue;
        float v = rows[product_place<WN>(index / WN, column)] * part.scale;
        if (part.bias) v += part.bias[n];
        if (part.residual) v += part.residual[(i64)m * part.ldr + n];
        i64 at = (i64)m * part.ldy + n;
        if (part.is_float) ((float *)part.y)[at] = v;
        else ((bf16 *)part.y)[at] = (bf16)pack_bf16(v, 0);
      }
    }
    if (i + 1 < MI) warp_barrier();
  }
}

/* ---- a block ------------------------------------------------------------------------------------------- */

DEVICE u8 *product_memory() {
  SHARED(memory);
  return memory;
}
/* Blocks that run at the same time should share rows of both operands: tiles are taken in groups of sixteen rows of tiles, within a group
   column after column. `row` and `column` count tiles; grid.x is columns of tiles, grid.y rows of tiles. */
DEVICE void product_tile(int &row, int &column) {
  u32 index = blockIdx.y * gridDim.x + blockIdx.x, first = index / (16 * gridDim.x) * 16, rows = gridDim.y - first;
  rows = rows < 16 ? rows : 16, index -= first * gridDim.x;
  row = (int)(first + index % rows), column = (int)(index / rows);
}
