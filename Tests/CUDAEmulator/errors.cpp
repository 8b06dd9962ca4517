/* errors.cpp - settings, reports of mistakes, names of error codes. */
#include "emulator.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Settings settings;

static u64 number(const char *name, u64 otherwise) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 0) : otherwise;
}
static void read_all() {
  Settings &s = settings;
  s.check = (int)number("NREMU_CHECK", 0);
  s.schedule = (u32)number("NREMU_SCHEDULE", 0);
  s.threads = (int)number("NREMU_THREADS", 1);
  s.eager = (int)number("NREMU_EAGER", 0);
  s.devices = (int)number("NREMU_DEVICES", 1);
  if (s.devices > 16) s.devices = 16;
  s.memory = number("NREMU_MEMORY", 4ull << 30);
  s.driver = (int)number("NREMU_DRIVER", 13000);
  s.timeout = (int)number("NREMU_TIMEOUT", 60);
  s.fail_allocation = number("NREMU_FAIL_ALLOCATION", 0);
  s.statistics = (int)number("NREMU_STATISTICS", 0);
  s.capability = 90;
  const char *text = getenv("NREMU_CAPABILITY");
  int major, minor;
  if (text && sscanf(text, "%d.%d", &major, &minor) == 2) s.capability = major * 10 + minor;
}
void read_settings() {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, read_all);
}

/* ---- reports ----------------------------------------------------------------------------------------------------------- */

static pthread_mutex_t report_lock = PTHREAD_MUTEX_INITIALIZER;
Device *at_work;
int error_count;
char first_error[1024];
static int first_code;

void report(int code, const char *form, ...) {
  char text[700], where[300] = "";
  va_list list;
  va_start(list, form);
  vsnprintf(text, sizeof text, form, list);
  va_end(list);
  Fibre *f = self();
  if (f && cpu)
    snprintf(where, sizeof where, " [%s block (%u,%u,%u) thread (%u,%u,%u)]", cpu->launch->function->name, nr_here.block_index.x,
             nr_here.block_index.y, nr_here.block_index.z, f->thread_index.x, f->thread_index.y, f->thread_index.z);
  pthread_mutex_lock(&report_lock);
  if (!error_count++) snprintf(first_error, sizeof first_error, "%s%s", text, where), first_code = code;
  if (error_count <= 5) fprintf(stderr, "nremu: %s%s\n", text, where);
  if (code && at_work && !at_work->sticky) __atomic_store_n(&at_work->sticky, code, __ATOMIC_RELAXED);
  pthread_mutex_unlock(&report_lock);
}
void forget_errors() {
  for (Device &d : devices) d.sticky = 0;
  error_count = first_code = 0, first_error[0] = 0;
}

/* ---- names ------------------------------------------------------------------------------------------------------------- */

static const struct { int code; const char *name, *text; } errors[] = {
    {OK, "CUDA_SUCCESS", "no error"},
    {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {ILLEGAL_STATE, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {LAUNCH_TIMEOUT, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {CONTEXT_IS_DESTROYED, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {ILLEGAL_INSTRUCTION, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
    {MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not initiated in this stream"},
    {CAPTURE_ISOLATION, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"},
    {CAPTURE_IMPLICIT, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT", "operation would make the legacy stream depend on a capture"},
    {CAPTURED_EVENT, "CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"},
    {CAPTURE_WRONG_THREAD, "CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD", "attempt to terminate a capture from another thread"},
};
EXPORT int cuGetErrorName(int code, const char **name) {
  for (auto &e : errors)
    if (e.code == code) { *name = e.name; return OK; }
  *name = NULL;
  return INVALID_VALUE;
}
/* Of the error that the emulator reported first it tells the report, so that a host's message names the mistake. */
EXPORT int cuGetErrorString(int code, const char **text) {
  static char said[1200];
  for (auto &e : errors)
    if (e.code == code) {
      pthread_mutex_lock(&report_lock);
      if (code && code == first_code) snprintf(said, sizeof said, "%s: %s", e.text, first_error), *text = said;
      else *text = e.text;
      pthread_mutex_unlock(&report_lock);
      return OK;
    }
  *text = NULL;
  return INVALID_VALUE;
}
