/* nremu.h - what device.cuh takes instead of PTX when a kernel is compiled as C++ for the CPU. Each wrapper is defined by the
   PTX ISA's text: operations of a warp meet (all lanes arrive, one computes for all), copies arrive only when waited for.
   The emulator itself includes the first part, with NREMU_RUNTIME defined. */
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* ---- the runtime, as a kernel sees it --------------------------------------------------------------------------------- */

struct nr_uint3 { u32 x, y, z; };
/* The head of a thread as the runtime keeps it; the rest is the runtime's. */
struct nr_thread { nr_uint3 thread_index; int lane; };
/* The thread that runs on this host thread, and its block. */
struct nr_place { nr_thread *thread; u8 *shared; nr_uint3 block_index, block_size, grid_size; };

enum { NR_WHOLE = 1, NR_ORDERS = 2 };            /* a meeting: needs all 32 lanes; orders the memory accesses of the warp */
enum { NR_ANYWHERE, NR_GLOBAL, NR_SHARED };      /* where an address must lie */
enum { NR_LOAD, NR_STORE, NR_ATOMIC };           /* what is done there */

#define NR_API __attribute__((visibility("default")))
extern "C" {
extern NR_API __thread nr_place nr_here __attribute__((tls_model("initial-exec")));
/* The lanes of `mask` that have not returned meet; the last to arrive runs `operation` over the arguments of those in its mask. */
NR_API void nr_meet(void (*operation)(void *const *lanes, u32 mask), void *arguments, u32 mask, int kind, const char *name);
NR_API void nr_barrier(void);
NR_API void nr_copy_async(void *shared, const void *global, int bytes, int existing);
NR_API void nr_copy_commit(void);
NR_API void nr_copy_wait(int pending);
NR_API void nr_check(const void *p, size_t bytes, int space, int access, const char *name);
NR_API void nr_check_matrices(const void *const *rows); /* the 32 rows of one ldmatrix.x4 */
NR_API void nr_missing_lane(int lane, int source, const char *name);
NR_API void nr_atomic(const void *p, size_t bytes, const char *name); /* others may run before it */
}

#ifndef NREMU_RUNTIME

/* ---- words of CUDA ---------------------------------------------------------------------------------------------------- */

/* one access each, as on a GPU, and aligned like them */
typedef float float2 __attribute__((ext_vector_type(2)));
typedef float float4 __attribute__((ext_vector_type(4)));
typedef u32 uint2 __attribute__((ext_vector_type(2)));
typedef u32 uint4 __attribute__((ext_vector_type(4)));
static inline float2 make_float2(float x, float y) { return float2{x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return float4{x, y, z, w}; }
static inline uint2 make_uint2(u32 x, u32 y) { return uint2{x, y}; }
static inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return uint4{x, y, z, w}; }

/* A kernel is found by its annotation: the stand-in for NVRTC reads it from the preprocessed text. */
#define KERNEL(threads, blocks) extern "C" __attribute__((visibility("default"), annotate("nr_kernel", threads, blocks))) void
#define SHARED(name) u8 *const name = nr_here.shared
#define DEVICE __attribute__((always_inline)) inline
#define NR_UNSEEN __attribute__((no_sanitize("thread")))
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
#define threadIdx (nr_here.thread->thread_index)
#define blockIdx (nr_here.block_index)
#define blockDim (nr_here.block_size)
#define gridDim (nr_here.grid_size)

/* C's <math.h> has doubles under these names; CUDA has both. */
#define NR_FLOAT_OF(name) static inline float name(float x) { return name##f(x); }
NR_FLOAT_OF(fabs) NR_FLOAT_OF(sqrt) NR_FLOAT_OF(exp) NR_FLOAT_OF(exp2) NR_FLOAT_OF(log) NR_FLOAT_OF(log2) NR_FLOAT_OF(floor)
NR_FLOAT_OF(ceil) NR_FLOAT_OF(rint) NR_FLOAT_OF(trunc) NR_FLOAT_OF(round) NR_FLOAT_OF(tanh) NR_FLOAT_OF(sin) NR_FLOAT_OF(cos)
static inline float pow(float x, float y) { return powf(x, y); }
static inline float fma(float x, float y, float z) { return fmaf(x, y, z); }
static inline float fmin(float x, float y) { return fminf(x, y); }
static inline float fmax(float x, float y) { return fmaxf(x, y); }

static inline float from_bits(u32 x) { float f; memcpy(&f, &x, 4); return f; }
static inline u32 to_bits(float f) { u32 x; memcpy(&x, &f, 4); return x; }
static inline u32 bf16_of(float f) {
  u32 x = to_bits(f);
  if ((x & 0x7fffffff) > 0x7f800000) return 0x7fff; /* as cvt.rn.bf16: the canonical NaN */
  return (x + 0x7fff + (x >> 16 & 1)) >> 16;
}
static inline u32 pack_bf16(float low, float high) { return bf16_of(low) | bf16_of(high) << 16; }
static inline float exp2_fast(float x) { return exp2f(x); }
static inline float log2_fast(float x) { return log2f(x); }

