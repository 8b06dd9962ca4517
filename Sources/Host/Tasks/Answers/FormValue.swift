extension Form {
  /// The value of an expression without variables to some 100 digits after the point; nil where it holds one, is too large, or uses
  /// a function that is not computed here.
  var value: ComplexPoint? {
    var budget = 400
    return value(&budget)
  }

  /// Whether it holds no variable.
  var isClosed: Bool {
    terms.allSatisfy { term in
      term.factors.allSatisfy { factor in
        guard factor.exponent.isClosed else { return false }
        switch factor.base {
        case .symbol(let name): return name == "\\pi" || name == "e" || name == "i"
        case .number: return true
        case .function(let name, let arguments): return Self.computed.contains(name) && arguments.allSatisfy(\.isClosed)
        case .group(let form): return form.isClosed
        }
      }
    }
  }

  private static let computed: Set<String> = [
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "ln", "log", "lg", "exp", "abs", "floor", "ceil", "max", "min",
    "sinh", "cosh", "tanh",
  ]

  private func value(_ budget: inout Int) -> ComplexPoint? {
    var sum = ComplexPoint.zero
    var largest = BigInteger.zero
    for term in terms {
      guard let coefficient = FixedPoint(term.coefficient), coefficient.raw.isZero == term.coefficient.isZero else { return nil }
      var product = ComplexPoint(coefficient)
      for factor in term.factors {
        guard let power = Self.value(factor, &budget), let next = product.times(power) else { return nil }
        product = next
      }
      largest = max(largest, product.size)
      sum = sum + product
    }
    // What cancels to some 77 digits is 0.
    return terms.count > 1 && largest.bitWidth >= FixedPoint.bits ? ComplexPoint(sum.real.cleared, sum.imaginary.cleared) : sum
  }

  private static func value(_ factor: Factor, _ budget: inout Int) -> ComplexPoint? {
    budget -= 1
    guard budget > 0 else { return nil }
    if case .symbol("e") = factor.base { return factor.exponent.value(&budget)?.exponential }
    guard let base = value(factor.base, &budget) else { return nil }
    guard let exponent = factor.exponent.rational else {
      guard let logarithm = base.asReal?.logarithm, let power = factor.exponent.value(&budget) else { return nil }
      return power.times(ComplexPoint(logarithm))?.exponential
    }
    if let whole = exponent.int { return base.power(whole) }
    guard let above = exponent.numerator.int, let below = exponent.denominator.int else { return nil }
    guard let real = base.asReal, !real.isNegative || below % 2 != 0 else {
      return below == 2 ? base.squareRoot?.power(above) : nil
    }
    guard let root = real.magnitude.root(below).flatMap({ ComplexPoint($0).power(above) }), !root.isZero || base.isZero else { return nil }
    return real.isNegative && above % 2 != 0 ? -root : root
  }

  private static func value(_ atom: Atom, _ budget: inout Int) -> ComplexPoint? {
    budget -= 1
    guard budget > 0 else { return nil }
    switch atom {
    case .symbol("\\pi"): return ComplexPoint(.pi)
    case .symbol("e"): return ComplexPoint(.e)
    case .symbol("i"): return .i
    case .symbol: return nil
    case .number(let number): return Rational(number).flatMap { FixedPoint($0) }.map { ComplexPoint($0) }
    case .group(let form): return form.value(&budget)
    case .function(let name, let arguments):
      var values: [FixedPoint] = []
      for argument in arguments {
        guard let value = argument.value(&budget) else { return nil }
        if name == "abs" { return value.modulus.map { ComplexPoint($0) } }
        guard let real = value.asReal else { return nil }
        values.append(real)
      }
      return value(name, values).map { ComplexPoint($0) }
    }
  }

  private static func value(_ name: String, _ values: [FixedPoint]) -> FixedPoint? {
    guard let x = values.first else { return nil }
    switch name {
    case "sin": return x.sineAndCosine?.sine.cleared
    case "cos": return x.sineAndCosine?.cosine.cleared
    case "tan": return x.sineAndCosine.flatMap { $0.sine.cleared.divided(by: $0.cosine.cleared) }
    case "cot": return x.sineAndCosine.flatMap { $0.cosine.cleared.divided(by: $0.sine.cleared) }
    case "sec": return x.sineAndCosine.flatMap { FixedPoint.one.divided(by: $0.cosine.cleared) }
    case "csc": return x.sineAndCosine.flatMap { FixedPoint.one.divided(by: $0.sine.cleared) }
    case "arctan": return x.arctangent
    case "arcsin", "arccos":
      let rest = FixedPoint.one - x * x
      guard !rest.isNegative, let other = rest.root(2) else { return nil }
      let half = FixedPoint(raw: FixedPoint.pi.raw.shifted(by: -1))
      let sine: FixedPoint?
      if other.raw.isZero {
        sine = x.isNegative ? -half : half
      } else {
        sine = x.divided(by: other)?.arctangent
      }
      return name == "arcsin" ? sine : sine.map { half - $0 }
    case "ln": return x.logarithm
    case "lg": return x.logarithm.flatMap { above in ten.logarithm.flatMap { above.divided(by: $0) } }
    case "log":
      // With a base as second argument; without one, by ten, as schools write it.
      let base = values.count > 1 ? values[1] : ten
      return x.logarithm.flatMap { above in base.logarithm.flatMap { above.divided(by: $0) } }
    case "exp": return x.exponential.flatMap { $0.raw.isZero ? nil : $0 }
    case "sinh", "cosh", "tanh":
      guard let up = x.exponential, let down = (-x).exponential else { return nil }
      if name == "tanh" { return (up - down).divided(by: up + down) }
      return FixedPoint(raw: (name == "sinh" ? up - down : up + down).raw.shifted(by: -1))
    case "abs": return x.magnitude
    case "floor": return x.floor
    case "ceil": return (-x).floor.map { -$0 }
    case "max": return values.max { $0.raw < $1.raw }
    case "min": return values.min { $0.raw < $1.raw }
    default: return nil
    }
  }

  private static var ten: FixedPoint { FixedPoint(raw: FixedPoint.one.raw * BigInteger(10)) }
}
