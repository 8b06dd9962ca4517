import Evaluation
import Support
import Telemetry

// The tables and interval charts of a report.
extension BenchReport {
  package var accuracyTable: TextTable {
    var table = TextTable([
      .init("algorithm"), .init("accuracy", .right), .init("bootstrap", .right), .init("from start", .right),
      .init("seeds", .right), .init("length", .right), .init("truncated", .right), .init("not told apart"),
    ])
    let start = result.start
    table.append([
      "start", Self.share(analysis.start), "–", "–", "–",
      Format.fixed(Double(start.reduce(0) { $0 + $1.length }) / Double(max(1, start.count)), 1),
      Format.percent(Double(start.count(where: \.isTruncated)) / Double(max(1, start.count))), "–",
    ])
    for (index, algorithm) in result.algorithms.enumerated() {
      let accuracy = analysis.accuracies[index]
      let groups = analysis.groups.indices.filter { analysis.groups[$0].contains(index) }
      table.append([
        algorithm.label, Self.share(accuracy.estimate.interval),
        Self.bracket(accuracy.bootstrap) { Format.fixed(100 * $0, $1) },
        "\(Format.points(accuracy.gain.interval.estimate)) \(Self.bracket(accuracy.gain.interval, Format.points))",
        accuracy.seeds.map { Format.fixed(100 * $0.estimate, 1) }.joined(separator: " "),
        Format.fixed(algorithm.mean(\.meanLength) ?? .nan, 1), Format.percent(algorithm.mean(\.truncated) ?? .nan),
        hasSeeds ? groups.map(Self.letter).joined(separator: " ") : "–",
      ])
    }
    return table
  }

  /// Algorithms that share a letter are not told apart.
  private static func letter(_ group: Int) -> String {
    let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return group < letters.count ? String(letters[group]) : "\(group + 1)"
  }

  package var comparisonTable: TextTable {
    var table = TextTable([
      .init("algorithm"), .init("difference, points", .right), .init("bootstrap", .right), .init("p", .right),
      .init("p, Holm", .right), .init("gained", .right), .init("lost", .right), .init("McNemar p", .right), .init("verdict"),
    ])
    for comparison in analysis.withBaseline {
      let interval = comparison.difference.interval
      let pooled = comparison.pooled
      table.append([
        labels[comparison.other], "\(Format.points(interval.estimate)) \(Self.bracket(interval, Format.points))",
        Self.bracket(comparison.bootstrap, Format.points), Self.pCell(comparison.difference.pValue),
        Self.pCell(comparison.adjustedPValue), "\(pooled.gained)", "\(pooled.lost)", Self.pCell(pooled.pValue),
        comparison.verdict == .undecided ? "not told apart" : comparison.verdict.rawValue,
      ])
    }
    return table
  }

  private static func pCell(_ value: Double) -> String { value < 0.001 ? "< 0.001" : Format.fixed(value, 3) }

  /// McNemar's test seed by seed.
  package var seedTable: TextTable {
    var table = TextTable(
      [.init("problems gained : lost (McNemar p)")] + result.seeds.map { .init("seed \($0)", .right) })
    for comparison in analysis.withBaseline {
      table.append(
        [labels[comparison.other]]
          + comparison.seeds.map { "\($0.gained) : \($0.lost) (\(Self.pCell($0.pValue)))" })
    }
    return table
  }

  /// How many seeds a difference of two points takes; nil where one seed says nothing of others.
  package var seedsNeededTable: TextTable? {
    var table = TextTable([
      .init("compared with \(labels[result.baseline])"), .init("seeds differ by, points", .right), .init("problems leave, points", .right),
      .init("seeds for 2 points", .right), .init("this benchmark", .right),
    ])
    for comparison in analysis.withBaseline {
      guard let needed = comparison.seedsNeeded else { return nil }
      let seeds = needed.seeds.map { "\($0)" } ?? needed.problems.map { "none: takes \($0) problems" } ?? "none"
      table.append([
        labels[comparison.other], Format.fixed(100 * needed.seedDeviation, 1), Format.fixed(100 * needed.problemError, 1), seeds,
        "\(result.seeds.count) seeds, \(result.start.count) problems",
      ])
    }
    return table.rows.isEmpty ? nil : table
  }

  static let seedsNeededNote =
    "Seeds with which a true difference of two points would be found in four of five benchmarks (80 % power, 5 % level), as the paired differences scatter here: the deviation of the seeds' mean differences shrinks with more seeds, what the choice of problems leaves does not. A deviation from few seeds is known badly itself: take the number as an order of size."

