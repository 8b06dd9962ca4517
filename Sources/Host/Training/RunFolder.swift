import Foundations
import Telemetry

/// The folder of a run: `run.json`, `metrics.jsonl`, `samples.jsonl`, `checkpoints/`, and the finished adapter or model.
package struct RunFolder: Sendable {
  package let path: String

  package init(_ path: String) { self.path = path }

  package var metrics: String { path + "/metrics.jsonl" }
  package var samples: String { path + "/samples.jsonl" }
  package var adapter: String { path + "/adapter" }
  package var model: String { path + "/model" }
  /// The log of metrics: a new one, or one that is cut after a step and goes on.
  func metricLog(stage: String, after step: Int, resuming: Bool) throws(Failure) -> MetricLog {
    resuming ? try MetricLog(resuming: metrics, stage: stage, step: step) : try MetricLog(creating: metrics)
  }

  func sampleLog(stage: String, after step: Int, resuming: Bool) throws(Failure) -> SampleLog {
    resuming ? try SampleLog(resuming: samples, stage: stage, step: step) : try SampleLog(creating: samples)
  }

  /// Seconds that the kept part of a run took, so that a continued run counts on from there.
  func secondsBefore(resuming: Bool) -> Double {
    guard resuming, let last = try? MetricLog.read(metrics).last, last.elapsed.isFinite else { return 0 }
    return last.elapsed
  }

  private var record: String { path + "/run.json" }

  package var holdsRun: Bool { Files.exists(record) }

  /// Makes the folder of a new run, or checks that a run to be resumed is this one.
  ///
  /// - Parameters:
  ///   - description: all settings, versions and digests.
  ///   - identity: the part of them that makes the run what it is: on resuming it must be equal.
  package func open(_ description: JSON.Object, identity: JSON.Object, resuming: Bool) throws(Failure) {
    if resuming {
      guard holdsRun else { throw .missingInput("\(path): --resume: no run here (no run.json)") }
      let earlier = try JSON.read(record)
      guard let before = earlier["identity"]?.object else {
        throw .badData("\(record): --resume: has no \"identity\"; this is no run of this program")
      }
      let changed =
        identity.keys.filter { before[$0] != identity[$0] } + before.keys.filter { identity[$0] == nil }
      // A setting that both have says more than one that came or went with it.
      if let key = changed.first(where: { before[$0] != nil && identity[$0] != nil }) ?? changed.first {
        let (was, now) = (before[key]?.text() ?? "nothing", identity[key]?.text() ?? "nothing")
        throw .badData(
          "\(record): --resume: \"\(key)\" was \(was), now it is \(now); resume with the same settings or use another --out")
      }
      return try claim()
    }
    if holdsRun {
      throw .usage("\(path): holds a run already; continue it with --resume or choose another --out")
    }
    try Files.makeDirectory(path)
    try claim()
    var object = description
    object["identity"] = .object(identity)
    try AtomicFile.write(JSON.object(object).text(pretty: true) + "\n", to: record)
  }

  /// Two processes that write one run would ruin it for both.
  private func claim() throws(Failure) {
    guard try Files.claim(path) else {
      throw .usage("\(path): another process is writing this run; wait for it or stop it, or choose another --out")
    }
  }
}
