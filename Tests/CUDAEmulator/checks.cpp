/* checks.cpp - what is seen of a kernel's accesses. With NREMU_CHECK=1 kernels are compiled with clang's instrumentation for thread
   sanitizers, whose calls end here; the sanitizer itself is not there. Without it only copies and matrix loads are seen, and their
   bounds and alignment checked. */
#include "emulator.h"
#include <stdio.h>
#include <string.h>

/* ---- races in shared memory -------------------------------------------------------------------------------------------- */

/* Threads count from 1. Two accesses are ordered if a barrier of the block stands between them, or, in one warp, warp_barrier(). */
enum : u16 { NOBODY = 0, LANES_OF_WARP = 0x8000, BYTES = 0xfffd /* kept by byte */, ATOMICS, MANY };
static inline int warp_of(u16 who) { return who >= LANES_OF_WARP ? who & 31 : (who - 1) >> 5; }
static inline bool unordered(Processor *p, Fibre *f, u16 who, u32 order) {
  if (who == NOBODY || who == f->index + 1) return false;
  if (who >= ATOMICS) return true;
  return warp_of(who) != f->warp || order == p->warps[f->warp].orders;
}
static void say_race(const char *name, int access, u64 byte, u16 other, bool other_wrote) {
  const char *verb = access == NR_LOAD ? "reads" : "writes", *did = other_wrote ? "wrote" : "read";
  char who[40];
  if (other == MANY) snprintf(who, sizeof who, "several warps");
  else if (other == ATOMICS) snprintf(who, sizeof who, "atomic operations");
  else if (other >= LANES_OF_WARP) snprintf(who, sizeof who, "lanes of warp %d", other & 31);
  else snprintf(who, sizeof who, "thread %d", other - 1);
  report(LAUNCH_FAILED, "race: %s %s shared byte %llu that %s %s since the last barrier", name, verb, byte, who, did);
}
static inline void note_reader(Fibre *f, Touch *t, u32 order) {
  u16 me = (u16)(f->index + 1), all = (u16)(LANES_OF_WARP | f->warp), r = t->reader;
  if (r == MANY || (r == all && t->read_order == order)) return;
  if (r == NOBODY || r == me) t->reader = me;
  else t->reader = warp_of(r) != f->warp ? (u16)MANY : t->read_order != order ? me : all;
  t->read_order = order;
}
static void touch(Processor *p, Fibre *f, Touch *t, int access, u64 byte, const char *name) {
  u32 order = p->warps[f->warp].orders;
  bool after_write = unordered(p, f, t->writer, t->write_order) && !(access == NR_ATOMIC && t->writer == ATOMICS);
  if (UNLIKELY(after_write)) say_race(name, access, byte, t->writer, true);
  if (access == NR_LOAD) note_reader(f, t, order);
  else {
    if (UNLIKELY(!after_write && unordered(p, f, t->reader, t->read_order))) say_race(name, access, byte, t->reader, false);
    t->writer = access == NR_ATOMIC ? (u16)ATOMICS : (u16)(f->index + 1), t->write_order = order;
  }
}
/* Whole words are followed as such; a word of which a part is accessed is followed byte by byte until the next barrier. */
__attribute__((noinline)) static void touch_word(Processor *p, u64 w, u64 at, size_t bytes, int access, const char *name) {
  Fibre *f = self();
  Touch *t = p->words + w;
  if (t->writer != BYTES && at <= w * 4 && w * 4 + 4 <= at + bytes) {
    touch(p, f, t, access, w * 4, name);
    return;
  }
  if (t->writer != BYTES) {
    for (u64 i = 0; i < 4; i++) p->bytes[w * 4 + i] = *t;
    t->writer = BYTES;
  }
  int races = error_count;
  for (u64 b = w * 4; b < w * 4 + 4 && races == error_count; b++)
    if (at <= b && b < at + bytes) touch(p, f, p->bytes + b, access, b, name);
}
static inline void touch_shared(Processor *p, u64 at, size_t bytes, int access, const char *name) {
  Fibre *f = self();
  u32 order = p->warps[f->warp].orders, epoch = p->epoch;
  u16 me = (u16)(f->index + 1);
  for (u64 w = at / 4, last = (at + bytes - 1) / 4; w <= last; w++) {
    Touch *t = p->words + w;
    if (t->epoch != epoch) t->writer = t->reader = NOBODY, t->epoch = epoch;
    bool simple = (t->writer == NOBODY || t->writer == me) && at % 4 == 0 && bytes % 4 == 0;
    if (simple && access == NR_LOAD) note_reader(f, t, order);
    else if (simple && access == NR_STORE && (t->reader == NOBODY || t->reader == me)) t->writer = me, t->write_order = order;
    else touch_word(p, w, at, bytes, access, name);
  }
}

