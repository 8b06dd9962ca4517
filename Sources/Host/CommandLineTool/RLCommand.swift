import Arguments
import PluginHost
import Rollouts
import Support
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
    if try arguments.isMeant("value-lr"), !plugins.contains(where: { $0.needs.contains(.critic) }) {
      throw .usage("--value-lr does nothing with \(names), which has no critic; leave it out")
    }
    if try arguments.isMeant("refill-rounds"), !plugins.contains(where: { $0.needs.contains(.refill) }) {
      throw .usage("--refill-rounds does nothing with \(names), which asks for no fresh prompts; leave it out")
    }
  }

  /// Refuses groups of one where an algorithm compares the completions of a group. The instance is for this question only.
  static func checkGroup(_ size: Int, _ plugin: PluginInstance) throws(Failure) {
    if size == 1, try RLTask.teachesNothingAlone(plugin) {
      throw .usage("--group-size 1: \(plugin.library.id) compares the completions of one prompt, and one alone gets no advantage and no gradient; take 2 or more")
    }
  }

  /// Bytes of keys and values while a step's completions are drawn, or the held-out ones, whichever are more.
  private static func generationBytes(
    _ settings: RLSettings, _ prompts: PromptSet, _ heldOut: PromptSet?, of configuration: ModelConfiguration
  ) -> Int {
    func bytes(_ set: PromptSet, samples: Int) -> Int {
      GenerationEngine.cacheBytes(configuration, samples: samples, longest: set.longest, maxNewTokens: settings.maxNewTokens)
    }
    return max(
      bytes(prompts, samples: settings.groupSize * settings.promptsPerStep), heldOut.map { bytes($0, samples: $0.count) } ?? 0)
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
    let contents = try ExampleFile.load(
      data, limit: try arguments.optionalInteger("max-samples"), keys: try DataOptions.keys(arguments))
    let (folder, tokenizer) = try ModelOptions.open(try arguments.text("model"))
    let context = folder.configuration.maxPositions
    let observer = ConsoleObserver(quiet: try arguments.flag("quiet"))
    var prompts = try PromptSet(
      contents.examples, tokenizer: tokenizer, name: data, purpose: "reinforcement learning",
      progress: observer.patient("tokenising"))
    let overlong: Overlong = try arguments.choice("overlong")
    var skipped: (count: Int, places: String)?
    if overlong == .skip {
      skipped = prompts.removeOverlong(context: context)
      if prompts.count == 0 { throw .badData("\(data): no prompt leaves room for a completion in the model's context of \(context) tokens") }
    }
    try prompts.requireRoom(context: context, advice: ", or leave such rows out with --overlong skip")
    let heldOut = try HeldOutEvaluation.questions(arguments, tokenizer: tokenizer, context: context)
    let settings = try settings(arguments, examples: prompts.count)
    let verifier = try Verifier(ready: try arguments.choice("reward"))
    let task = RLTask(prompts, tokenizer: tokenizer, verifier: verifier)
    try checkGroup(settings.groupSize, try PluginInstance(library, settings: assignments))
    let (model, adapter) = try TrainingOptions.model(arguments, folder: folder, observer)
    var policy = try TrainingOptions.policy(arguments, adapter: adapter, steps: settings.updates)
    policy.valueLearningRate = try arguments.number("value-lr")
    let runFolder = RunFolder(try arguments.text("out"))
    var evaluation: HeldOutEvaluation?
    if let heldOut {
      evaluation = try HeldOutEvaluation(
        heldOut, arguments, model: model, tokenizer: tokenizer, verifier: verifier, rl: settings, out: runFolder.path, adapter: adapter,
        baseName: try arguments.text("model"), source: folder)
    }
    let needsReference = plugin.needs.contains(.reference)
    var summary = RunSummary()
    summary.add(
      model: model, path: folder.path, policy: policy,
      generation: generationBytes(settings, prompts, evaluation?.prompts, of: folder.configuration),
      reference: !needsReference ? 0 : adapter != nil ? ReferencePolicy.adapterBytes(model) : try ModelOptions(arguments).bytes(of: folder))
    summary.add("data", "\(prompts.count) of \(contents.rowCount) rows of \(data)", .integer(prompts.count))
    if let evaluation { summary.add("held out", "\(evaluation.prompts.count) questions of \(evaluation.prompts.name)", .integer(evaluation.prompts.count)) }
    summary.add("algorithm", "\(library.id) \(plugin.parameters.settings.joined(separator: " "))", .string(library.id))
    summary.add("steps", "\(settings.steps) of \(settings.promptsPerStep) prompts × \(settings.groupSize) completions of at most \(settings.maxNewTokens) tokens", .integer(settings.steps))
    summary.add("updates", "\(settings.updates) at most", .integer(settings.updates))
    summary.add("out", runFolder.path)
    if let skipped {
      summary.note("\(data): \(skipped.count) rows are left out, their prompts fill the context of \(context) tokens (\(skipped.places))")
    }
    for set in [prompts, evaluation?.prompts] {
      if let shortage = set?.shortage(of: settings.maxNewTokens, context: context) { summary.note(shortage) }
    }
    var extra = JSON.Object()
    extra["plugin"] = .string(library.id)
    extra["plugin_parameters"] = plugin.parameters.json
    var record = try TrainingOptions.record(
      arguments, stage: "rl", folder: folder, data: contents.sha256, heldOut: evaluation?.identity ?? [:], backend: model.backend,
      extra: extra, observer)
    record.description["plugin"] = PluginDescription(library).json
    if try summary.finishes(arguments, runFolder, record, observer.console) { return }
    var reference: ReferencePolicy?
    if needsReference {
      reference =
        adapter != nil ? try ReferencePolicy(adapterOf: model) : ReferencePolicy(frozen: try ModelOptions(arguments).load(folder))
    }
    let rows = prompts.examples
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
