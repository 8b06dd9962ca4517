import Arguments
import Compute
import Foundations
import Transformer

/// `export`: an adapter merged into its model, as a Hugging Face folder.
enum ExportCommand {
  static let spec = CommandSpec(
    name: "export", summary: "merge an adapter into its model, as a Hugging Face folder",
    options: [
      ModelOptions.model,
      .required("adapter", .path, "the PEFT LoRA adapter folder to merge", group: .model, placeholder: "DIR"),
      .required("out", .path, "the folder to write", group: .output, placeholder: "DIR"),
    ] + ModelOptions.compute)

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let (folder, model) = try ModelOptions.load(arguments)
    let out = try arguments.text("out")
    if Files.resolved(out) == Files.resolved(folder.path) {
      throw .usage("--out: is the model's own folder; choose another")
    }
    let stored: WeightKind = model.head.kind
    let kind = try arguments.optionalText("precision").flatMap { Precision(rawValue: $0)?.kind } ?? stored
    try model.export(to: out, source: folder, kind: kind)
    try Output.line("\(out): \(model.configuration.parameterCount) parameters as \(kind.rawValue)")
  }
}
