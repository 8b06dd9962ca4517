import Arguments
import Support
import Telemetry

/// `inspect`: what a run wrote in a step, in the terminal.
enum InspectCommand {
  enum Outcome: String, CaseIterable {
    case all, right, wrong, truncated
  }

  static let spec = CommandSpec(
    name: "inspect", summary: "read a run's completions in the terminal: a step, or one sample token by token",
    discussion:
      "Without --sample: a table of the step's groups. With it: prompt, completion coloured by token, and the verifier's view. Colours only on a terminal.",
    examples: ["nano-reasoner inspect runs/grpo --step 20 --sample 3 --by entropy"],
    options: [
      .positional("run", .path, "a run folder", placeholder: "RUN"),
      .value("step", .integer(Limits.countOrNone), "the step; default: the newest"),
      .value("sample", .integer(Limits.count), "one completion, by its number in the step", placeholder: "K"),
      .value("by", .choice(SampleText.Measure.self), default: "advantage", "what tokens are coloured by"),
      .value("only", .choice(Outcome.self), default: "all", "completions to list"),
    ],
    rules: [
      .inVain(["by"], .missing("sample"), because: "tokens are shown of one completion"),
      .inVain(["only"], .given("sample"), because: "it chooses what the table lists; leave it out"),
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let run = try arguments.text("run")
    let path = run + "/samples.jsonl"
    guard Files.exists(path) else {
      throw .missingInput("\(path): no completions here; RUN is the --out of `rl` (quickstart's is OUT/rl)")
    }
    let asked = try arguments.optionalInteger("step")
    let (steps, samples) = try SampleLog.read(path, step: asked)
    guard let last = steps.last else { throw .missingInput("\(path): no step is finished yet") }
    let step = asked ?? last
    if samples.isEmpty {
      throw .usage("--step \(step): \(path) has completions of \(steps.count) steps from \(steps[0]) to \(last), not of this one")
    }
    if let number = try arguments.optionalInteger("sample") {
      guard number <= samples.count else {
        throw .usage("--sample \(number): step \(step) has \(samples.count) completions")
      }
      let isColoured = Output.isTerminal && environmentVariable("NO_COLOR") == nil && environmentVariable("TERM") != "dumb"
      let text = SampleText(try arguments.choice("by"), isColoured: isColoured)
      return try Output.writeStyled(detail(samples[number - 1], number: number, of: samples.count, step: step, text))
    }
    let record = try MetricLog.read(run + "/metrics.jsonl").last { $0.step == step }
    let outcome: Outcome = try arguments.choice("only")
    try Output.write(overview(samples, step: step, last: last, record?.metrics, outcome))
    try Output.line("one completion: nano-reasoner inspect \(run) --step \(step) --sample K")
  }

  private static func overview(
    _ samples: [Sample], step: Int, last: Int, _ metrics: Metrics?, _ outcome: Outcome
  ) -> String {
    var output = "step \(step) of \(last)"
    for name in ["reward", "accuracy", "entropy", "kl_old_k3", "length_mean", "loss"] {
      if let value = metrics?[name] { output += "  \(name) \(Format.significant(value))" }
    }
    output += "\n"
    var table = TextTable([])
    func flush(_ question: String) {
      let text = table.text()
      if text.split(separator: "\n").count > 2 { output += "\n\(SampleText.printable(question))\n\(text)" }
    }
    var question = ""
    for (index, sample) in samples.enumerated() {
      if index == 0 || sample.index <= samples[index - 1].index || sample.example != samples[index - 1].example {
        if index > 0 { flush(question) }
        question = sample.question
        table = TextTable([
          .init("K", .right), .init("outcome"), .init("reward", .right), .init("advantage", .right), .init("length", .right),
          .init("answer"), .init("why"),
        ])
      }
      let isShown =
        outcome == .all || outcome.rawValue == sample.outcome || (outcome == .truncated && sample.isTruncated)
      if !isShown { continue }
      table.append([
        "\(index + 1)", sample.outcome, sample.reward.map { Format.fixed($0, 2) } ?? "–",
        sample.advantage.map { Format.fixed($0, 3) } ?? (sample.isKept ? "" : "dropped"), "\(sample.length)",
        sample.extracted.map { SampleText.printable(String($0.prefix(24))) } ?? "–", SampleText.printable(sample.error ?? sample.reason),
      ])
    }
    flush(question)
    return output
  }

  private static func detail(_ sample: Sample, number: Int, of count: Int, step: Int, _ text: SampleText) -> String {
    let advantage = sample.advantage.map { Format.fixed($0, 3) } ?? "–"
    var output = """
      step \(step), completion \(number) of \(count): \(sample.outcome), reward \(sample.reward.map { Format.fixed($0, 2) } ?? "none"), \
      advantage \(advantage), \(sample.length) tokens\(sample.isTruncated ? ", cut off" : "")

      \(SampleText.printable(sample.question))

      \(text.text(sample))

      extracted  \(SampleText.printable(sample.extracted ?? "nothing"))
      gold       \(SampleText.printable(sample.gold))
      why        \(SampleText.printable(sample.reason))

      """
    for part in sample.parts { output += "part       \(SampleText.printable(part.name)) \(part.value.map { Format.significant($0, 4) } ?? "no say")\n" }
    if let error = sample.error { output += "no reward  \(SampleText.printable(error))\n" }
    if sample.tokens == nil {
      output += "\nno numbers per token in this log\n"
    } else if text.isColoured {
      output += "\ncoloured by \(text.measure.rawValue)\n"
    } else {
      output += "\n" + text.notable(sample).text()
    }
    return output
  }
}
