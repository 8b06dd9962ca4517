/// What stage 1 computed.
package struct PluginAdvantages: Sendable {
  /// [T]
  package let advantages: [Float]
  /// [T] nil without a critic.
  package let returns: [Float]?
  /// [S] whether a sequence's tokens count in the update's.
  package let counted: [Bool]
  package let metrics: [PluginMetricValue]

  package init(advantages: [Float], returns: [Float]?, counted: [Bool], metrics: [PluginMetricValue]) {
    self.advantages = advantages
    self.returns = returns
    self.counted = counted
    self.metrics = metrics
  }
}

/// What stage 2 computed for a micro-batch.
package struct PluginGradients: Sendable {
  /// This micro-batch's share: shares add up to the update's loss.
  package let loss: Double
  /// [T] d loss / d current.
  package let dCurrent: [Float]
  /// [T] nil unless needed.
  package let dEntropy: [Float]?
  /// [T] nil without a critic.
  package let dValues: [Float]?
  package let metrics: [PluginMetricValue]

  package init(
    loss: Double, dCurrent: [Float], dEntropy: [Float]?, dValues: [Float]?, metrics: [PluginMetricValue]
  ) {
    self.loss = loss
    self.dCurrent = dCurrent
    self.dEntropy = dEntropy
    self.dValues = dValues
    self.metrics = metrics
  }

  /// Of an update of which all tokens were dropped.
  init(dropping tokens: Int, _ needs: PluginNeeds) {
    let zeros = [Float](repeating: 0, count: tokens)
    self.init(
      loss: 0, dCurrent: zeros, dEntropy: needs.contains(.entropy) ? zeros : nil, dValues: needs.contains(.critic) ? zeros : nil, metrics: [])
  }
}
