import Support
import Testing

@testable import Tokenization

/// Tokenizers that are built as Llama 3's and SmolLM2's are, and what may be otherwise in their files, against tokenizers and transformers.
@Suite struct TokenizerFamilies {
  private static let golden = try? Golden.read("families.json")
  static let families = golden?["families"]?.array ?? []
  static let variants = golden?["variants"]?.array ?? []

  static func texts(_ key: String) -> [String] { (golden?[key]?.array ?? []).compactMap(\.string) }

  @Test(arguments: families.indices) func aSmallOneOfAFamilyGivesTheSameIDs(_ index: Int) throws {
    let golden = Self.families[index]
    let name = try #require(golden["name"]?.string)
    let tokenizer = try Tokenizer(json: try #require(golden["file"]), name: name)
    #expect(Self.texts("texts").count > 200)
    try compare(tokenizer, golden, Self.texts("texts"), name)
  }

  @Test(arguments: variants.indices) func aFileWithOtherStepsOrAnotherPostProcessorDoesToo(_ index: Int) throws {
    let golden = Self.variants[index]
    let name = try #require(golden["name"]?.string)
    var file = try #require(Self.families.first { $0["name"] == golden["of"] }?["file"]?.object)
    for key in try #require(golden["replace"]?.object).keys {
      if key == "model" {
        var model = try #require(file["model"]?.object)
        for inner in golden["replace"]?["model"]?.object?.keys ?? [] { model[inner] = golden["replace"]?["model"]?[inner] }
        file["model"] = .object(model)
      } else {
        file[key] = golden["replace"]?[key]
      }
    }
    let tokenizer = try Tokenizer(json: .object(file), name: name)
    let texts = Self.texts("texts").enumerated().filter { $0.offset % 3 == 0 }.map(\.element)
    try compare(tokenizer, golden, texts, name)
  }

  @Test func thereAreFamiliesAndVariants() { #expect(Self.families.count == 2 && Self.variants.count == 16) }

  @Test func theStepDigitsTakesTheScalarsForDigitsThatRustDoes() throws {
    let numeric = UnicodeAsHuggingFaceKnowsIt.scalars.map { UInt8(ScalarClass.isNumericInRust($0.value) ? 1 : 0) }
    #expect(SHA256.hex(numeric) == Self.golden?["digits"]?.string)
  }

  private func compare(_ tokenizer: Tokenizer, _ golden: JSON, _ texts: [String], _ name: String) throws {
    let ids = try #require(golden["ids"]?.array)
    // Where the post-processor alone is another, the frames are what is compared.
    #expect(ids.count == texts.count || ids.isEmpty && golden["replace"]?["post_processor"] != nil)
    for (text, expected) in zip(texts, ids) {
      #expect(tokenizer.encode(text) == expected.ids, "\(name): \(text.debugDescription)")
      #expect(tokenizer.encode(text) == expected.ids, "\(name): \(text.debugDescription), from the cache")
      if golden["replace"] == nil { #expect(isSame(try tokenizer.decode(expected.ids), text), "\(name): \(text.debugDescription), decoded") }
    }
    let framed = try #require(golden["framed"]?.array)
    #expect(framed.count == Self.texts("framed_texts").count)
    for (text, expected) in zip(Self.texts("framed_texts"), framed) {
      #expect(tokenizer.encodeFramed(text) == expected.ids, "\(name): \(text.debugDescription), framed")
    }
  }

  @Test func aTextGetsNoTokensUnlessAFrameIsAskedFor() throws {
    let golden = try #require(Self.families.first { $0["name"]?.string == "llama3" }?["file"])
    let tokenizer = try Tokenizer(json: golden, name: "llama3")
    let begin = try #require(tokenizer.id(of: "<|begin_of_text|>"))
    let prompt = PromptForm.llama3.prompt(marked: "Hi")
    #expect(!tokenizer.encode("Hi").contains(begin))
    #expect(tokenizer.encodeFramed("Hi") == [begin] + tokenizer.encode("Hi"))
    // A prompt has it from the form, once.
    #expect(tokenizer.encode(prompt).filter { $0 == begin }.count == 1 && tokenizer.encode(prompt).first == begin)
  }

  @Test(.enabled(if: Golden.smolLM2 != nil && Golden.sharedData != nil, Golden.whySmolLM2), arguments: ["test", "train"])
  func theTokenizerOfSmolLM2GivesTheSameIDsOnAllOfGSM8K(split: String) throws {
    let (folder, data) = (try #require(Golden.smolLM2), try #require(Golden.sharedData))
    let golden = try #require(try Golden.read("smollm2.json")[split])
    let tokenizer = try Tokenizer(folder: folder)
    var ids: [Int32] = []
    for line in try Files.readText("\(data)/gsm8k/\(split).jsonl").split(separator: "\n") {
      let problem = try JSON.parse(String(line), name: split)
      for key in ["question", "answer"] { ids += tokenizer.encode(try #require(problem[key]?.string)) }
    }
    #expect(ids.count == golden["tokens"]?.int)
    #expect(digest(ids) == golden["sha256"]?.string)
  }
}

/// The SHA-256 of ids as little-endian 32-bit numbers.
func digest(_ ids: [Int32]) -> String {
  var bytes: [UInt8] = []
  for id in ids { for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: id >> Int32(shift))) } }
  return SHA256.hex(bytes)
}
