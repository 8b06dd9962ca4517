/// A file that is either wholly there or not there: written under a temporary name, synced, renamed.
package struct AtomicFile: ~Copyable {
  private let path: String
  private let temporary: String
  private let descriptor: Int32
  private var finished = false

  /// Opens the temporary file beside `path`.
  package init(_ path: String) throws(Failure) {
    self.path = path
    temporary = path + ".tmp-\(getpid())"
    descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    if descriptor < 0 { throw .inputOutput("\(path): cannot write: \(lastSystemError())") }
  }

  package func write(_ bytes: [UInt8]) throws(Failure) {
    try Self.write(bytes, descriptor: descriptor, name: path)
  }

  package func write(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
    unsafe try Self.write(bytes, descriptor: descriptor, name: path)
  }

  /// Syncs the contents and gives the file its name.
  package consuming func commit() throws(Failure) {
    if fsync(descriptor) != 0 { throw .inputOutput("\(path): cannot sync: \(lastSystemError())") }
    try Files.rename(temporary, to: path)
    finished = true
  }

  deinit {
    close(descriptor)
    if !finished { unsafe unlink(temporary) }
  }

  package static func write(_ bytes: [UInt8], to path: String) throws(Failure) {
    let file = try AtomicFile(path)
    try file.write(bytes)
    try file.commit()
  }

  package static func write(_ text: String, to path: String) throws(Failure) {
    try write(Array(text.utf8), to: path)
  }

  /// Writes all bytes to a descriptor, through short writes and interrupts.
  package static func write(_ bytes: [UInt8], descriptor: Int32, name: String) throws(Failure) {
    let outcome: Result<Void, Failure> = unsafe bytes.withUnsafeBytes { buffer in
      do throws(Failure) {
        return .success(unsafe try write(buffer, descriptor: descriptor, name: name))
      } catch { return .failure(error) }
    }
    try outcome.get()
  }

  package static func write(_ bytes: UnsafeRawBufferPointer, descriptor: Int32, name: String) throws(Failure) {
    var offset = 0
    while offset < bytes.count {
      let count = unsafe Foundations.write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
      if count < 0 {
        if errno == EINTR { continue }
        throw .inputOutput("\(name): cannot write: \(lastSystemError())")
      }
      offset += count
    }
  }
}
