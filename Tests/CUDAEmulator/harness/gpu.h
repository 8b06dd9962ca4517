/* gpu.h - the driver and NVRTC through dlopen, for the harnesses of the emulator and those of kernels. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <glob.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Programs run in the emulator's folder, or say where kernels are. */
static const char *kernel_folder = "../../Sources/Host/Compute/CUDA/Kernels";
typedef uint64_t u64;
typedef uint32_t u32;
typedef u64 Pointer;
#define DRIVER(X)                                                                                                              \
  X(Init, (u32)) X(DriverGetVersion, (int *)) X(DeviceGetCount, (int *)) X(DeviceGet, (int *, int))                            \
  X(DeviceGetName, (char *, int, int)) X(DeviceGetUuid, (void *, int)) X(DeviceTotalMem_v2, (size_t *, int))                   \
  X(DeviceGetAttribute, (int *, int, int)) X(DevicePrimaryCtxRetain, (void **, int)) X(DevicePrimaryCtxRelease_v2, (int))     \
  X(CtxSetCurrent, (void *)) X(CtxGetCurrent, (void **)) X(CtxSynchronize, (void)) X(MemGetInfo_v2, (size_t *, size_t *))      \
  X(MemAlloc_v2, (Pointer *, size_t)) X(MemFree_v2, (Pointer)) X(MemHostAlloc, (void *, size_t, u32)) X(MemFreeHost, (void *)) \
  X(MemcpyHtoD_v2, (Pointer, const void *, size_t)) X(MemcpyDtoH_v2, (void *, Pointer, size_t))                                \
  X(MemcpyHtoDAsync_v2, (Pointer, const void *, size_t, void *)) X(MemcpyDtoHAsync_v2, (void *, Pointer, size_t, void *))      \
  X(MemcpyDtoDAsync_v2, (Pointer, Pointer, size_t, void *)) X(MemcpyDtoD_v2, (Pointer, Pointer, size_t))                       \
  X(Memcpy2DAsync_v2, (const void *, void *)) X(MemsetD8Async, (Pointer, unsigned char, size_t, void *))                       \
  X(MemsetD32Async, (Pointer, u32, size_t, void *)) X(StreamCreate, (void **, u32)) X(StreamDestroy_v2, (void *))              \
  X(StreamSynchronize, (void *)) X(StreamQuery, (void *)) X(StreamWaitEvent, (void *, void *, u32))                            \
  X(EventCreate, (void **, u32)) X(EventDestroy_v2, (void *)) X(EventRecord, (void *, void *)) X(EventQuery, (void *))         \
  X(EventSynchronize, (void *)) X(EventElapsedTime, (float *, void *, void *)) X(StreamBeginCapture_v2, (void *, int))         \
  X(StreamEndCapture, (void *, void **)) X(StreamIsCapturing, (void *, int *)) X(GraphInstantiateWithFlags, (void **, void *, u64)) \
  X(GraphLaunch, (void *, void *)) X(GraphDestroy, (void *)) X(GraphExecDestroy, (void *)) X(ModuleLoadData, (void **, const void *)) \
  X(ModuleUnload, (void *)) X(ModuleGetFunction, (void **, void *, const char *)) X(FuncSetAttribute, (void *, int, int))      \
  X(FuncGetAttribute, (int *, int, void *)) X(OccupancyMaxActiveBlocksPerMultiprocessor, (int *, void *, int, size_t))         \
  X(LaunchKernel, (void *, u32, u32, u32, u32, u32, u32, u32, void *, void **, void **)) X(GetErrorString, (int, const char **)) \
  X(GetErrorName, (int, const char **))
#define COMPILER(X)                                                                                                            \
  X(Version, (int *, int *)) X(GetNumSupportedArchs, (int *)) X(GetSupportedArchs, (int *))                                    \
  X(CreateProgram, (void **, const char *, const char *, int, const char *const *, const char *const *))                       \
  X(CompileProgram, (void *, int, const char *const *)) X(GetProgramLogSize, (void *, size_t *)) X(GetProgramLog, (void *, char *)) \
  X(GetCUBINSize, (void *, size_t *)) X(GetCUBIN, (void *, char *)) X(DestroyProgram, (void **))
#define FIELD(name, arguments) int (*name) arguments;
static struct { DRIVER(FIELD) } cu;
static struct { COMPILER(FIELD) const char *(*GetErrorString)(int); } rtc;
static struct { void (*Statistics)(u64 *), (*Live)(u64 *), (*Reset)(void), (*Set)(int, u32, int), (*FailAllocation)(u64); const char *(*FirstError)(void); } emu;
static int emulated, architecture = 90;

static int failures, tests;
#define EXPECT(condition, ...)                                                    \
  do {                                                                            \
    tests++;                                                                      \
    if (!(condition) && failures++ < 40) printf("  FAIL line %d: ", __LINE__), printf(__VA_ARGS__), printf("\n"); \
  } while (0)
