import Arguments
import Compute
import Evaluation
import Rollouts
import Support
import Tasks
import Tokenization
import Transformer

/// `eval`: Pass@1 with its interval.
enum EvalCommand {
  static let spec = CommandSpec(
    name: "eval", summary: "Pass@1 on questions with answers, with a 95 % interval; pass@k and maj@k of several samples",
    discussion:
      "Intervals are over problems: samples of one problem are not independent (docs/evaluation.md). With --samples N come pass@k (one of k right, unbiased) and maj@k (the most frequent answer right) for k of 2, 4 … N.",
    options: ModelOptions.all + [
      ModelOptions.promptForm,
      .required("data", .path, DataOptions.evaluation, group: .data, placeholder: "F"),
      .value("limit", .integer(Limits.count), "use the first N questions", group: .data),
      .value("samples", .integer(Limits.group), default: 1, "completions per question", group: .sampling),
      .value("reward", .choice(Verifier.Mode.self), default: "numeric", "when an answer equals the gold one", group: .data),
      .value("out", .path, "write every completion with its verdict as JSON lines", group: .output, placeholder: "F.jsonl"),
    ] + DataOptions.keys + GenerateCommand.sampling + [ModelOptions.seed, ModelOptions.quiet, ModelOptions.json, .config],
    rules: GenerateCommand.samplingRules)

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    try Output.checkSeparate(arguments)
    let adapter = try ModelOptions.adapter(arguments)
    let path = try arguments.text("data")
    let (folder, tokenizer, form) = try ModelOptions.open(try arguments.text("model"), arguments)
    let prompts = try DataOptions.questions(
      path, limit: try arguments.optionalInteger("limit"), arguments, tokenizer: tokenizer, form: form,
      context: folder.configuration.maxPositions
    ).prompts
    let samples = try arguments.integer("samples")
    try Limits.checkCompletions(prompts.count, times: samples, "--samples")
    let progress = ConsoleObserver(quiet: try arguments.flag("quiet"))
    let policy = try ModelOptions.load(arguments, folder, adapter, progress: progress.patient("loading the model")).policy
    let model = policy.model
    let evaluator = Evaluator(
      policy, GenerationEngine(model, in: try Arena(on: model.backend)), tokenizer: tokenizer, form: form, verifier: try Verifier(ready: try arguments.choice("reward")))
    let settings = try GenerateCommand.settings(arguments, model: model)
    let result = try evaluator.evaluate(prompts, settings, samples: samples) { progress.generated("eval", $0) }
    progress.end(stage: "eval")
    GenerateCommand.noteContext(
      model.configuration.maxPositions,
      reachedBy: result.completions.count { $0.isTruncated && $0.tokenCount < settings.maxNewTokens })
    let out = try arguments.optionalText("out")
    if let out { try EvaluationFile.write(result, prompts.examples, to: out) }
    if try arguments.flag("json") {
      return try Output.json(result.json)
    }
    func say(_ text: String) throws(Failure) { try Output.line(text, beside: out ?? "") }
    func share(_ interval: Statistics.Interval) -> String {
      "\(Format.percent(interval.estimate)) (95 % interval \(Format.percent(interval.lower)) to \(Format.percent(interval.upper)))"
    }
    try say("Pass@1 \(share(result.accuracy)) on \(result.problems) problems × \(samples)")
    for point in result.curve.points where point.k > 1 {
      try say("Pass@\(point.k) \(share(point.pass)), maj@\(point.k) \(share(point.majority))")
    }
    try say(
      "correct format \(Format.percent(result.format)), truncated \(Format.percent(result.truncated)), mean length \(Format.fixed(result.meanLength, 1)) tokens, \(Format.fixed(result.tokensPerSecond, 0)) tokens/s"
    )
  }
}
