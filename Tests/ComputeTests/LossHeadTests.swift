import Compute
import Support
import TestSupport
import Testing

@Suite struct LossHeadTests {
  @Test(arguments: backends, pairs([(1, 2), (3, 17), (5, 512), (2, 5003)], [1.0, 0.8, 2.5]))
  func logProbabilityAndEntropyForwardAndBackward(_ tested: TestedBackend, _ point: (shape: (rows: Int, vocabulary: Int), temperature: Double))
    throws
  {
    let (rows, vocabulary) = point.shape
    let temperature = point.temperature
    let backend = try tested.open()
    let logits = numbers(rows * vocabulary, seed: 1, scale: 3)
    let targets = (0..<rows).map { Int32(($0 * 7919) % vocabulary) }
    let (dLogProb, dEntropy) = (numbers(rows, seed: 2), numbers(rows, seed: 3))
    let inverse = Double(Float(1 / temperature))
    let tensor = try backend.tensor(logits, rows: rows, columns: vocabulary)
    let ids = try backend.indices(targets)
    let (logProb, entropy) = (try backend.tensor(rows, 1), try backend.tensor(rows, 1))
    let logSum = try backend.tensor(rows, 1)
    backend.logSoftmax(
      tensor, inverseTemperature: Float(inverse), targets: ids, logProb: logProb, entropy: entropy, logSum: logSum)
    let reference = (0..<rows).map { logSoftmax(doubles(Array(logits[($0 * vocabulary)..<(($0 + 1) * vocabulary)])), inverse: inverse) }
    #expect(relativeError(try backend.read(logProb), (0..<rows).map { reference[$0].logProbs[Int(targets[$0])] }, floor: 3) < tested.tolerance(1e-6))
    #expect(relativeError(try backend.read(entropy), reference.map(\.entropy), floor: 3) < tested.tolerance(1e-6))

    backend.logSoftmaxBackward(
      tensor, inverseTemperature: Float(inverse), targets: ids, logSum: logSum, entropy: entropy,
      dLogProb: try backend.tensor(dLogProb, rows: rows, columns: 1),
      dEntropy: try backend.tensor(dEntropy, rows: rows, columns: 1))
    let gradient = try backend.read(tensor)
    for row in 0..<rows {
      let point = doubles(Array(logits[(row * vocabulary)..<((row + 1) * vocabulary)]))
      let checked = vocabulary > 600 ? Array(stride(from: 0, to: vocabulary, by: 97)) + [Int(targets[row])] : Array(0..<vocabulary)
      for index in checked {
        func value(_ step: Double) -> Double {
          var moved = point
          moved[index] += step
          let result = logSoftmax(moved, inverse: inverse)
          return Double(dLogProb[row]) * result.logProbs[Int(targets[row])] + Double(dEntropy[row]) * result.entropy
        }
        let expected = (value(1e-4) - value(-1e-4)) / 2e-4
        #expect(abs(Double(gradient[row * vocabulary + index]) - expected) < tested.tolerance(2e-6) * max(1, abs(expected)))
      }
    }
  }

  @Test(arguments: backends) func hugeLogitsStayNumbers(_ tested: TestedBackend) throws {
    let backend = try tested.open()
    let logits = try backend.tensor([1e30, -1e30, 0, 5, 88, -88], rows: 2, columns: 3)
    let ids = try backend.indices([1, 0])
    let (logProb, entropy, logSum) = (try backend.tensor(2, 1), try backend.tensor(2, 1), try backend.tensor(2, 1))
    backend.logSoftmax(logits, inverseTemperature: 1, targets: ids, logProb: logProb, entropy: entropy, logSum: logSum)
    #expect(try backend.read(entropy).allSatisfy { $0.isFinite && abs($0) < 1e-6 })
  }

