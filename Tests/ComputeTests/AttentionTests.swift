import Compute
import Support
import TestSupport
import Testing

struct AttentionCase: Sendable, CustomTestStringConvertible {
  let heads: HeadShape
  let segments: [Segment]
  var rows: Int { segments.map { $0.start + $0.length }.max() ?? 0 }
  var testDescription: String { "H=\(heads.queryHeads) G=\(heads.keyValueHeads) C=\(heads.channels) rows=\(rows)" }
}

private func shared(_ prefix: Int, _ completions: [Int], from start: Int) -> [Segment] {
  var segments = [Segment(start: start, length: prefix)]
  var next = start + prefix
  for length in completions {
    segments.append(Segment(start: next, length: length, prefixStart: start, prefixLength: prefix))
    next += length
  }
  return segments
}

/// The heads of Qwen2.5-1.5B and of Llama's like: 128 channels, six query heads to a key-value head.
private let realHeads = HeadShape(queryHeads: 12, keyValueHeads: 2, channels: 128)

private let cases = [
  AttentionCase(heads: HeadShape(queryHeads: 1, keyValueHeads: 1, channels: 2), segments: [Segment(start: 0, length: 1)]),
  AttentionCase(
    heads: HeadShape(queryHeads: 4, keyValueHeads: 2, channels: 8),
    segments: [Segment(start: 0, length: 5), Segment(start: 5, length: 18), Segment(start: 23, length: 1)]),
  AttentionCase(
    heads: HeadShape(queryHeads: 3, keyValueHeads: 1, channels: 6),
    segments: shared(7, [4, 0, 9], from: 0) + shared(17, [3, 16], from: 20)),
  AttentionCase(
    heads: HeadShape(queryHeads: 2, keyValueHeads: 2, channels: 32), segments: shared(33, [20, 1, 31], from: 0)),
  // More query rows than the CPU's kernel takes in one task, with and without a prefix, and lengths that are no multiple of 16.
  AttentionCase(
    heads: HeadShape(queryHeads: 2, keyValueHeads: 1, channels: 8),
    segments: [Segment(start: 0, length: 259)] + shared(133, [129, 1, 140], from: 259)),
  AttentionCase(heads: realHeads, segments: shared(21, [5, 18], from: 0)),
  AttentionCase(heads: realHeads, segments: shared(37, [131], from: 0)),
]

/// Attention in float64, row by row, from the definition.
private func attention(_ test: AttentionCase, q: [Double], k: [Double], v: [Double]) -> [Double] {
  let heads = test.heads
  let (channels, group) = (heads.channels, heads.queryHeads / heads.keyValueHeads)
  let (widthQ, widthK) = (heads.queryHeads * channels, heads.keyValueHeads * channels)
  var output = [Double](repeating: 0, count: test.rows * widthQ)
  for segment in test.segments {
    for row in segment.start..<(segment.start + segment.length) {
      let keys = Array(segment.prefixStart..<(segment.prefixStart + segment.prefixLength)) + Array(segment.start...row)
      for h in 0..<heads.queryHeads {
        let (place, g) = (row * widthQ + h * channels, h / group * channels)
        var weights = keys.map { key in
          var sum = 0.0
          for c in 0..<channels { sum += q[place + c] * k[key * widthK + g + c] }
          return sum / Double(channels).squareRoot()
        }
        let top = weights.max() ?? 0
        for index in weights.indices { weights[index] = exp(weights[index] - top) }
        let sum = weights.reduce(0, +)
        for (key, weight) in zip(keys, weights) {
          for c in 0..<channels { output[place + c] += weight / sum * v[key * widthK + g + c] }
        }
      }
    }
  }
  return output
}

@Suite struct AttentionTests {
  private struct Inputs {
    let q, k, v, d: [Float]
    init(_ test: AttentionCase) {
      let (heads, rows) = (test.heads, test.rows)
      q = numbers(rows * heads.queryHeads * heads.channels, seed: 1)
      k = numbers(rows * heads.keyValueHeads * heads.channels, seed: 2)
      v = numbers(rows * heads.keyValueHeads * heads.channels, seed: 3)
      d = numbers(rows * heads.queryHeads * heads.channels, seed: 4)
    }
  }

