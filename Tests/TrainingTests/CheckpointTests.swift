import Foundations
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
    #expect(failure { () throws(Failure) in try run.open([:], identity: [:], resuming: true) }?.code == .missingInput)
    try run.open([:], identity: ["lr": 0.1, "stage": "sft"], resuming: false)
    #expect(failure { () throws(Failure) in try run.open([:], identity: [:], resuming: false) }?.code == .usage)
    try run.open([:], identity: ["lr": 0.1, "stage": "sft"], resuming: true)
    let other = failure { () throws(Failure) in try run.open([:], identity: ["lr": 0.2, "stage": "sft"], resuming: true) }
    let fewer = failure { () throws(Failure) in try run.open([:], identity: ["stage": "sft"], resuming: true) }
    #expect(fewer?.message.contains("\"lr\" was 0.1, now it is nothing") == true)
    #expect(other?.code == .badData)
    #expect(other?.message.contains("\"lr\" was 0.1, now it is 0.2") == true)
  }
}
