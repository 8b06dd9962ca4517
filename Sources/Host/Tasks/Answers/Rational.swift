/// An exact fraction in lowest terms with a positive denominator, so that 1/3 is not 0.3333 and 0.1 + 0.2 is 0.3.
///
/// Numerator and denominator stay below ``largestBits``; what would not is nil, so that no answer costs more than a few
/// milliseconds.
struct Rational: Sendable, Hashable, Comparable {
  static let largestBits = 16_384
  static let zero = Rational(0)
  static let one = Rational(1)

  let numerator: BigInteger
  let denominator: BigInteger

  init(_ whole: Int) { self.init(whole: BigInteger(whole)) }

  private init(whole: BigInteger) {
    numerator = whole
    denominator = .one
  }

  init?(_ whole: BigInteger) {
    guard whole.bitWidth <= Self.largestBits else { return nil }
    self.init(whole: whole)
  }

  init?(_ numerator: BigInteger, over denominator: BigInteger) {
    guard !denominator.isZero, numerator.bitWidth <= Self.largestBits, denominator.bitWidth <= Self.largestBits
    else { return nil }
    if denominator.isOne {
      self.init(whole: numerator)
      return
    }
    let divisor = BigInteger.greatestCommonDivisor(numerator, denominator)
    guard let above = numerator.dividedWithRemainder(by: divisor), let below = denominator.dividedWithRemainder(by: divisor)
    else { return nil }
    self.init(lowest: denominator.isNegative ? -above.quotient : above.quotient, below.quotient.magnitude)
  }

  /// A decimal: digits without their point, and the power of ten that goes with them.
  init?(digits: [UInt8], exponent: Int) {
    guard digits.count <= 5000 else { return nil }
    let value = BigInteger(digits: digits)
    if value.isZero {
      self.init(0)
      return
    }
    guard abs(exponent) <= 5000 else { return nil }
    let power = BigInteger(10).power(abs(exponent))
    if exponent < 0 { self.init(value, over: power) } else { self.init(value * power) }
  }

  var isWhole: Bool { denominator.isOne }
  var isZero: Bool { numerator.isZero }
  var isOne: Bool { numerator.isOne && denominator.isOne }
  var isNegative: Bool { numerator.isNegative }
  var negated: Rational { Rational(lowest: -numerator, denominator) }
  var magnitude: Rational { isNegative ? negated : self }

  /// The value where it is a whole number that fits.
  var int: Int? { isWhole ? numerator.int : nil }

  var text: String { isWhole ? numerator.text : "\(numerator.text)/\(denominator.text)" }

  private init(lowest numerator: BigInteger, _ denominator: BigInteger) {
    self.numerator = numerator
    self.denominator = denominator
  }

  static func < (a: Rational, b: Rational) -> Bool { a.numerator * b.denominator < b.numerator * a.denominator }

  func plus(_ other: Rational) -> Rational? {
    Rational(numerator * other.denominator + other.numerator * denominator, over: denominator * other.denominator)
  }

  func minus(_ other: Rational) -> Rational? { plus(other.negated) }

  func times(_ other: Rational) -> Rational? {
    Rational(numerator * other.numerator, over: denominator * other.denominator)
  }

  func divided(by other: Rational) -> Rational? {
    Rational(numerator * other.denominator, over: denominator * other.numerator)
  }

  /// A whole power; nil for 0 to a power that is not positive, as for what is too large.
  func power(_ exponent: Int) -> Rational? {
    if exponent == 0 { return isZero ? nil : .one }
    if isZero { return exponent > 0 ? self : nil }
    let size = max(numerator.bitWidth, denominator.bitWidth)
    if size == 1 { return numerator.isNegative && exponent % 2 != 0 ? self : .one }
    guard exponent.magnitude <= UInt(Self.largestBits), size <= Self.largestBits,
      (size - 1).multipliedReportingOverflow(by: abs(exponent)).partialValue <= Self.largestBits
    else { return nil }
    let (above, below) = (numerator.power(abs(exponent)), denominator.power(abs(exponent)))
    return exponent > 0 ? Rational(above, over: below) : Rational(below, over: above)
  }
}
