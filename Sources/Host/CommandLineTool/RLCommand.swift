import Arguments
import Foundations
import PluginHost
import Tasks
import Tokenization
import Training
import Transformer

/// `rl`: reinforcement learning with an algorithm from a plugin.
enum RLCommand {
  enum Overlong: String, CaseIterable {
    case error, skip
  }

  static let spec = CommandSpec(
    name: "rl", summary: "reinforcement learning with an algorithm from a plugin",
    discussion:
      "Each step draws --group-size completions for --prompts-per-step questions, rewards a right \\boxed{} answer with 1, and lets the plugin turn rewards into advantages and log-probabilities into a loss. `nano-reasoner plugin list` shows the algorithms, `plugin show NAME` their parameters.",
    examples: ["nano-reasoner rl --model M --adapter sft/adapter --data train.jsonl --algo grpo --set beta=0.04 --out runs/grpo"],
    options: [
      ModelOptions.model, ModelOptions.adapter,
      .required("data", .path, "JSON lines with questions and answers", group: .data, placeholder: "F"),
      .required("algo", .text, "the plugin's name, or the path of its library", group: .training, placeholder: "NAME|PATH"),
      .repeated("set", .assignment, "a parameter of the plugin", group: .training), TrainingOptions.trustPlugin,
      .value("group-size", .integer(Limits.group), default: 8, "completions per prompt (G)", group: .training),
      .value("prompts-per-step", .integer(Limits.group), default: 2, "prompts per step", group: .training),
      .value("temperature", temperature, default: 0.8, "sampling temperature", group: .sampling),
      .value(
        "logprob-temperature", temperature, "temperature of log-probabilities; default: the sampling temperature",
        group: .sampling),
      .value("max-new-tokens", .integer(Limits.tokens), default: 384, "longest completion", group: .sampling),
      .value("inner-epochs", .integer(Limits.innerEpochs), default: 2, "passes over each rollout", group: .training),
      .value("minibatches", .integer(Limits.minibatches), default: 1, "optimiser updates per pass", group: .training),
      .value("steps", .integer(Limits.count), "steps of the run; default: one pass over the data", group: .training),
      .value("max-samples", .integer(Limits.count), "use at most the first N examples", group: .data),
      .flag("no-shuffle", "take the questions in the order of the file", group: .data),
      .value("reward", .choice(Verifier.Mode.self), default: "numeric", "when an answer equals the gold one", group: .training),
      .value("value-lr", .number(Limits.learningRate), default: 1e-4, "learning rate of a critic's value head", group: .training),
      .value(
        "refill-rounds", .integer(0...1000), default: 8, "rounds of fresh prompts for dropped groups in one step, at most",
        group: .training),
      .value(
        "overlong", .choice(Overlong.self), default: "error", "what becomes of rows whose prompt fills the model's context", group: .data),
    ] + DataOptions.keys + HeldOutEvaluation.options + TrainingOptions.options(learningRate: 1e-5) + [MonitoringOptions.samples]
      + ModelOptions.compute
      + [ModelOptions.seed, ModelOptions.quiet, ModelOptions.json, .config],
    rules: TrainingOptions.rules + MonitoringOptions.rules + HeldOutEvaluation.rules)

  private static let temperature = ValueKind.number(Limits.smallestTrainingTemperature...Limits.temperature.upperBound)

  /// Refuses options that ask for what the plugin does not do.
  static func checkUse(_ arguments: ParsedArguments, by plugins: [PluginInstance]) throws(Failure) {
    let names = plugins.map(\.library.id).joined(separator: ", ")
    if try arguments.isGiven("value-lr"), !plugins.contains(where: { $0.needs.contains(.critic) }) {
      throw .usage("--value-lr does nothing with \(names), which has no critic; leave it out")
    }
    if try arguments.isGiven("refill-rounds"), !plugins.contains(where: { $0.needs.contains(.refill) }) {
      throw .usage("--refill-rounds does nothing with \(names), which asks for no fresh prompts; leave it out")
    }
  }

