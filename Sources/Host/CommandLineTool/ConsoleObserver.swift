import Foundations
import Rollouts
import Training

/// Shows a run on standard error.
final class ConsoleObserver: RunObserver {
  private let quiet: Bool
  private(set) var last: RunStep?
  private var clock = Stopwatch()
  init(quiet: Bool) { self.quiet = quiet }
  func begin(stage: String, total: Int, resumedAt step: Int) { clock = Stopwatch() }
  func completed(_ step: RunStep) {
    last = step
    if quiet || (step.step % 10 != 0 && step.step != step.total) { return }
    let parts = ["loss", "reward", "accuracy", "entropy", "length_mean", "training_tokens_per_second", "rollout_tokens_per_second", "seconds/step"].compactMap { name in step[name].map { "\(name) \(Output.decimal($0, 3))" } }
    try? AtomicFile.write(Array("\(step.stage) \(step.step)/\(step.total) \(Output.decimal(clock.seconds, 1))s \(parts.joined(separator: " "))\n".utf8), descriptor: 2, name: "stderr")
  }
  func generated(_ stage: String, _ progress: GenerationProgress) -> Bool { true }
  func end(stage: String) {}
  var isStopRequested: Bool { false }
}
