/* rows_bf16.cu - the operations of rows.cu on bfloat16: each element is the same sequence of operations in float32, rounded where it is
   stored.

   A thread reads all it needs of its elements before it writes the first, so an output may lie over an input wherever the CPU's may. Four
   or eight elements one after another are read and written at once where all rows begin at multiples of 16 bytes, else one by one. */
#include "device.cuh"
#include "rows_bf16_arguments.h"

DEVICE float value_of(float x) { return x; }
DEVICE float value_of(bf16 x) { return widen(x); }
DEVICE void put(float *to, float x) { *to = x; }
DEVICE void put(bf16 *to, float x) { *to = (bf16)pack_bf16(x, 0.0f); }

/* 16 or 8 bytes */
DEVICE void get(float (&x)[4], const float *from) {
  float4 v = *(const float4 *)from;
  x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
}
DEVICE void unpack(float *x, u32 pair) { x[0] = from_bits(pair << 16), x[1] = from_bits(pair & 0xffff0000u); }
DEVICE void get(float (&x)[4], const bf16 *from) {
  uint2 v = *(const uint2 *)from;
  unpack(x, v.x), unpack(x + 2, v.y);
}
DEVICE void get(float (&x)[8], const bf16 *from) {
  uint4 v = *(const uint4 *)from;
  unpack(x, v.x), unpack(x + 2, v.y), unpack(x + 4, v.z), unpack(x + 6, v.w);
}
DEVICE void get(float (&x)[8], const float *from) {
  float4 v = *(const float4 *)from, w = *(const float4 *)(from + 4);
  x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w, x[4] = w.x, x[5] = w.y, x[6] = w.z, x[7] = w.w;
}
DEVICE void put(float *to, const float (&x)[4]) { *(float4 *)to = make_float4(x[0], x[1], x[2], x[3]); }
DEVICE void put(bf16 *to, const float (&x)[4]) { *(uint2 *)to = make_uint2(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3])); }
DEVICE void put(bf16 *to, const float (&x)[8]) {
  *(uint4 *)to = make_uint4(pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3]), pack_bf16(x[4], x[5]), pack_bf16(x[6], x[7]));
}
/* N elements, of which `count` exist; zero for the others */
template <int N, class Element> DEVICE void load(float (&x)[N], const Element *from, i64 count, bool aligned) {
  if (aligned && count >= N) get(x, from);
  else {
#pragma unroll
    for (int i = 0; i < N; i++) x[i] = i < count ? value_of(from[i]) : 0.0f;
  }
}
template <int N, class Element> DEVICE void store(Element *to, const float (&x)[N], i64 count, bool aligned) {
  if (aligned && count >= N) put(to, x);
  else {
#pragma unroll
    for (int i = 0; i < N; i++)
      if (i < count) put(to + i, x[i]);
  }
}
DEVICE bool at_16(const void *p) { return (u64)p % 16 == 0; }

/* ---- flat arrays: a thread takes eight elements -------------------------------------------------------- */

/* swiglu_bf16: grid ceil(count / 2048), 1, 1; no shared memory. */
KERNEL(256, 4) swiglu_bf16(nrc_swiglu_bf16_arguments a) {
  i64 at = ((i64)blockIdx.x * 256 + threadIdx.x) * 8, left = a.count - at;
  bool aligned = at_16(a.gate) && at_16(a.up) && at_16(a.out);
  float z[8], up[8];
  load(z, a.gate + at, left, aligned), load(up, a.up + at, left, aligned);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    float sigmoid = 1.0f / (1.0f + exponential(-z[i]));
    z[i] = z[i] * sigmoid * up[i];
  }
  store(a.out + at, z, left, aligned);
}

