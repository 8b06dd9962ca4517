import Support
import Testing
import Tokenization

@Suite struct LearningAVocabulary {
  private func learn(_ size: Int) throws -> LearnedTokenizer {
    var trainer = BytePairTrainer()
    trainer.add(try Files.readText(Golden.folder + "/corpus.txt"))
    return try trainer.learn(vocabularySize: size)
  }

  @Test func theMergesAreThoseHuggingFaceLearns() throws {
    let golden = try Golden.read("learned.json")
    let learned = try learn(try #require(golden["size"]?.int))
    let expected = try #require(golden["merges"]?.array).map { $0.array?.compactMap(\.string) ?? [] }
    #expect(learned.merges.map { [$0.left, $0.right] } == expected)
  }

  @Test func itEncodesAsTheFilesItWrites() throws {
    let learned = try learn(400)
    #expect(learned.vocabularySize == 400)
    let folder = Golden.temporary + "/nano-reasoner-learned-\(getpid())"
    try learned.write(to: folder)
    defer { try? Files.removeTree(folder) }
    let tokenizer = try Tokenizer(folder: folder)
    #expect(tokenizer.vocabularySize == 400)
    #expect(tokenizer.endOfText == tokenizer.id(of: "<|im_end|>"))
    #expect(tokenizer.addedTokens.map(\.id) == [395, 396, 397, 398, 399])
    #expect(!tokenizer.isSpecial(try #require(tokenizer.id(of: "<think>"))))
    let text = try Files.readText(Golden.folder + "/corpus.txt")
    let problems = String(text.prefix(4000))
    #expect(tokenizer.encode(problems).count < problems.utf8.count / 2)
    #expect(isSame(try tokenizer.decode(tokenizer.encode(problems)), problems))
    #expect(tokenizer.encode(" 1234").count == 5)
    for byte in UInt8.min ... .max { #expect(try tokenizer.decode(tokenizer.encode([byte])).isEmpty == false) }
  }

  @Test func theSameTextGivesTheSameFiles() throws {
    #expect(try learn(350).tokenizer.text() == learn(350).tokenizer.text())
    #expect(try learn(350).configuration.text() == learn(350).configuration.text())
  }

  @Test func aVocabularyTheTextCannotFillIsAnError() throws {
    let tooMuch = #expect(throws: Failure.self) { try learn(5000) }
    #expect(tooMuch?.message.contains("give more text") == true)
    let tooLittle = #expect(throws: Failure.self) { try learn(200) }
    #expect(tooLittle?.message.contains("expected at least 261") == true)
  }
}
