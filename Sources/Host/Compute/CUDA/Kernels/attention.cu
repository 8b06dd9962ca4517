/* attention.cu - attention of segments over themselves and their prefix, its derivative, and attention of one query row over the KV cache,
   in float32 with the CPU's bits (attention.h, attention_backward.h): scores are sums over channels in order; weights exp(score - max) are
   joined over 16 lanes by position modulo 16; outputs are sums over positions in order. Positions count from the prefix's first row.

   A tile is some query rows (row r is position r / share, head g share + r % share, share = H / G) against KEYS keys. 256 threads make
   its products over channels with thread (x, y) = (t % 16, t / 16) at query rows y + 16 i and keys x + 16 j: a thread has one of the
   sixteen lanes of its rows. Its products over positions are made with a warp at some rows and a lane at channels 2 lane + 64 m of the
   128 that are the block's. Scores are computed twice, for the maximum and then for the weights, so that nothing grows with the context.

   Channels: even, at most 256. Heads to a key-value head: at most 32, 8 in decoding. Row strides are any. Shared rows of C floats lie
   row_stride(C) = 4 (C / 4, rounded up, | 1) apart: aligned to 16 bytes, and sixteen rows in different banks. */
#include "device.cuh"
#include "attention_arguments.h"

static constexpr int QUERIES = NRC_ATTENTION_QUERIES, KEYS = NRC_ATTENTION_KEYS;
static constexpr int STEPS = 32;    /* query rows that the kernel for keys takes at once */
static constexpr int WEIGHTS = 48;  /* floats of a row of weights: two rows lie in different banks */
static constexpr int CHANNELS = 128, VECTORS = CHANNELS / 64; /* channels of a block's outputs; pairs of them of a lane */

static DEVICE int row_stride(int C) { return ((C + 3) / 4 | 1) * 4; }
static DEVICE float part(float4 x, int i) { return i == 0 ? x.x : i == 1 ? x.y : i == 2 ? x.z : x.w; }
/* r / share for a row r of a tile, with inverse = 65536 / share + 1: exact where r share < 65536. */
static DEVICE int quotient(int r, int inverse) { return r * inverse >> 16; }
static DEVICE int within(int x, int limit) { return x < 0 ? 0 : minimum(x, limit); }

/* A segment with its rows as int, which they fit. */
struct Segment { int start, length, prefix_start, prefix_length; };
static DEVICE Segment segment_of(const nrc_attention_segment &s) {
  return {(int)s.start, (int)s.length, (int)s.prefix_start, (int)s.prefix_length};
}

/* N rows into shared memory: row(i) is where row i lies, `count` > 0 of them exist, the others become zeros. */
template <int N, class Row> static DEVICE void fetch(float *to, int ld, int C, int count, Row row) {
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  const float *from[N / 8];
#pragma unroll
  for (int i = 0; i < N / 8; i++) from[i] = row(minimum(warp + 8 * i, count - 1));
#pragma unroll 1
  for (int c = lane; c < C; c += 32) {
    float x[N / 8];
#pragma unroll
    for (int i = 0; i < N / 8; i++) x[i] = warp + 8 * i < count ? from[i][c] : 0;
#pragma unroll
    for (int i = 0; i < N / 8; i++) to[(warp + 8 * i) * ld + c] = x[i];
  }
}

/* Rows [from, ..) of a context, prefix first, `count` of which exist, of the matrix x. */
static DEVICE void fetch_context(float *to, int ld, int C, const Segment &s, int from, int count, const float *x, i64 stride) {
  fetch<KEYS>(to, ld, C, within(count, KEYS), [&](int i) {
    int j = from + i;
    return x + (j < s.prefix_length ? s.prefix_start + j : s.start + j - s.prefix_length) * stride;
  });
}

