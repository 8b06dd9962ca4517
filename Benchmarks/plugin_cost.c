/* Milliseconds of one call of a plugin's loss stage, for a micro-batch of a given size:
 *
 *     cc -O2 -I Sources/PluginAPI/C/include Benchmarks/plugin_cost.c -o /tmp/plugin_cost -ldl -lm
 *     /tmp/plugin_cost LIBRARY [TOKENS] [PARAMETER=VALUE]...
 *
 * Log-ratios are normal with deviation 0.15, advantages normal; 64 sequences, one of them empty. Printed are the median and the least
 * processor time of 200 calls, the loss, and a sum over d_current by which two plugins of one loss can be seen to agree. Choices are given
 * by their number.
 */
#include "nr_plugin.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SEQUENCES = 64, CALLS = 200 };

static double uniform(void) {
  static uint64_t state = 42;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (double)(state >> 11) / 9007199254740992.0;
}

static double normal(void) { return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform()); }

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : 1; }
static void log_nothing(void *context, int32_t level, const char *message) { (void)context, (void)level, (void)message; }
static const void *no_extension(void *context, const char *id) { return (void)context, (void)id, NULL; }

static int fail(const char *what, const char *why) {
  fprintf(stderr, "plugin_cost: %s: %s\n", what, why);
  return 65;
}

int main(int count, char **arguments) {
  if (count < 2) return fprintf(stderr, "usage: plugin_cost LIBRARY [TOKENS] [PARAMETER=VALUE]...\n"), 64;
  void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
  if (!library) return fail(arguments[1], dlerror());
  nr_entry entry;
  *(void **)&entry = dlsym(library, NR_ENTRY);
  if (!entry) return fail(arguments[1], "does not export " NR_ENTRY);
  const nr_plugin *plugin = entry(NR_ABI_MAJOR, NR_ABI_MINOR);
  if (!plugin || plugin->abi_major != NR_ABI_MAJOR) return fail(arguments[1], "speaks another ABI");

  long tokens = 25000;
  double *parameters = calloc(plugin->parameter_count + 1, sizeof *parameters);
  for (uint32_t p = 0; p < plugin->parameter_count; p++) parameters[p] = plugin->parameters[p].preset;
  for (int a = 2; a < count; a++) {
    char *equals = strchr(arguments[a], '=');
    if (!equals) {
      tokens = strtol(arguments[a], NULL, 10);
      if (tokens < 0 || tokens > 100000000) return fail(arguments[a], "expected a number of tokens");
      continue;
    }
    uint32_t p = 0;
    while (p < plugin->parameter_count
           && (strlen(plugin->parameters[p].name) != (size_t)(equals - arguments[a])
               || memcmp(plugin->parameters[p].name, arguments[a], (size_t)(equals - arguments[a])))) p++;
    if (p == plugin->parameter_count) return fail(arguments[a], "no such parameter");
    parameters[p] = strtod(equals + 1, NULL);
  }

  float *inputs[9], *outputs[3], *stage[2];
  for (int i = 0; i < 9; i++) inputs[i] = calloc((size_t)tokens + 1, sizeof(float));
  for (int i = 0; i < 3; i++) outputs[i] = calloc((size_t)tokens + 1, sizeof(float));
  for (int i = 0; i < 2; i++) stage[i] = calloc((size_t)tokens + 1, sizeof(float));
  for (long t = 0; t < tokens; t++) {
    inputs[1][t] = (float)(-3 * uniform());
    inputs[0][t] = inputs[1][t] + (float)(0.15 * normal());
    inputs[2][t] = inputs[1][t] + (float)(0.15 * normal());
    inputs[3][t] = inputs[1][t];
    for (int i = 4; i < 9; i++) inputs[i][t] = (float)normal();
  }
  int64_t offsets[SEQUENCES + 1], ids[SEQUENCES];
  for (int s = 0; s < SEQUENCES; s++) {
    ids[s] = s;
    offsets[s] = s == 0 ? 0 : tokens * (s - 1) / (SEQUENCES - 1);
  }
  offsets[SEQUENCES] = tokens;

  nr_error error = { sizeof error, "" };
  const nr_host host = { sizeof host, NULL, log_nothing, no_extension };
  void *self = NULL;
  if (plugin->create(&host, parameters, &self, &error) != NR_OK) return fail("create", error.message);

  /* Some losses remember something of stage 1. */
  float rewards[SEQUENCES];
  uint8_t flags[SEQUENCES];
  uint64_t keys[SEQUENCES / 8];
  int64_t groups[SEQUENCES / 8 + 1];
  for (int s = 0; s < SEQUENCES; s++) flags[s] = (rewards[s] = uniform() < 0.5) ? NR_CORRECT : 0;
  for (int g = 0; g <= SEQUENCES / 8; g++) groups[g] = 8 * g;
  for (int g = 0; g < SEQUENCES / 8; g++) keys[g] = (uint64_t)g;
  nr_value *metrics = calloc(plugin->metric_count + 1, sizeof *metrics);
  nr_rollout rollout = { .struct_size = sizeof rollout, .group_count = SEQUENCES / 8, .sequence_count = SEQUENCES, .token_count = tokens,
    .total_steps = 1, .token_limit = tokens, .group_keys = keys, .group_offsets = groups, .token_offsets = offsets, .rewards = rewards,
    .sequence_flags = flags, .old = inputs[1], .reference = inputs[2], .values = inputs[5] };
  nr_advantages advantages = { .struct_size = NR_ADVANTAGES_1_0, .advantages = stage[0], .returns = stage[1] };
  if (plugin->advantages(self, &rollout, &advantages, metrics, &error) != NR_OK) return fail("advantages", error.message);

  const nr_batch batch = { .struct_size = sizeof batch, .sequence_count = SEQUENCES, .token_count = tokens, .update_tokens = tokens,
    .update_sequences = SEQUENCES, .update_groups = SEQUENCES / 8, .token_limit = tokens, .token_offsets = offsets, .sequence_ids = ids,
    .current = inputs[0], .old = inputs[1], .reference = inputs[2], .sampler = inputs[3], .entropy = inputs[4], .values = inputs[5],
    .old_values = inputs[6], .returns = inputs[7], .advantages = inputs[8] };
  double times[CALLS];
  nr_gradients gradients = { .struct_size = sizeof gradients, .d_current = outputs[0] };
  uint32_t needs = plugin->needs(self);
  if (needs & NR_NEEDS_ENTROPY) gradients.d_entropy = outputs[1];
  if (needs & NR_NEEDS_CRITIC) gradients.d_values = outputs[2];
  for (int call = 0; call < CALLS; call++) {
    memset(metrics, 0, plugin->metric_count * sizeof *metrics);
    double start = milliseconds();
    if (plugin->loss(self, &batch, &gradients, metrics, &error) != NR_OK) return fail("loss", error.message);
    times[call] = milliseconds() - start;
  }
  qsort(times, CALLS, sizeof *times, ascending);
  double sum = 0;
  for (long t = 0; t < tokens; t++) sum += outputs[0][t] * (double)(t % 7 - 3);
  printf("%s %s, %ld tokens: %.3f ms (least %.3f), loss %.12g, d_current %.9g\n", plugin->id, plugin->version, tokens, times[CALLS / 2],
    times[0], gradients.loss, sum);
  if (plugin->destroy) plugin->destroy(self);
  return 0;
}
