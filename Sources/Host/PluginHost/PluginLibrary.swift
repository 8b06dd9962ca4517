internal import CPluginAPI
import Support
import Synchronization

/// A plugin's library: opened once, verified, its description copied; never closed.
@safe package struct PluginLibrary: @unchecked Sendable {
  /// Absolute, symbolic links resolved.
  package let path: String
  /// Of the file, in hexadecimal.
  package let sha256: String
  package let descriptor: PluginDescriptor
  package var id: String { descriptor.id }

  /// The plugin's own table: constant while the process lives. Every required function is there.
  let table: UnsafePointer<nr_plugin>

  package static let hostABI = (major: Int(NR_ABI_MAJOR), minor: Int(NR_ABI_MINOR))
  static let entryName = NR_ENTRY

  /// Opens what a child process has described, in this process. What changed since is refused.
  package init(_ card: PluginCard) throws(Failure) {
    try self.init(card.path, expecting: card.sha256)
    guard descriptor == card.descriptor else {
      throw .badData("\(card.path): describes itself otherwise than it did in another process")
    }
  }

  /// Opens a library and checks all it says about itself.
  package init(_ path: String) throws(Failure) { try self.init(path, expecting: nil) }

  /// - Parameter expected: the file's SHA-256; any other file is not opened.
  private init(_ path: String, expecting expected: String?) throws(Failure) {
    let (absolute, digest) = try PluginCard.digest(path)
    guard expected == nil || digest == expected else { throw .badData("\(path): was changed after it was described; run the command again") }
    self.path = absolute
    sha256 = digest
    let table = try Self.table(absolute, sha256)
    unsafe self.table = unsafe table
    let reader = unsafe DescriptorReader(path: absolute, table: table)
    try reader.checkVersions()
    try reader.checkFunctions()
    descriptor = try reader.descriptor()
  }

  /// The SHA-256 of what the dynamic linker holds under each path: it looks at names, so that a file rebuilt under a name
  /// it knows would give the old code. Held while a library is opened, so that no two entries run at once.
  private static let opened = Mutex<[String: String]>([:])

  @safe private static func table(_ path: String, _ sha256: String) throws(Failure) -> UnsafePointer<nr_plugin> {
    let outcome: Result<UInt, Failure> = opened.withLock { opened in
      do throws(Failure) {
        let library: DynamicLibrary
        if let known = opened[path], known != sha256 {
          library = try openCopy(of: path, sha256)
        } else {
          library = try DynamicLibrary(path)
          opened[path] = sha256
        }
        guard let symbol = unsafe library.symbol(entryName) else {
          throw .badData("\(path): is not a plugin: it does not export \(entryName)")
        }
        let entry = unsafe unsafeBitCast(symbol, to: nr_entry.self)
        guard let table = unsafe entry(UInt32(NR_ABI_MAJOR), UInt32(NR_ABI_MINOR)) else {
          throw .badData("\(path): refuses this host, which speaks plugin ABI \(hostABI.major).\(hostABI.minor)")
        }
        return .success(UInt(bitPattern: table))
      } catch { return .failure(error) }
    }
    // An entry that returned a table did not return NULL.
    return unsafe UnsafePointer(bitPattern: try outcome.get())!
  }

  /// Opens a copy under a name of its own, which is removed again: the code stays as long as the process.
  private static func openCopy(of path: String, _ sha256: String) throws(Failure) -> DynamicLibrary {
    var template = Array("\(environmentVariable("TMPDIR") ?? "/tmp")/nano-reasoner-XXXXXX".utf8CString)
    if unsafe mkdtemp(&template) == nil {
      throw .inputOutput("\(path): cannot make a folder for a copy: \(lastSystemError())")
    }
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { try? Files.removeTree(folder) }
    let copy = "\(folder)/\(sha256).so"
    try Files.copy(path, to: copy)
    return try DynamicLibrary(copy)
  }
}

/// Copies a plugin's table, trusting nothing in it but that its pointers are NULL or point somewhere.
@safe private struct DescriptorReader {
  let path: String
  let table: UnsafePointer<nr_plugin>

  init(path: String, table: UnsafePointer<nr_plugin>) {
    self.path = path
    unsafe self.table = unsafe table
  }

