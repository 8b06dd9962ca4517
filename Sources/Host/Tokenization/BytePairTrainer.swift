import Support

/// Learns a byte-level vocabulary from text: merges, again and again, the most frequent pair of neighbouring tokens
/// (Sennrich, Haddow and Birch, ACL 2016), in Qwen2's words, each digit for itself.
///
/// Of equally frequent pairs the one with the lower ids goes first, so the same text gives the same vocabulary, and the
/// one that Hugging Face's `BpeTrainer` learns.
package struct BytePairTrainer {
  private let addedTokens: [AddedToken]
  private let matcher: AddedTokenMatcher
  private let normalizer = Normalizer.nfc
  private let pattern = WordPattern.qwen2(digits: 1)
  private var words = ByteStringTable()
  private var counts: [Int] = []

  /// The tokens that stand outside the merges and get the last ids; their ids are given out by `learn`.
  package static let chatTokens = [
    AddedToken("<|endoftext|>", id: 0, isSpecial: true),
    AddedToken("<|im_start|>", id: 0, isSpecial: true),
    AddedToken(PromptForm.qwen.end, id: 0, isSpecial: true),
    AddedToken(PromptForm.thinking, id: 0, isSpecial: false),
    AddedToken(PromptForm.thinkingEnd, id: 0, isSpecial: false),
  ]

  package init(addedTokens: [AddedToken] = BytePairTrainer.chatTokens) {
    self.addedTokens = addedTokens
    matcher = AddedTokenMatcher(addedTokens, normalizer: .none)
  }

  /// Counts the words of a text; added tokens in it are left out.
  package mutating func add(_ text: String) {
    let bytes = Array(text.utf8)
    var parts: [[UInt8]] = []
    matcher.split(bytes.span, bytes.indices) { id, range in
      if id == nil { parts.append(normalizer.normalized(bytes.span, range) ?? Array(bytes[range])) }
    }
    for part in parts {
      var start = 0
      while start < part.count {
        let end = pattern.wordEnd(part.span, from: start, to: part.count)
        let (index, isNew) = words.insert(part.span.extracting(start..<end))
        if isNew { counts.append(0) }
        counts[index] += 1
        start = end
      }
    }
  }

  /// Learns a vocabulary of exactly this size: 256 bytes, what the merges give, and the added tokens.
  package func learn(vocabularySize: Int, minimumCount: Int = 2) throws(Failure) -> LearnedTokenizer {
    let smallest = 256 + addedTokens.count
    guard vocabularySize >= smallest else {
      throw .usage("a vocabulary of \(vocabularySize): expected at least \(smallest), for the bytes and added tokens")
    }
    let bytesInOrder = (0...255).sorted { ByteAlphabet.scalars[$0].value < ByteAlphabet.scalars[$1].value }
    var learned = LearnedTokenizer(alphabet: bytesInOrder.map { String(ByteAlphabet.scalars[$0]) })
    var idOfByte = [Int32](repeating: 0, count: 256)
    for (id, byte) in bytesInOrder.enumerated() { idOfByte[byte] = Int32(id) }
    var state = PairCounts()
    for index in 0..<words.count { state.add(words[index].map { idOfByte[Int($0)] }, count: counts[index]) }
    while learned.tokens.count < vocabularySize - addedTokens.count {
      guard let pair = state.mostFrequent(), pair.count >= minimumCount else {
        throw .badData(
          "the text gives a vocabulary of \(learned.tokens.count + addedTokens.count) tokens, not of "
            + "\(vocabularySize): give more text or ask for fewer tokens")
      }
      state.merge(pair.left, pair.right, into: learned.merge(pair.left, pair.right))
    }
    for var token in addedTokens {
      token.id = Int32(learned.tokens.count + learned.addedTokens.count)
      learned.addedTokens.append(token)
    }
    return learned
  }
}
