/* device.cuh - the only place where PTX stands. Every wrapper is one instruction of the PTX ISA and says what it computes;
   a test build (NREMU) takes the same names from the emulator, which defines them by their fragment layouts.
   No CUDA header is needed. Kernels take one struct by value and use dynamic shared memory only. */
#pragma once
#define NR_DEVICE 1
#include "arguments.h"
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;
typedef u16 bf16; /* storage of a bfloat16 */

#ifdef NREMU
#include "nremu.h"
#else
#define DEVICE __device__ __forceinline__
#define KERNEL(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
#define SHARED(name) extern __shared__ __align__(1024) u8 name[]

DEVICE u32 shared_address(const void *p) { return (u32)__cvta_generic_to_shared(p); }

/* 16 bytes from global to shared memory, later; zeros where !exists (nothing is read then). */
DEVICE void copy_async_16(void *shared, const void *global, bool exists) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(exists ? 16 : 0) : "memory");
}
DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/* all but the newest `pending` groups of this thread have arrived */
template <int pending> DEVICE void copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory"); }

/* N times four 8x8 matrices of 16-bit elements. For the i-th four, row(i) of lanes 8m..8m+7 are the addresses of the rows of
   matrix m (16 bytes each, aligned). r[i][m] of a lane: elements (lane / 4, 2 (lane % 4) + {0, 1}) of matrix m; transposed:
   (2 (lane % 4) + {0, 1}, lane / 4). One call is one meeting of the warp under the emulator. */
template <int N, class Row> DEVICE void load_matrices(u32 (&r)[N][4], Row row) {
#pragma unroll
  for (int i = 0; i < N; i++)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[i][0]), "=r"(r[i][1]), "=r"(r[i][2]), "=r"(r[i][3])
                 : "r"(shared_address(row(i)))
                 : "memory");
}
template <int N, class Row> DEVICE void load_matrices_transposed(u32 (&r)[N][4], Row row) {
#pragma unroll
  for (int i = 0; i < N; i++)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[i][0]), "=r"(r[i][1]), "=r"(r[i][2]), "=r"(r[i][3])
                 : "r"(shared_address(row(i)))
                 : "memory");
}

/* c[16 M x 16 N] += a[16 M x 16] b[16 x 16 N], bf16 in, float32 out, in m16n8k16 steps. With g = lane / 4, t = lane % 4:
   a[i]: (g, 2t) (g+8, 2t) (g, 2t+8) (g+8, 2t+8) of row tile i, two along k each; b[j]: (k 2t, n g) (k 2t+8, n g), two along k,
   of column tile 2j, then of 2j+1; c[i][j]: (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1) of row tile i, column tile j. */
template <int M, int N> DEVICE void mma(float (&c)[M][2 * N][4], const u32 (&a)[M][4], const u32 (&b)[N][4]) {
#pragma unroll
  for (int i = 0; i < M; i++)
#pragma unroll
    for (int j = 0; j < 2 * N; j++)
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                   : "+f"(c[i][j][0]), "+f"(c[i][j][1]), "+f"(c[i][j][2]), "+f"(c[i][j][3])
                   : "r"(a[i][0]), "r"(a[i][1]), "r"(a[i][2]), "r"(a[i][3]), "r"(b[j / 2][j % 2 * 2]), "r"(b[j / 2][j % 2 * 2 + 1]));
}

/* two floats to nearest bfloat16, ties to even; `low` in the low half */
DEVICE u32 pack_bf16(float low, float high) {
  u32 r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
DEVICE float exp2_fast(float x) { /* 2^x, within 2 ulp; 2^0 = 1, 2^-inf = 0 */
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
DEVICE float log2_fast(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
DEVICE float from_bits(u32 x) { return __uint_as_float(x); }
DEVICE u32 to_bits(float x) { return __float_as_uint(x); }
/* the value that lane `lane ^ mask` gives; all 32 lanes call it */
DEVICE float shuffle_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
DEVICE int shuffle_xor(int x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
/* the value of lane `lane` modulo 32 */
DEVICE float shuffle(float x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
DEVICE int shuffle(int x, int lane) { return __shfl_sync(0xffffffffu, x, lane); }
/* All lanes of the warp; what they wrote before is seen by the others after. A shuffle does not do that. */
DEVICE void warp_barrier() { __syncwarp(); }
/* all threads of the block */
DEVICE void barrier() { __syncthreads(); }
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#endif

DEVICE float widen(bf16 x) { return from_bits((u32)x << 16); }
DEVICE int minimum(int a, int b) { return a < b ? a : b; }
DEVICE i64 smaller(i64 a, i64 b) { return a < b ? a : b; }

/* e^x as the CPU computes it, operation by operation (vectors.h, exp16): x = n ln 2 + r, a polynomial in r, and 2^n in two steps. */
DEVICE float exponential(float x) {
  x = x < -105.0f ? -105.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
  float t = fmaf(x, 1.44269504f, magic), n = t - magic;
  float r = fmaf(n, -0.693359375f, x);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fmaf(p, r, 1.3981999507e-3f);
  p = fmaf(p, r, 8.3334519073e-3f);
  p = fmaf(p, r, 4.1665795894e-2f);
  p = fmaf(p, r, 1.6666665459e-1f);
  p = fmaf(p, r, 5.0000001201e-1f);
  p = fmaf(p, r * r, r) + 1.0f;
  int e = (int)to_bits(t) - (int)to_bits(magic), half = e >> 1;
  return p * from_bits((u32)((half + 127) << 23)) * from_bits((u32)((e - half + 127) << 23));
}

/* The tree in which the CPU joins sixteen lanes: i with i + 8, then + 4, + 2, + 1. */
DEVICE float sum_of_lanes(const float *lane) {
  float a[8];
#pragma unroll
  for (int i = 0; i < 8; i++) a[i] = lane[i] + lane[i + 8];
  return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}
