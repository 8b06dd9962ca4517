import Compute
import PluginHost
import Support
import Tasks
import Telemetry
import TestSupport
import Testing
import Training
import Transformer

/// Whole runs of a small random model with the algorithms as they are built.
@Suite("Runs of the six algorithms")
struct AlgorithmRunTests {
  private struct Trial {
    let algorithm: String
    var parameters: [String] = []
    var steps = 3
    var groupSize = 4
    var refillRounds = 3
    var learningRate = 1e-3
    var valueLearningRate = 1e-2
    var resumes = false
    var stopAfter: Int?
    var backend: @Sendable () throws(Failure) -> any Backend = { () throws(Failure) in try CPUBackend(threads: 2) }
    /// A completion is right by its tokens, so that about half are.
    var isRight: @Sendable (Attempt) -> Bool = { $0.tokens.reduce(0, +) % 2 == 0 }

    /// Runs into a folder; the steps that were made.
    @discardableResult func run(_ folder: String) throws -> [RunStep] {
      let model = try Transformer(ModelFolder(Place.model), on: backend())
      var policy = PolicySettings()
      policy.learningRate = learningRate
      policy.valueLearningRate = valueLearningRate
      let adapter = try Adapter(AdapterSettings(rank: 4, alpha: 8), seed: 5, for: model)
      var settings = RLSettings()
      settings.groupSize = groupSize
      settings.promptsPerStep = 3
      settings.maxNewTokens = 10
      settings.steps = steps
      settings.refillRounds = refillRounds
      settings.shuffles = false
      var keeping = RunKeeping()
      keeping.resumes = resumes
      keeping.stopAfter = stopAfter
      var random = RandomStream(seed: 21)
      let prompts = (0..<7).map { index in
        RLTask.Prompt(
          tokens: (0..<(3 + 4 * index)).map { _ in Int32(random.next(below: 300)) }, key: UInt64(index), question: "question \(index)")
      }
      let task = RLTask(prompts: prompts, reward: TrialReward(isRight: isRight)) { "\($0)" }
      let plugin = try PluginInstance(try Place.plugin(algorithm), settings: parameters)
      let watcher = TrialObserver()
      let trained = try RunModel(model, adapter: adapter, from: try ModelFolder(Place.model), policy, baseName: "tied")
      let run = RLRun(
        trained, task: task, algorithm: plugin,
        reference: plugin.needs.contains(.reference) ? try trained.reference() : nil, settings: settings,
        placement: RunPlacement(RunFolder(folder), RunRecord(stage: "rl", identity: [:], description: [:]), keeping))
      _ = try run.run(watcher)
      return watcher.steps
    }
  }

  @Test(
    "Every algorithm moves the policy with finite numbers in both variants",
    arguments: ["grpo", "dr-grpo", "ppo", "gspo", "dapo", "grpo-lead"], ["default", "paper"])
  func runs(algorithm: String, variant: String) throws {
    let folder = try TrialFolder()
    let steps = try Trial(algorithm: algorithm, parameters: ["variant=\(variant)"], steps: 2).run(folder.file("run"))
    #expect(steps.count == 2)
    for step in steps {
      #expect(step.metrics.names.allSatisfy { step[$0]?.isFinite == true })
      // This model never stops by itself: with overlong filtering nothing is left to learn from.
      let isFiltered = step["plugin/overlong_filtered_share"] == 1
      #expect(isFiltered == (algorithm == "dapo" && variant == "paper"))
      #expect(((step["gradient_norm"] ?? 0) > 0) != isFiltered)
      // Dropped completions do not count, and without one that counts there is no update.
      #expect(step["updates"] == (isFiltered ? 0 : 2))
      #expect(step["sampler_mismatch"] == 0)
      #expect((step["plugin/clamped_tokens"] != nil) != isFiltered)
    }
  }

