/* driver.cpp - libcuda's entry points, each as the driver API's reference says. */
#include "emulator.h"
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef int CUresult;
typedef u64 CUdeviceptr;
pthread_mutex_t driver_lock = PTHREAD_MUTEX_INITIALIZER;
static bool initialised;
static __thread Device *current;

struct Locked {
  Locked() { pthread_mutex_lock(&driver_lock); }
  ~Locked() { pthread_mutex_unlock(&driver_lock); }
};
#define ENTER                                \
  Locked locked;                             \
  if (!initialised) return NOT_INITIALIZED
/* `d` is the device of this thread's current context; an error that it keeps is what every call gives. */
#define ENTER_CONTEXT                                  \
  ENTER;                                               \
  Device *d = current;                                 \
  if (!d) return INVALID_CONTEXT;                      \
  if (!d->retained) return CONTEXT_IS_DESTROYED;       \
  at_work = d;                                         \
  if (d->sticky) return d->sticky
/* ... of a call that a capture forbids */
#define ENTER_UNSAFE                             \
  ENTER_CONTEXT;                                 \
  if (int forbidden = unsafe_call()) return forbidden

/* A stream's handle: 0 and 1 are the legacy default stream. */
static Stream *stream_of(Device *d, Stream *s) {
  if ((u64)s <= 1) return &d->legacy;
  return s->magic == STREAM ? s : NULL;
}
#define STREAM_OF(handle)                            \
  Stream *s = stream_of(d, handle);                  \
  if (!s) return INVALID_HANDLE;                     \
  if (s->device->sticky) return s->device->sticky

/* Work that is put into a stream: in a capture that failed nothing is, and what would make the legacy stream wait for a capture is
   an error. */
static CUresult put_in(Stream *s, Work *w) {
  CUresult code = OK;
  if (s->capture && s->capture->invalid) code = CAPTURE_INVALIDATED;
  if (s == &s->device->legacy)
    for (Capture *c = captures; c; c = c->next)
      if (c->stream->device == s->device && !c->stream->non_blocking) c->invalid = true, code = CAPTURE_IMPLICIT;
  if (code) drop(w);
  else code = put(s, w);
  return code;
}

/* ---- devices and contexts ------------------------------------------------------------------------------------------------ */

EXPORT CUresult cuInit(u32 flags) {
  Locked locked;
  if (flags) return INVALID_VALUE;
  read_settings();
  if (settings.devices < 1) return NO_DEVICE;
  if (initialised) return OK;
  if (!open_arena()) return OUT_OF_MEMORY;
  for (int i = 0; i < settings.devices; i++) {
    Device &d = devices[i];
    d.index = i, d.legacy.magic = STREAM, d.legacy.device = &d;
  }
  initialised = true;
  return OK;
}
EXPORT CUresult cuDriverGetVersion(int *version) {
  read_settings();
  if (!version) return INVALID_VALUE;
  *version = settings.driver;
  return OK;
}
EXPORT CUresult cuDeviceGetCount(int *count) {
  ENTER;
  *count = settings.devices;
  return OK;
}
EXPORT CUresult cuDeviceGet(int *device, int index) {
  ENTER;
  if (index < 0 || index >= settings.devices) return INVALID_DEVICE;
  *device = index;
  return OK;
}
#define DEVICE_OF(index)                                                  \
  ENTER;                                                                  \
  if (index < 0 || index >= settings.devices) return INVALID_DEVICE
