/* weights.cu - rows of weights as float32, and weights made of float32 rows. A warp takes 256 columns of a row, a lane every 32nd of
   them. Rows of four bits are in linear.cu; the embedding's backward is add_rows in rows.cu. */
#include "device.cuh"
#include "weights_arguments.h"

DEVICE float float_of(float x) { return x; }
DEVICE float float_of(bf16 x) { return widen(x); }
/* Rounds to the nearest, ties to even; NaN stays NaN. */
DEVICE void put(float *to, float x) { *to = x; }
DEVICE void put(bf16 *to, float x) {
  u32 bits = to_bits(x);
  *to = (bf16)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* The row and the first column of this lane; false past the last row. */
DEVICE bool place(int rows, int columns, int &row, int &column) {
  u32 parts = ((u32)columns + 255) / 256, warp = blockIdx.x * 8 + threadIdx.x / 32;
  row = (int)(warp / parts), column = (int)(warp % parts * 256 + threadIdx.x % 32);
  return row < rows;
}

template <class Element> DEVICE void gather(const nrc_gather_arguments &a) {
  int t, k;
  if (!place(a.T, a.K, t, k)) return;
  const Element *from = (const Element *)a.w + (i64)a.ids[t] * a.K;
  float *out = a.out + t * a.ldo;
  Element x[8];
#pragma unroll
  for (int i = 0; i < 8; i++) x[i] = k + i * 32 < a.K ? from[k + i * 32] : (Element)0;
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (k + i * 32 < a.K) out[k + i * 32] = float_of(x[i]);
}

/* gather_f32, gather_bf16: grid ceil(T ceil(K / 256) / 8), 1, 1; no shared memory. */
KERNEL(256, 4) gather_f32(nrc_gather_arguments a) { gather<float>(a); }
KERNEL(256, 4) gather_bf16(nrc_gather_arguments a) { gather<bf16>(a); }
/* repack_bf16: grid ceil(N ceil(K / 256) / 8), 1, 1; no shared memory. */
KERNEL(256, 4) repack_bf16(nrc_repack_arguments a) {
  int n, k;
  if (!place(a.N, a.K, n, k)) return;
  const float *from = a.x + n * a.ldx;
  bf16 *out = a.w + (i64)n * a.K;
  float x[8];
#pragma unroll
  for (int i = 0; i < 8; i++) x[i] = k + i * 32 < a.K ? from[k + i * 32] : 0.0f;
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (k + i * 32 < a.K) put(out + k + i * 32, x[i]);
}

template <class Element> DEVICE void repack_item(const nrc_repack_item &item, i64 first) {
#pragma unroll
  for (int i = 0; i < 8; i++) {
    i64 at = first + i * 256;
    if (at < item.count) put((Element *)item.w + at, item.x[at]);
  }
}
/* repack_list: grid sum over items of ceil(count / 2048), 1, 1; no shared memory. */
KERNEL(256, 4) repack_list(nrc_repack_list_arguments a) {
  int low = 0, high = a.count;
  while (high - low > 1) { /* the last item that begins at or before this block */
    int middle = (low + high) / 2;
    if (a.items[middle].first <= (i64)blockIdx.x) low = middle;
    else high = middle;
  }
  nrc_repack_item item = a.items[low];
  i64 first = ((i64)blockIdx.x - item.first) * 2048 + threadIdx.x;
  if (a.is_float) repack_item<float>(item, first);
  else repack_item<bf16>(item, first);
}
