import PluginHost
import Support

/// An algorithm of a benchmark: a plugin, its settings, and what it is called there.
package struct BenchAlgorithm: Sendable {
  /// Its id with the settings given, `dapo:clip_high=0.3`; `-2`, `-3` … behind it where it stands in the list again.
  package let label: String
  package let plugin: PluginChoice
  /// Of its instances.
  package let needs: PluginNeeds
  /// What its runs have of their own.
  package let overrides: RunOverrides
  /// The settings given, `key=value`.
  package let settings: [String]

  /// The label as a folder's name.
  package var folder: String {
    String(label.unicodeScalars.map { scalar in
      let isPlain = scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar))
      return isPlain || "._=-".unicodeScalars.contains(scalar) ? Character(scalar) : scalar == ":" ? "," : "_"
    })
  }

  private init(label: String, _ plugin: PluginChoice, _ needs: PluginNeeds, _ overrides: RunOverrides, settings: [String]) {
    (self.label, self.plugin, self.needs, self.overrides, self.settings) = (label, plugin, needs, overrides, settings)
  }

  /// The plugins of a list; each setting is checked before anything runs.
  package static func open(
    _ choices: [AlgorithmChoice], find: (AlgorithmChoice) throws(Failure) -> (PluginChoice, RunOverrides)
  ) throws(Failure) -> [BenchAlgorithm] {
    var algorithms: [BenchAlgorithm] = []
    for choice in choices {
      let (plugin, overrides) = try find(choice)
      // Settings that only the instance can refuse are refused now, not in the middle of the plan.
      let needs = try plugin.instance().needs
      for (option, need) in [(RunOverrides.Option.valueLearningRate, PluginNeeds.critic), (.refillRounds, .refill)]
      where overrides[option] != nil && !needs.contains(need) {
        throw .usage("--algos \(plugin.id): \(option.rawValue) does nothing here: the plugin asks for no \(need.names.joined()); leave it out")
      }
      let name = ([plugin.id] + choice.settings).joined(separator: ":")
      var label = name
      var number = 2
      while algorithms.contains(where: { $0.label == label }) {
        label = "\(name)-\(number)"
        number += 1
      }
      algorithms.append(BenchAlgorithm(label: label, plugin, needs, overrides, settings: choice.settings))
    }
    return algorithms
  }
}
