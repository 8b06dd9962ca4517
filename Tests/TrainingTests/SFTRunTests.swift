import Foundations
import Testing
import Training
import Transformer

@Suite struct SFTRunTests {
  private func run(
    _ folder: String, full: Bool = false, resumes: Bool = false, stopAfter: Int? = nil, every: Int = 3, steps: Int = 9,
    observer: TrialObserver = TrialObserver(), shape: LearningRateSchedule.Shape = .cosine
  ) throws -> RunOutcome {
    let (model, adapter) = try loadModel(full: full, adapter: full ? nil : "initial")
    var settings = PolicySettings()
    settings.adapter = adapter
    settings.learningRate = 1e-3
    settings.schedule = LearningRateSchedule(shape: shape, warmupSteps: 2, totalSteps: steps)
    var keeping = RunKeeping()
    keeping.checkpointEvery = every
    keeping.resumes = resumes
    keeping.stopAfter = stopAfter
    return try SFTRun(
      model: model, source: ModelFolder(Place.model), sequences: goldenSequences(), policy: settings, batchSize: 4,
      steps: steps, shuffles: true, seed: 5, folder: RunFolder(folder),
      record: RunRecord(stage: "sft", identity: ["seed": 5], description: [:]), keeping: keeping, baseName: "tied"
    ).run(observer)
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
    _ = try run(folder.file("run"), stopAfter: 4)
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
}
