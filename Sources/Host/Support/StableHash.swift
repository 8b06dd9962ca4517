/// FNV-1a over 64 bits: Swift's own `Hasher` gives another value in each run.
package struct StableHash {
  package private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

  package init() {}

  package mutating func combine(_ bytes: Span<UInt8>) {
    for index in bytes.indices { combine(bytes[index]) }
  }

  private mutating func combine(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }

  /// Adds a text with its end, so that `a`, `bc` and `ab`, `c` differ; a missing text differs from an empty one.
  package mutating func combine(_ text: String?) {
    guard let text else { return combine(0xFE) }
    for byte in text.utf8 { combine(byte) }
    combine(0xFF)
  }
}
