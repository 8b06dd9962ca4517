import Support

/// One entry of `--reward`: where a part of the reward comes from, and what it weighs in the sum.
package struct RewardEntry: Sendable, Equatable {
  package enum Source: Sendable, Equatable {
    /// 1 for a right answer, as this grader judges.
    case answer(Verifier.Mode)
    case format
    /// Tokens that count nothing: the distance from them is the penalty.
    case length(target: Int)
    /// Tokens before the limit in which the penalty grows; nil takes a fifth of the limit.
    case overlong(buffer: Int?)
    /// A function in a file; nil takes the file's only one, or the one called `reward`.
    case python(path: String, function: String?)
    /// A command line for the shell.
    case command(String)
  }

  package let source: Source
  package let weight: Double

  package init(_ source: Source, weight: Double = 1) {
    self.source = source
    self.weight = weight
  }

  /// What it is called where parts stand side by side.
  var name: String {
    switch source {
    case .answer(let mode): mode.rawValue
    case .format: "format"
    case .length: "length"
    case .overlong: "overlong"
    case .python(let path, let function): Self.name(of: function ?? String(Files.name(of: path).dropLast(3)))
    case .command(let line): Self.name(of: Files.name(of: String(line.split(separator: " ").first ?? "")))
    }
  }

  /// Letters, digits and what metrics, plugins and pages take beside them.
  private static func name(of text: String) -> String {
    let name = String(text.map { $0.isASCII && ($0.isLetter || $0.isNumber) || "_-.".contains($0) ? $0 : "_" })
    return name.isEmpty ? "command" : name
  }

  /// The entry as it could be typed, the same for every way of typing it.
  package var text: String {
    // What stands last in a command line could be taken for a weight.
    if case .command = source { return "\(sourceText)=\(number)" }
    return weight == 1 ? sourceText : "\(sourceText)=\(number)"
  }

  /// The weight and what it weighs, as the run says them.
  var summary: String { "\(number) × \(sourceText)" }

  private var sourceText: String {
    switch source {
    case .answer(let mode): mode.rawValue
    case .format: "format"
    case .length(let target): target == 0 ? "length" : "length:\(target)"
    case .overlong(let buffer): "overlong" + (buffer.map { ":\($0)" } ?? "")
    case .python(let path, let function): path + (function.map { ":\($0)" } ?? "")
    case .command(let line): Self.command + line
    }
  }

  private var number: String { weight == weight.rounded() && weight.magnitude < 1e6 ? "\(Int(weight))" : "\(weight)" }

  private static let command = "command:"
}

// MARK: - Reading

extension RewardEntry {
  private static let forms =
    "answer, numeric, exact, math-verify, format, length[:TOKENS], overlong[:TOKENS], FILE.py[:FUNCTION] or command:PROGRAM, with =WEIGHT behind it where that is not 1"

  /// The entries of one `--reward`: a program, a function, or names with commas between.
  ///
  /// What follows the last `=` is the weight where it is a number, whatever stands before.
  package static func read(_ text: String) throws(Failure) -> [RewardEntry] {
    let (body, weight) = try split(text)
    if body.hasPrefix(command) {
      let line = String(body.dropFirst(command.count)).trimmed
      guard !line.isEmpty, !line.utf8.contains(where: { $0 < 0x20 }) else { throw refusal(text, "expected a command line behind command:") }
      return [RewardEntry(.command(line), weight: weight)]
    }
    if let source = python(body) { return [RewardEntry(source, weight: weight)] }
    var entries: [RewardEntry] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) { entries.append(try named(String(part), in: text)) }
    return entries
  }

  private static func split(_ text: String) throws(Failure) -> (body: String, weight: Double) {
    guard let mark = text.lastIndex(of: "=") else { return (text, 1) }
    let number = text[text.index(after: mark)...]
    guard !number.isEmpty, number.utf8.allSatisfy(numberCharacters.contains), let weight = Double(number) else { return (text, 1) }
    guard weight.magnitude <= largestWeight else { throw refusal(text, "expected a weight from -\(Int(largestWeight)) to \(Int(largestWeight)), found \(number)") }
    return (String(text[..<mark]), weight)
  }

  private static let numberCharacters = Set("0123456789+-.eE".utf8)
  private static let largestWeight = 1e6
  /// No completion is longer.
  private static let mostTokens = 1 << 30

  private static func python(_ body: String) -> Source? {
    if body.hasSuffix(".py") { return body.count > 3 ? .python(path: body, function: nil) : nil }
    guard let mark = body.lastIndex(of: ":") else { return nil }
    let (path, function) = (String(body[..<mark]), String(body[body.index(after: mark)...]))
    guard path.hasSuffix(".py"), path.count > 3, function.first.map({ $0.isLetter || $0 == "_" }) == true,
      function.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" })
    else { return nil }
    return .python(path: path, function: function)
  }

  private static func named(_ part: String, in text: String) throws(Failure) -> RewardEntry {
    let (body, weight) = try split(part)
    let mark = body.firstIndex(of: ":")
    let name = String(body[..<(mark ?? body.endIndex)])
    let argument = mark.map { String(body[body.index(after: $0)...]) }
    func tokens(_ range: ClosedRange<Int>) throws(Failure) -> Int? {
      guard let argument else { return nil }
      guard let count = Int(argument), range.contains(count) else {
        throw refusal(text, "\(name): expected a number of tokens from \(range.lowerBound), found \"\(argument)\"")
      }
      return count
    }
    switch name {
    case "length": return RewardEntry(.length(target: try tokens(0...mostTokens) ?? 0), weight: weight)
    case "overlong": return RewardEntry(.overlong(buffer: try tokens(1...mostTokens)), weight: weight)
    default: break
    }
    let mode = name == "answer" ? .numeric : Verifier.Mode(rawValue: name)
    guard let source = mode.map(Source.answer) ?? (name == "format" ? .format : nil) else {
      if text.contains(","), text.contains(".py") || text.contains(command) {
        throw refusal(text, "a file or a program stands in a --reward of its own")
      }
      if let mark = body.firstIndex(of: "=") { throw refusal(text, "expected a number as the weight behind \(body[..<mark])=, found \"\(body[body.index(after: mark)...])\"") }
      let names = ["answer", "format", "length", "overlong"] + Verifier.Mode.allCases.map(\.rawValue)
      let hint = NearestName.find(name, among: names).map { "; did you mean \($0)?" } ?? ""
      throw refusal(text, "expected \(forms); found \"\(part)\"\(hint)")
    }
    if let argument { throw refusal(text, "\(name) takes nothing behind a colon, found \"\(argument)\"") }
    return RewardEntry(source, weight: weight)
  }

  private static func refusal(_ text: String, _ what: String) -> Failure { .usage("--reward \"\(OneLine.text(text))\": \(what)") }
}
