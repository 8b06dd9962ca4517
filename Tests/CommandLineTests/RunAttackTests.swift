import Support
import TestSupport
import Testing

/// Runs whose folder, descriptors, terminal or disk are not what a run takes for granted.
@Suite(.serialized) struct RunAttackTests {
  private static func options(_ epochs: Int) -> [String] {
    ["--model", Place.model, "--data", Place.texts, "--lr", "1e-3", "--epochs", "\(epochs)", "--checkpoint-every", "5", "--quiet"]
  }

  /// 20 steps, the checkpoints of 15 and 20.
  private func sft(_ out: String, _ more: String...) throws -> ToolResult { try tool(["sft", "--out", out] + Self.options(5) + more) }

  private func shell(_ script: String, in folder: String) throws -> ToolResult {
    try RunningTool(["-c", "cd '\(folder)' && tool='\(Place.tool)' && \(script)"], program: "/bin/sh").wait()
  }

  private func line(_ words: [String]) -> String { words.map { "'\($0)'" }.joined(separator: " ") }

  private func copy(_ run: String, to place: String) throws {
    let result = try RunningTool(["-c", "cp -r '\(run)' '\(place)'"], program: "/bin/sh").wait()
    #expect(result.code == 0)
  }

  private func expectSameRun(_ first: String, _ second: String) throws {
    for name in ["adapter/adapter_model.safetensors", "checkpoints/step-20/state.safetensors", "checkpoints/step-20/state.json"] {
      #expect(try Files.read("\(first)/\(name)") == Files.read("\(second)/\(name)"), "\(name) differs")
    }
    #expect(try deterministicRecords(first + "/metrics.jsonl") == deterministicRecords(second + "/metrics.jsonl"))
  }

  private func steps(_ run: String) throws -> [String] { try Files.list(run + "/checkpoints").filter { $0 != ".lock" } }

