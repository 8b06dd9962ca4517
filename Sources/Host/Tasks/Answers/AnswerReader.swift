/// Reads an answer's tokens into its tree: first lists and words, then relations, unions and brackets, then expressions.
struct AnswerReader {
  /// Whether a comma between groups of three digits may part them into a list, the other reading of `100,200`.
  let splitsThousands: Bool
  private static let deepest = 12

  init(splitsThousands: Bool = false) { self.splitsThousands = splitsThousands }

  func answer(_ tokens: [AnswerToken]) -> AnswerValue {
    let tokens = AnswerWords.inDigits(Self.withoutPhrase(Self.trimmed(tokens)))
    return element(tokens[...], depth: 0, isTop: true) ?? Self.text(tokens[...])
  }

  // MARK: Around the answer

  private static func trimmed(_ tokens: [AnswerToken]) -> [AnswerToken] {
    var slice = tokens[...]
    while let last = slice.last, last.isSymbol(".") || last.isSymbol(",") || last.isSymbol(";") {
      // `0.333...` goes on: it is not the number that it begins with.
      if last.isSymbol("."), slice.dropLast().last?.isSymbol(".") == true { break }
      slice.removeLast()
    }
    while let first = slice.first, first.isSymbol(",") || first.isSymbol(":") { slice.removeFirst() }
    // Quoted as a whole.
    for (open, close) in [("\"", "\""), ("'", "'"), ("`", "`"), ("`", "'")] as [(Unicode.Scalar, Unicode.Scalar)]
    where slice.count > 2 && slice.first?.isSymbol(open) == true && slice.last?.isSymbol(close) == true {
      slice = slice.dropFirst().dropLast()
      break
    }
    return Array(slice)
  }

  private static let phrases = [["the", "final", "answer", "is"], ["the", "answer", "is"], ["final", "answer", "is"], ["answer", "is"], ["final", "answer"], ["answer"]]

  /// Without `The answer is` in front.
  private static func withoutPhrase(_ tokens: [AnswerToken]) -> [AnswerToken] {
    for phrase in phrases where tokens.count > phrase.count {
      guard zip(phrase, tokens).allSatisfy({ $1.word?.lowercased() == $0 }) else { continue }
      var rest = tokens.dropFirst(phrase.count)
      if rest.first?.isSymbol(":") == true || rest.first?.isSymbol("=") == true { rest = rest.dropFirst() }
      return Array(rest)
    }
    return tokens
  }

  // MARK: Lists

  private func element(_ tokens: ArraySlice<AnswerToken>, depth: Int, isTop: Bool) -> AnswerValue? {
    guard depth < Self.deepest, !tokens.isEmpty else { return nil }
    let parts = Self.split(tokens) { index in
      let token = tokens[index]
      if token.isSymbol(",") { return splitsThousands || !isTop || !Self.isThousands(tokens, index) }
      if token.isSymbol(";") { return true }
      if token.isCommand("newline") { return true }
      if token.isCommand("or") || token.isCommand("and") { return true }
      guard let word = token.word?.lowercased(), token.isText || token.space != .none || index == tokens.startIndex else { return false }
      return word == "and" || word == "or"
    }
    if parts.count > 1 {
      // `1, 2, and 3` has two marks in a row.
      let filled = parts.filter { !$0.isEmpty }
      guard filled.count > 1 else { return filled.first.flatMap { element($0, depth: depth + 1, isTop: isTop) } }
      var values: [AnswerValue] = []
      for part in filled {
        guard let value = element(part, depth: depth + 1, isTop: isTop) else { return nil }
        if case .list(let inner) = value { values += inner } else { values.append(value) }
      }
      return .list(values)
    }
    return relation(tokens, depth: depth)
  }

