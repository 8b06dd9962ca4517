import Support
import TestSupport
import Testing
import Training

@Suite struct CheckpointTests {
  @Test func aWriteThatFailsHalfWayLeavesTheEarlierCheckpointsAndNothingElse() throws {
    let folder = try TrialFolder()
    let store = CheckpointStore(run: folder.path)
    try store.write(step: 3) { path throws(Failure) in try AtomicFile.write("three", to: path + "/state") }
    let failure = failure { () throws(Failure) in
      try store.write(step: 5) { path throws(Failure) in
        try AtomicFile.write("half", to: path + "/state")
        throw .inputOutput("no space")
      }
    }
    #expect(failure == .inputOutput("no space"))
    #expect(try store.newest() == 3)
    #expect(try Files.list(folder.file("checkpoints")) == ["step-3"])
    #expect(try Files.readText(store.path(step: 3) + "/state") == "three")
  }

  @Test func whatAKilledProcessLeftIsNoCheckpointAndGoesWithTheNextWrite() throws {
    let folder = try TrialFolder()
    let store = CheckpointStore(run: folder.path)
    try Files.makeDirectory(folder.file("checkpoints/.writing-4-123"))
    try AtomicFile.write("half", to: folder.file("checkpoints/.writing-4-123/state"))
    #expect(try store.newest() == nil)
    try store.write(step: 6) { path throws(Failure) in try AtomicFile.write("six", to: path + "/state") }
    #expect(try Files.list(folder.file("checkpoints")) == ["step-6"])
  }

  @Test func theNewestTwoStayInTheOrderOfNumbersNotOfNames() throws {
    let folder = try TrialFolder()
    let store = CheckpointStore(run: folder.path)
    for step in [8, 9, 10, 100] {
      try store.write(step: step) { path throws(Failure) in try AtomicFile.write("\(step)", to: path + "/state") }
    }
    #expect(try store.steps() == [10, 100])
    try store.write(step: 100) { path throws(Failure) in try AtomicFile.write("again", to: path + "/state") }
    #expect(try Files.readText(store.path(step: 100) + "/state") == "again")
  }

  @Test func aRunIsContinuedOnlyWithTheSettingsItBeganWith() throws {
    let folder = try TrialFolder()
    let run = RunFolder(folder.file("run"))
    func record(_ identity: JSON.Object) -> RunRecord { RunRecord(stage: "sft", identity: identity, description: [:]) }
    func refusal(_ identity: JSON.Object, resuming: Bool = true, mayDiffer: Set<String> = []) -> Failure? {
      failure { () throws(Failure) in
        var record = record(identity)
        record.mayDiffer = mayDiffer
        try run.check(record, resuming: resuming)
        try run.open(record, resuming: resuming)
      }
    }
    #expect(refusal([:])?.code == .missingInput)
    try run.check(record([:]), resuming: false)
    #expect(!Files.exists(run.path), "a check makes nothing")
    #expect(refusal(["lr": 0.1], resuming: false) == nil)
    #expect(refusal([:], resuming: false)?.code == .usage)
    #expect(refusal(["lr": 0.1]) == nil)
    let (other, fewer) = (refusal(["lr": 0.2]), refusal([:]))
    #expect(fewer?.message.contains("\"lr\" was 0.1, now it is nothing") == true)
    #expect(other?.code == .badData)
    #expect(other?.message.contains("\"lr\" was 0.1, now it is 0.2") == true)
    // What may differ is written down, and is then what the run is held to.
    #expect(refusal(["lr": 0.2], mayDiffer: ["lr"]) == nil)
    #expect(refusal(["lr": 0.2]) == nil)
    #expect(refusal(["lr": 0.1])?.message.contains("\"lr\" was 0.2, now it is 0.1") == true)
    let changes = try #require(try JSON.read(run.path + "/run.json")["changes"]?.array)
    #expect(changes == [["after_step": 0, "name": "lr", "was": 0.1, "now": 0.2]])
  }

  @Test func heldOutDataMayComeAndGoButNotBecomeOthers() throws {
    let folder = try TrialFolder()
    let run = RunFolder(folder.file("run"))
    func open(_ heldOut: JSON.Object, resuming: Bool = true) -> Failure? {
      failure { () throws(Failure) in
        var record = RunRecord(stage: "rl", identity: [:], description: [:])
        record.heldOut = heldOut
        try run.open(record, resuming: resuming)
      }
    }
    #expect(open([:], resuming: false) == nil)
    #expect(open(["sha": "a", "count": 3]) == nil)
    #expect(open([:]) == nil)
    #expect(open(["sha": "b", "count": 3])?.message.contains("\"sha\" was \"a\", now it is \"b\"") == true)
    #expect(open(["sha": "a", "count": 2])?.message.contains("\"count\" was 3, now it is 2") == true)
    #expect(open(["sha": "a", "count": 3]) == nil)
  }
}
