import Arguments
import Compute
import Evaluation
import Rollouts
import Support
import Tasks
import Telemetry
import Tokenization
import Training
import Transformer

/// Held-out accuracy while a run goes on: `--eval-data`, `--eval-every`, `--keep-best`. It draws nothing that the run draws, so the run
/// is the same with and without it.
struct HeldOutEvaluation {
  static let options: [OptionSpec] = [
    .value("eval-data", .path, "held-out questions, answered greedily at the end and every --eval-every steps", group: .data, placeholder: "F"),
    .value("eval-every", .integer(Limits.count), "steps between held-out evaluations", group: .data),
    .value("eval-limit", .integer(Limits.count), "use the first N held-out questions", group: .data),
    .flag("keep-best", "keep the adapter of the best held-out step in OUT/best", group: .output),
  ]

  static let rules: [OptionRule] = [
    .inVain(["eval-every", "eval-limit", "keep-best"], .missing("eval-data"), because: "it needs held-out questions")
  ]

  private let evaluator: Evaluator
  let prompts: PromptSet
  /// What tells these questions from others: the file's digest and how many of them are asked.
  let identity: JSON.Object
  private let settings: GenerationSettings
  private let every: Int?
  private let steps: Int
  private let best: Best?

  /// The best step so far; a resumed run reads it back.
  private final class Best {
    let folder: String
    var accuracy = -1.0
    let save: (String) throws(Failure) -> Void

    init(_ folder: String, save: @escaping (String) throws(Failure) -> Void) {
      self.folder = folder
      self.save = save
    }
  }

  /// The questions that are asked; nil where none are held out. Read before the model, as rows that do not fit end the run.
  static func questions(
    _ arguments: ParsedArguments, tokenizer: Tokenizer, form: PromptForm, context: Int
  ) throws(Failure) -> (prompts: PromptSet, sha256: String)? {
    guard let path = try arguments.optionalText("eval-data") else { return nil }
    return try DataOptions.questions(
      path, limit: try arguments.optionalInteger("eval-limit"), arguments, tokenizer: tokenizer, form: form, context: context)
  }

  init(
    _ questions: (prompts: PromptSet, sha256: String), _ arguments: ParsedArguments, _ trained: RunModel, _ evaluator: Evaluator,
    rl: RLSettings
  ) throws(Failure) {
    prompts = questions.prompts
    identity = Self.identity(questions.sha256, count: prompts.count)
    self.evaluator = evaluator
    settings = GenerationSettings(
      sampling: SamplingSettings(temperature: 0), maxNewTokens: rl.maxNewTokens, seed: rl.seed,
      stopTokens: Set(trained.model.endOfText))
    every = try arguments.optionalInteger("eval-every")
    steps = rl.steps
    guard try arguments.flag("keep-best") else {
      best = nil
      return
    }
    let out = try arguments.text("out")
    let best = Best(out + "/best", save: trained.write)
    // A run goes the same way again, so a best step that lies ahead of where it continues is found again.
    let bestPath = best.folder + "/best.json"
    if try arguments.flag("resume"), Files.exists(bestPath) {
      let json = try JSON.read(bestPath)
      for key in identity.keys where json[key] != identity[key] {
        throw .badData(
          "\(bestPath): --resume: \"\(key)\" was \(json[key]?.text() ?? "nothing"), now it is \(identity[key]?.text() ?? "nothing"): accuracies on other questions cannot be compared; give those it was measured on, or move \(best.folder) away")
      }
      if let accuracy = json["held_out_accuracy"]?.double, (0...1).contains(accuracy), let step = json["step"]?.int,
        let newest = try CheckpointStore(run: out).newest(), step <= newest
      {
        best.accuracy = accuracy
      }
    }
    self.best = best
  }

  /// What tells held-out data from others.
  static func identity(_ sha256: String, count: Int) -> JSON.Object {
    ["eval-data sha256": .string(sha256), "eval-limit": .integer(count)]
  }

  /// The metrics of a step; empty where none is due.
  func metrics(step: Int) throws(Failure) -> Metrics {
    guard step == steps || every.map({ step % $0 == 0 }) ?? false else { return [:] }
    let watch = Stopwatch()
    let result = try evaluator.evaluate(prompts, settings)
    let accuracy = result.accuracy
    if let best, accuracy.estimate > best.accuracy {
      try best.save(best.folder)
      var record: JSON.Object = ["step": .integer(step), "held_out_accuracy": .number(accuracy.estimate)]
      for key in identity.keys { record[key] = identity[key] }
      try AtomicFile.write(JSON.object(record).text(pretty: true) + "\n", to: best.folder + "/best.json")
      best.accuracy = accuracy.estimate
    }
    return [
      "held_out_accuracy": accuracy.estimate, "held_out_accuracy_low": accuracy.lower, "held_out_accuracy_high": accuracy.upper,
      "held_out_format": result.format, "held_out_length_mean": result.meanLength, "held_out_truncated": result.truncated,
      "seconds/evaluation": watch.seconds,
    ]
  }
}
