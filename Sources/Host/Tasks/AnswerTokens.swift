/// An answer cut into tokens, with everything removed that carries no value: dollar and percent signs, degrees, sizes of
/// delimiters, spacing commands, math delimiters, braces round a single token.
struct AnswerTokens {
  enum Token: Equatable {
    case digit(UInt8)
    /// An ASCII sign, such as `,`, `/` or `=`.
    case symbol(UInt8)
    /// A run of letters, or one other character; `isText` inside `\text{…}` and its like.
    case word(String, isText: Bool)
    /// A LaTeX command without its backslash; `{` and `}` stand for the braces of a set.
    case command(String)
    /// White space, one for any run.
    case space

    var isDigit: Bool { if case .digit = self { true } else { false } }

    /// Whether white space beside it keeps things apart.
    var isAlphanumeric: Bool {
      switch self {
      case .digit, .word: true
      default: false
      }
    }

    static func sign(_ character: Unicode.Scalar) -> Token { .symbol(UInt8(ascii: character)) }
  }

  private(set) var tokens: [Token] = []

  /// What an open brace is: an ordinary one with its place in `tokens`, or that of a transparent command.
  private enum Brace {
    case plain(Int)
    case transparent(isText: Bool)
  }

  private var braces: [Brace] = []
  private var textDepth = 0

  init(_ text: String) {
    let scalars = Array(text.unicodeScalars)
    var index = 0
    while index < scalars.count { index = read(scalars, at: index) }
    // Braces that never close say nothing.
    let unclosed = braces.compactMap { if case .plain(let place) = $0 { place } else { nil } }
    for place in unclosed.reversed() { tokens.remove(at: place) }
    joinThousands()
  }

  /// Reads one token and gives the place after it.
  private mutating func read(_ scalars: [Unicode.Scalar], at index: Int) -> Int {
    let scalar = scalars[index]
    switch scalar {
    case "0"..."9": tokens.append(.digit(UInt8(scalar.value - 48)))
    case "a"..."z", "A"..."Z":
      let end = Self.endOfLetters(scalars, from: index)
      tokens.append(.word(Self.string(scalars[index..<end]), isText: textDepth > 0))
      return end
    case "\\": return readCommand(scalars, at: index + 1)
    case "{":
      braces.append(.plain(tokens.count))
      tokens.append(.sign("{"))
    case "}": closeBrace()
    case "$", "%", "\u{B0}", "\u{20AC}", "\u{A3}", "\u{FF05}", "\u{FEFF}", "\u{200B}": break
    case "\u{2212}", "\u{2010}"..."\u{2015}", "\u{FE63}", "\u{FF0D}": tokens.append(.sign("-"))
    case "\u{D7}", "\u{B7}", "\u{22C5}": tokens.append(.sign("*"))
    case "\u{F7}": tokens.append(.sign("/"))
    case "\u{2009}", "\u{202F}": tokens.append(Self.thin)
    case "~": appendSpace()
    default:
      if scalar.properties.isWhitespace {
        appendSpace()
      } else if scalar.isASCII {
        tokens.append(.symbol(UInt8(scalar.value)))
      } else {
        tokens.append(.word(String(Character(scalar)), isText: textDepth > 0))
      }
    }
    return index + 1
  }

  /// Reads what follows a backslash.
  private mutating func readCommand(_ scalars: [Unicode.Scalar], at index: Int) -> Int {
    guard index < scalars.count else { return index }
    let end = Self.endOfLetters(scalars, from: index)
    if end == index {
      switch scalars[index] {
      case ",": tokens.append(Self.thin)
      case ";", ":", ">", " ", "\\", "\n", "\t": appendSpace()
      case "!", "$", "%", "(", ")", "[", "]": break
      case "{", "}": tokens.append(.command(String(Character(scalars[index]))))
      default:
        if scalars[index].isASCII { tokens.append(.symbol(UInt8(scalars[index].value))) }
      }
      return index + 1
    }
    let name = Self.string(scalars[index..<end])
    switch name {
    case "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "displaystyle", "textstyle",
      "limits":
      break
    case "frac", "dfrac", "tfrac", "cfrac": tokens.append(.command("frac"))
    case "cdot", "times": tokens.append(.sign("*"))
    case "div": tokens.append(.sign("/"))
    case "quad", "qquad": appendSpace()
    case "lbrace": tokens.append(.command("{"))
    case "rbrace": tokens.append(.command("}"))
    case "circ", "degree":
      if tokens.last == .sign("^") { tokens.removeLast() }
    case "text", "textrm", "textbf", "textit", "textsf", "mbox", "mathrm", "mathbf", "mathit", "mathsf", "operatorname",
      "boxed", "fbox":
      return openTransparent(scalars, at: end, isText: !["boxed", "fbox"].contains(name))
    default: tokens.append(.command(name))
    }
    return end
  }

  private mutating func openTransparent(_ scalars: [Unicode.Scalar], at index: Int, isText: Bool) -> Int {
    var index = index
    while index < scalars.count, scalars[index].properties.isWhitespace { index += 1 }
    guard index < scalars.count, scalars[index] == "{" else { return index }
    appendSpace()
    braces.append(.transparent(isText: isText))
    if isText { textDepth += 1 }
    return index + 1
  }

  private mutating func closeBrace() {
    switch braces.popLast() {
    case nil: break
    case .transparent(let isText):
      if isText { textDepth -= 1 }
      appendSpace()
    case .plain(let place):
      let content = tokens.count - place - 1
      if content == 1, tokens[place + 1] == .sign(",") {
        tokens[place] = Self.thin  // `3{,}000`
        tokens.removeLast()
      } else if content == 1 {
        tokens.remove(at: place)
      } else if content == 0 {
        tokens.removeLast()
        if tokens.last == .sign("^") { tokens.removeLast() }  // `^{\circ}`
      } else {
        tokens.append(.sign("}"))
      }
    }
  }

  private mutating func appendSpace() {
    if let last = tokens.last, last != .space { tokens.append(.space) }
  }

  /// A thin space or `{,}`: it joins groups of three digits.
  private static let thin = Token.command(",")

  /// Takes out what stands between groups of three digits; elsewhere a thin space is white space.
  private mutating func joinThousands() {
    guard tokens.contains(Self.thin) else { return }
    var output: [Token] = []
    output.reserveCapacity(tokens.count)
    for (index, token) in tokens.enumerated() {
      if token != Self.thin {
        if token != .space || output.last != .space { output.append(token) }
      } else if !Self.isThousandsMark(tokens, at: index), let last = output.last, last != .space {
        output.append(.space)
      }
    }
    tokens = output
  }

  /// Whether exactly three digits follow a mark that stands behind a digit.
  static func isThousandsMark(_ tokens: some RandomAccessCollection<Token>, at index: Int) -> Bool {
    func digit(_ offset: Int) -> Bool {
      guard let place = tokens.index(tokens.startIndex, offsetBy: index + offset, limitedBy: tokens.endIndex),
        index + offset >= 0, place < tokens.endIndex
      else { return false }
      return tokens[place].isDigit
    }
    return digit(-1) && digit(1) && digit(2) && digit(3) && !digit(4)
  }

  private static func endOfLetters(_ scalars: [Unicode.Scalar], from index: Int) -> Int {
    var end = index
    while end < scalars.count, ("a"..."z").contains(scalars[end]) || ("A"..."Z").contains(scalars[end]) { end += 1 }
    return end
  }

  private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
    var text = String.UnicodeScalarView()
    text.append(contentsOf: scalars)
    return String(text)
  }
}