/* swiglu_backward_bf16: grid ceil(count / 2048), 1, 1; no shared memory. */
KERNEL(256, 4) swiglu_backward_bf16(nrc_swiglu_backward_bf16_arguments a) {
  i64 at = ((i64)blockIdx.x * 256 + threadIdx.x) * 8, left = a.count - at;
  bool aligned = at_16(a.gate) && at_16(a.up) && at_16(a.dout) && at_16(a.dgate) && at_16(a.dup);
  float z[8], up[8], d[8];
  load(z, a.gate + at, left, aligned), load(up, a.up + at, left, aligned), load(d, a.dout + at, left, aligned);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    float e = exponential(-z[i]), s = 1.0f / (1.0f + e);
    float rest = e > 3e38f ? 1.0f : e * s; /* 1 - s, without its cancellation */
    float dgate = d[i] * up[i] * s * fmaf(z[i], rest, 1.0f), dup = d[i] * z[i] * s;
    z[i] = dgate, up[i] = dup;
  }
  store(a.dgate + at, z, left, aligned), store(a.dup + at, up, left, aligned);
}

/* ---- rows: a warp takes 256 columns of one ------------------------------------------------------------- */

template <class From, class To> DEVICE void take_rows(const nrc_take_rows_bf16_arguments &a) {
  u32 parts = ((u32)a.K + 255) / 256, warp = blockIdx.x * 8 + threadIdx.x / 32, i = warp / parts;
  if (i >= (u32)a.n) return;
  int column = (int)(warp % parts * 256 + threadIdx.x % 32 * 4);
  const From *from = (const From *)a.x + (a.rows ? (i64)a.rows[i] : (i64)i) * a.ldx + column;
  To *to = (To *)a.out + i * a.ldo + column;
  bool aligned = at_16(a.x) && at_16(a.out) && a.ldx % 8 == 0 && a.ldo % 8 == 0;
  float x[4], y[4];
  load(x, from, a.K - column, aligned), load(y, from + 128, a.K - column - 128, aligned);
  store(to, x, a.K - column, aligned), store(to + 128, y, a.K - column - 128, aligned);
}
/* take_rows_bf16: grid ceil(n ceil(K / 256) / 8), 1, 1; no shared memory. */
KERNEL(256, 4) take_rows_bf16(nrc_take_rows_bf16_arguments a) {
  if (a.x_is_float) a.out_is_float ? take_rows<float, float>(a) : take_rows<float, bf16>(a);
  else a.out_is_float ? take_rows<bf16, float>(a) : take_rows<bf16, bf16>(a);
}

/* ---- root mean square norm ----------------------------------------------------------------------------- */

/* A row has sixteen threads, half a warp, and stands in shared memory, NORM_PIECE elements at a time: read and written side by side, but
   summed by the CPU's lanes, thread i the elements at its place modulo 16. Rows longer than a piece are read twice. */
enum { NORM_ROWS = 4, NORM_PIECE = 4096 };

template <class Element> struct Row {
  const Element *from;
  u8 *piece;
  int lane, K;
  bool exists, aligned;

  /* Bytes of a row in shared memory; the rows of a warp lie in different banks. */
  static DEVICE int pitch(int K) { return (minimum(K, NORM_PIECE) * (int)sizeof(Element) + 127) / 128 * 128 + 64; }
  DEVICE float at(int k) const { return value_of(((const Element *)piece)[k]); }
  DEVICE const Element *four(int k) const { return (const Element *)piece + k; }
  /* Elements from `start` on; all lanes wait for them afterwards. */
  DEVICE void fetch(int start) const {
    constexpr int PER = 16 / sizeof(Element);
    int count = minimum(NORM_PIECE, K - start);
    if (exists && aligned) {
#pragma unroll 4
      for (int k = lane * PER; k < count; k += 16 * PER) copy_async_16(piece + k * sizeof(Element), from + start + k, true);
    } else if (exists) {
#pragma unroll 4
      for (int k = lane; k < count; k += 16) ((Element *)piece)[k] = from[start + k];
    }
  }
};
DEVICE void wait_for_pieces() {
  copy_commit();
  copy_wait<0>();
  warp_barrier();
}
/* The tree of sum_of_lanes, over the sixteen threads of a row. */
DEVICE float sum_of_row(float x) {
  x += shuffle_xor(x, 8);
  x += shuffle_xor(x, 4);
  x += shuffle_xor(x, 2);
  return x + shuffle_xor(x, 1);
}

