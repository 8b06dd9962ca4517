/* cublaslt.cpp - libcublasLt's entry points: products of matrices in bfloat16, column-major, D = alpha op(A) op(B) + beta C.

   A product is a launch like any other: queued, recorded by captures, stopped by a mistake; each of its blocks makes TILE x TILE elements
   of D. Sums go over k in ascending order, in float32 with fused adds; then alpha times the sum, then a fused add of beta C, then nearest
   even. NVIDIA's library adds in an order of its own, so a host must not rely on these bits.

   An algorithm needs WORKSPACE bytes if the preference allows so many, else none, and is for the problem that the heuristic was asked
   about: shapes, leading dimensions, types, alignments. What a workspace held is lost. A refusal tells its reason, which the codes of
   the library do not; where the library takes what it cannot do and says so later, this one says so at once. */
#include "entries.h"
#include <stdlib.h>
#include <string.h>

enum Answer : int {
  LT_SUCCESS = 0, LT_NOT_INITIALIZED = 1, LT_INVALID_VALUE = 7, LT_EXECUTION_FAILED = 13, LT_NOT_SUPPORTED = 15
};
enum : int { FLOAT32 = 0, BFLOAT16 = 14, COMPUTE_FLOAT32 = 68 };
enum : u64 { WORKSPACE = 4096, WORKSPACE_ALIGNMENT = 256, TILE = 64, STEP = 64 /* of k */ };
enum : u64 {
  LT_HANDLE = 0x454c444e4148, LT_OPERATION = 0x4f4954415245504f, LT_LAYOUT = 0x54554f59414c, LT_PREFERENCE = 0x4345524645525054,
  LT_ALGORITHM = 0x4854495245474c41
};
struct Handle { u64 magic; Device *device; };
struct Operation { u64 magic; int transposed[2]; };
struct Layout { u64 magic; u64 rows, columns; i64 leading; int type; };
struct Preference { u64 magic, workspace; u32 alignment[4]; /* of A, B, C, D */ };
/* What an algorithm is for. */
struct Problem { u64 m, n, k; i64 leading[4]; int type, transposed[2], unused; };
struct Algorithm { u64 magic, problem, workspace; u32 alignment[4]; u64 sum, unused[2]; };
struct Result { Algorithm algorithm; u64 workspace; int state; float waves; int reserved[4]; };
static_assert(sizeof(Algorithm) == 64 && sizeof(Result) == 96 && sizeof(Problem) == 72, "as the library's");

static u64 live[4]; /* handles, operations, layouts, preferences */

/* Of a mistake, or of what is not emulated; neither stays with the device. */
#define REFUSE(answer, ...) \
  do {                      \
    report(0, __VA_ARGS__); \
    return answer;          \
  } while (0)
