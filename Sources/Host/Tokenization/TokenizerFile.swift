import Support

/// What a `tokenizer.json` says, checked. Anything this program would have to do otherwise than Hugging Face is refused.
struct TokenizerFile {
  let name: String
  private(set) var vocabulary: Vocabulary
  private(set) var merges: MergeTable
  private(set) var ignoresMerges = false
  private(set) var normalizer = Normalizer.none
  private(set) var preTokenizer: PreTokenizer
  private(set) var frame = TextFrame()
  private(set) var addedTokens: [AddedToken] = []
  private(set) var endOfText: Int32?
  private(set) var padding: Int32?

  init(_ json: JSON, name: String, configuration: JSON?, configurationName: String) throws(Failure) {
    let file = TokenizerField(json, file: name)
    self.name = name
    let model = try file["model"].object()
    vocabulary = try Self.vocabulary(model)
    merges = try Self.merges(model, vocabulary)
    ignoresMerges = try model["ignore_merges"].bool(default: false)
    normalizer = try Self.normalizer(file["normalizer"])
    preTokenizer = try PreTokenizer(file["pre_tokenizer"])
    try file["decoder"].object().requireType("ByteLevel")
    for token in try file["added_tokens"].array(default: []) { try add(token, id: token["id"].id()) }
    if let configuration { try read(TokenizerField(configuration, file: configurationName)) }
    frame = try TextFrame(file["post_processor"], vocabulary)
  }

  private static func vocabulary(_ model: TokenizerField) throws(Failure) -> Vocabulary {
    if model["type"].isPresent { try model.requireType("BPE") }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] where try model[key].string(default: "") != "" {
      throw model[key].failure("expected null: byte-level tokens have none")
    }
    if let dropout = model["dropout"].value, !dropout.isNull, dropout.double != 0 {
      throw model["dropout"].failure("expected null: encoding is deterministic here")
    }
    if try model["byte_fallback"].bool(default: false) {
      throw model["byte_fallback"].failure("expected false: the tokens are bytes already")
    }
    let entries = try model["vocab"].objectValue()
    var vocabulary = Vocabulary(minimumCapacity: entries.count)
    for token in entries.keys {
      let value = entries[token]
      if let id = TokenizerField.id(value), vocabulary.insert(token, id: id) { continue }
      // Only now is it worth a name.
      let field = model["vocab"].entry(value, token.debugDescription)
      throw field.failure("the id \(try field.id()) is another token's too")
    }
    if model["unk_token"].isPresent, let byte = (0...255).first(where: { vocabulary.token(ofByte: $0) < 0 }) {
      throw model["unk_token"].failure("expected null, as the vocabulary has no token for the byte \(byte)")
    }
    return vocabulary
  }

  private static func merges(_ model: TokenizerField, _ vocabulary: Vocabulary) throws(Failure) -> MergeTable {
    let list = model["merges"]
    guard let entries = list.value?.array else { throw list.unexpected("an array") }
    var table = MergeTable(minimumCapacity: entries.count)
    var rank: Int32 = 0
    for (index, entry) in entries.enumerated() {
      func field() -> TokenizerField { list.entry(entry, "\(index)") }
      let left: [UInt8]
      let right: [UInt8]
      if let line = entry.string {
        if line.hasPrefix("#version") { continue }
        let parts = line.utf8.split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw field().unexpected("two tokens with one space between") }
        (left, right) = (Array(parts[0]), Array(parts[1]))
      } else {
        guard let parts = entry.array, parts.count == 2, let first = parts[0].string, let second = parts[1].string
        else { throw field().unexpected("a pair of tokens") }
        (left, right) = (Array(first.utf8), Array(second.utf8))
      }
      func known(_ token: [UInt8]) throws(Failure) -> Int32 {
        if let id = vocabulary.id(of: token) { return id }
        let text = String(decoding: token, as: UTF8.self)
        throw field().failure("the token \(text.debugDescription) is not in model.vocab")
      }
      table[try known(left), try known(right)] = MergeTable.Merge(rank: rank, token: try known(left + right))
      rank += 1
    }
    return table
  }

  private static func normalizer(_ field: TokenizerField) throws(Failure) -> Normalizer {
    guard field.isPresent else { return .none }
    let object = try field.object()
    switch try object["type"].string() {
    case "NFC": return .nfc
    case "Sequence":
      var result = Normalizer.none
      for part in try object["normalizers"].array(default: nil) where try normalizer(part) == .nfc { result = .nfc }
      return result
    default: throw object["type"].unexpected("\"NFC\", or no normalizer")
    }
  }

  private mutating func add(_ field: TokenizerField, id: Int32) throws(Failure) {
    let content = try field["content"].string()
    if content.isEmpty { return }
    let isSpecial = try field["special"].bool(default: false)
    var token = AddedToken(
      content, id: id, isSpecial: isSpecial, isNormalized: try field["normalized"].bool(default: !isSpecial))
    token.stripsLeft = try field["lstrip"].bool(default: false)
    token.stripsRight = try field["rstrip"].bool(default: false)
    token.isSingleWord = try field["single_word"].bool(default: false)
    guard vocabulary.insert(token, normalizer) else {
      throw field.failure("the token \(content.debugDescription) and the id \(id) are not each other's alone")
    }
    addedTokens.append(token)
  }

  /// What `AutoTokenizer` takes from `tokenizer_config.json` and bears on the ids.
  private mutating func read(_ configuration: TokenizerField) throws(Failure) {
    let further = configuration["added_tokens_decoder"]
    if further.isPresent {
      var known: [Int32: [String]] = [:]
      for token in addedTokens { known[token.id, default: []].append(token.content) }
      for key in try further.objectValue().keys {
        guard let number = Int(key), let id = TokenizerField.id(.integer(number)) else {
          throw further[key].failure("expected an id from 0 to \(Vocabulary.highestID) as the key")
        }
        let field = try further[key].object()
        let content = try field["content"].string()
        let isKnown = known[id, default: []].contains { $0.utf8.elementsEqual(content.utf8) }
        if !isKnown { try add(field, id: id) }
      }
    }
    endOfText = try token(configuration["eos_token"])
    padding = try token(configuration["pad_token"])
  }

  /// A token named by its text, or by an object with its `content`.
  private func token(_ field: TokenizerField) throws(Failure) -> Int32? {
    guard field.isPresent else { return nil }
    let content = field.value?.object == nil ? try field.string() : try field["content"].string()
    guard let id = vocabulary.id(of: Array(content.utf8)) else {
      throw field.failure("the token \(content.debugDescription) is not in the vocabulary of \(name)")
    }
    return id
  }
}
