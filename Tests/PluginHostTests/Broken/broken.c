/* A plugin that does exactly one thing wrong, which its parameter `fault` picks; 0 is a correct plugin. It is what
   `plugin check` is tested with: for every fault the test that is meant for it must fail. No example to follow. */
#define _GNU_SOURCE
#include "nr_plugin.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FAULTS(X) \
  X(none) X(leak) X(overrun) X(underrun) X(reads_beyond) X(writes_input) X(unwritten) X(unwritten_keep) X(accumulates) \
  X(gradient_current) X(gradient_entropy) X(gradient_values) X(gradient_corner) X(wrong_sign) X(own_tokens) X(clock) \
  X(thread) X(process) X(traps) X(hangs) X(exits) X(fails) X(state_incomplete) X(state_garbage) X(state_crash) X(save_partial) X(shared) \
  X(race) X(impure_select) X(order_dependent) X(extreme_nan) X(empty_crash) X(empty_nan) X(ignores_range) X(metric_nan) \
  X(ignores_size) X(exact_size) X(needs_change) X(null_destroy) X(falls) X(kl_away) X(max_for_min)
#define ENUM(name) fault_##name,
#define NAME(name) #name,
enum { FAULTS(ENUM) fault_count };
static const char *const faults[] = { FAULTS(NAME) NULL };

static const nr_parameter parameters[] = {
  { "fault", "What is wrong with it.", NR_CHOICE, 0, fault_count - 1, 0, faults, NULL },
  { "clip", "Clip of the ratio.", NR_REAL, 0, 1, 0.2, NULL, NULL },
  { "entropy_weight", "Weight of the entropy.", NR_REAL, 0, 1, 0.01, NULL, NULL },
  { "rounds", "Does nothing.", NR_INTEGER, 1, 10, 2, NULL, NULL },
};
static const nr_metric metrics[] = { { "ratio", "Mean ratio.", NR_MEAN } };

typedef struct instance { int fault; double clip, entropy_weight, baseline; uint64_t updates; uint32_t asked; } instance;
typedef struct saved { uint32_t magic, check; double baseline; uint64_t updates; } saved;

/* What the faults `shared` and `race` keep outside the instance. */
static double shared_clip;
static volatile double shared_sum;
static int last_fault;

static nr_status refuse(nr_error *e, nr_status status, const char *text) {
  strncpy(e->message, text, sizeof e->message - 1);
  e->message[sizeof e->message - 1] = 0;
  return status;
}

static nr_status create(const nr_host *host, const double *p, void **self, nr_error *e) {
  (void)host;
  for (int i = 0; i < 4; i++) {
    int is_whole = parameters[i].kind == NR_REAL || p[i] == floor(p[i]);
    if (!(p[i] >= parameters[i].minimum && p[i] <= parameters[i].maximum && is_whole)) {
      if (p[0] == fault_ignores_range && i == 1 && p[i] == p[i]) continue;
      return refuse(e, NR_BAD_PARAMETER, "not a legal value");
    }
  }
  instance *s = calloc(1, sizeof *s);
  if (!s) return refuse(e, NR_INTERNAL, "no memory");
  s->fault = (int)p[0];
  s->clip = p[1];
  s->entropy_weight = p[2];
  shared_clip = p[1];
  last_fault = s->fault;
  *self = s;
  return NR_OK;
}

static void destroy(void *self) {
  if (!self && last_fault == fault_null_destroy) *(volatile int *)0 = 1;
  if (self && ((instance *)self)->fault == fault_leak) return;
  free(self);
}

static uint32_t needs(const void *self) {
  const instance *s = self;
  uint32_t bits = NR_NEEDS_CRITIC | NR_NEEDS_ENTROPY | NR_NEEDS_REFERENCE;
  return s->fault == fault_needs_change && s->updates > 0 ? bits | NR_NEEDS_SAMPLER : bits;
}

static nr_status choose(void *self, const nr_rollout *r, uint8_t *keep, nr_error *e) {
  instance *s = self;
  if (r->struct_size < sizeof *r) return refuse(e, NR_BAD_ARGUMENT, "nr_rollout is too small");
  s->asked++;
  for (uint32_t g = 0; g < r->group_count; g++) {
    uint8_t differs = 0;
    for (int64_t i = r->group_offsets[g]; i < r->group_offsets[g + 1]; i++)
      if (r->rewards[i] != r->rewards[r->group_offsets[g]]) differs = 1;
    if (s->fault == fault_impure_select && s->asked > 1) differs = !differs;
    if (s->fault == fault_unwritten_keep && g == 1) continue;
    keep[g] = differs;
  }
  return NR_OK;
}

