/// A micro-batch as tensors to write a loss with (``TapedLossPlugin``).
///
/// Everything is computed in double precision, at once and in the order it is written; the derivatives are taken when the loss is
/// returned. A mistake that the compiler cannot see ends the call with one line that names it, never the process; nothing is computed
/// after it.
public final class Tape {
  /// The micro-batch itself, for what is no tensor.
  public let batch: Batch
  private let metrics: Metrics
  let recording: Recording
  private var error: PluginError?
  private var isOpen = true
  /// Where each input was recorded; -1: not yet.
  private var inputs: [Int]

  init(_ batch: Batch, _ metrics: Metrics, _ recording: Recording) throws(PluginError) {
    (self.batch, self.metrics, self.recording) = (batch, metrics, recording)
    inputs = Array(repeating: -1, count: Input.count)
    try recording.begin(batch)
  }

  // MARK: - Inputs

  /// Log-probabilities under the policy that is being trained: what the loss is differentiated by.
  public var current: Tokens { input(.current, batch.current) }
  /// Log-probabilities under the policy that sampled.
  public var old: Tokens { input(.old, batch.old) }
  public var advantages: Tokens { input(.advantages, batch.advantages) }
  /// Log-probabilities under the reference model; with ``Needs/reference``.
  public var reference: Tokens { input(.reference, batch.reference) }
  /// Log-probabilities as the rollout engine computed them; with ``Needs/sampler``.
  public var sampler: Tokens { input(.sampler, batch.sampler) }
  /// The policy's entropy at each token, in nats, with its derivative; with ``Needs/entropy``.
  public var entropy: Tokens { input(.entropy, batch.entropy) }
  /// The critic's values now, with their derivative; with ``Needs/critic``.
  public var values: Tokens { input(.values, batch.values) }
  /// The critic's values when the rollout was made; with ``Needs/critic``.
  public var oldValues: Tokens { input(.oldValues, batch.oldValues) }
  /// With ``Needs/critic``.
  public var returns: Tokens { input(.returns, batch.returns) }

  /// Tokens of the whole optimiser update, at least 1, so that an update without a token has the loss 0 and not 0/0.
  public var updateTokens: Double { Double(Swift.max(1, batch.updateTokens)) }
  /// Sequences of the whole optimiser update, at least 1.
  public var updateSequences: Double { Double(Swift.max(1, batch.updateSequences)) }
  /// Groups that the whole optimiser update touches, at least 1.
  public var updateGroups: Double { Double(Swift.max(1, batch.updateGroups)) }
  /// The longest completion the sampler allows.
  public var tokenLimit: Double { Double(Swift.max(1, batch.tokenLimit)) }

  // MARK: - Constants

  public func constant(_ value: Double) -> Scalar { Scalar(self, constant(1) { $0[0] = value }) }

  /// A number for each token, by its position in the micro-batch.
  public func constant<E: Error>(perToken value: (Int) throws(E) -> Double) throws(E) -> Tokens {
    let index = constant(recording.tokenCount) { $0.fill(0) }
    if isUsable { for token in 0..<recording.tokenCount { recording.values(index)[token] = try value(token) } }
    return Tokens(self, index)
  }

  /// A number for each sequence, by its position in the micro-batch; `batch.sequenceIDs` has that in the rollout.
  public func constant<E: Error>(perSequence value: (Int) throws(E) -> Double) throws(E) -> Sequences {
    let index = constant(recording.sequenceCount) { $0.fill(0) }
    if isUsable { for sequence in 0..<recording.sequenceCount { recording.values(index)[sequence] = try value(sequence) } }
    return Sequences(self, index)
  }

