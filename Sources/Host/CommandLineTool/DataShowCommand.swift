import Arguments
import Support
import Tasks
import Telemetry
import Tokenization
import Training
import Transformer

/// `data show`: what the model is given, token by token, with the tokens that are learned.
enum DataShowCommand {
  enum Stage: String, CaseIterable {
    case sft, rl
  }

  static let spec = CommandSpec(
    name: "show", summary: "what the model is given, token by token, with the loss mask",
    discussion:
      "For --stage sft the whole sequence; tokens that are learned are marked (coloured on a terminal, between » and « elsewhere). For --stage rl the prompt and the gold answer.",
    options: [
      ModelOptions.model, ModelOptions.promptForm,
      .required("data", .path, DataOptions.training, group: .data, placeholder: "F"),
      .value("limit", .integer(Limits.count), default: 3, "show the first N examples", group: .data),
      .value("stage", .choice(Stage.self), default: "sft", "what it is read for", group: .data),
      .value("loss-on", .choice(TrainingDocuments.LossOn.self), default: "all", "tokens that are learned", group: .training),
      .value("max-length", .integer(2...Limits.tokens.upperBound), default: 2048, "cut longer sequences, in tokens", group: .data),
    ] + DataOptions.keys + [ModelOptions.json, .config],
    rules: [.inVain(["loss-on", "max-length"], .value("stage", "rl"), because: "nothing of the prompt is learned or cut; leave it out")])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let path = try arguments.text("data")
    let stage: Stage = try arguments.choice("stage")
    var examples: [Example] = []
    _ = try ExampleFile.forEach(
      in: try DataSource(path, for: .training), limit: try arguments.integer("limit"), keys: try DataOptions.keys(arguments),
      for: stage == .sft ? .learning : .answers, isCounted: false
    ) { examples.append($0) }
    let folder = try ModelFolder.locate(try arguments.text("model"))
    let tokenizer = try Tokenizer(folder: folder)
    var documents = TrainingDocuments()
    documents.form = try ModelOptions.promptForm(arguments, folder: folder, tokenizer)
    documents.lossOn = try arguments.choice("loss-on")
    documents.maxLength = try arguments.integer("max-length")
    var shown: [JSON] = []
    for (number, example) in examples.enumerated() {
      let sequence: TrainingSequence
      switch stage {
      case .sft:
        guard let whole = documents.sequence(example, tokenizer) else {
          throw .badData("\(path): \(example.place(or: number + 1)) has a question but neither an answer nor a solution to learn")
        }
        sequence = whole
      case .rl:
        let prompt = tokenizer.encode(example.prompt(documents.form))
        sequence = TrainingSequence(tokens: prompt, lossStart: prompt.count)
      }
      let texts = try tokenizer.tokenTexts(of: sequence.tokens)
      if try arguments.flag("json") {
        shown.append(json(example, sequence, texts))
      } else {
        try Output.writeStyled(text(number + 1, example, sequence, texts, stage: stage))
      }
    }
    if try arguments.flag("json") { try Output.json(["examples": .array(shown)]) }
  }

  private static func json(_ example: Example, _ sequence: TrainingSequence, _ texts: [String]) -> JSON {
    [
      "line": example.source.line.map { .integer($0) } ?? .null, "gold": example.answer.map { .string($0) } ?? .null,
      "tokens": .array(
        sequence.tokens.enumerated().map { place, id in
          ["id": .integer(Int(id)), "text": .string(texts[place]), "loss": .bool(place >= sequence.lossStart)]
        }),
    ]
  }

  private static func text(
    _ number: Int, _ example: Example, _ sequence: TrainingSequence, _ texts: [String], stage: Stage
  ) -> String {
    let isTerminal = Output.isTerminal
    let (open, close) = isTerminal ? ("\u{1B}[32m", "\u{1B}[0m") : ("»", "«")
    var output = "example \(number)"
    if let line = example.source.line { output += " (\(example.source.unit ?? "line") \(line))" }
    output += ": \(sequence.tokens.count) tokens"
    if stage == .sft { output += ", \(sequence.predictedCount) learned" }
    if let answer = example.answer { output += ", gold \(OneLine.text(answer.debugDescription))" }
    output += "\n  "
    for (place, text) in texts.enumerated() {
      if place == sequence.lossStart, sequence.predictedCount > 0 { output += open }
      if place > 0, place != sequence.lossStart { output += "|" }
      output += OneLine.text(String(text.debugDescription.dropFirst().dropLast()))
      if text.hasSuffix("\n"), place + 1 < texts.count { output += "\n  " }
    }
    if sequence.predictedCount > 0 { output += close }
    return output + "\n"
  }
}
