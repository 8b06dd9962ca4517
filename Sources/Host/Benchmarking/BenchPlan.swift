import PluginHost
import Support
import Tasks
import Training

/// What a benchmark runs: every algorithm with every seed, from one starting point, on the same questions in the same
/// order with the same sampler streams.
package struct BenchPlan {
  package let algorithms: [BenchAlgorithm]
  /// The position of the algorithm that the others are compared with.
  package var baseline = 0
  package let seeds: [UInt64]
  /// Of every run, but for the seed.
  package let settings: RLSettings
  package let questions: BenchQuestions
  package var rewards = RewardPlan()
  /// Steps between evaluations that draw the learning curve; 0: only its ends.
  package var evaluateEvery = 0
  /// The first so many of the held-out problems draw the curve.
  package var curveProblems: Int
  /// Where the benchmark is written, what it is apart from its algorithms and seeds, and how every run of it is kept.
  package let placement: RunPlacement

  package init(
    algorithms: [BenchAlgorithm], seeds: [UInt64], settings: RLSettings, questions: BenchQuestions, placement: RunPlacement
  ) {
    self.algorithms = algorithms
    self.seeds = seeds
    self.settings = settings
    self.questions = questions
    self.placement = placement
    curveProblems = min(200, questions.heldOut.count)
  }

  package var out: String { placement.folder.path }

  /// A run of the plan.
  package struct Run: Sendable {
    package let algorithm: Int
    package let seed: UInt64
    package let folder: String

    package var evaluation: String { folder + "/eval.jsonl" }
    /// Of a further set of questions, by its name.
    package func evaluation(_ name: String) -> String { "\(folder)/eval-\(name).jsonl" }
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
  package func startEvaluation(_ name: String) -> String { "\(out)/start/eval-\(name).jsonl" }

  /// The settings of an algorithm's runs, but for the seed.
  package func settings(of algorithm: Int) -> RLSettings { algorithms[algorithm].overrides.applied(to: settings) }

  /// What `run.json` of one run holds.
  func record(of run: Run) -> RunRecord {
    let algorithm = algorithms[run.algorithm]
    let record = placement.record
    var identity = record.identity
    identity["seed"] = .integer(Int(run.seed))
    identity["plugin"] = .string(algorithm.plugin.id)
    identity["plugin_sha256"] = .string(algorithm.plugin.card.sha256)
    identity["plugin_parameters"] = algorithm.plugin.parameters.json
    if !algorithm.overrides.isEmpty { identity["overrides"] = algorithm.overrides.json }
    var description = record.description
    description["plugin"] = PluginDescription(algorithm.plugin.card).json
    return RunRecord(stage: "rl", identity: identity, description: description)
  }
}
