import PluginHost
import Support

/// An algorithm of a benchmark: an opened plugin, its settings, and what it is called there.
package struct BenchAlgorithm: Sendable {
  /// Its id with the settings given, `dapo:clip_high=0.3`; `-2`, `-3` … behind it where it stands in the list again.
  package let label: String
  package let library: PluginLibrary
  package let parameters: PluginParameters
  /// The settings given, `key=value`.
  package let settings: [String]

  /// The label as a folder's name.
  package var folder: String {
    String(label.unicodeScalars.map { scalar in
      let isPlain = scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar))
      return isPlain || "._=-".unicodeScalars.contains(scalar) ? Character(scalar) : scalar == ":" ? "," : "_"
    })
  }

  private init(label: String, library: PluginLibrary, parameters: PluginParameters, settings: [String]) {
    self.label = label
    self.library = library
    self.parameters = parameters
    self.settings = settings
  }

  /// Opens the plugins of a list; each setting is checked before anything runs.
  package static func open(
    _ choices: [AlgorithmChoice], find: (AlgorithmChoice) throws(Failure) -> PluginLibrary
  ) throws(Failure) -> [BenchAlgorithm] {
    var algorithms: [BenchAlgorithm] = []
    for choice in choices {
      let library = try find(choice)
      let parameters = try PluginParameters(choice.settings, for: library.descriptor)
      // Settings that only the instance can refuse are refused now, not in the middle of the plan.
      _ = try PluginInstance(library, parameters)
      let name = ([library.id] + choice.settings).joined(separator: ":")
      var label = name
      var number = 2
      while algorithms.contains(where: { $0.label == label }) {
        label = "\(name)-\(number)"
        number += 1
      }
      algorithms.append(BenchAlgorithm(label: label, library: library, parameters: parameters, settings: choice.settings))
    }
    return algorithms
  }
}
