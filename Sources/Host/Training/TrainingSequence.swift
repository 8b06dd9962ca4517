/// A training sequence; the loss is on tokens from `lossStart` on (the first token is never predicted).
package struct TrainingSequence: Sendable {
  package let tokens: [Int32]
  package let lossStart: Int
  /// Whether it was longer and has been cut.
  package let isCut: Bool

  package init(tokens: [Int32], lossStart: Int = 1, isCut: Bool = false) {
    self.tokens = tokens
    self.isCut = isCut
    self.lossStart = max(1, lossStart)
  }

  package var predictedCount: Int { max(0, tokens.count - lossStart) }
}
