import Compute
import Support

/// What of a model is trained.
package enum Trainable: Sendable, Equatable {
  /// Nothing: evaluation and generation.
  case nothing
  /// Every parameter of the model itself.
  case full
}

/// What a forward keeps for its backward.
package enum Retention: Sendable {
  case nothing
  /// The input of each block; its inside is computed again in the backward (Chen et al., arXiv 1604.06174).
  case checkpoints
  case everything
}

/// The result of a forward: the normalised last hidden state of every row, and what the backward needs.
package struct ForwardPass {
  package let batch: TokenBatch
  /// `[T, D]`
  package let hidden: Tensor
  fileprivate let ids: IndexTensor
  fileprivate let positions: IndexTensor
  fileprivate var checkpoints: [Tensor]
  fileprivate var activations: [BlockActivations]
  fileprivate let last: Tensor
  fileprivate let rstd: Tensor
}

/// A Qwen2 model: embedding, blocks, norm and vocabulary head.
package final class Transformer {
  package let configuration: ModelConfiguration
  package let backend: any Backend
  package let endOfText: [Int32]
  package let blocks: [Block]
  package let head: PackedMatrix
  private let embedding: PackedMatrix
  private let embeddingParameter: Parameter?
  private let headParameter: Parameter?
  /// The embedding's shares of a gradient that it has in common with the head; see ``finishGradients()``.
  private var waiting: [(ids: IndexTensor, dOutput: Tensor)] = []
  private let finalNorm: Norm
  private let rope: RotaryTable
  /// The parameters of the model itself that are trained; empty unless ``Trainable/full``.
  private let modelParameters: [Parameter]

  /// Loads a model from its folder.
  ///
  /// - Parameters:
  ///   - kind: how frozen matrices are kept; nil keeps bfloat16 files as they are, all else float32.
  ///   - progress: called after each block with the blocks read and those there are.
  package convenience init(
    _ folder: ModelFolder, trainable: Trainable = .nothing, kind: WeightKind? = nil, on backend: any Backend,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) {
    try self.init(
      folder.configuration, source: .folder(folder, kind: kind), endOfText: folder.endOfText, trainable: trainable,
      on: backend, progress: progress)
  }

  /// A model with fresh random weights: normal with deviation 0.02 as transformers initialises, biases 0, norms 1.
  package convenience init(
    random configuration: ModelConfiguration, seed: UInt64, endOfText: [Int32], trainable: Trainable = .full,
    on backend: any Backend
  ) throws(Failure) {
    try self.init(configuration, source: .random(seed: seed), endOfText: endOfText, trainable: trainable, on: backend)
  }

  private init(
    _ configuration: ModelConfiguration, source: WeightSource, endOfText: [Int32], trainable: Trainable,
    on backend: any Backend, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) {
    let loader = WeightLoader(source: source, trainable: trainable, backend: backend)
    let hidden = configuration.hiddenSize
    let heads = configuration.heads
    let queryWidth = heads.queryHeads * heads.channels
    let keyWidth = heads.keyValueHeads * heads.channels
    let epsilon = configuration.rmsEpsilon
    self.configuration = configuration
    self.backend = backend
    self.endOfText = endOfText
    (embedding, embeddingParameter) = try loader.matrix(
      "model.embed_tokens.weight", configuration.vocabularySize, hidden)
    var blocks: [Block] = []
    for index in 0..<configuration.layerCount {
      let prefix = "model.layers.\(index)"
      func linear(_ name: String, _ outputs: Int, _ inputs: Int, bias: Bool = false) throws(Failure) -> Linear {
        try loader.linear("\(prefix).\(name)", outputs, inputs, bias: bias)
      }
      blocks.append(
        Block(
          index: index, heads: heads,
          norm1: try loader.norm("\(prefix).input_layernorm", hidden, epsilon),
          norm2: try loader.norm("\(prefix).post_attention_layernorm", hidden, epsilon),
          q: try linear("self_attn.q_proj", queryWidth, hidden, bias: true),
          k: try linear("self_attn.k_proj", keyWidth, hidden, bias: true),
          v: try linear("self_attn.v_proj", keyWidth, hidden, bias: true),
          o: try linear("self_attn.o_proj", hidden, queryWidth),
          gate: try linear("mlp.gate_proj", configuration.intermediateSize, hidden),
          up: try linear("mlp.up_proj", configuration.intermediateSize, hidden),
          down: try linear("mlp.down_proj", hidden, configuration.intermediateSize)))
      progress(index + 1, configuration.layerCount)
    }
    self.blocks = blocks
    finalNorm = try loader.norm("model.norm", hidden, epsilon)
    if configuration.tiesEmbeddings {
      (head, headParameter) = (embedding, embeddingParameter)
    } else {
      (head, headParameter) = try loader.matrix("lm_head.weight", configuration.vocabularySize, hidden)
    }
    rope = try RotaryTable(theta: configuration.ropeTheta, channels: heads.channels, positions: 1024, on: backend)
    modelParameters = loader.parameters
  }

  /// Everything that training changes: the model's own parameters and those of its adapter.
  package var parameters: [Parameter] {
    modelParameters + blocks.flatMap(\.linears).compactMap(\.adapter).flatMap { [$0.a, $0.b] }
  }

  /// The linear layers an adapter can be put on, in the model's order.
  package var linears: [Linear] { blocks.flatMap(\.linears) }

  // MARK: Forward

  /// Runs a packed batch.
  ///
  /// - Parameter sink: a cache that keys and values are also written to, and the slot of every row.
  package func forward(
    _ batch: TokenBatch, retaining retention: Retention = .nothing, sink: (cache: KVCache, slots: [Int32])? = nil
  ) throws(Failure) -> ForwardPass {
    let ids = try backend.upload(batch.tokens)
    let positions = try backend.upload(batch.positions)
    try rope.reserve(Int(batch.positions.max() ?? 0) + 1, on: backend)
    var cacheSink: (cache: KVCache, slots: IndexTensor)?
    if let sink { cacheSink = (sink.cache, try backend.upload(sink.slots)) }
    var x = try backend.tensor(batch.rowCount, configuration.hiddenSize)
    backend.gather(ids, from: embedding, into: x)
    var checkpoints: [Tensor] = []
    var activations: [BlockActivations] = []
    for block in blocks {
      let (output, kept) = try block.forward(
        x, positions: positions, rope: rope, .packed(segments: batch.segments, sink: cacheSink), on: backend)
      switch retention {
      case .nothing: break
      case .checkpoints: checkpoints.append(x)
      case .everything: activations.append(kept)
      }
      x = output
    }
    let (hidden, rstd) = try finalNorm.forward(x, on: backend)
    return ForwardPass(
      batch: batch, hidden: hidden, ids: ids, positions: positions, checkpoints: checkpoints, activations: activations,
      last: x, rstd: rstd)
  }

  /// One new token for each of several sequences, at the position each has reached; returns the normalised hidden state
  /// `[B, D]`. Rows are, bit for bit, those of ``forward(_:retaining:sink:)`` over the whole sequence.
  package func decode(tokens: [Int32], slots: [Int32], positions: [Int32], cache: KVCache) throws(Failure) -> Tensor {
    try rope.reserve(Int(positions.max() ?? 0) + 1, on: backend)
    let ids = try backend.upload(tokens)
    let slotTensor = try backend.upload(slots)
    let positionTensor = try backend.upload(positions)
    let lengths = try backend.upload(positions.map { $0 + 1 })
    var x = try backend.tensor(tokens.count, configuration.hiddenSize)
    backend.gather(ids, from: embedding, into: x)
    for block in blocks {
      (x, _) = try block.forward(
        x, positions: positionTensor, rope: rope, .cached(cache, slots: slotTensor, lengths: lengths), on: backend)
    }
    return try finalNorm.forward(x, on: backend).output
  }

  /// `hidden [n, D]` → logits `[n, V]`
  package func logits(_ hidden: Tensor) throws(Failure) -> Tensor {
    let logits = try backend.tensor(hidden.rows, configuration.vocabularySize)
    backend.linear(hidden, head, bias: nil, into: logits, accumulate: false)
    return logits
  }

  // MARK: Backward

  /// `dHidden [T, D]` → gradients of all trained parameters, added to what they hold; after the last one
  /// ``finishGradients()`` makes them whole. Uses `dHidden` up.
  package func backward(_ pass: consuming ForwardPass, dHidden: Tensor) throws(Failure) {
    let dx = try backend.tensor(dHidden.rows, dHidden.columns)
    finalNorm.backward(dHidden, x: pass.last, rstd: pass.rstd, into: dx, accumulate: false, on: backend)
    let segments = pass.batch.segments
    for block in blocks.reversed() {
      let kept: BlockActivations
      if let last = pass.activations.popLast() {
        kept = last
      } else if let x = pass.checkpoints.popLast() {
        kept = try block.forward(
          x, positions: pass.positions, rope: rope, .packed(segments: segments, sink: nil), on: backend
        ).activations
      } else {
        throw .internalError("backward after a forward that kept nothing")
      }
      let needsInput = block.index > 0 || embeddingParameter != nil
      try block.backward(
        dx, kept, segments: segments, positions: pass.positions, rope: rope, needsInput: needsInput, on: backend)
    }
    guard let embeddingParameter else { return }
    if configuration.tiesEmbeddings {
      waiting.append((pass.ids, dx))
    } else {
      backend.gatherBackward(pass.ids, dOutput: dx, gradient: embeddingParameter.gradient)
    }
  }

  /// Makes gradients ready to begin: forgets what an update that failed has left.
  package func beginGradients() { waiting.removeAll() }

  /// Makes gradients whole after the last micro-batch of an update. Where one matrix is embedding and head, the head's
  /// shares of all tokens come first and the embedding's after them, so that the sum is the same bits for every split.
  package func finishGradients() {
    guard let embeddingParameter else { return }
    for share in waiting {
      backend.gatherBackward(share.ids, dOutput: share.dOutput, gradient: embeddingParameter.gradient)
    }
    waiting.removeAll()
  }

  /// The gradient that the vocabulary head adds to, where it is trained.
  package var headGradient: Tensor? { headParameter?.gradient }
}
