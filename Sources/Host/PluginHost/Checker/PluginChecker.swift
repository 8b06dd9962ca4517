import Support

/// Checks a plugin's library against the contract, in child processes: what it does to itself it does not do to this one.
package struct PluginChecker {
  package let settings: CheckSettings
  /// The program that is started as a child: this one, unless a test says otherwise.
  private let program: String?

  package init(_ settings: CheckSettings, program: String? = Files.program) {
    self.settings = settings
    self.program = program
  }

  /// Runs the tests. In the full form each has a process of its own; `onOutcome` hears of each as it ends.
  package func run(_ onOutcome: (CheckOutcome) -> Void = { _ in }) throws(Failure) -> CheckReport {
    guard let program else { throw .internalError("the program's own path is unknown, so that no child can be started") }
    let watch = Stopwatch()
    // What runs in a process of its own does nothing to the child, and starting an interpreter for each test would take longer than all of them.
    let isElsewhere = PythonLoss.isPacked(settings.path)
    var outcomes: [CheckOutcome] = []
    var waiting = CheckTest.allCases.filter { settings.tests.contains($0) && ($0.isQuick || !settings.isQuick) }
    while !waiting.isEmpty {
      if watch.seconds > settings.wholeLimit {
        outcomes.append(
          CheckOutcome(waiting.removeFirst(), .failed, "not run: the tests before it took more than \(Format.shortest(settings.wholeLimit)) s in all"))
        onOutcome(outcomes[outcomes.count - 1])
        break
      }
      let failed = Set(outcomes.filter { $0.status == .failed }.map(\.test))
      if let cause = waiting[0].prerequisites.first(where: failed.contains) {
        outcomes.append(CheckOutcome(waiting.removeFirst(), .blocked, "not run: \(cause.rawValue) has to pass first"))
        onOutcome(outcomes[outcomes.count - 1])
        continue
      }
      let batch = settings.isQuick || isElsewhere ? waiting : [waiting[0]]
      let new = try outcomesOfChild(program, batch, failed)
      for outcome in new {
        outcomes.append(outcome)
        onOutcome(outcome)
      }
      waiting.removeFirst(new.count)
    }
    return CheckReport(settings: settings, outcomes: outcomes, seconds: watch.seconds)
  }

  /// What a child says about the first tests of a list, up to the first that fails: at least one.
  private func outcomesOfChild(
    _ program: String, _ tests: [CheckTest], _ failed: Set<CheckTest>
  ) throws(Failure) -> [CheckOutcome] {
    // A test that would be blocked later ends the batch before it.
    var settings = settings
    settings.tests = Array(tests.prefix { $0.prerequisites.allSatisfy { !failed.contains($0) } })
    if !settings.isQuick { settings.timeLimit *= Double(settings.tests.count) }
    let child = try ChildProcess.run(program, CheckChild.arguments(settings), seconds: settings.timeLimit)
    var outcomes: [CheckOutcome] = []
    var signal = ""
    var strange: String?
    for line in String(decoding: child.report, as: UTF8.self).split(separator: "\n") {
      let parts = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
      switch parts[0] {
      case "end" where parts.count > 1:
        // In the order asked for, each once: anything else did not come from the check.
        guard let json = try? JSON.parse(parts[1...].joined(separator: "\t"), name: ""), let outcome = CheckOutcome(json: json),
          outcomes.count < settings.tests.count, outcome.test == settings.tests[outcomes.count], outcome.status != .blocked
        else {
          strange = String(line.prefix(80))
          break
        }
        outcomes.append(outcome)
        if outcome.status == .failed { return outcomes }
      case "signal" where parts.count > 3: signal = Self.signal(inLine: String(line)) ?? ""
      case "error" where parts.count > 1: strange = String(line.prefix(80))
      case "begin": break
      default: strange = String(line.prefix(80))
      }
      if strange != nil { break }
    }
    if let strange {
      let test = settings.tests[min(outcomes.count, settings.tests.count - 1)]
      outcomes = Array(outcomes.prefix(settings.tests.count - 1))
      outcomes.append(
        CheckOutcome(test, .failed, "something else than the check writes to its report (\(OneLine.text(strange))): the plugin's business is not descriptor \(ChildProcess.reportDescriptor)"))
      return outcomes
    }
    if outcomes.count == settings.tests.count { return outcomes }
    let message: String
    switch child.end {
    case .flooded: message = "reports more than \(ChildProcess.longestReport >> 20) MiB: the plugin's business is not descriptor \(ChildProcess.reportDescriptor)"
    case .timedOut: message = "did not end within \(Format.shortest(settings.timeLimit)) s\(signal)"
    case .signalled(let number):
      message = "ended by " + (signal.isEmpty ? Self.name(ofSignal: number) : signal)
    case .exited(let code): message = "the plugin ended the process with exit code \(code)"
    }
    let said = child.output.split(separator: "\n").last.map { "; the last it printed: \($0)" } ?? ""
    outcomes.append(CheckOutcome(settings.tests[outcomes.count], .failed, message + said))
    return outcomes
  }

  /// What a process that ended by a signal said of it, in words.
  static func signal(inLine line: String) -> String? {
    let parts = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
    guard parts[0] == "signal", parts.count > 3 else { return nil }
    var signal = name(ofSignal: Int32(parts[1]) ?? 0) + (parts[2].isEmpty ? "" : " in \(parts[2])")
    if !parts[3].isEmpty { signal += ": it \(parts[3])" }
    if parts.count > 5, let line = sourceLine(parts[4], parts[5]) { signal += " at \(line)" }
    return signal
  }

  /// File and line of an instruction, where the library says them and `addr2line` or `llvm-symbolizer` is there to read it.
  private static func sourceLine(_ library: String, _ offset: String) -> String? {
    guard offset.allSatisfy(\.isHexDigit), Files.exists(library) else { return nil }
    for tool in ["/usr/bin/addr2line", "/usr/bin/llvm-addr2line"] where Files.exists(tool) {
      guard let child = try? ChildProcess.run(tool, ["-e", library, "0x" + offset], seconds: 5), child.end == .exited(0) else { continue }
      let line = child.output.trimmed
      if !line.isEmpty, !line.hasPrefix("?") { return line.hasSuffix(":?") ? nil : Files.name(of: line) }
    }
    return nil
  }

  static func name(ofSignal number: Int32) -> String {
    switch number {
    case SIGSEGV: "SIGSEGV"
    case SIGBUS: "SIGBUS"
    case SIGILL: "SIGILL"
    case SIGFPE: "SIGFPE"
    case SIGABRT: "SIGABRT"
    case SIGTRAP: "SIGTRAP"
    case SIGKILL: "SIGKILL"
    case SIGALRM: "SIGALRM"
    default: "signal \(number)"
    }
  }
}

extension PluginChecker {
  /// The form that runs before training: under a second, and one line where the plugin fails.
  package static func requirePassing(_ card: PluginCard, parameters: [String]) throws(Failure) {
    var settings = CheckSettings(path: card.path)
    settings.parameters = parameters
    settings.isQuick = true
    if let refusal = try PluginChecker(settings).run().refusal(of: card.id, unless: "--trust-plugin") { throw refusal }
  }
}
