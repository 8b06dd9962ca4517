/// An answer that has been read, for comparing it with others.
package struct ParsedAnswer: Sendable {
  /// Longer answers are compared as text only.
  private static let longest = 4096

  private let text: [UInt8]
  private let value: AnswerValue?
  /// The reading of `100,200` as a list of two.
  private let asList: AnswerValue?
  /// The letter of `(D) 5`.
  private let choice: String?
  private let letter: String?

  package init(_ answer: String) {
    text = AnswerEquality.withoutSpace(answer)
    guard answer.utf8.count <= Self.longest else {
      (value, asList, choice, letter) = (nil, nil, nil, nil)
      return
    }
    let tokens = AnswerLexer.tokens(answer)
    guard !tokens.isEmpty else {
      (value, asList, choice, letter) = (nil, nil, nil, nil)
      return
    }
    value = AnswerReader().answer(tokens)
    asList = tokens.contains { $0.isSymbol(",") } ? AnswerReader(splitsThousands: true).answer(tokens) : nil
    letter = Self.letter(tokens)
    choice = Self.choice(tokens)
  }

  /// Whether the two say the same; the reason is in ``AnswerEquality/compare(_:_:)``.
  package func isEqual(to other: ParsedAnswer) -> Bool {
    if text.isEmpty || other.text.isEmpty { return false }
    if text == other.text { return true }
    guard let value, let otherValue = other.value else { return false }
    if value.isEqual(to: otherValue) { return true }
    if let choice, choice == other.letter { return true }
    if let choice = other.choice, choice == letter { return true }
    if let asList, case .list = otherValue, asList.isEqual(to: otherValue) { return true }
    if let list = other.asList, case .list = value { return value.isEqual(to: list) }
    return false
  }

  var tree: AnswerValue? { value }

  private static func isChoice(_ word: String?) -> Bool { word.map { $0.utf8.count == 1 && ("A"..."J").contains($0) } ?? false }

  private static func letter(_ tokens: [AnswerToken]) -> String? {
    let inner = tokens.count == 3 && tokens[0].isSymbol("(") && tokens[2].isSymbol(")") ? [tokens[1]] : tokens
    let bare = inner.count == 2 && inner[1].isSymbol(".") ? [inner[0]] : inner
    return bare.count == 1 && isChoice(bare[0].word) ? bare[0].word : nil
  }

  private static func choice(_ tokens: [AnswerToken]) -> String? {
    guard tokens.count > 3, tokens[0].isSymbol("("), isChoice(tokens[1].word), tokens[2].isSymbol(")") else { return nil }
    return tokens[1].isText || tokens[3].space != .none ? tokens[1].word : nil
  }
}
