import Arguments
import Compute
import Support
import Tasks
import Tokenization
import Training
import Transformer

/// The options of every command that trains, and what they come to.
enum TrainingOptions {
  static func options(learningRate: Double) -> [OptionSpec] {
    let (policy, adapter, keeping) = (PolicySettings(), AdapterSettings(), RunKeeping())
    return [
      .value(
        "lr", .number(Limits.learningRate), default: .number(learningRate), "learning rate of AdamW (0.9, 0.999, 1e-8)", group: .training),
      .value("weight-decay", .number(Limits.weightDecay), default: .number(policy.weightDecay), "decoupled weight decay", group: .training),
      .value("clip-grad-norm", .number(Limits.gradientNorm), default: .number(policy.maximumGradientNorm), "largest global gradient norm; 0: no clipping", group: .training),
      .value(
        "schedule", .choice(LearningRateSchedule.Shape.self), default: .text(policy.schedule.shape.rawValue), "learning rate over the run",
        group: .training),
      .value("warmup-steps", .integer(Limits.countOrNone), default: .integer(policy.schedule.warmupSteps), "linear warm-up", group: .training),
      .value("lora-rank", .integer(1...65536), default: .integer(adapter.rank), "rank of a fresh adapter", group: .training),
      .value("lora-alpha", .number(0...1e6), default: .number(adapter.alpha), "alpha of a fresh adapter; its scale is alpha / rank", group: .training),
      .value(
        "lora-targets", .list, default: .list(adapter.targets), "modules of a fresh adapter",
        group: .training),
      .flag("full", "train every parameter instead of an adapter", group: .training),
      .value(
        "micro-batch-tokens", .integer(Limits.count), "tokens of one forward and backward; changes no result; default: by memory",
        group: .training),
      .value(
        "checkpointing", .choice(Checkpointing.self), default: .text(policy.checkpointing.rawValue),
        "gradient checkpointing: keep the inputs of blocks alone and compute the rest again; auto: where everything does not fit; changes no result",
        group: .training),
      .required("out", .path, "the run folder", group: .output, placeholder: "DIR"),
      .flag("resume", "continue the run in --out from its newest checkpoint", group: .output),
      allowChanged,
      .value("checkpoint-every", .integer(Limits.count), default: .integer(keeping.checkpointEvery), "steps between checkpoints", group: .output),
      .value(
        "checkpoint-minutes", .number(above: 0, through: 1e6), default: .number(keeping.checkpointMinutes), "minutes after which a checkpoint is written all the same",
        group: .output),
      stopAfter,
      .flag("dry-run", "say what would be done, check all data, and stop before step 1", group: .output),
    ] + MonitoringOptions.options
  }

  static let stopAfter = OptionSpec.value(
    "stop-after", .integer(Limits.count), "stop after step N with a checkpoint, as Ctrl-C does; --resume goes on", group: .output)

  /// With --resume: what was deliberately changed.
  static let allowChanged = OptionSpec.value(
    "allow-changed", .list, "options that may differ from what the run began with, as lr; run.json keeps both values", group: .output,
    placeholder: "OPTION,…")

  /// Options of these that do nothing beside others.
  static let rules: [OptionRule] = [
    .inVain([allowChanged.name], .missing("resume"), because: "a new run has nothing to differ from"),
    .inVain(["adapter"], .given("full"), because: "merge the adapter first (nano-reasoner export), then train the merged model"),
    .inVain(freshAdapter, .given("full"), because: "it shapes a fresh adapter, and every parameter is trained; leave it out"),
    .inVain(freshAdapter, .given("adapter"), because: "it shapes a fresh adapter, and the given one has its own; leave it out"),
  ]

  private static let freshAdapter = ["lora-rank", "lora-alpha", "lora-targets"]

  /// Options that do not change what a run computes.
  private static let incidental = Set<String>([
    "out", "resume", "quiet", "json", "threads", "device", "config", "checkpoint-every", "micro-batch-tokens",
    "checkpointing", "memory", "trust-plugin", "reward-timeout", "eval-every", "eval-data", "eval-limit",
    "keep-best", "checkpoint-minutes", "dry-run", allowChanged.name, stopAfter.name,
  ]).union(MonitoringOptions.names).union((PluginOptions.isolation + PluginOptions.failures + WatchingOptions.options).map(\.name))

  static func policy(_ arguments: ParsedArguments, steps: Int) throws(Failure) -> PolicySettings {
    var policy = PolicySettings()
    policy.learningRate = try arguments.number("lr")
    policy.weightDecay = try arguments.number("weight-decay")
    policy.maximumGradientNorm = try arguments.number("clip-grad-norm")
    policy.schedule = LearningRateSchedule(
      shape: try arguments.choice("schedule"), warmupSteps: try arguments.integer("warmup-steps"), totalSteps: steps)
    policy.microBatchRows = try arguments.optionalInteger("micro-batch-tokens")
    policy.checkpointing = try arguments.choice("checkpointing")
    return policy
  }

  static func keeping(_ arguments: ParsedArguments) throws(Failure) -> RunKeeping {
    var keeping = RunKeeping()
    keeping.checkpointEvery = try arguments.integer("checkpoint-every")
    keeping.checkpointMinutes = try arguments.number("checkpoint-minutes")
    keeping.resumes = try arguments.flag("resume")
    keeping.stopAfter = try arguments.optionalInteger(stopAfter.name)
    keeping.monitoring = try MonitoringOptions.monitoring(arguments)
    return keeping
  }

  /// What of a model is trained: every parameter, or an adapter that is loaded or fresh.
  struct ModelToTrain {
    let options: ModelOptions
    let folder: ModelFolder
    let architecture: Architecture
    /// An adapter that is loaded.
    let loaded: AdapterFolder?
    /// nil where every parameter is trained.
    let adapter: AdapterSettings?
    let seed: UInt64

