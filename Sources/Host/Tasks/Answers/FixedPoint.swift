/// A real number to 384 bits after the point, for comparing closed expressions that have no exact form in common.
struct FixedPoint: Sendable {
  static let bits = 384
  /// Larger values are not computed.
  private static let largestBits = 4096
  private static let unit = BigInteger.one.shifted(by: bits)

  let raw: BigInteger

  init(raw: BigInteger) { self.raw = raw }

  init?(_ number: Rational) {
    guard let value = number.numerator.shifted(by: Self.bits).dividedWithRemainder(by: number.denominator) else { return nil }
    self.init(checked: value.quotient)
  }

  private init?(checked raw: BigInteger) {
    guard raw.bitWidth <= Self.bits + Self.largestBits else { return nil }
    self.raw = raw
  }

  static let zero = FixedPoint(raw: .zero)
  static let one = FixedPoint(raw: unit)

  var isNegative: Bool { raw.isNegative }
  var magnitude: FixedPoint { FixedPoint(raw: raw.magnitude) }
  static prefix func - (a: FixedPoint) -> FixedPoint { FixedPoint(raw: -a.raw) }
  static func + (a: FixedPoint, b: FixedPoint) -> FixedPoint { FixedPoint(raw: a.raw + b.raw) }
  static func - (a: FixedPoint, b: FixedPoint) -> FixedPoint { FixedPoint(raw: a.raw - b.raw) }
  static func * (a: FixedPoint, b: FixedPoint) -> FixedPoint { FixedPoint(raw: (a.raw * b.raw).shifted(by: -bits)) }

  func times(_ other: FixedPoint) -> FixedPoint? { FixedPoint(checked: (self * other).raw) }

  func divided(by other: FixedPoint) -> FixedPoint? {
    guard let value = raw.shifted(by: Self.bits).dividedWithRemainder(by: other.raw) else { return nil }
    return FixedPoint(checked: value.quotient)
  }

  private func divided(by whole: Int) -> FixedPoint {
    FixedPoint(raw: raw.dividedWithRemainder(by: BigInteger(whole))?.quotient ?? .zero)
  }

  /// The largest whole number that is not above this one; nil where it is so near a whole number that rounding may have moved it.
  var floor: FixedPoint? {
    guard let (quotient, rest) = raw.dividedWithRemainder(by: Self.unit) else { return nil }
    let distance = min(rest.magnitude, Self.unit - rest.magnitude)
    guard distance.bitWidth > Self.bits - 200 else { return nil }
    return FixedPoint(raw: (isNegative ? quotient - .one : quotient) * Self.unit)
  }

  // MARK: Functions

  /// The k-th root of a number that is not negative.
  func root(_ k: Int) -> FixedPoint? {
    guard !isNegative, k >= 1, k <= 64 else { return nil }
    return FixedPoint(raw: raw.shifted(by: Self.bits * (k - 1)).root(k))
  }

  /// Euler's number to this power: the series at x/2^16, squared back.
  var exponential: FixedPoint? {
    guard raw.bitWidth <= Self.bits + 11 else { return nil }
    if isNegative { return (-self).exponential.flatMap { FixedPoint.one.divided(by: $0) } }
    let halvings = 24
    let small = FixedPoint(raw: raw.shifted(by: -halvings))
    var sum = FixedPoint.one
    var term = FixedPoint.one
    for n in 1..<400 {
      term = (term * small).divided(by: n)
      if term.raw.isZero { break }
      sum = sum + term
    }
    for _ in 0..<halvings {
      guard let next = sum.times(sum) else { return nil }
      sum = next
    }
    return sum
  }

  /// The natural logarithm of a positive number: m·2^k, and 2·artanh((m − 1)/(m + 1)) for m near 1.
  var logarithm: FixedPoint? {
    guard !isNegative, !raw.isZero else { return nil }
    let shift = raw.bitWidth - Self.bits
    let mantissa = FixedPoint(raw: raw.shifted(by: -shift))
    guard let near = Self.artanhSeries(mantissa) else { return nil }
    return near + FixedPoint(raw: Self.logarithmOfTwo.raw * BigInteger(shift))
  }

  private static func artanhSeries(_ value: FixedPoint) -> FixedPoint? {
    guard let ratio = (value - one).divided(by: value + one) else { return nil }
    let square = ratio * ratio
    var sum = ratio
    var power = ratio
    var n = 3
    while n < 1200 {
      power = power * square
      if power.raw.isZero { break }
      sum = sum + power.divided(by: n)
      n += 2
    }
    return sum + sum
  }

  /// ln 2 = 2·artanh(1/3).
  private static let logarithmOfTwo = artanhSeries(one + one) ?? zero

  /// π by Machin's formula, 16·arctan(1/5) − 4·arctan(1/239).
  static let pi: FixedPoint = {
    func inverse(_ k: Int) -> FixedPoint {
      var power = one.divided(by: k)
      var sum = power
      var n = 3
      var sign = -1
      while !power.raw.isZero {
        power = power.divided(by: k * k)
        let term = power.divided(by: n)
        sum = sign < 0 ? sum - term : sum + term
        sign = -sign
        n += 2
      }
      return sum
    }
    return FixedPoint(raw: inverse(5).raw * BigInteger(16) - inverse(239).raw * BigInteger(4))
  }()

  static let e = one.exponential ?? zero

  /// Sine and cosine.
  var sineAndCosine: (sine: FixedPoint, cosine: FixedPoint)? {
    guard raw.bitWidth <= Self.bits + 64 else { return nil }
    let turn = Self.pi + Self.pi
    guard let (_, remainder) = raw.dividedWithRemainder(by: turn.raw) else { return nil }
    let angle = FixedPoint(raw: remainder)
    let square = angle * angle
    var (sine, cosine) = (angle, FixedPoint.one)
    var (odd, even) = (angle, FixedPoint.one)
    for n in 1..<200 {
      even = -(even * square).divided(by: (2 * n - 1) * 2 * n)
      odd = -(odd * square).divided(by: 2 * n * (2 * n + 1))
      if even.raw.isZero, odd.raw.isZero { break }
      cosine = cosine + even
      sine = sine + odd
    }
    return (sine, cosine)
  }

  /// The angle in (−π/2, π/2) with this tangent: halved until small, then the series.
  var arctangent: FixedPoint? {
    if isNegative { return (-self).arctangent.map { -$0 } }
    if raw > Self.unit { return FixedPoint.one.divided(by: self).flatMap(\.arctangent).map { Self.pi.divided(by: 2) - $0 } }
    var value = self
    let halvings = 8
    for _ in 0..<halvings {
      guard let root = (FixedPoint.one + value * value).root(2), let next = value.divided(by: FixedPoint.one + root) else { return nil }
      value = next
    }
    let square = value * value
    var (sum, power) = (value, value)
    for n in 1..<400 {
      power = -(power * square)
      if power.raw.isZero { break }
      sum = sum + power.divided(by: 2 * n + 1)
    }
    return FixedPoint(raw: sum.raw.shifted(by: halvings))
  }
}
