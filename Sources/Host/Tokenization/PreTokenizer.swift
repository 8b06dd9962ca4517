import Support

/// Cuts a text into the words that byte-pair merging never crosses.
struct PreTokenizer: Sendable, Equatable {
  /// Each cuts the pieces that the one before it left, and sees nothing beyond a piece.
  var patterns: [WordPattern]
  /// The pattern before which a piece that does not begin with a space gets one; nil where none does.
  var spacedPattern: Int?
}

extension PreTokenizer {
  /// Reads `pre_tokenizer`: any number of `Split` by a known pattern and of `Digits`, then `ByteLevel`.
  init(_ field: TokenizerField) throws(Failure) {
    var steps = try Self.steps(field)
    guard let level = steps.popLast() else { throw field.failure("expected steps of which the last is ByteLevel, found none") }
    patterns = []
    for step in steps {
      switch try step["type"].string() {
      case "Split": patterns.append(try WordPattern(split: step))
      case "Digits": patterns.append(.digits(individually: try step["individual_digits"].bool(default: false)))
      default: throw step["type"].unexpected("\"Split\" or \"Digits\" before the last step, \"ByteLevel\"")
      }
    }
    try level.requireType("ByteLevel")
    if try level["add_prefix_space"].bool(default: true) { spacedPattern = patterns.count }
    if try level["use_regex"].bool(default: true) { patterns.append(.gpt2) }
  }

  /// The steps in order; those of a `Sequence` within another count like its own.
  private static func steps(_ field: TokenizerField) throws(Failure) -> [TokenizerField] {
    let object = try field.object()
    guard try object["type"].string() == "Sequence" else { return [object] }
    var steps: [TokenizerField] = []
    for part in try object["pretokenizers"].array(default: nil) { steps += try Self.steps(part) }
    return steps
  }
}

extension WordPattern {
  private static let qwen2Prefix = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"#
  private static let qwen2Suffix = #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let gpt2Text = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  /// The regular expression of the pattern, as files write it.
  static func qwen2Text(digits: Int) -> String {
    qwen2Prefix + (digits == 1 ? #"\p{N}"# : #"\p{N}{1,\#(digits)}"#) + qwen2Suffix
  }

  /// Reads a `Split`, whose expression must be one of those that are computed, to the letter.
  fileprivate init(split: TokenizerField) throws(Failure) {
    guard try split["behavior"].string() == "Isolated" else { throw split["behavior"].unexpected("\"Isolated\"") }
    if try split["invert"].bool(default: false) { throw split["invert"].unexpected("false") }
    let pattern = try split["pattern"].object()["Regex"]
    switch try pattern.string() {
    case Self.qwen2Text(digits: 1): self = .qwen2(digits: 1)
    case Self.qwen2Text(digits: 3): self = .qwen2(digits: 3)
    case Self.gpt2Text: self = .gpt2
    case let other:
      throw pattern.failure("expected the pattern of Qwen2, Llama 3 or GPT-2, found \(other.debugDescription)")
    }
  }
}
