import Arguments
import Benchmarking
import PluginHost
import Support
import Training

/// Options that look at a run, or take up a plugin that was built anew, and change nothing else of it.
enum WatchingOptions {
  static let options = [
    OptionSpec.flag("capture", "keep every step's rollout in OUT/captures, as `plugin compare` and `plugin eval` read it", group: .output),
    .value(
      "shadow", .list, "plugins that watch: what each would make of a step is logged as shadow/NAME/..., and nothing of it is learned",
      group: .output, placeholder: "A,B[:key=value]..."),
    .flag("reload-plugin", "take up the plugin's file at the next step where it was built anew", group: .training),
  ]

  /// - Parameter needs: of the run's own algorithm.
  static func apply(
    _ arguments: ParsedArguments, _ choice: PluginChoice, needs: PluginNeeds, _ trained: RunModel, to run: inout RLRun
  ) throws(Failure) {
    if try arguments.flag("capture") {
      run.capture = RolloutCapture(
        run: run.placement.folder.path,
        [
          "algorithm": choice.id, "algorithm_sha256": choice.card.sha256, "parameters": choice.parameters.json.text(), "model": trained.baseName,
          "temperature": "\(run.settings.temperature)",
        ])
    }
    run.shadows = try shadows(arguments, needs: needs)
    if try arguments.flag("reload-plugin") {
      let reloading = PluginReloading(
        choice, named: try arguments.text("algo"), settings: try PluginOptions.settings(arguments), isTrusted: try arguments.flag("trust-plugin"))
      run.reload = { () throws(Failure) in try reloading.changed() }
    }
  }

  /// What `--shadow` names; nil where it names nothing.
  private static func shadows(_ arguments: ParsedArguments, needs: PluginNeeds) throws(Failure) -> ShadowAlgorithms? {
    var members: [(label: String, algorithm: any LossAlgorithm)] = []
    for text in try arguments.list("shadow") {
      let named = try AlgorithmChoice(text, of: "--shadow")
      let shadow = try PluginOptions.choice(named.plugin, settings: named.settings, arguments).instance()
      let missing = shadow.needs.intersection([.reference, .critic]).subtracting(needs)
      guard missing.isEmpty else {
        throw .usage(
          "--shadow \(text): needs \(missing.names.joined(separator: ", ")), which the run's own algorithm does not, so that it is not there; choose settings without it")
      }
      let label = ([shadow.identity.id] + named.settings).joined(separator: ":")
      if members.contains(where: { $0.label == label }) { throw .usage("--shadow \(text): is named twice") }
      members.append((label, shadow))
    }
    return members.isEmpty ? nil : ShadowAlgorithms(members)
  }
}
