import Compute
import Support
import TestSupport
import Testing

@Suite struct RowTests {
  private func rmsNorm(_ x: [Double], _ w: [Double], columns: Int) -> [Double] {
    stride(from: 0, to: x.count, by: columns).flatMap { start -> [Double] in
      let row = x[start..<(start + columns)]
      let rstd = 1 / (row.reduce(0) { $0 + $1 * $1 } / Double(columns) + 1e-5).squareRoot()
      return zip(row, w).map { $0 * rstd * $1 }
    }
  }

  @Test(arguments: backends, [(1, 1), (3, 16), (5, 33), (17, 192)])
  func rmsNormForwardAndBackward(_ tested: TestedBackend, _ shape: (rows: Int, columns: Int)) throws {
    let (rows, columns) = shape
    let backend = try tested.open()
    let x = numbers(rows * columns, seed: 1)
    let w = numbers(columns, seed: 2)
    let d = numbers(rows * columns, seed: 3)
    let input = try backend.tensor(x, rows: rows, columns: columns)
    let norm = NormWeights(weight: try backend.vector(w), epsilon: 1e-5)
    let y = try backend.activations(rows, columns)
    let rstd = try backend.tensor(1, rows)
    backend.rmsNorm(input, norm, into: y, rstd: rstd)
    #expect(relativeError(try backend.read(y), rmsNorm(doubles(x), doubles(w), columns: columns)) < tested.tolerance(1e-6))
    let dx = try backend.tensor(rows, columns)
    let dw = try backend.tensor(1, columns)
    backend.rmsNormBackward(
      try backend.tensor(d, rows: rows, columns: columns), x: input, norm, rstd: rstd, into: dx,
      accumulate: true, weightGradient: dw)
    let expectedDx = finiteDifferences(doubles(x)) { dot(rmsNorm($0, doubles(w), columns: columns), doubles(d)) }
    let expectedDw = finiteDifferences(doubles(w)) { dot(rmsNorm(doubles(x), $0, columns: columns), doubles(d)) }
    #expect(relativeError(try backend.read(dx), expectedDx, floor: 1) < tested.tolerance(1e-5))
    #expect(relativeError(try backend.read(dw), expectedDw) < tested.tolerance(1e-5))
  }

  @Test(arguments: backends, [1, 15, 16, 1000, 4097])
  func swiGLUForwardAndBackward(_ tested: TestedBackend, count: Int) throws {
    let backend = try tested.open()
    let (gate, up, d) = (numbers(count, seed: 1, scale: 4), numbers(count, seed: 2), numbers(count, seed: 3))
    func value(_ g: Double, _ u: Double) -> Double { g / (1 + exp(-g)) * u }
    func activations(_ values: [Float]) throws -> Tensor { try backend.activations(values, rows: 1, columns: count) }
    let (g, u) = (try activations(gate), try activations(up))
    let out = try backend.activations(1, count)
    backend.swiGLU(gate: g, up: u, into: out)
    let expected = zip(gate, up).map { value(Double($0), Double($1)) }
    #expect(relativeError(try backend.read(out), expected) < tested.tolerance(1e-6))
    let (dg, du) = (try backend.activations(1, count), try backend.activations(1, count))
    backend.swiGLUBackward(try activations(d), gate: g, up: u, dGate: dg, dUp: du)
    let h = 1e-5
    let expectedDg = (0..<count).map {
      (value(Double(gate[$0]) + h, Double(up[$0])) - value(Double(gate[$0]) - h, Double(up[$0]))) / (2 * h) * Double(d[$0])
    }
    let expectedDu = (0..<count).map { value(Double(gate[$0]), 1) * Double(d[$0]) }
    #expect(relativeError(try backend.read(dg), expectedDg) < tested.tolerance(1e-5))
    #expect(relativeError(try backend.read(du), expectedDu) < tested.tolerance(1e-5))
  }

  @Test(arguments: backends) func extremeGatesStayNumbers(_ tested: TestedBackend) throws {
    let backend = try tested.open()
    let gate = try backend.activations([-1e30, -200, -90, 0, 90, 200, 1e30], rows: 1, columns: 7)
    let one = try backend.activations(Array(repeating: 1, count: 7), rows: 1, columns: 7)
    let out = try backend.activations(1, 7)
    backend.swiGLU(gate: gate, up: one, into: out)
    let values = try backend.read(out)
    #expect(values.allSatisfy { $0.isFinite })
    #expect(values[4] == 90 && abs(values[6] / 1e30 - 1) < Float(tested.unit) && abs(values[0]) < 1e-30)
  }

  @Test(arguments: backends, [2, 8, 32, 64])
  func rotationTurnsPairsAndItsInverseTurnsThemBack(_ tested: TestedBackend, channels: Int) throws {
    let backend = try tested.open()
    let (rows, heads, half) = (5, 3, channels / 2)
    let x = numbers(rows * heads * channels, seed: 1)
    let angles = (0..<(10 * half)).map { Double($0) * 0.37 }
    let positions: [Int32] = [0, 9, 3, 3, 1]
    let cosines = try backend.tensor(angles.map { Float(cos($0)) }, rows: 10, columns: half)
    let sines = try backend.tensor(angles.map { Float(sin($0)) }, rows: 10, columns: half)
    let tensor = try backend.activations(x, rows: rows, columns: heads * channels)
    let indices = try backend.indices(positions)
    backend.rotate(tensor, channels: channels, positions: indices, cos: cosines, sin: sines, inverse: false)
    var expected = doubles(x)
    for t in 0..<rows {
      for h in 0..<heads {
        for i in 0..<half {
          let angle = angles[Int(positions[t]) * half + i]
          let first = t * heads * channels + h * channels + i
          let (a, b) = (Double(x[first]), Double(x[first + half]))
          expected[first] = a * cos(angle) - b * sin(angle)
          expected[first + half] = b * cos(angle) + a * sin(angle)
        }
      }
    }
    #expect(relativeError(try backend.read(tensor), expected) < tested.tolerance(1e-6))
    backend.rotate(tensor, channels: channels, positions: indices, cos: cosines, sin: sines, inverse: true)
    #expect(relativeError(try backend.read(tensor), doubles(x)) < tested.tolerance(1e-6))
  }

  @Test(arguments: backends) func rowsAreTakenAndAddedBackInOrder(_ tested: TestedBackend) throws {
    let backend = try tested.open()
    let x = numbers(6 * 20, seed: 1)
    let y = numbers(4 * 20, seed: 2)
    let rows: [Int32] = [5, 2, 2, 0]
    let tensor = try backend.tensor(x, rows: 6, columns: 20)
    let taken = try backend.tensor(4, 20)
    let indices = try backend.indices(rows)
    backend.take(indices, of: tensor, into: taken)
    #expect(try backend.read(taken) == rows.flatMap { x[(Int($0) * 20)..<(Int($0) * 20 + 20)] })
    backend.add(try backend.tensor(y, rows: 4, columns: 20), toRows: indices, of: tensor)
    var expected = doubles(x)
    for (i, row) in rows.enumerated() { for k in 0..<20 { expected[Int(row) * 20 + k] += Double(y[i * 20 + k]) } }
    #expect(relativeError(try backend.read(tensor), expected) < tested.tolerance(1e-6))
  }
}
