/// Numbers: digits with marks of thousands, repeating decimals, mixed numbers, powers of ten and words of value.
extension ExpressionParser {
  /// Digits with marks of thousands, a point, a repeating part, a power of ten, and the fraction of a mixed number.
  mutating func number() -> Form? {
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

  mutating func digits() -> [UInt8] {
    var digits: [UInt8] = []
    while let digit = current?.digit, digits.isEmpty || current?.space == AnswerToken.Space.none {
      digits.append(digit)
      index += 1
    }
    return digits
  }

  mutating func decimal() -> Rational? {
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
