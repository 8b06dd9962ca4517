/* driver.c - what the emulator's driver and compiler do when they are used rightly: order, completion, limits, threads, caches. Most of
   it would say the same on a GPU. */
#include "gpu.h"

static const char *kernels =
    "#include \"device.cuh\"\n"
    "struct Arguments { float *x, *y; float factor; int n; };\n"
    "KERNEL(64, 1) scale(Arguments a) { int i = blockIdx.x * 64 + threadIdx.x; if (i < a.n) a.y[i] = a.factor * a.x[i]; }\n"
    "KERNEL(64, 4) add_one(Arguments a) { int i = blockIdx.x * 64 + threadIdx.x; if (i < a.n) a.x[i] += 1; }\n"
    "#define FORM(n) KERNEL(n, 65536 / (n * 64)) form_##n(Arguments a) { a.y[threadIdx.x] = n; }\n"
    "FORM(128) FORM(256)\n"
    "KERNEL(1, 1) declared(Arguments a);\n"
    "KERNEL(1, 1) declared(Arguments a) { a.y[0] = 3; } // KERNEL(1, 1) comment(Arguments a)\n";
typedef struct { Pointer x, y; float factor; int n; } Arguments;
static void *scale, *add_one, *stream;
static int launch(void *f, Pointer x, Pointer y, float factor, int n, void *s) {
  Arguments a = {x, y, factor, n};
  void *p[] = {&a};
  return cu.LaunchKernel(f, (u32)(n + 63) / 64, 1, 1, 64, 1, 1, 0, s, p, NULL);
}
static float first_of(Pointer p) {
  float f;
  CHECK(cu.MemcpyDtoH_v2(&f, p, 4));
  return f;
}

static void device_tests(void) {
  int v;
  size_t left, total;
  char name[100];
  unsigned char uuid[16], other[16];
  CHECK(cu.DeviceGetCount(&v));
  EXPECT(v == 2, "%d devices", v);
  GIVES(101, cu.DeviceGet(&v, 2));
  CHECK(cu.DeviceGetName(name, sizeof name, 0));
  CHECK(cu.DeviceGetUuid(uuid, 0));
  CHECK(cu.DeviceGetUuid(other, 1));
  EXPECT(memcmp(uuid, other, 16), "the same UUID");
  static const int want[][2] = {{16, 4}, {75, 9}, {76, 0}, {8, 49152}, {97, 232448}, {39, 2048}, {10, 32}, {1, 1024}, {81, 233472}};
  for (int i = 0; i < 9; i++) {
    CHECK(cu.DeviceGetAttribute(&v, want[i][0], 0));
    EXPECT(v == want[i][1], "attribute %d is %d", want[i][0], v);
  }
  GIVES(1, cu.DeviceGetAttribute(&v, 999, 0));
  const char *text;
  GIVES(0, cu.GetErrorName(700, &text));
  EXPECT(!strcmp(text, "CUDA_ERROR_ILLEGAL_ADDRESS"), "%s", text);
  GIVES(0, cu.GetErrorString(2, &text));
  EXPECT(!strcmp(text, "out of memory"), "%s", text);
  GIVES(1, cu.GetErrorString(12345, &text));
  CHECK(cu.MemGetInfo_v2(&left, &total));
  EXPECT(total == 4ull << 30 && left == total, "memory %zu of %zu", left, total);
  Pointer p = memory(3ull << 30), q;
  CHECK(cu.MemGetInfo_v2(&left, &total));
  EXPECT(left == 1ull << 30, "left %zu", left);
  GIVES(2, cu.MemAlloc_v2(&q, (1ull << 30) + 1));
  GIVES(1, cu.MemAlloc_v2(&q, 0));
  CHECK(cu.MemFree_v2(p));
  CHECK(cu.MemFree_v2(0));
  emu.FailAllocation(2);
  CHECK(cu.MemAlloc_v2(&p, 64));
  GIVES(2, cu.MemAlloc_v2(&q, 64));
  CHECK(cu.MemAlloc_v2(&q, 64));
  CHECK(cu.MemFree_v2(p));
  CHECK(cu.MemFree_v2(q));
}

