import Support

/// A completion for a terminal: its tokens on a background that says how much of something each has.
package struct SampleText: Sendable {
  /// What tokens are coloured by.
  package enum Measure: String, Sendable, CaseIterable {
    case advantage, ratio, entropy
    case logProb = "log-prob"
  }

  package let measure: Measure
  package let isColoured: Bool

  package init(_ measure: Measure, isColoured: Bool) {
    self.measure = measure
    self.isColoured = isColoured
  }

  /// The measure of a token; nil where it was not logged.
  package func value(_ sample: Sample, _ position: Int) -> Double? {
    guard let tokens = sample.tokens else { return nil }
    func at(_ values: [Float]) -> Double? { values.indices.contains(position) ? Double(values[position]) : nil }
    switch measure {
    case .advantage: return at(tokens.advantages) ?? sample.advantage
    case .ratio: return at(tokens.ratios)
    case .entropy: return at(tokens.entropies)
    case .logProb: return at(tokens.logProbs)
    }
  }

  package func text(_ sample: Sample) -> String {
    guard isColoured, let tokens = sample.tokens else { return Self.printable(sample.completion) }
    var text = ""
    for (position, token) in tokens.texts.enumerated() {
      guard let value = value(sample, position), let shade = shade(value) else {
        text += Self.printable(token)
        continue
      }
      // A background that runs to the end of the line would colour more than the token.
      let parts = Self.printable(token).split(separator: "\n", omittingEmptySubsequences: false)
      text += parts.map { $0.isEmpty ? "" : "\u{1B}[38;5;231;48;5;\(shade)m\($0)\u{1B}[0m" }.joined(separator: "\n")
    }
    return text
  }

  /// The tokens with the largest measure, for those who see no colours.
  package func notable(_ sample: Sample, count: Int = 8) -> TextTable {
    var table = TextTable([.init("token", .right), .init("text"), .init(measure.rawValue, .right)])
    let values = (0..<(sample.tokens?.texts.count ?? 0)).compactMap { index in value(sample, index).map { (index, $0) } }
    for (index, value) in values.sorted(by: { strength($0.1) > strength($1.1) }).prefix(count) {
      let text = sample.tokens?.texts[index].debugDescription ?? ""
      table.append(["\(index)", text, Format.significant(value, 4)])
    }
    return table
  }

  /// How far a value is from saying nothing: 0 nothing, 1 much.
  private func strength(_ value: Double) -> Double {
    switch measure {
    case .advantage: abs(value) / 2
    case .ratio: abs(value - 1) / 0.3
    case .entropy: value / 1.5
    case .logProb: -value / 3
    }
  }

  /// A colour of the 256 that terminals share, dark enough for white text; nil for next to nothing.
  private func shade(_ value: Double) -> Int? {
    let shades =
      switch measure {
      case .advantage: value >= 0 ? [17, 18, 19, 20] : [52, 88, 124, 160]
      case .ratio: value >= 1 ? [17, 18, 19, 20] : [52, 88, 124, 160]
      case .entropy: [58, 94, 130, 166]
      case .logProb: [53, 54, 90, 127]
      }
    let strength = strength(value)
    guard strength.isFinite, strength > 0.02 else { return nil }
    return shades[Int(min(3, strength * 4))]
  }

  /// What a model writes must not steer the terminal.
  package static func printable(_ text: String) -> String {
    OneLine.lines(text)
  }
}
