import Arguments
import Compute
import Evaluation
import Foundations
import Rollouts
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
  private let examples: [Example]
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

  init?(
    _ arguments: ParsedArguments, model: Transformer, tokenizer: Tokenizer, verifier: Verifier, rl: RLSettings, out: String,
    adapter: AdapterSettings?, baseName: String, source: ModelFolder
  ) throws(Failure) {
    guard let path = try arguments.optionalText("eval-data") else { return nil }
    examples = try DataOptions.questions(path, limit: try arguments.optionalInteger("eval-limit"), arguments)
    evaluator = Evaluator(model, tokenizer: tokenizer, verifier: verifier)
    settings = GenerationSettings(
      sampling: SamplingSettings(temperature: 0), maxNewTokens: rl.maxNewTokens, seed: rl.seed, stopTokens: Set(model.endOfText))
    every = try arguments.optionalInteger("eval-every")
    steps = rl.steps
    guard try arguments.flag("keep-best") else {
      best = nil
      return
    }
    let best = Best(out + "/best") { (folder: String) throws(Failure) in
      if let adapter {
        try model.saveAdapter(adapter, baseModel: baseName, to: folder)
      } else {
        try model.export(to: folder, source: source, kind: .float32, chatTemplate: ChatTemplate().jinja, replaces: true)
      }
    }
    // A run goes the same way again, so a best step that lies ahead of where it continues is found again.
    if try arguments.flag("resume"), let json = try? JSON.read(best.folder + "/best.json"), let accuracy = json["held_out_accuracy"]?.double,
      let step = json["step"]?.int, let newest = try CheckpointStore(run: out).newest(), step <= newest
    {
      best.accuracy = accuracy
    }
    self.best = best
  }

  var count: Int { examples.count }

  /// The metrics of a step; empty where none is due.
  func metrics(step: Int) throws(Failure) -> Metrics {
    guard step == steps || every.map({ step % $0 == 0 }) ?? false else { return [:] }
    let watch = Stopwatch()
    let result = try evaluator.evaluate(examples, settings)
    let accuracy = result.accuracy
    if let best, accuracy.estimate > best.accuracy {
      try best.save(best.folder)
      let record: JSON = ["step": .integer(step), "held_out_accuracy": .number(accuracy.estimate)]
      try AtomicFile.write(record.text(pretty: true) + "\n", to: best.folder + "/best.json")
      best.accuracy = accuracy.estimate
    }
    return [
      "held_out_accuracy": accuracy.estimate, "held_out_accuracy_low": accuracy.lower, "held_out_accuracy_high": accuracy.upper,
      "held_out_format": result.format, "held_out_length_mean": result.meanLength, "held_out_truncated": result.truncated,
      "seconds/evaluation": watch.seconds,
    ]
  }
}
