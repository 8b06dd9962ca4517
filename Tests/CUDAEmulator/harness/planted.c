/* planted.c - mistakes that the emulator must find: those of planted.txt, in kernels; and mistakes of a host, each beside its sound form.
   Run in the emulator's folder with NREMU_CHECK=1. */
#include "gpu.h"

typedef struct { Pointer x, y, counters; int n, mode; } Arguments;
static float numbers[256];
static void said(const char *name, int mode, const char *want, int status) {
  const char *words = emu.FirstError();
  int right = want ? *words && strstr(words, want) : !status && !*words;
  tests++, failures += !right;
  printf("%-5s %-28s %d  %s\n", right ? "" : "WRONG", name, mode, *words ? words : "no error");
  emu.Reset();
}
static void kernels(void *module, void *stream) {
  char *text = text_of("planted.txt"), *rest = text, *line;
  while ((line = strsep(&rest, "\n"))) {
    char name[64], *want = strstr(line, " : "), *count = strstr(line, " = ");
    int mode, threads, shared;
    if (*line == '#' || sscanf(line, "%63s %d %d %d", name, &mode, &threads, &shared) != 4) continue;
    u32 zeros[8] = {0};
    u64 before[8], after[8];
    Arguments a = {memory_of(numbers, 1024), memory(1024), memory_of(zeros, 32), 256, mode};
    void *p[] = {&a};
    emu.Statistics(before);
    CHECK(cu.LaunchKernel(function_of(module, name), 1, 1, 1, (u32)threads, 1, 1, (u32)shared, stream, p, NULL));
    int status = cu.StreamSynchronize(stream);
    emu.Statistics(after);
    if (count) EXPECT(after[7] - before[7] == (u64)atoi(count + 3), "%s %d: %llu conflicts, not %s", name, mode, (unsigned long long)(after[7] - before[7]), count + 3);
    if (want && !status) EXPECT(0, "%s %d gives no error", name, mode);
    said(name, mode, want ? want + 3 : NULL, status);
    CHECK(cu.MemFree_v2(a.x));
    CHECK(cu.MemFree_v2(a.y));
    CHECK(cu.MemFree_v2(a.counters));
  }
  free(text);
}

static const char *host_kernels =
    "#include \"device.cuh\"\n"
    "struct Arguments { float *x, *y; int n; };\n"
    "KERNEL(64, 1) twice(Arguments a) { int i = blockIdx.x * 64 + threadIdx.x; if (i < a.n) a.y[i] = 2 * a.x[i]; }\n"
    "struct Hidden { float **x; float *y; };\n"
    "KERNEL(1, 1) behind(Hidden a) { a.y[0] = a.x[0][0]; }\n";
typedef struct { Pointer x, y; int n; } Twice;
static void *twice, *behind;
static int launch(Pointer x, Pointer y, void *stream) {
  Twice t = {x, y, 256};
  void *p[] = {&t};
  return cu.LaunchKernel(twice, 4, 1, 1, 64, 1, 1, 0, stream, p, NULL);
}