#define NEED(object, kind)                                                                                                         \
  if (!(object) || (object)->magic != kind)                                                                                        \
  REFUSE(LT_INVALID_VALUE, "%s: %s is %s", __func__, #object, object ? "destroyed, or not of its kind" : "null")

template <class T> static T *create(u64 magic, int kind) {
  T *o = (T *)calloc(1, sizeof *o);
  o->magic = magic;
  live[kind]++;
  return o;
}
template <class T> static Answer destroy(T *o, int kind) {
  o->magic = 0;
  live[kind]--;
  bury(o);
  return LT_SUCCESS;
}
EXPORT void nremuLiveProducts(u64 *values) { /* for tests: objects of each kind that were not given back */
  Locked locked;
  memcpy(values, live, sizeof live);
}

/* ---- handles and descriptions ---------------------------------------------------------------------------------------------- */

EXPORT size_t cublasLtGetVersion(void) { return 130000; }

#define ENTER_PRODUCTS                                                                          \
  Locked locked;                                                                                \
  Device *d = current;                                                                          \
  if (!initialised || !d || !d->retained) REFUSE(LT_NOT_INITIALIZED, "%s: no context", __func__); \
  at_work = d;                                                                                  \
  if (d->sticky) return LT_EXECUTION_FAILED

EXPORT Answer cublasLtCreate(Handle **handle) {
  ENTER_PRODUCTS;
  if (!handle) REFUSE(LT_INVALID_VALUE, "cublasLtCreate: null");
  if (unsafe_call()) REFUSE(LT_EXECUTION_FAILED, "cublasLtCreate: in a capture");
  *handle = create<Handle>(LT_HANDLE, 0);
  (*handle)->device = d;
  return LT_SUCCESS;
}
/* What is queued still runs: nobody shall rely on the wait that is in this call. */
EXPORT Answer cublasLtDestroy(Handle *handle) {
  Locked locked;
  NEED(handle, LT_HANDLE);
  if (unsafe_call()) REFUSE(LT_EXECUTION_FAILED, "cublasLtDestroy: in a capture");
  return destroy(handle, 0);
}
EXPORT Answer cublasLtMatmulDescCreate(Operation **operation, int compute, int scale) {
  Locked locked;
  if (!operation) REFUSE(LT_INVALID_VALUE, "cublasLtMatmulDescCreate: null");
  if (compute != COMPUTE_FLOAT32 || scale != FLOAT32)
    REFUSE(LT_NOT_SUPPORTED, "cublasLtMatmulDescCreate: compute type %d, scale type %d: only 68 and 0 are emulated", compute, scale);
  *operation = create<Operation>(LT_OPERATION, 1);
  return LT_SUCCESS;
}
EXPORT Answer cublasLtMatmulDescDestroy(Operation *operation) {
  Locked locked;
  NEED(operation, LT_OPERATION);
  return destroy(operation, 1);
}
/* Values of attributes: of one size each. */
#define ATTRIBUTE(type)                                                                                                            \
  if (!value || size != sizeof(type))                                                                                              \
    REFUSE(LT_INVALID_VALUE, "%s: attribute %d has %zu bytes, given are %zu%s", __func__, attribute, sizeof(type), size,           \
           value ? "" : " at null");                                                                                              \
  type x;                                                                                                                          \
  memcpy(&x, value, sizeof x)

EXPORT Answer cublasLtMatmulDescSetAttribute(Operation *operation, int attribute, const void *value, size_t size) {
  Locked locked;
  NEED(operation, LT_OPERATION);
  int only;
  switch (attribute) {
    case 3: case 4: { /* op(A), op(B) */
      ATTRIBUTE(int);
      if (x != 0 && x != 1) REFUSE(LT_NOT_SUPPORTED, "%s: operation %d of %c: only 0 and 1 are emulated", __func__, x, "AB"[attribute - 3]);
      operation->transposed[attribute - 3] = x;
      return LT_SUCCESS;
    }
    case 0: only = COMPUTE_FLOAT32; break;
    case 1: only = FLOAT32; break;
    case 2: only = 0; break; /* alpha and beta are the host's */
    case 5: only = 0; break; /* op(C) */
    case 7: only = 1; break; /* no epilogue */
    default: REFUSE(LT_NOT_SUPPORTED, "%s: attribute %d is not emulated", __func__, attribute);
  }
  ATTRIBUTE(int);
  if (x != only) REFUSE(LT_NOT_SUPPORTED, "%s: attribute %d is %d: only %d is emulated", __func__, attribute, x, only);
  return LT_SUCCESS;
}
EXPORT Answer cublasLtMatrixLayoutCreate(Layout **layout, int type, u64 rows, u64 columns, i64 leading) {
  Locked locked;
  if (!layout) REFUSE(LT_INVALID_VALUE, "cublasLtMatrixLayoutCreate: null");
  if (type != FLOAT32 && type != BFLOAT16) REFUSE(LT_NOT_SUPPORTED, "cublasLtMatrixLayoutCreate: type %d is not emulated", type);
  *layout = create<Layout>(LT_LAYOUT, 2);
  (*layout)->type = type, (*layout)->rows = rows, (*layout)->columns = columns, (*layout)->leading = leading;
  return LT_SUCCESS;
}
EXPORT Answer cublasLtMatrixLayoutDestroy(Layout *layout) {
  Locked locked;
  NEED(layout, LT_LAYOUT);
  return destroy(layout, 2);
}
EXPORT Answer cublasLtMatrixLayoutSetAttribute(Layout *layout, int attribute, const void *value, size_t size) {
  Locked locked;
  NEED(layout, LT_LAYOUT);
  if (attribute < 0 || attribute > 6) REFUSE(LT_NOT_SUPPORTED, "%s: attribute %d is not emulated", __func__, attribute);
  if (attribute == 2 || attribute == 3 || attribute == 4 || attribute == 6) {
    ATTRIBUTE(i64);
    if (attribute == 2) layout->rows = (u64)x;
    else if (attribute == 3) layout->columns = (u64)x;
    else if (attribute == 4) layout->leading = x;
    else if (x) REFUSE(LT_NOT_SUPPORTED, "%s: batches are not emulated", __func__);
    return LT_SUCCESS;
  }
  ATTRIBUTE(int);
  bool fits = attribute == 0 ? x == FLOAT32 || x == BFLOAT16 : x == (attribute == 1 ? 0 /* by columns */ : 1 /* batch */);
  if (!fits) REFUSE(LT_NOT_SUPPORTED, "%s: attribute %d is %d, which is not emulated", __func__, attribute, x);
  if (attribute == 0) layout->type = x;
  return LT_SUCCESS;
}
EXPORT Answer cublasLtMatmulPreferenceCreate(Preference **preference) {
  Locked locked;
  if (!preference) REFUSE(LT_INVALID_VALUE, "cublasLtMatmulPreferenceCreate: null");
  *preference = create<Preference>(LT_PREFERENCE, 3);
  for (u32 &alignment : (*preference)->alignment) alignment = 256; /* the library's own assumption */
  return LT_SUCCESS;
}
EXPORT Answer cublasLtMatmulPreferenceDestroy(Preference *preference) {
  Locked locked;
  NEED(preference, LT_PREFERENCE);
  return destroy(preference, 3);
}
EXPORT Answer cublasLtMatmulPreferenceSetAttribute(Preference *preference, int attribute, const void *value, size_t size) {
  Locked locked;
  NEED(preference, LT_PREFERENCE);
  if (attribute == 1) {
    ATTRIBUTE(u64);
    preference->workspace = x;
    return LT_SUCCESS;
  }
  if (attribute >= 5 && attribute <= 8) {
    ATTRIBUTE(u32);
    if (!x || x & (x - 1)) REFUSE(LT_INVALID_VALUE, "%s: an alignment of %u", __func__, x);
    preference->alignment[attribute - 5] = x;
    return LT_SUCCESS;
  }
  if (attribute != 3) REFUSE(LT_NOT_SUPPORTED, "%s: attribute %d is not emulated", __func__, attribute);
  ATTRIBUTE(u32); /* how parts of a sum are put together: here there is one */
  if (x > 7) REFUSE(LT_INVALID_VALUE, "%s: reduction schemes %#x", __func__, x);
  return LT_SUCCESS;
}

/* ---- what is asked for ----------------------------------------------------------------------------------------------------- */

static Answer problem_of(Problem *p, const char *call, const Operation *o, const Layout *const *l) {
  memset(p, 0, sizeof *p);
  if (!o || o->magic != LT_OPERATION) REFUSE(LT_INVALID_VALUE, "%s: the operation is %s", call, o ? "destroyed, or none" : "null");
  for (int i = 0; i < 4; i++) {
    char name = "ABCD"[i];
    if (!l[i] || l[i]->magic != LT_LAYOUT)
      REFUSE(LT_INVALID_VALUE, "%s: the layout of %c is %s", call, name, l[i] ? "destroyed, or none" : "null");
    if (!l[i]->rows || !l[i]->columns || l[i]->leading < (i64)l[i]->rows)
      REFUSE(LT_INVALID_VALUE, "%s: %c has %llu rows, %llu columns and a leading dimension of %lld", call, name, l[i]->rows, l[i]->columns,
             l[i]->leading);
    if (l[i]->columns > 0x7fffffff || l[i]->leading > 0x7fffffff) REFUSE(LT_NOT_SUPPORTED, "%s: %c is too large", call, name);
    p->leading[i] = l[i]->leading;
  }
  if (l[0]->type != BFLOAT16 || l[1]->type != BFLOAT16 || l[2]->type != l[3]->type)
    REFUSE(LT_NOT_SUPPORTED, "%s: types %d and %d to %d and %d are not emulated", call, l[0]->type, l[1]->type, l[2]->type, l[3]->type);
  const bool a = o->transposed[0], b = o->transposed[1];
  p->m = a ? l[0]->columns : l[0]->rows, p->k = a ? l[0]->rows : l[0]->columns, p->n = b ? l[1]->rows : l[1]->columns;
  u64 other = b ? l[1]->columns : l[1]->rows;
  p->type = l[3]->type, p->transposed[0] = a, p->transposed[1] = b;
  if (other != p->k) REFUSE(LT_INVALID_VALUE, "%s: op(A) has %llu columns, op(B) %llu rows", call, p->k, other);
  for (int i = 2; i < 4; i++)
    if (l[i]->rows != p->m || l[i]->columns != p->n)
      REFUSE(LT_INVALID_VALUE, "%s: %c is %llu x %llu, the product %llu x %llu", call, "ABCD"[i], l[i]->rows, l[i]->columns, p->m, p->n);
  return LT_SUCCESS;
}
static u64 sum_of(const void *bytes, u64 size) {
  u64 sum = size, x;
  for (u64 i = 0; i + 8 <= size; i += 8) memcpy(&x, (const u8 *)bytes + i, 8), sum = (sum ^ x) * 0x9E3779B97F4A7C15ull, sum ^= sum >> 29;
  return sum;
}
EXPORT Answer cublasLtMatmulAlgoGetHeuristic(Handle *handle, Operation *operation, Layout *a, Layout *b, Layout *c, Layout *to,
                                             Preference *preference, int room, Result *results, int *count) {
  ENTER_PRODUCTS;
  NEED(handle, LT_HANDLE);
  NEED(preference, LT_PREFERENCE);
  if (room < 1 || !results || !count) REFUSE(LT_INVALID_VALUE, "%s: room for %d results", __func__, room);
  *count = 0;
  const Layout *layouts[] = {a, b, c, to};
  Problem p;
  if (Answer answer = problem_of(&p, __func__, operation, layouts)) return answer;
  Result r = {};
  r.algorithm.magic = LT_ALGORITHM, r.algorithm.problem = sum_of(&p, sizeof p);
  r.workspace = r.algorithm.workspace = preference->workspace < WORKSPACE ? 0 : WORKSPACE;
  memcpy(r.algorithm.alignment, preference->alignment, sizeof r.algorithm.alignment);
  r.algorithm.sum = sum_of(&r.algorithm, offsetof(Algorithm, sum));
  r.waves = 1;
  results[0] = r, *count = 1;
  return LT_SUCCESS;
}

/* ---- a product that runs --------------------------------------------------------------------------------------------------- */

/* Its addresses first: they are what a launch's parameters are to who frees memory. C is null if it is not read. */
struct Product { const u8 *at[4], *workspace; u64 workspace_bytes, poisoned; float alpha, beta; Problem problem; };
static const char *const operand[] = {"A", "B", "C", "D"};

static inline u64 element(const Problem *p, int which) { return which < 2 || p->type == BFLOAT16 ? 2 : 4; }
static inline u64 rows_of(const Problem *p, int which) {
  return which == 0 ? p->transposed[0] ? p->k : p->m : which == 1 ? p->transposed[1] ? p->n : p->k : p->m;
}
static inline u64 columns_of(const Problem *p, int which) {
  return which == 0 ? p->transposed[0] ? p->m : p->k : which == 1 && p->transposed[1] ? p->k : p->n;
}
static inline u64 extent(const Problem *p, int which) { /* bytes from the first to behind the last */
  return ((columns_of(p, which) - 1) * (u64)p->leading[which] + rows_of(p, which)) * element(p, which);
}
static inline u16 bf16_of(float f) {
  u32 x;
  memcpy(&x, &f, 4);
  if ((x & 0x7fffffff) > 0x7f800000) return 0x7fff; /* the canonical NaN */
  return (u16)((x + 0x7fff + (x >> 16 & 1)) >> 16);
}
static inline float float_of(u16 bits) {
  u32 x = (u32)bits << 16;
  float f;
  memcpy(&f, &x, 4);
  return f;
}

static bool lies(const u8 *p, u64 bytes, const char *what) {
  if (!in_arena(p)) {
    report(ILLEGAL_ADDRESS, "%s at %p is no device address", what, (const void *)p);
    return false;
  }
  u64 at = offset_of(p), i = 0;
  const Allocation *a = allocation_at(at);
  if (a && at + bytes <= a->end) return true;
  if (a) i = a->end - at;
  char text[160];
  report(ILLEGAL_ADDRESS, "byte %llu of %llu of %s is %s", i, bytes, what, whose(at + i, text, sizeof text));
  return false;
}
/* Rows and columns of an operand must have been written. */
static bool is_written(const Product *p, int which, u64 row, u64 column, u64 rows, u64 columns) {
  const u64 size = element(&p->problem, which), pitch = (u64)p->problem.leading[which] * size, bytes = rows * size;
  const u8 *s = state + offset_of(p->at[which]) + column * pitch + row * size;
  for (u64 c = 0; c < columns; c++, s += pitch) {
    if (s[0] == WRITTEN && !memcmp(s, s + 1, bytes - 1)) continue;
    u64 i = 0;
    while (s[i] == WRITTEN) i++;
    report(LAUNCH_FAILED, "reads row %llu, column %llu of %s, which nobody wrote", row + i / size, column + c, operand[which]);
    return false;
  }
  return true;
}

/* x y + z, rounded once: in double x y is exact, and a sum that is not is made odd, so that the second rounding cannot err. */
static inline float fused(float x, float y, float z) {
#if defined(__aarch64__)
  return __builtin_fmaf(x, y, z);
#else
  double product = (double)x * y, sum = product + z, part = sum - product, rest = (product - (sum - part)) + (z - part);
  u64 bits;
  memcpy(&bits, &sum, 8);
  if (rest != 0 && !(bits & 1) && __builtin_isfinite(sum)) bits += (rest > 0) == (sum > 0) ? 1 : -1ull, memcpy(&sum, &bits, 8);
  return (float)sum;
#endif
}
/* sums[j][i] += a[k][i] b[k][j], over k in ascending order */
typedef void Add(float *sums, const float *a, const float *b, u64 rows, u64 columns, u64 depth);
#if defined(__x86_64__)
__attribute__((target("avx2,fma")))
#endif
static void add_quickly(float *sums, const float *a, const float *b, u64 rows, u64 columns, u64 depth) {
  typedef float vector __attribute__((ext_vector_type(8), aligned(4)));
  for (u64 i = 0; i < rows; i += 16)
    for (u64 j = 0; j < columns; j += 4) {
      vector low[4], high[4];
      for (u64 c = 0; c < 4; c++) low[c] = *(vector *)(sums + (j + c) * TILE + i), high[c] = *(vector *)(sums + (j + c) * TILE + i + 8);
      for (u64 k = 0; k < depth; k++) {
        vector x = *(const vector *)(a + k * TILE + i), y = *(const vector *)(a + k * TILE + i + 8);
        for (u64 c = 0; c < 4; c++) {
          vector factor = b[k * TILE + j + c] - (vector){};
          low[c] = __builtin_elementwise_fma(x, factor, low[c]), high[c] = __builtin_elementwise_fma(y, factor, high[c]);
        }
      }
      for (u64 c = 0; c < 4; c++) *(vector *)(sums + (j + c) * TILE + i) = low[c], *(vector *)(sums + (j + c) * TILE + i + 8) = high[c];
    }
}
#if defined(__x86_64__)
static void add_slowly(float *sums, const float *a, const float *b, u64 rows, u64 columns, u64 depth) { /* a processor without fused adds */
  for (u64 j = 0; j < columns; j++)
    for (u64 k = 0; k < depth; k++)
      for (u64 i = 0; i < rows; i++) sums[j * TILE + i] = fused(a[k * TILE + i], b[k * TILE + j], sums[j * TILE + i]);
}
#endif
/* panel[k][i] of a matrix in which i, or k, runs along the columns */
static void take(float *panel, const u16 *from, u64 leading, bool along, u64 count, u64 depth) {
  if (count % 16) memset(panel, 0, sizeof(float) * TILE * depth);
  if (along)
    for (u64 k = 0; k < depth; k++)
      for (u64 i = 0; i < count; i++) panel[k * TILE + i] = float_of(from[k * leading + i]);
  else
    for (u64 i = 0; i < count; i++)
      for (u64 k = 0; k < depth; k++) panel[k * TILE + i] = float_of(from[i * leading + k]);
}
static inline u64 least(u64 a, u64 b) { return a < b ? a : b; }

static void multiply(void *const *parameters) { /* one tile of D */
  const Product *p = (const Product *)parameters[0];
  const Problem *q = &p->problem;
  for (int i = 0; i < 4; i++)
    if (p->at[i] && !lies(p->at[i], extent(q, i), operand[i])) return;
  if (p->workspace_bytes && !lies(p->workspace, p->workspace_bytes, "the workspace")) return;
  const u64 row = nr_here.block_index.x * TILE, column = nr_here.block_index.y * TILE;
  const u64 rows = least(q->m - row, TILE), columns = least(q->n - column, TILE);
  const bool a_along = !q->transposed[0], b_along = q->transposed[1];
  if (settings.check) {
    if (!is_written(p, 0, a_along ? row : 0, a_along ? 0 : row, a_along ? rows : q->k, a_along ? q->k : rows)) return;
    if (!is_written(p, 1, b_along ? column : 0, b_along ? 0 : column, b_along ? columns : q->k, b_along ? q->k : columns)) return;
    if (p->at[2] && !is_written(p, 2, row, column, rows, columns)) return;
  }
  if (!row && !column && p->poisoned) {
    memset((u8 *)p->workspace, 0xFF, p->poisoned);
    if (settings.check) memset(state + offset_of(p->workspace), UNKNOWN, p->poisoned);
  }

  Add *add = add_quickly;
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) add = add_slowly;
#endif
  float sums[TILE * TILE] = {}, a[STEP * TILE], b[STEP * TILE];
  for (u64 k = 0; k < q->k; k += STEP) {
    u64 depth = least(q->k - k, STEP), lda = (u64)q->leading[0], ldb = (u64)q->leading[1];
    take(a, (const u16 *)p->at[0] + (a_along ? k * lda + row : row * lda + k), lda, a_along, rows, depth);
    take(b, (const u16 *)p->at[1] + (b_along ? k * ldb + column : column * ldb + k), ldb, b_along, columns, depth);
    add(sums, a, b, rows, columns, depth);
  }
  for (u64 j = 0; j < columns; j++) {
    const u64 c = (column + j) * (u64)q->leading[2] + row, to = (column + j) * (u64)q->leading[3] + row;
    for (u64 i = 0; i < rows; i++) {
      float x = p->alpha * sums[j * TILE + i];
      const void *before = p->at[2];
      if (before) x = fused(p->beta, q->type == BFLOAT16 ? float_of(((const u16 *)before)[c + i]) : ((const float *)before)[c + i], x);
      if (q->type == BFLOAT16) ((u16 *)p->at[3])[to + i] = bf16_of(x);
      else ((float *)p->at[3])[to + i] = x;
    }
    const u64 size = element(q, 3);
    if (settings.check) memset(state + offset_of(p->at[3]) + to * size, WRITTEN, rows * size);
  }
}

