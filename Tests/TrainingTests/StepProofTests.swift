import PluginHost
import Rollouts
import Support
import Tasks
import Telemetry
import TestSupport
import Testing
import Training
import Transformer

/// What a step hands over to its proof: each stage in its own digest, and nothing that is a knob of speed in any.
@Suite struct StepProofTests {
  private func run(
    _ folder: String, _ algorithm: any LossAlgorithm, rate: Double = 1e-3, rows: Int? = nil, threads: Int = 2,
    task: RLTask = RLTests.makeTask(), changed: (inout RLSettings) -> Void = { _ in }
  ) throws {
    let (model, adapter) = try loadModel(adapter: "initial", threads: threads)
    var policy = PolicySettings()
    policy.learningRate = rate
    policy.microBatchRows = rows
    var settings = RLSettings()
    settings.groupSize = 3
    settings.promptsPerStep = 3
    settings.maxNewTokens = 10
    settings.steps = 3
    changed(&settings)
    let trained = try RunModel(model, adapter: adapter, from: try ModelFolder(Place.model), policy, baseName: "tied")
    let run = RLRun(
      trained, task: task, algorithm: algorithm, reference: nil, settings: settings,
      placement: RunPlacement(RunFolder(folder), RunRecord(stage: "rl", identity: [:], description: [:]), RunKeeping()))
    #expect(try run.run(TrialObserver()) == .finished)
  }

  private func grpo(_ parameters: String...) throws -> PluginInstance { try PluginInstance(Place.plugin("grpo"), settings: parameters) }

  @Test func eachPlantedDifferencePartsInItsOwnStage() throws {
    let folder = try TrialFolder()
    let (one, other) = (folder.file("one"), folder.file("other"))
    try run(one, grpo())
    func expectParting(_ stage: String, step: Int = 1, update: Int? = nil, _ make: (String) throws -> Void, at location: SourceLocation = #_sourceLocation) throws {
      try Files.removeTree(other)
      try make(other)
      let parting = try RunComparison(one, other).parting
      #expect(parting?.step == step && parting?.1.stage == stage && parting?.1.update == update, "\(String(describing: parting))", sourceLocation: location)
    }
    try expectParting("data") { try run($0, grpo()) { $0.shuffles = false } }
    try expectParting("ids") { try run($0, grpo()) { $0.maxNewTokens = 9 } }
    // Another grader.
    try expectParting("rewards") { try run($0, grpo(), task: RLTests.makeTask { $0.tokens.reduce(0, +) % 3 == 0 }) }
    try expectParting("select") { try run($0, TrialAlgorithm(drop: .all)) }
    try expectParting("advantages") { try run($0, try PluginInstance(Place.plugin("dr-grpo"), settings: ["variant=paper"])) }
    try expectParting("derivatives", update: 2) { try run($0, grpo("clip_high=0.00001", "clip_low=0.00001")) }
    try expectParting("gradients", update: 1) { try run($0, grpo(), rate: 2e-3) }
    // The step's second update is not made.
    try expectParting("scores", update: 2) { try run($0, grpo()) { $0.innerEpochs = 1 } }
  }

  @Test func threadsAndMicroBatchesAreInNoDigest() throws {
    let folder = try TrialFolder()
    // With a critic, and a group to each micro-batch.
    try run(folder.file("one"), try PluginInstance(Place.plugin("ppo")))
    try run(folder.file("other"), try PluginInstance(Place.plugin("ppo")), rows: 80, threads: 1)
    let comparison = try RunComparison(folder.file("one"), folder.file("other"))
    // The loss is a sum of micro-batches' shares, and may round otherwise; nothing that is computed may.
    #expect(comparison.parting == nil || comparison.parting?.1.stage == "numbers", "\(comparison.meaning)")
    let runs = try ["one", "other"].map { try ProvenRun(folder.file($0)) }
    #expect(runs[0].findings == [] && runs[1].findings == [])
    for stage in ["weights", "state"] { #expect(runs[0].log[3]?.digests[stage] == runs[1].log[3]?.digests[stage], "\(stage)") }
  }
}
