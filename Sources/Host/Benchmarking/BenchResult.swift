import Evaluation
import Support
import Telemetry

/// What the folders of a finished plan hold, read back: the report is made of files alone and can be made again.
package struct BenchResult: Sendable {
  package struct Run: Sendable {
    package let seed: UInt64
    /// In the order of the problems.
    package let outcomes: [EvaluationFile.Outcome]
    package let records: [MetricRecord]
    package let evaluationSeconds: Double

    package init(
      seed: UInt64, outcomes: [EvaluationFile.Outcome], records: [MetricRecord], evaluationSeconds: Double
    ) {
      self.seed = seed
      self.outcomes = outcomes
      self.records = records
      self.evaluationSeconds = evaluationSeconds
    }

    var correct: [Double] { outcomes.map { $0.isCorrect ? 1 : 0 } }
    var meanLength: Double { Double(outcomes.reduce(0) { $0 + $1.length }) / Double(max(1, outcomes.count)) }
    var truncated: Double { Double(outcomes.count(where: \.isTruncated)) / Double(max(1, outcomes.count)) }

    /// The mean of a metric over the steps that have it; nil where none has.
    func mean(_ name: String) -> Double? {
      let values = records.compactMap { $0.metrics[name] }.filter(\.isFinite)
      return values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }

    func sum(_ name: String) -> Double { records.reduce(0) { $0 + ($1.metrics[name] ?? 0) } }
  }

  package struct Algorithm: Sendable {
    package let label: String
    /// One per seed, in the order of the plan's seeds.
    package let runs: [Run]

    package init(label: String, runs: [Run]) {
      self.label = label
      self.runs = runs
    }

    var outcomes: CrossedOutcomes { CrossedOutcomes(runs.map(\.correct)) }

    /// The mean over seeds of what each run says.
    func mean(_ value: (Run) -> Double?) -> Double? {
      let values = runs.compactMap(value)
      return values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }
  }

  /// The name of a further set of questions; nil: the one that decides.
  package var set: String?
  package let algorithms: [Algorithm]
  package let baseline: Int
  package let seeds: [UInt64]
  /// The starting point on the same problems.
  package let start: [EvaluationFile.Outcome]
  package let curveProblems: Int
  package let steps: Int

  package init(
    algorithms: [Algorithm], baseline: Int, seeds: [UInt64], start: [EvaluationFile.Outcome], curveProblems: Int,
    steps: Int
  ) {
    self.algorithms = algorithms
    self.baseline = baseline
    self.seeds = seeds
    self.start = start
    self.curveProblems = curveProblems
    self.steps = steps
  }

  /// Reads what a finished plan wrote.
  ///
  /// - Parameter further: a further set of questions; nil reads the one that decides.
  package init(_ plan: BenchPlan, on further: BenchQuestions.Further? = nil) throws(Failure) {
    set = further?.name
    let questions = further?.examples ?? plan.questions.heldOut
    start = try EvaluationFile.read(further.map { plan.startEvaluation($0.name) } ?? plan.startEvaluation)
    var algorithms: [Algorithm] = []
    for (index, algorithm) in plan.algorithms.enumerated() {
      var runs: [Run] = []
      for seed in plan.seeds {
        let run = plan.run(algorithm: index, seed: seed)
        let path = further.map { run.evaluation($0.name) } ?? run.evaluation
        let outcomes = try EvaluationFile.read(path)
        guard outcomes.count == questions.count, outcomes.map(\.example) == Array(questions.indices) else {
          throw .badData(
            "\(path): expected one line for each of \(questions.count) problems in their order, found \(outcomes.count); remove the file and continue with --resume"
          )
        }
        let seconds = try JSON.read(String(path.dropLast()))["seconds"]?.double ?? .nan
        runs.append(
          Run(
            seed: seed, outcomes: outcomes, records: try MetricLog.read(run.folder + "/metrics.jsonl"),
            evaluationSeconds: seconds))
      }
      algorithms.append(Algorithm(label: algorithm.label, runs: runs))
    }
    self.algorithms = algorithms
    baseline = plan.baseline
    seeds = plan.seeds
    curveProblems = plan.curveProblems
    steps = plan.settings.steps
  }
}
