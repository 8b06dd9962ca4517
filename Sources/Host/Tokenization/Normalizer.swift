@_spi(_Unicode) import Swift

/// What is done to a text before it is cut into words.
enum Normalizer: Sendable, Equatable {
  case none
  /// Unicode normalisation form C.
  case nfc

  /// The normal form of a part of a text; nil where it is the part itself.
  func normalized(_ text: Span<UInt8>, _ range: Range<Int>) -> [UInt8]? {
    guard self == .nfc, !Self.isSurelyNFC(text, range) else { return nil }
    var output: [UInt8] = []
    output.reserveCapacity(range.count + 8)
    var pending = String.UnicodeScalarView()
    var index = range.lowerBound
    while index < range.upperBound {
      let (value, length) = text.scalar(at: index)
      if let parts = Self.decomposition(value) {
        pending.append(contentsOf: parts)
      } else if let scalar = Unicode.Scalar(value) {
        if value < 0x300 || scalar.isAssigned(in: Self.unicodeVersion) {
          pending.append(scalar)
        } else {
          Self.flush(&pending, to: &output)
          output.append(contentsOf: UTF8.encode(scalar) ?? .init())
        }
      }
      index += length
    }
    Self.flush(&pending, to: &output)
    return output
  }

  /// The Unicode version of the tables in Hugging Face `tokenizers`. Later scalars neither compose nor reorder there, so
  /// they stand as they are and part what is before them from what comes after.
  private static let unicodeVersion = 9

  /// Nothing below U+0300 composes, decomposes or reorders, and UTF-8 leads with 0xCC or more from there on.
  private static func isSurelyNFC(_ text: Span<UInt8>, _ range: Range<Int>) -> Bool {
    for index in range where text[index] >= 0xCC { return false }
    return true
  }

  /// The three starters that decompose into marks alone. The standard library takes them for the end of the marks before
  /// them, and would not reorder across.
  private static func decomposition(_ value: UInt32) -> [Unicode.Scalar]? {
    switch value {
    case 0x0F73: ["\u{0F71}", "\u{0F72}"]
    case 0x0F75: ["\u{0F71}", "\u{0F74}"]
    case 0x0F81: ["\u{0F71}", "\u{0F80}"]
    default: nil
    }
  }

  private static func flush(_ pending: inout String.UnicodeScalarView, to output: inout [UInt8]) {
    if pending.isEmpty { return }
    for scalar in String(pending)._nfc { output.append(contentsOf: UTF8.encode(scalar) ?? .init()) }
    pending = .init()
  }
}
