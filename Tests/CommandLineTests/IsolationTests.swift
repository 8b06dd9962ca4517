import Support
import TestSupport
import Testing

/// Plugins in processes of their own: what they do there, and what the run says and does.
@Suite struct IsolationTests {
  private let folder: TrialFolder
  private let library: String

  init() throws {
    folder = try TrialFolder()
    library = folder.file("libnr-faulty.so")
    let built = shell(
      "\(compiler) -std=c11 -Wall -Wextra -Werror -shared -fPIC -O1 -I '\(Place.pluginHeader)' -o '\(library)' '\(Place.tests)/PluginHostTests/Broken/faulty.c' -lm")
    try #require(built.status == 0, "\(built.output)")
  }

  private func run(_ out: String, steps: Int = 4, _ words: [String]) throws -> ToolResult {
    let data = try folder.write(
      (0..<8).map { "{\"question\": \"\($0) + 1?\", \"answer\": \"\($0 + 1)\"}\n" }.joined(), "data.jsonl")
    return try tool(
      ["rl", "--model", Place.model, "--data", data, "--algo", library, "--trust-plugin", "--out", folder.file(out), "--steps", "\(steps)",
        "--group-size", "3", "--prompts-per-step", "2", "--max-new-tokens", "6", "--quiet",
        // A model of random weights is never right: of this there is something to learn.
        "--reward", "numeric", "--reward", "command:while read -r line; do echo $((${#line} % 7)); done"] + words)
  }

  private func records(_ out: String) throws -> [JSON] {
    try Files.readText(folder.file("\(out)/metrics.jsonl")).split(separator: "\n").map { (line) throws in try JSON.parse(String(line), name: out) }
  }

  @Test func aRunIsTheSameInAProcessOfItsOwn() throws {
    #expect(try run("here", ["--no-isolate-plugin"]).code == 0)
    #expect(try run("apart", ["--isolate-plugin"]).code == 0)
    for record in try records("here") { #expect((record["gradient_norm"]?.double ?? 0) > 0) }
    for file in ["adapter/adapter_model.safetensors", "samples.jsonl"] {
      #expect(try Files.read(folder.file("here/\(file)")) == Files.read(folder.file("apart/\(file)")), "\(file)")
    }
    #expect(try deterministicRecords(folder.file("here/metrics.jsonl")) == deterministicRecords(folder.file("apart/metrics.jsonl")))
  }

  /// What the plugin does in the third step, and what is said of it.
  static let faults: [(fault: String, says: String)] = [
    ("crashes", "loss of step 3: ended its process by SIGSEGV"), ("aborts", "loss of step 3: ended its process by SIGABRT"),
    ("hangs", "loss of step 3: did not end within 1 s (--plugin-timeout)"), ("grows", "MiB of memory, more than 200 (--plugin-memory)"),
    ("reserves", "no space"), ("exits", "ended its process with exit code 3"), ("nan", "d_current[0] is nan"),
    ("refuses", "does not like this batch"), ("scribbles", "loss of step 3: "),
  ]

  @Test(arguments: faults)
  func aFaultIsNamedAndTheRunStopsWithACheckpoint(_ fault: String, _ says: String) throws {
    let words = ["--set", "at=2", "--plugin-timeout", "1", "--plugin-memory", "200"]
    let stopped = try run("run", words + ["--set", "fault=\(fault)"])
    #expect(stopped.code == 70 || stopped.code == 65, "\(stopped.code)")
    #expect(stopped.error.contains("plugin faulty: ") && stopped.error.contains(says) && stopped.error.contains("checkpoint of step 2 is whole"), "\(stopped.error)")
    #expect(stopped.error.split(separator: "\n").count == 1, "\(stopped.error)")
    // Once it is mended, the run goes on and is the one that nothing happened to.
    let resumed = try run("run", words + ["--set", "fault=none", "--resume", "--allow-changed", "set"])
    #expect(resumed.code == 0, "\(resumed.error)")
    #expect(try run("whole", words + ["--set", "fault=none"]).code == 0)
    #expect(try Files.read(folder.file("run/adapter/adapter_model.safetensors")) == Files.read(folder.file("whole/adapter/adapter_model.safetensors")))
  }

  @Test(arguments: ["crashes", "nan", "scribbles"], ["select", "advantages", "loss"])
  func anUpdateIsSkippedWhereTheUserSaysSo(_ fault: String, _ stage: String) throws {
    // select has no number that could be NaN.
    if fault == "nan" && stage == "select" { return }
    let result = try run("run", ["--set", "at=1", "--set", "fault=\(fault)", "--set", "stage=\(stage)", "--on-plugin-failure", "skip"])
    #expect(result.code == 0, "\(result.error)")
    let skipped = stage == "loss" ? 2 : 1
    #expect(result.error.split(separator: "\n").count == skipped && result.error.contains("the update is skipped"), "\(result.error)")
    let records = try records("run")
    #expect(records.map { $0["skipped_failures"]?.int } == [0, skipped, skipped, skipped])
    #expect(records.map { $0["updates"]?.int } == [2, 0, 2, 2])
    // The state that was saved last is there again: updates go on to be counted. A call that gave NaN has counted as well.
    #expect(records.last?["plugin/updates"]?.int == (fault == "nan" && stage == "loss" ? 8 : 6))
  }

  @Test func noMoreUpdatesAreSkippedThanTheUserAllows() throws {
    let result = try run("run", ["--set", "at=1", "--set", "fault=crashes", "--on-plugin-failure", "skip", "--plugin-failures", "1"])
    #expect(result.code == 70 && result.error.contains("no more are allowed (--plugin-failures)"), "\(result.error)")
    #expect(try records("run").count == 1)
    expectRefusal(try run("other", ["--plugin-failures", "1"]), 64, "--plugin-failures", "--on-plugin-failure skip")
  }

  @Test func nothingStaysBehindARunThatIsKilled() throws {
    let data = try folder.write("{\"question\": \"1 + 1?\", \"answer\": \"2\"}\n", "data.jsonl")
    let running = try RunningTool([
      "rl", "--model", Place.model, "--data", data, "--algo", library, "--trust-plugin", "--out", folder.file("run"), "--steps", "4", "--group-size", "2",
      "--prompts-per-step", "1", "--max-new-tokens", "4", "--quiet", "--set", "at=2", "--set", "fault=hangs", "--plugin-timeout", "500",
    ])
    #expect(running.wait { (try? Files.readText(folder.file("run/metrics.jsonl")).split(separator: "\n").count) == 2 })
    let children = try Files.readText("/proc/\(running.process)/task/\(running.process)/children").split(separator: " ").compactMap { pid_t($0) }
    #expect(!children.isEmpty)
    running.signal(SIGKILL)
    _ = running.wait()
    let watch = Stopwatch()
    func isLeft(_ child: pid_t) -> Bool { (try? Files.readText("/proc/\(child)/stat").contains(") Z")) == false }
    while children.contains(where: isLeft), watch.seconds < 20 { usleep(50_000) }
    #expect(!children.contains(where: isLeft))
  }
}
