import Arguments
import Support
import Tasks
import Tokenization
import Training
import Transformer

/// `sft`: supervised fine-tuning on worked solutions or raw texts.
enum SFTCommand {
  static let spec = CommandSpec(
    name: "sft", summary: "supervised fine-tuning: teaches the form and the reasoning of worked solutions",
    discussion:
      "Data are JSON lines: question and answer (GSM8K), problem and solution (OpenR1-Math), or {\"text\": …}, which is taken as it is. The loss is the mean over all predicted tokens of the batch.",
    options: [
      ModelOptions.model, ModelOptions.adapter, ModelOptions.promptForm,
      .required("data", .path, DataOptions.training, group: .data, placeholder: "F"),
      .value("batch-size", .integer(Limits.batch), default: 4, "sequences per update", group: .training),
      .value("max-samples", .integer(Limits.count), default: 5000, "use at most the first N examples", group: .data),
      .value("max-length", .integer(2...Limits.tokens.upperBound), default: 2048, "cut longer sequences, in tokens", group: .data),
      .value("epochs", .integer(Limits.epochs), default: 1, "passes over the data", group: .training),
      .value("max-steps", .integer(Limits.count), "stop after N updates", group: .training),
      .flag("no-shuffle", "take the examples in the order of the file", group: .data),
      .value(
        "loss-on", .choice(TrainingDocuments.LossOn.self), default: "all", "tokens that are learned", group: .training),
    ] + DataOptions.keys + HeldOutLoss.options + TrainingOptions.options(learningRate: 2e-5) + ModelOptions.compute
      + [ModelOptions.seed, ModelOptions.quiet, ModelOptions.json, .config], rules: TrainingOptions.rules + MonitoringOptions.rules + HeldOutLoss.rules)

  /// What a run takes of memory: a micro-batch of the longest sequences.
  static func plan(
    _ lengths: [Int], batchSize: Int, _ policy: PolicySettings, _ trained: TrainingOptions.ModelToTrain
  ) throws(Failure) -> MemoryPlan {
    var run = PlannedRun(adapter: trained.adapter, policy)
    run.groups = lengths.sorted(by: >).prefix(batchSize).map { (prompt: 0, completions: [$0]) }
    return try MemoryPlan(trained.architecture, run, on: trained.options.backend)
  }

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let data = try arguments.text("data")
    let source = try DataSource(data, for: .training)
    try source.check()
    let (folder, tokenizer, form) = try ModelOptions.open(try arguments.text("model"), arguments)
    var documents = TrainingDocuments()
    documents.form = form
    documents.lossOn = try arguments.choice("loss-on")
    documents.maxLength = try arguments.integer("max-length")
    let observer = ConsoleObserver(quiet: try arguments.flag("quiet"))
    var cuts = TrainingDocuments.Report()
    let context = folder.configuration.maxPositions
    if documents.maxLength > context { documents.maxLength = context }
    let (sequences, contents) = try documents.sequences(
      of: source, limit: try arguments.integer("max-samples"), keys: try DataOptions.keys(arguments), tokenizer, report: &cuts,
      progress: observer.patient(counting: "tokenising"), reading: observer.patient("reading \(data)"))
    let total = contents.rowCount - contents.unverified.count
    let heldOut = try HeldOutLoss(arguments, documents, tokenizer)
    let batchSize = try arguments.integer("batch-size")
    var batches = SFTBatches(
      sequences, batchSize: batchSize, shuffles: !(try arguments.flag("no-shuffle")), seed: UInt64(try arguments.integer("seed")))
    let planned = try batches.stepsPerEpoch * arguments.integer("epochs")
    let steps = min(planned, try arguments.optionalInteger("max-steps") ?? planned)
    let updates = batches.updates(ofSteps: steps)
    let chosen = try TrainingOptions.modelToTrain(arguments, folder)
    let policy = try TrainingOptions.policy(arguments, steps: updates)
    let plan = try plan(sequences.lengths, batchSize: batchSize, policy, chosen)
    try plan.requireRoom(on: chosen.options.backend)
    let (model, adapter) = try chosen.load(observer)
    let runFolder = RunFolder(try arguments.text("out"))
    var trained = try RunModel(
      model, adapter: adapter, from: folder, plan.policy, baseName: try arguments.text("model"), arenaBytes: plan.arenaBytes)
    trained.form = form
    var summary = RunSummary()
    summary.add(chosen, plan)
    summary.add("data", "\(sequences.count) of \(total) rows of \(data)\(total > sequences.count ? " (--max-samples \(sequences.count))" : ""), \(sequences.predictedCount) tokens to learn", .integer(sequences.count))
    if let heldOut { summary.add("held out", heldOut.description, .integer(heldOut.count)) }
    summary.add("updates", "\(updates), \(batchSize) sequences each\(updates < steps ? "; \(steps - updates) of \(steps) steps have no token to learn and make none" : "")", .integer(updates))
    summary.add("out", runFolder.path)
    if total > sequences.count { summary.note("\(data): \(sequences.count) of \(total) rows are used; --max-samples \(total) takes all") }
    let unit = contents.unit
    if !contents.unverified.isEmpty {
      summary.note("\(data): \(contents.unverified.count) row\(contents.unverified.count == 1 ? " has" : "s have") no trace that is known to be right and \(contents.unverified.count == 1 ? "is" : "are") left out (\(Example.places(contents.unverified, unit: unit)))")
    }
    if !cuts.cut.isEmpty {
      summary.note("\(data): \(cuts.cut.count) sequences are longer than \(documents.maxLength) tokens and are cut (\(Example.places(cuts.cut, unit: unit)))\(documents.maxLength == context ? "; the model's context is no longer" : "; --max-length takes longer ones")")
    }
    if !cuts.empty.isEmpty {
      summary.note("\(data): \(cuts.empty.count) sequences have no token to learn and teach nothing (\(Example.places(cuts.empty, unit: unit)))")
    }
    if !cuts.differing.isEmpty {
      summary.note("\(data): \(cuts.differing.count) solutions box another answer than the gold one of their row (\(Example.places(cuts.differing, unit: unit)))")
    }
    let record = try TrainingOptions.record(
      arguments, stage: "sft", trained, data: contents.sha256, heldOut: heldOut?.identity ?? [:], observer)
    if try summary.finishes(arguments, runFolder, record, observer.console) { return }
    var run = SFTRun(
      trained, batches, steps: steps, placement: RunPlacement(runFolder, record, try TrainingOptions.keeping(arguments)))
    if let heldOut { run.afterStep = { trainer throws(Failure) in try heldOut.metrics(trainer, steps: steps) } }
    if case .interrupted(let step) = try run.run(observer) { throw TrainingOptions.interrupted(at: step) }
    let result = trained.result(in: runFolder)
    let loss = observer.last?["loss"]
    if try arguments.flag("json") {
      return try Output.json([
        "steps": .integer(steps), "loss": loss.map { .number($0) } ?? .null, "out": .string(result),
        "examples": .integer(sequences.count),
      ])
    }
    try Output.line("\(result): \(steps) steps over \(sequences.count) examples, last loss \(loss.map { Format.fixed($0, 4) } ?? "–")")
  }
}
