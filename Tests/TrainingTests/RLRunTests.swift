import PluginHost
import Rollouts
import Support
import Synchronization
import Tasks
import Telemetry
import TestSupport
import Testing
import Training
import Transformer

@Suite struct RLRunTests {
  /// Makes an algorithm afresh for each run, as a process does.
  private typealias Algorithm = () throws -> any LossAlgorithm

  private func grpo(_ parameters: String...) -> Algorithm { { try PluginInstance(try Place.plugin("grpo"), settings: parameters) } }

  private func run(
    _ folder: String, _ algorithm: Algorithm, resumes: Bool = false, stopAfter: Int? = nil,
    full: Bool = false, quantises: Bool = false, every: Int = 2, copyBudget: Int? = nil, observer: TrialObserver = TrialObserver(),
    task: RLTask = RLTests.makeTask(), maxNewTokens: Int = 10, afterStep: @escaping (Int) throws(Failure) -> Metrics = { _ in [:] }
  ) throws -> RunOutcome {
    let (model, adapter) = try loadModel(full: full, adapter: full ? nil : "initial", quantises: quantises)
    var policy = PolicySettings()
    policy.learningRate = 1e-3
    policy.copyBudget = copyBudget
    var settings = RLSettings()
    settings.groupSize = 3
    settings.maxNewTokens = maxNewTokens
    settings.steps = 5
    var keeping = RunKeeping()
    keeping.checkpointEvery = every
    keeping.resumes = resumes
    keeping.stopAfter = stopAfter
    let algorithm = try algorithm()
    let trained = try RunModel(model, adapter: adapter, from: try ModelFolder(Place.model), policy, baseName: "tied")
    var run = RLRun(
      trained, task: task, algorithm: algorithm,
      reference: algorithm.needs.contains(.reference) && !full ? try trained.reference() : nil, settings: settings,
      placement: RunPlacement(RunFolder(folder), RunRecord(stage: "rl", identity: [:], description: [:]), keeping))
    run.afterStep = afterStep
    return try run.run(observer)
  }

  private func expectResumed(_ algorithm: Algorithm, full: Bool = false, quantises: Bool = false, at step: Int) throws {
    let folder = try TrialFolder()
    let (whole, parts) = (folder.file("whole"), folder.file("parts"))
    #expect(try run(whole, algorithm, full: full, quantises: quantises) == .finished)
    #expect(try run(parts, algorithm, stopAfter: step, full: full, quantises: quantises) == .interrupted(step: step))
    #expect(try run(parts, algorithm, resumes: true, full: full, quantises: quantises) == .finished)
    let result = full ? "model/model.safetensors" : "adapter/adapter_model.safetensors"
    try expectSameResult(
      whole, parts,
      files: [result, "samples.jsonl", "checkpoints/step-5/state.safetensors", "checkpoints/step-5/state.json"])
  }

  @Test(arguments: [1, 2, 4]) func aRunThatIsResumedIsTheUninterruptedOneByteForByte(_ step: Int) throws {
    try expectResumed(grpo(), at: step)
  }

  /// A request that comes while completions are drawn ends the run there and then: the step is as if it had not begun.
  @Test(arguments: [3, 14, 25], [false, true]) func aRunThatIsStoppedWhileItDrawsGoesOnToTheSameBytes(_ look: Int, _ full: Bool) throws {
    let folder = try TrialFolder()
    let (whole, parts) = (folder.file("whole"), folder.file("parts"))
    #expect(try run(whole, grpo(), full: full) == .finished)
    let observer = TrialObserver(stopsAtLook: look)
    #expect(try run(parts, grpo(), full: full, observer: observer) == .interrupted(step: observer.steps.count))
    #expect(observer.looks == look && observer.steps.count < 5)
    #expect(try run(parts, grpo(), resumes: true, full: full) == .finished)
    let result = full ? "model/model.safetensors" : "adapter/adapter_model.safetensors"
    try expectSameResult(whole, parts, files: [result, "samples.jsonl", "checkpoints/step-5/state.safetensors"])
  }

  /// Completions are judged while others are still being drawn.
  @Test func judgingOverlapsDrawing() throws {
    let folder = try TrialFolder()
    let judged = Mutex(0)
    let task = RLTests.makeTask { attempt in
      judged.withLock { $0 += 1 }
      return attempt.tokens.reduce(0, +) % 2 == 0
    }
    let observer = TrialObserver()
    var overlapped = false
    observer.onLook = { progress in
      guard progress.finished > 0, progress.finished < progress.total, !overlapped else { return }
      let watch = Stopwatch()
      while judged.withLock({ $0 }) == 0, watch.seconds < 10 { usleep(1000) }
      overlapped = judged.withLock { $0 } > 0
    }
    #expect(try run(folder.file("run"), grpo(), observer: observer, task: task, maxNewTokens: 120) == .finished)
    #expect(overlapped)
  }

