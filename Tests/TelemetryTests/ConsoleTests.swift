import Support
import Synchronization
import Telemetry
import Testing

/// A console that writes into a pipe, with a clock that the test moves.
final class TrialConsole: Sendable {
  let console: Console
  private let readEnd: Int32
  private let writeEnd: Int32
  private let time: TrialClock

  init(quiet: Bool = false, terminal: Bool = false, width: Int = 80) {
    var ends: [Int32] = [-1, -1]
    unsafe _ = pipe(&ends)
    let time = TrialClock()
    (readEnd, writeEnd, self.time) = (ends[0], ends[1], time)
    console = Console(
      descriptor: ends[1], quiet: quiet, isTerminal: terminal, interval: terminal ? 0.1 : 5, width: { width },
      now: { time.now })
  }

  deinit { close(readEnd) }

  func advance(_ seconds: Double) { time.advance(seconds) }

  /// Everything written; the console must not be used afterwards.
  func output() throws -> String {
    close(writeEnd)
    return String(decoding: try Files.readAll(readEnd, name: "pipe"), as: UTF8.self)
  }
}

final class TrialClock: Sendable {
  private let seconds = Mutex(0.0)
  var now: Double { seconds.withLock { $0 } }
  func advance(_ more: Double) { seconds.withLock { $0 += more } }
}

@Suite("The console")
struct ConsoleTests {
  @Test("A pipe gets the first and the last step, and others every few seconds")
  func pipe() throws {
    let trial = TrialConsole()
    for step in 1...13 {
      trial.console.show(
        Progress(
          stage: "rl", step: step, total: 13, reward: 0.5, accuracy: 0.25, kl: 0.00123, length: 143.4,
          tokensPerSecond: 1934))
      trial.advance(1)
    }
    #expect(
      try trial.output() == """
        rl  1/13  reward 0.500  accuracy 25.0 %  KL 0.0012  length 143  1.9k tok/s
        rl  6/13  reward 0.500  accuracy 25.0 %  KL 0.0012  length 143  1.9k tok/s  7.0s left
        rl 11/13  reward 0.500  accuracy 25.0 %  KL 0.0012  length 143  1.9k tok/s  2.0s left
        rl 13/13  reward 0.500  accuracy 25.0 %  KL 0.0012  length 143  1.9k tok/s  in 12s

        """)
  }

  @Test("A stage that ends early, or gives way to the next, leaves its last state")
  func stages() throws {
    let trial = TrialConsole()
    for step in 1...3 { trial.console.show(Progress(stage: "sft", step: step, total: 9, loss: 0.5)) }
    for step in 1...2 { trial.console.show(Progress(stage: "loading", step: step)) }
    trial.console.finish()
    trial.console.finish()
    #expect(
      try trial.output() == """
        sft 1/9  loss 0.5
        sft 3/9  loss 0.5  0.00s left
        loading 1
        loading 2

        """)
  }

  @Test("A terminal's live line is redrawn at most ten times a second, and messages do not tear it")
  func terminal() throws {
    let trial = TrialConsole(terminal: true, width: 45)
    for step in 1...3 {
      trial.console.show(Progress(stage: "rl", step: step, total: 3, reward: 0.5))
      if step == 2 { trial.console.warning("careful") }
      trial.advance(0.04)
    }
    let clear = "\u{1B}[K"
    #expect(
      try trial.output()
        == "\rrl 1/3  ━━━━━╌╌╌╌╌╌╌╌╌╌╌  reward 0.500\(clear)"
        + "\r\(clear)warning: careful\n\rrl 2/3  reward 0.500  0.04s left\(clear)"
        + "\rrl 3/3  reward 0.500  in 0.08s\(clear)\n")
  }

  @Test("The live line never reaches the terminal's width", arguments: [1, 5, 12, 40, 50, 79, 200])
  func width(columns: Int) throws {
    let trial = TrialConsole(terminal: true, width: columns)
    trial.console.show(
      Progress(
        stage: "rl", step: 3, total: 900, loss: 0.1, reward: 0.5, accuracy: 0.25, kl: 0.00123, length: 143.4,
        tokensPerSecond: 1934))
    let output = try trial.output()
    #expect(output.filter { $0 != "\r" }.count - 3 <= max(1, columns - 1))
    if columns == 40 { #expect(output == "\rrl   3/900  reward 0.500\u{1B}[K") }
    if columns == 200 { #expect(output.contains("╌╌╌")) }
  }

  @Test("Quiet keeps warnings only")
  func quiet() throws {
    let trial = TrialConsole(quiet: true)
    trial.console.show(Progress(stage: "rl", step: 1, total: 1))
    trial.console.info("information")
    trial.console.warning("careful")
    trial.console.finish()
    #expect(try trial.output() == "warning: careful\n")
  }

  @Test("Threads at once write whole lines")
  func threads() async throws {
    let trial = TrialConsole()
    await withTaskGroup { group in
      for task in 0..<8 {
        group.addTask { for index in 0..<50 { trial.console.info("task \(task) message \(index)") } }
      }
    }
    let lines = try trial.output().split(separator: "\n")
    #expect(lines.count == 400)
    #expect(lines.allSatisfy { $0.hasPrefix("task ") && $0.split(separator: " ").count == 4 })
  }
}
