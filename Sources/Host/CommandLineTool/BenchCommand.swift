import Arguments
import Benchmarking
import Compute
import Evaluation
import PluginHost
import Support
import Tasks
import Telemetry
import Tokenization
import Training
import Transformer

/// `bench`: algorithms side by side.
enum BenchCommand {
  private static let defaults = Quickstart()

  static let spec = CommandSpec(
    name: "bench", summary: "algorithms side by side from one starting point, with paired seeds and intervals",
    discussion:
      "Trains every algorithm of --algos with every seed, each from the same starting point, on the same questions in the same order with the same sampler streams, and evaluates all on the same held-out problems. Settings of an algorithm stand behind it: grpo:lr=2e-5,group=16,dapo:clip_high=0.3:clip_low=0.1. They are parameters of its plugin, or options of its runs (\(RunOverrides.Option.allCases.map(\.rawValue).joined(separator: ", "))). Without --data it teaches the base model the form first, as quickstart does, and trains on generated problems; then the defaults are \(generatedDefaults.map { "--\($0.name) \($0.value)" }.joined(separator: ", ")), --lr \(defaults.rlLearningRate) and a linear schedule. Writes bench.json, bench.md and bench.html, and a run folder for each run; --resume skips those that are finished, and takes further algorithms and seeds.",
    examples: [
      "nano-reasoner bench --algos grpo,dapo:clip_high=0.3 --out runs/bench",
      "nano-reasoner bench --model M --adapter sft/adapter --data train.jsonl --eval-data test.jsonl --algos grpo,gspo --seeds 5 --steps 100 --out runs/bench",
    ],
    options: [
      .required("algos", .list, "plugins by name or path with their settings, commas between", group: .training, placeholder: "A[:KEY=VALUE]…,B"),
      .value("seeds", .integer(1...1000), default: 3, "runs per algorithm, with seeds --seed, --seed + 1, …", group: .training),
      .value("baseline", .text, "the algorithm the others are compared with, as it stands in --algos; default: the first", group: .training, placeholder: "A"),
      .value("model", .path, "a Hugging Face model folder, or a hub name in the local cache; default: the base model that ships with the program", group: .model, placeholder: "M"),
      ModelOptions.adapter, ModelOptions.promptForm,
      .value("data", .path, "\(DataOptions.training); default: generated problems", group: .data, placeholder: "F"),
      .repeated("eval-data", .path, "held-out questions, may be repeated: the first set decides, all are reported; default: up to a fifth of --data, from its end, which is then not trained on", group: .data, placeholder: "F"),
      .value("eval-limit", .integer(Limits.generated), "evaluate on the first N questions of each held-out set; default: 1000 at most", group: .data),
      .value("eval-every", .integer(Limits.countOrNone), default: .integer(defaults.curveEvery), "steps between evaluations that draw the learning curve; 0: only its ends", group: .data),
      .value("curve-limit", .integer(Limits.generated), default: .integer(defaults.curveProblems), "of the held-out questions, how many draw the learning curve", group: .data),
      PluginOptions.trust,
    ] + PluginOptions.isolation + PluginOptions.failures + DataOptions.keys + shared + training + [MonitoringOptions.samples] + ModelOptions.compute
      + [ModelOptions.seed, ModelOptions.quiet, ModelOptions.json, .config],
    rules: TrainingOptions.rules + PluginOptions.rules + [
      .inVain(["max-samples"], .missing("data"), because: "the problems are generated, as many as are needed"),
      .inVain(["full"], .missing("data"), because: "the stage before trains an adapter; give --data, or leave --full out"),
    ])

  /// Options of `rl` with another default on generated problems.
  private static let generatedDefaults: [(name: String, value: String)] = [
    ("group-size", "\(defaults.groupSize)"), ("prompts-per-step", "\(defaults.promptsPerStep)"),
    ("temperature", "\(defaults.temperature)"), ("max-new-tokens", "\(defaults.maxNewTokens)"),
    ("steps", "\(defaults.rlSteps)"),
  ]

  private static let shared: [OptionSpec] = {
    let names = generatedDefaults.map(\.name) + [
      "logprob-temperature", "inner-epochs", "minibatches", "max-samples", "no-shuffle", "reward", "reward-timeout", "value-lr", "refill-rounds",
    ]
    return RLCommand.spec.options.filter { names.contains($0.name) }
  }()

