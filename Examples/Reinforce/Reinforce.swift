// REINFORCE with the mean of the other completions of a prompt as baseline (leave-one-out), and an entropy bonus.
// W. Kool et al., Buy 4 REINFORCE Samples, Get a Baseline for Free!, 2019; A. Ahmadian et al., arXiv:2402.14740.
//
// One file, one plugin:  Sources/PluginAPI/build-plugin.sh Examples/Reinforce/Reinforce.swift -o plugins/libnr-reinforce.so

import PluginAPI

struct Reinforce: LossPlugin {
  static let entropyWeight = Parameter.real("entropy_weight", preset: 0, in: 0...10, "weight of the policy's entropy")
  static let meanAdvantage = Metric.mean("advantage_size", "mean |A| over sequences")

  static let descriptor = Descriptor(
    id: "reinforce", version: "1.0.0", title: "REINFORCE with a leave-one-out baseline", reference: "arXiv:2402.14740",
    card:
      "advantage: A = r - mean of the group's other rewards\naggregation: sum over tokens / sequences of the update",
    parameters: [entropyWeight], metrics: [meanAdvantage])

  let entropyWeight: Double
  var needs: Needs { entropyWeight > 0 ? .entropy : [] }

  init(_ settings: Settings) throws(PluginError) { entropyWeight = settings[Self.entropyWeight] }

  func advantages(_ rollout: Rollout, into result: Advantages, metrics: Metrics) throws(PluginError) {
    var size = 0.0
    for group in rollout.groups {
      let sequences = rollout.sequences(of: group)
      let others = Double(sequences.count - 1)
      let total = sequences.reduce(0.0) { $0 + Double(rollout.rewards[$1]) }
      for sequence in sequences where others > 0 {
        let reward = Double(rollout.rewards[sequence])
        let advantage = reward - (total - reward) / others
        result.fill(rollout.tokens(of: sequence), advantage)
        size += abs(advantage)
      }
    }
    let count = Double(rollout.sequenceCount)
    if count > 0 { metrics.record(Self.meanAdvantage, size / count, weight: count) }
  }

  func loss(_ batch: Batch, into gradients: Gradients, metrics: Metrics) throws(PluginError) -> Double {
    let divisor = Double(batch.updateSequences)
    var loss = 0.0
    for t in 0..<batch.tokenCount {
      let advantage = Double(batch.advantages[t])
      loss -= advantage * Double(batch.current[t]) / divisor
      gradients.current[t] = Float(-advantage / divisor)
      if entropyWeight > 0 {
        loss -= entropyWeight * Double(batch.entropy[t]) / divisor
        gradients.entropy[t] = Float(-entropyWeight / divisor)
      }
    }
    return loss
  }
}

@c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(Reinforce.self) }
