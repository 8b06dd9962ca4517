import Support
import Testing
import Tokenization

/// One change to a good file and what the one error must say.
struct Defect: Sendable, CustomTestStringConvertible {
  let path: [String]
  let value: JSON?
  let says: [String]

  init(_ path: String, _ value: JSON?, _ says: String...) {
    self.path = path.split(separator: ".").map(String.init)
    self.value = value
    self.says = says
  }

  var testDescription: String { "\(path.joined(separator: ".")) = \(value?.kind ?? "nothing")" }
}

@Suite struct MalformedTokenizerFiles {
  static let split: JSON = [
    "type": "Split", "pattern": ["Regex": #"\p{L}+"#], "behavior": "Isolated", "invert": false,
  ]
  static let text: JSON = ["Sequence": ["id": "A", "type_id": 0]]
  static let token: JSON = ["SpecialToken": ["id": "<s>", "type_id": 0]]
  static let template: JSON = [
    "type": "TemplateProcessing", "single": [token, text], "special_tokens": ["<s>": ["id": "<s>", "ids": [3], "tokens": ["<s>"]]],
  ]
  static let level: JSON = ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false]

  static let defects = [
    Defect("model", nil, "model", "expected an object", "found nothing"),
    Defect("model", [1], "model", "expected an object", "found an array of 1"),
    Defect("model.type", "Unigram", "model.type", "expected \"BPE\"", "\"Unigram\""),
    Defect("model.vocab", nil, "model.vocab", "expected an object"),
    Defect("model.vocab.a", "x", "model.vocab[\"a\"]", "expected an id", "\"x\""),
    Defect("model.vocab.a", -1, "model.vocab[\"a\"]", "expected an id", "-1"),
    Defect("model.vocab.a", 1.5, "model.vocab[\"a\"]", "expected an id", "1.5"),
    Defect("model.vocab.a", 4_000_000_000, "model.vocab[\"a\"]", "expected an id", "4000000000"),
    Defect("model.vocab.a", 3, "the id 3 is another token's too"),
    Defect("model.merges", nil, "model.merges", "expected an array", "nothing"),
    Defect("model.merges", ["a"], "model.merges[0]", "one space", "\"a\""),
    Defect("model.merges", ["a b c"], "model.merges[0]", "one space", "\"a b c\""),
    Defect("model.merges", [["a", "b", "c"]], "model.merges[0]", "a pair of tokens", "an array of 3"),
    Defect("model.merges", [["a", 1]], "model.merges[0]", "a pair of tokens"),
    Defect("model.merges", ["a zzz"], "model.merges[0]", "\"zzz\" is not in model.vocab"),
    Defect("model.merges", ["q z"], "model.merges[0]", "\"qz\" is not in model.vocab"),
    Defect("model.dropout", 0.5, "model.dropout", "expected null"),
    Defect("model.byte_fallback", true, "model.byte_fallback", "expected false"),
    Defect("model.ignore_merges", "yes", "model.ignore_merges", "true or false", "\"yes\""),
    Defect("model.continuing_subword_prefix", "##", "model.continuing_subword_prefix", "expected null"),
    Defect("normalizer", ["type": "NFKC"], "normalizer.type", "NFC", "\"NFKC\""),
    Defect("normalizer", "NFC", "normalizer", "expected an object", "\"NFC\""),
    Defect("pre_tokenizer", nil, "pre_tokenizer", "expected an object", "nothing"),
    Defect("pre_tokenizer", ["type": "Whitespace"], "pre_tokenizer.type", "ByteLevel", "\"Whitespace\""),
    Defect("pre_tokenizer", ["type": "Sequence", "pretokenizers": []], "expected steps of which the last is ByteLevel", "none"),
    Defect(
      "pre_tokenizer", ["type": "Sequence", "pretokenizers": [level, split]], "pretokenizers[0].type", "expected \"Split\" or \"Digits\"",
      "\"ByteLevel\""),
    Defect("pre_tokenizer", split, "pre_tokenizer.type", "expected \"ByteLevel\"", "\"Split\""),
    Defect(
      "pre_tokenizer", ["type": "Sequence", "pretokenizers": [split, level]], "pattern.Regex",
      "expected the pattern of Qwen2, Llama 3 or GPT-2", #"found "\\p{L}+""#),
    Defect(
      "pre_tokenizer", ["type": "Sequence", "pretokenizers": [["type": "Punctuation"], level]],
      "pretokenizers[0].type", "expected \"Split\" or \"Digits\"", "\"Punctuation\""),
    Defect(
      "pre_tokenizer", ["type": "Sequence", "pretokenizers": [["type": "Digits", "individual_digits": 1], level]],
      "pretokenizers[0].individual_digits", "true or false"),
    Defect("post_processor", ["type": "BertProcessing"], "post_processor.type", "TemplateProcessing", "\"BertProcessing\""),
    Defect("post_processor", ["type": "TemplateProcessing"], "post_processor.single", "expected an array", "nothing"),
    Defect("post_processor", ["type": "TemplateProcessing", "single": []], "post_processor.single", "expected the text"),
    Defect("post_processor", ["type": "TemplateProcessing", "single": [text, text]], "single[1]", "expected the text once"),
    Defect(
      "post_processor", ["type": "TemplateProcessing", "single": [["Sequence": ["id": "B"]]]], "single[0].Sequence.id", "expected \"A\"", "\"B\""),
    Defect(
      "post_processor", ["type": "TemplateProcessing", "single": [token, text]], "special_tokens.<s>", "expected an object", "nothing"),
    Defect(
      "post_processor", ["type": "TemplateProcessing", "single": [token, text], "special_tokens": ["<s>": ["ids": [90_000]]]],
      "special_tokens.<s>.ids[0]", "no token 90000"),
    Defect(
      "post_processor", ["type": "Sequence", "processors": [template, template]], "processors[1]", "one template that adds tokens"),
    Defect("decoder", ["type": "Metaspace"], "decoder.type", "expected \"ByteLevel\"", "\"Metaspace\""),
    Defect("decoder", nil, "decoder", "expected an object", "nothing"),
    Defect("added_tokens", ["content": "x"], "added_tokens", "expected an array", "an object"),
    Defect("added_tokens", [["content": "x"]], "added_tokens[0].id", "expected an id", "nothing"),
    Defect("added_tokens", [["id": 900]], "added_tokens[0].content", "expected a string", "nothing"),
    Defect("added_tokens", [["id": 3, "content": "x"]], "added_tokens[0]", "\"x\"", "id 3"),
    Defect("added_tokens", [["id": 900, "content": "a"]], "added_tokens[0]", "\"a\"", "id 900"),
    Defect("added_tokens", [["id": 900, "content": "x", "special": 1]], "added_tokens[0].special", "true or false"),
  ]

  @Test("give one clear error", arguments: defects)
  func clearError(defect: Defect) throws {
    let file = try JSON.read(Golden.small + "/tokenizer.json")
    let broken = replace(file, defect.path[...], defect.value)
    let error = #expect(throws: Failure.self) { try Tokenizer(json: broken, name: "m/tokenizer.json") }
    let message = try #require(error?.message)
    #expect(message.hasPrefix("m/tokenizer.json: "))
    #expect(error?.code == .badData)
    #expect(!message.contains("\n"))
    for part in defect.says { #expect(message.contains(part), "\(message)") }
  }

  @Test func aFolderWithoutTheFileAndAFileThatIsNotJSONAreErrors() throws {
    let missing = #expect(throws: Failure.self) { try Tokenizer(folder: Golden.folder) }
    #expect(missing?.code == .missingInput)
    #expect(missing?.message.contains("tokenizer.json") == true)
    let folder = Golden.temporary + "/nano-reasoner-broken-\(getpid())"
    try Files.makeDirectory(folder)
    defer { try? Files.removeTree(folder) }
    let whole = try Files.read(Golden.small + "/tokenizer.json")
    for count in [0, 1, 100, whole.count / 2, whole.count - 3] {
      try AtomicFile.write(Array(whole[..<count]), to: folder + "/tokenizer.json")
      let error = #expect(throws: Failure.self) { try Tokenizer(folder: folder) }
      #expect(error?.message.contains("tokenizer.json: line") == true)
    }
    try AtomicFile.write(whole, to: folder + "/tokenizer.json")
    try AtomicFile.write(#"{"eos_token": "<|gone|>"}"#, to: folder + "/tokenizer_config.json")
    let unknown = #expect(throws: Failure.self) { try Tokenizer(folder: folder) }
    #expect(unknown?.message.contains("tokenizer_config.json: eos_token: the token \"<|gone|>\" is not in") == true)
  }

  private func replace(_ json: JSON, _ path: ArraySlice<String>, _ value: JSON?) -> JSON {
    guard let key = path.first, var object = json.object else { return json }
    if path.count == 1 {
      object[key] = value
    } else if let inner = object[key] {
      object[key] = replace(inner, path.dropFirst(), value)
    }
    return .object(object)
  }
}