static inline void barrier() { nr_barrier(); }
static inline void copy_async_16(void *shared, const void *global, bool exists) { nr_copy_async(shared, global, 16, exists ? 16 : 0); }
static inline void copy_commit() { nr_copy_commit(); }
template <int pending> static inline void copy_wait() { nr_copy_wait(pending); }

/* Adds and gives the value before. */
static inline u32 atomic_add(u32 *p, u32 value) {
  nr_atomic(p, 4, "atomic_add");
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
static inline u64 atomic_add(u64 *p, u64 value) {
  nr_atomic(p, 8, "atomic_add");
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
static inline u64 atomic_add(uint64_t *p, u64 value) { return atomic_add((u64 *)p, value); } /* another type here, the same for NVRTC */

/* ---- meetings of a warp ------------------------------------------------------------------------------------------------ */

NR_UNSEEN static void nr_do_nothing(void *const *, u32) {}
static inline void warp_barrier() { nr_meet(nr_do_nothing, nullptr, 0xffffffffu, NR_ORDERS, "warp_barrier"); }

struct nr_shuffle { u64 value; int source; u64 result; };
NR_UNSEEN static void nr_do_shuffle(void *const *lanes, u32 mask) {
  for (u32 rest = mask; rest; rest &= rest - 1) {
    int lane = __builtin_ctz(rest);
    nr_shuffle *s = (nr_shuffle *)lanes[lane];
    if (mask >> s->source & 1) s->result = ((nr_shuffle *)lanes[s->source])->value;
    else nr_missing_lane(lane, s->source, "shuffle");
  }
}
template <class T> static inline T nr_take(T value, int source) {
  nr_shuffle s = {0, source, 0};
  memcpy(&s.value, &value, sizeof value);
  nr_meet(nr_do_shuffle, &s, 0xffffffffu, 0, "shuffle");
  memcpy(&value, &s.result, sizeof value);
  return value;
}
static inline int nr_above(u32 delta) { /* the lane that is `delta` above this one, or this one */
  u32 lane = (u32)nr_here.thread->lane, source = lane + (delta & 31);
  return (int)(source < 32 ? source : lane);
}
#define NR_SHUFFLES(type)                                                                                              \
  static inline type shuffle(type x, int lane) { return nr_take(x, lane & 31); }                                      \
  static inline type shuffle_xor(type x, int mask) { return nr_take(x, (nr_here.thread->lane ^ mask) & 31); }         \
  static inline type shuffle_down(type x, u32 delta) { return nr_take(x, nr_above(delta)); }
NR_SHUFFLES(float) NR_SHUFFLES(double) NR_SHUFFLES(u32) NR_SHUFFLES(int)

struct nr_vote { bool value, any, all; };
NR_UNSEEN static void nr_do_vote(void *const *lanes, u32 mask) {
  bool any = false, all = true;
  for (u32 rest = mask; rest; rest &= rest - 1) {
    bool value = ((nr_vote *)lanes[__builtin_ctz(rest)])->value;
    any |= value, all &= value;
  }
  for (u32 rest = mask; rest; rest &= rest - 1) {
    nr_vote *v = (nr_vote *)lanes[__builtin_ctz(rest)];
    v->any = any, v->all = all;
  }
}
static inline nr_vote nr_take_vote(bool value) {
  nr_vote v = {value, false, false};
  nr_meet(nr_do_vote, &v, 0xffffffffu, 0, "vote");
  return v;
}
static inline bool vote_any(bool value) { return nr_take_vote(value).any; }
static inline bool vote_all(bool value) { return nr_take_vote(value).all; }

struct nr_matrices { const void *const *rows; u32 *r; };
template <int N, bool transposed> NR_UNSEEN static void nr_do_matrices(void *const *lanes, u32) {
  for (int n = 0; n < N; n++) {
    const void *rows[32];
    u16 m[4][8][8];
    for (int i = 0; i < 32; i++) rows[i] = ((nr_matrices *)lanes[i])->rows[n];
    nr_check_matrices(rows);
    for (int i = 0; i < 32; i++) memcpy(m[i / 8][i % 8], rows[i], 16);
    for (int lane = 0; lane < 32; lane++) {
      u32 *r = ((nr_matrices *)lanes[lane])->r + n * 4;
      int g = lane / 4, t = lane % 4 * 2;
      for (int i = 0; i < 4; i++)
        if (transposed) r[i] = m[i][t][g] | (u32)m[i][t + 1][g] << 16;
        else memcpy(r + i, &m[i][g][t], 4);
    }
  }
}
template <int N, class Row> static inline void load_matrices(u32 (&r)[N][4], Row row) {
  const void *rows[N];
  for (int i = 0; i < N; i++) rows[i] = row(i);
  nr_matrices m = {rows, &r[0][0]};
  nr_meet(nr_do_matrices<N, false>, &m, 0xffffffffu, NR_WHOLE, "ldmatrix");
}
template <int N, class Row> static inline void load_matrices_transposed(u32 (&r)[N][4], Row row) {
  const void *rows[N];
  for (int i = 0; i < N; i++) rows[i] = row(i);
  nr_matrices m = {rows, &r[0][0]};
  nr_meet(nr_do_matrices<N, true>, &m, 0xffffffffu, NR_WHOLE, "ldmatrix.trans");
}

/* A warp tile: c[16 M][16 N] += a[16 M][16] b[16][16 N]. The sum runs over k in ascending order with fused multiply-adds, which is
   the CPU backend's order; the hardware's order inside one instruction is its own. */
struct nr_mma { float *c; const u32 *a, *b; };
template <int M, int N> NR_UNSEEN static void nr_do_mma(void *const *lanes, u32) {
  enum { W = 16 * N };
  alignas(64) float a[16 * M][16], b[16][W], c[16 * M][W];
  for (int lane = 0; lane < 32; lane++) {
    const nr_mma &l = *(nr_mma *)lanes[lane];
    int g = lane / 4, t = lane % 4 * 2;
    for (int i = 0; i < M; i++)
      for (int e = 0; e < 4; e++) {
        u32 pair = l.a[i * 4 + e];
        float *to = &a[i * 16 + g + (e & 1) * 8][t + (e >> 1) * 8];
        to[0] = from_bits(pair << 16), to[1] = from_bits(pair & 0xffff0000u);
      }
    for (int j = 0; j < 2 * N; j++)
      for (int e = 0; e < 2; e++) {
        u32 pair = l.b[j * 2 + e];
        b[t + e * 8][j * 8 + g] = from_bits(pair << 16), b[t + e * 8 + 1][j * 8 + g] = from_bits(pair & 0xffff0000u);
      }
    for (int i = 0; i < M; i++)
      for (int j = 0; j < 2 * N; j++)
        for (int half = 0; half < 2; half++) memcpy(&c[i * 16 + g + half * 8][j * 8 + t], l.c + (i * 2 * N + j) * 4 + half * 2, 8);
  }
  typedef float vector __attribute__((vector_size(64), aligned(4)));
  for (int m = 0; m < 16 * M; m += 2) {
    vector x[N], y[N];
    memcpy(x, c[m], sizeof x), memcpy(y, c[m + 1], sizeof y);
    for (int k = 0; k < 16; k++)
      for (int n = 0; n < N; n++) {
        vector column = *(vector *)&b[k][n * 16];
        x[n] = __builtin_elementwise_fma(a[m][k] - (vector){}, column, x[n]);
        y[n] = __builtin_elementwise_fma(a[m + 1][k] - (vector){}, column, y[n]);
      }
    memcpy(c[m], x, sizeof x), memcpy(c[m + 1], y, sizeof y);
  }
  for (int lane = 0; lane < 32; lane++) {
    const nr_mma &l = *(nr_mma *)lanes[lane];
    int g = lane / 4, t = lane % 4 * 2;
    for (int i = 0; i < M; i++)
      for (int j = 0; j < 2 * N; j++)
        for (int half = 0; half < 2; half++) memcpy(l.c + (i * 2 * N + j) * 4 + half * 2, &c[i * 16 + g + half * 8][j * 8 + t], 8);
  }
}
template <int M, int N> static inline void mma(float (&c)[M][2 * N][4], const u32 (&a)[M][4], const u32 (&b)[N][4]) {
  nr_mma m = {&c[0][0][0], &a[0][0], &b[0][0]};
  nr_meet(nr_do_mma<M, N>, &m, 0xffffffffu, NR_WHOLE, "mma");
}

/* ---- how the runtime calls a kernel: the stand-in for NVRTC adds entry points that use these ------------------------------- */

template <class... A> static inline void nr_call(void (*kernel)(A...), void *const *parameters) {
  int i = 0;
  auto next = [&](auto *type) -> decltype(auto) { return *(decltype(type))parameters[i++]; };
  struct Run { Run(void (*k)(A...), A... a) { k(a...); } } run{kernel, next((A *)nullptr)...}; /* braces: left to right */
}
template <class... A> static constexpr int nr_size_of(void (*)(A...), int which) {
  int sizes[] = {(int)sizeof(A)..., 0};
  return which < (int)sizeof...(A) ? sizes[which] : -1;
}
#endif
