import Compute
import Support
import Telemetry
import TestSupport
import Testing
import Training
import Transformer

@Suite struct SFTRunTests {
  private func run(
    _ folder: String, full: Bool = false, quantises: Bool = false, resumes: Bool = false, stopAfter: Int? = nil, every: Int = 3, steps: Int = 9,
    observer: TrialObserver = TrialObserver(), afterStep: @escaping (SFTTrainer) throws(Failure) -> Metrics = { _ in [:] },
    shape: LearningRateSchedule.Shape = .cosine, on backend: (any Backend)? = nil
  ) throws -> RunOutcome {
    let (model, adapter) = try loadModel(full: full, adapter: full ? nil : "initial", quantises: quantises, on: backend)
    var settings = PolicySettings()
    settings.learningRate = 1e-3
    settings.schedule = LearningRateSchedule(shape: shape, warmupSteps: 2, totalSteps: steps)
    var keeping = RunKeeping()
    keeping.checkpointEvery = every
    keeping.resumes = resumes
    keeping.stopAfter = stopAfter
    let trained = try RunModel(model, adapter: adapter, from: try ModelFolder(Place.model), settings, baseName: "tied")
    var run = SFTRun(
      trained, SFTBatches(try goldenSequences(), batchSize: 4, shuffles: true, seed: 5), steps: steps,
      placement: RunPlacement(
        RunFolder(folder), RunRecord(stage: "sft", identity: ["seed": 5], description: [:]), keeping))
    run.afterStep = afterStep
    return try run.run(observer)
  }

  private func results(full: Bool) -> [String] {
    (full ? ["model/model.safetensors", "model/config.json"] : ["adapter/adapter_model.safetensors", "adapter/adapter_config.json"])
      + ["checkpoints/step-9/state.safetensors", "checkpoints/step-9/state.json"]
  }

  @Test(arguments: [(1, false), (4, false), (8, false), (5, true)])
  func aRunThatIsStoppedAndResumedIsTheUninterruptedRunByteForByte(_ step: Int, _ full: Bool) throws {
    let folder = try TrialFolder()
    #expect(try run(folder.file("whole"), full: full) == .finished)
    #expect(try run(folder.file("parts"), full: full, stopAfter: step) == .interrupted(step: step))
    #expect(!Files.exists(folder.file("parts/adapter")) && !Files.exists(folder.file("parts/model")))
    #expect(try run(folder.file("parts"), full: full, resumes: true) == .finished)
    try expectSameResult(folder.file("whole"), folder.file("parts"), files: results(full: full))
  }

  @Test(
    .enabled(if: CPUBackend.fuses, "these kernels of the CPU do not fuse multiplications and additions"),
    arguments: [(false, false), (false, true), (true, false)])
  func aRunOnAnEmulatedGPUThatIsResumedIsTheCPUsByteForByte(_ full: Bool, _ quantises: Bool) throws {
    let folder = try TrialFolder()
    #expect(try run(folder.file("cpu"), full: full, quantises: quantises) == .finished)
    #expect(try run(folder.file("gpu"), full: full, quantises: quantises, stopAfter: 5, on: CUDABackend(Emulator.device())) == .interrupted(step: 5))
    #expect(try run(folder.file("gpu"), full: full, quantises: quantises, resumes: true, on: CUDABackend(Emulator.device())) == .finished)
    try expectSameResult(folder.file("cpu"), folder.file("gpu"), files: results(full: full))
  }

  @Test(arguments: [1, 5]) func soIsARunOnAQuantisedModel(_ step: Int) throws {
    let folder = try TrialFolder()
    #expect(try run(folder.file("whole"), quantises: true) == .finished)
    #expect(try run(folder.file("parts"), quantises: true, stopAfter: step) == .interrupted(step: step))
    #expect(try run(folder.file("parts"), quantises: true, resumes: true) == .finished)
    try expectSameResult(folder.file("whole"), folder.file("parts"), files: results(full: false))
    // It is another run than that of the weights as they are.
    #expect(try run(folder.file("dense")) == .finished)
    let name = "adapter/adapter_model.safetensors"
    #expect(try Files.read(folder.file("dense/\(name)")) != Files.read(folder.file("whole/\(name)")))
  }

  @Test func stepsBehindTheNewestCheckpointAreTakenAgain() throws {
    let folder = try TrialFolder()
    _ = try run(folder.file("whole"))
    // A killed run: its log is ahead of its checkpoint, and ends in half a line.
    _ = try run(folder.file("killed"), stopAfter: 7, every: 3)
    try Files.removeTree(folder.file("killed/checkpoints/step-7"))
    let log = try Files.readText(folder.file("killed/metrics.jsonl"))
    #expect(log.split(separator: "\n").count == 7)
    try AtomicFile.write(log + "{\"stage\": \"sft\", \"step\"", to: folder.file("killed/metrics.jsonl"))
    #expect(try run(folder.file("killed"), resumes: true) == .finished)
    try expectSameResult(folder.file("whole"), folder.file("killed"), files: results(full: false))
  }

  @Test func aRunKilledBeforeItsFirstCheckpointBeginsAgain() throws {
    let folder = try TrialFolder()
    _ = try run(folder.file("whole"))
    _ = try run(folder.file("killed"), stopAfter: 2)
    try Files.removeTree(folder.file("killed/checkpoints"))
    #expect(try run(folder.file("killed"), resumes: true) == .finished)
    try expectSameResult(folder.file("whole"), folder.file("killed"), files: results(full: false))
  }

