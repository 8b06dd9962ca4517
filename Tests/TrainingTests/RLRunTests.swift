import Foundations
import PluginHost
import Tasks
import Testing
import Training
import Transformer

@Suite struct RLRunTests {
  private func run(
    _ folder: String, library: PluginLibrary, parameters: [String] = [], resumes: Bool = false, stopAfter: Int? = nil,
    full: Bool = false
  ) throws -> RunOutcome {
    let (model, adapter) = try loadModel(full: full, adapter: full ? nil : "initial")
    var policy = PolicySettings()
    policy.adapter = adapter
    policy.learningRate = 1e-3
    var settings = RLSettings()
    settings.groupSize = 3
    settings.maxNewTokens = 10
    settings.steps = 5
    var keeping = RunKeeping()
    keeping.checkpointEvery = 2
    keeping.resumes = resumes
    keeping.stopAfter = stopAfter
    let plugin = try PluginInstance(library, settings: parameters)
    return try RLRun(
      model: model, source: ModelFolder(Place.model), policy: policy, settings: settings, plugin: plugin,
      task: RLTests.makeTask(), text: { "\($0)" }, question: { "question \($0)" },
      reference: plugin.needs.contains(.reference) && !full ? try ReferencePolicy(adapterOf: model) : nil,
      folder: RunFolder(folder), record: RunRecord(stage: "rl", identity: [:], description: [:]), keeping: keeping,
      baseName: "tied"
    ).run(TrialObserver())
  }

  private func expectResumed(_ library: PluginLibrary, _ parameters: [String] = [], full: Bool = false, at step: Int) throws {
    let folder = try TrialFolder()
    let (whole, parts) = (folder.file("whole"), folder.file("parts"))
    #expect(try run(whole, library: library, parameters: parameters, full: full) == .finished)
    #expect(try run(parts, library: library, parameters: parameters, stopAfter: step, full: full) == .interrupted(step: step))
    #expect(try run(parts, library: library, parameters: parameters, resumes: true, full: full) == .finished)
    let result = full ? "model/model.safetensors" : "adapter/adapter_model.safetensors"
    try expectSameResult(
      whole, parts,
      files: [result, "samples.jsonl", "checkpoints/step-5/state.safetensors", "checkpoints/step-5/state.json"])
  }

  @Test(arguments: [1, 2, 4]) func aRunThatIsResumedIsTheUninterruptedOneByteForByte(_ step: Int) throws {
    try expectResumed(try Place.plugin("grpo"), at: step)
  }

  @Test func soIsAWholeModelsRun() throws { try expectResumed(try Place.plugin("grpo"), full: true, at: 3) }

  @Test func theReferenceOfAResumedRunIsThePolicyTheRunBeganWith() throws {
    try expectResumed(try Place.plugin("grpo"), ["beta=0.1"], at: 3)
  }

  @Test(.enabled(if: TrialPlugin.hasCompiler)) func theCriticAndThePluginsStateAreResumedToo() throws {
    let folder = try TrialFolder()
    let library = try TrialPlugin.compile(needs: "NR_NEEDS_CRITIC | NR_NEEDS_REFILL", drop: "equal", in: folder)
    try expectResumed(library, at: 3)
  }

  @Test(.enabled(if: TrialPlugin.hasCompiler)) func aCheckpointOfAnotherPluginIsRefusedByName() throws {
    let folder = try TrialFolder()
    let library = try TrialPlugin.compile(needs: "0", drop: "none", in: folder)
    _ = try run(folder.file("run"), library: library, stopAfter: 2)
    let error = #expect(throws: Failure.self) {
      try run(folder.file("run"), library: try Place.plugin("grpo"), resumes: true)
    }
    #expect(error?.code == .badData)
    #expect(error?.message.contains("plugin trial, now it is grpo") == true)
  }

  @Test func everyCompletionIsASampleWithItsVerdict() throws {
    let folder = try TrialFolder()
    _ = try run(folder.file("run"), library: try Place.plugin("grpo"))
    let lines = try Files.readText(folder.file("run/samples.jsonl")).split(separator: "\n")
    #expect(lines.count == 5 * 2 * 3)
    for line in lines {
      let sample = try JSON.parse(String(line), name: "samples.jsonl")
      #expect(sample["reward"]?.double == (sample["correct"]?.bool == true ? 1 : 0))
      #expect(sample["question"]?.string == "question \(sample["example"]?.int ?? -1)")
      #expect(sample["length"]?.int ?? 0 > 0)
    }
  }
}
