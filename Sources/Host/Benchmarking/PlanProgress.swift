import Support
import Telemetry
import Training

/// Shows how far the whole plan has come, and passes a request to stop on to the run at hand.
package final class PlanProgress: RunObserver {
  private let console: Console
  private let stops: () -> Bool
  /// Steps of all runs.
  private var total = 0
  /// Steps of the runs before the one at hand.
  private var before = 0
  private var last = Progress(stage: "bench", step: 0)

  package init(_ console: Console, isStopRequested: @escaping () -> Bool) {
    self.console = console
    stops = isStopRequested
  }

  package var isStopRequested: Bool { stops() }

  func begin(runs: Int, finished: Int, stepsPerRun: Int) {
    total = runs * stepsPerRun
    before = finished * stepsPerRun
    if finished > 0 { console.info("\(finished) of \(runs) runs are finished already") }
  }

  func begin(run number: Int, of runs: Int, _ label: String, seed: UInt64) {
    console.info("run \(number) of \(runs): \(label), seed \(seed)")
  }

  func finishedRun(steps: Int) { before += steps }

  func finish() { console.finish() }

  package func begin(stage: String, total: Int, resumedAt step: Int) {
    if step > 0, step < total { console.info("continuing after step \(step) of \(total)") }
    show(step: before + step)
  }

  package func completed(_ step: RunStep) {
    last.reward = step["reward"]
    last.accuracy = step["accuracy"]
    last.heldOut = step["held_out_accuracy"]
    last.length = step["length_mean"]
    last.tokensPerSecond = step["rollout_tokens_per_second"]
    show(step: before + step.step)
  }

  package func end(stage: String) {}

  /// While an evaluation goes on; returns whether to go on.
  func evaluates() -> Bool { !isStopRequested }

  private func show(step: Int) {
    last.step = step
    last.total = total
    console.show(last)
  }
}
