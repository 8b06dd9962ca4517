/* streams.cpp - queues of work, events, capture, graphs.

   Streams are lazy: work is done when someone waits for it, so that a synchronisation that a host forgot shows. To wait for one piece of
   work is to run what stands before it in its stream, and what that waits for in others: the records of events, and, between the legacy
   default stream and streams that are not non-blocking, whatever was put earlier. A query tells how things stand, and then one
   piece of work is done, so that a host that polls comes to an end. With NREMU_EAGER=1 work is done at once: the other extreme. */
#include "emulator.h"
#include <stdlib.h>
#include <string.h>

Device devices[16];
Graph *all_graphs;
Executable *all_executables;
Capture *captures;
static u64 tickets, capture_number;

/* Objects stay for a while after their end. */
void bury(void *object) {
  static void *graves[256];
  static u64 count;
  free(graves[count % 256]);
  graves[count++ % 256] = object;
}

/* ---- performing -------------------------------------------------------------------------------------------------------- */

u64 content_of(const Work *w) {
  u64 sum = w->bytes;
  for (u64 r = 0; r < w->rows; r++) {
    const u8 *p = w->from + r * w->from_pitch;
    u64 i = 0, x;
    for (; i + 8 <= w->bytes; i += 8) memcpy(&x, p + i, 8), sum = (sum ^ x) * 0x9E3779B97F4A7C15ull, sum ^= sum >> 29;
    for (; i < w->bytes; i++) sum = (sum ^ p[i]) * 0x9E3779B97F4A7C15ull;
  }
  return sum;
}
/* Rows of device memory must lie in an allocation of the device. */
static bool allocated(Device *d, const u8 *p, const Work *w, u64 pitch, const char *what) {
  for (u64 r = 0; r < w->rows; r++) {
    u64 at = offset_of(p + r * pitch);
    if (at >= arena_bytes) return true;
    if (at < d->begin || at >= d->end) {
      report(ILLEGAL_ADDRESS, "%s: an address of device %llu, but the stream is one of device %d", what, at / device_bytes, d->index);
      return false;
    }
    const Allocation *a = allocation_at(at);
    if (a && at + w->bytes <= a->end) continue;
    char text[160];
    u64 i = a ? a->end - at : 0;
    report(ILLEGAL_ADDRESS, "%s: byte %llu of %llu is %s", what, i, w->bytes, whose(at + i, text, sizeof text));
    return false;
  }
  return true;
}
static void copy(Device *d, const Work *w) {
  if (!allocated(d, w->from, w, w->from_pitch, "memcpy from") || !allocated(d, w->to, w, w->to_pitch, "memcpy to")) return;
  Pinned *source = pinned_at(w->from, 1), *target = pinned_at(w->to, 1);
  if (w->has_content && source && source->device_writes == w->device_writes && content_of(w) != w->content)
    report(LAUNCH_FAILED, "pinned memory was changed after a copy from it was put into a stream, before the copy ran");
  if (target) target->device_writes++;
  for (u64 r = 0; r < w->rows; r++) {
    u8 *to = w->to + r * w->to_pitch;
    const u8 *from = w->from + r * w->from_pitch;
    memmove(to, from, w->bytes);
    if (!settings.check || !in_arena(to)) continue;
    if (in_arena(from)) memmove(state + offset_of(to), state + offset_of(from), w->bytes);
    else memset(state + offset_of(to), WRITTEN, w->bytes);
  }
}
static void set(Device *d, const Work *w) {
  if (!allocated(d, w->to, w, 0, "memset")) return;
  if (w->unit == 1) memset(w->to, (int)w->value, w->bytes);
  else
    for (u64 i = 0; i < w->bytes; i += 4) memcpy(w->to + i, &w->value, 4);
  if (settings.check) memset(state + offset_of(w->to), WRITTEN, w->bytes);
}
static void perform(Device *d, const Work *w) {
  if (w->kind == RECORD) {
    w->record->done = true, w->record->time = nanoseconds();
    return;
  }
  if (d->sticky || w->kind == WAIT) return;
  if (w->kind == LAUNCH) run(d, w->launch);
  else if (w->kind == COPY) copy(d, w);
  else if (w->kind == SET) set(d, w);
  else
    for (const Work *g = w->graph->nodes.first; g; g = g->next) perform(d, g);
}

/* ---- queues ------------------------------------------------------------------------------------------------------------ */

