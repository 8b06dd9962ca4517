/// Finds added tokens in a text: leftmost first, the longest of those that begin at one place.
struct AddedTokenMatcher: Sendable {
  private struct Pattern: Sendable {
    var bytes: [UInt8]
    var token: AddedToken
  }

  private var patterns: [Pattern] = []
  /// The pattern of some bytes.
  private var byBytes: [[UInt8]: Int] = [:]
  /// For each first byte, the lengths of the patterns that begin with it, longest first.
  private var byLength: [[Int]] = []

  init(_ tokens: [AddedToken], normalizer: Normalizer) {
    var seen = Set<[UInt8]>()
    var lengths = Array(repeating: Set<Int>(), count: 256)
    // Of equal patterns the first wins, and special tokens come first.
    for token in tokens.filter(\.isSpecial) + tokens.filter({ !$0.isSpecial }) {
      var bytes = Array(token.content.utf8)
      if let normal = normalizer.normalized(bytes.span, bytes.indices) { bytes = normal }
      guard let first = bytes.first, seen.insert(bytes).inserted else { continue }
      lengths[Int(first)].insert(bytes.count)
      byBytes[bytes] = patterns.count
      patterns.append(Pattern(bytes: bytes, token: token))
    }
    byLength = lengths.map { $0.sorted(by: >) }
  }

  /// Calls `body` with the parts of a range of the text in order: an added token's id, or nil and a part without any.
  ///
  /// As `tokenizers` does, a token that strips to the left begins where an earlier one's stripped white space ended, and is dropped
  /// where that took all of it; one that does not strip counts again.
  ///
  /// - Parameter data: parts of the text, in order, in which nothing counts as a token.
  func split(
    _ text: Span<UInt8>, _ range: Range<Int>, data: [Range<Int>] = [], _ body: (Int32?, Range<Int>) -> Void
  ) {
    if patterns.isEmpty {
      body(nil, range)
      return
    }
    var done = range.lowerBound
    var index = range.lowerBound
    var part = 0
    while index < range.upperBound {
      while part < data.count, data[part].upperBound <= index { part += 1 }
      guard let pattern = match(text, index, range.upperBound) else {
        index += 1
        continue
      }
      var start = index
      var stop = index + pattern.bytes.count
      if part < data.count, data[part].lowerBound < stop {
        index += 1
        continue
      }
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
        start = max(start, done)
      }
      if token.stripsRight {
        while stop < range.upperBound {
          let scalar = text.scalar(at: stop)
          guard Self.isSpace(scalar.value) else { break }
          stop += scalar.length
        }
      }
      // What is left of a token that strips to the left may be nothing.
      if start >= stop { continue }
      if done < start { body(nil, done..<start) }
      body(token.id, start..<stop)
      done = stop
    }
    if done < range.upperBound { body(nil, done..<range.upperBound) }
  }

  private func match(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Pattern? {
    for length in byLength[Int(text[start])] where start + length <= end {
      var bytes: [UInt8] = []
      bytes.reserveCapacity(length)
      for offset in 0..<length { bytes.append(text[start + offset]) }
      if let place = byBytes[bytes] { return patterns[place] }
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
