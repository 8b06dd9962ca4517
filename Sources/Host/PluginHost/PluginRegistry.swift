import Support

/// The plugins of a search path, by id. Each is described by a child process: none is opened here.
package struct PluginRegistry: Sendable {
  /// A file or folder that looks like one of plugins and cannot be used.
  package struct Broken: Sendable {
    package let path: String
    package let reason: Failure
  }

  package let searchPath: [String]
  /// In the order of the search path; of several files with the same bytes the first.
  package let plugins: [PluginCard]
  package let broken: [Broken]

  /// Describes every plugin in the folders of `searchPath`; folders that do not exist are skipped.
  package init(searchPath: [String] = PluginRegistry.standardSearchPath(), program: String? = Files.program) {
    self.init(searchPath: searchPath, program: program) { _ in true }
  }

  /// Only files whose name passes.
  private init(searchPath: [String], program: String?, _ isWanted: (String) -> Bool) {
    self.searchPath = searchPath
    var plugins: [PluginCard] = []
    var broken: [Broken] = []
    var seen: Set<String> = []
    for folder in searchPath where Files.isDirectory(folder) {
      do throws(Failure) {
        let names = try Files.list(folder).filter { Self.isLibrary($0) && !PythonLoss.isBridge($0) && isWanted($0) }
        if names.isEmpty { continue }
        if Self.isOpenToAll(folder) {
          throw .badData("\(folder): everybody can write to it, so its plugins are not used: chmod o-w it, or give a plugin's path")
        }
        for name in names {
          guard let path = Files.resolved("\(folder)/\(name)"), seen.insert(path).inserted else { continue }
          do throws(Failure) {
            if !name.hasPrefix("libnr-"), try !Self.mentionsEntry(path) { continue }
            let plugin = try PluginCard(path, program: program)
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

  private static func isOpenToAll(_ folder: String) -> Bool {
    var status = stat()
    return unsafe stat(folder, &status) == 0 && status.st_mode & S_IWOTH != 0
  }

  /// `$NR_PLUGIN_PATH` (folders separated by colons), the program's folder, `plugins` and `../lib/nano-reasoner/plugins` beside it,
  /// and the user's own folder. The current folder is not among them: whoever unpacks an archive there has not asked for its code.
  package static func standardSearchPath() -> [String] {
    var folders = (environmentVariable("NR_PLUGIN_PATH") ?? "").split(separator: ":").map(String.init)
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

  /// Finds by id, or describes a file where the text is a path. Where no id is exactly that, case and separators do not
  /// count: `DrGRPO` and `dr_grpo` are `dr-grpo`.
  package func find(_ nameOrPath: String) throws(Failure) -> PluginCard {
    if let found = try match(nameOrPath) { return found }
    if let file = broken.first(where: { Self.libraryNames(nameOrPath).contains(Files.name(of: $0.path)) }) {
      throw file.reason
    }
    let ids = Set(plugins.map(\.id)).sorted()
    let hint = NearestName.find(nameOrPath.lowercased(), among: ids).map { "; did you mean \($0)?" } ?? ""
    let known = ids.isEmpty ? "no plugin was found" : "found: \(ids.joined(separator: ", "))"
    let closed = broken.filter { Files.isDirectory($0.path) }.map { "; \($0.reason.message)" }.joined()
    throw .missingInput(
      "no plugin named \(nameOrPath)\(hint) (\(known); looked in \(searchPath.joined(separator: ", "))\(closed))")
  }

  /// Which folder of the search path a file, or the folder itself, belongs to.
  private func rank(_ path: String) -> Int {
    let folder = Files.isDirectory(path) ? path : Files.directory(of: path)
    return searchPath.firstIndex { $0 == path || Files.resolved($0) == Files.resolved(folder) } ?? searchPath.count
  }

  private func match(_ name: String) throws(Failure) -> PluginCard? {
    var found = plugins.filter { $0.id == name }
    if found.isEmpty {
      let alike = plugins.filter { Self.folded($0.id) == Self.folded(name) }
      if Set(alike.map(\.id)).count == 1 { found = alike }
    }
    guard let first = found.first else { return nil }
    if found.count == 1 { return first }
    throw .usage(
      "plugin \(name): \(found.count) different files have this id: \(found.map(\.path).joined(separator: " and ")); remove one, or give the path of the one you mean"
    )
  }

  /// Finds one plugin. A path is that file; of a name the files that are called so are looked at, and the others only where none of
  /// those is it.
  package static func find(
    _ nameOrPath: String, searchPath: [String] = standardSearchPath(), program: String? = Files.program
  ) throws(Failure) -> PluginCard {
    if isPath(nameOrPath) { return try PluginCard(try library(nameOrPath), program: program) }
    let called = PluginRegistry(searchPath: searchPath, program: program) { name in
      guard name.hasPrefix("libnr-"), let dot = name.lastIndex(of: ".") else { return false }
      return folded(String(name[..<dot].dropFirst("libnr-".count))) == folded(nameOrPath)
    }
    let found = try called.match(nameOrPath)
    // A file of that name that is broken, or that everybody can replace: another that is found behind it is not the one that was meant.
    if let file = called.broken.first(where: { file in found.map { called.rank(file.path) < called.rank($0.path) } ?? true }) { throw file.reason }
    if let found { return found }
    return try PluginRegistry(searchPath: searchPath, program: program).find(nameOrPath)
  }

  private static func folded(_ id: String) -> String { id.lowercased().filter { $0 != "-" && $0 != "_" } }

  /// The library's path, without opening it where the text is one: a check opens it in another process.
  package static func path(of nameOrPath: String) throws(Failure) -> String {
    isPath(nameOrPath) ? try PluginCard.digest(try library(nameOrPath)).path : try find(nameOrPath).path
  }

  /// A path's library: of a loss in Python the one that it is packed in.
  private static func library(_ path: String) throws(Failure) -> String { PythonLoss.isSource(path) ? try PythonLoss.library(of: path) : path }

  /// Whether a library came with the program: it lies beside it, or where installing puts the algorithms.
  package static func isShipped(_ path: String) -> Bool {
    guard let program = Files.program, let folder = Files.resolved(Files.directory(of: path)) else { return false }
    let own = Files.directory(of: program)
    return [own, own + "/plugins", own + "/../lib/nano-reasoner/plugins"].contains { Files.resolved($0) == folder }
  }

  private static func isPath(_ text: String) -> Bool { text.contains("/") || isLibrary(text) || PythonLoss.isSource(text) }
  private static func isLibrary(_ name: String) -> Bool { name.hasSuffix(".so") || name.hasSuffix(".dylib") }
  private static func libraryNames(_ id: String) -> [String] { ["libnr-\(id).so", "libnr-\(id).dylib"] }

  /// Whether a file holds the entry's name at all: other libraries in a search folder are not even opened.
  private static func mentionsEntry(_ path: String) throws(Failure) -> Bool {
    _ = try PluginCard.digest(path)
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
