import Support

/// `metrics.jsonl`: one ``MetricRecord`` a line, written through at each step, readable while the run goes on.
package struct MetricLog: ~Copyable {
  private var log: LineLog

  /// Begins a new file, in place of one that is there.
  package init(creating path: String) throws(Failure) { log = try LineLog(creating: path) }

  /// Goes on with a file: keeps everything up to the last record of `stage` with at most `step`, cuts off what follows.
  /// Where the stage has no such record, everything before its first one stays. A missing file is begun.
  package init(resuming path: String, stage: String, step: Int) throws(Failure) {
    log = try LineLog(resuming: path, stage: stage, step: step)
  }

  package mutating func append(_ record: MetricRecord) throws(Failure) { try log.append(record.json()) }

  package mutating func append(_ step: StepRecord) throws(Failure) { try log.append(lines: step.metricLine) }

  /// What tells the file that is written from another of its name.
  package var identity: FileIdentity? { log.identity }

  /// Makes sure that all records survive a power failure.
  package func sync() throws(Failure) { try log.sync() }

  /// All whole records of a file, of a finished run or one that goes on.
  package static func read(_ path: String) throws(Failure) -> [MetricRecord] {
    var records: [MetricRecord] = []
    for json in try LineLog.read(path) {
      records.append(try MetricRecord(json, name: "\(path): record \(records.count + 1)"))
    }
    return records
  }
}