static void other_thread_ends(void *stream);
static void host_mistakes(void *a, void *contexts[2]) {
  void *b, *event;
  float *pinned, *result;
  CHECK(cu.StreamCreate(&b, 1));
  CHECK(cu.EventCreate(&event, 2));
  CHECK(cu.MemHostAlloc(&pinned, 1024, 0));
  CHECK(cu.MemHostAlloc(&result, 1024, 0));
  for (int mode = 0; mode < 2; mode++) { /* a stream reads what another one uploads. 1: it does not wait for the event */
    Pointer x = memory(1024), y = memory(1024);
    memcpy(pinned, numbers, 1024);
    CHECK(cu.MemcpyHtoDAsync_v2(x, pinned, 1024, b));
    CHECK(cu.EventRecord(event, b));
    if (!mode) CHECK(cu.StreamWaitEvent(a, event, 0));
    CHECK(launch(x, y, a));
    int status = cu.StreamSynchronize(a);
    said("waits for an event", mode, mode ? "reads global memory that nobody wrote" : NULL, status);
    CHECK(cu.CtxSynchronize());
    cu.MemFree_v2(x), cu.MemFree_v2(y);
  }
  for (int mode = 0; mode < 2; mode++) { /* a pinned buffer is filled again. 1: before its copy has run */
    Pointer x = memory(1024), y = memory(1024);
    for (int i = 0; i < 2; i++) {
      if (i && !mode) CHECK(cu.EventSynchronize(event));
      for (int e = 0; e < 256; e++) pinned[e] = (float)(e + i);
      CHECK(cu.MemcpyHtoDAsync_v2(i ? y : x, pinned, 1024, a));
      CHECK(cu.EventRecord(event, a));
    }
    int status = cu.StreamSynchronize(a);
    said("fills a pinned buffer again", mode, mode ? "pinned memory was changed" : NULL, status);
    cu.MemFree_v2(x), cu.MemFree_v2(y);
  }
  for (int mode = 0; mode < 2; mode++) { /* a result is read. 1: before the event; what is there then is NaN */
    Pointer x = memory_of(numbers, 1024);
    memset(result, 0, 1024);
    CHECK(cu.MemcpyDtoHAsync_v2(result, x, 1024, a));
    CHECK(cu.EventRecord(event, a));
    if (!mode) CHECK(cu.EventSynchronize(event));
    EXPECT(mode ? isnan(result[7]) : result[7] == 7, "result read: %g", result[7]);
    CHECK(cu.StreamSynchronize(a));
    said("reads a result", mode, NULL, 0);
    cu.MemFree_v2(x);
  }
  for (int mode = 0; mode < 7; mode++) { /* freed while it is used. 1, 2, 3: a launch, a copy, a memset are queued; 4: pinned memory;
                                            5: the module; 6: freed long before */
    Pointer x = memory_of(numbers, 1024), y = memory(1024);
    float *once;
    void *module = module_of(host_kernels, "host.cu"), *f = function_of(module, "twice");
    CHECK(cu.MemHostAlloc(&once, 1024, 0));
    memcpy(once, numbers, 1024);
    int status = 0;
    if (mode == 0 || mode == 1) status |= launch(x, y, a);
    if (mode == 2) status |= cu.MemcpyDtoDAsync_v2(y, x, 1024, a);
    if (mode == 3) status |= cu.MemsetD8Async(x, 0, 1024, a);
    if (mode == 4) status |= cu.MemcpyHtoDAsync_v2(x, once, 1024, a);
    Twice t = {x, y, 256};
    void *p[] = {&t};
    if (mode == 5) status |= cu.LaunchKernel(f, 4, 1, 1, 64, 1, 1, 0, a, p, NULL);
    if (!mode) status |= cu.StreamSynchronize(a);
    if (mode == 5) status |= cu.ModuleUnload(module);
    status |= cu.MemFreeHost(once), status |= cu.MemFree_v2(x);
    if (mode == 6) status |= launch(x, y, a);
    status |= cu.StreamSynchronize(a);
    static const char *const want[] = {NULL, "freed while twice that uses it is queued", "freed while a copy", "freed while a memset",
                                       "pinned memory is freed while a copy", "unloaded while a launch of it is queued", "in freed memory"};
    said("frees", mode, want[mode], status);
    if (mode < 5 && mode > 0) cu.MemFree_v2(x);
    if (mode) cu.MemFreeHost(once);
    if (mode == 5) cu.MemFree_v2(x);
    cu.MemFree_v2(y), cu.ModuleUnload(module);
    emu.Reset();
  }
  for (int mode = 1; mode < 5; mode++) { /* what is freed. 1: twice; 2: the inside; 3: a host's address; 4: the other device's */
    Pointer x = memory(1024), other = 0;
    CHECK(cu.CtxSetCurrent(contexts[1]));
    other = memory(64);
    CHECK(cu.CtxSetCurrent(contexts[0]));
    if (mode == 1) CHECK(cu.MemFree_v2(x));
    GIVES(1, cu.MemFree_v2(mode == 1 ? x : mode == 2 ? x + 512 : mode == 3 ? (Pointer)numbers : other));
    static const char *const want[] = {NULL, "in freed memory", "inside one", "no device address", "an address of device 1"};
    said("frees what", mode, want[mode], 1);
    if (mode != 1) CHECK(cu.MemFree_v2(x));
    CHECK(cu.CtxSetCurrent(contexts[1]));
    CHECK(cu.MemFree_v2(other));
    CHECK(cu.CtxSetCurrent(contexts[0]));
  }
  for (int mode = 0; mode < 5; mode++) { /* an address of another device. 1: given to a kernel; 2, 3: to a copy, a memset; 4: in memory */
    Pointer x = memory_of(numbers, 1024), y = memory(1024), other;
    CHECK(cu.CtxSetCurrent(contexts[1]));
    other = memory_of(numbers, 1024);
    CHECK(cu.CtxSetCurrent(contexts[0]));
    Pointer list = memory_of(mode == 4 ? &other : &x, 8);
    Twice t = {list, y, 0};
    void *p[] = {&t};
    int status = mode == 1 ? launch(other, y, a) : mode == 2 ? cu.MemcpyDtoDAsync_v2(y, other, 1024, a) : mode == 3 ? cu.MemsetD8Async(other, 0, 1024, a) : 0;
    status |= cu.LaunchKernel(behind, 1, 1, 1, 1, 1, 1, 0, a, p, NULL);
    status |= cu.StreamSynchronize(a);
    if (mode) EXPECT(status, "an address of another device: no error");
    said("uses another device's", mode, mode ? "an address of device 1" : NULL, status);
    cu.MemFree_v2(list), cu.MemFree_v2(x), cu.MemFree_v2(y);
    CHECK(cu.CtxSetCurrent(contexts[1]));
    cu.MemFree_v2(other);
    CHECK(cu.CtxSetCurrent(contexts[0]));
  }
  for (int mode = 1; mode < 7; mode++) { /* ends of copies and sets */
    Pointer x = memory_of(numbers, 1024);
    static float host[512];
    int status = mode == 1   ? cu.MemcpyHtoD_v2(x, host, 1028)
                 : mode == 2 ? cu.MemcpyDtoH_v2(host, x - 4, 1024)
                 : mode == 3 ? cu.MemcpyDtoDAsync_v2(x + 512, x + 256, 516, a)
                 : mode == 4 ? cu.MemcpyHtoDAsync_v2(x, (void *)x, 16, a)
                 : mode == 5 ? cu.MemcpyHtoDAsync_v2(x, pinned + 128, 1024, a)
                             : cu.MemsetD32Async(x, 0, 257, a);
    EXPECT(status == 1, "an end out of bounds gives %d", status);
    static const char *const want[] = {NULL, "1 past the last byte", "4 before the first byte", "1 past the last byte", "is a device address", "past the end of pinned memory", "1 past the last byte"};
    said("ends of a copy", mode, want[mode], status);
    CHECK(cu.MemFree_v2(x));
  }
  for (int mode = 0; mode < 11; mode++) { /* in a capture */
    Pointer x = memory_of(numbers, 1024), y = memory(1024), z = 0;
    void *graph = (void *)1, *second, *captured, *blocking;
    CHECK(cu.EventCreate(&second, 2));
    CHECK(cu.EventCreate(&captured, 2));
    CHECK(cu.StreamCreate(&blocking, 0));
    CHECK(cu.EventRecord(second, b));
    void *s = mode == 6 ? blocking : a;
    CHECK(cu.StreamBeginCapture_v2(s, mode == 2 ? 2 : mode == 10 ? 0 : 1));
    CHECK(launch(x, y, s));
    CHECK(cu.EventRecord(captured, s));
    if (mode == 0) CHECK(cu.StreamWaitEvent(s, captured, 0));
    if (mode == 1) GIVES(900, cu.StreamSynchronize(s));
    if (mode == 2) CHECK(cu.MemAlloc_v2(&z, 64));
    if (mode == 3) GIVES(900, cu.MemAlloc_v2(&z, 64));
    if (mode == 4) GIVES(905, cu.StreamWaitEvent(s, second, 0));
    if (mode == 5) GIVES(907, cu.EventQuery(captured));
    if (mode == 6) GIVES(906, launch(x, y, NULL));
    if (mode == 7) GIVES(900, cu.CtxSynchronize());
    if (mode == 8) GIVES(900, cu.MemcpyHtoD_v2(x, numbers, 1024));
    if (mode == 8) GIVES(901, launch(x, y, s));
    if (mode == 9) other_thread_ends(s);
    if (mode == 10) GIVES(900, cu.EventQuery(second));
    int code = mode == 0 || mode == 2 || mode == 9 ? 0 : 901;
    GIVES(code, cu.StreamEndCapture(s, &graph));
    EXPECT(!graph == !!code, "a graph: %p", graph);
    void *none;
    GIVES(401, cu.StreamEndCapture(s, &none));
    printf("      %-28s %d  gives %d\n", "in a capture", mode, code);
    if (graph) CHECK(cu.GraphDestroy(graph));
    if (z) CHECK(cu.MemFree_v2(z));
    cu.EventDestroy_v2(second), cu.EventDestroy_v2(captured), cu.StreamDestroy_v2(blocking);
    CHECK(cu.CtxSynchronize());
    cu.MemFree_v2(x), cu.MemFree_v2(y);
    emu.Reset();
  }
  for (int mode = 1; mode < 6; mode++) { /* launches beyond limits; handles that are no more */
    Pointer x = memory_of(numbers, 1024), y = memory(1024);
    Twice t = {x, y, 0};
    void *p[] = {&t}, *gone;
    CHECK(cu.StreamCreate(&gone, 1));
    CHECK(cu.StreamDestroy_v2(gone));
    if (mode == 1) GIVES(701, cu.LaunchKernel(twice, 1, 1, 1, 128, 1, 1, 0, a, p, NULL));
    if (mode == 2) GIVES(1, cu.LaunchKernel(twice, 1, 1, 1, 64, 1, 1, (48 << 10) + 4, a, p, NULL));
    if (mode == 3) GIVES(1, cu.LaunchKernel(twice, 0, 1, 1, 64, 1, 1, 0, a, p, NULL));
    if (mode == 4) GIVES(400, cu.LaunchKernel(twice, 1, 1, 1, 64, 1, 1, 0, gone, p, NULL));
    if (mode == 5) GIVES(1, cu.FuncSetAttribute(twice, 8, 228 << 10));
    static const char *const want[] = {NULL, "declared for 64", "the limit is 49152", "a grid of (0, 1, 1)", NULL, NULL};
    said("launches", mode, want[mode], 0);
    cu.MemFree_v2(x), cu.MemFree_v2(y);
  }
  cu.EventDestroy_v2(event), cu.StreamDestroy_v2(b), cu.MemFreeHost(pinned), cu.MemFreeHost(result);
}
static void *context;
static void *end_it(void *stream) {
  void *graph;
  CHECK(cu.CtxSetCurrent(context));
  GIVES(908, cu.StreamEndCapture(stream, &graph));
  return NULL;
}
static void other_thread_ends(void *stream) {
  pthread_t t;
  pthread_create(&t, NULL, end_it, stream);
  pthread_join(t, NULL);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  setenv("NREMU_TIMEOUT", "1", 0), setenv("NREMU_DEVICES", "2", 0);
  open_libraries();
  CHECK(cu.Init(0));
  void *contexts[2] = {use_device(1), NULL}, *stream;
  contexts[1] = contexts[0], contexts[0] = context = use_device(0);
  CHECK(cu.StreamCreate(&stream, 1));
  for (int i = 0; i < 256; i++) numbers[i] = (float)i;
  char *text = text_of("planted.cu");
  void *module = module_of(text, "planted.cu"), *host = module_of(host_kernels, "host.cu");
  twice = function_of(host, "twice"), behind = function_of(host, "behind");
  for (u32 schedule = 0; schedule < 3; schedule++) {
    printf("schedule %u\n", schedule);
    emu.Set(2, schedule * 77773u, 1);
    kernels(module, stream);
    host_mistakes(stream, contexts);
  }
  u64 live[9];
  CHECK(cu.ModuleUnload(module));
  CHECK(cu.ModuleUnload(host));
  CHECK(cu.StreamDestroy_v2(stream));
  emu.Live(live);
  for (int i = 0; i < 8; i++) EXPECT(!live[i], "%llu objects of kind %d were not given back", (unsigned long long)live[i], i);
  printf(failures ? "%d of %d FAILED\n" : "%d of %d: ALL PASSED\n", failures ? failures : tests, tests);
  return failures != 0;
}