  /// Where a comma stands between digits as a mark of thousands, as ``ExpressionParser`` reads it.
  private static func isThousands(_ tokens: ArraySlice<AnswerToken>, _ comma: Int) -> Bool {
    // The start of the number: digits, commas and spaces of its groups before the mark.
    var start = comma
    while start > tokens.startIndex {
      let token = tokens[start - 1]
      let isPart = token.digit != nil || token.isSymbol(",") || token.isSymbol("{") && tokens[start].isSymbol(",") || token.isSymbol("}")
      guard isPart else { break }
      start -= 1
      if tokens[start].digit != nil, tokens[start].space == .wide { break }
    }
    guard start < comma, tokens[start].digit != nil, start == tokens.startIndex || !tokens[start - 1].isSymbol(".") else { return false }
    var parser = ExpressionParser(tokens[start...])
    parser.skipDecimal()
    return parser.index > comma
  }

  // MARK: Relations and names

  private static let relations: Set<String> = [
    "le", "ge", "ne", "in", "notin", "approx", "to", "Rightarrow", "equiv", "sim", "cong", "subset", "subseteq", "propto", "parallel", "perp",
  ]

  private static func relation(of token: AnswerToken) -> String? {
    switch token.kind {
    case .symbol("="): "="
    case .symbol("<"): "<"
    case .symbol(">"): ">"
    case .symbol(":"): ":"
    case .command(let name): relations.contains(name) ? name : nil
    default: nil
    }
  }

  private func relation(_ tokens: ArraySlice<AnswerToken>, depth: Int) -> AnswerValue? {
    var signs: [String] = []
    var operands = Self.split(tokens) { index in
      guard let sign = Self.relation(of: tokens[index]) else { return false }
      signs.append(sign)
      return true
    }
    if signs.isEmpty { return union(tokens, depth: depth) }
    // `x < = 5`, `x <= 5`.
    var place = 0
    while place + 1 < signs.count {
      if operands[place + 1].isEmpty, signs[place + 1] == "=", signs[place] == "<" || signs[place] == ">" || signs[place] == ":" {
        signs[place] = signs[place] == "<" ? "le" : signs[place] == ">" ? "ge" : "="
        signs.remove(at: place + 1)
        operands.remove(at: place + 1)
      }
      place += 1
    }
    if signs == ["="] || signs == ["in"] || signs.allSatisfy({ $0 == "=" }) {
      if let name = Self.tupleName(operands[0]) ?? Self.name(operands[0]), let value = equalValues(operands.dropFirst(), depth: depth) { return .named(name, value) }
      if signs == ["="], let name = Self.name(operands[1]), let value = union(operands[0], depth: depth) { return .named(name, value) }
    }
    if signs.allSatisfy({ $0 == "=" }), let value = equalValues(operands[...], depth: depth), value.number != nil { return value }
    var values: [AnswerValue] = []
    for (position, operand) in operands.enumerated() {
      if operand.isEmpty, position == 0 {
        values.append(.text(""))
        continue
      }
      guard let value = union(operand, depth: depth) else { return nil }
      values.append(value)
    }
    let falls = ["<": ">", ">": "<", "le": "ge", "ge": "le"]
    if signs.contains(where: { $0 == ">" || $0 == "ge" }), signs.allSatisfy({ falls[$0] != nil || $0 == "=" }) {
      let turned = signs.reversed().map { falls[$0] ?? $0 }
      // A chain that rises and falls stays as it is.
      if !turned.contains(">"), !turned.contains("ge") { return .relation(values.reversed(), turned) }
    }
    return .relation(values, signs)
  }

  /// The last of operands that are all equal; nil where they are not.
  private func equalValues(_ operands: ArraySlice<ArraySlice<AnswerToken>>, depth: Int) -> AnswerValue? {
    var last: AnswerValue?
    for operand in operands {
      guard let value = union(operand, depth: depth) else { return nil }
      if let last, !last.isEqual(to: value) { return nil }
      last = value
    }
    return last
  }

  private static let nameCommands: Set<String> = ["angle", "triangle", "text", "overline", "vec", "hat", "bar", "widehat", "measuredangle", "overrightarrow", "square"]
  private static let valueFunctions: Set<String> = ["sin", "cos", "tan", "cot", "sec", "csc", "det", "max", "min", "deg", "dim"]