EXPORT CUresult cuDeviceGetName(char *name, int room, int device) {
  DEVICE_OF(device);
  snprintf(name, (size_t)room, "emulated sm_%d", settings.capability);
  return OK;
}
EXPORT CUresult cuDeviceGetUuid(u8 *uuid, int device) {
  DEVICE_OF(device);
  memcpy(uuid, "nano-reasoner\0\0", 15);
  uuid[15] = (u8)device;
  return OK;
}
EXPORT CUresult cuDeviceGetUuid_v2(u8 *uuid, int device) { return cuDeviceGetUuid(uuid, device); }
EXPORT CUresult cuDeviceTotalMem_v2(size_t *bytes, int device) {
  DEVICE_OF(device);
  *bytes = settings.memory;
  return OK;
}
/* Of a multiprocessor, by compute capability; a block can have 1 KB of its shared memory less. */
static int shared_of_multiprocessor() {
  switch (settings.capability) {
    case 75: return 64 << 10;
    case 80: case 87: return 164 << 10;
    case 86: case 88: case 89: case 120: case 121: return 100 << 10;
    default: return 228 << 10;
  }
}
static int shared_of_block() { return settings.capability == 75 ? 64 << 10 : shared_of_multiprocessor() - 1024; }
static int threads_of_multiprocessor() {
  switch (settings.capability) {
    case 75: return 1024;
    case 86: case 88: case 89: case 120: case 121: return 1536;
    default: return 2048;
  }
}
EXPORT CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
  DEVICE_OF(device);
  switch (attribute) {
    case 1: *value = MAX_THREADS; return OK;                     /* threads of a block, in all and by dimension */
    case 2: case 3: *value = 1024; return OK;
    case 4: *value = 64; return OK;
    case 5: *value = 0x7fffffff; return OK;                      /* blocks of a grid, by dimension */
    case 6: case 7: *value = 65535; return OK;
    case 8: *value = 48 << 10; return OK;                        /* shared memory of a block that did not ask for more */
    case 9: *value = 64 << 10; return OK;                        /* constant memory */
    case 10: *value = 32; return OK;                             /* lanes of a warp */
    case 12: case 82: *value = 65536; return OK;                 /* registers of a block, of a multiprocessor */
    case 13: *value = 1000000; return OK;                        /* kHz */
    case 16: *value = 4; return OK;                              /* multiprocessors */
    case 18: *value = 0; return OK;                              /* part of the processor */
    case 19: case 31: case 41: *value = 1; return OK;            /* maps host memory, concurrent kernels, unified addresses */
    case 33: *value = device; return OK;                         /* PCI bus, device, domain */
    case 34: case 50: *value = 0; return OK;
    case 36: *value = 1000000; return OK;                        /* memory: kHz, bits */
    case 37: *value = 64; return OK;
    case 38: *value = 4 << 20; return OK;                        /* second cache */
    case 39: *value = threads_of_multiprocessor(); return OK;
    case 40: *value = 1; return OK;                              /* copy engines */
    case 75: *value = settings.capability / 10; return OK;
    case 76: *value = settings.capability % 10; return OK;
    case 81: *value = shared_of_multiprocessor(); return OK;
    case 97: *value = shared_of_block(); return OK;              /* shared memory of a block that asks for it */
    case 106: *value = 32; return OK;                            /* blocks of a multiprocessor */
    case 111: *value = 1024; return OK;                          /* shared memory that the driver takes of each block */
    case 115: *value = 0; return OK;                             /* memory pools */
  }
  return INVALID_VALUE;
}
EXPORT CUresult cuDevicePrimaryCtxRetain(Device **context, int device) {
  DEVICE_OF(device);
  devices[device].retained++;
  *context = devices + device;
  return OK;
}
static void unload(Module *m);
static void destroy_context(Device *d) {
  drain_all(d);
  while (Stream *s = d->streams) {
    if (s->capture) abort_capture(s);
    d->streams = s->next;
    s->magic = 0;
    bury(s);
  }
  while (d->events) end_event(d->events);
  for (Executable *e = all_executables, *next; e; e = next) {
    next = e->next;
    if (e->device == d && !e->destroyed) end_executable(e);
  }
  for (Graph *g = all_graphs, *next; g; g = next) {
    next = g->next;
    if (g->device == d) end_graph(g);
  }
  while (d->modules) unload(d->modules);
  release_all(d);
  unpin_all(d);
  d->sticky = 0;
}
EXPORT CUresult cuDevicePrimaryCtxRelease_v2(int device) {
  DEVICE_OF(device);
  Device *d = devices + device;
  if (!d->retained) return INVALID_CONTEXT;
  if (!--d->retained) destroy_context(d);
  return OK;
}
EXPORT CUresult cuDevicePrimaryCtxReset_v2(int device) {
  DEVICE_OF(device);
  destroy_context(devices + device);
  return OK;
}
EXPORT CUresult cuCtxSetCurrent(Device *context) {
  ENTER;
  if (context && (context < devices || context >= devices + settings.devices)) return INVALID_CONTEXT;
  current = context;
  return OK;
}
EXPORT CUresult cuCtxGetCurrent(Device **context) {
  ENTER;
  *context = current;
  return OK;
}
EXPORT CUresult cuCtxGetDevice(int *device) {
  ENTER_CONTEXT;
  *device = d->index;
  return OK;
}
EXPORT CUresult cuCtxSynchronize(void) {
  ENTER_UNSAFE;
  CUresult code = OK;
  for (Capture *c = captures; c; c = c->next)
    if (c->stream->device == d) c->invalid = true, code = CAPTURE_UNSUPPORTED;
  if (code) return code;
  drain_all(d);
  return d->sticky;
}

/* ---- memory -------------------------------------------------------------------------------------------------------------- */

static bool allocation_fails() { return settings.fail_allocation && !--settings.fail_allocation; }

