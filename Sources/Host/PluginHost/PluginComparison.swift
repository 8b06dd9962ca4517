import Support

/// What several plugins make of one rollout: their losses, how far their gradients by the log-probabilities agree, what each clips.
package struct PluginComparison: Sendable {
  package struct Member: Sendable {
    package let label: String
    package let evaluation: PluginEvaluation
    /// The length of ``PluginEvaluation/dCurrent``.
    package let gradientNorm: Double
    package let clippedShare: Double
  }

  package let members: [Member]
  /// The cosine of the angle between two members' gradients; nil where one of them is zero.
  package let cosines: [[Double?]]

  package init(_ evaluations: [(label: String, evaluation: PluginEvaluation)]) {
    members = evaluations.map { label, evaluation in
      Member(
        label: label, evaluation: evaluation, gradientNorm: Self.norm(evaluation.dCurrent), clippedShare: evaluation.clippedShare)
    }
    cosines = evaluations.map { one in evaluations.map { other in Self.cosine(one.evaluation.dCurrent, other.evaluation.dCurrent) } }
  }

  package static func norm(_ gradient: [Float]) -> Double {
    gradient.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
  }

  /// nil where one of them is zero.
  package static func cosine(_ one: [Float], _ other: [Float]) -> Double? {
    let product = norm(one) * norm(other)
    if product == 0 { return nil }
    return max(-1, min(1, zip(one, other).reduce(0) { $0 + Double($1.0) * Double($1.1) } / product))
  }
}

/// What a clip does to a token, whatever its form: one with an advantage, moved the way that it asks for, gets no gradient.
package enum ClipSide: Sendable {
  case low, high

  /// - Parameter logRatio: current - old.
  package init?(derivative: Float, advantage: Float, logRatio: Double) {
    guard derivative == 0 else { return nil }
    if advantage < 0, logRatio < 0 { self = .low } else if advantage > 0, logRatio > 0 { self = .high } else { return nil }
  }
}
