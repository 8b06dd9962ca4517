import Arguments
import Compute
import PluginHost
import Support
import Tasks
import Tokenization
import Training
import Transformer

/// The options of every command that trains, and what they come to.
enum TrainingOptions {
  static func options(learningRate: Double) -> [OptionSpec] {
    [
      .value(
        "lr", .number(Limits.learningRate), default: .number(learningRate), "learning rate of AdamW (0.9, 0.999, 1e-8)", group: .training),
      .value("weight-decay", .number(Limits.weightDecay), default: 0.01, "decoupled weight decay", group: .training),
      .value("clip-grad-norm", .number(Limits.gradientNorm), default: 1, "largest global gradient norm; 0: no clipping", group: .training),
      .value(
        "schedule", .choice(LearningRateSchedule.Shape.self), default: "constant", "learning rate over the run",
        group: .training),
      .value("warmup-steps", .integer(Limits.countOrNone), default: 0, "linear warm-up", group: .training),
      .value("lora-rank", .integer(1...65536), default: 16, "rank of a fresh adapter", group: .training),
      .value("lora-alpha", .number(0...1e6), default: 32, "alpha of a fresh adapter; its scale is alpha / rank", group: .training),
      .value(
        "lora-targets", .list, default: .list(AdapterSettings.allTargets), "modules of a fresh adapter",
        group: .training),
      .flag("full", "train every parameter instead of an adapter", group: .training),
      .value(
        "micro-batch-tokens", .integer(Limits.count), "tokens of one forward and backward; changes no result; default: by memory",
        group: .training),
      .flag("gradient-checkpointing", "keep block inputs only and compute the rest again; changes no result", group: .training),
      .required("out", .path, "the run folder", group: .output, placeholder: "DIR"),
      .flag("resume", "continue the run in --out from its newest checkpoint", group: .output),
      allowChanged,
      .value("checkpoint-every", .integer(Limits.count), default: 50, "steps between checkpoints", group: .output),
      .value(
        "checkpoint-minutes", .number(above: 0, through: 1e6), default: 10, "minutes after which a checkpoint is written all the same",
        group: .output),
      .flag("dry-run", "say what would be done, check all data, and stop before step 1", group: .output),
    ] + MonitoringOptions.options
  }

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

  /// For the commands that train with a plugin.
  static let trustPlugin = OptionSpec.flag(
    "trust-plugin", "do not run the quick form of `plugin check` first", group: .training)

  /// The quick form of `plugin check`, unless the user trusts the plugin.
  static func check(_ card: PluginCard, parameters: [String], _ arguments: ParsedArguments) throws(Failure) {
    if try arguments.flag("trust-plugin") { return }
    try PluginChecker.requirePassing(card, parameters: parameters)
  }

  /// Options that do not change what a run computes.
  private static let incidental = Set<String>([
    "out", "resume", "quiet", "json", "threads", "device", "config", "checkpoint-every", "micro-batch-tokens",
    "gradient-checkpointing", "trust-plugin", "eval-every", "eval-data", "eval-limit",
    "keep-best", "checkpoint-minutes", "dry-run", allowChanged.name,
  ]).union(MonitoringOptions.names)

  static func policy(_ arguments: ParsedArguments, adapter: AdapterSettings?, steps: Int) throws(Failure) -> PolicySettings {
    var policy = PolicySettings()
    policy.adapter = adapter
    policy.learningRate = try arguments.number("lr")
    policy.weightDecay = try arguments.number("weight-decay")
    policy.maximumGradientNorm = try arguments.number("clip-grad-norm")
    policy.schedule = LearningRateSchedule(
      shape: try arguments.choice("schedule"), warmupSteps: try arguments.integer("warmup-steps"), totalSteps: steps)
    policy.microBatchRows = try arguments.optionalInteger("micro-batch-tokens")
    if try arguments.flag("gradient-checkpointing") { policy.gradientCheckpointing = true }
    return policy
  }

