import Support
import Telemetry

/// The logs of a run: `metrics.jsonl`, and `samples.jsonl` where it writes completions.
struct RunLogs: ~Copyable {
  private var metrics: MetricLog
  private var samples: SampleLog?

  init(metrics: consuming MetricLog, samples: consuming SampleLog?) {
    self.metrics = metrics
    self.samples = samples
  }

  /// Writes a step's lines. Where only the first of the two comes through, resuming cuts it off again.
  mutating func append(_ step: StepRecord) throws(Failure) {
    try metrics.append(step)
    try samples?.append(step)
  }

  /// What tells the file of the metrics from another of its name.
  var identity: FileIdentity? { metrics.identity }

  /// Makes sure that all lines survive a power failure.
  func sync() throws(Failure) {
    try metrics.sync()
    try samples?.sync()
  }
}
