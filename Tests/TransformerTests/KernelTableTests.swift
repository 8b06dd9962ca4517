import Compute
import Support
import TestSupport
import Testing
import Transformer

/// The CPU's kernels are compiled for several instruction sets, and what they compute is to be the same bits wherever a multiplication and
/// an addition are fused, and equal to rounding where they are not.
///
/// The table of kernels is one for a process, so each is asked in a process of its own.
@Suite struct KernelTableTests {
  @Test(.enabled(if: environmentVariable("NR_ISA") != nil, "NR_ISA is not set: the best table of this machine is in use"))
  func theTableInUseIsTheOneAskedFor() throws {
    let asked = try #require(environmentVariable("NR_ISA"))
    #expect(CPUBackend.instructionSets.contains(asked), "this machine has \(CPUBackend.instructionSets.joined(separator: ", "))")
    #expect(try CPUBackend(threads: 1).name.contains(asked))
  }

  @Test(
    .enabled(if: CPUBackend.instructionSets.contains("avx2"), "the kernels of avx2 are not tested: this machine has no AVX2"),
    .enabled(if: CPUBackend.instructionSets.contains("avx512"), "the kernels of avx512 are not tested: this machine has no AVX-512"))
  func avx512AndAVX2GiveTheSameBits() async throws {
    let wide = try values(
      await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) { try KernelWork.print(underISA: "avx512") })
    let narrow = try values(
      await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) { try KernelWork.print(underISA: "avx2") })
    #expect(wide.map(\.name) == narrow.map(\.name) && wide.count > 40)
    for (one, other) in zip(wide, narrow) {
      #expect(one.values.count == other.values.count && one.values.contains { $0 != 0 }, "\(one.name)")
      let different = zip(one.values, other.values).count { $0.bitPattern != $1.bitPattern }
      #expect(different == 0, "\(one.name): \(different) of \(one.values.count) numbers differ")
    }
  }

  @Test func thePortableTableAgreesToRounding() async throws {
    let portable = try values(
      await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) { try KernelWork.print(underISA: "portable") })
    let best = try values(
      await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
        try KernelWork.print(underISA: CPUBackend.instructionSets[0])
      })
    #expect(best.map(\.name) == portable.map(\.name) && best.count > 40)
    for (one, other) in zip(best, portable) {
      let scale = one.values.reduce(1e-6) { max($0, abs($1)) }
      let difference = zip(one.values, other.values).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(one.values.count == other.values.count && difference <= 1e-5 * scale, "\(one.name): off by \(difference) of \(scale)")
    }
    #if arch(x86_64)
      // Without fused multiply-add the bits are others, as docs/architecture.md says; were they the same, the tables were.
      if CPUBackend.instructionSets.count > 1 { #expect(best.map { $0.values.map(\.bitPattern) } != portable.map { $0.values.map(\.bitPattern) }) }
    #endif
  }

  private func values(_ result: ExitTest.Result?) throws -> [(name: String, values: [Float])] {
    let text = String(decoding: try #require(result).standardOutputContent, as: UTF8.self)
    return text.split(separator: "\n").map { line in
      let words = line.split(separator: " ")
      return (String(words[0]), words.dropFirst().map { Float(bitPattern: UInt32($0, radix: 16) ?? 0x7FC0_0000) })
    }
  }
}

/// A little of everything that the kernels do, in shapes that fill no tile and no vector.
private struct KernelWork {
  private let backend: any Backend
  private let arena: Arena
  private var lines: [String] = []

  /// Does the work with the kernels of an instruction set and prints each result's name and bits.
  static func print(underISA name: String) throws {
    unsafe setenv("NR_ISA", name, 1)
    let backend = try CPUBackend(threads: 2)
    guard backend.name.contains(name) else { throw Failure.internalError("\(name) was asked for, and \(backend.name) is in use") }
    var work = KernelWork(backend: backend, arena: try Arena(on: backend))
    try work.products()
    try work.rows()
    try work.attention()
    try work.headAndSampler()
    try work.optimizer()
    for model in ["tied", "qwen3", "llama-biases"] { try work.model(model) }
    try AtomicFile.write(Array((work.lines.joined(separator: "\n") + "\n").utf8), descriptor: 1, name: "standard output")
  }

