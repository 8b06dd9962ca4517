import Synchronization

/// A child process that is fed through its standard input; its output goes to a file, or is read line by line.
///
/// Writing never blocks for good: whoever writes is asked now and then whether to go on.
package final class HelperProcess: Sendable {
  private let process: pid_t
  /// The writing end of its standard input; -1 once it is closed.
  private let input: Atomic<Int32>
  /// The reading end of its standard output; -1 where that goes to a file.
  private let output: Int32
  private let unread = Mutex<[UInt8]>([])

  /// - Parameters:
  ///   - words: the program, looked up on PATH, and its arguments.
  ///   - log: where standard output and standard error are appended; without it ``readLine(within:)`` gives the output.
  package init(_ words: [String], log: String?) throws(Failure) {
    let (readEnd, writeEnd) = try Self.pipeEnds()
    defer { close(readEnd) }
    _ = fcntl(writeEnd, F_SETFL, O_NONBLOCK)
    var answers: Int32 = -1
    var speaks: Int32 = -1
    if log == nil { (answers, speaks) = try Self.pipeEnds() }
    defer { if speaks >= 0 { close(speaks) } }

    let output: [(Int32, Spawn.Source)] =
      if let log { [(1, .file(log, O_WRONLY | O_CREAT | O_APPEND)), (2, .descriptor(1))] } else { [(1, .descriptor(speaks))] }
    do throws(Failure) { process = try Spawn.start(words, [(0, .descriptor(readEnd))] + output) } catch {
      close(writeEnd)
      if answers >= 0 { close(answers) }
      throw .missingInput("cannot start \(words[0]): \(error.message)")
    }
    input = Atomic(writeEnd)
    self.output = answers
  }

  deinit {
    closeInput()
    if output >= 0 { close(output) }
  }

  private static func pipeEnds() throws(Failure) -> (read: Int32, write: Int32) {
    var ends: [Int32] = [-1, -1]
    if unsafe pipe(&ends) != 0 { throw .inputOutput("cannot make a pipe: \(lastSystemError())") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }

  /// The next line of what it writes, without its end; nil where it has ended or says nothing for so long.
  package func readLine(within seconds: Double) -> String? {
    let watch = Stopwatch()
    return unread.withLock { unread in
      var buffer = [UInt8](repeating: 0, count: 4096)
      while true {
        if let end = unread.firstIndex(of: 0x0A) {
          let line = String(decoding: unread[..<end], as: UTF8.self)
          unread.removeSubrange(...end)
          return line
        }
        var ready = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
        if unsafe poll(&ready, 1, 100) > 0 {
          let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(output, $0.baseAddress!, $0.count) }
          if count > 0 {
            unread += buffer[..<count]
            continue
          }
          if count == 0 || errno != EINTR { return nil }
        }
        if watch.seconds >= seconds { return nil }
      }
    }
  }

  /// Tells the process that nothing more comes. Not while another thread writes.
  package func closeInput() {
    let end = input.exchange(-1, ordering: .relaxed)
    if end >= 0 { close(end) }
  }

  /// Writes all of it, as fast as the process reads; false where the process is gone or `goesOn` says no.
  package func write(_ bytes: [UInt8], while goesOn: () -> Bool) -> Bool {
    let input = input.load(ordering: .relaxed)
    var offset = 0
    while offset < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe Support.write(input, buffer.baseAddress! + offset, bytes.count - offset)
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
  package func ends(within seconds: Double) -> Bool {
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
