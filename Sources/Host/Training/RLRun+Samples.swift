import Rollouts
import Support
import Tasks
import Telemetry

extension RLRun {
  /// Every completion of a step, those of dropped groups too, with what is known of its tokens.
  func samples(of result: RLStepResult) -> [Sample] {
    let rollout = result.rollout
    var samples: [Sample] = []
    for (index, group) in rollout.groups.enumerated() {
      var ofGroup: [Sample] = []
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
        ofGroup.append(sample)
      }
      samples += inOrder(ofGroup, of: group)
    }
    for group in result.dropped {
      var ofGroup: [Sample] = []
      for position in group.completions.indices {
        var sample = sample(group, position)
        sample.isKept = false
        ofGroup.append(sample)
      }
      samples += inOrder(ofGroup, of: group)
    }
    return samples
  }

  /// With the completions that have no reward, as they were drawn.
  private func inOrder(_ samples: [Sample], of group: RolloutGroup) -> [Sample] {
    if group.unscored.isEmpty { return samples }
    let others = group.unscored.map { unscored in
      var sample = sample(group, unscored.number, unscored.completion, unscored.reward)
      sample.reward = nil
      sample.error = unscored.reward.fault?.text ?? "no part of the reward has a say on it"
      sample.isKept = false
      return sample
    }
    return (samples + others).sorted { $0.index < $1.index }
  }

  private func sample(_ group: RolloutGroup, _ position: Int) -> Sample {
    sample(group, group.numbers[position], group.completions[position], group.rewards[position])
  }

  private func sample(_ group: RolloutGroup, _ number: Int, _ completion: Completion, _ reward: Reward) -> Sample {
    let verdict = reward.verdict
    var sample = Sample()
    sample.example = group.example
    sample.question = group.prompt.question
    sample.index = number
    sample.completion = reward.text
    sample.reward = Double(reward.total)
    if task.reward.reportsParts {
      sample.parts = zip(task.reward.partNames, reward.parts).enumerated().map { part, named in
        Sample.Part(name: named.0, value: reward.silent.contains(part) ? nil : Double(named.1))
      }
    }
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
