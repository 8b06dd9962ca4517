import Compute
import Support
import Transformer

/// A completion that has ended.
package struct FinishedCompletion: Sendable {
  /// As ``GenerationEngine/add(_:)`` numbered it.
  package let request: Int
  package let sample: Int
  package let completion: Completion
}

/// Draws completions step by step: continuous batching over KV caches, each prompt read once and shared by all its samples.
///
/// It knows tokens, not text, and no rewards. A completion depends on its prompt, the settings and its stream only, never
/// on what else is in the batch. Caches stay from one rollout to the next.
package final class GenerationEngine {
  package let model: Transformer
  private let backend: any Backend
  private let arena: Arena
  private var capacity: EngineCapacity?
  private var room: Room?
  private var session: Session?
  /// Steps of decoding, kept from one rollout to the next where nothing that they read has moved.
  private var recordings: [RecordedStep: Recording] = [:]

  /// What is taken once.
  private struct Room {
    let prompts: KVCache
    let own: KVCache
    /// `[prompt slots, D]`: the last hidden state of each prompt that is held.
    let hidden: Tensor
    let state: DecodeState
    /// A slot that no sequence has: for the rows of a recording beyond them.
    let idleSlot: Int32
  }

  /// What a recorded step of decoding depends on besides the room.
  private struct RecordedStep: Hashable {
    let rows: Int
    let adapter, angles: ObjectIdentifier?
    let sampling: SamplingSettings
  }

  /// One completion in the making.
  private struct Active {
    let request: Int
    let sample: Int
    var sequence: DecodeSequence
    var completion = Completion()
  }

  /// A rollout under one policy.
  private struct Session {
    let policy: PolicySnapshot
    let settings: GenerationSettings
    var scheduler: Scheduler
    /// nil where nothing is read ahead.
    var drafts: Drafts?
    var active: [Active] = []
    var tokens = 0
    var passes = 0
  }

  package init(_ model: Transformer, in arena: Arena) {
    self.model = model
    self.arena = arena
    backend = model.backend
  }

  /// Makes room once for all that will be generated.
  package func reserve(_ wanted: EngineCapacity, stopTokens: Set<Int32>) throws(Failure) {
    if let capacity, let room, capacity.covers(wanted), room.state.stopTokens.count == stopTokens.count {
      backend.upload(stopTokens.sorted(), to: room.state.stopTokens)
      return
    }
    let capacity = capacity?.union(wanted) ?? wanted
    // What was there goes before what takes its place comes, with the recordings that know it.
    (room, session, recordings) = (nil, nil, [:])
    let configuration = model.configuration
    try model.reserve(positions: min(configuration.maxPositions, capacity.longestPrompt + capacity.maxNewTokens))
    let rows = backend.decodeRows(for: capacity.slots) + (backend.isHost ? Drafts.rows : 0)
    room = Room(
      prompts: try KVCache(configuration, slots: capacity.promptSlots, capacity: capacity.longestPrompt, on: backend),
      own: try KVCache(configuration, slots: capacity.slots + (backend.decodeRows(for: 1) > 1 ? 1 : 0), capacity: capacity.maxNewTokens, on: backend),
      hidden: try backend.activations(capacity.promptSlots, configuration.hiddenSize),
      state: try DecodeState(rows: rows, stopTokens: stopTokens.sorted(), window: backend.stepsTogether, on: backend),
      idleSlot: Int32(capacity.slots))
    self.capacity = capacity
  }

  // MARK: Stepping

  /// Begins a rollout under a policy; what was going on is forgotten.
  package func begin(_ policy: PolicySnapshot, _ settings: GenerationSettings, _ capacity: EngineCapacity) throws(Failure) {
    precondition(policy.model === model)
    try reserve(capacity, stopTokens: settings.stopTokens)
    guard let reserved = self.capacity else { return }
    // Few rows cost the host little more than one where the weights come from memory: they are read once for all of them.
    let readsAhead = backend.isHost && settings.drafts ?? (model.architecture.parameterCount >= Drafts.parameters)
    session = Session(
      policy: policy, settings: settings, scheduler: Scheduler(slots: min(reserved.slots, settings.batchSize ?? reserved.slots), promptSlots: reserved.promptSlots),
      drafts: readsAhead ? Drafts() : nil)
  }

  /// Takes up a request; returns its number, counted from 0 in each rollout.
  package func add(_ request: GenerationRequest) throws(Failure) -> Int {
    try check(request)
    guard var session, let capacity else { throw .internalError("a request before the rollout has begun") }
    guard request.prompt.count <= capacity.longestPrompt else {
      throw .internalError("a prompt of \(request.prompt.count) tokens where \(capacity.longestPrompt) have room")
    }
    self.session = nil
    // Nothing grows past the context: a completion that reaches it is truncated there.
    let limit = min(session.settings.maxNewTokens, model.configuration.maxPositions - request.prompt.count)
    defer { self.session = session }
    return session.scheduler.add(request, limit: limit)
  }

  /// Whether there is nothing left to do.
  package var isIdle: Bool { session.map { $0.active.isEmpty && !$0.scheduler.hasPending } ?? true }
  /// Tokens drawn in this rollout.
  package var tokens: Int { session?.tokens ?? 0 }
  /// Passes through the model in this rollout, prompts and drafts included.
  package var passes: Int { session?.passes ?? 0 }

  /// Reads prompts that have found a place, then draws one more token of every sequence, or several where the host looks at a device once in
  /// several steps; returns what has ended.
  ///
  /// - Parameter onToken: called with each token as it is drawn.
  package func step(onToken: (_ request: Int, _ sample: Int, _ token: Int32) -> Void = { _, _, _ in }) throws(Failure) -> [FinishedCompletion] {
    guard var session, let room else { return [] }
    self.session = nil
    defer { self.session = session }
    var finished: [FinishedCompletion] = []
    let before = session.active.count
    if session.scheduler.shouldAdmit(active: before) {
      try read(session.scheduler.admit(), &session, room)
      finished += try take(before..<session.active.count, &session, room, onToken)
    }
    let count = session.active.count
    guard count > 0 else { return finished }
    let drafted = drafts(session)
    if !drafted.isEmpty { return finished + (try readAhead(drafted, &session, room, onToken)) }
    let left = session.active.reduce(0) { max($0, Int($1.sequence.remaining)) }
    for _ in 0..<min(backend.stepsTogether, left) { try decode(count, &session, room) }
    return finished + (try take(0..<count, &session, room, onToken))
  }

  // MARK: Drafts

  /// Tokens that may come next, for each sequence; empty where there are none for any.
  private func drafts(_ session: Session) -> [[Int32]] {
    guard let drafts = session.drafts, session.active.count < Drafts.rows else { return [] }
    var left = Drafts.rows - session.active.count
    let drafted = session.active.map { active -> [Int32] in
      // The last token that may be drawn is drawn after the ones before it.
      let most = min(left, Int(active.sequence.remaining) - 1, max(1, Drafts.rows / session.active.count))
      let draft = drafts.next(of: active.sample, of: active.request, most: most)
      left -= draft.count
      return draft
    }
    return drafted.allSatisfy(\.isEmpty) ? [] : drafted
  }

  /// Reads every sequence's newest token and its draft in one pass, and draws after each of them. A draw counts where what it follows is
  /// what was drawn: rows do not depend on their neighbours and random numbers are counted by position, so the text is the one that
  /// drawing one by one gives.
  private func readAhead(
    _ drafted: [[Int32]], _ session: inout Session, _ room: Room, _ onToken: (Int, Int, Int32) -> Void
  ) throws(Failure) -> [FinishedCompletion] {
    var sequences: [DecodeSequence] = []
    for (active, draft) in zip(session.active, drafted) {
      var sequence = active.sequence
      sequences.append(sequence)
      for token in draft {
        sequence.newest = token
        sequence.drawn += 1
        sequence.remaining -= 1
        sequences.append(sequence)
      }
    }
    room.state.load(sequences, on: backend)
    try decode(sequences.count, &session, room)
    let drawn = try backend.drawn(room.state.rows(0..<sequences.count)).value()
    var finished: [FinishedCompletion] = []
    var ended: Set<Int> = []
    var row = 0
    for (index, draft) in drafted.enumerated() {
      var accepted = 0
      for place in 0...draft.count {
        let outcome = drawn.outcomes[row + place]
        try requireNumbers(outcome)
        let newest = drawn.token(drawn.lengths[row + place] - 1, of: row + place)
        append(newest, to: index, &session, onToken)
        if outcome != .goesOn {
          finished.append(finish(index, outcome, &session))
          ended.insert(index)
          break
        }
        guard place < draft.count, draft[place] == newest.token else { break }
        accepted += 1
      }
      session.drafts?.learn(accepted: accepted, of: draft.count, sample: session.active[index].sample, request: session.active[index].request)
      row += 1 + draft.count
    }
    leave(ended, &session, room)
    return finished
  }

  /// Reads the prompts of those whose first sample is admitted, and draws the first token of all that are.
  private func read(_ admitted: [Admission], _ session: inout Session, _ room: Room) throws(Failure) {
    var batch = TokenBatch()
    var slots: [Int32] = []
    var last: [(row: Int, slot: Int)] = []
    for admission in admitted {
      guard let open = session.scheduler.requests[admission.request] else { continue }
      if admission.isFirst {
        let rows = batch.append(open.request.prompt)
        slots += Array(repeating: admission.promptSlot, count: rows.count)
        session.drafts?.begin(admission.request, prompt: open.request.prompt)
        last.append((rows.upperBound - 1, Int(admission.promptSlot)))
      }
      session.active.append(
        Active(
          request: admission.request, sample: admission.sample,
          sequence: DecodeSequence(
            promptSlot: admission.promptSlot, promptLength: Int32(open.request.prompt.count), slot: admission.slot,
            remaining: Int32(open.limit),
            random: RandomStream(seed: session.settings.seed, path: [open.request.stream, UInt64(admission.sample)]))))
    }
    let rows = (session.active.count - admitted.count)..<session.active.count
    let state = room.state.rows(rows)
    room.state.load(session.active.map(\.sequence), upTo: backend.decodeRows(for: session.active.count), idleSlot: room.idleSlot, on: backend)
    try arena.scope { () throws(Failure) in
      if batch.rowCount > 0 {
        try arena.scope { () throws(Failure) in
          session.passes += 1
          let pass = try model.forward(batch, adapter: session.policy.adapter, sink: (room.prompts, slots), in: arena)
          for (row, slot) in last { backend.copy(pass.hidden.rows(row..<(row + 1)), to: room.hidden.rows(slot..<(slot + 1))) }
        }
      }
      let hidden = try arena.activations(admitted.count, model.configuration.hiddenSize)
      backend.take(state.promptSlots, of: room.hidden, into: hidden)
      try model.draw(hidden, session.settings.sampling, state, in: arena)
    }
  }

  /// Reads the newest token of every sequence and draws the next.
  private func decode(_ count: Int, _ session: inout Session, _ room: Room) throws(Failure) {
    session.passes += 1
    let rows = backend.decodeRows(for: count)
    let (adapter, angles) = (session.policy.adapter, model.angles)
    let step = RecordedStep(
      rows: rows, adapter: (adapter?.storage).map { ObjectIdentifier($0) }, angles: ObjectIdentifier(angles), sampling: session.settings.sampling)
    if let recording = recordings[step] { return try backend.replay(recording) }
    // Those of an adapter that is gone, or of a shorter table of angles.
    recordings = recordings.filter { $0.key.adapter == step.adapter && $0.key.angles == step.angles && $0.key.sampling == step.sampling }
    let state = room.state.rows(0..<rows)
    recordings[step] = try backend.record(in: arena) {
      [model, arena, sampling = session.settings.sampling] () throws(Failure) in
      // What is recorded reads this memory.
      _ = angles
      try arena.scope { () throws(Failure) in
        let hidden = try model.decode(state, adapter: adapter, prompts: room.prompts, cache: room.own, in: arena)
        try model.draw(hidden, sampling, state, in: arena)
      }
    }
  }

  /// Puts drawn tokens where they belong; what has ended leaves its place.
  private func take(
    _ rows: Range<Int>, _ session: inout Session, _ room: Room, _ onToken: (Int, Int, Int32) -> Void
  ) throws(Failure) -> [FinishedCompletion] {
    let drawn = try backend.drawn(room.state.rows(rows)).value()
    var finished: [FinishedCompletion] = []
    var ended: Set<Int> = []
    for (index, row) in rows.enumerated() {
      let outcome = drawn.outcomes[index]
      try requireNumbers(outcome)
      let known = session.active[row].sequence.drawn
      for number in stride(from: known, to: drawn.lengths[index], by: 1) {
        append(drawn.token(number, of: index), to: row, &session, onToken)
      }
      guard outcome != .goesOn else { continue }
      finished.append(finish(row, outcome, &session))
      ended.insert(row)
    }
    if !ended.isEmpty { leave(ended, &session, room) }
    return finished
  }

  private func requireNumbers(_ outcome: DecodeOutcome) throws(Failure) {
    guard outcome != .notANumber else {
      throw .internalError("the model's logits are not numbers: its weights or its adapter hold NaN or infinity")
    }
  }

  private func append(
    _ drawn: (token: Int32, logProb: Float, entropy: Float), to row: Int, _ session: inout Session, _ onToken: (Int, Int, Int32) -> Void
  ) {
    session.active[row].completion.tokens.append(drawn.token)
    session.active[row].completion.logProbs.append(drawn.logProb)
    session.active[row].completion.entropies.append(drawn.entropy)
    session.active[row].sequence.newest = drawn.token
    session.active[row].sequence.drawn += 1
    session.active[row].sequence.remaining -= 1
    session.tokens += 1
    let (request, sample) = (session.active[row].request, session.active[row].sample)
    session.drafts?.append(drawn.token, to: sample, of: request)
    onToken(request, sample, drawn.token)
  }

  private func finish(_ row: Int, _ outcome: DecodeOutcome, _ session: inout Session) -> FinishedCompletion {
    let active = session.active[row]
    var completion = active.completion
    completion.isTruncated = outcome == .reachedLimit
    session.scheduler.release(active.sequence.slot, of: active.request)
    if session.scheduler.requests[active.request] == nil { session.drafts?.forget(active.request) }
    return FinishedCompletion(request: active.request, sample: active.sample, completion: completion)
  }

  /// What has ended leaves its row; the others move up.
  private func leave(_ ended: Set<Int>, _ session: inout Session, _ room: Room) {
    session.active = session.active.enumerated().filter { !ended.contains($0.offset) }.map(\.element)
    room.state.load(session.active.map(\.sequence), upTo: backend.decodeRows(for: session.active.count), idleSlot: room.idleSlot, on: backend)
  }

  // MARK: All at once

  /// Draws all completions of some requests.
  ///
  /// - Parameters:
  ///   - progress: called after each step; returning false stops with exit code 75.
  ///   - onToken: called with each token as it is drawn.
  ///   - onFinish: called with each completion as it ends; what an interruption leaves has come through it.
  /// - Returns: for each request its completions.
  package func generate(
    _ requests: [GenerationRequest], _ settings: GenerationSettings, by policy: PolicySnapshot,
    progress: (GenerationProgress) -> Bool = { _ in true },
    onToken: (_ request: Int, _ sample: Int, _ token: Int32) -> Void = { _, _, _ in },
    onFinish: (_ request: Int, _ sample: Int, _ completion: Completion) -> Void = { _, _, _ in }
  ) throws(Failure) -> [[Completion]] {
    for request in requests { try check(request) }
    var results = requests.map { Array(repeating: Completion(), count: $0.samples) }
    let total = requests.reduce(0) { $0 + $1.samples }
    guard total > 0, settings.maxNewTokens > 0 else { return results }
    let wanted = requests.filter { $0.samples > 0 }
    try begin(
      policy, settings,
      EngineCapacity(
        prompts: wanted.count, samples: wanted.reduce(0) { max($0, $1.samples) }, longestPrompt: wanted.reduce(0) { max($0, $1.prompt.count) },
        maxNewTokens: settings.maxNewTokens, batchSize: settings.batchSize, of: model.configuration,
        on: backend))
    for request in requests { _ = try add(request) }
    var finished = 0
    let watch = Stopwatch()
    while !isIdle {
      for one in try step(onToken: onToken) {
        results[one.request][one.sample] = one.completion
        finished += 1
        onFinish(one.request, one.sample, one.completion)
      }
      guard progress(GenerationProgress(finished: finished, total: total, tokens: tokens, seconds: watch.seconds)) else {
        throw Failure(.interrupted, "interrupted while generating: \(finished) of \(total) completions were finished")
      }
    }
    return results
  }

  private func check(_ request: GenerationRequest) throws(Failure) {
    let vocabulary = Int32(model.configuration.vocabularySize)
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
