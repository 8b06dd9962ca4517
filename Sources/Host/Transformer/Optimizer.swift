import Compute
import Support

/// AdamW over groups of parameters, each with its own settings, with one global gradient norm.
package final class Optimizer {
  package struct Group {
    package let parameters: [Parameter]
    package let settings: AdamWSettings

    package init(_ parameters: [Parameter], _ settings: AdamWSettings) {
      self.parameters = parameters
      self.settings = settings
    }
  }

  private let groups: [Group]
  private let moments: [[(m: Tensor, v: Tensor)]]
  private let backend: any Backend
  /// Updates made so far.
  package private(set) var step = 0

  package init(_ groups: [Group], on backend: any Backend) throws(Failure) {
    self.groups = groups
    self.backend = backend
    var moments: [[(m: Tensor, v: Tensor)]] = []
    for group in groups {
      var list: [(m: Tensor, v: Tensor)] = []
      for parameter in group.parameters {
        let (rows, columns) = (parameter.value.rows, parameter.value.columns)
        list.append((try backend.zeros(rows, columns), try backend.zeros(rows, columns)))
      }
      moments.append(list)
    }
    self.moments = moments
  }

  package func zeroGradients() {
    for parameter in groups.flatMap(\.parameters) { backend.zero(parameter.gradient) }
  }

  /// The norm of all gradients together.
  package func gradientNorm() throws(Failure) -> Double {
    var sum = 0.0
    for parameter in groups.flatMap(\.parameters) { sum += try backend.sumOfSquares(parameter.gradient) }
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
      for (parameter, moment) in zip(group.parameters, moments) {
        backend.adamW(
          settings, step: step, parameter: parameter.value, gradient: parameter.gradient, m: moment.m, v: moment.v,
          gradientFactor: Float(factor))
        parameter.valueChanged(on: backend)
      }
    }
    return norm
  }

  // MARK: State

  /// Values, moments and the count of updates as they were, bit for bit.
  package struct Snapshot: Sendable {
    fileprivate let step: Int
    fileprivate let tensors: [(value: [Float], m: [Float], v: [Float])]
  }

  package func snapshot() throws(Failure) -> Snapshot {
    var tensors: [(value: [Float], m: [Float], v: [Float])] = []
    for (group, moments) in zip(groups, moments) {
      for (parameter, moment) in zip(group.parameters, moments) {
        tensors.append(
          (try backend.download(parameter.value), try backend.download(moment.m), try backend.download(moment.v)))
      }
    }
    return Snapshot(step: step, tensors: tensors)
  }

  /// Takes back everything that updates have changed since.
  package func restore(_ snapshot: Snapshot) {
    let places = zip(groups, moments).flatMap { zip($0.parameters, $1) }
    for ((parameter, moment), before) in zip(places, snapshot.tensors) {
      parameter.setValue(before.value, on: backend)
      backend.upload(before.m, to: moment.m)
      backend.upload(before.v, to: moment.v)
    }
    step = snapshot.step
  }

  /// Adds values and moments of every parameter to a checkpoint.
  package func save(to writer: inout SafetensorsWriter) throws(Failure) {
    writer.add("optimizer.step", [Int64(step)], shape: [1])
    for (group, moments) in zip(groups, moments) {
      for (parameter, moment) in zip(group.parameters, moments) {
        writer.add("value.\(parameter.name)", try backend.download(parameter.value), shape: parameter.shape)
        writer.add("m.\(parameter.name)", try backend.download(moment.m), shape: parameter.shape)
        writer.add("v.\(parameter.name)", try backend.download(moment.v), shape: parameter.shape)
      }
    }
  }

  /// Takes values and moments back from a checkpoint.
  package func restore(from file: SafetensorsFile) throws(Failure) {
    func values(_ name: String, _ parameter: Parameter) throws(Failure) -> [Float] {
      let entry = try file.entry(name)
      guard entry.shape == parameter.shape else {
        throw .badData("\(file.path): tensor \"\(name)\": expected shape \(parameter.shape), found \(entry.shape)")
      }
      return try file.floats(name)
    }
    for (group, moments) in zip(groups, moments) {
      for (parameter, moment) in zip(group.parameters, moments) {
        parameter.setValue(try values("value.\(parameter.name)", parameter), on: backend)
        backend.upload(try values("m.\(parameter.name)", parameter), to: moment.m)
        backend.upload(try values("v.\(parameter.name)", parameter), to: moment.v)
      }
    }
    guard let updates = try file.integers("optimizer.step").first, (0...1 << 40).contains(updates) else {
      throw .badData("\(file.path): tensor \"optimizer.step\": expected a count of updates")
    }
    step = Int(updates)
  }
}