  static func settings(_ arguments: ParsedArguments, examples: Int) throws(Failure) -> RLSettings {
    var settings = RLSettings()
    settings.groupSize = try arguments.integer("group-size")
    settings.promptsPerStep = try arguments.integer("prompts-per-step")
    settings.temperature = try arguments.number("temperature")
    settings.logProbTemperature = try arguments.optionalNumber("logprob-temperature")
    settings.maxNewTokens = try arguments.integer("max-new-tokens")
    try Limits.checkCompletions(
      settings.promptsPerStep, times: settings.groupSize, "--prompts-per-step with --group-size")
    settings.innerEpochs = try arguments.integer("inner-epochs")
    settings.minibatches = try arguments.integer("minibatches")
    settings.seed = UInt64(try arguments.integer("seed"))
    settings.refillRounds = try arguments.integer("refill-rounds")
    settings.shuffles = !(try arguments.flag("no-shuffle"))
    if let steps = try arguments.optionalInteger("steps") {
      settings.steps = steps
    } else {
      settings.steps = (examples + settings.promptsPerStep - 1) / settings.promptsPerStep
      settings.promptsOfOnePass = examples
    }
    return settings
  }

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let card = try PluginRegistry.find(try arguments.text("algo"))
    let assignments = try arguments.assignments("set").map { "\($0.key)=\($0.value)" }
    _ = try PluginParameters(assignments, for: card.descriptor)
    try TrainingOptions.check(card, parameters: assignments, arguments)
    let library = try PluginLibrary(card)
    let plugin = try PluginInstance(library, settings: assignments)
    try checkUse(arguments, by: [plugin])
    let data = try arguments.text("data")
    var examples = try ExampleFile.read(
      data, limit: try arguments.optionalInteger("max-samples"), keys: try DataOptions.keys(arguments))
    let (folder, tokenizer) = try ModelOptions.open(try arguments.text("model"))
    let context = folder.configuration.maxPositions
    let overlong: Overlong = try arguments.choice("overlong")
    var skipped: [Int] = []
    if overlong == .skip {
      (examples, skipped) = RLTask.fitting(examples, tokenizer: tokenizer, context: context)
      if examples.isEmpty { throw .badData("\(data): no prompt leaves room for a completion in the model's context of \(context) tokens") }
    }
    let rows = examples
    let settings = try settings(arguments, examples: examples.count)
    let verifier = try Verifier(ready: try arguments.choice("reward"))
    let observer = ConsoleObserver(quiet: try arguments.flag("quiet"))
    let task = try RLTask(
      examples, tokenizer: tokenizer, verifier: verifier, name: data, context: context,
      progress: observer.patient("tokenising"))
    if settings.groupSize == 1, try RLTask.teachesNothingAlone(try PluginInstance(library, settings: assignments)) {
      throw .usage("--group-size 1: \(library.id) compares the completions of one prompt, and one alone gets no advantage and no gradient; take 2 or more")
    }
    let (model, adapter) = try TrainingOptions.model(arguments, folder: folder, observer)
    var policy = try TrainingOptions.policy(arguments, adapter: adapter, steps: settings.updates)
    policy.valueLearningRate = try arguments.number("value-lr")
    var reference: ReferencePolicy?
    if plugin.needs.contains(.reference) {
      reference =
        adapter != nil
        ? try ReferencePolicy(adapterOf: model)
        : ReferencePolicy(frozen: try ModelOptions(arguments).load(folder))
    }
    let runFolder = RunFolder(try arguments.text("out"))
    let evaluation = try HeldOutEvaluation(
      arguments, model: model, tokenizer: tokenizer, verifier: verifier, rl: settings, out: runFolder.path, adapter: adapter,
      baseName: try arguments.text("model"), source: folder)
    var summary = RunSummary()
    summary.add(model: model, path: folder.path, policy: policy)
    let total = try ExampleFile.count(data)
    summary.add("data", "\(examples.count) of \(total) rows of \(data)", .integer(examples.count))
    if let evaluation { summary.add("held out", "\(evaluation.count) questions of \(try arguments.text("eval-data"))", .integer(evaluation.count)) }
    summary.add("algorithm", "\(library.id) \(plugin.parameters.settings.joined(separator: " "))", .string(library.id))
    summary.add("steps", "\(settings.steps) of \(settings.promptsPerStep) prompts × \(settings.groupSize) completions of at most \(settings.maxNewTokens) tokens", .integer(settings.steps))
    summary.add("updates", "\(settings.updates) at most", .integer(settings.updates))
    summary.add("out", runFolder.path)
    if !skipped.isEmpty {
      summary.note("\(data): \(skipped.count) rows are left out, their prompts fill the context of \(context) tokens (\(RunSummary.lines(skipped)))")
    }
    let longest = task.prompts.map(\.tokens.count).max() ?? 0
    if longest + settings.maxNewTokens > context {
      let short = task.prompts.count { $0.tokens.count + settings.maxNewTokens > context }
      summary.note("--max-new-tokens \(settings.maxNewTokens): \(short) prompts leave less room than that in the context of \(context) tokens; their completions end there as truncated")
    }
    if try summary.finishes(arguments, observer.console) { return }
    var extra = JSON.Object()
    extra["plugin"] = .string(library.id)
    extra["plugin_parameters"] = plugin.parameters.json
    var record = try TrainingOptions.record(
      arguments, stage: "rl", folder: folder, data: data, backend: model.backend, extra: extra)
    record.description["plugin"] = PluginDescription(library).json
    var run = RLRun(
      model: model, source: folder, policy: policy, settings: settings, plugin: plugin, task: task,
      text: { try tokenizer.text(of: $0) }, question: { rows[$0].question },
      reference: reference, folder: runFolder, record: record, keeping: try TrainingOptions.keeping(arguments),
      baseName: try arguments.text("model"))
    if let evaluation { run.afterStep = { step throws(Failure) in try evaluation.metrics(step: step) } }
    if case .interrupted(let step) = try run.run(observer) { throw TrainingOptions.interrupted(at: step) }
    let result = adapter == nil ? runFolder.model : runFolder.adapter
    if try arguments.flag("json") {
      var metrics = JSON.Object()
      for name in observer.last?.metrics.names ?? [] { metrics[name] = .number(observer.last?[name] ?? .nan) }
      return try Output.json([
        "steps": .integer(settings.steps), "algo": .string(library.id), "out": .string(result), "last": .object(metrics),
      ])
    }
    let reward = observer.last?["reward"].map { Output.decimal($0, 3) } ?? "–"
    try Output.line("\(result): \(settings.steps) steps of \(library.id), last mean reward \(reward)")
  }
}
