import Arguments
import PluginHost
import Support

/// The options of every command that trains with a plugin, and the plugin they come to.
enum PluginOptions {
  static let parameters = OptionSpec.repeated("set", .assignment, "a parameter of the plugin", group: .training)
  static let trust = OptionSpec.flag("trust-plugin", "do not run the quick form of `plugin check` first", group: .training)

  /// What `--set` says, as `key=value`.
  static func settings(_ arguments: ParsedArguments) throws(Failure) -> [String] {
    try arguments.assignments("set").map { "\($0.key)=\($0.value)" }
  }

  /// A plugin that was found, whose settings fit and that passes the quick form of `plugin check`, unless the user trusts it. All that
  /// is done in processes of their own; it is opened here after that.
  static func open(_ nameOrPath: String, settings: [String], _ arguments: ParsedArguments) throws(Failure) -> PluginLibrary {
    let card = try PluginRegistry.find(nameOrPath)
    _ = try PluginParameters(settings, for: card.descriptor)
    if !(try arguments.flag("trust-plugin")) { try PluginChecker.requirePassing(card, parameters: settings) }
    return try PluginLibrary(card)
  }
}