  @Test("PPO's critic learns: the value loss falls and the returns get explained")
  func criticLearns() throws {
    let folder = try TrialFolder()
    // The prompt decides, so that there is something to know.
    let trial = Trial(
      algorithm: "ppo", parameters: ["gamma=1", "lambda=1"], steps: 40, learningRate: 1e-4,
      isRight: { $0.prompt % 2 == 0 })
    let steps = try trial.run(folder.file("run"))
    func mean(_ name: String, _ steps: some Collection<RunStep>) -> Double {
      steps.reduce(0) { $0 + ($1[name] ?? .nan) } / Double(steps.count)
    }
    let (before, after) = (mean("plugin/value_loss", steps.prefix(7)), mean("plugin/value_loss", steps.suffix(7)))
    #expect(after < 0.5 * before, "\(before) became \(after)")
    #expect(mean("plugin/explained_variance", steps.suffix(7)) > 0.5)
  }

  @Test("A critic alone is trained during the value warm-up")
  func warmUp() throws {
    let folder = try TrialFolder()
    let steps = try Trial(algorithm: "ppo", parameters: ["value_warmup_steps=1"], steps: 2).run(folder.file("run"))
    let policyPart = steps.map { abs(($0["loss"] ?? .nan) - ($0["plugin/value_loss"] ?? .nan)) }
    #expect(policyPart[0] < 1e-12 && policyPart[1] > 1e-9, "\(policyPart)")
  }

  @Test(
    "A resumed run is the uninterrupted one, critic, length factors and refill included",
    arguments: ["ppo", "dapo", "dr-grpo"])
  func resumes(algorithm: String) throws {
    let folder = try TrialFolder()
    let (whole, parts) = (folder.file("whole"), folder.file("parts"))
    var trial = Trial(algorithm: algorithm, steps: 4, groupSize: 2)
    try trial.run(whole)
    trial.stopAfter = 2
    #expect(try trial.run(parts).count == 2)
    (trial.stopAfter, trial.resumes) = (nil, true)
    #expect(try trial.run(parts).count == 2)
    let state = "checkpoints/step-4/state.safetensors"
    let names = try SafetensorsFile("\(whole)/\(state)").entries.keys
    #expect(names.contains("v.value_head.weight") == (algorithm == "ppo"))
    for name in [state, "checkpoints/step-4/state.json", "adapter/adapter_model.safetensors", "samples.jsonl"] {
      #expect(try Files.read("\(whole)/\(name)") == Files.read("\(parts)/\(name)"), "\(name) differs")
    }
  }

  /// The plain kernels of a GPU compute the CPU's bits, the emulated one's logarithms included.
  @Test(
    "A run on an emulated GPU, stopped and resumed, is the CPU's byte for byte",
    .enabled(if: CPUBackend.fuses, "these kernels of the CPU do not fuse multiplications and additions"),
    arguments: ["grpo", "dr-grpo", "ppo", "gspo", "dapo", "grpo-lead"])
  func runsOnAnEmulatedGPU(algorithm: String) throws {
    let folder = try TrialFolder()
    let (cpu, gpu) = (folder.file("cpu"), folder.file("gpu"))
    var trial = Trial(algorithm: algorithm, steps: 3)
    try trial.run(cpu)
    trial.backend = { () throws(Failure) in try CUDABackend(Emulator.device()) }
    trial.stopAfter = 2
    #expect(try trial.run(gpu).count == 2)
    (trial.stopAfter, trial.resumes) = (nil, true)
    let steps = try trial.run(gpu)
    #expect(steps.count == 1 && steps.allSatisfy { $0["sampler_mismatch"] == 0 && $0["gradient_norm"] ?? 0 > 0 })
    try expectSameResult(
      cpu, gpu, files: ["checkpoints/step-3/state.safetensors", "adapter/adapter_model.safetensors", "samples.jsonl"])
  }