/* What the meetings of a warp give. */
static void warp_tests(void) {
  static const char *text =
      "#include \"device.cuh\"\n"
      "struct Results { float *f; double *d; u32 *u; u64 *sum; };\n"
      "KERNEL(64, 1) meet(Results a) { int i = threadIdx.x, lane = i & 31; float f = (float)i; double d = i + 1e-9; u32 u = 0x80000000u + (u32)i;\n"
      "  a.f[i] = shuffle(f, lane + 33); a.f[64 + i] = shuffle_xor(f, 5); a.f[128 + i] = shuffle_down(f, 3);\n"
      "  a.d[i] = shuffle(d, 7); a.d[64 + i] = shuffle_xor(d, 16); a.d[128 + i] = shuffle_down(d, 1);\n"
      "  a.u[i] = shuffle(u, -1); a.u[64 + i] = shuffle_xor(u, 31); a.u[128 + i] = (u32)shuffle_down((int)u, 40);\n"
      "  a.u[192 + i] = vote_any(i == 40) | vote_all(i < 32) << 1 | vote_any(false) << 2 | vote_all(true) << 3;\n"
      "  a.u[256 + i] = 0; u64 before = atomic_add(a.sum, (u64)1 << 40); if (before >> 40 >= 64) a.u[256 + i] = 1; }\n";
  void *module = module_of(text, "meet.cu"), *f = function_of(module, "meet");
  u64 zero = 0;
  Pointer p[4] = {memory(192 * 4), memory(192 * 8), memory(320 * 4), memory_of(&zero, 8)};
  void *arguments[] = {p};
  CHECK(cu.LaunchKernel(f, 1, 1, 1, 64, 1, 1, 0, stream, arguments, NULL));
  CHECK(cu.StreamSynchronize(stream));
  float x[192];
  double d[192];
  u32 u[320];
  CHECK(cu.MemcpyDtoH_v2(x, p[0], sizeof x));
  CHECK(cu.MemcpyDtoH_v2(d, p[1], sizeof d));
  CHECK(cu.MemcpyDtoH_v2(u, p[2], sizeof u));
  CHECK(cu.MemcpyDtoH_v2(&zero, p[3], 8));
  EXPECT(zero == 64ull << 40, "sum %llx", (unsigned long long)zero);
  for (int i = 0; i < 64; i++) {
    int lane = i & 31, w = i & 32;
    int right = x[i] == w + (lane + 1) % 32 && x[64 + i] == w + (lane ^ 5) && x[128 + i] == w + (lane + 3 < 32 ? lane + 3 : lane);
    right &= d[i] == w + 7 + 1e-9 && d[64 + i] == w + (lane ^ 16) + 1e-9 && d[128 + i] == w + (lane < 31 ? lane + 1 : lane) + 1e-9;
    right &= u[i] == 0x80000000u + (u32)w + 31 && u[64 + i] == 0x80000000u + (u32)(w + (lane ^ 31)) && u[128 + i] == 0x80000000u + (u32)(w + (lane < 24 ? lane + 8 : lane));
    right &= u[192 + i] == (w ? 1u : 2u) + 8 && u[256 + i] == 0;
    EXPECT(right, "thread %d: %g %g %g, %.10g %.10g %.10g, %x %x %x, votes %x", i, x[i], x[64 + i], x[128 + i], d[i], d[64 + i], d[128 + i], u[i], u[64 + i], u[128 + i], u[192 + i]);
  }
  for (int i = 0; i < 4; i++) CHECK(cu.MemFree_v2(p[i]));
  CHECK(cu.ModuleUnload(module));
}

