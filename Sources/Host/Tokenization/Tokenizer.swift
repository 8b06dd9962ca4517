import Support

/// Byte-level byte-pair encoding from a `tokenizer.json`, token for token that of Hugging Face `tokenizers`.
///
/// Special tokens in a text count as such, and none are added but by ``encodeFramed(_:)``. `truncation` and `padding` of the file are
/// not read. A value may be used by many threads at once.
package struct Tokenizer: Sendable {
  /// What errors call it, usually the path of its file.
  package let name: String
  package let addedTokens: [AddedToken]
  /// The token that ends a text, where `tokenizer_config.json` names one (`eos_token`).
  package let endOfText: Int32?
  /// The token that fills up batches, where `tokenizer_config.json` names one (`pad_token`).
  package let padding: Int32?

  private let vocabulary: Vocabulary
  private let merges: MergeTable
  private let ignoresMerges: Bool
  private let normalizer: Normalizer
  private let preTokenizer: PreTokenizer
  private let frame: TextFrame
  private let rawMatcher: AddedTokenMatcher
  private let normalizedMatcher: AddedTokenMatcher
  private let pool = WordCache.Pool()

  /// Reads `tokenizer.json` and, where it is there, `tokenizer_config.json` of a model folder.
  package init(folder: String) throws(Failure) {
    let path = folder + "/tokenizer.json"
    let configurationPath = folder + "/tokenizer_config.json"
    let configuration = Files.exists(configurationPath) ? try JSON.read(configurationPath) : nil
    self.init(
      try TokenizerFile(
        try JSON.read(path), name: path, configuration: configuration, configurationName: configurationPath))
  }

  /// Takes the contents of a `tokenizer.json`; `name` is what errors call it.
  package init(json: JSON, name: String) throws(Failure) {
    self.init(try TokenizerFile(json, name: name, configuration: nil, configurationName: ""))
  }

  private init(_ file: TokenizerFile) {
    name = file.name
    addedTokens = file.addedTokens
    endOfText = file.endOfText
    padding = file.padding
    vocabulary = file.vocabulary
    merges = file.merges
    ignoresMerges = file.ignoresMerges
    normalizer = file.normalizer
    preTokenizer = file.preTokenizer
    frame = file.frame
    rawMatcher = AddedTokenMatcher(file.addedTokens.filter { !$0.isNormalized }, normalizer: .none)
    normalizedMatcher = AddedTokenMatcher(file.addedTokens.filter(\.isNormalized), normalizer: file.normalizer)
  }

  /// One more than the highest id; ids below it may still stand for nothing.
  package var vocabularySize: Int { vocabulary.size }

  /// The id of a token as the file writes it: `Ġthe`, `<|im_end|>`.
  package func id(of token: String) -> Int32? { vocabulary.id(of: Array(token.utf8)) }

  /// Whether an id stands for a token. A model may have more rows than that: Qwen2.5's embedding has 151 936 for 151 665.
  package func contains(_ id: Int32) -> Bool { vocabulary.contains(id) }

  package func isSpecial(_ id: Int32) -> Bool { vocabulary.isSpecial(id) }

  /// The bytes a token stands for.
  package func bytes(of id: Int32) throws(Failure) -> ArraySlice<UInt8> {
    guard let bytes = vocabulary.bytes(of: id) else {
      throw .badData("\(name): there is no token \(id): ids go from 0 to \(vocabularySize - 1)")
    }
    return bytes
  }

  package func encode(_ text: String) -> [Int32] { encode(validated: Array(text.utf8)) }

  /// The same with the special tokens that the file's `post_processor` puts around a text, as `tokenizer(text)` of `transformers` has
  /// them. A text that begins with such a token has it twice then, there too.
  ///
  /// `add_bos_token` and `add_eos_token` of `tokenizer_config.json` change nothing beside a `tokenizer.json`, as there.
  package func encodeFramed(_ text: String) -> [Int32] { frame.before + encode(text) + frame.behind }

  /// Encodes a text whose data hold no control tokens: what looks like one there is text.
  package func encode(_ text: MarkedText) -> [Int32] { encode(validated: text.bytes, data: text.data) }

  /// Encodes UTF-8; each ill-formed part counts as U+FFFD, as Python's `errors="replace"` has it.
  package func encode(_ utf8: [UInt8]) -> [Int32] {
    let isValid = (try? UTF8Span(validating: utf8.span)) != nil
    return encode(validated: isValid ? utf8 : Array(String(decoding: utf8, as: UTF8.self).utf8))
  }

  /// The text of some tokens; bytes that are not UTF-8 become U+FFFD.
  package func decode(_ ids: some Sequence<Int32>, skipSpecialTokens: Bool = false) throws(Failure) -> String {
    var output: [UInt8] = []
    for id in ids {
      let bytes = try bytes(of: id)
      if !skipSpecialTokens || !isSpecial(id) { output += bytes }
    }
    return String(decoding: output, as: UTF8.self)
  }

  private func encode(validated text: [UInt8], data: [Range<Int>] = []) -> [Int32] {
    var output: [Int32] = []
    output.reserveCapacity(text.count / 3 + 4)
    var words = WordEncoder(vocabulary, merges, ignoresMerges: ignoresMerges, cache: pool.take())
    rawMatcher.split(text.span, text.indices, data: data) { id, range in
      if let id {
        output.append(id)
      } else if let normal = normalizer.normalized(text.span, range) {
        // Where a part of the data stands in the normal form: as long as what comes before it has become.
        func place(_ offset: Int) -> Int {
          let before = range.lowerBound..<min(max(offset, range.lowerBound), range.upperBound)
          return min(normal.count, normalizer.normalized(text.span, before)?.count ?? before.count)
        }
        let parts = data.filter { $0.overlaps(range) }.map { place($0.lowerBound)..<max(place($0.lowerBound), place($0.upperBound)) }
        encode(normal.span, normal.indices, data: parts, &words, &output)
      } else {
        encode(text.span, range, data: data, &words, &output)
      }
    }
    pool.giveBack(words.cache)
    return output
  }

  /// Encodes a part of a normalised text.
  private func encode(
    _ text: Span<UInt8>, _ range: Range<Int>, data: [Range<Int>], _ words: inout WordEncoder, _ output: inout [Int32]
  ) {
    normalizedMatcher.split(text, range, data: data) { id, range in
      if let id {
        output.append(id)
      } else {
        encodePiece(text, range, 0, &words, &output)
      }
    }
  }

  /// Encodes a piece that the patterns before `step` left.
  private func encodePiece(
    _ text: Span<UInt8>, _ range: Range<Int>, _ step: Int, _ words: inout WordEncoder, _ output: inout [Int32]
  ) {
    guard step == preTokenizer.spacedPattern, text[range.lowerBound] != 0x20 else {
      return encodeWords(text, range, step, &words, &output)
    }
    var spaced: [UInt8] = [0x20]
    for index in range { spaced.append(text[index]) }
    encodeWords(spaced.span, spaced.indices, step, &words, &output)
  }

  private func encodeWords(
    _ text: Span<UInt8>, _ range: Range<Int>, _ step: Int, _ words: inout WordEncoder, _ output: inout [Int32]
  ) {
    guard step < preTokenizer.patterns.count else { return words.encode(text.extracting(range), &output) }
    let pattern = preTokenizer.patterns[step]
    var start = range.lowerBound
    while start < range.upperBound {
      let end = pattern.wordEnd(text, from: start, to: range.upperBound)
      encodePiece(text, start..<end, step + 1, &words, &output)
      start = end
    }
  }
}
