import Support
import TestSupport
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
  @Test(.enabled(if: Files.exists("/dev/full"), "needs /dev/full")) func aFullDiskIsAnErrorThatNamesTheFile() {
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

  private func isLink(_ path: String) -> Bool { Files.isLink(path) }

  @Test func aLinkStaysAndWhatItPointsToIsReplaced() throws {
    let folder = try TrialFolder()
    try Files.makeDirectory(folder.file("there"))
    try AtomicFile.write("old", to: folder.file("there/file"))
    unsafe _ = symlink("there/file", folder.file("link"))
    unsafe _ = symlink(folder.file("link"), folder.file("second"))
    try AtomicFile.write("new", to: folder.file("second"))
    #expect(isLink(folder.file("link")) && isLink(folder.file("second")))
    #expect(try Files.readText(folder.file("there/file")) == "new")
    #expect(try Files.list(folder.file("there")) == ["file"], "no temporary file stays")
  }

  @Test func aLinkThatPointsAtNothingYetMakesItsTarget() throws {
    let folder = try TrialFolder()
    try Files.makeDirectory(folder.file("there"))
    unsafe _ = symlink("there/file", folder.file("link"))
    try AtomicFile.write("new", to: folder.file("link"))
    #expect(isLink(folder.file("link")))
    #expect(try Files.readText(folder.file("there/file")) == "new")
    unsafe _ = symlink("b", folder.file("a"))
    unsafe _ = symlink("a", folder.file("b"))
    #expect(failure { () throws(Failure) in try AtomicFile.write("x", to: folder.file("a")) }?.code == .inputOutput)
    #expect(isLink(folder.file("a")) && isLink(folder.file("b")))
  }

  @Test func aPipeIsWrittenAsItIs() throws {
    let folder = try TrialFolder()
    #expect(unsafe mkfifo(folder.file("pipe"), 0o600) == 0)
    // Open for both, so that neither end waits for the other.
    let reader = unsafe open(folder.file("pipe"), O_RDWR)
    try AtomicFile.write("through", to: folder.file("pipe"))
    var bytes = [UInt8](repeating: 0, count: 32)
    #expect(unsafe read(reader, &bytes, 32) == 7)
    #expect(Array(bytes.prefix(7)) == Array("through".utf8))
    close(reader)
    #expect(try Files.list(folder.path) == ["pipe"])
  }

  /// Makes a device of its own, as /dev/null is one; whether it could be made and opened.
  private static func makeDevice(_ path: String) -> Bool {
    guard unsafe mknod(path, S_IFCHR | 0o666, dev_t(0x103)) == 0 else { return false }
    let probe = unsafe open(path, O_WRONLY)
    if probe >= 0 { close(probe) }
    return probe >= 0
  }

  private static let makesDevices = (try? TrialFolder()).map { makeDevice($0.file("null")) } ?? false

  /// The machine's /dev/null stays out of it.
  @Test(.enabled(if: makesDevices, "needs to make a device: run by root, outside of most containers"))
  func aDeviceIsWrittenAsItIs() throws {
    let folder = try TrialFolder()
    let path = folder.file("null")
    try #require(Self.makeDevice(path))
    try AtomicFile.write("away", to: path)
    unsafe _ = symlink("null", folder.file("link"))
    try AtomicFile.write("away", to: folder.file("link"))
    var status = stat()
    #expect(unsafe lstat(path, &status) == 0 && (status.st_mode & S_IFMT) == S_IFCHR)
    #expect(isLink(folder.file("link")))
    #expect(try Files.list(folder.path) == ["link", "null"])
  }

  @Test func whoMayReadAFileStaysAsItWas() throws {
    let folder = try TrialFolder()
    try AtomicFile.write("old", to: folder.file("a"))
    unsafe _ = chmod(folder.file("a"), 0o640)
    try AtomicFile.write("new", to: folder.file("a"))
    var status = stat()
    #expect(unsafe stat(folder.file("a"), &status) == 0 && status.st_mode & 0o7777 == 0o640)
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
