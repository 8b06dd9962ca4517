/* driver_streams.cpp - libcuda's entry points: streams, events, capture, graphs. */
#include "entries.h"
#include <stdlib.h>

/* A stream's handle: 0 and 1 are the legacy default stream. */
Stream *stream_of(Device *d, Stream *s) {
  if ((u64)s <= 1) return &d->legacy;
  return s->magic == STREAM ? s : NULL;
}
/* Work that is put into a stream: in a capture that failed nothing is, and what would make the legacy stream wait for a capture is
   an error. */
CUresult put_in(Stream *s, Work *w) {
  CUresult code = OK;
  if (s->capture && s->capture->invalid) code = CAPTURE_INVALIDATED;
  if (s == &s->device->legacy)
    for (Capture *c = captures; c; c = c->next)
      if (c->stream->device == s->device && !c->stream->non_blocking) c->invalid = true, code = CAPTURE_IMPLICIT;
  if (code) drop(w);
  else code = put(s, w);
  return code;
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
EXPORT CUresult cuEventElapsedTime_v2(float *ms, Event *start, Event *end) { return cuEventElapsedTime(ms, start, end); }

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
