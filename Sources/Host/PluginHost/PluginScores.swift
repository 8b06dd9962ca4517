/// What the model in training says of a micro-batch's tokens.
package struct PluginScores: Sendable {
  /// [T]
  package let logProbs: [Float]
  /// [T] nats; nil where nobody knows.
  package let entropies: [Float]?
  /// [T] nil without a critic.
  package let values: [Float]?

  package init(logProbs: [Float], entropies: [Float]? = nil, values: [Float]? = nil) {
    self.logProbs = logProbs
    self.entropies = entropies
    self.values = values
  }
}
