import Support
import Testing
import Tokenization

@Suite struct Decoding {
  @Test func theConfigurationNamesTheTokensThatEndAndFill() throws {
    let tokenizer = try Golden.tokenizer()
    #expect(tokenizer.endOfText == tokenizer.id(of: "<|im_end|>"))
    #expect(tokenizer.padding == tokenizer.id(of: "<|endoftext|>"))
    #expect(tokenizer.isSpecial(try #require(tokenizer.endOfText)))
    #expect(!tokenizer.isSpecial(try #require(tokenizer.id(of: "<think>"))))
    #expect(!tokenizer.isSpecial(-1) && !tokenizer.isSpecial(.max))
    #expect(tokenizer.id(of: "no such token") == nil)
  }

  @Test func tokensOnlyTheConfigurationNamesAreAddedToo() throws {
    let folder = Golden.temporary + "/nano-reasoner-configuration-\(getpid())"
    try Files.makeDirectory(folder)
    defer { try? Files.removeTree(folder) }
    try Files.copy(Golden.small + "/tokenizer.json", to: folder + "/tokenizer.json")
    let before = try Golden.tokenizer()
    let known = try #require(before.id(of: "<|im_end|>"))
    let new = before.vocabularySize + 3
    try AtomicFile.write(
      #"{"added_tokens_decoder": {"\#(known)": {"content": "<|im_end|>", "special": true}, "#
        + #""\#(new)": {"content": "<|new|>", "special": true}}, "eos_token": {"content": "<|new|>"}}"#,
      to: folder + "/tokenizer_config.json")
    let tokenizer = try Tokenizer(folder: folder)
    #expect(tokenizer.encode("<|new|><|im_end|>") == [Int32(new), known])
    #expect(tokenizer.endOfText == Int32(new) && tokenizer.padding == nil)
    #expect(tokenizer.vocabularySize == new + 1 && !tokenizer.contains(Int32(new - 1)))
  }

  @Test func anIdThatStandsForNothingIsAnError() throws {
    let tokenizer = try Golden.tokenizer()
    for id in [Int32(-1), Int32(tokenizer.vocabularySize), .min, .max] {
      let error = #expect(throws: Failure.self) { try tokenizer.decode([0, id]) }
      #expect(error?.message.contains("there is no token \(id)") == true)
      #expect(error?.message.contains(Golden.small) == true)
      #expect(!tokenizer.contains(id))
    }
  }

  @Test func aStreamGivesTextOnceItIsCompleteAndInAllTheSameText() throws {
    let tokenizer = try Golden.tokenizer()
    var random = RandomStream(seed: 11)
    for _ in 0..<2000 {
      let ids = (0..<random.next(below: 12)).map { _ in Int32(random.next(below: tokenizer.vocabularySize)) }
      for skip in [false, true] {
        var stream = StreamingDecoder(tokenizer, skipSpecialTokens: skip)
        var text = ""
        for id in ids { text += try stream.feed(id) }
        text += stream.finish()
        #expect(isSame(text, try tokenizer.decode(ids, skipSpecialTokens: skip)), "\(ids)")
      }
    }
  }

  @Test func aCharacterInPartsAppearsWithItsLastByte() throws {
    let tokenizer = try Golden.tokenizer()
    var stream = StreamingDecoder(tokenizer)
    let ids = tokenizer.encode("\u{1F9EE}")
    #expect(ids.count > 1)
    for id in ids.dropLast() { #expect(try stream.feed(id) == "") }
    #expect(try stream.feed(try #require(ids.last)) == "\u{1F9EE}")
    _ = try stream.feed(ids[0])
    #expect(stream.finish() == "\u{FFFD}")
    #expect(stream.finish() == "")
    #expect(throws: Failure.self) { try stream.feed(-5) }
  }
}
