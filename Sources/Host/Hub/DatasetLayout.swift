import Support

/// How the files of a data set are its configurations and splits: as the head of its README.md says, or as the names of the files do.
package struct DatasetLayout: Sendable {
  package struct Configuration: Sendable, Equatable {
    package let name: String
    package var isDefault = false
    /// The patterns of each split, in their order.
    package var splits: [Split] = []
  }

  package struct Split: Sendable, Equatable {
    package let name: String
    package var patterns: [String]
  }

  package let configurations: [Configuration]

  /// - Parameters:
  ///   - readme: the text of README.md, if there is one.
  ///   - files: the paths of all files.
  package init(readme: String?, files: [String]) {
    let declared = readme.map(Self.declared) ?? []
    configurations = declared.isEmpty ? Self.named(files.filter(Self.isData)) : declared
  }

  /// What holds records that are read here.
  package static func isData(_ path: String) -> Bool {
    var name = Files.name(of: path)[...]
    for ending in [".gz", ".zst"] where name.hasSuffix(ending) { name = name.dropLast(ending.count) }
    return [".parquet", ".jsonl", ".json", ".ndjson"].contains { name.hasSuffix($0) } && !["dataset_infos.json", "config.json"].contains(String(name))
  }

  // MARK: What README.md declares

  /// The list `configs` of the YAML in front of the text, as the hub and the library `datasets` write it.
  private static func declared(_ readme: String) -> [Configuration] {
    let lines = readme.split(separator: "\n", omittingEmptySubsequences: false).map { $0.last == "\r" ? $0.dropLast() : $0 }
    guard lines.first == "---", let end = lines.dropFirst().firstIndex(of: "---"), let start = lines[..<end].firstIndex(of: "configs:") else { return [] }
    var configurations: [Configuration] = []
    var isListOfFiles = false
    for line in lines[(start + 1)..<end] {
      var text = line.drop { $0 == " " }
      if text.count == line.count, !text.hasPrefix("-") { break }
      var isItem = false
      while text.hasPrefix("- ") || text == "-" {
        isItem = true
        text = text.dropFirst().drop { $0 == " " }
      }
      let colon = text.firstIndex(of: ":")
      let key = colon.map { String(text[..<$0]) } ?? ""
      let value = unquoted(colon.map { text[text.index(after: $0)...] } ?? text)
      switch key {
      case "config_name":
        configurations.append(Configuration(name: value))
        isListOfFiles = false
      case _ where configurations.isEmpty: continue
      case "default": configurations[configurations.count - 1].isDefault = value == "true"
      case "data_files":
        isListOfFiles = true
        if !value.isEmpty { configurations[configurations.count - 1].add(value, to: "train") }
      case "split": configurations[configurations.count - 1].splits.append(Split(name: value, patterns: []))
      case "path": if !value.isEmpty { configurations[configurations.count - 1].add(value, to: nil) }
      case "" where isItem && isListOfFiles: configurations[configurations.count - 1].add(value, to: nil)
      default: isListOfFiles = false
      }
    }
    return configurations.filter { !$0.splits.isEmpty }
  }

  private static func unquoted(_ text: Substring) -> String {
    var text = text.drop { $0 == " " }
    while text.last == " " { text = text.dropLast() }
    if text.count >= 2, let quote = text.first, quote == "\"" || quote == "'", text.last == quote { text = text.dropFirst().dropLast() }
    return String(text)
  }

  // MARK: What names say

  private static let words: [(split: String, names: Set<String>)] = [
    ("train", ["train", "training"]), ("test", ["test", "testing", "eval", "evaluation"]), ("validation", ["validation", "valid", "val", "dev"]),
  ]

  /// A folder is a configuration, unless it is called `data`; a word in the name is a split; what has none is `train`.
  private static func named(_ files: [String]) -> [Configuration] {
    var configurations: [Configuration] = []
    for file in files {
      let parts = file.split(separator: "/").map(String.init)
      let folder = parts.count > 1 && Self.split(of: parts[0]) == nil && parts[0] != "data" ? parts[0] : "default"
      let split = Self.split(of: parts[parts.count - 1]) ?? parts.dropLast().reversed().lazy.compactMap { Self.split(of: $0) }.first ?? "train"
      let place = configurations.firstIndex { $0.name == folder } ?? configurations.count
      if place == configurations.count { configurations.append(Configuration(name: folder)) }
      configurations[place].add(escaped(file), to: split)
    }
    return configurations
  }

  private static func split(of name: String) -> String? {
    let found = Set(name.lowercased().split { !($0.isLetter) }.map(String.init))
    return words.first { !$0.names.isDisjoint(with: found) }?.split
  }

  private static func escaped(_ path: String) -> String {
    String(path.flatMap { "*?[]\\".contains($0) ? ["\\", $0] : [$0] })
  }

  // MARK: Choosing

  /// The split that a name asks for, of the configuration that it asks for; the first of `preferred` that there is where it asks for none.
  package func split(_ name: HubName, preferring preferred: [String]) throws(Failure) -> (configuration: Configuration, split: Split) {
    let (configuration, wanted) = try choose(name)
    if let split = wanted { return (configuration, split) }
    for word in preferred { if let split = configuration.splits.first(where: { $0.name == word }) { return (configuration, split) } }
    let splits = configuration.splits.map(\.name)
    throw .missingInput(
      "\(name.pinned): has no split \(preferred.joined(separator: " or "))\(configurations.count > 1 ? " in \(configuration.name)" : ""), but \(splits.joined(separator: ", ")); say which as \(name.pinned):\(name.part.map { $0 + "/" } ?? "")\(splits.first ?? "SPLIT")")
  }

  /// The configuration that a name asks for, with the split where it asks for one.
  package func choose(_ name: HubName) throws(Failure) -> (Configuration, Split?) {
    guard let part = name.part else { return (try standard(name), nil) }
    let words = part.split(separator: "/", maxSplits: 1).map(String.init)
    if words.count == 2, let configuration = configurations.first(where: { $0.name == words[0] }), let split = configuration[words[1]] {
      return (configuration, split)
    }
    if words.count == 1 {
      if let standard = try? standard(name), let split = standard[part] { return (standard, split) }
      if let configuration = configurations.first(where: { $0.name == part }) { return (configuration, nil) }
      // A split that one configuration alone has needs no more words.
      let having = configurations.filter { $0[part] != nil }
      if having.count == 1 { return (having[0], having[0][part]) }
    }
    let known = configurations.flatMap { configuration in configuration.splits.map { "\(configuration.name)/\($0.name)" } }
    let hint = NearestName.find(part, among: known + configurations.flatMap { [$0.name] + $0.splits.map(\.name) }).map { "; did you mean \(name.pinned):\($0)?" } ?? ""
    throw .missingInput("\(name.pinned): has no split or configuration \"\(part)\"; it has \(known.joined(separator: ", "))\(hint)")
  }

  private func standard(_ name: HubName) throws(Failure) -> Configuration {
    if configurations.count == 1 { return configurations[0] }
    if let marked = configurations.first(where: \.isDefault) { return marked }
    for word in ["default", "main"] { if let named = configurations.first(where: { $0.name == word }) { return named } }
    guard let first = configurations.first else {
      throw .missingInput("\(name.pinned): holds no file of records (Parquet, JSON lines) that is read here")
    }
    throw .missingInput("\(name.pinned): has several configurations (\(configurations.map(\.name).joined(separator: ", "))); say which as \(name.pinned):\(first.name)")
  }
}

