import Arguments
import Compute
import PluginHost
import Rollouts
import Support
import Tasks
import Tokenization
import Training
import Transformer

/// `plan`: the memory of a run of sft or rl, before there is one.
enum PlanCommand {
  /// Tokens of a prompt where no data say how long they are.
  private static let assumedPrompt = 256

  static let spec = CommandSpec(
    name: "plan", summary: "the memory that a run will take, family by family",
    discussion:
      "Takes the options of rl where --algo is given, of sft otherwise. With --data lengths are those of the data, and the program's own memory is measured with them read; without, sequences of --max-length and prompts of \(assumedPrompt) tokens are assumed. A run takes all of it when it begins, so that it does not find later that there is no memory.",
    examples: [
      "nano-reasoner plan --model M --data train.jsonl --batch-size 4",
      "nano-reasoner plan --model M --algo grpo --group-size 8 --max-new-tokens 384",
      "nano-reasoner plan --model M --algo grpo --quantize nf4 --device cuda --memory 16",
    ],
    options: options(SFTCommand.spec.options + RLCommand.spec.options))

  /// All options of both, each once, none required but the model.
  private static func options(_ all: [OptionSpec]) -> [OptionSpec] {
    var names: Set<String> = []
    return all.filter { names.insert($0.name).inserted }.map { $0.name == "model" ? $0 : $0.optional }
  }

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let isRL = try arguments.optionalText("algo") != nil
    let (folder, tokenizer, form) = try ModelOptions.open(try arguments.text("model"), arguments)
    let trained = try TrainingOptions.modelToTrain(arguments, folder, plans: true)
    let plan = isRL ? try rl(arguments, tokenizer, form, trained) : try sft(arguments, tokenizer, form, trained)
    let program = residentBytes()
    let backend = trained.options.backend
    // A card's memory holds nothing of the program.
    let families = (backend.isHost ? [MemoryPlan.Family(name: "program, tokenizer and data", bytes: program)] : []) + plan.all
    let total = (backend.isHost ? program : 0) + plan.bytes
    if try arguments.flag("json") {
      var object = JSON.Object()
      for family in families { object[family.name] = .integer(family.bytes) }
      return try Output.json([
        "stage": .string(isRL ? "rl" : "sft"), "bytes": .object(object), "total_bytes": .integer(total),
        "micro_batch_tokens": .integer(plan.limits.microBatchRows), "checkpointing": .bool(plan.limits.retention == .checkpoints),
        "available_bytes": .integer(backend.availableBytes), "host_bytes": .integer(program),
      ])
    }
    var table = TextTable([TextTable.Column("memory of \(isRL ? "rl" : "sft")"), TextTable.Column("MiB", .right)])
    for family in families + [MemoryPlan.Family(name: "in all", bytes: total)] {
      table.append([family.name, Format.fixed(Double(family.bytes) / 1_048_576, 1)])
    }
    try Output.write(table.text())
    try Output.line(
      "\nmicro-batches of at most \(plan.limits.microBatchRows) tokens, \(plan.limits.retention == .checkpoints ? "gradient checkpointing" : "all activations kept"); there are \(Format.fixed(Double(backend.availableBytes) / 1_073_741_824, 1)) GiB for it")
    if !backend.isHost { try Output.line("of the host: \(Format.fixed(Double(program) / 1_048_576, 1)) MiB for program, tokenizer and data") }
    if plan.bytes > backend.availableBytes { try Output.line("the run does not fit and would be refused") }
  }

  private static func sft(
    _ arguments: ParsedArguments, _ tokenizer: Tokenizer, _ form: PromptForm, _ trained: TrainingOptions.ModelToTrain
  ) throws(Failure) -> MemoryPlan {
    let batchSize = try arguments.integer("batch-size")
    let longest = min(try arguments.integer("max-length"), trained.folder.configuration.maxPositions)
    var lengths = Array(repeating: longest, count: batchSize)
    if let data = try arguments.optionalText("data") {
      var documents = TrainingDocuments()
      documents.form = form
      documents.maxLength = longest
      var report = TrainingDocuments.Report()
      lengths = try documents.sequences(
        of: try DataSource(data, for: .training), limit: try arguments.optionalInteger("max-samples"), keys: try DataOptions.keys(arguments),
        tokenizer, report: &report
      ).0.lengths
    }
    return try SFTCommand.plan(lengths, batchSize: batchSize, try TrainingOptions.policy(arguments, steps: 1), trained)
  }

  private static func rl(
    _ arguments: ParsedArguments, _ tokenizer: Tokenizer, _ form: PromptForm, _ trained: TrainingOptions.ModelToTrain
  ) throws(Failure) -> MemoryPlan {
    let plugin = try PluginOptions.choice(
      try arguments.text("algo"), settings: try PluginOptions.settings(arguments), arguments
    ).instance()
    func prompts(_ path: String, for use: DataSource.Use, limit: Int?) throws(Failure) -> RLCommand.Prompts {
      let contents = try ExampleFile.load(try DataSource(path, for: use), limit: limit, keys: try DataOptions.keys(arguments))
      let set = try PromptSet(contents.examples, tokenizer: tokenizer, form: form, name: path)
      return RLCommand.Prompts(count: set.count, longest: set.longest)
    }
    var training = RLCommand.Prompts(count: 1, longest: assumedPrompt)
    if let data = try arguments.optionalText("data") { training = try prompts(data, for: .training, limit: try arguments.optionalInteger("max-samples")) }
    var heldOut: RLCommand.Prompts?
    if let data = try arguments.optionalText("eval-data") { heldOut = try prompts(data, for: .evaluation, limit: try arguments.optionalInteger("eval-limit")) }
    _ = try RewardOptions.plan(arguments)
    let settings = try RLCommand.settings(arguments, examples: training.count)
    return try RLCommand.plan(
      settings, try TrainingOptions.policy(arguments, steps: 1), needs: plugin.needs, training, heldOut, trained)
  }
}