#define GIVES(code, call)                                                                             \
  do {                                                                                                \
    int got = (call);                                                                                 \
    EXPECT(got == (code), "%s gives %d, not %d", #call, got, code);                                   \
  } while (0)
#define CHECK(call)                                                                                            \
  do {                                                                                                         \
    int got = (call);                                                                                          \
    const char *text = "";                                                                                     \
    if (got) cu.GetErrorString(got, &text), printf("line %d: %s: %d %s\n", __LINE__, #call, got, text), exit(1); \
  } while (0)

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec; }
static void *symbol(void *library, const char *prefix, const char *name) {
  char text[100];
  snprintf(text, sizeof text, "%s%s", prefix, name);
  void *p = dlsym(library, text);
  if (!p) printf("no %s\n", text), exit(2);
  return p;
}
/* From the folder that NR_CUDA_LIBRARIES names, else by its name alone. */
static void *library(const char *name) {
  char path[4100];
  const char *folder = getenv("NR_CUDA_LIBRARIES");
  snprintf(path, sizeof path, "%s/%s", folder ? folder : "", name);
  void *found = folder ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
  return found ? found : dlopen(name, RTLD_NOW | RTLD_LOCAL);
}
static void open_driver(void) {
  void *driver = library("libcuda.so.1");
  if (!driver) printf("%s\n", dlerror()), exit(2);
  char pattern[4100];
  glob_t found;
  snprintf(pattern, sizeof pattern, "%s/libnvrtc-builtins.so.*", getenv("NR_CUDA_LIBRARIES") ? getenv("NR_CUDA_LIBRARIES") : "");
  if (!glob(pattern, 0, NULL, &found)) /* NVRTC opens them by name alone */
    for (size_t i = 0; i < found.gl_pathc; i++) dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
  void *compiler = library("libnvrtc.so.13");
  if (!compiler) compiler = library("libnvrtc.so.12");
  if (!compiler) printf("%s\n", dlerror()), exit(2);
#define FROM_DRIVER(name, arguments) *(void **)&cu.name = symbol(driver, "cu", #name);
#define FROM_COMPILER(name, arguments) *(void **)&rtc.name = symbol(compiler, "nvrtc", #name);
#define FROM_EMULATOR(name) *(void **)&emu.name = symbol(driver, "nremu", #name);
  DRIVER(FROM_DRIVER) COMPILER(FROM_COMPILER)
  FROM_COMPILER(GetErrorString, )
  emulated = dlsym(driver, "nremuStatistics") != NULL;
  if (!emulated) return;
  FROM_EMULATOR(Statistics) FROM_EMULATOR(Live) FROM_EMULATOR(Reset) FROM_EMULATOR(Set) FROM_EMULATOR(FailAllocation) FROM_EMULATOR(FirstError)
}
static void open_libraries(void) {
  open_driver();
  if (!emulated) printf("libcuda is not the emulator\n"), exit(2);
}
static void *use_device(int index) {
  void *context;
  CHECK(cu.DevicePrimaryCtxRetain(&context, index));
  CHECK(cu.CtxSetCurrent(context));
  return context;
}
static char *text_of(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) perror(path), exit(2);
  fseek(f, 0, SEEK_END);
  size_t n = (size_t)ftell(f);
  rewind(f);
  char *t = malloc(n + 1);
  if (fread(t, 1, n, f) != n) exit(2);
  t[n] = 0;
  fclose(f);
  return t;
}
/* With all headers of the kernels. */
static char *compile(const char *text, const char *name) {
  const char *headers[64], *names[64];
  char pattern[4100], option[40];
  int count = 0;
  glob_t found = {0};
  for (int i = 0; i < 2; i++) {
    snprintf(pattern, sizeof pattern, "%s/%s", kernel_folder, i ? "*.cuh" : "*.h");
    if (glob(pattern, i ? GLOB_APPEND : 0, NULL, &found)) printf("no %s\n", pattern), exit(2);
  }
  for (; count < 64 && count < (int)found.gl_pathc; count++)
    headers[count] = text_of(found.gl_pathv[count]), names[count] = strrchr(found.gl_pathv[count], '/') + 1;
  snprintf(option, sizeof option, "--gpu-architecture=sm_%d", architecture);
  const char *options[] = {option, "--std=c++17", "-default-device", "--fmad=false"};
  void *program;
  rtc.CreateProgram(&program, text, name, count, headers, names);
  int status = rtc.CompileProgram(program, 4, options);
  size_t n;
  rtc.GetProgramLogSize(program, &n);
  char *log = malloc(n);
  rtc.GetProgramLog(program, log);
  if (status || *log) printf("%s: %s\n%s\n", name, rtc.GetErrorString(status), log);
  if (status) exit(1);
  rtc.GetCUBINSize(program, &n);
  char *image = malloc(n);
  rtc.GetCUBIN(program, image);
  rtc.DestroyProgram(&program);
  free(log), globfree(&found);
  while (count) free((void *)headers[--count]);
  return image;
}
static void *module_of(const char *text, const char *name) {
  char *image = compile(text, name);
  void *module;
  CHECK(cu.ModuleLoadData(&module, image));
  free(image);
  return module;
}
static void *function_of(void *module, const char *name) {
  void *f;
  CHECK(cu.ModuleGetFunction(&f, module, name));
  return f;
}
static Pointer memory(size_t bytes) {
  Pointer p;
  CHECK(cu.MemAlloc_v2(&p, bytes));
  return p;
}
static Pointer memory_of(const void *host, size_t bytes) {
  Pointer p = memory(bytes);
  CHECK(cu.MemcpyHtoD_v2(p, host, bytes));
  CHECK(cu.CtxSynchronize());
  return p;
}
