/// What the verifier found in a completion.
package struct Verdict: Sendable, Equatable {
  /// The content of the last balanced `\boxed{}`, or nil where there is none.
  package let extracted: String?
  package let gold: String
  package let isCorrect: Bool
  /// Why, in words, for sample logs.
  package let reason: String

  package init(extracted: String?, gold: String, isCorrect: Bool, reason: String) {
    (self.extracted, self.gold, self.isCorrect, self.reason) = (extracted, gold, isCorrect, reason)
  }

  /// 1 for a correct answer, 0 otherwise.
  package var reward: Float { isCorrect ? 1 : 0 }
}
