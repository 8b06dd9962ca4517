/// SHA-256 of large files, each hashed once: a file in the user's cache folder remembers the digest by path, inode, size and times, so
/// that the folder of a model of gigabytes costs its reading the first time only.
///
/// The time of the inode's last change is part of the key: a program may set back when a file was written, not that.
package struct DigestCache: Sendable {
  /// nil remembers nothing.
  private let folder: String?
  /// Smaller files are hashed each time: that takes no longer than looking.
  private let smallest: Int

  package init(folder: String?, smallest: Int = 16 << 20) {
    self.folder = folder
    self.smallest = smallest
  }

  /// The cache of the user.
  package static var user: DigestCache {
    DigestCache(folder: Files.userCache.map { $0 + "/digests" })
  }

  /// The digest of a file's bytes, all of them.
  ///
  /// - Parameter progress: called while a file is read with the mebibytes done and those there are.
  package func hex(file path: String, progress: (Int, Int) -> Void = { _, _ in }) throws(Failure) -> String {
    guard let folder, let before = Stamp(path), before.size >= smallest else { return try Self.read(path, progress) }
    let note = "\(folder)/\(SHA256.hex(Array(before.text.utf8)))"
    if let known = Self.digest(in: note) { return known }
    let digest = try Self.read(path, progress)
    // What changed while it was read, or within the grain of the clock before, may change again under the same times.
    guard let after = Stamp(path), after.text == before.text, before.isSettled else { return digest }
    // A cache that cannot be written costs time, nothing else.
    if (try? Files.makeDirectory(folder)) != nil { try? AtomicFile.write(digest + "\n", to: note) }
    return digest
  }

  private static func digest(in note: String) -> String? {
    guard Files.exists(note), let text = try? Files.readText(note) else { return nil }
    let digest = text.dropLast()
    return digest.utf8.count == 64 && digest.allSatisfy(\.isHexDigit) && text.hasSuffix("\n") ? String(digest) : nil
  }

  private static func read(_ path: String, _ progress: (Int, Int) -> Void) throws(Failure) -> String {
    let file = try MappedFile(path)
    let part = 16 << 20
    var hash = SHA256()
    for start in stride(from: 0, to: file.byteCount, by: part) {
      let end = min(file.byteCount, start + part)
      unsafe file.withBytes { unsafe hash.update(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
      file.release(start..<end)
      progress(end >> 20, file.byteCount >> 20)
    }
    return hash.hexDigest()
  }

  /// What tells a file from what it was before.
  private struct Stamp {
    let text: String
    let size: Int
    private let newest: timespec

    init?(_ path: String) {
      var status = stat()
      guard let real = Files.resolved(path), unsafe stat(real, &status) == 0 else { return nil }
      #if os(Linux)
      let (written, changed) = (status.st_mtim, status.st_ctim)
      #else
      let (written, changed) = (status.st_mtimespec, status.st_ctimespec)
      #endif
      size = Int(status.st_size)
      newest = written.tv_sec > changed.tv_sec ? written : changed
      text =
        "\(real)\n\(status.st_dev) \(status.st_ino) \(size) \(written.tv_sec).\(written.tv_nsec) \(changed.tv_sec).\(changed.tv_nsec)"
    }

    /// Whether its last change is seconds ago.
    var isSettled: Bool {
      var now = timespec()
      unsafe clock_gettime(CLOCK_REALTIME, &now)
      return now.tv_sec - newest.tv_sec > 2
    }
  }
}
