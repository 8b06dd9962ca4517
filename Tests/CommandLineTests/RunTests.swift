import Support
import TestSupport
import Testing

/// Runs that are killed, interrupted, or run out of disk, and go on.
@Suite(.serialized) struct RunTests {
  /// 400 steps of about a second in all, with a checkpoint every 23.
  private static let options = [
    "--model", Place.model, "--data", Place.texts, "--lr", "1e-3", "--epochs", "100", "--checkpoint-every", "23",
    "--schedule", "cosine", "--warmup-steps", "5",
  ]

  private func sft(_ out: String, _ more: String...) throws -> ToolResult { try tool(["sft", "--out", out] + Self.options + more) }

  private func newestCheckpoint(_ run: String) throws -> String {
    let names = try Files.list(run + "/checkpoints").filter { $0.hasPrefix("step-") }
    let newest = names.max { (Int($0.dropFirst(5)) ?? 0) < (Int($1.dropFirst(5)) ?? 0) }
    return "\(run)/checkpoints/\(try #require(newest))"
  }

  private func expectSameRun(_ first: String, _ second: String) throws {
    for name in try Files.list(first + "/adapter") {
      #expect(try Files.read("\(first)/adapter/\(name)") == Files.read("\(second)/adapter/\(name)"), "\(name) differs")
    }
    let (one, other) = (try newestCheckpoint(first), try newestCheckpoint(second))
    #expect(Files.name(of: one) == Files.name(of: other))
    for name in ["state.safetensors", "state.json"] {
      #expect(try Files.read("\(one)/\(name)") == Files.read("\(other)/\(name)"), "\(name) differs")
    }
    #expect(try deterministicRecords(first + "/metrics.jsonl") == deterministicRecords(second + "/metrics.jsonl"))
  }

  private func size(_ path: String) -> Int {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? Int(status.st_size) : 0
  }

  @Test(arguments: [[], ["--quantize", "nf4"]])
  func aRunThatIsKilledAgainAndAgainEndsAtTheBytesOfTheUninterruptedOne(_ quantisation: [String]) throws {
    let folder = try TrialFolder()
    let (whole, killed) = (folder.file("whole"), folder.file("killed"))
    let words = Self.options + quantisation
    #expect(try tool(["sft", "--out", whole] + words).code == 0)
    var kills = 0
    for bytes in [1, 20_000, 60_000] {
      let run = try RunningTool(["sft", "--out", killed] + words + (kills > 0 ? ["--resume"] : []))
      guard run.wait(until: { size(killed + "/metrics.jsonl") > bytes }) else { break }
      run.signal(SIGSTOP)
      for more in [[], ["--dry-run"]] {
        expectRefusal(
          try tool(["sft", "--out", killed, "--resume", "--quiet"] + words + more), 64, killed, "another process is writing this run")
      }
      run.signal(SIGKILL)
      #expect(run.wait().code == -SIGKILL)
      kills += 1
    }
    #expect(kills == 3, "the run was too short to be killed")
    #expect(!Files.exists(killed + "/adapter"))
    let last = try tool(["sft", "--out", killed, "--resume"] + words)
    #expect(last.code == 0, "\(last.error)")
    try expectSameRun(whole, killed)
    // Nothing that a killed process left half-written stays behind.
    let kept = try Files.list(killed + "/checkpoints")
    #expect(!kept.isEmpty && kept.allSatisfy { $0.hasPrefix("step-") })
  }

  @Test(arguments: [SIGINT, SIGTERM]) func anInterruptedRunSaysHowToGoOnAndThatCommandFinishesIt(_ signal: Int32) throws {
    let folder = try TrialFolder()
    let (whole, stopped) = (folder.file("whole"), folder.file("with a space"))
    #expect(try sft(whole).code == 0)
    let run = try RunningTool(["sft", "--out", stopped] + Self.options)
    try #require(run.wait { size(stopped + "/metrics.jsonl") > 2000 })
    run.signal(signal)
    let result = run.wait()
    #expect(result.code == 75, "\(result.error)")
    #expect(result.error.contains("a checkpoint is written"))
    let marker = "Continue with: nano-reasoner "
    let range = try #require(result.error.firstRange(of: marker))
    let command = result.error[range.upperBound...].split(separator: "\n")[0]
    let shell = try RunningTool(["-c", "exec '\(Place.tool)' \(command)"], program: "/bin/sh")
    let again = shell.wait()
    #expect(again.code == 0, "\(again.error)")
    try expectSameRun(whole, stopped)
  }

