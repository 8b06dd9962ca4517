import Support
import Telemetry
import TestSupport
import Testing

@Suite("Logs of JSON lines")
struct LogTests {
  let folder: TrialFolder
  let path: String

  init() throws {
    folder = try TrialFolder()
    path = folder.file("metrics.jsonl")
  }

  static func record(_ stage: String, _ step: Int) -> MetricRecord {
    MetricRecord(
      stage: stage, step: step, elapsed: Double(step), metrics: ["loss": 1 / Double(step + 1), "reward": 0.5])
  }

  func steps() throws -> [String] { try MetricLog.read(path).map { "\($0.stage) \($0.step)" } }

  /// `sft` 1 to 3, then `rl` 1 to 4.
  func write() throws {
    var log = try MetricLog(creating: path)
    for step in 1...3 { try log.append(Self.record("sft", step)) }
    for step in 1...4 { try log.append(Self.record("rl", step)) }
  }

  func write(_ text: String) throws { try AtomicFile.write(text, to: path) }

  @Test("A record is one flat line, whole as soon as it is appended")
  func line() throws {
    var log = try MetricLog(creating: path)
    let time = Timestamp(secondsSince1970: 0)
    try log.append(
      MetricRecord(
        stage: "rl", step: 3, time: time, elapsed: 1.5, metrics: ["loss": .nan, "reward": 0.25, "kl": .infinity]))
    let text = try Files.readText(path)
    #expect(
      text == """
        {"stage":"rl", "step":3, "time":"1970-01-01T00:00:00.000Z", "elapsed":1.5, "loss":null, "reward":0.25, \
        "kl":null, "nonfinite":["loss", "kl"]}

        """)
    let record = try #require(try MetricLog.read(path).first)
    #expect(record.metrics.names == ["loss", "reward", "kl"])
    #expect(record.metrics["loss"]?.isNaN == true)
    #expect(record.metrics["reward"] == 0.25)
    #expect(record.time == time)
  }

  @Test("Doubles come back bit for bit")
  func exact() throws {
    let values = [0.1, 1e-300, Double.leastNonzeroMagnitude, 1 / 3.0, -0.0, 1e16, 123_456_789.125]
    var log = try MetricLog(creating: path)
    var metrics = Metrics()
    for (index, value) in values.enumerated() { metrics["m\(index)"] = value }
    try log.append(MetricRecord(stage: "rl", step: 1, elapsed: 0, metrics: metrics))
    let read = try #require(try MetricLog.read(path).first?.metrics)
    #expect(read.names.compactMap { read[$0]?.bitPattern } == values.map(\.bitPattern))
  }

  @Test(
    "Resuming keeps everything through a step of a stage and nothing behind",
    arguments: [
      ("rl", 2, ["sft 1", "sft 2", "sft 3", "rl 1", "rl 2"]), ("rl", 0, ["sft 1", "sft 2", "sft 3"]),
      ("sft", 2, ["sft 1", "sft 2"]), ("sft", 3, ["sft 1", "sft 2", "sft 3"]), ("sft", 0, []),
      ("rl", 9, ["sft 1", "sft 2", "sft 3", "rl 1", "rl 2", "rl 3", "rl 4"]),
      ("eval", 1, ["sft 1", "sft 2", "sft 3", "rl 1", "rl 2", "rl 3", "rl 4"]),
    ])
  func resume(stage: String, step: Int, kept: [String]) throws {
    try write()
    var log = try MetricLog(resuming: path, stage: stage, step: step)
    #expect(try steps() == kept)
    try log.append(Self.record("rl", 99))
    #expect(try steps() == kept + ["rl 99"])
  }

  @Test("A half-written last line is left out by a reader and cut off by a resume")
  func halfLine() throws {
    try write()
    let whole = try Files.readText(path)
    try write(whole + #"{"stage": "rl", "step": 5, "lo"#)
    #expect(try steps().count == 7)
    var log = try MetricLog(resuming: path, stage: "rl", step: 9)
    #expect(try Files.readText(path) == whole)
    try log.append(Self.record("rl", 5))
    #expect(try steps().last == "rl 5")
  }

  @Test("A broken line behind the cut goes, one before it is an error that names it")
  func brokenLine() throws {
    let good = #"{"stage": "rl", "step": 1}"# + "\n"
    try write(good + "\0\0\0\n")
    _ = try MetricLog(resuming: path, stage: "rl", step: 1)
    #expect(try Files.readText(path) == good)
    try write("{oops\n" + good)
    let failure = #expect(throws: Failure.self) { _ = try MetricLog(resuming: path, stage: "rl", step: 1) }
    #expect(failure?.code == .badData)
    #expect(failure?.message.contains("metrics.jsonl: record 1") == true)
  }

  @Test("Resuming a missing file begins it, creating one replaces it")
  func begin() throws {
    do { _ = try MetricLog(resuming: path, stage: "rl", step: 3) }
    #expect(try steps() == [])
    try write()
    _ = try MetricLog(creating: path)
    #expect(try steps() == [])
  }

  @Test("A metric must not take the name of a record's own field")
  func reservedName() throws {
    var log = try MetricLog(creating: path)
    let record = MetricRecord(stage: "rl", step: 1, elapsed: 0, metrics: ["step": 1])
    do throws(Failure) {
      try log.append(record)
      #expect(Bool(false))
    } catch { #expect(error.code == .internalError) }
    #expect(try Files.read(path) == [])
  }

  @Test("Metrics keep their order and merge under a prefix")
  func metrics() {
    var metrics: Metrics = ["b": 1, "a": 2]
    metrics.merge(["a": 3, "c": 4], prefix: "plugin/")
    metrics["b"] = 5
    metrics["a"] = nil
    #expect(metrics.names == ["b", "plugin/a", "plugin/c"])
    #expect(metrics["b"] == 5)
  }

  @Test("Samples carry stage and step and resume the same way")
  func samples() throws {
    let path = folder.file("samples.jsonl")
    do {
      var log = try SampleLog(creating: path)
      for step in 1...3 { try log.append(stage: "rl", step: step, ["text": "line\nbreak", "reward": 1.0]) }
    }
    do {
      var log = try SampleLog(resuming: path, stage: "rl", step: 1)
      try log.append(stage: "rl", step: 2, ["text": "second"])
      try log.sync()
    }
    #expect(
      try SampleLog.read(path) == [
        ["stage": "rl", "step": 1, "text": "line\nbreak", "reward": 1.0],
        ["stage": "rl", "step": 2, "text": "second"],
      ])
  }
}
