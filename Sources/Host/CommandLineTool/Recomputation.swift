import Arguments
import Support
import Telemetry
import Training

/// A step of a run computed again: the program itself goes on from the checkpoint before it, or begins the run, in a folder of its own
/// that goes away. Nothing is written into the run's folder.
struct Recomputation {
  private let run: ProvenRun
  let step: Int
  /// The checkpoint it goes on from; 0 begins at the beginning.
  let checkpoint: Int
  private let console: Console

  enum Outcome {
    case computed(StepDigests)
    /// It cannot be: what of the run is no longer what it was, or what else is in the way.
    case impossible(String)
  }

  /// - Parameter step: nil takes the one behind the last checkpoint that has one behind it, or the first: the one that is computed soonest.
  init(_ run: ProvenRun, step: Int?, _ console: Console) throws(Failure) {
    self.run = run
    self.console = console
    let last = run.log.steps.last?.record.step ?? 0
    let store = CheckpointStore(run: run.folder.path)
    // A damaged one is not gone on from.
    let damaged = Set(run.findings.map(\.file))
    let checkpoints = try store.steps().filter { !damaged.contains("checkpoints/step-\($0)") && run.log[$0] != nil }
    let chosen = step ?? (checkpoints.last { $0 < last }.map { $0 + 1 } ?? 1)
    guard chosen >= 1, run.log[chosen] != nil else {
      throw .usage("--step \(chosen): \(run.folder.metrics) has steps 1 to \(last)")
    }
    self.step = chosen
    checkpoint = checkpoints.last { $0 < chosen } ?? 0
  }

  /// What the step goes on from, in words.
  var origin: String { checkpoint > 0 ? "from checkpoints/step-\(checkpoint)" : "from the beginning" }

  private static let specs = [SFTCommand.spec, RLCommand.spec, PretrainCommand.spec]

  /// Whether no command of this program begins such a run by itself.
  var isOfAnotherCommand: Bool { obstacle != nil }

  /// Why the run cannot be computed again by its record alone; nil where it can.
  private var obstacle: String? {
    guard let spec = Self.specs.first(where: { $0.name == run.stage }), let arguments = run.record["arguments"]?.object else {
      return "run.json has no \"arguments\": it was not written by `\(run.stage)` itself"
    }
    let known = Set(spec.options.map(\.name))
    guard let stray = arguments.keys.first(where: { !known.contains($0) }) else { return nil }
    return "\"arguments\" of run.json has \"\(stray)\", which is no option of `\(run.stage)`: another command wrote it"
  }

  func compute() throws(Failure) -> Outcome {
    if let obstacle { return .impossible(obstacle) }
    let folder = try Self.makeFolder()
    defer { try? Files.removeTree(folder) }
    guard let absolute = Files.resolved(run.folder.path) else {
      throw .inputOutput("\(run.folder.path): cannot be resolved: \(lastSystemError())")
    }
    let again = RunFolder(folder + "/run")
    if checkpoint > 0 { try prepare(again, from: absolute) }
    try enterDirectory()
    let errors = folder + "/errors"
    var (start, code) = (checkpoint, ExitCode.success.rawValue)
    for end in ends {
      try AtomicFile.write(options(ofStep: start + 1).text(), to: folder + "/options.json")
      if start > checkpoint { try settle(again, ofStep: start + 1) }
      code = try launch(words(folder, again, from: start, to: end), errors: errors, log: again.metrics)
      // What changed says more than what came of it.
      if start == 0, let changed = changes(again) { return .impossible(changed) }
      if code != ExitCode.interrupted.rawValue { break }
      start = end
    }
    guard code == ExitCode.success.rawValue || code == ExitCode.interrupted.rawValue,
      let record = try MetricLog.read(again.metrics).last(where: { $0.step == step }), let proof = record.proof
    else { return .impossible(lastWords(errors, code: code)) }
    return .computed(try StepDigests(proof))
  }

