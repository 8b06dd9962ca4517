/* product_backward.cu - gradients of products on tensor cores: dx = dy w, dw += dy^T x.

   Every element is a sum over k (n and r of dx, t of dw): a chain of m16n8k16 steps, k ascending, the last one of a product filled up with
   zeros. Tile and place in it do not enter: which kernel makes a product is a matter of speed only.

   Stages of DEPTH k's stand in shared memory as bfloat16, STAGES - 1 of them on their way while one is multiplied. An operand lies along k
   (dy of dx: a line of a stage is a row of the product) or across k (w, dy of dw, x: a line is one k, and ldmatrix transposes). */
#include "device.cuh"
#include "product_backward_arguments.h"

/* Rows and columns that exist, from `data` on: past them is zero. Chunks are 8 elements of a row at a column that is a multiple of 8. */
struct Matrix {
  const void *data;
  i64 ld;
  int rows, columns;
  bool is_float, is_aligned; /* chunks can be read by 16 bytes, and exist whole or not at all */

  DEVICE Matrix(const void *data, i64 ld, int rows, int columns, bool is_float)
      : data(data), ld(ld), rows(rows), columns(columns), is_float(is_float) {
    is_aligned = (u64)data % 16 == 0 && (ld & (is_float ? 3 : 7)) == 0 && columns % 8 == 0;
  }
  /* A chunk of which `count` elements exist, rounded where the matrix is float32. */
  DEVICE uint4 chunk(i64 at, int count) const {
    u32 word[4];
    if (is_float) {
      const float *from = (const float *)data + at;
      float x[8];
      if (is_aligned && count > 0) {
        float4 a = *(const float4 *)from, b = *(const float4 *)(from + 4);
        x[0] = a.x, x[1] = a.y, x[2] = a.z, x[3] = a.w, x[4] = b.x, x[5] = b.y, x[6] = b.z, x[7] = b.w;
      } else {
#pragma unroll
        for (int i = 0; i < 8; i++) x[i] = i < count ? from[i] : 0.0f;
      }
#pragma unroll
      for (int i = 0; i < 4; i++) word[i] = pack_bf16(x[2 * i], x[2 * i + 1]);
    } else {
      const bf16 *from = (const bf16 *)data + at;
#pragma unroll
      for (int i = 0; i < 4; i++) word[i] = (2 * i < count ? from[2 * i] : 0u) | (2 * i + 1 < count ? (u32)from[2 * i + 1] << 16 : 0u);
    }
    return make_uint4(word[0], word[1], word[2], word[3]);
  }
};

/* ROWS x COLUMNS of a matrix in shared memory. The chunks of a row are permuted, so that a chunk of eight rows one after another, which
   ldmatrix reads at once, and eight chunks one after another, which are written at once, each lie in all 32 banks. */
template <int ROWS, int COLUMNS, int THREADS> struct Panel {
  static constexpr int CHUNKS = COLUMNS / 8, STEP = THREADS / CHUNKS, COUNT = ROWS / STEP, BYTES = ROWS * COLUMNS * 2;
  static constexpr u32 TOGETHER = CHUNKS < 8 ? 8 / CHUNKS : 1, MASK = (CHUNKS < 8 ? CHUNKS : 8) - 1; /* rows of 128 bytes */
  static_assert(STEP * COUNT == ROWS && STEP % 8 == 0, "all threads fetch, and the permutation of a thread's rows is the same");

  static DEVICE u32 at(u32 row, u32 chunk) { return row * (COLUMNS * 2) + ((chunk ^ (row / TOGETHER & MASK)) << 4); }

  /* Those from (row, column) on. What is not copied asynchronously is there after a barrier, like what is and was waited for. */
  static DEVICE void fetch(u8 *to, const Matrix &m, int row, int column) {
    int r = (int)threadIdx.x / CHUNKS, chunk = (int)threadIdx.x % CHUNKS, count = m.columns - column - chunk * 8, left = m.rows - row - r;
    i64 from = (i64)(row + r) * m.ld + column + chunk * 8;
    to += at(r, chunk);
    if (m.is_aligned && !m.is_float) {
#pragma unroll
      for (int i = 0; i < COUNT; i++) {
        bool exists = i * STEP < left && count > 0;
        copy_async_16(to + i * (STEP * COLUMNS * 2), (const bf16 *)m.data + (exists ? from + i * STEP * m.ld : 0), exists);
      }
    } else {
#pragma unroll 1
      for (int i = 0; i < COUNT; i++) {
        *(uint4 *)(to + i * (STEP * COLUMNS * 2)) = m.chunk(from, i * STEP < left ? count : 0);
        from += STEP * m.ld;
      }
    }
  }
};

/* Two elements of a row of an output, or one where the second does not exist. */
struct Output {
  void *data;
  i64 ld;
  bool is_float, is_paired;

