import Compute
import Support

/// The shape of a LoRA adapter: rank r, α, and the modules it sits on.
package struct AdapterSettings: Sendable, Equatable {
  package static let allTargets = LinearPlace.allCases.map(\.module)

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

  /// The tensors of an adapter on some layers, A before B.
  func tensors(_ modules: [LinearModule]) -> [TensorSpec] {
    modules.flatMap { module in
      [
        // PEFT's Kaiming with a = √5.
        TensorSpec(
          "\(module.name).lora_A.weight", [rank, module.inputs], .loraA(block: module.block, module.place),
          .uniform(1 / Double(module.inputs).squareRoot())),
        TensorSpec("\(module.name).lora_B.weight", [module.outputs, rank], .loraB(block: module.block, module.place), .constant(0)),
      ]
    }
  }
}

/// The low-rank additions to a model's linear layers: what a forward is given beside the model. Several can exist at once.
package struct AdapterWeights: Sendable {
  /// By block and ``LinearPlace``; nil where a layer has none.
  let blocks: [[LoRAWeights?]]

  /// Memory of it: other weights have other memory.
  package var storage: Storage? { blocks.joined().lazy.compactMap { $0?.a.storage }.first }

  init(_ specs: [TensorSpec], _ matrices: [PackedMatrix?], scale: Float, blocks count: Int) {
    var a: [[PackedMatrix?]] = Array(repeating: Array(repeating: nil, count: LinearPlace.allCases.count), count: count)
    var b = a
    for (spec, matrix) in zip(specs, matrices) {
      if case .loraA(let block, let place) = spec.role { a[block][place.rawValue] = matrix }
      if case .loraB(let block, let place) = spec.role { b[block][place.rawValue] = matrix }
    }
    blocks = zip(a, b).map { zip($0, $1).map { a, b in a.flatMap { a in b.map { LoRAWeights(a: a, b: $0, scale: scale) } } } }
  }
}

/// An adapter under training or loaded to act, and PEFT's folder form of it: `adapter_config.json` and `adapter_model.safetensors`.
package final class Adapter: Sendable {
  /// What PEFT puts in front of a module's name.
  package static let prefix = "base_model.model."

  package let settings: AdapterSettings
  package let store: ParameterStore
  /// As they are now: training changes them.
  package let weights: AdapterWeights
  private let blocks: Int

  private init(_ settings: AdapterSettings, _ store: ParameterStore, blocks: Int) {
    self.settings = settings
    self.store = store
    self.blocks = blocks
    weights = AdapterWeights(store.specs, store.parameters.map(\.packed), scale: settings.scale, blocks: blocks)
  }

  /// A fresh adapter on the target modules of a model: A uniform in ±1/√K, B zero.
  package convenience init(_ settings: AdapterSettings, seed: UInt64, for model: Transformer) throws(Failure) {
    for target in settings.targets where !AdapterSettings.allTargets.contains(target) {
      throw .usage(
        "LoRA target \"\(target)\": expected one of \(AdapterSettings.allTargets.joined(separator: ", "))")
    }
    let linears = model.architecture.linears
    var streams: [String: UInt64] = [:]
    for (index, module) in linears.enumerated() { streams["\(module.name).lora_A.weight"] = UInt64(index) }
    let specs = settings.tensors(linears.filter { settings.targets.contains($0.place.module) })
    let store = try ParameterStore(specs, on: model.backend) { spec in
      spec.initial.values(
        count: spec.count, stream: RandomStream(seed: seed, path: [0x4C_6F_52_41, streams[spec.name] ?? 0]))
    }
    self.init(settings, store, blocks: model.configuration.layerCount)
  }

  /// An adapter without values, on a model without values: its memory is counted.
  package convenience init(planning settings: AdapterSettings, for model: Transformer) throws(Failure) {
    let modules = model.architecture.linears.filter { module in
      settings.targets.contains { $0 == module.place.module || $0 == module.name }
    }
    let store = try ParameterStore(settings.tensors(modules), on: model.backend) { _ in [] }
    self.init(settings, store, blocks: model.configuration.layerCount)
  }

  /// The adapter of a PEFT folder, for a model.
  package convenience init(_ folder: String, for model: Transformer) throws(Failure) {
    try self.init(AdapterFolder(folder), for: model)
  }

  /// An adapter whose files are open already.
  package convenience init(_ folder: AdapterFolder, for model: Transformer) throws(Failure) {
    var settings = folder.settings
    let file = folder.file
    var unused = Set(file.names)
    let linears = model.architecture.linears
    var held: [LinearModule] = []
    func name(_ tensor: String) -> String { Self.prefix + tensor }
    for module in linears {
      let (nameA, nameB) = (name("\(module.name).lora_A.weight"), name("\(module.name).lora_B.weight"))
      let isHeld = file.entries[nameA] != nil || file.entries[nameB] != nil
      try folder.targets.check(module.name, isHeld: isHeld, file: file.path)
      guard isHeld else { continue }
      held.append(module)
      for spec in settings.tensors([module]) {
        let shape = try file.entry(name(spec.name)).shape
        guard shape == spec.shape else {
          throw .badData("\(file.path): tensor \"\(name(spec.name))\": expected shape \(spec.shape), found \(shape)")
        }
      }
      unused.subtract([nameA, nameB])
      for name in [nameA, nameB] {
        if let place = file.firstNonFinite(try file.entry(name)) {
          throw .badData("\(file.path): tensor \"\(name)\": value \(place) is not a finite number; the adapter is damaged")
        }
      }
    }
    if let stray = unused.min() {
      throw .badData("\(file.path): tensor \"\(stray)\" belongs to no linear layer of this model; LoRA on q, k, v, o, gate, up and down projections is supported")
    }
    guard !held.isEmpty else { throw .badData("\(file.path): holds no adapter of this model") }
    let store = try ParameterStore(settings.tensors(held), on: model.backend) { spec throws(Failure) in try file.floats(name(spec.name)) }
    // As PEFT's `target_modules` names them: by their last name where all layers have them, by the whole name where only some do.
    settings.targets = LinearPlace.allCases.flatMap { place -> [String] in
      let adapted = held.filter { $0.place == place }
      return adapted.count == linears.count { $0.place == place } ? [place.module] : adapted.map(\.name)
    }
    self.init(settings, store, blocks: model.configuration.layerCount)
  }

  /// The weights as they are now, apart from those that training changes.
  package func frozen() throws(Failure) -> AdapterWeights {
    AdapterWeights(store.specs, try store.frozen(), scale: settings.scale, blocks: blocks)
  }

  /// Writes the adapter as PEFT does. The folder appears whole: the settings are written last.
  package func save(baseModel: String, to folder: String) throws(Failure) {
    try Files.makeOneDirectory(folder)
    let parts = store.parameters.map { parameter in
      SafetensorsStream.Part(Self.prefix + parameter.name, shape: parameter.shape) { [store] () throws(Failure) in
        try store.backend.download(parameter.value).value()
      }
    }
    try SafetensorsStream.write(parts, metadata: ["format": "pt"], to: folder + "/adapter_model.safetensors")
    try AtomicFile.write(settings.json(baseModel: baseModel).text(pretty: true) + "\n", to: folder + "/adapter_config.json")
  }
}
