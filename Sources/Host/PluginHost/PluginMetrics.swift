/// What a call said about one metric; weight 0 says nothing.
package struct PluginMetricValue: Sendable, Equatable {
  package let value: Double
  package let weight: Double

  package init(value: Double, weight: Double) {
    self.value = value
    self.weight = weight
  }
}

/// Folds the metrics of several calls into one number each, as the plugin declared.
package struct PluginMetricFold: Sendable {
  package let metrics: [PluginMetric]
  private var sums: [(value: Double, weight: Double)]

  package init(_ metrics: [PluginMetric]) {
    self.metrics = metrics
    sums = Array(repeating: (0, 0), count: metrics.count)
  }

  /// Adds one call's values, in the order of the declaration.
  package mutating func add(_ values: [PluginMetricValue]) {
    for (index, new) in values.enumerated() where new.weight > 0 {
      let old = sums[index]
      let first = old.weight == 0
      switch metrics[index].fold {
      case .mean: sums[index].value += new.weight * new.value
      case .sum: sums[index].value += new.value
      case .minimum: sums[index].value = first ? new.value : min(old.value, new.value)
      case .maximum: sums[index].value = first ? new.value : max(old.value, new.value)
      }
      sums[index].weight += new.weight
    }
  }

  /// The metrics that something was said about, in the order of the declaration.
  package var results: [(name: String, value: Double)] {
    zip(metrics, sums).compactMap { metric, sum in
      if sum.weight == 0 { return nil }
      return (metric.name, metric.fold == .mean ? sum.value / sum.weight : sum.value)
    }
  }
}
