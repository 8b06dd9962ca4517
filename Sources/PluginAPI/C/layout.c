#include "nr_plugin.h"

/* The layout of version 1, fixed: a change of an offset is a new major version, a new last member a new minor one. Offsets are those of a 64-bit machine. */
#if UINTPTR_MAX == UINT64_MAX

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "the size of " #type " is part of the ABI")
#define AT(type, field, offset) \
  _Static_assert(offsetof(type, field) == (offset), "the place of " #type "." #field " is part of the ABI")

SIZE(nr_error, 512);
AT(nr_error, struct_size, 0);
AT(nr_error, message, 4);

SIZE(nr_host, 32);
AT(nr_host, struct_size, 0);
AT(nr_host, context, 8);
AT(nr_host, log, 16);
AT(nr_host, extension, 24);

SIZE(nr_parameter, 64);
AT(nr_parameter, name, 0);
AT(nr_parameter, help, 8);
AT(nr_parameter, kind, 16);
AT(nr_parameter, minimum, 24);
AT(nr_parameter, maximum, 32);
AT(nr_parameter, preset, 40);
AT(nr_parameter, choices, 48);
AT(nr_parameter, variant_presets, 56);

SIZE(nr_metric, 24);
AT(nr_metric, name, 0);
AT(nr_metric, help, 8);
AT(nr_metric, fold, 16);

SIZE(nr_value, 16);
AT(nr_value, value, 0);
AT(nr_value, weight, 8);

SIZE(nr_rollout, 136);
AT(nr_rollout, struct_size, 0);
AT(nr_rollout, group_count, 4);
AT(nr_rollout, sequence_count, 8);
AT(nr_rollout, reward_count, 12);
AT(nr_rollout, token_count, 16);
AT(nr_rollout, step, 24);
AT(nr_rollout, total_steps, 32);
AT(nr_rollout, seed, 40);
AT(nr_rollout, token_limit, 48);
AT(nr_rollout, group_keys, 56);
AT(nr_rollout, group_offsets, 64);
AT(nr_rollout, token_offsets, 72);
AT(nr_rollout, rewards, 80);
AT(nr_rollout, reward_parts, 88);
AT(nr_rollout, reward_names, 96);
AT(nr_rollout, sequence_flags, 104);
AT(nr_rollout, old, 112);
AT(nr_rollout, reference, 120);
AT(nr_rollout, values, 128);

SIZE(nr_advantages, 32);
AT(nr_advantages, struct_size, 0);
AT(nr_advantages, advantages, 8);
AT(nr_advantages, returns, 16);
AT(nr_advantages, counted, 24);
_Static_assert(NR_HOST_1_0 == 32 && NR_ROLLOUT_1_0 == 136 && NR_ADVANTAGES_1_0 == 24 && NR_BATCH_1_0 == 152 && NR_GRADIENTS_1_0 == 40 && NR_PLUGIN_1_0 == 160,
               "what version 1.0 has is frozen");

SIZE(nr_batch, 152);
AT(nr_batch, struct_size, 0);
AT(nr_batch, sequence_count, 4);
AT(nr_batch, token_count, 8);
AT(nr_batch, step, 16);
AT(nr_batch, epoch, 24);
AT(nr_batch, minibatch, 28);
AT(nr_batch, update_tokens, 32);
AT(nr_batch, update_sequences, 40);
AT(nr_batch, update_groups, 48);
AT(nr_batch, token_limit, 56);
AT(nr_batch, token_offsets, 64);
AT(nr_batch, sequence_ids, 72);
AT(nr_batch, current, 80);
AT(nr_batch, old, 88);
AT(nr_batch, reference, 96);
AT(nr_batch, sampler, 104);
AT(nr_batch, entropy, 112);
AT(nr_batch, values, 120);
AT(nr_batch, old_values, 128);
AT(nr_batch, returns, 136);
AT(nr_batch, advantages, 144);

SIZE(nr_gradients, 40);
AT(nr_gradients, struct_size, 0);
AT(nr_gradients, loss, 8);
AT(nr_gradients, d_current, 16);
AT(nr_gradients, d_entropy, 24);
AT(nr_gradients, d_values, 32);

SIZE(nr_stopped_gradients, 16);
AT(nr_stopped_gradients, struct_size, 0);
AT(nr_stopped_gradients, inputs, 8);

SIZE(nr_plugin, 160);
AT(nr_plugin, magic, 0);
AT(nr_plugin, struct_size, 4);
AT(nr_plugin, abi_major, 8);
AT(nr_plugin, abi_minor, 12);
AT(nr_plugin, state_version, 16);
AT(nr_plugin, parameter_count, 20);
AT(nr_plugin, metric_count, 24);
AT(nr_plugin, id, 32);
AT(nr_plugin, version, 40);
AT(nr_plugin, title, 48);
AT(nr_plugin, reference, 56);
AT(nr_plugin, card, 64);
AT(nr_plugin, parameters, 72);
AT(nr_plugin, metrics, 80);
AT(nr_plugin, create, 88);
AT(nr_plugin, destroy, 96);
AT(nr_plugin, needs, 104);
AT(nr_plugin, select, 112);
AT(nr_plugin, advantages, 120);
AT(nr_plugin, loss, 128);
AT(nr_plugin, save, 136);
AT(nr_plugin, restore, 144);
AT(nr_plugin, extension, 152);

#endif
