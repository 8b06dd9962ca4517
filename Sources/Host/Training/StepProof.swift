import PluginHost
import Support
import Telemetry

/// What a step computed as digests, handed over stage by stage in the order of the diagram. How an update was split into micro-batches
/// changes none of them.
package struct StepProof: Sendable {
  package private(set) var digests = StepDigests()
  /// Of each update.
  private var scores: [Digest] = []
  private var derivatives: [Digest] = []
  private var gradients: [Digest] = []
  private var update = Update()

  /// What one optimiser update has been given so far, token after token.
  private struct Update: Sendable {
    var current: [Float] = []
    var entropies: [Float]?
    var values: [Float]?
    var dCurrent: [Float] = []
    var dEntropies: [Float]?
    var dValues: [Float]?
  }

  package init() {}

  // MARK: Reinforcement learning

  /// Prompts, completions and rewards of the groups that the step began with; what was selected of them, and all that was drawn in the
  /// place of dropped ones.
  mutating func add(_ collected: CollectedGroups) {
    let first = collected.all.prefix(collected.all.count - collected.refilled)
    let rest = collected.all.dropFirst(first.count)
    add(Self.prompts(first), as: "data")
    add(Self.completions(first), as: "ids")
    add(Self.rewards(first), as: "rewards")
    var writer = DigestWriter()
    let kept = Set(collected.kept.map(\.position))
    writer.add(collected.all.map { kept.contains($0.position) })
    for part in [Self.prompts(rest), Self.completions(rest), Self.rewards(rest)] { writer.add(part.digest()) }
    add(writer, as: "select")
  }

  private static func prompts(_ groups: ArraySlice<RolloutGroup>) -> DigestWriter {
    var writer = DigestWriter()
    for group in groups {
      for number in [group.position, group.example] { writer.add(number) }
      writer.add(group.prompt.key)
      writer.add(group.prompt.tokens)
    }
    return writer
  }

  private static func completions(_ groups: ArraySlice<RolloutGroup>) -> DigestWriter {
    var writer = DigestWriter()
    for group in groups {
      writer.add(group.completions.count)
      for completion in group.completions {
        writer.add(completion.tokens)
        writer.add(completion.isTruncated)
      }
    }
    return writer
  }

  private static func rewards(_ groups: ArraySlice<RolloutGroup>) -> DigestWriter {
    var writer = DigestWriter()
    for reward in groups.flatMap(\.rewards) {
      writer.add([reward.total])
      writer.add(reward.parts)
      writer.add([reward.flags.rawValue])
    }
    return writer
  }

  /// Log-probabilities of the sampler and of the policy before the step's updates, values, reference.
  mutating func add(scored rollout: Rollout) {
    var writer = DigestWriter()
    writer.add(rollout.sampler)
    writer.add(rollout.packed.old)
    writer.add(rollout.packed.values)
    writer.add(rollout.packed.reference)
    add(writer, as: "log_probs")
  }

  /// What stage 1 of the algorithm said.
  mutating func add(_ stage: PluginAdvantages) {
    var writer = DigestWriter()
    writer.add(stage.advantages)
    writer.add(stage.returns)
    writer.add(stage.counted)
    add(writer, as: "advantages")
  }

  /// What stage 2 was given of a micro-batch and what it said.
  mutating func add(_ gradients: PluginGradients, on batch: PluginBatch) {
    add(current: batch.current, entropies: batch.entropy, values: batch.values)
    update.dCurrent += gradients.dCurrent
    Self.append(gradients.dEntropy, to: &update.dEntropies)
    Self.append(gradients.dValues, to: &update.dValues)
  }

  // MARK: Both

  /// What the policy said of a micro-batch.
  mutating func add(current: [Float], entropies: [Float]? = nil, values: [Float]? = nil) {
    update.current += current
    Self.append(entropies, to: &update.entropies)
    Self.append(values, to: &update.values)
  }

  private static func append(_ part: [Float]?, to all: inout [Float]?) {
    if let part { all = (all ?? []) + part }
  }

  /// What an update began with, and how far it went.
  ///
  /// - Parameter outcome: the gradients' norm before clipping and the learning rate.
  mutating func finishUpdate(_ outcome: (gradientNorm: Double, learningRate: Double), _ settings: PolicySettings) {
    var writer = DigestWriter()
    writer.add(update.current)
    writer.add(update.entropies)
    writer.add(update.values)
    scores.append(writer.digest())
    writer = DigestWriter()
    writer.add(update.dCurrent)
    writer.add(update.dEntropies)
    writer.add(update.dValues)
    // Those of a supervised loss are a constant that nobody hands over.
    if !update.dCurrent.isEmpty { derivatives.append(writer.digest()) }
    writer = DigestWriter()
    for number in [
      outcome.gradientNorm, outcome.learningRate, settings.maximumGradientNorm, settings.weightDecay, settings.valueLearningRate,
    ] { writer.add(number) }
    gradients.append(writer.digest())
    update = Update()
  }

  /// The step's updates are made.
  mutating func finish() {
    digests.add("scores", ofUpdates: scores)
    digests.add("derivatives", ofUpdates: derivatives)
    digests.add("gradients", ofUpdates: gradients)
  }

  /// The sequences that a supervised step learns from.
  mutating func add(_ batch: [TrainingSequence]) {
    var writer = DigestWriter()
    for sequence in batch {
      writer.add(sequence.tokens)
      writer.add(sequence.lossStart)
    }
    add(writer, as: "data")
  }

  private mutating func add(_ writer: DigestWriter, as name: String) { digests.add(name, writer.digest()) }
}
