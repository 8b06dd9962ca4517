/// An expression in normal form: a sum of terms, each a rational coefficient times powers of atoms, all in a fixed order.
///
/// Order, signs, coefficients, like terms and like powers are made one; a number in front of a sum is multiplied in. Nothing
/// else is expanded or factored, so that equal keys mean equal expressions while different keys of expressions with variables
/// may hide an equality that takes algebra. What grows too large is nil.
struct Form: Sendable, Hashable {
  indirect enum Atom: Sendable, Hashable {
    /// A variable, or one of the constants `\pi`, `e` and `i`.
    case symbol(String)
    /// A whole number above 1 under a fractional or unknown power.
    case number(BigInteger)
    case function(String, [Form])
    /// A sum, or another form whose power is not worked out.
    case group(Form)

    var key: String {
      switch self {
      case .symbol(let name): name
      case .number(let number): number.text
      case .function(let name, let arguments): "\\\(name)(\(arguments.map(\.key).joined(separator: ",")))"
      case .group(let form): "(\(form.key))"
      }
    }
  }

  struct Factor: Sendable, Hashable {
    let base: Atom
    let exponent: Form
    let key: String

    init(_ base: Atom, _ exponent: Form) {
      self.base = base
      self.exponent = exponent
      key = exponent.isOne ? base.key : "\(base.key)^{\(exponent.key)}"
    }
  }

  struct Term: Sendable, Hashable {
    let coefficient: Rational
    let factors: [Factor]
    let key: String

    init(_ coefficient: Rational, _ factors: [Factor]) {
      self.coefficient = coefficient
      self.factors = factors
      key = factors.map(\.key).joined(separator: "*")
    }
  }

  let terms: [Term]
  let key: String
  private static let longestKey = 8192
  private static let mostTerms = 128

  static let zero = Form(terms: [], key: "0")
  static let one = Form(Rational.one)

  private init(terms: [Term], key: String) {
    self.terms = terms
    self.key = key
  }

  init(_ number: Rational) {
    terms = number.isZero ? [] : [Term(number, [])]
    key = number.text
  }

  init(_ atom: Atom) {
    let term = Term(.one, [Factor(atom, .one)])
    terms = [term]
    // As a sum writes it, so that `2x - x` is `x`.
    key = "1*\(term.key)"
  }

  static func symbol(_ name: String) -> Form { Form(.symbol(name)) }

  /// Sums terms: like ones together, in order of their keys.
  private init?(summing all: [Term]) {
    var sums: [String: (Rational, [Factor])] = [:]
    for term in all {
      if let (sum, factors) = sums[term.key] {
        guard let next = sum.plus(term.coefficient) else { return nil }
        sums[term.key] = (next, factors)
      } else {
        sums[term.key] = (term.coefficient, term.factors)
      }
    }
    let kept = sums.filter { !$0.value.0.isZero }.sorted { $0.key < $1.key }
    guard kept.count <= Self.mostTerms else { return nil }
    terms = kept.map { Term($0.value.0, $0.value.1) }
    if terms.isEmpty {
      key = "0"
    } else {
      key = terms.map { $0.factors.isEmpty ? $0.coefficient.text : "\($0.coefficient.text)*\($0.key)" }.joined(separator: "+")
    }
    guard key.utf8.count <= Self.longestKey else { return nil }
  }

  /// The value where it is a rational number.
  var rational: Rational? {
    if terms.isEmpty { return .zero }
    return terms.count == 1 && terms[0].factors.isEmpty ? terms[0].coefficient : nil
  }

  var isOne: Bool { terms.count == 1 && terms[0].factors.isEmpty && terms[0].coefficient.isOne }
  var isZero: Bool { terms.isEmpty }

  // MARK: Arithmetic

  func plus(_ other: Form) -> Form? { Form(summing: terms + other.terms) }

  func times(_ number: Rational) -> Form? {
    if number.isOne { return self }
    var scaled: [Term] = []
    for term in terms {
      guard let coefficient = term.coefficient.times(number) else { return nil }
      scaled.append(Term(coefficient, term.factors))
    }
    return Form(summing: scaled)
  }

  var negated: Form? { times(Rational(-1)) }

