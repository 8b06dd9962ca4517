/// Encodes words one after another, with the memory that needs.
struct WordEncoder {
  private let vocabulary: Vocabulary
  private let merges: MergeTable
  private let ignoresMerges: Bool
  private(set) var cache: WordCache
  private var merger = BytePairMerger()
  private var tokens: [Int32] = []

  init(_ vocabulary: Vocabulary, _ merges: MergeTable, ignoresMerges: Bool, cache: consuming WordCache) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.ignoresMerges = ignoresMerges
    self.cache = cache
  }

  /// Appends the tokens of a word. A byte the vocabulary does not know is left out, as Hugging Face has it.
  mutating func encode(_ word: Span<UInt8>, _ output: inout [Int32]) {
    if cache.append(word, to: &output) { return }
    tokens.removeAll(keepingCapacity: true)
    for index in word.indices {
      let token = vocabulary.token(ofByte: word[index])
      if token >= 0 { tokens.append(token) }
    }
    let start = output.count
    if ignoresMerges, let whole = vocabulary.id(ofWord: word) {
      output.append(whole)
    } else {
      merger.merge(tokens, merges, into: &output)
    }
    cache.insert(word, output[start...])
  }
}
