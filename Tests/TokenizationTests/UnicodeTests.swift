import Support
import Testing

@testable import Tokenization

@Suite struct UnicodeAsHuggingFaceKnowsIt {
  static let scalars = (0..<UInt32(0x110000)).compactMap(Unicode.Scalar.init)

  @Test func everyScalarHasTheClassItHasInThePatterns() throws {
    let classes = Self.scalars.map { ScalarClass($0.value).rawValue }
    #expect(SHA256.hex(classes) == (try Golden.read("unicode.json")["classes"]?.string))
  }

  @Test func everyScalarNormalisesBetweenMarksAsItDoesThere() throws {
    var text: [UInt8] = []
    for scalar in Self.scalars {
      let part = Array("q\u{307}".utf8) + Array(UTF8.encode(scalar)!) + Array("\u{323}\u{301}".utf8)
      text += Normalizer.nfc.normalized(part.span, part.indices) ?? part
      text.append(0x0A)
    }
    #expect(SHA256.hex(text) == (try Golden.read("unicode.json")["nfc"]?.string))
  }

  @Test func theByteAlphabetGoesBothWays() {
    #expect(Set(ByteAlphabet.scalars).count == 256)
    #expect(ByteAlphabet.bytes(of: String(decoding: ByteAlphabet.written(0...255), as: UTF8.self)) == Array(0...255))
    #expect(isSame(String(decoding: ByteAlphabet.written(Array(" the\n".utf8)), as: UTF8.self), "ĠtheĊ"))
    #expect(ByteAlphabet.bytes(of: "a b") == Array("a b".utf8))
  }
}
