import Support

/// The lines of a log that can be read, each by itself: what is broken is left out and counted. A half-written last line, as a run that
/// goes on has, is left out without a word.
struct ReadableLines {
  /// The lines with their line feeds.
  private(set) var bytes: [UInt8] = []
  private(set) var leftOut = 0
  /// The first that is left out, and why.
  private var first: String?
  private let name: String
  private var count = 0

  /// - Parameter check: throws where a line, JSON though it is, is no record of the log.
  init(_ all: [UInt8], name: String, _ check: (JSON) throws(Failure) -> Void) {
    self.name = name
    bytes.reserveCapacity(all.count)
    var start = 0
    var number = 0
    while let end = all[start...].firstIndex(of: 0x0A) {
      let line = all[start..<end]
      start = end + 1
      number += 1
      if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
      count += 1
      do throws(Failure) {
        try check(try JSON.parse(Array(line), name: ""))
        bytes += line
        bytes.append(0x0A)
      } catch {
        leftOut += 1
        if first == nil { first = "line \(number): \(Self.reason(error))" }
      }
    }
  }

  /// The parser has seen one line and calls it line 1 of nothing.
  private static func reason(_ error: Failure) -> String {
    let text = error.message.hasPrefix(": ") ? String(error.message.dropFirst(2)) : error.message
    return text.hasPrefix("line 1, ") ? String(text.dropFirst("line 1, ".count)) : text
  }

  /// What is left out, in a sentence; nil where nothing is.
  var note: String? {
    first.map { "\(name): \(leftOut) of \(count) lines cannot be read and \(leftOut == 1 ? "is" : "are") left out (the first: \($0))" }
  }
}
