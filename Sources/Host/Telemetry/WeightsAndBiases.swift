import Support
import Synchronization

/// Where a run goes in Weights & Biases.
package struct WeightsAndBiases: Sendable, Equatable {
  package var project: String
  /// The run's name; nil: W&B makes one up.
  package var name: String?
  package var group: String?
  package var tags: [String] = []

  package init(project: String) { self.project = project }

  /// `project` or `project/name`.
  package init(_ text: String) throws(Failure) {
    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    guard let project = parts.first, !project.isEmpty, parts.last?.isEmpty == false else {
      throw .usage("--wandb \(text): expected project or project/name, as --wandb math/grpo-1")
    }
    self.project = String(project)
    if parts.count > 1 { name = String(parts[1]) }
  }
}

/// Sends a run to Weights & Biases through its own SDK, in a Python process of its own (`Page/wandb_helper.py`).
///
/// Whether it goes online, stays offline or is disabled is up to W&B's own settings, such as `WANDB_MODE`. A helper that is
/// slow, that dies or that was never there costs the training nothing: what does not fit the queue is dropped and counted.
final class WeightsAndBiasesSink: Sink {
  let name = "W&B"
  private let log: String
  private let warn: (String) -> Void
  private let worker: BackgroundWorker<[UInt8]>
  private let helper: HelperProcess
  private let flags = Flags()
  private var lastTable: Int?
  private var hasWarnedOfDrops = false
  private static let tableEvery = 10
  private static let tableRows = 32
  private static let queue = 2048

  private final class Flags: Sendable {
    /// The helper has closed its end.
    let isGone = Atomic<Bool>(false)
    /// Nobody waits for the helper any more.
    let isGivenUp = Atomic<Bool>(false)
  }

  init(
    _ settings: WeightsAndBiases, run: String, stage: String, resuming: Bool, warn: @escaping (String) -> Void
  ) throws(Failure) {
    let folder = run + "/wandb"
    try Files.makeDirectory(folder)
    self.warn = warn
    log = folder + "/nano-reasoner.log"
    Files.remove(log)
    let script = folder + "/nano-reasoner-helper.py"
    try AtomicFile.write(PythonHelper.script(PackageResources.wandb_helper_py), to: script)
    signal(SIGPIPE, SIG_IGN)
    let helper = try HelperProcess(PythonHelper.words(script), log: log)
    self.helper = helper
    let flags = flags
    worker = try BackgroundWorker(capacity: Self.queue) { bytes in
      if flags.isGone.load(ordering: .relaxed) { return }
      if !helper.write(bytes, while: { !flags.isGivenUp.load(ordering: .relaxed) }) {
        flags.isGone.store(true, ordering: .relaxed)
      }
    }
    var start: JSON.Object = [
      "type": "start", "project": .string(settings.project), "id": .string(try Self.identifier(folder)),
      "dir": .string(run), "stage": .string(stage),
    ]
    if let name = settings.name { start["name"] = .string(name) }
    if let group = settings.group { start["group"] = .string(group) }
    if !settings.tags.isEmpty { start["tags"] = .array(settings.tags.map { .string($0) }) }
    if let record = try? JSON.read(run + "/run.json") { start["config"] = record }
    worker.submit(Array((JSON.object(start).text() + "\n").utf8))
  }

  func write(_ step: StepRecord) throws(Failure) {
    if flags.isGone.load(ordering: .relaxed) { throw Failure(.inputOutput, lastWords ?? "the helper has ended; see \(log)") }
    var line = Array("{\"type\":\"step\"".utf8)
    let number = step.metrics.step
    if !step.samples.isEmpty, lastTable.map({ number >= $0 + Self.tableEvery }) ?? true {
      line += Array(", \(Self.table(step))".utf8)
      lastTable = number
    }
    line += Array(", \"record\":".utf8) + step.metricLine.dropLast() + Array("}\n".utf8)
    if !worker.submit(line), !hasWarnedOfDrops {
      hasWarnedOfDrops = true
      warn("W&B: the helper does not keep up; steps are left out there (metrics.jsonl has them all)")
    }
  }

  func close(finished: Bool) throws(Failure) {
    worker.submit(Array("{\"type\":\"end\", \"finished\":\(finished)}\n".utf8))
    let isDrained = worker.finish(within: finished ? 30 : 5)
    flags.isGivenUp.store(true, ordering: .relaxed)
    if isDrained { helper.closeInput() }
    let isGone = flags.isGone.load(ordering: .relaxed)
    let hasEnded = isDrained && helper.ends(within: finished ? 15 : 5)
    if worker.dropped > 0 { warn("W&B: \(worker.dropped) steps were left out; metrics.jsonl has them all") }
    if let lastWords { warn("W&B: \(lastWords)") }
    if isGone, lastWords == nil { warn("W&B: the helper ended early; see \(log)") }
    if !hasEnded { warn("W&B: the helper is still busy; it goes on by itself, see \(log)") }
  }

  /// What the helper wants the user to know.
  private var lastWords: String? {
    guard let text = try? Files.read(log) else { return nil }
    let mark = "nano-reasoner: "
    let lines = String(decoding: text, as: UTF8.self).split(separator: "\n").filter { $0.hasPrefix(mark) }
    return lines.last.map { String($0.dropFirst(mark.count)) }
  }

  /// The samples of a step as the fields of a message that make a table.
  private static func table(_ step: StepRecord) -> String {
    let columns: [JSON] = [
      "step", "example", "sample", "question", "completion", "outcome", "reward", "advantage", "length", "extracted", "gold",
      "reason",
    ]
    let rows: [JSON] = step.samples.prefix(tableRows).map { sample in
      .array([
        .integer(step.metrics.step), .integer(sample.example), .integer(sample.index), .string(sample.question),
        .string(sample.completion), .string(sample.outcome), sample.reward.map { .number($0) } ?? .null,
        sample.advantage.map { .number($0) } ?? .null, .integer(sample.length),
        sample.extracted.map { .string($0) } ?? .null, .string(sample.gold), .string(sample.reason),
      ])
    }
    return "\"columns\":\(JSON.array(columns).text()), \"samples\":\(JSON.array(rows).text())"
  }

  /// The run's id in W&B: made once and kept in the run folder, so that a resumed run is the same run there.
  private static func identifier(_ folder: String) throws(Failure) -> String {
    let path = folder + "/nano-reasoner.json"
    if Files.exists(path), let id = try JSON.read(path)["id"]?.string { return id }
    let letters = Array("0123456789abcdefghijklmnopqrstuvwxyz")
    let id = String((0..<8).map { _ in letters[Int.random(in: 0..<letters.count)] })
    try AtomicFile.write(JSON.object(["id": .string(id)]).text() + "\n", to: path)
    return id
  }
}
