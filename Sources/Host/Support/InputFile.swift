/// A file that is opened to be read: every path that a user, a configuration or another file names goes through this, so that a FIFO
/// nobody writes, a device or a socket is refused by its name and not waited for.
struct InputFile: ~Copyable {
  let descriptor: Int32
  private let path: String
  private let status: stat

  /// - Parameter orPipe: whether standard input and what a shell hands over as `/dev/fd/N` may stand for the file.
  init(_ path: String, orPipe: Bool) throws(Failure) {
    (descriptor, status) = try Self.open(path, orPipe: orPipe && Self.handedOver.contains { path.hasPrefix($0) })
    self.path = path
  }

  private static func open(_ path: String, orPipe: Bool) throws(Failure) -> (Int32, stat) {
    // Asked before it is opened: opening a FIFO waits, and opening a device may do something.
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { throw .missingInput("\(path): cannot open the file: \(lastSystemError())") }
    try check(path, status, orPipe: orPipe)
    // Whatever takes its place meanwhile is not waited for either.
    let descriptor = unsafe Support.open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (orPipe ? 0 : O_NONBLOCK))
    guard descriptor >= 0 else { throw .missingInput("\(path): cannot open the file: \(lastSystemError())") }
    do throws(Failure) {
      guard unsafe fstat(descriptor, &status) == 0 else { throw .inputOutput("\(path): cannot read: \(lastSystemError())") }
      try check(path, status, orPipe: orPipe)
    } catch {
      close(descriptor)
      throw error
    }
    return (descriptor, status)
  }

  deinit { close(descriptor) }

  var byteCount: Int { Int(status.st_size) }

  var isRegular: Bool { (status.st_mode & S_IFMT) == S_IFREG }

  /// What it is if it never ends.
  var endlessKind: String? { Self.endless(descriptor, status) }

  /// Whether a text has no hole, which would read as zeros without end, and leaves the machine half its memory.
  func checkRoom() throws(Failure) {
    try checkHoles()
    // Small files are not asked about: what the machine has is itself read from some.
    if isRegular, byteCount > 1 << 16, byteCount > physicalMemory() / 2 {
      throw .badData("\(path): has \(byteCount >> 20) MiB, more than half of this machine's memory; it is read as a whole, so split it")
    }
  }

  func checkHoles() throws(Failure) {
    guard isRegular, byteCount > 1 << 16 else { return }
    let hole = lseek(descriptor, 0, Self.seekHole)
    if hole >= 0, hole < status.st_size {
      throw .badData("\(path): is no text: \(byteCount) bytes with a hole of zeros from byte \(hole) on")
    }
    lseek(descriptor, 0, SEEK_SET)
  }

  /// Where descriptors of the process have names.
  private static let handedOver = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"]

  #if os(Linux)
  private static let seekHole: Int32 = 4
  #else
  private static let seekHole: Int32 = 3
  #endif

  private static func check(_ path: String, _ status: stat, orPipe: Bool) throws(Failure) {
    switch status.st_mode & S_IFMT {
    case S_IFREG: return
    case S_IFDIR: throw .missingInput("\(path): is a directory, a file is needed")
    case S_IFIFO, S_IFSOCK, S_IFCHR: if orPipe { return }
    default: break
    }
    throw .missingInput("\(path): is \(kind(status)), a regular file is needed")
  }

  private static func kind(_ status: stat) -> String {
    switch status.st_mode & S_IFMT {
    case S_IFIFO: "a FIFO"
    case S_IFSOCK: "a socket"
    case S_IFCHR, S_IFBLK: "a device"
    default: "no file"
    }
  }

  /// What a descriptor is that never ends: a device that is no terminal and not `/dev/null`; nil for all others.
  static func endless(_ descriptor: Int32, _ status: stat) -> String? {
    guard [S_IFCHR, S_IFBLK].contains(status.st_mode & S_IFMT), isatty(descriptor) == 0 else { return nil }
    var null = stat()
    if unsafe stat("/dev/null", &null) == 0, null.st_rdev == status.st_rdev { return nil }
    return "a device"
  }
}
