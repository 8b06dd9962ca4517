/// The Castagnoli checksum (RFC 3720, appendix B.4), from a table of bytes: event files are a few kilobytes a step.
enum CRC32C {
  private static let table: [UInt32] = (0..<256).map { index in
    (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? 0x82F6_3B78 ^ value >> 1 : value >> 1 }
  }

  static func checksum(_ bytes: [UInt8]) -> UInt32 {
    let table = table.span
    let bytes = bytes.span
    var value = UInt32.max
    for index in bytes.indices { value = table[Int((value ^ UInt32(bytes[index])) & 0xFF)] ^ value >> 8 }
    return ~value
  }

  /// As TFRecord stores it: rotated and shifted, so that a checksum of data with checksums stays a good one
  /// (tensorflow/core/lib/hash/crc32c.h).
  static func masked(_ bytes: [UInt8]) -> UInt32 {
    let value = checksum(bytes)
    return (value >> 15 | value << 17) &+ 0xA282_EAD8
  }
}
