/* linear.cu - a linear layer forward and backward, with weights of float32, bfloat16 and four bits.

   Every product is c[m, n] = (load ? c[m, n] : 0), then for k = 0, 1, 2, ...: c = fma(a[m, k], b[k, n], c), then + bias[n]. An element
   of c is one accumulator of one thread, so no sum is ever split: the bits are those of the CPU (gemm.h), whatever the tile. Two tiles
   are there for that reason: which of them makes a product is a matter of speed only.

   A block makes a tile of c. Stages of DEPTH k's of a and b stand in shared memory as float32, k by k: two of them, so that the next one
   is fetched while one is multiplied. A stage is always whole: past the end of the sum a is -0 and b is +0, and fma(-0, +0, c) is c, also
   where c is -0. Rows and columns that do not exist are multiplied, if at all, into accumulators that nobody stores. */
#include "device.cuh"
#include "linear_arguments.h"

/* ROWS x COLUMNS of c, of which a thread makes R x C. */
struct Large {
  static constexpr int ROWS = 128, COLUMNS = 64, DEPTH = 16, R = 8, C = 4, THREADS = 256;
};
/* For few rows, or few rows and columns: more blocks for the same product, and less of a tile that does not exist. */
template <int D> struct Small {
  static constexpr int ROWS = 16, COLUMNS = 32, DEPTH = D, R = 4, C = 1, THREADS = 128;
};

/* The lines of a tile are the rows of a or the columns of b; element (k, line) of a stage stands at k * PITCH + line. Threads read four
   lines at once where they make four. */
template <class Tile, bool IS_LEFT> struct Side {
  static constexpr int LINES = IS_LEFT ? Tile::ROWS : Tile::COLUMNS;
  static constexpr int PITCH = LINES + (IS_LEFT || Tile::C > 1 ? 4 : 1);
};
template <class Tile> static constexpr int stage_size = Tile::DEPTH * (Side<Tile, true>::PITCH + Side<Tile, false>::PITCH);

DEVICE float *shared_floats() {
  SHARED(memory);
  return (float *)memory;
}
DEVICE float float_of(float x) { return x; }
DEVICE float float_of(bf16 x) { return widen(x); }

/* Lines that lie along k: element (k, line) at matrix[line * ld + k]. `lines` of them exist, the tile's first is the matrix's first. */
template <class Tile, bool IS_LEFT, class Element> struct Along : Side<Tile, IS_LEFT> {
  static constexpr int LINES = Side<Tile, IS_LEFT>::LINES, PITCH = Side<Tile, IS_LEFT>::PITCH;
  static constexpr int STEP = Tile::THREADS / Tile::DEPTH, COUNT = LINES / STEP;
  const Element *from;
  i64 ld;
  int line, k, lines, left;
  Element values[COUNT];

  DEVICE Along(const Element *matrix, i64 ld, int lines, int depth) : ld(ld), lines(lines) {
    line = (int)threadIdx.x / Tile::DEPTH, k = (int)threadIdx.x % Tile::DEPTH, left = depth - k;
    from = matrix + line * ld + k;
  }
  DEVICE void load() {
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      bool exists = left > 0 && line + i * STEP < lines;
      values[i] = exists ? from[(i64)(i * STEP) * ld] : (Element)(IS_LEFT ? -0.0f : 0.0f);
    }
    from += Tile::DEPTH, left -= Tile::DEPTH;
  }
  DEVICE void store(float *stage) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) stage[k * PITCH + line + i * STEP] = float_of(values[i]);
  }
};

