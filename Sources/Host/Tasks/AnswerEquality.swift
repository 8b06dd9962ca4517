/// Whether two answers are equal, strictly as text or as the numbers they stand for.
package enum AnswerEquality {
  /// Answers longer than this are compared as text only.
  private static let longest = 4096

  /// Equal as text, white space aside: it counts only where it keeps two letters or digits apart.
  package static func exact(_ answer: String, _ gold: String) -> Bool { withoutSpace(answer) == withoutSpace(gold) }

  /// Equal as text, or as exact numbers.
  ///
  /// Commas of thousands, signs of currency and per cent, degrees and units in words do not count: as Hendrycks and Qwen
  /// do, `50\%` is 50 and not 0.5. Numbers are fractions of whole numbers, so 1/3 is not 0.3333. A name on the left, as in
  /// `x = 5`, is dropped. Tuples, intervals and bare lists are compared in order, sets in any order, part by part.
  /// What is not a number is compared token by token after LaTeX's ways of writing the same thing are made one.
  package static func numeric(_ answer: String, _ gold: String) -> Bool {
    if exact(answer, gold) { return true }
    guard answer.utf8.count <= longest, gold.utf8.count <= longest else { return false }
    let value = AnswerValue(answer)
    if case .expression(let tokens) = value, tokens.isEmpty { return false }
    return value == AnswerValue(gold)
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