/* ---- bank conflicts ---------------------------------------------------------------------------------------------------- */

/* With NREMU_CHECK=2. A warp's accesses of one instruction are one pass over the 32 banks, or as many as the most words of one bank
   that they name; 8-byte accesses go by half a warp, 16-byte ones by a quarter. Lanes run one after another here, so each lane's
   accesses are noted, and put together by instruction when the warp meets: always the lanes that are at the lowest instruction go on.
   What one lane does more than LOGGED times between two meetings is not counted. */
static inline void note(Processor *p, u64 at, size_t bytes, int access, const void *instruction) {
  Fibre *f = self();
  u16 n = p->logged[f->index];
  if (n == LOGGED) return;
  u32 place = (u32)((u64)instruction - p->launch->function->module->begin);
  p->log[(u64)f->index * LOGGED + n] = {place, (u32)at << 1 | (access != NR_LOAD) | (u32)bytes << 24};
  p->logged[f->index] = (u16)(n + 1);
  p->noted |= 1u << f->warp;
}
static int passes(const u32 *shared, u32 lanes) {
  u32 extra[32 * 4], word[32];
  u8 used[32] = {};
  int extras = 0, most = 0;
  for (; lanes; lanes &= lanes - 1) {
    u32 s = shared[__builtin_ctz(lanes)], first = (s & 0xffffff) >> 3, last = (((s & 0xffffff) >> 1) + (s >> 24) - 1) >> 2;
    for (u32 w = first; w <= last; w++) {
      u32 bank = w & 31;
      bool known = used[bank] && word[bank] == w;
      for (int i = 0; i < extras && !known; i++) known = extra[i] == w;
      if (known) continue;
      if (!used[bank]) word[bank] = w;
      else extra[extras++] = w;
      if (++used[bank] > most) most = used[bank];
    }
  }
  return most;
}
void settle_banks(Processor *p, int warp) {
  u16 *count = p->logged + warp * 32, at[32] = {};
  u32 left = 0;
  for (int i = 0; i < 32; i++) left |= (u32)(count[i] != 0) << i;
  const Access *log = p->log + (u64)warp * 32 * LOGGED;
  while (left) {
    u32 place = ~0u, lanes = 0, shared[32];
    for (u32 rest = left; rest; rest &= rest - 1) {
      int i = __builtin_ctz(rest);
      u32 here = log[i * LOGGED + at[i]].place;
      if (here < place) place = here, lanes = 0;
      if (here == place) lanes |= 1u << i;
    }
    u32 bytes = 0;
    for (u32 rest = lanes; rest; rest &= rest - 1) {
      int i = __builtin_ctz(rest);
      shared[i] = log[i * LOGGED + at[i]].shared, bytes = shared[i] >> 24;
      if (++at[i] == count[i]) left &= ~(1u << i);
    }
    int groups = bytes == 16 ? 4 : bytes == 8 ? 2 : 1, total = 0, least = 0;
    for (int g = 0; g < groups; g++) {
      u32 part = groups == 1 ? lanes : lanes & (((1u << 32 / groups) - 1) << g * (32 / groups));
      if (part) total += passes(shared, part), least++;
    }
    p->counts.shared_accesses += (u64)least, p->counts.shared_conflicts += (u64)(total - least);
  }
  memset(count, 0, 32 * sizeof *count);
  p->noted &= ~(1u << warp);
}

/* ---- bounds, alignment, unwritten memory ----------------------------------------------------------------------------------- */

static inline bool all_are(const u8 *bytes, size_t n, u8 value) {
  const u64 pattern = value * 0x0101010101010101ull;
  u64 a = 0, b = 0;
  switch (n) {
    case 1: return *bytes == value;
    case 2: memcpy(&a, bytes, 2); return a == (pattern & 0xffff);
    case 4: memcpy(&a, bytes, 4); return a == (pattern & 0xffffffff);
    case 8: memcpy(&a, bytes, 8); return a == pattern;
    case 16: memcpy(&a, bytes, 8), memcpy(&b, bytes + 8, 8); return a == pattern && b == pattern;
  }
  for (size_t i = 0; i < n; i++)
    if (bytes[i] != value) return false;
  return true;
}
/* `at` is in the block's shared memory. */
static inline void follow_shared(Processor *p, u64 at, size_t bytes, int access, const char *name) {
  u8 *written = p->written + at;
  if (UNLIKELY(!all_are(written, bytes, 1))) {
    for (size_t i = 0; i < bytes; i++) {
      if (written[i] == 1 || (written[i] == 0 && access == NR_STORE)) continue;
      const char *verb = access == NR_LOAD ? "reads" : "writes", *why = written[i] ? " yet: an asynchronous copy was not waited for" : "";
      report(LAUNCH_FAILED, "%s %s shared byte %llu that nobody wrote%s", name, verb, at + i, why);
      break;
    }
    if (access != NR_LOAD) memset(written, 1, bytes);
  }
  touch_shared(p, at, bytes, access, name);
}
static void check_shared(Processor *p, i64 at, u64 address, size_t bytes, int access, const char *name, bool aligned) {
  if (at < 0 || (u64)at + bytes > p->shared_bytes) {
    report(ILLEGAL_ADDRESS, "%s: shared bytes %lld to %lld, but the block has %u", name, at, at + (i64)bytes, p->shared_bytes);
    if (at < 0 || (u64)at + bytes > SHARED_MAX) abandon(p);
  } else if (aligned && address % bytes) report(MISALIGNED_ADDRESS, "%s: shared address %lld is not aligned to %zu", name, at, bytes);
  else if (settings.check) follow_shared(p, (u64)at, bytes, access, name);
}
/* An asynchronous copy may write at any time between its issue and its wait: it is a store at both, and what is there counts as
   unwritten in between. */
