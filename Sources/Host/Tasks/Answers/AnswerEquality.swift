/// Whether two answers are equal, strictly as text or by what they say (docs/reward.md).
package enum AnswerEquality {
  /// Equal as text, white space aside: it counts only where it keeps two letters or digits apart.
  package static func exact(_ answer: String, _ gold: String) -> Bool {
    let text = withoutSpace(answer)
    return !text.isEmpty && text == withoutSpace(gold)
  }

  /// Equal as text, or as trees: numbers exactly, closed expressions by value, expressions with variables in normal form.
  package static func numeric(_ answer: String, _ gold: String) -> Bool { compare(answer, gold).isEqual }

  /// Whether the two are equal, and why, in words.
  package static func compare(_ answer: String, _ gold: String) -> (isEqual: Bool, reason: String) {
    if exact(answer, gold) { return (true, "equal as text") }
    let (found, expected) = (ParsedAnswer(answer), ParsedAnswer(gold))
    if found.isEqual(to: expected) {
      if let number = expected.tree?.number, number.text.utf8.count <= 40 { return (true, "equal as numbers: \(number.text)") }
      return (true, "equal as \(expected.tree?.kind ?? "text")")
    }
    let what = "expected \(short(gold)), found \(short(answer))"
    switch (expected.tree, found.tree) {
    case (.quantity(let a, let unit)?, .quantity(let b, let other)?):
      if !unit.agrees(with: other), a.isEqual(to: b) { return (false, "different units: \(what)") }
    case (.named(let a, let x)?, .named(let b, let y)?):
      if a != b, x.isEqual(to: y) { return (false, "different names: \(what)") }
    case (let a?, let b?) where a.kind != b.kind: return (false, "\(what) (\(b.kind) instead of \(a.kind))")
    default: break
    }
    return (false, what)
  }

  /// On one line and not long.
  static func short(_ answer: String) -> String {
    let line = String(answer.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : Character($0) })
    return line.utf8.count <= 80 ? line : String(line.unicodeScalars.prefix(77).map(Character.init)) + "..."
  }

  static func withoutSpace(_ text: String) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(text.utf8.count)
    var hasSpace = false
    for scalar in text.unicodeScalars {
      if scalar.properties.isWhitespace {
        hasSpace = true
        continue
      }
      let bytes = Array(String(Character(scalar)).utf8)
      if hasSpace, let last = output.last, isWordByte(last), isWordByte(bytes[0]) { output.append(0x20) }
      hasSpace = false
      output += bytes
    }
    return output
  }

  private static func isWordByte(_ byte: UInt8) -> Bool {
    byte >= 0x80 || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
  }
}
