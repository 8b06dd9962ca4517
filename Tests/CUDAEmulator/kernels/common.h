/* common.h - what the harnesses of kernels share: their words, the device, numbers, and what is said at the end. */
#include "../harness/gpu.h"
#include <stdarg.h>
typedef uint16_t u16;
typedef int64_t i64;

/* brief: fewer cases, and none after the first that fails. exact: operands of products are such that no sum is rounded. */
static int brief, exact;
static void *stream;
static u64 random_state = 1;
static double started;

static void open_gpu(int count, char **words) {
  const char *folder = NULL;
  int major, minor, version;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int i = 1; i < count; i++) {
    if (!strcmp(words[i], "--brief")) brief = 1;
    else if (!strcmp(words[i], "--exact")) exact = 1;
    else if (!strcmp(words[i], "--seed") && i + 1 < count) random_state = 2 * strtoull(words[++i], NULL, 10) + 1;
    else folder = words[i];
  }
  if (!folder || *folder == '-') printf("usage: %s [--brief] [--exact] [--seed N] FOLDER-OF-KERNELS\n", words[0]), exit(2);
  kernel_folder = folder;
  open_driver();
  CHECK(cu.Init(0));
  use_device(0);
  CHECK(cu.DeviceGetAttribute(&major, 75, 0));
  CHECK(cu.DeviceGetAttribute(&minor, 76, 0));
  architecture = major * 10 + minor;
  CHECK(cu.StreamCreate(&stream, 1));
  char name[200];
  CHECK(cu.DeviceGetName(name, sizeof name, 0));
  CHECK(cu.DriverGetVersion(&version));
  rtc.Version(&major, &minor);
  exact |= !emulated; /* a tensor core adds in an order of its own */
  printf("%s, sm_%d, driver %d, NVRTC %d.%d%s\n", name, architecture, version, major, minor, emulated ? ", the emulator" : "");
  started = now();
}

/* ---- kernels and memory -------------------------------------------------------------------------------------------------------- */

static void *module_of_file(const char *name) {
  char path[4100];
  snprintf(path, sizeof path, "%s/%s", kernel_folder, name);
  char *text = text_of(path);
  void *module = module_of(text, name);
  free(text);
  return module;
}
/* A kernel that is launched with up to so many bytes of shared memory. */
static void *kernel_of(void *module, const char *name, int shared) {
  void *f = function_of(module, name);
  if (shared > 48 << 10) CHECK(cu.FuncSetAttribute(f, 8, shared));
  return f;
}
static void launch(void *f, i64 x, i64 y, i64 z, int threads, int shared, void *arguments) {
  void *parameters[] = {arguments};
  CHECK(cu.LaunchKernel(f, (u32)x, (u32)y, (u32)z, (u32)threads, 1, 1, (u32)shared, stream, parameters, NULL));
}
/* Memory that nobody wrote: the emulator tells who reads it, elsewhere it is NaN. */
static Pointer empty_memory(size_t bytes) {
  Pointer p = memory(bytes);
  if (!emulated) CHECK(cu.MemsetD8Async(p, 0xFF, bytes, stream));
  return p;
}
/* Memory all of whose bytes are the same: what a kernel must leave alone still is. */
static Pointer filled_memory(int byte, size_t bytes) {
  void *host = malloc(bytes);
  memset(host, byte, bytes);
  Pointer p = memory_of(host, bytes);
  free(host);
  return p;
}
static void write_memory(Pointer p, const void *host, size_t bytes) {
  CHECK(cu.MemcpyHtoD_v2(p, host, bytes));
  CHECK(cu.CtxSynchronize()); /* our stream does not wait for the default one */
}
static void *host_of(Pointer p, size_t bytes) {
  CHECK(cu.StreamSynchronize(stream));
  void *host = malloc(bytes);
  CHECK(cu.MemcpyDtoH_v2(host, p, bytes));
  return host;
}
/* release(p, q, ...) */
#define release(...) release_all((const Pointer[]){__VA_ARGS__}, (int)(sizeof(Pointer[]){__VA_ARGS__} / sizeof(Pointer)))
static void release_all(const Pointer *p, int count) {
  for (int i = 0; i < count; i++)
    if (p[i]) CHECK(cu.MemFree_v2(p[i]));
}

/* ---- numbers ------------------------------------------------------------------------------------------------------------------- */

static u64 next_random(void) { return random_state = random_state * 6364136223846793005ull + 1442695040888963407ull; }
static int pick(int n) { return (int)((next_random() >> 33) % (u64)n); }
static float uniform(void) { return (float)(int32_t)(next_random() >> 32) * 0x1p-31f; } /* from -1 to 1 */
static float normal(void) {
  float s = 0;
  for (int i = 0; i < 6; i++) s += uniform();
  return s * 0.7071f;
}
static u32 bits_of(float f) { u32 x; memcpy(&x, &f, 4); return x; }
static float of_bits(u32 x) { float f; memcpy(&f, &x, 4); return f; }
static u16 half_of(float f) { return (u16)((bits_of(f) + 0x7fff + (bits_of(f) >> 16 & 1)) >> 16); }
static float float_of(u16 h) { return of_bits((u32)h << 16); }
static float rounded(float f) { return float_of(half_of(f)); }
/* Of a product. Where sums must be exact: quarters from -1 to 1, times the power of two next to the scale. */
static float operand(float scale) { return exact ? (float)(pick(9) - 4) * exp2f(roundf(log2f(scale)) - 2) : normal() * scale; }
static u16 *halves(size_t n, float scale) {
  u16 *h = malloc(n * 2);
  for (size_t i = 0; i < n; i++) h[i] = half_of(operand(scale));
  return h;
}
static int ceil_div(i64 a, i64 b) { return (int)((a + b - 1) / b); }

/* A line that the next one writes over. */
static const char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *text(const char *format, ...) {
  static char t[400];
  va_list list;
  va_start(list, format);
  vsnprintf(t, sizeof t, format, list);
  va_end(list);
  return t;
}

/* ---- the end --------------------------------------------------------------------------------------------------------------------- */

static int enough(void) { return brief && failures; }

/* What the emulator has to say, which forgets it. With NREMU_CHECK=2 bank conflicts are counted: none of ldmatrix, and of a hundred
   accesses to shared memory at most `percent`. */
static void check_device(double percent) {
  u64 s[8];
  CHECK(cu.StreamSynchronize(stream));
  if (!emulated) return;
  emu.Statistics(s);
  EXPECT(!*emu.FirstError(), "the emulator: %s", emu.FirstError());
  EXPECT(!s[3], "%llu bank conflicts of %llu ldmatrix", (unsigned long long)s[3], (unsigned long long)s[2]);
  EXPECT((double)s[7] <= (double)s[6] * percent / 100, "%llu bank conflicts of %llu accesses to shared memory", (unsigned long long)s[7],
         (unsigned long long)s[6]);
  emu.Reset();
}
static int finish(double percent) {
  check_device(percent);
  printf("%.1f s\n", now() - started);
  if (failures) printf("%d of %d FAILED\n", failures, tests);
  else printf("%d of %d: ALL PASSED\n", tests, tests);
  return failures != 0;
}
