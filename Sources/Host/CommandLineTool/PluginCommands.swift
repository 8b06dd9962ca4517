import Arguments
import PluginHost
import Support

/// `plugin list`, `plugin show`, `plugin eval`.
enum PluginCommands {
  static let list = CommandSpec(
    name: "list", summary: "the plugins that are found, and where they are looked for", options: [ModelOptions.json])

  static func runList(_ arguments: ParsedArguments) throws(Failure) {
    let registry = PluginRegistry()
    if try arguments.flag("json") { return try Output.json(registry.json) }
    try Output.write(registry.text)
  }

  private static let plugin = OptionSpec.positional("name", .text, "the plugin's name, or the path of its library", placeholder: "NAME|PATH")

  static let show = CommandSpec(
    name: "show", summary: "what a plugin says about itself: parameters, needs, metrics, semantics",
    options: [plugin, ModelOptions.json])

  static func runShow(_ arguments: ParsedArguments) throws(Failure) {
    let description = PluginDescription(try PluginRegistry.find(try arguments.text("name")))
    if try arguments.flag("json") { return try Output.json(description.json) }
    try Output.write(description.text)
  }

  static let eval = CommandSpec(
    name: "eval", summary: "run a plugin on arrays from a file: advantages, loss and derivatives",
    discussion:
      "Reads group_offsets I64, token_offsets I64, rewards F32, sequence_flags U8, current and old F32, and where the plugin needs them reference, sampler, entropy, values, old_values. Writes keep U8, advantages and returns F32, loss F64, d_current, d_values and d_entropy F32, all as one optimiser update.",
    options: [
      plugin,
      .required("batch", .path, "the arrays", group: .data, placeholder: "F.safetensors"),
      PluginOptions.parameters,
      .required("out", .path, "the file to write", group: .output, placeholder: "F.safetensors"), ModelOptions.json,
    ])

  static func runEval(_ arguments: ParsedArguments) throws(Failure) {
    try Output.checkSeparate(arguments)
    let card = try PluginRegistry.find(try arguments.text("name"))
    let instance = try PluginInstance(PluginLibrary(card), settings: try PluginOptions.settings(arguments))
    let batch = try SafetensorsFile(try arguments.text("batch"))
    let result = try PluginEvaluation(batch, instance)
    let out = try arguments.text("out")
    try result.write(to: out)
    if try arguments.flag("json") { return try Output.json(result.json) }
    try Output.line("\(card.id): loss \(result.loss), \(result.keep.count { $0 }) of \(result.keep.count) groups kept", beside: out)
    for (name, value) in result.metrics { try Output.line("  \(name) \(value)", beside: out) }
  }
}
