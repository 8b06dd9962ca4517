import Foundations
import Testing
import Tokenization

/// Added tokens with every mix of flags, several of them side by side, against Hugging Face tokenizers.
@Suite struct AddedTokenTests {
  private func tokenizer(_ added: JSON?) throws -> Tokenizer {
    var file = try #require(try JSON.read(Golden.small + "/tokenizer.json").object)
    file["added_tokens"] = added
    return try Tokenizer(json: .object(file), name: "added")
  }

  @Test func addedTokensOfEveryFlagSideBySideAreThoseOfTokenizers() throws {
    var compared = 0
    let path = environmentVariable("NR_ADDED_GOLDEN") ?? Golden.folder + "/added.json"
    for family in try #require(try JSON.read(path).array) {
      let tokenizer = try tokenizer(family["added_tokens"])
      for row in try #require(family["cases"]?.array) {
        let text = try #require(row["text"]?.string)
        let ids = tokenizer.encode(text)
        // Where tokenizers stops, a match whose text is taken is dropped; there is nothing to compare with.
        guard let expected = row["ids"], !expected.isNull else { continue }
        compared += 1
        #expect(ids == expected.ids, "\(text.debugDescription) with \(family["added_tokens"]?.text() ?? "")")
      }
    }
    #expect(compared > 900)
  }

  @Test func manyAddedTokensAreReadInLinearTime() throws {
    func seconds(_ count: Int) throws -> Double {
      let first = Int(try Golden.tokenizer().vocabularySize)
      let added = (0..<count).map { number -> JSON in
        ["id": .integer(first + number), "content": .string("<extra_\(number)>"), "special": true, "normalized": false,
          "lstrip": false, "rstrip": false, "single_word": false]
      }
      let clock = ContinuousClock()
      let start = clock.now
      let tokenizer = try tokenizer(.array(added))
      #expect(tokenizer.encode("<extra_7><extra_\(count - 1)>") == [Int32(first + 7), Int32(first + count - 1)])
      return (clock.now - start) / .seconds(1)
    }
    _ = try seconds(1000)
    let (few, many) = (try seconds(5000), try seconds(40_000))
    // Eight times as many: quadratic time would be 64 times as long.
    #expect(many < 24 * max(few, 0.01), "\(few) s, then \(many) s")
  }
}
