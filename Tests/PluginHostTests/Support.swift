import PluginHost
import Support
import TestSupport

extension Place {
  static let goldens = tests + "/PluginHostTests/Goldens"

  static func plugin(_ id: String) throws(Failure) -> PluginLibrary { try PluginLibrary(library(id)) }
}

/// A plugin in C whose description and behaviour are chosen by definitions, correct without any.
func compilePlugin(_ definitions: [String: String], to path: String) throws(Failure) {
  let options = definitions.map { "-D\($0.key)='\($0.value)'" }.sorted().joined(separator: " ")
  try TestSupport.compilePlugin(pluginInC, to: path, options: options)
}

private let pluginInC = """
  #include "nr_plugin.h"
  #include <math.h>
  #include <stdlib.h>
  #include <string.h>
  #ifndef ID
  #define ID "test"
  #endif
  #ifndef VERSION
  #define VERSION "1.0.0"
  #endif
  #ifndef TITLE
  #define TITLE "A test"
  #endif
  #ifndef MAGIC
  #define MAGIC NR_MAGIC
  #endif
  #ifndef MAJOR
  #define MAJOR NR_ABI_MAJOR
  #endif
  #ifndef SIZE
  #define SIZE sizeof(nr_plugin)
  #endif
  #ifndef PRESET
  #define PRESET 0.5
  #endif
  #ifndef PAPER_PRESET
  #define PAPER_PRESET 0.9
  #endif
  #ifndef PARAMETER
  #define PARAMETER "amount"
  #endif
  #ifndef NEEDS
  #define NEEDS 0
  #endif
  #ifndef FAULT
  #define FAULT 0
  #endif
  #ifndef LOSS
  #define LOSS loss
  #endif

  static const char *const forms[] = { "default", "paper", NULL };
  static const double amounts[] = { PRESET, PAPER_PRESET };
  static const nr_parameter parameters[] = {
    { "variant", "Which form.", NR_CHOICE, 0, 1, 0, forms, NULL },
    { PARAMETER, "How much.", NR_REAL, 0, 1, PRESET, NULL, amounts },
    { "rounds", "How often.", NR_INTEGER, 1, 10, 2, NULL, NULL },
    { "strict", "Whether.", NR_BOOLEAN, 0, 1, 0, NULL, NULL },
  };
  static const nr_metric metrics[] = { { "size", "Sequences.", NR_SUM }, { "top", "Largest reward.", NR_MAXIMUM } };
  typedef struct state { double parameters[4]; uint64_t calls; } state;

  static nr_status fail(nr_error *e, nr_status s, const char *text) { strncpy(e->message, text, sizeof e->message - 1); return s; }
  static nr_status create(const nr_host *host, const double *p, void **self, nr_error *e) {
    if (p[1] > 0.95) return fail(e, NR_BAD_PARAMETER, "amount above 0.95 makes no sense");
    state *s = calloc(1, sizeof *s);
    memcpy(s->parameters, p, sizeof s->parameters);
    *self = s;
    host->log(host->context, 2, "made");
    return NR_OK;
  }
  static void destroy(void *self) { free(self); }
  static uint32_t needs(const void *self) { return NEEDS; }
  static nr_status choose(void *self, const nr_rollout *r, uint8_t *keep, nr_error *e) {
    if (r->old || r->values || r->reference) return fail(e, NR_BAD_ARGUMENT, "saw too much");
    for (uint32_t g = 0; g < r->group_count; g++) {
      keep[g] = 0;
      for (int64_t s = r->group_offsets[g]; s < r->group_offsets[g + 1]; s++)
        if (r->rewards[s] != r->rewards[r->group_offsets[g]]) keep[g] = 1;
    }
    if (FAULT == 5) keep[r->group_count] = 1;
    return NR_OK;
  }
  static nr_status advantages(void *self, const nr_rollout *r, nr_advantages *out, nr_value *values, nr_error *e) {
    if (FAULT == 1) return fail(e, NR_INTERNAL, "out of\\nluck");
    for (int64_t t = 0; t < r->token_count; t++) out->advantages[t] = 1;
    if (out->returns) for (int64_t t = 0; t < r->token_count; t++) out->returns[t] = r->values[t] + 1;
    if (FAULT == 2 && r->token_count) out->advantages[r->token_count - 1] = NAN;
    if (FAULT == 3) out->advantages[r->token_count] = 1;
    values[0] = (nr_value){ r->sequence_count, 1 };
    for (uint32_t s = 0; s < r->sequence_count; s++) if (r->rewards[s] > values[1].value) values[1] = (nr_value){ r->rewards[s], 1 };
    return NR_OK;
  }
  static nr_status loss(void *self, const nr_batch *b, nr_gradients *out, nr_value *values, nr_error *e) {
    out->loss = 0;
    for (int64_t t = 0; t < b->token_count; t++) {
      out->loss -= b->current[t] / b->update_tokens;
      if (FAULT != 4 || t != 1) out->d_current[t] = -1.0 / b->update_tokens;
      if (out->d_values) out->d_values[t] = b->values[t] - b->returns[t];
      if (out->d_entropy) out->d_entropy[t] = 2;
    }
    if (FAULT == 6) values[0] = (nr_value){ NAN, 1 };
    ((state *)self)->calls++;
    return NR_OK;
  }
  static nr_status save(void *self, void *bytes, size_t capacity, size_t *size, nr_error *e) {
    *size = sizeof(uint64_t);
    if (capacity < *size) return fail(e, NR_NO_SPACE, "too small");
    memcpy(bytes, &((state *)self)->calls, *size);
    return NR_OK;
  }
  static nr_status restore(void *self, const void *bytes, size_t size, nr_error *e) {
    if (size != sizeof(uint64_t)) return fail(e, NR_BAD_STATE, "not eight bytes");
    memcpy(&((state *)self)->calls, bytes, size);
    return NR_OK;
  }
  static const nr_plugin plugin = {
    MAGIC, SIZE, MAJOR, 0, 1, 4, 2, ID, VERSION, TITLE, "nowhere", "aggregation: none\\nclip: none", parameters, metrics,
    create, destroy, needs, choose, advantages, LOSS, save, restore, NULL };
  const nr_plugin *nr_plugin_entry(uint32_t major, uint32_t minor) {
  #ifdef REFUSE
    return NULL;
  #else
    return &plugin;
  #endif
  }
  """

