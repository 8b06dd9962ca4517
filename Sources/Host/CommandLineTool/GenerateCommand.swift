import Arguments
import Compute
import Foundations
import Rollouts
import Tokenization
import Transformer

/// `generate`: completions of a prompt or of a file of prompts.
enum GenerateCommand {
  static let sampling: [OptionSpec] = [
    .value("temperature", .number(0...), default: 0, "0 takes the likeliest token", group: .sampling),
    .value("top-k", .integer(0...), default: 0, "draw from the K likeliest tokens; 0: all", group: .sampling),
    .value(
      "top-p", .number(above: 0, through: 1), default: 1, "draw from the smallest set of this probability",
      group: .sampling),
    .value("max-new-tokens", .integer(1...), default: 384, "longest completion", group: .sampling),
    .value("batch-size", .integer(1...), "sequences decoded at once; changes no text", group: .sampling),
  ]

  static let spec = CommandSpec(
    name: "generate", summary: "write completions of prompts",
    discussion: "A prompt is a question, put into the chat form the model was trained with; with --raw it is taken as it is.",
    options: ModelOptions.all + [
      .value("prompt", .text, "one prompt", group: .data),
      .value(
        "prompts", .path, "JSON lines with \"prompt\", \"question\" or \"problem\"", group: .data,
        placeholder: "F.jsonl"),
      .flag("raw", "no chat form: continue the text itself", group: .data),
    ] + sampling + [ModelOptions.seed, ModelOptions.json, .config],
    rules: [.exactlyOne(["prompt", "prompts"])])

  static func settings(_ arguments: ParsedArguments, model: Transformer) throws(Failure) -> GenerationSettings {
    GenerationSettings(
      sampling: SamplingSettings(
        temperature: Float(try arguments.number("temperature")), topK: try arguments.integer("top-k"),
        topP: Float(try arguments.number("top-p"))),
      maxNewTokens: try arguments.integer("max-new-tokens"), seed: UInt64(try arguments.integer("seed")),
      stopTokens: Set(model.endOfText), batchSize: try arguments.optionalInteger("batch-size"))
  }

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let prompts = try readPrompts(arguments)
    let (folder, model) = try ModelOptions.load(arguments)
    let tokenizer = try ModelOptions.tokenizer(folder)
    let isRaw = try arguments.flag("raw")
    let template = ChatTemplate()
    let requests = prompts.enumerated().map { index, prompt in
      GenerationRequest(
        prompt: tokenizer.encode(isRaw ? prompt : template.prompt(question: prompt)), stream: UInt64(index))
    }
    let watch = Stopwatch()
    let results = try GenerationEngine(model).generate(requests, try settings(arguments, model: model))
    let seconds = watch.seconds
    var lines: [JSON] = []
    for (prompt, completions) in zip(prompts, results) {
      guard let completion = completions.first else { continue }
      let text = try tokenizer.text(of: completion.tokens)
      lines.append([
        "prompt": .string(prompt), "completion": .string(text),
        "tokens": .array(completion.tokens.map { .integer(Int($0)) }),
        "log_probs": .array(completion.logProbs.map { .number(Double($0)) }), "truncated": .bool(completion.isTruncated),
      ])
    }
    if try arguments.flag("json") {
      let tokens = results.joined().reduce(0) { $0 + $1.tokens.count }
      return try Output.json([
        "completions": .array(lines), "tokens": .integer(tokens), "seconds": .number(seconds),
        "tokens_per_second": .number(Double(tokens) / max(1e-9, seconds)),
      ])
    }
    if try arguments.isGiven("prompt") { return try Output.line(lines.first?["completion"]?.string ?? "") }
    for line in lines { try Output.json(line) }
  }

  private static func readPrompts(_ arguments: ParsedArguments) throws(Failure) -> [String] {
    if let prompt = try arguments.optionalText("prompt") { return [prompt] }
    let path = try arguments.text("prompts")
    var prompts: [String] = []
    // Lines end in a line feed: U+2028 and its like may stand in a JSON string as they are.
    for (number, line) in try Files.read(path).split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
      if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
      let json = try JSON.parse(Array(line), name: "\(path): record \(number + 1)")
      guard let prompt = ["prompt", "question", "problem"].lazy.compactMap({ json[$0]?.string }).first else {
        throw .badData("\(path): line \(number + 1): expected \"prompt\", \"question\" or \"problem\" with a text")
      }
      prompts.append(prompt)
    }
    if prompts.isEmpty { throw .badData("\(path): holds no prompt") }
    return prompts
  }
}
