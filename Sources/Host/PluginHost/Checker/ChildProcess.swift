import Support

/// A child process that ends by itself or is ended: by a time limit, or with what started it.
struct ChildProcess {
  enum End: Sendable, Equatable {
    case exited(Int32)
    case signalled(Int32)
    case timedOut
    /// It reported more than any of ours does, and was ended.
    case flooded
  }

  /// The descriptor the child reports on; its standard output and error are not a plugin's to disturb.
  static let reportDescriptor: Int32 = 3

  let end: End
  /// What the child wrote to ``reportDescriptor``.
  let report: [UInt8]
  /// The last of what it wrote to standard output and error.
  let output: String

  /// A report that is longer is cut and the child ended: none of ours is.
  static let longestReport = 1 << 20
  private static let keptOutput = 1 << 16

  /// Runs a program to its end, and whatever it started; `seconds` is wall time.
  static func run(_ program: String, _ arguments: [String], seconds: Double) throws(Failure) -> ChildProcess {
    let report = try Pipe()
    let output = try Pipe()
    let child = try spawn(program, arguments, report: report, output: output)
    report.closeWriter()
    output.closeWriter()
    var reported: [UInt8] = []
    var printed: [UInt8] = []
    let watch = Stopwatch()
    var timedOut = false
    // A child's own children may hold its pipes open: what counts is the report's end or the time.
    var isOpen = true
    while isOpen {
      let left = seconds - watch.seconds
      if left <= 0 {
        timedOut = true
        break
      }
      var polled = [
        pollfd(fd: report.reader, events: Int16(POLLIN), revents: 0),
        pollfd(fd: output.isOpen ? output.reader : -1, events: Int16(POLLIN), revents: 0),
      ]
      let count = unsafe poll(&polled, 2, Int32(min(left * 1000 + 1, 60000)))
      if count < 0 && errno != EINTR { throw .inputOutput("\(program): cannot wait for its report: \(lastSystemError())") }
      if count <= 0 { continue }
      if polled[0].revents != 0, !report.drain(into: &reported, most: longestReport) { isOpen = false }
      if reported.count >= longestReport {
        end(child)
        return ChildProcess(end: .flooded, report: [], output: String(decoding: printed.suffix(2000), as: UTF8.self))
      }
      if polled[1].revents != 0, !output.drain(into: &printed, most: .max) { output.closeReader() }
      if printed.count > keptOutput { printed.removeFirst(printed.count - keptOutput / 2) }
    }
    var status: Int32 = 0
    // It may have closed its report and go on: it has the same time for all.
    while true {
      let result = unsafe waitpid(child, &status, WNOHANG)
      if result == child || result < 0 && errno == ECHILD { break }
      if timedOut || watch.seconds >= seconds {
        timedOut = true
        status = Self.end(child)
        break
      }
      usleep(1000)
    }
    kill(-child, SIGKILL)
    let signal = status & 0x7F
    let end: End = timedOut ? .timedOut : signal == 0 ? .exited((status >> 8) & 0xFF) : .signalled(signal)
    return ChildProcess(end: end, report: reported, output: String(decoding: printed.suffix(2000), as: UTF8.self))
  }

  /// Ends a child and its group: first by asking the one that watches it, who ends all it has started.
  @discardableResult private static func end(_ child: pid_t) -> Int32 {
    var status: Int32 = 0
    kill(child, SIGTERM)
    let watch = Stopwatch()
    while watch.seconds < 3 {
      if unsafe waitpid(child, &status, WNOHANG) != 0 {
        kill(-child, SIGKILL)
        return status
      }
      usleep(1000)
    }
    kill(-child, SIGKILL)
    kill(child, SIGKILL)
    while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
    return status
  }

  private static func spawn(
    _ program: String, _ arguments: [String], report: Pipe, output: Pipe
  ) throws(Failure) -> pid_t {
    do throws(Failure) {
      return try Spawn.start(
        [program] + arguments,
        [
          (0, .file("/dev/null", O_RDONLY)), (1, .descriptor(output.writer)), (2, .descriptor(output.writer)),
          (reportDescriptor, .descriptor(report.writer)),
        ])
    } catch { throw .inputOutput("\(program): cannot start: \(error.message)") }
  }
}

/// Two descriptors that are closed with it, and never 3 themselves: a descriptor moved to its own place would be closed by
/// the mark that keeps other children from inheriting it.
final class Pipe {
  let reader: Int32
  let writer: Int32
  /// Whether there is still something to read from.
  private(set) var isOpen = true
  private var writerIsOpen = true

  init() throws(Failure) {
    var ends: [Int32] = [0, 0]
    if unsafe pipe(&ends) != 0 { throw .inputOutput("cannot make a pipe: \(lastSystemError())") }
    let moved = ends.map { fcntl($0, F_DUPFD_CLOEXEC, 10) }
    for end in ends { close(end) }
    (reader, writer) = (moved[0], moved[1])
    if reader < 0 || writer < 0 { throw .inputOutput("cannot make a pipe: \(lastSystemError())") }
    let flags = fcntl(reader, F_GETFL)
    _ = fcntl(reader, F_SETFL, flags | O_NONBLOCK)
  }

  func closeWriter() {
    if writerIsOpen { close(writer) }
    writerIsOpen = false
  }

  func closeReader() {
    if isOpen { close(reader) }
    isOpen = false
  }

  /// Takes what is there, no more than so much in all; false at the end.
  func drain(into bytes: inout [UInt8], most: Int) -> Bool {
    guard isOpen else { return false }
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe read(reader, &chunk, chunk.count)
      if count == 0 { return false }
      if count < 0 { return errno == EAGAIN || errno == EINTR }
      bytes += chunk[..<count]
      if bytes.count >= most || most == .max { return true }
    }
  }

  deinit {
    closeReader()
    closeWriter()
  }
}