  DEVICE Output(void *data, i64 ld, bool is_float) : data(data), ld(ld), is_float(is_float) {
    is_paired = ld % 2 == 0 && (u64)data % (is_float ? 8 : 4) == 0;
  }
  DEVICE float2 get(i64 row, int column, bool both) const {
    i64 at = row * ld + column;
    if (is_float) {
      const float *x = (const float *)data + at;
      return both && is_paired ? *(const float2 *)x : make_float2(x[0], both ? x[1] : 0.0f);
    }
    const bf16 *x = (const bf16 *)data + at;
    u32 pair = both && is_paired ? *(const u32 *)x : x[0] | (both ? (u32)x[1] << 16 : 0u);
    return make_float2(from_bits(pair << 16), from_bits(pair & 0xffff0000u));
  }
  DEVICE void put(i64 row, int column, bool both, float2 v) const {
    i64 at = row * ld + column;
    if (is_float) {
      float *x = (float *)data + at;
      if (both && is_paired) *(float2 *)x = v;
      else {
        x[0] = v.x;
        if (both) x[1] = v.y;
      }
    } else {
      bf16 *x = (bf16 *)data + at;
      u32 pair = pack_bf16(v.x, v.y);
      if (both && is_paired) *(u32 *)x = pair;
      else {
        x[0] = (bf16)pair;
        if (both) x[1] = (bf16)(pair >> 16);
      }
    }
  }
};

/* A block's tile of ROWS x COLUMNS, of which a warp makes WM x WN. IS_ALONG: the left operand lies along k. */
template <bool IS_ALONG, int BM, int BN, int WM, int WN, int DEPTH, int STAGES> struct Tile {
  static constexpr int ROWS = BM, COLUMNS = BN, PER_STAGE = DEPTH, M = WM / 16, N = WN / 16;
  static constexpr int ACROSS = BN / WN, THREADS = BM / WM * ACROSS * 32;
  typedef Panel<IS_ALONG ? BM : DEPTH, IS_ALONG ? DEPTH : BM, THREADS> Left;
  typedef Panel<DEPTH, BN, THREADS> Right;
  static constexpr int STAGE = Left::BYTES + Right::BYTES;
  typedef float Sums[M][2 * N][4];

  int first_row, first_column, row, column, rows, columns, lane; /* of the tile; of the warp; that exist */
  Sums sum;

  DEVICE Tile(int first_row, int first_column, int rows, int columns)
      : first_row(first_row), first_column(first_column), rows(rows), columns(columns), lane((int)threadIdx.x % 32) {
    row = (int)threadIdx.x / 32 / ACROSS * WM, column = (int)threadIdx.x / 32 % ACROSS * WN;
    clear(sum);
  }
  static DEVICE void clear(Sums &s) {
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
      for (int j = 0; j < 2 * N; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) s[i][j][e] = 0;
  }
  /* Of this warp: some of it exists. */
  DEVICE bool works() const { return first_row + row < rows && first_column + column < columns; }

  template <class Work> DEVICE void fetch(u8 *to, const Work &work) const {
    if (IS_ALONG) Left::fetch(to, work.left(), first_row, work.k);
    else Left::fetch(to, work.left(), work.k, first_row);
    Right::fetch(to + Left::BYTES, work.right(), work.k, first_column);
  }
  /* sum += left right, stage by stage of `now`, which says what they are, where along them it is, and how much of them is left; done(now)
     after each. */
  template <class Work, class Done> DEVICE void multiply(u8 *memory, Work now, Done done) {
    Work ahead = now;
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
      if (ahead.left_over() > 0) fetch(memory + s * STAGE, ahead), ahead.next(DEPTH);
      copy_commit();
    }
    u32 from = 0, to = (STAGES - 1) * STAGE;
    for (int left_over; (left_over = now.left_over()) > 0; now.next(DEPTH)) {
      copy_wait<STAGES - 2>();
      barrier(); /* and all have multiplied what stood where the next one goes */
      if (ahead.left_over() > 0) fetch(memory + to, ahead), ahead.next(DEPTH);
      copy_commit();
      if (works() && left_over >= DEPTH) {
#pragma unroll
        for (int k = 0; k < DEPTH; k += 16) multiply_step(memory + from, k);
      } else if (works()) {
#pragma unroll 1
        for (int k = 0; k < left_over; k += 16) multiply_step(memory + from, k);
      }
      done(now);
      to = from, from = from == (STAGES - 1) * STAGE ? 0 : from + STAGE;
    }
  }
  /* sixteen k's of a stage, from the k-th on */
  DEVICE void multiply_step(const u8 *stage, int k) {
    const u8 *right = stage + Left::BYTES;
    u32 a[M][4], b[N][4];
    if (IS_ALONG) load_matrices(a, [&](int i) { return stage + Left::at(row + i * 16 + (lane & 15), k / 8 + (lane >> 4)); });
    else
      load_matrices_transposed(a, [&](int i) {
        return stage + Left::at(k + (lane & 7) + (lane >> 4) * 8, row / 8 + i * 2 + (lane >> 3 & 1));
      });
    load_matrices_transposed(b, [&](int j) { return right + Right::at(k + (lane & 15), column / 8 + j * 2 + (lane >> 4)); });
    mma<M, N>(sum, a, b);
  }
  /* store(row, column, whether the next column exists too, the two sums) for all that exist */
  template <class Store> DEVICE void each(const Sums &sums, Store store) const {
#pragma unroll
    for (int i = 0; i < M; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        int m = first_row + row + i * 16 + half * 8 + lane / 4;
#pragma unroll
        for (int j = 0; j < 2 * N; j++) {
          int n = first_column + column + j * 8 + lane % 4 * 2;
          if (m < rows && n < columns) store(m, n, n + 1 < columns, make_float2(sums[i][j][half * 2], sums[i][j][half * 2 + 1]));
        }
      }
  }
};

