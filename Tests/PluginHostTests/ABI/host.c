/* A host of version 1.0 or 1.1 of the header (-DHEADER=...): one rollout of two completions with 3 and 2 tokens, one update of it.
   Prints the advantages, the tokens that count, and the loss; the structs end where a page does that must not be touched. */
#define _GNU_SOURCE
#include HEADER
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Memory whose end is the end of what may be touched. */
static void *guarded(size_t size) {
  char *block = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  mprotect(block + 4096, 4096, PROT_NONE);
  return block + 4096 - size;
}

static void say(void *context, int32_t level, const char *text) { (void)context; (void)level; (void)text; }
static const void *none(void *context, const char *id) { (void)context; (void)id; return NULL; }

int main(int count, char **words) {
  void *library = count > 1 ? dlopen(words[1], RTLD_NOW) : NULL;
  nr_entry entry = library ? (nr_entry)dlsym(library, NR_ENTRY) : NULL;
  const nr_plugin *plugin = entry ? entry(NR_ABI_MAJOR, NR_ABI_MINOR) : NULL;
  if (!plugin || plugin->magic != NR_MAGIC || plugin->abi_major != NR_ABI_MAJOR || plugin->struct_size < 160) return 2;
  nr_host host = { sizeof host, NULL, say, none };
  nr_error error = { sizeof error, "" };
  void *self = NULL;
  if (plugin->create(&host, NULL, &self, &error)) return 3;
  uint64_t keys[] = { 1 };
  int64_t groups[] = { 0, 2 }, tokens[] = { 0, 3, 5 }, ids[] = { 0, 1 };
  float rewards[] = { 0, 1 }, old[] = { -1, -1, -1, -1, -1 }, advantages[5], derivatives[5];
  const char *names[] = { "correct" };
  uint8_t flags[] = { 1, 2 };
  nr_rollout *r = guarded(sizeof *r);
  memset(r, 0, sizeof *r);
  r->struct_size = sizeof *r; r->group_count = 1; r->sequence_count = 2; r->reward_count = 1; r->token_count = 5; r->total_steps = 1; r->token_limit = 3;
  r->group_keys = keys; r->group_offsets = groups; r->token_offsets = tokens; r->rewards = rewards; r->reward_parts = rewards; r->reward_names = names;
  r->sequence_flags = flags; r->old = old;
  nr_advantages *a = guarded(sizeof *a);
  memset(a, 0, sizeof *a);
  a->struct_size = sizeof *a;
  a->advantages = advantages;
  int64_t counts = 5;
#ifdef NR_HAS
  uint8_t counted[] = { 1, 1 };
  a->counted = counted;
#endif
  if (plugin->advantages(self, r, a, NULL, &error)) return 4;
#ifdef NR_HAS
  counts = 3 * counted[0] + 2 * counted[1];
#endif
  nr_batch *b = guarded(sizeof *b);
  memset(b, 0, sizeof *b);
  b->struct_size = sizeof *b; b->sequence_count = 2; b->token_count = 5; b->update_tokens = counts; b->update_sequences = 2; b->update_groups = 1;
  b->token_limit = 3; b->token_offsets = tokens; b->sequence_ids = ids; b->current = old; b->old = old; b->advantages = advantages;
  nr_gradients *g = guarded(sizeof *g);
  memset(g, 0, sizeof *g);
  g->struct_size = sizeof *g;
  g->d_current = derivatives;
  if (plugin->loss(self, b, g, NULL, &error)) return 5;
  plugin->destroy(self);
  printf("%g %g %g %g %g | %d | %g\n", advantages[0], advantages[1], advantages[2], advantages[3], advantages[4], (int)counts, g->loss);
  return 0;
}
