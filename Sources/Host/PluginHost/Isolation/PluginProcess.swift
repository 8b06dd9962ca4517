import Support

/// A process that holds one plugin, and what is done where it does not answer.
final class PluginProcess {
  enum Answer {
    case done(PluginWireReader)
    /// The plugin refused.
    case failed(Failure)
    /// It is gone: in words, how.
    case ended(String)
  }

  private let channel: PluginChannel
  private let child: pid_t
  /// What a signal's handler says before the process ends.
  private let report: Pipe
  private var isThere = true
  /// Between two looks at its memory.
  private static let interval: Int32 = 50

  init(_ program: String) throws(Failure) {
    let (channel, socket, memory) = try PluginChannel.make()
    defer { for descriptor in [socket, memory] { close(descriptor) } }
    let report = try Pipe()
    defer { report.closeWriter() }
    (self.channel, self.report) = (channel, report)
    do throws(Failure) {
      child = try Spawn.start(
        [program, PluginChild.argument],
        [
          (0, .file("/dev/null", O_RDONLY)), (1, .descriptor(2)), (PluginChannel.socketDescriptor, .descriptor(socket)),
          (PluginChannel.memoryDescriptor, .descriptor(memory)), (PluginChannel.reportDescriptor, .descriptor(report.writer)),
        ])
    } catch { throw .inputOutput("\(program): cannot start for the plugin: \(error.message)") }
  }

  deinit { if isThere { end() } }

  func ask(_ kind: PluginChannel.Kind, _ message: PluginWireWriter, within limits: PluginIsolation) throws(Failure) -> Answer {
    guard try channel.send(kind, message) else { return .ended(end()) }
    let watch = Stopwatch()
    // Most answers are there at once: the first look sleeps no longer than they take.
    while !channel.isReady(within: Self.interval) {
      if watch.seconds > limits.seconds {
        end()
        return .ended("did not end within \(Format.shortest(limits.seconds)) s (--plugin-timeout)")
      }
      let used = ProcessMemory.mebibytes(ofGroup: child)
      if used > limits.mebibytes {
        end()
        return .ended("its process took \(used) MiB of memory, more than \(limits.mebibytes) (--plugin-memory)")
      }
    }
    guard let (kind, answer) = try channel.receive() else { return .ended(end()) }
    switch kind {
    case .done: return .done(answer)
    case .failed:
      var answer = answer
      return .failed(try answer.failure())
    default: throw .internalError("the plugin's process answers with \(kind)")
    }
  }

  /// Ends the process and what it has started, and says how it had ended if it had.
  @discardableResult private func end() -> String {
    isThere = false
    var status: Int32 = 0
    var found = pid_t(0)
    // One that has closed its end is about to go.
    for _ in 0..<100 {
      found = unsafe waitpid(child, &status, WNOHANG)
      if found != 0 || channel.isReady(within: 0) == false { break }
      usleep(5000)
    }
    kill(-child, SIGKILL)
    if found == 0 {
      while unsafe waitpid(child, &status, 0) < 0 && errno == EINTR {}
      return "its process does not answer any more"
    }
    let signal = status & 0x7F
    if signal == 0 { return "the plugin ended its process with exit code \((status >> 8) & 0xFF)" }
    return "ended its process by " + (reported() ?? PluginChecker.name(ofSignal: signal))
  }

  private func reported() -> String? {
    var bytes: [UInt8] = []
    _ = report.drain(into: &bytes, most: 1)
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").last.flatMap { PluginChecker.signal(inLine: String($0)) }
  }
}
