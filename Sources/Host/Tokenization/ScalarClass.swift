/// What the patterns of pre-tokenisers tell apart.
enum ScalarClass: UInt8 {
  /// `\p{L}`
  case letter
  /// `\p{N}`
  case number
  /// `\r` and `\n`
  case newline
  /// the rest of `\s`
  case space
  case other

  @inline(__always)
  init(_ value: UInt32) {
    if value < 0x80 {
      switch value {
      case 0x61...0x7A, 0x41...0x5A: self = .letter
      case 0x30...0x39: self = .number
      case 0x0A, 0x0D: self = .newline
      case 0x20, 0x09, 0x0B, 0x0C: self = .space
      default: self = .other
      }
    } else {
      self.init(beyondASCII: value)
    }
  }

  private init(beyondASCII value: UInt32) {
    guard let scalar = Unicode.Scalar(value), scalar.isAssigned(in: Self.unicodeVersion) else {
      self = .other
      return
    }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
    case .decimalNumber, .letterNumber, .otherNumber: self = .number
    default: self = scalar.properties.isWhitespace ? .space : .other
    }
  }

  /// The Unicode version of Oniguruma 6.9.10, which runs the patterns in Hugging Face `tokenizers`. Later scalars are
  /// unassigned to it, and so to the vocabularies it cut the words for.
  static let unicodeVersion = 16

  /// Rust's `char::is_numeric`, by which the step `Digits` goes: Unicode 17 in `tokenizers` 0.23, so 13 scalars more than `\p{N}`.
  @inline(__always)
  static func isNumericInRust(_ value: UInt32) -> Bool {
    if ScalarClass(value) == .number { return true }
    return value >= 0x11DE0 && ((0x11DE0...0x11DE9).contains(value) || (0x16FF4...0x16FF6).contains(value))
  }
}

extension Unicode.Scalar {
  /// Whether a version of Unicode knows the scalar.
  func isAssigned(in version: Int) -> Bool {
    guard let age = properties.age else { return false }
    return age.major <= version
  }
}

extension Span<UInt8> {
  /// The scalar that begins at an index of valid UTF-8, and its length in bytes.
  @inline(__always)
  func scalar(at index: Int) -> (value: UInt32, length: Int) {
    let first = UInt32(self[index])
    if first < 0x80 { return (first, 1) }
    func tail(_ offset: Int) -> UInt32 { UInt32(self[index + offset]) & 0x3F }
    if first < 0xE0 { return ((first & 0x1F) << 6 | tail(1), 2) }
    if first < 0xF0 { return ((first & 0x0F) << 12 | tail(1) << 6 | tail(2), 3) }
    return ((first & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4)
  }

  /// The scalar that ends before an index of valid UTF-8, and its length in bytes.
  func scalar(before index: Int) -> (value: UInt32, length: Int) {
    var start = index - 1
    while self[start] & 0xC0 == 0x80 { start -= 1 }
    return scalar(at: start)
  }
}
