/// A complex number whose parts are kept to 384 bits after the point. What is real has exactly 0 beside it.
struct ComplexPoint: Sendable {
  let real: FixedPoint
  let imaginary: FixedPoint

  init(_ real: FixedPoint, _ imaginary: FixedPoint = .zero) {
    self.real = real
    self.imaginary = imaginary
  }

  static let zero = ComplexPoint(.zero)
  static let one = ComplexPoint(.one)
  static let i = ComplexPoint(.zero, .one)

  var isZero: Bool { real.raw.isZero && imaginary.raw.isZero }
  /// The value where it is real.
  var asReal: FixedPoint? { imaginary.raw.isZero ? real : nil }
  /// The larger of its parts, for comparing sizes.
  var size: BigInteger { max(real.raw.magnitude, imaginary.raw.magnitude) }

  static prefix func - (a: ComplexPoint) -> ComplexPoint { ComplexPoint(-a.real, -a.imaginary) }
  static func + (a: ComplexPoint, b: ComplexPoint) -> ComplexPoint { ComplexPoint(a.real + b.real, a.imaginary + b.imaginary) }

  /// nil where it is too large, or too small to be told from 0.
  func times(_ other: ComplexPoint) -> ComplexPoint? {
    guard let a = real.times(other.real), let b = imaginary.times(other.imaginary), let c = real.times(other.imaginary),
      let d = imaginary.times(other.real)
    else { return nil }
    let product = ComplexPoint(a - b, c + d)
    return product.isZero && !isZero && !other.isZero ? nil : product
  }

  func divided(by other: ComplexPoint) -> ComplexPoint? {
    if let divisor = other.asReal {
      guard let a = real.divided(by: divisor), let b = imaginary.divided(by: divisor) else { return nil }
      let quotient = ComplexPoint(a, b)
      return quotient.isZero && !isZero ? nil : quotient
    }
    guard let square = other.squaredModulus, let above = times(ComplexPoint(other.real, -other.imaginary)) else { return nil }
    return above.divided(by: ComplexPoint(square))
  }

  private var squaredModulus: FixedPoint? {
    guard let a = real.times(real), let b = imaginary.times(imaginary) else { return nil }
    return a + b
  }

  var modulus: FixedPoint? { imaginary.raw.isZero ? real.magnitude : squaredModulus?.root(2) }

  func power(_ exponent: Int) -> ComplexPoint? {
    guard exponent.magnitude <= 1 << 16 else { return nil }
    var result = ComplexPoint.one
    var base = self
    var rest = exponent.magnitude
    while rest > 0 {
      if rest & 1 == 1 {
        guard let next = result.times(base) else { return nil }
        result = next
      }
      rest >>= 1
      if rest > 0 {
        guard let next = base.times(base) else { return nil }
        base = next
      }
    }
    return exponent < 0 ? ComplexPoint.one.divided(by: result) : result
  }

  /// The root with a real part that is not negative; of a negative number, i times that of its size.
  var squareRoot: ComplexPoint? {
    guard let modulus else { return nil }
    let a = FixedPoint(raw: (modulus + real).raw.shifted(by: -1))
    let b = FixedPoint(raw: (modulus - real).raw.shifted(by: -1))
    guard let x = a.root(2), let y = b.root(2) else { return nil }
    return ComplexPoint(x, imaginary.isNegative ? -y : y)
  }

  /// Euler's number to this power.
  var exponential: ComplexPoint? {
    guard let scale = real.exponential, !scale.raw.isZero else { return nil }
    if imaginary.raw.isZero { return ComplexPoint(scale) }
    guard let turn = imaginary.sineAndCosine else { return nil }
    return ComplexPoint(turn.cosine.cleared, turn.sine.cleared).times(ComplexPoint(scale))
  }

  /// Equal to some 36 significant digits; nil where both are too near zero to say.
  func isNear(_ other: ComplexPoint) -> Bool? {
    let larger = max(size, other.size)
    // A value below 2^-192 has too few bits left.
    if larger.bitWidth < FixedPoint.bits / 2 { return nil }
    return [(real, other.real), (imaginary, other.imaginary)].allSatisfy { ($0.0.raw - $0.1.raw).bitWidth + 120 <= larger.bitWidth }
  }
}

extension FixedPoint {
  /// What is left of a sum or of a sine that is 0 but for rounding.
  private static let noise = bits - 256

  /// Zero where only rounding keeps it from that.
  var cleared: FixedPoint { raw.bitWidth <= Self.noise ? .zero : self }
}
