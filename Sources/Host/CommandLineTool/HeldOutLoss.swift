import Arguments
import Support
import Tasks
import Telemetry
import Tokenization
import Training

/// The loss on held-out examples while a supervised run goes on: `--eval-data`, `--eval-every`. It changes nothing of the run.
struct HeldOutLoss {
  static let options: [OptionSpec] = [
    .value("eval-data", .path, "held-out examples: their loss is taken at the end and every --eval-every steps", group: .data, placeholder: "F"),
    .value("eval-every", .integer(Limits.count), "steps between held-out losses", group: .data),
    .value("eval-limit", .integer(Limits.count), "use the first N held-out examples", group: .data),
  ]

  static let rules: [OptionRule] = [
    .inVain(["eval-every", "eval-limit"], .missing("eval-data"), because: "it needs held-out examples")
  ]

  /// What tells these examples from others.
  let identity: JSON.Object
  let count: Int
  let description: String
  private let sequences: [TrainingSequence]
  private let every: Int?

  init?(_ arguments: ParsedArguments, _ documents: TrainingDocuments, _ tokenizer: Tokenizer) throws(Failure) {
    guard let path = try arguments.optionalText("eval-data") else { return nil }
    var report = TrainingDocuments.Report()
    let (held, contents) = try documents.sequences(
      of: try DataSource(path, for: .evaluation), limit: try arguments.optionalInteger("eval-limit"), keys: try DataOptions.keys(arguments),
      tokenizer, report: &report)
    sequences = try held.all()
    every = try arguments.optionalInteger("eval-every")
    identity = HeldOutEvaluation.identity(contents.sha256, count: held.count)
    count = held.count
    let cut = held.cutCount
    description =
      "\(count) examples of \(path), \(held.predictedCount) tokens\(cut > 0 ? ", \(cut) of them cut to \(documents.maxLength) tokens" : "")"
  }

  /// The metrics of the step that was just made; empty where none are due.
  func metrics(_ trainer: SFTTrainer, steps: Int) throws(Failure) -> Metrics {
    guard trainer.step == steps || every.map({ trainer.step % $0 == 0 }) ?? false else { return [:] }
    let watch = Stopwatch()
    let loss = try trainer.loss(of: sequences)
    return ["held_out_loss": loss, "seconds/evaluation": watch.seconds]
  }
}