EXPORT CUresult cuMemGetInfo_v2(size_t *left, size_t *total) {
  ENTER_CONTEXT;
  *left = settings.memory - d->bytes_live, *total = settings.memory;
  return OK;
}
EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t bytes) {
  ENTER_UNSAFE;
  if (!p || !bytes) return INVALID_VALUE;
  *p = 0;
  if (allocation_fails()) return OUT_OF_MEMORY;
  *p = allocate(d, bytes);
  return *p ? OK : OUT_OF_MEMORY;
}
EXPORT CUresult cuMemFree_v2(CUdeviceptr p) {
  ENTER_UNSAFE;
  if (!p) return OK;
  const Allocation *a = p - (u64)arena < arena_bytes ? allocation_at(p - (u64)arena) : NULL;
  if (!a || (u64)(arena + a->start) != p) {
    char text[160];
    report(0, "cuMemFree: %#llx is not the beginning of an allocation: it is %s", p,
           a ? "inside one" : p - (u64)arena < arena_bytes ? whose(p - (u64)arena, text, sizeof text) : "no device address");
    return INVALID_VALUE;
  }
  if (p - (u64)arena < d->begin || p - (u64)arena >= d->end) {
    report(0, "cuMemFree: an address of device %llu, but the current context is that of device %d", (p - (u64)arena) / device_bytes, d->index);
    return INVALID_VALUE;
  }
  if (const char *use = queued_use(p, a->end - a->start)) {
    report(ILLEGAL_ADDRESS, "cuMemFree: memory is freed while %s that uses it is queued", use);
    return d->sticky;
  }
  release(d, p);
  return OK;
}
EXPORT CUresult cuMemHostAlloc(void **p, size_t bytes, u32 flags) {
  ENTER_UNSAFE;
  if (!p || !bytes || flags > 7) return INVALID_VALUE;
  *p = allocation_fails() ? NULL : pin(d, bytes);
  return *p ? OK : OUT_OF_MEMORY;
}
EXPORT CUresult cuMemFreeHost(void *p) {
  ENTER_UNSAFE;
  Pinned *pinned = pinned_at(p, 1);
  if (!pinned || pinned->start != p) return INVALID_VALUE;
  if (const char *use = queued_use((u64)p, pinned->bytes)) {
    report(ILLEGAL_ADDRESS, "cuMemFreeHost: pinned memory is freed while %s that uses it is queued", use);
    return d->sticky;
  }
  unpin(p);
  return OK;
}

/* What a copy's ends are is decided when it is put into its stream:
   from pageable memory the bytes are taken at once; from pinned memory they are read when the copy runs;
   to pageable memory the call waits; what is in pinned memory until the copy has run is nobody's. */
