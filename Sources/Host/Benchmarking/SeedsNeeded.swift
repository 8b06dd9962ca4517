import Evaluation
import Support

/// How many seeds would show a difference of some size, as the paired differences of a benchmark scatter: with 80 % power at the 5 % level.
///
/// The test is that of ``CrossedOutcomes/estimate(confidence:)``: the variance of the mean is that of the seeds over their number plus that of
/// the problems over theirs, and the degrees of freedom are Satterthwaite's. A number of seeds is enough where the difference is as large as the
/// quantile of the level plus that of the power, times the standard error (the usual approximation of the noncentral t; J. Cohen, Statistical
/// Power Analysis, 1988, section 2.4).
package struct SeedsNeeded: Sendable, Equatable {
  /// The deviation of the seeds' mean differences.
  package let seedDeviation: Double
  /// The standard error that comes from the choice of problems, which no seed takes away.
  package let problemError: Double
  /// nil where no number up to ``most`` is enough: the problems are too few.
  package let seeds: Int?
  /// Problems below which no number of seeds would do; nil where those there are suffice.
  package let problems: Int?

  package static let most = 1000

  /// - Parameter outcomes: paired differences; of two seeds at least, or nothing is known of how seeds scatter.
  package init?(_ outcomes: CrossedOutcomes, difference: Double) {
    guard outcomes.seeds > 1, difference > 0 else { return nil }
    func variance(_ means: [Double]) -> Double {
      means.count > 1 ? means.reduce(0) { $0 + ($1 - outcomes.mean) * ($1 - outcomes.mean) } / Double(means.count - 1) : 0
    }
    let bySeed = variance(outcomes.seedMeans)
    let ofProblems = variance(outcomes.problemMeans)
    func isEnough(_ seeds: Int, _ problems: Double) -> Bool {
      let (first, second) = (bySeed / Double(seeds), ofProblems / problems)
      let denominator = first * first / Double(seeds - 1) + second * second / max(1, problems - 1)
      let degrees = denominator > 0 ? max(1, (first + second) * (first + second) / denominator) : 1
      let quantiles = Statistics.studentTQuantile(confidence: 0.95, degrees: degrees) + Statistics.studentTQuantile(confidence: 0.6, degrees: degrees)
      return (first + second).squareRoot() * quantiles <= difference
    }
    let problems = Double(outcomes.problems)
    seedDeviation = bySeed.squareRoot()
    problemError = (ofProblems / problems).squareRoot()
    seeds = (2...Self.most).first { isEnough($0, problems) }
    if seeds == nil {
      var needed = problems
      while needed < 1e7, !isEnough(Self.most, needed) { needed *= 1.25 }
      self.problems = needed < 1e7 ? Int(needed.rounded(.up)) : nil
    } else {
      self.problems = nil
    }
  }
}
