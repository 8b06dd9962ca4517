import Support

/// `samples.jsonl`: what the model wrote, one JSON object a line, headed by stage and step.
package struct SampleLog: ~Copyable {
  private var log: LineLog

  /// Begins a new file, in place of one that is there.
  package init(creating path: String) throws(Failure) { log = try LineLog(creating: path) }

  /// Goes on with a file, cut as ``MetricLog`` cuts.
  package init(resuming path: String, stage: String, step: Int) throws(Failure) {
    log = try LineLog(resuming: path, stage: stage, step: step)
  }

  /// Writes `sample` with `stage` and `step` before its own fields.
  package mutating func append(stage: String, step: Int, _ sample: JSON.Object) throws(Failure) {
    var record: JSON.Object = ["stage": .string(stage), "step": .integer(step)]
    for key in sample.keys {
      if record[key] != nil { throw .internalError("a sample has a field \"\(key)\", which every record has already") }
      record[key] = sample[key]
    }
    try log.append(.object(record))
  }

  /// Writes the completions of a step, all at once.
  package mutating func append(_ step: StepRecord) throws(Failure) {
    if !step.sampleLines.isEmpty { try log.append(lines: step.sampleLines) }
  }

  /// Makes sure that all records survive a power failure.
  package func sync() throws(Failure) { try log.sync() }

  package static func read(_ path: String) throws(Failure) -> [JSON] { try LineLog.read(path) }

  /// The completions of one step, and the steps that have some; the newest step where none is named. Other steps' lines
  /// are passed over unread: a long run has gigabytes of them.
  package static func read(_ path: String, step: Int?) throws(Failure) -> (steps: [Int], samples: [Sample]) {
    let bytes = try Files.read(path)
    var steps: [Int] = []
    var lines: [Int: [Range<Int>]] = [:]
    for line in LineLog.lines(of: bytes) {
      guard let step = LineLog.step(of: bytes[line]) else { continue }
      if lines[step] == nil { steps.append(step) }
      lines[step, default: []].append(line)
    }
    var samples: [Sample] = []
    if let step = step ?? steps.max() {
      for line in lines[step] ?? [] {
        samples.append(Sample(try JSON.parse(Array(bytes[line]), name: "\(path): a sample of step \(step)")))
      }
    }
    return (steps.sorted(), samples)
  }
}