void copy_begins(Processor *p, const u8 *shared, u64 bytes) {
  u64 at = (u64)(shared - p->shared);
  if (at > p->shared_bytes || at + bytes > p->shared_bytes) return; /* told when it ends */
  if (memchr(p->written + at, 2, bytes))
    report(LAUNCH_FAILED, "cp.async writes shared byte %llu, where another one was not waited for", at);
  touch_shared(p, at, bytes, NR_STORE, "cp.async");
  memset(p->written + at, 2, bytes);
}
void copy_ends(Processor *p, const u8 *shared, u64 bytes) {
  u64 at = (u64)(shared - p->shared);
  if (settings.check && at < SHARED_MAX) memset(p->written + at, 1, bytes);
  nr_check(shared, bytes, NR_SHARED, NR_STORE, "cp.async");
}

static bool inside(Processor *p, u64 at, size_t bytes) { /* one allocation */
  for (Allocation &a : p->recent)
    if (a.start <= at && at + bytes <= a.end) return true;
  const Allocation *a = allocation_at(at);
  if (!a || at + bytes > a->end) return false;
  p->recent[p->recent_next++ % RECENT] = *a;
  return true;
}
static void check_global(Processor *p, u64 at, size_t bytes, int access, const char *name, bool aligned) {
  if (UNLIKELY(aligned && at % bytes)) {
    report(MISALIGNED_ADDRESS, "%s: global address is not aligned to %zu", name, bytes);
    return;
  }
  if (UNLIKELY(at - p->device_begin >= device_bytes)) {
    report(ILLEGAL_ADDRESS, "%s: an address of device %llu, but the kernel runs on device %llu", name, at / device_bytes,
           p->device_begin / device_bytes);
    return;
  }
  if (settings.check && all_are(state + at, bytes, WRITTEN)) return;
  if (UNLIKELY(!inside(p, at, bytes))) {
    size_t i = 0;
    const Allocation *a = allocation_at(at);
    if (a) i = a->end - at;
    char text[160];
    report(ILLEGAL_ADDRESS, "%s: %s byte %zu of an access of %zu is %s", name, access == NR_LOAD ? "read" : "written", i, bytes,
           whose(at + i, text, sizeof text));
    return;
  }
  if (!settings.check) return;
  const char *verb = access == NR_LOAD ? "reads" : "adds to";
  if (UNLIKELY(access != NR_STORE)) report(LAUNCH_FAILED, "%s %s global memory that nobody wrote", name, verb);
  if (access != NR_LOAD) memset(state + at, WRITTEN, bytes);
}
__attribute__((noinline)) static void check_all(Processor *p, const void *address, size_t bytes, int space, int access, const char *name,
                                                bool aligned) {
  i64 at = (i64)((u64)address - (u64)p->shared);
  if (at >= -SHARED_PAD && at < SHARED_MAX + SHARED_PAD) {
    if (space == NR_GLOBAL) report(ILLEGAL_ADDRESS, "%s: not a global address", name);
    else check_shared(p, at, (u64)address, bytes, access, name, aligned);
    return;
  }
  if (space == NR_SHARED) {
    report(ILLEGAL_ADDRESS, "%s: not a shared address", name);
    abandon(p);
  }
  if (in_arena(address)) {
    check_global(p, offset_of(address), bytes, access, name, aligned);
    return;
  }
  if (pinned_at(address, bytes)) return; /* a kernel may read and write pinned host memory */
  const Module *m = p->launch->function->module;
  if ((u64)address >= m->begin && (u64)address < m->end) return; /* a table of constants */
  if ((u64)address - (u64)p->launch->parameter_block < p->launch->block_bytes && access == NR_LOAD) return;
  report(ILLEGAL_ADDRESS, "%s: %p is no device address", name, address);
  abandon(p);
}
/* The same, quickly where all is well. */
__attribute__((always_inline)) static inline void check(Processor *p, const void *address, size_t bytes, int space, int access,
                                                        const char *name, bool aligned) {
  u64 in_shared = (u64)address - (u64)p->shared, in_device = offset_of(address) - p->device_begin;
  bool fits = settings.check && !(aligned && (u64)address % bytes);
  if (fits && space != NR_GLOBAL && in_shared < p->shared_bytes && in_shared + bytes <= p->shared_bytes)
    follow_shared(p, in_shared, bytes, access, name);
  else if (fits && space != NR_SHARED && in_device < device_bytes && all_are(state + offset_of(address), bytes, WRITTEN)) return;
  else check_all(p, address, bytes, space, access, name, aligned);
}
void nr_check(const void *address, size_t bytes, int space, int access, const char *name) {
  check(cpu, address, bytes, space, access, name, true);
}
void nr_check_matrices(const void *const *rows) {
  Processor *p = cpu;
  p->counts.matrix_loads++;
  for (int i = 0; i < 32; i++) {
    u64 at = (u64)rows[i] - (u64)p->shared;
    if (!settings.check && at + 16 <= p->shared_bytes && at % 16 == 0) continue;
    nr_thread *caller = nr_here.thread;
    nr_here.thread = p->fibres + (self()->warp * 32 + i);
    check(p, rows[i], 16, NR_SHARED, NR_LOAD, "ldmatrix", true);
    nr_here.thread = caller;
  }
  for (int m = 0; m < 4; m++) { /* each 8 x 8 matrix is one pass over the banks: its rows must lie in different ones */
    u32 used = 0;
    for (int i = 0; i < 8; i++) used |= 1u << ((u64)rows[m * 8 + i] / 16 % 8);
    p->counts.matrix_conflicts += (u64)(8 - __builtin_popcount(used));
  }
}

