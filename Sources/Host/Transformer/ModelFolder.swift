import Compute
import Hub
import Support

/// A Hugging Face model folder: configuration, generation settings, and weights in one `safetensors` file or in shards.
package struct ModelFolder: Sendable {
  package let path: String
  package let configuration: ModelConfiguration
  /// The ids that end a completion, from `generation_config.json` and `config.json`.
  package private(set) var endOfText: [Int32]
  /// The file and key that name each of them.
  package let endSources: [Int32: String]
  /// How its linear layers are quantised; nil where they are not.
  package let quantization: FolderQuantization?
  private let files: [SafetensorsFile]
  private let fileOfTensor: [String: Int]

  /// - Parameter model: a folder, or a hub name such as `Qwen/Qwen2.5-Math-1.5B-Instruct` in the hub's cache, perhaps with a revision
  ///   (`name@revision`).
  package init(_ model: String) throws(Failure) {
    path = try Self.locate(model)
    // A download that was interrupted leaves a snapshot with some of its files.
    let fetch = path == model ? "" : "; fetch what is missing with: nano-reasoner download \(model)"
    let configPath = path + "/config.json"
    guard Files.exists(configPath) else {
      throw .missingInput("\(path): no config.json; a Hugging Face model folder is needed\(fetch)")
    }
    let config = try JSON.read(configPath)
    configuration = try ModelConfiguration(json: config, path: configPath)
    quantization = try FolderQuantization(config, path: configPath)
    let generationPath = path + "/generation_config.json"
    let generation = Files.exists(generationPath) ? try JSON.read(generationPath) : nil
    // Both files may name ends, and what either names ends a completion.
    var ends: [Int32] = []
    var sources: [Int32: String] = [:]
    for (value, name) in [(generation?["eos_token_id"], generationPath), (config["eos_token_id"], configPath)] {
      for id in try Self.ids(value, name: name) where !ends.contains(id) {
        ends.append(id)
        sources[id] = "\(name): \"eos_token_id\""
      }
    }
    endOfText = ends
    endSources = sources

    let single = path + "/model.safetensors"
    let indexPath = path + "/model.safetensors.index.json"
    var files: [SafetensorsFile] = []
    var fileOfTensor: [String: Int] = [:]
    if Files.exists(single) {
      files = [try SafetensorsFile(single)]
      for name in files[0].names { fileOfTensor[name] = 0 }
    } else if Files.exists(indexPath) {
      let index = try JSON.read(indexPath)
      guard let map = index["weight_map"]?.object else {
        throw .badData("\(indexPath): \"weight_map\": expected an object, found \(index["weight_map"]?.kind ?? "nothing")")
      }
      var numbers: [String: Int] = [:]
      for tensor in map.keys {
        guard let shard = map[tensor]?.string, !shard.contains("/") else {
          throw .badData("\(indexPath): the shard of \"\(tensor)\" must be a file name in the same folder")
        }
        if numbers[shard] == nil {
          guard Files.exists("\(path)/\(shard)") else { throw .missingInput("\(path)/\(shard): not there, and \(indexPath) names it\(fetch)") }
          numbers[shard] = files.count
          files.append(try SafetensorsFile(path + "/" + shard))
        }
        _ = try files[numbers[shard]!].entry(tensor)
        fileOfTensor[tensor] = numbers[shard]
      }
      // The index may leave out what a shard holds; that is in the weights all the same.
      for (number, file) in files.enumerated() {
        for name in file.names {
          if let other = fileOfTensor[name], other != number {
            throw .badData("\(file.path): tensor \"\(name)\" is in \(files[other].path) too; one of them must go")
          }
          fileOfTensor[name] = number
        }
      }
    } else {
      throw .missingInput("\(path): no model.safetensors and no model.safetensors.index.json\(fetch)")
    }
    self.files = files
    self.fileOfTensor = fileOfTensor
    try checkTensors()
  }

  /// The names that quantised weights and their scales go by.
  private static let quantisedNames = [
    ".qweight", ".qzeros", ".scales", ".g_idx", ".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ".weight_scale", ".weight_scale_inv",
    ".SCB", ".weight_packed", ".weight_shape", ".input_scale",
  ]

  /// Whether the files hold the tensors of this model and no others: what is not used would be lost without a word.
  private func checkTensors() throws(Failure) {
    let tensors = Architecture(configuration).tensors
    let quantised = tensors.filter { isQuantised($0.name) }.map(\.name)
    if let spec = tensors.first(where: { spec in if case .matrix = spec.role { false } else { isQuantised(spec.name) } }) {
      throw .badData("\(path): tensor \"\(spec.name)\": the weights are quantised: not supported here; of quantised weights only the linear layers of blocks are computed")
    }
    let beside = Set(quantised.flatMap { name in NF4Tensors.suffixes.map { name + $0 } })
    if let name = quantised.first(where: { quantization?.skips($0.dropLast(".weight".count)) == true }) {
      throw .badData("\(path): tensor \"\(name)\" is quantised, but config.json has its module in \"llm_int8_skip_modules\"; one of the two is wrong")
    }
    for name in fileOfTensor.keys.sorted() where !beside.contains(name) {
      if Self.quantisedNames.contains(where: { name.hasSuffix($0) }) || name.contains(".quant_state.") {
        throw .badData("\(path): tensor \"\(name)\": the weights are quantised: not supported; take the folder with float32 or bfloat16 weights")
      }
    }
    let known = Set(tensors.map(\.name)).union(beside)
    var unused = fileOfTensor.keys.filter { !known.contains($0) && !$0.hasSuffix(".rotary_emb.inv_freq") }
    let head = "lm_head.weight"
    if !configuration.tiesEmbeddings, fileOfTensor[head] == nil {
      throw .badData(
        "\(path): the weights have no tensor \"\(head)\", and config.json does not tie the head to the embedding (\"tie_word_embeddings\": true)")
    }
    if configuration.tiesEmbeddings, let place = unused.firstIndex(of: head) {
      try checkTiedHead(head)
      unused.remove(at: place)
    }
    if let first = unused.min() {
      throw .badData(
        "\(path): tensor \"\(first)\"\(unused.count > 1 ? " and \(unused.count - 1) others" : "") in the weights belong to nothing that config.json describes; this program computes plain \(configuration.family.own.models)")
    }
  }

  /// A tied model has one matrix; a file may repeat it, but not hold another.
  private func checkTiedHead(_ head: String) throws(Failure) {
    let embedding = "model.embed_tokens.weight"
    let shape = [configuration.vocabularySize, configuration.hiddenSize]
    let (first, second) = (try file(of: embedding, shape: shape), try file(of: head, shape: shape))
    let (a, b) = (try first.entry(embedding), try second.entry(head))
    let isSame =
      a.type == b.type
      ? unsafe first.withBytes(a) { x in unsafe second.withBytes(b) { y in unsafe memcmp(x.baseAddress!, y.baseAddress!, min(x.count, y.count)) == 0 } }
      : try first.floats(embedding) == second.floats(head)
    if !isSame {
      throw .badData(
        "\(path): \"tie_word_embeddings\" is true, but \"\(head)\" in the weights is not the embedding; set it to false in config.json if the file's head is meant")
    }
  }

  /// The same folder with all ends that are known of its completions, the tokenizer's among them.
  package func ending(with ends: [Int32]) -> ModelFolder {
    var folder = self
    folder.endOfText = ends
    return folder
  }

  /// The folder a model name stands for: itself, or a snapshot in the hub's cache.
  package static func locate(_ model: String) throws(Failure) -> String {
    if Files.isDirectory(model) { return model }
    if Files.exists(model) { throw .missingInput("\(model): is a file; a Hugging Face model folder is needed") }
    guard let name = HubName(model), name.part == nil else { throw .missingInput("\(model): no such folder") }
    return try HubCache.user.snapshot(.model, name)
  }

  private static func ids(_ value: JSON?, name: String) throws(Failure) -> [Int32] {
    guard let value, !value.isNull else { return [] }
    var ids: [Int32] = []
    for item in value.array ?? [value] {
      guard let id = item.int, let narrow = Int32(exactly: id), narrow >= 0 else {
        throw .badData("\(name): \"eos_token_id\": expected a token id or a list of them, found \(item.kind)")
      }
      ids.append(narrow)
    }
    return ids
  }

  package func has(_ name: String) -> Bool { fileOfTensor[name] != nil }

  private func file(of name: String, shape: [Int]) throws(Failure) -> SafetensorsFile {
    guard let number = fileOfTensor[name] else { throw .badData("\(path): the weights have no tensor \"\(name)\"") }
    let entry = try files[number].entry(name)
    guard entry.shape == shape else {
      throw .badData(
        "\(files[number].path): tensor \"\(name)\": expected shape \(shape) by config.json, found \(entry.shape)")
    }
    if let place = files[number].firstNonFinite(entry) {
      throw .badData("\(files[number].path): tensor \"\(name)\": value \(place) is not a finite number; the weights are damaged")
    }
    return files[number]
  }

  /// Whether a tensor is kept as blocks of four bits.
  package func isQuantised(_ name: String) -> Bool { quantization != nil && has(name + NF4Tensors.state) }

  /// A quantised matrix as the file has it.
  func blocks(_ spec: TensorSpec) throws(Failure) -> NF4Blocks {
    try NF4Tensors.read(
      spec.name, shape: spec.shape,
      from: { name throws(Failure) in
        guard let number = fileOfTensor[name] else { throw .badData("\(path): the weights have no tensor \"\(name)\"") }
        return files[number]
      }, has: has)
  }

  /// A tensor as float32, its shape checked.
  package func floats(_ spec: TensorSpec) throws(Failure) -> [Float] {
    isQuantised(spec.name) ? try blocks(spec).floats() : try floats(spec.name, shape: spec.shape)
  }

  /// A tensor that is not quantised as float32, its shape checked.
  package func floats(_ name: String, shape: [Int]) throws(Failure) -> [Float] {
    let file = try file(of: name, shape: shape)
    defer { if let entry = file.entries[name] { file.release(entry) } }
    return try file.floats(name)
  }

  /// The table of this model's tensors: what is trained, and how what is frozen is kept.
  ///
  /// - Parameters:
  ///   - format: of frozen matrices; nil keeps bfloat16 files as they are, all else becomes float32: exact. Of those in four bits it is
  ///     what their values are rounded to in products; nil takes what a quantised folder says.
  ///   - quantises: whether the linear layers of blocks become NF4; those of a quantised folder are as they are.
  package func architecture(trainable: Trainable, format: WeightFormat?, quantises: Bool = false) -> Architecture {
    Architecture(configuration).training(trainable).kept { spec in
      if let quantization, isQuantised(spec.name) {
        let rounds = format.map { $0 == .bfloat16 } ?? (quantization.computeType == WeightFormat.bfloat16.name)
        return .nf4(NF4Format(roundsToBFloat16: rounds, isNested: NF4Tensors.isNested(spec.name, has)))
      }
      let dense = format ?? (fileOfTensor[spec.name].flatMap { files[$0].entries[spec.name] }?.type == .bfloat16 ? .bfloat16 : .float32)
      guard quantises, quantization == nil, case .matrix = spec.role else { return dense }
      return .nf4(NF4Format(roundsToBFloat16: dense == .bfloat16))
    }
  }

  /// A matrix in the backend's form and the format that the table says; its bytes in the file are not kept in memory.
  func matrix(_ spec: TensorSpec, on backend: any Backend) throws(Failure) -> PackedMatrix {
    if case .nf4(let nf4) = spec.format, isQuantised(spec.name) {
      return try backend.pack(try blocks(spec), roundsToBFloat16: nf4.roundsToBFloat16)
    }
    let file = try file(of: spec.name, shape: spec.shape)
    let entry = try file.entry(spec.name)
    defer { file.release(entry) }
    let stored: WeightFormat? =
      switch entry.type {
      case .bfloat16: .bfloat16
      case .float32: .float32
      default: nil
      }
    guard let stored else {
      return try backend.pack(try file.floats(spec.name), outputs: spec.rows, inputs: spec.columns, as: spec.format)
    }
    return try unsafe file.withBytes(entry) { (bytes: UnsafeRawBufferPointer) throws(Failure) -> PackedMatrix in
      unsafe try backend.pack(bytes, format: stored, outputs: spec.rows, inputs: spec.columns, as: spec.format)
    }
  }

  /// The files that hold the weights: the one, or every shard that the index names.
  package var weightFiles: [String] { files.map(\.path) }
}