  /// In bfloat16 numbers are others than float32's, but no less certain.
  @Test(
    "A run in bfloat16, stopped and resumed, is the run that was not",
    arguments: ["grpo", "dr-grpo", "ppo", "gspo", "dapo", "grpo-lead"], backends.filter { !$0.isFloat32 })
  func runsInBFloat16(algorithm: String, _ tested: TestedBackend) throws {
    let folder = try TrialFolder()
    let (whole, parts) = (folder.file("whole"), folder.file("parts"))
    var trial = Trial(algorithm: algorithm, steps: 3)
    trial.backend = { () throws(Failure) in try tested.open() }
    let steps = try trial.run(whole)
    for step in steps { #expect(step["sampler_mismatch"] == 0 && step["gradient_norm"] ?? 0 > 0 && step["loss"]?.isFinite == true) }
    trial.stopAfter = 2
    #expect(try trial.run(parts).count == 2)
    (trial.stopAfter, trial.resumes) = (nil, true)
    #expect(try trial.run(parts).count == 1)
    try expectSameResult(
      whole, parts, files: ["checkpoints/step-3/state.safetensors", "adapter/adapter_model.safetensors", "samples.jsonl"])
  }

  @Test("DAPO replaces groups of equal rewards by fresh prompts and says what that cost")
  func refills() throws {
    let folder = try TrialFolder()
    // The first four of the seven prompts are always right: the first three are dropped, then one more.
    let isRight = { @Sendable (attempt: Attempt) in attempt.prompt < 4 || attempt.tokens.reduce(0, +) % 2 == 0 }
    let step = try Trial(algorithm: "dapo", steps: 1, groupSize: 8, isRight: isRight).run(folder.file("run"))[0]
    #expect(step["groups"] == 3)
    let dropped = try #require(step["dropped_groups"])
    #expect(dropped >= 4)
    #expect(step["refilled_groups"] == dropped)
    #expect(step["wasted_completions"] == dropped / (dropped + 3))
    let samples = try Files.readText(folder.file("run/samples.jsonl")).split(separator: "\n").map {
      try JSON.parse(String($0), name: "samples.jsonl")
    }
    // What is wasted is generated all the same, and logged.
    #expect(samples.count == 8 * (3 + Int(dropped)))
    let tokens = samples.reduce(0) { $0 + ($1["length"]?.int ?? 0) }
    let byExample = Dictionary(grouping: samples) { $0["example"]?.int ?? -1 }
    let wasted = byExample.values.filter { group in Set(group.map { $0["reward"]?.double }).count == 1 }
    let wastedTokens = wasted.joined().reduce(0) { $0 + ($1["length"]?.int ?? 0) }
    #expect(step["wasted_tokens"] == Double(wastedTokens) / Double(tokens))
  }

  @Test("Where every group is dropped the refill ends at its bound and the policy stays as it is")
  func allDropped() throws {
    let folder = try TrialFolder()
    let trial = Trial(algorithm: "dapo", steps: 2, refillRounds: 2, isRight: { _ in true })
    let steps = try trial.run(folder.file("run"))
    #expect(steps.count == 2)
    for step in steps {
      #expect(step["groups"] == 0 && step["dropped_groups"] == 9 && step["refilled_groups"] == 6)
      #expect(step["wasted_completions"] == 1 && step["wasted_tokens"] == 1)
      #expect(step["updates"] == 0 && step["loss"] == 0 && step["gradient_norm"] == 0)
    }
    // LoRA's B begins at zero.
    let adapter = try SafetensorsFile(folder.file("run/adapter/adapter_model.safetensors"))
    let names = adapter.entries.keys.filter { $0.contains("lora_B") }
    #expect(!names.isEmpty)
    for name in names {
      #expect(try adapter.floats(name).allSatisfy { $0 == 0 })
    }
    let without = Trial(algorithm: "dapo", parameters: ["refill=false"], steps: 1, isRight: { _ in true })
    #expect(try without.run(folder.file("without"))[0]["refilled_groups"] == 0)
  }
}
