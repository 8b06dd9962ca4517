import Support

/// The cache that all programs of the hub share: `models--owner--name/` with `refs/`, `blobs/` and `snapshots/COMMIT/`.
package struct HubCache: Sendable {
  package let path: String

  package init(_ path: String) { self.path = path }

  /// `$HF_HUB_CACHE`, or `hub/` in the home of the hub's programs.
  package static var user: HubCache {
    HubCache(Self.expanded(environmentVariable("HF_HUB_CACHE") ?? environmentVariable("HUGGINGFACE_HUB_CACHE") ?? home + "/hub"))
  }

  /// `$HF_HOME`, or `huggingface/` in `$XDG_CACHE_HOME` or `~/.cache`.
  package static var home: String {
    expanded(environmentVariable("HF_HOME") ?? (environmentVariable("XDG_CACHE_HOME") ?? "~/.cache") + "/huggingface")
  }

  private static func expanded(_ path: String) -> String {
    path == "~" || path.hasPrefix("~/") ? (environmentVariable("HOME") ?? "") + path.dropFirst() : path
  }

  package func folder(_ kind: HubName.Kind, _ name: HubName) -> String { "\(path)/\(kind.plural)--\(name.owner)--\(name.name)" }

  /// The folder of a snapshot; a failure says what there is instead and which command fetches it.
  package func snapshot(_ kind: HubName.Kind, _ name: HubName) throws(Failure) -> String {
    let folder = folder(kind, name)
    let command = "nano-reasoner download \(name.pinned)"
    guard Files.isDirectory(folder + "/snapshots") else {
      throw .missingInput("\(name.pinned): no such \(kind == .model ? "folder" : "file"), and the hub's cache \(path) holds no \(kind.words) of that name; fetch it with: \(command)")
    }
    let commits = try Files.list(folder + "/snapshots")
    func snapshot(_ commit: String) -> String? {
      let path = "\(folder)/snapshots/\(commit)"
      return !commit.isEmpty && Files.isDirectory(path) ? path : nil
    }
    let reference = "\(folder)/refs/\(name.revision ?? "main")"
    if Files.exists(reference), !Files.isDirectory(reference) {
      let commit = try Files.readText(reference).split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
      if let path = snapshot(commit) { return path }
    }
    if let revision = name.revision {
      if let path = snapshot(revision) { return path }
      // A commit as people write it: its first digits.
      let matching = commits.filter { revision.utf8.count >= 7 && $0.hasPrefix(revision) }
      if matching.count == 1, let path = snapshot(matching[0]) { return path }
      throw .missingInput("\(name.pinned): the hub's cache \(path) holds other revisions of it (\(commits.map { String($0.prefix(12)) }.joined(separator: ", "))); fetch this one with: \(command)")
    }
    guard let only = commits.last, let path = snapshot(only) else {
      throw .missingInput("\(folder): holds no snapshot; fetch it with: \(command)")
    }
    return path
  }

  /// The files of a snapshot, as paths in it, sorted.
  package static func files(in snapshot: String, below folder: String = "") throws(Failure) -> [String] {
    var files: [String] = []
    for name in try Files.list(folder.isEmpty ? snapshot : "\(snapshot)/\(folder)") {
      let path = folder.isEmpty ? name : "\(folder)/\(name)"
      if Files.isDirectory("\(snapshot)/\(path)") { files += try self.files(in: snapshot, below: path) } else { files.append(path) }
    }
    return files.sorted()
  }
}