  /// Short words in front that say something of the name; `BC` and `AD` are names.
  private static let notNames: Set<String> = ["not", "no", "if", "log", "ln", "exp", "or", "and", "is"]

  /// `(x,y)` in front of a pair: the key of letters in brackets.
  private static func tupleName(_ tokens: ArraySlice<AnswerToken>) -> String? {
    guard tokens.first?.isSymbol("(") == true, tokens.last?.isSymbol(")") == true, tokens.contains(where: { $0.isSymbol(",") }) else { return nil }
    let parts = tokens.dropFirst().dropLast().split(omittingEmptySubsequences: false) { $0.isSymbol(",") }
    var names: [String] = []
    for part in parts {
      guard let name = name(part), !name.contains("(") else { return nil }
      names.append(name)
    }
    return "(\(names.joined(separator: ",")))"
  }

  /// The key of a left side that only names what is asked for: `x`, `a_{10}`, `f(x)`, `P(A)`, `AB`, `\angle A`, `\text{Area}`, `|AB|`.
  private static func name(_ tokens: ArraySlice<AnswerToken>) -> String? {
    if tokens.contains(where: { $0.isSymbol("|") }) {
      // `|AB|` and `|\vec{v}|` are lengths; `|x| = 5` says something of x.
      guard tokens.count > 2, tokens.first?.isSymbol("|") == true, tokens.last?.isSymbol("|") == true else { return nil }
      let inner = tokens.dropFirst().dropLast()
      let isSegment = inner.count == 1 && (inner.first?.word.map { $0.allSatisfy { $0.isUppercase } } ?? false)
      let isVector = ["vec", "overline", "overrightarrow", "mathbf"].contains { inner.first?.isCommand($0) == true }
      guard isSegment || isVector, !inner.contains(where: { $0.isSymbol("|") }) else { return nil }
      return name(inner).map { "|\($0)|" }
    }
    var key = ""
    var depth = 0
    var hasName = false
    var isScript = false
    for (offset, token) in tokens.enumerated() {
      switch token.kind {
      case .word(let word):
        if AnswerWords.statements.contains(word.lowercased()), word.utf8.count > 3 || notNames.contains(word.lowercased()) { return nil }
        hasName = true
      case .command(let name):
        guard depth > 0 || nameCommands.contains(name) || isGreek(name) || valueFunctions.contains(name) || name.hasPrefix("mathbb:") || name == "circ"
        else { return nil }
        if name == "circ", depth == 0 { return nil }
        hasName = true
      case .digit:
        guard depth > 0 || isScript else { return nil }
      case .symbol("_"): isScript = true
      case .symbol("("), .symbol("["), .symbol("{"):
        // A bracket comes behind a name, not before: `(x + 1)` is no name.
        guard offset > 0 && hasName || token.isSymbol("[") else { return nil }
        depth += 1
      case .symbol(")"), .symbol("]"), .symbol("}"): depth -= 1
      case .symbol("'"): break
      case .symbol: guard depth > 0 else { return nil }
      }
      if !token.isSymbol("_"), token.digit == nil { isScript = depth > 0 && isScript }
      key += token.text
    }
    return hasName && depth == 0 ? key.filter { $0 != "{" && $0 != "}" } : nil
  }

  private static func isGreek(_ name: String) -> Bool {
    [
      "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi",
      "chi", "psi", "omega", "ell",
    ].contains(name.lowercased())
  }

  // MARK: Unions and brackets

  private func union(_ tokens: ArraySlice<AnswerToken>, depth: Int) -> AnswerValue? {
    guard depth < Self.deepest, !tokens.isEmpty else { return nil }
    for name in ["cup", "cap", "setminus"] {
      let parts = Self.split(tokens) { tokens[$0].isCommand(name) }
      guard parts.count > 1 else { continue }
      var values: [AnswerValue] = []
      for part in parts {
        guard let value = union(part, depth: depth + 1) else { return nil }
        values.append(value)
      }
      return .joined(name, values)
    }
    return bracketed(tokens, depth: depth) ?? quantity(tokens, depth: depth)
  }

