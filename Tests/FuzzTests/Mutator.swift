import Support

/// Changes bytes as files get damaged and as somebody who means harm changes them: the same seed gives the same mutants.
struct Mutator {
  private var random: RandomStream
  private let words: [[UInt8]]

  init(seed: UInt64, target: UInt64) {
    random = RandomStream(seed: seed, path: [0x66_75_7A_7A, target])
    words = Self.tokens.map { Array($0.utf8) }
  }

  /// What stands at the ends of ranges, and what other formats and terminals make something of.
  private static let tokens = [
    "9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551615", "1e400", "-1e400", "1e308", "NaN", "Infinity", "-0", "-0.0",
    "0", "-1", "1.5", "2147483648", "4294967296", "1e-400", "9223372036854775807.0", "-9223372036854775808.0", "null", "true", "false", "[]", "{}", "\"\"",
    "[[[[[[[[", "{\"a\":", "\\ud800", "\\u0000", "\u{1B}[31m", "\u{202E}", "\u{0}", "\n", "\r", "\t", "\"", "\\", ",", ":", "}", "]", "é", "e\u{301}", "\u{FEFF}",
    "../../etc/passwd", "/dev/zero", "F64", "BF16", "I64", "U8", "BOOL", "step-", ".tmp-1", "events.out.tfevents.9223372036854775807.x",
    "\\frac{1}{0}", "\\boxed{", "^{9999999999}", "10^{10^{10}}", "\\sqrt[0]{1}", "1/0", "(((((((((", "\\text{", "{{{{{{{{",
  ]

  mutating func below(_ count: Int) -> Int { Int(random.nextBits() % UInt64(max(1, count))) }

  mutating func mutant(of original: [UInt8], or other: [UInt8]) -> [UInt8] {
    var bytes = original
    for _ in 0...(below(2) == 0 ? 0 : below(4)) { change(&bytes, other) }
    return bytes
  }

  private mutating func change(_ bytes: inout [UInt8], _ other: [UInt8]) {
    let place = below(bytes.count + 1)
    let end = min(bytes.count, place + 1 + below(below(4) == 0 ? 4096 : 8))
    switch below(12) {
    case 0: if place < bytes.count { bytes[place] ^= 1 << UInt8(below(8)) }
    case 1: if place < bytes.count { bytes[place] = UInt8(below(256)) }
    case 2: bytes.removeSubrange(place..<end)
    case 3: bytes.insert(contentsOf: bytes[place..<end], at: place)
    case 4: bytes.removeLast(bytes.count - place)
    case 5, 6: bytes.insert(contentsOf: words[below(words.count)], at: place)
    case 7, 8: replaceValue(&bytes, from: place)
    case 9:
      let start = below(other.count + 1)
      bytes.insert(contentsOf: other[start..<min(other.count, start + 64)], at: place)
    case 10: for index in place..<min(bytes.count, place + 8) { bytes[index] = below(2) == 0 ? 0xFF : 0 }
    default: if bytes.count < 1 << 16 { bytes.insert(contentsOf: Array(repeating: bytes.isEmpty ? 0 : bytes[place % bytes.count], count: 1 + below(600)), at: place) }
    }
  }

  /// Another value in the place of the next number or text.
  private mutating func replaceValue(_ bytes: inout [UInt8], from place: Int) {
    func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || [0x2D, 0x2E, 0x65].contains(byte) }
    let isNumber = below(2) == 0
    guard let start = bytes[place...].firstIndex(where: { isNumber ? (0x30...0x39).contains($0) : $0 == 0x22 }) else { return }
    var end = start + 1
    while end < bytes.count, isNumber ? isDigit(bytes[end]) : bytes[end] != 0x22 { end += 1 }
    if !isNumber { end = min(bytes.count, end + 1) }
    bytes.replaceSubrange(start..<end, with: words[below(words.count)])
  }
}
