import Support

/// What several runs made of the same problems: one value for every seed and problem, as 1 for a right answer, or the
/// difference of two paired runs.
package struct CrossedOutcomes: Sendable {
  /// `[seeds][problems]`, neither of them empty.
  package let values: [[Double]]

  package init(_ values: [[Double]]) {
    precondition(!values.isEmpty && !values[0].isEmpty && values.allSatisfy { $0.count == values[0].count })
    self.values = values
  }

  package var seeds: Int { values.count }
  package var problems: Int { values[0].count }
  package var seedMeans: [Double] { values.map { $0.reduce(0, +) / Double(problems) } }
  package var problemMeans: [Double] {
    (0..<problems).map { problem in values.reduce(0) { $0 + $1[problem] } / Double(seeds) }
  }
  package var mean: Double { seedMeans.reduce(0, +) / Double(seeds) }

  /// The paired differences from `other`: the same seeds, the same problems.
  package func minus(_ other: CrossedOutcomes) -> CrossedOutcomes {
    CrossedOutcomes(zip(values, other.values).map { zip($0, $1).map { $0 - $1 } })
  }

  /// The mean over seeds and problems with an interval that speaks of other seeds and other problems as well.
  ///
  /// Seeds and problems are both random and crossed. The variance of the mean is taken as that of the seeds' means plus
  /// that of the problems' means (Cameron, Gelbach and Miller, JBES 2011, without their subtraction of what both count:
  /// on the safe side). A few seeds know their own scatter badly, so the quantile is Student's, with the degrees of
  /// freedom of Satterthwaite (Biometrics Bulletin 1946). With one seed the interval covers the choice of problems only.
  package func estimate(confidence: Double = 0.95) -> CrossedEstimate {
    let mean = mean
    let (seedMeans, problemMeans) = (seedMeans, problemMeans)
    func scatter(_ means: [Double]) -> Double {
      guard means.count > 1 else { return 0 }
      let squares = means.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      return squares / Double(means.count - 1) / Double(means.count)
    }
    let (bySeed, byProblem) = (scatter(seedMeans), scatter(problemMeans))
    func share(_ part: Double, _ count: Int) -> Double { count > 1 ? part * part / Double(count - 1) : 0 }
    let denominator = share(bySeed, seeds) + share(byProblem, problems)
    let variance = bySeed + byProblem
    // Nothing scatters: any number of degrees gives the same.
    let degrees = denominator > 0 ? max(1, variance * variance / denominator) : 1
    let error = variance.squareRoot()
    let half = error > 0 ? error * Statistics.studentTQuantile(confidence: confidence, degrees: degrees) : 0
    let pValue = error > 0 ? Statistics.studentT(twoSided: mean / error, degrees: degrees) : mean == 0 ? 1 : 0
    return CrossedEstimate(
      interval: Statistics.Interval(estimate: mean, lower: mean - half, upper: mean + half), standardError: error,
      degreesOfFreedom: degrees, pValue: pValue)
  }

  /// Means of bootstrap resamples: each draws seeds and problems with replacement, the same ones for all `outcomes`, so
  /// that differences of them are paired (the pigeonhole bootstrap of Owen, Annals of Applied Statistics 2007).
  ///
  /// - Returns: `[outcomes][resamples]`, not sorted.
  package static func bootstrap(_ outcomes: [CrossedOutcomes], resamples: Int = 4000, seed: UInt64 = 0) -> [[Double]] {
    guard let first = outcomes.first else { return [] }
    let (seeds, problems) = (first.seeds, first.problems)
    let columns = outcomes.count * seeds
    // One row per problem: what a resample adds up lies together.
    var table = [Double](repeating: 0, count: problems * columns)
    for (index, outcome) in outcomes.enumerated() {
      for (run, row) in outcome.values.enumerated() {
        for (problem, value) in row.enumerated() { table[problem * columns + index * seeds + run] = value }
      }
    }
    var stream = RandomStream(seed: seed, path: [0xB007, 2])
    var means = Array(repeating: [Double](), count: outcomes.count)
    var sums = [Double](repeating: 0, count: columns)
    for _ in 0..<resamples {
      for column in 0..<columns { sums[column] = 0 }
      for _ in 0..<problems {
        let start = stream.next(below: problems) * columns
        for column in 0..<columns { sums[column] += table[start + column] }
      }
      let drawn = (0..<seeds).map { _ in stream.next(below: seeds) }
      for index in outcomes.indices {
        let sum = drawn.reduce(0) { $0 + sums[index * seeds + $1] }
        means[index].append(sum / Double(seeds * problems))
      }
    }
    return means
  }
}

/// A mean over seeds and problems, and how far it can be trusted.
package struct CrossedEstimate: Sendable, Equatable {
  package let interval: Statistics.Interval
  package let standardError: Double
  package let degreesOfFreedom: Double
  /// Two-sided, that the mean is zero.
  package let pValue: Double

  package init(interval: Statistics.Interval, standardError: Double, degreesOfFreedom: Double, pValue: Double) {
    self.interval = interval
    self.standardError = standardError
    self.degreesOfFreedom = degreesOfFreedom
    self.pValue = pValue
  }
}

extension Statistics {
  /// The middle `confidence` of resampled values around an estimate.
  package static func percentileInterval(_ resampled: [Double], estimate: Double, confidence: Double = 0.95) -> Interval {
    if resampled.isEmpty { return Interval(estimate: estimate, lower: estimate, upper: estimate) }
    let sorted = resampled.sorted()
    return Interval(
      estimate: estimate, lower: quantile(sorted, (1 - confidence) / 2), upper: quantile(sorted, (1 + confidence) / 2))
  }
}
