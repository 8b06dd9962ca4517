import Support
import Telemetry

/// What a run is, for `run.json` and for resuming.
package struct RunRecord: Sendable {
  package static let programVersion = "0.1.0"

  /// `sft`, `rl` or `pretrain`.
  package var stage: String
  /// Everything that must be equal for a run to be continued.
  package var identity: JSON.Object
  /// What tells the held-out data of a run: it must be equal where the run had some and has some now.
  package var heldOut: JSON.Object = [:]
  /// Keys of the identity that may differ on resuming; what does is written to `run.json`.
  package var mayDiffer: Set<String> = []
  /// Everything else worth knowing.
  package var description: JSON.Object

  package init(stage: String, identity: JSON.Object, description: JSON.Object) {
    self.stage = stage
    self.identity = identity
    self.description = description
    self.identity["stage"] = .string(stage)
    self.description["stage"] = .string(stage)
    self.description["version"] = .string(Self.programVersion)
  }
}

/// How a run is kept: how often it writes a checkpoint, whether it continues one.
package struct RunKeeping: Sendable {
  package var checkpointEvery = 50
  /// Minutes after which a checkpoint is written all the same.
  package var checkpointMinutes = 10.0
  package var resumes = false
  /// Stops after this many steps of the whole run even where more are planned; for tests of resuming.
  package var stopAfter: Int?
  /// Where the run is shown beside its own files.
  package var monitoring = Monitoring()

  package init() {}
}

/// Why a run ended.
package enum RunOutcome: Sendable, Equatable {
  case finished
  /// Stopped on request after a step; a checkpoint was written.
  case interrupted(step: Int)
}

extension Failure {
  /// The same with what of the run is safe.
  ///
  /// - Parameters:
  ///   - saved: the step of the newest checkpoint; 0 where there is none.
  ///   - step: the step that failed; nil for what comes between steps and after the last.
  ///   - unsaved: why no newer checkpoint could be written.
  func after(step saved: Int, in step: Int?, unsaved: Failure? = nil) -> Failure {
    guard step.map({ $0 > 1 }) ?? true, code != .interrupted else { return self }
    let why = unsaved.flatMap { $0.message == message ? nil : "a newer checkpoint could not be written: \($0.message); " } ?? ""
    let what = saved > 0 ? "the checkpoint of step \(saved) is whole; once the cause is mended, --resume goes on from there" : "no checkpoint had been written"
    return Failure(code, "\(message) (\(step.map { "in step \($0); " } ?? "")\(why)\(what))")
  }
}

/// One finished step, for whoever watches.
package struct RunStep: Sendable {
  package let stage: String
  package let step: Int
  package let total: Int
  package let metrics: Metrics

  package subscript(name: String) -> Double? { metrics[name] }
}

/// Who watches a run.
package protocol RunObserver: AnyObject {
  func begin(stage: String, total: Int, resumedAt step: Int)
  func completed(_ step: RunStep)
  func end(stage: String)
  /// Something went wrong that does not end the run.
  func warn(_ message: String)
  /// A request to stop after the step at hand.
  var isStopRequested: Bool { get }
}

extension RunObserver {
  package func warn(_ message: String) {
    try? AtomicFile.write(Array("warning: \(OneLine.text(message))\n".utf8), descriptor: STDERR_FILENO, name: "standard error")
  }
}