/* More than the address range of the arena in all: addresses come back late, memory that comes back is unwritten again. */
static void memory_tests(void) {
  double t = now();
  Pointer before = 0;
  u64 turns = 0, total = 0;
  for (int i = 0; i < 400; i++) {
    Pointer p = memory((size_t)1 << 30), small = memory(100);
    turns += p < before, before = p;
    CHECK(cu.MemsetD8Async(p + ((size_t)1 << 29), 1, 1 << 16, stream));
    CHECK(cu.StreamSynchronize(stream));
    total += 1 << 30;
    CHECK(cu.MemFree_v2(p));
    CHECK(cu.MemFree_v2(small));
  }
  EXPECT(turns > 5, "addresses do not come back");
  printf("  %llu GiB allocated, addresses began again %llu times, %.2f s\n", (unsigned long long)(total >> 30), (unsigned long long)turns, now() - t);
  enum { LIVE = 20000 };
  static Pointer list[LIVE];
  t = now();
  for (int i = 0; i < LIVE; i++) list[i] = memory((size_t)(i % 1000 + 1));
  for (int i = 0; i < LIVE; i += 2) CHECK(cu.MemFree_v2(list[i]));
  for (int i = 0; i < LIVE; i += 2) list[i] = memory(3000);
  for (int i = 0; i < LIVE; i++) CHECK(cu.MemFree_v2(list[i]));
  printf("  %d small allocations, %.2f s\n", LIVE, now() - t);
  unsigned char bytes[4096];
  Pointer p = memory(4096);
  CHECK(cu.MemcpyDtoH_v2(bytes, p, 4096));
  int fresh = 1;
  for (int i = 0; i < 4096; i++) fresh &= bytes[i] == 0xFF;
  EXPECT(fresh, "fresh memory is not all ones");
  CHECK(cu.MemsetD32Async(p, 0x01020304, 1024, stream));
  CHECK(cu.StreamSynchronize(stream));
  CHECK(cu.MemcpyDtoH_v2(bytes, p, 4096));
  EXPECT(bytes[0] == 4 && bytes[4095] == 1, "memset of words");
  GIVES(1, cu.MemsetD32Async(p + 2, 0, 1, stream));
  struct { size_t a, b; u32 c; const void *d; Pointer e; void *f; size_t g, h, i; u32 j; void *k; Pointer l; void *m; size_t n, o, p; } copy;
  memset(&copy, 0, sizeof copy);
  for (int i = 0; i < 4096; i++) bytes[i] = (unsigned char)i;
  copy.a = 3, copy.b = 1, copy.c = 1, copy.d = bytes, copy.g = 100, copy.j = 2, copy.l = p, copy.n = 64, copy.h = 8, copy.o = 10, copy.p = 5;
  CHECK(cu.Memcpy2DAsync_v2(&copy, stream));
  memset(bytes, 0, sizeof bytes); /* pageable: taken at the call */
  CHECK(cu.StreamSynchronize(stream));
  CHECK(cu.MemcpyDtoH_v2(bytes, p, 4096));
  EXPECT(bytes[8] == 103 && bytes[17] == 112 && bytes[7] == 1 && bytes[18] == 2, "2D copy: %d %d %d %d", bytes[7], bytes[8], bytes[17], bytes[18]);
  EXPECT(bytes[8 + 64 * 4] == (unsigned char)(103 + 400), "2D copy, last row: %d", bytes[8 + 64 * 4]);
  CHECK(cu.MemFree_v2(p));
}

