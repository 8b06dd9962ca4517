import Arguments
import Benchmarking
import PluginHost
import Support
import Tokenization
import Transformer

/// `plugin compare`: what several plugins make of one batch.
enum PluginCompareCommand {
  static let spec = CommandSpec(
    name: "compare", summary: "what several plugins make of one batch: loss, gradient, clip, and how far they pull the same way",
    discussion:
      "The batch is a file that `rl --capture` wrote, or one as `plugin eval` reads it. Each plugin gets it as one optimiser update. Cosines are between the derivatives of the losses by the tokens' log-probabilities. With --completion the push on each of its tokens is shown; of a captured batch the texts are those of the model's tokenizer.",
    examples: ["nano-reasoner plugin compare grpo dr-grpo ./my_loss.py dapo:clip_high=0.4 --batch runs/grpo/captures/step-000010.safetensors --completion 3 --out compared"],
    options: [
      .positionals("plugins", .text, "the plugins, each with its settings as in bench", placeholder: "NAME|PATH[:key=value]..."),
      .required("batch", .path, "the arrays", group: .data, placeholder: "F.safetensors"),
      .value("completion", .integer(1...1 << 40), "show the push on each token of the completion of this number", group: .data),
      .value("model", .path, "a model folder whose tokenizer names the tokens; default: that of the captured run", group: .data, placeholder: "M"),
      .value("out", .path, "a folder for compare.html, compare.md and compare.json", group: .output, placeholder: "DIR"), ModelOptions.json,
    ], rules: [.inVain(["model"], .missing("completion"), because: "no token is shown")])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let path = try arguments.text("batch")
    let batch = try SafetensorsFile(path)
    var found: [(label: String, evaluation: PluginEvaluation)] = []
    for text in try arguments.list("plugins") {
      let choice = try AlgorithmChoice(text, of: "plugin compare")
      let card = try PluginRegistry.find(choice.plugin)
      let plugin = PluginChoice(card, try PluginParameters(choice.settings, for: card.descriptor), isolation: PluginIsolation.usual(for: card))
      let label = ([plugin.id] + choice.settings).joined(separator: ":")
      do throws(Failure) { found.append((label, try PluginEvaluation(batch, try plugin.instance()))) } catch {
        throw Failure(error.code, "\(label): \(error.message)")
      }
    }
    let completion = try completion(arguments, batch)
    var facts = ["\(path): \(found.first?.evaluation.keep.count ?? 0) groups, \(found.first?.evaluation.advantages.count ?? 0) tokens, taken as one update"]
    if let algorithm = batch.metadata["algorithm"] { facts.append("captured from step \(batch.metadata["step"] ?? "?") of a run of \(algorithm)") }
    let report = ComparisonReport(PluginComparison(found), facts: facts, completion: completion)
    let out = try arguments.optionalText("out")
    if let out { try report.write(to: out) }
    if try arguments.flag("json") { return try Output.json(report.json) }
    try Output.write(report.text)
    if let out { try Output.line("\nPage: \(out)/compare.html   Table: \(out)/compare.md   Numbers: \(out)/compare.json") }
  }

  private static func completion(_ arguments: ParsedArguments, _ batch: SafetensorsFile) throws(Failure) -> ComparisonReport.Completion? {
    guard let number = try arguments.optionalInteger("completion") else { return nil }
    let offsets = try batch.integers("token_offsets").map { Int($0) }
    guard number < offsets.count else { throw .usage("--completion \(number): the batch has \(offsets.count - 1)") }
    let tokens = offsets[number - 1]..<offsets[number]
    var texts = tokens.map { _ in "" }
    if batch.entries["completion_ids"] != nil {
      let ids = try batch.integers("completion_ids")[tokens].map { Int32(truncatingIfNeeded: $0) }
      texts = ids.map { "\($0)" }
      let named = try arguments.optionalText("model")
      if let model = named ?? batch.metadata["model"] {
        // Where the captured run's model is not there any more, numbers do.
        do throws(Failure) { texts = try Tokenizer(folder: try ModelFolder.locate(model)).tokenTexts(of: ids) } catch {
          if named != nil { throw error }
        }
      }
    }
    return ComparisonReport.Completion(number: number, tokens: tokens, texts: texts)
  }
}
