/* products.c - what the emulator's libcublasLt does: products, bit for bit as plain loops make them, and mistakes that it must report. */
#include "gpu.h"

typedef struct { u64 data[8]; } Algorithm;
typedef struct { Algorithm algorithm; size_t workspace; int state; float waves; int reserved[4]; } Result;
#define PRODUCTS(X)                                                                                                            \
  X(Create, (void **)) X(Destroy, (void *)) X(MatmulDescCreate, (void **, int, int)) X(MatmulDescDestroy, (void *))            \
  X(MatmulDescSetAttribute, (void *, int, const void *, size_t)) X(MatrixLayoutCreate, (void **, int, u64, u64, int64_t))      \
  X(MatrixLayoutDestroy, (void *)) X(MatrixLayoutSetAttribute, (void *, int, const void *, size_t))                            \
  X(MatmulPreferenceCreate, (void **)) X(MatmulPreferenceDestroy, (void *))                                                    \
  X(MatmulPreferenceSetAttribute, (void *, int, const void *, size_t))                                                         \
  X(MatmulAlgoGetHeuristic, (void *, void *, void *, void *, void *, void *, void *, int, Result *, int *))                    \
  X(Matmul, (void *, void *, const float *, Pointer, void *, Pointer, void *, const float *, Pointer, void *, Pointer, void *, \
             const Algorithm *, Pointer, size_t, void *))
static struct { PRODUCTS(FIELD) size_t (*GetVersion)(void); } lt;
static void (*live_products)(u64 *);
static void open_products(void) {
  void *products = library("libcublasLt.so.13");
  if (!products) printf("%s\n", dlerror()), exit(2);
#define FROM_PRODUCTS(name, arguments) *(void **)&lt.name = symbol(products, "cublasLt", #name);
  PRODUCTS(FROM_PRODUCTS)
  FROM_PRODUCTS(GetVersion, )
  *(void **)&live_products = symbol(products, "nremu", "LiveProducts");
}
enum { FLOAT32 = 0, BFLOAT16 = 14, WORKSPACE = 1 << 16 };

static u32 bits_of(float f) { u32 x; memcpy(&x, &f, 4); return x; }
static float float_of(u32 bits) { float f; memcpy(&f, &bits, 4); return f; }
static uint16_t bf16(float f) { u32 x = bits_of(f); return isnan(f) ? 0x7fff : (uint16_t)((x + 0x7fff + (x >> 16 & 1)) >> 16); }
static u32 seed = 1;
static float uniform(void) { seed = seed * 1664525 + 1013904223; return (float)(seed >> 8) / 8388608 - 1; }

/* ---- a product and its plain loops ------------------------------------------------------------------------------------------- */

typedef struct { int rows, columns, leading, type; unsigned char *host; Pointer device; void *layout; } Matrix;
static size_t size_of(const Matrix *x) { return x->type == BFLOAT16 ? 2 : 4; }
static float get(const Matrix *x, int row, int column) {
  size_t at = (size_t)column * (size_t)x->leading + (size_t)row;
  return x->type == BFLOAT16 ? float_of((u32)((uint16_t *)x->host)[at] << 16) : ((float *)x->host)[at];
}
static void set(Matrix *x, int row, int column, float f) {
  size_t at = (size_t)column * (size_t)x->leading + (size_t)row;
  if (x->type == BFLOAT16) ((uint16_t *)x->host)[at] = bf16(f);
  else ((float *)x->host)[at] = f;
}
static size_t bytes_of(const Matrix *x) { return ((size_t)(x->columns - 1) * (size_t)x->leading + (size_t)x->rows) * size_of(x); }
/* Exactly as large as it must be; what lies between the columns is not written. */
static Matrix matrix(int rows, int columns, int more, int type, int fill) {
  Matrix x = {rows, columns, rows + more, type};
  x.host = malloc(bytes_of(&x)), memset(x.host, 0xFF, bytes_of(&x));
  x.device = memory(bytes_of(&x));
  CHECK(lt.MatrixLayoutCreate(&x.layout, type, (u64)rows, (u64)columns, x.leading));
  for (int c = 0; c < columns && fill; c++) {
    for (int r = 0; r < rows; r++) set(&x, r, c, uniform() * (fill == 2 && r == c ? INFINITY : 1));
    size_t at = (size_t)c * (size_t)x.leading * size_of(&x);
    CHECK(cu.MemcpyHtoD_v2(x.device + at, x.host + at, (size_t)rows * size_of(&x)));
  }
  CHECK(cu.CtxSynchronize());
  return x;
}
static void end_matrix(Matrix *x) {
  if (x->device) CHECK(cu.MemFree_v2(x->device));
  CHECK(lt.MatrixLayoutDestroy(x->layout));
  free(x->host);
}
static int differs(const Matrix *x) { /* from what the device has, and by which place + 1 */
  unsigned char *back = malloc(bytes_of(x));
  CHECK(cu.MemcpyDtoH_v2(back, x->device, bytes_of(x)));
  int at = 0;
  for (size_t i = 0; i < bytes_of(x) && !at; i++)
    if (back[i] != x->host[i]) at = (int)(i / size_of(x)) + 1;
  free(back);
  return at;
}

