import Support

/// Turns tokens into text one by one, and keeps the bytes of an unfinished character until the rest has come.
///
/// What all calls return, joined, is what `Tokenizer.decode` makes of all the tokens.
package struct StreamingDecoder: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecialTokens: Bool
  private var pending: [UInt8] = []

  package init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool = false) {
    self.tokenizer = tokenizer
    self.skipSpecialTokens = skipSpecialTokens
  }

  /// The text that is certain now; empty while a character is incomplete.
  package mutating func feed(_ id: Int32) throws(Failure) -> String {
    let bytes = try tokenizer.bytes(of: id)
    if skipSpecialTokens, tokenizer.isSpecial(id) { return "" }
    pending += bytes
    let count = pending.count - Self.unfinishedCount(pending)
    defer { pending.removeFirst(count) }
    return String(decoding: pending[..<count], as: UTF8.self)
  }

  /// What is left at the end: U+FFFD for a character that never became complete, or nothing.
  package mutating func finish() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// How many bytes at the end begin a well-formed character that further bytes may complete (Unicode, table 3-7).
  private static func unfinishedCount(_ bytes: [UInt8]) -> Int {
    for count in 1...3 where count <= bytes.count {
      let lead = bytes[bytes.count - count]
      if lead & 0xC0 == 0x80 { continue }
      let length =
        switch lead {
        case 0xC2...0xDF: 2
        case 0xE0...0xEF: 3
        case 0xF0...0xF4: 4
        default: 0
        }
      if count >= length { return 0 }
      if count == 1 { return 1 }
      let second = bytes[bytes.count - count + 1]
      let isPossible =
        switch lead {
        case 0xE0: second >= 0xA0
        case 0xED: second < 0xA0
        case 0xF0: second >= 0x90
        case 0xF4: second < 0x90
        default: true
        }
      return isPossible ? count : 0
    }
    return 0
  }
}
