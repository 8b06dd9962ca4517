import Support
import TestSupport
import Testing

@Suite struct SHA256Tests {
  /// FIPS 180-4's examples.
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func theStandardsExamplesComeOut(_ text: String, _ digest: String) {
    #expect(SHA256.hex(Array(text.utf8)) == digest)
  }

  @Test func aMillionLettersComeOut() {
    #expect(
      SHA256.hex(Array(repeating: UInt8(ascii: "a"), count: 1_000_000))
        == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  @Test func lengthsAroundTheBlockSizeGiveHashlibsDigestsInOnePieceAndInMany() throws {
    let expected = try #require(try JSON.read(goldens + "/digests.json").object)
    #expect(expected.count > 10)
    for key in expected.keys {
      let bytes = (0..<(try #require(Int(key)))).map { UInt8($0 % 251) }
      #expect(SHA256.hex(bytes) == expected[key]?.string)
      for piece in [1, 7, 63, 64, 65] {
        var hash = SHA256()
        for start in stride(from: 0, to: bytes.count, by: piece) {
          unsafe Array(bytes[start..<min(start + piece, bytes.count)]).withUnsafeBytes { unsafe hash.update($0) }
        }
        #expect(hash.hexDigest() == expected[key]?.string, "\(key) bytes in pieces of \(piece)")
      }
    }
  }

  @Test func aFileHasTheDigestOfItsBytes() throws {
    let folder = try TrialFolder()
    try AtomicFile.write("abc", to: folder.file("abc"))
    #expect(
      try SHA256.hex(file: folder.file("abc")) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(failure { () throws(Failure) in try SHA256.hex(file: folder.file("missing")) }?.code == .missingInput)
  }
}
