/// One token of an answer.
struct AnswerToken: Sendable, Equatable {
  enum Kind: Sendable, Equatable {
    case digit(UInt8)
    /// A run of letters.
    case word(String)
    /// A LaTeX command without its backslash, by its canonical name; `{` and `}` stand for the braces of a set.
    case command(String)
    case symbol(Unicode.Scalar)
  }

  /// What stands before a token: nothing, a space that LaTeX sets (`\,`, `~`), or white space.
  enum Space: Sendable { case none, thin, wide }

  let kind: Kind
  var space = Space.none
  /// Whether it stands in `\text{…}` or its like.
  var isText = false

  var word: String? { if case .word(let word) = kind { word } else { nil } }
  var digit: UInt8? { if case .digit(let digit) = kind { digit } else { nil } }
  func isCommand(_ name: String) -> Bool { kind == .command(name) }
  func isSymbol(_ scalar: Unicode.Scalar) -> Bool { kind == .symbol(scalar) }

  /// How a key or a text shows it.
  var text: String {
    switch kind {
    case .digit(let digit): String(digit)
    case .word(let word): word
    case .command(let name): "\\\(name)"
    case .symbol(let scalar): String(Character(scalar))
    }
  }
}

/// Cuts an answer into tokens and leaves out what carries no value: math delimiters, sizes, type faces, invisible braces.
struct AnswerLexer {
  private let scalars: [Unicode.Scalar]
  private var index = 0
  private(set) var tokens: [AnswerToken] = []
  private var space = AnswerToken.Space.none
  private static let deepest = 24

  static func tokens(_ text: String) -> [AnswerToken] {
    var lexer = AnswerLexer(scalars: dollarsNamed(AnswerAliases.latex(text)))
    lexer.run(until: lexer.scalars.count, isText: false, depth: 0)
    return lexer.tokens
  }

  /// Signs of dollars come in pairs around mathematics; one alone beside a digit is money: `$5`.
  private static func dollarsNamed(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
    let places = scalars.indices.filter { scalars[$0] == "$" && ($0 == 0 || scalars[$0 - 1] != "\\") }
    guard places.count == 1, let place = places.first else { return scalars }
    func isDigit(_ index: Int) -> Bool { scalars.indices.contains(index) && ("0"..."9").contains(scalars[index]) }
    guard isDigit(place + 1) || isDigit(place - 1) else { return scalars }
    return Array(scalars[..<place]) + Array("\\$".unicodeScalars) + Array(scalars[(place + 1)...])
  }

  private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

  private mutating func add(_ kind: AnswerToken.Kind, isText: Bool) {
    tokens.append(AnswerToken(kind: kind, space: space, isText: isText))
    space = .none
  }

  private mutating func run(until end: Int, isText: Bool, depth: Int) {
    while index < end {
      let scalar = scalars[index]
      switch scalar {
      case "0"..."9":
        add(.digit(UInt8(scalar.value - 48)), isText: isText)
        index += 1
      case "\\": command(end, isText: isText, depth: depth)
      case "$": index += 1
      case "*" where index + 1 < end && scalars[index + 1] == "*":
        // A power as programs write it; at the ends of the answer, bold type of Markdown.
        let isPower = !tokens.isEmpty && index + 2 < end
        index += 2
        if isPower { add(.symbol("^"), isText: isText) }
      case "~":
        space = .thin
        index += 1
      default:
        if scalar.properties.isWhitespace {
          if space == .none { space = .wide }
          index += 1
        } else if isLetter(scalar) {
          var word = ""
          while index < end, isLetter(scalars[index]) {
            word.unicodeScalars.append(scalars[index])
            index += 1
          }
          add(.word(word), isText: isText)
        } else {
          add(.symbol(scalar), isText: isText)
          index += 1
        }
      }
    }
  }

  private func isLetter(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCII
      ? ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) : scalar.properties.isAlphabetic
  }

  private mutating func command(_ end: Int, isText: Bool, depth: Int) {
    index += 1
    guard index < end else { return }
    let first = scalars[index]
    guard isLetter(first), first.isASCII else {
      index += 1
      switch first {
      case ",", "!", ";", ":", ">": space = .thin
      case " ", "\n", "\t": if space == .none { space = .wide }
      case "(", ")", "[", "]": break
      case "\\": add(.command("newline"), isText: isText)
      case "{", "}", "|": add(.command(first == "|" ? "||" : String(Character(first))), isText: isText)
      case "$": add(.command("dollar"), isText: isText)
      default: add(.symbol(first), isText: isText)
      }
      return
    }
    var name = ""
    while index < end, scalars[index].isASCII, isLetter(scalars[index]) {
      name.unicodeScalars.append(scalars[index])
      index += 1
    }
    if AnswerAliases.ignored.contains(name) {
      // `\left.` and `\right.` are delimiters that are not seen.
      if name == "left" || name == "right", index < end, scalars[index] == "." { index += 1 }
      return
    }
    if AnswerAliases.spaces.contains(name) {
      space = .wide
      return
    }
    if let isWords = AnswerAliases.switches[name] {
      guard depth < Self.deepest, tokens.last?.isSymbol("{") == true, let close = closingBrace(end) else { return }
      tokens.removeLast()
      run(until: close, isText: isWords || isText, depth: depth + 1)
      index = close + 1
      return
    }
    if AnswerAliases.dropped.contains(name) {
      if let content = group(end) { index = content.upperBound + 1 }
      return
    }
    if let isWords = AnswerAliases.faces[name], depth < Self.deepest {
      if let content = group(end) {
        run(until: content.upperBound, isText: isWords || isText, depth: depth + 1)
        index = content.upperBound + 1
      }
      return
    }
    if AnswerAliases.alphabets.contains(name) {
      let letter = group(end).map { String(String.UnicodeScalarView(scalars[$0])) }
      if let letter { index += letter.unicodeScalars.count + 1 }
      return add(.command(letter.map { "\(name == "Bbb" ? "mathbb" : name):\($0)" } ?? name), isText: isText)
    }
    if name == "begin" || name == "end" {
      var environment = ""
      if let content = group(end) {
        environment = String(String.UnicodeScalarView(scalars[content])).filter { $0 != "*" }
        index = content.upperBound + 1
        if environment == "array" { if let columns = group(end) { index = columns.upperBound + 1 } }
      }
      return add(.command("\(name):\(environment)"), isText: isText)
    }
    let canonical = AnswerAliases.command[name] ?? name
    if canonical.unicodeScalars.count == 1, let sign = canonical.unicodeScalars.first, sign != "{", sign != "}", !isLetter(sign) {
      return add(.symbol(sign), isText: isText)
    }
    add(.command(canonical), isText: isText)
  }

  /// The content of a group in braces that begins here, white space aside, and moves to its first scalar; of one that never
  /// closes, the rest.
  private mutating func group(_ end: Int) -> Range<Int>? {
    var start = index
    while start < end, scalars[start].properties.isWhitespace { start += 1 }
    guard start < end, scalars[start] == "{" else { return nil }
    index = start + 1
    return index..<max(index, closingBrace(end) ?? end)
  }

  /// The brace that closes the group in which the next scalar stands.
  private func closingBrace(_ end: Int) -> Int? {
    var depth = 1
    var place = index
    while place < end {
      if scalars[place] == "\\" {
        place += 2
        continue
      }
      if scalars[place] == "{" { depth += 1 }
      if scalars[place] == "}" {
        depth -= 1
        if depth == 0 { return place }
      }
      place += 1
    }
    return nil
  }
}
