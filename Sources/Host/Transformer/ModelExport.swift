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
    var values = try source.floats(spec.name, shape: spec.shape)
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
    let specs = Dictionary(uniqueKeysWithValues: architecture.tensors.map { ($0.name, $0) })
    let tensors = architecture.tensors.map {
      SafetensorsStream.Tensor($0.name, shape: $0.shape, type: format == .float32 ? .float32 : .bfloat16)
    }
    try WeightShards(tensors, largest: export.largestShard).write(to: folder) { tensor throws(Failure) in
      guard let spec = specs[tensor.name] else { throw .internalError("no tensor \(tensor.name)") }
      return try values(spec, adapter: export.adapter, source: source)
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
    let config = configuration.json(format: format, endOfText: endOfText)
    try AtomicFile.write(config.text(pretty: true) + "\n", to: folder + "/config.json")
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
