import Foundations
import Testing

@Suite struct AtomicFileTests {
  @Test func aWrittenFileIsThereWholeAndAlone() throws {
    let folder = try TrialFolder()
    try AtomicFile.write("first", to: folder.file("a"))
    try AtomicFile.write("second", to: folder.file("a"))
    #expect(try Files.readText(folder.file("a")) == "second")
    #expect(try Files.list(folder.path) == ["a"])
  }

  @Test func aFileThatIsNotCommittedLeavesTheOldOneAndNothingElse() throws {
    let folder = try TrialFolder()
    try AtomicFile.write("old", to: folder.file("a"))
    do {
      let file = try AtomicFile(folder.file("a"))
      try file.write(Array("half of the ne".utf8))
    }
    #expect(try Files.readText(folder.file("a")) == "old")
    #expect(try Files.list(folder.path) == ["a"])
  }

  /// `/dev/full` takes no byte: the error of a full disk without one.
  @Test(.enabled(if: Files.exists("/dev/full"))) func aFullDiskIsAnErrorThatNamesTheFile() {
    let descriptor = unsafe open("/dev/full", O_WRONLY)
    defer { close(descriptor) }
    let failure = failure { () throws(Failure) in
      try AtomicFile.write([1, 2, 3], descriptor: descriptor, name: "checkpoint")
    }
    #expect(failure?.code == .inputOutput)
    #expect(failure?.message == "checkpoint: cannot write: No space left on device")
  }

  @Test func aDirectoryThatIsMissingOrInTheWayIsAnError() throws {
    let folder = try TrialFolder()
    #expect(failure { () throws(Failure) in try AtomicFile.write("x", to: folder.file("no/such/file")) }?.code == .inputOutput)
    try Files.makeDirectory(folder.file("taken/inside"))
    #expect(failure { () throws(Failure) in try AtomicFile.write("x", to: folder.file("taken")) }?.code == .inputOutput)
    #expect(try Files.list(folder.path) == ["taken"], "no temporary file stays")
    try AtomicFile.write("x", to: folder.file("file"))
    #expect(failure { () throws(Failure) in try Files.makeDirectory(folder.file("file")) }?.code == .inputOutput)
    #expect(failure { () throws(Failure) in try Files.makeDirectory(folder.file("file/below")) }?.code == .inputOutput)
  }

  @Test func aTreeIsRemovedButNotWhatALinkInItPointsTo() throws {
    let folder = try TrialFolder()
    try Files.makeDirectory(folder.file("kept"))
    try AtomicFile.write("x", to: folder.file("kept/file"))
    try Files.makeDirectory(folder.file("tree/a/b"))
    unsafe _ = symlink(folder.file("kept"), folder.file("tree/link"))
    try Files.removeTree(folder.file("tree"))
    try Files.removeTree(folder.file("tree"))
    #expect(try Files.list(folder.path) == ["kept"])
    #expect(Files.exists(folder.file("kept/file")))
  }
}
