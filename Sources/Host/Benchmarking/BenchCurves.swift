import Support
import Telemetry

/// A metric over the steps, put together from the runs of one algorithm.
struct BenchCurve {
  struct Point {
    let step: Int
    let mean: Double
    /// The least and the greatest of the seeds.
    let low: Double
    let high: Double
  }

  let points: [Point]

  /// Takes the steps that every run has.
  ///
  /// - Parameter window: each run's value is its mean over so many steps back, before runs are put together.
  init(_ runs: [[(step: Int, value: Double)]], window: Int = 1) {
    let smooth = runs.map { run in
      run.indices.map { index in
        let part = run[max(0, index - window + 1)...index]
        return (step: run[index].step, value: part.reduce(0) { $0 + $1.value } / Double(part.count))
      }
    }
    var byStep: [Int: [Double]] = [:]
    for point in smooth.joined() { byStep[point.step, default: []].append(point.value) }
    points = byStep.keys.sorted().compactMap { step in
      guard let values = byStep[step], values.count == runs.count, let low = values.min(), let high = values.max() else {
        return nil
      }
      return Point(step: step, mean: values.reduce(0, +) / Double(values.count), low: low, high: high)
    }
  }

  var json: JSON {
    func list(_ value: (Point) -> Double) -> JSON { .array(points.map { .number(value($0)) }) }
    return [
      "steps": .array(points.map { .integer($0.step) }), "mean": list(\.mean), "low": list(\.low), "high": list(\.high),
    ]
  }

  func series(_ name: String, isBanded: Bool) -> LineChart.Series {
    LineChart.Series(
      name,
      points.map {
        LineChart.Point(
          Double($0.step), $0.mean, low: isBanded ? $0.low : nil, high: isBanded ? $0.high : nil)
      })
  }
}

/// The curves that a report draws.
enum BenchMetric: String, CaseIterable {
  case accuracy = "held_out_accuracy"
  case reward
  case length = "length_mean"
  case divergence = "kl_old_k3"
  case entropy
  case clipShare = "clip_share"
  case zeroVariance = "zero_variance"

  var title: String {
    switch self {
    case .accuracy: "Learning curve: accuracy on held-out problems"
    case .reward: "Mean reward of the rollouts"
    case .length: "Mean length of completions"
    case .divergence: "KL from the policy that acted"
    case .entropy: "Entropy of the policy"
    case .clipShare: "Clipped share of tokens"
    case .zeroVariance: "Groups without a signal"
    }
  }

  var yLabel: String {
    switch self {
    case .accuracy: "accuracy, greedy"
    case .reward: "reward"
    case .length: "tokens"
    case .divergence: "k3, nats per token"
    case .entropy: "nats per token"
    case .clipShare: "share of tokens"
    case .zeroVariance: "share of generated groups"
    }
  }

  var isShare: Bool { self == .accuracy || self == .clipShare || self == .zeroVariance }

  /// What a run says of it, step by step.
  func values(_ run: BenchResult.Run, of result: BenchResult) -> [(step: Int, value: Double)] {
    var values = run.records.compactMap { record in
      value(record.metrics).flatMap { $0.isFinite ? (step: record.step, value: $0) : nil }
    }
    if self == .accuracy {
      values.insert((0, Self.accuracy(result.start.prefix(result.curveProblems).map(\.isCorrect))), at: 0)
      values.append((result.steps, Self.accuracy(run.outcomes.prefix(result.curveProblems).map(\.isCorrect))))
    }
    return values
  }

  private static func accuracy(_ correct: [Bool]) -> Double {
    Double(correct.count { $0 }) / Double(max(1, correct.count))
  }

  private func value(_ metrics: Metrics) -> Double? {
    guard self == .clipShare else { return metrics[rawValue] }
    // The two sides exclude each other.
    guard let low = metrics["clip_low"], let high = metrics["clip_high"] else { return nil }
    return low + high
  }

  func curve(_ algorithm: BenchResult.Algorithm, of result: BenchResult, window: Int = 1) -> BenchCurve {
    BenchCurve(algorithm.runs.map { values($0, of: result) }, window: window)
  }

  func chart(_ result: BenchResult) -> LineChart? {
    // Evaluations are few and not noisy from step to step; what a step's own rollout says is.
    let window = self == .accuracy ? 1 : max(1, result.steps / 12)
    let series = result.algorithms.compactMap { algorithm -> LineChart.Series? in
      let curve = curve(algorithm, of: result, window: window)
      return curve.points.isEmpty ? nil : curve.series(algorithm.label, isBanded: result.seeds.count > 1)
    }
    if series.isEmpty { return nil }
    var subtitle = result.seeds.count > 1 ? "mean and range of \(result.seeds.count) seeds" : "seed \(result.seeds[0])"
    if self == .accuracy { subtitle = "first \(result.curveProblems) held-out problems, \(subtitle)" }
    if window > 1 { subtitle += ", each run averaged over \(window) steps" }
    var chart = LineChart(
      title: title, subtitle: subtitle, yLabel: yLabel, yScale: isShare ? .percent : .number, series: series)
    chart.width = 640
    chart.height = 420
    return chart
  }
}
