import Arguments
import Compute
import Support
import Tasks
import Telemetry
import Tokenization
import Transformer

/// How frozen weights are kept.
enum Precision: String, CaseIterable {
  case fp32, bf16

  var format: WeightFormat { self == .fp32 ? .float32 : .bfloat16 }
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
  /// For the commands that write prompts.
  static let promptForm = OptionSpec.value(
    "prompt-form", .choice(PromptForm.self), "how prompts are written; default: as the model's chat template says", group: .model)
  static let seed = OptionSpec.value("seed", .integer(Limits.seed), default: 42, "seed of all random numbers", group: .other)
  static let json = OptionSpec.flag("json", "print one machine-readable result on standard output", group: .output)
  static let quiet = OptionSpec.flag("quiet", "no progress on standard error", group: .output)

  static let device = OptionSpec.value(
    "device", .checked(Backends.devices, Backends.isDevice), default: "auto",
    "where to compute; auto: on an NVIDIA GPU where there is one, its driver and NVRTC, else on the CPU", group: .model,
    placeholder: "auto|cpu|cuda[:N]")

  static let threads = OptionSpec.value("threads", .integer(1...1024), "CPU threads; default: one per core", group: .model)

  /// The backend of `--device`; what is taken is said on standard error where a GPU is there or asked for.
  static func backend(
    _ arguments: ParsedArguments, bfloat16: Bool = false, onCPU: Bool = false, memory: Int? = nil, plans: Bool = false
  ) throws(Failure) -> any Backend {
    try Backends.open(
      device: try arguments.text("device"), bfloat16: bfloat16, onCPU: onCPU, threads: try arguments.optionalInteger("threads"), memory: memory, plans: plans,
      note: Output.note)
  }

  static let compute: [OptionSpec] = [
    .value(
      "precision", .choice(Precision.self),
      "what is computed in, how frozen weights are kept in memory, and what the values of NF4 are rounded to; default: weights in bf16 where the file has it (exact), else fp32, and a GPU computes in what they are kept in, the CPU in fp32", group: .model),
    .value(
      "quantize", .choice(Quantization.self), default: "none",
      "nf4: the linear layers of blocks in 4 bits, as bitsandbytes makes them; none: as the folder has them", group: .model),
    device,
    threads,
    .value(
      "memory", .number(above: 0, through: 1e6), "GiB of memory to plan with; default: what the machine, or its container, has", group: .model,
      placeholder: "GIB"),
  ]

  /// Options of a command that only reads a model.
  static let all: [OptionSpec] = [model, adapter] + compute

  let backend: any Backend
  let format: WeightFormat?
  let quantization: Quantization

  /// - Parameters:
  ///   - trainable: what of the folder's model is trained.
  ///   - plans: whether nothing will be computed.
  init(_ arguments: ParsedArguments, _ folder: ModelFolder, trainable: Trainable = .nothing, plans: Bool = false) throws(Failure) {
    quantization = try arguments.choice("quantize")
    format = try arguments.optionalText("precision").flatMap { Precision(rawValue: $0)?.format }
    let table = folder.architecture(trainable: trainable, format: format, quantises: quantization == .nf4)
    backend = try Self.backend(
      arguments, bfloat16: table.isBFloat16, onCPU: table.isBFloat16 && format == .bfloat16,
      memory: try arguments.optionalNumber("memory").map { Int($0 * 1_073_741_824) }, plans: plans)
    if backend.isHost, backend.activation == .float32, table.isBFloat16, table.parameterCount > Self.large, CPUBackend.multipliesBFloat16 {
      Output.note("computing in float32; --precision bf16 takes a half to a third of the time")
    }
  }

  /// Parameters from which on it is said that there is a faster way.
  private static let large = 100_000_000

  /// The table of a model's tensors as these options have it.
  func architecture(_ folder: ModelFolder, trainable: Trainable = .nothing) throws(Failure) -> Architecture {
    if trainable == .full, format == .bfloat16 {
      throw .usage("--precision bf16 with --full: trained weights are float32; leave --precision out")
    }
    if trainable == .full, quantization == .nf4 {
      throw .usage("--quantize nf4 with --full: trained weights are float32; leave --quantize out, or train an adapter")
    }
    if trainable == .full, folder.quantization != nil {
      throw .usage("--full: the weights of \(folder.path) are quantised, and trained weights are float32; take the folder they were made from, or train an adapter")
    }
    if format == nil, let type = folder.quantization?.computeType, ![WeightFormat.float32, .bfloat16].map(\.name).contains(type) {
      throw .badData(
        "\(folder.path)/config.json: \"bnb_4bit_compute_dtype\": expected float32 or bfloat16, found \(type), which is not computed; choose with --precision")
    }
    return folder.architecture(trainable: trainable, format: format, quantises: quantization == .nf4)
  }