  /// A limit on file sizes is a disk that is full for whatever is larger: the checkpoint's state, not the log.
  @Test func aFullDiskIsOneErrorAndTheRunGoesOnOnceThereIsRoom() throws {
    let folder = try TrialFolder()
    let (whole, full) = (folder.file("whole"), folder.file("full"))
    let options = ["--model", Place.model, "--data", Place.texts, "--lr", "1e-3", "--epochs", "10", "--checkpoint-every", "6"]
    #expect(try tool(["sft", "--out", whole] + options).code == 0)
    #expect(try tool(["sft", "--out", full, "--max-steps", "8"] + options).code == 0)
    let before = try Files.read(newestCheckpoint(full) + "/state.safetensors")
    let quoted = (["sft", "--out", full, "--resume", "--quiet"] + options).map { "'\($0)'" }.joined(separator: " ")
    let limited = try RunningTool(["-c", "ulimit -f 100; exec '\(Place.tool)' \(quoted)"], program: "/bin/sh").wait()
    expectRefusal(limited, 74, "state.safetensors: cannot write: File too large")
    #expect(Files.name(of: try newestCheckpoint(full)) == "step-8")
    #expect(try Files.read(newestCheckpoint(full) + "/state.safetensors") == before)
    #expect(try Files.list(full + "/checkpoints").allSatisfy { $0.hasPrefix("step-") })
    #expect(try tool(["sft", "--out", full, "--resume"] + options).code == 0)
    try expectSameRun(whole, full)
  }

  @Test func aRunIsNotOverwrittenAndIsContinuedOnlyAsItBegan() throws {
    let folder = try TrialFolder()
    let out = folder.file("run")
    let options = ["sft", "--model", Place.model, "--data", Place.texts, "--out", out, "--quiet"]
    expectRefusal(try tool(options + ["--resume"]), 66, out, "no run here")
    #expect(try tool(options).code == 0)
    let before = try Files.read(out + "/run.json")
    expectRefusal(try tool(options), 64, out, "--resume")
    for (option, key) in [
      (["--lr", "1"], "\"lr\""), (["--batch-size", "3"], "\"batch-size\""), (["--seed", "1"], "\"seed\""),
      (["--full"], "\"full\""), (["--adapter", Place.adapter], "\"adapter\""), (["--no-shuffle"], "\"no-shuffle\""),
      (["--lora-rank", "4"], "\"lora-rank\""), (["--schedule", "linear"], "\"schedule\""), (["--quantize", "nf4"], "\"quantize\""),
    ] {
      expectRefusal(try tool(options + ["--resume"] + option), 65, out + "/run.json", key, "was", "now it is")
    }
    let other = try folder.write(Files.readText(Place.texts) + "{\"text\": \"one more\"}\n", "data.jsonl")
    var words = options
    words[4] = other
    expectRefusal(try tool(words + ["--resume"]), 65, "\"data\"")
    #expect(try Files.read(out + "/run.json") == before)
    // What changes no result may differ.
    #expect(try tool(options + ["--resume", "--threads", "1", "--checkpoint-every", "3", "--json"]).code == 0)
  }

  @Test func dataThatChangedUnderItsNameAreNoticedOnResuming() throws {
    let folder = try TrialFolder()
    let data = try folder.write(Files.readText(Place.texts), "data.jsonl")
    let options = ["sft", "--model", Place.model, "--data", data, "--out", folder.file("run"), "--quiet"]
    #expect(try tool(options).code == 0)
    try folder.write(Files.readText(Place.texts) + "{\"text\": \"one more\"}\n", "data.jsonl")
    expectRefusal(try tool(options + ["--resume"]), 65, "\"data_sha256\"")
  }

  @Test func aWholeModelIsTrainedResumedAndScored() throws {
    let folder = try TrialFolder()
    let options = ["sft", "--full", "--model", Place.model, "--data", Place.texts, "--lr", "1e-3", "--epochs", "3", "--quiet"]
    #expect(try tool(options + ["--out", folder.file("whole")]).code == 0)
    #expect(try tool(options + ["--out", folder.file("parts"), "--max-steps", "5"]).code == 0)
    #expect(try tool(options + ["--out", folder.file("parts"), "--resume"]).code == 0)
    let (one, other) = (folder.file("whole/model"), folder.file("parts/model"))
    #expect(try Files.list(one) == Files.list(other))
    for name in try Files.list(one) { #expect(try Files.read("\(one)/\(name)") == Files.read("\(other)/\(name)"), "\(name)") }
    let list = try folder.write("[[1, 2, 3]]", "tokens.json")
    #expect(try tool("score", "--model", one, "--tokens", list, "--out", folder.file("o")).code == 0)
  }
}
