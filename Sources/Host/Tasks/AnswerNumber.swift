/// Reads one number with its unit: `-1,000.50`, `.5`, `1.2e3`, `1.2*10^3`, `3/4`, `\frac12`, `1 1/2`, `72 dollars`,
/// `72\text{ cm}^2`.
struct AnswerNumber {
  private typealias Token = AnswerTokens.Token

  private let tokens: [AnswerTokens.Token]
  private var index = 0

  /// The number, or nil where the tokens hold anything else or it does not fit.
  static func read(_ tokens: ArraySlice<AnswerTokens.Token>) -> Rational? {
    var reader = AnswerNumber(tokens: Array(tokens))
    guard let number = reader.signed(), reader.unit() else { return nil }
    return number
  }

  private init(tokens: [Token]) { self.tokens = tokens }

  private var current: Token? { index < tokens.count ? tokens[index] : nil }

  private mutating func skip(_ token: Token) -> Bool {
    guard current == token else { return false }
    index += 1
    return true
  }

  private mutating func skipSpace() { while skip(.space) {} }

  private mutating func signed() -> Rational? {
    skipSpace()
    let isNegative = skip(.sign("-"))
    if !isNegative { _ = skip(.sign("+")) }
    skipSpace()
    guard let size = magnitude() else { return nil }
    return isNegative ? size.negated : size
  }

  private mutating func magnitude() -> Rational? {
    if current == .command("frac") { return fraction(depth: 0) }
    guard let first = decimal() else { return nil }
    let mark = index
    skipSpace()
    switch current {
    case .symbol(UInt8(ascii: "/")):
      index += 1
      skipSpace()
      if let below = decimal() { return first.divided(by: below) }
      index = mark  // `60 km/h` comes later, `60 /h` is a unit
    case .command("frac") where first.isWhole: return fraction(depth: 0).flatMap { first.plus($0) }
    case .digit where index > mark && first.isWhole:
      // A mixed number, `1 1/2`.
      if let above = decimal(), skip(.sign("/")), let below = decimal(), let part = above.divided(by: below) {
        return first.plus(part)
      }
      return nil
    case .word("e", _) where index == mark, .word("E", _) where index == mark:
      index += 1
      if let power = exponent() { return first.scaled(by: power) }
      index = mark
    case .symbol(UInt8(ascii: "*")):
      index += 1
      skipSpace()
      if skip(.digit(1)), skip(.digit(0)), skip(.sign("^")), let power = exponent() { return first.scaled(by: power) }
      return nil
    default: index = mark
    }
    return first
  }

  /// The whole number of a power of ten, in braces or without.
  private mutating func exponent() -> Int? {
    let hasBrace = skip(.sign("{"))
    let isNegative = skip(.sign("-"))
    if !isNegative { _ = skip(.sign("+")) }
    var power = 0
    let start = index
    while case .digit(let digit)? = current {
      power = min(power * 10 + Int(digit), 1000)
      index += 1
    }
    if index == start || hasBrace && !skip(.sign("}")) { return nil }
    return isNegative ? -power : power
  }

  /// `\frac{3}{4}`, `\frac34`, `\frac{1}{\frac{2}{3}}`.
  private mutating func fraction(depth: Int) -> Rational? {
    guard depth < 8, skip(.command("frac")), let above = argument(depth: depth), let below = argument(depth: depth)
    else { return nil }
    return above.divided(by: below)
  }

  private mutating func argument(depth: Int) -> Rational? {
    skipSpace()
    if case .digit(let digit)? = current {
      index += 1
      return Rational(Int(digit))
    }
    if current == .command("frac") { return fraction(depth: depth + 1) }
    guard skip(.sign("{")) else { return nil }
    skipSpace()
    let isNegative = skip(.sign("-"))
    if !isNegative { _ = skip(.sign("+")) }
    skipSpace()
    guard let size = current == .command("frac") ? fraction(depth: depth + 1) : decimal() else { return nil }
    skipSpace()
    guard skip(.sign("}")) else { return nil }
    return isNegative ? size.negated : size
  }

  /// Digits with or without commas between groups of three, and a point.
  private mutating func decimal() -> Rational? {
    var digits: [UInt8] = []
    var exponent = 0
    func isThousands(_ index: Int) -> Bool { AnswerTokens.isThousandsMark(tokens, at: index) }
    var hasComma = false
    while true {
      if case .digit(let digit)? = current {
        digits.append(digit)
      } else if current == .sign(","), isThousands(index), hasComma || (1...3).contains(digits.count) {
        hasComma = true
      } else {
        break
      }
      index += 1
    }
    if current == .sign("."), index + 1 < tokens.count, case .digit = tokens[index + 1] {
      index += 1
      while case .digit(let digit)? = current {
        digits.append(digit)
        exponent -= 1
        index += 1
      }
    }
    return digits.isEmpty ? nil : Rational(digits: digits, exponent: exponent)
  }

  /// Whether the rest is a unit in words, which does not count: `cm`, `square feet`, `km/h`, `cm^2`.
  private mutating func unit() -> Bool {
    var hasWord = false
    while let token = current {
      switch token {
      case .space: index += 1
      case .word(let word, let isText):
        let isHour = !hasWord && (word == "a" || word == "p")  // `3 a.m.`, but `3 eggs a day`
        guard !isHour, Self.isUnit(word, isText: isText || hasWord) else { return false }
        hasWord = true
        index += 1
      case .symbol(UInt8(ascii: "^")):
        guard hasWord else { return false }
        index += 1
        guard exponent() != nil else { return false }
      case .symbol(UInt8(ascii: "/")), .symbol(UInt8(ascii: ".")), .symbol(UInt8(ascii: "*")):
        guard hasWord else { return false }
        index += 1
      default: return false
      }
    }
    return true
  }

  /// A single letter may be a variable, so that it counts as a unit inside `\text{}` or behind another word only; some
  /// words change the value.
  private static func isUnit(_ word: String, isText: Bool) -> Bool {
    guard let first = word.unicodeScalars.first else { return false }
    if !first.isASCII { return first.value >= 0x2E80 }
    return (isText || word.utf8.count > 1) && !wordsOfValue.contains(word.lowercased())
  }

  private static let wordsOfValue: Set<String> = [
    "hundred", "hundreds", "thousand", "thousands", "million", "millions", "billion", "billions", "trillion", "dozen",
    "dozens", "half", "halves", "third", "thirds", "quarter", "quarters", "fifths", "sixths", "tenths", "pi", "sqrt",
    "sin", "cos", "tan", "log", "ln", "exp", "mod", "frac", "infty", "inf", "infinity", "and", "or", "to", "am", "pm",
    "times", "plus", "minus", "xy", "xyz", "yz", "xz", "ab", "bc", "ac", "abc", "mn", "pq", "more", "less",
  ]
}

extension Rational {
  /// Times a power of ten.
  fileprivate func scaled(by power: Int) -> Rational? {
    guard abs(power) <= 18 else { return numerator == 0 ? self : nil }
    var factor = 1
    for _ in 0..<abs(power) { factor *= 10 }
    return power < 0 ? divided(by: Rational(factor)) : Rational(1, over: factor).flatMap { divided(by: $0) }
  }
}