struct End { const u8 *start; u64 pitch; bool device; Pinned *pinned; };
static bool resolve(End *e, Device *d, const Work *w, const u8 *start, u64 pitch, bool device, const char *what) {
  u64 bytes = (w->rows - 1) * pitch + w->bytes;
  *e = {start, pitch, device, device ? NULL : pinned_at(start, bytes)};
  if (device != in_arena(start)) {
    report(0, "%s: %p is %s", what, (const void *)start, device ? "no device address" : "a device address, not one of the host");
    return false;
  }
  if (!device) {
    if (!e->pinned && pinned_at(start, 1)) report(0, "%s: the copy goes past the end of pinned memory", what);
    return start && (e->pinned || !pinned_at(start, 1));
  }
  u64 at = offset_of(start);
  if (at < d->begin || at >= d->end) {
    report(0, "%s: an address of device %llu, but the stream is one of device %d", what, at / device_bytes, d->index);
    return false;
  }
  const Allocation *a = allocation_at(at);
  if (a && at + bytes <= a->end) return true;
  char text[160];
  u64 past = a ? a->end - at : 0;
  report(0, "%s: byte %llu of %llu is %s", what, past, bytes, whose(at + past, text, sizeof text));
  return false;
}
static CUresult put_copy(Stream *s, Work *w, bool to_device, bool from_device, bool waits, const char *what) {
  w->kind = COPY;
  if (!w->rows || !w->bytes) return OK;
  End to, from;
  if (!resolve(&to, s->device, w, w->to, w->to_pitch, to_device, what) || !resolve(&from, s->device, w, w->from, w->from_pitch, from_device, what))
    return INVALID_VALUE;
  if (!s->capture) {
    if (!from_device && !from.pinned) {
      if (waits) drain(s);
      w->staged = (u8 *)malloc(w->bytes * w->rows);
      for (u64 r = 0; r < w->rows; r++) memcpy(w->staged + r * w->bytes, w->from + r * w->from_pitch, w->bytes);
      w->from = w->staged, w->from_pitch = w->bytes;
    } else if (from.pinned && !waits) w->content = content_of(w), w->device_writes = from.pinned->device_writes, w->has_content = true;
    if (to.pinned && !waits && !queued_use((u64)w->to, (w->rows - 1) * w->to_pitch + w->bytes))
      for (u64 r = 0; r < w->rows; r++) memset(w->to + r * w->to_pitch, 0xFF, w->bytes);
  }
  CUresult code = put_in(s, w);
  if (code || s->capture) return code;
  if ((!to_device && !to.pinned) || (waits && (to.pinned || from.pinned))) drain(s);
  return s->device->sticky;
}
static Work row(u64 to, u64 from, u64 bytes) {
  Work w = {};
  w.to = (u8 *)to, w.from = (const u8 *)from, w.bytes = w.to_pitch = w.from_pitch = bytes, w.rows = 1;
  return w;
}
EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, Stream *stream) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  Work w = row(to, (u64)from, bytes);
  return put_copy(s, &w, true, false, false, "cuMemcpyHtoDAsync");
}
EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, Stream *stream) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  Work w = row((u64)to, from, bytes);
  return put_copy(s, &w, false, true, false, "cuMemcpyDtoHAsync");
}
EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, Stream *stream) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  Work w = row(to, from, bytes);
  return put_copy(s, &w, true, true, false, "cuMemcpyDtoDAsync");
}
/* From pageable memory the call returns once the bytes are taken, and a non-blocking stream does not wait for the copy. */
EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
  ENTER_UNSAFE;
  Work w = row(to, (u64)from, bytes);
  return put_copy(&d->legacy, &w, true, false, true, "cuMemcpyHtoD");
}
EXPORT CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
  ENTER_UNSAFE;
  Work w = row((u64)to, from, bytes);
  return put_copy(&d->legacy, &w, false, true, true, "cuMemcpyDtoH");
}
EXPORT CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  ENTER_UNSAFE;
  Work w = row(to, from, bytes);
  return put_copy(&d->legacy, &w, true, true, false, "cuMemcpyDtoD");
}
enum { HOST_MEMORY = 1, DEVICE_MEMORY };
struct Copy2D {
  size_t from_x, from_y;
  u32 from_kind;
  const void *from_host;
  CUdeviceptr from_device;
  void *from_array;
  size_t from_pitch, to_x, to_y;
  u32 to_kind;
  void *to_host;
  CUdeviceptr to_device;
  void *to_array;
  size_t to_pitch, bytes, rows;
};
EXPORT CUresult cuMemcpy2DAsync_v2(const Copy2D *c, Stream *stream) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  if (!c || c->from_kind - 1 > 1 || c->to_kind - 1 > 1 || (c->from_kind == HOST_MEMORY && c->to_kind == HOST_MEMORY)) return INVALID_VALUE;
  bool from_device = c->from_kind == DEVICE_MEMORY, to_device = c->to_kind == DEVICE_MEMORY;
  u64 from_pitch = c->from_pitch ? c->from_pitch : c->from_x + c->bytes, to_pitch = c->to_pitch ? c->to_pitch : c->to_x + c->bytes;
  if (from_pitch < c->from_x + c->bytes || to_pitch < c->to_x + c->bytes) return INVALID_VALUE;
  Work w = row((to_device ? c->to_device : (u64)c->to_host) + c->to_y * to_pitch + c->to_x,
               (from_device ? c->from_device : (u64)c->from_host) + c->from_y * from_pitch + c->from_x, c->bytes);
  w.rows = c->rows, w.to_pitch = to_pitch, w.from_pitch = from_pitch;
  return put_copy(s, &w, to_device, from_device, false, "cuMemcpy2DAsync");
}
static CUresult put_set(Stream *s, CUdeviceptr to, u32 value, u32 unit, size_t count) {
  if (!count) return OK;
  if (to % unit) return INVALID_VALUE;
  Work w = row(to, 0, count * unit);
  End end;
  if (!resolve(&end, s->device, &w, w.to, w.to_pitch, true, "memset")) return INVALID_VALUE;
  w.kind = SET, w.value = value, w.unit = unit;
  return put_in(s, &w);
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, u8 value, size_t count, Stream *stream) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  return put_set(s, to, value, 1, count);
}
EXPORT CUresult cuMemsetD32Async(CUdeviceptr to, u32 value, size_t count, Stream *stream) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  return put_set(s, to, value, 4, count);
}

/* ---- streams and events ---------------------------------------------------------------------------------------------------- */

