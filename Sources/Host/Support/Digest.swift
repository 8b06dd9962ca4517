internal import CDigest

/// The 32 bytes of a SHA-256 digest.
package struct Digest: Sendable, Equatable {
  package static let byteCount = 32
  package let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// 64 hexadecimal digits in lower case; nil where the text is anything else.
  package init?(hex text: String) {
    var bytes: [UInt8] = []
    var high: UInt8?
    for letter in text.utf8 {
      guard let value = Self.digits.firstIndex(of: letter) else { return nil }
      if let first = high {
        bytes.append(first << 4 | UInt8(value))
        high = nil
      } else {
        high = UInt8(value)
      }
    }
    guard high == nil, bytes.count == Self.byteCount else { return nil }
    self.bytes = bytes
  }

  package var hex: String {
    String(decoding: bytes.flatMap { [Self.digits[Int($0 >> 4)], Self.digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  private static let digits = Array("0123456789abcdef".utf8)

  /// The digests of some ranges of a piece of memory, each of at most ``pieceBytes``: those of a longer range one after another.
  ///
  /// - Parameter threads: at most; they change no digest.
  package static func pieces(of bytes: UnsafeRawBufferPointer, _ ranges: [Range<Int>], threads: Int) -> [[Digest]] {
    var starts: [UnsafePointer<UInt8>?] = unsafe []
    var sizes: [Int] = []
    guard let base = unsafe bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return ranges.map { _ in [] } }
    for range in ranges {
      precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
      for start in stride(from: range.lowerBound, to: range.upperBound, by: pieceBytes) {
        unsafe starts.append(base + start)
        sizes.append(min(pieceBytes, range.upperBound - start))
      }
    }
    var digests = [UInt8](repeating: 0, count: byteCount * sizes.count)
    unsafe nr_sha256_pieces(&starts, &sizes, sizes.count, &digests, Int32(clamping: threads))
    var next = 0
    return ranges.map { range in
      let count = (range.count + pieceBytes - 1) / pieceBytes
      defer { next += count }
      return (next..<(next + count)).map { Digest(Array(digests[(byteCount * $0)..<(byteCount * ($0 + 1))])) }
    }
  }

  /// 1 MiB: some thousand of them are hashed by as many threads as there are.
  package static let pieceBytes = 1 << 20
}
