import Arguments
import PluginHost
import Support

/// `plugin check`: proves a plugin against the contract before a training run rests on it.
enum PluginCheckCommand {
  static let spec = CommandSpec(
    name: "check", summary: "prove a plugin: memory, derivatives, micro-batches, repeatability, state",
    discussion:
      "Runs each test in a process of its own, with guards around every array and a time limit. Without --set, choices, switches and weights that are off are tried one after another besides the presets. Ends with 0 where all tests pass and with 65 where one fails.",
    examples: ["nano-reasoner plugin check ./libnr-mine.so", "nano-reasoner plugin check grpo --only split --set variant=paper"],
    options: [
      .positional("name", .text, "the plugin's name, or the path of its library", placeholder: "NAME|PATH"),
      PluginOptions.parameters,
      .flag("quick", "the form that runs before training: fewer points, under a second"),
      .repeated("only", .choice(CheckTest.self), "run this test and no other", placeholder: "TEST"),
      .value("time-limit", .number(above: 0, through: 86400), default: 60, "seconds that one test may take"),
      ModelOptions.seed, ModelOptions.json,
    ])

  static func run(_ arguments: ParsedArguments) throws(Failure) {
    var settings = CheckSettings(path: try PluginRegistry.path(of: try arguments.text("name")))
    settings.parameters = try PluginOptions.settings(arguments)
    settings.seed = UInt64(try arguments.integer("seed"))
    settings.isQuick = try arguments.flag("quick")
    settings.timeLimit = try arguments.number("time-limit")
    let only = try arguments.list("only")
    if !only.isEmpty { settings.tests = only.compactMap(CheckTest.init) }
    let report = try PluginChecker(settings).run()
    if try arguments.flag("json") { try Output.json(report.json) } else { try Output.write(report.text) }
    if !report.passed {
      let names = report.failures.map(\.test.rawValue).joined(separator: ", ")
      throw .badData("\(settings.shownPath) fails \(report.failures.count) of \(report.outcomes.count) checks: \(names)")
    }
  }
}
