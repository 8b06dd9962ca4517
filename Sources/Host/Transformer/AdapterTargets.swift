import Support

/// The modules that an `adapter_config.json` puts its adapter on, by peft's rule (`check_target_module_exists`, peft 0.21).
///
/// The tensors beside it must be those of the same modules: peft takes no tensor of a module that the file does not name, and draws
/// those that it misses, in both cases with no more than a warning.
struct AdapterTargets {
  private enum Names {
    case list([String])
    case pattern(Regex<AnyRegexOutput>)

    func contains(_ module: String) -> Bool {
      switch self {
      case .list(let names): names.contains { module == $0 || module.hasSuffix("." + $0) }
      case .pattern(let pattern): (try? pattern.wholeMatch(in: module)) != nil
      }
    }
  }

  private let path: String
  private let targets: Names
  private let excluded: Names?
  private let layers: [Int]?

  init(folder: String) throws(Failure) {
    path = folder + "/adapter_config.json"
    let json = try JSON.read(path)
    if let text = json["target_modules"]?.string, text.lowercased() == "all-linear" {
      targets = .list(AdapterSettings.allTargets)
    } else {
      // Where none is named, peft takes these for the family.
      targets = try Self.names(json, "target_modules", path: path) ?? .list(["q_proj", "v_proj"])
    }
    excluded = try Self.names(json, "exclude_modules", path: path)
    layers = try Self.layers(json["layers_to_transform"], path: path)
    let pattern = json["layers_pattern"] ?? .null
    let isPlain = ConfigurationKeys.isOff(pattern) || pattern.string == "" || pattern.string == "layers" || pattern.array == ["layers"]
    guard isPlain || layers == nil else {
      throw .badData("\(path): \"layers_pattern\": expected null or \"layers\", found \(pattern.kind)")
    }
  }

  /// - Parameter isHeld: whether the adapter's file holds tensors of the module.
  func check(_ module: String, isHeld: Bool, file: String) throws(Failure) {
    if !isHeld {
      if obstacle(module) == nil {
        throw .badData("\(file): holds no tensors of \(module), which \"target_modules\" in adapter_config.json names")
      }
    } else if let key = obstacle(module) {
      throw .badData(
        "\(path): \"\(key)\" leaves out \(module), but adapter_model.safetensors holds its tensors; name the module, or remove them")
    }
  }

  /// The key by which a module has no adapter; nil where it has one.
  private func obstacle(_ module: String) -> String? {
    if let excluded, excluded.contains(module) { return "exclude_modules" }
    guard targets.contains(module) else { return "target_modules" }
    guard let layers, case .list(let names) = targets, !names.contains(module) else { return nil }
    let parts = module.split(separator: ".")
    guard let place = parts.firstIndex(of: "layers"), place + 1 < parts.count, let layer = Int(parts[place + 1]), layers.contains(layer)
    else { return "layers_to_transform" }
    return nil
  }

  /// nil where the key is off; an empty list of targets names nothing.
  private static func names(_ json: JSON, _ key: String, path: String) throws(Failure) -> Names? {
    guard let value = json[key], !value.isNull else { return nil }
    if let text = value.string {
      if text.isEmpty, key == "exclude_modules" { return nil }
      guard let pattern = try? Regex(text) else {
        throw .badData("\(path): \"\(key)\": \(value.kind) is a pattern that this program cannot read; list the modules' names")
      }
      return .pattern(pattern)
    }
    guard let items = value.array else {
      throw .badData("\(path): \"\(key)\": expected names, a pattern or null, found \(value.kind)")
    }
    var names: [String] = []
    for item in items {
      guard let name = item.string else { throw .badData("\(path): \"\(key)\": expected names, found \(item.kind)") }
      names.append(name)
    }
    return names.isEmpty && key == "exclude_modules" ? nil : .list(names)
  }

  private static func layers(_ value: JSON?, path: String) throws(Failure) -> [Int]? {
    guard let value, !value.isNull else { return nil }
    var layers: [Int] = []
    for item in value.array ?? [value] {
      guard let layer = item.int else {
        throw .badData("\(path): \"layers_to_transform\": expected whole numbers, found \(item.kind)")
      }
      layers.append(layer)
    }
    return value.array?.isEmpty == true ? nil : layers
  }
}
