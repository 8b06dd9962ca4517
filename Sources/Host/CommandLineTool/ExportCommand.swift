import Arguments
import Compute
import Support
import Tokenization
import Transformer

/// `export`: an adapter merged into its model, as a Hugging Face folder.
enum ExportCommand {
  static let spec = CommandSpec(
    name: "export", summary: "merge an adapter into its model, or quantise it, as a Hugging Face folder",
    discussion:
      "--out is a new or empty folder; it appears whole or not at all. It says how this program prompts (the chat template) and which tokens end a completion; other generation settings are those of the model's folder. With --quantize nf4 linear layers are written as bitsandbytes does, which transformers loads; without, a quantised folder is written in full.",
    options: [
      ModelOptions.model, ModelOptions.promptForm,
      .value("adapter", .path, "the PEFT LoRA adapter folder to merge", group: .model, placeholder: "DIR"),
      .required("out", .path, "the folder to write", group: .output, placeholder: "DIR"),
    ] + ModelOptions.compute)

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    let out = try arguments.text("out")
    try ModelExport.requireFree(out)
    let adapter = try ModelOptions.adapter(arguments)
    let quantization: Quantization = try arguments.choice("quantize")
    // Weights without a tokenizer can be merged too.
    let source = try ModelFolder(try arguments.text("model"))
    if adapter == nil, quantization == .none, source.quantization == nil {
      throw .usage("export: nothing to do: give --adapter to merge one, or --quantize nf4")
    }
    let tokenizer = Files.exists(source.path + "/tokenizer.json") ? try Tokenizer(folder: source.path) : nil
    let form = try ModelOptions.promptForm(arguments, folder: source.path, tokenizer)
    let folder = try ModelOptions.ending(source, tokenizer, form)
    let loaded = try ModelOptions.load(arguments, folder, adapter)
    let model = loaded.policy.model
    let format = model.architecture.headFormat
    var export = ModelExport(source: folder, adapter: loaded.adapter, format: format, chatTemplate: form.jinja)
    export.quantises = quantization == .nf4
    try model.export(export, to: out)
    try Output.line("\(out): \(model.architecture.parameterCount) parameters as \(export.quantises ? model.architecture.formatName : format.name)")
  }
}
