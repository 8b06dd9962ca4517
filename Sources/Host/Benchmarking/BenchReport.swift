import Evaluation
import Support
import Telemetry

/// The report of a benchmark: tables, charts, and in words what the numbers support and what they do not.
package struct BenchReport {
  let result: BenchResult
  let analysis: BenchAnalysis
  let facts: [String]
  /// Of the same runs on further sets of questions.
  let further: [BenchReport]

  /// - Parameters:
  ///   - further: the same runs' results on further sets of questions.
  ///   - facts: what was run on what, for the reader.
  package init(_ result: BenchResult, further: [BenchResult] = [], facts: [String]) {
    self.result = result
    self.facts = facts
    analysis = BenchAnalysis(result)
    self.further = further.map { BenchReport($0, facts: []) }
  }

  /// Writes `bench.json`, `bench.md` with its `charts/`, and `bench.html`.
  package func write(to folder: String) throws(Failure) {
    try AtomicFile.write(json.text(pretty: true) + "\n", to: folder + "/bench.json")
    try document.write(to: folder, named: "bench")
  }

  package var document: Document {
    var document = Document(title: "Benchmark: " + labels.joined(separator: ", "))
    document.parts = [.paragraph(conclusion), .list(statements), .pictures(intervalCharts)]
    document.parts += [
      .heading("Accuracy on held-out problems"), .table(accuracyTable),
      .paragraph(
        "Greedy decoding after the last step. Intervals are 95 % and speak of \(hasSeeds ? "other seeds and other problems" : "other problems, with this one seed"); the order of rows is that of --algos and no ranking."
      ),
    ]
    if !analysis.withBaseline.isEmpty {
      document.parts += [
        .heading("Compared with \(labels[result.baseline])"), .table(comparisonTable), .paragraph(comparisonNote),
        .table(seedTable),
      ]
    }
    if let needed = seedsNeededTable { document.parts += [.heading("How many seeds it takes"), .table(needed), .paragraph(Self.seedsNeededNote)] }
    for other in further {
      document.parts += [
        .heading("On \(other.result.set ?? "")"), .paragraph("\(other.conclusion) The verdict above is that of the first set: each further one has a family of comparisons of its own."),
        .table(other.accuracyTable),
      ]
      if !other.analysis.withBaseline.isEmpty { document.parts.append(.table(other.comparisonTable)) }
    }
    document.parts += [
      .heading("How they learned"),
      .pictures(BenchMetric.allCases.compactMap { metric in
        metric.chart(result).map { Document.Picture(metric.rawValue, title: $0.title, svg: $0.svg()) }
      }), .table(behaviourTable),
      .paragraph("Means over all steps and seeds. KL and entropy in nats per token; KL is measured from the policy that drew the rollout, by k3. Wasted: completions of groups that the algorithm dropped. Without a signal: groups whose rewards are all equal."),
      .heading("Time"), .table(timeTable),
      .paragraph("Seconds per step, means over all steps and seeds, and the plugin's share of a step."),
      .heading("What was run"), .list(facts),
    ]
    return document
  }

  package var labels: [String] { result.algorithms.map(\.label) }
  var hasSeeds: Bool { result.seeds.count > 1 }
}

// In words.
extension BenchReport {
  /// One sentence about all of them.
  package var conclusion: String {
    if labels.count == 1 { return "One algorithm, so nothing to compare." }
    if !hasSeeds {
      return
        "One seed: it may be better luck as well as a better algorithm, so nothing is ranked. Two seeds are the least, three the default."
    }
    let found = analysis.pairs.filter { $0.verdict != .undecided }
    if found.isEmpty {
      return labels.count == 2
        ? "\(labels[0]) and \(labels[1]) are not told apart: \(result.seeds.count) seeds and \(result.start.count) problems support no difference."
        : "None of the \(labels.count) algorithms is told apart from another: \(result.seeds.count) seeds and \(result.start.count) problems support no difference between any two, so they are not ranked."
    }
    let sentences = found.map { pair in
      let (above, below) = pair.verdict == .better ? (pair.other, pair.base) : (pair.base, pair.other)
      let size = abs(pair.difference.interval.estimate)
      return "\(labels[above]) is above \(labels[below]) by \(Format.fixed(100 * size, 1)) points"
    }
    let groups = analysis.groups.filter { $0.count > 1 }.map { "{\($0.map { labels[$0] }.joined(separator: ", "))}" }
    return "Supported: " + sentences.joined(separator: "; ") + "."
      + (groups.isEmpty ? "" : " Not told apart, and so not ranked: \(groups.joined(separator: ", ")).")
  }

  /// A sentence for each comparison with the baseline, and one for each algorithm's way from the start.
  package var statements: [String] {
    analysis.withBaseline.map(statement)
      + zip(labels, analysis.accuracies).map { label, accuracy in
        let gain = accuracy.gain.interval
        let supported = hasSeeds && (gain.lower > 0 || gain.upper < 0)
        return
          "\(label): \(Format.points(gain.estimate)) points from the start \(Self.bracket(gain, Format.points))\(supported ? "" : ": no change is supported")."
      }
  }

  private func statement(_ comparison: Comparison) -> String {
    let (other, base) = (labels[comparison.other], labels[comparison.base])
    let interval = comparison.difference.interval
    let size = "\(Format.points(interval.estimate)) points \(Self.bracket(interval, Format.points))"
    let pooled = comparison.pooled
    if pooled.gained == 0, pooled.lost == 0 { return "\(other) and \(base) have the same problems right in every run." }
    switch comparison.verdict {
    case .better: return "\(other) is better than \(base): \(size), p \(Self.pText(comparison.adjustedPValue)) after Holm's correction."
    case .worse: return "\(other) is worse than \(base): \(size), p \(Self.pText(comparison.adjustedPValue)) after Holm's correction."
    case .undecided:
      guard hasSeeds else { return "\(other) and \(base): \(size) over problems with this one seed; not decided." }
      return "\(other) and \(base) are not told apart: \(size), p \(Self.pText(comparison.adjustedPValue)) after Holm's correction."
    }
  }

  private var comparisonNote: String {
    "Difference: of accuracies, paired by seed and problem, with a 95 % interval over seeds and problems (Student's t on crossed variances); bootstrap: the same by resampling seeds and problems. p is that of the difference, corrected by Holm for \(analysis.withBaseline.count) \(analysis.withBaseline.count == 1 ? "comparison" : "comparisons"). Gained and lost: problems that only one of the two has right, summed over seeds, with McNemar's exact test, which speaks of these very runs and not of other seeds. A difference counts where corrected p is below 0.05 and the bootstrap interval leaves out zero."
  }

  static func pText(_ value: Double) -> String { value < 0.001 ? "< 0.001" : "= " + Format.fixed(value, 3) }

  static func bracket(_ interval: Statistics.Interval, _ format: (Double, Int) -> String) -> String {
    "[\(format(interval.lower, 1)), \(format(interval.upper, 1))]"
  }

  static func share(_ interval: Statistics.Interval) -> String {
    "\(Format.percent(interval.estimate)) \(bracket(interval) { Format.fixed(100 * $0, $1) })"
  }
}