  /// A benchmark is many runs: a plan of one and its name elsewhere say nothing here.
  private static let training = TrainingOptions.options(learningRate: 1e-5).filter {
    $0.name != "dry-run" && $0.name != TrainingOptions.allowChanged.name && !$0.name.hasPrefix("wandb")
  }

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let (plan, trained, bench, observer) = try prepare(arguments)
    let progress = PlanProgress(observer.console) { observer.isStopRequested }
    do throws(Failure) {
      if case .interrupted(let run, let runs, let step) = try bench.run(progress, resuming: try arguments.flag("resume")) {
        throw Failure(.interrupted, "stopped in run \(run) of \(runs) after its step \(step); a checkpoint is written")
      }
    } catch {
      guard error.code == .interrupted else { throw error }
      throw Failure(.interrupted, "\(error.message). Continue with: \(TrainingOptions.continuation)")
    }
    let further = try plan.questions.further.map { (set) throws(Failure) in try BenchResult(plan, on: set) }
    let report = BenchReport(try BenchResult(plan), further: further, facts: facts(plan, trained))
    try report.write(to: plan.out)
    if try arguments.flag("json") { return try Output.json(report.json) }
    try Output.write("\n\(report.accuracyTable.text())\n")
    if plan.algorithms.count > 1 { try Output.write("Compared with \(plan.algorithms[plan.baseline].label):\n\(report.comparisonTable.text())\n") }
    if let needed = report.seedsNeededTable { try Output.write("\(needed.text())\n") }
    try Output.write("\(report.conclusion)\n\nPage: \(plan.out)/bench.html   Table: \(plan.out)/bench.md   Numbers: \(plan.out)/bench.json\n")
  }

  // MARK: The plan

  private static func prepare(_ arguments: ParsedArguments) throws(Failure) -> (BenchPlan, RunModel, Bench, ConsoleObserver) {
    let algorithms = try BenchAlgorithm.open(try AlgorithmChoice.list(try arguments.list("algos"))) { choice throws(Failure) in
      let card = try PluginRegistry.find(choice.plugin)
      let (plugin, run) = try HostOptions.parted(choice.settings, for: card)
      return (try PluginOptions.choice(card, settings: plugin, arguments), run)
    }
    try RLCommand.checkUse(arguments, by: algorithms.map { ($0.plugin.id, $0.needs) })
    let baseline = try position(of: try arguments.optionalText("baseline"), in: algorithms)
    let out = try arguments.text("out")
    let resumes = try arguments.flag("resume")
    if resumes, !Files.isDirectory(out) { throw .missingInput("\(out): --resume: no benchmark here") }
    if !resumes, RunFolder(out).holdsRun || RunFolder(out + "/sft").holdsRun {
      throw .usage("\(out): holds a benchmark already; continue it with --resume or choose another --out")
    }
    let data = try arguments.optionalText("data")
    let named = try arguments.optionalText("model")
    if data != nil, named == nil { throw .usage("--data needs --model: the base model that ships with the program knows generated problems only") }
    let base: String = if let named { named } else { try ShippedModel.folder() }
    let (folder, tokenizer, form) = try ModelOptions.open(base, arguments)
    let start = Quickstart.Base(name: base, folder: folder, tokenizer: tokenizer, form: form)
    let observer = ConsoleObserver(quiet: try arguments.flag("quiet"))
    let seed = UInt64(try arguments.integer("seed"))
    var quickstart = Quickstart()
    quickstart.seed = seed
    quickstart.resumes = resumes
    quickstart.rlSteps = try arguments.optionalInteger("steps") ?? quickstart.rlSteps

    let settings = try settings(arguments, data: data, quickstart)
    for algorithm in algorithms {
      let own = algorithm.overrides.applied(to: settings(0))
      try RLCommand.checkGroup(own.groupSize, algorithm.plugin)
      try Limits.checkCompletions(own.promptsPerStep, times: own.groupSize, "\(algorithm.label): prompts-per-step with group-size")
    }
    let rewards = try RewardOptions.plan(arguments)
    let (questions, sha256) = try questions(arguments, data: data, keepsColumns: rewards.readsColumns, quickstart, settings, observer)
    let prompts = try checkPrompts(
      questions, tokenizer, form, context: folder.configuration.maxPositions, maxNewTokens: settings(0).maxNewTokens, observer)
    // What cannot be loaded is said before the stage that may come first.
    _ = try rewards.reward(for: prompts, form: form, limit: settings(0).maxNewTokens)
    let first = try startingPoint(arguments, start, quickstart, observer)
    var policy = try TrainingOptions.policy(arguments, steps: settings(questions.training.count).updates)
    if data == nil, first.adapter != nil {
      let suited = quickstart.rlPolicy
      if try !arguments.isGiven("lr") { policy.learningRate = suited.learningRate }
      if try !arguments.isGiven("schedule"), try !arguments.isGiven("warmup-steps") { policy.schedule = suited.schedule }
    }
    policy.valueLearningRate = try arguments.number("value-lr")
    let trained = first.with(policy)
    let rl = settings(questions.training.count)
    var extra: JSON.Object = [
      "steps": .integer(rl.steps), "group_size": .integer(rl.groupSize), "prompts_per_step": .integer(rl.promptsPerStep),
      "temperature": .number(rl.temperature), "max_new_tokens": .integer(rl.maxNewTokens),
      "learning_rate": .number(policy.learningRate),
      "held_out_sha256": .string(SHA256.hex(Array(questions.heldOut.map(\.jsonLine).joined(separator: "\n").utf8))),
    ]
    for further in questions.further {
      extra["held_out_sha256 \(further.name)"] = .string(SHA256.hex(Array(further.examples.map(\.jsonLine).joined(separator: "\n").utf8)))
    }
    extra["training_sha256"] = .string(SHA256.hex(Array(questions.training.map(\.jsonLine).joined(separator: "\n").utf8)))
    var record = try TrainingOptions.record(
      arguments, stage: "bench", trained, data: sha256, extra: try RewardOptions.identity(rewards, beside: extra), observer)
    // Further algorithms and seeds may join, and what they are compared with may change.
    for key in ["algos", "seeds", "baseline", "curve-limit"] { record.identity[key] = nil }
    var plan = BenchPlan(
      algorithms: algorithms, seeds: (0..<UInt64(try arguments.integer("seeds"))).map { seed &+ $0 }, settings: rl,
      questions: questions, placement: RunPlacement(RunFolder(out), record, try TrainingOptions.keeping(arguments)))
    plan.baseline = baseline
    plan.rewards = rewards
    plan.evaluateEvery = try arguments.integer("eval-every")
    plan.curveProblems = min(try arguments.integer("curve-limit"), questions.heldOut.count)
    let bench = try Bench(plan, trained, tokenizer: tokenizer)
    return (plan, trained, bench, observer)
  }

  private static func position(of baseline: String?, in algorithms: [BenchAlgorithm]) throws(Failure) -> Int {
    guard let baseline else { return 0 }
    guard let position = algorithms.firstIndex(where: { $0.label == baseline }) else {
      throw .usage("--baseline \(baseline): expected one of \(algorithms.map(\.label).joined(separator: ", "))")
    }
    return position
  }

  /// The settings of every run, by the number of training questions.
  private static func settings(
    _ arguments: ParsedArguments, data: String?, _ quickstart: Quickstart
  ) throws(Failure) -> (Int) -> RLSettings {
    let given = try RLCommand.settings(arguments, examples: 1)
    let steps = try arguments.optionalInteger("steps")
    guard data == nil else {
      return { count in
        var settings = given
        settings.steps = steps ?? (count + settings.promptsPerStep - 1) / settings.promptsPerStep
        return settings
      }
    }
    var settings = given
    let suited = quickstart.rlSettings
    settings.steps = suited.steps
    if try !arguments.isGiven("group-size") { settings.groupSize = suited.groupSize }
    if try !arguments.isGiven("prompts-per-step") { settings.promptsPerStep = suited.promptsPerStep }
    if try !arguments.isGiven("temperature") { settings.temperature = suited.temperature }
    if try !arguments.isGiven("max-new-tokens") { settings.maxNewTokens = suited.maxNewTokens }
    return { _ in settings }
  }

  /// Refuses questions without an answer and prompts that fill the model's context; says where completions may find too little room.
  ///
  /// - Returns: the prompts that are trained on.
  private static func checkPrompts(
    _ questions: BenchQuestions, _ tokenizer: Tokenizer, _ form: PromptForm, context: Int, maxNewTokens: Int, _ observer: ConsoleObserver
  ) throws(Failure) -> PromptSet {
    func prompts(_ examples: [Example], _ name: String, _ purpose: String) throws(Failure) -> PromptSet {
      let prompts = try PromptSet(
        examples, tokenizer: tokenizer, form: form, name: name, purpose: purpose, progress: observer.patient("tokenising"))
      try prompts.requireRoom(context: context)
      if let shortage = prompts.shortage(of: maxNewTokens, context: context) { observer.console.warning(shortage) }
      return prompts
    }
    let training = try prompts(questions.training, questions.trainingName, "reinforcement learning")
    _ = try prompts(questions.heldOut, questions.heldOutName, "evaluation")
    for further in questions.further { _ = try prompts(further.examples, further.name, "evaluation") }
    return training
  }

  /// The questions, and the digest of the file of those that are trained on.
  private static func questions(
    _ arguments: ParsedArguments, data: String?, keepsColumns: Bool, _ quickstart: Quickstart, _ settings: (Int) -> RLSettings,
    _ observer: ConsoleObserver
  ) throws(Failure) -> (BenchQuestions, sha256: String?) {
    let limit = try arguments.optionalInteger("eval-limit")
    let evaluationData = try arguments.list("eval-data")
    var training: [Example]
    var sha256: String?
    if let data {
      let contents = try ExampleFile.load(
        try DataSource(data, for: .training), limit: try arguments.optionalInteger("max-samples"), keys: try DataOptions.keys(arguments),
        keepsColumns: keepsColumns)
      (training, sha256) = (contents.examples, contents.sha256)
    } else {
      let rl = settings(0)
      // Enough that an algorithm that asks for fresh prompts does not soon see old ones.
      training = quickstart.rlProblems(min(20_000, 4 * rl.steps * rl.promptsPerStep))
    }
    var heldOut: [Example]
    var name: String
    func held(_ path: String) throws(Failure) -> [Example] {
      try ExampleFile.load(
        try DataSource(path, for: .evaluation), limit: limit ?? quickstart.heldOut, keys: try DataOptions.keys(arguments)
      ).examples
    }
    if let first = evaluationData.first {
      heldOut = try held(first)
      name = first
    } else if let data {
      let count = min(limit ?? quickstart.heldOut, training.count / 5)
      if count == 0 { throw .badData("\(data): \(training.count) questions are too few to hold some back; give --eval-data") }
      heldOut = Array(training.suffix(count))
      training.removeLast(count)
      name = "the last \(count) questions of \(data)"
    } else {
      heldOut = quickstart.heldOutProblems(limit ?? quickstart.heldOut)
      name = "generated problems of the held-out split"
    }
    let trained = Set(training.map(\.question))
    let shared = heldOut.count { trained.contains($0.question) }
    if shared > 0 { observer.console.warning("\(shared) of \(heldOut.count) held-out questions stand in the training data too") }
    var questions = BenchQuestions(
      training: training, trainingName: data ?? "generated problems", heldOut: heldOut, heldOutName: name)
    for path in evaluationData.dropFirst() {
      // The file's name without its endings, apart from the others'.
      let stem = String(Files.name(of: path).prefix { $0 != "." }.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") ? $0 : "_" })
      let taken = Set(questions.further.map(\.name))
      let name = taken.contains(stem) ? "\(stem)-\(taken.count + 2)" : stem
      questions.further.append(BenchQuestions.Further(name: name, examples: try held(path)))
    }
    return (questions, sha256)
  }

  /// The model that every run begins with.
  private static func startingPoint(
    _ arguments: ParsedArguments, _ start: Quickstart.Base, _ quickstart: Quickstart, _ observer: ConsoleObserver
  ) throws(Failure) -> RunModel {
    let (model, adapter) = try TrainingOptions.modelToTrain(arguments, start.folder).load(observer)
    var trained = try RunModel(model, adapter: adapter, from: start.folder, PolicySettings(), baseName: start.name)
    trained.form = start.form
    guard try arguments.optionalText("data") == nil, try arguments.optionalText("adapter") == nil else { return trained }
    guard adapter != nil else { throw .usage("--full without --data: the stage before trains an adapter; give --data, or leave --full out") }
    observer.console.info("teaching the form first: \(quickstart.sftSteps) updates of SFT, once for all runs")
    let out = try arguments.text("out")
    try Files.makeDirectory(out)
    let course = Quickstart.Course(base: start, trained, out: out, observer: observer)
    if case .interrupted(let step) = try quickstart.trainSFT(course) { throw TrainingOptions.interrupted(at: step) }
    return trained
  }

  private static func facts(_ plan: BenchPlan, _ trained: RunModel) -> [String] {
    let (settings, policy, questions) = (plan.settings, trained.policy, plan.questions)
    var facts = [
      "model \(trained.baseName), \(trained.adapter.map { "LoRA adapter of rank \($0.settings.rank)" } ?? "every parameter trained")",
      "training questions: \(questions.training.count), \(questions.trainingName); held out: \(questions.heldOut.count), \(questions.heldOutName)\(questions.further.map { "; \($0.examples.count), \($0.name)" }.joined())",
      "\(settings.steps) steps of \(settings.promptsPerStep) prompts × \(settings.groupSize) completions, at most \(settings.maxNewTokens) tokens at temperature \(Format.significant(settings.temperature)), \(settings.innerEpochs) inner epochs",
      "learning rate \(Format.significant(policy.learningRate)), \(policy.schedule.shape.rawValue), warm-up \(policy.schedule.warmupSteps) updates",
      "seeds \(plan.seeds.map { "\($0)" }.joined(separator: ", ")); program version \(RunRecord.programVersion)",
    ]
    for algorithm in plan.algorithms {
      let library = algorithm.plugin.card
      facts.append(
        "\(algorithm.label): \(library.descriptor.title), version \(library.descriptor.version), SHA-256 \(library.sha256.prefix(12)), \(algorithm.plugin.parameters.settings.joined(separator: " "))\(algorithm.overrides.isEmpty ? "" : "; its runs: \(algorithm.overrides.json.text())")")
    }
    return facts
  }
}