/* s[i][j] = row y + 16 i of a times row x + 16 j of b: a sum over channels in order. */
template <int N> static DEVICE void multiply(float (&s)[N][2], const float *a, const float *b, int ld, int C) {
  a += (threadIdx.x >> 4) * ld, b += (threadIdx.x & 15) * ld;
#pragma unroll
  for (int i = 0; i < N; i++) s[i][0] = s[i][1] = 0;
#pragma unroll 1
  for (int c = 0; c + 4 <= C; c += 4) {
    float4 l[N], r[2];
#pragma unroll
    for (int i = 0; i < N; i++) l[i] = *(const float4 *)(a + 16 * i * ld + c);
#pragma unroll
    for (int j = 0; j < 2; j++) r[j] = *(const float4 *)(b + 16 * j * ld + c);
#pragma unroll
    for (int e = 0; e < 4; e++)
#pragma unroll
      for (int i = 0; i < N; i++)
#pragma unroll
        for (int j = 0; j < 2; j++) s[i][j] = fmaf(part(l[i], e), part(r[j], e), s[i][j]);
  }
  for (int c = C & ~3; c < C; c++)
#pragma unroll
    for (int i = 0; i < N; i++)
#pragma unroll
      for (int j = 0; j < 2; j++) s[i][j] = fmaf(a[16 * i * ld + c], b[16 * j * ld + c], s[i][j]);
}

/* sum[i] += weight[i] times row x, in this lane's channels, for those i where takes(i). */
template <int N, class Takes>
static DEVICE void add_row(float2 (&sum)[N][VECTORS], const float (&weight)[N], const float *x, int C, Takes takes) {
  const int c = 2 * (threadIdx.x & 31);
#pragma unroll
  for (int m = 0; m < VECTORS; m++)
    if (c + 64 * m < C) {
      float2 value = *(const float2 *)(x + c + 64 * m);
#pragma unroll
      for (int i = 0; i < N; i++)
        if (takes(i)) {
          sum[i][m].x = fmaf(weight[i], value.x, sum[i][m].x);
          sum[i][m].y = fmaf(weight[i], value.y, sum[i][m].y);
        }
    }
}

/* sum[i] += over keys j of weights[i][j] times row j of x; row i of them goes to end[i]. */
template <int N>
static DEVICE void blend(float2 (&sum)[N][VECTORS], const int (&end)[N], const float *weights, const float *x, int ld, int C) {
  int common = KEYS, last = 0;
#pragma unroll
  for (int i = 0; i < N; i++) common = minimum(common, end[i]), last = end[i] > last ? end[i] : last;
  common &= ~3;
#pragma unroll 1
  for (int j = 0; j < common; j += 4) {
    float4 w[N];
#pragma unroll
    for (int i = 0; i < N; i++) w[i] = *(const float4 *)(weights + i * WEIGHTS + j);
#pragma unroll
    for (int e = 0; e < 4; e++) {
      float weight[N];
#pragma unroll
      for (int i = 0; i < N; i++) weight[i] = part(w[i], e);
      add_row(sum, weight, x + (j + e) * ld, C, [](int) { return true; });
    }
  }
#pragma unroll 1
  for (int j = common; j < last; j++) {
    float weight[N];
#pragma unroll
    for (int i = 0; i < N; i++) weight[i] = weights[i * WEIGHTS + j];
    add_row(sum, weight, x + j * ld, C, [&](int i) { return j < end[i]; });
  }
}

/* sum[i] += over rows r < count of weights[r][i] times row r of x; key i of them begins at begin[i]. */
static DEVICE void spread(float2 (&sum)[4][VECTORS], const int (&begin)[4], int count, const float *weights, const float *x, int ld,
                          int C) {
  int common = 0, first = count;
#pragma unroll
  for (int i = 0; i < 4; i++) common = begin[i] > common ? begin[i] : common, first = minimum(first, begin[i]);
#pragma unroll 1
  for (int r = first; r < common; r++) {
    float4 w = *(const float4 *)(weights + r * WEIGHTS);
    const float weight[4] = {w.x, w.y, w.z, w.w};
    add_row(sum, weight, x + r * ld, C, [&](int i) { return r >= begin[i]; });
  }
#pragma unroll 1
  for (int r = common; r < count; r++) {
    float4 w = *(const float4 *)(weights + r * WEIGHTS);
    const float weight[4] = {w.x, w.y, w.z, w.w};
    add_row(sum, weight, x + r * ld, C, [](int) { return true; });
  }
}

