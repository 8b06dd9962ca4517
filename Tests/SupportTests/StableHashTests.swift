import Support
import Testing

@Suite struct StableHashTests {
  /// The vectors of FNV's authors (isthe.com/chongo/tech/comp/fnv).
  @Test(arguments: [("", 0xCBF2_9CE4_8422_2325), ("a", 0xAF63_DC4C_8601_EC8C), ("foobar", 0x8594_4171_F739_67E8)] as [(String, UInt64)])
  func isFNV1a(_ text: String, _ expected: UInt64) {
    var hash = StableHash()
    hash.combine(Array(text.utf8).span)
    #expect(hash.value == expected)
  }
}
