import PluginHost
import Support
import Tasks
import Training

/// What a benchmark runs: every algorithm with every seed, from one starting point, on the same questions in the same
/// order with the same sampler streams.
package struct BenchPlan {
  package var algorithms: [BenchAlgorithm]
  /// The position of the algorithm that the others are compared with.
  package var baseline = 0
  package var seeds: [UInt64]
  /// Of every run, but for the seed.
  package var settings: RLSettings
  package var policy: PolicySettings
  package var training: [Example]
  package var heldOut: [Example]
  /// What errors call the training questions.
  package var trainingName: String
  package var heldOutName: String
  package var verifier = Verifier()
  /// Steps between evaluations that draw the learning curve; 0: only its ends.
  package var evaluateEvery = 0
  /// The first so many of the held-out problems draw the curve.
  package var curveProblems: Int
  /// How every run is kept and shown.
  package var keeping = RunKeeping()
  package var out: String
  /// What the base model is called in the adapters' settings.
  package var baseName: String
  /// What the benchmark is, apart from its algorithms and seeds.
  package var record: RunRecord

  package init(
    algorithms: [BenchAlgorithm], seeds: [UInt64], settings: RLSettings, policy: PolicySettings, training: [Example],
    trainingName: String, heldOut: [Example], heldOutName: String, out: String, baseName: String,
    record: RunRecord
  ) {
    self.algorithms = algorithms
    self.seeds = seeds
    self.settings = settings
    self.policy = policy
    self.training = training
    self.trainingName = trainingName
    self.heldOut = heldOut
    self.heldOutName = heldOutName
    self.out = out
    self.baseName = baseName
    self.record = record
    curveProblems = min(200, heldOut.count)
  }

  /// A run of the plan.
  package struct Run: Sendable {
    package let algorithm: Int
    package let seed: UInt64
    package let folder: String

    package var evaluation: String { folder + "/eval.jsonl" }
    /// `eval.jsonl` is written last, so what has one is finished.
    package var isFinished: Bool { Files.exists(evaluation) }
  }

  /// Seed after seed, so that what is there early is paired.
  package var runs: [Run] {
    seeds.flatMap { seed in algorithms.indices.map { run(algorithm: $0, seed: seed) } }
  }

  package func run(algorithm: Int, seed: UInt64) -> Run {
    Run(algorithm: algorithm, seed: seed, folder: "\(out)/\(algorithms[algorithm].folder)/seed-\(seed)")
  }

  package var startEvaluation: String { out + "/start/eval.jsonl" }

  /// What `run.json` of one run holds.
  func record(of run: Run) -> RunRecord {
    let algorithm = algorithms[run.algorithm]
    var identity = record.identity
    identity["seed"] = .integer(Int(run.seed))
    identity["plugin"] = .string(algorithm.library.id)
    identity["plugin_sha256"] = .string(algorithm.library.sha256)
    identity["plugin_parameters"] = algorithm.parameters.json
    var description = record.description
    description["plugin"] = PluginDescription(algorithm.library).json
    return RunRecord(stage: "rl", identity: identity, description: description)
  }
}
