import Support

/// `adapter_config.json`.
extension AdapterSettings {
  /// Reads `adapter_config.json`; what this program does not compute is refused by name.
  package init(folder given: String) throws(Failure) {
    let folder = Self.locate(given)
    let path = folder + "/adapter_config.json"
    guard Files.isDirectory(folder) else { throw .missingInput("\(folder): no such adapter folder") }
    guard Files.exists(path) else { throw .missingInput("\(folder): no adapter_config.json; a PEFT adapter folder is needed") }
    let json = try JSON.read(path)
    guard json["peft_type"]?.string == "LORA" else {
      throw .badData("\(path): \"peft_type\": expected \"LORA\", found \(json["peft_type"]?.kind ?? "nothing")")
    }
    guard let rank = json["r"]?.int, (1...65_536).contains(rank) else {
      throw .badData("\(path): \"r\": expected a positive whole number, found \(json["r"]?.kind ?? "nothing")")
    }
    guard let alpha = json["lora_alpha"]?.double, alpha.isFinite else {
      throw .badData("\(path): \"lora_alpha\": expected a number, found \(json["lora_alpha"]?.kind ?? "nothing")")
    }
    try Self.check(json, path: path)
    // Which modules the adapter is on, the tensors say; AdapterTargets sees to it that the file's names say the same.
    self.init(rank: rank, alpha: alpha)
    usesRankStabilizedScale = json["use_rslora"]?.bool ?? false
    if let value = json["lora_dropout"], !value.isNull {
      guard let share = value.double, (0...1).contains(share) else {
        throw .badData("\(path): \"lora_dropout\": expected a number from 0 to 1, found \(value.kind)")
      }
      dropout = share
    }
    guard scale.isFinite else {
      throw .badData("\(path): \"lora_alpha\" (\(alpha)) over the rank \(rank) is too large for float32")
    }
  }

  /// Says something of where an adapter came from or how it was trained, not of what it computes.
  private static let irrelevant: Set<String> = [
    "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode", "target_modules", "exclude_modules", "layers_to_transform",
    "layers_pattern", "lora_dropout", "megatron_core", "qalora_group_size", "runtime_config", "eva_config", "peft_type", "r", "lora_alpha",
  ]

  /// Every other key must be off, or have a value under which the adapter is what this program computes: `W + scale · B A` on the
  /// base weights as they are. Initialisations that change the base (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) leave an adapter that
  /// means something only beside that changed base.
  private static func check(_ json: JSON, path: String) throws(Failure) {
    guard let object = json.object else { return }
    for key in object.keys where !irrelevant.contains(key) {
      guard let value = object[key] else { continue }
      switch key {
      case "task_type":
        guard value.isNull || value.string == "CAUSAL_LM" else { throw refused(key, value, "\"CAUSAL_LM\"", path) }
      case "bias":
        guard value.isNull || value.string == "none" else { throw refused(key, value, "\"none\"", path) }
      case "use_rslora":
        guard value.isNull || value.bool != nil else { throw refused(key, value, "true or false", path) }
      case "init_lora_weights":
        guard value.isNull || value.bool != nil || ["gaussian", "orthogonal", "eva"].contains(value.string) else {
          throw refused(
            key, value, "true, false, \"gaussian\", \"orthogonal\" or \"eva\"", path,
            "it changes the base weights, so the adapter alone is not the model; convert it with peft's save_pretrained(path_initial_model_for_weight_conversion=…)")
        }
      case "rank_pattern", "alpha_pattern":
        if !ConfigurationKeys.isOff(value) { throw .badData("\(path): \"\(key)\": different ranks or alphas in one adapter are not supported") }
      default:
        if !ConfigurationKeys.isOff(value) { throw refused(key, value, "null or false", path) }
      }
    }
  }

  private static func refused(
    _ key: String, _ value: JSON, _ expected: String, _ path: String, _ advice: String = "merge the adapter with peft first"
  ) -> Failure {
    .badData("\(path): \"\(key)\": expected \(expected), found \(value.object == nil && value.array == nil ? value.kind : value.text()), which is not supported; \(advice)")
  }

  /// The adapter's own folder where a run's or a checkpoint's is named.
  package static func locate(_ folder: String) -> String {
    let inner = folder + "/adapter"
    return !Files.exists(folder + "/adapter_config.json") && Files.exists(inner + "/adapter_config.json") ? inner : folder
  }

  func json(baseModel: String) -> JSON {
    [
      "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": .string(baseModel),
      "r": .integer(rank), "lora_alpha": Int(exactly: alpha).map { .integer($0) } ?? .number(alpha),
      "lora_dropout": .number(0), "target_modules": .array(targets.map { .string($0) }), "bias": "none",
      "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true, "use_rslora": .bool(usesRankStabilizedScale),
      "use_dora": false, "modules_to_save": .null, "rank_pattern": [:], "alpha_pattern": [:],
    ]
  }
}
