import Compute
import Support

/// Where a model's weights come from.
enum WeightSource {
  case folder(ModelFolder, kind: WeightKind?)
  case random(seed: UInt64)
}

/// Makes the pieces of a model from their source: frozen in packed form, or as parameters.
final class WeightLoader {
  private let source: WeightSource
  private let trainable: Trainable
  private let backend: any Backend
  private(set) var parameters: [Parameter] = []
  private var streams: UInt64 = 0

  init(source: WeightSource, trainable: Trainable, backend: any Backend) {
    self.source = source
    self.trainable = trainable
    self.backend = backend
  }

  func matrix(_ name: String, _ outputs: Int, _ inputs: Int) throws(Failure) -> (PackedMatrix, Parameter?) {
    if trainable == .full {
      let made = try Parameter(
        name, try values(name, shape: [outputs, inputs]), shape: [outputs, inputs], isMatrix: true, on: backend)
      parameters.append(made)
      guard let packed = made.packed else { throw .internalError("\(name): a trained matrix without a packed form") }
      return (packed, made)
    }
    switch source {
    case .folder(let folder, let kind):
      return (try folder.matrix(name, outputs: outputs, inputs: inputs, kind: kind, on: backend), nil)
    case .random:
      return (try backend.pack(try values(name, shape: [outputs, inputs]), outputs: outputs, inputs: inputs), nil)
    }
  }

  func vector(_ name: String, _ count: Int) throws(Failure) -> (Tensor, Parameter?) {
    let values = try values(name, shape: [count])
    guard trainable == .full else { return (try backend.vector(values), nil) }
    let parameter = try Parameter(name, values, shape: [count], isMatrix: false, on: backend)
    parameters.append(parameter)
    return (parameter.value, parameter)
  }

  func linear(_ name: String, _ outputs: Int, _ inputs: Int, bias: Bool) throws(Failure) -> Linear {
    let (weight, trainedWeight) = try matrix("\(name).weight", outputs, inputs)
    var biasTensor: Tensor?
    var trainedBias: Parameter?
    if bias { (biasTensor, trainedBias) = try vector("\(name).bias", outputs) }
    return Linear(
      name: name, weight: weight, trainedWeight: trainedWeight, bias: biasTensor, trainedBias: trainedBias)
  }

  func norm(_ name: String, _ count: Int, _ epsilon: Float) throws(Failure) -> Norm {
    let (weight, trained) = try vector("\(name).weight", count)
    return Norm(weight: weight, trained: trained, epsilon: epsilon)
  }

  private func values(_ name: String, shape: [Int]) throws(Failure) -> [Float] {
    switch source {
    case .folder(let folder, _): return try folder.floats(name, shape: shape)
    case .random(let seed):
      let count = shape.reduce(1, *)
      if name.hasSuffix("norm.weight") { return Array(repeating: 1, count: count) }
      if name.hasSuffix(".bias") { return Array(repeating: 0, count: count) }
      streams += 1
      var stream = RandomStream(seed: seed, path: [0x57_45_49_47_48_54, streams])
      return (0..<count).map { _ in Float(0.02 * stream.nextNormal()) }
    }
  }
}
