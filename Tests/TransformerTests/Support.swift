import Compute
import Support
import TestSupport
import Testing
import Transformer

/// Folders written by transformers and peft; `make_goldens.py` beside them makes them.
let goldens = Place.transformerGoldens

/// What an oracle computed for a folder.
struct Golden {
  let file: SafetensorsFile
  let sequences: [[Int32]]

  init(_ path: String) throws {
    file = try SafetensorsFile(goldens + "/" + path)
    sequences = try TestSupport.sequences(file)
  }

  func doubles(_ name: String) throws -> [Double] {
    guard try file.entry(name).type == .float64 else { return try file.floats(name).map(Double.init) }
    return try TestSupport.doubles(file, name)
  }

  /// All sequences as one batch, with every token after the first of each as a target.
  var batch: (TokenBatch, TokenTargets) {
    var batch = TokenBatch()
    var targets = TokenTargets()
    for sequence in sequences { batch.appendPredicted(sequence, targets: &targets) }
    return (batch, targets)
  }
}

func largestDifference(_ found: [Float], _ expected: [Double]) -> Double {
  guard found.count == expected.count else { return .infinity }
  return zip(found, expected).reduce(0) { worst, pair in
    let difference = abs(Double(pair.0) - pair.1)
    return difference.isNaN ? .infinity : max(worst, difference)
  }
}

/// A model with what is trained of it, and the passes a test makes through it. The arena is never emptied, so everything stays.
struct Trial {
  let model: Transformer
  let adapter: Adapter?
  let gradients: Gradients
  let arena: Arena
  let head: LossHead
  var backend: any Backend { model.backend }

  init(_ folder: String, trainable: Trainable = .nothing, adapter name: String? = nil, on backend: any Backend) throws {
    try self.init(Transformer(ModelFolder("\(goldens)/\(folder)"), trainable: trainable, on: backend), adapter: name)
  }

  init(_ model: Transformer, adapter name: String? = nil) throws {
    self.model = model
    adapter = try name.map { try Adapter("\(goldens)/lora/\($0)", for: model) }
    gradients = try Gradients(model, adapter: adapter)
    arena = try Arena(on: model.backend)
    head = LossHead(model)
  }

  var parameters: [Parameter] { (model.store?.parameters ?? []) + (adapter?.store.parameters ?? []) }

  func forward(_ batch: TokenBatch, retaining retention: Retention = .nothing) throws -> ForwardPass {
    try model.forward(batch, adapter: adapter?.weights, retaining: retention, in: arena)
  }

  func scores(_ pass: ForwardPass, _ targets: TokenTargets, temperature: Double = 1) throws -> LossHead.Pass {
    try head.forward(pass.hidden, targets, temperature: temperature, retaining: true, in: arena)
  }

  /// Adds the gradients of a loss with these derivatives.
  func backward(_ pass: ForwardPass, _ scores: LossHead.Pass, dLogProb: [Float], dEntropy: [Float]? = nil) throws {
    let dHidden = try arena.zeros(pass.hidden.rows, pass.hidden.columns)
    try head.backward(scores, dLogProb: dLogProb, dEntropy: dEntropy, into: dHidden, gradients, in: arena)
    try model.backward(pass, dHidden: dHidden, into: gradients, in: arena)
  }

  /// Every trained parameter's gradient against the golden's, relative to the largest of that parameter.
  func expectGradients(_ golden: Golden, prefix: String, tolerance: Double) throws {
    #expect(!parameters.isEmpty)
    for parameter in parameters {
      let expected = try golden.doubles(prefix + parameter.name)
      let scale = expected.reduce(1e-3) { max($0, abs($1)) }
      let difference = largestDifference(try backend.read(parameter.gradient), expected)
      #expect(difference < tolerance * scale, "\(parameter.name): off by \(difference) of \(scale)")
    }
  }
}
