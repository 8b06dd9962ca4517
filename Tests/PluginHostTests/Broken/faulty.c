/* REINFORCE with a group baseline that does what a run must survive, once: at the step and in the stage that its parameters name. Its state
   counts the updates it has seen, so that a test sees whether a new process goes on where the old one was. No example to follow. */
#define _GNU_SOURCE
#include "nr_plugin.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const faults[] = { "none", "crashes", "aborts", "hangs", "grows", "reserves", "exits", "nan", "refuses", "scribbles", NULL };
enum { none, crashes, aborts, hangs, grows, reserves, exits, nan_, refuses, scribbles, fault_count };
static const char *const stages[] = { "select", "advantages", "loss", NULL };
static const nr_parameter parameters[] = {
  { "fault", "What it does.", NR_CHOICE, 0, fault_count - 1, 0, faults, NULL },
  { "stage", "Where.", NR_CHOICE, 0, 2, 2, stages, NULL },
  { "at", "In which step, from 0.", NR_INTEGER, 0, 1e6, 1, NULL, NULL },
};
static const nr_metric metrics[] = { { "updates", "Updates seen.", NR_MAXIMUM } };
typedef struct instance { int fault, stage; uint64_t at, updates; } instance;

static nr_status create(const nr_host *host, const double *p, void **self, nr_error *e) {
  (void)host;
  for (int i = 0; i < 3; i++)
    if (!(p[i] >= parameters[i].minimum && p[i] <= parameters[i].maximum && p[i] == floor(p[i]))) {
      strcpy(e->message, "not a legal value");
      return NR_BAD_PARAMETER;
    }
  instance *s = calloc(1, sizeof *s);
  *s = (instance){ (int)p[0], (int)p[1], (uint64_t)p[2], 0 };
  *self = s;
  return NR_OK;
}
static void destroy(void *self) { free(self); }
static uint32_t needs(const void *self) { (void)self; return 0; }

/* Whether the stage is to return an unusual number, and which status. */
static nr_status misbehave(const instance *s, int stage, uint64_t step, float *number, nr_error *e) {
  if (s->stage != stage || s->at != step) return NR_OK;
  static volatile char *sink;
  switch (s->fault) {
  case crashes: *(volatile int *)16 = 1; break;
  case aborts: abort();
  case hangs: for (;;) usleep(1000);
  case grows: for (;;) { sink = malloc(16 << 20); if (!sink) abort(); memset((void *)sink, 1, 16 << 20); usleep(1000); }
  case reserves: for (;;) { sink = malloc((size_t)1 << 30); if (!sink) { strcpy(e->message, "no memory"); return NR_NO_SPACE; } }
  case exits: _Exit(3);
  case nan_: *number = NAN; break;
  case refuses: strcpy(e->message, "does not like this batch"); return NR_BAD_STATE;
  /* Every descriptor that it was not given. */
  case scribbles: for (int d = 3; d < 20; d++) if (write(d, "\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10", 16) < 0) continue; break;
  }
  return NR_OK;
}

static nr_status select_groups(void *self, const nr_rollout *r, uint8_t *keep, nr_error *e) {
  if (r->struct_size < NR_ROLLOUT_1_0) return NR_BAD_ARGUMENT;
  float number = 0;
  nr_status status = misbehave(self, 0, r->step, &number, e);
  memset(keep, 1, r->group_count);
  return status;
}

static nr_status advantages(void *self, const nr_rollout *r, nr_advantages *a, nr_value *m, nr_error *e) {
  if (r->struct_size < NR_ROLLOUT_1_0 || a->struct_size < NR_ADVANTAGES_1_0) return NR_BAD_ARGUMENT;
  float number = 0;
  nr_status status = misbehave(self, 1, r->step, &number, e);
  if (status) return status;
  for (uint32_t g = 0; g < r->group_count; g++) {
    double mean = 0, count = (double)(r->group_offsets[g + 1] - r->group_offsets[g]);
    for (int64_t i = r->group_offsets[g]; i < r->group_offsets[g + 1]; i++) mean += r->rewards[i] / count;
    for (int64_t i = r->group_offsets[g]; i < r->group_offsets[g + 1]; i++)
      for (int64_t t = r->token_offsets[i]; t < r->token_offsets[i + 1]; t++) a->advantages[t] = (float)(r->rewards[i] - mean) + number;
  }
  (void)m;
  return NR_OK;
}

static nr_status loss(void *self, const nr_batch *b, nr_gradients *g, nr_value *m, nr_error *e) {
  instance *s = self;
  if (b->struct_size < NR_BATCH_1_0 || g->struct_size < NR_GRADIENTS_1_0) return NR_BAD_ARGUMENT;
  float number = 0;
  nr_status status = misbehave(s, 2, b->step, &number, e);
  if (status) return status;
  g->loss = 0;
  for (int64_t t = 0; t < b->token_count; t++) {
    double ratio = exp(fmax(-20, fmin(20, (double)b->current[t] - b->old[t]))), share = ratio * b->advantages[t] / (double)b->update_tokens;
    g->loss -= share;
    g->d_current[t] = (float)(fabs((double)b->current[t] - b->old[t]) <= 20 ? -share : 0) + number;
  }
  m[0] = (nr_value){ (double)++s->updates, 1 };
  return NR_OK;
}

static nr_status save(void *self, void *bytes, size_t capacity, size_t *size, nr_error *e) {
  (void)e;
  *size = sizeof(uint64_t);
  if (capacity < *size) return NR_NO_SPACE;
  memcpy(bytes, &((instance *)self)->updates, *size);
  return NR_OK;
}
static nr_status restore(void *self, const void *bytes, size_t size, nr_error *e) {
  (void)e;
  if (size != sizeof(uint64_t)) return NR_BAD_STATE;
  memcpy(&((instance *)self)->updates, bytes, size);
  return NR_OK;
}

static const nr_plugin plugin = {
  NR_MAGIC, sizeof plugin, NR_ABI_MAJOR, NR_ABI_MINOR, 1, 3, 1, "faulty", "1", "REINFORCE that fails once", "none", "", parameters, metrics,
  create, destroy, needs, select_groups, advantages, loss, save, restore, NULL };

NR_EXPORT const nr_plugin *nr_plugin_entry(uint32_t major, uint32_t minor) { (void)minor; return major == NR_ABI_MAJOR ? &plugin : NULL; }
