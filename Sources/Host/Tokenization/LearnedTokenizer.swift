import Support

/// A vocabulary that was learned, and the files that hold it in Hugging Face's form.
package struct LearnedTokenizer: Sendable {
  private(set) var tokens: [String]
  package private(set) var merges: [(left: String, right: String)] = []
  var addedTokens: [AddedToken] = []
  /// The form of the template of `tokenizer_config.json`.
  private let form = PromptForm.qwen
  private var idOfToken: [String: Int32] = [:]

  init(alphabet: [String]) {
    tokens = alphabet
    for (id, token) in alphabet.enumerated() { idOfToken[token] = Int32(id) }
  }

  package var vocabularySize: Int { tokens.count + addedTokens.count }

  /// The token two tokens merge into; another pair may have given it before.
  mutating func merge(_ left: Int32, _ right: Int32) -> Int32 {
    let (left, right) = (tokens[Int(left)], tokens[Int(right)])
    merges.append((left, right))
    if let known = idOfToken[left + right] { return known }
    let id = Int32(tokens.count)
    idOfToken[left + right] = id
    tokens.append(left + right)
    return id
  }

  /// The contents of `tokenizer.json`.
  package var tokenizer: JSON {
    var vocabulary = JSON.Object()
    for (id, token) in tokens.enumerated() { vocabulary[token] = .integer(id) }
    let byteLevel: JSON = ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false]
    let split: JSON = [
      "type": "Split", "pattern": ["Regex": .string(WordPattern.qwen2Text(digits: 1))], "behavior": "Isolated",
      "invert": false,
    ]
    return [
      "version": "1.0", "truncation": .null, "padding": .null,
      "added_tokens": .array(addedTokens.map { $0.json(withID: true) }),
      "normalizer": ["type": "NFC"],
      "pre_tokenizer": ["type": "Sequence", "pretokenizers": [split, byteLevel]],
      "post_processor": byteLevel,
      "decoder": byteLevel,
      "model": [
        "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
        "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
        "vocab": .object(vocabulary), "merges": .array(merges.map { .string("\($0.left) \($0.right)") }),
      ],
    ]
  }

  /// The contents of `tokenizer_config.json`.
  package var configuration: JSON {
    var byID = JSON.Object()
    for token in addedTokens { byID[String(token.id)] = token.json(withID: false) }
    var object: JSON.Object = [
      "add_prefix_space": false, "added_tokens_decoder": .object(byID), "chat_template": .string(form.jinja),
      "clean_up_tokenization_spaces": false, "model_max_length": 32768, "tokenizer_class": "Qwen2Tokenizer",
      "unk_token": .null, "bos_token": .null,
    ]
    for (key, content) in [("eos_token", form.end), ("pad_token", "<|endoftext|>")]
    where addedTokens.contains(where: { $0.content == content }) {
      object[key] = .string(content)
    }
    return .object(object)
  }

  /// Writes `tokenizer.json` and `tokenizer_config.json`.
  package func write(to folder: String) throws(Failure) {
    try Files.makeDirectory(folder)
    try AtomicFile.write(tokenizer.text(pretty: true) + "\n", to: folder + "/tokenizer.json")
    try AtomicFile.write(configuration.text(pretty: true) + "\n", to: folder + "/tokenizer_config.json")
  }
}

extension AddedToken {
  fileprivate func json(withID: Bool) -> JSON {
    var object: JSON.Object = withID ? ["id": .integer(Int(id))] : [:]
    for (key, value) in [
      ("content", JSON.string(content)), ("single_word", .bool(isSingleWord)), ("lstrip", .bool(stripsLeft)),
      ("rstrip", .bool(stripsRight)), ("normalized", .bool(isNormalized)), ("special", .bool(isSpecial)),
    ] { object[key] = value }
    return .object(object)
  }
}
