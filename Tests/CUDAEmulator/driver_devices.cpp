/* driver_devices.cpp - libcuda's entry points, each as the driver API's reference says: devices, contexts, and what tests ask. */
#include "entries.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

pthread_mutex_t driver_lock = PTHREAD_MUTEX_INITIALIZER;
bool initialised;
__thread Device *current __attribute__((tls_model("initial-exec")));

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
int shared_of_multiprocessor() {
  switch (settings.capability) {
    case 75: return 64 << 10;
    case 80: case 87: return 164 << 10;
    case 86: case 88: case 89: case 120: case 121: return 100 << 10;
    default: return 228 << 10;
  }
}
int shared_of_block() { return settings.capability == 75 ? 64 << 10 : shared_of_multiprocessor() - 1024; }
int threads_of_multiprocessor() {
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