static void stream_tests(void) {
  enum { N = 256 };
  float numbers[N], *pinned;
  for (int i = 0; i < N; i++) numbers[i] = (float)(i + 1);
  Pointer x = memory_of(numbers, sizeof numbers), y = memory(sizeof numbers), z = memory(sizeof numbers);
  void *b, *c, *event, *second, *blocking;
  CHECK(cu.StreamCreate(&b, 1));
  CHECK(cu.StreamCreate(&c, 1));
  CHECK(cu.StreamCreate(&blocking, 0));
  GIVES(1, cu.StreamCreate(&event, 2));
  CHECK(cu.EventCreate(&event, 0));
  CHECK(cu.EventCreate(&second, 0));
  CHECK(cu.MemHostAlloc(&pinned, sizeof numbers, 0));
  /* an event that was never recorded is complete, and waiting for it is nothing */
  GIVES(0, cu.EventQuery(event));
  GIVES(0, cu.EventSynchronize(event));
  GIVES(0, cu.StreamWaitEvent(b, event, 0));
  GIVES(0, cu.StreamQuery(b));
  /* a host that polls comes to an end; the first look does not see the work done */
  CHECK(launch(scale, x, y, 2, N, stream));
  CHECK(launch(scale, y, z, 2, N, stream));
  CHECK(cu.EventRecord(event, stream));
  GIVES(600, cu.EventQuery(event));
  int looks = 1;
  while (cu.EventQuery(event) == 600) looks++;
  EXPECT(looks == 3, "%d looks", looks);
  EXPECT(first_of(z) == 4, "%g", first_of(z));
  CHECK(launch(scale, x, y, 3, N, stream));
  for (looks = 0; cu.StreamQuery(stream) == 600;) looks++;
  EXPECT(looks == 1 && first_of(y) == 3, "%d looks, %g", looks, first_of(y));
  /* polls of an event that waits for others, over three streams */
  CHECK(launch(scale, x, y, 5, N, b));
  CHECK(cu.EventRecord(event, b));
  CHECK(cu.StreamWaitEvent(c, event, 0));
  CHECK(launch(scale, y, z, 5, N, c));
  CHECK(cu.EventRecord(second, c));
  CHECK(cu.EventRecord(event, stream)); /* another record: who waits for the first still does */
  for (looks = 0; cu.EventQuery(second) == 600;) looks++;
  EXPECT(first_of(z) == 25, "%g after %d looks", first_of(z), looks);
  float ms;
  CHECK(cu.EventSynchronize(event));
  CHECK(cu.EventElapsedTime(&ms, second, event));
  CHECK(launch(scale, x, y, 1, N, b));
  CHECK(cu.EventRecord(event, b));
  GIVES(600, cu.EventElapsedTime(&ms, second, event));
  CHECK(cu.StreamSynchronize(b));
  CHECK(cu.EventElapsedTime(&ms, second, event));
  /* many waits to and fro */
  for (int i = 0; i < 2000; i++) {
    CHECK(launch(add_one, x, y, 0, 1, i % 2 ? b : c));
    CHECK(cu.EventRecord(i % 2 ? event : second, i % 2 ? b : c));
    CHECK(cu.StreamWaitEvent(i % 2 ? c : b, i % 2 ? event : second, 0));
  }
  CHECK(cu.StreamSynchronize(c));
  CHECK(cu.StreamSynchronize(b));
  EXPECT(first_of(x) == 2001, "%g", first_of(x));
  CHECK(cu.MemcpyHtoD_v2(x, numbers, sizeof numbers));
  /* the default stream and one that is not non-blocking wait for each other; a non-blocking one does not */
  CHECK(cu.CtxSynchronize());
  CHECK(launch(scale, x, y, 7, N, blocking));
  EXPECT(first_of(y) == 7, "the default stream did not wait: %g", first_of(y));
  CHECK(launch(scale, x, y, 8, N, NULL));
  CHECK(launch(scale, y, z, 8, N, blocking));
  CHECK(cu.StreamSynchronize(blocking));
  EXPECT(first_of(z) == 64, "the blocking stream did not wait: %g", first_of(z));
  CHECK(cu.CtxSynchronize());
  CHECK(launch(scale, x, y, 9, N, b));
  EXPECT(first_of(y) == 8, "the default stream waited for a non-blocking one: %g", first_of(y));
  CHECK(cu.CtxSynchronize());
  EXPECT(first_of(y) == 9, "%g", first_of(y));
  /* pinned memory is read when the copy runs, pageable memory at the call; a device writes pinned memory that is then read again */
  CHECK(cu.MemcpyHtoDAsync_v2(x, numbers, sizeof numbers, b));
  numbers[0] = 50;
  CHECK(cu.StreamSynchronize(b));
  EXPECT(first_of(x) == 1, "%g", first_of(x));
  CHECK(cu.MemcpyDtoHAsync_v2(pinned, x, sizeof numbers, b));
  CHECK(cu.MemcpyHtoDAsync_v2(y, pinned, sizeof numbers, b));
  CHECK(cu.StreamSynchronize(b));
  EXPECT(first_of(y) == 1 && pinned[0] == 1, "%g", first_of(y));
  float back[N];
  CHECK(launch(scale, x, y, 6, N, b));
  CHECK(cu.MemcpyDtoHAsync_v2(back, y, sizeof back, b)); /* to pageable memory: it waits */
  EXPECT(back[1] == 12, "%g", back[1]);
  CHECK(launch(scale, (Pointer)pinned, y, 10, N, b)); /* a kernel reads pinned memory */
  CHECK(cu.StreamSynchronize(b));
  EXPECT(first_of(y) == 10, "%g", first_of(y));
  /* a stream and an event that are destroyed while work is queued */
  CHECK(launch(scale, x, y, 11, N, c));
  CHECK(cu.EventRecord(event, c));
  CHECK(cu.StreamWaitEvent(b, event, 0));
  CHECK(cu.EventDestroy_v2(event));
  CHECK(cu.StreamDestroy_v2(c));
  GIVES(400, cu.StreamSynchronize(c));
  GIVES(400, cu.EventQuery(event));
  CHECK(launch(scale, y, z, 11, N, b));
  CHECK(cu.StreamSynchronize(b));
  EXPECT(first_of(z) == 121, "%g", first_of(z));
  CHECK(cu.EventDestroy_v2(second));
  CHECK(cu.StreamDestroy_v2(b));
  CHECK(cu.StreamDestroy_v2(blocking));
  CHECK(cu.MemFreeHost(pinned));
  CHECK(cu.MemFree_v2(x));
  CHECK(cu.MemFree_v2(y));
  CHECK(cu.MemFree_v2(z));
}

