import Compute
import PluginHost
import Rollouts
import Support
import Tasks
import TestSupport
import Testing
import Training
import Transformer

/// Reinforcement learning of a small random model, with the GRPO plugin as it is built.
@Suite struct RLTests {
  /// Prompts of different lengths; a completion is right by its tokens, so that about half are.
  static func makeTask(
    prompts: Int = 7, isRight: @escaping @Sendable (Attempt) -> Bool = { $0.tokens.reduce(0, +) % 2 == 0 }
  ) -> RLTask {
    var random = RandomStream(seed: 21)
    let prompts = (0..<prompts).map { index in
      RLTask.Prompt(
        tokens: (0..<(3 + 5 * index)).map { _ in Int32(random.next(below: 300)) }, key: UInt64(index), question: "question \(index)")
    }
    return RLTask(prompts: prompts, reward: TrialReward(isRight: isRight)) { "\($0)" }
  }

  struct Setup {
    var settings = RLSettings()
    var policy = PolicySettings()
    var algorithm: any LossAlgorithm
    var task = RLTests.makeTask()
    var adapter: String? = "initial"
    var threads = 2

    init(_ algorithm: any LossAlgorithm) {
      self.algorithm = algorithm
      settings.groupSize = 4
      settings.promptsPerStep = 3
      settings.maxNewTokens = 12
      settings.steps = 2
      settings.seed = 7
      policy.learningRate = 1e-3
    }

    /// Trains and returns each step's result, with the policy as it ends.
    func train(steps: Int = 2) throws -> (results: [RLStepResult], policy: Policy) {
      let (model, adapter) = try loadModel(full: adapter == nil, adapter: adapter, threads: threads)
      let trained = try RunModel(model, adapter: adapter, from: nil, policy, baseName: "tied")
      let reference: ReferencePolicy? = algorithm.needs.contains(.reference) ? try trained.reference() : nil
      let policy = try trained.makePolicy(critic: algorithm.needs.contains(.critic))
      let trainer = RLTrainer(policy, engine: trained.engine, reference: reference, algorithm: algorithm, task: task, settings: self.settings)
      return (try (0..<steps).map { _ in try trainer.trainStep() }, policy)
    }
  }

  private func setup(_ parameters: String...) throws -> Setup { Setup(try PluginInstance(try Place.plugin("grpo"), settings: parameters)) }

  @Test(arguments: ["initial", nil]) func theSamplersLogProbabilitiesAreThePolicysSoTheFirstRatioIsOne(_ adapter: String?) throws {
    var setup = try setup()
    setup.adapter = adapter
    setup.settings.innerEpochs = 1
    let results = try setup.train(steps: 3).results
    for result in results {
      #expect(result.metrics["sampler_mismatch"] == 0)
      #expect(result.metrics["kl_old_k1"] == 0)
      #expect(result.metrics["kl_old_k3"] == 0)
      #expect(result.metrics["ratio_mean"] == 1)
    }
    #expect(results.contains { ($0.metrics["gradient_norm"] ?? 0) > 0 })
  }

  @Test func theSecondEpochIsOffPolicyAndTheMismatchStaysZero() throws {
    let metrics = try setup().train(steps: 1).results[0].metrics
    #expect(metrics["sampler_mismatch"] == 0)
    #expect((metrics["kl_old_k3"] ?? 0) > 0)
  }

  /// Every ratio that moved the way its advantage asks for is clipped; the divergence from the reference keeps its gradient from being
  /// zero, so only the plugin can say so.
  @Test func thePluginsOwnClipIsBelievedAndSaidOnce() throws {
    let result = try setup("beta=0.1", "clip_low=0", "clip_high=0").train(steps: 1).results[0]
    #expect((result.metrics["clip_low"] ?? 0) + (result.metrics["clip_high"] ?? 0) > 0.02)
    #expect(result.metrics.names.contains("plugin/clamped_tokens"))
    #expect(!result.metrics.names.contains { $0.hasPrefix("plugin/clip_") })
    let deviations = result.rollout.groups.map { group in
      let rewards = group.rewards.map { Double($0.total) }
      let mean = rewards.reduce(0, +) / Double(rewards.count)
      return (rewards.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(rewards.count - 1)).squareRoot()
    }
    let expected = deviations.reduce(0, +) / Double(deviations.count)
    #expect(abs((result.metrics["reward_deviation_within_groups"] ?? -1) - expected) < 1e-6 && result.dropped.isEmpty)
  }

