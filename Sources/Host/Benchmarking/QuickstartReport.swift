import Evaluation
import Support
import Telemetry

/// What `quickstart` found: the table of stages and the picture of the way there.
package struct QuickstartReport: Sendable {
  private struct Row: Sendable {
    let stage: String
    let greedy: EvaluationResult
    let sampled: EvaluationResult
    let trainingSeconds: Double
  }

  let algorithm: String
  let id: String
  let heldOut: Int
  let seed: UInt64
  let folder: String
  let questions: [String]
  /// The folder of the base model.
  var base = ""
  /// What names the form of its prompts to other commands; empty where they choose it themselves.
  var formOption: [String] = []
  var seconds = 0.0
  var sftLoss: [(step: Int, loss: Double)] = []
  var reward: [(step: Int, value: Double)] = []
  /// Greedy accuracy on a few held-out problems while RL goes on.
  var curve: [(step: Int, value: Double)] = []
  var curveProblems = 0
  private var rows: [Row] = []

  init(algorithm: String, id: String, questions: [String], seed: UInt64, folder: String) {
    self.algorithm = algorithm
    self.id = id
    heldOut = questions.count
    self.questions = questions
    self.seed = seed
    self.folder = folder
  }

  mutating func add(
    _ stage: String, greedy: EvaluationResult, sampled: EvaluationResult, trainingSeconds: Double
  ) {
    rows.append(Row(stage: stage, greedy: greedy, sampled: sampled, trainingSeconds: trainingSeconds))
  }

  private var table: TextTable {
    var table = TextTable([
      .init("stage"), .init("Pass@1 greedy", .right), .init("Pass@1 sampled", .right), .init("correct format", .right),
      .init("mean length", .right), .init("training", .right), .init("evaluation", .right),
    ])
    for row in rows {
      table.append([
        row.stage, Self.share(row.greedy.accuracy), Self.share(row.sampled.accuracy),
        Format.percent(row.greedy.format), "\(Format.fixed(row.greedy.meanLength, 1)) tokens",
        row.trainingSeconds > 0 ? Format.duration(row.trainingSeconds) : "–",
        Format.duration(row.greedy.seconds + row.sampled.seconds),
      ])
    }
    return table
  }

  private static func share(_ accuracy: Statistics.Interval) -> String {
    "\(Format.percent(accuracy.estimate)) [\(Format.fixed(100 * accuracy.lower, 1)), \(Format.fixed(100 * accuracy.upper, 1))]"
  }

  /// What one stage changed, judged on the same problems by McNemar's exact test.
  private struct Change {
    let points: Double
    let gained: Int
    let lost: Int
    let pValue: Double
    let intervalsOverlap: Bool

    init(from before: EvaluationResult, to after: EvaluationResult) {
      let pairs = zip(before.completions, after.completions).map { ($0.verdict.isCorrect, $1.verdict.isCorrect) }
      gained = pairs.count { !$0.0 && $0.1 }
      lost = pairs.count { $0.0 && !$0.1 }
      points = 100 * (after.accuracy.estimate - before.accuracy.estimate)
      pValue = Statistics.mcNemarExact(onlyFirst: lost, onlySecond: gained)
      intervalsOverlap =
        before.accuracy.lower <= after.accuracy.upper && after.accuracy.lower <= before.accuracy.upper
    }

    func sentence(_ stage: String, _ before: String) -> String {
      let size = "\(stage) changed greedy accuracy by \(points < 0 ? "−" : "+")\(Format.fixed(abs(points), 1)) points over \(before)"
      let test =
        "(\(gained) problems gained, \(lost) lost; McNemar p \(pValue < 0.001 ? "< 0.001" : "= " + Format.fixed(pValue, 3)))"
      let verdict =
        pValue >= 0.05
        ? "this run alone does not show a difference"
        : intervalsOverlap ? "a difference, though the intervals overlap" : "the intervals do not overlap"
      return "\(size) \(test): \(verdict)."
    }
  }

  private var change: Change? { rows.count == 3 ? Change(from: rows[1].greedy, to: rows[2].greedy) : nil }

  private var conclusion: String { change.map { $0.sentence(id, rows[1].stage) } ?? "" }

  /// One problem that the last stage solves and the one before did not, with both completions.
  private var example: (question: String, before: String, after: String)? {
    guard rows.count == 3 else { return nil }
    let pairs = zip(rows[1].greedy.completions, rows[2].greedy.completions)
    guard let pair = pairs.first(where: { !$0.verdict.isCorrect && $1.verdict.isCorrect }) else { return nil }
    return (questions[pair.0.example], pair.0.text, pair.1.text)
  }

  private var exampleText: String {
    guard let example else { return "" }
    func indented(_ text: String) -> String {
      text.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n")
    }
    return """

      A held-out problem that \(rows[1].stage) got wrong and \(id) gets right:
        \(example.question)
        \(rows[1].stage):
      \(indented(example.before))
        \(id):
      \(indented(example.after))

      """
  }

  package var text: String {
    """

    \(table.text())
    \(heldOut) held-out problems (95 % intervals), seed \(seed), \(Format.duration(seconds)) in all.
    \(conclusion)
    \(exampleText)
    Picture: \(folder)/report.svg   Table: \(folder)/report.md   Adapter: \(folder)/rl/adapter

    \(next)
    """
  }

  /// Commands to go on with, as they can be copied.
  private var next: String {
    let adapted = ["--model", base, "--adapter", "\(folder)/rl/adapter"] + formOption
    let question = questions.min { $0.utf8.count < $1.utf8.count } ?? ""
    let commands: [(what: String, words: [String])] = [
      ("ask the trained model", ["generate"] + adapted + ["--prompt", question]),
      ("read what it wrote in its last step", ["inspect", "\(folder)/rl"]),
      ("curves and completions as one page, \(folder)/report.html", ["report", folder]),
      ("a whole model for other programs", ["export"] + adapted + ["--out", "\(folder)/model"]),
    ]
    let lines = commands.map { "  # \($0.what)\n  \(ShellWord.program) \(ShellWord.line($0.words))" }
    return "Next:\n" + lines.joined(separator: "\n") + "\n"
  }

  package var json: JSON {
    var object: JSON.Object = [
      "algorithm": .string(id), "seed": .integer(Int(seed)), "held_out": .integer(heldOut), "seconds": .number(seconds),
      "stages": .array(
        rows.map { row in
          [
            "stage": .string(row.stage), "greedy": row.greedy.json, "sampled": row.sampled.json,
            "training_seconds": .number(row.trainingSeconds),
          ]
        }),
    ]
    if let change {
      object["change"] = [
        "points": .number(change.points), "gained": .integer(change.gained), "lost": .integer(change.lost),
        "mcnemar_p": .number(change.pValue), "intervals_overlap": .bool(change.intervalsOverlap),
      ]
    }
    return .object(object)
  }

  private var chart: LineChart {
    let offset = Double(sftLoss.count)
    var series = [
      LineChart.Series(
        "mean reward (training, T = 0.8)", reward.map { LineChart.Point(offset + Double($0.step), $0.value) }, smoothing: 0.8)
    ]
    let points = curve.map { step, value in
      let interval = Statistics.wilson(successes: Int((value * Double(curveProblems)).rounded()), trials: max(1, curveProblems))
      return LineChart.Point(offset + Double(step), value, low: interval.lower, high: interval.upper)
    }
    series.append(LineChart.Series("accuracy (held out, greedy)", points))
    if rows.count == 3 {
      let ends = [(0.0, rows[0]), (offset, rows[1]), (offset + Double(reward.count), rows[2])]
      series.append(
        LineChart.Series(
          "accuracy of the stages (\(heldOut) problems)",
          ends.map { x, row in
            LineChart.Point(
              x, row.greedy.accuracy.estimate, low: row.greedy.accuracy.lower, high: row.greedy.accuracy.upper)
          }))
    }
    return LineChart(
      title: "Base → SFT → \(id)", subtitle: "\(heldOut) held-out problems, seed \(seed), \(Format.duration(seconds)) on the CPU",
      xLabel: "training step", yLabel: "accuracy, reward", yRange: 0...1, yScale: .percent,
      stages: [.init("SFT", from: 0), .init(id, from: offset)], series: series)
  }

  func write() throws(Failure) {
    try AtomicFile.write(chart.svg(), to: folder + "/report.svg")
    try AtomicFile.write(
      "# Base → SFT → \(id)\n\n\(table.markdown())\n\(heldOut) held-out problems, seed \(seed). \(conclusion)\n\n![Accuracy and reward over steps](report.svg)\n",
      to: folder + "/report.md")
    try AtomicFile.write(json.text(pretty: true) + "\n", to: folder + "/report.json")
  }
}