static void *handle, *stream;
static Pointer workspace;
typedef struct { void *operation, *preference; Result result; Matrix a, b, c, d; int m, n, k, transposed[2]; float alpha, beta; } Product;
static int ask(Product *p, Result *r) {
  int count = 0, status = lt.MatmulAlgoGetHeuristic(handle, p->operation, p->a.layout, p->b.layout, p->c.layout, p->d.layout, p->preference, 1, r, &count);
  EXPECT(count == !status, "%d algorithms", count);
  return status;
}
/* In place if there is nothing between D's columns. */
static Product product(int m, int n, int k, int ta, int tb, int more, int type, float alpha, float beta, int fill) {
  Product p = {.m = m, .n = n, .k = k, .transposed = {ta, tb}, .alpha = alpha, .beta = beta};
  u64 most = WORKSPACE;
  CHECK(lt.MatmulDescCreate(&p.operation, 68, 0));
  CHECK(lt.MatmulDescSetAttribute(p.operation, 3, &ta, 4));
  CHECK(lt.MatmulDescSetAttribute(p.operation, 4, &tb, 4));
  CHECK(lt.MatmulPreferenceCreate(&p.preference));
  CHECK(lt.MatmulPreferenceSetAttribute(p.preference, 1, &most, 8));
  p.a = ta ? matrix(k, m, more, BFLOAT16, fill) : matrix(m, k, more, BFLOAT16, fill);
  p.b = tb ? matrix(n, k, 2 * more, BFLOAT16, fill) : matrix(k, n, 2 * more, BFLOAT16, fill);
  p.d = matrix(m, n, 3 * more, type, beta != 0 && !more);
  p.c = more ? matrix(m, n, more, type, beta != 0) : p.d;
  CHECK(ask(&p, &p.result));
  EXPECT(!p.result.state && p.result.workspace && p.result.workspace <= WORKSPACE, "state %d, %zu bytes", p.result.state, p.result.workspace);
  return p;
}
static int call_with(Product *p, Pointer a, Pointer c, Pointer d, const Algorithm *algorithm, Pointer room, size_t bytes) {
  return lt.Matmul(handle, p->operation, &p->alpha, a, p->a.layout, p->b.device, p->b.layout, &p->beta, c, p->c.layout, d, p->d.layout, algorithm, room,
                   bytes, stream);
}
static int call(Product *p) {
  return call_with(p, p->a.device, p->c.device, p->d.device, &p->result.algorithm, workspace, p->result.workspace);
}
static void plain(Product *p) {
  Matrix *c = p->c.device == p->d.device ? &p->d : &p->c;
  for (int j = 0; j < p->n; j++)
    for (int i = 0; i < p->m; i++) {
      float sum = 0;
      for (int k = 0; k < p->k; k++)
        sum = fmaf(p->transposed[0] ? get(&p->a, k, i) : get(&p->a, i, k), p->transposed[1] ? get(&p->b, j, k) : get(&p->b, k, j), sum);
      float x = p->alpha * sum;
      if (p->beta != 0) x = fmaf(p->beta, get(c, i, j), x);
      set(&p->d, i, j, x);
    }
}
static void end(Product *p) {
  if (p->c.device != p->d.device) end_matrix(&p->c);
  end_matrix(&p->a), end_matrix(&p->b), end_matrix(&p->d);
  CHECK(lt.MatmulDescDestroy(p->operation));
  CHECK(lt.MatmulPreferenceDestroy(p->preference));
}

