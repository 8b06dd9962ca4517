/* driver_modules.cpp - libcuda's entry points: modules, functions, launches. */
#include "entries.h"
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
    report(0, "cuModuleLoadData: the image was compiled for another emulator, processor or NREMU_CHECK: it must be compiled again");
    return NO_BINARY_FOR_GPU;
  }
  /* The library's undefined names are this library's, however it was opened. */
  static bool global;
  Dl_info own;
  if (!global && dladdr((void *)nr_barrier, &own) && dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL)) global = true;
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
void unload(Module *m) {
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
EXPORT CUresult cuLaunchKernel(Function *f, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 shared, Stream *stream, void **parameters,
                               void **extra) {
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
    report(ILLEGAL_ADDRESS, "%s is given an address of device %llu, but the stream is one of device %d", f->name, offset / device_bytes,
           s->device->index);
    drop(&w);
    return s->device->sticky;
  }
  return put_in(s, &w);
}
