import PluginHost
import Rollouts
import Support
import Tasks
import TestSupport
import Testing
import Training

/// What a reward says on its way from the judge to the algorithm.
@Suite struct RewardTests {
  /// Of two parts, whose number a test may get wrong.
  private struct LengthReward: RewardFunction {
    var name: String { "length" }
    var partNames: [String] { ["short", "even"] }
    var parts = 2
    var scale: Float = 1

    func judge(_ attempt: Attempt) -> Reward {
      let verdict = Verdict(extracted: nil, gold: "", isCorrect: attempt.tokens.count < 4, reason: "")
      let values: [Float] = [attempt.tokens.count < 4 ? 1 : 0, attempt.tokens.count % 2 == 0 ? 1 : 0]
      return Reward(total: scale * (values[0] + 0.5 * values[1]), parts: Array(values.prefix(parts)), verdict, on: attempt)
    }
  }

  /// Keeps what it is shown.
  private final class Listener: LossAlgorithm {
    private let inner = TrialAlgorithm()
    private(set) var seen: [PluginRollout] = []
    var identity: AlgorithmIdentity { inner.identity }
    var needs: PluginNeeds { inner.needs }
    var metricFold: PluginMetricFold { inner.metricFold }
    func select(_ rollout: PluginRollout) -> [Bool] { inner.select(rollout) }
    func advantages(_ rollout: PluginRollout) -> PluginAdvantages {
      seen.append(rollout)
      return inner.advantages(rollout)
    }
    func loss(_ batch: PluginBatch) throws(Failure) -> PluginGradients { try inner.loss(batch) }
    func save() -> [UInt8] { inner.save() }
    func restore(_ state: [UInt8]) throws(Failure) { try inner.restore(state) }
  }

  private func task(_ reward: any RewardFunction) -> RLTask {
    RLTask(prompts: [RLTask.Prompt(tokens: [1, 2, 3], key: 9, question: "?")], reward: reward) { "\($0.count) tokens" }
  }

  private func completion(_ tokens: [Int32], isTruncated: Bool = false) -> Completion {
    var completion = Completion()
    completion.tokens = tokens
    completion.isTruncated = isTruncated
    return completion
  }

  @Test func theFlagsAreThoseOfTheInterface() {
    #expect(Reward.Flags.truncated.rawValue == PluginRollout.truncated)
    #expect(Reward.Flags.correct.rawValue == PluginRollout.correct)
  }

  @Test func aCompletionIsDecodedForItsJudgeAndTheTextStaysWithTheReward() throws {
    let reward = try task(LengthReward()).judge(completion([5, 6], isTruncated: true), ofPrompt: 0)
    #expect(reward.text == "2 tokens")
    #expect(reward.total == 1.5 && reward.parts == [1, 1])
    #expect(reward.flags == [.truncated, .correct])
  }

  @Test func theBoxedRewardHasOnePartAndJudgesAgainstThePromptsGold() throws {
    let reward = BoxedReward(golds: ["7", "8"], verifier: Verifier())
    #expect(reward.name == "numeric" && reward.partNames == ["correct"])
    for (prompt, expected) in [(0, Float(0)), (1, 1)] {
      let judged = try reward.judge(Attempt(prompt: prompt, tokens: [], text: "\\boxed{8}", isTruncated: false))
      #expect(judged.total == expected && judged.parts == [expected] && judged.verdict.extracted == "8")
      #expect(judged.flags == (expected == 1 ? .correct : []))
    }
  }

  @Test func namesAndPartsOfARewardReachTheAlgorithm() throws {
    let listener = Listener()
    var setup = RLTests.Setup(listener)
    setup.task = RLTask(prompts: RLTests.makeTask().prompts, reward: LengthReward()) { "\($0)" }
    let result = try setup.train(steps: 1).results[0]
    let seen = try #require(listener.seen.first)
    #expect(seen.rewardNames == ["short", "even"])
    let rewards = result.rollout.groups.flatMap(\.rewards)
    #expect(seen.rewardParts == rewards.flatMap(\.parts) && seen.rewards == rewards.map(\.total))
    #expect(seen.sequenceFlags == rewards.map(\.flags.rawValue))
    #expect(Set(rewards.map(\.text)) == Set(result.rollout.groups.flatMap { $0.completions.map { "\($0.tokens)" } }))
  }