EXPORT CUresult cuStreamCreate(Stream **stream, u32 flags) {
  ENTER_CONTEXT;
  if (!stream || flags > 1) return INVALID_VALUE;
  Stream *s = (Stream *)calloc(1, sizeof *s);
  s->magic = STREAM, s->device = d, s->non_blocking = flags, s->next = d->streams;
  *stream = d->streams = s;
  return OK;
}
/* What is queued in it is still done, when someone waits for it. */
EXPORT CUresult cuStreamDestroy_v2(Stream *stream) {
  ENTER;
  if ((u64)stream <= 1 || stream->magic != STREAM) return INVALID_HANDLE;
  if (stream->capture) abort_capture(stream);
  end_stream(stream);
  return OK;
}
EXPORT CUresult cuStreamDestroy(Stream *stream) { return cuStreamDestroy_v2(stream); }
static CUresult forbidden_in(Stream *s) {
  if (!s->capture) return unsafe_call();
  s->capture->invalid = true;
  return CAPTURE_UNSUPPORTED;
}
EXPORT CUresult cuStreamSynchronize(Stream *stream) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  if (CUresult forbidden = forbidden_in(s)) return forbidden;
  Device *of = s->device;
  drain(s);
  return of->sticky;
}
EXPORT CUresult cuStreamQuery(Stream *stream) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  if (CUresult forbidden = forbidden_in(s)) return forbidden;
  return run_one(s) ? NOT_READY : OK;
}
EXPORT CUresult cuStreamWaitEvent(Stream *stream, Event *event, u32 flags) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  if (flags || !event || event->magic != EVENT) return flags ? INVALID_VALUE : INVALID_HANDLE;
  if (s->capture) {
    if (s->capture->invalid) return CAPTURE_INVALIDATED;
    if (event->captured == s->capture->number || (!event->captured && !event->last)) return OK;
    s->capture->invalid = true;
    return CAPTURE_ISOLATION;
  }
  if (event->captured) {
    report(0, "cuStreamWaitEvent: the event was recorded in a capture; captures that go over several streams are not emulated");
    return CAPTURE_ISOLATION;
  }
  put_wait(event, s);
  return s->device->sticky;
}
EXPORT CUresult cuEventCreate(Event **event, u32 flags) {
  ENTER_CONTEXT;
  if (!event || flags > 3) return INVALID_VALUE;
  Event *e = (Event *)calloc(1, sizeof *e);
  e->magic = EVENT, e->device = d, e->timed = !(flags & 2), e->next = d->events;
  *event = d->events = e;
  return OK;
}
#define EVENT_OF(event) \
  if (!event || event->magic != EVENT) return INVALID_HANDLE
EXPORT CUresult cuEventDestroy_v2(Event *event) {
  ENTER;
  EVENT_OF(event);
  end_event(event);
  return OK;
}
EXPORT CUresult cuEventRecord(Event *event, Stream *stream) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  EVENT_OF(event);
  if (event->device != s->device) return INVALID_HANDLE;
  if (s->capture && s->capture->invalid) return CAPTURE_INVALIDATED;
  put_record(event, s);
  return s->device->sticky;
}
static CUresult forbidden_for(Event *e) {
  if (!e->captured) return unsafe_call();
  for (Capture *c = captures; c; c = c->next)
    if (c->number == e->captured) c->invalid = true;
  return CAPTURED_EVENT;
}
/* A query tells how things stand; after it the device goes on by one piece of work. */
EXPORT CUresult cuEventQuery(Event *event) {
  ENTER_CONTEXT;
  EVENT_OF(event);
  if (CUresult forbidden = forbidden_for(event)) return forbidden;
  if (event->device->sticky) return event->device->sticky;
  if (!event->last || event->last->done) return OK;
  run_one(event->last->stream);
  return NOT_READY;
}
EXPORT CUresult cuEventSynchronize(Event *event) {
  ENTER_CONTEXT;
  EVENT_OF(event);
  if (CUresult forbidden = forbidden_for(event)) return forbidden;
  while (event->last && !event->last->done) run_one(event->last->stream);
  return event->device->sticky;
}
EXPORT CUresult cuEventElapsedTime(float *milliseconds, Event *start, Event *end) {
  ENTER_CONTEXT;
  EVENT_OF(start);
  EVENT_OF(end);
  if (!start->timed || !end->timed || !start->last || !end->last) return INVALID_HANDLE;
  if (!start->last->done || !end->last->done) return NOT_READY;
  *milliseconds = (float)((double)(i64)(end->last->time - start->last->time) * 1e-6);
  return OK;
}
EXPORT CUresult cuEventElapsedTime_v2(float *milliseconds, Event *start, Event *end) { return cuEventElapsedTime(milliseconds, start, end); }

/* ---- capture and graphs ---------------------------------------------------------------------------------------------------- */

