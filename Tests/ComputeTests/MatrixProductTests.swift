import Compute
import Support
import TestSupport
import Testing

struct ProductShape: Sendable, CustomTestStringConvertible {
  let rows, outputs, inputs: Int
  var testDescription: String { "T=\(rows) N=\(outputs) K=\(inputs)" }
}

private let shapes = [
  ProductShape(rows: 1, outputs: 1, inputs: 1), ProductShape(rows: 1, outputs: 16, inputs: 3),
  ProductShape(rows: 3, outputs: 17, inputs: 5), ProductShape(rows: 13, outputs: 16, inputs: 64),
  ProductShape(rows: 5, outputs: 61, inputs: 33), ProductShape(rows: 64, outputs: 48, inputs: 16),
  ProductShape(rows: 31, outputs: 129, inputs: 700), ProductShape(rows: 130, outputs: 96, inputs: 40),
  ProductShape(rows: 0, outputs: 16, inputs: 8),
]

@Suite struct MatrixProductTests {
  @Test(arguments: backends, shapes)
  func linearEqualsFloat64(_ tested: TestedBackend, _ shape: ProductShape) throws {
    let (rows, outputs, inputs) = (shape.rows, shape.outputs, shape.inputs)
    let backend = try tested.open()
    let x = numbers(rows * inputs, seed: 1)
    let w = numbers(outputs * inputs, seed: 2)
    let b = numbers(outputs, seed: 3)
    let start = numbers(rows * outputs, seed: 4)
    let weight = try backend.pack(w, outputs: outputs, inputs: inputs)
    let y = try backend.tensor(start, rows: rows, columns: outputs)
    let input = try backend.tensor(x, rows: rows, columns: inputs)
    backend.linear(input, weight, bias: try backend.vector(b), into: y, accumulate: false)
    var expected: [Double] = []
    for t in 0..<rows {
      for n in 0..<outputs {
        let products = (0..<inputs).map { Double(x[t * inputs + $0]) * Double(w[n * inputs + $0]) }
        expected.append(products.reduce(0, +) + Double(b[n]))
      }
    }
    #expect(relativeError(try backend.read(y), expected) < tested.tolerance(2e-6))
    backend.upload(start, to: y)
    backend.linear(input, weight, bias: nil, into: y, accumulate: true)
    for t in 0..<rows { for n in 0..<outputs { expected[t * outputs + n] += Double(start[t * outputs + n]) - Double(b[n]) } }
    #expect(relativeError(try backend.read(y), expected) < tested.tolerance(2e-6))
  }

  @Test(arguments: backends, shapes)
  func linearBackwardEqualsFloat64(_ tested: TestedBackend, _ shape: ProductShape) throws {
    let (rows, outputs, inputs) = (shape.rows, shape.outputs, shape.inputs)
    let backend = try tested.open()
    let x = numbers(rows * inputs, seed: 1)
    let w = numbers(outputs * inputs, seed: 2)
    let dy = numbers(rows * outputs, seed: 5)
    let weight = try backend.pack(w, outputs: outputs, inputs: inputs)
    let upstream = try backend.tensor(dy, rows: rows, columns: outputs)
    let input = try backend.tensor(x, rows: rows, columns: inputs)
    let dx = try backend.tensor(rows, inputs)
    backend.linearBackward(upstream, weight, into: dx, accumulate: false)
    var expectedDx = [Double](repeating: 0, count: rows * inputs)
    var expectedDw = [Double](repeating: 0.5, count: outputs * inputs)
    var expectedDb = [Double](repeating: -0.25, count: outputs)
    for t in 0..<rows {
      for n in 0..<outputs {
        let d = Double(dy[t * outputs + n])
        expectedDb[n] += d
        for k in 0..<inputs {
          expectedDx[t * inputs + k] += d * Double(w[n * inputs + k])
          expectedDw[n * inputs + k] += d * Double(x[t * inputs + k])
        }
      }
    }
    #expect(relativeError(try backend.read(dx), expectedDx) < tested.tolerance(2e-6))
    backend.linearBackward(upstream, weight, into: dx, accumulate: true)
    #expect(relativeError(try backend.read(dx), expectedDx.map { 2 * $0 }) < tested.tolerance(4e-6))
    let dw = try backend.tensor([Float](repeating: 0.5, count: outputs * inputs), rows: outputs, columns: inputs)
    backend.linearBackward(upstream, x: input, weightGradient: dw)
    #expect(relativeError(try backend.read(dw), expectedDw) < tested.tolerance(2e-6))
    let db = try backend.vector([Float](repeating: -0.25, count: outputs))
    backend.linearBackward(upstream, biasGradient: db)
    #expect(relativeError(try backend.read(db), expectedDb) < tested.tolerance(2e-6))
  }

