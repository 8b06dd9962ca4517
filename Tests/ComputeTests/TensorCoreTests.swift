import Compute
import Support
import TestSupport
import Testing

/// Products on tensor cores, of which every element is one sequence of operations whatever the tile, the batch and the split: held bit for
/// bit against loops of that sequence. The emulator's tensor core sums in the order of a chain; what a card's does is `gpu-check`'s to say.
@Suite struct TensorCoreTests {
  /// Of a product's sum over its inputs, and of a weight gradient's over rows (product_arguments.h, product_backward_arguments.h).
  private static let (chunk, run) = (2304, 512)

  private func rounded(_ values: [Float]) -> [Float] { values.map { BFloat16.float(BFloat16.bits($0)) } }

  /// `c = fma(a[i], b[i], c)`, i ascending.
  private func chain(_ a: ArraySlice<Float>, _ b: ArraySlice<Float>, from start: Float = 0) -> Float {
    var sum = start
    for (x, y) in zip(a, b) { sum.addProduct(x, y) }
    return sum
  }

  /// The sum of a product, chunk after chunk.
  private func sum(_ x: ArraySlice<Float>, _ w: ArraySlice<Float>) -> Float {
    var total: Float?
    for start in stride(from: 0, to: max(1, x.count), by: Self.chunk) {
      let part = chain(x.dropFirst(start).prefix(Self.chunk), w.dropFirst(start).prefix(Self.chunk))
      total = total.map { $0 + part } ?? part
    }
    return total ?? 0
  }

  private struct Layer: Sendable, CustomTestStringConvertible {
    let outputs, inputs, rank: Int
    let isFourBits: Bool
    var testDescription: String { "\(outputs) of \(inputs)\(isFourBits ? " in four bits" : ""), rank \(rank)" }
  }

  private static let layers = [
    Layer(outputs: 48, inputs: 2432, rank: 16, isFourBits: false), Layer(outputs: 48, inputs: 2432, rank: 16, isFourBits: true),
    Layer(outputs: 300, inputs: 64, rank: 5, isFourBits: false), Layer(outputs: 304, inputs: 64, rank: 5, isFourBits: true),
    Layer(outputs: 33, inputs: 100, rank: 17, isFourBits: false), Layer(outputs: 33, inputs: 100, rank: 1, isFourBits: true),
  ]
  /// One for each tile, some that fill none.
  private static let rows = [1, 16, 31, 64, 100, 128, 257, 300]

  private struct Inputs {
    let x, dy, residual, w, a, b, bias: [Float]
    init(_ layer: Layer, rows: Int) {
      x = numbers(rows * layer.inputs, seed: 1)
      dy = numbers(rows * layer.outputs, seed: 2)
      residual = numbers(rows * layer.outputs, seed: 3)
      w = numbers(layer.outputs * layer.inputs, seed: 4, scale: 0.05)
      a = numbers(layer.rank * layer.inputs, seed: 5, scale: 0.1)
      b = numbers(layer.outputs * layer.rank, seed: 6, scale: 0.1)
      bias = numbers(layer.outputs, seed: 7)
    }
  }

  /// What a product reads of a weight.
  private func values(_ layer: Layer, _ inputs: Inputs, on backend: any Backend) -> [Float] {
    guard layer.isFourBits else { return rounded(inputs.w) }
    return rounded(backend.quantize(inputs.w, outputs: layer.outputs, inputs: layer.inputs).floats())
  }