  private static func opens(_ token: AnswerToken) -> String? {
    switch token.kind {
    case .symbol("("): "("
    case .symbol("["): "["
    case .symbol("{"): "{"
    case .command("{"): "\\{"
    case .command("langle"): "("
    case .command("lfloor"), .command("lceil"): "\\l"
    case .command(let name): name.hasPrefix("begin:") ? name : nil
    default: nil
    }
  }

  private static func closes(_ token: AnswerToken) -> String? {
    switch token.kind {
    case .symbol(")"): ")"
    case .symbol("]"): "]"
    case .symbol("}"): "}"
    case .command("}"): "\\}"
    case .command("rangle"): ")"
    case .command("rfloor"), .command("rceil"): "\\r"
    case .command(let name): name.hasPrefix("end:") ? name : nil
    default: nil
    }
  }

  /// The parts between the places that `isMark` names outside all brackets.
  private static func split(_ tokens: ArraySlice<AnswerToken>, _ isMark: (Int) -> Bool) -> [ArraySlice<AnswerToken>] {
    var parts: [ArraySlice<AnswerToken>] = []
    var depth = 0
    var start = tokens.startIndex
    for index in tokens.indices {
      if opens(tokens[index]) != nil { depth += 1 } else if closes(tokens[index]) != nil { depth = max(0, depth - 1) } else if depth == 0, isMark(index) {
        parts.append(tokens[start..<index])
        start = index + 1
      }
    }
    return parts + [tokens[start...]]
  }

  private func bracketed(_ tokens: ArraySlice<AnswerToken>, depth: Int) -> AnswerValue? {
    if tokens.count == 1, tokens.first?.isCommand("emptyset") == true { return .set([]) }
    // Capitals on their own are a word whose order counts, such as tosses of a coin; within an expression they are variables.
    if tokens.count == 1, let word = tokens.first?.word, word.utf8.count > 1, word.utf8.allSatisfy({ (0x41...0x5A).contains($0) }) {
      return Self.text(tokens)
    }
    guard tokens.count >= 2, let first = tokens.first, let last = tokens.last, let open = Self.opens(first), let close = Self.closes(last) else { return nil }
    var level = 0
    for index in tokens.indices {
      if Self.opens(tokens[index]) != nil { level += 1 } else if Self.closes(tokens[index]) != nil { level -= 1 }
      // The first bracket closes before the end.
      if level == 0, index != tokens.endIndex - 1 { return nil }
    }
    guard level == 0 else { return nil }
    let inner = tokens.dropFirst().dropLast()
    if open.hasPrefix("begin:") { return matrix(String(open.dropFirst(6)), inner, depth: depth) }
    if open == "\\l" { return nil }
    let parts = Self.split(inner) { tokens[$0].isSymbol(",") || tokens[$0].isSymbol(";") }
    if open == "\\{" || open == "{" && parts.count > 1 {
      if inner.isEmpty { return .set([]) }
      // `\{x : x > 0\}` and `\{x \mid x > 0\}`.
      let halves = Self.split(inner) { inner[$0].isSymbol(":") || inner[$0].isSymbol("|") }
      if halves.count == 2, !halves[0].isEmpty, Self.split(halves[0], { inner[$0].isSymbol(",") }).count == 1,
        let members = elements(halves, depth: depth)
      {
        return .sequence(open: open, close: "|", members)
      }
      return elements(parts, depth: depth).map { .set($0) }
    }
    if parts.count == 1, open == "(" || open == "{", close == ")" || close == "}" {
      // Only brackets; `(x = 5)`, `((1, 2))`, `(C)`.
      return AnswerReader(splitsThousands: true).element(inner, depth: depth + 1, isTop: false)
    }
    guard open == "(" || open == "[", close == ")" || close == "]" else { return nil }
    return elements(parts, depth: depth).map { .sequence(open: open, close: close, $0) }
  }

  private func elements(_ parts: [ArraySlice<AnswerToken>], depth: Int) -> [AnswerValue]? {
    var values: [AnswerValue] = []
    for part in parts {
      guard let value = AnswerReader(splitsThousands: true).element(part, depth: depth + 1, isTop: false) else { return nil }
      values.append(value)
    }
    return values
  }

