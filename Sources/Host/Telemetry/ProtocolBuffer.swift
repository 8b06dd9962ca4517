/// The wire format of protocol buffers (protobuf.dev/programming-guides/encoding), as much of it as event files need.
///
/// Fields are to be written in ascending order of their numbers, as other writers do; what is empty or zero is left out
/// by the caller where proto3 leaves it out.
struct ProtocolBuffer {
  private(set) var bytes: [UInt8] = []

  mutating func varint(_ field: Int, _ value: UInt64) {
    tag(field, wireType: 0)
    append(value)
  }

  mutating func double(_ field: Int, _ value: Double) {
    tag(field, wireType: 1)
    append(littleEndian: value.bitPattern, count: 8)
  }

  mutating func float(_ field: Int, _ value: Float) {
    tag(field, wireType: 5)
    append(littleEndian: UInt64(value.bitPattern), count: 4)
  }

  mutating func bytes(_ field: Int, _ value: [UInt8]) {
    tag(field, wireType: 2)
    append(UInt64(value.count))
    bytes += value
  }

  mutating func text(_ field: Int, _ value: String) { bytes(field, Array(value.utf8)) }

  mutating func message(_ field: Int, _ body: (inout ProtocolBuffer) -> Void) {
    var message = ProtocolBuffer()
    body(&message)
    bytes(field, message.bytes)
  }

  mutating func doubles(_ field: Int, _ values: [Double]) {
    if values.isEmpty { return }
    tag(field, wireType: 2)
    append(UInt64(values.count * 8))
    for value in values { append(littleEndian: value.bitPattern, count: 8) }
  }

  private mutating func tag(_ field: Int, wireType: Int) { append(UInt64(field << 3 | wireType)) }

  private mutating func append(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  private mutating func append(littleEndian value: UInt64, count: Int) {
    for index in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))) }
  }
}
