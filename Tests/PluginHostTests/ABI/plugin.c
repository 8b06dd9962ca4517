/* A plugin that drops the first completion of every rollout, built against version 1.0 or 1.1 of the header (-DHEADER=...). */
#include HEADER
#include <stdlib.h>
#include <string.h>

static nr_status create(const nr_host *host, const double *p, void **self, nr_error *e) { (void)host; (void)p; (void)e; *self = malloc(1); return NR_OK; }
static void destroy(void *self) { free(self); }
static uint32_t needs(const void *self) { (void)self; return 0; }
static nr_status bad(nr_error *e) { strcpy(e->message, "a struct is cut"); return NR_BAD_ARGUMENT; }

#ifdef NR_HAS
enum { ROLLOUT = NR_ROLLOUT_1_0, ADVANTAGES = NR_ADVANTAGES_1_0, BATCH = NR_BATCH_1_0, GRADIENTS = NR_GRADIENTS_1_0 };
#else
enum { ROLLOUT = sizeof(nr_rollout), ADVANTAGES = sizeof(nr_advantages), BATCH = sizeof(nr_batch), GRADIENTS = sizeof(nr_gradients) };
#endif

static nr_status advantages(void *self, const nr_rollout *r, nr_advantages *out, nr_value *v, nr_error *e) {
  (void)self; (void)v;
  if (r->struct_size < ROLLOUT || out->struct_size < ADVANTAGES) return bad(e);
  for (uint32_t g = 0; g < r->group_count; g++) {
    double mean = 0;
    int64_t first = r->group_offsets[g], end = r->group_offsets[g + 1];
    for (int64_t s = first; s < end; s++) mean += r->rewards[s] / (double)(end - first);
    for (int64_t s = first; s < end; s++)
      for (int64_t t = r->token_offsets[s]; t < r->token_offsets[s + 1]; t++) out->advantages[t] = s == DROPPED ? 0 : (float)(r->rewards[s] - mean);
  }
#ifdef NR_HAS
  if (DROPPED >= 0 && r->sequence_count > (uint32_t)DROPPED && NR_HAS(out, nr_advantages, counted)) out->counted[DROPPED] = 0;
#endif
  return NR_OK;
}

static nr_status loss(void *self, const nr_batch *b, nr_gradients *out, nr_value *v, nr_error *e) {
  (void)self; (void)v;
  if (b->struct_size < BATCH || out->struct_size < GRADIENTS) return bad(e);
  out->loss = 0;
  for (int64_t t = 0; t < b->token_count; t++) {
    out->loss -= b->advantages[t] * b->current[t] / b->update_tokens;
    out->d_current[t] = (float)(-(double)b->advantages[t] / b->update_tokens);
  }
  return NR_OK;
}

static const nr_plugin plugin = {
  NR_MAGIC, sizeof(nr_plugin), NR_ABI_MAJOR, NR_ABI_MINOR, 0, 0, 0, "growing", "1.0.0", "Drops a completion", "none", "", NULL, NULL,
  create, destroy, needs, NULL, advantages, loss, NULL, NULL, NULL };

NR_EXPORT const nr_plugin *nr_plugin_entry(uint32_t major, uint32_t minor) { (void)major; (void)minor; return &plugin; }
