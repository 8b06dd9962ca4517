import Support

/// One rollout through a plugin, as one optimiser update: select, drop, advantages, loss. The engine of `plugin eval`.
///
/// The update's totals count the kept groups; what belongs to dropped groups is zero in every output.
package struct PluginEvaluation: Sendable {
  /// [G]
  package let keep: [Bool]
  /// [T] of the whole rollout, as are those below; zeros where the instance produces none.
  package let advantages: [Float]
  package let returns: [Float]
  package let loss: Double
  package let dCurrent: [Float]
  package let dValues: [Float]
  package let dEntropy: [Float]
  /// Folded over the two stages.
  package let metrics: [(name: String, value: Double)]
  /// The share of the kept tokens that a clip keeps from moving on: as the plugin counts it, or by ``ClipSide``.
  package let clippedShare: Double

  /// Takes the arrays from a safetensors file, named as the design document names them.
  ///
  /// Beside those named there the file may have `token_limit` I64 [1]; without it the longest completion is the limit.
  package init(_ file: SafetensorsFile, _ instance: any LossAlgorithm) throws(Failure) {
    let reader = ArrayReader(file: file)
    // Differences of larger ones would overflow, and no array has as many elements.
    for name in ["token_offsets", "group_offsets", "token_limit"] where file.entries[name] != nil {
      if let wrong = try reader.integers(name).first(where: { !(0...1 << 40).contains($0) }) {
        throw .badData("\(file.path): tensor \"\(name)\": expected numbers from 0 to \(1 << 40), found \(wrong)")
      }
    }
    let tokenOffsets = try reader.integers("token_offsets")
    let groupOffsets = try reader.integers("group_offsets")
    let rewards = try reader.floats("rewards")
    let flags = try reader.integers("sequence_flags").map { UInt8(truncatingIfNeeded: $0) }
    let limit = file.entries["token_limit"] == nil ? nil : try reader.integers("token_limit").first
    let longest = zip(tokenOffsets, tokenOffsets.dropFirst()).map { $1 - $0 }.max() ?? 0
    var rollout = PluginRollout(
      groupKeys: (0..<UInt64(max(groupOffsets.count - 1, 0))).map { $0 }, groupOffsets: groupOffsets,
      tokenOffsets: tokenOffsets, rewards: rewards, sequenceFlags: flags, tokenLimit: limit ?? longest)
    let needs = instance.needs
    // What a captured batch has beside: a loss may look at the parts of a reward, the prompts' identities, the seed.
    if file.entries["group_keys"] != nil { rollout.groupKeys = try reader.integers("group_keys").map { UInt64(bitPattern: Int64($0)) } }
    if let names = file.metadata["reward_names"].flatMap({ try? JSON.parse($0, name: "") })?.array?.compactMap(\.string), !names.isEmpty {
      rollout.rewardNames = names
      rollout.rewardParts = try file.floats("reward_parts")
    }
    for (name, path) in [("step", \PluginRollout.step), ("total_steps", \.totalSteps)] as [(String, WritableKeyPath<PluginRollout, Int>)]
    where file.entries[name] != nil {
      rollout[keyPath: path] = max(0, try reader.integers(name).first ?? 0)
    }
    if file.entries["seed"] != nil { rollout.seed = UInt64(bitPattern: Int64(try reader.integers("seed").first ?? 0)) }
    rollout.old = try reader.floats("old")
    rollout.reference = needs.contains(.reference) ? try reader.floats("reference") : nil
    rollout.values = needs.contains(.critic) ? try reader.floats("old_values") : nil
    let current = try reader.floats("current")
    rollout.sampler = needs.contains(.sampler) ? try reader.floats("sampler") : nil
    let entropy = needs.contains(.entropy) ? try reader.floats("entropy") : nil
    let values = needs.contains(.critic) ? try reader.floats("values") : nil
    try self.init(
      rollout, current: current, entropy: entropy, values: values, instance, name: file.path)
  }

  /// - Parameters:
  ///   - rollout: its `values` are the critic's when the rollout was made; `values` are those now.
  ///   - name: what errors call the arrays' place.
  package init(
    _ rollout: PluginRollout, current: [Float], entropy: [Float]? = nil, values: [Float]? = nil,
    _ instance: any LossAlgorithm, name: String = "evaluation"
  ) throws(Failure) {
    try rollout.check(name)
    let check = PackedCheck(name: name)
    for (what, array) in [("current", current), ("entropy", entropy), ("values", values)] {
      try check.numbers(array, what, rollout.tokenCount)
    }
    let keep = try instance.select(rollout)
    let kept = rollout.keeping(keep)
    // Where each kept token stands in the whole rollout.
    var positions: [Int] = []
    for group in 0..<rollout.groupCount where keep[group] {
      for sequence in rollout.sequences(of: group) { positions += rollout.tokens(of: sequence) }
    }
    let gather = { (array: [Float]) in positions.map { array[$0] } }
    let scatter = { (array: [Float]?) -> [Float] in
      var result = [Float](repeating: 0, count: rollout.tokenCount)
      if let array { for (index, position) in positions.enumerated() { result[position] = array[index] } }
      return result
    }

    let stage1 = try instance.advantages(kept)
    let update = PluginUpdate(0..<kept.groupCount, of: kept, counted: stage1.counted)
    let scores = PluginScores(logProbs: gather(current), entropies: entropy.map(gather), values: values.map(gather))
    // Where no token counts a run makes no update, and never asks for the loss.
    let isIdle = update.tokens == 0 && kept.tokenCount > 0
    let stage2 =
      isIdle
      ? PluginGradients(dropping: kept.tokenCount, instance.needs)
      : try instance.loss(kept.batch(Array(0..<kept.sequenceCount), of: update, stage1, scores))

    var fold = instance.metricFold
    fold.add(stage1.metrics)
    fold.add(stage2.metrics)
    self.keep = keep
    advantages = scatter(stage1.advantages)
    returns = scatter(stage1.returns)
    loss = stage2.loss
    dCurrent = scatter(stage2.dCurrent)
    dValues = scatter(stage2.dValues)
    dEntropy = scatter(stage2.dEntropy)
    metrics = fold.results
    let counted = metrics.filter { ["clip_low_share", "clip_high_share"].contains($0.name) }
    if counted.isEmpty, !isIdle {
      let old = kept.old ?? []
      let clipped = positions.indices.count { token in
        let ratio = Double(scores.logProbs[token]) - Double(old[token])
        return ClipSide(derivative: stage2.dCurrent[token], advantage: stage1.advantages[token], logRatio: ratio) != nil
      }
      clippedShare = Double(clipped) / Double(max(1, positions.count))
    } else {
      clippedShare = counted.reduce(0) { $0 + $1.value }
    }
  }

  package func write(to path: String) throws(Failure) {
    var writer = SafetensorsWriter()
    writer.add("keep", keep.map { $0 ? UInt8(1) : 0 }, shape: [keep.count])
    writer.add("loss", [loss], shape: [1])
    let arrays = [
      ("advantages", advantages), ("returns", returns), ("d_current", dCurrent), ("d_values", dValues),
      ("d_entropy", dEntropy),
    ]
    for (name, array) in arrays { writer.add(name, array, shape: [array.count]) }
    try writer.write(to: path)
  }

  /// For `--json`: the loss, what was kept, and the metrics.
  package var json: JSON {
    var reported = JSON.Object()
    for metric in metrics { reported[metric.name] = .number(metric.value) }
    return [
      "loss": .number(loss), "groups": .integer(keep.count), "groups_kept": .integer(keep.filter { $0 }.count),
      "tokens": .integer(advantages.count), "metrics": .object(reported),
    ]
  }
}

/// One-dimensional arrays of a file, with errors that name file and array.
private struct ArrayReader {
  let file: SafetensorsFile

  private func checkShape(_ name: String) throws(Failure) {
    guard let entry = file.entries[name] else {
      throw .badData("\(file.path): has no array \"\(name)\", which this plugin's evaluation needs")
    }
    guard entry.shape.count == 1 else {
      throw .badData("\(file.path): \(name): expected one dimension, found shape \(entry.shape)")
    }
  }

  func integers(_ name: String) throws(Failure) -> [Int] {
    try checkShape(name)
    return try file.integers(name).map { Int($0) }
  }

  func floats(_ name: String) throws(Failure) -> [Float] {
    try checkShape(name)
    return try file.floats(name)
  }
}
