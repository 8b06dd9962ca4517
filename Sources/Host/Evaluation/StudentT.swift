import Support

/// Student's t distribution, and the correction of several tests at once.
extension Statistics {
  /// The probability that a t variable is at least as far from zero as `t`, on both sides together.
  package static func studentT(twoSided t: Double, degrees: Double) -> Double {
    precondition(degrees > 0)
    if t.isNaN { return .nan }
    if t.isInfinite { return 0 }
    // P = I_x(ν/2, 1/2) at x = ν / (ν + t²) (DLMF 8.17, Abramowitz and Stegun 26.7.1).
    return incompleteBeta(degrees / (degrees + t * t), complement: t * t / (degrees + t * t), degrees / 2, 0.5)
  }

  /// The t that a variable stays within, on both sides, with probability `confidence`.
  package static func studentTQuantile(confidence: Double, degrees: Double) -> Double {
    precondition(confidence > 0 && confidence < 1 && degrees > 0)
    let outside = 1 - confidence
    var low = 0.0
    var high = 1.0
    while studentT(twoSided: high, degrees: degrees) > outside, high < 1e300 {
      low = high
      high *= 2
    }
    while true {
      let middle = low + (high - low) / 2
      if middle <= low || middle >= high { return middle }
      if studentT(twoSided: middle, degrees: degrees) > outside { low = middle } else { high = middle }
    }
  }

  /// Holm's step-down adjustment (Holm, Scandinavian Journal of Statistics 1979): compared with α, the adjusted values
  /// keep the chance of one false rejection among all of them below α. In the order given.
  package static func holm(_ pValues: [Double]) -> [Double] {
    let order = pValues.indices.sorted { (pValues[$0], $0) < (pValues[$1], $1) }
    var adjusted = pValues
    var largest = 0.0
    for (rank, index) in order.enumerated() {
      largest = max(largest, min(1, Double(pValues.count - rank) * pValues[index]))
      adjusted[index] = largest
    }
    return adjusted
  }

  /// The regularised incomplete beta function I_x(a, b) with 1 - x given apart, so that neither end loses digits.
  private static func incompleteBeta(_ x: Double, complement: Double, _ a: Double, _ b: Double) -> Double {
    if x <= 0 { return 0 }
    if complement <= 0 { return 1 }
    let logFront = lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(complement)
    if x < (a + 1) / (a + b + 2) { return exp(logFront) * betaFraction(x, a, b) / a }
    return 1 - exp(logFront) * betaFraction(complement, b, a) / b
  }

  /// The continued fraction of the incomplete beta function (DLMF 8.17.22) by Lentz's method.
  private static func betaFraction(_ x: Double, _ a: Double, _ b: Double) -> Double {
    let tiny = 1e-300
    func kept(_ value: Double) -> Double { abs(value) < tiny ? tiny : value }
    var c = 1.0
    var d = 1 / kept(1 - (a + b) * x / (a + 1))
    var fraction = d
    for m in 1...10_000 {
      let m = Double(m)
      for term in [
        m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
      ] {
        d = 1 / kept(1 + term * d)
        c = kept(1 + term / c)
        fraction *= c * d
      }
      if abs(c * d - 1) < 1e-16 { break }
    }
    return fraction
  }
}
