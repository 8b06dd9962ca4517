/// What an answer says: a number, a tuple, interval, list or set, or any other expression as its tokens.
enum AnswerValue: Equatable {
  case number(Rational)
  /// `open` and `close` are the brackets, `{` and `}` for a set, zero for a bare list.
  case list(open: UInt8, parts: [AnswerValue], close: UInt8)
  case expression([AnswerTokens.Token])

  private typealias Token = AnswerTokens.Token

  init(_ text: String) { self.init(AnswerTokens(text).tokens[...], depth: 0) }

  private init(_ all: ArraySlice<Token>, depth: Int) {
    let tokens = Self.stripped(all)
    if let number = AnswerNumber.read(tokens) {
      self = .number(number)
      return
    }
    if let (open, content, close) = Self.bracketed(tokens), depth < 8 {
      let parts = Self.split(content, joinsThousands: false)
      if parts.count == 1, open == UInt8(ascii: "("), close == UInt8(ascii: ")") {
        self.init(content, depth: depth + 1)  // `(5)`, `(A)`
      } else {
        self = .list(open: open, parts: parts.map { AnswerValue($0, depth: depth + 1) }, close: close)
      }
      return
    }
    if tokens.first == .sign("{"), Self.closing(tokens) == tokens.endIndex - 1, depth < 8 {
      self.init(tokens.dropFirst().dropLast(), depth: depth + 1)
      return
    }
    let parts = Self.split(tokens, joinsThousands: true)
    if parts.count > 1, depth < 8 {
      self = .list(open: 0, parts: parts.map { AnswerValue($0, depth: depth + 1) }, close: 0)
    } else {
      self = .expression(Self.plain(tokens))
    }
  }

  /// Part by part; the parts of a set in any order.
  static func == (a: AnswerValue, b: AnswerValue) -> Bool {
    switch (a, b) {
    case (.number(let a), .number(let b)): return a == b
    case (.expression(let a), .expression(let b)): return a == b
    case (.list(let openA, let partsA, let closeA), .list(let openB, let partsB, let closeB)):
      guard openA == openB, closeA == closeB, partsA.count == partsB.count else { return false }
      if openA != UInt8(ascii: "{") { return partsA == partsB }
      var rest = partsB
      for part in partsA {
        guard let place = rest.firstIndex(of: part) else { return false }
        rest.swapAt(place, rest.count - 1)
        rest.removeLast()
      }
      return true
    default: return false
    }
  }

  /// Without white space at the ends, a full stop at the end and a name on the left, as in `x = 5`.
  private static func stripped(_ all: ArraySlice<Token>) -> ArraySlice<Token> {
    var tokens = trimmed(all)
    if tokens.count > 1, tokens.last == .sign(".") { tokens = trimmed(tokens.dropLast()) }
    if let equals = tokens.firstIndex(of: .sign("=")), tokens.lastIndex(of: .sign("=")) == equals {
      let left = trimmed(tokens[..<equals])
      let right = trimmed(tokens[(equals + 1)...])
      if !right.isEmpty, left.count <= 8, isName(left) { tokens = right }
    }
    return tokens
  }

  private static func trimmed(_ tokens: ArraySlice<Token>) -> ArraySlice<Token> {
    var tokens = tokens
    while tokens.first == .space { tokens.removeFirst() }
    while tokens.last == .space { tokens.removeLast() }
    return tokens
  }

  /// `x`, `x_1`, `\theta`, `total cost`.
  private static func isName(_ tokens: ArraySlice<Token>) -> Bool {
    var hasIndex = false
    for token in tokens {
      switch token {
      case .word, .space: break
      case .command(let name): if name.count < 2 || name == "frac" || name == "sqrt" { return false }
      case .symbol(UInt8(ascii: "_")): hasIndex = true
      case .digit: if !hasIndex { return false }
      default: return false
      }
    }
    return tokens.first.map { !$0.isDigit && $0 != .sign("_") } ?? false
  }

  private static func depthChange(_ token: Token) -> Int {
    switch token {
    case .symbol(UInt8(ascii: "(")), .symbol(UInt8(ascii: "[")), .symbol(UInt8(ascii: "{")), .command("{"): 1
    case .symbol(UInt8(ascii: ")")), .symbol(UInt8(ascii: "]")), .symbol(UInt8(ascii: "}")), .command("}"): -1
    default: 0
    }
  }

  /// Where the bracket that opens at the beginning closes.
  private static func closing(_ tokens: ArraySlice<Token>) -> Int? {
    var depth = 0
    for (index, token) in zip(tokens.indices, tokens) {
      depth += depthChange(token)
      if depth == 0 { return index }
    }
    return nil
  }

  private static func bracketed(_ tokens: ArraySlice<Token>) -> (UInt8, ArraySlice<Token>, UInt8)? {
    guard tokens.count >= 2, let first = tokens.first, let last = tokens.last, closing(tokens) == tokens.endIndex - 1
    else { return nil }
    let content = tokens.dropFirst().dropLast()
    switch (first, last) {
    case (.command("{"), .command("}")): return (UInt8(ascii: "{"), content, UInt8(ascii: "}"))
    case (.symbol(let open), .symbol(let close))
    where [UInt8(ascii: "("), UInt8(ascii: "[")].contains(open)
      && [UInt8(ascii: ")"), UInt8(ascii: "]")].contains(close):
      return (open, content, close)
    default: return nil
    }
  }

  /// The parts between commas, `and` and `or` outside brackets. Outside brackets a comma before a group of three digits
  /// belongs to a number.
  private static func split(_ tokens: ArraySlice<Token>, joinsThousands: Bool) -> [ArraySlice<Token>] {
    var parts: [ArraySlice<Token>] = []
    var depth = 0
    var start = tokens.startIndex
    for (index, token) in zip(tokens.indices, tokens) {
      depth += depthChange(token)
      guard depth == 0 else { continue }
      let isSeparator =
        switch token {
        case .symbol(UInt8(ascii: ",")):
          !(joinsThousands && AnswerTokens.isThousandsMark(tokens, at: index - tokens.startIndex))
        case .word("and", _), .word("or", _): true
        default: false
        }
      if isSeparator {
        parts.append(tokens[start..<index])
        start = index + 1
      }
    }
    parts.append(tokens[start...])
    // `2, 3, and 5` has an empty part between the comma and the word.
    let filled = parts.filter { !trimmed($0).isEmpty }
    return filled.count > 1 ? filled : [tokens]
  }

  /// The tokens of an expression without what does not matter: white space that keeps nothing apart, commas of thousands,
  /// and whether a word stood in `\text{}`.
  private static func plain(_ tokens: ArraySlice<Token>) -> [Token] {
    var output: [Token] = []
    for (index, token) in zip(tokens.indices, tokens) {
      switch token {
      case .space:
        guard let before = output.last, before.isAlphanumeric, index + 1 < tokens.endIndex,
          tokens[index + 1].isAlphanumeric
        else { continue }
        output.append(token)
      case .word(let word, _): output.append(.word(word, isText: false))
      case .symbol(UInt8(ascii: ",")) where AnswerTokens.isThousandsMark(tokens, at: index - tokens.startIndex): break
      default: output.append(token)
      }
    }
    return output
  }
}
