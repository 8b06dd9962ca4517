import Foundations
import Synchronization

/// A child process that is fed through its standard input; its output goes to a file.
///
/// It has a process group of its own, so that Ctrl-C in the terminal reaches the run only. Writing never blocks for good:
/// whoever writes is asked now and then whether to go on.
final class HelperProcess: Sendable {
  private let process: pid_t
  /// The writing end of its standard input; -1 once it is closed.
  private let input: Atomic<Int32>

  /// - Parameters:
  ///   - words: the program, looked up on PATH, and its arguments.
  ///   - log: where standard output and standard error are appended.
  init(_ words: [String], log: String) throws(Failure) {
    var ends: [Int32] = [-1, -1]
    if unsafe pipe(&ends) != 0 { throw .inputOutput("cannot make a pipe: \(lastSystemError())") }
    let (readEnd, writeEnd) = (ends[0], ends[1])
    defer { close(readEnd) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    _ = fcntl(writeEnd, F_SETFL, O_NONBLOCK)

    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, readEnd, 0)
    unsafe posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o666)
    unsafe posix_spawn_file_actions_adddup2(&actions, 1, 2)
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
    unsafe posix_spawnattr_setpgroup(&attributes, 0)

    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
    defer { for unsafe argument in unsafe arguments { unsafe free(argument) } }
    var process: pid_t = 0
    let status = unsafe posix_spawnp(&process, arguments[0]!, &actions, &attributes, &arguments, environ)
    if status != 0 {
      close(writeEnd)
      throw .missingInput("cannot start \(words[0]): \(unsafe String(cString: strerror(status)))")
    }
    self.process = process
    input = Atomic(writeEnd)
  }

  deinit { closeInput() }

  /// Tells the process that nothing more comes. Not while another thread writes.
  func closeInput() {
    let end = input.exchange(-1, ordering: .relaxed)
    if end >= 0 { close(end) }
  }

  /// Writes all of it, as fast as the process reads; false where the process is gone or `goesOn` says no.
  func write(_ bytes: [UInt8], while goesOn: () -> Bool) -> Bool {
    let input = input.load(ordering: .relaxed)
    var offset = 0
    while offset < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe Foundations.write(input, buffer.baseAddress! + offset, bytes.count - offset)
      }
      if count > 0 {
        offset += count
        continue
      }
      if errno == EINTR { continue }
      guard errno == EAGAIN, goesOn() else { return false }
      var ready = pollfd(fd: input, events: Int16(POLLOUT), revents: 0)
      unsafe poll(&ready, 1, 100)
    }
    return true
  }

  /// Whether the process has ended within some seconds.
  func ends(within seconds: Double) -> Bool {
    let watch = Stopwatch()
    while true {
      var status: Int32 = 0
      let result = unsafe waitpid(process, &status, WNOHANG)
      if result == process || (result < 0 && errno == ECHILD) { return true }
      if watch.seconds >= seconds { return false }
      usleep(20_000)
    }
  }
}
