import Arguments
import Compute
import Support
import Tasks
import Tokenization
import Transformer

/// How frozen weights are kept.
enum Precision: String, CaseIterable {
  case fp32, bf16

  var kind: WeightKind { self == .fp32 ? .float32 : .bfloat16 }
}

enum Quantization: String, CaseIterable {
  case none, nf4
}

/// The options of every command that loads a model, and the loading.
struct ModelOptions {
  static let model = OptionSpec.required(
    "model", .path, "a Hugging Face model folder, or a hub name in the local cache", group: .model, placeholder: "M")
  static let adapter = OptionSpec.value(
    "adapter", .path, "a PEFT LoRA adapter folder", group: .model, placeholder: "DIR")
  static let seed = OptionSpec.value("seed", .integer(Limits.seed), default: 42, "seed of all random numbers", group: .other)
  static let json = OptionSpec.flag("json", "print one machine-readable result on standard output", group: .output)
  static let quiet = OptionSpec.flag("quiet", "no progress on standard error", group: .output)

  static let compute: [OptionSpec] = [
    .value(
      "precision", .choice(Precision.self),
      "how frozen weights are kept in memory; default: bf16 where the file has it (exact), else fp32", group: .model),
    .value(
      "quantize", .checked("none") { Quantization(rawValue: $0) != nil }, default: "none",
      "frozen weights as they are; this build quantises nothing", group: .model),
    .value(
      "device",
      .checked("auto or cpu") { text in
        ["auto", "cpu", "cuda"].contains(text) || (text.hasPrefix("cuda:") && Int(text.dropFirst(5)) != nil)
      }, default: "auto", "where to compute; this build computes on the CPU", group: .model, placeholder: "auto|cpu"),
    .value("threads", .integer(1...1024), "CPU threads; default: one per core", group: .model),
  ]

  /// Options of a command that only reads a model.
  static let all: [OptionSpec] = [model, adapter] + compute

  let backend: any Backend
  let kind: WeightKind?
  let threads: Int?

  init(_ arguments: ParsedArguments) throws(Failure) {
    let device = try arguments.text("device")
    if device.hasPrefix("cuda") {
      throw .usage("--device \(device): this build computes on the CPU; use --device cpu")
    }
    let quantization: Quantization = try arguments.choice("quantize")
    if quantization == .nf4 { throw .usage("--quantize nf4: this build keeps weights as fp32 or bf16; use --precision bf16") }
    kind = try arguments.optionalText("precision").flatMap { Precision(rawValue: $0)?.kind }
    threads = try arguments.optionalInteger("threads")
    backend = try CPUBackend(threads: threads)
  }

  /// About how many bytes frozen weights take as they are kept.
  func bytes(of folder: ModelFolder) -> Int {
    if let kind { return folder.configuration.parameterCount * (kind == .float32 ? 4 : 2) }
    return folder.weightFiles.reduce(0) { $0 + Files.size($1) }
  }

  func load(
    _ folder: ModelFolder, trainable: Trainable = .nothing, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> Transformer {
    if trainable == .full, kind == .bfloat16 {
      throw .usage("--precision bf16 with --full: trained weights are float32; leave --precision out")
    }
    return try Transformer(folder, trainable: trainable, kind: kind, on: backend, progress: progress)
  }

  /// The model that `--model` and `--adapter` name.
  static func load(
    _ arguments: ParsedArguments, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> (folder: ModelFolder, model: Transformer) {
    let adapter = try adapter(arguments)
    let folder = try ModelFolder(try arguments.text("model"))
    return (folder, try load(arguments, folder, adapter, progress: progress))
  }

  /// The same with its tokeniser, for commands that draw completions.
  static func loadWithTokenizer(
    _ arguments: ParsedArguments, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> (folder: ModelFolder, tokenizer: Tokenizer, model: Transformer) {
    let adapter = try adapter(arguments)
    let (folder, tokenizer) = try open(try arguments.text("model"))
    return (folder, tokenizer, try load(arguments, folder, adapter, progress: progress))
  }

  /// The adapter that `--adapter` names, opened before whatever takes its time.
  static func adapter(_ arguments: ParsedArguments) throws(Failure) -> AdapterFolder? {
    guard let adapter = try arguments.optionalText("adapter") else { return nil }
    return try AdapterFolder(adapter)
  }

  static func load(
    _ arguments: ParsedArguments, _ folder: ModelFolder, _ adapter: AdapterFolder?, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> Transformer {
    let model = try ModelOptions(arguments).load(folder, progress: progress)
    if let adapter { try model.loadAdapter(adapter) }
    return model
  }

  /// A model's folder with its tokeniser, whose ids must be ones the model has an embedding for, and with all tokens that end a
  /// completion.
  static func open(_ model: String) throws(Failure) -> (folder: ModelFolder, tokenizer: Tokenizer) {
    let folder = try ModelFolder(model)
    let tokenizer = try Tokenizer(folder: folder.path)
    guard tokenizer.vocabularySize <= folder.configuration.vocabularySize else {
      throw .badData(
        "\(folder.path)/tokenizer.json: has \(tokenizer.vocabularySize) tokens, the model's vocabulary \(folder.configuration.vocabularySize)"
      )
    }
    return (try ending(folder, tokenizer), tokenizer)
  }

  /// The folder with all tokens that end a completion; of weights without a tokenizer, those that the folder declares.
  static func ending(_ folder: ModelFolder, _ tokenizer: Tokenizer?) throws(Failure) -> ModelFolder {
    folder.ending(
      with: try StopTokens.make(
        declared: folder.endOfText, sources: folder.endSources, tokenizer: tokenizer,
        vocabularySize: folder.configuration.vocabularySize, path: folder.path))
  }
}