static void graph_tests(void) {
  float one = 1;
  Pointer x = memory_of(&one, 4), y = memory(4);
  void *graph, *ready, *twice, *nested;
  int status;
  CHECK(cu.StreamBeginCapture_v2(stream, 1));
  CHECK(cu.StreamIsCapturing(stream, &status));
  EXPECT(status == 1, "%d", status);
  CHECK(launch(add_one, x, y, 0, 1, stream));
  CHECK(cu.MemcpyDtoDAsync_v2(y, x, 4, stream));
  CHECK(cu.MemsetD32Async(y, 0, 0, stream));
  CHECK(cu.StreamEndCapture(stream, &graph));
  EXPECT(first_of(x) == 1, "the capture ran");
  CHECK(cu.GraphInstantiateWithFlags(&ready, graph, 0));
  CHECK(cu.GraphInstantiateWithFlags(&twice, graph, 0));
  CHECK(cu.GraphDestroy(graph));
  GIVES(1, cu.GraphInstantiateWithFlags(&nested, graph, 0));
  for (int i = 0; i < 3; i++) CHECK(cu.GraphLaunch(ready, stream));
  CHECK(cu.GraphLaunch(twice, stream));
  CHECK(cu.GraphExecDestroy(ready)); /* what is queued of it still runs */
  GIVES(1, cu.GraphLaunch(ready, stream));
  CHECK(cu.StreamSynchronize(stream));
  EXPECT(first_of(x) == 5 && first_of(y) == 5, "%g %g", first_of(x), first_of(y));
  CHECK(cu.StreamBeginCapture_v2(stream, 0));
  CHECK(cu.GraphLaunch(twice, stream));
  CHECK(cu.GraphLaunch(twice, stream));
  CHECK(cu.StreamEndCapture(stream, &graph));
  CHECK(cu.GraphInstantiateWithFlags(&nested, graph, 0));
  CHECK(cu.GraphExecDestroy(twice));
  CHECK(cu.GraphLaunch(nested, stream));
  CHECK(cu.StreamSynchronize(stream));
  EXPECT(first_of(x) == 7, "%g", first_of(x));
  CHECK(cu.GraphDestroy(graph));
  CHECK(cu.GraphExecDestroy(nested));
  GIVES(900, cu.StreamBeginCapture_v2(NULL, 1));
  CHECK(cu.StreamBeginCapture_v2(stream, 2));
  GIVES(401, cu.StreamBeginCapture_v2(stream, 2));
  CHECK(cu.StreamEndCapture(stream, &graph));
  CHECK(cu.GraphDestroy(graph));
  CHECK(cu.MemFree_v2(x));
  CHECK(cu.MemFree_v2(y));
}