  func refuse(_ what: String) -> Failure { .badData("\(path): \(what)") }

  func checkVersions() throws(Failure) {
    let magic = unsafe table.pointee.magic
    guard magic == UInt32(NR_MAGIC) else {
      throw refuse(
        "is not a plugin: its table begins with 0x\(String(magic, radix: 16)), expected 0x\(String(UInt32(NR_MAGIC), radix: 16))"
      )
    }
    let major = unsafe table.pointee.abi_major
    guard major == UInt32(NR_ABI_MAJOR) else {
      throw refuse(
        "speaks plugin ABI \(major), this host speaks \(NR_ABI_MAJOR): rebuild the plugin with this host's nr_plugin.h")
    }
    let size = unsafe Int(table.pointee.struct_size)
    // What version 1.0 has: a newer plugin may have more, and an older one has no less.
    let needed = Int(NR_PLUGIN_1_0)
    guard size >= needed, size < 1 << 16 else {
      throw refuse("its table has \(size) bytes, ABI \(NR_ABI_MAJOR) needs \(needed)")
    }
  }

  func checkFunctions() throws(Failure) {
    let required: [(String, Bool)] = unsafe [
      ("create", table.pointee.create != nil), ("destroy", table.pointee.destroy != nil),
      ("needs", table.pointee.needs != nil), ("advantages", table.pointee.advantages != nil),
      ("loss", table.pointee.loss != nil),
    ]
    for (name, present) in required where !present { throw refuse("its function \(name) is NULL") }
    if unsafe (table.pointee.save == nil) != (table.pointee.restore == nil) {
      throw refuse("has one of save and restore: both or none are needed")
    }
  }

  func descriptor() throws(Failure) -> PluginDescriptor {
    let id = unsafe try text(table.pointee.id, "id")
    guard Self.isName(id, alsoDashes: true) else {
      throw refuse("its id \"\(id)\" must be 1 to 64 lower-case letters, digits, - or _")
    }
    let version = unsafe try text(table.pointee.version, "version")
    if version.isEmpty { throw refuse("its version is empty") }
    let parameterCount = unsafe Int(table.pointee.parameter_count)
    let metricCount = unsafe Int(table.pointee.metric_count)
    guard parameterCount <= 1024, metricCount <= 1024 else {
      throw refuse("declares \(parameterCount) parameters and \(metricCount) metrics; 1024 of each are the most")
    }
    if unsafe parameterCount > 0 && table.pointee.parameters == nil { throw refuse("its parameters are NULL") }
    if unsafe metricCount > 0 && table.pointee.metrics == nil { throw refuse("its metrics are NULL") }

    var parameters: [PluginParameter] = []
    for index in 0..<parameterCount {
      let parameter = unsafe try self.parameter(
        table.pointee.parameters[index], index: index, variant: parameters.first)
      if parameters.contains(where: { $0.name == parameter.name }) {
        throw refuse("declares the parameter \(parameter.name) twice")
      }
      parameters.append(parameter)
    }
    var metrics: [PluginMetric] = []
    for index in 0..<metricCount {
      let metric = unsafe try self.metric(table.pointee.metrics[index], index: index)
      if metrics.contains(where: { $0.name == metric.name }) {
        throw refuse("declares the metric \(metric.name) twice")
      }
      metrics.append(metric)
    }
    return unsafe PluginDescriptor(
      id: id, version: version, title: try text(table.pointee.title, "title"),
      reference: try text(table.pointee.reference, "reference"),
      card: try text(table.pointee.card, "card", limit: 65536),
      abiMajor: Int(table.pointee.abi_major), abiMinor: Int(table.pointee.abi_minor),
      stateVersion: Int(table.pointee.state_version), parameters: parameters, metrics: metrics)
  }

