/// An exact fraction in lowest terms, so that 1/3 is not 0.3333 and 0.1 + 0.2 is 0.3. What does not fit 64 bits is nil.
struct Rational: Equatable {
  let numerator: Int
  /// Positive.
  let denominator: Int

  init(_ whole: Int) {
    numerator = whole
    denominator = 1
  }

  init?(_ numerator: Int, over denominator: Int) {
    guard denominator != 0, numerator != .min, denominator != .min else { return nil }
    var a = abs(numerator)
    var b = abs(denominator)
    while b != 0 { (a, b) = (b, a % b) }
    let divisor = a * (denominator < 0 ? -1 : 1)
    self.numerator = numerator / divisor
    self.denominator = denominator / divisor
  }

  /// A decimal: digits without their point, and the power of ten that goes with them.
  init?(digits: [UInt8], exponent: Int) {
    var digits = digits[...]
    var exponent = exponent
    while digits.first == 0 { digits.removeFirst() }
    while digits.last == 0 {
      digits.removeLast()
      exponent += 1
    }
    if digits.isEmpty {
      self.init(0)
      return
    }
    guard digits.count <= 18, abs(exponent) <= 18 else { return nil }
    let value = digits.reduce(0) { $0 * 10 + Int($1) }
    var power = 1
    for _ in 0..<abs(exponent) { power *= 10 }
    if exponent < 0 {
      self.init(value, over: power)
    } else {
      let (product, overflow) = value.multipliedReportingOverflow(by: power)
      if overflow { return nil }
      self.init(product)
    }
  }

  var isWhole: Bool { denominator == 1 }

  var negated: Rational? { Rational(-numerator, over: denominator) }

  func plus(_ other: Rational) -> Rational? {
    let left = numerator.multipliedReportingOverflow(by: other.denominator)
    let right = other.numerator.multipliedReportingOverflow(by: denominator)
    let below = denominator.multipliedReportingOverflow(by: other.denominator)
    let sum = left.partialValue.addingReportingOverflow(right.partialValue)
    if left.overflow || right.overflow || below.overflow || sum.overflow { return nil }
    return Rational(sum.partialValue, over: below.partialValue)
  }

  func divided(by other: Rational) -> Rational? {
    let above = numerator.multipliedReportingOverflow(by: other.denominator)
    let below = denominator.multipliedReportingOverflow(by: other.numerator)
    if above.overflow || below.overflow { return nil }
    return Rational(above.partialValue, over: below.partialValue)
  }
}