static DEVICE void store_row(float *to, const float2 (&x)[VECTORS], float factor, int C) {
  const int c = 2 * (threadIdx.x & 31);
#pragma unroll
  for (int m = 0; m < VECTORS; m++)
    if (c + 64 * m < C) to[c + 64 * m] = x[m].x * factor, to[c + 64 * m + 1] = x[m].y * factor;
}

/* ---- forward --------------------------------------------------------------------------------------------- */

/* grid (query tiles, G, C / 128 rounded up), 4 (80 row_stride(C) + 2352) bytes of shared memory. */
KERNEL(256, 2) attention_forward(nrc_attention_arguments a) {
  SHARED(memory);
  const int C = a.channels, share = a.heads / a.groups, inverse = 65536 / share + 1, ld = row_stride(C), g = blockIdx.y;
  const int c0 = blockIdx.z * CHANNELS, x = threadIdx.x & 15, y = threadIdx.x >> 4, warp = threadIdx.x >> 5;
  float *queries = (float *)memory, *keys = queries + QUERIES * ld, *weights = keys + KEYS * ld, *tops = weights + QUERIES * WEIGHTS;
  const nrc_attention_query_tile tile = a.tiles[blockIdx.x];
  const Segment s = segment_of(a.segments[tile.segment]);
  const int before = s.prefix_length + tile.first; /* positions that every row sees, beside its own and its tile's */
  const int rows = minimum(QUERIES / share, s.length - tile.first) * share;
  const int n = before + minimum(QUERIES / share, s.length - tile.first);
  const float *k = a.k + g * C, *v = a.v + g * C;
  const float *q = a.q + (s.start + tile.first) * a.ldq + g * share * C;
  fetch<QUERIES>(queries, ld, C, rows, [&](int r) {
    int i = quotient(r, inverse);
    return q + i * a.ldq + (r - i * share) * C;
  });

  int seen[3];
  float top[3], sum[3], z[3][2];
#pragma unroll
  for (int i = 0; i < 3; i++) seen[i] = minimum(n, before + quotient(y + 16 * i, inverse) + 1), top[i] = -INFINITY, sum[i] = 0;
  for (int j0 = 0; j0 < n; j0 += KEYS) {
    barrier();
    fetch_context(keys, ld, C, s, j0, n - j0, k, a.ldk);
    barrier();
    multiply(z, queries, keys, ld, C);
#pragma unroll
    for (int i = 0; i < 3; i++)
#pragma unroll
      for (int j = 0; j < 2; j++) {
        float scaled = z[i][j] * a.scale;
        if (j0 + x + 16 * j < seen[i] && scaled > top[i]) top[i] = scaled;
      }
  }
#pragma unroll
  for (int i = 0; i < 3; i++) weights[(y + 16 * i) * 16 + x] = top[i];
  barrier();
#pragma unroll
  for (int i = 0; i < 3; i++) {
    for (int lane = 0; lane < 16; lane++) {
      float other = weights[(y + 16 * i) * 16 + lane];
      top[i] = other > top[i] ? other : top[i];
    }
    if (x == 0) tops[y + 16 * i] = top[i];
  }

  float2 out[6][VECTORS];
  int limit[6];
#pragma unroll
  for (int i = 0; i < 6; i++) {
    limit[i] = minimum(n, before + quotient(warp * 6 + i, inverse) + 1);
#pragma unroll
    for (int m = 0; m < VECTORS; m++) out[i][m] = make_float2(0, 0);
  }
  for (int j0 = 0; j0 < n; j0 += KEYS) {
    barrier();
    fetch_context(keys, ld, C, s, j0, n - j0, k, a.ldk);
    barrier();
    multiply(z, queries, keys, ld, C);
#pragma unroll
    for (int i = 0; i < 3; i++)
#pragma unroll
      for (int j = 0; j < 2; j++) {
        float p = j0 + x + 16 * j < seen[i] ? exponential(z[i][j] * a.scale - top[i]) : 0;
        weights[(y + 16 * i) * WEIGHTS + x + 16 * j] = p;
        sum[i] += p;
      }
    barrier();
    fetch_context(keys, ld, C, s, j0, n - j0, v, a.ldv);
    barrier();
    int end[6];
#pragma unroll
    for (int i = 0; i < 6; i++) end[i] = within(limit[i] - j0, KEYS);
    if (warp * 6 < rows) blend(out, end, weights + warp * 6 * WEIGHTS, keys + c0, ld, C - c0);
  }
  barrier();
#pragma unroll
  for (int i = 0; i < 3; i++) weights[(y + 16 * i) * 16 + x] = sum[i];
  barrier();
#pragma unroll
  for (int i = 0; i < 6; i++) {
    int r = warp * 6 + i;
    if (r >= rows) continue;
    int position = quotient(r, inverse), head = g * share + r - position * share;
    i64 t = s.start + tile.first + position;
    float total = sum_of_lanes(weights + r * 16);
    store_row(a.out + t * a.ldo + head * C + c0, out[i], 1.0f / total, C - c0);
    if (a.log_sum && c0 == 0 && (threadIdx.x & 31) == 0) a.log_sum[t * a.heads + head] = tops[r] + logf(total);
  }
}

