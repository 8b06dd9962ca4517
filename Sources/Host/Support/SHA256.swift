internal import CDigest

/// SHA-256 (FIPS 180-4), to name plugins, models and data by their contents, and to prove runs.
package struct SHA256: Sendable {
  private var state: [UInt32] = [
    0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
  ]
  private var pending: [UInt8] = []
  private var length: UInt64 = 0

  package init() {}

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    length += UInt64(bytes.count)
    var offset = 0
    if !pending.isEmpty {
      offset = min(64 - pending.count, bytes.count)
      unsafe pending.append(contentsOf: bytes[..<offset])
      if pending.count < 64 { return }
      let block = pending
      unsafe block.withUnsafeBytes { unsafe compress($0, from: 0, blocks: 1) }
      pending.removeAll(keepingCapacity: true)
    }
    let blocks = (bytes.count - offset) / 64
    if blocks > 0 { unsafe compress(bytes, from: offset, blocks: blocks) }
    offset += 64 * blocks
    unsafe pending.append(contentsOf: bytes[offset...])
  }

  package consuming func digest() -> Digest {
    let bits = length * 8
    var tail: [UInt8] = [0x80]
    while (pending.count + tail.count) % 64 != 56 { tail.append(0) }
    for shift in stride(from: 56, through: 0, by: -8) { tail.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift))) }
    unsafe tail.withUnsafeBytes { unsafe update($0) }
    return Digest(state.flatMap { word in stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: word >> UInt32($0)) } })
  }

  /// The digest as 64 hexadecimal digits.
  package consuming func hexDigest() -> String { digest().hex }

  package static func hex(_ bytes: [UInt8]) -> String {
    var hash = SHA256()
    unsafe bytes.withUnsafeBytes { unsafe hash.update($0) }
    return hash.hexDigest()
  }

  package static func hex(file path: String) throws(Failure) -> String {
    let file = try MappedFile(path)
    var hash = SHA256()
    unsafe file.withBytes { unsafe hash.update($0) }
    return hash.hexDigest()
  }

  /// Takes in whole blocks from an offset on.
  private mutating func compress(_ bytes: UnsafeRawBufferPointer, from first: Int, blocks: Int) {
    guard let base = bytes.baseAddress else { return }
    unsafe state.withUnsafeMutableBufferPointer { state in
      unsafe nr_sha256_compress(state.baseAddress, (base + first).assumingMemoryBound(to: UInt8.self), blocks)
    }
  }
}
