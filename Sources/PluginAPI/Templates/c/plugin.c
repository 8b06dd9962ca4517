/* @ID@: REINFORCE with the mean of a group's rewards as baseline. A beginning: change it into your algorithm.
   R. J. Williams, Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning, 1992.
   nr_plugin.h is the whole contract. */
#include <nr_plugin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What users may set with --set entropy_weight=0.01, and what is logged at every step. */
enum { ENTROPY_WEIGHT, PARAMETER_COUNT };
static const nr_parameter parameters[] = {
  { "entropy_weight", "weight of the policy's entropy", NR_REAL, 0, 10, 0, NULL, NULL },
};
static const nr_metric metrics[] = { { "advantage_size", "mean |A| over sequences", NR_MEAN } };

/* One instance: what it remembers between calls lives here and nowhere else. */
typedef struct instance { double entropy_weight; } instance;

static nr_status refuse(nr_error *error, nr_status status, const char *message) {
  strncpy(error->message, message, sizeof error->message - 1);
  error->message[sizeof error->message - 1] = 0;
  return status;
}

static nr_status create(const nr_host *host, const double *values, void **self, nr_error *error) {
  (void)host;
  for (int i = 0; i < PARAMETER_COUNT; i++)
    if (!(values[i] >= parameters[i].minimum && values[i] <= parameters[i].maximum) ||
        (parameters[i].kind != NR_REAL && values[i] != floor(values[i])))
      return refuse(error, NR_BAD_PARAMETER, parameters[i].name);
  instance *made = calloc(1, sizeof *made);
  if (!made) return refuse(error, NR_INTERNAL, "no memory");
  made->entropy_weight = values[ENTROPY_WEIGHT];
  *self = made;
  return NR_OK;
}

static void destroy(void *self) { free(self); }

/* Entropies are computed only where they are needed, as are reference log-probabilities and a critic's values. */
static uint32_t needs(const void *self) {
  return ((const instance *)self)->entropy_weight > 0 ? NR_NEEDS_ENTROPY : 0;
}

/* Stage 1, once per rollout: rewards to advantages. Here you may look across sequences and groups. */
static nr_status advantages(void *self, const nr_rollout *r, nr_advantages *out, nr_value *values, nr_error *error) {
  (void)self;
  if (r->struct_size < NR_ROLLOUT_1_0 || out->struct_size < NR_ADVANTAGES_1_0) return refuse(error, NR_BAD_ARGUMENT, "a struct is cut");
  double size = 0;
  for (uint32_t g = 0; g < r->group_count; g++) {
    int64_t first = r->group_offsets[g], end = r->group_offsets[g + 1];
    double mean = 0;
    for (int64_t i = first; i < end; i++) mean += r->rewards[i];
    mean /= (double)(end - first);
    for (int64_t i = first; i < end; i++) {
      for (int64_t t = r->token_offsets[i]; t < r->token_offsets[i + 1]; t++)
        out->advantages[t] = (float)(r->rewards[i] - mean);
      size += fabs(r->rewards[i] - mean);
    }
  }
  if (r->sequence_count) values[0] = (nr_value){ size / r->sequence_count, r->sequence_count };
  return NR_OK;
}

/* Stage 2, once per micro-batch: log-probabilities to a scalar and its derivatives. Micro-batches hold whole sequences of one
   optimiser update and their losses are added up, so divide by the update's totals and never by the micro-batch's. */
static nr_status loss(void *self, const nr_batch *b, nr_gradients *out, nr_value *values, nr_error *error) {
  const instance *s = self;
  (void)values;
  if (b->struct_size < NR_BATCH_1_0 || out->struct_size < NR_GRADIENTS_1_0) return refuse(error, NR_BAD_ARGUMENT, "a struct is cut");
  double tokens = (double)b->update_tokens, sum = 0;
  for (int64_t t = 0; t < b->token_count; t++) {
    sum -= b->advantages[t] * (double)b->current[t] / tokens;
    out->d_current[t] = (float)(-b->advantages[t] / tokens);      /* d loss / d current */
    if (s->entropy_weight > 0) {
      sum -= s->entropy_weight * b->entropy[t] / tokens;
      out->d_entropy[t] = (float)(-s->entropy_weight / tokens);   /* d loss / d entropy */
    }
  }
  out->loss = sum;
  return NR_OK;
}

static const nr_plugin plugin = {
  .magic = NR_MAGIC, .struct_size = sizeof(nr_plugin), .abi_major = NR_ABI_MAJOR, .abi_minor = NR_ABI_MINOR,
  .parameter_count = PARAMETER_COUNT, .metric_count = sizeof metrics / sizeof *metrics, .id = "@ID@", .version = "0.1.0",
  .title = "REINFORCE with a group baseline", .reference = "Williams 1992",
  .card = "advantage: A = r - mean of the group's rewards\naggregation: sum over tokens / tokens of the update",
  .parameters = parameters, .metrics = metrics, .create = create, .destroy = destroy, .needs = needs,
  .advantages = advantages, .loss = loss,
};

NR_EXPORT const nr_plugin *nr_plugin_entry(uint32_t host_major, uint32_t host_minor) {
  (void)host_major, (void)host_minor;
  return &plugin;
}