  @Test func aRequestToStopFinishesTheStepAndWritesACheckpoint() throws {
    let folder = try TrialFolder()
    let observer = TrialObserver(stopsAfter: 4)
    #expect(try run(folder.file("run"), every: 100, observer: observer) == .interrupted(step: 4))
    #expect(observer.steps.map(\.step) == [1, 2, 3, 4])
    #expect(try CheckpointStore(run: folder.file("run")).steps() == [4])
  }

  @Test func aFinishedRunThatIsResumedStaysAsItIs() throws {
    let folder = try TrialFolder()
    _ = try run(folder.file("run"))
    let before = try results(full: false).map { try Files.read(folder.file("run/\($0)")) }
    let observer = TrialObserver()
    #expect(try run(folder.file("run"), resumes: true, observer: observer) == .finished)
    #expect(observer.steps.isEmpty)
    #expect(try results(full: false).map { try Files.read(folder.file("run/\($0)")) } == before)
  }

  @Test func aDamagedCheckpointIsOneErrorThatNamesIt() throws {
    let folder = try TrialFolder()
    _ = try run(folder.file("run"), stopAfter: 4, every: 100)
    let state = folder.file("run/checkpoints/step-4/state.safetensors")
    let bytes = try Files.read(state)
    for damaged in [Array(bytes.prefix(bytes.count / 2)), [], Array(repeating: 0x7B, count: 100)] {
      try AtomicFile.write(damaged, to: state)
      let error = #expect(throws: Failure.self) { try run(folder.file("run"), resumes: true) }
      #expect(error?.code == .badData && error?.message.contains(state) == true)
    }
    try AtomicFile.write(bytes, to: state)
    try AtomicFile.write("{}", to: folder.file("run/checkpoints/step-4/state.json"))
    let error = #expect(throws: Failure.self) { try run(folder.file("run"), resumes: true) }
    #expect(error?.code == .badData && error?.message.contains("state.json") == true)
  }

  /// An error after the update, a held-out loss that fails: the step is undone, its checkpoint's predecessor written.
  @Test(arguments: [(2, false), (9, false), (5, true)]) func anErrorAfterTheUpdateUndoesTheStep(_ step: Int, _ full: Bool) throws {
    let folder = try TrialFolder()
    let heldOut = try Array(goldenSequences().prefix(3))
    func measured(_ trainer: SFTTrainer) throws(Failure) -> Metrics { ["held_out_loss": try trainer.loss(of: heldOut)] }
    _ = try run(folder.file("whole"), full: full, every: 100, afterStep: measured)
    let error = #expect(throws: Failure.self) {
      try run(folder.file("parts"), full: full, every: 100) { trainer throws(Failure) in
        if trainer.step == step { throw .internalError("no more memory") }
        return try measured(trainer)
      }
    }
    #expect(error?.message.contains("in step \(step); the checkpoint of step \(step - 1) is whole") == true)
    #expect(try run(folder.file("parts"), full: full, resumes: true, every: 100, afterStep: measured) == .finished)
    try expectSameResult(folder.file("whole"), folder.file("parts"), files: results(full: full))
    // What is measured changes nothing.
    _ = try run(folder.file("plain"), full: full, every: 100)
    for name in results(full: full) { #expect(try Files.read(folder.file("plain/\(name)")) == Files.read(folder.file("whole/\(name)"))) }
  }

  /// Batches without a token to learn make no update; the horizon of a schedule counts the others, in their shuffled order.
  @Test(arguments: [(0, 3, true), (4, 2, true), (4, 2, false), (9, 3, true), (9, 1, true), (12, 4, false)])
  func theHorizonIsTheNumberOfUpdates(_ empty: Int, _ batchSize: Int, _ shuffles: Bool) throws {
    let sequences = (0..<13).map { TrainingSequence(tokens: $0 < empty ? [1] : [1, 2, 3]) }
    var batches = SFTBatches(sequences, batchSize: batchSize, shuffles: shuffles, seed: 3)
    let steps = 4 * batches.stepsPerEpoch - 1
    let (model, adapter) = try loadModel(adapter: "initial")
    let settings = PolicySettings()
    let policy = try Policy(model, adapter: adapter, settings)
    let trainer = SFTTrainer(policy, batches)
    for _ in 0..<steps { _ = try trainer.trainStep() }
    #expect(batches.updates(ofSteps: steps) == policy.updates)
    #expect(policy.updates <= steps && (empty == 0) == (policy.updates == steps))
  }

  @Test func theLossOfSequencesIsThatOfALearningStepAndDoesNotDependOnTheSplit() throws {
    let sequences = try Array(goldenSequences().prefix(5))
    var losses: [Double] = []
    for rows in [1, 40, 100_000] {
      let (model, adapter) = try loadModel(adapter: "initial")
      var settings = PolicySettings()
      settings.microBatchRows = rows
      let trainer = SFTTrainer(try Policy(model, adapter: adapter, settings), SFTBatches(sequences, batchSize: 5, shuffles: false, seed: 1))
      losses.append(try trainer.loss(of: sequences))
      let learned = try trainer.trainStep().loss
      #expect(abs(learned - losses[0]) < 1e-9 * learned)
    }
    #expect(Set(losses).count == 1)
  }
}