  @Test(arguments: backends, pairs([1, 2, 7, 12, 13, 50], [1, 3]))
  func aRowIsTheSameBitsInAnyBatchOnAnyNumberOfThreads(_ tested: TestedBackend, _ point: (rows: Int, threads: Int)) throws {
    let (rows, threads) = point
    let (outputs, inputs) = (200, 300)
    let one = try tested.open(threads: 1)
    let many = try tested.open(threads: threads)
    let x = numbers(rows * inputs, seed: 11)
    let w = numbers(outputs * inputs, seed: 12)
    let together = try many.tensor(rows, outputs)
    many.linear(
      try many.tensor(x, rows: rows, columns: inputs), try many.pack(w, outputs: outputs, inputs: inputs), bias: nil,
      into: together, accumulate: false)
    let weight = try one.pack(w, outputs: outputs, inputs: inputs)
    var alone: [Float] = []
    for t in 0..<rows {
      let y = try one.tensor(1, outputs)
      one.linear(
        try one.vector(Array(x[(t * inputs)..<((t + 1) * inputs)])), weight, bias: nil, into: y, accumulate: false)
      alone += try one.read(y)
    }
    #expect(try many.read(together).map(\.bitPattern) == alone.map(\.bitPattern))
  }

  @Test(arguments: backends.filter(\.isFloat32), [1, 5, 12, 40])
  func aWeightGradientIsTheSameBitsHoweverItsTokensAreSplit(_ tested: TestedBackend, first: Int) throws {
    let (rows, outputs, inputs) = (41, 48, 96)
    let backend = try tested.open()
    let dy = try backend.tensor(numbers(rows * outputs, seed: 21), rows: rows, columns: outputs)
    let x = try backend.tensor(numbers(rows * inputs, seed: 22), rows: rows, columns: inputs)
    let whole = try backend.tensor(outputs, inputs)
    backend.linearBackward(dy, x: x, weightGradient: whole)
    let parts = try backend.tensor(outputs, inputs)
    for range in [0..<first, first..<rows] {
      backend.linearBackward(dy.rows(range), x: x.rows(range), weightGradient: parts)
    }
    #expect(try backend.read(whole).map(\.bitPattern) == backend.read(parts).map(\.bitPattern))
  }

  @Test(arguments: backends) func bfloat16WeightsAreExactWhereTheirValuesAre(_ tested: TestedBackend) throws {
    let backend = try tested.open()
    let w = numbers(40 * 24, seed: 31).map { BFloat16.float(BFloat16.bits($0)) }
    let x = try backend.tensor(numbers(9 * 24, seed: 32), rows: 9, columns: 24)
    let wide = try backend.tensor(9, 40)
    let narrow = try backend.tensor(9, 40)
    backend.linear(x, try backend.pack(w, outputs: 40, inputs: 24), bias: nil, into: wide, accumulate: false)
    backend.linear(
      x, try backend.pack(w, outputs: 40, inputs: 24, as: .bfloat16), bias: nil, into: narrow, accumulate: false)
    #expect(try backend.read(wide) == backend.read(narrow))
  }

  @Test(arguments: backends) func gatheringRowsAndItsBackwardFollowTheIds(_ tested: TestedBackend) throws {
    let backend = try tested.open()
    let w = numbers(37 * 10, seed: 41).map { BFloat16.float(BFloat16.bits($0)) }
    let ids: [Int32] = [36, 0, 5, 5, 17]
    let out = try backend.tensor(ids.count, 10)
    let indices = try backend.indices(ids)
    backend.gather(indices, from: try backend.pack(w, outputs: 37, inputs: 10), into: out)
    #expect(try backend.read(out) == ids.flatMap { w[(Int($0) * 10)..<(Int($0) * 10 + 10)] })
    let d = numbers(ids.count * 10, seed: 42)
    let gradient = try backend.tensor(37, 10)
    backend.gatherBackward(indices, dOutput: try backend.tensor(d, rows: ids.count, columns: 10), gradient: gradient)
    var expected = [Double](repeating: 0, count: 370)
    for (t, id) in ids.enumerated() { for k in 0..<10 { expected[Int(id) * 10 + k] += Double(d[t * 10 + k]) } }
    #expect(relativeError(try backend.read(gradient), expected) < tested.tolerance(1e-6))
  }
}
