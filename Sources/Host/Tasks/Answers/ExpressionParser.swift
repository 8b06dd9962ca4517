/// Reads tokens as one expression in normal form, and stops where a unit or a word begins.
struct ExpressionParser {
  private let tokens: ArraySlice<AnswerToken>
  private(set) var index: Int
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
  private var current: AnswerToken? { index < tokens.endIndex ? tokens[index] : nil }

  private func token(_ offset: Int) -> AnswerToken? {
    index + offset < tokens.endIndex ? tokens[index + offset] : nil
  }

  private mutating func skip(_ scalar: Unicode.Scalar) -> Bool {
    guard current?.isSymbol(scalar) == true else { return false }
    index += 1
    return true
  }

  private mutating func skipCommand(_ name: String) -> Bool {
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
  private mutating func argument() -> Form? {
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

  private mutating func subscriptKey() -> String? {
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

  // MARK: Numbers

  /// Digits with marks of thousands, a point, a repeating part, a power of ten, and the fraction of a mixed number.
  private mutating func number() -> Form? {
    guard let number = decimal() else { return nil }
    if skip("_") {
      // Another base: the digits stay what they are.
      guard let key = subscriptKey() else { return nil }
      return .symbol("\(number.text)_{\(key)}")
    }
    if number.isWhole, let part = mixedPart(), let sum = number.plus(part) { return Form(sum) }
    return valueWords(number)
  }

  /// Moves behind the decimal that stands here.
  mutating func skipDecimal() { _ = decimal() }

  private mutating func digits() -> [UInt8] {
    var digits: [UInt8] = []
    while let digit = current?.digit, digits.isEmpty || current?.space == AnswerToken.Space.none {
      digits.append(digit)
      index += 1
    }
    return digits
  }

  private mutating func decimal() -> Rational? {
    var digits = digits()
    if (1...3).contains(digits.count), digits.first != 0 { thousands(&digits) }
    var exponent = 0
    if current?.isSymbol(".") == true, token(1)?.digit != nil, token(1)?.space == AnswerToken.Space.none {
      index += 1
      let fraction = self.digits()
      digits += fraction
      exponent = -fraction.count
      if current?.isCommand("overline") == true, token(1)?.isSymbol("{") == true {
        return repeating(digits, places: fraction.count)
      }
      if current?.isCommand("dot") == true { return dotted(digits, places: fraction.count) }
    } else if current?.isSymbol(".") == true, token(1)?.isCommand("overline") == true {
      index += 1
      return repeating(digits, places: 0)
    } else if current?.isSymbol(".") == true, token(1)?.isCommand("dot") == true {
      index += 1
      return dotted(digits, places: 0)
    }
    guard !digits.isEmpty else { return nil }
    exponent += powerOfTen()
    return Rational(digits: digits, exponent: exponent)
  }

  /// Groups of three after marks that are all alike: `,`, `{,}`, `,\!`, `\,`, `~` or a space.
  private mutating func thousands(_ digits: inout [UInt8]) {
    var groups: [UInt8] = []
    var place = index
    var mark: String?
    while true {
      var next = place
      var found = ""
      if next + 2 < tokens.endIndex, tokens[next].isSymbol("{"), tokens[next + 1].isSymbol(","), tokens[next + 2].isSymbol("}") {
        found = ","
        next += 3
      } else if next < tokens.endIndex, tokens[next].isSymbol(","), tokens[next].space == .none {
        found = ","
        next += 1
      }
      guard next + 2 < tokens.endIndex, tokens[next].digit != nil, tokens[next + 1].digit != nil, tokens[next + 2].digit != nil,
        tokens[next + 1].space == .none, tokens[next + 2].space == .none
      else { break }
      let space = tokens[next].space
      if found == "," {
        if space == .wide { break }
      } else {
        if space == .none { break }
        found = " "
      }
      guard mark == nil || mark == found else { return }
      if next + 3 < tokens.endIndex, tokens[next + 3].digit != nil, tokens[next + 3].space == .none { return }
      mark = found
      groups += (0..<3).compactMap { tokens[next + $0].digit }
      place = next + 3
    }
    // `1,000,00` is no number.
    if mark == ",", place + 1 < tokens.endIndex, tokens[place].isSymbol(","), tokens[place + 1].digit != nil,
      tokens[place + 1].space == .none
    {
      return
    }
    if mark == " ", place < tokens.endIndex, tokens[place].digit != nil { return }
    guard mark != nil else { return }
    digits += groups
    index = place
  }

  /// `0.1\overline{6}`.
  private mutating func repeating(_ digits: [UInt8], places: Int) -> Rational? {
    index += 2
    let period = self.digits()
    return skip("}") ? decimal(digits, places: places, repeating: period) : nil
  }

  /// `0.1\dot{6}`, `0.\dot{1}4285\dot{7}`: what stands from the first dot to the last.
  private mutating func dotted(_ digits: [UInt8], places: Int) -> Rational? {
    guard let first = dottedDigit() else { return nil }
    let between = self.digits()
    if let last = dottedDigit() { return decimal(digits, places: places, repeating: [first] + between + [last]) }
    return between.isEmpty ? decimal(digits, places: places, repeating: [first]) : nil
  }

  private mutating func dottedDigit() -> UInt8? {
    guard skipCommand("dot") else { return nil }
    let hasBrace = skip("{")
    guard let digit = current?.digit else { return nil }
    index += 1
    return hasBrace && !skip("}") ? nil : digit
  }

  private func decimal(_ digits: [UInt8], places: Int, repeating period: [UInt8]) -> Rational? {
    guard !period.isEmpty, period.count < 1000, let fixed = Rational(digits: digits, exponent: -places),
      let part = Rational(digits: period, exponent: -places),
      let nines = Rational(digits: Array(repeating: 9, count: period.count), exponent: 0), let rest = part.divided(by: nines)
    else { return nil }
    return fixed.plus(rest)
  }

  /// `e23` or `E-4` glued to the digits.
  private mutating func powerOfTen() -> Int {
    guard let word = current?.word, word == "e" || word == "E", current?.space == AnswerToken.Space.none else { return 0 }
    var place = index + 1
    var isNegative = false
    if place < tokens.endIndex, tokens[place].isSymbol("-") || tokens[place].isSymbol("+") {
      isNegative = tokens[place].isSymbol("-")
      place += 1
    }
    var power = 0
    let start = place
    while place < tokens.endIndex, let digit = tokens[place].digit, tokens[place].space == .none {
      power = min(power * 10 + Int(digit), 1_000_000)
      place += 1
    }
    guard place > start else { return 0 }
    index = place
    return isNegative ? -power : power
  }

  /// The proper fraction of `1 1/2` or `1\frac12`.
  private mutating func mixedPart() -> Rational? {
    let mark = index
    if current?.isCommand("frac") == true {
      index += 1
      if let above = argument()?.rational, let below = argument()?.rational, let part = proper(above, below) { return part }
    } else if current?.digit != nil, current?.space != AnswerToken.Space.none {
      let above = digits()
      if skip("/"), current?.digit != nil, let part = proper(Rational(digits: above, exponent: 0), Rational(digits: digits(), exponent: 0)) {
        return part
      }
    }
    index = mark
    return nil
  }

  private func proper(_ above: Rational?, _ below: Rational?) -> Rational? {
    guard let above, let below, above.isWhole, below.isWhole, !above.isNegative, above < below, !above.isZero else { return nil }
    return above.divided(by: below)
  }

  /// Words that change the value of the number before them: `2 dozen`, `7 eighths`, `5 squared`.
  private mutating func valueWords(_ number: Rational) -> Form? {
    var value = number
    while let token = current, let word = token.word, token.isText || token.space != .none {
      let name = word.lowercased()
      if let factor = AnswerWords.multipliers[name] {
        guard let product = value.times(factor) else { return nil }
        value = product
      } else if let parts = AnswerWords.parts[name] {
        guard let quotient = value.divided(by: Rational(parts)) else { return nil }
        value = quotient
      } else if let power = AnswerWords.powers[name] {
        guard let product = value.power(power) else { return nil }
        value = product
      } else {
        break
      }
      index += 1
    }
    return Form(value)
  }
}