static void right_results(void) {
  static const int shapes[][3] = {{1, 1, 1}, {3, 5, 7}, {64, 64, 64}, {65, 130, 129}, {17, 1, 200}, {1, 70, 300}, {128, 3, 65}};
  for (int s = 0; s < 7; s++)
    for (int way = 0; way < 32; way++) { /* transposes, strides (and C beside D), beta, type */
      int type = way & 16 ? FLOAT32 : BFLOAT16, more = way & 4 ? 3 : 0;
      for (int set = 0; set < 2; set++) {
        float alpha = set ? 1 : -0.37f, beta = way & 8 ? set ? 1 : 0.7f : 0;
        Product p = product(shapes[s][0], shapes[s][1], shapes[s][2], way & 1, way >> 1 & 1, more, type, alpha, beta, way == 5 ? 2 : 1);
        CHECK(call(&p));
        CHECK(cu.StreamSynchronize(stream));
        plain(&p);
        int at = differs(&p.d);
        EXPECT(!at, "%d x %d x %d, way %d, alpha %g, beta %g: place %d", p.m, p.n, p.k, way, alpha, beta, at - 1);
        end(&p);
      }
    }
  for (int way = 0; way < 4; way++) {
    Product p = product(300, 64, 300, way & 1, way >> 1, 0, BFLOAT16, 1, 0, 1);
    double best = 1;
    for (int i = 0; i < 5; i++) {
      double t = now();
      CHECK(call(&p));
      CHECK(cu.StreamSynchronize(stream));
      if (now() - t < best) best = now() - t;
    }
    plain(&p);
    EXPECT(!differs(&p.d), "300 x 64 x 300");
    printf("  300 x 64 x 300, transposes %d %d: %.2f ms\n", way & 1, way >> 1, best * 1e3);
    end(&p);
  }
}