/// A random rollout with the arrays of the loss stage.
struct Example {
  var rollout: PluginRollout
  var current: [Float]

  init(seed: UInt64, groups: Int = 4, size: Int = 4, longest: Int = 9) {
    var random = RandomStream(seed: seed)
    var offsets = [0]
    for _ in 0..<(groups * size) { offsets.append(offsets.last! + random.next(in: 0...longest)) }
    let tokens = offsets.last!
    rollout = PluginRollout(
      groupKeys: (0..<UInt64(groups)).map { $0 }, groupOffsets: (0...groups).map { $0 * size }, tokenOffsets: offsets,
      rewards: (0..<(groups * size)).map { _ in Float(random.next(in: 0...3)) / 2 },
      sequenceFlags: Array(repeating: 0, count: groups * size), tokenLimit: longest)
    var old: [Float] = []
    var reference: [Float] = []
    current = []
    for _ in 0..<tokens {
      old.append(Float(-4 * random.nextUniform()))
      current.append(old.last! + Float(0.3 * random.nextNormal()))
      reference.append(old.last! + Float(0.3 * random.nextNormal()))
    }
    rollout.old = old
    rollout.reference = reference
    rollout.values = old.map { $0 / 2 }
  }

  /// The sequences as one micro-batch of an update that holds the whole rollout.
  func batch(_ sequences: [Int], _ stage1: PluginAdvantages) -> PluginBatch {
    let values = zip(rollout.values ?? [], current).map { $0 + 0.1 * $1 }
    return rollout.batch(
      sequences, of: PluginUpdate(0..<rollout.groupCount, of: rollout, counted: stage1.counted), stage1,
      PluginScores(logProbs: rollout.gathered(current, sequences), values: values.isEmpty ? nil : rollout.gathered(values, sequences)))
  }

  func batch(_ sequences: [Int], advantages: [Float]) -> PluginBatch {
    batch(
      sequences,
      PluginAdvantages(
        advantages: advantages, returns: nil, counted: Array(repeating: true, count: rollout.sequenceCount), metrics: []))
  }
}

/// The message of the failure that a call throws; nil where it throws none.
func message<T>(_ body: () throws(Failure) -> T) -> String? { failure(body)?.message }