  /// Fails on some completions, told by their tokens.
  private struct FailingReward: RewardFunction {
    let fails: @Sendable (Attempt) -> Bool
    var name: String { "failing" }
    var partNames: [String] { ["odd"] }
    var reportsParts: Bool { true }
    var largestBatch: Int { 5 }

    func judge(_ attempt: Attempt) -> Reward {
      let value = Float(attempt.tokens.reduce(0, +) % 5)
      let verdict = Verdict(extracted: nil, gold: "", isCorrect: value > 2, reason: "")
      var reward = Reward(total: value, parts: [value], verdict, on: attempt)
      guard fails(attempt) else { return reward }
      reward.silent = [0]
      reward.fault = RewardFault(part: "odd", cause: "planted")
      return reward
    }
  }

  private func train(_ listener: Listener, failing fails: @escaping @Sendable (Attempt) -> Bool) throws -> RLStepResult {
    var setup = RLTests.Setup(listener)
    setup.task = RLTask(prompts: RLTests.makeTask().prompts, reward: FailingReward(fails: fails)) { "\($0)" }
    return try setup.train(steps: 1).results[0]
  }

  @Test func aCompletionWithoutARewardIsLeftOutOfItsGroupAndTheOthersAreAsTheyWere() throws {
    let (sound, listener) = (Listener(), Listener())
    let whole = try train(sound) { _ in false }
    let result = try train(listener) { $0.tokens.reduce(0, +) % 3 == 0 }
    #expect((1...6).contains(result.unscored.count), "\(result.unscored.count)")
    #expect(result.metrics["reward_errors"] == Double(result.unscored.count) && whole.metrics["reward_errors"] == 0)
    var expected: [Float] = []
    for (group, all) in zip(result.rollout.groups, whole.rollout.groups) {
      #expect(group.completions.count + group.unscored.count == 4)
      #expect(group.completions == group.numbers.map { all.completions[$0] } && group.rewards == group.numbers.map { all.rewards[$0] })
      #expect(group.unscored.map(\.completion) == group.unscored.map { all.completions[$0.number] })
      expected += group.rewards.map(\.total)
    }
    // The algorithm sees groups of different sizes and nothing of the rest.
    #expect(listener.seen.last?.rewards == expected && listener.seen.last?.groupOffsets.last == 12 - result.unscored.count)
    #expect(result.metrics["length_mean"] == whole.metrics["length_mean"] && result.metrics["accuracy"] == whole.metrics["accuracy"])
    #expect(abs((result.metrics["reward"] ?? 0) - Double(expected.reduce(0, +)) / Double(expected.count)) < 1e-6)
    #expect(result.metrics["reward"] == result.metrics["reward/odd"])
  }

  @Test func aGroupWithoutARewardIsDroppedAndMoreFaultsThanHalfEndTheStep() throws {
    let drawn = try #require(try train(Listener()) { _ in false }.rollout.groups.first?.example)
    let result = try train(Listener()) { $0.prompt == drawn }
    #expect(result.dropped.map(\.example) == [drawn] && result.dropped.allSatisfy { $0.completions.isEmpty && $0.unscored.count == 4 })
    #expect(result.rollout.groups.count == 2 && result.metrics["dropped_groups"] == 1 && result.metrics["reward_errors"] == 4)
    let error = failure { () throws(Failure) in
      do { _ = try train(Listener()) { _ in true } } catch { throw error as? Failure ?? .internalError("\(error)") }
    }
    #expect(error?.message.hasPrefix("reward odd: planted; ") == true, "\(error?.message ?? "none")")
  }

  @Test func aRewardThatBreaksItsWordIsNamed() {
    for reward in [LengthReward(parts: 1), LengthReward(scale: .infinity)] {
      let error = failure { () throws(Failure) in try task(reward).judge(completion([1, 2]), ofPrompt: 0) }
      #expect(error?.message.hasPrefix("the reward length: gave ") == true, "\(error?.message ?? "")")
    }
  }

  @Test func aTaskJudgesOnAnotherThread() async throws {
    let task = task(LengthReward())
    let completion = completion([1, 2, 3])
    let reward = try await Task.detached { try task.judge(completion, ofPrompt: 0) }.value
    #expect(reward.total == 1)
  }
}