static void unuse_record(Record *r) {
  if (r && !--r->references) free(r);
}
static void unuse_launch(Launch *l) {
  if (--l->references) return;
  free(l->parameter_block), free(l);
}
static void unuse_executable(Executable *e) {
  if (--e->references || !e->destroyed) return;
  Executable **at = &all_executables;
  while (*at != e) at = &(*at)->next;
  *at = e->next;
  free_list(&e->nodes);
  bury(e);
}
void drop(Work *w) {
  if (w->launch) unuse_launch(w->launch);
  unuse_record(w->record);
  if (w->graph) unuse_executable(w->graph);
  free(w->staged);
}
void free_list(List *l) {
  while (Work *w = l->first) l->first = w->next, drop(w), free(w);
  l->last = NULL;
}
static void append(List *l, Work *w) {
  w->next = NULL;
  if (l->last) l->last->next = w;
  else l->first = w;
  l->last = w;
}
static void free_if_done(Stream *s) {
  if (!s->destroyed || s->queue.first) return;
  Stream **at = &s->device->streams;
  while (*at != s) at = &(*at)->next;
  *at = s->next;
  bury(s);
}

/* What must be done first in another stream before the head of this one, or NULL. Its ticket is always a lower one. */
static Stream *before(Stream *s) {
  Work *w = s->queue.first;
  if (w->kind == WAIT && !w->record->done) return w->record->stream;
  if (s == &s->device->legacy) {
    for (Stream *o = s->device->streams; o; o = o->next)
      if (!o->non_blocking && o->queue.first && o->queue.first->ticket < w->ticket) return o;
  } else if (!s->non_blocking) {
    Stream *legacy = &s->device->legacy;
    if (legacy->queue.first && legacy->queue.first->ticket < w->ticket) return legacy;
  }
  return NULL;
}
bool run_one(Stream *s) {
  if (!s->queue.first) return false;
  while (Stream *other = before(s)) s = other;
  Work *w = s->queue.first;
  s->queue.first = w->next;
  if (!w->next) s->queue.last = NULL;
  at_work = s->device;
  perform(s->device, w);
  drop(w), free(w);
  free_if_done(s);
  return true;
}
void advance(Stream *s, u64 ticket) {
  while (s->queue.first && s->queue.first->ticket <= ticket) run_one(s);
}
void drain(Stream *s) {
  if (s->queue.last) advance(s, s->queue.last->ticket);
}
void drain_all(Device *d) {
  for (bool any = true; any;) {
    any = false;
    Stream *first = &d->legacy;
    for (Stream *s = d->streams; s; s = s->next) { /* the stream whose work was put first; last, by another schedule */
      Work *w = s->queue.first, *other = first->queue.first;
      if (w && (!other || (settings.schedule & 1) == (w->ticket > other->ticket))) first = s;
    }
    if (first->queue.first) any = true, drain(first);
  }
}

int put(Stream *s, Work *w) {
  Work *n = (Work *)malloc(sizeof *n);
  *n = *w;
  n->ticket = ++tickets;
  append(s->capture ? &s->capture->nodes : &s->queue, n);
  if (settings.eager && !s->capture) drain(s);
  return s->device->sticky;
}
void put_record(Event *e, Stream *s) {
  unuse_record(e->last);
  e->last = NULL, e->captured = 0;
  if (s->capture) { /* a name for a place in the graph, whose nodes run in their order */
    e->captured = s->capture->number;
    return;
  }
  e->last = (Record *)calloc(1, sizeof(Record));
  e->last->references = 2, e->last->stream = s;
  Work w = {};
  w.kind = RECORD, w.record = e->last;
  put(s, &w);
}
void put_wait(Event *e, Stream *s) {
  if (!e->last || e->last->done) return;
  Work w = {};
  w.kind = WAIT, w.record = e->last;
  e->last->references++;
  put(s, &w);
}

/* ---- what is queued ------------------------------------------------------------------------------------------------------ */

