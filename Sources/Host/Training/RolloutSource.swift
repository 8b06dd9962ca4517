import Compute
import PluginHost
import Rollouts
import Support
import Tasks
import Transformer

/// Draws prompts in the order of the run, completes them and has the completions judged.
struct RolloutSource {
  private let engine: GenerationEngine
  private let task: RLTask
  private let settings: RLSettings
  private let generation: GenerationSettings
  private var order: DataOrder
  /// Prompts taken so far.
  var cursor = 0

  init(_ engine: GenerationEngine, _ task: RLTask, _ settings: RLSettings) {
    self.task = task
    self.settings = settings
    self.engine = engine
    generation = GenerationSettings(
      sampling: SamplingSettings(temperature: settings.temperature), maxNewTokens: settings.maxNewTokens,
      seed: settings.seed, stopTokens: Set(engine.model.endOfText))
    order = DataOrder(count: task.prompts.count, seed: settings.seed, shuffles: settings.shuffles)
  }

  /// Groups of fresh prompts, drawn by a policy. Completions are judged while others are still being drawn.
  ///
  /// - Parameter watch: told how far it is, after each step; returning false stops it.
  mutating func groups(_ count: Int, by policy: PolicySnapshot, _ watch: (GenerationProgress) -> Bool) throws(Failure) -> [RolloutGroup] {
    let positions = cursor..<(cursor + count)
    cursor = positions.upperBound
    let examples = order.indices(positions)
    let requests = zip(positions, examples).map { position, example in
      GenerationRequest(
        prompt: task.prompts[example].tokens, samples: settings.groupSize, stream: UInt64(position))
    }
    let judging = try judging(examples)
    let completions: [[Completion]]
    var progress: GenerationProgress?
    do throws(Failure) {
      completions = try complete(requests, by: policy, judging) {
        progress = $0
        return watch($0)
      }
    } catch {
      judging.abandon()
      throw judging.failure ?? error
    }
    let rewards = try judging.finish { progress.map(watch) ?? true }
    var groups: [RolloutGroup] = []
    for (index, example) in examples.enumerated() {
      groups.append(
        RolloutGroup(
          position: positions.lowerBound + index, example: example, prompt: task.prompts[example], drawn: completions[index],
          rewards: try rewards.of(index, samples: requests[index].samples), version: policy.version))
    }
    return groups
  }

  private func judging(_ examples: [Int]) throws(Failure) -> JudgingThread {
    try JudgingThread(of: examples.count * settings.groupSize, batch: task.reward.largestBatch) { [task] drawn, allowance throws(Failure) in
      try task.judge(drawn.map { ($0.completion, examples[$0.request]) }, allowance)
    }
  }

  private func complete(
    _ requests: [GenerationRequest], by policy: PolicySnapshot, _ judging: JudgingThread, _ watch: (GenerationProgress) -> Bool
  ) throws(Failure) -> [[Completion]] {
    try engine.generate(
      requests, generation, by: policy, progress: { watch($0) && judging.failure == nil },
      onFinish: { judging.add($2, request: $0, sample: $1) })
  }
}
