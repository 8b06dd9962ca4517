import Arguments
import Support
import Telemetry
import Training

/// `bisect`: the first step and stage at which two runs part.
enum BisectCommand {
  static let spec = CommandSpec(
    name: "bisect", summary: "the first step and stage at which two runs part, and what that means",
    discussion:
      "Compares the digests of metrics.jsonl (docs/proof.md): data, completions, rewards, log-probabilities, the plugin's answers, gradients, weights, in the order in which a step computes them. Nothing is computed; whether each run is what its log says is `verify`'s question.",
    examples: ["nano-reasoner bisect runs/grpo runs/dr-grpo"],
    options: [
      .positional("first", .path, "a run folder", placeholder: "RUN_A"),
      .positional("second", .path, "another run folder", placeholder: "RUN_B"),
      ModelOptions.json,
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let comparison = try RunComparison(try arguments.text("first"), try arguments.text("second"))
    if try arguments.flag("json") { return try Output.json(comparison.json) }
    if let (step, parting) = comparison.parting {
      if comparison.same > 0 { try Output.line("steps 1 to \(comparison.same): the same, bit for bit") }
      try Output.line("step \(step) parts in \(parting.stage)\(parting.update.map { " of update \($0)" } ?? ""): \(StageDifference.short(parting.digests.0)) and \(StageDifference.short(parting.digests.1))")
    }
    try Output.line(comparison.meaning)
    if !comparison.differences.isEmpty {
      try Output.line("run.json differs in:")
      for difference in comparison.differences { try Output.line("  \(difference.text)") }
    }
  }
}