static void function_tests(void *module, void *other_context) {
  void *f;
  int v;
  GIVES(500, cu.ModuleGetFunction(&f, module, "nothing"));
  GIVES(500, cu.ModuleGetFunction(&f, module, "comment"));
  CHECK(cu.FuncGetAttribute(&v, 0, scale));
  EXPECT(v == 64, "%d threads", v);
  CHECK(cu.FuncGetAttribute(&v, 4, scale));
  EXPECT(v == 255, "%d registers", v);
  CHECK(cu.FuncGetAttribute(&v, 8, scale));
  EXPECT(v == 49152, "%d shared", v);
  CHECK(cu.FuncSetAttribute(scale, 8, 100000));
  CHECK(cu.FuncGetAttribute(&v, 8, scale));
  EXPECT(v == 100000, "%d shared", v);
  for (int n = 128; n <= 256; n *= 2) {
    char name[20];
    snprintf(name, sizeof name, "form_%d", n);
    f = function_of(module, name);
    CHECK(cu.FuncGetAttribute(&v, 0, f));
    EXPECT(v == n, "%s: %d threads", name, v);
    CHECK(cu.FuncGetAttribute(&v, 4, f));
    EXPECT(v == 64, "%s: %d registers", name, v);
    CHECK(cu.OccupancyMaxActiveBlocksPerMultiprocessor(&v, f, n, 40000));
    EXPECT(v == (n == 128 ? 5 : 4), "%s: %d blocks", name, v); /* bound by shared memory, by registers */
  }
  f = function_of(module, "declared");
  Pointer y = memory(4);
  Arguments a = {0, y, 0, 0};
  void *p[] = {&a}, *s;
  CHECK(cu.LaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, stream, p, NULL));
  CHECK(cu.StreamSynchronize(stream));
  EXPECT(first_of(y) == 3, "%g", first_of(y));
  CHECK(cu.MemFree_v2(y));
  void *mine;
  CHECK(cu.CtxGetCurrent(&mine));
  CHECK(cu.CtxSetCurrent(other_context));
  CHECK(cu.StreamCreate(&s, 1));
  CHECK(cu.CtxSetCurrent(mine));
  GIVES(400, cu.LaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, s, p, NULL));
  CHECK(cu.StreamDestroy_v2(s));
}

/* An error stays with the context until it is given up. */
static void sticky_tests(void) {
  CHECK(launch(scale, 0, 0, 1, 1, stream));
  GIVES(700, cu.StreamSynchronize(stream));
  Pointer p;
  GIVES(700, cu.MemAlloc_v2(&p, 64));
  GIVES(700, launch(scale, 0, 0, 1, 1, stream));
  const char *text;
  cu.GetErrorString(700, &text);
  EXPECT(strstr(text, "no device address") || strstr(text, "touches address 0"), "%s", text);
  emu.Reset();
  void *deep = module_of("#include \"device.cuh\"\nstruct Arguments { float *x, *y; float factor; int n; };\n"
                         "KERNEL(64, 1) deep(Arguments a) { volatile u8 large[200 << 10]; for (int i = 0; i < a.n; i++) large[i] = (u8)i; a.y[0] = large[a.n / 2]; }\n", "deep.cu");
  p = memory(64);
  CHECK(launch(function_of(deep, "deep"), p, p, 0, 64, stream));
  GIVES(700, cu.StreamSynchronize(stream));
  EXPECT(strstr(emu.FirstError(), "the thread's stack is full"), "%s", emu.FirstError());
  emu.Reset();
  CHECK(cu.MemFree_v2(p));
  CHECK(cu.ModuleUnload(deep));
  CHECK(launch(scale, 0, 0, 1, 1, stream));
  GIVES(700, cu.StreamSynchronize(stream));
  void *context, *mine;
  CHECK(cu.CtxGetCurrent(&mine));
  context = use_device(1); /* the other device goes on */
  CHECK(cu.MemAlloc_v2(&p, 64));
  CHECK(cu.MemFree_v2(p));
  CHECK(cu.DevicePrimaryCtxRelease_v2(1));
  CHECK(cu.CtxSetCurrent(mine));
  emu.Reset();
  CHECK(cu.MemAlloc_v2(&p, 64));
  CHECK(cu.MemFree_v2(p));
  (void)context;
}

