import Arguments
import Compute
import Rollouts
import Support
import Telemetry
import Tokenization
import Transformer

/// `generate`: completions of a prompt or of a file of prompts.
enum GenerateCommand {
  static let sampling: [OptionSpec] = [
    .value("temperature", .number(Limits.temperature), default: 0, "0 takes the likeliest token", group: .sampling),
    .value("top-k", .integer(Limits.topK), default: 0, "draw from the K likeliest tokens; 0: all", group: .sampling),
    .value(
      "top-p", .number(above: 0, through: 1), default: 1, "draw from the smallest set of this probability",
      group: .sampling),
    .value("max-new-tokens", .integer(Limits.tokens), default: 384, "longest completion", group: .sampling),
    .value("batch-size", .integer(Limits.batch), "sequences decoded at once; changes no text", group: .sampling),
  ]

  /// Without chance there is nothing to choose from, and all samples are the same.
  static let samplingRules: [OptionRule] = [
    .inVain(["top-k", "top-p"], .value("temperature", 0), because: "the likeliest token is taken; give a temperature, as 0.8, or leave it out"),
    .inVain(["samples"], .value("temperature", 0), because: "all would be the same; give a temperature, as 0.8"),
  ]

  static let spec = CommandSpec(
    name: "generate", summary: "write completions of prompts",
    discussion:
      "A prompt is a question, put into the chat form of --prompt-form; with --raw it is taken as it is, after the token that begins a text where the tokenizer adds one.",
    options: ModelOptions.all + [
      ModelOptions.promptForm,
      .value("prompt", .text, "one prompt; without it and --prompts, standard input is one", group: .data),
      .value(
        "prompts", .path, "JSON lines with \"prompt\", \"question\" or \"problem\"; - reads standard input", group: .data,
        placeholder: "F.jsonl"),
      .value("samples", .integer(Limits.group), default: 1, "completions per prompt", group: .sampling),
      .flag("raw", "no chat form: continue the text itself", group: .data),
    ] + sampling + [
      .flag("no-drafts", "draw one token after another; else what may come next is read ahead where that costs little: the same text in fewer passes", group: .sampling),
      ModelOptions.seed, ModelOptions.json, .config],
    rules: [.atMostOne(["prompt", "prompts"]), .inVain(["prompt-form"], .given("raw"), because: "the text is taken as it is; leave one of them out")] + samplingRules)

