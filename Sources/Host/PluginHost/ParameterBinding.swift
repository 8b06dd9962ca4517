import Support

/// The values of a plugin's parameters: every one has a value, by the user's setting or by the preset of the variant.
package struct PluginParameters: Sendable, Equatable {
  package let schema: [PluginParameter]
  /// In the order of `schema`.
  package let values: [Double]
  /// The names that the user set.
  package let given: Set<String>

  /// Binds `key=value` settings, as `--set` takes them; of two with one key the later counts.
  package init(_ settings: [String], for descriptor: PluginDescriptor) throws(Failure) {
    var pairs: [(key: String, value: String)] = []
    for setting in settings {
      guard let equals = setting.firstIndex(of: "="), equals != setting.startIndex else {
        throw .usage("\(setting): expected key=value, as in clip_high=0.28")
      }
      pairs.append((Self.trimmed(setting[..<equals]), Self.trimmed(setting[setting.index(after: equals)...])))
    }
    try self.init(pairs: pairs, for: descriptor)
  }

  /// Binds the object that ``json`` gave, as a run's record holds it.
  package init(json: JSON, for descriptor: PluginDescriptor) throws(Failure) {
    guard let object = json.object else {
      throw .badData("plugin \(descriptor.id): parameters: expected an object, found \(json.kind)")
    }
    var pairs: [(key: String, value: String)] = []
    for key in object.keys {
      switch object[key] {
      case .string(let value)?: pairs.append((key, value))
      case .bool(let value)?: pairs.append((key, value ? "true" : "false"))
      case .integer(let value)?: pairs.append((key, String(value)))
      case .number(let value)?: pairs.append((key, Format.shortest(value)))
      case .literal(let text)?: pairs.append((key, text))
      default: throw .badData("plugin \(descriptor.id): parameter \(key): expected a number, a boolean or a name")
      }
    }
    try self.init(pairs: pairs, for: descriptor)
  }

  private init(pairs: [(key: String, value: String)], for descriptor: PluginDescriptor) throws(Failure) {
    var settings: [String: Double] = [:]
    for (key, value) in pairs {
      guard let parameter = descriptor.parameters.first(where: { $0.name == key }) else {
        throw Self.unknown(key, descriptor)
      }
      settings[key] = try Self.value(value, parameter, plugin: descriptor.id)
    }
    let variant = descriptor.parameters.first.map { settings[$0.name] ?? $0.preset } ?? 0
    schema = descriptor.parameters
    values = descriptor.parameters.map { settings[$0.name] ?? $0.preset(underVariant: variant) }
    given = Set(settings.keys)
  }

  package subscript(name: String) -> Double? {
    schema.firstIndex { $0.name == name }.map { values[$0] }
  }

  /// Every parameter by name, choices by theirs.
  package var json: JSON {
    var object = JSON.Object()
    for (parameter, value) in zip(schema, values) { object[parameter.name] = parameter.json(value) }
    return .object(object)
  }

  /// Every parameter as `key=value`, in the order of the declaration.
  package var settings: [String] { zip(schema, values).map { "\($0.name)=\($0.text($1))" } }

  private static func unknown(_ key: String, _ descriptor: PluginDescriptor) -> Failure {
    let known = descriptor.parameters.map(\.name)
    if known.isEmpty { return .usage("plugin \(descriptor.id) has no parameter \(key): it has none at all") }
    let hint = NearestName.find(key.lowercased(), among: known).map { "; did you mean \($0)?" } ?? ""
    return .usage("plugin \(descriptor.id) has no parameter \(key)\(hint) Known: \(known.joined(separator: ", "))")
  }

  private static func value(_ text: String, _ parameter: PluginParameter, plugin: String) throws(Failure) -> Double {
    func expected(_ what: String) -> Failure {
      .usage("plugin \(plugin): \(parameter.name)=\(text): expected \(what)")
    }
    let range = "from \(Format.shortest(parameter.minimum)) to \(Format.shortest(parameter.maximum))"
    switch parameter.kind {
    case .real:
      guard let value = Double(text), value.isFinite, value >= parameter.minimum, value <= parameter.maximum else {
        throw expected("a number \(range)")
      }
      return value
    case .integer:
      guard let value = Double(text), value == value.rounded(), value >= parameter.minimum, value <= parameter.maximum
      else {
        throw expected("a whole number \(range)")
      }
      return value
    case .boolean:
      switch text {
      case "true", "1": return 1
      case "false", "0": return 0
      default: throw expected("true or false")
      }
    case .choice:
      guard let index = parameter.choices.firstIndex(of: text) else {
        let hint = NearestName.find(text.lowercased(), among: parameter.choices).map { "; did you mean \($0)?" } ?? ""
        throw expected("one of \(parameter.choices.joined(separator: ", "))\(hint)")
      }
      return Double(index)
    }
  }

  private static func trimmed(_ text: Substring) -> String {
    var text = text
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }
}