/* When it runs, and with what. */
static void order(void) {
  float other = 9;
  Product p = product(70, 66, 40, 0, 1, 0, FLOAT32, 0.5f, 1, 1);
  EXPECT(!differs(&p.d), "D before the product");
  CHECK(call(&p));
  p.alpha = other, p.beta = other; /* taken at the call */
  int one = 1;
  CHECK(lt.MatmulDescSetAttribute(p.operation, 3, &one, 4));
  EXPECT(!differs(&p.d), "the product did not wait for anyone");
  p.alpha = 0.5f, p.beta = 1, one = 0;
  CHECK(lt.MatmulDescSetAttribute(p.operation, 3, &one, 4));
  CHECK(cu.StreamSynchronize(stream));
  plain(&p);
  EXPECT(!differs(&p.d), "queued");
  /* after what stands before it in the stream */
  CHECK(cu.MemsetD32Async(p.d.device, 0, (size_t)(p.m * p.n), stream));
  CHECK(call(&p));
  CHECK(cu.StreamSynchronize(stream));
  memset(p.d.host, 0, bytes_of(&p.d));
  plain(&p);
  EXPECT(!differs(&p.d), "after a memset");
  /* recorded, and done three times; descriptions and handles may be gone by then */
  void *graph, *ready, *first = handle;
  CHECK(cu.StreamBeginCapture_v2(stream, 1));
  CHECK(call(&p));
  CHECK(call(&p));
  CHECK(cu.StreamEndCapture(stream, &graph));
  EXPECT(!differs(&p.d), "the capture ran");
  CHECK(cu.GraphInstantiateWithFlags(&ready, graph, 0));
  CHECK(cu.GraphDestroy(graph));
  CHECK(lt.Create(&handle));
  CHECK(lt.Destroy(first));
  for (int i = 0; i < 3; i++) CHECK(cu.GraphLaunch(ready, stream));
  CHECK(cu.StreamSynchronize(stream));
  for (int i = 0; i < 6; i++) plain(&p);
  EXPECT(!differs(&p.d), "replayed");
  CHECK(cu.GraphExecDestroy(ready));
  /* without an algorithm, and without a workspace where the preference allows none */
  CHECK(call_with(&p, p.a.device, p.d.device, p.d.device, NULL, 0, 0));
  u64 none = 0;
  CHECK(lt.MatmulPreferenceSetAttribute(p.preference, 1, &none, 8));
  CHECK(ask(&p, &p.result));
  EXPECT(!p.result.workspace, "%zu bytes of none", p.result.workspace);
  CHECK(call_with(&p, p.a.device, p.d.device, p.d.device, &p.result.algorithm, 0, 0));
  CHECK(cu.StreamSynchronize(stream));
  plain(&p), plain(&p);
  EXPECT(!differs(&p.d), "without a workspace");
  end(&p);
  /* what a product made is what the next one reads */
  p = product(70, 20, 30, 0, 0, 1, BFLOAT16, 1, 0, 1);
  Product next = product(20, 9, 70, 1, 0, 1, FLOAT32, 1, 0, 1);
  CHECK(cu.MemFree_v2(next.a.device));
  free(next.a.host);
  CHECK(lt.MatrixLayoutSetAttribute(next.a.layout, 4, (int64_t[]){p.d.leading}, 8));
  CHECK(ask(&next, &next.result));
  next.a.leading = p.d.leading, next.a.device = p.d.device, next.a.host = p.d.host;
  CHECK(call(&p));
  CHECK(call(&next));
  CHECK(cu.StreamSynchronize(stream));
  plain(&p), plain(&next);
  EXPECT(!differs(&next.d), "a product of a product");
  next.a.device = 0, next.a.host = NULL;
  end(&p), end(&next);
  /* D beside A in the rows of one buffer is sound; a workspace keeps nothing */
  p = product(32, 8, 16, 0, 0, 0, BFLOAT16, 1, 0, 1);
  Pointer rows = memory_of(p.a.host, bytes_of(&p.a)), both = memory(64 * 16 * 2);
  struct { size_t a, b; u32 c; const void *d; Pointer e; void *f; size_t g, h, i; u32 j; void *k; Pointer l; void *m; size_t n, o, p; } copy = {
      .c = 2, .e = rows, .g = 64, .j = 2, .l = both, .n = 128, .o = 64, .p = 16};
  CHECK(cu.Memcpy2DAsync_v2(&copy, stream));
  int64_t leading = 64;
  u32 alignment = 16;
  CHECK(lt.MatrixLayoutSetAttribute(p.a.layout, 4, &leading, 8));
  CHECK(lt.MatrixLayoutSetAttribute(p.d.layout, 4, &leading, 8));
  CHECK(lt.MatmulPreferenceSetAttribute(p.preference, 7, &alignment, 4));
  CHECK(lt.MatmulPreferenceSetAttribute(p.preference, 8, &alignment, 4));
  CHECK(ask(&p, &p.result));
  CHECK(cu.MemsetD8Async(workspace, 1, 4, stream));
  CHECK(call_with(&p, both, both + 64, both + 64, &p.result.algorithm, workspace, WORKSPACE));
  CHECK(cu.StreamSynchronize(stream));
  unsigned char kept[4], back[2];
  CHECK(cu.MemcpyDtoH_v2(kept, workspace, 4));
  EXPECT(kept[0] != 1, "the workspace was kept");
  plain(&p);
  CHECK(cu.MemcpyDtoH_v2(back, both + 64 + 7 * 128, 2));
  EXPECT(!memcmp(back, p.d.host + 7 * 64, 2), "in rows beside A");
  CHECK(cu.MemFree_v2(rows));
  CHECK(cu.MemFree_v2(both));
  end(&p);
}

/* ---- mistakes ------------------------------------------------------------------------------------------------------------------ */

