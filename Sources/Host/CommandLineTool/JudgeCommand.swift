import Arguments
import Support
import Tasks

/// `judge`: whether answers are equal to gold answers, as the reward compares them.
enum JudgeCommand {
  static let spec = CommandSpec(
    name: "judge", summary: "whether an answer equals a gold one, as the reward sees it",
    discussion:
      "One pair with --answer and --gold, or a file of JSON lines {\"answer\" or \"completion\", \"gold\"}: of a completion the last balanced \\boxed{} counts. A file gives one JSON object a line, {\"correct\", \"extracted\", \"reason\"}, in order. docs/reward.md says what is equal.",
    examples: [#"nano-reasoner judge --answer '\frac{1}{2}' --gold 0.5"#, "nano-reasoner judge --data pairs.jsonl"],
    options: [
      .value("answer", .text, "an answer; where it holds a \\boxed{}, what stands in it", group: .data),
      .value("gold", .text, "the right answer", group: .data),
      .value("data", .path, "JSON lines with pairs; - reads standard input", group: .data, placeholder: "F.jsonl"),
      .value("reward", .choice(Verifier.Mode.self), default: "numeric", "when an answer equals the gold one", group: .data),
      ModelOptions.json, .config,
    ], rules: [
      .exactlyOne(["answer", "data"]),
      .inVain(["gold"], .given("data"), because: "each line of it has its own"),
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let verifier = try Verifier(ready: try arguments.choice("reward"))
    if let answer = try arguments.optionalText("answer") {
      guard let gold = try arguments.optionalText("gold") else {
        throw .usage("--answer needs the right answer beside it: --gold G")
      }
      let verdict = try verdict(answer: answer, gold: gold, verifier)
      if try arguments.flag("json") { return try Output.json(json(verdict)) }
      return try Output.line("\(verdict.isCorrect ? "correct" : "wrong"): \(verdict.reason)")
    }
    var output = ""
    for record in try RecordReader.all(of: try arguments.text("data")) {
      output += json(try verdict(record, verifier)).text() + "\n"
      if output.utf8.count > 1 << 16 {
        try Output.write(output)
        output = ""
      }
    }
    try Output.write(output)
  }

  private static func verdict(_ record: JSONLines.Record, _ verifier: Verifier) throws(Failure) -> Verdict {
    guard let gold = try record.text("gold") else {
      throw .badData("\(record.place): key \"gold\": expected the right answer, found no such key")
    }
    if let problem = GoldAnswer.controlCharacter(in: gold) {
      throw .badData("\(record.place): key \"gold\": holds \(problem)")
    }
    if let completion = try record.text("completion") { return try verifier.verdict(on: completion, gold: gold) }
    guard let answer = try record.text("answer") else {
      throw .badData("\(record.place): expected \"answer\" or \"completion\" beside \"gold\", found neither")
    }
    return try verdict(answer: answer, gold: gold, verifier)
  }

  private static func verdict(answer: String, gold: String, _ verifier: Verifier) throws(Failure) -> Verdict {
    AnswerExtraction.hasBoxed(answer) ? try verifier.verdict(on: answer, gold: gold) : try verifier.verdict(answer: answer, gold: gold)
  }

  private static func json(_ verdict: Verdict) -> JSON {
    [
      "correct": .bool(verdict.isCorrect), "extracted": verdict.extracted.map { .string($0) } ?? .null,
      "reason": .string(verdict.reason),
    ]
  }
}
