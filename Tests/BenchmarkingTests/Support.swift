import Benchmarking
import Compute
import PluginHost
import Support
import Tasks
import Telemetry
import Tokenization
import Training
import Transformer

enum Place {
  static let repository = Files.directory(of: Files.directory(of: Files.directory(of: #filePath)))
  /// The tiny model of the training tests, by transformers; see the README there.
  static let model = repository + "/Tests/TrainingTests/Goldens/tied"
  static let build = Files.directory(of: Files.program ?? ".")

  static func plugin(_ id: String) throws(Failure) -> PluginLibrary { try PluginLibrary("\(build)/libnr-\(id).so") }
}

/// A folder of its own for a test; it goes away with the value.
final class TrialFolder {
  let path: String

  init() throws(Failure) {
    path = "/tmp/benchmarking-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    try Files.makeDirectory(path)
  }

  deinit { try? Files.removeTree(path) }
}

/// A plugin in C that learns something even where every reward is equal, as those of an untrained model are: the reward
/// is the length. `rate` scales the loss.
enum LengthPlugin {
  static let hasCompiler = ["/usr/bin/cc", "/usr/bin/clang", "/usr/bin/gcc"].contains { Files.exists($0) }

  static func compile(in folder: TrialFolder) throws(Failure) -> PluginLibrary {
    let (source, library) = (folder.path + "/length.c", folder.path + "/length.so")
    try AtomicFile.write(text, to: source)
    let header = Place.repository + "/Sources/PluginAPI/C/include"
    guard let stream = unsafe popen("cc -std=c11 -shared -fPIC -O1 -I '\(header)' -o '\(library)' '\(source)' 2>&1", "r") else {
      throw .internalError("cannot run cc")
    }
    let output = unsafe try Files.readAll(fileno(stream), name: "cc")
    guard unsafe pclose(stream) == 0 else { throw .internalError("cc: \(String(decoding: output, as: UTF8.self))") }
    return try PluginLibrary(library)
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
  let library: PluginLibrary

  func plan(_ out: String) throws -> BenchPlan {
    let algorithms = try BenchAlgorithm.open(try choices.map { try AlgorithmChoice($0) }) { choice throws(Failure) in
      choice.plugin == "length" ? library : try Place.plugin(choice.plugin)
    }
    var settings = RLSettings()
    settings.groupSize = 3
    settings.promptsPerStep = 2
    settings.maxNewTokens = 8
    settings.steps = 4
    var policy = PolicySettings()
    policy.adapter = try AdapterSettings(folder: Place.repository + "/Tests/TrainingTests/Goldens/lora_steps/initial_adapter")
    policy.learningRate = learningRate
    func problems(_ split: WordProblems.Split, _ count: Int) -> [Example] {
      (0..<count).map { WordProblems.make(seed: 1, split: split, level: 1, index: $0) }
    }
    var plan = BenchPlan(
      algorithms: algorithms, seeds: seeds, settings: settings, policy: policy, training: problems(.train, 6),
      trainingName: "generated", heldOut: problems(.heldOut, 5), heldOutName: "generated", out: out, baseName: "tied",
      record: RunRecord(stage: "bench", identity: ["learning_rate": .number(learningRate)], description: [:]))
    plan.evaluateEvery = 2
    plan.keeping.checkpointEvery = 2
    plan.curveProblems = 3
    return plan
  }

  /// - Parameter stopAfter: asks to stop after that many steps.
  @discardableResult
  func run(_ out: String, resuming: Bool = false, stopAfter: Int = .max) throws -> Bench.Outcome {
    let source = try ModelFolder(Place.model)
    let model = try Transformer(source, on: CPUBackend(threads: 2))
    try model.loadAdapter(Place.repository + "/Tests/TrainingTests/Goldens/lora_steps/initial_adapter")
    let bench = try Bench(try plan(out), model: model, source: source, tokenizer: try Tokenizer(folder: Place.model)) {
      () throws(Failure) in try ReferencePolicy(adapterOf: model)
    }
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

/// The lines of a log without what the clock and the machine say.
func deterministicRecords(_ path: String) throws -> [String] {
  try Files.readText(path).split(separator: "\n").map { line in
    let json = try JSON.parse(String(line), name: path)
    var kept = JSON.Object()
    for key in json.object?.keys ?? [] where !key.contains("seconds") && !["time", "elapsed", "peak_mebibytes"].contains(key) {
      if !key.hasSuffix("_per_second") { kept[key] = json[key] }
    }
    return JSON.object(kept).text()
  }
}