static void said(const char *what, int mode, int want, int status, const char *words) {
  const char *first = emu.FirstError();
  EXPECT(status == want, "%s %d gives %d, not %d", what, mode, status, want);
  EXPECT(words ? strstr(first, words) != NULL : !*first, "%s %d: \"%s\" is not in \"%s\"", what, mode, words ? words : "nothing", first);
  printf("      %-24s %2d  %d  %s\n", what, mode, status, first);
  emu.Reset();
}
static void description_mistakes(void) {
  void *o, *l, *p, *gone, *made;
  int x, ten[4] = {0};
  u64 large = 2;
  CHECK(lt.MatmulDescCreate(&o, 68, 0));
  CHECK(lt.MatrixLayoutCreate(&l, BFLOAT16, 8, 8, 8));
  CHECK(lt.MatmulPreferenceCreate(&p));
  CHECK(lt.MatmulDescCreate(&gone, 68, 0));
  CHECK(lt.MatmulDescDestroy(gone));
#define SAID(want, words, call) said("descriptions", __LINE__, want, call, words)
  SAID(15, "compute type 77", lt.MatmulDescCreate(&made, 77, 0));
  SAID(15, "scale type 14", lt.MatmulDescCreate(&made, 68, 14));
  SAID(7, "null", lt.MatmulDescCreate(NULL, 68, 0));
  SAID(15, "type 2", lt.MatrixLayoutCreate(&made, 2, 8, 8, 8));
  SAID(15, "operation 2 of B", (x = 2, lt.MatmulDescSetAttribute(o, 4, &x, 4)));
  SAID(7, "has 4 bytes, given are 8", lt.MatmulDescSetAttribute(o, 3, &large, 8));
  SAID(7, "at null", lt.MatmulDescSetAttribute(o, 3, NULL, 4));
  SAID(15, "attribute 2 is 1", (x = 1, lt.MatmulDescSetAttribute(o, 2, &x, 4)));
  SAID(15, "attribute 7 is 4", (x = 4, lt.MatmulDescSetAttribute(o, 7, &x, 4)));
  SAID(0, NULL, (x = 1, lt.MatmulDescSetAttribute(o, 7, &x, 4)));
  SAID(15, "attribute 8", lt.MatmulDescSetAttribute(o, 8, ten, 8));
  SAID(7, "destroyed", lt.MatmulDescSetAttribute(gone, 3, &x, 4));
  SAID(7, "destroyed", lt.MatmulDescDestroy(gone));
  SAID(7, "null", lt.MatrixLayoutDestroy(NULL));
  SAID(7, "not of its kind", lt.MatrixLayoutDestroy(o));
  SAID(15, "attribute 5 is 2", (x = 2, lt.MatrixLayoutSetAttribute(l, 5, &x, 4)));
  SAID(0, NULL, (x = 1, lt.MatrixLayoutSetAttribute(l, 5, &x, 4)));
  SAID(15, "attribute 1 is 1", (x = 1, lt.MatrixLayoutSetAttribute(l, 1, &x, 4)));
  SAID(15, "batches", lt.MatrixLayoutSetAttribute(l, 6, &large, 8));
  SAID(7, "has 8 bytes, given are 4", lt.MatmulPreferenceSetAttribute(p, 1, &x, 4));
  SAID(7, "an alignment of 3", (x = 3, lt.MatmulPreferenceSetAttribute(p, 5, &x, 4)));
  SAID(0, NULL, (x = 1, lt.MatmulPreferenceSetAttribute(p, 3, &x, 4)));
  SAID(15, "attribute 12", lt.MatmulPreferenceSetAttribute(p, 12, ten, 8));
  CHECK(lt.MatmulDescDestroy(o));
  CHECK(lt.MatrixLayoutDestroy(l));
  CHECK(lt.MatmulPreferenceDestroy(p));
}
static void question_mistakes(void) {
  Result r;
  int count;
  for (int mode = 0; mode < 11; mode++) {
    Product p = product(16, 24, 8, 0, 0, 1, BFLOAT16, 1, 1, 1);
    int64_t leading = 15, rows = 17, none = 0;
    int type = FLOAT32, one = 1, room = 1;
    void *h = handle, *o = p.operation, *preference = p.preference;
    if (mode == 1) lt.MatrixLayoutSetAttribute(p.d.layout, 4, &leading, 8);
    if (mode == 2) lt.MatrixLayoutSetAttribute(p.d.layout, 2, &rows, 8);
    if (mode == 3) lt.MatrixLayoutSetAttribute(p.a.layout, 0, &type, 4);
    if (mode == 4) lt.MatrixLayoutSetAttribute(p.d.layout, 0, &type, 4);
    if (mode == 5) lt.MatmulDescSetAttribute(p.operation, 4, &one, 4);
    if (mode == 6) h = NULL;
    if (mode == 7) preference = NULL;
    if (mode == 8) room = 0;
    if (mode == 9) lt.MatrixLayoutSetAttribute(p.c.layout, 3, &none, 8);
    if (mode == 10) o = p.d.layout;
    int status = lt.MatmulAlgoGetHeuristic(h, o, p.a.layout, p.b.layout, p.c.layout, p.d.layout, preference, room, &r, &count);
    static const char *const want[] = {
        NULL, "D has 16 rows, 24 columns and a leading dimension of 15", "D is 17 x 24, the product 16 x 24", "types 0 and 14",
        "types 14 and 14 to 14 and 0", "op(A) has 8 columns, op(B) 24 rows", "handle is null", "preference is null", "room for 0",
        "C has 16 rows, 0 columns", "the operation is destroyed"};
    said("questions", mode, !mode ? 0 : mode == 3 || mode == 4 ? 15 : 7, status, want[mode]);
    end(&p);
  }
}
static void call_mistakes(void **contexts) {
  void *other_stream, *other_handle, *gone;
  CHECK(cu.StreamCreate(&gone, 1));
  CHECK(cu.StreamDestroy_v2(gone));
  CHECK(cu.CtxSetCurrent(contexts[1]));
  CHECK(cu.StreamCreate(&other_stream, 1));
  CHECK(lt.Create(&other_handle));
  Pointer elsewhere = memory(1 << 12);
  CHECK(cu.CtxSetCurrent(contexts[0]));
  for (int mode = 0; mode < 27; mode++) {
    Product p = product(16, 24, 8, 0, 0, 1, BFLOAT16, 1, 1, 1), q = product(24, 24, 8, 0, 0, 1, BFLOAT16, 1, 1, 1);
    const float *alpha = &p.alpha, *beta = &p.beta;
    Algorithm algorithm = p.result.algorithm, *which = &algorithm;
    Pointer at[5] = {p.a.device, p.b.device, p.c.device, p.d.device, workspace};
    void *layouts[4] = {p.a.layout, p.b.layout, p.c.layout, p.d.layout}, *h = handle, *s = stream;
    size_t bytes = p.result.workspace;
    float zero = 0;
    if (mode == 1) bytes--;
    if (mode == 2) at[4] = 0;
    if (mode == 3) bytes = 0, at[4] = 0;
    if (mode == 4) algorithm.data[2] ^= 1;
    if (mode == 5) memset(&algorithm, 0, sizeof algorithm);
    if (mode == 6) algorithm = q.result.algorithm;
    if (mode == 7) at[0] += 1;
    if (mode == 8) at[3] += 32;
    if (mode == 9) at[4] += 16;
    if (mode == 10) at[3] = at[1];
    if (mode == 11) at[3] = at[2]; /* in place, with another leading dimension */
    if (mode == 12) at[4] = at[2];
    if (mode == 13) at[1] = elsewhere;
    if (mode == 14) at[4] = elsewhere;
    if (mode == 15) s = other_stream;
    if (mode == 16) h = other_handle;
    if (mode == 17) s = gone;
    if (mode == 18) alpha = NULL;
    if (mode == 19) beta = (const float *)p.c.device;
    if (mode == 20) at[2] = 0;
    if (mode == 21) layouts[0] = p.operation;
    if (mode == 22) h = p.operation;
    if (mode == 23) lt.Create(&h), lt.Destroy(h);
    if (mode == 24) CHECK(cu.CtxSetCurrent(NULL));
    if (mode == 25) which = NULL, at[0] += 1; /* without an algorithm elements must be aligned still */
    if (mode == 26) which = NULL, at[3] += 2, beta = &zero; /* ... and nothing else; D is one element shorter than it must be */
    int status = lt.Matmul(h, p.operation, alpha, at[0], layouts[0], at[1], layouts[1], beta, at[2], layouts[2], at[3], layouts[3], which, at[4],
                           bytes, s);
    if (mode == 24) CHECK(cu.CtxSetCurrent(contexts[0]));
    static const char *const want[] = {
        NULL, "a workspace of 4095 bytes, but the algorithm needs 4096", "a workspace of 0 bytes", "a workspace of 0 bytes",
        "not one that cublasLtMatmulAlgoGetHeuristic gave", "not one that", "given for other shapes", "A is not aligned to 256",
        "D is not aligned to 256, as the preference says", "the workspace is not aligned to 256", "B and D overlap",
        "C is D, but their leading dimensions differ", "the workspace and C overlap", "B is at an address of device 1",
        "the workspace is at an address of device 1", "a stream of device 1", "a handle of device 1", "the stream is destroyed",
        "alpha is null", "beta is a device address", "C is null", "the layout of A is destroyed", "handle is destroyed",
        "handle is destroyed", "no context", "A is not aligned to 2", NULL};
    int code = mode == 0 || mode == 26 ? 0 : mode == 13 || mode == 14 || mode == 15 || mode == 17 ? 13 : mode == 24 ? 1 : 7;
    if (mode == 26) {
      GIVES(0, status);
      status = cu.StreamSynchronize(stream);
      said("calls", mode, 700, status, "of D is outside every allocation, 1 past the last byte");
    } else said("calls", mode, code, status, want[mode]);
    CHECK(cu.StreamSynchronize(stream));
    end(&p), end(&q);
  }
  CHECK(cu.CtxSetCurrent(contexts[1]));
  CHECK(cu.MemFree_v2(elsewhere));
  CHECK(cu.StreamDestroy_v2(other_stream));
  CHECK(lt.Destroy(other_handle));
  CHECK(cu.CtxSetCurrent(contexts[0]));
}
/* What shows when the product runs, or before. */
static void run_mistakes(void) {
  int checked = getenv("NREMU_CHECK") && atoi(getenv("NREMU_CHECK"));
  for (int mode = 0; mode < 12; mode++) {
    Product p = product(70, 24, 8, 0, 0, 1, BFLOAT16, 1, mode != 4, 1);
    Pointer small = memory(256), *freed = NULL;
    u32 two = 2;
    void *graph, *ready, *made;
    const char *words = NULL;
    int status = 0;
    for (int i = 5; i < 9; i++) CHECK(lt.MatmulPreferenceSetAttribute(p.preference, i, &two, 4));
    CHECK(ask(&p, &p.result));
    Pointer kept[4] = {p.a.device, p.b.device, p.c.device, p.d.device};
    if (mode == 1) p.a.device = small, words = "of A is outside every allocation, 1 past the last byte of one of 256";
    if (mode == 2) p.b.device -= 2, words = "of B is outside every allocation, 2 before the first byte";
    if (mode == 3) p.d.device += 2, words = "of D is outside every allocation, 1 past the last byte";
    if (mode == 4) p.c.device = small; /* beta is 0: C is not read */
    if (mode == 5) freed = &p.a.device, words = "cuMemFree: memory is freed while cublasLtMatmul that uses it is queued";
    if (mode == 6) freed = &p.d.device, words = "freed while cublasLtMatmul";
    if (mode == 7) freed = &small, words = "of the workspace is outside every allocation, 1 past the last byte of one of 256";
    if (mode == 8 && !checked) mode = 9;
    if (mode == 8) { /* one element of A that nobody wrote */
      CHECK(cu.MemFree_v2(p.a.device));
      kept[0] = p.a.device = memory(bytes_of(&p.a));
      for (int c = 0; c < 8; c++) CHECK(cu.MemcpyHtoD_v2(p.a.device + (size_t)(c * 142), p.a.host + c * 142, c == 5 ? 138 : 140));
      CHECK(cu.CtxSynchronize());
      words = "reads row 69, column 5 of A, which nobody wrote";
    }
    if (mode == 9) p.c.device = (Pointer)p.c.host, words = "C at"; /* the host's */
    if (mode == 10) { /* in a graph that is launched when its memory is gone */
      CHECK(cu.StreamBeginCapture_v2(stream, 1));
      CHECK(call(&p));
      CHECK(cu.StreamEndCapture(stream, &graph));
      CHECK(cu.GraphInstantiateWithFlags(&ready, graph, 0));
      CHECK(cu.MemFree_v2(p.b.device));
      kept[1] = 0;
      CHECK(cu.GraphLaunch(ready, stream));
      status = cu.StreamSynchronize(stream), words = "of B is in freed memory";
    } else if (mode == 11) { /* what a capture forbids */
      CHECK(cu.StreamBeginCapture_v2(stream, 1));
      GIVES(13, lt.Create(&made));
      GIVES(13, call(&p));
      GIVES(901, cu.StreamEndCapture(stream, &graph));
      status = 700, words = "cublasLtCreate: in a capture";
    } else {
      Pointer room = workspace;
      if (mode == 7) workspace = small;
      GIVES(0, call(&p));
      workspace = room;
      if (mode == 5 || mode == 6) status = cu.MemFree_v2(*freed);
      if (mode != 5 && mode != 6) status = cu.StreamSynchronize(stream);
    }
    if (words && mode < 11) {
      GIVES(13, call(&p)); /* the error stays */
      GIVES(13, lt.Create(&made));
    }
    said("runs", mode, !words ? 0 : mode == 8 ? 719 : 700, status, words);
    CHECK(cu.StreamSynchronize(stream));
    if (mode == 10) cu.GraphExecDestroy(ready), cu.GraphDestroy(graph);
    p.a.device = kept[0], p.b.device = kept[1], p.c.device = kept[2], p.d.device = kept[3];
    CHECK(cu.MemFree_v2(small));
    end(&p);
  }
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  setenv("NREMU_DEVICES", "2", 0);
  open_libraries();
  open_products();
  EXPECT(sizeof(Algorithm) == 64 && sizeof(Result) == 96 && lt.GetVersion() / 10000 == 13, "version %zu", lt.GetVersion());
  said("before", 0, 1, lt.Create(&handle), "no context");
  CHECK(cu.Init(0));
  said("before", 1, 1, lt.Create(&handle), "no context");
  void *contexts[2], *second = use_device(1);
  contexts[1] = second, contexts[0] = use_device(0);
  CHECK(cu.StreamCreate(&stream, 1));
  CHECK(lt.Create(&handle));
  workspace = memory(WORKSPACE);
  for (u32 schedule = 0; schedule < 3; schedule++) {
    emu.Set(getenv("NREMU_CHECK") ? atoi(getenv("NREMU_CHECK")) : 0, schedule * 77773u, 1 + (int)schedule % 2);
    printf("schedule %u\n", schedule);
    right_results(), order();
  }
  printf("mistakes\n");
  description_mistakes(), question_mistakes(), call_mistakes(contexts), run_mistakes();
  u64 live[9], objects[4];
  CHECK(lt.Destroy(handle));
  said("handles", 0, 7, lt.Destroy(handle), "handle is destroyed");
  CHECK(cu.MemFree_v2(workspace));
  CHECK(cu.StreamDestroy_v2(stream));
  emu.Live(live), live_products(objects);
  for (int i = 0; i < 8; i++) EXPECT(!live[i], "%llu objects of kind %d were not given back", (unsigned long long)live[i], i);
  for (int i = 0; i < 4; i++) EXPECT(!objects[i], "%llu of cublasLt's of kind %d were not given back", (unsigned long long)objects[i], i);
  printf(failures ? "%d of %d FAILED\n" : "%d of %d: ALL PASSED\n", failures ? failures : tests, tests);
  return failures != 0;
}
