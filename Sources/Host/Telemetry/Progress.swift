import Support

/// How far a stage has come and how it is doing, as the console shows it.
package struct Progress: Sendable, Equatable {
  /// `sft`, `rl`, `eval`, `loading`, …
  package var stage: String
  package var step: Int
  /// Steps in all; nil where nobody knows.
  package var total: Int?
  package var loss: Double?
  package var reward: Double?
  /// Share of correct answers, 0 to 1.
  package var accuracy: Double?
  /// Share of correct answers to held-out questions.
  package var heldOut: Double?
  package var kl: Double?
  /// Mean completion length in tokens.
  package var length: Double?
  package var tokensPerSecond: Double?
  /// What is going on within the step.
  package var activity: String?

  package init(
    stage: String, step: Int, total: Int? = nil, loss: Double? = nil, reward: Double? = nil, accuracy: Double? = nil,
    heldOut: Double? = nil, kl: Double? = nil, length: Double? = nil, tokensPerSecond: Double? = nil
  ) {
    self.stage = stage
    self.step = step
    self.total = total
    self.loss = loss
    self.reward = reward
    self.accuracy = accuracy
    self.heldOut = heldOut
    self.kl = kl
    self.length = length
    self.tokensPerSecond = tokensPerSecond
  }

  var isLast: Bool { total.map { step >= $0 } ?? false }
}

extension Progress {
  /// One line of text; what matters least goes first where it is wider than `width`.
  func line(remaining: Double?, elapsed: Double, width: Int? = nil, bar: Bool = false) -> String {
    let time = remaining.map { "\(Format.duration($0)) left" } ?? (elapsed < 1 ? nil : Format.duration(elapsed))
    let done = total.map { "\(padded(step, like: $0))/\($0)" } ?? "\(step)"
    // A field's rank says how long it stays: 0 is never left out.
    let fields: [(text: String?, rank: Int)] = [
      ("\(stage) \(done)", 0),
      (activity, 1),
      (bar ? total.map { Self.bar(Double(step) / Double(max($0, 1))) } : nil, 5),
      (loss.map { "loss \(Format.significant($0))" }, 3),
      (reward.map { "reward \(Format.fixed($0, 3))" }, 1),
      (accuracy.map { "accuracy \(Format.percent($0))" }, 2),
      (heldOut.map { "held out \(Format.percent($0))" }, 2),
      (kl.map { "KL \(Format.significant($0, 2))" }, 4),
      (length.map { "length \(Format.fixed($0, 0))" }, 6),
      (tokensPerSecond.map { "\(Format.count($0)) tok/s" }, 7),
      (isLast ? "in \(Format.duration(elapsed))" : time, 1),
    ]
    var shown = fields.compactMap { field in field.text.map { (text: $0, rank: field.rank) } }
    func text() -> String { shown.map(\.text).joined(separator: "  ") }
    guard let width else { return text() }
    while text().count > width, let last = shown.map(\.rank).max(), last > 0 { shown.removeAll { $0.rank == last } }
    return String(text().prefix(max(width, 0)))
  }

  private func padded(_ value: Int, like other: Int) -> String {
    String(repeating: " ", count: max(0, String(other).count - String(value).count)) + String(value)
  }

  private static func bar(_ share: Double) -> String {
    let cells = 16
    let full = share.isFinite ? Int((min(max(share, 0), 1) * Double(cells)).rounded(.down)) : 0
    return String(repeating: "━", count: full) + String(repeating: "╌", count: cells - full)
  }
}
