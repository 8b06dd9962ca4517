import Benchmarking
import Compute
import PluginHost
import Support
import Tasks
import Telemetry
import TestSupport
import Tokenization
import Training
import Transformer

extension Place {
  static func plugin(_ id: String) throws(Failure) -> PluginLibrary { try PluginLibrary(library(id)) }
}

/// A plugin in C that learns something even where every reward is equal, as those of an untrained model are: the reward
/// is the length. `rate` scales the loss.
enum LengthPlugin {
  static func compile(in folder: TrialFolder) throws(Failure) -> PluginLibrary {
    try compilePlugin(text, to: folder.file("length.so"))
    return try PluginLibrary(folder.file("length.so"))
  }

  private static let text = """
    #include "nr_plugin.h"
    #include <stdlib.h>

    static const nr_parameter parameters[] = { { "rate", "Scale of the loss.", NR_REAL, 0, 10, 1, NULL, NULL } };
    static nr_status create(const nr_host *host, const double *p, void **self, nr_error *e) {
      (void)host; (void)e;
      double *rate = malloc(sizeof *rate);
      if (!rate) return NR_INTERNAL;
      *rate = p[0];
      *self = rate;
      return NR_OK;
    }
    static void destroy(void *self) { free(self); }
    static uint32_t needs(const void *self) { (void)self; return NR_NEEDS_REFERENCE; }
    static nr_status advantages(void *self, const nr_rollout *r, nr_advantages *out, nr_value *values, nr_error *e) {
      (void)self; (void)values; (void)e;
      for (uint32_t s = 0; s < r->sequence_count; s++)
        for (int64_t t = r->token_offsets[s]; t < r->token_offsets[s + 1]; t++)
          out->advantages[t] = 0.1f * (float)(r->token_offsets[s + 1] - t) - 0.3f;
      return NR_OK;
    }
    static nr_status loss(void *self, const nr_batch *b, nr_gradients *out, nr_value *values, nr_error *e) {
      (void)values; (void)e;
      double rate = *(double *)self;
      out->loss = 0;
      for (int64_t t = 0; t < b->token_count; t++) {
        out->loss -= rate * b->advantages[t] * b->current[t] / b->update_tokens;
        out->d_current[t] = -rate * b->advantages[t] / b->update_tokens;
      }
      return NR_OK;
    }
    static const nr_plugin plugin = {
      NR_MAGIC, sizeof(nr_plugin), NR_ABI_MAJOR, 0, 1, 1, 0, "length", "1.0.0", "A trial", "nowhere", "aggregation: tokens", parameters, NULL,
      create, destroy, needs, NULL, advantages, loss, NULL, NULL, NULL };
    const nr_plugin *nr_plugin_entry(uint32_t major, uint32_t minor) { (void)major; (void)minor; return &plugin; }
    """
}

/// A benchmark of the tiny model in a folder.
struct Trial {
  var choices: [String]
  var seeds: [UInt64] = [1, 2]
  var learningRate = 1e-3
  var overrides = RunOverrides()
  let library: PluginLibrary

  func plan(_ out: String) throws -> BenchPlan {
    let algorithms = try BenchAlgorithm.open(try choices.map { try AlgorithmChoice($0) }) { choice throws(Failure) in
      (try PluginChoice(choice.plugin == "length" ? library : try Place.plugin(choice.plugin), settings: choice.settings), overrides)
    }
    var settings = RLSettings()
    settings.groupSize = 3
    settings.promptsPerStep = 2
    settings.maxNewTokens = 8
    settings.steps = 4
    func problems(_ split: WordProblems.Split, _ count: Int) -> [Example] {
      (0..<count).map { WordProblems.make(seed: 1, split: split, level: 1, index: $0) }
    }
    var keeping = RunKeeping()
    keeping.checkpointEvery = 2
    var plan = BenchPlan(
      algorithms: algorithms, seeds: seeds, settings: settings,
      questions: BenchQuestions(
        training: problems(.train, 6), trainingName: "generated", heldOut: problems(.heldOut, 5), heldOutName: "generated"),
      placement: RunPlacement(
        RunFolder(out), RunRecord(stage: "bench", identity: ["learning_rate": .number(learningRate)], description: [:]), keeping))
    plan.evaluateEvery = 2
    plan.curveProblems = 3
    return plan
  }

  /// - Parameter stopAfter: asks to stop after that many steps.
  @discardableResult
  func run(_ out: String, resuming: Bool = false, stopAfter: Int = .max) throws -> Bench.Outcome {
    let source = try ModelFolder(Place.model)
    let model = try Transformer(source, on: CPUBackend(threads: 2))
    var policy = PolicySettings()
    let adapter = try Adapter(Place.adapter, for: model)
    policy.learningRate = learningRate
    let trained = try RunModel(model, adapter: adapter, from: source, policy, baseName: "tied")
    let bench = try Bench(try plan(out), trained, tokenizer: try Tokenizer(folder: Place.model))
    // The request is looked at once a step, and while evaluations go on; stop at the first look after so many metrics.
    let progress = PlanProgress(Console(quiet: true)) {
      let lines = try? (plan(out).runs).reduce(0) { sum, run in
        let path = run.folder + "/metrics.jsonl"
        return sum + (Files.exists(path) ? (try Files.read(path).count { $0 == 0x0A }) : 0)
      }
      return (lines ?? 0) >= stopAfter
    }
    return try bench.run(progress, resuming: resuming)
  }
}
