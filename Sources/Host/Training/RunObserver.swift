import Rollouts
import Support
import Telemetry

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
  /// How far the drawing of completions is within a step.
  func draws(_ progress: GenerationProgress)
  /// Something went wrong that does not end the run.
  func warn(_ message: String)
  /// A request to stop; what of a step is not whole is taken back.
  var isStopRequested: Bool { get }
}

extension RunObserver {
  package func draws(_ progress: GenerationProgress) {}

  package func warn(_ message: String) {
    try? AtomicFile.write(Array("warning: \(OneLine.text(message))\n".utf8), descriptor: STDERR_FILENO, name: "standard error")
  }
}