  /// A folder that is nobody else's, by its absolute path.
  private static func makeFolder() throws(Failure) -> String {
    let wanted = "\(environmentVariable("TMPDIR") ?? "/tmp")/nano-reasoner-verify-XXXXXX"
    var name = Array(wanted.utf8CString)
    guard let made = unsafe name.withUnsafeMutableBufferPointer({ unsafe mkdtemp($0.baseAddress!) }) else {
      throw .inputOutput("\(wanted): cannot make a temporary folder: \(lastSystemError())")
    }
    let path = unsafe String(cString: made)
    return Files.resolved(path) ?? path
  }

  // MARK: What is started

  /// Where the run goes on with other options, and the step: it is stopped there and resumed, as it was.
  private var ends: [Int] {
    let changes = (run.record["changes"]?.array ?? []).compactMap { $0["after_step"]?.int }
    return Set(changes.filter { $0 > checkpoint && $0 < step }).sorted() + [step]
  }

  /// The options that were in force in a step, without those that say where the run is written and how it is watched.
  private func options(ofStep step: Int) -> JSON {
    var arguments = run.record["arguments"]?.object ?? [:]
    for change in run.record["changes"]?.array ?? [] {
      guard let name = change["name"]?.string, let after = change["after_step"]?.int, after < step, arguments[name] != nil else { continue }
      arguments[name] = change["now"]
    }
    for name in Self.leftOut { arguments[name] = nil }
    if arguments["micro-batch-tokens"]?.isNull ?? false, let tokens = run.record["micro_batch_tokens"] { arguments["micro-batch-tokens"] = tokens }
    // A run with a constant learning rate may have been continued for longer than it was begun for.
    if arguments["schedule"]?.string == "constant", let last = run.log.steps.last?.record.step {
      if let steps = arguments["steps"]?.int, steps < last { arguments["steps"] = .integer(last) }
      if run.stage == "sft" {
        arguments["max-steps"] = .integer(last)
        arguments["epochs"] = .integer(max(last, arguments["epochs"]?.int ?? 1))
      }
    }
    return [
      "stage": .string(run.stage), "identity": [:], "arguments": .object(arguments), "given": run.record["given"] ?? [],
    ]
  }

  private static let leftOut = [
    "out", "resume", "quiet", "json", "dry-run", "live", "wandb", "wandb-group", "wandb-tags", "no-tensorboard", "sample-every", "eval-data",
    "eval-every", "eval-limit", "keep-best", "checkpoint-every", "checkpoint-minutes", "allow-changed", "stop-after",
  ]

  /// A folder in which the run stands where its checkpoint left it.
  private func prepare(_ again: RunFolder, from path: String) throws(Failure) {
    try Files.makeDirectory(again.path + "/checkpoints")
    var record = run.record
    record["identity"] = .object(run.identity(ofStep: checkpoint + 1))
    record["changes"] = nil
    try AtomicFile.write(JSON.object(record).text(pretty: true) + "\n", to: again.path + "/run.json")
    // The step's proof continues that of the line before.
    if let line = try run.log[checkpoint]?.record.json() { try AtomicFile.write(line.text() + "\n", to: again.metrics) }
    // A link: a checkpoint is read and, where another takes its place, unlinked.
    let link = CheckpointStore(run: again.path).path(step: checkpoint)
    if unsafe symlink(CheckpointStore(run: path).path(step: checkpoint), link) != 0 {
      throw .inputOutput("\(link): cannot make a symbolic link: \(lastSystemError())")
    }
  }

  /// From here on the run is held to the settings of this step.
  private func settle(_ again: RunFolder, ofStep step: Int) throws(Failure) {
    guard var record = try JSON.read(again.path + "/run.json").object else { return }
    record["identity"] = .object(run.identity(ofStep: step))
    try AtomicFile.write(JSON.object(record).text(pretty: true) + "\n", to: again.path + "/run.json")
  }

  /// Relative paths are those of where the run was started.
  private func enterDirectory() throws(Failure) {
    guard let directory = run.record["directory"]?.string else { return }
    if unsafe chdir(directory) != 0 {
      console.warning("\(directory), where the run was started, cannot be entered (\(lastSystemError())): relative paths are taken from here")
    }
  }

