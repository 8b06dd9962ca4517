import Support
import Telemetry

extension RLRun {
  /// Every completion of a step, those of dropped groups too, with what is known of its tokens.
  func samples(of result: RLStepResult) -> [Sample] {
    let rollout = result.rollout
    var samples: [Sample] = []
    for (index, group) in rollout.groups.enumerated() {
      for (position, sequence) in rollout.sequences(of: index).enumerated() {
        let tokens = rollout.tokens(of: sequence..<sequence + 1)
        var sample = sample(group, position)
        if result.advantages.count == rollout.tokenCount, !tokens.isEmpty {
          let advantages = result.advantages[tokens]
          sample.advantage = Self.rounded(advantages.reduce(0) { $0 + Double($1) } / Double(tokens.count))
          if advantages.contains(where: { $0 != advantages.first }) { sample.tokens?.advantages = Array(advantages) }
        }
        if let pass = result.pass {
          sample.tokens?.ratios = tokens.map { exp(pass.current[$0] - rollout.old[$0]) }
        }
        samples.append(sample)
      }
    }
    for group in result.dropped {
      for position in group.completions.indices {
        var sample = sample(group, position)
        sample.isKept = false
        samples.append(sample)
      }
    }
    return samples
  }

  private func sample(_ group: RolloutGroup, _ position: Int) -> Sample {
    let completion = group.completions[position]
    let reward = group.rewards[position]
    let verdict = reward.verdict
    var sample = Sample()
    sample.example = group.example
    sample.question = group.prompt.question
    sample.index = position
    sample.completion = reward.text
    sample.reward = Double(reward.total)
    sample.isCorrect = verdict.isCorrect
    sample.extracted = verdict.extracted
    sample.gold = verdict.gold
    sample.reason = verdict.reason
    sample.length = completion.tokens.count
    sample.isTruncated = completion.isTruncated
    if let texts = try? task.tokenTexts?(completion.tokens) {
      var tokens = SampleTokens()
      tokens.texts = texts
      tokens.logProbs = completion.logProbs
      tokens.entropies = completion.entropies
      sample.tokens = tokens
    }
    return sample
  }

  /// To six decimals: an advantage is read and coloured by, not calculated with.
  private static func rounded(_ value: Double) -> Double {
    value.magnitude < 1e9 ? (value * 1e6).rounded() / 1e6 : value
  }
}