  static func settings(_ arguments: ParsedArguments, model: Transformer) throws(Failure) -> GenerationSettings {
    GenerationSettings(
      sampling: SamplingSettings(
        temperature: try arguments.number("temperature"), topK: try arguments.integer("top-k"),
        topP: Float(try arguments.number("top-p"))),
      maxNewTokens: try arguments.integer("max-new-tokens"), seed: UInt64(try arguments.integer("seed")),
      stopTokens: Set(model.endOfText), batchSize: try arguments.optionalInteger("batch-size"))
  }

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let prompts = try readPrompts(arguments)
    let samples = try arguments.integer("samples")
    try Limits.checkCompletions(prompts.count, times: samples, "--samples")
    let (tokenizer, form, policy) = try ModelOptions.loadWithTokenizer(arguments)
    let model = policy.model
    let isRaw = try arguments.flag("raw")
    var generation = try settings(arguments, model: model)
    if try arguments.flag("no-drafts") { generation.drafts = false }
    var requests: [GenerationRequest] = []
    for (index, prompt) in prompts.enumerated() {
      let tokens = isRaw ? tokenizer.encodeFramed(prompt.text) : tokenizer.encode(form.prompt(marked: prompt.text))
      if let place = prompt.place, tokens.count >= model.configuration.maxPositions {
        throw .badData(
          "\(place): the prompt has \(tokens.count) tokens and the model's context \(model.configuration.maxPositions) (max_position_embeddings), which leaves no room for a completion; shorten it")
      }
      requests.append(GenerationRequest(prompt: tokens, samples: samples, stream: UInt64(index)))
    }
    Interruption.install()
    // One completion is shown as it comes.
    let (isJSON, isFile) = (try arguments.flag("json"), try arguments.isGiven("prompts"))
    let isStreaming = prompts.count == 1 && samples == 1 && !isJSON && !isFile
    var decoder = StreamingDecoder(tokenizer)
    var failure: Failure?
    let watch = Stopwatch()
    var results: [[Completion?]] = requests.map { Array(repeating: nil, count: $0.samples) }
    var stopped: Failure?
    var passes = 0
    do throws(Failure) {
      let engine = GenerationEngine(model, in: try Arena(on: model.backend))
      defer { passes = engine.passes }
      _ = try engine.generate(
        requests, generation, by: policy, progress: { _ in failure == nil && !Interruption.isRequested },
        onToken: { _, _, token in
          guard isStreaming, failure == nil, !generation.stopTokens.contains(token) else { return }
          do throws(Failure) {
            if tokenizer.contains(token) { try Output.write(try decoder.feed(token)) }
          } catch let error { failure = error }
        }, onFinish: { request, sample, completion in results[request][sample] = completion })
    } catch {
      if let failure { throw failure }
      // The line that was begun is ended.
      if isStreaming, error.code == .interrupted { try Output.line("") }
      if isStreaming { throw error }
      stopped = error
    }
    if let failure { throw failure }
    let made = results.joined().compactMap { $0 }
    let context = model.configuration.maxPositions
    noteContext(context, reachedBy: made.count { $0.isTruncated && $0.tokens.count < generation.maxNewTokens })
    if isStreaming { return try Output.line(decoder.finish()) }
    let seconds = watch.seconds
    var lines: [JSON] = []
    for (prompt, completions) in zip(prompts, results) {
      for (sample, completion) in completions.enumerated() {
        guard let completion else { continue }
        var line: JSON.Object = [
          "prompt": .string(prompt.text), "completion": .string(try tokenizer.text(of: completion.tokens)),
          "tokens": .array(completion.tokens.map { .integer(Int($0)) }),
          "log_probs": .array(completion.logProbs.map { .number(Double($0)) }), "truncated": .bool(completion.isTruncated),
        ]
        if samples > 1 { line["sample"] = .integer(sample) }
        lines.append(.object(line))
      }
    }
    if try arguments.flag("json") {
      let tokens = made.reduce(0) { $0 + $1.tokens.count }
      var result: JSON.Object = [
        "completions": .array(lines), "tokens": .integer(tokens), "passes": .integer(passes), "seconds": .number(seconds),
        "tokens_per_second": .number(Double(tokens) / max(1e-9, seconds)),
      ]
      if stopped != nil { result["interrupted"] = .bool(true) }
      try Output.json(.object(result))
    } else {
      for line in lines { try Output.json(line) }
    }
    // What was finished is not lost with what was not.
    if let stopped { throw Failure(stopped.code, made.isEmpty ? stopped.message : "\(stopped.message), and are written") }
  }

  /// Says that completions ended for want of room, which nobody asked for.
  static func noteContext(_ context: Int, reachedBy count: Int) {
    guard count > 0 else { return }
    Console(quiet: false).warning(
      "\(count) completion\(count == 1 ? "" : "s") reached the model's context of \(context) tokens (max_position_embeddings) and ended there as truncated")
  }

  private struct Prompt {
    let text: String
    /// File and line; nil where there is one prompt.
    var place: String?
  }

  /// The prompts: of --prompt, of a file of records, or of standard input as one text.
  private static func readPrompts(_ arguments: ParsedArguments) throws(Failure) -> [Prompt] {
    if let prompt = try arguments.optionalText("prompt"), prompt != "-" { return [Prompt(text: prompt)] }
    guard let path = try arguments.optionalText("prompts") else {
      if isatty(STDIN_FILENO) == 1 { Console(quiet: false).info("reading the prompt from the terminal; Ctrl-D on an empty line ends it") }
      let bytes = try Files.readAll(STDIN_FILENO, name: "standard input")
      guard let text = String(validating: bytes, as: UTF8.self) else { throw .badData("standard input: is not UTF-8 text") }
      let prompt = text.hasSuffix("\n") ? String(text.dropLast()) : text
      if prompt.isEmpty { throw .badData("standard input: holds no prompt; give --prompt TEXT, or write one to it") }
      return [Prompt(text: prompt)]
    }
    var prompts: [Prompt] = []
    for record in try RecordReader.all(of: path) {
      guard let prompt = ["prompt", "question", "problem"].lazy.compactMap({ record.object[$0]?.string }).first else {
        throw .badData("\(record.place): expected \"prompt\", \"question\" or \"problem\" with a text")
      }
      prompts.append(Prompt(text: prompt, place: record.place))
    }
    if prompts.isEmpty { throw .badData("\(path == "-" ? RecordReader.standardInput : path): holds no prompt") }
    return prompts
  }
}
