import Support

/// Grades a completion against a gold answer: the reward is 1 or 0.
package struct Verifier: Sendable {
  package enum Mode: String, Sendable, CaseIterable {
    /// Equal in what they say: ``AnswerEquality/numeric(_:_:)``.
    case numeric
    /// Equal as text: ``AnswerEquality/exact(_:_:)``.
    case exact
    /// As the Python package math-verify judges, which must be installed; it runs as a process of its own.
    case mathVerify = "math-verify"
  }

  package let mode: Mode

  package init(mode: Mode = .numeric) { self.mode = mode }

  /// The same, after the grader has been found to be there.
  package init(ready mode: Mode) throws(Failure) {
    self.init(mode: mode)
    if mode == .mathVerify { try MathVerify.shared.start() }
  }

  /// The verdict on what the model wrote; the prompt must not be part of it.
  package func verdict(on completion: String, gold: String) throws(Failure) -> Verdict {
    guard let extracted = AnswerExtraction.boxed(in: completion) else {
      return Verdict(extracted: nil, gold: gold, isCorrect: false, reason: "no balanced \\boxed{} in the completion")
    }
    return try verdict(answer: extracted, gold: gold)
  }

  /// The verdict on an answer that has been taken out of its completion. A gold answer in a `\boxed{}` is what stands in it.
  package func verdict(answer: String, gold: String) throws(Failure) -> Verdict {
    let expected = AnswerExtraction.boxed(in: gold) ?? gold
    if expected.trimmed.isEmpty { return Verdict(extracted: answer, gold: gold, isCorrect: false, reason: "the gold answer is empty") }
    if answer.trimmed.isEmpty { return Verdict(extracted: answer, gold: gold, isCorrect: false, reason: "the answer is empty") }
    if mode == .mathVerify {
      // Kept as it is given, also where the gold answer was in a box.
      let verdict = try MathVerify.shared.verdict(answer: answer, gold: expected)
      return Verdict(extracted: answer, gold: gold, isCorrect: verdict.isCorrect, reason: verdict.reason)
    }
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
  package func agree(_ first: String, _ second: String) throws(Failure) -> Bool {
    switch mode {
    case .numeric: AnswerEquality.numeric(first, second)
    case .exact: AnswerEquality.exact(first, second)
    case .mathVerify: try MathVerify.shared.verdict(answer: first, gold: second).isCorrect
    }
  }
}
