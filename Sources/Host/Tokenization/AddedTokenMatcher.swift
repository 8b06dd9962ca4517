/// Finds added tokens in a text: leftmost first, the longest of those that begin at one place.
struct AddedTokenMatcher: Sendable {
  private struct Pattern: Sendable {
    var bytes: [UInt8]
    var token: AddedToken
  }

  private var patterns: [Pattern] = []
  /// For each first byte, the patterns that begin with it, longest first.
  private var byFirstByte: [[Int]] = Array(repeating: [], count: 256)

  init(_ tokens: [AddedToken], normalizer: Normalizer) {
    // Of equal patterns the first wins, and special tokens come first.
    for token in tokens.filter(\.isSpecial) + tokens.filter({ !$0.isSpecial }) {
      var bytes = Array(token.content.utf8)
      if let normal = normalizer.normalized(bytes.span, bytes.indices) { bytes = normal }
      guard let first = bytes.first, !patterns.contains(where: { $0.bytes == bytes }) else { continue }
      let place = byFirstByte[Int(first)].firstIndex { patterns[$0].bytes.count < bytes.count }
      byFirstByte[Int(first)].insert(patterns.count, at: place ?? byFirstByte[Int(first)].count)
      patterns.append(Pattern(bytes: bytes, token: token))
    }
  }

  /// Calls `body` with the parts of a range of the text in order: an added token's id, or nil and a part without any.
  func split(_ text: Span<UInt8>, _ range: Range<Int>, _ body: (Int32?, Range<Int>) -> Void) {
    if patterns.isEmpty {
      body(nil, range)
      return
    }
    var done = range.lowerBound
    var index = range.lowerBound
    while index < range.upperBound {
      guard let pattern = match(text, index, range.upperBound) else {
        index += 1
        continue
      }
      var start = index
      var stop = index + pattern.bytes.count
      index = stop
      let token = pattern.token
      if token.isSingleWord {
        if start > range.lowerBound, Self.isWord(text.scalar(before: start).value) { continue }
        if stop < range.upperBound, Self.isWord(text.scalar(at: stop).value) { continue }
      }
      if token.stripsLeft {
        while start > done {
          let scalar = text.scalar(before: start)
          guard Self.isSpace(scalar.value) else { break }
          start -= scalar.length
        }
      }
      if token.stripsRight {
        while stop < range.upperBound {
          let scalar = text.scalar(at: stop)
          guard Self.isSpace(scalar.value) else { break }
          stop += scalar.length
        }
      }
      if done < start { body(nil, done..<start) }
      body(token.id, min(start, done)..<stop)
      done = stop
    }
    if done < range.upperBound { body(nil, done..<range.upperBound) }
  }

  private func match(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Pattern? {
    let candidates = byFirstByte[Int(text[start])]
    candidates: for candidate in candidates {
      let bytes = patterns[candidate].bytes
      if start + bytes.count > end { continue }
      for offset in bytes.indices where text[start + offset] != bytes[offset] { continue candidates }
      return patterns[candidate]
    }
    return nil
  }

  private static func isSpace(_ value: UInt32) -> Bool {
    let kind = ScalarClass(value)
    return kind == .space || kind == .newline
  }

  /// `\w` (UTS #18): alphabetic, mark, decimal number, connector punctuation, join control.
  private static func isWord(_ value: UInt32) -> Bool {
    guard let scalar = Unicode.Scalar(value), scalar.isAssigned(in: ScalarClass.unicodeVersion) else { return false }
    if scalar.properties.isAlphabetic || scalar.properties.isJoinControl { return true }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: return true
    default: return false
    }
  }
}