/* ---- backward: ds = p (dp - D) scale with p = exp(z - lse), dp = d_out v and D = d_out out of a row --------------- */

/* dq = ds k over all keys of the tile: a row takes those past its own with weight 0, as on the CPU, whose tile this is. And D.
   grid (query tiles, G, C / 128 rounded up), 4 (128 row_stride(C) + 2304) bytes of shared memory. */
KERNEL(256, 2) attention_backward_queries(nrc_attention_backward_arguments a) {
  SHARED(memory);
  const int C = a.channels, share = a.heads / a.groups, inverse = 65536 / share + 1, ld = row_stride(C), g = blockIdx.y;
  const int c0 = blockIdx.z * CHANNELS, x = threadIdx.x & 15, y = threadIdx.x >> 4, warp = threadIdx.x >> 5;
  float *queries = (float *)memory, *slopes = queries + QUERIES * ld, *keys = slopes + QUERIES * ld, *weights = keys + KEYS * ld;
  const nrc_attention_query_tile tile = a.query_tiles[blockIdx.x];
  const Segment s = segment_of(a.segments[tile.segment]);
  const int before = s.prefix_length + tile.first;
  const int rows = minimum(QUERIES / share, s.length - tile.first) * share;
  const int n = before + minimum(QUERIES / share, s.length - tile.first);
  const float *k = a.k + g * C, *v = a.v + g * C;
  const float *q = a.q + (s.start + tile.first) * a.ldq + g * share * C;
  fetch<QUERIES>(queries, ld, C, rows, [&](int r) {
    int i = quotient(r, inverse);
    return q + i * a.ldq + (r - i * share) * C;
  });
  const float *d_out = a.d_out + (s.start + tile.first) * a.ldd + g * share * C;
  fetch<QUERIES>(slopes, ld, C, rows, [&](int r) {
    int i = quotient(r, inverse);
    return d_out + i * a.ldd + (r - i * share) * C;
  });
  barrier();

  int seen[3];
  float D[3], lse[3];
#pragma unroll
  for (int i = 0; i < 3; i++) {
    int r = y + 16 * i, position = quotient(r, inverse), head = g * share + r - position * share;
    i64 t = s.start + tile.first + position;
    seen[i] = minimum(n, before + position + 1);
    float dot = 0;
    lse[i] = 0;
    if (r < rows) {
      const float *out = a.out + t * a.ldo + head * C;
      for (int c = x; c < (C + 15 & ~15); c += 16) dot = fmaf(c < C ? slopes[r * ld + c] : 0, c < C ? out[c] : 0, dot);
      lse[i] = a.log_sum[t * a.heads + head];
    }
    weights[r * 16 + x] = dot;
  }
  barrier();
#pragma unroll
  for (int i = 0; i < 3; i++) {
    int r = y + 16 * i, position = quotient(r, inverse);
    D[i] = sum_of_lanes(weights + r * 16);
    if (x == 0 && c0 == 0 && r < rows) a.dots[(i64)(s.start + tile.first + position) * a.heads + g * share + r - position * share] = D[i];
  }

  float2 dq[6][VECTORS];
#pragma unroll
  for (int i = 0; i < 6; i++)
#pragma unroll
    for (int m = 0; m < VECTORS; m++) dq[i][m] = make_float2(0, 0);
  for (int j0 = 0; j0 < n; j0 += KEYS) {
    float z[3][2], dp[3][2];
    barrier();
    fetch_context(keys, ld, C, s, j0, n - j0, v, a.ldv);
    barrier();
    multiply(dp, slopes, keys, ld, C);
    barrier();
    fetch_context(keys, ld, C, s, j0, n - j0, k, a.ldk);
    barrier();
    multiply(z, queries, keys, ld, C);
#pragma unroll
    for (int i = 0; i < 3; i++)
#pragma unroll
      for (int j = 0; j < 2; j++) {
        float p = exponential(z[i][j] * a.scale - lse[i]), ds = p * (dp[i][j] - D[i]) * a.scale;
        weights[(y + 16 * i) * WEIGHTS + x + 16 * j] = j0 + x + 16 * j < seen[i] ? ds : 0;
      }
    barrier();
    int end[6];
#pragma unroll
    for (int i = 0; i < 6; i++) end[i] = within(n - j0, KEYS);
    if (warp * 6 < rows) blend(dq, end, weights + warp * 6 * WEIGHTS, keys + c0, ld, C - c0);
  }
#pragma unroll
  for (int i = 0; i < 6; i++) {
    int r = warp * 6 + i, position = quotient(r, inverse);
    if (r >= rows) continue;
    store_row(a.dq + (s.start + tile.first + position) * a.lddq + (g * share + r - position * share) * C + c0, dq[i], 1, C - c0);
  }
}

