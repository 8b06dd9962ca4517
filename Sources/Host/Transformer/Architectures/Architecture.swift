import Compute
import Support

/// A family of models: what its `config.json` says and what of it is computed. One file a family stands beside this one.
protocol ModelFamily: Sendable {
  /// `model_type` in `config.json`.
  static var type: String { get }
  /// The class that transformers computes it with.
  static var className: String { get }
  /// What people call its models.
  static var models: String { get }
  /// Keys of `config.json` that only this family has and that are computed here.
  static var computedKeys: Set<String> { get }
  /// Keys with the one value under which they change nothing.
  static var requiredKeys: [String: JSON] { get }
  /// The context where `config.json` does not say it.
  static var defaultPositions: Int { get }
  /// Channels of a head where `config.json` does not say them; nil: hidden size by heads.
  static var defaultChannels: Int? { get }
  /// Fills in what is the family's own: biases, norms.
  static func complete(_ configuration: inout ModelConfiguration, from json: JSON, path: String) throws(Failure)
  /// Its own keys of `config.json`, as they are written.
  static func keys(of configuration: ModelConfiguration) -> JSON.Object
}

/// The families that this program computes.
package enum Family: String, Sendable, CaseIterable {
  case qwen2, llama, qwen3

  var own: any ModelFamily.Type {
    switch self {
    case .qwen2: Qwen2.self
    case .llama: Llama.self
    case .qwen3: Qwen3.self
    }
  }

  /// For messages.
  static var list: String { allCases.map { "\"\($0.own.type)\" (\($0.own.models))" }.joined(separator: ", ") }
}

/// The linear layers of a block, in the model's order.
package enum LinearPlace: Int, Sendable, CaseIterable {
  case q, k, v, o, gate, up, down

  /// The module's last name, as PEFT's `target_modules` has it.
  package var module: String { "\(self)_proj" }
  /// The module's name within its block.
  var path: String { rawValue < Self.gate.rawValue ? "self_attn.\(module)" : "mlp.\(module)" }
}

/// The norms of a block.
package enum NormPlace: Sendable {
  case input, query, key, middle

  var path: String {
    switch self {
    case .input: "input_layernorm"
    case .query: "self_attn.q_norm"
    case .key: "self_attn.k_norm"
    case .middle: "post_attention_layernorm"
    }
  }
}

/// What a tensor is for.
package enum TensorRole: Sendable, Hashable {
  case embedding, head, finalNorm
  case norm(block: Int, NormPlace)
  case matrix(block: Int, LinearPlace)
  case bias(block: Int, LinearPlace)
  case loraA(block: Int, LinearPlace)
  case loraB(block: Int, LinearPlace)
  case valueWeight, valueBias

  /// Read by matrix products, in a form of the backend's.
  package var isMatrix: Bool {
    switch self {
    case .embedding, .head, .matrix, .loraA, .loraB, .valueWeight: true
    case .finalNorm, .norm, .bias, .valueBias: false
    }
  }
}

/// What a tensor holds where nothing is loaded into it.
package enum InitialValue: Sendable, Equatable {
  case constant(Float)
  /// Normal with this deviation.
  case normal(Double)
  /// Uniform in ± this bound.
  case uniform(Double)

  /// - Parameter stream: numbers of its own for each tensor that draws any.
  func values(count: Int, stream: RandomStream) -> [Float] {
    var stream = stream
    switch self {
    case .constant(let value): return Array(repeating: value, count: count)
    case .normal(let deviation): return (0..<count).map { _ in Float(deviation * stream.nextNormal()) }
    case .uniform(let bound): return (0..<count).map { _ in Float((2 * stream.nextUniform() - 1) * bound) }
    }
  }
}

/// One tensor of a model, an adapter or a head: everything that loading, saving, exporting, counting, planning and optimising need to
/// know of it. Names are Hugging Face's and PEFT's, so that a tensor is found in their files.
package struct TensorSpec: Sendable {
  package let name: String
  /// `[outputs, inputs]` or `[channels]`
  package let shape: [Int]
  package let role: TensorRole
  package let initial: InitialValue
  package var isTrained = false
  /// How it is kept where it is frozen; what is trained is float32.
  package var format = WeightFormat.float32

  package init(_ name: String, _ shape: [Int], _ role: TensorRole, _ initial: InitialValue) {
    self.name = name
    self.shape = shape
    self.role = role
    self.initial = initial
  }

  package var count: Int { shape.reduce(1, *) }
  package var rows: Int { shape.count == 2 ? shape[0] : 1 }
  package var columns: Int { shape[shape.count - 1] }
}