  static func keeping(_ arguments: ParsedArguments) throws(Failure) -> RunKeeping {
    var keeping = RunKeeping()
    keeping.checkpointEvery = try arguments.integer("checkpoint-every")
    keeping.checkpointMinutes = try arguments.number("checkpoint-minutes")
    keeping.resumes = try arguments.flag("resume")
    keeping.monitoring = try MonitoringOptions.monitoring(arguments)
    return keeping
  }

  /// The model ready for training: every parameter, or an adapter that is loaded or fresh.
  static func model(
    _ arguments: ParsedArguments, folder: ModelFolder, _ observer: ConsoleObserver
  ) throws(Failure) -> (Transformer, AdapterSettings?) {
    let options = try ModelOptions(arguments)
    let isFull = try arguments.flag("full")
    let path = try arguments.optionalText("adapter")
    let targets = try arguments.list("lora-targets")
    if let twice = targets.first(where: { target in targets.count { $0 == target } > 1 }) {
      throw .usage("--lora-targets: \(twice) is given twice")
    }
    let model = try options.load(
      folder, trainable: isFull ? .full : .nothing, progress: observer.patient("loading the model"))
    if isFull { return (model, nil) }
    if let path { return (model, try model.loadAdapter(path)) }
    let adapter = AdapterSettings(
      rank: try arguments.integer("lora-rank"), alpha: try arguments.number("lora-alpha"),
      targets: try arguments.list("lora-targets"))
    try model.addAdapter(adapter, seed: UInt64(try arguments.integer("seed")))
    return (model, adapter)
  }

  /// - Parameters:
  ///   - data: the digest of the data file.
  ///   - heldOut: what tells the held-out data.
  static func record(
    _ arguments: ParsedArguments, stage: String, folder: ModelFolder, data: String?, heldOut: JSON.Object = [:],
    backend: any Backend, extra: JSON.Object = [:], _ observer: ConsoleObserver
  ) throws(Failure) -> RunRecord {
    var identity = JSON.Object()
    let settings = arguments.json.object ?? [:]
    // A run with a constant learning rate may be continued for longer; a schedule depends on its end.
    let mayBeLonger: Set<String> = try arguments.text("schedule") == "constant" ? ["steps", "max-steps", "epochs"] : []
    for key in settings.keys where !incidental.contains(key) && !mayBeLonger.contains(key) { identity[key] = settings[key] }
    try addDigests(of: folder, to: &identity, observer)
    if let data { identity["data_sha256"] = .string(data) }
    if let adapter = try arguments.optionalText("adapter") {
      let folder = AdapterSettings.locate(adapter)
      for name in ["adapter_model.safetensors", "adapter_config.json"] {
        identity["\(name) sha256"] = .string(
          try DigestCache.user.hex(file: "\(folder)/\(name)", progress: observer.patient("reading \(name)")))
      }
    }
    for key in extra.keys { identity[key] = extra[key] }
    let description: JSON.Object = [
      "arguments": arguments.json, "given": .array(arguments.given.map { .string($0) }), "backend": .string(backend.name), "stop_tokens": .array(folder.endOfText.map { .integer(Int($0)) }),
    ]
    var record = RunRecord(stage: stage, identity: identity, description: description)
    record.heldOut = heldOut
    record.mayDiffer = try mayDiffer(arguments, identity: identity)
    return record
  }

  /// The digests of everything of a model's folder that decides what a run computes, its weights as a whole.
  static func addDigests(of folder: ModelFolder, to identity: inout JSON.Object, _ observer: ConsoleObserver) throws(Failure) {
    let others = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"].map { "\(folder.path)/\($0)" }
    for path in folder.weightFiles + others.filter(Files.exists) {
      let name = Files.name(of: path)
      identity["\(name) sha256"] = .string(try DigestCache.user.hex(file: path, progress: observer.patient("reading \(name)")))
    }
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
    }
    return keys
  }

  /// What an interrupted run tells its user.
  static func interrupted(at step: Int) -> Failure {
    Failure(
      .interrupted, "stopped after step \(step); a checkpoint is written. Continue with: \(continuation)")
  }

  /// The command that goes on with what this one began.
  static var continuation: String {
    let words = CommandLine.arguments.dropFirst().filter { $0 != "--resume" } + ["--resume"]
    return "nano-reasoner \(ShellWord.line(Array(words)))"
  }
}
