/* vocabulary.cu - the vocabulary head on tensor cores. Logits are a product of product_arguments.h, made tile by tile of 128 columns; of a
   row a tile leaves its maximum and two sums (vocabulary.cuh), the target's logit, and the logits themselves only where they are wanted.
   The backward pass makes the same logits again. The bits of a row depend neither on the rows beside it nor on the number of rows in a
   tile. */
#include "device.cuh"
#include "vocabulary_arguments.h"
#include "product.cuh"
#include "vocabulary.cuh"

/* A tile of BM rows and 128 columns, a warp's part WM rows and 32 columns, which are one group of the sums. Tiles of rows are grid.x, so
   that blocks that run together read the same part of w. */
template <int BM, int WM, int STAGES> struct Vocabulary {
  using P = Product<BM, NRC_VOCABULARY_TILE, WM, 32, STAGES>;
  static constexpr int MI = P::MI, NI = P::NI, GROUPS = NRC_VOCABULARY_TILE / 32;
  static_assert(NI == 4 && GROUPS == 4, "a warp has one group of 32 columns");
  static_assert(P::THREADS >= BM, "a thread a row at the end");

  /* Where this thread's part lies: row i, half of the tile's rows is first + 16 i + 8 half, its columns are column + 8 j + {0, 1}. */
  struct place {
    int m0, n0, first, column, columns; /* `columns`: of the tile, those before V */
    DEVICE int row(int i, int half) const { return first + i * 16 + half * 8; }
  };
  static DEVICE place here(int V) {
    int lane = (int)threadIdx.x & 31, n0 = (int)blockIdx.y * NRC_VOCABULARY_TILE;
    return place{(int)blockIdx.x * BM, n0, P::row0() + (lane >> 2), P::column0() + (lane & 3) * 2, minimum(NRC_VOCABULARY_TILE, V - n0)};
  }

  static DEVICE void forward(const nrc_vocabulary_arguments &a) {
    SHARED(memory);
    place at = here(a.V);
    float z[MI][NI][4];
    P::multiply(z, memory, a.hidden, a.ldh, false, at.m0, a.n, a.w, a.D, at.n0, a.V, 0, a.D);
    if (a.logits) store(a, z, at);
    if (a.targets) find_targets(a, z, at);
    sum_up(a, z, at, memory);
  }

  static DEVICE void store(const nrc_vocabulary_arguments &a, const float (&z)[MI][NI][4], place at) {
    bool pairs = (((u64)a.logits & 7) | (u64)(a.ldl & 1)) == 0;
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int m = at.m0 + at.row(i, half);
        float *to = a.logits + m * a.ldl + at.n0 + at.column;
        if (m < a.n)
#pragma unroll
          for (int j = 0; j < NI; j++) {
            int left = at.columns - at.column - 8 * j;
            if (pairs && left >= 2) *(float2 *)(to + 8 * j) = make_float2(z[i][j][2 * half], z[i][j][2 * half + 1]);
            else {
              if (left >= 1) to[8 * j] = z[i][j][2 * half];
              if (left >= 2) to[8 * j + 1] = z[i][j][2 * half + 1];
            }
          }
      }
  }

  static DEVICE void find_targets(const nrc_vocabulary_arguments &a, const float (&z)[MI][NI][4], place at) {
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int m = at.m0 + at.row(i, half);
        if (m >= a.n) continue;
        int target = a.targets[m] - at.n0 - at.column; /* from this lane's first column */
        if (target < 0 || target >= 8 * NI || (target & 7) > 1) continue;
        float logit = 0;
#pragma unroll
        for (int j = 0; j < NI; j++)
#pragma unroll
          for (int e = 0; e < 2; e++) logit = target == 8 * j + e ? z[i][j][2 * half + e] : logit;
        a.target_logit[m] = logit;
      }
  }

  static DEVICE void sum_up(const nrc_vocabulary_arguments &a, float (&z)[MI][NI][4], place at, u8 *memory) {
    float *tops = (float *)memory, *sums = tops + BM * GROUPS, *weighted = sums + BM * GROUPS; /* [BM][GROUPS] each */
    int t = (int)threadIdx.x, group = P::column0() / 32;
    bool is_first_lane = (t & 3) == 0;
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int j = 0; j < NI; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
          z[i][j][e] *= a.inverse_temperature;
          if (at.columns < NRC_VOCABULARY_TILE && at.column + 8 * j + e % 2 >= at.columns) z[i][j][e] = -INFINITY;
        }
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float top = -INFINITY;
#pragma unroll
        for (int j = 0; j < NI; j++)
#pragma unroll
          for (int e = 0; e < 2; e++) top = fmaxf(z[i][j][2 * half + e], top); /* the other where one is NaN */
        top = fmaxf(shuffle_xor(top, 1), top);
        top = fmaxf(shuffle_xor(top, 2), top);
        if (is_first_lane) tops[at.row(i, half) * GROUPS + group] = top + 0.0f;
      }
    barrier();
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float top = top_of(tops, at.row(i, half)), shift = top == -INFINITY ? 0 : top, sum = 0, sum_weighted = 0;
#pragma unroll
        for (int j = 0; j < NI; j++)
