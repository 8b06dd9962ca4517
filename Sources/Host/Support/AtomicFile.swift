/// A file that is either wholly there or not there: written under a temporary name, synced, renamed.
///
/// A symbolic link stays and its target is replaced. What is no file, a FIFO or a device such as `/dev/null`, is opened as it is and
/// written; `-` is standard output.
package struct AtomicFile: ~Copyable {
  private let path: String
  /// nil where the bytes go straight to their place.
  private let temporary: String?
  private let descriptor: Int32
  private var finished = false

  /// What messages call standard output.
  package static let standardOutput = "standard output"

  /// Opens the temporary file beside `path`.
  package init(_ path: String) throws(Failure) {
    (self.path, temporary, descriptor) = try Self.open(path)
  }

  private static func open(_ path: String) throws(Failure) -> (path: String, temporary: String?, descriptor: Int32) {
    func checked(_ descriptor: Int32) throws(Failure) -> Int32 {
      if descriptor < 0 { throw .inputOutput("\(path): cannot write: \(lastSystemError())") }
      return descriptor
    }
    if isStandardOutput(path) { return (standardOutput, nil, try checked(dup(STDOUT_FILENO))) }
    // Asked of the path itself, not of what its links spell: the name of a pipe behind /proc/self/fd is no path.
    var status = stat()
    let isThere = unsafe stat(path, &status) == 0
    if !isThere, errno == ELOOP { throw .inputOutput("\(path): cannot write: \(lastSystemError())") }
    let kind = status.st_mode & S_IFMT
    if isThere, kind == S_IFDIR { throw .inputOutput("\(path): is a directory; a file is to be written here") }
    if isThere, kind != S_IFREG {
      return (path, nil, try checked(unsafe Support.open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY)))
    }
    let place = target(path)
    let name = place + ".tmp-\(getpid())"
    let descriptor = try checked(unsafe Support.open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666))
    // Whose a file is and who may read it does not change because it is written anew.
    if isThere {
      _ = fchown(descriptor, status.st_uid, status.st_gid)
      fchmod(descriptor, status.st_mode & 0o7777)
    }
    return (place, name, descriptor)
  }

  /// The file behind symbolic links, also where the last of them points at nothing yet.
  package static func target(_ path: String) -> String {
    if let real = Files.resolved(path) { return real }
    var place = path
    for _ in 0..<40 {
      var buffer = [CChar](repeating: 0, count: 4096)
      let count = unsafe readlink(place, &buffer, buffer.count - 1)
      guard count > 0 else { break }
      let link = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      place = link.hasPrefix("/") ? link : Files.directory(of: place) + "/" + link
    }
    return place
  }

  /// Whether a path names what standard output is: `-`, or `/dev/stdout` and whatever else leads there.
  package static func isStandardOutput(_ path: String) -> Bool {
    if path == "-" { return true }
    var (file, output) = (stat(), stat())
    guard unsafe stat(path, &file) == 0, unsafe fstat(STDOUT_FILENO, &output) == 0 else { return false }
    // `/dev/null` twice is not one place: nothing written there meets.
    if (file.st_mode & S_IFMT) == S_IFCHR, isatty(STDOUT_FILENO) == 0 { return false }
    return file.st_dev == output.st_dev && file.st_ino == output.st_ino
  }

  package func write(_ bytes: [UInt8]) throws(Failure) {
    try Self.write(bytes, descriptor: descriptor, name: path)
  }

  package func write(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
    unsafe try Self.write(bytes, descriptor: descriptor, name: path)
  }

  /// Syncs the contents and gives the file its name.
  package consuming func commit() throws(Failure) {
    guard let temporary else { return }
    if fsync(descriptor) != 0 { throw .inputOutput("\(path): cannot sync: \(lastSystemError())") }
    try Files.rename(temporary, to: path)
    finished = true
  }

  deinit {
    close(descriptor)
    if let temporary, !finished { unsafe unlink(temporary) }
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
      let count = unsafe Support.write(descriptor, bytes.baseAddress! + offset, bytes.count - offset)
      if count < 0 {
        if errno == EINTR { continue }
        if errno == EPIPE, name == standardOutput { throw .readerGone }
        throw .inputOutput("\(name): cannot write: \(lastSystemError())")
      }
      offset += count
    }
  }
}
