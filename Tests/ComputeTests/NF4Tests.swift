import Compute
import Support
import TestSupport
import Testing

/// Weights of four bits against what bitsandbytes made of the same matrices, and products with them against products with their values.
@Suite struct NF4Tests {
  /// A matrix of `Goldens/nf4.safetensors`.
  private struct Golden {
    let outputs, inputs: Int
    let format: WeightFormat
    let source: [UInt8]
    let blocks, plain: NF4Blocks
    let float32, bfloat16: [Float]
  }

  private static let count = 12

  private func golden(_ number: Int) throws -> Golden {
    let file = try SafetensorsFile(Place.tests + "/ComputeTests/Goldens/nf4.safetensors")
    #expect(file.names.count == 8 * Self.count + 1)
    let prefix = "\(number < 10 ? "0" : "")\(number)."
    func bytes(_ name: String) throws -> [UInt8] { unsafe file.withBytes(try file.entry(prefix + name)) { unsafe Array($0) } }
    func floats(_ name: String) throws -> [Float] { try file.floats(prefix + name) }
    let source = try file.entry(prefix + "source")
    let (outputs, inputs) = (source.shape[0], source.shape[1])
    func blocks(_ magnitudes: NF4Blocks.Magnitudes) throws -> NF4Blocks {
      NF4Blocks(outputs: outputs, inputs: inputs, codes: try bytes("codes"), magnitudes: magnitudes)
    }
    return Golden(
      outputs: outputs, inputs: inputs, format: source.type == .bfloat16 ? .bfloat16 : .float32, source: try bytes("source"),
      blocks: try blocks(
        .nested(
          NF4Blocks.NestedMagnitudes(
            codes: try bytes("absmax"), absmax: try floats("nested_absmax"), map: try file.floats("map"), offset: try floats("offset")[0]))),
      plain: try blocks(.float32(try floats("plain_absmax"))), float32: try floats("float32"), bfloat16: try floats("bfloat16"))
  }

  @Test(arguments: backends, 0..<NF4Tests.count) func codesAndMagnitudesAreThoseOfBitsAndBytesBitForBit(_ tested: TestedBackend, _ number: Int) throws {
    let (backend, golden) = (try tested.open(), try golden(number))
    for (isNested, expected) in [(true, golden.blocks), (false, golden.plain)] {
      let found = unsafe golden.source.withUnsafeBytes {
        unsafe backend.quantize($0, format: golden.format, outputs: golden.outputs, inputs: golden.inputs, isNested: isNested)
      }
      #expect(found.codes == expected.codes)
      switch (found.magnitudes, expected.magnitudes) {
      case (.nested(let a), .nested(let b)):
        #expect(a.codes == b.codes && a.offset.bitPattern == b.offset.bitPattern)
        #expect(a.absmax.map(\.bitPattern) == b.absmax.map(\.bitPattern) && a.map.map(\.bitPattern) == b.map.map(\.bitPattern))
      case (.float32(let a), .float32(let b)): #expect(a.map(\.bitPattern) == b.map(\.bitPattern))
      default: Issue.record("magnitudes of another kind")
      }
    }
    #expect(golden.blocks.floats().map(\.bitPattern) == golden.float32.map(\.bitPattern))
  }

  @Test(arguments: backends, 0..<NF4Tests.count) func valuesAreThoseOfBitsAndBytesBitForBit(_ tested: TestedBackend, _ number: Int) throws {
    let (backend, golden) = (try tested.open(), try golden(number))
    for (rounds, expected) in [(false, tested.isFloat32 ? golden.float32 : golden.bfloat16), (true, golden.bfloat16)] {
      let weight = try backend.pack(golden.blocks, roundsToBFloat16: rounds)
      let output = try backend.tensor(golden.outputs, golden.inputs)
      backend.gather(try backend.indices((0..<golden.outputs).map(Int32.init)), from: weight, into: output)
      #expect(try backend.read(output).map(\.bitPattern) == expected.map(\.bitPattern))
      // Quantising on the way gives the same weight.
      let again = try unsafe golden.source.withUnsafeBytes { bytes in
        try unsafe backend.pack(
          bytes, format: golden.format, outputs: golden.outputs, inputs: golden.inputs, as: .nf4(NF4Format(roundsToBFloat16: rounds)))
      }
      backend.gather(try backend.indices((0..<golden.outputs).map(Int32.init)), from: again, into: output)
      #expect(try backend.read(output).map(\.bitPattern) == expected.map(\.bitPattern))
    }
  }

  private static let shapes = [
    (rows: 1, outputs: 48, inputs: 64), (2, 17, 128), (3, 200, 448), (12, 33, 512), (13, 129, 832), (50, 64, 64), (1, 1, 1), (7, 40, 33),
    (130, 61, 65), (0, 16, 64), (24, 96, 100),
  ]

