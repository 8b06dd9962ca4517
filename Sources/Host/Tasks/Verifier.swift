/// Grades a completion against a gold answer: the reward is 1 or 0.
package struct Verifier: Sendable {
  package enum Mode: String, Sendable, CaseIterable {
    /// Equal in what they say: ``AnswerEquality/numeric(_:_:)``.
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
    return verdict(answer: extracted, gold: gold)
  }

  /// The verdict on an answer that has been taken out of its completion. A gold answer in a `\boxed{}` is what stands in it.
  package func verdict(answer: String, gold: String) -> Verdict {
    let expected = AnswerExtraction.boxed(in: gold) ?? gold
    if expected.trimmed.isEmpty { return Verdict(extracted: answer, gold: gold, isCorrect: false, reason: "the gold answer is empty") }
    if answer.trimmed.isEmpty { return Verdict(extracted: answer, gold: gold, isCorrect: false, reason: "the answer is empty") }
    let outcome: (isEqual: Bool, reason: String)
    if mode == .exact {
      let isEqual = AnswerEquality.exact(answer, expected)
      let what = "expected \(AnswerEquality.short(expected)), found \(AnswerEquality.short(answer))"
      outcome = (isEqual, isEqual ? "equal as text" : what)
    } else {
      outcome = AnswerEquality.compare(answer, expected)
    }
    return Verdict(extracted: answer, gold: gold, isCorrect: outcome.isEqual, reason: outcome.reason)
  }

  /// Whether two answers are the same answer, as ``verdict(on:gold:)`` compares them.
  package func agree(_ first: String, _ second: String) -> Bool {
    mode == .exact ? AnswerEquality.exact(first, second) : AnswerEquality.numeric(first, second)
  }
}
