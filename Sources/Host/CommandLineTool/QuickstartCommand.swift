import Arguments
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
      .repeated("set", .assignment, "a parameter of the plugin", group: .training), TrainingOptions.trustPlugin,
      .value(
        "out", .path, "the folder to write; default: quickstart, or quickstart-2, -3 … where that is there already",
        group: .output, placeholder: "DIR"),
      .flag("resume", "continue the quickstart in --out", group: .output),
      .value("base", .path, "a base model folder; default: the one that ships with the program", group: .model),
      .value("held-out", .integer(1...1_000_000), default: 1000, "problems of the final evaluations", group: .data),
      .value("sft-steps", .integer(1...100_000), default: .integer(Quickstart().sftSteps), "updates of the SFT stage", group: .training),
      .value("rl-steps", .integer(1...100_000), default: .integer(Quickstart().rlSteps), "steps of the RL stage", group: .training),
      .value("threads", .integer(1...1024), "CPU threads; default: one per core", group: .model),
      ModelOptions.seed, ModelOptions.quiet, ModelOptions.json,
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    var quickstart = Quickstart()
    quickstart.seed = UInt64(try arguments.integer("seed"))
    quickstart.heldOut = try arguments.integer("held-out")
    quickstart.sftSteps = try arguments.integer("sft-steps")
    quickstart.rlSteps = try arguments.integer("rl-steps")
    quickstart.resumes = try arguments.flag("resume")
    let out = try arguments.optionalText("out") ?? freeFolder(resuming: quickstart.resumes)
    let card = try PluginRegistry.find(try arguments.text("algo"))
    let assignments = try arguments.assignments("set").map { "\($0.key)=\($0.value)" }
    _ = try PluginParameters(assignments, for: card.descriptor)
    try TrainingOptions.check(card, parameters: assignments, arguments)
    let plugin = try PluginInstance(try PluginLibrary(card), settings: assignments)
    let named = try arguments.optionalText("base")
    let base: String = if let named { named } else { try ShippedModel.folder() }
    let observer = ConsoleObserver(quiet: try arguments.flag("quiet"))
    let backend = try CPUBackend(threads: try arguments.optionalInteger("threads"))
    let report = try quickstart.run(base: base, plugin: plugin, out: out, on: backend, observer)
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

/// The base model that ships with the program.
enum ShippedModel {
  /// Beside the source tree the program was built in, or where `make install` puts it.
  static func folder() throws(Failure) -> String {
    if let named = environmentVariable("NR_BASE_MODEL") { return named }
    var tried: [String] = []
    var folder = Files.directory(of: Files.program ?? ".")
    for _ in 0..<6 {
      for candidate in ["\(folder)/Models/base", "\(folder)/share/nano-reasoner/base"] {
        if Files.exists(candidate + "/config.json") { return candidate }
        tried.append(candidate)
      }
      folder = Files.directory(of: folder)
    }
    throw .missingInput(
      "the base model was not found (looked for \(tried[0]) and in the folders above); name it with --base or NR_BASE_MODEL, or make it: nano-reasoner pretrain --out DIR"
    )
  }
}
