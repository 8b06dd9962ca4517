import Benchmarking
import Rollouts
import Support
import Telemetry
import Training

/// Shows a run on standard error, and passes Ctrl-C on to it.
final class ConsoleObserver: RecipeObserver {
  let console: Console
  private(set) var last: RunStep?
  /// What the console shows of the run.
  private var shown: Progress?

  init(quiet: Bool) {
    console = Console(quiet: quiet)
    Interruption.install()
  }

  var isStopRequested: Bool { Interruption.isRequested }

  func begin(stage: String, total: Int, resumedAt step: Int) {
    if step > 0 { console.info("\(stage): continuing after step \(step) of \(total)") }
    show(Progress(stage: stage, step: step, total: total))
  }

  func completed(_ step: RunStep) {
    last = step
    show(
      Progress(
        stage: step.stage, step: step.step, total: step.total, loss: step["loss"], reward: step["reward"],
        accuracy: step["accuracy"], heldOut: step["held_out_accuracy"], kl: step["kl_reference_k3"] ?? step["kl_old_k3"],
        length: step["length_mean"],
        tokensPerSecond: step["rollout_tokens_per_second"] ?? step["training_tokens_per_second"]))
  }

  private func show(_ progress: Progress) {
    shown = progress
    console.show(progress)
  }

  /// Shown where drawing takes longer than a look.
  func draws(_ progress: GenerationProgress) {
    guard progress.seconds > 2, var shown else { return }
    shown.activity = "drawing \(progress.finished)/\(progress.total)"
    shown.tokensPerSecond = progress.tokensPerSecond
    console.show(shown)
  }

  func end(stage: String) { console.finish() }

  func say(_ text: String) { console.info(text) }

  func warn(_ message: String) { console.warning(message) }

  /// Progress of something that is usually quick: shown only once it has taken a second.
  func patient(_ stage: String) -> (Int, Int) -> Void {
    let watch = Stopwatch()
    var isShown = false
    return { [console] step, total in
      if !isShown, (total > 256 && step % 16 != 0) || watch.seconds < 1 { return }
      isShown = true
      console.show(Progress(stage: stage, step: step, total: total))
    }
  }

  /// The same of something whose end nobody knows.
  func patient(counting stage: String) -> (Int) -> Void {
    let watch = Stopwatch()
    var isShown = false
    return { [console] step in
      if !isShown, step % 16 != 0 || watch.seconds < 1 { return }
      isShown = true
      console.show(Progress(stage: stage, step: step))
    }
  }

  /// Progress of sampling apart from training; returns whether to go on.
  func generated(_ stage: String, _ progress: GenerationProgress) -> Bool {
    console.show(
      Progress(stage: stage, step: progress.finished, total: progress.total, tokensPerSecond: progress.tokensPerSecond))
    return !Interruption.isRequested
  }
}
