import Compute
import Support

/// Writing a whole model as a Hugging Face folder.
extension Transformer {
  /// The value of a tensor of the model, an adapter merged: `W + (α/r) · B A`.
  ///
  /// - Parameter source: the folder the frozen weights came from.
  private func values(_ spec: TensorSpec, adapter: Adapter?, source: ModelFolder?) throws(Failure) -> [Float] {
    if let parameter = store?.parameter(spec.name) { return try backend.download(parameter.value).value() }
    guard let source else { throw .internalError("\(spec.name): a frozen tensor without a source") }
    var values = try source.floats(spec)
    guard case .matrix = spec.role, let adapter else { return values }
    let name = spec.name.dropLast(".weight".count)
    guard let first = adapter.store.parameter("\(name).lora_A.weight"), let second = adapter.store.parameter("\(name).lora_B.weight") else {
      return values
    }
    let a = try backend.download(first.value).value()
    let b = try backend.download(second.value).value()
    let (rank, inputs) = (first.shape[0], first.shape[1])
    var row = [Float](repeating: 0, count: inputs)
    for output in 0..<spec.rows {
      for column in 0..<inputs { row[column] = 0 }
      for r in 0..<rank {
        let factor = b[output * rank + r]
        for column in 0..<inputs { row[column] += factor * a[r * inputs + column] }
      }
      for column in 0..<inputs { values[output * inputs + column] += adapter.settings.scale * row[column] }
    }
    guard values.allSatisfy(\.isFinite) else {
      throw .badData("\(spec.name): the adapter's product is too large for float32; it cannot be merged")
    }
    return values
  }

  /// Whether a tensor is written in four bits: a linear layer of a block, and in a quantised folder what is so there.
  private func isQuantised(_ spec: TensorSpec, _ source: ModelFolder?) -> Bool {
    if let source, source.quantization != nil { return source.isQuantised(spec.name) }
    guard case .matrix = spec.role else { return false }
    return true
  }

  /// The blocks that a matrix is written as: the source's own, where nothing is merged into them.
  private func blocks(_ spec: TensorSpec, adapter: Adapter?, source: ModelFolder?) throws(Failure) -> NF4Blocks {
    let name = spec.name.dropLast(".weight".count)
    if let source, source.isQuantised(spec.name), adapter?.store.parameter("\(name).lora_A.weight") == nil { return try source.blocks(spec) }
    return backend.quantize(try values(spec, adapter: adapter, source: source), outputs: spec.rows, inputs: spec.columns)
  }

  /// Writes weights, configuration and, from `source`, the tokenizer's files. An adapter is merged in.
  ///
  /// The folder is written beside its place and renamed, so it is there whole or not at all, and nothing of an earlier one stays.
  ///
  /// - Parameter replaces: whether a folder that is there already gives way: a run's own `model/`, not a folder that a user names.
  package func export(_ export: ModelExport, to place: String, replaces: Bool = false) throws(Failure) {
    let folder = AtomicFile.target(Files.withoutTrailingSlashes(place))
    if !replaces { try ModelExport.requireFree(place) }
    let temporary = "\(folder).tmp-\(getpid())"
    try Files.removeTree(temporary)
    try Files.makeDirectory(temporary)
    do throws(Failure) {
      try write(export, to: temporary)
      try Files.removeTree(folder)
      try Files.rename(temporary, to: folder)
    } catch {
      try? Files.removeTree(temporary)
      throw error
    }
  }

