import Support
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

  /// The longest at each place, as every token tried at every place finds it.
  @Test func theMatchesAreThoseOfTryingEveryToken() throws {
    var random = RandomStream(seed: 3, path: [1])
    let first = Int(try Golden.tokenizer().vocabularySize)
    for _ in 0..<40 {
      var contents: [String] = []
      for _ in 0..<(1 + random.next(below: 30)) {
        let content = "<" + String((0...random.next(below: 6)).map { _ in random.pick(["a", "b", "<", "é"] as [Character]) })
        if !contents.contains(content), try Golden.tokenizer().id(of: content) == nil { contents.append(content) }
      }
      let known = contents.enumerated().map { number, content -> JSON in
        ["id": .integer(first + number), "content": .string(content), "special": true, "normalized": false]
      }
      let tokenizer = try tokenizer(.array(known))
      for _ in 0..<20 {
        let text = String((0..<40).map { _ in random.pick(["a", "b", "<", "é", "x"] as [Character]) })
        var (rest, expected) = (Array(text.utf8)[...], [Int]())
        while !rest.isEmpty {
          let fitting = contents.indices.filter { rest.starts(with: contents[$0].utf8) }.max { contents[$0].utf8.count < contents[$1].utf8.count }
          if let fitting { expected.append(first + fitting) }
          rest = rest.dropFirst(fitting.map { contents[$0].utf8.count } ?? 1)
        }
        #expect(tokenizer.encode(text).map(Int.init).filter { $0 >= first } == expected, "\(text) with \(contents)")
      }
    }
  }

  @Test func manyLengthsAndAWholeConfigurationTakeNoLonger() throws {
    let folder = Golden.temporary + "/added-\(getpid())"
    try Files.makeDirectory(folder)
    defer { try? Files.removeTree(folder) }
    var file = try #require(try JSON.read(Golden.small + "/tokenizer.json").object)
    let first = Int(try Golden.tokenizer().vocabularySize)
    var (list, table) = ([JSON](), JSON.Object())
    for number in 0..<40_000 {
      let content = number < 2000 ? String(repeating: "<", count: number + 8) : "<extra_\(number)>"
      list.append(["id": .integer(first + number), "content": .string(content), "special": true])
      table["\(first + number)"] = ["content": .string(content), "special": true]
    }
    file["added_tokens"] = .array(list)
    try AtomicFile.write(JSON.object(file).text(), to: folder + "/tokenizer.json")
    try AtomicFile.write(JSON.object(["added_tokens_decoder": .object(table)]).text(), to: folder + "/tokenizer_config.json")
    let watch = Stopwatch()
    let tokenizer = try Tokenizer(folder: folder)
    // Each of two thousand lengths begins at each place of this text.
    #expect(tokenizer.encode(String(repeating: "<a", count: 50_000)).count >= 100_000)
    #expect(watch.seconds < 20, "\(watch.seconds) s")
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
