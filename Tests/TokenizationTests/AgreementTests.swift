import Support
import Testing
import Tokenization

@Suite struct AgreementWithHuggingFace {
  static let variants: [String] = {
    let variants = try? Golden.read("cases.json")["variants"]?.array
    return (variants ?? []).compactMap { $0["name"]?.string }
  }()

  @Test("a small tokenizer on awkward strings", arguments: variants)
  func awkwardStrings(variant: String) throws {
    let variants = try #require(try Golden.read("cases.json")["variants"]?.array)
    let golden = try #require(variants.first { $0["name"]?.string == variant })
    let tokenizer = try Tokenizer(json: try file(golden), name: variant)
    let cases = try #require(golden["cases"]?.array)
    #expect(cases.count > 30)
    for golden in cases {
      let text = try #require(golden["text"]?.string)
      let expected = try #require(golden["ids"]).ids
      #expect(tokenizer.encode(text) == expected, "\(text.debugDescription)")
      #expect(tokenizer.encode(text) == expected, "\(text.debugDescription), from the cache")
      #expect(isSame(try tokenizer.decode(expected), try #require(golden["back"]?.string)))
      #expect(isSame(try tokenizer.decode(expected, skipSpecialTokens: true), try #require(golden["skipped"]?.string)))
    }
  }

  @Test func thereAreVariants() { #expect(Self.variants.count == 12) }

  @Test(
    "the Qwen2.5 tokenizer on all of GSM8K", .enabled(if: Golden.sharedData != nil, Golden.whyShared),
    arguments: ["test", "train"])
  func gsm8k(split: String) throws {
    let data = try #require(Golden.sharedData)
    let golden = try #require(try Golden.read("gsm8k.json")["gsm8k"]?[split])
    let tokenizer = try Tokenizer(folder: data + "/qwen2.5-tokenizer")
    let text = try Files.readText(data + "/gsm8k/\(split).jsonl")
    var fields: [Int32] = []
    for line in text.split(separator: "\n") {
      let problem = try JSON.parse(String(line), name: split)
      for key in ["question", "answer"] { fields += tokenizer.encode(try #require(problem[key]?.string)) }
    }
    #expect(digest(fields) == golden["fields"]?["sha256"]?.string)
    let whole = tokenizer.encode(text)
    #expect(whole.count == golden["file"]?["tokens"]?.int)
    #expect(digest(whole) == golden["file"]?["sha256"]?.string)
    #expect(isSame(try tokenizer.decode(whole), text))
  }

  @Test("the Qwen2.5 tokenizer on awkward strings", .enabled(if: Golden.sharedData != nil, Golden.whyShared))
  func qwen() throws {
    let tokenizer = try Tokenizer(folder: try #require(Golden.sharedData) + "/qwen2.5-tokenizer")
    #expect(tokenizer.vocabularySize == 151_665)
    #expect(tokenizer.id(of: "<|im_end|>") == 151_645)
    for golden in try #require(try Golden.read("gsm8k.json")["awkward"]?.array) {
      let text = try #require(golden["text"]?.string)
      #expect(tokenizer.encode(text) == golden["ids"]?.ids, "\(text.debugDescription)")
    }
  }

  private func file(_ golden: JSON) throws -> JSON {
    var file = try #require(try JSON.read(Golden.small + "/tokenizer.json").object)
    for key in try #require(golden["replace"]?.object).keys { file[key] = golden["replace"]?[key] }
    var model = try #require(file["model"]?.object)
    for key in try #require(golden["model"]?.object).keys { model[key] = golden["model"]?[key] }
    file["model"] = .object(model)
    return .object(file)
  }
}
