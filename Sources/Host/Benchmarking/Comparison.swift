import Evaluation
import Support

/// Two algorithms on the same seeds and problems.
package struct Comparison: Sendable {
  /// Discordant pairs of one seed, or of all together.
  package struct Pairs: Sendable, Equatable {
    /// Problems that only the other, not the base, has right.
    package let gained: Int
    package let lost: Int
    package var pValue: Double { Statistics.mcNemarExact(onlyFirst: lost, onlySecond: gained) }
  }

  package enum Verdict: String, Sendable { case better, worse, undecided }

  /// Positions among the algorithms.
  package let base: Int
  package let other: Int
  /// Accuracy of `other` minus that of `base`, over seeds and problems.
  package let difference: CrossedEstimate
  /// The same by a bootstrap over seeds and problems.
  package let bootstrap: Statistics.Interval
  /// How many seeds would show a difference of two points; nil with one seed.
  package let seedsNeeded: SeedsNeeded?
  /// McNemar's discordant pairs per seed.
  package let seeds: [Pairs]
  /// Holm's adjustment of `difference.pValue` for all comparisons of its family.
  package fileprivate(set) var adjustedPValue: Double

  /// The difference that ``seedsNeeded`` asks for.
  package static let worthKnowing = 0.02

  /// Discordant pairs of all seeds together: the exact test of these very runs, which says nothing of other seeds.
  package var pooled: Pairs {
    Pairs(gained: seeds.reduce(0) { $0 + $1.gained }, lost: seeds.reduce(0) { $0 + $1.lost })
  }

  /// A difference counts where Holm's adjusted test and the bootstrap both support it, over at least two seeds.
  package var verdict: Verdict {
    guard seeds.count > 1, adjustedPValue < 0.05, bootstrap.lower > 0 || bootstrap.upper < 0 else { return .undecided }
    return difference.interval.estimate > 0 ? .better : .worse
  }

  fileprivate init(_ outcomes: [CrossedOutcomes], _ resampled: [[Double]], base: Int, other: Int) {
    self.base = base
    self.other = other
    let differences = outcomes[other].minus(outcomes[base])
    difference = differences.estimate()
    seedsNeeded = SeedsNeeded(differences, difference: Self.worthKnowing)
    bootstrap = Statistics.percentileInterval(
      zip(resampled[other], resampled[base]).map { $0 - $1 }, estimate: difference.interval.estimate)
    seeds = zip(outcomes[base].values, outcomes[other].values).map { base, other in
      let pairs = zip(base, other)
      return Pairs(gained: pairs.count { $0 < $1 }, lost: pairs.count { $0 > $1 })
    }
    adjustedPValue = difference.pValue
  }
}

/// The statistics of a benchmark.
package struct BenchAnalysis: Sendable {
  package struct Accuracy: Sendable {
    package let estimate: CrossedEstimate
    package let bootstrap: Statistics.Interval
    /// Of each seed alone, by Wilson, over problems.
    package let seeds: [Statistics.Interval]
    /// The change from the starting point.
    package let gain: CrossedEstimate
  }

  package let start: Statistics.Interval
  package let accuracies: [Accuracy]
  /// Every other algorithm with the baseline, in the order of the plan.
  package let withBaseline: [Comparison]
  /// Every pair, the earlier one in the plan as base.
  package let pairs: [Comparison]
  /// Largest sets of algorithms among which no difference is supported; positions, in the order of the plan.
  package let groups: [[Int]]

  package init(_ result: BenchResult, resamples: Int = 4000) {
    let outcomes = result.algorithms.map(\.outcomes)
    let resampled = CrossedOutcomes.bootstrap(outcomes, resamples: resamples)
    let startValues = result.start.map { $0.isCorrect ? 1.0 : 0 }
    start = Statistics.wilson(successes: result.start.count(where: \.isCorrect), trials: result.start.count)
    accuracies = zip(outcomes, resampled).map { outcome, means in
      Accuracy(
        estimate: outcome.shareEstimate,
        bootstrap: Statistics.percentileInterval(means, estimate: outcome.mean),
        seeds: outcome.values.map {
          Statistics.wilson(successes: Int($0.reduce(0, +)), trials: $0.count)
        },
        gain: outcome.minus(CrossedOutcomes(outcome.values.map { _ in startValues })).estimate())
    }
    let indices = Array(outcomes.indices)
    withBaseline = Self.adjusted(
      indices.filter { $0 != result.baseline }.map {
        Comparison(outcomes, resampled, base: result.baseline, other: $0)
      })
    let pairs = Self.adjusted(
      indices.flatMap { base in
        indices.filter { $0 > base }.map { Comparison(outcomes, resampled, base: base, other: $0) }
      })
    self.pairs = pairs
    groups = Self.groups(of: indices.count) { first, second in
      pairs.contains { $0.base == min(first, second) && $0.other == max(first, second) && $0.verdict != .undecided }
    }
  }

  private static func adjusted(_ comparisons: [Comparison]) -> [Comparison] {
    zip(comparisons, Statistics.holm(comparisons.map(\.difference.pValue))).map { comparison, pValue in
      var comparison = comparison
      comparison.adjustedPValue = pValue
      return comparison
    }
  }

  /// The largest sets without a difference inside (maximal cliques, Bron and Kerbosch, CACM 1973).
  static func groups(of count: Int, differ: (Int, Int) -> Bool) -> [[Int]] {
    var found: [[Int]] = []
    func extend(_ group: [Int], _ candidates: [Int], _ excluded: [Int]) {
      if candidates.isEmpty, excluded.isEmpty { found.append(group) }
      var (candidates, excluded) = (candidates, excluded)
      while let next = candidates.first {
        extend(
          group + [next], candidates.filter { $0 != next && !differ($0, next) }, excluded.filter { !differ($0, next) })
        candidates.removeFirst()
        excluded.append(next)
      }
    }
    if count > 0 { extend([], Array(0..<count), []) }
    return found
  }
}

extension CrossedOutcomes {
  /// The estimate of a share: the interval ends at 0 and 1. All or nothing right shows no scatter, and yet other problems
  /// may go otherwise: then it is Wilson's over problems.
  fileprivate var shareEstimate: CrossedEstimate {
    let estimate = estimate()
    let mean = estimate.interval.estimate
    let isSettled = mean == 0 || mean == 1
    let interval =
      isSettled ? Statistics.wilson(successes: mean == 0 ? 0 : problems, trials: problems) : estimate.interval
    return CrossedEstimate(
      interval: Statistics.Interval(estimate: mean, lower: max(0, interval.lower), upper: min(1, interval.upper)),
      standardError: estimate.standardError, degreesOfFreedom: estimate.degreesOfFreedom, pValue: estimate.pValue)
  }
}