EXPORT CUresult cuStreamBeginCapture_v2(Stream *stream, int mode) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  return begin_capture(s, mode);
}
EXPORT CUresult cuStreamEndCapture(Stream *stream, Graph **graph) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  if (!graph) return INVALID_VALUE;
  return end_capture(s, graph);
}
EXPORT CUresult cuStreamIsCapturing(Stream *stream, int *status) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  *status = !s->capture ? 0 : s->capture->invalid ? 2 : 1;
  return OK;
}
EXPORT CUresult cuGraphInstantiateWithFlags(Executable **executable, Graph *graph, u64) {
  ENTER_CONTEXT;
  if (!executable || !graph || graph->magic != GRAPH_TEMPLATE) return INVALID_VALUE;
  *executable = instantiate(d, graph);
  return OK;
}
EXPORT CUresult cuGraphLaunch(Executable *executable, Stream *stream) {
  ENTER_CONTEXT;
  STREAM_OF(stream);
  if (!executable || executable->magic != GRAPH_READY) return INVALID_VALUE;
  if (executable->device != s->device) return INVALID_HANDLE;
  Work w = {};
  w.kind = GRAPH, w.graph = executable;
  executable->references++;
  return put_in(s, &w);
}
EXPORT CUresult cuGraphDestroy(Graph *graph) {
  ENTER;
  if (!graph || graph->magic != GRAPH_TEMPLATE) return INVALID_VALUE;
  end_graph(graph);
  return OK;
}
EXPORT CUresult cuGraphExecDestroy(Executable *executable) {
  ENTER;
  if (!executable || executable->magic != GRAPH_READY) return INVALID_VALUE;
  end_executable(executable);
  return OK;
}

/* ---- modules and functions --------------------------------------------------------------------------------------------------- */

