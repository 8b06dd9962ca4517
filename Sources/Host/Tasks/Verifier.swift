/// Grades a completion against a gold answer: the reward is 1 or 0.
package struct Verifier: Sendable {
  package enum Mode: String, Sendable, CaseIterable {
    /// Equal as numbers: ``AnswerEquality/numeric(_:_:)``.
    case numeric
    /// Equal as text: ``AnswerEquality/exact(_:_:)``.
    case exact
  }

  package let mode: Mode

  package init(mode: Mode = .numeric) { self.mode = mode }

  /// The verdict on what the model wrote; the prompt must not be part of it.
  package func verdict(on completion: String, gold: String) -> Verdict {
    guard let extracted = AnswerExtraction.boxed(in: completion) else {
      return Verdict(extracted: nil, gold: gold, isCorrect: false, reason: "no balanced \\boxed{} in the completion")
    }
    let isCorrect: Bool
    let reason: String
    if AnswerEquality.exact(extracted, gold) {
      (isCorrect, reason) = (true, "equal as text")
    } else if mode == .numeric, AnswerEquality.numeric(extracted, gold) {
      (isCorrect, reason) = (true, "equal as numbers")
    } else {
      (isCorrect, reason) = (false, "expected \(Self.short(gold)), found \(Self.short(extracted))")
    }
    return Verdict(extracted: extracted, gold: gold, isCorrect: isCorrect, reason: reason)
  }

  /// Whether two answers are the same answer, as ``verdict(on:gold:)`` compares them.
  package func agree(_ first: String, _ second: String) -> Bool {
    mode == .exact ? AnswerEquality.exact(first, second) : AnswerEquality.numeric(first, second)
  }

  private static func short(_ answer: String) -> String {
    answer.utf8.count <= 80 ? answer : String(answer.unicodeScalars.prefix(77).map(Character.init)) + "..."
  }
}