/// The table of a model's tensors: what loading, saving, export, counting, memory and the optimiser walk.
package struct Architecture: Sendable {
  package let configuration: ModelConfiguration
  /// Every tensor by its Hugging Face name, in the model's order.
  package let tensors: [TensorSpec]

  /// Whether products may read bfloat16: every matrix is kept in it, or in blocks of four bits whose values are rounded to it, and none is
  /// trained.
  package var isBFloat16: Bool {
    tensors.allSatisfy { spec in
      guard spec.role.isMatrix else { return true }
      switch spec.format {
      case .float32: return false
      case .bfloat16: return !spec.isTrained
      case .nf4(let nf4): return nf4.roundsToBFloat16
      }
    }
  }

  package init(_ configuration: ModelConfiguration) {
    self.configuration = configuration
    let heads = configuration.heads
    let (hidden, wide) = (configuration.hiddenSize, configuration.intermediateSize)
    let (query, key) = (heads.queryHeads * heads.channels, heads.keyValueHeads * heads.channels)
    // As transformers initialises.
    let random = InitialValue.normal(0.02)
    var tensors = [
      TensorSpec("model.embed_tokens.weight", [configuration.vocabularySize, hidden], .embedding, random)
    ]
    for block in 0..<configuration.layerCount {
      let prefix = "model.layers.\(block)"
      func norm(_ place: NormPlace, _ channels: Int) {
        tensors.append(TensorSpec("\(prefix).\(place.path).weight", [channels], .norm(block: block, place), .constant(1)))
      }
      func linear(_ place: LinearPlace, _ outputs: Int, _ inputs: Int) {
        tensors.append(TensorSpec("\(prefix).\(place.path).weight", [outputs, inputs], .matrix(block: block, place), random))
        if configuration.biased.contains(place) {
          tensors.append(TensorSpec("\(prefix).\(place.path).bias", [outputs], .bias(block: block, place), .constant(0)))
        }
      }
      norm(.input, hidden)
      norm(.middle, hidden)
      linear(.q, query, hidden)
      linear(.k, key, hidden)
      linear(.v, key, hidden)
      if configuration.normsQueriesAndKeys {
        norm(.query, heads.channels)
        norm(.key, heads.channels)
      }
      linear(.o, hidden, query)
      linear(.gate, wide, hidden)
      linear(.up, wide, hidden)
      linear(.down, hidden, wide)
    }
    tensors.append(TensorSpec("model.norm.weight", [hidden], .finalNorm, .constant(1)))
    if !configuration.tiesEmbeddings {
      tensors.append(TensorSpec("lm_head.weight", [configuration.vocabularySize, hidden], .head, random))
    }
    self.tensors = tensors
  }

  private init(_ configuration: ModelConfiguration, _ tensors: [TensorSpec]) {
    self.configuration = configuration
    self.tensors = tensors
  }

  /// The same table with what is trained marked in it.
  package func training(_ trainable: Trainable) -> Architecture {
    changed { $0.isTrained = trainable == .full }
  }

  /// The same table with a format for each matrix, in which it is kept where it is frozen.
  package func kept(as format: (TensorSpec) -> WeightFormat) -> Architecture {
    changed { if $0.role.isMatrix { $0.format = format($0) } }
  }

  private func changed(_ change: (inout TensorSpec) -> Void) -> Architecture {
    var tensors = tensors
    for index in tensors.indices { change(&tensors[index]) }
    return Architecture(configuration, tensors)
  }

  /// How the vocabulary head is kept, the embedding where the two are tied.
  package var headFormat: WeightFormat { tensors.last { $0.role == .head || $0.role == .embedding }?.format ?? .float32 }

  /// For people: the format of the head and embedding, and that of the linear layers where it is another.
  package var formatName: String {
    let isQuantised = tensors.contains { if case .nf4 = $0.format { true } else { false } }
    return isQuantised ? "\(headFormat.name), linear layers as nf4" : headFormat.name
  }

  package var parameterCount: Int { tensors.reduce(0) { $0 + $1.count } }

  /// The linear layers that an adapter can be put on, in the model's order.
  package var linears: [LinearModule] {
    tensors.compactMap { spec in
      guard case .matrix(let block, let place) = spec.role else { return nil }
      return LinearModule(name: String(spec.name.dropLast(".weight".count)), block: block, place: place, outputs: spec.rows, inputs: spec.columns)
    }
  }
}

/// A linear layer by name and place.
package struct LinearModule: Sendable {
  /// As `model.layers.0.self_attn.q_proj`.
  package let name: String
  package let block: Int
  package let place: LinearPlace
  package let outputs: Int
  package let inputs: Int
}