  /// However they are expanded, in registers or in a panel, products see the same numbers.
  @Test(arguments: backends, NF4Tests.shapes.indices.map { $0 })
  func aProductWithBlocksIsTheProductWithTheirValues(_ tested: TestedBackend, _ index: Int) throws {
    let (rows, outputs, inputs) = Self.shapes[index]
    let backend = try tested.open()
    let w = numbers(outputs * inputs, seed: 51, scale: 0.1)
    let x = try backend.tensor(numbers(rows * inputs, seed: 52), rows: rows, columns: inputs)
    let dy = try backend.tensor(numbers(rows * outputs, seed: 53), rows: rows, columns: outputs)
    let bias = try backend.vector(numbers(outputs, seed: 54))
    for format in [NF4Format(roundsToBFloat16: false), NF4Format(roundsToBFloat16: true), NF4Format(roundsToBFloat16: false, isNested: false)] {
      let blocks = backend.quantize(w, outputs: outputs, inputs: inputs, isNested: format.isNested)
      var values = blocks.floats()
      if format.roundsToBFloat16 { values = values.map { BFloat16.float(BFloat16.bits($0)) } }
      #expect(zip(values, w).reduce(0) { max($0, abs($1.0 - $1.1)) } < 0.1)
      let (small, wide) = (try backend.pack(w, outputs: outputs, inputs: inputs, as: .nf4(format)), try backend.pack(values, outputs: outputs, inputs: inputs))
      var results: [[[Float]]] = []
      for weight in [small, wide] {
        let (y, dx) = (try backend.tensor(rows, outputs), try backend.tensor(rows, inputs))
        backend.linear(x, weight, bias: bias, into: y, accumulate: false)
        backend.linearBackward(dy, weight, into: dx, accumulate: false)
        let first = [try backend.read(y), try backend.read(dx)]
        backend.linear(x, weight, bias: nil, into: y, accumulate: true)
        backend.linearBackward(dy, weight, into: dx, accumulate: true)
        results.append(first + [try backend.read(y), try backend.read(dx)])
      }
      for (found, expected) in zip(results[0], results[1]) { expectTheSameRows(found, expected, on: backend, within: tested.tolerance(2e-6)) }
    }
  }

  @Test(arguments: backends, pairs([1, 2, 7, 12, 13, 50], [1, 3]))
  func aRowIsTheSameBitsInAnyBatchOnAnyNumberOfThreads(_ tested: TestedBackend, _ point: (rows: Int, threads: Int)) throws {
    let (rows, threads) = point
    for inputs in [320, 300] {
      let outputs = 200
      let (one, many) = (try tested.open(threads: 1), try tested.open(threads: threads))
      let x = numbers(rows * inputs, seed: 61)
      let w = numbers(outputs * inputs, seed: 62)
      let format = WeightFormat.nf4(NF4Format(roundsToBFloat16: true))
      let together = try many.tensor(rows, outputs)
      many.linear(
        try many.tensor(x, rows: rows, columns: inputs), try many.pack(w, outputs: outputs, inputs: inputs, as: format), bias: nil,
        into: together, accumulate: false)
      let weight = try one.pack(w, outputs: outputs, inputs: inputs, as: format)
      var alone: [Float] = []
      for t in 0..<rows {
        let y = try one.tensor(1, outputs)
        one.linear(try one.vector(Array(x[(t * inputs)..<((t + 1) * inputs)])), weight, bias: nil, into: y, accumulate: false)
        alone += try one.read(y)
      }
      #expect(try many.read(together).map(\.bitPattern) == alone.map(\.bitPattern))
    }
  }

  /// Half a byte a weight, and of each block of 64 one byte or four.
  @Test(arguments: backends) func aWeightTakesLittleMoreThanHalfAByteEach(_ tested: TestedBackend) throws {
    let backend = try tested.open()
    let count = 512 * 1024
    for (isNested, each) in [(true, 0.5 + 1.0 / 64 + 4.0 / 64 / 256), (false, 0.5 + 4.0 / 64)] {
      let format = WeightFormat.nf4(NF4Format(roundsToBFloat16: false, isNested: isNested))
      let bytes = try backend.packed(outputs: 512, inputs: 1024, as: format).storage.byteCount
      #expect(bytes >= Int(each * Double(count)) && bytes <= Int(each * Double(count)) + 2048, "\(bytes)")
      let counter = backend.counter()
      #expect(try counter.packed(outputs: 512, inputs: 1024, as: format).storage.byteCount == bytes)
    }
  }
}
