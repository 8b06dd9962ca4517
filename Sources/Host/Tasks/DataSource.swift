import Hub
import Support

/// Where examples come from: a file, or the files of a split of a data set in the hub's cache.
package struct DataSource: Sendable {
  /// What the examples are for decides which split is meant where none is named.
  package enum Use: Sendable {
    case training, evaluation
  }

  /// What messages call it: what the user wrote.
  package let name: String
  package let files: [String]

  package init(path: String) { self.init(name: path, files: [path]) }

  private init(name: String, files: [String]) {
    self.name = name
    self.files = files
  }

  /// - Parameter text: a path; or, where there is nothing of that name, a data set of the hub with what ``HubName`` says.
  package init(_ text: String, for use: Use, cache: HubCache = .user) throws(Failure) {
    guard !Files.exists(text), let name = HubName(text), !DatasetLayout.isData(name.name), !DatasetLayout.isData(text) else {
      self.init(path: text)
      return
    }
    let snapshot = try cache.snapshot(.dataset, name)
    let present = try HubCache.files(in: snapshot)
    let readme = snapshot + "/README.md"
    let layout = DatasetLayout(readme: Files.exists(readme) ? try Files.readText(readme) : nil, files: present)
    let (configuration, split) = try layout.split(name, preferring: use == .training ? ["train"] : ["test", "validation", "train"])
    let files = split.files(of: present)
    let command = "nano-reasoner download \(name.pinned):\(configuration.name)/\(split.name)"
    if files.isEmpty { throw .missingInput("\(text): the hub's cache \(snapshot) holds no file of the split \(split.name); fetch it with: \(command)") }
    if let missing = DatasetLayout.Split.missing(in: files) {
      throw .missingInput("\(text): the hub's cache \(snapshot) lacks \(missing) of the split \(split.name); fetch it with: \(command)")
    }
    self.init(name: text, files: files.map { "\(snapshot)/\($0)" })
  }

  /// Whether there is a file that can be opened.
  package func check() throws(Failure) { _ = try ByteFile(files[0]) }
}