  /// Sorts the sequences into `count` segments to sum over. A group may be split between micro-batches: what is no sum of sequences, such
  /// as the square of a group's sum, depends on the split.
  ///
  /// - Parameter segment: from 0 to `count - 1`, of each sequence's position in the micro-batch.
  public func segmentation(count: Int, _ segment: (Int) -> Int) -> Segmentation {
    let none = Segmentation(tape: self, index: 0, count: 0)
    guard isUsable else { return none }
    guard count >= 0, count <= 1 << 24 else {
      fail(.internalError("a segmentation of " + count.description + " segments: expected 0 to 16777216"))
      return none
    }
    let (index, wrong) = recording.segmentation(count, segment)
    if let wrong {
      fail(.internalError("the segment of sequence " + wrong.description + " is not one of the segmentation's " + count.description))
      return none
    }
    return Segmentation(tape: self, index: index, count: count)
  }

  // MARK: - Metrics

  /// Records a metric of some numbers, folded as it is declared; of no numbers a mean, minimum or maximum says nothing.
  public func record<Shape>(_ metric: Metric, _ tensor: Tensor<Shape>) {
    guard let index = own(tensor.tape, tensor.index) else { return }
    record(metric, recording.values(index))
  }

  /// Records how often something holds: with ``Metric/mean(_:_:)`` its share, with ``Metric/sum(_:_:)`` how many.
  public func record<Shape>(_ metric: Metric, _ condition: Condition<Shape>) { record(metric, condition.numbers) }

  /// Records a value; `weight` is how many tokens, sequences or groups it stands for.
  public func record(_ metric: Metric, _ value: Double, weight: Double = 1) { metrics.record(metric, value, weight: weight) }

  private func record(_ metric: Metric, _ numbers: Numbers) {
    let sum = numbers.sum(0..<numbers.count)
    let count = Double(numbers.count)
    switch metric.fold {
    case .sum: metrics.record(metric, sum)
    case .mean: metrics.record(metric, count == 0 ? 0 : sum / count, weight: count)
    case .minimum: metrics.record(metric, numbers.extreme { $0 < $1 } ?? 0, weight: Swift.min(count, 1))
    case .maximum: metrics.record(metric, numbers.extreme { $0 > $1 } ?? 0, weight: Swift.min(count, 1))
    }
  }

  // MARK: - The end

  /// No tensor of this tape can be used any more.
  func close() { isOpen = false }

  /// The value of the loss; fills the derivatives.
  func differentiate(_ loss: Scalar, into gradients: Gradients, stopping declared: StoppedGradients) throws(PluginError) -> Double {
    if loss.tape !== self { fail(.internalError("the loss is a number of another call's tape")) }
    if let error { throw error }
    let undeclared = recording.stops(loss.index).subtracting(declared)
    for input in [Input.current, .entropy, .values] where undeclared.contains(input.differentiated) {
      throw .internalError(
        "the loss stops the gradient by " + input.name + " and does not say so: add var stoppedGradients: StoppedGradients { ."
          + input.name + " }")
    }
    let value = recording.values(loss.index)[0]
    guard value.isFinite else {
      guard let first = recording.firstNotFinite else { throw .notFinite("the loss is not a finite number") }
      throw .notFinite(
        "the loss is not a finite number: the first that is none comes from " + first.operation.description + ", at position "
          + first.element.description)
    }
    _ = recording.backward(from: loss.index)
    try write(.current, to: gradients.current, of: loss)
    try write(.entropy, to: gradients.entropy, of: loss)
    try write(.values, to: gradients.values, of: loss)
    return value
  }

  private func write(_ input: Input, to output: Output<Float>, of loss: Scalar) throws(PluginError) {
    let index = inputs[input.rawValue]
    guard index >= 0, let derivative = recording.derivative(index) else { return }
    for token in 0..<Swift.min(derivative.count, output.count) {
      let value = Float(derivative[token])
      output[token] = value
      if value.isFinite { continue }
      guard let operation = recording.backward(from: loss.index, isWatched: true) else {
        throw .notFinite("the derivative by " + input.name + " at token " + token.description + " is too large for a float")
      }
      throw .notFinite(
        "the derivative by " + input.name + " at token " + token.description + " is not a finite number: the first that is none comes from "
          + operation.description)
    }
  }

  // MARK: - Recording

  /// The first mistake is the one that is told.
  func fail(_ mistake: PluginError) { if error == nil { error = mistake } }