  private func parameter(
    _ raw: nr_parameter, index: Int, variant: PluginParameter?
  ) throws(Failure) -> PluginParameter {
    let name = unsafe try text(raw.name, "parameter \(index): name")
    guard Self.isName(name) else { throw refuse("parameter \(index): the name \"\(name)\" is not snake_case") }
    let help = unsafe try text(raw.help, "parameter \(name): help")
    let kinds: [PluginParameter.Kind] = [.real, .integer, .boolean, .choice]
    let (minimum, maximum, preset) = unsafe (raw.minimum, raw.maximum, raw.preset)
    guard let kind = unsafe raw.kind >= 0 && raw.kind < 4 ? kinds[Int(raw.kind)] : nil else {
      throw unsafe refuse("parameter \(name): kind \(raw.kind) is unknown")
    }

    var choices: [String] = []
    if kind == .choice {
      guard let list = unsafe raw.choices else { throw refuse("parameter \(name): its choices are NULL") }
      while let choice = unsafe list[choices.count] {
        let text = unsafe try text(choice, "parameter \(name): choice \(choices.count)")
        if text.isEmpty || choices.contains(text) {
          throw refuse("parameter \(name): choice \"\(text)\" is empty or there twice")
        }
        choices.append(text)
        if choices.count > 256 {
          throw refuse("parameter \(name): has more than 256 choices, or no NULL after the last")
        }
      }
      guard minimum == 0, maximum == Double(choices.count - 1) else {
        throw refuse("parameter \(name): a choice of \(choices.count) must range from 0 to \(choices.count - 1)")
      }
    } else if unsafe raw.choices != nil {
      throw refuse("parameter \(name): is no choice and has choices")
    }
    guard minimum.isFinite, maximum.isFinite, minimum <= maximum else {
      throw refuse("parameter \(name): its range \(minimum) to \(maximum) is not a range of finite numbers")
    }
    if kind == .boolean, minimum != 0 || maximum != 1 {
      throw refuse("parameter \(name): a boolean ranges from 0 to 1")
    }

    var variantPresets: [Double] = []
    if let list = unsafe raw.variant_presets {
      guard index > 0, let variant, variant.kind == .choice else {
        throw refuse("parameter \(name): has a preset for each variant, but the first parameter is not a choice")
      }
      for position in variant.choices.indices { variantPresets.append(unsafe list[position]) }
      guard variantPresets[Int(variant.preset)] == preset else {
        throw refuse("parameter \(name): its preset \(preset) is not the one of the preset variant, \(variantPresets)")
      }
    }
    for value in [preset] + variantPresets {
      guard value.isFinite, value >= minimum, value <= maximum else {
        throw refuse(
          "parameter \(name): its preset \(value) lies outside \(Format.shortest(minimum)) to \(Format.shortest(maximum))")
      }
    }
    if kind != .real {
      for value in [minimum, maximum, preset] + variantPresets where value != value.rounded() || abs(value) > 0x1p53 {
        throw refuse("parameter \(name): \(value) is not a whole number, as its kind \(kind.rawValue) needs")
      }
    }
    return PluginParameter(
      name: name, help: help, kind: kind, minimum: minimum, maximum: maximum, preset: preset, choices: choices,
      variantPresets: variantPresets)
  }

  private func metric(_ raw: nr_metric, index: Int) throws(Failure) -> PluginMetric {
    let name = unsafe try text(raw.name, "metric \(index): name")
    guard Self.isName(name) else { throw refuse("metric \(index): the name \"\(name)\" is not snake_case") }
    let folds: [PluginMetric.Fold] = [.mean, .sum, .minimum, .maximum]
    guard unsafe raw.fold >= 0 && raw.fold < 4 else {
      throw unsafe refuse("metric \(name): fold \(raw.fold) is unknown")
    }
    return unsafe PluginMetric(name: name, help: try text(raw.help, "metric \(name): help"), fold: folds[Int(raw.fold)])
  }

  private func text(_ pointer: UnsafePointer<CChar>?, _ what: String, limit: Int = 4096) throws(Failure) -> String {
    guard let pointer = unsafe pointer else { throw refuse("its \(what) is NULL") }
    var bytes: [UInt8] = []
    while true {
      let byte = unsafe UInt8(bitPattern: pointer[bytes.count])
      if byte == 0 { break }
      bytes.append(byte)
      if bytes.count > limit { throw refuse("its \(what) has more than \(limit) bytes") }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw refuse("its \(what) is not UTF-8") }
    return text
  }

  private static func isName(_ text: String, alsoDashes: Bool = false) -> Bool {
    (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        (97...122).contains($0) || (48...57).contains($0) || $0 == 95 || (alsoDashes && $0 == 45)
      }
  }
}
