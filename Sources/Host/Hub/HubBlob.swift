import Support

/// A file in the cache as the hub's programs keep it: the contents under their digest in `blobs/`, half-written as `DIGEST.incomplete`, and a
/// link to them in the snapshot.
struct HubBlob {
  let file: HubListing.File
  private let repository: String

  init(_ file: HubListing.File, _ repository: String) {
    self.file = file
    self.repository = repository
  }

  private var path: String { "\(repository)/blobs/\(file.digest)" }
  private var incomplete: String { path + ".incomplete" }

  /// What is there has the right size; its digest was checked when it came.
  var isThere: Bool { Files.exists(path) && Files.size(path) == file.size }

  /// Bytes that are there of it, whoever writes them.
  static func bytes(of file: HubListing.File, in repository: String) -> Int {
    let blobs = repository + "/blobs"
    let blob = HubBlob(file, repository)
    if blob.isThere { return file.size }
    let begun = ((try? Files.list(blobs)) ?? []).filter { $0.hasPrefix(file.digest) && $0.hasSuffix(".incomplete") }
    return begun.map { Files.size("\(blobs)/\($0)") }.max() ?? 0
  }

  /// The half-written file, opened where it ends.
  final class Part {
    private let path: String
    private let descriptor: Int32
    private(set) var count: Int
    /// Whether the answer under way has been written to it.
    var isFresh = false

    fileprivate init(_ path: String) throws(Failure) {
      self.path = path
      count = Files.size(path)
      descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
      if descriptor < 0 { throw .inputOutput("\(path): cannot write: \(lastSystemError())") }
      // Two that write to one file would spoil it.
      var lock = flock()
      lock.l_type = Int16(F_WRLCK)
      lock.l_whence = Int16(SEEK_SET)
      if unsafe fcntl(descriptor, F_SETLK, &lock) != 0, errno == EACCES || errno == EAGAIN {
        throw .inputOutput("\(path): is being written by another download; wait for it to end")
      }
    }

    deinit { close(descriptor) }

    func append(_ bytes: [UInt8]) throws(Failure) {
      try AtomicFile.write(bytes, descriptor: descriptor, name: path)
      count += bytes.count
    }

    func restart() throws(Failure) {
      if ftruncate(descriptor, 0) != 0 { throw .inputOutput("\(path): cannot write: \(lastSystemError())") }
      count = 0
    }
  }

  func begin() throws(Failure) -> Part {
    try Files.makeDirectory(Files.directory(of: path))
    return try Part(incomplete)
  }

  /// Checks what has come and gives it its name; what is not what the hub announced is removed.
  func finish(name: String) throws(Failure) {
    try Self.check(incomplete, file, name: name)
    try Files.rename(incomplete, to: path)
  }

  /// Checks a file that somebody else brought.
  func check(name: String) throws(Failure) { try Self.check(path, file, name: name) }

  private static func check(_ path: String, _ file: HubListing.File, name: String) throws(Failure) {
    let digest = file.isLarge ? try SHA256.hex(file: path) : SHA1.gitBlob(try bytes(path))
    guard digest == file.digest else {
      Files.remove(path)
      throw .badData("\(name): what came has the \(file.isLarge ? "SHA-256" : "git digest") \(digest.prefix(16))…, the hub announces \(file.digest.prefix(16))…; it is thrown away, try again")
    }
  }

  private static func bytes(_ path: String) throws(Failure) -> [UInt8] {
    let file = try MappedFile(path)
    return unsafe file.withBytes { unsafe Array($0) }
  }

  /// The name in the snapshot: a relative link, so that a cache can be moved.
  func link(commit: String) throws(Failure) {
    let place = "\(repository)/snapshots/\(commit)/\(file.path)"
    try Files.makeDirectory(Files.directory(of: place))
    let up = String(repeating: "../", count: file.path.split(separator: "/").count + 1)
    let temporary = "\(place).tmp-\(getpid())"
    Files.remove(temporary)
    if unsafe symlink("\(up)blobs/\(file.digest)", temporary) != 0 { throw .inputOutput("\(place): cannot make the link: \(lastSystemError())") }
    try Files.rename(temporary, to: place)
  }
}