#pragma unroll
          for (int e = 0; e < 2; e++) {
            float d = z[i][j][2 * half + e] - shift;
            d = d < -105.0f ? -105.0f : d; /* 0 * -inf counts nothing */
            float y = exponential(d);
            sum += y, sum_weighted = fmaf(y, d, sum_weighted);
          }
        sum += shuffle_xor(sum, 1), sum_weighted += shuffle_xor(sum_weighted, 1);
        sum += shuffle_xor(sum, 2), sum_weighted += shuffle_xor(sum_weighted, 2);
        if (is_first_lane) sums[at.row(i, half) * GROUPS + group] = sum, weighted[at.row(i, half) * GROUPS + group] = sum_weighted;
      }
    barrier();
    if (t >= BM || at.m0 + t >= a.n) return;
    float4 s = *(const float4 *)(sums + t * GROUPS), w = *(const float4 *)(weighted + t * GROUPS);
    float4 *to = (float4 *)(a.sums + (i64)(at.m0 + t) * gridDim.y + blockIdx.y);
    *to = make_float4(top_of(tops, t), ((s.x + s.y) + s.z) + s.w, ((w.x + w.y) + w.z) + w.w, 0);
  }
  static DEVICE float top_of(const float *tops, int row) {
    float4 top = *(const float4 *)(tops + row * GROUPS);
    return fmaxf(fmaxf(top.x, top.y), fmaxf(top.z, top.w));
  }

  /* d_logits. A quad has 32 columns of a row, and exchanges them so that a lane stores eight that stand side by side. */
  static DEVICE void backward(const nrc_vocabulary_backward_arguments &a) {
    SHARED(memory);
    place at = here(a.V);
    float x[MI][NI][4];
    P::multiply(x, memory, a.hidden, a.ldh, false, at.m0, a.n, a.w, a.D, at.n0, a.V, 0, a.D);
    int lane = (int)threadIdx.x & 3, first = P::column0() + 8 * lane; /* of the eight columns to store */
    bool whole = (((u64)a.d_logits & 15) | (u64)(a.ldd & 7)) == 0 && at.columns - first >= 8;
#pragma unroll
    for (int i = 0; i < MI; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int m = at.m0 + at.row(i, half), row = minimum(m, a.n - 1);
        int target = a.targets[row] - at.n0 - at.column;
        float from_log_prob = a.d_log_prob[row], from_entropy = a.d_entropy ? a.d_entropy[row] : 0;
        float scale = -from_log_prob * a.inverse_temperature, scale_entropy = -from_entropy * a.inverse_temperature;
        float log_z = a.log_z[row], entropy = from_entropy == 0 ? 0 : a.entropy[row];
        int y[NI];
#pragma unroll
        for (int j = 0; j < NI; j++) {
          float d[2];
#pragma unroll
          for (int e = 0; e < 2; e++) {
            float log_p = x[i][j][2 * half + e] * a.inverse_temperature - log_z, p = exponential(log_p);
            log_p = log_p < -1e30f ? -1e30f : log_p;
            d[e] = p * (from_entropy == 0 ? scale : fmaf(scale_entropy, log_p + entropy, scale));
            if (target == 8 * j + e) d[e] += from_log_prob * a.inverse_temperature;
          }
          y[j] = (int)pack_bf16(d[0], d[1]);
        }
        transpose(y, lane);
        if (m >= a.n) continue;
        bf16 *to = a.d_logits + m * a.ldd + at.n0 + first;
        if (whole) *(uint4 *)to = make_uint4((u32)y[0], (u32)y[1], (u32)y[2], (u32)y[3]);
        else
#pragma unroll
          for (int k = 0; k < 8; k++)
            if (first + k < at.columns) to[k] = (bf16)((u32)y[k / 2] >> k % 2 * 16);
      }
  }
  /* Word j of lane t of a quad becomes word t of lane j. */
  static DEVICE void transpose(int (&y)[4], int lane) {
#pragma unroll
    for (int mask = 1; mask < 4; mask <<= 1)
#pragma unroll
      for (int j = 0; j < 4; j++)
        if (!(j & mask)) {
          int given = shuffle_xor(lane & mask ? y[j] : y[j | mask], mask);
          if (lane & mask) y[j] = given;
          else y[j | mask] = given;
        }
  }
};

/* Many rows, and decoding of more than 64. grid (ceil(n / 128), ceil(V / 128), 1), shared 98304 */
KERNEL(256, 1) vocabulary_128(nrc_vocabulary_arguments a) { Vocabulary<128, 64, 3>::forward(a); }
/* Decoding. grid (ceil(n / 64), ceil(V / 128), 1), shared 73728 */
KERNEL(128, 2) vocabulary_64(nrc_vocabulary_arguments a) { Vocabulary<64, 64, 3>::forward(a); }
/* grid (ceil(n / 32), ceil(V / 128), 1), shared 61440 */
KERNEL(128, 3) vocabulary_32(nrc_vocabulary_arguments a) { Vocabulary<32, 32, 3>::forward(a); }
/* grid (ceil(n / 16), ceil(V / 128), 1), shared 55296 */
KERNEL(128, 4) vocabulary_16(nrc_vocabulary_arguments a) { Vocabulary<16, 16, 3>::forward(a); }

/* The rows n are a part of the batch. grid (ceil(n / 128), ceil(V / 128), 1), shared 98304 */
KERNEL(256, 1) vocabulary_backward(nrc_vocabulary_backward_arguments a) { Vocabulary<128, 64, 3>::backward(a); }

/* grid (n, 1, 1), shared 128 + 8 ceil(tiles / 32) */
KERNEL(128, 8) vocabulary_join(nrc_vocabulary_join_arguments a) {
  SHARED(shared);
  i64 row = blockIdx.x;
  softmax_row r = join<128>(shared, a.sums + row * a.tiles, a.tiles);
  if (threadIdx.x) return;
  if (a.log_prob) a.log_prob[row] = row_log_prob(r, a.target_logit[row], a.inverse_temperature);
  if (a.entropy) a.entropy[row] = row_entropy(r);
  if (a.log_z) a.log_z[row] = row_log_z(r);
}
