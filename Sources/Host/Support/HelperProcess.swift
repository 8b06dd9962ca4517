import Synchronization

/// A child process that is fed through its standard input; its output goes to a file, or is read line by line.
///
/// Writing never blocks for good: whoever writes is asked now and then whether to go on.
package final class HelperProcess: Sendable {
  private let process: pid_t
  /// How it ended, once it has been waited for. A thread does that for each process, whoever keeps or forgets it: what nobody waits for
  /// stays in the machine's table of processes.
  private let status = WaitableState<Int32?>(nil)
  /// The writing end of its standard input; -1 once it is closed.
  private let input: Atomic<Int32>
  /// The reading end of its standard output; -1 where that goes to a file.
  private let output: Int32
  private let unread = Mutex(Unread())

  /// - Parameters:
  ///   - words: the program, looked up on PATH, and its arguments.
  ///   - log: where standard output and standard error are appended; without it ``readLine(within:)`` gives the output.
  ///   - endsChildren: whether what it has started ends with it.
  package init(_ words: [String], log: String?, endsChildren: Bool = false) throws(Failure) {
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
    let (process, status) = (process, status)
    let wait: @Sendable () -> Void = {
      if endsChildren {
        // Until it is waited for, the number of its group is nobody else's.
        var information = unsafe siginfo_t()
        while unsafe waitid(P_PID, id_t(process), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        kill(-process, SIGKILL)
      }
      var ending: Int32 = 0
      while unsafe waitpid(process, &ending, 0) < 0, errno == EINTR {}
      status.change { $0 = ending }
    }
    if !BackgroundThread.start(wait) {
      kill(-process, SIGKILL)
      wait()
      throw .inputOutput("cannot start a thread to wait for \(words[0]): \(lastSystemError())")
    }
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
    readBytes(within: seconds).map { String(decoding: $0, as: UTF8.self) }
  }

  /// The same as the bytes that it wrote.
  package func readBytes(within seconds: Double) -> [UInt8]? {
    let watch = Stopwatch()
    return unread.withLock { unread in
      while true {
        if let line = unread.next() { return line }
        // A child of its own may keep the pipe open after it.
        let hasEnded = ends(within: 0)
        var ready = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
        let wait = Int32(max(0, min(100, (1000 * (seconds - watch.seconds)).rounded(.up))))
        if unsafe poll(&ready, 1, wait) > 0 {
          let part = unsafe [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
            count = max(0, unsafe read(output, buffer.baseAddress!, buffer.count))
          }
          if !part.isEmpty {
            unread.add(part)
            continue
          }
          if errno != EINTR { return nil }
        } else if hasEnded {
          return nil
        }
        if watch.seconds >= seconds { return nil }
      }
    }
  }

  /// What has been read and not asked for. A line may be megabytes long: no byte is looked at twice, and none is moved for each line.
  private struct Unread {
    private var bytes: [UInt8] = []
    private var start = 0
    private var searched = 0

    mutating func add(_ part: [UInt8]) {
      bytes.removeSubrange(..<start)
      searched -= start
      start = 0
      bytes += part
    }

    mutating func next() -> [UInt8]? {
      guard let end = bytes[searched...].firstIndex(of: 0x0A) else {
        searched = bytes.count
        return nil
      }
      defer {
        start = end + 1
        searched = start
      }
      return Array(bytes[start..<end])
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

  /// Tells the process, and whatever it started, to end.
  package func terminate() { if !ends(within: 0) { kill(-process, SIGTERM) } }

  /// Ends the process, and whatever it started, whether it wants or not.
  package func endAtOnce() { if !ends(within: 0) { kill(-process, SIGKILL) } }

  /// Whether the process has ended within some seconds.
  package func ends(within seconds: Double) -> Bool { status.wait(until: { $0 != nil }, within: seconds) }

  package static func ending(code: Int32) -> String { "exited with code \(code)" }

  /// How it ended, in words; nil where it goes on.
  package var ending: String? {
    guard let status = status.change({ $0 }) else { return nil }
    let signal = status & 0x7F
    return signal == 0 ? Self.ending(code: (status >> 8) & 0xFF) : "was ended by signal \(signal) (\(unsafe String(cString: strsignal(signal))))"
  }
}