static bool meets(const u8 *p, u64 pitch, const Work *w, u64 address, u64 bytes) {
  u64 begin = (u64)p, end = begin + (w->rows - 1) * pitch + w->bytes;
  return p && begin < address + bytes && address < end;
}
static const char *use_in(const Work *w, u64 address, u64 bytes) {
  for (; w; w = w->next) {
    const char *inner = w->kind == GRAPH ? use_in(w->graph->nodes.first, address, bytes) : NULL;
    if (inner) return inner;
    bool ends = w->kind == COPY && (meets(w->from, w->from_pitch, w, address, bytes) || meets(w->to, w->to_pitch, w, address, bytes));
    if (ends) return "a copy";
    if (w->kind == SET && meets(w->to, 0, w, address, bytes)) return "a memset";
    if (w->kind != LAUNCH) continue;
    for (u64 i = 0; i + 8 <= w->launch->parameter_bytes; i += 8) { /* a pointer in the kernel's arguments */
      u64 value;
      memcpy(&value, w->launch->parameter_block + i, 8);
      if (value - address < bytes) return w->launch->function->name;
    }
  }
  return NULL;
}
const char *queued_use(u64 address, u64 bytes) {
  for (int i = 0; i < settings.devices; i++) {
    const char *use = use_in(devices[i].legacy.queue.first, address, bytes);
    for (Stream *s = devices[i].streams; s && !use; s = s->next) use = use_in(s->queue.first, address, bytes);
    if (use) return use;
  }
  return NULL;
}

/* ---- capture and graphs -------------------------------------------------------------------------------------------------- */

enum { GLOBAL, THREAD_LOCAL, RELAXED };

/* A call that may wait for the device, or change what a captured stream relies on, is forbidden to a thread that captures, and, while a
   global capture goes on, to all. The captures concerned are lost. */
int unsafe_call() {
  int code = OK;
  for (Capture *c = captures; c; c = c->next)
    if (c->mode == GLOBAL || (c->mode == THREAD_LOCAL && pthread_equal(c->thread, pthread_self())))
      c->invalid = true, code = CAPTURE_UNSUPPORTED;
  return code;
}
int begin_capture(Stream *s, int mode) {
  if (s == &s->device->legacy) return CAPTURE_UNSUPPORTED;
  if (s->capture) return ILLEGAL_STATE;
  if (mode < GLOBAL || mode > RELAXED) return INVALID_VALUE;
  Capture *c = (Capture *)calloc(1, sizeof *c);
  c->stream = s, c->number = ++capture_number, c->mode = mode, c->thread = pthread_self(), c->next = captures;
  captures = s->capture = c;
  return OK;
}
static void end(Capture *c) {
  Capture **at = &captures;
  while (*at != c) at = &(*at)->next;
  *at = c->next;
  c->stream->capture = NULL;
  free(c);
}
void abort_capture(Stream *s) {
  free_list(&s->capture->nodes);
  end(s->capture);
}
int end_capture(Stream *s, Graph **g) {
  Capture *c = s->capture;
  *g = NULL;
  if (!c) return ILLEGAL_STATE;
  if (c->mode != RELAXED && !pthread_equal(c->thread, pthread_self())) return CAPTURE_WRONG_THREAD;
  if (c->invalid) {
    abort_capture(s);
    return CAPTURE_INVALIDATED;
  }
  *g = (Graph *)calloc(1, sizeof **g);
  (*g)->magic = GRAPH_TEMPLATE, (*g)->device = s->device, (*g)->nodes = c->nodes, (*g)->next = all_graphs;
  all_graphs = *g;
  end(c);
  return OK;
}
Executable *instantiate(Device *d, const Graph *g) {
  Executable *e = (Executable *)calloc(1, sizeof *e);
  e->magic = GRAPH_READY, e->references = 1, e->device = d, e->next = all_executables;
  all_executables = e;
  for (const Work *w = g->nodes.first; w; w = w->next) {
    Work *n = (Work *)malloc(sizeof *n);
    *n = *w;
    if (n->launch) n->launch->references++;
    if (n->graph) n->graph->references++;
    append(&e->nodes, n);
  }
  return e;
}
void end_graph(Graph *g) {
  Graph **at = &all_graphs;
  while (*at != g) at = &(*at)->next;
  *at = g->next;
  free_list(&g->nodes);
  g->magic = 0;
  bury(g);
}
void end_executable(Executable *e) {
  e->destroyed = true, e->magic = 0;
  unuse_executable(e);
}
void end_event(Event *e) {
  Event **at = &e->device->events;
  while (*at != e) at = &(*at)->next;
  *at = e->next;
  unuse_record(e->last);
  e->magic = 0;
  bury(e);
}
void end_stream(Stream *s) {
  s->destroyed = true, s->magic = 0;
  free_if_done(s);
}