/* dk = ds q and dv = p d_out over the rows that see a key: segment by segment in the list's order, row by row. In its own segment a key
   begins with the first row of the CPU's tile that it lies in, with weight 0 for the rows before its own.
   grid (key tiles, G, C / 128 rounded up), 4 (128 row_stride(C) + 3136) bytes of shared memory. */
KERNEL(256, 2) attention_backward_keys(nrc_attention_backward_arguments a) {
  SHARED(memory);
  const int C = a.channels, share = a.heads / a.groups, inverse = 65536 / share + 1, step = QUERIES / share;
  const int ld = row_stride(C), g = blockIdx.y;
  const int c0 = blockIdx.z * CHANNELS, x = threadIdx.x & 15, y = threadIdx.x >> 4, warp = threadIdx.x >> 5;
  float *keys = (float *)memory, *values = keys + KEYS * ld, *queries = values + KEYS * ld, *slopes = queries + STEPS * ld;
  float *weights = slopes + STEPS * ld, *ds = weights + STEPS * WEIGHTS;
  int *see = (int *)(ds + STEPS * WEIGHTS), *take = see + KEYS;
  const nrc_attention_key_tile tile = a.key_tiles[blockIdx.x];
  const Segment own = segment_of(a.segments[tile.segment]);
  const int first = own.start + tile.first, count = minimum(KEYS, own.length - tile.first);
  fetch<KEYS>(keys, ld, C, count, [&](int i) { return a.k + (i64)(first + i) * a.ldk + g * C; });
  fetch<KEYS>(values, ld, C, count, [&](int i) { return a.v + (i64)(first + i) * a.ldv + g * C; });

  float2 dk[4][VECTORS], dv[4][VECTORS];
#pragma unroll
  for (int i = 0; i < 4; i++)
#pragma unroll
    for (int m = 0; m < VECTORS; m++) dk[i][m] = dv[i][m] = make_float2(0, 0);

  for (int index = tile.from; index < tile.end; index++) {
    const Segment s = segment_of(a.segments[index]);
    const int end = first + count, prefix_end = s.prefix_start + s.prefix_length, own_end = s.start + s.length;
    int begin = s.length; /* the first position that takes any of these keys */
    if (first < own_end && end > s.start) begin = (first > s.start ? first - s.start : 0) / step * step;
    if (first < prefix_end && end > s.prefix_start) begin = 0;
#pragma unroll 1
    for (int i0 = begin; i0 < s.length; i0 += STEPS / share) {
      const int steps = minimum(STEPS / share, s.length - i0) * share;
      barrier();
      if (threadIdx.x < KEYS) { /* from which row on a key is seen, and taken. Keys that do not exist are as the last. */
        int t = first + minimum(threadIdx.x, count - 1), j = t - s.start;
        bool is_before = t >= s.prefix_start && t < prefix_end, is_own = t >= s.start && t < own_end;
        see[threadIdx.x] = is_before ? 0 : is_own ? (j - i0) * share : steps;
        take[threadIdx.x] = is_before ? 0 : is_own ? within((j / step * step - i0) * share, steps) : steps;
      }
      const float *q = a.q + (s.start + i0) * a.ldq + g * share * C, *d_out = a.d_out + (s.start + i0) * a.ldd + g * share * C;
      fetch<STEPS>(queries, ld, C, steps, [&](int r) {
        int i = quotient(r, inverse);
        return q + i * a.ldq + (r - i * share) * C;
      });
      fetch<STEPS>(slopes, ld, C, steps, [&](int r) {
        int i = quotient(r, inverse);
        return d_out + i * a.ldd + (r - i * share) * C;
      });
      barrier();
      float z[2][2], dp[2][2];
      multiply(z, queries, keys, ld, C);
      multiply(dp, slopes, values, ld, C);
#pragma unroll
      for (int i = 0; i < 2; i++) {
        int r = y + 16 * i, position = quotient(r, inverse);
        i64 place = (i64)(s.start + i0 + position) * a.heads + g * share + r - position * share;
        float lse = r < steps ? a.log_sum[place] : 0, D = r < steps ? a.dots[place] : 0;
#pragma unroll
        for (int j = 0; j < 2; j++) {
          float p = exponential(z[i][j] * a.scale - lse), slope = p * (dp[i][j] - D) * a.scale;
          bool is_seen = r >= see[x + 16 * j];
          weights[r * WEIGHTS + x + 16 * j] = is_seen ? p : 0;
          ds[r * WEIGHTS + x + 16 * j] = is_seen ? slope : 0;
        }
      }
      barrier();
      int from[4];
#pragma unroll
      for (int i = 0; i < 4; i++) from[i] = take[warp * 4 + i];
      if (warp * 4 < count) {
        spread(dk, from, steps, ds + warp * 4, queries + c0, ld, C - c0);
        spread(dv, from, steps, weights + warp * 4, slopes + c0, ld, C - c0);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (warp * 4 + i >= count) continue;
    store_row(a.dk + (i64)(first + warp * 4 + i) * a.lddk + g * C + c0, dk[i], 1, C - c0);
    store_row(a.dv + (i64)(first + warp * 4 + i) * a.lddv + g * C + c0, dv[i], 1, C - c0);
  }
}

/* ---- the KV cache ------------------------------------------------------------------------------------------- */

/* Where the keys of a slot and head lie, and its values; the element of position j and channel c of the keys. */
static DEVICE i64 keys_of(i64 slot, int G, int C, i64 capacity, int g) { return (slot * 2 * G + g) * capacity * C; }
static DEVICE i64 values_of(i64 slot, int G, int C, i64 capacity, int g) { return (slot * 2 * G + G + g) * capacity * C; }
static DEVICE i64 key_element(i64 j, int C, int c) { return (j / 32 * C + c) * 32 + j % 32; }

/* grid (T), no shared memory. */
KERNEL(128, 4) kv_write(nrc_kv_write_arguments a) {
  const i64 t = blockIdx.x, slot = a.slots[t], position = a.positions[t];
  const int C = a.channels, G = a.groups;
  for (int i = threadIdx.x; i < G * C; i += 128) {
    int g = i / C, c = i % C;
    a.cache[keys_of(slot, G, C, a.capacity, g) + key_element(position, C, c)] = a.k[t * a.ldk + i];
    a.cache[values_of(slot, G, C, a.capacity, g) + position * C + c] = a.v[t * a.ldv + i];
  }
}

/* A block is one sequence and key-value head. Its scores go to global memory, a thread at a position; then, 128 positions at a time, their
   weights to shared memory, from where a thread has two channels of some heads: pair t % (C / 2), heads t / (C / 2) and on. What the
   loops read grows with the lengths, the grid does not.
   grid (T, G), 4 share (288 + C rounded up to 4) bytes of shared memory, share = H / G <= 8. */
KERNEL(128, 4) attention_decode(nrc_attention_decode_arguments a) {
  SHARED(memory);
  enum { SHARE = 8, POSITIONS = 128, ROW = 144 }; /* a row of weights: two of them lie in different banks */
  const int C = a.channels, G = a.groups, share = a.heads / G, ld = C + 3 & ~3, g = blockIdx.y, x = threadIdx.x;
  const i64 t = blockIdx.x, P = a.prompt_lengths ? a.prompt_lengths[t] : 0, n = P + a.lengths[t];
  const i64 prompt_slot = P > 0 ? a.prompt_slots[t] : 0, slot = a.slots[t];
  float *queries = (float *)memory, *weights = queries + share * ld;
  float *scores = a.scores + (t * a.heads + g * share) * a.width;
  for (int i = x; i < share * C; i += POSITIONS) queries[i / C * ld + i % C] = a.q[t * a.ldq + g * share * C + i];
  barrier();

  const float *prompt_keys = a.prompts + keys_of(prompt_slot, G, C, a.prompt_capacity, g);
  const float *own_keys = a.cache + keys_of(slot, G, C, a.capacity, g);
  float top[SHARE];
#pragma unroll
  for (int h = 0; h < SHARE; h++) top[h] = -INFINITY;
  for (i64 j = x; j < n; j += POSITIONS) {
    const float *key = j < P ? prompt_keys + key_element(j, C, 0) : own_keys + key_element(j - P, C, 0);
    float s[SHARE];
#pragma unroll
    for (int h = 0; h < SHARE; h++) s[h] = 0;
#pragma unroll 2
    for (int c = 0; c + 4 <= C; c += 4) {
      float k[4];
#pragma unroll
      for (int e = 0; e < 4; e++) k[e] = key[(c + e) * 32];
#pragma unroll
      for (int h = 0; h < SHARE; h++)
        if (h < share) {
          float4 q = *(const float4 *)(queries + h * ld + c);
#pragma unroll
          for (int e = 0; e < 4; e++) s[h] = fmaf(part(q, e), k[e], s[h]);
        }
    }
    for (int c = C & ~3; c < C; c++) {
      float k = key[c * 32];
#pragma unroll
      for (int h = 0; h < SHARE; h++)
        if (h < share) s[h] = fmaf(queries[h * ld + c], k, s[h]);
    }
#pragma unroll
    for (int h = 0; h < SHARE; h++)
      if (h < share) {
        float scaled = s[h] * a.scale;
        scores[h * a.width + j] = scaled;
        top[h] = scaled > top[h] ? scaled : top[h];
      }
  }

  /* The highest of each head: of eight threads each, then of the sixteen results. */
#pragma unroll
  for (int h = 0; h < SHARE; h++)
    if (h < share) weights[h * ROW + x] = top[h];
  barrier();
  const int row = x >> 4, lane = x & 15; /* head and lane of this thread in sums over positions */
  float *highest = weights + share * ROW;
  if (row < share) {
    float most = -INFINITY;
    for (int i = lane; i < POSITIONS; i += 16) most = weights[row * ROW + i] > most ? weights[row * ROW + i] : most;
    highest[row * 16 + lane] = most;
  }
  barrier();
#pragma unroll
  for (int h = 0; h < SHARE; h++)
    if (h < share)
      for (int i = 0; i < 16; i++) top[h] = highest[h * 16 + i] > top[h] ? highest[h * 16 + i] : top[h];
  barrier();

  const int pairs = C / 2, groups = POSITIONS / pairs, group = x / pairs, pair = x % pairs;
  const int heads = group < groups && group < share ? (share - group + groups - 1) / groups : 0; /* group, group + groups, ... */
  const float *prompt_values = a.prompts + values_of(prompt_slot, G, C, a.prompt_capacity, g) + 2 * pair;
  const float *own_values = a.cache + values_of(slot, G, C, a.capacity, g) + 2 * pair;
  float2 out[SHARE];
  float sum = 0;
#pragma unroll
  for (int i = 0; i < SHARE; i++) out[i] = make_float2(0, 0);
  /* positions [from, end) of this tile's weights with rows of values that follow one another */
  auto add = [&](const float *w, const float *value, int from, int end) {
    w += group * ROW;
    int j = from;
    for (; j + 4 <= end; j += 4) {
      float2 v[4];
#pragma unroll
      for (int e = 0; e < 4; e++) v[e] = *(const float2 *)(value + (i64)(j - from + e) * C);
#pragma unroll
      for (int i = 0; i < SHARE; i++)
        if (i < heads)
#pragma unroll
          for (int e = 0; e < 4; e++) {
            float p = w[i * groups * ROW + j + e];
            out[i].x = fmaf(p, v[e].x, out[i].x), out[i].y = fmaf(p, v[e].y, out[i].y);
          }
    }
    for (; j < end; j++) {
      float2 v = *(const float2 *)(value + (i64)(j - from) * C);
#pragma unroll
      for (int i = 0; i < SHARE; i++)
        if (i < heads) {
          float p = w[i * groups * ROW + j];
          out[i].x = fmaf(p, v.x, out[i].x), out[i].y = fmaf(p, v.y, out[i].y);
        }
    }
  };
  int turn = 0; /* two tiles of weights take turns: one barrier each */
  for (i64 j0 = 0; j0 < n; j0 += POSITIONS, turn ^= 1) {
    float *w = weights + turn * share * ROW;
#pragma unroll
    for (int h = 0; h < SHARE; h++)
      if (h < share) w[h * ROW + x] = j0 + x < n ? exponential(scores[h * a.width + j0 + x] - top[h]) : 0;
    barrier();
    if (row < share)
#pragma unroll
      for (int i = 0; i < POSITIONS; i += 16) sum += w[row * ROW + i + lane];
    int last = (int)smaller(POSITIONS, n - j0), middle = (int)(P <= j0 ? 0 : smaller(P - j0, last));
    if (heads > 0) {
      add(w, prompt_values + j0 * C, 0, middle);
      add(w, own_values + (j0 + middle - P) * C, middle, last);
    }
  }
  barrier();
  if (row < share) weights[row * 16 + lane] = sum;
  barrier();
#pragma unroll
  for (int i = 0; i < SHARE; i++)
    if (i < heads) {
      int h = group + i * groups;
      float factor = 1.0f / sum_of_lanes(weights + h * 16);
      float *to = a.out + t * a.ldo + (g * share + h) * C + 2 * pair;
      to[0] = out[i].x * factor, to[1] = out[i].y * factor;
    }
}
