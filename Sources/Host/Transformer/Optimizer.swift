import Compute
import Support

/// AdamW over groups of parameters, each with its own settings, with one global gradient norm.
package final class Optimizer {
  package struct Group {
    package let store: ParameterStore
    package let settings: AdamWSettings

    package init(_ store: ParameterStore, _ settings: AdamWSettings) {
      self.store = store
      self.settings = settings
    }
  }

  private let groups: [Group]
  /// Flat, as each group's values.
  private let moments: [(m: Tensor, v: Tensor)]
  private let backend: any Backend
  /// Updates made so far.
  package private(set) var step = 0
  private var backup: [(value: Tensor, m: Tensor, v: Tensor)] = []

  package init(_ groups: [Group], on backend: any Backend) throws(Failure) {
    self.groups = groups
    self.backend = backend
    var moments: [(m: Tensor, v: Tensor)] = []
    for group in groups {
      let count = group.store.values.columns
      moments.append((try backend.tensor(1, count), try backend.tensor(1, count)))
    }
    self.moments = moments
  }

  /// The norm of all gradients together.
  package func gradientNorm() throws(Failure) -> Double {
    var sum = 0.0
    for group in groups { sum += try backend.sumOfSquares(group.store.gradients, group.store.flatParts).value() }
    return sum.squareRoot()
  }

  /// One update from the gradients at hand, which it leaves as they are.
  ///
  /// - Parameters:
  ///   - maximumNorm: gradients are scaled to this norm where theirs is larger, as `torch.nn.utils.clip_grad_norm_`; 0 turns
  ///     it off.
  ///   - rate: a factor on every group's learning rate (the schedule).
  /// - Returns: the norm before clipping. Where it is not finite nothing is changed.
  package func update(maximumNorm: Double, rate: Double = 1) throws(Failure) -> Double {
    let norm = try gradientNorm()
    guard norm.isFinite else { return norm }
    let factor = maximumNorm > 0 ? min(1, maximumNorm / (norm + 1e-6)) : 1
    step += 1
    for (group, moments) in zip(groups, moments) {
      var settings = group.settings
      settings.learningRate *= rate
      backend.adamW(
        settings, step: step, parameter: group.store.values, gradient: group.store.gradients, m: moments.m, v: moments.v,
        gradientFactor: Float(factor))
      group.store.repack()
    }
    return norm
  }

  // MARK: State

  /// A moment to come back to. There is one copy of values and moments, so a snapshot is good until the next is taken.
  package struct Snapshot: Sendable {
    fileprivate let step: Int
  }

  /// Keeps values and moments as they are now, bit for bit.
  package func snapshot() throws(Failure) -> Snapshot {
    if backup.isEmpty {
      for group in groups {
        let count = group.store.values.columns
        backup.append((try backend.tensor(1, count), try backend.tensor(1, count), try backend.tensor(1, count)))
      }
    }
    for ((group, moments), copy) in zip(zip(groups, moments), backup) {
      backend.copy(group.store.values, to: copy.value)
      backend.copy(moments.m, to: copy.m)
      backend.copy(moments.v, to: copy.v)
    }
    return Snapshot(step: step)
  }

  /// Takes back everything that updates have changed since.
  package func restore(_ snapshot: Snapshot) {
    for ((group, moments), copy) in zip(zip(groups, moments), backup) {
      group.store.setValues(copy.value)
      backend.copy(copy.m, to: moments.m)
      backend.copy(copy.v, to: moments.v)
    }
    step = snapshot.step
  }

  /// What each parameter has in a checkpoint, by the name's beginning.
  private func tensors(_ index: Int) -> [(prefix: String, flat: Tensor)] {
    [(Self.valuePrefix, groups[index].store.values), ("m.", moments[index].m), ("v.", moments[index].v)]
  }

  /// Values and moments of every parameter for a checkpoint, read when they are written.
  package var parts: [SafetensorsStream.Part] {
    var parts = [SafetensorsStream.Part("optimizer.step", whole: [Int64(step)])]
    for index in groups.indices {
      let store = groups[index].store
      for (prefix, flat) in tensors(index) {
        for (spec, part) in zip(store.specs, store.parts) {
          parts.append(
            SafetensorsStream.Part(prefix + spec.name, shape: spec.shape) { [backend] () throws(Failure) in
              try backend.download(flat.part(part, columns: spec.columns)).value()
            })
        }
      }
    }
    return parts
  }

  /// The digests of all that a checkpoint holds: of the first group's values, which are what a run's result holds, and of the rest.
  ///
  /// - Parameter more: what else the checkpoint holds, by name.
  package func digests(_ more: [(name: String, bytes: [UInt8])]) throws(Failure) -> (weights: Digest, state: Digest) {
    var (weights, state) = (TensorDigests(), TensorDigests())
    state.add("optimizer.step", [Int64(step)])
    for (name, bytes) in more { state.add(name, bytes) }
    for index in groups.indices {
      let store = groups[index].store
      for (prefix, flat) in tensors(index) {
        for (spec, pieces) in zip(store.specs, try backend.digests(of: flat, store.parts)) {
          if index == 0, prefix == Self.valuePrefix {
            weights.add(spec.name, byteCount: 4 * spec.count, pieces)
          } else {
            state.add(prefix + spec.name, byteCount: 4 * spec.count, pieces)
          }
        }
      }
    }
    return (weights.digest, state.digest)
  }

  /// What the names of values begin with in a checkpoint.
  package static let valuePrefix = "value."

  /// Takes values and moments back from a checkpoint.
  package func restore(from file: SafetensorsFile) throws(Failure) {
    for index in groups.indices {
      let store = groups[index].store
      for (prefix, flat) in tensors(index) {
        for (spec, part) in zip(store.specs, store.parts) {
          let name = prefix + spec.name
          let entry = try file.entry(name)
          guard entry.shape == spec.shape else {
            throw .badData("\(file.path): tensor \"\(name)\": expected shape \(spec.shape), found \(entry.shape)")
          }
          backend.upload(try file.floats(name), to: flat.part(part, columns: spec.columns))
        }
      }
      store.repack()
    }
    guard let updates = try file.integers("optimizer.step").first, (0...1 << 40).contains(updates) else {
      throw .badData("\(file.path): tensor \"optimizer.step\": expected a count of updates")
    }
    step = Int(updates)
  }
}