DEVICE u8 *shared_bytes() {
  SHARED(memory);
  return memory;
}

template <class Element> DEVICE void normalise(const nrc_rmsnorm_bf16_arguments &a) {
  u8 *memory = shared_bytes();
  int local = (int)threadIdx.x / 16, lane = (int)threadIdx.x % 16, K = a.K;
  i64 t = (i64)blockIdx.x * NORM_ROWS + local;
  bool aligned = at_16(a.x) && at_16(a.w) && at_16(a.y) && K % 8 == 0;
  Row<Element> x = {(const Element *)a.x + t * K, memory + local * Row<Element>::pitch(K), lane, K, t < a.T, aligned};
  float sum = 0;
  for (int start = 0; start < K; start += NORM_PIECE) {
    if (start) warp_barrier(); /* the piece before has been read */
    x.fetch(start);
    wait_for_pieces();
    int k = lane, count = x.exists ? minimum(NORM_PIECE, K - start) : 0;
    for (; k + 112 < count; k += 128) {
      float v[8];
#pragma unroll
      for (int i = 0; i < 8; i++) v[i] = x.at(k + i * 16);
#pragma unroll
      for (int i = 0; i < 8; i++) sum = fmaf(v[i], v[i], sum);
    }
    for (; k < count; k += 16) sum = fmaf(x.at(k), x.at(k), sum);
  }
  float rstd = 1.0f / sqrtf(sum_of_row(sum) / (float)K + a.epsilon);
  for (int start = 0; start < K; start += NORM_PIECE) {
    if (K > NORM_PIECE) {
      warp_barrier();
      x.fetch(start);
      wait_for_pieces();
    }
    int count = x.exists ? minimum(NORM_PIECE, K - start) : 0;
    bf16 *y = a.y + t * K + start;
    const float *w = a.w + start;
    if (aligned) {
#pragma unroll 4
      for (int k = lane * 4; k < count; k += 64) {
        float v[4], f[4];
        get(v, x.four(k)), get(f, w + k);
#pragma unroll
        for (int i = 0; i < 4; i++) v[i] = v[i] * rstd * f[i];
        put(y + k, v);
      }
    } else
      for (int k = lane; k < count; k += 16) put(y + k, x.at(k) * rstd * w[k]);
  }
  if (a.rstd && lane == 0 && x.exists) a.rstd[t] = rstd;
}
/* rmsnorm_to_bf16: grid ceil(T / 4), 1, 1; 4 (ceil(4 min(K, 4096) / 128) 128 + 64) bytes of shared memory.
   rmsnorm_bf16: the same grid; 4 (ceil(2 min(K, 4096) / 128) 128 + 64) bytes. */
KERNEL(64, 8) rmsnorm_to_bf16(nrc_rmsnorm_bf16_arguments a) { normalise<float>(a); }
KERNEL(64, 8) rmsnorm_bf16(nrc_rmsnorm_bf16_arguments a) { normalise<bf16>(a); }