  private func words(_ folder: String, _ again: RunFolder, from start: Int, to end: Int) throws(Failure) -> [String] {
    guard let program = Files.program else { throw .internalError("the path of this program is unknown") }
    var words = [program, run.stage, "--config", folder + "/options.json", "--out", again.path, "--no-tensorboard", "--quiet"]
    words += ["--stop-after", "\(end)", "--checkpoint-every", "\(Limits.count.upperBound)"]
    return start > 0 ? words + ["--resume"] : words
  }

  /// Starts the program and waits for its end, telling how far it is.
  ///
  /// - Returns: its exit code; a signal's number is negative.
  private func launch(_ words: [String], errors: String, log: String) throws(Failure) -> Int32 {
    let process: pid_t
    do throws(Failure) {
      process = try Spawn.start(
        words,
        [(0, .file("/dev/null", O_RDONLY)), (1, .file("/dev/null", O_WRONLY)), (2, .file(errors, O_WRONLY | O_CREAT | O_TRUNC))])
    } catch { throw .internalError("cannot start \(words[0]): \(error.message)") }
    var status: Int32 = 0
    var shown = 0
    let before = checkpoint > 0 ? 1 : 0
    console.show(Progress(stage: "computing again", step: checkpoint, total: step))
    while unsafe waitpid(process, &status, WNOHANG) == 0 {
      usleep(20_000)
      if Interruption.isRequested {
        kill(-process, SIGKILL)
        while unsafe waitpid(process, &status, 0) < 0, errno == EINTR {}
        throw Failure(.interrupted, "interrupted while step \(step) was computed again; nothing was changed")
      }
      let lines = Files.size(log) > 0 ? (try? Files.read(log).count { $0 == 0x0A }) ?? 0 : 0
      guard lines > shown else { continue }
      shown = lines
      console.show(Progress(stage: "computing again", step: checkpoint + lines - before, total: step))
    }
    console.finish()
    return status & 0x7F == 0 ? (status >> 8) & 0xFF : -(status & 0x7F)
  }

  // MARK: Why it cannot be

  /// What the run began with that is not the same any more; nil where all is.
  private func changes(_ again: RunFolder) -> String? {
    guard let now = try? JSON.read(again.path + "/run.json")["identity"]?.object else { return nil }
    let before = run.identity(ofStep: 1)
    let changed = (before.keys + now.keys.filter { before[$0] == nil }).filter { before[$0] != now[$0] }
    guard let key = changed.first else { return nil }
    return "\(subject(key)) changed since the run: \"\(key)\" was \(before[key]?.text() ?? "nothing"), now it is \(now[key]?.text() ?? "nothing")"
  }

  private func subject(_ key: String) -> String {
    func path(_ option: String) -> String { run.record["arguments"]?[option]?.string ?? "" }
    if key == "data_sha256" { return "the data \(path("data"))" }
    if key.hasPrefix("adapter_"), key.hasSuffix(" sha256") { return "the adapter \(path("adapter"))" }
    if key.hasSuffix(" sha256") { return "the model \(path("model"))" }
    if key.hasPrefix("plugin") { return "the plugin \(path("algo"))" }
    return "a setting"
  }

  /// The last line of standard error; where it says what `--resume` found changed, that in words.
  private func lastWords(_ errors: String, code: Int32) -> String {
    let lines = ((try? Files.readText(errors)) ?? "").split(separator: "\n")
    guard let line = lines.last(where: { $0.hasPrefix("nano-reasoner: ") }) ?? lines.last else {
      return "the program ended with \(code) and said nothing"
    }
    if let mark = line.firstRange(of: "--resume: \""), let end = line.firstRange(of: "; resume with the same settings") {
      let rest = line[mark.upperBound..<end.lowerBound]
      return "\(subject(String(rest.prefix { $0 != "\"" }))) changed since the run: \"\(rest)"
    }
    return String(line.hasPrefix("nano-reasoner: ") ? line.dropFirst("nano-reasoner: ".count) : line)
  }
}