  @Test func untemperedLogProbabilitiesAreMeasuredAgainstTheSamplers() throws {
    var setup = try setup()
    setup.settings.logProbTemperature = 1
    setup.settings.innerEpochs = 1
    let metrics = try setup.train(steps: 1).results[0].metrics
    #expect((metrics["sampler_mismatch"] ?? 0) > 0)
    #expect(metrics["kl_old_k1"] == 0)
  }

  /// Each group stands in one micro-batch: then any split gives the same bits, of weights and of samples.
  @Test func microBatchesCheckpointingAndThreadsDoNotChangeABit() throws {
    let base = try setup()
    let expected = try base.train()
    let bitsExpected = try bits(expected.policy)
    for (rows, checkpointing, threads) in [(100, false, 2), (200, true, 1), (150, false, 3)] {
      var setup = try setup()
      setup.policy.microBatchRows = rows
      setup.policy.checkpointing = checkpointing ? .on : .off
      setup.threads = threads
      let found = try setup.train()
      #expect(try bits(found.policy) == bitsExpected, "\(rows) rows")
      #expect(found.results.count == 2 && expected.results.count == 2)
      for (one, other) in zip(found.results, expected.results) {
        #expect(one.rollout.groups.map(\.completions) == other.rollout.groups.map(\.completions))
        #expect(abs((one.metrics["loss"] ?? 1) - (other.metrics["loss"] ?? 0)) < 1e-9)
      }
    }
  }

  /// A group that is larger than a micro-batch is the exception: equal to rounding.
  @Test func aGroupSplitOverMicroBatchesGivesTheSameGradientToRounding() throws {
    var setup = try setup()
    setup.settings.innerEpochs = 1
    let whole = try setup.train(steps: 1).results[0].metrics
    setup = try self.setup()
    setup.settings.innerEpochs = 1
    setup.policy.microBatchRows = 20
    let split = try setup.train(steps: 1).results[0].metrics
    let norm = try #require(whole["gradient_norm"])
    #expect(norm > 0)
    #expect(abs((split["gradient_norm"] ?? 0) - norm) < 1e-5 * norm)
    #expect(abs((split["loss"] ?? 1) - (whole["loss"] ?? 0)) < 1e-7)
  }

  @Test func rewardsRaiseWhatIsRewarded() throws {
    var setup = try setup()
    setup.task = Self.makeTask(prompts: 2) { $0.tokens.first.map { $0 % 4 == 1 } ?? false }
    setup.settings.groupSize = 16
    setup.settings.promptsPerStep = 2
    setup.settings.maxNewTokens = 2
    setup.policy.learningRate = 5e-3
    let rewards = try setup.train(steps: 25).results.map { $0.metrics["reward"] ?? 0 }
    let (first, last) = (rewards[..<5].reduce(0, +) / 5, rewards[20...].reduce(0, +) / 5)
    #expect(last > first + 0.2, "from \(first) to \(last)")
  }

  @Test(arguments: [0, 0.1]) func equalRewardsMoveNothingButWeightDecay(_ decay: Double) throws {
    var setup = try setup()
    setup.task = Self.makeTask { _ in true }
    setup.policy.weightDecay = decay
    let trained = try setup.train()
    let (model, adapter) = try loadModel(adapter: "initial")
    let parameters = try #require(adapter?.store.parameters)
    #expect(parameters.count == trained.policy.parameters.count && !parameters.isEmpty && trained.policy.updates > 1)
    let kept = pow(1 - setup.policy.learningRate * decay, Double(trained.policy.updates))
    for (found, fresh) in zip(trained.policy.parameters, parameters) {
      let before = try model.backend.download(fresh.value).value()
      let after = try trained.policy.model.backend.download(found.value).value()
      if decay == 0 {
        #expect(after == before, "\(fresh.name)")
      } else {
        let wrong = zip(after, before).count { abs(Double($0) - kept * Double($1)) > 1e-6 * abs(Double($1)) }
        #expect(after.count == before.count && wrong == 0, "\(fresh.name)")
      }
    }
    #expect(trained.results.count == 2)
    #expect(trained.results.allSatisfy { $0.metrics["zero_variance"] == 1 && $0.metrics["gradient_norm"] == 0 })
  }