/* ---- the instrumentation's calls ------------------------------------------------------------------------------------------- */

template <size_t bytes, int access, bool aligned>
__attribute__((noinline)) static void seen_memory(Processor *p, const void *a, const void *instruction) {
  tick(p);
  check(p, a, bytes, NR_ANYWHERE, access, access == NR_LOAD ? "load" : "store", aligned);
  u64 at = (u64)a - (u64)p->shared;
  if (UNLIKELY(settings.check > 1) && at < p->shared_bytes) note(p, at, bytes, access, instruction);
}
template <size_t bytes, int access, bool aligned> static inline void seen(const void *a, const void *instruction) {
  Processor *p = cpu;
  if (!p || !settings.check) return;
  if ((u64)a - p->own_begin < p->own_end - p->own_begin) return; /* a local variable, or the thread's index */
  if ((u64)a - (u64)&nr_here < sizeof nr_here) return;
  seen_memory<bytes, access, aligned>(p, a, instruction);
}
#define SEEN(n)                                                                                                                   \
  EXPORT void __tsan_read##n(const void *a) { seen<n, NR_LOAD, true>(a, __builtin_return_address(0)); }                           \
  EXPORT void __tsan_write##n(const void *a) { seen<n, NR_STORE, true>(a, __builtin_return_address(0)); }                         \
  EXPORT void __tsan_unaligned_read##n(const void *a) { seen<n, NR_LOAD, false>(a, __builtin_return_address(0)); }                \
  EXPORT void __tsan_unaligned_write##n(const void *a) { seen<n, NR_STORE, false>(a, __builtin_return_address(0)); }
SEEN(1) SEEN(2) SEEN(4) SEEN(8) SEEN(16)
template <int access> static void seen_range(const void *start, size_t n, const void *instruction) {
  const u8 *a = (const u8 *)start;
  if ((u64)a % 4 || n % 4)
    for (size_t i = 0; i < n; i++) seen<1, access, true>(a + i, instruction);
  else
    for (size_t i = 0; i < n; i += 4) seen<4, access, true>(a + i, instruction);
}
EXPORT void *__tsan_memcpy(void *to, const void *from, size_t n) {
  seen_range<NR_LOAD>(from, n, __builtin_return_address(0)), seen_range<NR_STORE>(to, n, __builtin_return_address(0));
  return memcpy(to, from, n);
}
EXPORT void *__tsan_memmove(void *to, const void *from, size_t n) {
  seen_range<NR_LOAD>(from, n, __builtin_return_address(0)), seen_range<NR_STORE>(to, n, __builtin_return_address(0));
  return memmove(to, from, n);
}
EXPORT void *__tsan_memset(void *to, int value, size_t n) {
  seen_range<NR_STORE>(to, n, __builtin_return_address(0));
  return memset(to, value, n);
}
EXPORT void __tsan_init(void) {}