extension DatasetLayout.Configuration {
  fileprivate subscript(split: String) -> DatasetLayout.Split? { splits.first { $0.name == split } }

  /// Adds a pattern to a split, or to the one that was named last.
  fileprivate mutating func add(_ pattern: String, to split: String?) {
    let place = split.map { name in splits.firstIndex { $0.name == name } ?? splits.count } ?? max(0, splits.count - 1)
    if place >= splits.count { splits.append(DatasetLayout.Split(name: split ?? "train", patterns: [])) }
    splits[place].patterns.append(pattern)
  }
}

extension DatasetLayout.Split {
  /// Those of the files that are this split's, in the order of their names.
  package func files(of all: [String]) -> [String] {
    all.filter { file in patterns.contains { Self.matches(file, $0) } }.sorted()
  }

  /// `*` stays within a folder, `**` does not.
  private static func matches(_ file: String, _ pattern: String) -> Bool {
    let pattern = pattern.hasPrefix("./") ? String(pattern.dropFirst(2)) : pattern
    return unsafe fnmatch(pattern, file, pattern.contains("**") ? 0 : FNM_PATHNAME) == 0
  }

  /// Of files that are numbered `00000-of-00010`, a name that is not there; nil where all are.
  package static func missing(in files: [String]) -> String? {
    let names = Set(files)
    for file in files {
      guard let mark = file.ranges(of: "-of-").last else { continue }
      let digits = file[mark.upperBound...].prefix { $0.isNumber }
      let before = file[..<mark.lowerBound]
      let number = before.reversed().prefix { $0.isNumber }.count
      guard let total = Int(digits), total > 0, total < 1 << 20, number == digits.count else { continue }
      for index in 0..<total {
        let text = "\(index)"
        let name = before.dropLast(number) + String(repeating: "0", count: max(0, number - text.count)) + text + file[mark.lowerBound...]
        if !names.contains(String(name)) { return String(name) }
      }
    }
    return nil
  }
}
