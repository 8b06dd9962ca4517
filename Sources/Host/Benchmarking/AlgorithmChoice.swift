import Support

/// An algorithm with its settings, as `--algos` names it: `NAME|PATH[:key=value]…`, with commas or colons between settings.
package struct AlgorithmChoice: Sendable, Equatable {
  /// The plugin's name or path.
  package let plugin: String
  /// `key=value`, in the order given.
  package let settings: [String]

  /// Reads the entries of `--algos`. One that is a setting belongs to the algorithm before it.
  package static func list(_ entries: [String]) throws(Failure) -> [AlgorithmChoice] {
    var joined: [String] = []
    for entry in entries {
      if !joined.isEmpty, isSetting(entry) { joined[joined.count - 1] += ":" + entry } else { joined.append(entry) }
    }
    return try joined.map { (text) throws(Failure) in try AlgorithmChoice(text) }
  }

  private static func isSetting(_ entry: String) -> Bool {
    let name = entry.prefix { $0 != ":" }
    return name.contains("=") && !name.contains("/")
  }

  /// Reads one entry of `--algos`. Commas part algorithms and colons part the settings of one, so neither can stand in
  /// a name, a path or a value.
  ///
  /// - Parameter option: what errors call its place.
  package init(_ text: String, of option: String = "--algos") throws(Failure) {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    let example = "as in \(option) grpo,dapo:clip_high=0.3:clip_low=0.1"
    if parts[0].isEmpty { throw .usage("\(option) \(text): expected NAME[:key=value]…, \(example)") }
    if Self.isSetting(text) {
      throw .usage(
        "\(option) \(text): \"\(parts[0])\" is a setting without an algorithm: a name stands before the settings of one, \(example)"
      )
    }
    for setting in parts.dropFirst() {
      guard let equals = setting.firstIndex(of: "="), equals != setting.startIndex else {
        throw .usage("\(option) \(text): \"\(setting)\": expected key=value, \(example)")
      }
    }
    plugin = parts[0]
    settings = Array(parts.dropFirst())
  }
}
