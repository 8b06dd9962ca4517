/* memory.cpp - device memory: one reserved range, a part for each device, and one byte of state for every byte of it.

   Memory that nobody wrote reads as 0xFF, which is NaN in every format. It costs nothing before it is written: the range is mapped,
   piece by piece, from one small file full of 0xFF, privately, and a freed page goes back to it. Addresses are given out in ascending
   order until the range ends, then from its beginning again, so that a freed address comes back late. */
#include "emulator.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

u8 *arena, *state;
u64 arena_bytes, device_bytes;
static const u64 PIECE = 4 << 20;
static u8 *mapped; /* pieces that come from the file */
static int poison = -1;

static u8 *reserve(u64 bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? NULL : (u8 *)p;
}
bool open_arena() {
  if (arena) return true;
  for (u64 bytes = 64ull << 30; bytes >= 4ull << 30; bytes /= 2) {
    u8 *a = reserve(bytes + PIECE), *s = reserve(bytes);
    if (a && s) {
      arena = (u8 *)(((u64)a + PIECE - 1) / PIECE * PIECE), state = s, arena_bytes = bytes;
      break;
    }
    if (a) munmap(a, bytes + PIECE);
    if (s) munmap(s, bytes);
  }
  if (!arena) { perror("nremu: mmap"); return false; }
  mapped = (u8 *)calloc(arena_bytes / PIECE, 1);
  poison = memfd_create("nremu-unwritten", MFD_CLOEXEC);
  u8 *piece = (u8 *)malloc(PIECE);
  memset(piece, 0xFF, PIECE);
  if (poison >= 0 && write(poison, piece, PIECE) != (ssize_t)PIECE) close(poison), poison = -1;
  free(piece);
  int count = settings.devices ? settings.devices : 1;
  device_bytes = arena_bytes / (u64)count / PIECE * PIECE;
  for (int i = 0; i < count; i++) {
    Device &d = devices[i];
    d.begin = device_bytes * (u64)i, d.end = d.begin + device_bytes, d.cursor = d.begin + (1 << 20);
  }
  return true;
}
static void map_pieces(u64 begin, u64 end) {
  for (u64 i = begin / PIECE; i <= (end - 1) / PIECE; i++)
    if (!mapped[i]) {
      mapped[i] = 1;
      u8 *piece = arena + i * PIECE;
      int how = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
      if (poison < 0 || mmap(piece, PIECE, PROT_READ | PROT_WRITE, how, poison, 0) == MAP_FAILED) memset(piece, 0xFF, PIECE);
    }
}

/* ---- allocations ------------------------------------------------------------------------------------------------------- */