  @Test(arguments: ["<&-", ">&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"]) func closedDescriptorsAreNotWritten(_ closed: String) throws {
    let folder = try TrialFolder()
    #expect(try sft(folder.file("whole")).code == 0)
    let words = line(["sft", "--out", folder.file("run")] + Self.options(5).dropLast())
    #expect(try shell("\"$tool\" \(words) \(closed)", in: folder.path).code == 0)
    try expectSameRun(folder.file("whole"), folder.file("run"))
    for text in try Files.readText(folder.file("run/metrics.jsonl")).split(separator: "\n") { #expect(text.hasPrefix("{")) }
    // A command without a run, too: nothing is opened in the place of what is closed.
    #expect(try shell("\"$tool\" tokenize --model '\(Place.model)' <&- >&-", in: folder.path).code == 0)
  }

  @Test func whatIsLeftOfARunIsNotTakenForAnEmptyFolder() throws {
    let folder = try TrialFolder()
    #expect(try sft(folder.file("run")).code == 0)
    for (kept, name) in [("checkpoints", "checkpoints/step-20"), ("metrics.jsonl", "metrics.jsonl"), ("tensorboard", "tensorboard/events")] {
      let place = folder.file("left-\(kept)")
      try Files.makeDirectory(place)
      try copy(folder.file("run/\(kept)"), to: "\(place)/\(kept)")
      for more in [[], ["--dry-run"]] {
        expectRefusal(try tool(["sft", "--out", place] + Self.options(5) + more), 64, place, name, "no run.json")
      }
      expectRefusal(try sft(place, "--resume"), 66, "no run.json")
      #expect(try Files.list(place) == [kept], "nothing was made")
    }
    // What no run has left is in nobody's way.
    try Files.makeDirectory(folder.file("other/tensorboard"))
    try folder.write("mine", "other/notes.txt")
    #expect(try sft(folder.file("other")).code == 0)
  }

  enum Damage: String, CaseIterable {
    case cut, flipped, noState, noValues, emptyState, otherStep, otherRun, otherCursor, noDigest, foreignValues, stepOfAges, notANumber
  }

  @Test(arguments: Damage.allCases) func aDamagedCheckpointGivesWayToTheOneBefore(_ damage: Damage) throws {
    let folder = try TrialFolder()
    let (whole, run) = (folder.file("whole"), folder.file("run"))
    #expect(try sft(whole).code == 0)
    try copy(whole, to: run)
    try Files.removeTree(run + "/adapter")
    let newest = run + "/checkpoints/step-20"
    let (values, state) = (newest + "/state.safetensors", newest + "/state.json")
    func edit(_ old: String, _ new: String) throws {
      let text = try Files.readText(state)
      #expect(text.contains(old))
      try AtomicFile.write(text.split(separator: old, omittingEmptySubsequences: false).joined(separator: new), to: state)
    }
    var bytes = try Files.read(values)
    switch damage {
    case .cut: try AtomicFile.write(Array(bytes.prefix(bytes.count / 2)), to: values)
    case .flipped:
      bytes[bytes.count - 9] ^= 1
      try AtomicFile.write(bytes, to: values)
    case .noState: Files.remove(state)
    case .noValues: Files.remove(values)
    case .emptyState: try AtomicFile.write("", to: state)
    case .otherStep: try edit("\"step\": 20", "\"step\": 10")
    case .otherCursor: try edit("\"cursor\": 0", "\"cursor\": 1")
    case .stepOfAges: try edit("\"cursor\": 0", "\"cursor\": 9223372036854775807")
    case .notANumber: try edit("\"step\": 20", "\"step\": NaN")
    case .noDigest: try edit("\"sha256\"", "\"sha257\"")
    case .otherRun:
      let other = folder.file("other")
      #expect(try tool(["sft", "--out", other] + Self.options(5) + ["--seed", "7"]).code == 0)
      try Files.removeTree(newest)
      try copy(other + "/checkpoints/step-20", to: newest)
    case .foreignValues: try Files.copy(run + "/checkpoints/step-15/state.safetensors", to: values)
    }
    let result = try sft(run, "--resume")
    #expect(result.code == 0, "\(result.error)")
    #expect(result.error.contains("warning: \(newest)/") && result.error.contains("of step 15"), "\(result.error)")
    #expect(result.error.split(separator: "\n").count == 1)
    try expectSameRun(whole, run)
    #expect(try steps(run) == ["step-15", "step-20"])
    #expect(try sft(run, "--resume").error.isEmpty, "it is mended")
  }

  @Test func whereNoCheckpointIsWholeNothingIsBegunAnew() throws {
    let folder = try TrialFolder()
    let run = folder.file("run")
    #expect(try sft(run).code == 0)
    for step in [15, 20] { try AtomicFile.write("{}", to: run + "/checkpoints/step-\(step)/state.json") }
    let result = try sft(run, "--resume")
    #expect(result.code == 65 && result.error.contains("no checkpoint of this run is whole"), "\(result.error)")
    #expect(try steps(run) == ["step-15", "step-20"])
  }

  @Test func whatDeadProcessesLeftIsSweptAndNothingElse() throws {
    let folder = try TrialFolder()
    let run = folder.file("run")
    #expect(try sft(run).code == 0)
    // Far above what a system gives.
    let dead = 2_000_000_000
    let swept = ["run.json.tmp-\(dead)", "metrics.jsonl.tmp-\(dead)", "report.html.tmp-\(dead)", "adapter/adapter_config.json.tmp-\(dead)"]
    let kept = ["run.json.tmp-\(getpid())", "run.json.tmp-x", "run.json.tmp-0\(dead)", "notes.tmp-\(dead)", "run.json.tmp--1"]
    for name in swept + kept { try AtomicFile.write("half", to: "\(run)/\(name)") }
    for name in [".removing-5-\(dead)", ".writing-25-\(dead)"] {
      try Files.makeDirectory("\(run)/checkpoints/\(name)/adapter")
      try AtomicFile.write("half", to: "\(run)/checkpoints/\(name)/state.safetensors")
    }
    #expect(try sft(run, "--resume").code == 0)
    for name in swept { #expect(!Files.exists("\(run)/\(name)"), "\(name)") }
    for name in kept { #expect(Files.exists("\(run)/\(name)"), "\(name)") }
    #expect(try steps(run) == ["step-15", "step-20"])
  }

  @Test(arguments: ["moved", "removed", "replaced", "emptied", "log"]) func aFolderThatIsNoLongerTheRunsEndsTheRun(_ what: String) throws {
    let folder = try TrialFolder()
    let run = folder.file("run")
    let going = try RunningTool(["sft", "--out", run] + Self.options(100_000))
    #expect(going.wait { Files.exists(run + "/checkpoints/step-5") })
    let script =
      switch what {
      case "moved": "mv '\(run)' '\(run)-elsewhere'"
      case "removed": "mv '\(run)' '\(run)-x'; rm -rf '\(run)-x'"
      case "replaced": "mv '\(run)' '\(run)-elsewhere'; mkdir '\(run)'"
      // What the run makes meanwhile may be in the way of it.
      case "emptied": "rm -rf '\(run)'/* '\(run)'/* 2>/dev/null; true"
      default: "mv '\(run)/metrics.jsonl' '\(run)/m'; touch '\(run)/metrics.jsonl'"
      }
    #expect(try RunningTool(["-c", script], program: "/bin/sh").wait().code == 0)
    let result = going.wait()
    #expect(result.code == 74, "\(result.code) \(result.error)")
    #expect(result.error.contains(run) && result.error.contains("moved, removed or replaced"), "\(result.error)")
    #expect(result.error.split(separator: "\n").count == 1)
    if what == "removed" { #expect(!Files.exists(run), "nothing was made in its place") }
    if what == "replaced" { #expect(try Files.list(run) == []) }
    guard what == "moved" else { return }
    // What was moved goes on where it is.
    let again = try RunningTool(["sft", "--out", run + "-elsewhere", "--resume"] + Self.options(100_000))
    #expect(again.wait { (try? Files.readText(run + "-elsewhere/metrics.jsonl").split(separator: "\n").count > 300) ?? false })
    again.signal(SIGTERM)
    #expect(again.wait().code == 75)
  }

  @Test func aTerminalThatGoesAwayLeavesACheckpoint() throws {
    let folder = try TrialFolder()
    let run = folder.file("run")
    let going = try RunningTool(["sft", "--out", run] + Self.options(100_000))
    #expect(going.wait { Files.exists(run + "/metrics.jsonl") && Files.size(run + "/metrics.jsonl") > 3000 })
    // Twice, as a shell passes it on.
    going.signal(SIGHUP)
    going.signal(SIGHUP)
    let result = going.wait()
    #expect(result.code == 75, "\(result.code) \(result.error)")
    let lines = try Files.readText(run + "/metrics.jsonl").split(separator: "\n").count
    #expect(try steps(run).contains("step-\(lines)"))
  }

  @Test func aRunThatIsToOutliveItsTerminalDoes() throws {
    let folder = try TrialFolder()
    let words = line(["sft", "--out", folder.file("run")] + Self.options(50))
    let result = try shell("trap '' HUP; \"$tool\" \(words) & child=$!; sleep 0.2; kill -HUP $child; wait $child", in: folder.path)
    #expect(result.code == 0, "\(result.code) \(result.error)")
  }

  /// A library in front of the system's that fails to sync directories.
  private func withoutDirectorySync(_ error: String, _ folder: TrialFolder) throws -> [String: String] {
    try folder.write(
      """
      #define _GNU_SOURCE
      #include <dlfcn.h>
      #include <errno.h>
      #include <sys/stat.h>
      int fsync(int descriptor) {
        struct stat status;
        if (fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)) { errno = \(error); return -1; }
        return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(descriptor);
      }
      """, "sync.c")
    let made = try shell("\(compiler) -shared -fPIC -o sync.so sync.c -ldl", in: folder.path)
    try #require(made.code == 0, "\(made.error)")
    return ["LD_PRELOAD": folder.file("sync.so")]
  }

  @Test(arguments: [("EIO", 74), ("EDQUOT", 74), ("EINVAL", 0)]) func aDirectoryThatCannotBeSyncedIsAnError(_ error: String, _ code: Int) throws {
    let folder = try TrialFolder()
    let environment = try withoutDirectorySync(error, folder)
    let result = try tool(["sft", "--out", folder.file("run")] + Self.options(5), environment: environment)
    #expect(result.code == code, "\(result.code) \(result.error)")
    if code != 0 { #expect(result.error.contains("cannot sync the directory") && result.error.split(separator: "\n").count == 1, "\(result.error)") }
  }

  @Test func aCheckpointThatIsGoneIsSaidToRotate() throws {
    let folder = try TrialFolder()
    #expect(try sft(folder.file("run")).code == 0)
    let questions = try folder.write("{\"question\": \"1 + 1?\", \"answer\": \"2\"}\n", "q.jsonl")
    let gone = folder.file("run/checkpoints/step-5")
    expectRefusal(
      try tool("eval", "--model", Place.model, "--adapter", gone, "--data", questions, "--quiet"), 66, gone, "newest two", "step-15 and step-20")
    expectRefusal(try tool("export", "--model", Place.model, "--adapter", gone + "/adapter", "--out", folder.file("m")), 66, gone, "step-15 and step-20")
    let there = folder.file("run/checkpoints/step-20")
    #expect(try tool("eval", "--model", Place.model, "--adapter", there, "--data", questions, "--quiet", "--max-new-tokens", "4").code == 0)
  }

  @Test func theGraderImportsNothingFromTheCurrentFolder() throws {
    let folder = try TrialFolder()
    for name in ["json", "signal", "math_verify", "importlib"] { try folder.write("open('\(folder.file("ran"))', 'w')\n", name + ".py") }
    let result = try shell("\"$tool\" judge --answer 1 --gold 1 --reward math-verify", in: folder.path)
    #expect([0, 66].contains(result.code), "\(result.error)")
    #expect(!Files.exists(folder.file("ran")))
  }
}