  private func matrix(_ environment: String, _ tokens: ArraySlice<AnswerToken>, depth: Int) -> AnswerValue? {
    let kinds = ["matrix": "", "pmatrix": "", "bmatrix": "", "Bmatrix": "", "smallmatrix": "", "array": "", "vmatrix": "det", "Vmatrix": "norm", "cases": "cases", "aligned": "cases", "align": "cases"]
    guard let kind = kinds[environment] else { return nil }
    var rows: [[AnswerValue]] = []
    for row in Self.split(tokens, { tokens[$0].isCommand("newline") }) where !row.isEmpty {
      var cells: [AnswerValue] = []
      for cell in Self.split(row, { tokens[$0].isSymbol("&") }) {
        guard let value = AnswerReader(splitsThousands: true).element(cell, depth: depth + 1, isTop: false) else { return nil }
        cells.append(value)
      }
      rows.append(cells)
    }
    return .matrix(kind, rows)
  }

  // MARK: Expressions with units

  private func quantity(_ tokens: ArraySlice<AnswerToken>, depth: Int) -> AnswerValue? {
    var tokens = tokens
    var unit = AnswerUnit.none
    if tokens.first?.word == "US", tokens.dropFirst().first?.isCommand("dollar") == true { tokens = tokens.dropFirst() }
    // A sign of currency stands in front, behind a minus too.
    if let place = tokens.prefix(2).firstIndex(where: { currency($0) != nil }), place == tokens.startIndex || tokens[tokens.startIndex].isSymbol("-"),
      let sign = currency(tokens[place])
    {
      unit = .of(sign)
      tokens = place == tokens.startIndex ? tokens.dropFirst() : (Array(tokens.prefix(1)) + tokens.dropFirst(2))[...]
    }
    if let word = tokens.first?.word, let code = AnswerUnit.prefix(word) {
      var rest = tokens.dropFirst()
      if word == "Rs", rest.first?.isSymbol(".") == true { rest = rest.dropFirst() }
      if rest.first?.digit != nil { (tokens, unit) = (rest, .of(code)) }
    }
    var parser = ExpressionParser(tokens)
    guard let first = parser.sum() else { return nil }
    guard let value = finished(first, parser.rest, unit) else { return nil }
    guard parser.hasPlusMinus else { return value }
    var other = ExpressionParser(tokens, plusMinus: -1)
    guard let second = other.sum(), let otherValue = finished(second, other.rest, unit) else { return nil }
    return .list([value, otherValue])
  }

  private func currency(_ token: AnswerToken) -> String? {
    if case .command(let name) = token.kind { AnswerUnit.signs[name] } else { nil }
  }

  private func finished(_ form: Form, _ rest: ArraySlice<AnswerToken>, _ unit: AnswerUnit) -> AnswerValue? {
    var unit = unit
    var form = form
    if let plain = form.withoutDegrees {
      form = plain
      unit = unit.times(.of("degree"))
    }
    if !rest.isEmpty {
      guard form.isClosed, let read = AnswerUnit.read(rest, hasUnit: unit != .none) else { return nil }
      // `\$18 dollars` says it twice.
      if unit == .none || !unit.agrees(with: read) { unit = unit.times(read) }
    }
    return .quantity(form, unit)
  }

  // MARK: Text

  /// Token by token; words without regard to case, since `Yes` is `yes`; single letters as they are.
  private static func text(_ tokens: ArraySlice<AnswerToken>) -> AnswerValue {
    var parts: [String] = []
    for token in tokens where !token.isSymbol("{") && !token.isSymbol("}") && !token.isSymbol("\"") {
      let isWordLike = token.word != nil || token.digit != nil
      if token.space != .none, isWordLike, let last = parts.last, last.last?.isLetter == true || last.last?.isNumber == true { parts.append(" ") }
      let text = token.text
      parts.append(token.word != nil && text.unicodeScalars.count > 1 ? text.lowercased() : text)
    }
    return .text(parts.joined())
  }
}