static nr_status advantages(void *self, const nr_rollout *r, nr_advantages *out, nr_value *values, nr_error *e) {
  instance *s = self;
  (void)values;
  if (r->struct_size < NR_ROLLOUT_1_0 || out->struct_size < NR_ADVANTAGES_1_0) return refuse(e, NR_BAD_ARGUMENT, "a struct is too small");
  s->asked = 0;
  if (s->fault == fault_empty_crash && r->sequence_count && !r->token_count) __builtin_trap();
  double total = 0;
  for (uint32_t g = 0; g < r->group_count; g++) {
    int64_t first = r->group_offsets[g], end = r->group_offsets[g + 1];
    double mean = 0;
    for (int64_t i = first; i < end; i++) mean += r->rewards[i] / (double)(end - first);
    if (s->fault == fault_order_dependent && first < end) mean = r->rewards[first];
    for (int64_t i = first; i < end; i++) {
      total += r->rewards[i];
      for (int64_t t = r->token_offsets[i]; t < r->token_offsets[i + 1]; t++) {
        out->advantages[t] = (float)(r->rewards[i] - mean - 0.1 * s->baseline);
        if (s->fault == fault_falls) out->advantages[t] = -out->advantages[t];
        out->returns[t] = r->rewards[i];
      }
    }
  }
  if (s->fault == fault_overrun) out->advantages[r->token_count] = 1;
  if (s->fault == fault_underrun && r->token_count) out->advantages[-1] = 1;
  if (r->sequence_count) s->baseline = 0.5 * s->baseline + 0.5 * total / r->sequence_count;
  s->updates++;
  return NR_OK;
}

static nr_status loss(void *self, const nr_batch *b, nr_gradients *out, nr_value *values, nr_error *e) {
  instance *s = self;
  int fault = s->fault;
  size_t batch_size = sizeof *b, result_size = sizeof *out;
  if (fault == fault_ignores_size) batch_size = result_size = 0;
  if (b->struct_size < batch_size || out->struct_size < result_size) return refuse(e, NR_BAD_ARGUMENT, "a struct is too small");
  if (fault == fault_exact_size && b->struct_size != sizeof *b) return refuse(e, NR_BAD_ARGUMENT, "not my struct");
  if (fault == fault_traps) __builtin_trap();
  if (fault == fault_hangs) for (;;) usleep(1000);
  if (fault == fault_exits) exit(3);
  if (fault == fault_fails) return refuse(e, NR_INTERNAL, "no luck today");
  double clip = fault == fault_shared ? shared_clip : s->clip;
  double n = fault == fault_own_tokens ? (double)b->token_count : (double)b->update_tokens;
  double sum = 0, ratios = 0;
  shared_sum = 0;
  for (int64_t t = 0; t < b->token_count; t++) {
    double a = b->advantages[t], x = (double)b->current[t] - b->old[t];
    double held = fault == fault_extreme_nan ? x : fmin(fmax(x, -20), 20);
    double ratio = exp(held);
    int clipped = (a > 0 && ratio > 1 + clip) || (a < 0 && ratio < 1 - clip);
    if (fault == fault_max_for_min) clipped = (a > 0 && ratio < 1 - clip) || (a < 0 && ratio > 1 + clip);
    double term = clipped && fault == fault_max_for_min ? (a > 0 ? 1 - clip : 1 + clip) * a : clipped ? (a > 0 ? 1 + clip : 1 - clip) * a : ratio * a;
    double slope = clipped || (held != x) ? 0 : ratio * a;
    double v = (double)b->values[t] - b->returns[t];
    /* k3 of the divergence from the reference, and a corner at the old value. */
    double y = fmin(fmax((double)b->reference[t] - b->current[t], -20), 20);
    int moves = fabs((double)b->reference[t] - b->current[t]) <= 20;
    double w = (double)b->values[t] - b->old_values[t];
    double beta = fault == fault_kl_away ? -0.04 : 0.04;
    double added = (-term + beta * (exp(y) - y - 1) + 0.5 * v * v + 0.1 * fabs(w) - s->entropy_weight * b->entropy[t]) / n;
    sum += added;
    if (fault == fault_race) {
      shared_sum += added;
      if (t == b->token_count / 2) usleep(20);
    }
    float d = (float)((-slope + (moves ? beta * (1 - exp(y)) : 0)) / n);
    float dv = (float)((v + 0.1 * ((w > 0) - (w < 0))) / n), de = (float)(-s->entropy_weight / n);
    if (fault == fault_gradient_current) d *= 1.01f;
    if (fault == fault_gradient_values) dv += 0.01f * fabsf(dv);
    if (fault == fault_gradient_corner && w == 0) dv += 0.5f / (float)n;
    if (fault == fault_gradient_entropy) de *= 2;
    if (fault == fault_unwritten && t % 3 == 1) continue;
    out->d_current[t] = fault == fault_accumulates ? out->d_current[t] + d : d;
    out->d_values[t] = dv;
    out->d_entropy[t] = de;
    ratios += ratio;
  }
  out->loss = fault == fault_race ? shared_sum : sum;
  if (fault == fault_empty_nan && b->sequence_count && !b->token_count) out->loss = NAN;
  if (fault == fault_wrong_sign) {
    out->loss = 0;
    for (int64_t t = 0; t < b->token_count; t++) {
      double a = b->advantages[t], x = fmin(fmax((double)b->current[t] - b->old[t], -20), 20);
      int inside = fabs((double)b->current[t] - b->old[t]) <= 20;
      double v = (double)b->values[t] - b->returns[t], w = (double)b->values[t] - b->old_values[t];
      out->loss += (exp(x) * a + 0.5 * v * v + 0.1 * fabs(w) - s->entropy_weight * b->entropy[t]) / n;
      out->d_current[t] = inside ? (float)(exp(x) * a / n) : 0;
    }
  }
  if (fault == fault_reads_beyond) out->loss += 0 * b->old[b->token_count];
  if (fault == fault_writes_input && b->token_count) ((float *)b->advantages)[0] = 0;
  if (fault == fault_clock) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    out->loss += fabs(out->loss) * 1e-15 * (double)(now.tv_nsec % 1000);
  }
  if (fault == fault_thread) {
    out->loss += gettid() != getpid() ? fabs(out->loss) * 1e-14 : 0;
  }
  if (fault == fault_process) out->loss += fabs(out->loss) * 1e-15 * (double)(1 + getpid() % 1000);
  if (b->token_count) values[0] = (nr_value){ fault == fault_metric_nan ? NAN : ratios / (double)b->token_count, (double)b->token_count };
  return NR_OK;
}

