/// Reads tokens as one expression in normal form, and stops where a unit or a word begins.
struct ExpressionParser {
  let tokens: ArraySlice<AnswerToken>
  var index: Int
  /// What `±` stands for in this reading: +1 or −1.
  private let sign: Int
  private(set) var hasPlusMinus = false
  private var depth = 0
  private static let deepest = 40

  init(_ tokens: ArraySlice<AnswerToken>, plusMinus sign: Int = 1) {
    self.tokens = tokens
    self.sign = sign
    index = tokens.startIndex
  }

  var rest: ArraySlice<AnswerToken> { tokens[index...] }
  var current: AnswerToken? { index < tokens.endIndex ? tokens[index] : nil }

  func token(_ offset: Int) -> AnswerToken? {
    index + offset < tokens.endIndex ? tokens[index + offset] : nil
  }

  mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
    guard current?.isSymbol(scalar) == true else { return false }
    index += 1
    return true
  }

  mutating func skipCommand(_ name: String) -> Bool {
    guard current?.isCommand(name) == true else { return false }
    index += 1
    return true
  }

  // MARK: Sums and products

  mutating func sum() -> Form? {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.deepest else { return nil }
    guard var total = signedProduct() else { return nil }
    while let token = current {
      var isNegative = false
      if token.isSymbol("+") {
      } else if token.isSymbol("-") {
        isNegative = true
      } else if token.isCommand("pm") || token.isCommand("mp") {
        isNegative = plusMinusIsNegative(token)
      } else {
        break
      }
      index += 1
      guard let next = signedProduct(), let sum = isNegative ? total.minus(next) : total.plus(next) else { return nil }
      total = sum
    }
    return total
  }

  private mutating func plusMinusIsNegative(_ token: AnswerToken) -> Bool {
    hasPlusMinus = true
    return (sign < 0) != token.isCommand("mp")
  }

  private mutating func signedProduct() -> Form? {
    var isNegative = false
    var count = 0
    while let token = current, count < 8 {
      if token.isSymbol("-") {
        isNegative.toggle()
      } else if token.isCommand("pm") || token.isCommand("mp") {
        if plusMinusIsNegative(token) { isNegative.toggle() }
      } else if !token.isSymbol("+") {
        break
      }
      index += 1
      count += 1
    }
    guard let product = product() else { return nil }
    return isNegative ? product.negated : product
  }

  private mutating func product() -> Form? {
    guard var total = power() else { return nil }
    while let token = current {
      if isTimes(token) {
        index += 1
        guard let next = power(), let product = total.times(next) else { return nil }
        total = product
        continue
      }
      if token.isSymbol("*") || token.isCommand("cdot") {
        index += 1
        guard let next = signedFactor(), let product = total.times(next) else { return nil }
        total = product
      } else if token.isSymbol("/") {
        // `60 km/h` never comes here: its unit stops the expression before.
        index += 1
        guard let next = signedFactor(), let quotient = total.divided(by: next) else { return nil }
        total = quotient
      } else if beginsFactor(after: total) {
        guard let next = power(), let product = total.times(next) else { return nil }
        total = product
      } else {
        break
      }
    }
    return total
  }

  /// The letter x for a sign of multiplication, between two numbers: `3 x 10^8`, `3x10^8`.
  private func isTimes(_ token: AnswerToken) -> Bool {
    guard token.word == "x", !token.isText, index > tokens.startIndex, tokens[index - 1].digit != nil, let next = self.token(1), next.digit != nil
    else { return false }
    if token.space == .wide, next.space == .wide { return true }
    return next.digit == 1 && self.token(2)?.digit == 0 && self.token(3)?.isSymbol("^") == true
  }

  private mutating func signedFactor() -> Form? {
    if skip("-") { return power()?.negated }
    _ = skip("+")
    return power()
  }

  /// Whether a factor follows without a sign of multiplication.
  private func beginsFactor(after left: Form) -> Bool {
    guard let token = current else { return false }
    switch token.kind {
    case .digit:
      // `5 6` is no product, `x2` is.
      guard index > tokens.startIndex else { return false }
      return tokens[index - 1].digit == nil && !tokens[index - 1].isSymbol("}") && !tokens[index - 1].isSymbol("'")
    case .word(let word):
      if token.isText { return false }
      // `15 min` and `20°C` go on with a unit.
      if ["min", "deg"].contains(word), left.isClosed, token.space != .none, self.token(1)?.isSymbol("(") != true { return false }
      if word == "C" || word == "F" || word == "K", left.withoutDegrees != nil { return false }
      if let scalar = word.unicodeScalars.first, !scalar.isASCII { return false }
      if left.rational != nil || left.isClosed, token.space != .none {
        if Functions.names.contains(word) || word == "pi" || word == "sqrt" { return true }
        return word.utf8.count == 1 && !AnswerUnit.spacedLetters.contains(word) && !Self.articles.contains(word)
      }
      return true
    case .command(let name):
      return name == "{" || name == "}" ? false : Self.beginsWithCommand(name)
    case .symbol(let scalar): return scalar == "(" || scalar == "{" || scalar == "["
    }
  }

  private static let articles: Set<String> = ["a"]
  private static let nonFactors: Set<String> = [
    "cup", "cap", "in", "notin", "le", "ge", "ne", "approx", "to", "Rightarrow", "and", "or", "newline", "pm", "mp", "cdot", "setminus", "sim",
    "cong", "equiv", "rangle", "rfloor", "rceil", "dollar", "pounds", "euro", "yen", "rupee", "cent", "won", "rouble", "subset", "subseteq",
    "||", "percent", "choose", "propto", "parallel", "perp", "emptyset", "langle",
  ]

  private static func beginsWithCommand(_ name: String) -> Bool {
    !nonFactors.contains(name) && !name.hasPrefix("end:") && !name.hasPrefix("begin:")
  }

  // MARK: Powers

  private mutating func power() -> Form? {
    guard var base = primary() else { return nil }
    while let token = current {
      if token.isSymbol("!") {
        index += 1
        // `5!!` is 5·3·1, and not the factorial of a factorial.
        let name = skip("!") ? "doublefactorial" : "factorial"
        guard current?.isSymbol("!") != true, let value = Functions.apply(name, [base]) else { return nil }
        base = value
      } else if token.isSymbol("^") {
        index += 1
        if isDegree() {
          guard let value = base.times(.symbol("\\degree")) else { return nil }
          base = value
          continue
        }
        guard let exponent = exponent(), let value = base.power(exponent) else { return nil }
        base = value
      } else if token.isCommand("degree") {
        index += 1
        guard let value = base.times(.symbol("\\degree")) else { return nil }
        base = value
      } else {
        break
      }
    }
    return base
  }

  /// `^\circ`, `^{\circ}`, `^o`.
  private mutating func isDegree() -> Bool {
    if skipCommand("circ") || skipCommand("degree") { return true }
    guard current?.isSymbol("{") == true, token(1)?.isCommand("circ") == true || token(1)?.isCommand("degree") == true,
      token(2)?.isSymbol("}") == true
    else { return false }
    index += 3
    return true
  }

  /// What `^` takes. Of digits all: `2^10` is typed for 2^{10}, since nothing is 2^1 beside a 0.
  private mutating func exponent() -> Form? {
    let isNegative = current?.isSymbol("-") == true
    guard token(isNegative ? 1 : 0)?.digit != nil else { return argument() }
    if isNegative { index += 1 }
    guard let number = Rational(digits: digits(), exponent: 0) else { return nil }
    return Form(isNegative ? number.negated : number)
  }

  /// What a command takes: a group in braces, or one token.
  mutating func argument() -> Form? {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.deepest, let token = current else { return nil }
    if token.isSymbol("{") { return group("}") }
    if token.isSymbol("(") { return group(")") }
    switch token.kind {
    case .digit(let digit):
      index += 1
      return Form(Rational(Int(digit)))
    case .word(let word):
      // One letter is the argument; of `\frac ab` the rest is left for the next.
      if word.unicodeScalars.count > 1, !token.isText, pendingLetters == nil { pendingLetters = Array(word.unicodeScalars) }
      if var letters = pendingLetters, let first = letters.first {
        letters.removeFirst()
        pendingLetters = letters.isEmpty ? nil : letters
        if letters.isEmpty { index += 1 }
        return Self.letter(String(Character(first)))
      }
      index += 1
      return Self.letter(word)
    case .symbol(let scalar) where scalar == "-" || scalar == "+":
      index += 1
      guard let value = argument() else { return nil }
      return scalar == "-" ? value.negated : value
    case .command: return primary()
    default: return nil
    }
  }

  /// Letters of a word of which a command took the first.
  private var pendingLetters: [Unicode.Scalar]?

  private mutating func group(_ close: Unicode.Scalar) -> Form? {
    index += 1
    guard let inner = sum() else { return nil }
    if skipCommand("choose") {
      guard let below = sum(), skip(close) else { return nil }
      return Functions.apply("binom", [inner, below])
    }
    return skip(close) ? inner : nil
  }

  private static func letter(_ letter: String) -> Form { .symbol(letter) }

  // MARK: Primaries

  private mutating func primary() -> Form? {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.deepest, let token = current else { return nil }
    switch token.kind {
    case .digit: return number()
    case .symbol("."): return number()
    case .word(let word): return self.word(word, token)
    case .symbol("("): return group(")")
    case .symbol("["): return group("]")
    case .symbol("{"): return group("}")
    case .symbol("|"):
      index += 1
      guard let inner = sum(), skip("|") else { return nil }
      return Functions.apply("abs", [inner])
    case .command(let name): return command(name)
    default: return nil
    }
  }

  private mutating func word(_ word: String, _ token: AnswerToken) -> Form? {
    if token.isText, word.unicodeScalars.count > 1, !Functions.names.contains(word) { return nil }
    if word == "pi" {
      index += 1
      return .symbol("\\pi")
    }
    if word == "infinity" || word == "inf" || word == "Infinity" {
      index += 1
      return .symbol("\\infty")
    }
    if word == "sqrt" {
      index += 1
      // `sqrt 16`: typed without LaTeX, the whole number is meant.
      if current?.digit != nil { return decimal().flatMap { Form($0).power(Form(Self.half)) } }
      return argument()?.power(Form(Self.half))
    }
    if Functions.names.contains(word) {
      index += 1
      return function(word)
    }
    if let letters = pendingLetters {
      index += 1
      pendingLetters = nil
      return product(of: letters)
    }
    index += 1
    if word.unicodeScalars.count == 1 { return subscripted(word) }
    // Letters side by side are a product; a long word on its own is a word.
    let isGlued = token.space == .none && index - 1 > tokens.startIndex && tokens[index - 2].digit != nil
    // Between signs of an expression letters are variables; on their own or beside words they may be a word.
    let isAmongWords =
      (index - 1 == tokens.startIndex || tokens[index - 2].word != nil) && (index == tokens.endIndex || tokens[index].word != nil)
    guard isGlued || word.unicodeScalars.count <= 3, !isAmongWords || !AnswerWords.isEnglish(word) || isGlued else { return nil }
    var letters = Array(word.unicodeScalars)
    let last = letters.removeLast()
    guard let front = product(of: letters), let end = powerOfLast(subscripted(String(Character(last)))) else { return nil }
    return front.times(end)
  }

  /// In `xy^2` the power is that of y.
  private mutating func powerOfLast(_ base: Form?) -> Form? {
    guard let base, skip("^") else { return base }
    if isDegree() { return base.times(.symbol("\\degree")) }
    return exponent().flatMap { base.power($0) }
  }

  private func product(of letters: [Unicode.Scalar]) -> Form? {
    var total = Form.one
    for letter in letters {
      guard let next = total.times(Self.letter(String(Character(letter)))) else { return nil }
      total = next
    }
    return total
  }

  /// A name with its subscript and primes, which belong to it.
  private mutating func subscripted(_ name: String) -> Form? {
    var name = name
    while let token = current {
      if token.isSymbol("'") {
        index += 1
        name += "'"
      } else if token.isSymbol("^"), self.token(1)?.isCommand("prime") == true {
        index += 2
        name += "'"
      } else if token.isSymbol("^"), self.token(1)?.isSymbol("{") == true, self.token(2)?.isCommand("prime") == true, self.token(3)?.isSymbol("}") == true {
        index += 4
        name += "'"
      } else if token.isSymbol("_") {
        index += 1
        guard let key = subscriptKey() else { return nil }
        name += "_{\(key)}"
      } else {
        break
      }
    }
    return .symbol(name)
  }

  mutating func subscriptKey() -> String? {
    guard let token = current else { return nil }
    guard token.isSymbol("{") else {
      index += 1
      return token.text
    }
    var level = 0
    var key = ""
    while let token = current {
      index += 1
      if token.isSymbol("{") { level += 1 }
      if token.isSymbol("}") {
        level -= 1
        if level == 0 { return key }
      }
      if !(token.isSymbol("{") && level == 1) { key += token.text }
    }
    return nil
  }

  private static let half = Rational(BigInteger(1), over: BigInteger(2)) ?? .one

  private mutating func command(_ name: String) -> Form? {
    switch name {
    case "frac":
      index += 1
      guard let above = argument(), let below = argument() else { return nil }
      return above.divided(by: below)
    case "binom":
      index += 1
      guard let above = argument(), let below = argument() else { return nil }
      return Functions.apply("binom", [above, below])
    case "sqrt":
      index += 1
      var degree = Form(Rational(2))
      if current?.isSymbol("[") == true {
        guard let inner = group("]") else { return nil }
        degree = inner
      }
      guard let inner = argument(), let exponent = Form.one.divided(by: degree) else { return nil }
      return inner.power(exponent)
    case "lfloor", "lceil":
      index += 1
      guard let inner = sum(), skipCommand(name == "lfloor" ? "rfloor" : "rceil") else { return nil }
      return Functions.apply(name == "lfloor" ? "floor" : "ceil", [inner])
    case "||":
      index += 1
      guard let inner = sum(), skipCommand("||") else { return nil }
      return Functions.apply("norm", [inner])
    case "overline", "bar", "vec", "hat", "widehat", "tilde", "overrightarrow", "dot", "ddot", "overarc", "not":
      index += 1
      guard let key = subscriptKey() else { return nil }
      return subscripted("\\\(name){\(key)}")
    case "degree":
      index += 1
      return .symbol("\\degree")
    case "circ":
      index += 1
      return .symbol("\\circ")
    default:
      if Functions.names.contains(name) {
        index += 1
        return function(name)
      }
      guard Self.beginsWithCommand(name), name != "{", name != "}" else { return nil }
      index += 1
      return subscripted("\\\(name)")
    }
  }

  /// `\sin^2 x`, `\log_2 8`, `\sin(x)`, `\sin 2x`.
  private mutating func function(_ name: String) -> Form? {
    var base: Form?
    var exponent: Form?
    for _ in 0..<2 {
      if name == "log", base == nil, skip("_") {
        guard let value = argument() else { return nil }
        base = value
      } else if exponent == nil, skip("^") {
        guard let value = argument() else { return nil }
        exponent = value
      }
    }
    var arguments: [Form] = []
    if current?.isSymbol("(") == true || current?.isSymbol("{") == true {
      let close: Unicode.Scalar = current?.isSymbol("(") == true ? ")" : "}"
      index += 1
      repeat {
        guard let argument = sum() else { return nil }
        arguments.append(argument)
      } while skip(",")
      guard skip(close) else { return nil }
    } else {
      // All factors that follow without a sign; another function begins a new one.
      guard var total = power() else { return nil }
      while beginsFactor(after: total), !beginsFunction {
        guard let next = power(), let product = total.times(next) else { return nil }
        total = product
      }
      arguments = [total]
    }
    if let base { arguments.append(base) }
    guard let value = Functions.apply(name, arguments) else { return nil }
    guard let exponent else { return value }
    // `\sin^{-1}` is the inverse.
    if exponent.rational == Rational(-1), ["sin", "cos", "tan"].contains(name) { return Functions.apply("arc" + name, arguments) }
    return value.power(exponent)
  }

  private var beginsFunction: Bool {
    switch current?.kind {
    case .word(let word): Functions.names.contains(word)
    case .command(let name): Functions.names.contains(name)
    default: false
    }
  }
}
