/// Functions by name: what can be worked out exactly is, the rest stays as it is.
enum Functions {
  static let names: Set<String> = [
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log", "lg", "exp", "gcd", "lcm",
    "max", "min", "det", "deg", "dim", "arg",
  ]

  private static let trigonometric: Set<String> = ["sin", "cos", "tan", "cot", "sec", "csc"]

  static func apply(_ name: String, _ arguments: [Form]) -> Form? {
    var arguments = arguments
    if trigonometric.contains(name), arguments.count == 1 {
      guard let angle = radians(arguments[0]) else { return nil }
      arguments = [angle]
    }
    let numbers = arguments.compactMap(\.rational)
    if numbers.count == arguments.count, let exact = exact(name, numbers) { return Form(exact) }
    if name == "exp", let power = arguments.first, arguments.count == 1 { return Form.symbol("e").power(power) }
    return Form(.function(name, arguments))
  }

  /// An angle in degrees is one in radians times π/180.
  private static func radians(_ angle: Form) -> Form? {
    guard let degrees = angle.withoutDegrees else { return angle }
    guard let part = Rational(BigInteger(1), over: BigInteger(180)) else { return nil }
    return degrees.times(part)?.times(.symbol("\\pi"))
  }

  private static func exact(_ name: String, _ x: [Rational]) -> Rational? {
    switch (name, x.count) {
    case ("abs", 1): return x[0].magnitude
    case ("floor", 1): return x[0].rounded(up: false)
    case ("ceil", 1): return x[0].rounded(up: true)
    case ("factorial", 1):
      guard let n = x[0].int, (0...1500).contains(n) else { return nil }
      var product = BigInteger.one
      if n > 1 { for factor in 2...n { product = product * BigInteger(factor) } }
      return Rational(product)
    case ("doublefactorial", 1):
      guard let n = x[0].int, (0...2000).contains(n) else { return nil }
      var product = BigInteger.one
      for factor in stride(from: n, to: 1, by: -2) { product = product * BigInteger(factor) }
      return Rational(product)
    case ("binom", 2):
      guard let n = x[0].int, let k = x[1].int, n >= 0, n <= 2000, k >= 0 else { return nil }
      if k > n { return .zero }
      var product = BigInteger.one
      for step in 0..<min(k, n - k) {
        guard let next = (product * BigInteger(n - step)).dividedWithRemainder(by: BigInteger(step + 1)) else { return nil }
        product = next.quotient
      }
      return Rational(product)
    case ("gcd", 2...), ("lcm", 2...):
      guard x.allSatisfy({ $0.isWhole && !$0.isZero }) else { return nil }
      var result = x[0].numerator.magnitude
      for other in x.dropFirst() {
        let divisor = BigInteger.greatestCommonDivisor(result, other.numerator)
        guard name == "lcm" else {
          result = divisor
          continue
        }
        guard let quotient = result.dividedWithRemainder(by: divisor)?.quotient, quotient.bitWidth < Rational.largestBits else { return nil }
        result = quotient * other.numerator.magnitude
      }
      return Rational(result)
    case ("max", 1...): return x.max()
    case ("min", 1...): return x.min()
    default: return nil
    }
  }
}

extension Form {
  /// Without its degree sign, where each of its terms has one.
  var withoutDegrees: Form? {
    guard !terms.isEmpty, terms.allSatisfy({ $0.factors.contains { $0.key == "\\degree" } }) else { return nil }
    return divided(by: .symbol("\\degree"))
  }
}
