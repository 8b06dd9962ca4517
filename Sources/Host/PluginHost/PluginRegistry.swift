import Foundations

/// The plugins of a search path, by id.
package struct PluginRegistry: Sendable {
  /// A file that looks like a plugin and cannot be used.
  package struct Broken: Sendable {
    package let path: String
    package let reason: Failure
  }

  package let searchPath: [String]
  /// In the order of the search path; of several files with the same bytes the first.
  package let plugins: [PluginLibrary]
  package let broken: [Broken]

  /// Opens every plugin in the folders of `searchPath`; folders that do not exist are skipped.
  package init(searchPath: [String] = PluginRegistry.standardSearchPath()) {
    self.searchPath = searchPath
    var plugins: [PluginLibrary] = []
    var broken: [Broken] = []
    var seen: Set<String> = []
    for folder in searchPath where Files.isDirectory(folder) {
      do throws(Failure) {
        for name in try Files.list(folder) where Self.isLibrary(name) {
          guard let path = Files.resolved("\(folder)/\(name)"), seen.insert(path).inserted else { continue }
          if !name.hasPrefix("libnr-"), !Self.mentionsEntry(path) { continue }
          do throws(Failure) {
            let plugin = try PluginLibrary(path)
            if !plugins.contains(where: { $0.sha256 == plugin.sha256 }) { plugins.append(plugin) }
          } catch {
            broken.append(Broken(path: path, reason: error))
          }
        }
      } catch {
        broken.append(Broken(path: folder, reason: error))
      }
    }
    self.plugins = plugins
    self.broken = broken
  }

  /// `$NR_PLUGIN_PATH` (folders separated by colons), `./plugins`, the program's folder, `plugins` and
  /// `../lib/nano-reasoner/plugins` beside it, and the user's own folder.
  package static func standardSearchPath() -> [String] {
    var folders = (environmentVariable("NR_PLUGIN_PATH") ?? "").split(separator: ":").map(String.init)
    folders.append("plugins")
    if let program = Files.program {
      let folder = Files.directory(of: program)
      folders += [folder, folder + "/plugins", folder + "/../lib/nano-reasoner/plugins"]
    }
    if let data = environmentVariable("XDG_DATA_HOME") {
      folders.append(data + "/nano-reasoner/plugins")
    } else if let home = environmentVariable("HOME") {
      folders.append(home + "/.local/share/nano-reasoner/plugins")
    }
    return folders
  }

  /// Finds by id, or opens a file where the text is a path. Where no id is exactly that, case and separators do not
  /// count: `DrGRPO` and `dr_grpo` are `dr-grpo`.
  package func find(_ nameOrPath: String) throws(Failure) -> PluginLibrary {
    if Self.isPath(nameOrPath) { return try PluginLibrary(nameOrPath) }
    var found = plugins.filter { $0.id == nameOrPath }
    if found.isEmpty {
      let alike = plugins.filter { Self.folded($0.id) == Self.folded(nameOrPath) }
      if Set(alike.map(\.id)).count == 1 { found = alike }
    }
    if let first = found.first {
      guard found.count > 1 else { return first }
      throw .usage(
        "plugin \(nameOrPath): \(found.count) different files have this id: \(found.map(\.path).joined(separator: " and ")); remove one, or give the path of the one you mean"
      )
    }
    if let file = broken.first(where: { Self.libraryNames(nameOrPath).contains(Files.name(of: $0.path)) }) {
      throw file.reason
    }
    let ids = Set(plugins.map(\.id)).sorted()
    let hint = nearestName(to: nameOrPath, among: ids).map { "; did you mean \($0)?" } ?? ""
    let known = ids.isEmpty ? "no plugin was found" : "found: \(ids.joined(separator: ", "))"
    throw .missingInput(
      "no plugin named \(nameOrPath)\(hint) (\(known); looked in \(searchPath.joined(separator: ", ")))")
  }

  /// Finds one plugin, opening no more than is needed for a path.
  package static func find(_ nameOrPath: String) throws(Failure) -> PluginLibrary {
    isPath(nameOrPath) ? try PluginLibrary(nameOrPath) : try PluginRegistry().find(nameOrPath)
  }

  private static func folded(_ id: String) -> String { id.lowercased().filter { $0 != "-" && $0 != "_" } }

  /// The library's path, without opening it where the text is one: a check opens it in another process.
  package static func path(of nameOrPath: String) throws(Failure) -> String {
    if !isPath(nameOrPath) { return try PluginRegistry().find(nameOrPath).path }
    guard let path = Files.resolved(nameOrPath) else { throw .missingInput("\(nameOrPath): no such plugin file") }
    return path
  }

  private static func isPath(_ text: String) -> Bool { text.contains("/") || isLibrary(text) }
  private static func isLibrary(_ name: String) -> Bool { name.hasSuffix(".so") || name.hasSuffix(".dylib") }
  private static func libraryNames(_ id: String) -> [String] { ["libnr-\(id).so", "libnr-\(id).dylib"] }

  /// Whether a file holds the entry's name at all: other libraries in a search folder are not even opened.
  private static func mentionsEntry(_ path: String) -> Bool {
    guard let file = try? MappedFile(path) else { return false }
    let name = Array(PluginLibrary.entryName.utf8)
    return unsafe file.withBytes { bytes in
      var matched = 0
      for index in bytes.indices {
        let byte = unsafe bytes[index]
        matched = byte == name[matched] ? matched + 1 : byte == name[0] ? 1 : 0
        if matched == name.count { return true }
      }
      return false
    }
  }
}