/* ---- dx ---------------------------------------------------------------------------------------------- */

/* What is multiplied: the products of all parts one after another, then the low-rank ones; `i` is the one at hand. */
struct InputWork {
  const nrc_product_dx_arguments &g;
  int i, k;

  DEVICE bool is_low() const { return i >= g.parts; }
  DEVICE const nrc_product_dx_part &part() const { return g.part[is_low() ? i - g.parts : i]; }
  DEVICE int depth() const { return is_low() ? part().R : part().N; }
  DEVICE int left_over() const { return i < 2 * g.parts ? depth() - k : 0; }
  DEVICE void next(int depth_of_stage) {
    k += depth_of_stage;
    if (k < depth()) return;
    k = 0;
    do i++;
    while (is_low() && i < 2 * g.parts && !part().low);
  }
  DEVICE Matrix left() const {
    const nrc_product_dx_part &p = part();
    return is_low() ? Matrix(p.low, p.R, g.T, p.R, false) : Matrix(p.dy, p.lddy, g.T, p.N, p.is_float);
  }
  DEVICE Matrix right() const { return Matrix(is_low() ? part().down : part().w, g.K, depth(), g.K, false); }
};

template <class Tile> DEVICE void input_gradient(const nrc_product_dx_arguments &g) {
  SHARED(memory);
  Tile tile((int)blockIdx.y * Tile::ROWS, (int)blockIdx.x * Tile::COLUMNS, g.T, g.K);
  tile.multiply(memory, InputWork{g, 0, 0}, [](const InputWork &) {});
  Output dx(g.dx, g.lddx, g.is_float);
  tile.each(tile.sum, [&](int t, int k, bool both, float2 v) {
    float2 old = g.accumulate ? dx.get(t, k, both) : make_float2(0.0f, 0.0f);
    dx.put(t, k, both, make_float2(old.x + v.x * g.scale, old.y + v.y * g.scale));
  });
}

/* product_dx_128x128, many rows and columns: grid ceil(K / 128), ceil(T / 128), 1; 98304 bytes of shared memory. */
KERNEL(256, 2) product_dx_128x128(nrc_product_dx_arguments a) { input_gradient<Tile<true, 128, 128, 64, 32, 64, 3>>(a); }
/* product_dx_64x64, K up to 64 or too few tiles of 128: grid ceil(K / 64), ceil(T / 64), 1; 65536 bytes of shared memory. */
KERNEL(128, 3) product_dx_64x64(nrc_product_dx_arguments a) { input_gradient<Tile<true, 64, 64, 32, 32, 64, 4>>(a); }
/* product_dx_64x16, K up to 16: grid ceil(K / 16), ceil(T / 64), 1; 81920 bytes of shared memory. */
KERNEL(128, 2) product_dx_64x16(nrc_product_dx_arguments a) { input_gradient<Tile<true, 64, 16, 16, 16, 64, 8>>(a); }

/* ---- dw ---------------------------------------------------------------------------------------------- */

struct WeightWork {
  const Matrix &dy, &x; /* down to `end` */
  int k, end;

  DEVICE int left_over() const { return end - k; }
  DEVICE void next(int depth_of_stage) { k += depth_of_stage; }
  DEVICE const Matrix &left() const { return dy; }
  DEVICE const Matrix &right() const { return x; }
};

/* A part's tiles stand row by row: tile i is at row tile i / ceil(K / COLUMNS), column tile i % ceil(K / COLUMNS). Block z makes run z
   where the part has room for partial sums; else block 0 walks all runs. */
