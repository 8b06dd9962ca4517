import Support
import Synchronization
import Telemetry
import TestSupport
import Testing

@Suite("Sinks", .serialized)
struct SinkTests {
  final class Failing: Sink {
    let name = "failing"
    var writes = 0
    func write(_ step: StepRecord) throws(Failure) {
      writes += 1
      if writes == 2 { throw .inputOutput("disk full") }
    }
    func close(finished: Bool) throws(Failure) { throw .internalError("closed although it had failed") }
  }

  final class Messages {
    var all: [String] = []
  }

  @Test("A sink that fails is warned of once and asked no more; the others go on")
  func failing() throws {
    let folder = try TrialFolder()
    let messages = Messages()
    var sinks = Sinks { messages.all.append($0) }
    let failing = Failing()
    sinks.add("failing") { failing }
    sinks.add("unopened") { () throws(Failure) in throw .inputOutput("nowhere") }
    sinks.add("TensorBoard") { () throws(Failure) in
      try TensorBoardSink(folder: folder.path, after: 0, resuming: false)
    }
    for step in 1...4 { sinks.write(try SampleTests.step(step)) }
    sinks.close(finished: true)
    #expect(
      messages.all == [
        "unopened: nowhere; the run goes on without it", "failing: disk full; the run goes on without it",
      ])
    #expect(failing.writes == 2)
    let file = try #require(try Files.list(folder.path).first)
    #expect(try Files.read(folder.file(file)).count > 250)
  }

  @Test("Steps whose completions are kept: the first, then every so many")
  func sampleEvery() {
    var monitoring = Monitoring()
    monitoring.sampleEvery = 4
    #expect((1...9).filter(monitoring.samples) == [1, 4, 8])
    monitoring.sampleEvery = 1
    #expect((1...3).filter(monitoring.samples) == [1, 2, 3])
  }

  /// Runs some steps with a helper in the place of Python: a shell script.
  static func send(
    helper: String, steps: Int, settings: WeightsAndBiases = WeightsAndBiases(project: "math"), in folder: TrialFolder,
    before step: (Int) -> Void = { _ in }
  ) throws -> (warnings: [String], slowestWrite: Double) {
    let script = folder.file("python")
    try AtomicFile.write("#!/bin/sh\n\(helper)\n", to: script)
    unsafe chmod(script, 0o755)
    unsafe setenv("NR_PYTHON", script, 1)
    defer { unsafe unsetenv("NR_PYTHON") }
    let messages = Messages()
    var monitoring = Monitoring()
    monitoring.tensorBoard = false
    monitoring.weightsAndBiases = settings
    var sinks = monitoring.open(folder.path, stage: "rl", after: 0, resuming: false) { messages.all.append($0) }
    var slowest = 0.0
    for number in 1...steps {
      step(number)
      let record = try SampleTests.step(number)
      let watch = Stopwatch()
      sinks.write(record)
      slowest = max(slowest, watch.seconds)
    }
    sinks.close(finished: true)
    return (messages.all, slowest)
  }

  @Test("The W&B helper is fed its settings, every step and the end, a table now and then; the id stays")
  func weightsAndBiases() throws {
    let folder = try TrialFolder()
    try AtomicFile.write(#"{"stage": "rl", "seed": 7}"#, to: folder.file("run.json"))
    var settings = try WeightsAndBiases("math/first")
    settings.group = "bench"
    settings.tags = ["a", "b"]
    let helper = "cat > '\(folder.path)/fed.jsonl'"
    let first = try Self.send(helper: helper, steps: 12, settings: settings, in: folder)
    #expect(first.warnings == [])
    let lines = try Files.readText(folder.file("fed.jsonl")).split(separator: "\n").map { try JSON.parse(String($0), name: "fed") }
    #expect(lines.count == 14)
    let start = lines[0]
    #expect(start["type"] == "start" && start["project"] == "math" && start["name"] == "first")
    #expect(start["group"] == "bench" && start["tags"] == ["a", "b"] && start["config"]?["seed"] == 7)
    #expect(lines[1...12].map { $0["record"]?["step"]?.int } == (1...12).map { $0 })
    #expect(lines[1...12].filter { $0["samples"] != nil }.map { $0["record"]?["step"]?.int } == [1, 11])
    #expect(lines[1]["samples"]?.array?[0].array?.count == lines[1]["columns"]?.array?.count)
    #expect(lines[13] == ["type": "end", "finished": true])
    _ = try Self.send(helper: helper, steps: 1, settings: settings, in: folder)
    let again = try JSON.parse(
      String(try Files.readText(folder.file("fed.jsonl")).split(separator: "\n")[0]), name: "fed")
    #expect(again["id"] == start["id"] && start["id"]?.string?.count == 8)
    #expect(try Files.readText(folder.file("wandb/nano-reasoner-helper.py")).contains("import wandb"))
  }

  @Test("What lies in the run folder is never imported by the W&B helper; the packages of PYTHONPATH are")
  func plantedModules() throws {
    let folder = try TrialFolder()
    let (wandb, packages) = (folder.file("wandb"), folder.file("packages/wandb"))
    try Files.makeDirectory(wandb)
    for name in ["json", "signal", "wandb", "os", "site"] {
      for place in [wandb, folder.path] { try AtomicFile.write("open('\(folder.file("ran"))', 'w')\n", to: "\(place)/\(name).py") }
    }
    try Files.makeDirectory(packages)
    try AtomicFile.write(
      """
      class Run:
          def log(self, values, step): open("\(folder.file("logged"))", "a").write(f"{step} ")
          def finish(self, exit_code): open("\(folder.file("logged"))", "a").write(f"end {exit_code}")
      Table = dict
      def init(**settings): return Run()
      """, to: packages + "/__init__.py")
    unsafe setenv("PYTHONPATH", folder.file("packages"), 1)
    defer { unsafe unsetenv("PYTHONPATH") }
    let messages = Messages()
    var monitoring = Monitoring()
    monitoring.tensorBoard = false
    monitoring.weightsAndBiases = WeightsAndBiases(project: "math")
    var sinks = monitoring.open(folder.path, stage: "rl", after: 0, resuming: true) { messages.all.append($0) }
    for number in 1...3 { sinks.write(try SampleTests.step(number)) }
    sinks.close(finished: true)
    #expect(!Files.exists(folder.file("ran")))
    // Where there is no Python there is nothing to import.
    if messages.all.contains(where: { $0.contains("cannot start") }) { return }
    #expect(messages.all == [])
    #expect(try Files.readText(folder.file("logged")) == "1 2 3 end 0")
  }

  @Test("A helper that never starts, that dies or that says why is one warning")
  func deadHelper() throws {
    let missing = try Self.send(helper: "exit 3", steps: 2, in: try TrialFolder()) { _ in usleep(150_000) }
    #expect(missing.warnings.count == 1 && missing.warnings[0].contains("W&B: the helper"))
    let speaking = try Self.send(
      helper: "echo 'nano-reasoner: no W&B SDK' >&2; exit 3", steps: 3, in: try TrialFolder()
    ) { _ in usleep(150_000) }
    #expect(speaking.warnings == ["W&B: no W&B SDK; the run goes on without it"])
    unsafe setenv("NR_PYTHON", "/nonexistent/python", 1)
    defer { unsafe unsetenv("NR_PYTHON") }
    let folder = try TrialFolder()
    let messages = Messages()
    var monitoring = Monitoring()
    monitoring.tensorBoard = false
    monitoring.weightsAndBiases = WeightsAndBiases(project: "math")
    let sinks = monitoring.open(folder.path, stage: "rl", after: 0, resuming: false) { messages.all.append($0) }
    _ = consume sinks
    #expect(messages.all.count == 1 && messages.all[0].contains("cannot start /nonexistent/python"))
  }

  @Test("A helper that does not read holds up nothing: what does not fit is dropped, counted and said")
  func slowHelper() throws {
    // Sleeps with the pipe full, then reads nothing and ends.
    let slow = try Self.send(helper: "sleep 2", steps: 2600, in: try TrialFolder())
    #expect(slow.slowestWrite < 0.25)
    #expect(slow.warnings.contains { $0.contains("does not keep up") })
    #expect(slow.warnings.contains { $0.contains("steps were left out") })
  }

  @Test("--wandb takes a project, or a project and a name", arguments: ["", "/", "a/", "/b"])
  func malformed(text: String) throws {
    #expect(throws: Failure.self) { _ = try WeightsAndBiases(text) }
    #expect(try WeightsAndBiases("a").name == nil)
    #expect(try WeightsAndBiases("a/b/c").name == "b/c")
  }
}