  @Test func soIsAWholeModelsRun() throws { try expectResumed(grpo(), full: true, at: 3) }

  /// With a reference: the quantised model is read by two policies.
  @Test func soIsARunOnAQuantisedModel() throws { try expectResumed(grpo("beta=0.1"), quantises: true, at: 2) }

  @Test func theReferenceOfAResumedRunIsThePolicyTheRunBeganWith() throws {
    try expectResumed(grpo("beta=0.1"), at: 3)
  }

  @Test func theCriticAndThePluginsStateAreResumedToo() throws {
    let algorithm: Algorithm = { TrialAlgorithm(needs: [.critic, .refill], drop: .equal) }
    try expectResumed(algorithm, at: 3)
  }

  @Test func aCheckpointOfAnotherPluginIsRefusedByName() throws {
    let folder = try TrialFolder()
    let algorithm: Algorithm = { TrialAlgorithm() }
    _ = try run(folder.file("run"), algorithm, stopAfter: 2)
    let error = #expect(throws: Failure.self) {
      try run(folder.file("run"), grpo(), resumes: true)
    }
    #expect(error?.code == .badData)
    #expect(error?.message.contains("plugin trial, now it is grpo") == true)
  }

  @Test func everyCompletionIsASampleWithItsVerdict() throws {
    let folder = try TrialFolder()
    _ = try run(folder.file("run"), grpo())
    let lines = try Files.readText(folder.file("run/samples.jsonl")).split(separator: "\n")
    #expect(lines.count == 5 * 2 * 3)
    for line in lines {
      let sample = try JSON.parse(String(line), name: "samples.jsonl")
      #expect(sample["reward"]?.double == (sample["correct"]?.bool == true ? 1 : 0))
      #expect(sample["question"]?.string == "question \(sample["example"]?.int ?? -1)")
      #expect(sample["length"]?.int ?? 0 > 0)
    }
  }

  // MARK: Errors

  private static let results = [
    "adapter/adapter_model.safetensors", "samples.jsonl", "checkpoints/step-5/state.safetensors", "checkpoints/step-5/state.json",
  ]

  /// In a later pass the weights have moved within the step already; in the first one only gradients and the plugin's state have.
  @Test(arguments: [(1, 0), (1, 1), (3, 1), (4, 1)], [false, true])
  func aPluginThatFailsInAStepLosesNothingBefore(_ place: (step: Int, epoch: Int), _ full: Bool) throws {
    let folder = try TrialFolder()
    let algorithm: Algorithm = { TrialAlgorithm(needs: .critic) }
    let failing: Algorithm = { TrialAlgorithm(needs: .critic, fails: place) }
    _ = try run(folder.file("whole"), algorithm, full: full, every: 100)
    let error = #expect(throws: Failure.self) { try run(folder.file("parts"), failing, full: full, every: 100) }
    #expect(error?.message.contains("in step \(place.step + 1); the checkpoint of step \(place.step) is whole") == true, "\(error?.message ?? "")")
    #expect(try CheckpointStore(run: folder.file("parts")).steps() == [place.step])
    #expect(try run(folder.file("parts"), algorithm, resumes: true, full: full, every: 100) == .finished)
    let results = Self.results.filter { !(full && $0.hasPrefix("adapter")) }
    try expectSameResult(folder.file("whole"), folder.file("parts"), files: results + (full ? ["model/model.safetensors"] : []))
  }

  @Test func anErrorInTheFirstStepLeavesNoCheckpoint() throws {
    let folder = try TrialFolder()
    let failing: Algorithm = { TrialAlgorithm(fails: (0, 1)) }
    let error = #expect(throws: Failure.self) { try run(folder.file("run"), failing) }
    #expect(error?.message.contains("checkpoint") == false)
    #expect(try CheckpointStore(run: folder.file("run")).steps() == [])
    #expect(try run(folder.file("run"), { TrialAlgorithm() }, resumes: true) == .finished)
  }

  /// Where a whole model leaves no room for a copy, an error behind the first update goes back to the newest checkpoint, never to
  /// half a step.
  @Test(arguments: [(0, 3), (1, 2)])
  func withoutRoomForACopyTheNewestCheckpointStands(_ epoch: Int, _ kept: Int) throws {
    let folder = try TrialFolder()
    let algorithm: Algorithm = { TrialAlgorithm() }
    let failing: Algorithm = { TrialAlgorithm(fails: (3, epoch)) }
    _ = try run(folder.file("whole"), algorithm, full: true)
    let error = #expect(throws: Failure.self) { try run(folder.file("parts"), failing, full: true, copyBudget: 0) }
    #expect(error?.message.contains("in step 4; the checkpoint of step \(kept) is whole") == true, "\(error?.message ?? "")")
    #expect(try run(folder.file("parts"), algorithm, resumes: true, full: true, copyBudget: 0) == .finished)
    try expectSameResult(
      folder.file("whole"), folder.file("parts"), files: ["model/model.safetensors", "samples.jsonl", "checkpoints/step-5/state.safetensors"])
  }

  /// Neither the step's line nor a checkpoint can be written: the error says both, once.
  @Test func aCheckpointThatCannotBeWrittenIsSaidToo() throws {
    let folder = try TrialFolder()
    let error = #expect(throws: Failure.self) {
      try run(folder.file("run"), grpo(), every: 100) { at throws(Failure) in
        guard at == 3 else { return [:] }
        try AtomicFile.write("in the way", to: folder.file("run/checkpoints"))
        throw .internalError("no more memory")
      }
    }
    #expect(error?.message.hasPrefix("no more memory (in step 3; a newer checkpoint could not be written: ") == true, "\(error?.message ?? "")")
    #expect(error?.message.contains("checkpoints: is in the way") == true && error?.message.hasSuffix("no checkpoint had been written)") == true)
  }

  /// What is measured after the update belongs to the step: where it fails, the step is taken again.
  @Test(arguments: [2, 5]) func anErrorAfterTheUpdateUndoesTheStep(_ step: Int) throws {
    let folder = try TrialFolder()
    let algorithm = grpo()
    let measured: (Int) throws(Failure) -> Metrics = { ["held_out_accuracy": Double($0)] }
    _ = try run(folder.file("whole"), algorithm, every: 100, afterStep: measured)
    let error = #expect(throws: Failure.self) {
      try run(folder.file("parts"), algorithm, every: 100) { at throws(Failure) in
        if at == step { throw .internalError("no more memory") }
        return try measured(at)
      }
    }
    #expect(error?.message.contains("no more memory (in step \(step); the checkpoint of step \(step - 1) is whole") == true)
    #expect(try CheckpointStore(run: folder.file("parts")).steps() == [step - 1])
    #expect(try run(folder.file("parts"), algorithm, resumes: true, every: 100, afterStep: measured) == .finished)
    try expectSameResult(folder.file("whole"), folder.file("parts"), files: Self.results)
  }

  /// The log cannot be written any more, or the samples behind it: their descriptor is one that reads only.
  @Test(arguments: ["metrics.jsonl", "samples.jsonl"]) func aLineThatCannotBeWrittenUndoesTheStep(_ log: String) throws {
    let folder = try TrialFolder()
    let algorithm = grpo()
    _ = try run(folder.file("whole"), algorithm, every: 100)
    let path = folder.file("parts/\(log)")
    let error = #expect(throws: Failure.self) {
      try run(folder.file("parts"), algorithm, every: 100) { at in
        if at == 4 {
          for entry in try! Files.list("/proc/self/fd") where Files.resolved("/proc/self/fd/\(entry)") == Files.resolved(path) {
            let reading = unsafe open(path, O_RDONLY)
            dup2(reading, Int32(entry)!)
            close(reading)
          }
        }
        return [:]
      }
    }
    #expect(error?.message.contains(log) == true && error?.message.contains("the checkpoint of step 3 is whole") == true, "\(error?.message ?? "")")
    #expect(try run(folder.file("parts"), algorithm, resumes: true, every: 100) == .finished)
    try expectSameResult(folder.file("whole"), folder.file("parts"), files: Self.results)
  }

  /// A result that cannot be written: the last step's checkpoint is there.
  @Test func anErrorAfterTheLastStepLeavesItsCheckpoint() throws {
    let folder = try TrialFolder()
    let algorithm = grpo()
    _ = try run(folder.file("whole"), algorithm, every: 100)
    try Files.makeDirectory(folder.file("parts"))
    try AtomicFile.write("in the way", to: folder.file("parts/adapter"))
    let error = #expect(throws: Failure.self) { try run(folder.file("parts"), algorithm, every: 100) }
    #expect(error?.message.contains("the checkpoint of step 5 is whole") == true, "\(error?.message ?? "")")
    Files.remove(folder.file("parts/adapter"))
    #expect(try run(folder.file("parts"), algorithm, resumes: true, every: 100) == .finished)
    try expectSameResult(folder.file("whole"), folder.file("parts"), files: Self.results)
  }
}