static nr_status save(void *self, void *bytes, size_t capacity, size_t *size, nr_error *e) {
  instance *s = self;
  saved state = { 0x62726F6B, 0, s->fault == fault_state_incomplete ? 0 : s->baseline, s->updates };
  *size = sizeof state;
  if (s->fault == fault_save_partial && bytes) memcpy(bytes, &state, capacity < sizeof state ? capacity : sizeof state);
  if (capacity < sizeof state) return refuse(e, NR_NO_SPACE, "the state does not fit");
  memcpy(bytes, &state, sizeof state);
  return NR_OK;
}

static nr_status restore(void *self, const void *bytes, size_t size, nr_error *e) {
  instance *s = self;
  saved state = { 0, 0, 0, 0 };
  if (s->fault == fault_state_garbage) {
    memcpy(&state, bytes, size < sizeof state ? size : sizeof state);
  } else {
    if (s->fault == fault_state_crash && size != sizeof state) __builtin_trap();
    if (size != sizeof state) return refuse(e, NR_BAD_STATE, "not a state of this plugin");
    memcpy(&state, bytes, sizeof state);
    if (state.magic != 0x62726F6B || !isfinite(state.baseline)) return refuse(e, NR_BAD_STATE, "not a state of this plugin");
  }
  s->baseline = state.baseline;
  s->updates = state.updates;
  return NR_OK;
}

static const nr_plugin plugin = {
  NR_MAGIC, sizeof(nr_plugin), NR_ABI_MAJOR, NR_ABI_MINOR, 1, 4, 1, "broken", "1.0.0", "One fault at a time", "none",
  "advantage: none to learn from", parameters, metrics, create, destroy, needs, choose, advantages, loss, save, restore, NULL };

NR_EXPORT const nr_plugin *nr_plugin_entry(uint32_t host_major, uint32_t host_minor) {
  (void)host_major;
  (void)host_minor;
  return &plugin;
}
