import Arguments
import Compute
import Support
import Tasks
import Tokenization
import Training
import Transformer

/// `pretrain`: a small base model from nothing, as the one this program ships.
enum PretrainCommand {
  static let spec = CommandSpec(
    name: "pretrain", summary: "train a small base model from nothing on generated text",
    discussion:
      "Learns a byte-level BPE vocabulary from generated word problems, starts from random weights and trains every parameter. The result is a complete Hugging Face folder in --out/model. The defaults remake the base model that ships with the program.",
    options: [
      .required("out", .path, "the run folder", group: .output, placeholder: "DIR"),
      .value("documents", .integer(Limits.generated), default: .integer(defaults.documents), "training texts", group: .data),
      .value("chat-share", .number(0...1), default: .number(defaults.chatShare), "share of texts in chat form", group: .data),
      .value(
        "practice-share", .number(0...1), default: .number(defaults.practiceShare), "share of texts that are calculations",
        group: .data),
      .value("vocabulary", .integer(300...100_000), default: .integer(defaults.vocabularySize), "tokens", group: .model),
      .value("hidden", .integer(16...8192), default: .integer(defaults.hiddenSize), "width of the model", group: .model),
      .value("layers", .integer(1...200), default: .integer(defaults.layerCount), "blocks", group: .model),
      .value("heads", .integer(1...256), default: .integer(defaults.queryHeads), "query heads", group: .model),
      .value("kv-heads", .integer(1...256), default: .integer(defaults.keyValueHeads), "key-value heads", group: .model),
      .value(
        "intermediate", .integer(16...65536), default: .integer(defaults.intermediateSize), "width of the feed-forward part",
        group: .model),
      .value("batch-size", .integer(Limits.batch), default: .integer(defaults.batchSize), "texts per update", group: .training),
      .value("lr", .number(Limits.learningRate), default: .number(defaults.learningRate), "peak learning rate, cosine to zero", group: .training),
      .value("warmup-steps", .integer(Limits.countOrNone), default: .integer(defaults.warmupSteps), "linear warm-up", group: .training),
      .value("weight-decay", .number(Limits.weightDecay), default: .number(defaults.weightDecay), "decoupled weight decay", group: .training),
      .value("seed", .integer(Limits.seed), default: .integer(Int(defaults.seed)), "seed of all random numbers", group: .other),
      ModelOptions.device,
      ModelOptions.threads,
      .value(
        "precision", .choice(Precision.self), default: "bf16", "how the finished weights are written", group: .output),
      .flag("resume", "continue the run in --out from its newest checkpoint", group: .output),
      .value("checkpoint-every", .integer(Limits.count), default: 100, "steps between checkpoints", group: .output),
      TrainingOptions.stopAfter,
      ModelOptions.quiet, .config,
    ] + MonitoringOptions.options, rules: MonitoringOptions.rules)

  private static let defaults = PretrainingSettings()

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    var settings = PretrainingSettings()
    settings.documents = try arguments.integer("documents")
    settings.chatShare = try arguments.number("chat-share")
    settings.practiceShare = try arguments.number("practice-share")
    settings.vocabularySize = try arguments.integer("vocabulary")
    settings.hiddenSize = try arguments.integer("hidden")
    settings.layerCount = try arguments.integer("layers")
    settings.queryHeads = try arguments.integer("heads")
    settings.keyValueHeads = try arguments.integer("kv-heads")
    settings.intermediateSize = try arguments.integer("intermediate")
    settings.batchSize = try arguments.integer("batch-size")
    settings.learningRate = try arguments.number("lr")
    settings.warmupSteps = try arguments.integer("warmup-steps")
    settings.weightDecay = try arguments.number("weight-decay")
    settings.seed = UInt64(try arguments.integer("seed"))
    let backend = try ModelOptions.backend(arguments)
    var keeping = RunKeeping()
    keeping.resumes = try arguments.flag("resume")
    keeping.stopAfter = try arguments.optionalInteger(TrainingOptions.stopAfter.name)
    keeping.checkpointEvery = try arguments.integer("checkpoint-every")
    keeping.monitoring = try MonitoringOptions.monitoring(arguments)
    var identity = arguments.json.object ?? [:]
    for key in ["out", "resume", "quiet", "device", "threads", "config", "checkpoint-every", "checkpoint-minutes", "dry-run", TrainingOptions.stopAfter.name] + MonitoringOptions.names { identity[key] = nil }
    let record = RunRecord(
      stage: "pretrain", identity: identity, description: ["arguments": arguments.json, "given": .array(arguments.given.map { .string($0) }), "backend": .string(backend.name), "directory": Files.resolved(".").map { .string($0) } ?? .null])
    let precision: Precision = try arguments.choice("precision")
    let folder = RunFolder(try arguments.text("out"))
    let observer = ConsoleObserver(quiet: try arguments.flag("quiet"))
    let outcome = try settings.run(
      RunPlacement(folder, record, keeping), format: precision.format, on: backend, observer)
    if case .interrupted(let step) = outcome { throw TrainingOptions.interrupted(at: step) }
    try Output.line("\(folder.model): \(settings.documents) texts, last loss \(observer.last?["loss"].map { Format.fixed($0, 4) } ?? "–")")
  }
}
