/* rows.cu - what is done element by element or along one row: sums, copies, norms, rotary embedding, the gated activation.

   A thread reads all it needs of its elements before it writes the first, so an output may lie over an input wherever the CPU's may. */
#include "device.cuh"
#include "rows_arguments.h"

/* ---- flat arrays: a thread takes every 256th element, so that a warp's lie side by side ---------------- */

/* scale: grid ceil(count / 2048), 1, 1; no shared memory. */
KERNEL(256, 4) scale(nrc_scale_arguments a) {
  i64 first = (i64)blockIdx.x * 2048 + threadIdx.x;
  float x[8];
#pragma unroll
  for (int i = 0; i < 8; i++) x[i] = first + i * 256 < a.count ? a.x[first + i * 256] : 0.0f;
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (first + i * 256 < a.count) a.x[first + i * 256] = x[i] * a.factor;
}

/* add: grid ceil(count / 2048), 1, 1; no shared memory. */
KERNEL(256, 4) add(nrc_add_arguments a) {
  i64 first = (i64)blockIdx.x * 2048 + threadIdx.x;
  float x[8], y[8];
#pragma unroll
  for (int i = 0; i < 8; i++) {
    bool exists = first + i * 256 < a.count;
    x[i] = exists ? a.x[first + i * 256] : 0.0f, y[i] = exists ? a.y[first + i * 256] : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (first + i * 256 < a.count) a.x[first + i * 256] = x[i] + y[i];
}

/* swiglu: grid ceil(count / 1024), 1, 1; no shared memory. */
KERNEL(256, 4) swiglu(nrc_swiglu_arguments a) {
  i64 first = (i64)blockIdx.x * 1024 + threadIdx.x;
  float z[4], up[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    bool exists = first + i * 256 < a.count;
    z[i] = exists ? a.gate[first + i * 256] : 0.0f, up[i] = exists ? a.up[first + i * 256] : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    float sigmoid = 1.0f / (1.0f + exponential(-z[i]));
    if (first + i * 256 < a.count) a.out[first + i * 256] = z[i] * sigmoid * up[i];
  }
}

/* swiglu_backward: grid ceil(count / 1024), 1, 1; no shared memory. */
KERNEL(256, 4) swiglu_backward(nrc_swiglu_backward_arguments a) {
  i64 first = (i64)blockIdx.x * 1024 + threadIdx.x;
  float z[4], up[4], d[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    bool exists = first + i * 256 < a.count;
    z[i] = exists ? a.gate[first + i * 256] : 0.0f, up[i] = exists ? a.up[first + i * 256] : 0.0f;
    d[i] = exists ? a.dout[first + i * 256] : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    float e = exponential(-z[i]), s = 1.0f / (1.0f + e);
    float rest = e > 3e38f ? 1.0f : e * s; /* 1 - s, without its cancellation */
    if (first + i * 256 < a.count) {
      a.dgate[first + i * 256] = d[i] * up[i] * s * fmaf(z[i], rest, 1.0f);
      a.dup[first + i * 256] = d[i] * z[i] * s;
    }
  }
}

/* ---- rows: a warp takes 256 columns of one, a lane every 32nd of them ---------------------------------- */

struct Place {
  i64 row, column; /* of the lane's first element */
  bool exists;
  DEVICE Place(i64 rows, i64 columns) {
    u32 parts = (u32)((columns + 255) / 256), warp = blockIdx.x * 8 + threadIdx.x / 32;
    row = warp / parts, column = (i64)(warp % parts) * 256 + threadIdx.x % 32, exists = row < rows;
  }
};
DEVICE void copy_part(float *to, const float *from, i64 column, i64 columns) {
  float x[8];
#pragma unroll
  for (int i = 0; i < 8; i++) x[i] = column + i * 32 < columns ? from[column + i * 32] : 0.0f;
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (column + i * 32 < columns) to[column + i * 32] = x[i];
}

/* fill_rows: grid ceil(rows ceil(columns / 256) / 8), 1, 1; no shared memory. */
KERNEL(256, 4) fill_rows(nrc_fill_rows_arguments a) {
  Place p(a.rows, a.columns);
  if (!p.exists) return;
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (p.column + i * 32 < a.columns) a.x[p.row * a.ldx + p.column + i * 32] = a.value;
}

/* copy_rows: grid ceil(rows ceil(columns / 256) / 8), 1, 1; no shared memory. */
KERNEL(256, 4) copy_rows(nrc_copy_rows_arguments a) {
  Place p(a.rows, a.columns);
  if (p.exists) copy_part(a.out + p.row * a.ldo, a.x + p.row * a.ldx, p.column, a.columns);
}

/* take_rows: grid ceil(n ceil(K / 256) / 8), 1, 1; no shared memory. */
KERNEL(256, 4) take_rows(nrc_take_rows_arguments a) {
  Place p(a.n, a.K);
  if (p.exists) copy_part(a.out + p.row * a.ldo, a.x + a.rows[p.row] * a.ldx, p.column, a.K);
}

/* A warp for every i. The first of those that name the same row adds for all of them, i ascending; the others do nothing. The list is
   looked through in parts of 32 * 32: bit b of lane l's word says that the one at 32 b + l of the part names this row.
   add_rows: grid ceil(n / 4), 1, 1; 512 bytes of shared memory. The embedding's backward is this, with ldx = K. */
KERNEL(128, 8) add_rows(nrc_add_rows_arguments a) {
  SHARED(memory);
  int lane = (int)threadIdx.x % 32, i = (int)blockIdx.x * 4 + (int)threadIdx.x / 32;
  u32 *words = (u32 *)memory + threadIdx.x / 32 * 32;
  bool works = i < a.n;
  int row = works ? a.rows[i] : 0;
  float *x = a.x + row * a.ldx;
  for (int start = 0; start < a.n; start += 32 * 32) {
    u32 mine = 0, all = 0;
    for (int b = 0, at = start + lane; works && b < 32 && at < a.n; b++, at += 32) mine |= (a.rows[at] == row ? 1u : 0u) << b;
    words[lane] = mine;
    barrier();
    for (int l = 0; l < 32; l++) all |= words[l];
    for (int b = 0; works && b < 32 && all >> b; b++)
      for (int l = 0; l < 32 && all >> b & 1; l++) {
        if (!(words[l] >> b & 1)) continue;
        int at = start + b * 32 + l;
        if (at < i) {
          works = false; /* for all lanes */
          break;
        }
        const float *y = a.y + at * a.ldy;
#pragma unroll 8
        for (int k = lane; k < a.K; k += 32) x[k] += y[k];
      }
    barrier();
  }
}

/* ---- root mean square norm ---------------------------------------------------------------------------- */

/* Sixteen threads have a row, each the elements at its place modulo 16: one lane of the CPU's vectors. The lanes meet in shared memory. */
enum { NORM_ROWS = 8 };

/* rmsnorm: grid ceil(T / 8), 1, 1; 512 bytes of shared memory. */
KERNEL(128, 6) rmsnorm(nrc_rmsnorm_arguments a) {
  SHARED(memory);
  float *lanes = (float *)memory, sum = 0;
  int local = (int)threadIdx.x / 16, lane = (int)threadIdx.x % 16, K = a.K;
  i64 t = (i64)blockIdx.x * NORM_ROWS + local;
  const float *x = a.x + t * K;
  if (t < a.T) {
    int k = lane;
    for (; k + 240 < K; k += 256) {
      float v[16];
#pragma unroll
      for (int i = 0; i < 16; i++) v[i] = x[k + i * 16];
#pragma unroll
      for (int i = 0; i < 16; i++) sum = fmaf(v[i], v[i], sum);
    }
    for (; k < K; k += 16) sum = fmaf(x[k], x[k], sum);
  }
  lanes[threadIdx.x] = sum;
  barrier();
  if (t >= a.T) return;
  float rstd = 1.0f / sqrtf(sum_of_lanes(lanes + local * 16) / (float)K + a.epsilon), *y = a.y + t * K;
  for (int k = lane; k < K; k += 128) {
    float v[8], w[8];
#pragma unroll
    for (int i = 0; i < 8; i++) v[i] = k + i * 16 < K ? x[k + i * 16] : 0.0f, w[i] = k + i * 16 < K ? a.w[k + i * 16] : 0.0f;
#pragma unroll
    for (int i = 0; i < 8; i++)
      if (k + i * 16 < K) y[k + i * 16] = v[i] * rstd * w[i];
  }
  if (a.rstd && lane == 0) a.rstd[t] = rstd;
}

/* rmsnorm_dx: grid ceil(T / 8), 1, 1; 512 bytes of shared memory. */
KERNEL(128, 6) rmsnorm_dx(nrc_rmsnorm_backward_arguments a) {
  SHARED(memory);
  float *lanes = (float *)memory, sum = 0;
  int local = (int)threadIdx.x / 16, lane = (int)threadIdx.x % 16, K = a.K;
  i64 t = (i64)blockIdx.x * NORM_ROWS + local;
  const float *x = a.x + t * K, *dy = a.dy + t * K;
  if (t < a.T) {
    int k = lane;
    for (; k + 112 < K; k += 128) {
      float d[8], v[8];
#pragma unroll
      for (int i = 0; i < 8; i++) d[i] = dy[k + i * 16] * a.w[k + i * 16], v[i] = x[k + i * 16];
#pragma unroll
      for (int i = 0; i < 8; i++) sum = fmaf(d[i], v[i], sum);
    }
    for (; k < K; k += 16) sum = fmaf(dy[k] * a.w[k], x[k], sum);
    /* The CPU's last vector is filled up with zeros, and -0 + 0 is 0. */
    if (k - lane < K) sum += 0.0f;
  }
  lanes[threadIdx.x] = sum;
  barrier();
  if (t >= a.T) return;
  float rstd = a.rstd[t], share = sum_of_lanes(lanes + local * 16) / (float)K * rstd * rstd, *dx = a.dx + t * K;
  for (int k = lane; k < K; k += 64) {
    float d[4], v[4], w[4], old[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      bool exists = k + i * 16 < K;
      d[i] = exists ? dy[k + i * 16] : 0.0f, v[i] = exists ? x[k + i * 16] : 0.0f, w[i] = exists ? a.w[k + i * 16] : 0.0f;
      old[i] = exists && a.accumulate ? dx[k + i * 16] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
      float value = (d[i] * w[i] - v[i] * share) * rstd;
      if (k + i * 16 < K) dx[k + i * 16] = a.accumulate ? old[i] + value : value;
    }
  }
}

/* A thread adds up one column, t ascending. rmsnorm_dw: grid ceil(K / 64), 1, 1; no shared memory. */
KERNEL(64, 8) rmsnorm_dw(nrc_rmsnorm_backward_arguments a) {
  int k = (int)blockIdx.x * 64 + (int)threadIdx.x;
  if (k >= a.K) return;
  const float *dy = a.dy + k, *x = a.x + k;
  float sum = a.dw[k];
  i64 t = 0, K = a.K;
  for (; t + 16 <= a.T; t += 16, dy += 16 * K, x += 16 * K) {
    float values[16];
#pragma unroll
    for (int i = 0; i < 16; i++) values[i] = dy[i * K] * x[i * K] * a.rstd[t + i];
#pragma unroll
    for (int i = 0; i < 16; i++) sum += values[i];
  }
  for (; t < a.T; t++, dy += K, x += K) sum += *dy * *x * a.rstd[t];
  a.dw[k] = sum;
}

/* ---- rotary embedding --------------------------------------------------------------------------------- */

/* A warp turns one row, a lane the same channels of every head. rope: grid ceil(T / 4), 1, 1; no shared memory. */
KERNEL(128, 8) rope(nrc_rope_arguments a) {
  int t = (int)blockIdx.x * 4 + (int)threadIdx.x / 32, half = a.C / 2;
  if (t >= a.T) return;
  i64 from = (i64)a.positions[t] * half;
  float sign = a.is_inverse ? -1.0f : 1.0f, *row = a.x + t * a.ldx;
  for (int i = (int)threadIdx.x % 32; i < half; i += 32) {
    float c = a.cos[from + i], turn = a.sin[from + i] * sign;
    for (int h = 0; h < a.heads; h += 4) {
      float *x = row + (i64)h * a.C + i, p[4], q[4];
#pragma unroll
      for (int j = 0; j < 4; j++) {
        bool exists = h + j < a.heads;
        p[j] = exists ? x[j * a.C] : 0.0f, q[j] = exists ? x[j * a.C + half] : 0.0f;
      }
#pragma unroll
      for (int j = 0; j < 4; j++)
        if (h + j < a.heads) x[j * a.C] = p[j] * c - q[j] * turn, x[j * a.C + half] = q[j] * c + p[j] * turn;
    }
  }
}