/* rmsnorm_dx_bf16: grid ceil(T / 4), 1, 1; 8 (ceil(2 min(K, 4096) / 128) 128 + 64) bytes of shared memory. */
KERNEL(64, 8) rmsnorm_dx_bf16(nrc_rmsnorm_backward_bf16_arguments a) {
  u8 *memory = shared_bytes();
  int local = (int)threadIdx.x / 16, lane = (int)threadIdx.x % 16, K = a.K, pitch = Row<bf16>::pitch(K);
  i64 t = (i64)blockIdx.x * NORM_ROWS + local;
  bool aligned = at_16(a.dy) && at_16(a.x) && at_16(a.w) && at_16(a.dx) && K % 8 == 0, exists = t < a.T;
  Row<bf16> x = {a.x + t * K, memory + local * pitch, lane, K, exists, aligned};
  Row<bf16> dy = {a.dy + t * K, memory + (NORM_ROWS + local) * pitch, lane, K, exists, aligned};
  float sum = 0;
  for (int start = 0; start < K; start += NORM_PIECE) {
    if (start) warp_barrier();
    x.fetch(start), dy.fetch(start);
    wait_for_pieces();
    int k = lane, count = exists ? minimum(NORM_PIECE, K - start) : 0;
    const float *w = a.w + start;
    for (; k + 112 < count; k += 128) {
      float d[8], v[8];
#pragma unroll
      for (int i = 0; i < 8; i++) d[i] = dy.at(k + i * 16) * w[k + i * 16], v[i] = x.at(k + i * 16);
#pragma unroll
      for (int i = 0; i < 8; i++) sum = fmaf(d[i], v[i], sum);
    }
    for (; k < count; k += 16) sum = fmaf(dy.at(k) * w[k], x.at(k), sum);
  }
  /* The CPU's last vector is filled up with zeros, and -0 + 0 is 0. */
  if (K % 16 && lane >= K % 16) sum += 0.0f;
  float rstd = exists ? a.rstd[t] : 0.0f, share = sum_of_row(sum) / (float)K * rstd * rstd;
  for (int start = 0; start < K; start += NORM_PIECE) {
    if (K > NORM_PIECE) {
      warp_barrier();
      x.fetch(start), dy.fetch(start);
      wait_for_pieces();
    }
    int count = exists ? minimum(NORM_PIECE, K - start) : 0;
    bf16 *dx = a.dx + t * K + start;
    const float *w = a.w + start;
    if (aligned) {
#pragma unroll 2
      for (int k = lane * 4; k < count; k += 64) {
        float d[4], v[4], f[4], old[4];
        get(d, dy.four(k)), get(v, x.four(k)), get(f, w + k);
        if (a.accumulate) get(old, dx + k);
#pragma unroll
        for (int i = 0; i < 4; i++) {
          float value = (d[i] * f[i] - v[i] * share) * rstd;
          v[i] = a.accumulate ? old[i] + value : value;
        }
        put(dx + k, v);
      }
    } else
      for (int k = lane; k < count; k += 16) {
        float value = (dy.at(k) * w[k] - x.at(k) * share) * rstd;
        put(dx + k, a.accumulate ? widen(dx[k]) + value : value);
      }
  }
}

/* A thread adds up one column, t ascending. rmsnorm_dw_bf16: grid ceil(K / 64), 1, 1; no shared memory. */
KERNEL(64, 8) rmsnorm_dw_bf16(nrc_rmsnorm_backward_bf16_arguments a) {
  int k = (int)blockIdx.x * 64 + (int)threadIdx.x;
  if (k >= a.K) return;
  const bf16 *dy = a.dy + k, *x = a.x + k;
  float sum = a.dw[k];
  i64 t = 0, K = a.K;
  for (; t + 16 <= a.T; t += 16, dy += 16 * K, x += 16 * K) {
    float values[16];
#pragma unroll
    for (int i = 0; i < 16; i++) values[i] = widen(dy[i * K]) * widen(x[i * K]) * a.rstd[t + i];
#pragma unroll
    for (int i = 0; i < 16; i++) sum += values[i];
  }
  for (; t < a.T; t++, dy += K, x += K) sum += widen(*dy) * widen(*x) * a.rstd[t];
  a.dw[k] = sum;
}

/* ---- rotary embedding ---------------------------------------------------------------------------------- */

