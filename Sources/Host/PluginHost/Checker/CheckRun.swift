import Support

/// What a test is handed: the plugin, the parameters to try it with, random numbers that the seed decides.
struct CheckRun {
  /// Values for all parameters, and what to call them in a message.
  struct Configuration {
    let name: String
    let values: [Double]
  }

  let library: PluginLibrary
  let settings: CheckSettings
  let test: CheckTest
  /// The given parameters first.
  let configurations: [Configuration]

  init(_ library: PluginLibrary, _ settings: CheckSettings, _ test: CheckTest) throws(Failure) {
    self.library = library
    self.settings = settings
    self.test = test
    configurations = try Self.configurations(library, settings)
  }

  /// Random numbers of this test.
  func numbers(_ path: UInt64...) -> RandomStream {
    RandomStream(seed: settings.seed, path: [UInt64(CheckTest.allCases.firstIndex(of: test) ?? 0)] + path)
  }

  /// More where there is time.
  func count(_ full: Int, quick: Int) -> Int { settings.isQuick ? quick : full }

  /// The preset configuration.
  func instance() throws(Failure) -> CheckInstance { try CheckInstance(library, configurations[0].values) }

  /// Runs a body under every configuration; a failure says which.
  func underEach(_ body: (Configuration, UInt64) throws(Failure) -> Void) throws(Failure) {
    for (index, configuration) in configurations.enumerated() {
      do throws(Failure) { try body(configuration, UInt64(index)) } catch {
        throw Failure(error.code, configuration.name.isEmpty ? error.message : "with \(configuration.name): \(error.message)")
      }
    }
  }

  /// select, then advantages: the case that is left, and stage 1 of it.
  func advantages(_ given: CheckCase, _ instance: CheckInstance) throws(Failure) -> (CheckCase, PluginAdvantages) {
    let keep = try instance.select(try RolloutCall(given.rollout, instance, isSelection: true))
    let kept = given.keeping(keep)
    return (kept, try instance.advantages(try RolloutCall(kept.rollout, instance)))
  }

  /// All stages, as one update.
  func wholeUpdate(_ given: CheckCase, _ instance: CheckInstance) throws(Failure) -> (PluginAdvantages, PluginGradients)
  {
    let (kept, stage) = try advantages(given, instance)
    return (stage, try instance.loss(try BatchCall(kept.wholeBatch(stage), instance)))
  }

  // MARK: Configurations

  /// The given settings and, in the full form, each choice, switch and zero that was not given changed by itself: parts of a
  /// loss that presets leave out.
  private static func configurations(
    _ library: PluginLibrary, _ settings: CheckSettings
  ) throws(Failure) -> [Configuration] {
    let descriptor = library.descriptor
    let base = try PluginParameters(settings.parameters, for: descriptor)
    var result = [Configuration(name: "", values: base.values)]
    if settings.isQuick { return result }
    for parameter in descriptor.parameters where !base.given.contains(parameter.name) {
      for value in alternatives(to: base[parameter.name] ?? parameter.preset, parameter) {
        let setting = "\(parameter.name)=\(parameter.text(value))"
        let values = try PluginParameters(settings.parameters + [setting], for: descriptor).values
        // A plugin may refuse combinations that make no sense.
        if (try? CheckInstance(library, values)) != nil { result.append(Configuration(name: setting, values: values)) }
      }
    }
    return result
  }

  private static func alternatives(to value: Double, _ parameter: PluginParameter) -> [Double] {
    switch parameter.kind {
    case .choice: parameter.choices.indices.map { Double($0) }.filter { $0 != value }
    case .boolean: [1 - value]
    case .integer: value == 0 && parameter.maximum >= 1 ? [min(3, parameter.maximum)] : []
    case .real: value == 0 && parameter.maximum > 0 ? [min(0.125, parameter.maximum)] : []
    }
  }
}

/// What a test that did not fail came to.
enum CheckVerdict {
  case passed(String)
  case skipped(String)

  static let passed = CheckVerdict.passed("")
}
