import PluginHost
import Support
import Telemetry

/// What several plugins make of one batch, as tables, pictures and numbers.
package struct ComparisonReport {
  /// A completion whose tokens are shown, and their texts as far as anybody knows them.
  package struct Completion {
    let number: Int
    let tokens: Range<Int>
    let texts: [String]

    /// - Parameters:
    ///   - number: counted from 1.
    ///   - tokens: where it stands among the batch's tokens.
    package init(number: Int, tokens: Range<Int>, texts: [String]) { (self.number, self.tokens, self.texts) = (number, tokens, texts) }
  }

  private let comparison: PluginComparison
  private let facts: [String]
  private let completion: Completion?

  /// - Parameter facts: what was compared on what, for the reader.
  package init(_ comparison: PluginComparison, facts: [String], completion: Completion?) {
    (self.comparison, self.facts, self.completion) = (comparison, facts, completion)
  }

  private var labels: [String] { comparison.members.map(\.label) }

  private var lossTable: TextTable {
    var table = TextTable([
      .init("plugin"), .init("loss", .right), .init("gradient", .right), .init("clipped", .right), .init("groups kept", .right),
      .init("mean |advantage|", .right),
    ])
    for member in comparison.members {
      let evaluation = member.evaluation
      let size = evaluation.advantages.reduce(0) { $0 + Double(abs($1)) } / Double(max(1, evaluation.advantages.count))
      table.append([
        member.label, Format.significant(evaluation.loss, 4), Format.significant(member.gradientNorm, 4), Format.percent(member.clippedShare),
        "\(evaluation.keep.count { $0 }) of \(evaluation.keep.count)", Format.significant(size),
      ])
    }
    return table
  }

  private var cosineTable: TextTable {
    var table = TextTable([.init("cosine")] + labels.map { .init($0, .right) })
    for (label, row) in zip(labels, comparison.cosines) { table.append([label] + row.map { $0.map { Format.fixed($0, 3) } ?? "–" }) }
    return table
  }

  /// What each plugin pushes a token by: minus the derivative of its loss by the token's log-probability. Scaled, so that the largest push of
  /// each plugin within the completion is 1.
  private var credits: [[Double]] {
    guard let completion else { return [] }
    return comparison.members.map { member in
      let pushes = member.evaluation.dCurrent[completion.tokens].map { -Double($0) }
      let largest = pushes.reduce(0) { max($0, abs($1)) }
      return largest > 0 ? pushes.map { $0 / largest } : pushes
    }
  }

  private var creditTable: TextTable? {
    guard let completion else { return nil }
    var table = TextTable([.init("token", .right), .init("text")] + labels.map { .init($0, .right) })
    let credits = credits
    for (index, text) in completion.texts.enumerated() {
      table.append(["\(index + 1)", OneLine.text(text)] + credits.map { Format.fixed($0[index], 3) })
    }
    return table
  }

  private static let meanings = [
    "gradient: length of the loss's derivative by the tokens' log-probabilities; clipped: share of tokens that a clip keeps from moving on",
    "cosine: 1 where two losses push all tokens the same way, 0 where they have nothing to do with each other, -1 where they pull against each other; – where a gradient is zero",
  ]

  /// For a terminal.
  package var text: String {
    var text = facts.joined(separator: "\n") + "\n\n\(lossTable.text())\n\(cosineTable.text())"
    if let completion, let table = creditTable {
      text += "\nCredit in completion \(completion.number): the push on each token, the largest of each plugin 1\n\(table.text())"
    }
    return text
  }

  package var document: Document {
    var document = Document(title: "Compared: " + labels.joined(separator: ", "))
    let map = HeatMap(
      title: "Do they pull the same way?", subtitle: "cosine between the gradients by the log-probabilities", rows: labels, columns: labels,
      values: comparison.cosines)
    document.parts = [.list(facts), .table(lossTable), .pictures([.init("cosines", title: map.title, svg: map.svg())]), .table(cosineTable), .list(Self.meanings)]
    if let completion, let table = creditTable {
      let map = HeatMap(
        title: "Credit in completion \(completion.number)", subtitle: "the push on each token from the first to the last; each plugin's largest has the full colour",
        rows: labels, columns: completion.texts.enumerated().map { "\($0 + 1) \(OneLine.text($1))" }, values: credits.map { $0.map { $0 } }, hasNumbers: false)
      document.parts += [.heading(map.title), .pictures([.init("credit", title: map.title, svg: map.svg())]), .table(table)]
    }
    return document
  }

  package var json: JSON {
    var plugins: [JSON] = []
    for member in comparison.members {
      var one = member.evaluation.json.object ?? [:]
      one["plugin"] = .string(member.label)
      one["gradient_norm"] = .number(member.gradientNorm)
      one["clipped"] = .number(member.clippedShare)
      if let completion { one["credit"] = .array(member.evaluation.dCurrent[completion.tokens].map { .number(-Double($0)) }) }
      plugins.append(.object(one))
    }
    return [
      "plugins": .array(plugins), "cosines": .array(comparison.cosines.map { .array($0.map { $0.map { .number($0) } ?? .null }) }),
    ]
  }

  /// Writes `compare.json`, `compare.md` with its `charts/`, and `compare.html`.
  package func write(to folder: String) throws(Failure) {
    try Files.makeDirectory(folder)
    try AtomicFile.write(json.text(pretty: true) + "\n", to: folder + "/compare.json")
    try document.write(to: folder, named: "compare")
  }
}
