import Compute
import Support

/// A little of everything that a backend does, in shapes that fill no tile and no vector: what one backend gives another can be held
/// against, number by number.
package struct BackendTrial {
  /// What an operation gave.
  package struct Result: Sendable {
    package let name: String
    package let values: [Float]
  }

  private let backend: any Backend
  private let arena: Arena
  private var results: [Result] = []

  private init(_ backend: any Backend) throws(Failure) {
    self.backend = backend
    arena = try Arena(on: backend)
  }

  /// All operations.
  package static func operations(on backend: any Backend) throws(Failure) -> [Result] {
    var trial = try BackendTrial(backend)
    try trial.products()
    try trial.rows()
    try trial.attention()
    try trial.headAndSampler()
    try trial.optimizer()
    return trial.results
  }

  private mutating func note(_ name: String, _ values: [Float]) { results.append(Result(name: name, values: values)) }
  private mutating func note(_ name: String, _ tensor: Tensor) throws(Failure) { note(name, try read(tensor)) }
  private func read(_ tensor: Tensor) throws(Failure) -> [Float] { try backend.download(tensor).value() }

  private func numbers(_ rows: Int, _ columns: Int, _ seed: UInt64) throws(Failure) -> Tensor {
    var stream = RandomStream(seed: 3, stream: seed)
    return try arena.tensor((0..<(rows * columns)).map { _ in Float(stream.nextNormal()) }, rows: rows, columns: columns)
  }

  private mutating func products() throws(Failure) {
    let (outputs, inputs) = (141, 67)
    let values = try read(numbers(outputs, inputs, 1))
    let bias = try numbers(1, outputs, 2)
    let formats: [(String, WeightFormat, Int)] = [
      ("float32", .float32, inputs), ("bfloat16", .bfloat16, inputs), ("nf4", .nf4(NF4Format(roundsToBFloat16: false)), inputs),
      ("nf4-aligned", .nf4(NF4Format(roundsToBFloat16: false)), 128), ("nf4-rounded", .nf4(NF4Format(roundsToBFloat16: true)), 448),
    ]
    for (format, kept, inputs) in formats {
      let values = try read(numbers(outputs, inputs, 1))
      let weight = try backend.pack(values, outputs: outputs, inputs: inputs, as: kept)
      for rows in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 31] {
        let (x, y) = (try numbers(rows, inputs, 3), try numbers(rows, outputs, 4))
        let (dx, dw, db) = (try arena.zeros(rows, inputs), try numbers(outputs, inputs, 5), try numbers(1, outputs, 6))
        backend.linear(x, weight, bias: bias, into: y, accumulate: true)
        backend.linearBackward(y, weight, into: dx, accumulate: false)
        backend.linearBackward(y, x: x, weightGradient: dw)
        backend.linearBackward(y, biasGradient: db)
        for (name, tensor) in [("linear", y), ("dx", dx), ("dw", dw), ("db", db)] { try note("\(name)-\(format)-\(rows)", tensor) }
      }
    }
    let table = try backend.pack(values, outputs: outputs, inputs: inputs)
    let ids = try arena.indices([140, 0, 7, 7])
    let (gathered, gradient) = (try arena.tensor(4, inputs), try numbers(outputs, inputs, 7))
    backend.gather(ids, from: table, into: gathered)
    backend.gatherBackward(ids, dOutput: gathered, gradient: gradient)
    try note("gather", gathered)
    try note("gather-backward", gradient)
  }

  private mutating func rows() throws(Failure) {
    let (rows, columns) = (7, 83)
    let (x, d) = (try numbers(rows, columns, 11), try numbers(rows, columns, 12))
    let norm = NormWeights(weight: try numbers(1, columns, 13), epsilon: 1e-6)
    let (y, rstd) = (try arena.tensor(rows, columns), try arena.tensor(1, rows))
    let (dx, dw) = (try numbers(rows, columns, 14), try arena.zeros(1, columns))
    backend.rmsNorm(x, norm, into: y, rstd: rstd)
    backend.rmsNormBackward(d, x: x, norm, rstd: rstd, into: dx, accumulate: true, weightGradient: dw)
    for (name, tensor) in [("norm", y), ("norm-rstd", rstd), ("norm-dx", dx), ("norm-dw", dw)] { try note(name, tensor) }
    let (gate, up) = (try numbers(1, rows * columns, 15), try numbers(1, rows * columns, 16))
    let (out, dGate, dUp) = (try arena.tensor(1, gate.count), try arena.tensor(1, gate.count), try arena.tensor(1, gate.count))
    backend.swiGLU(gate: gate, up: up, into: out)
    backend.swiGLUBackward(out, gate: gate, up: up, dGate: dGate, dUp: dUp)
    for (name, tensor) in [("swiglu", out), ("swiglu-gate", dGate), ("swiglu-up", dUp)] { try note(name, tensor) }
    let turned = try numbers(rows, 3 * 22, 17)
    let positions = try arena.indices((0..<Int32(rows)).map { ($0 * 5) % 9 })
    backend.rotate(turned, channels: 22, positions: positions, cos: try numbers(9, 11, 18), sin: try numbers(9, 11, 19), inverse: false)
    try note("rotate", turned)
    backend.scale(x, by: 0.3)
    backend.add(d, to: x)
    let taken = try arena.tensor(rows, columns)
    backend.take(positions.prefix(3), of: x, into: taken.rows(0..<3))
    backend.add(d.rows(0..<3), toRows: try arena.indices([4, 4, 0]), of: x)
    try note("rows", x)
    try note("rows-taken", taken.rows(0..<3))
  }

  private mutating func attention() throws(Failure) {
    for (name, heads) in [
      ("small", HeadShape(queryHeads: 3, keyValueHeads: 1, channels: 6)), ("real", HeadShape(queryHeads: 12, keyValueHeads: 2, channels: 128)),
    ] {
      let segments = [
        Segment(start: 0, length: 19), Segment(start: 19, length: 133, prefixStart: 0, prefixLength: 19),
        Segment(start: 152, length: 5, prefixStart: 0, prefixLength: 19), Segment(start: 157, length: 2),
      ]
      let (rows, widthQ, widthK) = (159, heads.queryHeads * heads.channels, heads.keyValueHeads * heads.channels)
      let (q, k, v) = (try numbers(rows, widthQ, 21), try numbers(rows, widthK, 22), try numbers(rows, widthK, 23))
      let (output, logSum) = (try arena.tensor(rows, widthQ), try arena.tensor(rows, heads.queryHeads))
      let (dq, dk, dv) = (try arena.tensor(rows, widthQ), try arena.tensor(rows, widthK), try arena.tensor(rows, widthK))
      let plan = try backend.plan(segments, heads, rows: rows, in: arena)
      backend.attention(plan, q: q, k: k, v: v, into: output, logSum: logSum)
      backend.attentionBackward(
        plan, q: q, k: k, v: v, output: output, logSum: logSum, dOutput: try numbers(rows, widthQ, 24), dq: dq, dk: dk, dv: dv)
      for (part, tensor) in [("output", output), ("sum", logSum), ("dq", dq), ("dk", dk), ("dv", dv)] {
        try note("attention-\(name)-\(part)", tensor)
      }
    }
  }

  private mutating func headAndSampler() throws(Failure) {
    let (rows, columns) = (6, 2501)
    let logits = try numbers(rows, columns, 31)
    let targets = try arena.indices((0..<Int32(rows)).map { $0 * 400 })
    let output = try HeadOutput(rows: rows, in: arena)
    backend.logSoftmax(
      logits, inverseTemperature: 1.25, targets: targets, logProb: output.logProb, entropy: output.entropy, logSum: output.logSum)
    for (name, tensor) in [("log-prob", output.logProb), ("entropy", output.entropy), ("log-sum", output.logSum)] { try note(name, tensor) }
    for (index, settings) in [
      SamplingSettings(temperature: 0), SamplingSettings(temperature: 0.8), SamplingSettings(temperature: 1, topK: 30),
      SamplingSettings(temperature: 1, topP: 0.9),
    ].enumerated() {
      let state = try DecodeState(rows: rows, stopTokens: [], on: backend)
      state.load(
        (0..<rows).map {
          DecodeSequence(promptSlot: 0, promptLength: 1, slot: 0, remaining: 9, random: RandomStream(seed: 2, stream: UInt64($0)))
        }, on: backend)
      try backend.sampleStep(logits, settings, state, in: arena)
      let drawn = try backend.drawn(state).value()
      note("drawn-\(index)", drawn.tokens.map(Float.init))
      note("drawn-\(index)-log-prob", drawn.logProbs)
      note("drawn-\(index)-entropy", drawn.entropies)
    }
    backend.logSoftmaxBackward(
      logits, inverseTemperature: 1.25, targets: targets, logSum: output.logSum, entropy: output.entropy,
      dLogProb: try numbers(rows, 1, 32), dEntropy: try numbers(rows, 1, 33))
    try note("head-backward", logits)
  }

  private mutating func optimizer() throws(Failure) {
    let count = 1003
    let (parameter, gradient) = (try numbers(1, count, 41), try numbers(1, count, 42))
    let (m, v) = (try arena.zeros(1, count), try arena.zeros(1, count))
    for step in 1...3 {
      backend.adamW(
        AdamWSettings(learningRate: 0.01, weightDecay: 0.1), step: step, parameter: parameter, gradient: gradient, m: m, v: v,
        gradientFactor: 0.7)
    }
    for (name, tensor) in [("adamw", parameter), ("adamw-m", m), ("adamw-v", v)] { try note(name, tensor) }
    // Both halves of the float64.
    let sum = try backend.sumOfSquares(parameter, backend.parts([0..<500, 501..<count])).value()
    note("squares", [Float(sum), Float(sum - Double(Float(sum)))])
  }
}
