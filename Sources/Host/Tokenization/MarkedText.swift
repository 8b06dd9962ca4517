/// A text of which some parts are data: there, control tokens are text. A question that holds `<|im_end|>` must not end a turn.
package struct MarkedText: Sendable, Equatable {
  package private(set) var bytes: [UInt8] = []
  /// The parts that are data, in order, as ranges of bytes.
  package private(set) var data: [Range<Int>] = []

  package init() {}

  /// Text of the form itself: its control tokens count as tokens.
  package mutating func append(form text: String) { bytes += Array(text.utf8) }

  /// Text that somebody wrote.
  ///
  /// - Parameter marks: strings in it that belong to the form all the same, such as `</think>` in a solution.
  package mutating func append(data text: String, except marks: [String] = []) {
    let added = Array(text.utf8)
    let patterns = marks.map { Array($0.utf8) }.filter { !$0.isEmpty }
    var start = 0
    var index = 0
    func mark(_ range: Range<Int>) {
      if !range.isEmpty { data.append((bytes.count + range.lowerBound)..<(bytes.count + range.upperBound)) }
    }
    while index < added.count {
      if let pattern = patterns.first(where: { added[index...].starts(with: $0) }) {
        mark(start..<index)
        index += pattern.count
        start = index
      } else {
        index += 1
      }
    }
    mark(start..<added.count)
    bytes += added
  }

  package var text: String { String(decoding: bytes, as: UTF8.self) }
}
