/// The file system as the program uses it: paths are strings, errors are ``Failure`` values that name the path.
package enum Files {
  /// Where this program keeps what it can make again: `$XDG_CACHE_HOME/nano-reasoner`, or `~/.cache/nano-reasoner`.
  package static var userCache: String? {
    (environmentVariable("XDG_CACHE_HOME") ?? environmentVariable("HOME").map { $0 + "/.cache" }).map { $0 + "/nano-reasoner" }
  }

  package static func exists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }

  package static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return unsafe stat(path, &status) == 0 && (status.st_mode & S_IFMT) == S_IFDIR
  }

  package static func isLink(_ path: String) -> Bool {
    var status = stat()
    return unsafe lstat(path, &status) == 0 && (status.st_mode & S_IFMT) == S_IFLNK
  }

  /// Bytes of a file; 0 where there is none.
  package static func size(_ path: String) -> Int {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? Int(status.st_size) : 0
  }

  /// Creates a directory and those above it.
  package static func makeDirectory(_ path: String) throws(Failure) {
    if isDirectory(path) { return }
    let parent = directory(of: path)
    if parent != path, !isDirectory(parent) { try makeDirectory(parent) }
    try makeOneDirectory(path)
  }

  /// The same without the folders around it: what was moved or removed meanwhile is not made again.
  package static func makeOneDirectory(_ path: String) throws(Failure) {
    if unsafe mkdir(path, 0o777) != 0, errno != EEXIST {
      throw .inputOutput("\(path): cannot create the directory: \(lastSystemError())")
    }
    if !isDirectory(path) { throw .inputOutput("\(path): is in the way: a directory is needed here") }
  }

  /// The names in a directory, sorted, without `.` and `..`.
  package static func list(_ path: String) throws(Failure) -> [String] {
    guard let handle = unsafe opendir(path) else {
      throw .missingInput("\(path): cannot list the directory: \(lastSystemError())")
    }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
        unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// All bytes of a file of text.
  ///
  /// - Parameter orPipe: whether standard input and what a shell hands over as `/dev/fd/N` may stand for the file.
  package static func read(_ path: String, orPipe: Bool = false) throws(Failure) -> [UInt8] {
    let input = try InputFile(path, orPipe: orPipe)
    try input.checkRoom()
    return try readAll(input.descriptor, name: path)
  }

  /// Everything a descriptor has to give: a file, a pipe or standard input.
  package static func readAll(_ descriptor: Int32, name: String) throws(Failure) -> [UInt8] {
    var status = stat()
    var expected = 0
    if unsafe fstat(descriptor, &status) == 0 {
      if (status.st_mode & S_IFMT) == S_IFREG { expected = Int(status.st_size) }
      if let kind = InputFile.endless(descriptor, status) { throw .missingInput("\(name): is \(kind); a file or a pipe is needed") }
    }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(expected + 1)
    let chunk = max(65536, expected + 1)
    while true {
      let filled = bytes.count
      bytes.append(contentsOf: repeatElement(0, count: chunk))
      let count = unsafe bytes.withUnsafeMutableBytes { unsafe Support.read(descriptor, $0.baseAddress! + filled, chunk) }
      bytes.removeLast(chunk - max(count, 0))
      if count == 0 { return bytes }
      if count < 0, errno != EINTR { throw .inputOutput("\(name): cannot read: \(lastSystemError())") }
    }
  }

  package static func readText(_ path: String) throws(Failure) -> String {
    let bytes = try read(path)
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .badData("\(path): is not UTF-8 text") }
    return text
  }

  package static func remove(_ path: String) { unsafe unlink(path) }

  /// Removes a directory with all it holds; what is missing already is no error.
  package static func removeTree(_ path: String) throws(Failure) {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return }
    if (status.st_mode & S_IFMT) == S_IFDIR {
      for name in try list(path) { try removeTree(path + "/" + name) }
      if unsafe rmdir(path) != 0 { throw .inputOutput("\(path): cannot remove the directory: \(lastSystemError())") }
    } else if unsafe unlink(path) != 0 {
      throw .inputOutput("\(path): cannot remove the file: \(lastSystemError())")
    }
  }

  package static func copy(_ source: String, to destination: String) throws(Failure) {
    try AtomicFile.write(try read(source), to: destination)
  }

  /// Renames a file or directory over its destination and syncs the directory, so the name survives a crash.
  package static func rename(_ source: String, to destination: String) throws(Failure) {
    if unsafe Support.rename(source, destination) != 0 {
      throw .inputOutput("\(source): cannot rename to \(destination): \(lastSystemError())")
    }
    try syncDirectory(directory(of: destination))
  }

  /// Claims a folder for this process until it ends; false where another process holds it. The lock is the kernel's: it goes
  /// with its process, however that ends.
  package static func claim(_ folder: String) throws(Failure) -> Bool {
    let path = folder + "/.lock"
    // Never closed: a process gives up its locks on a file when it closes any descriptor of it.
    let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    if descriptor < 0 { throw .inputOutput("\(path): cannot write: \(lastSystemError())") }
    var lock = flock()
    lock.l_type = Int16(F_WRLCK)
    lock.l_whence = Int16(SEEK_SET)
    if unsafe fcntl(descriptor, F_SETLK, &lock) == 0 { return true }
    // A file system without locks can refuse nobody.
    return errno != EACCES && errno != EAGAIN
  }

  /// Whether another process has claimed a folder. It gives up a claim of this process.
  package static func isClaimed(_ folder: String) -> Bool {
    let descriptor = unsafe open(folder + "/.lock", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var lock = flock()
    lock.l_type = Int16(F_WRLCK)
    lock.l_whence = Int16(SEEK_SET)
    return unsafe fcntl(descriptor, F_GETLK, &lock) == 0 && lock.l_type != Int16(F_UNLCK)
  }

  /// Makes sure that the names in a directory survive a power failure. Not every file system can sync a directory, and not every
  /// directory that can be written can be read: neither is an error.
  package static func syncDirectory(_ path: String) throws(Failure) {
    let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if descriptor < 0, errno == EACCES { return }
    guard descriptor >= 0 else { throw .inputOutput("\(path): cannot open the directory to sync it: \(lastSystemError())") }
    defer { close(descriptor) }
    if fsync(descriptor) != 0, errno != EINVAL, errno != ENOTSUP {
      throw .inputOutput("\(path): cannot sync the directory: \(lastSystemError())")
    }
  }

  /// Whether a process is there, ours or another's.
  package static func isAlive(_ process: pid_t) -> Bool { process > 0 && (kill(process, 0) == 0 || errno == EPERM) }

  /// Removes what processes that are gone left half-written in a folder: `NAME.tmp-PID` of the names that `isOurs` knows.
  package static func sweep(_ folder: String, _ isOurs: (String) -> Bool) throws(Failure) {
    guard isDirectory(folder) else { return }
    for name in try list(folder) {
      guard let mark = name.ranges(of: ".tmp-").last, let process = pid_t(name[mark.upperBound...]), "\(process)" == name[mark.upperBound...],
        isOurs(String(name[..<mark.lowerBound])), process > 0, process != getpid(), !isAlive(process)
      else { continue }
      try removeTree("\(folder)/\(name)")
    }
  }

  /// The part of a path before its last component; `.` where there is none.
  package static func directory(of path: String) -> String {
    var trimmed = Substring(path)
    while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }

  package static func name(of path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
  }

  /// `runs/a/` names the folder that `runs/a` names, also before it is there.
  package static func withoutTrailingSlashes(_ path: String) -> String {
    var text = path[...]
    while text.count > 1, text.last == "/" { text.removeLast() }
    return String(text)
  }

  /// The absolute path with symbolic links resolved; nil where the file does not exist.
  package static func resolved(_ path: String) -> String? {
    guard let real = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(real) }
    return unsafe String(cString: real)
  }

  /// The path of the running program.
  package static var program: String? {
    #if os(Linux)
    return resolved("/proc/self/exe")
    #else
    return resolved(CommandLine.arguments[0])
    #endif
  }
}
