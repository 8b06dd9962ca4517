/// SHA-256 (FIPS 180-4), to name plugins, models and data by their contents.
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

  /// The digest as 64 hexadecimal digits.
  package consuming func hexDigest() -> String {
    let bits = length * 8
    var tail: [UInt8] = [0x80]
    while (pending.count + tail.count) % 64 != 56 { tail.append(0) }
    for shift in stride(from: 56, through: 0, by: -8) { tail.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift))) }
    unsafe tail.withUnsafeBytes { unsafe update($0) }
    let digits = Array("0123456789abcdef")
    var text = ""
    for word in state {
      for shift in stride(from: 28, through: 0, by: -4) { text.append(digits[Int(word >> UInt32(shift)) & 15]) }
    }
    return text
  }

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

  /// Takes in whole blocks from an offset on. The eight words stay in registers over all of them: a round changes two of them, and the
  /// next is given them one place further.
  private mutating func compress(_ bytes: UnsafeRawBufferPointer, from first: Int, blocks: Int) {
    @inline(__always) func rotate(_ x: UInt32, _ n: UInt32) -> UInt32 { (x >> n) | (x << (32 &- n)) }
    @inline(__always) func round(
      _ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: inout UInt32, _ e: UInt32, _ f: UInt32, _ g: UInt32, _ h: inout UInt32, _ scheduled: UInt32
    ) {
      let t = h &+ (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) &+ (g ^ (e & (f ^ g))) &+ scheduled
      d &+= t
      h = t &+ (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) &+ ((a & b) | (c & (a | b)))
    }
    var (s0, s1, s2, s3, s4, s5, s6, s7) = (state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7])
    unsafe Self.constants.withUnsafeBufferPointer { constants in
      unsafe withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { w in
        let (k, w) = (constants.baseAddress!, w.baseAddress!)
        var source = unsafe bytes.baseAddress! + first
        for _ in 0..<blocks {
          var i = 0
          while i < 16 {
            unsafe w[i] = UInt32(bigEndian: source.loadUnaligned(fromByteOffset: i &<< 2, as: UInt32.self))
            i &+= 1
          }
          while i < 64 {
            let (x, y) = unsafe (w[i &- 15], w[i &- 2])
            unsafe w[i] =
              w[i &- 16] &+ (rotate(x, 7) ^ rotate(x, 18) ^ (x >> 3)) &+ w[i &- 7] &+ (rotate(y, 17) ^ rotate(y, 19) ^ (y >> 10))
            i &+= 1
          }
          var (a, b, c, d, e, f, g, h) = (s0, s1, s2, s3, s4, s5, s6, s7)
          i = 0
          while i < 64 {
            unsafe round(a, b, c, &d, e, f, g, &h, k[i] &+ w[i])
            unsafe round(h, a, b, &c, d, e, f, &g, k[i &+ 1] &+ w[i &+ 1])
            unsafe round(g, h, a, &b, c, d, e, &f, k[i &+ 2] &+ w[i &+ 2])
            unsafe round(f, g, h, &a, b, c, d, &e, k[i &+ 3] &+ w[i &+ 3])
            unsafe round(e, f, g, &h, a, b, c, &d, k[i &+ 4] &+ w[i &+ 4])
            unsafe round(d, e, f, &g, h, a, b, &c, k[i &+ 5] &+ w[i &+ 5])
            unsafe round(c, d, e, &f, g, h, a, &b, k[i &+ 6] &+ w[i &+ 6])
            unsafe round(b, c, d, &e, f, g, h, &a, k[i &+ 7] &+ w[i &+ 7])
            i &+= 8
          }
          s0 &+= a
          s1 &+= b
          s2 &+= c
          s3 &+= d
          s4 &+= e
          s5 &+= f
          s6 &+= g
          s7 &+= h
          unsafe source += 64
        }
      }
    }
    state = [s0, s1, s2, s3, s4, s5, s6, s7]
  }

  private static let constants: [UInt32] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
  ]
}