/* Eight channels of a head from x on and the eight that belong to them, half a head further, turned by the angles of `from`. */
DEVICE void turn_pairs(bf16 *x, u32 half, u32 left, const float *cos, const float *sin, i64 from, bool is_inverse, bool aligned,
                       float (&p)[8], float (&q)[8]) {
  float sign = is_inverse ? -1.0f : 1.0f, c[8], s[8];
  load(p, x, left, aligned), load(q, x + half, left, aligned), load(c, cos + from, left, aligned), load(s, sin + from, left, aligned);
#pragma unroll
  for (int e = 0; e < 8; e++) {
    float turn = s[e] * sign, first = p[e] * c[e] - q[e] * turn, second = q[e] * c[e] + p[e] * turn;
    p[e] = first, q[e] = second;
  }
  store(x, p, left, aligned), store(x + half, q, left, aligned);
}

/* A thread turns eight channels of a head, with those that belong to them. There are less than 2^32 threads.
   rope_bf16: grid ceil(T heads ceil(C / 16) / 256), 1, 1; no shared memory. */
KERNEL(256, 4) rope_bf16(nrc_rope_bf16_arguments a) {
  u32 half = (u32)a.C / 2, parts = (half + 7) / 8, per_row = (u32)a.heads * parts;
  u32 index = blockIdx.x * 256 + threadIdx.x, t = index / per_row, rest = index % per_row, i = rest % parts * 8;
  if (t >= (u32)a.T) return;
  bool aligned = at_16(a.x) && at_16(a.cos) && at_16(a.sin) && a.ldx % 8 == 0 && half % 8 == 0;
  float p[8], q[8];
  bf16 *x = a.x + t * a.ldx + (i64)(rest / parts) * a.C + i;
  turn_pairs(x, half, half - i, a.cos, a.sin, (i64)a.positions[t] * half + i, a.is_inverse, aligned, p, q);
}

/* Heads of a row: queries, then keys, then, where there is a cache, values, of which a thread copies as many.
   rope_heads_bf16: grid ceil(T (heads + groups + (cache ? groups : 0)) ceil(C / 16) / 256), 1, 1; no shared memory. */
KERNEL(256, 4) rope_heads_bf16(nrc_rope_heads_arguments a) {
  u32 half = (u32)a.C / 2, parts = (half + 7) / 8, all = (u32)(a.heads + a.groups + (a.cache ? a.groups : 0));
  u32 index = blockIdx.x * 256 + threadIdx.x, t = index / (all * parts), rest = index % (all * parts);
  u32 i = rest % parts * 8, left = half - i;
  if (t >= (u32)a.T) return;
  int head = (int)(rest / parts), key = head - a.heads, value = key - a.groups;
  bool aligned = at_16(a.q) && at_16(a.k) && at_16(a.v) && at_16(a.cos) && at_16(a.sin) && at_16(a.cache) && half % 8 == 0 &&
                 a.ldq % 8 == 0 && a.ldk % 8 == 0 && a.ldv % 8 == 0;
  i64 from = (i64)a.positions[t] * half + i;
  float p[8], q[8];
  if (key < 0) {
    turn_pairs(a.q + t * a.ldq + (i64)head * a.C + i, half, left, a.cos, a.sin, from, a.is_inverse, aligned, p, q);
    return;
  }
  if (value < 0) turn_pairs(a.k + t * a.ldk + (i64)key * a.C + i, half, left, a.cos, a.sin, from, a.is_inverse, aligned, p, q);
  else {
    const bf16 *v = a.v + t * a.ldv + (i64)value * a.C + i;
    load(p, v, left, aligned), load(q, v + half, left, aligned);
  }
  if (!a.cache) return;
  i64 row = ((i64)a.slots[t] * 2 * a.groups + key) * a.capacity + a.places[t]; /* the values' heads follow the keys' */
  bf16 *to = a.cache + row * a.C + i;
  store(to, p, left, aligned), store(to + half, q, left, aligned);
}