  func minus(_ other: Form) -> Form? { other.negated.flatMap { plus($0) } }

  func times(_ other: Form) -> Form? {
    if let number = rational { return other.times(number) }
    if let number = other.rational { return times(number) }
    guard let (a, left) = monomial, let (b, right) = other.monomial, let coefficient = a.times(b) else { return nil }
    return Form.product(coefficient, left + right)
  }

  func divided(by other: Form) -> Form? {
    if let a = rational, let b = other.rational { return a.divided(by: b).map { Form($0) } }
    return other.power(Form(Rational(-1))).flatMap { times($0) }
  }

  /// Coefficient and factors of a single term; a sum becomes a group whose first coefficient is ±1.
  private var monomial: (Rational, [Factor])? {
    if terms.count == 1 { return (terms[0].coefficient, terms[0].factors) }
    guard let first = terms.first else { return (.zero, []) }
    let content = first.coefficient
    guard let inverse = Rational.one.divided(by: content), let primitive = times(inverse) else { return nil }
    return (content, [Factor(.group(primitive), .one)])
  }

  /// A coefficient times factors: equal bases together, whole powers of numbers into the coefficient.
  private static func product(_ coefficient: Rational, _ factors: [Factor]) -> Form? {
    var exponents: [Atom: Form] = [:]
    for factor in factors {
      guard let sum = exponents[factor.base, default: .zero].plus(factor.exponent) else { return nil }
      exponents[factor.base] = sum
    }
    var coefficient = coefficient
    var kept: [Factor] = []
    for (base, exponent) in exponents where !exponent.isZero {
      switch base {
      case .number(let number):
        // Of 2^(7/2) the 8 goes into the coefficient, of 2^(x + 1) the 2.
        let constant = exponent.terms.first { $0.factors.isEmpty }?.coefficient ?? .zero
        guard let whole = constant.floor, let split = whole.int else {
          kept.append(Factor(base, exponent))
          continue
        }
        guard let value = Rational(number), let rest = exponent.minus(Form(whole)) else { return nil }
        if split != 0 {
          guard let power = value.power(split), let next = coefficient.times(power) else { return nil }
          coefficient = next
        }
        if !rest.isZero { kept.append(Factor(base, rest)) }
      case .symbol("i"):
        guard let power = exponent.rational?.int else {
          kept.append(Factor(base, exponent))
          continue
        }
        let turns = ((power % 4) + 4) % 4
        if turns >= 2 { coefficient = coefficient.negated }
        if turns % 2 == 1 { kept.append(Factor(base, .one)) }
      default: kept.append(Factor(base, exponent))
      }
    }
    kept.sort { $0.key < $1.key }
    if kept.count == 1, case .group(let sum) = kept[0].base, kept[0].exponent.isOne { return sum.times(coefficient) }
    guard kept.count <= mostTerms else { return nil }
    return Form(summing: [Term(coefficient, kept)])
  }

  /// This form to a power.
  func power(_ exponent: Form) -> Form? {
    if exponent.isOne { return self }
    if exponent.isZero { return isZero ? nil : .one }
    if isZero {
      guard let rational = exponent.rational, !rational.isNegative else { return nil }
      return .zero
    }
    guard let (coefficient, factors) = monomial else { return nil }
    guard let number = exponent.rational else {
      // Only a positive base may be taken apart under a power that is not known.
      guard !coefficient.isNegative, let base = Form.numberPower(coefficient, exponent) else { return opaque(exponent) }
      return raise(factors, exponent).flatMap { base.times($0) }
    }
    if let whole = number.int {
      guard let scale = coefficient.power(whole) else { return opaque(exponent) }
      return raise(factors, exponent).flatMap { Form(scale).times($0) }
    }
    let isOddRoot = !number.denominator.isEven
    if factors.isEmpty {
      guard let size = Form.numberPower(coefficient.magnitude, exponent) else { return opaque(exponent) }
      if !coefficient.isNegative { return size }
      // (-8)^(1/3) = -2 as schools have it; an even root of a negative number is imaginary.
      if isOddRoot { return number.numerator.isEven ? size : size.negated }
      guard number.denominator == BigInteger(2), let turns = number.numerator.int else { return opaque(exponent) }
      return Form.product(.one, [Factor(.symbol("i"), Form(Rational(turns)))]).flatMap { size.times($0) }
    }
    // Of a root the number comes out, and surds; what is left stays under it as it is: the root of x² is not x.
    guard let size = Form.numberPower(coefficient.magnitude, exponent) else { return opaque(exponent) }
    let surds = factors.filter { if case .number = $0.base { true } else { false } }
    let others = factors.filter { if case .number = $0.base { false } else { true } }
    guard let outside = raise(surds, exponent) else { return nil }
    let sign = coefficient.isNegative ? Rational(-1) : .one
    guard let inner = Form.product(sign, others) else { return nil }
    let root: Form?
    if inner.isOne {
      root = .one
    } else if !coefficient.isNegative, others.count == 1, others[0].exponent.isOne {
      root = Form.product(.one, [Factor(others[0].base, exponent)])
    } else if let value = inner.rational {
      root = Form(value).power(exponent)
    } else {
      root = Form.product(.one, [Factor(.group(inner), exponent)])
    }
    return root.flatMap { $0.times(outside) }.flatMap { $0.times(size) }
  }