  package var behaviourTable: TextTable {
    var table = TextTable([
      .init("algorithm"), .init("reward", .right), .init("length", .right), .init("KL", .right),
      .init("KL to reference", .right), .init("entropy", .right), .init("clipped", .right),
      .init("without a signal", .right), .init("groups dropped", .right), .init("wasted", .right),
    ])
    for algorithm in result.algorithms {
      func mean(_ name: String) -> Double? { algorithm.mean { $0.mean(name) } }
      func significant(_ name: String) -> String { mean(name).map { Format.significant($0) } ?? "–" }
      let clipped = BenchMetric.clipShare.curve(algorithm, of: result).points.map(\.mean)
      let dropped = algorithm.mean { $0.sum("dropped_groups") } ?? 0
      let kept = algorithm.mean { $0.sum("groups") } ?? 0
      table.append([
        algorithm.label, Format.fixed(mean("reward") ?? .nan, 3), Format.fixed(mean("length_mean") ?? .nan, 1),
        significant("kl_old_k3"), significant("kl_reference_k3"), Format.fixed(mean("entropy") ?? .nan, 3),
        clipped.isEmpty ? "–" : Format.percent(clipped.reduce(0, +) / Double(clipped.count), 2),
        Format.percent(mean("zero_variance") ?? .nan), Format.fixed(dropped, dropped == dropped.rounded() ? 0 : 1),
        Format.percent(dropped / max(1, dropped + kept)),
      ])
    }
    return table
  }

  private static let stages = ["rollout", "score", "plugin", "forward", "backward", "optimizer"]

  /// Seconds of all steps of a run, and the plugin's part of them. The step's time is the trainer's: without evaluations.
  static func pluginShare(_ algorithm: BenchResult.Algorithm) -> Double? {
    algorithm.mean { run in
      let step = run.sum("seconds/step")
      return step > 0 ? run.sum("seconds/plugin") / step : nil
    }
  }

  package var timeTable: TextTable {
    var table = TextTable(
      [.init("algorithm")] + Self.stages.map { .init($0, .right) }
        + [.init("step", .right), .init("plugin share", .right), .init("training", .right), .init("final evaluation", .right)])
    for algorithm in result.algorithms {
      let steps = Double(max(1, result.steps))
      let stages = Self.stages.map { stage in
        Format.significant((algorithm.mean { $0.sum("seconds/\(stage)") } ?? 0) / steps)
      }
      let step = algorithm.mean { $0.sum("seconds/step") } ?? 0
      table.append(
        [algorithm.label] + stages + [
          Format.significant(step / steps), Self.pluginShare(algorithm).map { Format.percent($0, 3) } ?? "–",
          Format.duration(step), Format.duration(algorithm.mean(\.evaluationSeconds) ?? 0),
        ])
    }
    return table
  }

  var intervalCharts: [Document.Picture] {
    let over = hasSeeds ? "95 % intervals over seeds and problems; ticks: seeds" : "95 % intervals over problems, one seed"
    let accuracy = IntervalChart(
      title: "Accuracy on held-out problems", subtitle: over, xLabel: "accuracy, greedy", scale: .percent,
      mark: (analysis.start.estimate, "start"),
      rows: zip(labels, analysis.accuracies).enumerated().map { index, pair in
        let interval = pair.1.estimate.interval
        return .init(
          pair.0, interval.estimate, low: interval.lower, high: interval.upper,
          parts: hasSeeds ? pair.1.seeds.map(\.estimate) : [], series: index)
      })
    var pictures = [Document.Picture("accuracy", title: accuracy.title, svg: accuracy.svg())]
    if !analysis.withBaseline.isEmpty {
      let difference = IntervalChart(
        title: "Difference from \(labels[result.baseline])", subtitle: over, xLabel: "percentage points, paired",
        scale: .points, mark: (0, "no difference"),
        rows: analysis.withBaseline.map { comparison in
          let interval = comparison.difference.interval
          let problems = Double(result.start.count)
          return .init(
            labels[comparison.other], interval.estimate, low: interval.lower, high: interval.upper,
            parts: hasSeeds ? comparison.seeds.map { Double($0.gained - $0.lost) / problems } : [],
            series: comparison.other)
        })
      pictures.append(Document.Picture("difference", title: difference.title, svg: difference.svg()))
    }
    return pictures
  }
}