  @Test func theReferenceIsThePolicyTheRunBeganWith() throws {
    let setup = try setup("beta=0.04")
    #expect(setup.algorithm.needs.contains(.reference))
    let results = try setup.train(steps: 2).results
    let first = results[0]
    // Before the first update both are one policy, so reference and sampler agree to the bit.
    let reference = try #require(first.rollout.packed.reference)
    #expect(reference.count > 30 && reference.map(\.bitPattern) == first.rollout.sampler.map(\.bitPattern))
    #expect(results[1].rollout.packed.reference?.count == results[1].rollout.sampler.count)
    #expect(results[1].rollout.packed.reference != results[1].rollout.sampler)
    #expect((results[1].metrics["kl_reference_k3"] ?? 0) > 0)
  }

  @Test func minibatchesMakeAnUpdateEach() throws {
    var setup = try setup()
    setup.settings.minibatches = 3
    setup.settings.innerEpochs = 2
    #expect(try setup.train(steps: 1).policy.updates == 6)
  }

  // MARK: Refill and critic, with a plugin that needs them

  @Test func refillIsBoundedWhereEveryGroupIsDropped() throws {
    var setup = Setup(TrialAlgorithm(needs: .refill, drop: .all))
    setup.settings.refillRounds = 3
    let (results, policy) = try setup.train(steps: 1)
    #expect(results[0].dropped.count == 3 * (1 + 3))
    #expect(results[0].metrics["refilled_groups"] == 9)
    #expect(results[0].metrics["groups"] == 0)
    #expect(policy.updates == 0)
    // Every prompt of the bounded refill is a fresh one.
    #expect(results[0].dropped.map(\.position) == Array(0..<12))
  }

  @Test func droppedGroupsAreReplacedUntilThereAreEnough() throws {
    var setup = Setup(TrialAlgorithm(needs: .refill, drop: .equal))
    // Of seven prompts the first four in the file have one answer only.
    setup.task = Self.makeTask { $0.prompt < 4 || $0.tokens.reduce(0, +) % 2 == 0 }
    setup.settings.shuffles = false
    let result = try setup.train(steps: 1).results[0]
    #expect(result.rollout.groups.count == 3)
    #expect(result.rollout.groups.allSatisfy { $0.hasVariance })
    #expect(result.dropped.map(\.example).starts(with: [0, 1, 2, 3]))
    #expect(result.metrics["dropped_groups"] == Double(result.dropped.count))
  }

  @Test func withoutRefillDroppedGroupsAreNotReplaced() throws {
    let setup = Setup(TrialAlgorithm(drop: .all))
    let result = try setup.train(steps: 1).results[0]
    #expect(result.dropped.count == 3 && result.metrics["refilled_groups"] == 0)
  }