/* The first allocation of the sorted list that ends after `offset`. */
static int first_after(const Device *d, u64 offset) {
  int low = 0, high = d->live_count;
  while (low < high) {
    int middle = (low + high) / 2;
    if (d->live[middle].end > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}
static u64 aligned(u64 offset) { return (offset + 511) & ~511ull; }

u64 allocate(Device *d, u64 bytes) {
  if (!bytes || bytes > settings.memory || d->bytes_live + bytes > settings.memory) return 0;
  int turns = 0, i;
  u64 at = aligned(d->cursor);
  for (;;) {
    if (at + bytes + (1 << 20) > d->end) {
      if (turns++) return 0;
      at = d->begin + (1 << 20);
    }
    i = first_after(d, at - GAP);
    if (i == d->live_count || d->live[i].start >= at + bytes + GAP) break;
    at = aligned(d->live[i].end + GAP);
  }
  if (d->live_count == d->live_room) {
    d->live_room = d->live_room ? 2 * d->live_room : 256;
    d->live = (Allocation *)realloc(d->live, sizeof(Allocation) * (size_t)d->live_room);
  }
  memmove(d->live + i + 1, d->live + i, sizeof(Allocation) * (size_t)(d->live_count - i));
  d->live[i] = {at, at + bytes};
  d->live_count++;
  map_pieces(at - GAP, at + bytes + GAP);
  d->cursor = at + bytes + GAP;
  d->bytes_live += bytes;
  if (d->bytes_live > d->bytes_peak) d->bytes_peak = d->bytes_live;
  return (u64)(arena + at);
}

/* Bytes of a range become again what they were before anyone wrote them. */
static void give_back(u8 *range, u64 start, u64 end, int fresh) {
  u64 inner = (start + PAGE - 1) / PAGE * PAGE, outer = end / PAGE * PAGE;
  if (inner < outer && !madvise(range + inner, outer - inner, MADV_DONTNEED)) {
    memset(range + start, fresh, inner - start);
    memset(range + outer, fresh, end - outer);
  } else memset(range + start, fresh, end - start);
}
static void forget(Allocation a) {
  give_back(arena, a.start, a.end, 0xFF);
  if (settings.check) give_back(state, a.start, a.end, UNKNOWN);
}
bool release(Device *d, u64 address) {
  u64 at = address - (u64)arena;
  int i = first_after(d, at);
  if (at >= arena_bytes || i == d->live_count || d->live[i].start != at) return false;
  Allocation a = d->live[i];
  memmove(d->live + i, d->live + i + 1, sizeof(Allocation) * (size_t)(d->live_count - i - 1));
  d->live_count--;
  d->bytes_live -= a.end - a.start;
  d->freed[d->freed_count++ % 256] = a;
  forget(a);
  return true;
}
void release_all(Device *d) {
  for (int i = 0; i < d->live_count; i++) forget(d->live[i]);
  d->live_count = 0, d->bytes_live = 0;
}
const Allocation *allocation_at(u64 offset) {
  Device *d = devices + offset / device_bytes;
  if (d >= devices + settings.devices) return NULL;
  int i = first_after(d, offset);
  return i < d->live_count && d->live[i].start <= offset ? d->live + i : NULL;
}
const char *whose(u64 offset, char *text, size_t room) {
  u64 index = offset / device_bytes;
  Device *d = devices + index;
  if (index >= (u64)settings.devices) return "outside every allocation";
  for (u64 n = d->freed_count; n > 0 && n + 256 > d->freed_count; n--) {
    Allocation a = d->freed[(n - 1) % 256];
    if (a.start <= offset && offset < a.end) {
      snprintf(text, room, "in freed memory, byte %llu of what were %llu", offset - a.start, a.end - a.start);
      return text;
    }
  }
  int i = first_after(d, offset);
  u64 past = i > 0 ? offset - d->live[i - 1].end : ~0ull, before = i < d->live_count ? d->live[i].start - offset : ~0ull;
  if (past > PAGE && before > PAGE) return "outside every allocation";
  u64 bytes = past < before ? d->live[i - 1].end - d->live[i - 1].start : d->live[i].end - d->live[i].start;
  if (past < before) snprintf(text, room, "outside every allocation, %llu past the last byte of one of %llu", past + 1, bytes);
  else snprintf(text, room, "outside every allocation, %llu before the first byte of one of %llu", before, bytes);
  return text;
}
void begin_checks() {
  if (!arena) return;
  madvise(state, arena_bytes, MADV_DONTNEED);
  for (int i = 0; i < settings.devices; i++)
    for (int n = 0; n < devices[i].live_count; n++) {
      Allocation a = devices[i].live[n];
      memset(state + a.start, WRITTEN, a.end - a.start);
    }
}

/* ---- pinned host memory ------------------------------------------------------------------------------------------------ */

static Pinned *pins;
static int pin_count, pin_room;

u8 *pin(Device *d, u64 bytes) {
  u64 whole = (bytes + PAGE - 1) / PAGE * PAGE;
  u8 *p = reserve(whole);
  if (!p) return NULL;
  memset(p, 0xFF, whole);
  if (pin_count == pin_room) {
    pin_room = pin_room ? 2 * pin_room : 64;
    pins = (Pinned *)realloc(pins, sizeof(Pinned) * (size_t)pin_room);
  }
  pins[pin_count++] = {p, bytes, 0, d};
  return p;
}
static void unpin_one(int i) {
  munmap(pins[i].start, (pins[i].bytes + PAGE - 1) / PAGE * PAGE);
  pins[i] = pins[--pin_count];
}
bool unpin(void *p) {
  for (int i = 0; i < pin_count; i++)
    if (pins[i].start == p) { unpin_one(i); return true; }
  return false;
}
void unpin_all(Device *d) {
  for (int i = pin_count; i-- > 0;)
    if (pins[i].device == d) unpin_one(i);
}
Pinned *pinned_at(const void *p, u64 bytes) {
  for (int i = 0; i < pin_count; i++)
    if ((u64)p - (u64)pins[i].start < pins[i].bytes) return (u64)p - (u64)pins[i].start + bytes <= pins[i].bytes ? pins + i : NULL;
  return NULL;
}
u64 pinned_count(Device *d) {
  u64 count = 0;
  for (int i = 0; i < pin_count; i++) count += pins[i].device == d;
  return count;
}