/* Lines that lie across k: element (k, line) at matrix[k * ld + line]. */
template <class Tile, bool IS_LEFT, class Element> struct Across : Side<Tile, IS_LEFT> {
  static constexpr int LINES = Side<Tile, IS_LEFT>::LINES, PITCH = Side<Tile, IS_LEFT>::PITCH;
  static constexpr int STEP = Tile::THREADS / LINES, COUNT = Tile::DEPTH / STEP;
  const Element *from;
  i64 ld;
  int line, k, lines, left;
  Element values[COUNT];

  DEVICE Across(const Element *matrix, i64 ld, int lines, int depth) : ld(ld), lines(lines) {
    line = (int)threadIdx.x % LINES, k = (int)threadIdx.x / LINES, left = depth - k;
    from = matrix + k * ld + line;
  }
  DEVICE void load() {
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      bool exists = line < lines && i * STEP < left;
      values[i] = exists ? from[(i64)(i * STEP) * ld] : (Element)(IS_LEFT ? -0.0f : 0.0f);
    }
    from += Tile::DEPTH * ld, left -= Tile::DEPTH;
  }
  DEVICE void store(float *stage) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) stage[(k + i * STEP) * PITCH + line] = float_of(values[i]);
  }
};

/* ---- weights of four bits ---------------------------------------------------------------------------- */

