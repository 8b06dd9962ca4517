import Arguments
import PluginHost
import Support

/// The options of every command that trains with a plugin, and the plugin they come to.
enum PluginOptions {
  static let parameters = OptionSpec.repeated("set", .assignment, "a parameter of the plugin", group: .training)
  static let trust = OptionSpec.flag("trust-plugin", "do not run the quick form of `plugin check` first", group: .training)
  static let isolation = [
    OptionSpec.flag("isolate-plugin", "run the plugin in a process of its own; as it is for plugins that did not come with the program", group: .training),
    .flag("no-isolate-plugin", "run a plugin that did not come with the program in this process too", group: .training),
    .value(
      "plugin-timeout", .number(0.1...86400), default: .number(PluginIsolation().seconds), "seconds that a call of an isolated plugin may take",
      group: .training),
    .value(
      "plugin-memory", .integer(16...1 << 24), default: .integer(PluginIsolation().mebibytes), "MiB that the process of an isolated plugin may take",
      group: .training),
  ]
  static let isolationRules: [OptionRule] = [
    .atMostOne(["isolate-plugin", "no-isolate-plugin"]),
    .inVain(["plugin-timeout", "plugin-memory"], .given("no-isolate-plugin"), because: "what runs in this process cannot be held"),
  ]

  enum OnFailure: String, CaseIterable { case stop, skip }
  static let onFailure = OptionSpec.value(
    "on-plugin-failure", .choice(OnFailure.self), default: .text(OnFailure.stop.rawValue),
    "where a plugin fails in a step: stop with a checkpoint, or skip that update", group: .training)
  static let failures = [
    onFailure,
    .value("plugin-failures", .integer(1...1_000_000), default: .integer(10), "updates that may be skipped, at most", group: .training),
  ]
  static let rules = isolationRules + [
    .inVain(["plugin-failures"], .value(onFailure.name, .text(OnFailure.stop.rawValue)), because: "none is skipped; add --on-plugin-failure skip")
  ]

  /// How many updates of a run may be skipped because the plugin fails.
  static func skippedFailures(_ arguments: ParsedArguments) throws(Failure) -> Int {
    let onFailure: OnFailure = try arguments.choice(Self.onFailure.name)
    return onFailure == .skip ? try arguments.integer("plugin-failures") : 0
  }

  /// What `--set` says, as `key=value`.
  static func settings(_ arguments: ParsedArguments) throws(Failure) -> [String] {
    try arguments.assignments("set").map { "\($0.key)=\($0.value)" }
  }

  /// A plugin that was found, whose settings fit and that passes the quick form of `plugin check`, unless the user trusts it. All that
  /// is done in processes of their own.
  static func choice(_ nameOrPath: String, settings: [String], _ arguments: ParsedArguments) throws(Failure) -> PluginChoice {
    try choice(try PluginRegistry.find(nameOrPath), settings: settings, arguments)
  }

  static func choice(_ card: PluginCard, settings: [String], _ arguments: ParsedArguments) throws(Failure) -> PluginChoice {
    let parameters = try PluginParameters(settings, for: card.descriptor)
    if !(try arguments.flag("trust-plugin")) { try PluginChecker.requirePassing(card, parameters: settings) }
    return PluginChoice(card, parameters, isolation: try isolation(of: card, arguments))
  }

  /// nil where the plugin runs in this process: it came with the program, or the user says so.
  private static func isolation(of card: PluginCard, _ arguments: ParsedArguments) throws(Failure) -> PluginIsolation? {
    if try arguments.flag("no-isolate-plugin") { return nil }
    let asked = try arguments.flag("isolate-plugin") ? PluginIsolation() : nil
    guard var isolation = asked ?? PluginIsolation.usual(for: card) else { return nil }
    isolation.seconds = try arguments.number("plugin-timeout")
    isolation.mebibytes = try arguments.integer("plugin-memory")
    return isolation
  }
}