  /// The plan is what a run takes, to the byte, and no step takes anything of the system.
  @Test(arguments: ["grpo", "ppo"]) func aRunTakesWhatItsPlanSaysAndItsStepsTakeNothing(_ name: String) throws {
    var setup = Setup(try PluginInstance(try Place.plugin(name), settings: name == "grpo" ? ["beta=0.1"] : []))
    setup.settings.steps = 12
    let (model, adapter) = try loadModel(adapter: "initial")
    let needs = setup.algorithm.needs
    let longest = setup.task.prompts.map(\.tokens.count).max() ?? 0
    let capacity = EngineCapacity(prompts: 3, samples: 4, longestPrompt: longest, maxNewTokens: 12, of: model.configuration, on: model.backend)
    var planned = PlannedRun(adapter: adapter?.settings, setup.policy)
    planned.hasCritic = needs.contains(.critic)
    planned.reference = needs.contains(.reference) ? .adapter : .none
    planned.generation = [capacity]
    planned.groups = Array(repeating: (prompt: longest, completions: [12, 12, 12, 12]), count: 3)
    let plan = try MemoryPlan(model.architecture, planned, on: model.backend)

    let trained = try RunModel(model, adapter: adapter, from: nil, setup.policy, baseName: "tied", arenaBytes: plan.arenaBytes)
    let reference = needs.contains(.reference) ? try trained.reference() : nil
    let policy = try trained.makePolicy(critic: needs.contains(.critic))
    try trained.engine.reserve(capacity, stopTokens: Set(model.endOfText))
    let trainer = RLTrainer(
      policy, engine: trained.engine, reference: reference, algorithm: setup.algorithm, task: setup.task, settings: setup.settings)
    _ = try policy.snapshot()
    let before = model.backend.memory
    for _ in 0..<12 {
      _ = try policy.snapshot()
      _ = try trainer.trainStep()
    }
    #expect(model.backend.memory == before)
    // One token ends a sequence in the plan, two in the model's folder.
    #expect(abs(before.bytes - plan.bytes) <= 64, "\(before.bytes) bytes, planned \(plan.bytes)")
  }

  /// A value head begins at zero, so AdamW's first step moves each weight by its own rate, whatever the trunk's.
  @Test(arguments: [1e-4, 1e-2])
  func aCriticLearnsItsReturnsAtItsOwnRate(_ rate: Double) throws {
    var setup = Setup(TrialAlgorithm(needs: .critic))
    setup.task = Self.makeTask { _ in true }
    setup.policy.valueLearningRate = rate
    setup.policy.weightDecay = 0
    setup.settings.innerEpochs = 1
    let (results, policy) = try setup.train(steps: 1)
    let head = try #require(policy.valueHead)
    #expect(results[0].rollout.packed.values == Array(repeating: 0, count: results[0].rollout.tokenCount))
    // Every value is 0 and every return and advantage 1: half the squared error, and the log-probabilities, which are the sampler's.
    let sampler = results[0].rollout.sampler
    #expect(abs((try #require(results[0].metrics["loss"])) - (0.5 - sampler.reduce(0) { $0 + Double($1) } / Double(sampler.count))) < 1e-5)
    let bias = Double(try policy.model.backend.download(head.store.parameters[1].value).value()[0])
    #expect(abs(bias - rate) < 1e-3 * rate, "the bias went to \(bias)")
    let weights = try policy.model.backend.download(head.store.parameters[0].value).value().map { abs(Double($0)) }
    #expect(!weights.isEmpty && weights.allSatisfy { $0 < 1.001 * rate } && weights.count { $0 > 0.99 * rate } > weights.count / 2)
  }

  @Test func aCriticsValuesComeCloserToTheReturns() throws {
    var setup = Setup(TrialAlgorithm(needs: .critic))
    setup.task = Self.makeTask { _ in true }
    setup.policy.valueLearningRate = 2e-2
    setup.policy.learningRate = 0
    let results = try setup.train(steps: 20).results
    func error(_ rollout: Rollout) -> Double {
      (rollout.packed.values ?? []).reduce(0) { $0 + abs(Double($1) - 1) } / Double(rollout.tokenCount)
    }
    #expect(error(results[0].rollout) == 1)
    #expect(error(results[19].rollout) < 0.3)
  }

  @Test func thePPOPluginTrainsPolicyAndValueHead() throws {
    let (results, policy) = try Setup(try PluginInstance(try Place.plugin("ppo"))).train(steps: 2)
    #expect(results.allSatisfy { $0.metrics["sampler_mismatch"] == 0 && ($0.metrics["loss"] ?? .nan).isFinite })
    let head = try #require(policy.valueHead)
    #expect(try policy.model.backend.download(head.store.parameters[0].value).value().contains { $0 != 0 })
    let (model, adapter) = try loadModel(adapter: "initial")
    let fresh = try #require(adapter?.store.parameters)
    #expect(fresh.map(\.name) == policy.parameters.map(\.name) && !fresh.isEmpty)
    for (found, fresh) in zip(policy.parameters, fresh) {
      #expect(try policy.model.backend.download(found.value).value() != model.backend.download(fresh.value).value(), "\(fresh.name)")
    }
  }
}
