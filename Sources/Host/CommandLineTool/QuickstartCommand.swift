import Arguments
import Benchmarking
import Compute
import Evaluation
import PluginHost
import Rollouts
import Support
import Tasks
import Telemetry
import Tokenization
import Training
import Transformer

/// `quickstart`: base model → SFT → reinforcement learning → evaluation, on the model that ships with the program.
enum QuickstartCommand {
  static let spec = CommandSpec(
    name: "quickstart", summary: "watch a small model learn to reason: base, SFT, RL and evaluation in five minutes",
    discussion:
      "Takes the 2.5 million parameter base model that ships with the program, teaches it the <think>…</think> and \\boxed{} form with LoRA, then lets it improve by reinforcement learning with the chosen algorithm. Every stage is measured on the same held-out word problems, which no training split contains. Writes the table and a picture to --out.",
    options: [
      .value("algo", .text, default: "grpo", "the algorithm's plugin, by name or path", group: .training, placeholder: "NAME|PATH"),
      PluginOptions.parameters, PluginOptions.trust,
      .value(
        "out", .path, "the folder to write; default: quickstart, or quickstart-2, -3 … where that is there already",
        group: .output, placeholder: "DIR"),
      .flag("resume", "continue the quickstart in --out", group: .output),
      .value("base", .path, "a base model folder; default: the one that ships with the program", group: .model),
      ModelOptions.promptForm,
      .value("held-out", .integer(1...1_000_000), default: .integer(Quickstart().heldOut), "problems of the final evaluations", group: .data),
      .value("sft-steps", .integer(1...100_000), default: .integer(Quickstart().sftSteps), "updates of the SFT stage", group: .training),
      .value("rl-steps", .integer(1...100_000), default: .integer(Quickstart().rlSteps), "steps of the RL stage", group: .training),
      ModelOptions.device,
      ModelOptions.threads,
      ModelOptions.seed, ModelOptions.quiet, ModelOptions.json,
    ] + PluginOptions.isolation, rules: PluginOptions.isolationRules)

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    var quickstart = Quickstart()
    quickstart.seed = UInt64(try arguments.integer("seed"))
    quickstart.heldOut = try arguments.integer("held-out")
    quickstart.sftSteps = try arguments.integer("sft-steps")
    quickstart.rlSteps = try arguments.integer("rl-steps")
    quickstart.resumes = try arguments.flag("resume")
    let out = try arguments.optionalText("out") ?? freeFolder(resuming: quickstart.resumes)
    let plugin = try PluginOptions.choice(try arguments.text("algo"), settings: try PluginOptions.settings(arguments), arguments)
    let named = try arguments.optionalText("base")
    let base: String = if let named { named } else { try ShippedModel.folder() }
    let observer = ConsoleObserver(quiet: try arguments.flag("quiet"))
    let backend = try ModelOptions.backend(arguments)
    let (folder, tokenizer, form) = try ModelOptions.open(base, arguments)
    var start = Quickstart.Base(name: base, folder: folder, tokenizer: tokenizer, form: form)
    let option = ModelOptions.promptForm.name
    if try arguments.isGiven(option) { start.formOption = ["--\(option)", form.rawValue] }
    let outcome = try quickstart.run(
      start, plugin, out: out, on: backend, observer)
    let report: QuickstartReport
    switch outcome {
    case .finished(let finished): report = finished
    case .interrupted(let step): throw TrainingOptions.interrupted(at: step)
    }
    if try arguments.flag("json") { return try Output.json(report.json) }
    try Output.write(report.text)
  }

  /// `quickstart`, or the first of `quickstart-2`, `quickstart-3`, … that is not there; on resuming the last that is.
  private static func freeFolder(resuming: Bool) -> String {
    var newest = "quickstart"
    var number = 2
    while Files.exists(newest) {
      let next = "quickstart-\(number)"
      if resuming, !Files.exists(next) { return newest }
      newest = next
      number += 1
    }
    return newest
  }
}
