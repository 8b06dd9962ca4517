import Support

/// The outcomes of a check, for people and for programs.
package struct CheckReport: Sendable {
  package let settings: CheckSettings
  package let outcomes: [CheckOutcome]
  package let seconds: Double

  package var failures: [CheckOutcome] { outcomes.filter { $0.status == .failed } }
  package var passed: Bool { failures.isEmpty }
  private func count(_ status: CheckOutcome.Status) -> Int { outcomes.count { $0.status == status } }

  package var text: String {
    var lines = ["\(settings.shownPath) (seed \(settings.seed))"]
    let width = outcomes.map(\.test.rawValue.count).max() ?? 0
    for outcome in outcomes {
      let name = outcome.test.rawValue + String(repeating: " ", count: width - outcome.test.rawValue.count)
      let mark: String =
        switch outcome.status {
        case .passed: "pass"
        case .failed: "FAIL"
        case .skipped: "skip"
        case .blocked: "-   "
        }
      // A message of several lines is a table: each on a line of its own.
      let said = outcome.message.split(separator: "\n").map { OneLine.text(String($0)) }
      let isTable = outcome.message.contains("\n")
      let note = said.isEmpty || outcome.status != .passed || isTable ? "" : " (\(said[0]))"
      lines.append("  \(mark)  \(name)  \(outcome.test.summary)\(note)")
      if outcome.status != .passed || isTable { lines += said.map { "        " + $0 } }
      if outcome.status == .failed { lines.append("        again: " + again(outcome.test)) }
    }
    let parts = [
      (CheckOutcome.Status.passed, "passed"), (.failed, "failed"), (.skipped, "skipped"), (.blocked, "not run"),
    ].filter { $0.0 == .passed || count($0.0) > 0 }.map { "\(count($0.0)) \($0.1)" }
    lines.append("\(parts.joined(separator: ", ")) in \(Self.rounded(seconds)) s")
    // What went wrong first is the last thing on the screen, however long the list above it is.
    if let first = failures.first {
      lines += ["", "\(first.test.rawValue): \(OneLine.first(of: first.message))", "again: \(again(first.test))"]
    }
    return lines.joined(separator: "\n") + "\n"
  }

  package var json: JSON {
    [
      "path": .string(settings.path), "seed": .integer(Int(settings.seed)), "quick": .bool(settings.isQuick),
      "parameters": .array(settings.parameters.map { .string($0) }), "passed": .bool(passed),
      "seconds": .number(seconds), "tests": .array(outcomes.map(\.json)),
    ]
  }

  /// One line for a command that does not go on with a plugin that fails; nil where it passes.
  package func refusal(of plugin: String, unless flag: String) -> Failure? {
    guard let first = failures.first else { return nil }
    let more = failures.count > 1 ? " and \(failures.count - 1) more" : ""
    let settings = self.settings.parameters.map { " --set \($0)" }.joined()
    return .badData(
      "plugin \(plugin) fails its check \(first.test.rawValue)\(more): \(OneLine.first(of: first.message)); see nano-reasoner plugin check \(self.settings.shownPath)\(settings), or go on all the same with \(flag)"
    )
  }

  private func again(_ test: CheckTest) -> String {
    let words =
      ["nano-reasoner plugin check", settings.shownPath, "--only \(test.rawValue)", "--seed \(settings.seed)"]
      + settings.parameters.map { "--set \($0)" } + (settings.isQuick ? ["--quick"] : [])
    return words.joined(separator: " ")
  }

  static func rounded(_ value: Double) -> String {
    let hundredths = Int((100 * value).rounded())
    let digits = String(hundredths % 100)
    return "\(hundredths / 100)." + (digits.count < 2 ? "0" : "") + digits
  }
}
