import Compute
import Foundations

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
    return values
  }

  /// Writes weights, configuration and, from `source`, the tokenizer's files. Adapters are merged in.
  package func export(to folder: String, source: ModelFolder?, kind: WeightKind) throws(Failure) {
    try Files.makeDirectory(folder)
    var writer = SafetensorsWriter()
    for (name, shape) in configuration.tensorShapes {
      writer.add(
        name, try tensor(name, shape: shape, source: source), shape: shape,
        as: kind == .float32 ? .float32 : .bfloat16)
    }
    try writer.write(to: folder + "/model.safetensors")
    for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "chat_template.jinja"] {
      guard let source, Files.exists("\(source.path)/\(name)"), source.path != folder else { continue }
      try Files.copy("\(source.path)/\(name)", to: "\(folder)/\(name)")
    }
    if !Files.exists(folder + "/generation_config.json") {
      let generation: JSON = ["eos_token_id": .array(endOfText.map { .integer(Int($0)) })]
      try AtomicFile.write(generation.text(pretty: true) + "\n", to: folder + "/generation_config.json")
    }
    let config = configuration.json(kind: kind, endOfText: endOfText)
    try AtomicFile.write(config.text(pretty: true) + "\n", to: folder + "/config.json")
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