/* Host threads, each with its stream, its memory and its modules. */
static void *context, *shared_event;
static void *worker(void *number) {
  long n = (long)number;
  Pointer p;
  GIVES(201, cu.MemAlloc_v2(&p, 64)); /* this thread has no context yet */
  CHECK(cu.CtxSetCurrent(context));
  void *s, *event, *module = module_of(kernels, "kernels.cu"), *f = function_of(module, "add_one"), *result;
  CHECK(cu.StreamCreate(&s, 1));
  CHECK(cu.EventCreate(&event, 2));
  CHECK(cu.MemHostAlloc(&result, 4, 0));
  float value = (float)n;
  for (int i = 0; i < 200; i++) {
    Pointer x = memory(4);
    CHECK(cu.MemcpyHtoDAsync_v2(x, &value, 4, s));
    for (int k = 0; k < 5; k++) CHECK(launch(f, x, 0, 0, 1, s));
    CHECK(cu.MemcpyDtoHAsync_v2(result, x, 4, s));
    CHECK(cu.EventRecord(event, s));
    while (cu.EventQuery(event) == 600) {}
    EXPECT(*(float *)result == value + 5, "%g", *(float *)result);
    CHECK(cu.MemFree_v2(x));
  }
  CHECK(cu.MemFreeHost(result));
  CHECK(cu.EventDestroy_v2(event));
  CHECK(cu.StreamDestroy_v2(s));
  CHECK(cu.ModuleUnload(module));
  return NULL;
}
static void thread_tests(void) {
  pthread_t threads[8];
  double t = now();
  CHECK(cu.CtxGetCurrent(&context));
  for (long i = 0; i < 8; i++) pthread_create(threads + i, NULL, worker, (void *)i);
  for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
  printf("  8 host threads, %.2f s\n", now() - t);
}