  private var isUsable: Bool { isOpen && error == nil }

  /// A node of this tape; nil where something is wrong with it, which is then said.
  func own(_ tape: Tape, _ index: Int) -> Int? {
    if tape !== self { fail(.internalError("a tensor of another call's tape")) }
    return isUsable ? index : nil
  }

  func unary(_ operation: Operation, _ x: Int, _ a: Double = 0, _ b: Double = 0) -> Int {
    isUsable ? recording.unary(operation, x, a, b) : 0
  }

  func binary(_ operation: Operation, _ x: Int, _ other: Tape, _ y: Int) -> Int {
    guard let y = own(other, y) else { return 0 }
    return recording.binary(operation, x, y) ?? mixed()
  }

  func choice(_ condition: Int, _ tapeOfX: Tape, _ x: Int, _ tapeOfY: Tape, _ y: Int) -> Int {
    guard let x = own(tapeOfX, x), let y = own(tapeOfY, y) else { return 0 }
    return recording.binary(.choice, x, y, where: condition) ?? mixed()
  }

  func comparison(_ comparison: Comparison, _ x: Int, _ other: Tape, _ y: Int) -> Int {
    guard let y = own(other, y) else { return 0 }
    return recording.comparison(comparison, x, y) ?? mixed()
  }

  func complement(_ x: Int) -> Int { isUsable ? recording.complement(x) : 0 }
  func stopped(_ x: Int) -> Int { isUsable ? recording.stopped(x) : 0 }
  func sum(_ x: Int, _ map: Map, _ count: Int) -> Int { isUsable ? recording.mapped(.sum, x, map, count) : 0 }
  func spread(_ x: Int, _ map: Map, _ count: Int) -> Int { isUsable ? recording.mapped(.spread, x, map, count) : 0 }

  /// One number as often as `y` has elements.
  func spread(_ tapeOfX: Tape, _ x: Int, like y: Int) -> Int {
    guard let x = own(tapeOfX, x) else { return 0 }
    return recording.spread(x, like: y)
  }

  /// One constant as often as `y` has elements.
  func spread(_ value: Double, like y: Int) -> Int { isUsable ? recording.spread(constant(1) { $0[0] = value }, like: y) : 0 }

  /// Of each segment or sequence how many elements are summed in it, at least 1.
  func divisors(_ map: Map, _ count: Int) -> Int {
    guard isUsable else { return 0 }
    let ones: Int
    if case .sequences = map {
      ones = constant(recording.tokenCount) { $0.fill(1) }
    } else {
      ones = constant(recording.sequenceCount) { $0.fill(1) }
    }
    return recording.unary(.clamp, recording.mapped(.sum, ones, map, count), 1, .infinity)
  }

  private func constant(_ count: Int, _ fill: (Numbers) -> Void) -> Int { isUsable ? recording.constant(count, fill) : 0 }

  private func mixed() -> Int {
    fail(.internalError("tensors of two segmentations in one expression"))
    return 0
  }

  private func input(_ input: Input, _ values: Values<Float>) -> Tokens {
    if isUsable, inputs[input.rawValue] < 0 {
      if values.count == recording.tokenCount {
        inputs[input.rawValue] = recording.input(values, input.differentiated)
      } else {
        fail(.internalError("the loss reads " + input.name + ", which the instance's needs do not name"))
      }
    }
    return Tokens(self, Swift.max(0, inputs[input.rawValue]))
  }
}

private enum Input: Int {
  case current, old, advantages, reference, sampler, entropy, values, oldValues, returns

  static let count = 9

  var name: String {
    switch self {
    case .current: "current"
    case .old: "old"
    case .advantages: "advantages"
    case .reference: "reference"
    case .sampler: "sampler"
    case .entropy: "entropy"
    case .values: "values"
    case .oldValues: "oldValues"
    case .returns: "returns"
    }
  }

  /// Itself, where the loss has a derivative by it.
  var differentiated: StoppedGradients {
    switch self {
    case .current: .current
    case .entropy: .entropy
    case .values: .values
    default: []
    }
  }
}