  /// How rows are cut into chunks is the same code for all backends, and too much for an emulated one.
  ///
  /// The real vocabulary, of whose logits some 200 rows exist at a time, and a small one with more rows than any chunk has.
  @Test(arguments: backends.filter { !$0.isEmulated }, [(rows: 230, vocabulary: 151_936), (rows: 4100, vocabulary: 61)])
  func theHeadInChunksGivesTheBitsOfRowByRow(_ tested: TestedBackend, _ shape: (rows: Int, vocabulary: Int)) throws {
    let backend = try tested.open()
    let (rows, vocabulary) = shape
    let (width, inverse) = (8, Float(1 / 0.8))
    let hiddenValues = numbers(rows * width, seed: 1)
    let weights = numbers(vocabulary * width, seed: 2)
    let targetValues = (0..<rows).map { Int32(($0 * 7919 + 1023) % vocabulary) }
    let hidden = try backend.activations(hiddenValues, rows: rows, columns: width)
    let matrix = try backend.pack(weights, outputs: vocabulary, inputs: width)
    let targets = try backend.indices(targetValues)
    let (dLogProbs, dEntropies) = (numbers(rows, seed: 3), numbers(rows, seed: 4))
    let dLogProb = try backend.tensor(dLogProbs, rows: rows, columns: 1)
    let dEntropy = try backend.tensor(dEntropies, rows: rows, columns: 1)

    func computed(_ parts: [Range<Int>]) throws -> (output: [Float], dHidden: [Float], gradient: [Float], peak: Int) {
      let (kept, arena) = (try Arena(on: backend), try Arena(on: backend))
      let output = try HeadOutput(rows: rows, in: kept)
      let dHidden = try kept.tensor(rows, width)
      let gradient = try kept.tensor(numbers(vocabulary * width, seed: 5), rows: vocabulary, columns: width)
      for part in parts {
        let own = try HeadOutput(rows: part.count, in: kept)
        let (hidden, targets) = (hidden.rows(part), targets.range(part))
        try backend.head(hidden, matrix, targets: targets, inverseTemperature: inverse, into: own, in: arena)
        try backend.headBackward(
          hidden, matrix, targets: targets, inverseTemperature: inverse, own, dLogProb: dLogProb.rows(part),
          dEntropy: dEntropy.rows(part), into: dHidden.rows(part), weightGradient: gradient, in: arena)
        for (from, to) in [(own.logProb, output.logProb), (own.entropy, output.entropy), (own.logSum, output.logSum)] {
          backend.copy(from, to: to.rows(part))
        }
      }
      let outputs = try [output.logProb, output.entropy, output.logSum].flatMap { try backend.read($0) }
      return (outputs, try backend.read(dHidden), try backend.read(gradient), arena.peakBytes)
    }
    let whole = try computed([0..<rows])
    #expect(whole.peak < 4 * rows * vocabulary, "the logits of all rows exist at once")
    let single = try computed((0..<rows).map { $0..<($0 + 1) })
    expectTheSameRows(whole.output, single.output, on: backend, within: tested.tolerance(1e-6))
    expectTheSameRows(whole.dHidden, single.dHidden, on: backend, within: tested.tolerance(1e-5))
    // In bfloat16 weight gradients are sums over runs of rows, so a split of the rows is seen in their last bits.
    if tested.isFloat32 {
      expectTheSameRows(whole.gradient, single.gradient, on: backend, within: 1e-5)
    } else {
      #expect(relativeError(whole.gradient, doubles(single.gradient)) < tested.tolerance(1e-5))
    }

    // The rows around the end of a chunk against float64: chunks that agreed with themselves alone would prove little.
    for row in [0, rows * 9 / 10, rows - 1] {
      let logits = (0..<vocabulary).map { token in
        (0..<width).reduce(0.0) { $0 + Double(hiddenValues[row * width + $1]) * Double(weights[token * width + $1]) }
      }
      let (logProbs, entropy) = logSoftmax(logits, inverse: Double(inverse))
      #expect(abs(Double(whole.output[row]) - logProbs[Int(targetValues[row])]) < tested.tolerance(2e-5))
      #expect(abs(Double(whole.output[rows + row]) - entropy) < tested.tolerance(2e-5))
      var expected = [Double](repeating: 0, count: width)
      for (token, logProb) in logProbs.enumerated() {
        let one = token == Int(targetValues[row]) ? 1.0 : 0
        let d = Double(dLogProbs[row]) * (one - exp(logProb)) - Double(dEntropies[row]) * exp(logProb) * (logProb + entropy)
        for c in 0..<width { expected[c] += Double(inverse) * d * Double(weights[token * width + c]) }
      }
      // One float32 sum over the whole vocabulary.
      let rounding = 2e-6 * Double(vocabulary).squareRoot()
      #expect(relativeError(Array(whole.dHidden[(row * width)..<((row + 1) * width)]), expected, floor: 1) < tested.tolerance(rounding))
    }
  }
}
