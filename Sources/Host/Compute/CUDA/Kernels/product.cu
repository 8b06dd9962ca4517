/* product.cu - products with weights of bfloat16 (product_arguments.h), for many and for few rows.

   All kernels give the same bits; which of them makes a product is a matter of speed only. A block makes a tile of one part or, where
   a.partial is there, the sums of one chunk of it; product_join then completes them.
   grid: x = sum over parts of ceil(N / columns of the tile), y = ceil(T / rows of the tile),
   z = a.partial ? ceil(K / NRC_PRODUCT_CHUNK) : 1. */
#include "product.cuh"

template <class P, bool ONE_CHUNK> DEVICE void product(const nrc_product_arguments &a) {
  u8 *memory = product_memory();
  int row, column;
  product_tile(row, column);
  int which = product_part_of(a, column), first = 0, N = a.part[0].N, m0 = row * P::ROWS;
  const void *w = a.part[0].w;
#pragma unroll
  for (int i = 1; i < NRC_PRODUCT_PARTS; i++)
    if (which == i) w = a.part[i].w, N = a.part[i].N, first = a.part[i].first;
  int n0 = (column - first) * P::COLUMNS, k_begin = 0, k_end = a.K;
  if (a.partial) k_begin = (int)blockIdx.z * NRC_PRODUCT_CHUNK, k_end = minimum(a.K, k_begin + NRC_PRODUCT_CHUNK);
  float total[P::MI][P::NI][4];
  if (ONE_CHUNK) P::multiply_chunk(total, memory, a.x, a.ldx, a.is_float, m0, a.T, (const bf16 *)w, a.K, n0, N, k_begin, k_end);
  else P::multiply(total, memory, a.x, a.ldx, a.is_float, m0, a.T, (const bf16 *)w, a.K, n0, N, k_begin, k_end);
  product_finish(total, memory, a, which, a.partial != nullptr, m0 + P::row0(), n0 + P::column0());
}

/* Many rows. product_128x256 and product_128x64 take K up to NRC_PRODUCT_CHUNK, or a.partial: they have no registers for a second sum. Of
   two tiles the larger one reads less of shared memory and of the cache for the same product, the smaller one has more blocks.
   Shared memory: 98304, 98304, 73728 and 65536 bytes. */
KERNEL(256, 1) product_128x256(nrc_product_arguments a) { product<Product<128, 256, 64, 64, 2>, true>(a); }
KERNEL(256, 1) product_128x128(nrc_product_arguments a) { product<Product<128, 128, 64, 32, 3>, false>(a); }
KERNEL(128, 3) product_128x64(nrc_product_arguments a) { product<Product<128, 64, 64, 32, 3>, true>(a); }
KERNEL(128, 3) product_64x64(nrc_product_arguments a) { product<Product<64, 64, 32, 32, 4>, false>(a); }
/* Few rows: w is read at the speed of memory. product_16x32 is also for more rows where N is small: rows of tiles share w in the cache.
   Shared memory: 49152 and 36864 bytes. */
KERNEL(128, 4) product_32x64(nrc_product_arguments a) { product<Product<32, 64, 16, 32, 4>, false>(a); }
KERNEL(64, 6) product_16x32(nrc_product_arguments a) { product<Product<16, 32, 16, 16, 6>, false>(a); }

/* The sums of the chunks of a split product, added in order; what follows the sum is as above. A warp makes 16 x 16, a block 16 x 32 of a
   part: a.part[].first counts tiles of 32 columns.
   grid: x = sum over parts of ceil(N / 32), y = ceil(T / 16), z = 1; 2048 bytes of shared memory. */
KERNEL(64, 8) product_join(nrc_product_arguments a) {
  u8 *memory = product_memory();
  int row, column;
  product_tile(row, column);
  int which = product_part_of(a, column), first = 0, N = a.part[0].N, before, all;
#pragma unroll
  for (int i = 1; i < NRC_PRODUCT_PARTS; i++)
    if (which == i) N = a.part[i].N, first = a.part[i].first;
  product_columns(a, which, before, all);
  int lane = (int)(threadIdx.x % 32), m0 = row * 16, n0 = (column - first) * 32 + (int)(threadIdx.x / 32) * 16;
  int chunks = (a.K + NRC_PRODUCT_CHUNK - 1) / NRC_PRODUCT_CHUNK, m = m0 + lane / 4, n = n0 + lane % 4 * 2;
  float total[1][2][4];
#pragma unroll
  for (int e = 0; e < 8; e++) total[0][e / 4][e % 4] = -0.0f; /* -0 + c is c, also where c is -0 */
  const float *from = a.partial + (i64)m * all + before + n;
#pragma unroll 4
  for (int c = 0; c < chunks; c++, from += (i64)a.T * all)
#pragma unroll
    for (int e = 0; e < 8; e++) {
      int down = e / 2 % 2 * 8, right = e / 4 * 8 + e % 2;
      if (m + down < a.T && n + right < N) total[0][e / 4][e % 4] += from[(i64)down * all + right];
    }
  product_finish(total, memory, a, which, false, m0, n0);
}