  func load(
    _ folder: ModelFolder, trainable: Trainable = .nothing, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> Transformer {
    try Transformer(
      try architecture(folder, trainable: trainable), source: .folder(folder), endOfText: folder.endOfText, on: backend, progress: progress)
  }

  /// The model that `--model` and `--adapter` name.
  static func load(
    _ arguments: ParsedArguments, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> PolicySnapshot {
    let adapter = try adapter(arguments)
    return try load(arguments, try ModelFolder(try arguments.text("model")), adapter, progress: progress).policy
  }

  /// The same with its tokeniser, for commands that draw completions.
  static func loadWithTokenizer(
    _ arguments: ParsedArguments, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> (tokenizer: Tokenizer, form: PromptForm, policy: PolicySnapshot) {
    let adapter = try adapter(arguments)
    let (folder, tokenizer, form) = try open(try arguments.text("model"), arguments)
    return (tokenizer, form, try load(arguments, folder, adapter, progress: progress).policy)
  }

  /// The adapter that `--adapter` names, opened before whatever takes its time.
  static func adapter(_ arguments: ParsedArguments) throws(Failure) -> AdapterFolder? {
    guard let adapter = try arguments.optionalText("adapter") else { return nil }
    return try AdapterFolder(adapter)
  }

  static func load(
    _ arguments: ParsedArguments, _ folder: ModelFolder, _ adapter: AdapterFolder?, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) -> (policy: PolicySnapshot, adapter: Adapter?) {
    let model = try ModelOptions(arguments, folder).load(folder, progress: progress)
    let loaded = try adapter.map { adapter throws(Failure) in try Adapter(adapter, for: model) }
    return (PolicySnapshot(model, adapter: loaded?.weights), loaded)
  }

  /// A model's folder with its tokeniser, whose ids must be ones the model has an embedding for, with the form of its prompts, and with
  /// all tokens that end a completion.
  static func open(
    _ model: String, _ arguments: ParsedArguments
  ) throws(Failure) -> (folder: ModelFolder, tokenizer: Tokenizer, form: PromptForm) {
    let folder = try ModelFolder(model)
    let tokenizer = try Tokenizer(folder: folder.path)
    guard tokenizer.vocabularySize <= folder.configuration.vocabularySize else {
      throw .badData(
        "\(folder.path)/tokenizer.json: has \(tokenizer.vocabularySize) tokens, the model's vocabulary \(folder.configuration.vocabularySize)"
      )
    }
    let form = try promptForm(arguments, folder: folder.path, tokenizer)
    return (try ending(folder, tokenizer, form), tokenizer, form)
  }

  /// The form that --prompt-form names, or that the folder's chat template says; where it says none, a warning says which is taken.
  static func promptForm(
    _ arguments: ParsedArguments, folder path: String, _ tokenizer: Tokenizer?
  ) throws(Failure) -> PromptForm {
    guard let name = try arguments.optionalText(promptForm.name), let form = PromptForm(rawValue: name) else {
      let choice = try PromptForm.of(folder: path, tokenizer: tokenizer)
      if let warning = choice.warning { Console(quiet: false).warning(warning) }
      return choice.form
    }
    if let tokenizer, let missing = form.tokens.first(where: { tokenizer.id(of: $0) == nil }) {
      throw .usage("--prompt-form \(name): \(tokenizer.name) has no token \(missing)")
    }
    return form
  }

  /// The folder with all tokens that end a completion; of weights without a tokenizer, those that the folder declares.
  static func ending(_ folder: ModelFolder, _ tokenizer: Tokenizer?, _ form: PromptForm) throws(Failure) -> ModelFolder {
    folder.ending(
      with: try StopTokens.make(
        form, declared: folder.endOfText, sources: folder.endSources, tokenizer: tokenizer,
        vocabularySize: folder.configuration.vocabularySize, path: folder.path))
  }
}
