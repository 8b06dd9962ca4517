import Support

/// What a plugin's library says about itself, as a child process read it: the program has not opened the library.
package struct PluginCard: Sendable, Equatable {
  /// Absolute, symbolic links resolved.
  package let path: String
  /// Of the file, in hexadecimal.
  package let sha256: String
  package let descriptor: PluginDescriptor
  /// What an instance with the presets needs; nil where the plugin refuses its own presets.
  package let needs: [String]?
  package var id: String { descriptor.id }

  /// Larger files are no plugins.
  static let largestFile = 256 << 20
  /// Seconds in which a library must open and describe itself.
  private static let patience = 20.0

  /// Of a library that this process has opened: for the child that describes it.
  package init(describing library: PluginLibrary) {
    path = library.path
    sha256 = library.sha256
    descriptor = library.descriptor
    needs = try? PluginInstance(library, log: { _, _ in }).needs.names
  }

  /// Lets a child process open a library and say what it is.
  ///
  /// - Parameter program: what is started as the child: this program, unless a test says otherwise.
  package init(_ path: String, program: String? = Files.program) throws(Failure) {
    guard let program else { throw .internalError("the program's own path is unknown, so that no child can be started") }
    let (resolved, sha256) = try Self.digest(path)
    let note = Self.note(sha256, program)
    if let note, let known = Self.read(note, resolved, sha256) {
      self = known
      return
    }
    let child = try ChildProcess.run(program, CheckChild.arguments(CheckSettings(path: resolved), .describe), seconds: Self.patience)
    let lines = String(decoding: child.report, as: UTF8.self).split(separator: "\n")
    func refuse(_ what: String) -> Failure { .badData("\(resolved): \(what)") }
    if let line = lines.last, line.hasPrefix("refused\t"), child.end == .exited(0) {
      let parts = line.split(separator: "\t", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
      throw Failure(parts.count > 1 ? Int32(parts[1]).flatMap { ExitCode(rawValue: $0) } ?? .badData : .badData, OneLine.text(parts.last ?? ""))
    }
    if let line = lines.last, line.hasPrefix("card\t"), child.end == .exited(0) {
      guard lines.count == 1, let json = try? JSON.parse(String(line.dropFirst(5)), name: ""), let card = PluginCard(json: json),
        card.path == resolved
      else { throw refuse("something else than its description came back when it was opened; it writes to descriptor \(ChildProcess.reportDescriptor)") }
      guard card.sha256 == sha256 else { throw refuse("was changed while it was read") }
      self = card
      // A cache that cannot be written costs time, nothing else.
      if let note, (try? Files.makeDirectory(Files.directory(of: note))) != nil { try? AtomicFile.write(card.json.text() + "\n", to: note) }
      return
    }
    let said = child.output.split(separator: "\n").last.map { "; the last it printed: \(OneLine.text(String($0.suffix(200))))" } ?? ""
    switch child.end {
    case .flooded: throw refuse("writes more than \(ChildProcess.longestReport >> 20) MiB to descriptor \(ChildProcess.reportDescriptor) when it is opened")
    case .timedOut: throw refuse("did not open within \(Format.shortest(Self.patience)) s\(said)")
    case .signalled(let number): throw refuse("ended a process by \(PluginChecker.name(ofSignal: number)) when it was opened\(said)")
    case .exited(let code):
      let signal = lines.last { $0.hasPrefix("signal\t") } != nil
      throw refuse(signal ? "crashed when it was opened\(said)" : "ended a process with exit code \(code) when it was opened, before it had described itself\(said)")
    }
  }

  /// Where what a library said of itself is kept, in the user's cache folder: by the library's bytes, and by the program that asked.
  private static func note(_ sha256: String, _ program: String) -> String? {
    guard let cache = Files.userCache, cache.hasPrefix("/") else { return nil }
    var status = stat()
    guard unsafe stat(program, &status) == 0 else { return nil }
    #if canImport(Darwin)
    let time = status.st_mtimespec
    #else
    let time = status.st_mtim
    #endif
    let asker = SHA256.hex(Array("\(program) \(status.st_size) \(time.tv_sec) \(time.tv_nsec) \(status.st_ino)".utf8))
    return "\(cache)/plugins/\(sha256)-\(asker.prefix(16)).json"
  }

  private static func read(_ note: String, _ path: String, _ sha256: String) -> PluginCard? {
    guard Files.exists(note), let json = try? JSON.read(note), let card = PluginCard(json: json), card.sha256 == sha256 else { return nil }
    return PluginCard(path: path, sha256: sha256, descriptor: card.descriptor, needs: card.needs)
  }

  private init(path: String, sha256: String, descriptor: PluginDescriptor, needs: [String]?) {
    (self.path, self.sha256, self.descriptor, self.needs) = (path, sha256, descriptor, needs)
  }

  /// The resolved path and SHA-256 of a regular file of a plugin's size: nothing else is ever read or opened.
  static func digest(_ path: String) throws(Failure) -> (path: String, sha256: String) {
    guard let resolved = Files.resolved(path) else { throw .missingInput("\(path): no such plugin file") }
    var status = stat()
    guard unsafe stat(resolved, &status) == 0 else { throw .missingInput("\(path): \(lastSystemError())") }
    let kind = status.st_mode & S_IFMT
    if kind == S_IFDIR { throw .missingInput("\(path): is a directory, a plugin's library is needed") }
    guard kind == S_IFREG else { throw .badData("\(path): is no regular file; a plugin's library is needed") }
    guard status.st_size <= largestFile else {
      throw .badData("\(path): has \(status.st_size) bytes; a plugin's library has no more than \(largestFile >> 20) MiB")
    }
    return (resolved, try SHA256.hex(file: resolved))
  }

  // MARK: Between processes

  var json: JSON {
    [
      "path": .string(path), "sha256": .string(sha256), "needs": needs.map { .array($0.map { .string($0) }) } ?? .null,
      "descriptor": descriptor.json,
    ]
  }

  init?(json: JSON) {
    guard let path = json["path"]?.string, let sha256 = json["sha256"]?.string, let descriptor = json["descriptor"].flatMap(PluginDescriptor.init)
    else { return nil }
    (self.path, self.sha256, self.descriptor) = (path, sha256, descriptor)
    needs = json["needs"]?.array?.compactMap(\.string)
  }
}

extension PluginDescriptor {
  /// All of it, exactly.
  var json: JSON {
    [
      "id": .string(id), "version": .string(version), "title": .string(title), "reference": .string(reference), "card": .string(card),
      "abi": .array([.integer(abiMajor), .integer(abiMinor)]), "state_version": .integer(stateVersion),
      "parameters": .array(
        parameters.map { one in
          [
            "name": .string(one.name), "help": .string(one.help), "kind": .string(one.kind.rawValue),
            "range": .array([one.minimum, one.maximum, one.preset].map { .number($0) }), "choices": .array(one.choices.map { .string($0) }),
            "variant_presets": .array(one.variantPresets.map { .number($0) }),
          ]
        }),
      "metrics": .array(metrics.map { ["name": .string($0.name), "help": .string($0.help), "fold": .string($0.fold.rawValue)] }),
    ]
  }

  /// Takes back what ``json`` gave; nil where it is something else. Lengths that the reader of a library keeps are kept here too.
  init?(json: JSON) {
    guard let id = json["id"]?.string, let version = json["version"]?.string, let title = json["title"]?.string,
      let reference = json["reference"]?.string, let card = json["card"]?.string, let abi = json["abi"]?.array?.compactMap(\.int), abi.count == 2,
      let stateVersion = json["state_version"]?.int, let rawParameters = json["parameters"]?.array, let rawMetrics = json["metrics"]?.array
    else { return nil }
    var parameters: [PluginParameter] = []
    for one in rawParameters {
      guard let name = one["name"]?.string, let help = one["help"]?.string, let kind = one["kind"]?.string.flatMap(PluginParameter.Kind.init),
        let range = one["range"]?.array?.compactMap(\.double), range.count == 3, range[0] <= range[2], range[2] <= range[1],
        let choices = one["choices"]?.array?.compactMap(\.string), let presets = one["variant_presets"]?.array?.compactMap(\.double)
      else { return nil }
      let variants = parameters.first?.choices.count ?? 0
      guard kind != .choice || range[0] == 0 && range[1] == Double(choices.count - 1) && range[2] == range[2].rounded(),
        kind != .integer || range.allSatisfy({ abs($0) <= 0x1p53 && $0 == $0.rounded() }), presets.isEmpty || presets.count == variants, presets.allSatisfy({ $0 >= range[0] && $0 <= range[1] })
      else { return nil }
      parameters.append(
        PluginParameter(
          name: name, help: help, kind: kind, minimum: range[0], maximum: range[1], preset: range[2], choices: choices, variantPresets: presets))
    }
    var metrics: [PluginMetric] = []
    for one in rawMetrics {
      guard let name = one["name"]?.string, let help = one["help"]?.string, let fold = one["fold"]?.string.flatMap(PluginMetric.Fold.init)
      else { return nil }
      metrics.append(PluginMetric(name: name, help: help, fold: fold))
    }
    self.init(
      id: id, version: version, title: title, reference: reference, card: card, abiMajor: abi[0], abiMinor: abi[1], stateVersion: stateVersion,
      parameters: parameters, metrics: metrics)
  }
}