static void compile_case(int want, const char *words, const char *text, int n, ...) {
  const char *options[8];
  __builtin_va_list list;
  __builtin_va_start(list, n);
  for (int i = 0; i < n; i++) options[i] = __builtin_va_arg(list, const char *);
  __builtin_va_end(list);
  void *program;
  size_t size, cubin;
  char log[20000];
  rtc.CreateProgram(&program, text, "test.cu", 0, NULL, NULL);
  int status = rtc.CompileProgram(program, n, options);
  rtc.GetProgramLogSize(program, &size);
  rtc.GetProgramLog(program, log);
  rtc.GetCUBINSize(program, &cubin);
  EXPECT(status == want && (!words || strstr(log, words)) && size == strlen(log) + 1, "%s: %d, log %s", n ? options[n - 1] : "", status, log);
  EXPECT(!status == !!cubin || !n, "cubin of %zu bytes", cubin);
  rtc.DestroyProgram(&program);
}
static void compiler_tests(void) {
  const char *good = "typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;\n#include \"nremu.h\"\n"
                     "struct A { int *p; }; KERNEL(32, 1) one(A a) { *a.p = VALUE; }\n";
  int major, minor, count, list[64];
  EXPECT(!rtc.Version(&major, &minor) && major == 13 && minor == 0, "version %d.%d", major, minor);
  EXPECT(!rtc.GetNumSupportedArchs(&count) && count == 12 && !rtc.GetSupportedArchs(list) && list[6] == 90, "%d architectures", count);
  compile_case(0, NULL, good, 2, "--gpu-architecture=sm_90", "-DVALUE=1");
  compile_case(0, NULL, good, 3, "-arch=sm_80", "-D", "VALUE=2");
  compile_case(0, "Compiling entry function 'one' for 'sm_90'", good, 6, "-DVALUE=1", "--gpu-architecture=sm_90", "--std=c++17", "-default-device", "--fmad=false", "--ptxas-options=-v");
  compile_case(0, "0 bytes spill stores", good, 3, "-DVALUE=1", "--gpu-architecture=sm_90a", "--ptxas-options=-v");
  compile_case(0, NULL, good, 2, "-DVALUE=1", "--gpu-architecture=sm_90");
  compile_case(6, "test.cu:3", good, 1, "--gpu-architecture=sm_90");
  compile_case(6, "nothing.h", "#include \"nothing.h\"\n", 1, "--gpu-architecture=sm_90");
  compile_case(5, "nvrtc: error: unrecognized option --nonsense found", good, 1, "--nonsense");
  compile_case(5, "nvrtc: error: invalid value for --gpu-architecture (-arch)", good, 1, "--gpu-architecture=sm_55");
  compile_case(5, "nvrtc: error: invalid value for --std(-std)", good, 2, "--gpu-architecture=sm_90", "--std=c++99");
  compile_case(5, "expects true or false", good, 2, "--gpu-architecture=sm_90", "--fmad=maybe");
  EXPECT(!strcmp(rtc.GetErrorString(5), "NVRTC_ERROR_INVALID_OPTION"), "%s", rtc.GetErrorString(5));
  EXPECT(rtc.CompileProgram(NULL, 0, NULL) == 4, "a program that is none");
  /* an image for another device, or no image */
  void *module;
  GIVES(200, cu.ModuleLoadData(&module, "nothing at all, and long enough to be read as a header of an image"));
  void *program;
  size_t n = 0;
  const char *options[] = {"-DVALUE=1", "-arch=sm_100"};
  rtc.CreateProgram(&program, good, "test.cu", 0, NULL, NULL);
  EXPECT(!rtc.CompileProgram(program, 2, options) && !rtc.GetCUBINSize(program, &n), "sm_100");
  char *image = malloc(n);
  rtc.GetCUBIN(program, image);
  GIVES(209, cu.ModuleLoadData(&module, image));
  rtc.DestroyProgram(&program);
  free(image);
}
/* Several processes compile the same for the first time; then it is there. */
static void cache_tests(void) {
  char text[200];
  snprintf(text, sizeof text, "#include \"device.cuh\"\nstruct A { int *p; }; KERNEL(32, 1) fresh(A a) { *a.p = %d; }\n", (int)(now() * 1e6) & 0xffffff);
  double t = now();
  for (int i = 0; i < 4; i++)
    if (!fork()) {
      char *image = compile(text, "fresh.cu");
      _exit(memcmp(image, "NREMU", 5) != 0);
    }
  int status, bad = 0;
  for (int i = 0; i < 4; i++) wait(&status), bad |= status;
  EXPECT(!bad, "a process failed: %d", bad);
  double first = now() - t;
  t = now();
  free(compile(text, "fresh.cu"));
  EXPECT(now() - t < 0.02 || now() - t < first / 5, "%.3f s the second time", now() - t);
  printf("  4 processes compile in %.2f s, again in %.4f s\n", first, now() - t);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  setenv("NREMU_DEVICES", "2", 0);
  open_libraries();
  int v;
  GIVES(3, cu.DeviceGetCount(&v));
  CHECK(cu.Init(0));
  GIVES(201, cu.CtxSynchronize());
  void *other = use_device(1), *mine = use_device(0);
  CHECK(cu.StreamCreate(&stream, 1));
  printf("devices\n"), device_tests();
  printf("compiler\n"), compiler_tests();
  printf("cache\n"), cache_tests();
  void *module = module_of(kernels, "kernels.cu");
  scale = function_of(module, "scale"), add_one = function_of(module, "add_one");
  printf("memory\n"), memory_tests();
  for (u32 schedule = 0; schedule < 3; schedule++) {
    emu.Set(getenv("NREMU_CHECK") ? atoi(getenv("NREMU_CHECK")) : 0, schedule * 77773u, 1 + (int)schedule % 2);
    printf("schedule %u\n", schedule);
    stream_tests(), graph_tests(), warp_tests();
  }
  printf("functions\n"), function_tests(module, other);
  printf("threads\n"), thread_tests();
  printf("errors\n"), sticky_tests();
  u64 live[9];
  CHECK(cu.ModuleUnload(module));
  CHECK(cu.StreamDestroy_v2(stream));
  emu.Live(live);
  for (int i = 0; i < 8; i++) EXPECT(!live[i], "%llu objects of kind %d were not given back", (unsigned long long)live[i], i);
  /* what a host forgot goes with the context */
  void *s, *e;
  CHECK(cu.StreamCreate(&s, 0));
  CHECK(cu.EventCreate(&e, 0));
  memory(1000);
  module = module_of(kernels, "kernels.cu");
  CHECK(cu.DevicePrimaryCtxRelease_v2(1));
  CHECK(cu.DevicePrimaryCtxRelease_v2(0));
  GIVES(709, cu.StreamCreate(&s, 0));
  emu.Live(live);
  for (int i = 0; i < 9; i++) EXPECT(!live[i], "%llu objects of kind %d are left without a context", (unsigned long long)live[i], i);
  (void)mine;
  printf(failures ? "%d of %d FAILED\n" : "%d of %d: ALL PASSED\n", failures ? failures : tests, tests);
  return failures != 0;
}