  @Test(arguments: backends, cases)
  func forwardAndBackwardEqualFloat64(_ tested: TestedBackend, _ test: AttentionCase) throws {
    let backend = try tested.open()
    let inputs = Inputs(test)
    let (heads, rows) = (test.heads, test.rows)
    let (widthQ, widthK) = (heads.queryHeads * heads.channels, heads.keyValueHeads * heads.channels)
    let q = try backend.activations(inputs.q, rows: rows, columns: widthQ)
    let k = try backend.activations(inputs.k, rows: rows, columns: widthK)
    let v = try backend.activations(inputs.v, rows: rows, columns: widthK)
    let output = try backend.activations(rows, widthQ)
    let logSum = try backend.tensor(rows, heads.queryHeads)
    let plan = try backend.plan(test.segments, heads, rows: rows, in: Arena(on: backend))
    backend.attention(plan, q: q, k: k, v: v, into: output, logSum: logSum)
    let (dq64, dk64, dv64) = (doubles(inputs.q), doubles(inputs.k), doubles(inputs.v))
    #expect(relativeError(try backend.read(output), attention(test, q: dq64, k: dk64, v: dv64)) < tested.tolerance(2e-6))

    let dq = try backend.activations(rows, widthQ)
    let dk = try backend.activations(rows, widthK)
    let dv = try backend.activations(rows, widthK)
    backend.attentionBackward(
      plan, q: q, k: k, v: v, output: output, logSum: logSum,
      dOutput: try backend.activations(inputs.d, rows: rows, columns: widthQ), dq: dq, dk: dk, dv: dv)
    // Differences along a few directions instead of every element: each covers all of an input at once.
    for direction in 0..<(rows > 100 ? 1 : 6) {
      for (base, found) in [(dq64, dq), (dk64, dk), (dv64, dv)] {
        let step = doubles(numbers(base.count, seed: UInt64(100 + direction)))
        func value(_ scale: Double) -> Double {
          let moved = zip(base, step).map { $0 + scale * $1 }
          let output =
            found.storage === dq.storage
            ? attention(test, q: moved, k: dk64, v: dv64)
            : found.storage === dk.storage
              ? attention(test, q: dq64, k: moved, v: dv64) : attention(test, q: dq64, k: dk64, v: moved)
          return dot(output, doubles(inputs.d))
        }
        let expected = (value(1e-5) - value(-1e-5)) / 2e-5
        let directional = dot(doubles(try backend.read(found)), step)
        let size = dot(doubles(try backend.read(found)).map { $0 * $0 }, step.map { $0 * $0 }).squareRoot()
        #expect(abs(directional - expected) < tested.tolerance(2e-5) * max(1, size))
      }
    }
  }

  @Test(arguments: backends, cases)
  func decodingFromTheCacheGivesTheSameBits(_ tested: TestedBackend, _ test: AttentionCase) throws {
    let backend = try tested.open()
    let inputs = Inputs(test)
    let (heads, rows) = (test.heads, test.rows)
    let (widthQ, widthK) = (heads.queryHeads * heads.channels, heads.keyValueHeads * heads.channels)
    let q = try backend.activations(inputs.q, rows: rows, columns: widthQ)
    let k = try backend.activations(inputs.k, rows: rows, columns: widthK)
    let v = try backend.activations(inputs.v, rows: rows, columns: widthK)
    let output = try backend.activations(rows, widthQ)
    let logSum = try backend.tensor(rows, heads.queryHeads)
    let plan = try backend.plan(test.segments, heads, rows: rows, in: Arena(on: backend))
    backend.attention(plan, q: q, k: k, v: v, into: output, logSum: logSum)
    let whole = try backend.read(output)
    // Rows of a segment decoded together, as sequences of different lengths that share a prompt: the segment's prefix, or some of its
    // own first rows, lie in the prompts' cache.
    for segment in test.segments where segment.length > 0 {
      let keyRows =
        Array(segment.prefixStart..<(segment.prefixStart + segment.prefixLength))
        + Array(segment.start..<(segment.start + segment.length))
      for promptLength in Set([0, segment.prefixLength, min(segment.prefixLength + 3, keyRows.count - 1)]) {
        let prompts = try backend.makeCache(heads, slots: 2, capacity: promptLength)
        let own = try backend.makeCache(heads, slots: 3, capacity: keyRows.count - promptLength)
        for (cache, range, slot) in [(prompts, 0..<promptLength, 1), (own, promptLength..<keyRows.count, 2)] as [(CacheLayer, Range<Int>, Int32)] {
          let (kRows, vRows) = (try backend.activations(range.count, widthK), try backend.activations(range.count, widthK))
          let picked = try backend.indices(keyRows[range].map { Int32($0) })
          backend.take(picked, of: k, into: kRows)
          backend.take(picked, of: v, into: vRows)
          backend.writeCache(
            cache, heads, k: kRows, v: vRows, slots: try backend.indices(Array(repeating: slot, count: range.count)),
            positions: try backend.indices((0..<range.count).map { Int32($0) }))
        }
        let first = max(0, promptLength - segment.prefixLength)
        let rows = (segment.start + first)..<(segment.start + segment.length)
        let state = try DecodeState(rows: rows.count, stopTokens: [], on: backend)
        state.load(
          rows.indices.map { row in
            let seen = segment.prefixLength + row - segment.start + 1
            return DecodeSequence(
              promptSlot: 1, promptLength: Int32(promptLength), slot: 2, drawn: Int32(seen - promptLength), remaining: 1,
              random: RandomStream(seed: 0))
          }, on: backend)
        let decoded = try backend.activations(rows.count, widthQ)
        try backend.attention(state, heads, prompts: prompts, cache: own, q: q.rows(rows), into: decoded, in: Arena(on: backend))
        let expected = whole[(rows.lowerBound * widthQ)..<(rows.upperBound * widthQ)]
        try expectTheSameRows(backend.read(decoded), Array(expected), on: backend, within: tested.tolerance(2e-6), "prompt of \(promptLength)")
      }
    }
  }
}