/* ---- a product that is put into a stream ----------------------------------------------------------------------------------- */

/* Whether elements of two operands are the same bytes. Of different pitches only what lies between their ends is looked at. */
static bool meet(const Product *p, int x, int y) {
  const Problem *q = &p->problem;
  const u64 from = (u64)p->at[x], to = (u64)p->at[y];
  if (from >= to + extent(q, y) || to >= from + extent(q, x)) return false;
  const u64 pitch = (u64)q->leading[x] * element(q, x);
  if (pitch != (u64)q->leading[y] * element(q, y)) return true;
  const u64 apart = from < to ? (to - from) % pitch : (pitch - (from - to) % pitch) % pitch; /* from a row of x to the next one of y */
  return apart < rows_of(q, x) * element(q, x) || pitch - apart < rows_of(q, y) * element(q, y);
}
EXPORT Answer cublasLtMatmul(Handle *handle, Operation *operation, const float *alpha, const void *A, Layout *a, const void *B, Layout *b,
                             const float *beta, const void *C, Layout *c, void *D, Layout *to, const Algorithm *algorithm, void *workspace,
                             size_t workspace_bytes, Stream *stream) {
  ENTER_PRODUCTS;
  NEED(handle, LT_HANDLE);
  if (handle->device != d)
    REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: a handle of device %d, but the current context is that of device %d", handle->device->index,
           d->index);
  Stream *s = stream_of(d, stream);
  if (!s) REFUSE(LT_EXECUTION_FAILED, "cublasLtMatmul: the stream is destroyed, or none");
  if (s->device != d)
    REFUSE(LT_EXECUTION_FAILED, "cublasLtMatmul: a stream of device %d, but the handle is one of device %d", s->device->index, d->index);
  if (!alpha || !beta) REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: %s is null", alpha ? "beta" : "alpha");
  if (in_arena(alpha) || in_arena(beta))
    REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: %s is a device address", in_arena(alpha) ? "alpha" : "beta");
  Product p = {};
  const Layout *layouts[] = {a, b, c, to};
  const void *at[] = {A, B, C, D};
  if (Answer answer = problem_of(&p.problem, "cublasLtMatmul", operation, layouts)) return answer;
  if (algorithm) {
    if (algorithm->magic != LT_ALGORITHM || algorithm->sum != sum_of(algorithm, offsetof(Algorithm, sum)))
      REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: the algorithm is not one that cublasLtMatmulAlgoGetHeuristic gave");
    if (algorithm->problem != sum_of(&p.problem, sizeof p.problem))
      REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: the algorithm was given for other shapes, leading dimensions, types or transposes");
    if (workspace_bytes < algorithm->workspace || (algorithm->workspace && !workspace))
      REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: a workspace of %zu bytes, but the algorithm needs %llu", workspace ? workspace_bytes : 0,
             algorithm->workspace);
  }
  if (workspace_bytes && !workspace) REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: a workspace of %zu bytes at null", workspace_bytes);
  if ((u64)workspace % WORKSPACE_ALIGNMENT && workspace_bytes)
    REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: the workspace is not aligned to %llu", (u64)WORKSPACE_ALIGNMENT);
  for (int i = 0; i < 4; i++) {
    u64 alignment = algorithm ? algorithm->alignment[i] : 1, size = element(&p.problem, i);
    if (!at[i]) REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: %s is null", operand[i]);
    if (alignment < size) alignment = size;
    if ((u64)at[i] % alignment)
      REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: %s is not aligned to %llu%s", operand[i], alignment,
             alignment > size ? ", as the preference says" : "");
    p.at[i] = (const u8 *)at[i];
  }
  p.alpha = *alpha, p.beta = *beta;
  p.workspace = (const u8 *)workspace, p.workspace_bytes = workspace_bytes;
  p.poisoned = algorithm ? algorithm->workspace : least(workspace_bytes, WORKSPACE);
  if (p.beta == 0) p.at[2] = NULL;
  else if (C == D && p.problem.leading[2] != p.problem.leading[3])
    REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: C is D, but their leading dimensions differ");
  for (int i = 0; i < 3; i++)
    if (p.at[i] && !(i == 2 && C == D) && meet(&p, i, 3)) REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: %s and D overlap", operand[i]);
  for (int i = 0; i < 4; i++)
    if (p.at[i] && workspace_bytes && p.workspace < p.at[i] + extent(&p.problem, i) && p.at[i] < p.workspace + workspace_bytes)
      REFUSE(LT_INVALID_VALUE, "cublasLtMatmul: the workspace and %s overlap", operand[i]);
  for (int i = 0; i < 5; i++) {
    u64 offset = offset_of(i < 4 ? p.at[i] : p.workspace);
    if (offset >= arena_bytes || (offset >= d->begin && offset < d->end)) continue;
    report(ILLEGAL_ADDRESS, "cublasLtMatmul: %s is at an address of device %llu, but the stream is one of device %d",
           i < 4 ? operand[i] : "the workspace", offset / device_bytes, d->index);
    return LT_EXECUTION_FAILED;
  }

  static Module module;
  static Function function = {&module, NULL, multiply, NULL, 1, 1, 0, "cublasLtMatmul"};
  Launch *l = (Launch *)calloc(1, sizeof *l);
  l->references = 1, l->function = &function, l->block = {1, 1, 1};
  l->grid = {(u32)((p.problem.m + TILE - 1) / TILE), (u32)((p.problem.n + TILE - 1) / TILE), 1};
  l->parameter_bytes = offsetof(Product, workspace_bytes), l->block_bytes = sizeof p + sizeof(void *);
  l->parameter_block = (u8 *)calloc(1, l->block_bytes);
  memcpy(l->parameter_block, &p, sizeof p);
  l->parameters = (void **)(l->parameter_block + sizeof p);
  l->parameters[0] = l->parameter_block;
  Work w = {};
  w.kind = LAUNCH, w.launch = l;
  return put_in(s, &w) ? LT_EXECUTION_FAILED : LT_SUCCESS;
}
