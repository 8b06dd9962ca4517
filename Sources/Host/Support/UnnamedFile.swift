/// A file that has no name from its first byte on and goes away with the value, however the process ends: what is too large for memory.
package final class UnnamedFile: Sendable {
  private let descriptor: Int32
  private let purpose: String

  /// - Parameter purpose: what is in it, as a message calls it.
  package init(for purpose: String) throws(Failure) {
    self.purpose = purpose
    // The folder of temporary files may be in memory; the user's cache is on a disk.
    var folder = environmentVariable("TMPDIR") ?? "/tmp"
    if environmentVariable("TMPDIR") == nil, let cache = Files.userCache, (try? Files.makeDirectory(cache)) != nil { folder = cache }
    let path = "\(folder)/nano-reasoner.tmp-\(getpid())-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
    descriptor = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    if descriptor < 0 { throw .inputOutput("\(path): cannot write \(purpose): \(lastSystemError()); TMPDIR names another folder") }
    unsafe unlink(path)
  }

  deinit { close(descriptor) }

  package func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
    unsafe try AtomicFile.write(bytes, descriptor: descriptor, name: "a temporary file with \(purpose) (TMPDIR names another folder)")
  }

  /// The values at an offset in bytes.
  package func read<Value: BitwiseCopyable>(at offset: Int, count: Int, as type: Value.Type = Value.self) throws(Failure) -> [Value] {
    var failed: Int32 = 0
    let values = unsafe [Value](unsafeUninitializedCapacity: count) { buffer, filled in
      let bytes = UnsafeMutableRawBufferPointer(buffer)
      var done = 0
      while done < bytes.count {
        let got = unsafe pread(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
        if got < 0, errno == EINTR { continue }
        if got <= 0 {
          failed = got < 0 ? errno : EIO
          return
        }
        done += got
      }
      filled = count
    }
    if failed != 0 { throw .inputOutput("a temporary file with \(purpose): cannot read: \(unsafe String(cString: strerror(failed)))") }
    return values
  }
}
