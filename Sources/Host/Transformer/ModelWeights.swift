import Compute
import Support

/// What of a model is trained.
package enum Trainable: Sendable, Equatable {
  /// Nothing: evaluation, generation, and training an adapter.
  case nothing
  /// Every parameter of the model itself.
  case full
}

/// Where a model's weights come from.
package enum WeightSource {
  case folder(ModelFolder)
  case random(seed: UInt64)
  /// Random, and the same in every block: made in a moment, for measuring.
  case repeated(seed: UInt64)
  /// From nowhere: memory is counted, values are not made.
  case plan
}

/// The weights of one block as a forward takes them.
struct BlockWeights: Sendable {
  let inputNorm, middleNorm: NormWeights
  let queryNorm, keyNorm: NormWeights?
  /// By ``LinearPlace``.
  fileprivate(set) var linears: [LinearWeights]

  subscript(_ place: LinearPlace) -> LinearWeights { linears[place.rawValue] }

  /// With the low-rank additions of an adapter.
  func adapted(_ layers: [LoRAWeights?]?) -> BlockWeights {
    guard let layers else { return self }
    var weights = self
    for index in weights.linears.indices { weights.linears[index].lora = layers[index] }
    return weights
  }
}

/// The weights of a model: a value made of views, of what is frozen and of what is trained.
struct ModelWeights: Sendable {
  let embedding: PackedMatrix
  /// The embedding itself where the two are tied.
  let head: PackedMatrix
  let finalNorm: NormWeights
  let blocks: [BlockWeights]

  /// Assembles the weights from a table's tensors.
  init(_ configuration: ModelConfiguration, matrices: [TensorRole: PackedMatrix], vectors: [TensorRole: Tensor]) throws(Failure) {
    func matrix(_ role: TensorRole) throws(Failure) -> PackedMatrix {
      guard let matrix = matrices[role] else { throw .internalError("the table of tensors has no \(role)") }
      return matrix
    }
    func norm(_ role: TensorRole) throws(Failure) -> NormWeights {
      guard let weight = vectors[role] else { throw .internalError("the table of tensors has no \(role)") }
      return NormWeights(weight: weight, epsilon: configuration.rmsEpsilon)
    }
    embedding = try matrix(.embedding)
    head = configuration.tiesEmbeddings ? embedding : try matrix(.head)
    finalNorm = try norm(.finalNorm)
    var blocks: [BlockWeights] = []
    for block in 0..<configuration.layerCount {
      var linears: [LinearWeights] = []
      for place in LinearPlace.allCases {
        linears.append(
          LinearWeights(matrix: try matrix(.matrix(block: block, place)), bias: vectors[.bias(block: block, place)]))
      }
      let norms = configuration.normsQueriesAndKeys
      blocks.append(
        BlockWeights(
          inputNorm: try norm(.norm(block: block, .input)), middleNorm: try norm(.norm(block: block, .middle)),
          queryNorm: norms ? try norm(.norm(block: block, .query)) : nil, keyNorm: norms ? try norm(.norm(block: block, .key)) : nil,
          linears: linears))
    }
    self.blocks = blocks
  }
}

extension WeightSource {
  /// Values of tensors of a table, which draw random numbers from streams of their own in the table's order.
  func values(of tensors: [TensorSpec]) -> (TensorSpec) throws(Failure) -> [Float] {
    switch self {
    case .folder(let folder): return { spec throws(Failure) in try folder.floats(spec) }
    case .plan: return { spec throws(Failure) in [] }
    case .repeated(let seed):
      let random = WeightSource.random(seed: seed).values(of: tensors)
      var made: [String: [Float]] = [:]
      return { spec throws(Failure) in
        // Numbers in a name are those of blocks.
        let name = spec.name.filter { !$0.isNumber }
        if let values = made[name] { return values }
        let values = try random(spec)
        made[name] = values
        return values
      }
    case .random(let seed):
      var streams: [String: UInt64] = [:]
      for spec in tensors where spec.role.isMatrix { streams[spec.name] = UInt64(streams.count + 1) }
      return { spec throws(Failure) in
        spec.initial.values(
          count: spec.count, stream: RandomStream(seed: seed, path: [0x57_45_49_47_48_54, streams[spec.name] ?? 0]))
      }
    }
  }

  /// A frozen matrix in the backend's form.
  func matrix(_ spec: TensorSpec, _ values: (TensorSpec) throws(Failure) -> [Float], on backend: any Backend)
    throws(Failure) -> PackedMatrix
  {
    switch self {
    case .folder(let folder): return try folder.matrix(spec, on: backend)
    case .random, .repeated: return try backend.pack(try values(spec), outputs: spec.rows, inputs: spec.columns, as: spec.format)
    case .plan: return try backend.packed(outputs: spec.rows, inputs: spec.columns, as: spec.format)
    }
  }

  /// A frozen vector.
  func vector(_ spec: TensorSpec, _ values: (TensorSpec) throws(Failure) -> [Float], on backend: any Backend) throws(Failure) -> Tensor {
    if case .plan = self { return try backend.tensor(1, spec.count) }
    return try backend.vector(try values(spec))
  }
}