  private func write(_ export: ModelExport, to folder: String) throws(Failure) {
    let (source, format, chatTemplate) = (export.source, export.format, export.chatTemplate)
    // What stands beside codes has to be known before the first byte is written; the codes themselves are made when their turn comes.
    var quantised: [String: NF4Tensors.Saved] = [:]
    if export.quantises {
      for spec in architecture.tensors where isQuantised(spec, source) {
        quantised[spec.name] = NF4Tensors.Saved(try blocks(spec, adapter: export.adapter, source: source), from: format.name)
      }
    }
    var owners: [String: TensorSpec] = [:]
    let tensors = architecture.tensors.flatMap { spec in
      let own = quantised[spec.name]?.tensors(spec.name)
        ?? [SafetensorsStream.Tensor(spec.name, shape: spec.shape, type: format == .float32 ? .float32 : .bfloat16)]
      for tensor in own { owners[tensor.name] = spec }
      return own
    }
    try WeightShards(tensors, largest: export.largestShard).write(to: folder) { tensor throws(Failure) in
      guard let spec = owners[tensor.name] else { throw .internalError("no tensor \(tensor.name)") }
      guard let saved = quantised[spec.name] else {
        return SafetensorsStream.bytes(try values(spec, adapter: export.adapter, source: source), as: tensor.type)
      }
      if tensor.name == spec.name { return try blocks(spec, adapter: export.adapter, source: source).codes }
      return try saved.bytes(tensor.name.dropFirst(spec.name.count))
    }
    for name in ["tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"] {
      guard let source, Files.exists("\(source.path)/\(name)") else { continue }
      try Files.copy("\(source.path)/\(name)", to: "\(folder)/\(name)")
    }
    try writeJSON("tokenizer_config.json", from: source, to: folder, required: false) { object in
      if let chatTemplate { object["chat_template"] = .string(chatTemplate) }
    }
    if let chatTemplate, source != nil { try AtomicFile.write(chatTemplate, to: folder + "/chat_template.jinja") }
    let ends: [JSON] = endOfText.map { .integer(Int($0)) }
    try writeJSON("generation_config.json", from: source, to: folder, required: true) { object in
      object["eos_token_id"] = .array(ends)
    }
    var config = configuration.json(format: format, endOfText: endOfText).object ?? [:]
    if export.quantises {
      let dense = architecture.linears.map(\.name).filter { quantised["\($0).weight"] == nil }
      config["quantization_config"] = FolderQuantization.json(computeType: format.name, skipping: ["lm_head"] + dense)
    }
    try AtomicFile.write(JSON.object(config).text(pretty: true) + "\n", to: folder + "/config.json")
  }

  /// The source's file with some of its keys set anew; where the source has none, these alone, if they are required.
  private func writeJSON(
    _ name: String, from source: ModelFolder?, to folder: String, required: Bool, _ change: (inout JSON.Object) -> Void
  ) throws(Failure) {
    let path = source.map { "\($0.path)/\(name)" }
    var object = JSON.Object()
    if let path, Files.exists(path) {
      object = try JSON.read(path).object ?? [:]
    } else if !required {
      return
    }
    change(&object)
    try AtomicFile.write(JSON.object(object).text(pretty: true) + "\n", to: "\(folder)/\(name)")
  }
}

/// What a whole model is written from.
package struct ModelExport {
  /// The folder that frozen weights and the tokenizer's files come from.
  package var source: ModelFolder?
  package var adapter: Adapter?
  package var format: WeightFormat
  /// Whether linear layers are written as NF4, `format` being that of all else.
  package var quantises = false
  /// The form that the model was trained in, as Jinja; it replaces the source's.
  package var chatTemplate: String?
  /// Bytes that a file of weights has at most, unless one tensor has more.
  package var largestShard = 5_000_000_000

  package init(source: ModelFolder?, adapter: Adapter? = nil, format: WeightFormat = .float32, chatTemplate: String? = nil) {
    self.source = source
    self.adapter = adapter
    self.format = format
    self.chatTemplate = chatTemplate
  }

  /// Refuses a place where something is already: what an earlier export left would be taken for part of this one.
  package static func requireFree(_ folder: String) throws(Failure) {
    guard Files.exists(folder) else { return }
    guard Files.isDirectory(folder) else { throw .usage("\(folder): is a file; --out takes a new or empty folder") }
    if let first = try Files.list(folder).first {
      throw .usage("\(folder): is not empty (it holds \(first)); --out takes a new or empty folder")
    }
  }
}
