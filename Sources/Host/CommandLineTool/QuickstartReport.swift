import Evaluation
import Foundations
import Telemetry

/// What `quickstart` found: the table of stages and the picture of the way there.
struct QuickstartReport {
  private struct Row {
    let stage: String
    let result: EvaluationResult
    let trainingSeconds: Double
  }

  let algorithm: String
  let id: String
  let heldOut: Int
  let seed: UInt64
  let folder: String
  var seconds = 0.0
  var sftLoss: [(step: Int, loss: Double)] = []
  var reward: [(step: Int, value: Double)] = []
  /// Greedy accuracy on a few held-out problems while RL goes on.
  var curve: [(step: Int, value: Double)] = []
  var curveProblems = 0
  private var rows: [Row] = []

  init(algorithm: String, id: String, heldOut: Int, seed: UInt64, folder: String) {
    self.algorithm = algorithm
    self.id = id
    self.heldOut = heldOut
    self.seed = seed
    self.folder = folder
  }

  mutating func add(_ stage: String, _ result: EvaluationResult, trainingSeconds: Double) {
    rows.append(Row(stage: stage, result: result, trainingSeconds: trainingSeconds))
  }

  private var table: TextTable {
    var table = TextTable([
      .init("stage"), .init("Pass@1 (greedy)", .right), .init("95 % interval", .right), .init("correct format", .right),
      .init("mean length", .right), .init("training", .right), .init("evaluation", .right),
    ])
    for row in rows {
      let accuracy = row.result.accuracy
      table.append([
        row.stage, Format.percent(accuracy.estimate),
        "\(Format.fixed(100 * accuracy.lower, 1)) – \(Format.fixed(100 * accuracy.upper, 1))",
        Format.percent(row.result.format), "\(Format.fixed(row.result.meanLength, 1)) tokens",
        row.trainingSeconds > 0 ? Format.duration(row.trainingSeconds) : "–", Format.duration(row.result.seconds),
      ])
    }
    return table
  }

  private var conclusion: String {
    guard rows.count == 3 else { return "" }
    let (before, after) = (rows[1].result.accuracy, rows[2].result.accuracy)
    let gain = Format.fixed(100 * (after.estimate - before.estimate), 1)
    if after.lower > before.upper { return "RL gained \(gain) points over SFT; the intervals do not overlap." }
    return "RL changed accuracy by \(gain) points; the intervals overlap, so this run alone does not show a difference."
  }

  var text: String {
    "\n\(table.text())\n\(heldOut) held-out problems, seed \(seed), \(Format.duration(seconds)) in all. \(conclusion)\nPicture: \(folder)/report.svg   Table: \(folder)/report.md   Adapter: \(folder)/rl/adapter\n"
  }

  var json: JSON {
    [
      "algorithm": .string(id), "seed": .integer(Int(seed)), "held_out": .integer(heldOut), "seconds": .number(seconds),
      "stages": .array(
        rows.map { row in
          var object = row.result.json.object ?? [:]
          object["stage"] = .string(row.stage)
          object["training_seconds"] = .number(row.trainingSeconds)
          return .object(object)
        }),
    ]
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
              x, row.result.accuracy.estimate, low: row.result.accuracy.lower, high: row.result.accuracy.upper)
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
