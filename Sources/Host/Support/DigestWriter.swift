/// SHA-256 over values with their lengths in front, so that no two lists of values have the same bytes: whole numbers are 8 bytes, the
/// lowest first; a list is how many there are, then each in its own width; what is absent is the count 2⁶⁴ − 1 and nothing more.
package struct DigestWriter {
  private var hash = SHA256()

  package init() {}

  package mutating func add(_ number: UInt64) { raw([number.littleEndian]) }
  package mutating func add(_ count: Int) { add(UInt64(bitPattern: Int64(count))) }

  package mutating func add(_ flag: Bool) { add(flag ? 1 as UInt64 : 0) }

  /// A number of its own: its 8 bytes, or those of the one quiet NaN where it is not finite, as a log has no other.
  package mutating func add(_ number: Double) { add(number.isFinite ? number.bitPattern : 0x7FF8_0000_0000_0000) }

  package mutating func add(_ text: String) { add(Array(text.utf8)) }

  package mutating func add(_ bytes: [UInt8]) { list(bytes) }
  package mutating func add(_ tokens: [Int32]) { list(tokens) }
  package mutating func add(_ flags: [Bool]) { list(flags.map { $0 ? 1 as UInt8 : 0 }) }
  package mutating func add(_ numbers: [Float]) { list(numbers) }

  package mutating func add(_ numbers: [Float]?) {
    if let numbers { list(numbers) } else { add(UInt64.max) }
  }

  /// Without a length: a digest always has the same.
  package mutating func add(_ digest: Digest) { raw(digest.bytes) }

  package consuming func digest() -> Digest { hash.digest() }

  private mutating func list<T: BitwiseCopyable>(_ values: [T]) {
    add(values.count)
    raw(values)
  }

  /// As they lie in memory, which is the lowest byte first on every machine this runs on.
  private mutating func raw<T: BitwiseCopyable>(_ values: [T]) {
    unsafe values.withUnsafeBytes { unsafe hash.update($0) }
  }
}
