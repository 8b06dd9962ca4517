/* Clipped importance sampling: the ratio is clipped and held fixed, so that no token loses its gradient.
   MiniMax-M1: Scaling Test-Time Compute Efficiently with Lightning Attention, arXiv:2506.13585, section 3.1.

   J = sum over tokens of sg(min(ratio, 1 + clip_high)) A log pi, over the tokens of the update: the gradient is stopped on
   purpose, which the plugin declares so that `plugin check` does not take it for a mistake.

   cc -std=c11 -O2 -shared -fPIC -fvisibility=hidden -I ../../Sources/PluginAPI/C/include cispo.c -o libnr-cispo.so -lm */
#include <nr_plugin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- parameters and metrics ------------------------------------------------------------------------ */

enum { CLIP_HIGH, EPSILON, PARAMETER_COUNT };
static const nr_parameter parameters[] = {
  { "clip_high", "upper clip of the importance weight: it counts up to 1 + clip_high", NR_REAL, 0, 100, 4, NULL, NULL },
  { "epsilon", "added to the standard deviation of a group's rewards", NR_REAL, 0, 1, 1e-6, NULL, NULL },
};
enum { CLIP_SHARE, METRIC_COUNT };
static const nr_metric metrics[] = { { "clip_high_share", "share of tokens whose weight is clipped", NR_MEAN } };

typedef struct instance { double clip_high, epsilon; } instance;

static nr_status refuse(nr_error *error, nr_status status, const char *message) {
  strncpy(error->message, message, sizeof error->message - 1);
  error->message[sizeof error->message - 1] = 0;
  return status;
}

static nr_status create(const nr_host *host, const double *values, void **self, nr_error *error) {
  (void)host;
  for (int i = 0; i < PARAMETER_COUNT; i++)
    if (!(values[i] >= parameters[i].minimum && values[i] <= parameters[i].maximum))
      return refuse(error, NR_BAD_PARAMETER, parameters[i].name);
  instance *made = malloc(sizeof *made);
  if (!made) return refuse(error, NR_INTERNAL, "no memory");
  *made = (instance){ values[CLIP_HIGH], values[EPSILON] };
  *self = made;
  return NR_OK;
}

static void destroy(void *self) { free(self); }
static uint32_t needs(const void *self) { (void)self; return 0; }

/* ---- stage 1: A = (r - mean) / (std + epsilon) within a group -------------------------------------- */

static nr_status advantages(void *self, const nr_rollout *r, nr_advantages *out, nr_value *values, nr_error *error) {
  const instance *s = self;
  (void)values;
  if (r->struct_size < NR_ROLLOUT_1_0 || out->struct_size < NR_ADVANTAGES_1_0) return refuse(error, NR_BAD_ARGUMENT, "a struct is cut");
  for (uint32_t g = 0; g < r->group_count; g++) {
    int64_t first = r->group_offsets[g], end = r->group_offsets[g + 1], count = end - first;
    double mean = 0, squares = 0;
    for (int64_t i = first; i < end; i++) mean += r->rewards[i] / (double)count;
    for (int64_t i = first; i < end; i++) squares += (r->rewards[i] - mean) * (r->rewards[i] - mean);
    double deviation = count > 1 ? sqrt(squares / (double)(count - 1)) : 0;
    for (int64_t i = first; i < end; i++) {
      /* Equal rewards teach nothing, whatever rounding has left of their deviation. */
      double advantage = deviation > 1e-9 ? (r->rewards[i] - mean) / (deviation + s->epsilon) : 0;
      for (int64_t t = r->token_offsets[i]; t < r->token_offsets[i + 1]; t++) out->advantages[t] = (float)advantage;
    }
  }
  return NR_OK;
}

/* ---- stage 2: - sum sg(weight) A log pi / tokens of the update ------------------------------------- */

static nr_status loss(void *self, const nr_batch *b, nr_gradients *out, nr_value *values, nr_error *error) {
  const instance *s = self;
  if (b->struct_size < NR_BATCH_1_0 || out->struct_size < NR_GRADIENTS_1_0) return refuse(error, NR_BAD_ARGUMENT, "a struct is cut");
  double sum = 0, clipped = 0;
  for (int64_t t = 0; t < b->token_count; t++) {
    double ratio = exp(fmin(fmax((double)b->current[t] - b->old[t], -20), 20));
    double weight = fmin(ratio, 1 + s->clip_high);
    double slope = -weight * b->advantages[t] / (double)b->update_tokens;
    sum += slope * b->current[t];
    out->d_current[t] = (float)slope;
    clipped += ratio > 1 + s->clip_high;
  }
  out->loss = sum;
  if (b->token_count) values[CLIP_SHARE] = (nr_value){ clipped / (double)b->token_count, (double)b->token_count };
  return NR_OK;
}

/* ---- the table ------------------------------------------------------------------------------------- */

static uint32_t stopped_inputs(const void *self) { (void)self; return NR_STOPS_CURRENT; }

static const void *extension(const char *id) {
  static const nr_stopped_gradients stopped = { sizeof stopped, stopped_inputs };
  return strcmp(id, NR_STOPPED_GRADIENTS) == 0 ? &stopped : NULL;
}

static const nr_plugin plugin = {
  .magic = NR_MAGIC, .struct_size = sizeof(nr_plugin), .abi_major = NR_ABI_MAJOR, .abi_minor = NR_ABI_MINOR,
  .parameter_count = PARAMETER_COUNT, .metric_count = METRIC_COUNT, .id = "cispo", .version = "1.0.0",
  .title = "CISPO: clipped importance sampling policy optimisation", .reference = "arXiv:2506.13585",
  .card = "advantage: A = (r - mean) / (std + epsilon) within a group\n"
          "aggregation: sum over tokens / tokens of the update\n"
          "clip: the weight min(ratio, 1 + clip_high) is held fixed; no lower clip, as in the paper",
  .parameters = parameters, .metrics = metrics, .create = create, .destroy = destroy, .needs = needs,
  .advantages = advantages, .loss = loss, .extension = extension,
};

NR_EXPORT const nr_plugin *nr_plugin_entry(uint32_t host_major, uint32_t host_minor) {
  (void)host_major, (void)host_minor;
  return &plugin;
}
