/* driver_memory.cpp - libcuda's entry points: memory, copies, memsets. */
#include "entries.h"
#include <stdlib.h>
#include <string.h>

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
    report(0, "cuMemFree: an address of device %llu, but the current context is that of device %d", (p - (u64)arena) / device_bytes,
           d->index);
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
  if (!resolve(&to, s->device, w, w->to, w->to_pitch, to_device, what)) return INVALID_VALUE;
  if (!resolve(&from, s->device, w, w->from, w->from_pitch, from_device, what)) return INVALID_VALUE;
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
