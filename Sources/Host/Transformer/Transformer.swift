import Compute
import Support

/// What a forward keeps for its backward.
package enum Retention: Sendable {
  case nothing
  /// The input of each block; its inside is computed again in the backward (Chen et al., arXiv 1604.06174).
  case checkpoints
  case everything
}

/// The result of a forward: the normalised last hidden state of every row, and what the backward needs. It lies in the arena that the
/// forward was given and is good until the scope ends in which it was made.
package struct ForwardPass {
  package let batch: TokenBatch
  /// `[T, D]`
  package let hidden: Tensor
  let ids: IndexTensor
  fileprivate let adapter: AdapterWeights?
  fileprivate let plan: AttentionPlan
  fileprivate let positions: IndexTensor
  fileprivate var checkpoints: [Tensor]
  fileprivate var activations: [BlockActivations]
  fileprivate let last: Tensor
  fileprivate let rstd: Tensor
}

/// A decoder: embedding, blocks, norm and vocabulary head. It changes nothing of itself; what is trained changes in its ``store``.
package final class Transformer: Sendable {
  package let architecture: Architecture
  package let backend: any Backend
  package let endOfText: [Int32]
  /// The parameters of the model itself; nil unless ``Trainable/full``.
  package let store: ParameterStore?
  let weights: ModelWeights
  private let rope: RotaryTable

  package var configuration: ModelConfiguration { architecture.configuration }

  /// Loads a model from its folder.
  ///
  /// - Parameters:
  ///   - format: how frozen matrices are kept; nil keeps bfloat16 files as they are, all else float32.
  ///   - quantises: whether the linear layers of blocks become NF4.
  ///   - progress: called after each block with the blocks read and those there are.
  package convenience init(
    _ folder: ModelFolder, trainable: Trainable = .nothing, format: WeightFormat? = nil, quantises: Bool = false, on backend: any Backend,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) {
    try self.init(
      folder.architecture(trainable: trainable, format: format, quantises: quantises), source: .folder(folder), endOfText: folder.endOfText, on: backend,
      progress: progress)
  }

  /// A model with fresh random weights: normal with deviation 0.02 as transformers initialises, biases 0, norms 1.
  package convenience init(
    random configuration: ModelConfiguration, seed: UInt64, endOfText: [Int32], trainable: Trainable = .full,
    on backend: any Backend
  ) throws(Failure) {
    let architecture = Architecture(configuration).training(trainable)
    try self.init(architecture, source: .random(seed: seed), endOfText: endOfText, on: backend)
  }

  package init(
    _ architecture: Architecture, source: WeightSource, endOfText: [Int32], on backend: any Backend,
    progress: (Int, Int) -> Void = { _, _ in }
  ) throws(Failure) {
    self.architecture = architecture
    self.backend = backend
    self.endOfText = endOfText
    let values = source.values(of: architecture.tensors)
    let trained = architecture.tensors.filter(\.isTrained)
    var blocks = 0
    let total = architecture.configuration.layerCount
    func read(_ spec: TensorSpec) {
      if case .matrix(_, .down) = spec.role {
        blocks += 1
        progress(blocks, total)
      }
    }
    store =
      trained.isEmpty
      ? nil
      : try ParameterStore(trained, on: backend) { spec throws(Failure) in
        defer { read(spec) }
        return try values(spec)
      }
    var matrices: [TensorRole: PackedMatrix] = [:]
    var vectors: [TensorRole: Tensor] = [:]
    for parameter in store?.parameters ?? [] {
      if let packed = parameter.packed { matrices[parameter.spec.role] = packed } else { vectors[parameter.spec.role] = parameter.value }
    }
    for spec in architecture.tensors where !spec.isTrained {
      if spec.role.isMatrix {
        matrices[spec.role] = try source.matrix(spec, values, on: backend)
      } else {
        vectors[spec.role] = try source.vector(spec, values, on: backend)
      }
      read(spec)
    }
    weights = try ModelWeights(architecture.configuration, matrices: matrices, vectors: vectors)
    rope = try RotaryTable(
      architecture.configuration.rotary, channels: architecture.configuration.heads.channels, positions: 1024, on: backend)
  }

  private func block(_ index: Int, _ adapter: AdapterWeights?) -> Block {
    Block(
      index: index, heads: configuration.heads, weights: weights.blocks[index].adapted(adapter?.blocks[index]), rope: rope,
      backend: backend)
  }

  /// Makes room for sequences of so many positions.
  package func reserve(positions: Int) throws(Failure) { try rope.reserve(positions) }

  /// The memory of the rotary embedding's angles: another where there are more positions.
  package var angles: Storage { rope.storage }

  // MARK: Forward

  /// Runs a packed batch.
  ///
  /// - Parameters:
  ///   - adapter: the low-rank additions to the model's layers.
  ///   - sink: a cache that keys and values are also written to, and the slot of every row.
  ///   - arena: what the pass lies in; it ends with the scope around this call.
  package func forward(
    _ batch: TokenBatch, adapter: AdapterWeights? = nil, retaining retention: Retention = .nothing,
    sink: (cache: KVCache, slots: [Int32])? = nil, in arena: Arena
  ) throws(Failure) -> ForwardPass {
    try rope.reserve(Int(batch.positions.max() ?? 0) + 1)
    let ids = try arena.indices(batch.tokens)
    let positions = try arena.indices(batch.positions)
    let plan = try backend.plan(batch.segments, configuration.heads, rows: batch.rowCount, in: arena)
    var cacheSink: (cache: KVCache, slots: IndexTensor)?
    if let sink { cacheSink = (sink.cache, try arena.indices(sink.slots)) }
    let context = AttentionContext.packed(plan, sink: cacheSink)
    let (rows, width) = (batch.rowCount, configuration.hiddenSize)
    let hidden = try arena.activations(rows, width)
    let rstd = try arena.tensor(1, rows)
    var x = try arena.tensor(rows, width)
    var spare = retention == .nothing ? try arena.tensor(rows, width) : x
    backend.gather(ids, from: weights.embedding, into: x)
    var checkpoints: [Tensor] = []
    var activations: [BlockActivations] = []
    for index in weights.blocks.indices {
      let block = block(index, adapter)
      switch retention {
      case .nothing:
        try arena.scope { () throws(Failure) in _ = try block.forward(x, positions: positions, context, into: spare, in: arena) }
        swap(&x, &spare)
      case .checkpoints:
        checkpoints.append(x)
        let output = try arena.tensor(rows, width)
        try arena.scope { () throws(Failure) in _ = try block.forward(x, positions: positions, context, into: output, in: arena) }
        x = output
      case .everything:
        let output = try arena.tensor(rows, width)
        activations.append(try block.forward(x, positions: positions, context, into: output, in: arena))
        x = output
      }
    }
    backend.rmsNorm(x, weights.finalNorm, into: hidden, rstd: rstd)
    return ForwardPass(
      batch: batch, hidden: hidden, ids: ids, adapter: adapter, plan: plan, positions: positions, checkpoints: checkpoints,
      activations: activations, last: x, rstd: rstd)
  }

  /// Reads the newest token of each sequence of a state; returns the normalised hidden state `[B, D]`. Rows are, bit for bit, those
  /// of ``forward(_:adapter:retaining:sink:in:)`` over the whole sequence. Nothing of the host is read.
  package func decode(_ state: DecodeState, adapter: AdapterWeights?, prompts: KVCache, cache: KVCache, in arena: Arena)
    throws(Failure) -> Tensor
  {
    let (rows, width) = (state.rows, configuration.hiddenSize)
    let hidden = try arena.activations(rows, width)
    try arena.scope { () throws(Failure) in
      var x = try arena.tensor(rows, width)
      var spare = try arena.tensor(rows, width)
      backend.gather(state.tokens, from: weights.embedding, into: x)
      for index in weights.blocks.indices {
        try arena.scope { () throws(Failure) in
          _ = try block(index, adapter).forward(
            x, positions: state.positions, .cached(state, prompts: prompts, own: cache), into: spare, in: arena)
        }
        swap(&x, &spare)
      }
      backend.rmsNorm(x, weights.finalNorm, into: hidden, rstd: try arena.tensor(1, rows))
    }
    return hidden
  }

  /// Draws a token for each row of a state from the distribution after `hidden [B, D]`.
  package func draw(_ hidden: Tensor, _ sampling: SamplingSettings, _ state: DecodeState, in arena: Arena) throws(Failure) {
    try backend.drawStep(hidden, weights.head, sampling, state, in: arena)
  }

  /// `hidden [n, D]` → logits `[n, V]`
  package func logits(_ hidden: Tensor, in arena: Arena) throws(Failure) -> Tensor {
    let logits = try arena.tensor(hidden.rows, configuration.vocabularySize)
    backend.linear(hidden, weights.head, bias: nil, into: logits, accumulate: false)
    return logits
  }

  // MARK: Backward

  /// `dHidden [T, D]` → gradients of what is trained, added to what they hold; after the last one
  /// ``Gradients/finish()`` makes them whole. Uses `dHidden` up.
  package func backward(_ pass: consuming ForwardPass, dHidden: Tensor, into gradients: Gradients, in arena: Arena) throws(Failure) {
    try arena.scope { () throws(Failure) in
      let dx = try arena.tensor(dHidden.rows, dHidden.columns)
      backend.rmsNormBackward(
        dHidden, x: pass.last, weights.finalNorm, rstd: pass.rstd, into: dx, accumulate: false, weightGradient: gradients.finalNorm)
      for index in weights.blocks.indices.reversed() {
        try arena.scope { () throws(Failure) in
          let block = block(index, pass.adapter)
          let kept: BlockActivations
          if let last = pass.activations.popLast() {
            kept = last
          } else if let x = pass.checkpoints.popLast() {
            let output = try arena.tensor(x.rows, x.columns)
            kept = try block.forward(x, positions: pass.positions, .packed(pass.plan, sink: nil), into: output, in: arena)
          } else {
            throw .internalError("backward after a forward that kept nothing")
          }
          try block.backward(
            dx, kept, pass.plan, positions: pass.positions, gradients.blocks[index], needsInput: gradients.isNeeded(below: index),
            in: arena)
        }
      }
      try gradients.add(dx, of: pass)
    }
  }
}
