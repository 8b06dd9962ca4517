import Support

/// Values whose distribution is worth seeing, such as the lengths of a step's completions.
package struct Distribution: Sendable {
  package let name: String
  package let values: [Float]

  package init(_ name: String, _ values: [Float]) {
    self.name = name
    self.values = values
  }
}

/// Everything a step leaves behind, in the form that logs and sinks share: each line is made once.
package struct StepRecord: Sendable {
  package let metrics: MetricRecord
  package let samples: [Sample]
  package let distributions: [Distribution]
  /// The record's line of `metrics.jsonl`, with its line feed.
  let metricLine: [UInt8]
  /// The samples' lines of `samples.jsonl`, with their line feeds.
  let sampleLines: [UInt8]

  package init(
    _ metrics: MetricRecord, samples: [Sample] = [], distributions: [Distribution] = []
  ) throws(Failure) {
    self.metrics = metrics
    self.samples = samples
    self.distributions = distributions
    metricLine = Array(try metrics.json().text().utf8) + [0x0A]
    var lines: [UInt8] = []
    for sample in samples { sample.append(stage: metrics.stage, step: metrics.step, to: &lines) }
    sampleLines = lines
  }
}
