import Compute
import Support
import TestSupport
import Testing
import Transformer

/// A plan is the program run on a backend that only counts, so what it counts must be what the backend takes.
@Suite struct CountingTests {
  /// What memory was taken after each part of a training step and of decoding.
  private struct Taken: Equatable {
    var uses: [MemoryUse] = []
    var arenaPeaks: [Int] = []
    var arenaBytes: [Int] = []

    mutating func note(_ backend: any Backend, _ arena: Arena) {
      uses.append(backend.memory)
      arenaPeaks.append(arena.peakBytes)
      arenaBytes.append(arena.byteCount)
    }
  }

  private func step(_ name: String, adapter: String?, _ retention: Retention, arenaBytes: Int, on backend: any Backend) throws -> Taken {
    var taken = Taken()
    let trial = try Trial(name, trainable: adapter == nil ? .full : .nothing, adapter: adapter, on: backend)
    let (model, arena) = (trial.model, try Arena(on: backend, byteCount: arenaBytes))
    let valueHead = try ValueHead(hiddenSize: model.configuration.hiddenSize, on: backend)
    let stores = [model.store, trial.adapter?.store, valueHead.store].compactMap { $0 }
    let optimizer = try Optimizer(stores.map { Optimizer.Group($0, AdamWSettings(learningRate: 1e-3, weightDecay: 0.1)) }, on: backend)
    taken.note(backend, arena)

    var batch = TokenBatch()
    var targets = TokenTargets()
    let completions: [[Int32]] = [Array(repeating: 3, count: 130), [7], [], [12, 30, 31]]
    batch.append(prompt: (0..<37).map { $0 % 30 }, completions: completions, targets: &targets)
    batch.append(prompt: [1, 2, 3], completions: completions, targets: &targets)
    trial.gradients.begin()
    try arena.scope {
      let pass = try model.forward(batch, adapter: trial.adapter?.weights, retaining: retention, in: arena)
      let scores = try trial.head.forward(pass.hidden, targets, temperature: 0.8, retaining: true, in: arena)
      let values = try valueHead.forward(pass.hidden, rows: targets.rows, in: arena)
      let dHidden = try arena.zeros(pass.hidden.rows, pass.hidden.columns)
      let derivatives = [Float](repeating: -1, count: targets.count)
      try trial.head.backward(scores, dLogProb: derivatives, dEntropy: derivatives, into: dHidden, trial.gradients, in: arena)
      try valueHead.backward(values, dValues: derivatives, into: dHidden, in: arena)
      try model.backward(pass, dHidden: dHidden, into: trial.gradients, in: arena)
      taken.note(backend, arena)
    }
    trial.gradients.finish()
    _ = try optimizer.update(maximumNorm: 1)
    taken.note(backend, arena)

    let prompts = try KVCache(model.configuration, slots: 2, capacity: 37, on: backend)
    let own = try KVCache(model.configuration, slots: 3, capacity: 20, on: backend)
    let state = try DecodeState(rows: 3, stopTokens: [2, 3], on: backend)
    try arena.scope {
      var prompt = TokenBatch()
      prompt.append(Array(repeating: 5, count: 37))
      _ = try model.forward(
        prompt, adapter: trial.adapter?.weights, sink: (prompts, Array(repeating: 1, count: 37)), in: arena)
    }
    taken.note(backend, arena)
    state.load(
      (0..<3).map {
        DecodeSequence(newest: 5, promptSlot: 1, promptLength: 37, slot: $0, drawn: 1, remaining: 9, random: RandomStream(seed: 1))
      }, on: backend)
    try arena.scope {
      let hidden = try model.decode(state, adapter: trial.adapter?.weights, prompts: prompts, cache: own, in: arena)
      let logits = try model.logits(hidden, in: arena)
      try backend.sampleStep(logits, SamplingSettings(temperature: 1, topP: 0.9), state, in: arena)
    }
    taken.note(backend, arena)
    return taken
  }

  @Test(
    arguments: backends,
    pairs(
      [("tied", "r16"), ("qwen3", nil), ("untied", nil), ("bf16", nil), ("nf4", "../nf4/adapter"), ("nf4-plain", "../nf4-plain/adapter")] as [(String, String?)], [Retention.everything, .checkpoints]))
  func aPlanCountsExactlyWhatTheBackendTakes(_ tested: TestedBackend, _ point: (model: (name: String, adapter: String?), retention: Retention))
    throws
  {
    let (model, retention) = point
    let backend = try tested.open()
    // An arena that grows, and one that is as large as the first says.
    var arenaBytes = 0
    for _ in 0..<2 {
      let backend = try tested.open()
      let found = try step(model.name, adapter: model.adapter, retention, arenaBytes: arenaBytes, on: backend.counter())
      let taken = try step(model.name, adapter: model.adapter, retention, arenaBytes: arenaBytes, on: backend)
      #expect(found == taken)
      #expect(taken.uses.last?.peakBytes ?? 0 > 100_000 && taken.arenaPeaks.last ?? 0 > 100_000)
      arenaBytes = taken.arenaPeaks.last ?? 0
    }
    // What a plan counts goes back when its views go, as memory does; a counter of a counter counts from nothing.
    let counter = backend.counter()
    _ = try step(model.name, adapter: model.adapter, retention, arenaBytes: 0, on: counter)
    #expect(counter.memory.bytes == 0 && counter.memory.peakBytes > 0)
    #expect(counter.counter().memory == MemoryUse())
    #expect(backend.memory == MemoryUse(), "a counter takes nothing of its backend")
  }
}
