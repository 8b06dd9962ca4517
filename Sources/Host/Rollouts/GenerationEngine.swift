import Compute
import Support
import Transformer

/// Draws completions: continuous batching over a KV cache, each prompt read once for all its samples.
///
/// It knows tokens, not text, and no rewards. A completion depends on its prompt, the settings and its stream only, never
/// on what else is in the batch.
package struct GenerationEngine {
  private let model: Transformer
  private let backend: any Backend
  private static let cacheBudget = 2 << 30

  package init(_ model: Transformer) {
    self.model = model
    backend = model.backend
  }

  /// - Parameters:
  ///   - progress: called now and then; returning false stops with exit code 75.
  ///   - onToken: called with each token as it is drawn.
  ///   - onFinish: called with each completion as it ends; what an interruption leaves has come through it.
  /// - Returns: for each request its completions.
  package func generate(
    _ requests: [GenerationRequest], _ settings: GenerationSettings,
    progress: (GenerationProgress) -> Bool = { _ in true },
    onToken: (_ request: Int, _ sample: Int, _ token: Int32) -> Void = { _, _, _ in },
    onFinish: (_ request: Int, _ sample: Int, _ completion: Completion) -> Void = { _, _, _ in }
  ) throws(Failure) -> [[Completion]] {
    try check(requests)
    var results = requests.map { Array(repeating: Completion(), count: $0.samples) }
    let total = requests.reduce(0) { $0 + $1.samples }
    guard total > 0, settings.maxNewTokens > 0 else { return results }

    let longest = requests.reduce(0) { max($0, $1.prompt.count) }
    // Nothing grows past the context: a completion that reaches it is truncated there.
    let context = model.configuration.maxPositions
    let limits = requests.map { min(settings.maxNewTokens, context - $0.prompt.count) }
    let capacity = zip(requests, limits).reduce(0) { max($0, $1.0.prompt.count + $1.1) }
    let slots = Self.slots(model.configuration, samples: total, capacity: capacity, batchSize: settings.batchSize)
    let cache = try KVCache(model.configuration, slots: slots, capacity: capacity, on: backend)
    var scheduler = Scheduler(samples: requests.map(\.samples), slots: slots)
    var prompts = try PromptStore(model, capacity: longest)
    var active: [ActiveSequence] = []
    var finished = 0
    var tokens = 0
    let watch = Stopwatch()

    /// Puts a drawn token where it belongs; returns whether the sequence goes on.
    func take(_ token: Int32, _ logProb: Float, _ entropy: Float, request: Int, sample: Int) -> Bool {
      results[request][sample].tokens.append(token)
      results[request][sample].logProbs.append(logProb)
      results[request][sample].entropies.append(entropy)
      tokens += 1
      onToken(request, sample, token)
      if settings.stopTokens.contains(token) { return false }
      if results[request][sample].tokens.count >= limits[request] {
        results[request][sample].isTruncated = true
        return false
      }
      return true
    }

    while scheduler.hasPending || !active.isEmpty {
      if scheduler.shouldAdmit(active: active.count) {
        let admitted = scheduler.admit()
        let hidden = try prompts.read(admitted, of: requests, into: cache)
        let streams = admitted.map {
          RandomStream(seed: settings.seed, path: [requests[$0.request].stream, UInt64($0.sample)])
        }
        let drawn = try sample(hidden, settings, uniforms: streams.map { $0.uniform(at: 0) })
        for (index, admission) in admitted.enumerated() {
          let goesOn = take(
            drawn.tokens[index], drawn.logProbs[index], drawn.entropies[index], request: admission.request,
            sample: admission.sample)
          if goesOn {
            active.append(
              ActiveSequence(
                request: admission.request, sample: admission.sample, slot: admission.slot,
                length: requests[admission.request].prompt.count, newest: drawn.tokens[index], random: streams[index]))
          } else {
            scheduler.release(admission.slot)
            finished += 1
            onFinish(admission.request, admission.sample, results[admission.request][admission.sample])
          }
        }
        if active.isEmpty { continue }
      }
      let hidden = try model.decode(
        tokens: active.map(\.newest), slots: active.map(\.slot), positions: active.map { Int32($0.length) },
        cache: cache)
      let uniforms = active.map { $0.random.uniform(at: UInt64(results[$0.request][$0.sample].tokens.count)) }
      let drawn = try sample(hidden, settings, uniforms: uniforms)
      var survivors: [ActiveSequence] = []
      survivors.reserveCapacity(active.count)
      for (index, sequence) in active.enumerated() {
        let goesOn = take(
          drawn.tokens[index], drawn.logProbs[index], drawn.entropies[index], request: sequence.request,
          sample: sequence.sample)
        if goesOn {
          var sequence = sequence
          sequence.length += 1
          sequence.newest = drawn.tokens[index]
          survivors.append(sequence)
        } else {
          scheduler.release(sequence.slot)
          finished += 1
          onFinish(sequence.request, sequence.sample, results[sequence.request][sequence.sample])
        }
      }
      active = survivors
      guard progress(GenerationProgress(finished: finished, total: total, tokens: tokens, seconds: watch.seconds)) else {
        throw Failure(.interrupted, "interrupted while generating: \(finished) of \(total) completions were finished")
      }
    }
    return results
  }

  /// Sequences that are decoded at once.
  private static func slots(_ configuration: ModelConfiguration, samples: Int, capacity: Int, batchSize: Int?) -> Int {
    let affordable = cacheBudget / KVCache.bytesPerSlot(configuration, capacity: capacity)
    return min(samples, batchSize ?? max(1, min(96, affordable)))
  }

  /// Bytes that generating keeps in caches: the slots, and the prompt that is held for samples to come.
  ///
  /// - Parameters:
  ///   - samples: completions in all.
  ///   - longest: tokens of the longest prompt.
  package static func cacheBytes(
    _ configuration: ModelConfiguration, samples: Int, longest: Int, maxNewTokens: Int, batchSize: Int? = nil
  ) -> Int {
    let capacity = min(configuration.maxPositions, longest + maxNewTokens)
    let slots = slots(configuration, samples: samples, capacity: capacity, batchSize: batchSize)
    return slots * KVCache.bytesPerSlot(configuration, capacity: capacity) + KVCache.bytesPerSlot(configuration, capacity: longest)
  }

  private func sample(_ hidden: Tensor, _ settings: GenerationSettings, uniforms: [Double])
    throws(Failure) -> SampledTokens
  {
    let drawn = try backend.sample(try model.logits(hidden), settings.sampling, uniforms: uniforms)
    if drawn.tokens.contains(-1) {
      throw .internalError("the model's logits are not numbers: its weights or its adapter hold NaN or infinity")
    }
    return drawn
  }

  private func check(_ requests: [GenerationRequest]) throws(Failure) {
    let vocabulary = Int32(model.configuration.vocabularySize)
    for request in requests {
      if request.prompt.isEmpty { throw .badData("a prompt without tokens: the model needs at least one to begin from") }
      if request.prompt.count >= model.configuration.maxPositions {
        throw .badData(
          "a prompt of \(request.prompt.count) tokens leaves no room for a completion: the model reads at most \(model.configuration.maxPositions) (max_position_embeddings); shorten it"
        )
      }
      if let id = request.prompt.first(where: { $0 < 0 || $0 >= vocabulary }) {
        throw .badData("a prompt holds token \(id); the model knows 0 to \(vocabulary - 1)")
      }
    }
  }
}
