import Support
import Synchronization

/// Progress and messages on standard error: on a terminal one live line, elsewhere plain lines now and then.
///
/// Every piece of output is one `write`, under one lock, so that threads and messages do not tear the live line. What
/// cannot be written is dropped: a run does not end because nobody reads along.
package final class Console: Sendable {
  private struct State {
    var stageStart = 0.0
    var firstStep = 0
    var latest: Progress?
    var lastShown: Progress?
    var lastTime = -Double.infinity
    /// Whether the live line stands on the screen, without a line feed behind it.
    var isLive = false
  }

  private let descriptor: Int32
  private let isQuiet: Bool
  private let isTerminal: Bool
  private let interval: Double
  private let width: @Sendable () -> Int
  private let now: @Sendable () -> Double
  private let state = Mutex(State())

  /// - Parameter quiet: no progress and no information; warnings stay.
  package convenience init(quiet: Bool = false) {
    let isTerminal = isatty(STDERR_FILENO) == 1 && environmentVariable("TERM") != "dumb"
    let clock = Stopwatch()
    self.init(
      descriptor: STDERR_FILENO, quiet: quiet, isTerminal: isTerminal, interval: isTerminal ? 0.1 : 5,
      width: { Self.terminalWidth(STDERR_FILENO) }, now: { clock.seconds })
  }

  /// - Parameters:
  ///   - interval: seconds between two drawings of the same stage, at least.
  ///   - width: columns of the terminal, asked at each drawing as a window may change.
  package init(
    descriptor: Int32, quiet: Bool, isTerminal: Bool, interval: Double, width: @escaping @Sendable () -> Int,
    now: @escaping @Sendable () -> Double
  ) {
    self.descriptor = descriptor
    self.isQuiet = quiet
    self.isTerminal = isTerminal
    self.interval = interval
    self.width = width
    self.now = now
  }

  /// Shows how far a stage has come: the first and the last step always, others when it is time.
  package func show(_ progress: Progress) {
    if isQuiet { return }
    state.withLock { state in
      let time = now()
      if state.latest?.stage != progress.stage || progress.step < state.firstStep {
        write(ending(&state))
        state.stageStart = time
        state.firstStep = progress.step
        state.lastTime = -.infinity
      }
      state.latest = progress
      if progress.isLast || time - state.lastTime >= interval { write(drawing(&state, at: time)) }
      if progress.isLast { write(ending(&state)) }
    }
  }

  package func info(_ message: String) {
    if !isQuiet { say(message) }
  }

  package func warning(_ message: String) { say("warning: \(message)") }

  /// Leaves the last state of the stage on the screen and ends its line.
  package func finish() {
    state.withLock { state in write(ending(&state)) }
  }

  private func say(_ message: String) {
    state.withLock { state in
      var text = state.isLive ? "\r\u{1B}[K" : ""
      text += OneLine.text(message) + "\n"
      if state.isLive { text += drawing(&state, at: now()) }
      write(text)
    }
  }

  private func drawing(_ state: inout State, at time: Double) -> String {
    guard let progress = state.latest else { return "" }
    state.lastTime = time
    state.lastShown = progress
    let elapsed = time - state.stageStart
    let steps = progress.step - state.firstStep
    let remaining = progress.total.flatMap { steps > 0 ? elapsed / Double(steps) * Double($0 - progress.step) : nil }
    if !isTerminal { return progress.line(remaining: remaining, elapsed: elapsed) + "\n" }
    state.isLive = true
    // One column stays free: a full line would wrap, and the next drawing would begin a line too low.
    let line = progress.line(remaining: remaining, elapsed: elapsed, width: max(width() - 1, 1), bar: true)
    return "\r\(line)\u{1B}[K"
  }

  /// What ends the current stage; nothing where none is under way.
  private func ending(_ state: inout State) -> String {
    var text = ""
    if let latest = state.latest, latest != state.lastShown { text += drawing(&state, at: now()) }
    if state.isLive { text += "\n" }
    state.isLive = false
    state.latest = nil
    state.lastShown = nil
    return text
  }

  private func write(_ text: String) {
    if text.isEmpty { return }
    try? AtomicFile.write(Array(text.utf8), descriptor: descriptor, name: "standard error")
  }

  private static func terminalWidth(_ descriptor: Int32) -> Int {
    var size = winsize()
    if unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 { return Int(size.ws_col) }
    return environmentVariable("COLUMNS").flatMap { Int($0) } ?? 80
  }
}