    func load(_ observer: ConsoleObserver) throws(Failure) -> (Transformer, Adapter?) {
      let model = try Transformer(
        architecture, source: .folder(folder), endOfText: folder.endOfText, on: options.backend,
        progress: observer.patient("loading the model"))
      if let loaded { return (model, try Adapter(loaded, for: model)) }
      return (model, try adapter.map { settings throws(Failure) in try Adapter(settings, seed: seed, for: model) })
    }
  }

  static func modelToTrain(_ arguments: ParsedArguments, _ folder: ModelFolder, plans: Bool = false) throws(Failure) -> ModelToTrain {
    let isFull = try arguments.flag("full")
    let options = try ModelOptions(arguments, folder, trainable: isFull ? .full : .nothing, plans: plans)
    let targets = try arguments.list("lora-targets")
    if let twice = targets.first(where: { target in targets.count { $0 == target } > 1 }) {
      throw .usage("--lora-targets: \(twice) is given twice")
    }
    let loaded = try ModelOptions.adapter(arguments)
    let fresh = AdapterSettings(rank: try arguments.integer("lora-rank"), alpha: try arguments.number("lora-alpha"), targets: targets)
    return ModelToTrain(
      options: options, folder: folder, architecture: try options.architecture(folder, trainable: isFull ? .full : .nothing),
      loaded: isFull ? nil : loaded, adapter: isFull ? nil : loaded?.settings ?? fresh, seed: UInt64(try arguments.integer("seed")))
  }

  /// - Parameters:
  ///   - data: the digest of the data file.
  ///   - heldOut: what tells the held-out data.
  static func record(
    _ arguments: ParsedArguments, stage: String, _ trained: RunModel, data: String?, heldOut: JSON.Object = [:],
    extra: JSON.Object = [:], _ observer: ConsoleObserver
  ) throws(Failure) -> RunRecord {
    var identity = JSON.Object()
    let settings = arguments.json.object ?? [:]
    // A run with a constant learning rate may be continued for longer; a schedule depends on its end.
    let mayBeLonger: Set<String> = try arguments.text("schedule") == "constant" ? ["steps", "max-steps", "epochs"] : []
    for key in settings.keys where !incidental.contains(key) && !mayBeLonger.contains(key) { identity[key] = settings[key] }
    identity[ModelOptions.promptForm.name] = .string(trained.form.rawValue)
    let digests = try trained.source?.digests(progress: observer.patient) ?? [:]
    for key in digests.keys { identity[key] = digests[key] }
    if let data { identity["data_sha256"] = .string(data) }
    if let adapter = try arguments.optionalText("adapter") {
      let folder = AdapterSettings.locate(adapter)
      for name in ["adapter_model.safetensors", "adapter_config.json"] {
        identity["\(name) sha256"] = .string(
          try DigestCache.user.hex(file: "\(folder)/\(name)", progress: observer.patient("reading \(name)")))
      }
    }
    for key in extra.keys { identity[key] = extra[key] }
    // A GPU that computes in float32 goes on with what a CPU began; one that computes in bfloat16 is another run.
    // Sums are made in another order on a GPU.
    if trained.model.backend.activation == .bfloat16 { identity["arithmetic"] = trained.model.backend.isHost ? "bfloat16 on the CPU" : "bfloat16" }
    let description: JSON.Object = [
      "arguments": arguments.json, "given": .array(arguments.given.map { .string($0) }), "backend": .string(trained.model.backend.name), "directory": Files.resolved(".").map { .string($0) } ?? .null, "stop_tokens": .array(trained.model.endOfText.map { .integer(Int($0)) }),
    ]
    var record = RunRecord(stage: stage, identity: identity, description: description)
    // Sums of shares, as the loss, round as their micro-batches are cut: whoever computes a step again cuts them so.
    record.description["micro_batch_tokens"] = trained.policy.microBatchRows.map { .integer($0) }
    record.heldOut = heldOut
    record.mayDiffer = try mayDiffer(arguments, identity: identity)
    return record
  }

  /// What of the identity may differ because the user says so.
  private static func mayDiffer(_ arguments: ParsedArguments, identity: JSON.Object) throws(Failure) -> Set<String> {
    guard arguments.declares(allowChanged.name) else { return [] }
    var keys: Set<String> = []
    for name in try arguments.list(allowChanged.name) {
      guard identity[name] != nil, arguments.declares(name) else {
        throw .usage("--\(allowChanged.name): \"\(name)\" is no option that --resume compares; expected options as lr or clip-grad-norm")
      }
      keys.insert(name)
      // What an option names goes with it.
      if name == "data" { keys.insert("data_sha256") }
      if name == "set" { keys.insert("plugin_parameters") }
      if name == "reward" { keys.insert("reward_sha256") }
    }
    return keys
  }

  /// What an interrupted run tells its user.
  static func interrupted(at step: Int) -> Failure {
    Failure(
      .interrupted,
      "\(step > 0 ? "stopped after step \(step); a checkpoint is written" : "stopped before the first step was whole"). Continue with: \(continuation)")
  }

  /// The command that goes on with what this one began.
  static var continuation: String {
    var words = CommandLine.arguments.dropFirst().filter { $0 != "--resume" } + ["--resume"]
    // Where it was to stop it has stopped.
    let stop = "--\(stopAfter.name)"
    if let place = words.firstIndex(of: stop) { words.removeSubrange(place..<min(place + 2, words.count)) }
    words.removeAll { $0.hasPrefix("\(stop)=") }
    return "nano-reasoner \(ShellWord.line(Array(words)))"
  }
}