  /// On cards of few and of many multiprocessors, for which work is cut into few and into many blocks.
  @Test(arguments: TensorCoreTests.layers, pairs(TensorCoreTests.rows, [1, 12, 10_000]))
  private func aLayerIsItsLoop(_ layer: Layer, _ point: (rows: Int, multiprocessors: Int)) throws {
    let (backend, rows) = (try TensorCoreBackend(Emulator.device()), point.rows)
    backend.multiprocessors = point.multiprocessors
    let arena = try Arena(on: backend)
    let inputs = Inputs(layer, rows: rows)
    let (outputs, width, rank) = (layer.outputs, layer.inputs, layer.rank)
    let format: WeightFormat = layer.isFourBits ? .nf4(NF4Format(roundsToBFloat16: true)) : .bfloat16
    let linear = LinearWeights(
      matrix: try backend.pack(inputs.w, outputs: outputs, inputs: width, as: format), bias: try backend.vector(inputs.bias),
      lora: LoRAWeights(
        a: try backend.pack(inputs.a, outputs: rank, inputs: width), b: try backend.pack(inputs.b, outputs: outputs, inputs: rank), scale: 2))
    let x = try backend.activations(inputs.x, rows: rows, columns: width)
    let y = try backend.tensor(rows, outputs)
    let projected = try backend.residualProjection(
      x, linear, addingTo: backend.tensor(inputs.residual, rows: rows, columns: outputs), into: y, in: arena)
    let low = try backend.read(#require(projected))
    let (w, xs) = (values(layer, inputs, on: backend), rounded(inputs.x))
    let (a, b) = (rounded(inputs.a), rounded(inputs.b))
    var (expectedLow, expected) = ([Float](), [Float]())
    for t in 0..<rows {
      let row = xs[(t * width)..<((t + 1) * width)]
      let lows = (0..<rank).map { BFloat16.float(BFloat16.bits(sum(row, a[($0 * width)..<(($0 + 1) * width)]) * 2)) }
      expectedLow += lows
      for n in 0..<outputs {
        let total = chain(lows[...], b[(n * rank)..<((n + 1) * rank)], from: sum(row, w[(n * width)..<((n + 1) * width)]))
        expected.append(total + inputs.bias[n] + inputs.residual[t * outputs + n])
      }
    }
    #expect(low.map(\.bitPattern) == expectedLow.map(\.bitPattern))
    #expect(try backend.read(y).map(\.bitPattern) == expected.map(\.bitPattern))
  }

  @Test(arguments: TensorCoreTests.layers, pairs([1, 70, 300, 1100], [1, 10_000]))
  private func itsGradientsAreTheirLoops(_ layer: Layer, _ point: (rows: Int, multiprocessors: Int)) throws {
    let (backend, rows) = (try TensorCoreBackend(Emulator.device()), point.rows)
    backend.multiprocessors = point.multiprocessors
    let arena = try Arena(on: backend)
    let inputs = Inputs(layer, rows: rows)
    let (outputs, width, rank) = (layer.outputs, layer.inputs, layer.rank)
    let format: WeightFormat = layer.isFourBits ? .nf4(NF4Format(roundsToBFloat16: true)) : .bfloat16
    let linear = LinearWeights(
      matrix: try backend.pack(inputs.w, outputs: outputs, inputs: width, as: format),
      lora: LoRAWeights(
        a: try backend.pack(inputs.a, outputs: rank, inputs: width), b: try backend.pack(inputs.b, outputs: outputs, inputs: rank), scale: 2))
    let x = try backend.activations(inputs.x, rows: rows, columns: width)
    let y = try backend.tensor(rows, outputs)
    let projected = try backend.residualProjection(x, linear, addingTo: y, into: backend.tensor(rows, outputs), in: arena)
    let da = try backend.activations(rows, width)
    let (ofA, ofB) = (try backend.tensor(rank, width), try backend.tensor(outputs, rank))
    try backend.residualProjectionBackward(
      try backend.tensor(inputs.dy, rows: rows, columns: outputs), a: x, projected: projected, linear, LinearGradients(a: ofA, b: ofB), into: da, in: arena)
    let (w, a, b) = (values(layer, inputs, on: backend), rounded(inputs.a), rounded(inputs.b))
    let (xs, dy, low) = (rounded(inputs.x), rounded(inputs.dy), try backend.read(#require(projected)))
    /// Columns of a matrix one after another.
    func turned(_ values: [Float], columns: Int) -> [Float] {
      let rows = values.count / max(1, columns)
      return (0..<columns).flatMap { column in (0..<rows).map { values[$0 * columns + column] } }
    }
    let (wT, aT, bT) = (turned(w, columns: width), turned(a, columns: width), turned(b, columns: rank))
    var (expected, dLow) = ([Float](), [Float]())
    for t in 0..<rows {
      let row = dy[(t * outputs)..<((t + 1) * outputs)]
      let lows = (0..<rank).map { BFloat16.float(BFloat16.bits(chain(row, bT[($0 * outputs)..<(($0 + 1) * outputs)]) * 2)) }
      dLow += lows
      for k in 0..<width {
        expected.append(chain(lows[...], aT[(k * rank)..<((k + 1) * rank)], from: chain(row, wT[(k * outputs)..<((k + 1) * outputs)])))
      }
    }
    #expect(try backend.read(da).map(\.bitPattern) == rounded(expected).map(\.bitPattern))
    /// `dyᵀ · x`, runs of rows one after another.
    func weightGradient(_ dy: [Float], _ x: [Float], _ outputs: Int, _ inputs: Int) -> [Float] {
      let (columns, others) = (turned(dy, columns: outputs), turned(x, columns: inputs))
      return (0..<outputs).flatMap { n in
        (0..<inputs).map { k in
          var total: Float = 0
          for start in stride(from: 0, to: rows, by: Self.run) {
            let range = start..<min(start + Self.run, rows)
            let part = chain(columns[(n * rows + range.lowerBound)..<(n * rows + range.upperBound)], others[(k * rows + range.lowerBound)..<(k * rows + range.upperBound)])
            total = start == 0 ? part : total + part
          }
          return 0 + total
        }
      }
    }
    #expect(try backend.read(ofA) == weightGradient(dLow, xs, rank, width))
    #expect(try backend.read(ofB) == weightGradient(dy, low, outputs, rank))
  }

  /// Three layers that read the same rows, in one launch: each is what it is alone.
  @Test(arguments: [1, 20, 140, 300]) func layersTogetherAreLayersAlone(rows: Int) throws {
    let backend = try TensorCoreBackend(Emulator.device())
    let arena = try Arena(on: backend)
    let width = 96
    let x = try backend.tensor(numbers(rows * width, seed: 1), rows: rows, columns: width)
    let norm = NormWeights(weight: try backend.vector(numbers(width, seed: 2)), epsilon: 1e-6)
    let layers = try [(80, true), (17, false), (130, true)].enumerated().map { index, layer in
      LinearWeights(
        matrix: try backend.pack(numbers(layer.0 * width, seed: UInt64(10 + index)), outputs: layer.0, inputs: width),
        bias: layer.1 ? try backend.vector(numbers(layer.0, seed: UInt64(20 + index))) : nil,
        lora: layer.1
          ? LoRAWeights(
            a: try backend.pack(numbers(8 * width, seed: UInt64(30 + index)), outputs: 8, inputs: width),
            b: try backend.pack(numbers(layer.0 * 8, seed: UInt64(40 + index)), outputs: layer.0, inputs: 8), scale: 0.5) : nil)
    }
    let together = try backend.normedProjection(x, norm, layers, in: arena)
    for (index, layer) in layers.enumerated() {
      let alone = try backend.normedProjection(x, norm, [layer], in: arena)
      #expect(try backend.read(alone.outputs[0]) == backend.read(together.outputs[index]))
      #expect((alone.projected[0] == nil) == (together.projected[index] == nil))
    }
  }
}
