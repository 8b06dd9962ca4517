import Support
import TestSupport
import Testing

@Suite struct DigestCacheTests {
  /// A file whose last change is long enough ago to be remembered.
  private func settle() { usleep(3_100_000) }

  @Test func aFileIsReadOnceAndAgainWhenItChanged() throws {
    let folder = try TrialFolder()
    let (file, notes) = (folder.file("weights"), folder.file("cache"))
    try AtomicFile.write("abc", to: file)
    let cache = DigestCache(folder: notes, smallest: 0)
    var reads = 0
    func digest() throws(Failure) -> String { try cache.hex(file: file) { _, _ in reads += 1 } }
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    // What was written this moment may be written again in the same tick of the clock.
    #expect(try digest() == abc && reads == 1)
    #expect(!Files.exists(notes))
    settle()
    for _ in 0..<3 { #expect(try digest() == abc) }
    #expect(reads == 2, "read once more, then remembered")
    // As many bytes, and the time of writing set back: only what the inode says tells them apart.
    var times = stat()
    #expect(unsafe stat(file, &times) == 0)
    let descriptor = unsafe open(file, O_WRONLY)
    try AtomicFile.write(Array("abd".utf8), descriptor: descriptor, name: file)
    close(descriptor)
    let before = [times.st_atim, times.st_mtim]
    #expect(unsafe before.withUnsafeBufferPointer { unsafe utimensat(AT_FDCWD, file, $0.baseAddress!, 0) } == 0)
    #expect(try digest() == SHA256.hex(Array("abd".utf8)))
    #expect(reads == 3)
  }

  @Test func aNoteThatIsNoneIsReadAnewAndNoCacheIsNoError() throws {
    let folder = try TrialFolder()
    let file = folder.file("weights")
    try AtomicFile.write("abc", to: file)
    settle()
    let (cache, expected) = (DigestCache(folder: folder.file("cache"), smallest: 0), SHA256.hex(Array("abc".utf8)))
    #expect(try cache.hex(file: file) == expected)
    let notes = try Files.list(folder.file("cache"))
    try #require(notes.count == 1)
    for broken in ["", "abc\n", String(repeating: "g", count: 64) + "\n", String(expected.dropLast())] {
      try AtomicFile.write(broken, to: folder.file("cache/\(notes[0])"))
      #expect(try cache.hex(file: file) == expected)
    }
    // A sound note is believed: this is what makes the second start quick.
    let other = SHA256.hex(Array("abd".utf8))
    try AtomicFile.write(other + "\n", to: folder.file("cache/\(notes[0])"))
    #expect(try cache.hex(file: file) == other)
    for useless in [nil, "/dev/null/cache", "/proc/nothing"] as [String?] {
      #expect(try DigestCache(folder: useless, smallest: 0).hex(file: file) == expected)
    }
    #expect(try DigestCache(folder: folder.file("small"), smallest: 4).hex(file: file) == expected)
    #expect(!Files.exists(folder.file("small")))
    #expect(failure { () throws(Failure) in try cache.hex(file: folder.file("missing")) }?.code == .missingInput)
  }
}
