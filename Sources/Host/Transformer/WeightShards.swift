import Support

/// Weights as transformers writes them: one `model.safetensors`, or shards `model-00001-of-0000N.safetensors` with an index.
struct WeightShards {
  private let shards: [[SafetensorsStream.Tensor]]

  /// - Parameter largest: bytes that a shard has at most, unless one tensor has more.
  init(_ tensors: [SafetensorsStream.Tensor], largest: Int) {
    var shards: [[SafetensorsStream.Tensor]] = [[]]
    var size = 0
    for tensor in tensors {
      if size + tensor.byteCount > largest, !shards[shards.count - 1].isEmpty {
        shards.append([])
        size = 0
      }
      shards[shards.count - 1].append(tensor)
      size += tensor.byteCount
    }
    self.shards = shards
  }

  /// - Parameter bytes: gives a tensor's bytes when its turn comes.
  func write(to folder: String, bytes: (SafetensorsStream.Tensor) throws(Failure) -> [UInt8]) throws(Failure) {
    guard shards.count > 1 else { return try SafetensorsStream.write(shards[0], to: folder + "/model.safetensors", bytes: bytes) }
    func number(_ value: Int) -> String { String(repeating: "0", count: max(0, 5 - "\(value)".count)) + "\(value)" }
    var map = JSON.Object()
    for (index, shard) in shards.enumerated() {
      let name = "model-\(number(index + 1))-of-\(number(shards.count)).safetensors"
      try SafetensorsStream.write(shard, to: "\(folder)/\(name)", bytes: bytes)
      for tensor in shard { map[tensor.name] = .string(name) }
    }
    let total = shards.joined().reduce(0) { $0 + $1.byteCount }
    let index: JSON = ["metadata": ["total_size": .integer(total)], "weight_map": .object(map)]
    try AtomicFile.write(index.text(pretty: true) + "\n", to: folder + "/model.safetensors.index.json")
  }
}
