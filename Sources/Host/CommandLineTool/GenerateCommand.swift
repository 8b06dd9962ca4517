import Arguments
import Compute
import Foundations
import Rollouts
import Telemetry
import Tokenization
import Transformer

/// `generate`: completions of a prompt or of a file of prompts.
enum GenerateCommand {
  static let sampling: [OptionSpec] = [
    .value("temperature", .number(0...1000), default: 0, "0 takes the likeliest token", group: .sampling),
    .value("top-k", .integer(0...), default: 0, "draw from the K likeliest tokens; 0: all", group: .sampling),
    .value(
      "top-p", .number(above: 0, through: 1), default: 1, "draw from the smallest set of this probability",
      group: .sampling),
    .value("max-new-tokens", .integer(1...10_000_000), default: 384, "longest completion", group: .sampling),
    .value("batch-size", .integer(1...65_536), "sequences decoded at once; changes no text", group: .sampling),
  ]

  static let spec = CommandSpec(
    name: "generate", summary: "write completions of prompts",
    discussion: "A prompt is a question, put into the chat form the model was trained with; with --raw it is taken as it is.",
    options: ModelOptions.all + [
      .value("prompt", .text, "one prompt; without it and --prompts, standard input is one", group: .data),
      .value(
        "prompts", .path, "JSON lines with \"prompt\", \"question\" or \"problem\"; - reads standard input", group: .data,
        placeholder: "F.jsonl"),
      .value("samples", .integer(1...65_536), default: 1, "completions per prompt", group: .sampling),
      .flag("raw", "no chat form: continue the text itself", group: .data),
    ] + sampling + [ModelOptions.seed, ModelOptions.json, .config],
    rules: [.atMostOne(["prompt", "prompts"])])

  static func settings(_ arguments: ParsedArguments, model: Transformer) throws(Failure) -> GenerationSettings {
    if try arguments.number("temperature") == 0 {
      for name in ["top-k", "top-p"] where try arguments.isGiven(name) {
        throw .usage("--\(name) chooses among tokens to draw from, and --temperature 0 draws none: give a temperature, as 0.8, or leave it out")
      }
    }
    return GenerationSettings(
      sampling: SamplingSettings(
        temperature: Float(try arguments.number("temperature")), topK: try arguments.integer("top-k"),
        topP: Float(try arguments.number("top-p"))),
      maxNewTokens: try arguments.integer("max-new-tokens"), seed: UInt64(try arguments.integer("seed")),
      stopTokens: Set(model.endOfText), batchSize: try arguments.optionalInteger("batch-size"))
  }

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let prompts = try readPrompts(arguments)
    let (_, tokenizer, model) = try ModelOptions.loadWithTokenizer(arguments)
    let isRaw = try arguments.flag("raw")
    let template = ChatTemplate()
    let samples = try arguments.integer("samples")
    let generation = try settings(arguments, model: model)
    if samples > 1, generation.sampling.temperature == 0 {
      throw .usage("--samples \(samples) with --temperature 0 would be \(samples) times the same; give a temperature, as 0.8")
    }
    let requests = prompts.enumerated().map { index, prompt in
      GenerationRequest(
        prompt: isRaw ? tokenizer.encode(prompt) : tokenizer.encode(template.prompt(marked: prompt)), samples: samples,
        stream: UInt64(index))
    }
    Interruption.install()
    // One completion is shown as it comes.
    let (isJSON, isFile) = (try arguments.flag("json"), try arguments.isGiven("prompts"))
    let isStreaming = prompts.count == 1 && samples == 1 && !isJSON && !isFile
    var decoder = StreamingDecoder(tokenizer)
    var failure: Failure?
    let watch = Stopwatch()
    let results = try GenerationEngine(model).generate(requests, generation, progress: { _ in !Interruption.isRequested }) { _, _, token in
      guard isStreaming, failure == nil, !generation.stopTokens.contains(token) else { return }
      do throws(Failure) {
        if tokenizer.contains(token) { try Output.write(try decoder.feed(token)) }
      } catch let error { failure = error }
    }
    if let failure { throw failure }
    if isStreaming { return try Output.line(decoder.finish()) }
    let seconds = watch.seconds
    var lines: [JSON] = []
    for (prompt, completions) in zip(prompts, results) {
      for (sample, completion) in completions.enumerated() {
        var line: JSON.Object = [
          "prompt": .string(prompt), "completion": .string(try tokenizer.text(of: completion.tokens)),
          "tokens": .array(completion.tokens.map { .integer(Int($0)) }),
          "log_probs": .array(completion.logProbs.map { .number(Double($0)) }), "truncated": .bool(completion.isTruncated),
        ]
        if samples > 1 { line["sample"] = .integer(sample) }
        lines.append(.object(line))
      }
    }
    if try arguments.flag("json") {
      let tokens = results.joined().reduce(0) { $0 + $1.tokens.count }
      return try Output.json([
        "completions": .array(lines), "tokens": .integer(tokens), "seconds": .number(seconds),
        "tokens_per_second": .number(Double(tokens) / max(1e-9, seconds)),
      ])
    }
    for line in lines { try Output.json(line) }
  }

  /// The prompts: of --prompt, of a file of records, or of standard input as one text.
  private static func readPrompts(_ arguments: ParsedArguments) throws(Failure) -> [String] {
    if let prompt = try arguments.optionalText("prompt"), prompt != "-" { return [prompt] }
    guard let path = try arguments.optionalText("prompts") else {
      let bytes = try Files.readAll(STDIN_FILENO, name: "standard input")
      guard let text = String(validating: bytes, as: UTF8.self) else { throw .badData("standard input: is not UTF-8 text") }
      let prompt = text.hasSuffix("\n") ? String(text.dropLast()) : text
      if prompt.isEmpty { throw .badData("standard input: holds no prompt; give --prompt TEXT, or write one to it") }
      return [prompt]
    }
    let name = path == "-" ? "standard input" : path
    let bytes = path == "-" ? try Files.readAll(STDIN_FILENO, name: name) : try Files.read(path)
    var prompts: [String] = []
    for record in try JSONLines.read(bytes, name: name) {
      guard let prompt = ["prompt", "question", "problem"].lazy.compactMap({ record.object[$0]?.string }).first else {
        throw .badData("\(record.place): expected \"prompt\", \"question\" or \"problem\" with a text")
      }
      prompts.append(prompt)
    }
    if prompts.isEmpty { throw .badData("\(name): holds no prompt") }
    return prompts
  }
}
