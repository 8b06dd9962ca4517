import Support
import Telemetry

/// The folder of a run: `run.json`, `metrics.jsonl`, `samples.jsonl`, `checkpoints/`, and the finished adapter or model.
package struct RunFolder: Sendable {
  package let path: String

  package init(_ path: String) { self.path = path }

  package var metrics: String { path + "/metrics.jsonl" }
  package var samples: String { path + "/samples.jsonl" }
  package var adapter: String { path + "/adapter" }
  package var model: String { path + "/model" }

  /// The logs of a run: new ones, or ones that are cut after a step and go on.
  func logs(stage: String, after step: Int, resuming: Bool, hasSamples: Bool) throws(Failure) -> RunLogs {
    if resuming {
      return RunLogs(
        metrics: try MetricLog(resuming: metrics, stage: stage, step: step),
        samples: hasSamples ? try SampleLog(resuming: samples, stage: stage, step: step) : nil)
    }
    return RunLogs(
      metrics: try MetricLog(creating: metrics), samples: hasSamples ? try SampleLog(creating: samples) : nil)
  }

  /// Seconds that the kept part of a run took, so that a continued run counts on from there.
  func secondsBefore(resuming: Bool) -> Double {
    guard resuming, let last = try? MetricLog.read(metrics).last, last.elapsed.isFinite else { return 0 }
    return last.elapsed
  }

  /// The link of a step's proof, which the next one's continues; nil where the step's line has none.
  func chain(stage: String, step: Int) -> Digest? {
    let record = (try? MetricLog.read(metrics))?.last { $0.stage == stage && $0.step == step }
    return record?.proof.flatMap { proof in try? StepDigests(proof).chain }
  }

  private var recordPath: String { path + "/run.json" }

  package var holdsRun: Bool { Files.exists(recordPath) }

  /// Makes the folder of a new run, or checks that a run to be resumed is this one; what was deliberately changed is written down.
  package func open(_ record: RunRecord, resuming: Bool) throws(Failure) {
    let recorded = try check(record, resuming: resuming)
    try Files.makeDirectory(path)
    try claim()
    try sweep()
    if let recorded {
      guard let updated = updated(recorded, record) else { return }
      return try AtomicFile.write(JSON.object(updated).text(pretty: true) + "\n", to: recordPath)
    }
    var object = record.description
    object["identity"] = .object(record.identity)
    object[Self.identityKey] = .string(SHA256.hex(Array(JSON.object(record.identity).text().utf8)))
    if !record.heldOut.keys.isEmpty { object["held_out"] = .object(record.heldOut) }
    try AtomicFile.write(JSON.object(object).text(pretty: true) + "\n", to: recordPath)
  }

  /// Whether a run may begin here, or go on: the errors of ``open(_:resuming:)``, and nothing is made or claimed.
  ///
  /// - Returns: what `run.json` says, where a run goes on.
  @discardableResult
  package func check(_ record: RunRecord, resuming: Bool) throws(Failure) -> JSON.Object? {
    guard resuming else {
      if holdsRun { throw .usage("\(path): holds a run already; continue it with --resume or choose another --out") }
      if Files.exists(path), !Files.isDirectory(path) {
        throw .inputOutput("\(path): is in the way: a directory is needed here")
      }
      if let rest = try leftover() {
        throw .usage("\(path): holds \(rest) of a run but no run.json; move it away or choose another --out")
      }
      return nil
    }
    guard holdsRun else { throw .missingInput("\(path): --resume: no run here (no run.json)") }
    let earlier = try JSON.read(recordPath)
    guard let object = earlier.object, let before = object["identity"]?.object else {
      throw .badData("\(recordPath): --resume: has no \"identity\"; this is no run of this program")
    }
    if before["model_fingerprint"] != nil {
      throw .badData("\(recordPath): --resume: was begun by a version of this program that did not keep the digest of all weights; finish it with that version or use another --out")
    }
    let changed = changes(from: before, to: record.identity).filter { !record.mayDiffer.contains($0) }
    // A setting that both have says more than one that came or went with it.
    if let key = changed.first(where: { before[$0] != nil && record.identity[$0] != nil }) ?? changed.first {
      throw differs(key, before[key], record.identity[key])
    }
    // Held-out data may come and go, but not become others under the same curve.
    if let before = object["held_out"]?.object {
      for key in record.heldOut.keys where before[key] != nil && before[key] != record.heldOut[key] {
        throw differs(key, before[key], record.heldOut[key])
      }
    }
    return object
  }

  /// The key of what tells the run from every other that was begun otherwise: the digest of what it began with.
  private static let identityKey = "run"

  /// What the run's checkpoints are marked with; nil where a version that did not mark them began it.
  func identity() throws(Failure) -> String? { holdsRun ? try JSON.read(recordPath)[Self.identityKey]?.string : nil }

  /// Something that only a run can have left.
  private func leftover() throws(Failure) -> String? {
    guard Files.isDirectory(path) else { return nil }
    if let step = try CheckpointStore(run: path).newest() { return "checkpoints/step-\(step)" }
    for log in ["metrics.jsonl", "samples.jsonl"] where Files.exists("\(path)/\(log)") { return log }
    let events = path + "/tensorboard"
    if Files.isDirectory(events), let file = try Files.list(events).first(where: { $0.contains("tfevents") }) { return "tensorboard/\(file)" }
    return nil
  }

  /// Removes what processes that are gone left half-written.
  private func sweep() throws(Failure) {
    try CheckpointStore(run: path).sweep()
    let ours: [String: Set<String>] = [
      "": ["run.json", "metrics.jsonl", "samples.jsonl", "report.html", "model"],
      "/adapter": ["adapter_config.json", "adapter_model.safetensors"],
      "/best": ["best.json", "adapter_config.json", "adapter_model.safetensors"],
      "/wandb": ["nano-reasoner-helper.py", "nano-reasoner.json"],
    ]
    for (folder, names) in ours { try Files.sweep(path + folder) { names.contains($0) } }
    // A whole model in best/ is a folder that is written beside and renamed.
    try Files.sweep(path) { $0 == "best" }
  }

  private func changes(from before: JSON.Object, to now: JSON.Object) -> [String] {
    now.keys.filter { before[$0] != now[$0] } + before.keys.filter { now[$0] == nil }
  }

  private func differs(_ key: String, _ before: JSON?, _ now: JSON?) -> Failure {
    let (was, now) = (before?.text() ?? "nothing", now?.text() ?? "nothing")
    return .badData(
      "\(recordPath): --resume: \"\(key)\" was \(was), now it is \(now); resume with the same settings or use another --out")
  }

  /// What `run.json` is to say of a run that goes on with something changed or with held-out data it did not have; nil where it says
  /// so already.
  private func updated(_ object: JSON.Object, _ record: RunRecord) -> JSON.Object? {
    var object = object
    let before = object["identity"]?.object ?? [:]
    let changed = changes(from: before, to: record.identity)
    let heldOut = object["held_out"]?.object ?? [:]
    let isNew = record.heldOut.keys.contains { heldOut[$0] == nil }
    if changed.isEmpty, !isNew { return nil }
    let step = (try? CheckpointStore(run: path).newest()) ?? 0
    var list = object["changes"]?.array ?? []
    for key in changed {
      list.append(["after_step": .integer(step), "name": .string(key), "was": before[key] ?? .null, "now": record.identity[key] ?? .null])
    }
    if !list.isEmpty { object["changes"] = .array(list) }
    object["identity"] = .object(record.identity)
    if isNew { object["held_out"] = .object(record.heldOut) }
    return object
  }

  /// Two processes that write one run would ruin it for both.
  private func claim() throws(Failure) {
    guard try Files.claim(path) else { throw isClaimed }
  }

  /// Whether no other process writes the run; claims nothing. Not for a process that has claimed it.
  package func checkUnclaimed() throws(Failure) {
    if Files.isClaimed(path) { throw isClaimed }
  }

  private var isClaimed: Failure {
    .usage("\(path): another process is writing this run; wait for it or stop it, or choose another --out")
  }
}