  private init(backend: any Backend, arena: Arena) { (self.backend, self.arena) = (backend, arena) }

  private mutating func note(_ name: String, _ values: [Float]) {
    lines.append(([name] + values.map { String($0.bitPattern, radix: 16) }).joined(separator: " "))
  }

  private mutating func note(_ name: String, _ tensor: Tensor) throws { note(name, try backend.read(tensor)) }

  private func numbers(_ rows: Int, _ columns: Int, _ seed: UInt64) throws -> Tensor {
    var stream = RandomStream(seed: 3, stream: seed)
    return try arena.tensor((0..<(rows * columns)).map { _ in Float(stream.nextNormal()) }, rows: rows, columns: columns)
  }

  private mutating func products() throws {
    let (outputs, inputs) = (141, 67)
    let values = try backend.read(numbers(outputs, inputs, 1))
    let bias = try numbers(1, outputs, 2)
    let formats: [(String, WeightFormat, Int)] = [
      ("float32", .float32, inputs), ("bfloat16", .bfloat16, inputs), ("nf4", .nf4(NF4Format(roundsToBFloat16: false)), inputs),
      ("nf4-aligned", .nf4(NF4Format(roundsToBFloat16: false)), 128), ("nf4-rounded", .nf4(NF4Format(roundsToBFloat16: true)), 448),
    ]
    for (format, kept, inputs) in formats {
      let values = try backend.read(numbers(outputs, inputs, 1))
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

  private mutating func rows() throws {
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

  private mutating func attention() throws {
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

  private mutating func headAndSampler() throws {
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

  private mutating func optimizer() throws {
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
    let sum = try backend.sumOfSquares(parameter, parts: [0..<500, 501..<count]).value()
    note("squares", [Float(sum), Float(sum - Double(Float(sum)))])
  }

  /// Two training steps of a small model, and a few decoded tokens.
  private mutating func model(_ name: String) throws {
    let trial = try Trial(name, trainable: .full, on: backend)
    let store = try #require(trial.model.store)
    let optimizer = try Optimizer([Optimizer.Group(store, AdamWSettings(learningRate: 1e-3, weightDecay: 0.1))], on: backend)
    var batch = TokenBatch()
    var targets = TokenTargets()
    batch.append(prompt: [5, 9, 33, 1], completions: [[4, 4, 8, 2], [7], (0..<20).map { $0 + 3 }], targets: &targets)
    for step in 0..<2 {
      trial.gradients.begin()
      let pass = try trial.forward(batch, retaining: .everything)
      let scores = try trial.scores(pass, targets, temperature: 0.8)
      let weights = targets.targets.map { Float($0) / 61 - 0.3 }
      try trial.backward(pass, scores, dLogProb: weights, dEntropy: weights)
      trial.gradients.finish()
      note("\(name)-\(step)-scores", try scores.logProbs.value() + scores.entropies.value())
      for parameter in store.parameters { try note("\(name)-\(step)-\(parameter.name)", parameter.gradient) }
      _ = try optimizer.update(maximumNorm: 1)
    }
    let prompts = try KVCache(trial.model.configuration, slots: 1, capacity: 20, on: backend)
    let own = try KVCache(trial.model.configuration, slots: 1, capacity: 20, on: backend)
    var prompt = TokenBatch()
    prompt.append([5, 9, 33, 1])
    _ = try trial.model.forward(prompt, sink: (prompts, [0, 0, 0, 0]), in: arena)
    let state = try DecodeState(rows: 1, stopTokens: [], on: backend)
    state.load(
      [DecodeSequence(newest: 2, promptSlot: 0, promptLength: 4, slot: 0, drawn: 1, remaining: 19, random: RandomStream(seed: 8))],
      on: backend)
    for step in 0..<18 {
      let logits = try trial.model.logits(trial.model.decode(state, adapter: nil, prompts: prompts, cache: own, in: arena), in: arena)
      try note("\(name)-decoded-\(step)", logits)
      try backend.sampleStep(logits, SamplingSettings(temperature: 0), state, in: arena)
    }
  }
}
