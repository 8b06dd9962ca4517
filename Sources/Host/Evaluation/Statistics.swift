import Support

/// The statistics of an evaluation: how sure a share is, what k tries would give, and whether two runs differ.
package enum Statistics {
  package struct Interval: Sendable, Equatable {
    package let estimate: Double
    package let lower: Double
    package let upper: Double

    package init(estimate: Double, lower: Double, upper: Double) {
      self.estimate = estimate
      self.lower = lower
      self.upper = upper
    }
  }

  /// The share of successes with Wilson's score interval (Wilson, JASA 1927); nothing tried gives 0 in [0, 1].
  package static func wilson(successes: Int, trials: Int, confidence: Double = 0.95) -> Interval {
    precondition(successes >= 0 && successes <= trials)
    if trials == 0 { return Interval(estimate: 0, lower: 0, upper: 1) }
    return wilson(share: Double(successes) / Double(trials), trials: Double(trials), confidence: confidence)
  }

  /// The same interval where the number of trials need not be whole, as that of samples that depend on each other.
  static func wilson(share p: Double, trials n: Double, confidence: Double) -> Interval {
    let z = normalQuantile(0.5 + confidence / 2)
    let scale = 1 + z * z / n
    let center = (p + z * z / (2 * n)) / scale
    let half = z * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot() / scale
    return Interval(
      estimate: p, lower: p <= 0 ? 0 : max(0, center - half), upper: p >= 1 ? 1 : min(1, center + half))
  }

  /// The unbiased estimate that one of k samples is correct, from `correct` of `samples`: 1 - C(n-c, k) / C(n, k)
  /// (Chen et al., arXiv 2107.03374); nil where there are fewer than k samples.
  package static func passAtK(correct: Int, samples: Int, k: Int) -> Double? {
    guard k >= 1, k <= samples, (0...samples).contains(correct) else { return nil }
    if samples - correct < k { return 1 }
    var failing = 1.0
    for i in (samples - correct)..<samples { failing *= 1 - Double(k) / Double(i + 1) }
    return 1 - failing
  }

  /// McNemar's exact test on paired outcomes: the two-sided p-value that two runs are equally good, from the number of
  /// problems that only the first and only the second solved.
  package static func mcNemarExact(onlyFirst: Int, onlySecond: Int) -> Double {
    precondition(onlyFirst >= 0 && onlySecond >= 0)
    let n = onlyFirst + onlySecond
    // Binomial terms at one half by their logarithms: 2^-n alone would underflow.
    var logTerm = -Double(n) * log(2)
    var tail = 0.0
    for i in 0...min(onlyFirst, onlySecond) {
      tail += exp(logTerm)
      logTerm += log(Double(n - i) / Double(i + 1))
    }
    return min(1, 2 * tail)
  }

  /// The mean with its percentile bootstrap interval (Efron, 1979); nil without values. The same seed gives the same
  /// interval. For paired runs, give the differences.
  package static func bootstrapMean(
    _ values: [Double], confidence: Double = 0.95, resamples: Int = 10_000, seed: UInt64 = 0
  ) -> Interval? {
    guard !values.isEmpty, resamples > 0 else { return nil }
    let n = Double(values.count)
    let mean = values.reduce(0, +) / n
    var stream = RandomStream(seed: seed, path: [0xB007])
    var means: [Double] = []
    means.reserveCapacity(resamples)
    for _ in 0..<resamples {
      var sum = 0.0
      for _ in values.indices { sum += values[stream.next(below: values.count)] }
      means.append(sum / n)
    }
    means.sort()
    return Interval(
      estimate: mean, lower: quantile(means, (1 - confidence) / 2), upper: quantile(means, (1 + confidence) / 2))
  }

  /// A quantile of sorted values with linear interpolation, as NumPy's default.
  package static func quantile(_ sorted: [Double], _ q: Double) -> Double {
    precondition(!sorted.isEmpty)
    let place = min(max(q, 0), 1) * Double(sorted.count - 1)
    let below = Int(place)
    let above = min(below + 1, sorted.count - 1)
    return sorted[below] + (sorted[above] - sorted[below]) * (place - Double(below))
  }

  /// The value under which a standard normal number lies with probability p: Newton steps on the complementary error
  /// function, from the middle, where every step stays on the near side of the root.
  package static func normalQuantile(_ p: Double) -> Double {
    if p.isNaN { return p }
    if p <= 0 { return -.infinity }
    if p >= 1 { return .infinity }
    if p > 0.5 { return -normalQuantile(1 - p) }
    var x = 0.0
    for _ in 0..<2000 {
      let excess = 0.5 * erfc(-x / 2.0.squareRoot()) - p
      let density = exp(-x * x / 2) / (2 * Double.pi).squareRoot()
      // The lower half of the distribution is convex: steps from above never overshoot.
      let step = excess / density
      x -= step
      if abs(step) <= 1e-15 * max(1, abs(x)) { break }
    }
    return x
  }
}