static const float nf4_numbers[16] = {
  -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
  -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
  0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

struct Nf4 {
  const u8 *codes, *absmax_codes;
  const float *absmax, *map;
  bool is_nested, rounds;

  template <class Arguments> DEVICE Nf4(const Arguments &a)
      : codes(a.codes), absmax_codes(a.absmax_codes), absmax(a.absmax), map(a.map), is_nested(a.is_nested), rounds(a.rounds) {}
  /* The magnitude of a block; a product and a sum, each rounded. */
  DEVICE float scale(i64 block) const { return is_nested ? map[absmax_codes[block]] * absmax[block >> 8] + map[256] : absmax[block]; }
  /* Rounded to the nearest of bfloat16, ties to even; NaN stays NaN. */
  DEVICE float value(float number, float scale) const {
    u32 bits = to_bits(number * scale);
    if (rounds && (bits & 0x7fffffff) <= 0x7f800000) bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    return from_bits(bits);
  }
};

/* L weights one after another, at most two blocks of them. */
template <int L> struct Run {
  static_assert(L % 2 == 0 && L <= 8, "their codes fit a word");
  u32 word;
  float first, second;
  int length, border; /* those that exist; those of the first block */

  DEVICE void load(const Nf4 &w, i64 at, int count) {
    int odd = (int)(at & 1);
    length = count, border = 64 - (int)(at & 63), word = 0;
    const u8 *bytes = w.codes + (at >> 1);
#pragma unroll
    for (int i = 0; i < L / 2; i++) word = word << 8 | (length > 0 && 2 * i - odd < length ? bytes[i] : 0u);
    if (odd) word = word << 4 | (length == L ? bytes[L / 2] >> 4 : 0);
    first = length > 0 ? w.scale(at >> 6) : 0;
    second = border < length ? w.scale((at >> 6) + 1) : first;
  }
  DEVICE float value(const Nf4 &w, const float *numbers, int i) const {
    float x = w.value(numbers[word >> 4 * (L - 1 - i) & 15], i < border ? first : second);
    return i < length ? x : 0.0f;
  }
};

/* As `Along`, the first line being row `first` of a matrix of four bits: a thread takes a run of one line. */
template <class Tile> struct Nf4Along : Side<Tile, false> {
  static constexpr int PITCH = Side<Tile, false>::PITCH, L = Tile::COLUMNS * Tile::DEPTH / Tile::THREADS, RUNS = Tile::DEPTH / L;
  Nf4 w;
  const float *numbers;
  i64 at;
  int line, k, left;
  Run<L> run;

  DEVICE Nf4Along(const Nf4 &w, const float *numbers, i64 first, int lines, int depth) : w(w), numbers(numbers) {
    line = (int)threadIdx.x / RUNS, k = (int)threadIdx.x % RUNS * L, left = line < lines ? depth - k : 0;
    at = (first + line) * depth + k;
  }
  DEVICE void load() {
    run.load(w, at, left < 0 ? 0 : minimum(L, left));
    at += Tile::DEPTH, left -= Tile::DEPTH;
  }
  DEVICE void store(float *stage) {
#pragma unroll
    for (int i = 0; i < L; i++) stage[(k + i) * PITCH + line] = run.value(w, numbers, i);
  }
};

/* As `Across`, the first line being column `first` of a matrix of four bits with rows of `ld`. */
template <class Tile> struct Nf4Across : Side<Tile, false> {
  static constexpr int PITCH = Side<Tile, false>::PITCH, L = Tile::COLUMNS * Tile::DEPTH / Tile::THREADS, RUNS = Tile::COLUMNS / L;
  Nf4 w;
  const float *numbers;
  i64 at, ld;
  int line, k, count, left;
  Run<L> run;

  DEVICE Nf4Across(const Nf4 &w, const float *numbers, i64 first, i64 ld, int lines, int depth) : w(w), numbers(numbers), ld(ld) {
    line = (int)threadIdx.x % RUNS * L, k = (int)threadIdx.x / RUNS, left = depth - k;
    count = minimum(L, lines - line), at = k * ld + first + line;
  }
  DEVICE void load() {
    run.load(w, at, left > 0 && count > 0 ? count : 0);
    at += Tile::DEPTH * ld, left -= Tile::DEPTH;
  }
  DEVICE void store(float *stage) {
#pragma unroll
    for (int i = 0; i < L; i++) stage[k * PITCH + line + i] = run.value(w, numbers, i);
  }
};

/* ---- the product ------------------------------------------------------------------------------------- */

/* R values one after another, four at a time where there are four. */
template <int R> DEVICE void take(float (&to)[R], const float *from) {
  if (R == 1) to[0] = from[0];
#pragma unroll
  for (int i = 0; i + 4 <= R; i += 4) {
    float4 four = *(const float4 *)(from + i);
    to[i] = four.x, to[i + 1] = four.y, to[i + 2] = four.z, to[i + 3] = four.w;
  }
}

/* The tile at c, of which rows x columns exist; `stages` holds two of them. */
template <class Tile, class A, class B>
DEVICE void multiply(A &a, B &b, float *stages, float *c, i64 ldc, int rows, int columns, int depth, bool loads, const float *bias) {
  constexpr int R = Tile::R, C = Tile::C, ACROSS = Tile::COLUMNS / C;
  int row = (int)threadIdx.x / ACROSS * R, column = (int)threadIdx.x % ACROSS * C;
  bool works = row < rows && column < columns;
  c += row * ldc + column;
  float sum[R][C];
#pragma unroll
  for (int i = 0; i < R; i++)
#pragma unroll
    for (int j = 0; j < C; j++) sum[i][j] = loads && row + i < rows && column + j < columns ? c[i * ldc + j] : 0.0f;

  a.load(), b.load();
  a.store(stages), b.store(stages + Tile::DEPTH * A::PITCH);
  barrier();
  for (int k0 = 0, now = 0; k0 < depth; k0 += Tile::DEPTH, now ^= 1) {
    bool goes_on = k0 + Tile::DEPTH < depth;
    if (goes_on) a.load(), b.load();
    const float *left = stages + now * stage_size<Tile> + row, *right = stages + now * stage_size<Tile> + Tile::DEPTH * A::PITCH + column;
    if (works) {
#pragma unroll 16
      for (int k = 0; k < Tile::DEPTH; k++) {
        float x[R], w[C];
        take(x, left + k * A::PITCH), take(w, right + k * B::PITCH);
#pragma unroll
        for (int i = 0; i < R; i++)
#pragma unroll
          for (int j = 0; j < C; j++) sum[i][j] = fmaf(x[i], w[j], sum[i][j]);
      }
    }
    if (goes_on) {
      float *next = stages + (now ^ 1) * stage_size<Tile>;
      a.store(next), b.store(next + Tile::DEPTH * A::PITCH);
      barrier();
    }
  }
#pragma unroll
  for (int j = 0; j < C; j++) {
    float add = bias && column + j < columns ? bias[column + j] : 0.0f;
#pragma unroll
    for (int i = 0; i < R; i++)
      if (row + i < rows && column + j < columns) c[i * ldc + j] = bias ? sum[i][j] + add : sum[i][j];
  }
}

/* Where this block's tile stands: x chooses its rows, y its columns. Blocks one after another read the same columns of b. */
template <class Tile> DEVICE int first_row() { return (int)blockIdx.x * Tile::ROWS; }
template <class Tile> DEVICE int first_column() { return (int)blockIdx.y * Tile::COLUMNS; }

template <class Tile, class Element> DEVICE void forward(const nrc_linear_arguments &g) {
  int t = first_row<Tile>(), n = first_column<Tile>();
  Along<Tile, true, float> a(g.x + t * g.ldx, g.ldx, g.T - t, g.K);
  Along<Tile, false, Element> b((const Element *)g.w + (i64)n * g.K, g.K, g.N - n, g.K);
  multiply<Tile>(a, b, shared_floats(), g.y + t * g.ldy + n, g.ldy, g.T - t, g.N - n, g.K, g.accumulate, g.bias ? g.bias + n : nullptr);
}

template <class Tile, class Element> DEVICE void input_gradient(const nrc_linear_dx_arguments &g) {
  int t = first_row<Tile>(), k = first_column<Tile>();
  Along<Tile, true, float> a(g.dy + t * g.lddy, g.lddy, g.T - t, g.N);
  Across<Tile, false, Element> b((const Element *)g.w + k, g.K, g.K - k, g.N);
  multiply<Tile>(a, b, shared_floats(), g.dx + t * g.lddx + k, g.lddx, g.T - t, g.K - k, g.N, g.accumulate, nullptr);
}

template <class Tile> DEVICE void weight_gradient(const nrc_linear_dw_arguments &g) {
  int n = first_row<Tile>(), k = first_column<Tile>();
  Across<Tile, true, float> a(g.dy + n, g.lddy, g.N - n, g.T);
  Across<Tile, false, float> b(g.x + k, g.ldx, g.K - k, g.T);
  multiply<Tile>(a, b, shared_floats(), g.dw + n * g.lddw + k, g.lddw, g.N - n, g.K - k, g.T, g.accumulate, nullptr);
}

/* The sixteen numbers of NF4 stand before the stages. */
enum { NUMBERS = 16 };
DEVICE void set_numbers(float *numbers) {
  if (threadIdx.x < NUMBERS) numbers[threadIdx.x] = nf4_numbers[threadIdx.x];
  barrier();
}

template <class Tile> DEVICE void forward_nf4(const nrc_linear_nf4_arguments &g) {
  float *numbers = shared_floats();
  int t = first_row<Tile>(), n = first_column<Tile>();
  set_numbers(numbers);
  Along<Tile, true, float> a(g.x + t * g.ldx, g.ldx, g.T - t, g.K);
  Nf4Along<Tile> b(Nf4(g), numbers, n, g.N - n, g.K);
  multiply<Tile>(a, b, numbers + NUMBERS, g.y + t * g.ldy + n, g.ldy, g.T - t, g.N - n, g.K, g.accumulate, g.bias ? g.bias + n : nullptr);
}

template <class Tile> DEVICE void input_gradient_nf4(const nrc_linear_dx_nf4_arguments &g) {
  float *numbers = shared_floats();
  int t = first_row<Tile>(), k = first_column<Tile>();
  set_numbers(numbers);
  Along<Tile, true, float> a(g.dy + t * g.lddy, g.lddy, g.T - t, g.N);
  Nf4Across<Tile> b(Nf4(g), numbers, k, g.K, g.K - k, g.N);
  multiply<Tile>(a, b, numbers + NUMBERS, g.dx + t * g.lddx + k, g.lddx, g.T - t, g.K - k, g.N, g.accumulate, nullptr);
}

/* ---- kernels ------------------------------------------------------------------------------------------ */

/* linear_f32, linear_bf16: grid ceil(T / 128), ceil(N / 64), 1; 25600 bytes of shared memory. */
KERNEL(256, 2) linear_f32(nrc_linear_arguments a) { forward<Large, float>(a); }
KERNEL(256, 2) linear_bf16(nrc_linear_arguments a) { forward<Large, bf16>(a); }
/* linear_f32_small, linear_bf16_small: grid ceil(T / 16), ceil(N / 32), 1; 27136 bytes of shared memory. */
KERNEL(128, 6) linear_f32_small(nrc_linear_arguments a) { forward<Small<64>, float>(a); }
KERNEL(128, 6) linear_bf16_small(nrc_linear_arguments a) { forward<Small<64>, bf16>(a); }
/* linear_dx_f32, linear_dx_bf16: grid ceil(T / 128), ceil(K / 64), 1; 25600 bytes of shared memory. */
KERNEL(256, 2) linear_dx_f32(nrc_linear_dx_arguments a) { input_gradient<Large, float>(a); }
KERNEL(256, 2) linear_dx_bf16(nrc_linear_dx_arguments a) { input_gradient<Large, bf16>(a); }
/* linear_dw: grid ceil(N / 128), ceil(K / 64), 1; 25600 bytes of shared memory. */
KERNEL(256, 2) linear_dw(nrc_linear_dw_arguments a) { weight_gradient<Large>(a); }
/* linear_dw_small, for N or K up to 32: grid ceil(N / 16), ceil(K / 32), 1; 27136 bytes of shared memory. */
KERNEL(128, 6) linear_dw_small(nrc_linear_dw_arguments a) { weight_gradient<Small<64>>(a); }
/* linear_nf4: grid ceil(T / 128), ceil(N / 64), 1; 25664 bytes of shared memory. */
KERNEL(256, 2) linear_nf4(nrc_linear_nf4_arguments a) { forward_nf4<Large>(a); }
/* linear_nf4_small: grid ceil(T / 16), ceil(N / 32), 1; 13632 bytes of shared memory. */
KERNEL(128, 6) linear_nf4_small(nrc_linear_nf4_arguments a) { forward_nf4<Small<32>>(a); }
/* linear_dx_nf4: grid ceil(T / 128), ceil(K / 64), 1; 25664 bytes of shared memory. */
KERNEL(256, 2) linear_dx_nf4(nrc_linear_dx_nf4_arguments a) { input_gradient_nf4<Large>(a); }

/* A thread adds up one column, t ascending. linear_db: grid ceil(N / 64), 1, 1; no shared memory. */
KERNEL(64, 8) linear_db(nrc_linear_db_arguments a) {
  int n = (int)blockIdx.x * 64 + (int)threadIdx.x, t = 0;
  if (n >= a.N) return;
  const float *from = a.dy + n;
  float sum = a.db[n];
  for (; t + 16 <= a.T; t += 16, from += 16 * a.lddy) {
    float values[16];
#pragma unroll
    for (int i = 0; i < 16; i++) values[i] = from[i * a.lddy];
#pragma unroll
    for (int i = 0; i < 16; i++) sum += values[i];
  }
  for (; t < a.T; t++, from += a.lddy) sum += *from;
  a.db[n] = sum;
}

/* A warp takes 256 columns of a row. gather_nf4: grid ceil(T ceil(K / 256) / 8), 1, 1; 64 bytes of shared memory. */
KERNEL(256, 4) gather_nf4(nrc_gather_nf4_arguments a) {
  float *numbers = shared_floats();
  set_numbers(numbers);
  Nf4 w(a);
  u32 parts = ((u32)a.K + 255) / 256, warp = blockIdx.x * 8 + threadIdx.x / 32, t = warp / parts;
  if (t >= (u32)a.T) return;
  i64 row = (i64)a.ids[t] * a.K;
  float *out = a.out + t * a.ldo;
  int first = (int)(warp % parts * 256 + threadIdx.x % 32);
#pragma unroll
  for (int i = 0; i < 8; i++) {
    int k = first + i * 32;
    if (k >= a.K) break;
    i64 at = row + k;
    u32 pair = w.codes[at >> 1];
    out[k] = w.value(numbers[at & 1 ? pair & 15 : pair >> 4], w.scale(at >> 6));
  }
}