template <class Tile> DEVICE void weight_gradient(const nrc_product_dw_arguments &g) {
  SHARED(memory);
  int p = g.parts - 1;
  while (p > 0 && (int)blockIdx.x < g.part[p].first) p--;
  const nrc_product_dw_part &part = g.part[p];
  bool is_split = part.partial != nullptr;
  if (!is_split && blockIdx.z > 0) return;
  int begin = (int)blockIdx.z * NRC_PRODUCT_RUN, end = is_split ? minimum(g.T, begin + NRC_PRODUCT_RUN) : g.T;
  int across = (part.K + Tile::COLUMNS - 1) / Tile::COLUMNS, index = (int)blockIdx.x - part.first;
  Tile tile(index / across * Tile::ROWS, index % across * Tile::COLUMNS, part.N, part.K);
  Matrix dy(part.dy, part.lddy, end, part.N, part.dy_is_float), x(part.x, part.ldx, end, part.K, part.x_is_float);
  typename Tile::Sums total;
  Tile::clear(total);
  tile.multiply(memory, WeightWork{dy, x, begin, end}, [&](const WeightWork &now) {
    static_assert(NRC_PRODUCT_RUN % Tile::PER_STAGE == 0, "a run is whole stages");
    if ((now.k + Tile::PER_STAGE) % NRC_PRODUCT_RUN != 0 && now.left_over() > Tile::PER_STAGE) return;
#pragma unroll
    for (int i = 0; i < Tile::M; i++)
#pragma unroll
      for (int j = 0; j < 2 * Tile::N; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) total[i][j][e] += tile.sum[i][j][e], tile.sum[i][j][e] = 0;
  });
  if (is_split) {
    Output partial(part.partial + (i64)blockIdx.z * part.N * part.K, part.K, true);
    tile.each(total, [&](int n, int k, bool both, float2 v) { partial.put(n, k, both, v); });
  } else {
    Output dw(part.dw, part.lddw, true);
    tile.each(total, [&](int n, int k, bool both, float2 v) {
      float2 old = dw.get(n, k, both);
      dw.put(n, k, both, make_float2(old.x + v.x, old.y + v.y));
    });
  }
}

/* Tiles are the sum over parts of ceil(N / ROWS) ceil(K / COLUMNS); z is ceil(T / NRC_PRODUCT_RUN) where a part has partial sums, else 1.
   product_dw_128x128: grid tiles, 1, z; 98304 bytes of shared memory. */
KERNEL(256, 1) product_dw_128x128(nrc_product_dw_arguments a) { weight_gradient<Tile<false, 128, 128, 64, 32, 64, 3>>(a); }
/* product_dw_16x128, N up to 16: grid tiles, 1, z; 73728 bytes of shared memory. */
KERNEL(128, 3) product_dw_16x128(nrc_product_dw_arguments a) { weight_gradient<Tile<false, 16, 128, 16, 32, 64, 4>>(a); }
/* product_dw_128x16, K up to 16: grid tiles, 1, z; 73728 bytes of shared memory. */
KERNEL(128, 3) product_dw_128x16(nrc_product_dw_arguments a) { weight_gradient<Tile<false, 128, 16, 32, 16, 64, 4>>(a); }

/* dw += the partial sums, added up in the order of runs. A thread takes four elements one after another where rows allow that, else every
   256th.
   product_dw_join: grid ceil(largest N K / 1024), parts, 1; no shared memory. */
KERNEL(256, 4) product_dw_join(nrc_product_dw_arguments a) {
  const nrc_product_dw_part &part = a.part[blockIdx.y];
  if (!part.partial) return;
  i64 K = part.K, count = part.N * K, first = (i64)blockIdx.x * 1024;
  int runs = (a.T + NRC_PRODUCT_RUN - 1) / NRC_PRODUCT_RUN;
  if (K % 4 == 0 && part.lddw % 4 == 0 && (u64)part.dw % 16 == 0 && (u64)part.partial % 16 == 0) {
    i64 at = first + threadIdx.x * 4;
    if (at >= count) return;
    const float *from = part.partial + at;
    float4 *to = (float4 *)(part.dw + at / K * part.lddw + at % K);
    float x = 0, y = 0, z = 0, w = 0;
#pragma unroll 8
    for (int r = 0; r < runs; r++, from += count) {
      float4 v = *(const float4 *)from;
      x += v.x, y += v.y, z += v.z, w += v.w;
    }
    float4 old = *to;
    *to = make_float4(old.x + x, old.y + y, old.z + z, old.w + w);
  } else {
    for (i64 at = first + threadIdx.x; at < smaller(count, first + 1024); at += 256) {
      const float *from = part.partial + at;
      float *to = part.dw + at / K * part.lddw + at % K, x = 0;
      for (int r = 0; r < runs; r++, from += count) x += *from;
      *to += x;
    }
  }
}
