import Support

/// An algorithm with its settings, as `--algos` names it: `NAME|PATH[:key=value]…`.
package struct AlgorithmChoice: Sendable, Equatable {
  /// The plugin's name or path.
  package let plugin: String
  /// `key=value`, in the order given.
  package let settings: [String]

  /// Reads one entry of `--algos`. Commas part algorithms and colons part the settings of one, so neither can stand in
  /// a name, a path or a value.
  package init(_ text: String) throws(Failure) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    let example = "as in --algos grpo,dapo:clip_high=0.3:clip_low=0.1"
    if parts[0].isEmpty { throw .usage("--algos \(text): expected NAME[:key=value]…, \(example)") }
    if parts[0].contains("="), !parts[0].contains("/") {
      throw .usage(
        "--algos \(text): \"\(parts[0])\" is a setting without an algorithm: commas part algorithms, colons the settings of one, \(example)"
      )
    }
    for setting in parts.dropFirst() {
      guard let equals = setting.firstIndex(of: "="), equals != setting.startIndex else {
        throw .usage("--algos \(text): \"\(setting)\": expected key=value, \(example)")
      }
    }
    plugin = parts[0]
    settings = Array(parts.dropFirst())
  }
}
