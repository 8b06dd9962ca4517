import Support

/// A `--config` file: one JSON object whose keys are option names, in kebab or snake case; or the `run.json` of a run of the same
/// command, whose options are its `arguments`.
struct ConfigurationFile {
  let path: String
  let spec: CommandSpec

  /// The values of the options it names; null means "not set".
  func values() throws(Failure) -> [String: [ArgumentValue]] {
    let json = try JSON.read(path, orPipe: true)
    guard var object = json.object else { throw .badData("\(path): expected an object of options, found \(json.kind)") }
    var (isRecord, given) = (false, [String]())
    if object["identity"]?.object != nil, let arguments = object["arguments"]?.object {
      if let stage = object["stage"]?.string, stage != spec.name {
        throw .badData("\(path): is the record of a run of `\(stage)`, whose options are not those of `\(spec.name)`; give the run.json of a run of `\(spec.name)`, or a file of its options")
      }
      given = object["given"]?.array?.compactMap(\.string) ?? []
      (object, isRecord) = (arguments, true)
    }
    var values: [String: [ArgumentValue]] = [:]
    for key in object.keys {
      let name = String(key.map { $0 == "_" ? "-" : $0 })
      guard let option = spec.option(name), !option.kind.isConfiguration else {
        let known = spec.options.filter { !$0.kind.isConfiguration }.map(\.name)
        let nearest = FieldNames.option(name, among: known) ?? NearestName.find(name, among: known)
        let hint = (nearest ?? FieldNames.nearestOption(name, among: known)).map { "; did you mean \"\($0)\"?" } ?? ""
        throw .badData("\(path): \"\(key)\" is not an option of \(spec.name)\(hint)")
      }
      if values[name] != nil { throw .badData("\(path): \"\(name)\" stands twice, in kebab and in snake case") }
      guard let json = object[key], !json.isNull else { continue }
      guard let checked = option.kind.values(of: json, repeated: option.isRepeated) else {
        throw .badData("\(path): \"\(key)\": expected \(option.configurationExpectation), found \(json.kind)")
      }
      // A record holds defaults that nobody gave; where a command has others of its own they were not in force.
      if isRecord, !given.contains(name), checked == [option.defaultValue].compactMap({ $0 }) { continue }
      values[name] = checked
    }
    return values
  }
}

extension OptionSpec {
  /// What a configuration file may hold for the option.
  fileprivate var configurationExpectation: String {
    if kind.isAssignment { return "an object of keys and values" }
    if case .list = kind.form { return "an array of names" }
    return isRepeated ? "an array, each \(kind.expectation)" : kind.expectation
  }
}
