/// Finds added tokens in a text: leftmost first, the longest of those that begin at one place.
struct AddedTokenMatcher: Sendable {
  private struct Pattern: Sendable {
    var bytes: [UInt8]
    var token: AddedToken
  }

  /// In the order of their bytes, so that those that begin alike stand together.
  private var patterns: [Pattern] = []
  /// Where the patterns of each first byte begin; one more at the end.
  private var starts: [Int] = []

  init(_ tokens: [AddedToken], normalizer: Normalizer) {
    var seen = Set<[UInt8]>()
    // Of equal patterns the first wins, and special tokens come first.
    for token in tokens.filter(\.isSpecial) + tokens.filter({ !$0.isSpecial }) {
      var bytes = Array(token.content.utf8)
      if let normal = normalizer.normalized(bytes.span, bytes.indices) { bytes = normal }
      if bytes.isEmpty || !seen.insert(bytes).inserted { continue }
      patterns.append(Pattern(bytes: bytes, token: token))
    }
    patterns.sort { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    starts = (0...256).map { byte in patterns.partitioningIndex { Int($0.bytes[0]) >= byte } }
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

  /// The longest pattern that stands at a place: byte by byte, those that still fit are a shrinking range.
  private func match(_ text: Span<UInt8>, _ start: Int, _ end: Int) -> Pattern? {
    let first = Int(text[start])
    var fitting = starts[first]..<starts[first + 1]
    var longest: Int?
    var length = 1
    while !fitting.isEmpty {
      // A shorter pattern stands before those that it begins.
      if patterns[fitting.lowerBound].bytes.count == length {
        longest = fitting.lowerBound
        fitting = fitting.lowerBound + 1..<fitting.upperBound
      }
      guard start + length < end else { break }
      let byte = text[start + length]
      let low = patterns.partitioningIndex(in: fitting) { $0.bytes[length] >= byte }
      let high = patterns.partitioningIndex(in: low..<fitting.upperBound) { $0.bytes[length] > byte }
      fitting = low..<high
      length += 1
    }
    return longest.map { patterns[$0] }
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

extension Array {
  /// The first place in a range from which on a condition holds, where it holds for everything behind that place.
  fileprivate func partitioningIndex(in range: Range<Int>? = nil, where isBehind: (Element) -> Bool) -> Int {
    var (low, high) = (range?.lowerBound ?? 0, range?.upperBound ?? count)
    while low < high {
      let middle = low + (high - low) / 2
      if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