struct Search { const u8 *inside; u64 begin, end; };
static int find_image(struct dl_phdr_info *info, size_t, void *context) {
  Search *s = (Search *)context;
  u64 begin = ~0ull, end = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) &h = info->dlpi_phdr[i];
    if (h.p_type != PT_LOAD) continue;
    u64 from = info->dlpi_addr + h.p_vaddr, to = from + h.p_memsz;
    if (from < begin) begin = from;
    if (to > end) end = to;
  }
  if ((u64)s->inside < begin || (u64)s->inside >= end) return 0;
  s->begin = begin, s->end = end;
  return 1;
}
EXPORT CUresult cuModuleLoadData(Module **module, const void *data) {
  ENTER_UNSAFE;
  Image image;
  if (!module || !data) return INVALID_VALUE;
  if (memcmp(data, IMAGE_MAGIC, sizeof image.magic)) return INVALID_IMAGE;
  memcpy(&image, data, sizeof image);
  bool fits = image.capability / 10 == settings.capability / 10 && image.capability <= settings.capability;
  if (!fits || (image.exact && image.capability != settings.capability)) return NO_BINARY_FOR_GPU;
  if (image.identity != image_identity()) {
    report(0, "cuModuleLoadData: the image was compiled for another emulator, another processor or other checks: it must be compiled again");
    return NO_BINARY_FOR_GPU;
  }
  /* The library's undefined names are this library's, however it was opened. */
  static bool global;
  Dl_info own;
  if (!global && dladdr((void *)cuInit, &own) && dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL)) global = true;
  int file = memfd_create("nremu", MFD_CLOEXEC);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  void *library = NULL;
  if (file >= 0 && write(file, (const Image *)data + 1, image.bytes) == (ssize_t)image.bytes) library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  Search search = {library ? (const u8 *)dlsym(library, "nr_image") : NULL, 0, 0};
  if (!library || !dl_iterate_phdr(find_image, &search)) {
    const char *why = library ? NULL : dlerror();
    report(0, "cuModuleLoadData: %s", why ? why : "the image cannot be loaded");
    if (library) dlclose(library);
    if (file >= 0) close(file);
    return INVALID_IMAGE;
  }
  Module *m = (Module *)calloc(1, sizeof *m);
  m->magic = MODULE, m->device = d, m->library = library, m->file = file, m->begin = search.begin, m->end = search.end;
  m->next = d->modules;
  *module = d->modules = m;
  return OK;
}
static void unload(Module *m) {
  Module **at = &m->device->modules;
  while (*at != m) at = &(*at)->next;
  *at = m->next;
  while (Function *f = m->functions) m->functions = f->next, bury(f);
  dlclose(m->library);
  close(m->file);
  m->magic = 0;
  bury(m);
}
static bool launches(const Work *w, const Module *m) {
  for (; w; w = w->next)
    if ((w->launch && w->launch->function->module == m) || (w->kind == GRAPH && launches(w->graph->nodes.first, m))) return true;
  return false;
}
EXPORT CUresult cuModuleUnload(Module *module) {
  ENTER_UNSAFE;
  if (!module || module->magic != MODULE) return INVALID_HANDLE;
  bool used = launches(d->legacy.queue.first, module);
  for (Stream *s = d->streams; s; s = s->next) used |= launches(s->queue.first, module);
  for (Executable *e = all_executables; e; e = e->next) used |= launches(e->nodes.first, module);
  for (Graph *g = all_graphs; g; g = g->next) used |= launches(g->nodes.first, module);
  if (used) {
    report(ILLEGAL_ADDRESS, "cuModuleUnload: the module is unloaded while a launch of it is queued or in a graph");
    return d->sticky;
  }
  unload(module);
  return OK;
}
EXPORT CUresult cuModuleGetFunction(Function **function, Module *module, const char *name) {
  ENTER_CONTEXT;
  if (!module || module->magic != MODULE) return INVALID_HANDLE;
  if (!function || !name || strlen(name) >= sizeof(Function::name)) return INVALID_VALUE;
  for (Function *f = module->functions; f; f = f->next)
    if (!strcmp(f->name, name)) {
      *function = f;
      return OK;
    }
  char symbol[200];
  snprintf(symbol, sizeof symbol, "nr_entry_%s", name);
  void *entry = dlsym(module->library, symbol);
  if (!entry) return NOT_FOUND;
  Function *f = (Function *)calloc(1, sizeof *f);
  f->module = module, f->dynamic_limit = 48 << 10, f->entry = (void (*)(void *const *))entry;
  snprintf(symbol, sizeof symbol, "nr_size_%s", name);
  f->size = (int (*)(int))dlsym(module->library, symbol);
  snprintf(symbol, sizeof symbol, "nr_bounds_%s", name);
  const int *bounds = (const int *)dlsym(module->library, symbol);
  f->threads = bounds[0], f->blocks = bounds[1];
  memcpy(f->name, name, strlen(name));
  f->next = module->functions;
  *function = module->functions = f;
  return OK;
}
EXPORT CUresult cuFuncSetAttribute(Function *f, int attribute, int value) {
  ENTER_CONTEXT;
  if (!f) return INVALID_HANDLE;
  if (attribute == 9) return value >= -1 && value <= 100 ? OK : INVALID_VALUE; /* share of the cache: a hint */
  if (attribute != 8 || value < 0 || value > shared_of_block()) return INVALID_VALUE;
  f->dynamic_limit = value;
  return OK;
}
int registers_of(int threads, int blocks) { /* what a compiler may use at most; a kernel of the emulator has none */
  int most = 65536 / (threads * (blocks > 0 ? blocks : 1)) / 8 * 8;
  return most > 255 ? 255 : most < 16 ? 16 : most;
}
EXPORT CUresult cuFuncGetAttribute(int *value, int attribute, Function *f) {
  ENTER_CONTEXT;
  if (!value || !f) return INVALID_VALUE;
  switch (attribute) {
    case 0: *value = f->threads; return OK;
    case 1: case 2: case 3: *value = 0; return OK; /* static shared, constant and local memory */
    case 4: *value = registers_of(f->threads, f->blocks); return OK;
    case 5: case 6: *value = settings.capability; return OK; /* versions of PTX and of the code */
    case 7: *value = 0; return OK;
    case 8: *value = f->dynamic_limit; return OK;
    case 9: *value = -1; return OK;
  }
  return INVALID_VALUE;
}
EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, Function *f, int threads, size_t shared) {
  ENTER_CONTEXT;
  if (!blocks || !f || threads < 1) return INVALID_VALUE;
  int warps = (threads + 31) / 32, n = threads_of_multiprocessor() / (warps * 32);
  int by_registers = 65536 / (registers_of(f->threads, f->blocks) * warps * 32);
  int by_shared = shared_of_multiprocessor() / ((int)shared + 1024);
  if (by_registers < n) n = by_registers;
  if (by_shared < n) n = by_shared;
  if (n > 32) n = 32;
  *blocks = threads > f->threads || (int)shared > f->dynamic_limit ? 0 : n;
  return OK;
}
EXPORT CUresult cuLaunchKernel(Function *f, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 shared, Stream *stream, void **parameters, void **extra) {
  ENTER_CONTEXT;
  if (!f) return INVALID_HANDLE;
  STREAM_OF(stream);
  if (f->module->device != s->device) return INVALID_HANDLE;
  u64 threads = (u64)bx * by * bz;
  if (!gx || !gy || !gz || !threads || gx > 0x7fffffff || gy > 65535 || gz > 65535 || threads > MAX_THREADS || bz > 64) {
    report(0, "%s: a grid of (%u, %u, %u) blocks of (%u, %u, %u) threads", f->name, gx, gy, gz, bx, by, bz);
    return INVALID_VALUE;
  }
  if (threads > (u64)f->threads) {
    report(0, "%s: launched with %llu threads a block, declared for %d", f->name, threads, f->threads);
    return OUT_OF_RESOURCES;
  }
  if (shared > (u32)f->dynamic_limit) {
    report(0, "%s: %u bytes of shared memory, the limit is %d", f->name, shared, f->dynamic_limit);
    return INVALID_VALUE;
  }
  if (extra || (!parameters && f->size(0) >= 0)) return extra ? NOT_SUPPORTED : INVALID_VALUE;
  Launch *l = (Launch *)calloc(1, sizeof *l);
  l->references = 1, l->function = f, l->grid = {gx, gy, gz}, l->block = {bx, by, bz}, l->shared = shared;
  int count = 0;
  for (; f->size(count) >= 0; count++) l->parameter_bytes += ((u64)f->size(count) + 15) & ~15ull;
  l->block_bytes = l->parameter_bytes + sizeof(void *) * (u64)(count + 1);
  l->parameter_block = (u8 *)calloc(1, l->block_bytes);
  l->parameters = (void **)(l->parameter_block + l->parameter_bytes);
  u8 *at = l->parameter_block;
  for (int i = 0; i < count; i++) {
    memcpy(at, parameters[i], (size_t)f->size(i));
    l->parameters[i] = at;
    at += ((u64)f->size(i) + 15) & ~15ull;
  }
  Work w = {};
  w.kind = LAUNCH, w.launch = l;
  for (u64 i = 0; i + 8 <= l->parameter_bytes; i += 8) {
    u64 value;
    memcpy(&value, l->parameter_block + i, 8);
    u64 offset = value - (u64)arena;
    if (offset >= arena_bytes || (offset >= s->device->begin && offset < s->device->end)) continue;
    at_work = s->device;
    report(ILLEGAL_ADDRESS, "%s is given an address of device %llu, but the stream is one of device %d", f->name, offset / device_bytes, s->device->index);
    drop(&w);
    return s->device->sticky;
  }
  return put_in(s, &w);
}

