import Support
import Testing

@testable import Tokenization

@Suite struct Encoding {
  @Test func aLongWordTakesNoLongerThanItsLengthAsks() throws {
    let tokenizer = try Golden.tokenizer()
    for text in [String(repeating: "a", count: 100_000), String(repeating: " ", count: 100_000)] {
      var ids: [Int32] = []
      let duration = ContinuousClock().measure { ids = tokenizer.encode(text) }
      #expect(duration < .seconds(5))
      #expect(isSame(try tokenizer.decode(ids), text))
    }
  }

  @Test func mergingThroughTheHeapIsMergingTheLowestRankFirst() {
    var random = RandomStream(seed: 5)
    var table = MergeTable()
    for rank in 0..<200 {
      let (left, right) = (Int32(random.next(below: 40)), Int32(random.next(below: 40)))
      if table[left, right] == nil {
        table[left, right] = MergeTable.Merge(rank: Int32(rank), token: Int32(4 + random.next(below: 36)))
      }
    }
    var merger = BytePairMerger()
    for length in 0..<200 {
      let word = (0..<length).map { _ in Int32(random.next(below: 4)) }
      var merged: [Int32] = []
      merger.merge(word, table, into: &merged)
      #expect(merged == plainMerge(word, table))
    }
  }

  private func plainMerge(_ word: [Int32], _ table: MergeTable) -> [Int32] {
    var word = word
    while true {
      let pairs = zip(word, word.dropFirst()).map { table[$0, $1] }
      guard let best = pairs.compactMap({ $0 }).min(by: { $0.rank < $1.rank }),
        let place = pairs.firstIndex(of: best)
      else { return word }
      word.replaceSubrange(place...place + 1, with: [best.token])
    }
  }

  @Test func illFormedBytesCountAsReplacementCharacters() throws {
    let tokenizer = try Golden.tokenizer()
    // What Python's bytes.decode("utf-8", errors="replace") gives.
    let cases: [([UInt8], String)] = [
      ([0x61, 0xFF, 0x62], "a\u{FFFD}b"),
      ([0xE2, 0x82], "\u{FFFD}"),
      ([0xE2, 0x28, 0xA1], "\u{FFFD}(\u{FFFD}"),
      ([0xED, 0xA0, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}"),
      ([0xF0, 0x9F, 0x98], "\u{FFFD}"),
      ([0xC0, 0x80], "\u{FFFD}\u{FFFD}"),
      ([0xF4, 0x90, 0x80, 0x80], "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"),
    ]
    for (bytes, text) in cases { #expect(tokenizer.encode(bytes) == tokenizer.encode(text)) }
    #expect(tokenizer.encode(Array("é \u{1F600}".utf8)) == tokenizer.encode("é \u{1F600}"))
  }

  @Test func manyThreadsEncodeAsOne() async throws {
    let tokenizer = try Golden.tokenizer()
    let text = try Files.readText(Golden.folder + "/corpus.txt")
    let expected = tokenizer.encode(text)
    await withTaskGroup(of: [Int32].self) { group in
      for _ in 0..<8 { group.addTask { tokenizer.encode(text) } }
      for await ids in group { #expect(ids == expected) }
    }
  }

  @Test func tokensThatAreCanonicallyEquivalentAreTwoTokens() throws {
    var file = try #require(try JSON.read(Golden.small + "/tokenizer.json").object)
    file["normalizer"] = .null
    let flags: JSON = ["special": false, "normalized": false, "lstrip": false, "rstrip": false, "single_word": false]
    var added = try #require(file["added_tokens"]?.array)
    let first = Int(try Golden.tokenizer().vocabularySize)
    for (offset, content) in ["e\u{301}te", "\u{E9}te"].enumerated() {
      var token = try #require(flags.object)
      token["id"] = .integer(first + offset)
      token["content"] = .string(content)
      added.append(.object(token))
    }
    file["added_tokens"] = .array(added)
    var model = try #require(file["model"]?.object)
    var words = try #require(model["vocab"]?.object)
    words["e\u{301}"] = .integer(first + 2)
    words["\u{E9}"] = .integer(first + 3)
    model["vocab"] = .object(words)
    file["model"] = .object(model)
    file = try #require(try JSON.parse(JSON.object(file).text(), name: "two").object)
    let tokenizer = try Tokenizer(json: .object(file), name: "two")
    #expect(tokenizer.encode("\u{E9}tee\u{301}te") == [Int32(first + 1), Int32(first)])
    #expect(tokenizer.id(of: "e\u{301}te") == Int32(first))
    #expect(tokenizer.id(of: "e\u{301}") == Int32(first + 2))
    #expect(tokenizer.id(of: "\u{E9}") == Int32(first + 3))
  }
}
