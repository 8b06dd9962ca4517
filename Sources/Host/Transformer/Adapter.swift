import Compute
import Support

/// The shape of a LoRA adapter: rank r, α, and the modules it sits on.
package struct AdapterSettings: Sendable, Equatable {
  package static let allTargets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

  package var rank: Int
  package var alpha: Double
  package var targets: [String]
  /// Scale by α/√r instead of α/r (Kalajdzievski, arXiv 2312.03732).
  package var usesRankStabilizedScale = false
  /// What a loaded adapter was trained with, as its file says; this program trains without.
  package var dropout = 0.0

  package init(rank: Int = 16, alpha: Double = 32, targets: [String] = allTargets) {
    self.rank = rank
    self.alpha = alpha
    self.targets = targets
  }

  package var scale: Float {
    Float(usesRankStabilizedScale ? alpha / Double(rank).squareRoot() : alpha / Double(rank))
  }
}

/// Putting adapters on a model, and PEFT's folder form: `adapter_config.json` and `adapter_model.safetensors`.
extension Transformer {
  /// Puts a fresh adapter on the target modules: A uniform in ±1/√K (PEFT's Kaiming with a = √5), B zero.
  package func addAdapter(_ settings: AdapterSettings, seed: UInt64) throws(Failure) {
    for target in settings.targets where !AdapterSettings.allTargets.contains(target) {
      throw .usage(
        "LoRA target \"\(target)\": expected one of \(AdapterSettings.allTargets.joined(separator: ", "))")
    }
    for (index, linear) in linears.enumerated() where settings.targets.contains(Self.module(of: linear)) {
      var stream = RandomStream(seed: seed, path: [0x4C_6F_52_41, UInt64(index)])
      let bound = 1 / Double(linear.inputs).squareRoot()
      let a = (0..<(settings.rank * linear.inputs)).map { _ in Float((2 * stream.nextUniform() - 1) * bound) }
      let b = [Float](repeating: 0, count: linear.outputs * settings.rank)
      try attach(a: a, b: b, rank: settings.rank, scale: settings.scale, to: linear)
    }
  }

  private static func module(of linear: Linear) -> String {
    linear.name.split(separator: ".").last.map(String.init) ?? linear.name
  }

  /// The modules that carry an adapter, as PEFT's `target_modules` names them: by their last name where all layers have them,
  /// by the whole name where only some do.
  private var adaptedModules: [String] {
    AdapterSettings.allTargets.flatMap { target -> [String] in
      let modules = linears.filter { Self.module(of: $0) == target }
      let adapted = modules.filter { $0.adapter != nil }
      return adapted.count == modules.count ? [target] : adapted.map(\.name)
    }
  }

  private func attach(a: [Float], b: [Float], rank: Int, scale: Float, to linear: Linear) throws(Failure) {
    linear.adapter = LoRALayer(
      a: try Parameter("\(linear.name).lora_A.weight", a, shape: [rank, linear.inputs], isMatrix: true, on: backend),
      b: try Parameter("\(linear.name).lora_B.weight", b, shape: [linear.outputs, rank], isMatrix: true, on: backend),
      scale: scale)
  }

  package func removeAdapter() {
    for linear in linears { linear.adapter = nil }
  }

  /// Puts the adapter of a PEFT folder on the model and returns its settings.
  @discardableResult
  package func loadAdapter(_ given: String) throws(Failure) -> AdapterSettings { try loadAdapter(AdapterFolder(given)) }

  /// Puts an adapter whose files are open already on the model and returns its settings.
  @discardableResult
  package func loadAdapter(_ adapter: AdapterFolder) throws(Failure) -> AdapterSettings {
    var settings = adapter.settings
    let (file, named) = (adapter.file, adapter.targets)
    var unused = Set(file.names)
    removeAdapter()
    for linear in linears {
      let prefix = "base_model.model.\(linear.name)"
      let (nameA, nameB) = ("\(prefix).lora_A.weight", "\(prefix).lora_B.weight")
      let isHeld = file.entries[nameA] != nil || file.entries[nameB] != nil
      try named.check(linear.name, isHeld: isHeld, file: file.path)
      guard isHeld else { continue }
      let (shapeA, shapeB) = (try file.entry(nameA).shape, try file.entry(nameB).shape)
      guard shapeA == [settings.rank, linear.inputs] else {
        throw .badData("\(file.path): tensor \"\(nameA)\": expected shape [\(settings.rank), \(linear.inputs)], found \(shapeA)")
      }
      guard shapeB == [linear.outputs, settings.rank] else {
        throw .badData("\(file.path): tensor \"\(nameB)\": expected shape [\(linear.outputs), \(settings.rank)], found \(shapeB)")
      }
      unused.subtract([nameA, nameB])
      for name in [nameA, nameB] {
        if let place = file.firstNonFinite(try file.entry(name)) {
          throw .badData("\(file.path): tensor \"\(name)\": value \(place) is not a finite number; the adapter is damaged")
        }
      }
      try attach(
        a: try file.floats(nameA), b: try file.floats(nameB), rank: settings.rank, scale: settings.scale, to: linear)
    }
    if let stray = unused.min() {
      throw .badData("\(file.path): tensor \"\(stray)\" belongs to no linear layer of this model; LoRA on q, k, v, o, gate, up and down projections is supported")
    }
    guard linears.contains(where: { $0.adapter != nil }) else {
      throw .badData("\(file.path): holds no adapter of this model")
    }
    settings.targets = adaptedModules
    return settings
  }

  /// Writes the adapter as PEFT does. The folder appears whole: the settings are written last.
  package func saveAdapter(_ settings: AdapterSettings, baseModel: String, to folder: String) throws(Failure) {
    try Files.makeDirectory(folder)
    var writer = SafetensorsWriter()
    for linear in linears {
      guard let adapter = linear.adapter else { continue }
      for parameter in [adapter.a, adapter.b] {
        writer.add(
          "base_model.model.\(parameter.name)", try backend.download(parameter.value), shape: parameter.shape)
      }
    }
    try writer.write(to: folder + "/adapter_model.safetensors")
    try AtomicFile.write(settings.json(baseModel: baseModel).text(pretty: true) + "\n", to: folder + "/adapter_config.json")
  }
}

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