  private func opaque(_ exponent: Form) -> Form? {
    if let number = rational, !number.isNegative, number.isWhole { return Form.product(.one, [Factor(.number(number.numerator), exponent)]) }
    return Form.product(.one, [Factor(.group(self), exponent)])
  }

  private func raise(_ factors: [Factor], _ exponent: Form) -> Form? {
    var raised: [Factor] = []
    for factor in factors {
      guard let product = factor.exponent.times(exponent) else { return nil }
      raised.append(Factor(factor.base, product))
    }
    return Form.product(.one, raised)
  }

  /// A positive number to a power: by its prime factors, so that √8 and 2√2 are one.
  private static func numberPower(_ number: Rational, _ exponent: Form) -> Form? {
    if number.isOne { return .one }
    var factors: [Factor] = []
    for (part, sign) in [(number.numerator, 1), (number.denominator, -1)] where !part.isOne {
      for (prime, count) in Primes.factors(of: part) {
        guard let power = exponent.times(Rational(sign * count)) else { return nil }
        factors.append(Factor(.number(prime), power))
      }
    }
    return product(.one, factors)
  }
}

extension Rational {
  /// The largest whole number that is not above this one.
  fileprivate var floor: Rational? {
    guard let (quotient, remainder) = numerator.dividedWithRemainder(by: denominator) else { return nil }
    let whole = Rational(quotient)
    return isNegative && !remainder.isZero ? whole?.minus(.one) : whole
  }

  /// Rounded down or up to a whole number.
  func rounded(up: Bool) -> Rational? { up ? negated.floor?.negated : floor }
}

/// Factors of whole numbers by trial division with small primes; what is left over counts as one, perfect powers apart.
enum Primes {
  private static let small: [Int] = {
    var isPrime = [Bool](repeating: true, count: 1000)
    var primes: [Int] = []
    for candidate in 2..<1000 where isPrime[candidate] {
      primes.append(candidate)
      for multiple in stride(from: candidate * candidate, to: 1000, by: candidate) { isPrime[multiple] = false }
    }
    return primes
  }()

  static func factors(of number: BigInteger) -> [(BigInteger, Int)] {
    var rest = number
    var factors: [(BigInteger, Int)] = []
    for prime in small {
      if rest.isOne { break }
      let divisor = BigInteger(prime)
      if divisor * divisor > rest {
        // Nothing below has divided it: it is prime itself.
        break
      }
      var count = 0
      while let (quotient, remainder) = rest.dividedWithRemainder(by: divisor), remainder.isZero {
        rest = quotient
        count += 1
      }
      if count > 0 { factors.append((divisor, count)) }
    }
    if !rest.isOne {
      var count = 1
      if rest.bitWidth <= 2048 {
        for k in [2, 3, 5, 7] {
          while true {
            let root = rest.root(k)
            guard !root.isOne, root.power(k) == rest else { break }
            rest = root
            count *= k
          }
        }
      }
      factors.append((rest, count))
    }
    return factors
  }
}
