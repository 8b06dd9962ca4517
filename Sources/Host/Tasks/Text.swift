extension String {
  var nonEmpty: String? { isEmpty ? nil : self }

  /// Where an ASCII mark stands for the last time.
  package func lastRange(of mark: String) -> Range<String.Index>? {
    let bytes = utf8
    let pattern = Array(mark.utf8)
    guard bytes.count >= pattern.count, !pattern.isEmpty else { return nil }
    var start = bytes.index(bytes.endIndex, offsetBy: -pattern.count)
    while true {
      if bytes[start...].starts(with: pattern) { return start..<bytes.index(start, offsetBy: pattern.count) }
      if start == bytes.startIndex { return nil }
      start = bytes.index(before: start)
    }
  }

  /// Where an ASCII mark stands for the first time.
  package func range(of mark: String) -> Range<String.Index>? {
    let bytes = utf8
    let pattern = Array(mark.utf8)
    var start = bytes.startIndex
    while bytes.distance(from: start, to: bytes.endIndex) >= pattern.count {
      if bytes[start...].starts(with: pattern) { return start..<bytes.index(start, offsetBy: pattern.count) }
      start = bytes.index(after: start)
    }
    return nil
  }

  /// How often an ASCII mark stands in the text, without overlap.
  func occurrences(of mark: String) -> Int {
    let bytes = Array(utf8)
    let pattern = Array(mark.utf8)
    var count = 0
    var index = 0
    while index + pattern.count <= bytes.count {
      if bytes[index] == pattern[0], bytes[index..<index + pattern.count].elementsEqual(pattern) {
        count += 1
        index += pattern.count
      } else {
        index += 1
      }
    }
    return count
  }
}
