import Support

/// The weighted sum of parts. A part that has no say on a completion is left out of its sum; where none has a say, or one failed, the
/// completion has no reward.
struct WeightedReward: RewardFunction {
  struct Part {
    let name: String
    let weight: Double
    /// nil: the verdict on the answer, which every completion gets anyway.
    let score: (any RewardPart)?
  }

  let name: String
  private let parts: [Part]
  private let golds: [String]
  private let verifier: Verifier

  /// - Parameters:
  ///   - golds: the gold answer of each prompt.
  ///   - verifier: who says which completions are correct, whether or not that is rewarded.
  init(_ name: String, _ parts: [Part], golds: [String], verifier: Verifier) {
    self.name = name
    self.parts = parts
    self.golds = golds
    self.verifier = verifier
  }

  var partNames: [String] { parts.map(\.name) }
  var reportsParts: Bool { true }
  var largestBatch: Int { 32 }

  func judge(_ attempt: Attempt) throws(Failure) -> Reward { try judge([attempt], RewardAllowance(of: 1))[0] }

  func judge(_ attempts: [Attempt], _ allowance: RewardAllowance) throws(Failure) -> [Reward] {
    var verdicts: [Verdict] = []
    for attempt in attempts { verdicts.append(try verifier.verdict(on: attempt.text, gold: golds[attempt.prompt])) }
    var columns: [[PartScore]] = []
    for part in parts {
      let scores = try part.score?.scores(attempts, allowance) ?? verdicts.map { .value($0.reward) }
      guard scores.count == attempts.count else {
        throw .internalError("reward \(part.name): \(scores.count) scores for \(attempts.count) completions")
      }
      columns.append(scores)
    }
    return attempts.indices.map { index in reward(columns.map { $0[index] }, verdicts[index], attempts[index]) }
  }

  private func reward(_ scores: [PartScore], _ verdict: Verdict, _ attempt: Attempt) -> Reward {
    var total = 0.0
    var values: [Float] = []
    var silent: Set<Int> = []
    var fault: RewardFault?
    for (index, (part, score)) in zip(parts, scores).enumerated() {
      if case .value(let value) = score {
        total += part.weight * Double(value)
        values.append(value)
        continue
      }
      if case .failed(let cause) = score { fault = fault ?? RewardFault(part: part.name, cause: cause) }
      silent.insert(index)
      values.append(0)
    }
    if fault == nil, !Float(total).isFinite { fault = RewardFault(part: name, cause: "the weighted sum is \(Float(total))") }
    var reward = Reward(total: fault == nil ? Float(total) : 0, parts: values, verdict, on: attempt)
    reward.silent = silent
    reward.fault = fault
    return reward
  }
}
