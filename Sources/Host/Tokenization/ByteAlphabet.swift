/// The printable alphabet of byte-level vocabularies: one scalar for each byte (GPT-2's `bytes_to_unicode`).
///
/// Printable Latin-1 stands for itself; the other 68 bytes are U+0100, U+0101, … in their order.
enum ByteAlphabet {
  /// The scalar of each byte.
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (0..<256).map { byte in
      if stands(forItself: UInt32(byte)) { return Unicode.Scalar(UInt8(byte)) }
      defer { next += 1 }
      return Unicode.Scalar(next) ?? "\u{FFFD}"
    }
  }()

  /// The byte of each scalar below U+0144; nil for the scalars that stand for none.
  private static let bytes: [UInt8?] = {
    var table = [UInt8?](repeating: nil, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { table[Int(scalar.value)] = UInt8(byte) }
    return table
  }()

  /// The alphabet's way to write some bytes, as UTF-8.
  static func written(_ raw: some Sequence<UInt8>) -> [UInt8] {
    var text: [UInt8] = []
    for byte in raw { text.append(contentsOf: UTF8.encode(scalars[Int(byte)]) ?? .init()) }
    return text
  }

  /// The bytes a token stands for: read through the alphabet, or, if a scalar is not of the alphabet, its own UTF-8.
  static func bytes(of token: String) -> [UInt8] {
    var raw: [UInt8] = []
    for scalar in token.unicodeScalars {
      guard scalar.value < 0x144, let byte = bytes[Int(scalar.value)] else { return Array(token.utf8) }
      raw.append(byte)
    }
    return raw
  }

  private static func stands(forItself byte: UInt32) -> Bool {
    (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
  }
}
