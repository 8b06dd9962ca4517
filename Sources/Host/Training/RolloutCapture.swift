import PluginHost
import Support

/// Writes the rollouts of a run as safetensors, named as `plugin eval` and `plugin compare` read them; docs/files.md has the list.
package struct RolloutCapture: Sendable {
  private let run: String
  /// Of the run, for the files' metadata.
  private let description: [String: String]

  /// - Parameter run: the run's folder.
  package init(run: String, _ description: [String: String]) {
    (self.run, self.description) = (run, description)
  }

  package static func path(run: String, step: Int) -> String {
    let number = String(step)
    return "\(run)/captures/step-\(String(repeating: "0", count: max(0, 6 - number.count)))\(number).safetensors"
  }

  /// What was learned from in a step; nothing where there was nothing.
  ///
  /// - Parameter step: counted from 1.
  func write(_ result: RLStepResult, step: Int) throws(Failure) {
    guard let pass = result.pass else { return }
    let (rollout, packed) = (result.rollout, result.rollout.packed)
    var metadata = description
    metadata["format"] = "pt"
    metadata["step"] = "\(step)"
    metadata["reward_names"] = JSON.array(packed.rewardNames.map { .string($0) }).text()
    var writer = SafetensorsWriter(metadata: metadata)
    func integers(_ name: String, _ values: [Int]) { writer.add(name, values.map { Int64($0) }, shape: [values.count]) }
    func floats(_ name: String, _ values: [Float]?) { if let values { writer.add(name, values, shape: [values.count]) } }
    integers("group_keys", packed.groupKeys.map { Int(bitPattern: UInt(truncatingIfNeeded: $0)) })
    integers("group_offsets", packed.groupOffsets)
    integers("token_offsets", packed.tokenOffsets)
    let prompts = rollout.groups.map(\.prompt.tokens)
    integers("prompt_offsets", prompts.reduce(into: [0]) { $0.append($0.last! + $1.count) })
    integers("prompt_ids", prompts.flatMap { $0.map { Int($0) } })
    integers("completion_ids", rollout.groups.flatMap { $0.completions.flatMap { $0.tokens.map { Int($0) } } })
    integers("streams", rollout.groups.map(\.position))
    integers("seed", [Int(bitPattern: UInt(truncatingIfNeeded: packed.seed))])
    integers("step", [packed.step])
    integers("total_steps", [packed.totalSteps])
    integers("token_limit", [packed.tokenLimit])
    integers("update_totals", [packed.tokenCount, packed.sequenceCount, packed.groupCount])
    floats("rewards", packed.rewards)
    writer.add("reward_parts", packed.rewardParts, shape: [packed.sequenceCount, packed.rewardNames.count])
    writer.add("sequence_flags", packed.sequenceFlags, shape: [packed.sequenceCount])
    floats("old", packed.old)
    floats("sampler", packed.sampler)
    floats("reference", packed.reference)
    floats("old_values", packed.values)
    floats("current", pass.current)
    floats("entropy", pass.entropy)
    floats("values", pass.values)
    floats("advantages", result.advantages)
    floats("d_current", pass.dCurrent)
    try Files.makeDirectory(run + "/captures")
    try writer.write(to: Self.path(run: run, step: step))
  }
}
