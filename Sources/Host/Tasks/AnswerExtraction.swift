/// Finds the answer in a completion and checks the form that was asked for. A completion is what the model wrote, never
/// the prompt, whose own `\boxed{}` must not count.
package enum AnswerExtraction {
  /// What stands in the last balanced `\boxed{…}`: the one that opens last among those that close.
  ///
  /// White space may stand before the brace. Escaped braces do not count, nested ones do. An unbalanced box falls back to
  /// the balanced one before it, of nested boxes the inner one is taken. `\fbox` and `\boxed 5` without braces are not
  /// what the prompt asks for and are not accepted. One pass, so the time is linear in the completion.
  package static func boxed(in completion: String) -> String? {
    let bytes = Array(completion.utf8)
    guard let range = lastBox(bytes) else { return nil }
    return String(decoding: bytes[range], as: UTF8.self)
  }

  /// Where the line begins that the last box stands in, in bytes; in displayed mathematics the line that opens it.
  package static func startOfBoxedLine(_ completion: String) -> Int? {
    let bytes = Array(completion.utf8)
    guard let box = lastBox(bytes) else { return nil }
    func start(_ place: Int) -> Int { (bytes[..<place].lastIndex(of: 0x0A) ?? -1) + 1 }
    var first = start(box.lowerBound)
    while first > 0 {
      let before = start(first - 1)
      let line = String(decoding: bytes[before..<first], as: UTF8.self).trimmed
      guard line.hasSuffix("$$") || line.hasSuffix("\\[") || line.hasPrefix("\\begin{") else { break }
      first = before
    }
    return first
  }

  package static func hasBoxed(_ completion: String) -> Bool { lastBox(Array(completion.utf8)) != nil }

  /// Whether the thinking was closed. The prompt ends in `<think>`, so a completion closes it with one `</think>` and
  /// does not open another; one that was sampled without that prompt may begin with `<think>` itself.
  package static func hasThinkTags(_ completion: String) -> Bool {
    guard completion.occurrences(of: "</think>") == 1 else { return false }
    let opened = completion.occurrences(of: "<think>")
    return opened == 0 || opened == 1 && completion.trimmed.hasPrefix("<think>")
  }

  /// The whole form: thinking closed, and a box after it.
  package static func hasFormat(_ completion: String) -> Bool {
    guard hasThinkTags(completion), let close = completion.lastRange(of: "</think>") else { return false }
    return hasBoxed(String(completion[close.upperBound...]))
  }

  private static func lastBox(_ bytes: [UInt8]) -> Range<Int>? {
    let backslash = UInt8(ascii: "\\")
    /// The open braces: where the content of a box begins, or -1 for any other brace.
    var open: [Int] = []
    var best: Range<Int>?
    var index = 0
    while index < bytes.count {
      switch bytes[index] {
      case backslash:
        if let content = boxContent(bytes, after: index) {
          open.append(content)
          index = content
        } else if index + 1 < bytes.count, bytes[index + 1] == backslash, boxContent(bytes, after: index + 1) != nil {
          index += 1  // `\\boxed{`: a line break before the box, or one escape too many
        } else {
          index += 2  // an escaped brace, or the first letter of another command
        }
        continue
      case UInt8(ascii: "{"): open.append(-1)
      case UInt8(ascii: "}"):
        if let start = open.popLast(), start >= 0, start > best?.lowerBound ?? -1 { best = start..<index }
      default: break
      }
      index += 1
    }
    return best
  }

  /// Where the content begins if `\boxed {` stands at a backslash.
  private static func boxContent(_ bytes: [UInt8], after backslash: Int) -> Int? {
    var index = backslash + 1
    for letter in "boxed".utf8 {
      guard index < bytes.count, bytes[index] == letter else { return nil }
      index += 1
    }
    while index < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[index]) { index += 1 }
    return index < bytes.count && bytes[index] == UInt8(ascii: "{") ? index + 1 : nil
  }
}