/* ---- for tests ----------------------------------------------------------------------------------------------------------- */

static void drain_everything() {
  for (int i = 0; i < settings.devices; i++) drain_all(devices + i);
}
/* Switches of fibres, meetings of lanes, ldmatrix and their bank conflicts, the most bytes allocated, mistakes, accesses of warps to
   shared memory and their bank conflicts. */
EXPORT void nremuStatistics(u64 *values) {
  Locked locked;
  drain_everything();
  u64 peak = 0;
  for (Device &d : devices) peak += d.bytes_peak;
  u64 v[8] = {totals.switches, totals.meetings, totals.matrix_loads, totals.matrix_conflicts, peak, (u64)error_count,
              totals.shared_accesses, totals.shared_conflicts};
  memcpy(values, v, sizeof v);
}
/* What a host has not given back: allocations, their bytes, pinned ranges, streams, events, graphs, executable graphs, modules,
   contexts. */
EXPORT void nremuLive(u64 *values) {
  Locked locked;
  u64 v[9] = {};
  for (int i = 0; i < settings.devices; i++) {
    Device &d = devices[i];
    v[0] += (u64)d.live_count, v[1] += d.bytes_live, v[2] += pinned_count(&d), v[8] += (u64)d.retained;
    for (Stream *s = d.streams; s; s = s->next) v[3] += !s->destroyed;
    for (Event *e = d.events; e; e = e->next) v[4]++;
    for (Module *m = d.modules; m; m = m->next) v[7]++;
  }
  for (Graph *g = all_graphs; g; g = g->next) v[5]++;
  for (Executable *e = all_executables; e; e = e->next) v[6] += !e->destroyed;
  memcpy(values, v, sizeof v);
}
EXPORT void nremuReset(void) {
  Locked locked;
  drain_everything();
  forget_errors();
  totals = Counts();
}
EXPORT const char *nremuFirstError(void) { return first_error; }
EXPORT void nremuSet(int check, u32 schedule, int threads) {
  Locked locked;
  read_settings();
  drain_everything();
  if (check && !settings.check) begin_checks();
  settings.check = check, settings.schedule = schedule, settings.threads = threads;
}
EXPORT void nremuFailAllocation(u64 n) { /* the n-th allocation from now on fails; 0: none */
  Locked locked;
  settings.fail_allocation = n;
}
