import Arguments
import Evaluation
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

  private static let defaults = RLSettings()

  static let spec = CommandSpec(
    name: "rl", summary: "reinforcement learning with an algorithm from a plugin",
    discussion:
      "Each step draws --group-size completions for --prompts-per-step questions, rewards a right \\boxed{} answer with 1 (or what --reward says), and lets the plugin turn rewards into advantages and log-probabilities into a loss. `nano-reasoner plugin list` shows the algorithms, `plugin show NAME` their parameters.",
    examples: ["nano-reasoner rl --model M --adapter sft/adapter --data train.jsonl --algo grpo --set beta=0.04 --out runs/grpo"],
    options: [
      ModelOptions.model, ModelOptions.adapter, ModelOptions.promptForm,
      .required("data", .path, DataOptions.training, group: .data, placeholder: "F"),
      .required("algo", .text, "the plugin's name, or the path of its library", group: .training, placeholder: "NAME|PATH"),
      PluginOptions.parameters, PluginOptions.trust,
      .value("group-size", .integer(Limits.group), default: .integer(defaults.groupSize), "completions per prompt (G)", group: .training),
      .value("prompts-per-step", .integer(Limits.group), default: .integer(defaults.promptsPerStep), "prompts per step", group: .training),
      .value("temperature", temperature, default: .number(defaults.temperature), "sampling temperature", group: .sampling),
      .value(
        "logprob-temperature", temperature, "temperature of log-probabilities; default: the sampling temperature",
        group: .sampling),
      .value("max-new-tokens", .integer(Limits.tokens), default: .integer(defaults.maxNewTokens), "longest completion", group: .sampling),
      .value("inner-epochs", .integer(Limits.innerEpochs), default: .integer(defaults.innerEpochs), "passes over each rollout", group: .training),
      .value("minibatches", .integer(Limits.minibatches), default: .integer(defaults.minibatches), "optimiser updates per pass", group: .training),
      .value("steps", .integer(Limits.count), "steps of the run; default: one pass over the data", group: .training),
      .value("max-samples", .integer(Limits.count), "use at most the first N examples", group: .data),
      .flag("no-shuffle", "take the questions in the order of the file", group: .data),
    ] + RewardOptions.options + [
      .value("value-lr", .number(Limits.learningRate), default: .number(PolicySettings().valueLearningRate), "learning rate of a critic's value head", group: .training),
      .value(
        "refill-rounds", .integer(0...1000), default: .integer(defaults.refillRounds), "rounds of fresh prompts for dropped groups in one step, at most",
        group: .training),
      .value(
        "overlong", .choice(Overlong.self), default: "error", "what becomes of rows whose prompt fills the model's context", group: .data),
    ] + PluginOptions.isolation + PluginOptions.failures + WatchingOptions.options + DataOptions.keys + HeldOutEvaluation.options + TrainingOptions.options(learningRate: 1e-5) + [MonitoringOptions.samples]
      + ModelOptions.compute
      + [ModelOptions.seed, ModelOptions.quiet, ModelOptions.json, .config],
    rules: TrainingOptions.rules + MonitoringOptions.rules + HeldOutEvaluation.rules + PluginOptions.rules)

  private static let temperature = ValueKind.number(Limits.smallestTrainingTemperature...Limits.temperature.upperBound)

  /// Refuses options that ask for what the plugin does not do.
  static func checkUse(_ arguments: ParsedArguments, by plugins: [(id: String, needs: PluginNeeds)]) throws(Failure) {
    let names = plugins.map(\.id).joined(separator: ", ")
    if try arguments.isMeant("value-lr"), !plugins.contains(where: { $0.needs.contains(.critic) }) {
      throw .usage("--value-lr does nothing with \(names), which has no critic; leave it out")
    }
    if try arguments.isMeant("refill-rounds"), !plugins.contains(where: { $0.needs.contains(.refill) }) {
      throw .usage("--refill-rounds does nothing with \(names), which asks for no fresh prompts; leave it out")
    }
  }

  /// Refuses groups of one where an algorithm compares the completions of a group. An instance is made for this question only.
  static func checkGroup(_ size: Int, _ plugin: PluginChoice) throws(Failure) {
    if size == 1, try plugin.instance().teachesNothingAlone() {
      throw .usage("--group-size 1: \(plugin.id) compares the completions of one prompt, and one alone gets no advantage and no gradient; take 2 or more")
    }
  }

  /// What a plan of memory needs to know of prompts.
  struct Prompts {
    let count: Int
    /// Tokens of the longest.
    let longest: Int
  }

  /// What a run takes of memory: its largest micro-batch, a step's completions, the held-out questions.
  static func plan(
    _ settings: RLSettings, _ policy: PolicySettings, needs: PluginNeeds, _ prompts: Prompts, _ heldOut: Prompts?,
    _ trained: TrainingOptions.ModelToTrain
  ) throws(Failure) -> MemoryPlan {
    var run = PlannedRun(adapter: trained.adapter, policy)
    run.hasCritic = needs.contains(.critic)
    if needs.contains(.reference) { run.reference = trained.adapter == nil ? .model : .adapter }
    let configuration = trained.folder.configuration
    let backend = trained.options.backend
    run.generation = [settings.capacity(longestPrompt: prompts.longest, of: configuration, on: backend)]
    if let heldOut {
      run.generation.append(
        EngineCapacity(
          prompts: heldOut.count, samples: 1, longestPrompt: heldOut.longest, maxNewTokens: settings.maxNewTokens, of: configuration,
          on: backend))
    }
    let completion = min(settings.maxNewTokens, configuration.maxPositions - prompts.longest)
    run.groups = Array(
      repeating: (prompt: prompts.longest, completions: Array(repeating: completion, count: settings.groupSize)),
      count: settings.promptsPerStep)
    return try MemoryPlan(trained.architecture, run, on: backend)
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
    if arguments.declares(PluginOptions.onFailure.name) { settings.skippedFailures = try PluginOptions.skippedFailures(arguments) }
    if let steps = try arguments.optionalInteger("steps") {
      settings.steps = steps
    } else {
      settings.steps = (examples + settings.promptsPerStep - 1) / settings.promptsPerStep
      settings.promptsOfOnePass = examples
    }
    return settings
  }

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let choice = try PluginOptions.choice(try arguments.text("algo"), settings: try PluginOptions.settings(arguments), arguments)
    let plugin = try choice.instance()
    try checkUse(arguments, by: [(choice.id, plugin.needs)])
    let data = try arguments.text("data")
    let rewards = try RewardOptions.plan(arguments)
    let contents = try ExampleFile.load(
      try DataSource(data, for: .training), limit: try arguments.optionalInteger("max-samples"), keys: try DataOptions.keys(arguments),
      keepsColumns: rewards.readsColumns)
    let (folder, tokenizer, form) = try ModelOptions.open(try arguments.text("model"), arguments)
    let context = folder.configuration.maxPositions
    let observer = ConsoleObserver(quiet: try arguments.flag("quiet"))
    var prompts = try PromptSet(
      contents.examples, tokenizer: tokenizer, form: form, name: data, purpose: "reinforcement learning",
      progress: observer.patient("tokenising"))
    let overlong: Overlong = try arguments.choice("overlong")
    var skipped: (count: Int, places: String)?
    if overlong == .skip {
      skipped = prompts.removeOverlong(context: context)
      if prompts.count == 0 { throw .badData("\(data): no prompt leaves room for a completion in the model's context of \(context) tokens") }
    }
    try prompts.requireRoom(context: context, advice: ", or leave such rows out with --overlong skip")
    let heldOut = try HeldOutEvaluation.questions(arguments, tokenizer: tokenizer, form: form, context: context)
    let settings = try settings(arguments, examples: prompts.count)
    let task = RLTask(prompts, tokenizer: tokenizer, reward: try rewards.reward(for: prompts, form: form, limit: settings.maxNewTokens))
    try checkGroup(settings.groupSize, choice)
    let chosen = try TrainingOptions.modelToTrain(arguments, folder)
    var policy = try TrainingOptions.policy(arguments, steps: settings.updates)
    policy.valueLearningRate = try arguments.number("value-lr")
    let plan = try plan(
      settings, policy, needs: plugin.needs, Prompts(count: prompts.count, longest: prompts.longest),
      heldOut.map { Prompts(count: $0.prompts.count, longest: $0.prompts.longest) }, chosen)
    try plan.requireRoom(on: chosen.options.backend)
    let (model, adapter) = try chosen.load(observer)
    var trained = try RunModel(
      model, adapter: adapter, from: folder, plan.policy, baseName: try arguments.text("model"), arenaBytes: plan.arenaBytes)
    trained.form = form
    let runFolder = RunFolder(try arguments.text("out"))
    var evaluation: HeldOutEvaluation?
    if let heldOut {
      evaluation = try HeldOutEvaluation(
        heldOut, arguments, trained, Evaluator(trained.acting, trained.engine, tokenizer: tokenizer, form: form, verifier: Verifier(mode: rewards.grader)), rl: settings)
    }
    var summary = RunSummary()
    summary.add(chosen, plan)
    summary.add("data", "\(prompts.count) of \(contents.rowCount) rows of \(data)", .integer(prompts.count))
    if let evaluation { summary.add("held out", "\(evaluation.prompts.count) questions of \(evaluation.prompts.name)", .integer(evaluation.prompts.count)) }
    summary.add("algorithm", "\(choice.id) \(choice.parameters.settings.joined(separator: " "))\(choice.isolation == nil ? "" : " (in a process of its own)")", .string(choice.id))
    if !rewards.isAnswerAlone { summary.add("reward", rewards.summary) }
    summary.add("steps", "\(settings.steps) of \(settings.promptsPerStep) prompts × \(settings.groupSize) completions of at most \(settings.maxNewTokens) tokens", .integer(settings.steps))
    summary.add("updates", "\(settings.updates) at most", .integer(settings.updates))
    summary.add("out", runFolder.path)
    if let skipped {
      summary.note("\(data): \(skipped.count) rows are left out, their prompts fill the context of \(context) tokens (\(skipped.places))")
    }
    for set in [prompts, evaluation?.prompts] {
      if let shortage = set?.shortage(of: settings.maxNewTokens, context: context) { summary.note(shortage) }
    }
    var record = try TrainingOptions.record(
      arguments, stage: "rl", trained, data: contents.sha256, heldOut: evaluation?.identity ?? [:],
      extra: try RewardOptions.identity(rewards, beside: ["plugin": .string(choice.id), "plugin_parameters": choice.parameters.json]), observer)
    record.description["plugin"] = PluginDescription(choice.card).json
    if try summary.finishes(arguments, runFolder, record, observer.console) { return }
    var run = RLRun(
      trained, task: task, algorithm: plugin, reference: plugin.needs.contains(.reference) ? try trained.reference() : nil,
      settings: settings, placement: RunPlacement(runFolder, record, try TrainingOptions.keeping(arguments)))
    try WatchingOptions.apply(arguments, choice, needs: plugin.needs, trained, to: &run)
    if let evaluation { run.afterStep = { step throws(Failure) in try evaluation.metrics(step: step) } }
    if case .interrupted(let step) = try run.run(observer) { throw TrainingOptions.interrupted(at: step) }
    let result = trained.result(in: runFolder)
    if try arguments.flag("json") {
      var metrics = JSON.Object()
      for name in observer.last?.metrics.names ?? [] { metrics[name] = .number(observer.last?[name] ?? .nan) }
      return try Output.json([
        "steps": .integer(settings.steps), "algo": .string(choice.id), "out": .string(result), "last": .object(metrics),
      ])
    }
    let reward = observer.last?["reward"].map { Format.fixed($0, 3) } ?? "–"
    try Output.line("\(result): \(settings.steps) steps of \(choice.id), last mean reward \(reward)")
  }
}
