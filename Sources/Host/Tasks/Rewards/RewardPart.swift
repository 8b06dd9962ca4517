import Support

/// What a part of the reward says of a completion.
enum PartScore: Sendable, Equatable {
  case value(Float)
  /// The part has no say on this completion: it counts neither for nor against it.
  case silent
  /// There should be a score and is none, and why.
  case failed(String)
}

/// One part of a reward: a score for each completion, the same whatever other completions it is asked about together.
protocol RewardPart: Sendable {
  /// - Parameter allowance: how many may still fail.
  func scores(_ attempts: [Attempt], _ allowance: RewardAllowance) throws(Failure) -> [PartScore]
}

/// A part that the program computes of a single completion.
protocol ComputedPart: RewardPart {
  func score(_ attempt: Attempt) -> Float
}

extension ComputedPart {
  func scores(_ attempts: [Attempt], _ allowance: RewardAllowance) -> [PartScore] { attempts.map { .value(score($0)) } }
}

/// 1 where the completion has the form that SFT teaches, 0 otherwise: one `<think>` at the beginning, one `</think>`, and a balanced
/// `\boxed{}` after it.
struct FormatPart: ComputedPart {
  /// Whether the prompt ends in `<think>`, so that the completion must not open it again.
  let promptOpensThinking: Bool

  func score(_ attempt: Attempt) -> Float { hasForm(attempt.text) ? 1 : 0 }

  func hasForm(_ completion: String) -> Bool {
    let opened = completion.occurrences(of: "<think>")
    guard promptOpensThinking ? opened == 0 : opened == 1 && completion.hasPrefix("<think>") else { return false }
    return AnswerExtraction.hasFormat(completion)
  }
}

/// The distance of a completion's length from a target, as a share of the limit, taken off: 0 at the target, -1 a whole limit away.
///
/// LCPO-Exact of L1 (arXiv 2503.04697, eq. 1) takes off α times the distance in tokens: its α is the weight over the limit.
struct LengthPart: ComputedPart {
  let target: Int
  let limit: Int

  func score(_ attempt: Attempt) -> Float {
    -Float(Double(abs(attempt.tokens.count - target)) / Double(limit))
  }
}

/// DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13): 0 up to the buffer, from there linearly to -1 at the limit.
struct OverlongPart: ComputedPart {
  /// The longest completion, L_max.
  let limit: Int
  /// The last tokens before it, L_cache.
  let buffer: Int

  func score(_ attempt: Attempt) -> Float {
    let (length, start) = (attempt.tokens.count, limit - buffer)
    if length <= start { return 0 }
    return length > limit ? -1 : Float(Double(start - length) / Double(buffer))
  }
}

/// 1 for a right answer as a grader judges that is not the one of the run's accuracy.
struct GradedPart: RewardPart {
  let golds: [String]
  let verifier: Verifier

  func scores(_ attempts: [Attempt], _ allowance: RewardAllowance) throws(Failure) -> [PartScore] {
    var scores: [PartScore] = []
    for attempt in attempts { scores.append(.value(try verifier.verdict(on: attempt.text, gold: golds[attempt.prompt]).reward)) }
    return scores
  }
}
