import Compute
import Support

/// Writing a whole model as a Hugging Face folder.
extension Transformer {
  /// The value of every tensor of the model, adapters merged: `W + (α/r) · B A`.
  ///
  /// - Parameter source: the folder the frozen weights came from.
  private func tensor(_ name: String, shape: [Int], source: ModelFolder?) throws(Failure) -> [Float] {
    if let parameter = parameters.first(where: { $0.name == name }) { return try backend.download(parameter.value) }
    guard let source else { throw .internalError("\(name): a frozen tensor without a source") }
    var values = try source.floats(name, shape: shape)
    guard let linear = linears.first(where: { "\($0.name).weight" == name }), let adapter = linear.adapter else {
      return values
    }
    let a = try backend.download(adapter.a.value)
    let b = try backend.download(adapter.b.value)
    let (rank, inputs) = (adapter.a.shape[0], adapter.a.shape[1])
    var row = [Float](repeating: 0, count: inputs)
    for output in 0..<linear.outputs {
      for column in 0..<inputs { row[column] = 0 }
      for r in 0..<rank {
        let factor = b[output * rank + r]
        for column in 0..<inputs { row[column] += factor * a[r * inputs + column] }
      }
      for column in 0..<inputs { values[output * inputs + column] += adapter.scale * row[column] }
    }
    guard values.allSatisfy(\.isFinite) else {
      throw .badData("\(name): the adapter's product is too large for float32; it cannot be merged")
    }
    return values
  }

  /// Writes weights, configuration and, from `source`, the tokenizer's files. Adapters are merged in.
  ///
  /// The folder is written beside its place and renamed, so it is there whole or not at all, and nothing of an earlier one stays.
  ///
  /// - Parameters:
  ///   - chatTemplate: the form the model was trained in, as Jinja; it replaces the source's.
  ///   - replaces: whether a folder that is there already gives way: a run's own `model/`, not a folder that a user names.
  package func export(
    to place: String, source: ModelFolder?, kind: WeightKind, chatTemplate: String? = nil, replaces: Bool = false
  ) throws(Failure) {
    let folder = AtomicFile.target(Files.withoutTrailingSlashes(place))
    if !replaces { try ModelExport.requireFree(place) }
    let temporary = "\(folder).tmp-\(getpid())"
    try Files.removeTree(temporary)
    try Files.makeDirectory(temporary)
    do throws(Failure) {
      try write(to: temporary, source: source, kind: kind, chatTemplate: chatTemplate)
      try Files.removeTree(folder)
      try Files.rename(temporary, to: folder)
    } catch {
      try? Files.removeTree(temporary)
      throw error
    }
  }

  private func write(to folder: String, source: ModelFolder?, kind: WeightKind, chatTemplate: String?) throws(Failure) {
    var writer = SafetensorsWriter()
    for (name, shape) in configuration.tensorShapes {
      writer.add(
        name, try tensor(name, shape: shape, source: source), shape: shape,
        as: kind == .float32 ? .float32 : .bfloat16)
    }
    try writer.write(to: folder + "/model.safetensors")
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
    let config = configuration.json(kind: kind, endOfText: endOfText)
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

package enum ModelExport {
  /// Refuses a place where something is already: what an earlier export left would be taken for part of this one.
  package static func requireFree(_ folder: String) throws(Failure) {
    guard Files.exists(folder) else { return }
    guard Files.isDirectory(folder) else { throw .usage("\(folder): is a file; --out takes a new or empty folder") }
    if let first = try Files.list(folder).first {
      throw .usage("\(folder): is not empty (it holds \(first)); --out takes a new or empty folder")
    }
  }
}

extension ModelConfiguration {
  /// Every tensor of the model by its Hugging Face name.
  package var tensorShapes: [(name: String, shape: [Int])] {
    let query = heads.queryHeads * heads.channels
    let key = heads.keyValueHeads * heads.channels
    var shapes: [(String, [Int])] = [("model.embed_tokens.weight", [vocabularySize, hiddenSize])]
    for layer in 0..<layerCount {
      let prefix = "model.layers.\(layer)"
      shapes += [
        ("\(prefix).input_layernorm.weight", [hiddenSize]), ("\(prefix).post_attention_layernorm.weight", [hiddenSize]),
        ("\(prefix).self_attn.q_proj.weight", [query, hiddenSize]), ("\(prefix).self_attn.q_proj.bias", [query]),
        ("\(prefix).self_attn.k_proj.weight", [key, hiddenSize]), ("\(prefix).self_attn.k_proj.bias", [key]),
        ("\(prefix).self_attn.v_proj.weight", [key, hiddenSize]), ("\(prefix).self_attn.v_proj.bias", [key]),
        ("\(prefix).self_attn.o_proj.weight", [hiddenSize, query]),
        ("\(prefix).mlp.gate_proj.weight", [intermediateSize, hiddenSize]),
        ("\(prefix).mlp.up_proj.weight", [intermediateSize, hiddenSize]),
        ("\(prefix).mlp.down_proj.weight", [hiddenSize, intermediateSize]),
      ]
    }
    shapes.append(("model.norm.weight", [hiddenSize]))
    if !tiesEmbeddings { shapes.append(("lm_head.weight", [vocabularySize, hiddenSize])) }
    return shapes
  }
}
