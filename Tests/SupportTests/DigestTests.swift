import CDigest
import Support
import TestSupport
import Testing

@Suite struct DigestTests {
  private static let bytes = (0..<(2 * Digest.pieceBytes + 77)).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }

  @Test func theProcessorsInstructionsComeToWhatPlainCComesTo() {
    for blocks in [0, 1, 2, 7, 1000] {
      var (fast, plain): ([UInt32], [UInt32]) = (Array(1...8), Array(1...8))
      unsafe Self.bytes.withUnsafeBufferPointer { bytes in
        unsafe nr_sha256_compress(&fast, bytes.baseAddress, blocks)
        unsafe nr_sha256_compress_portable(&plain, bytes.baseAddress, blocks)
      }
      #expect(fast == plain && (blocks == 0) == (plain == Array(1...8)), "\(blocks) blocks")
    }
  }

  /// Two pieces go through the processor side by side: those of every pair of lengths around the block size, and long ones.
  @Test(arguments: [1, 2, 5]) func piecesAreTheDigestsOfTheirBytesWhateverLiesBeside(_ threads: Int) {
    let lengths = [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 4099]
    var ranges: [Range<Int>] = []
    for a in lengths { for b in lengths { ranges += [7..<(7 + a), 300..<(300 + b)] } }
    ranges += [0..<Digest.pieceBytes, 3..<Self.bytes.count]
    let pieces = unsafe Self.bytes.withUnsafeBytes { unsafe Digest.pieces(of: $0, ranges, threads: threads) }
    for (range, digests) in zip(ranges, pieces) {
      var expected: [String] = []
      for start in stride(from: range.lowerBound, to: range.upperBound, by: Digest.pieceBytes) {
        expected.append(SHA256.hex(Array(Self.bytes[start..<min(range.upperBound, start + Digest.pieceBytes)])))
      }
      #expect(digests.map(\.hex) == expected, "\(range)")
    }
    #expect(pieces.last?.count == 3)
  }

  @Test func digitsAreReadBackAndNothingElseIs() {
    let hex = SHA256.hex(Array("abc".utf8))
    #expect(Digest(hex: hex)?.hex == hex)
    for text in ["", String(hex.dropLast()), hex + "0", hex.uppercased(), String(hex.dropLast()) + "g", hex + hex] { #expect(Digest(hex: text) == nil, "\(text)") }
  }

  /// The bytes that docs/proof.md gives, one kind after another.
  @Test func valuesArePutInWithTheirLengthsInFront() {
    var writer = DigestWriter()
    writer.add(258)
    writer.add(-1)
    writer.add(true)
    writer.add(1.5)
    writer.add(Double.infinity)
    writer.add("é")
    writer.add([7, -1] as [Int32])
    writer.add([0.5] as [Float])
    writer.add(nil as [Float]?)
    writer.add([true, false])
    let expected: [UInt8] =
      [2, 1, 0, 0, 0, 0, 0, 0] + Array(repeating: 255, count: 8) + [1, 0, 0, 0, 0, 0, 0, 0] + [0, 0, 0, 0, 0, 0, 0xF8, 0x3F]
      + [0, 0, 0, 0, 0, 0, 0xF8, 0x7F] + [2, 0, 0, 0, 0, 0, 0, 0, 0xC3, 0xA9] + [2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 255, 255, 255, 255]
      + [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x3F] + Array(repeating: 255, count: 8) + [2, 0, 0, 0, 0, 0, 0, 0, 1, 0]
    #expect(writer.digest().hex == SHA256.hex(expected))
  }

  @Test func tensorsHaveOneDigestInWhateverOrderTheyCome() {
    var (one, other, third) = (TensorDigests(), TensorDigests(), TensorDigests())
    one.add("b", [1, 2] as [Float])
    one.add("a", [3] as [Int64])
    other.add("a", [3] as [Int64])
    other.add("b", [1, 2] as [Float])
    third.add("b", [3] as [Int64])
    third.add("a", [1, 2] as [Float])
    #expect(one.digest == other.digest && one.digest != third.digest)
  }
}
