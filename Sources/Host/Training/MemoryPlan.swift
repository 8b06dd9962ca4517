import Compute
import Rollouts
import Support
import Transformer

/// How much of a policy is in memory at once.
package struct PolicyLimits: Sendable, Equatable {
  /// Rows of one forward and backward.
  package let microBatchRows: Int
  /// What a forward keeps for its backward.
  package let retention: Retention
  package let keepsSnapshot: Bool

  /// - Parameter adapter: of the adapter that is trained; nil: the model itself is.
  package init(_ architecture: Architecture, adapter: AdapterSettings?, _ settings: PolicySettings, on backend: any Backend) {
    let budget = MemoryBudget(backend.availableBytes)
    let trained = adapter == nil ? architecture.tensors.reduce(0) { $0 + ($1.isTrained ? $1.count : 0) } : 0
    keepsSnapshot = adapter != nil || 12 * trained <= settings.copyBudget ?? budget.copies
    let affordable = { (retention: Retention) in budget.activations / max(1, Self.bytesPerRow(architecture.configuration, retention, elementBytes: backend.activation.byteCount)) }
    switch settings.checkpointing {
    case .auto: retention = affordable(.everything) < Self.fewestRows ? .checkpoints : .everything
    case .on: retention = .checkpoints
    case .off: retention = .everything
    }
    microBatchRows = settings.microBatchRows ?? max(Self.fewestRows, min(4096, affordable(retention)))
  }

  /// With fewer rows at once products would read weights more than they compute.
  static let fewestRows = 256
  /// More rows at once make a device no faster.
  static let mostRowsOfDevice = 8192

  /// About what a row costs in a forward whose activations have so many bytes an element.
  private static func bytesPerRow(_ configuration: ModelConfiguration, _ retention: Retention, elementBytes: Int) -> Int {
    let heads = configuration.heads
    let stream = 2 * configuration.hiddenSize
    let activations =
      2 * configuration.hiddenSize + 2 * heads.channels * (heads.queryHeads + heads.keyValueHeads) + 3 * configuration.intermediateSize + 7 * 16
    let block = 4 * stream + elementBytes * activations
    let (layers, inputs) = (configuration.layerCount, 4 * configuration.layerCount * configuration.hiddenSize)
    return retention == .everything ? layers * block : inputs + block
  }
}

/// What a run does that takes memory.
package struct PlannedRun {
  /// The adapter that is trained; nil trains the model itself.
  package var adapter: AdapterSettings?
  package var policy: PolicySettings
  package var hasCritic = false
  package var reference = Reference.none
  /// The largest micro-batch's sequences: a prompt and the lengths of its completions; one completion, and a prompt of no length, for a
  /// training sequence.
  package var groups: [(prompt: Int, completions: [Int])] = []
  /// What is generated: a step's completions, held-out questions.
  package var generation: [EngineCapacity] = []

  /// What a divergence is measured from.
  package enum Reference: Sendable {
    case none
    /// The adapter as it was.
    case adapter
    /// A second model.
    case model
  }

  package init(adapter: AdapterSettings?, _ policy: PolicySettings) {
    self.adapter = adapter
    self.policy = policy
  }
}

/// The memory of a run, known before it begins: the run's own code goes once through its largest step on a backend that computes nothing
/// and counts.
package struct MemoryPlan: Sendable {
  package struct Family: Sendable {
    package let name: String
    package let bytes: Int

    package init(name: String, bytes: Int) {
      self.name = name
      self.bytes = bytes
    }
  }

  /// What stays.
  package private(set) var families: [Family] = []
  /// What steps run in.
  package private(set) var arenaBytes = 0
  package let limits: PolicyLimits
  /// The run's settings, with what was left to memory decided: checkpointing, and rows of a micro-batch.
  package private(set) var policy: PolicySettings
  /// Values that are trained.
  package private(set) var trainedCount = 0
  /// What stays, and the step.
  package var all: [Family] { families + [Family(name: "one step", bytes: arenaBytes)] }
  /// Bytes in all.
  package var bytes: Int { families.reduce(0) { $0 + $1.bytes } + arenaBytes }

  /// What the settings leave open is chosen so that the run fits with the least to compute.
  ///
  /// - Parameters:
  ///   - architecture: with what is trained, and in which format what is frozen is kept.
  ///   - backend: the one that the run will compute on.
  package init(_ architecture: Architecture, _ run: PlannedRun, on backend: any Backend) throws(Failure) {
    let room = MemoryBudget(backend.availableBytes).run
    /// What does not fit is worse than whatever does.
    typealias Worth = (misses: Int, cost: Double)
    var best: (plan: MemoryPlan, worth: Worth)?
    for checkpointing in run.policy.checkpointing == .auto ? [Checkpointing.off, .on] : [run.policy.checkpointing] {
      var trial = run
      trial.policy.checkpointing = checkpointing
      // A device takes as many rows at once as there is room for.
      if !backend.isHost { trial.policy.microBatchRows = run.policy.microBatchRows ?? PolicyLimits.mostRowsOfDevice }
      var plan = try MemoryPlan(counting: trial, architecture, on: backend)
      while plan.bytes > room, run.policy.microBatchRows == nil, plan.limits.microBatchRows > PolicyLimits.fewestRows {
        trial.policy.microBatchRows = max(PolicyLimits.fewestRows, plan.limits.microBatchRows / 2)
        plan = try MemoryPlan(counting: trial, architecture, on: backend)
      }
      // A forward again: half of what it cost where weights have no gradients, else a third.
      let again = checkpointing == .on ? run.adapter == nil ? 4.0 / 3 : 1.5 : 1
      var rows = Double(Self.rowsRead(run.groups, limit: plan.limits.microBatchRows))
      // What a device does once for each micro-batch, reading weights and launching, in rows: an estimate.
      if !backend.isHost { rows *= 1 + 300 / Double(plan.limits.microBatchRows) }
      let worth: Worth = plan.bytes <= room ? (0, again * rows) : (1, Double(plan.bytes))
      if let best, best.worth <= worth { continue }
      best = (plan, worth)
    }
    guard let best else { throw .internalError("a plan without a way to train") }
    self = best.plan
  }

  /// Rows that go through the model in an update: prompts are read once more with every part that a group is cut into.
  private static func rowsRead(_ groups: [(prompt: Int, completions: [Int])], limit: Int) -> Int {
    var rows = 0
    for group in groups {
      var room = 0
      for length in group.completions {
        if room < length {
          rows += group.prompt
          room = max(length, limit - group.prompt)
        }
        rows += length
        room -= length
      }
    }
    return rows
  }

  /// Refuses a run that cannot have what it takes.
  package func requireRoom(on backend: any Backend) throws(Failure) {
    guard bytes > backend.availableBytes else { return }
    let gibibytes = { (bytes: Int) in Format.fixed(Double(bytes) / 1_073_741_824, 2) }
    throw .usage(
      "the run takes \(gibibytes(bytes)) GiB and may have \(gibibytes(backend.availableBytes)) (nano-reasoner plan says what takes it): fewer or shorter sequences at a time, --quantize nf4 or --precision bf16, --checkpointing on, or more --memory"
    )
  }

  private init(counting run: PlannedRun, _ architecture: Architecture, on backend: any Backend) throws(Failure) {
    let counter = backend.counter()
    policy = run.policy
    limits = PolicyLimits(architecture, adapter: run.adapter, run.policy, on: backend)
    var families: [Family] = []
    func counted<T>(_ name: String, _ body: () throws(Failure) -> T) throws(Failure) -> T {
      let before = counter.memory.bytes
      let made = try body()
      if counter.memory.bytes > before { families.append(Family(name: name, bytes: counter.memory.bytes - before)) }
      return made
    }
    // More than any step takes, of a memory that is not there.
    let arena = try Arena(on: backend.counter(), byteCount: 1 << 50)
    let model = try counted("weights") { () throws(Failure) in
      try Transformer(architecture, source: .plan, endOfText: [], on: counter)
    }
    let adapter = try counted("adapter and its gradients") { () throws(Failure) in
      try run.adapter.map { settings throws(Failure) in try Adapter(planning: settings, for: model) }
    }
    let policy = try counted("moments and critic") { () throws(Failure) in
      try Policy(model, adapter: adapter, run.policy, critic: run.hasCritic, in: arena)
    }
    if policy.keepsSnapshot {
      _ = try counted("copy to go back to") { () throws(Failure) in try policy.snapshot() }
    }
    let reference = try counted("reference") { () throws(Failure) -> PolicySnapshot? in
      switch run.reference {
      case .none: nil
      case .adapter: PolicySnapshot(model, adapter: try adapter?.frozen())
      case .model:
        PolicySnapshot(try Transformer(architecture.training(.nothing), source: .plan, endOfText: [], on: counter))
      }
    }
    let engine = GenerationEngine(model, in: arena)
    try counted("keys and values") { () throws(Failure) in
      for capacity in run.generation { try engine.reserve(capacity, stopTokens: [0]) }
    }
    for capacity in run.generation { try Self.draw(capacity, engine, policy.current) }
    try counted("gradients that wait") { () throws(Failure) in
      try Self.train(policy, reference.map { ReferencePolicy($0, in: arena) }, run.groups)
    }
    self.families = families
    arenaBytes = arena.peakBytes
    trainedCount = adapter?.store.count ?? model.store?.count ?? 0
  }

  /// Reads as many prompts as are read at once and draws a token for as many sequences as there is room for.
  private static func draw(_ capacity: EngineCapacity, _ engine: GenerationEngine, _ policy: PolicySnapshot) throws(Failure) {
    let settings = GenerationSettings(
      sampling: SamplingSettings(temperature: 1), maxNewTokens: capacity.maxNewTokens, seed: 0, stopTokens: [0], batchSize: capacity.slots)
    try engine.begin(policy, settings, capacity)
    let samples = (capacity.slots + capacity.promptSlots - 1) / max(1, capacity.promptSlots)
    for _ in 0..<capacity.promptSlots {
      _ = try engine.add(
        GenerationRequest(prompt: Array(repeating: 0, count: capacity.longestPrompt), samples: samples, stream: 0))
    }
    // Prompts are read some at a time; the last step decodes all.
    for _ in 0..<(capacity.promptSlots + 1) { _ = try engine.step() }
  }

  /// As much of some groups as a micro-batch takes; one sequence in any case.
  private static func fitting(_ groups: [(prompt: Int, completions: [Int])], rows limit: Int) -> [(prompt: Int, completions: [Int])] {
    var (rows, fitting) = (0, [(prompt: Int, completions: [Int])]())
    for group in groups {
      var part = (prompt: group.prompt, completions: [Int]())
      rows += group.prompt
      for length in group.completions where rows < limit || fitting.isEmpty && part.completions.isEmpty {
        // Real sequences are of all lengths: in the end they fill a micro-batch to its last row.
        let taken = fitting.isEmpty && part.completions.isEmpty ? length : min(length, limit - rows)
        part.completions.append(taken)
        rows += taken
      }
      if part.completions.isEmpty { break }
      fitting.append(part)
    }
    return fitting
  }

  /// Goes through the largest micro-batch: reference, forward and backward.
  private static func train(_ policy: Policy, _ reference: ReferencePolicy?, _ groups: [(prompt: Int, completions: [Int])]) throws(Failure) {
    var batch = TokenBatch()
    var targets = TokenTargets()
    for group in fitting(groups, rows: policy.microBatchRows) {
      let completions = group.completions.map { [Int32](repeating: 0, count: $0) }
      if group.prompt == 0 {
        for sequence in completions { batch.appendPredicted(sequence, targets: &targets) }
      } else {
        batch.append(prompt: Array(repeating: 0, count: group.prompt), completions: completions, targets: &targets)
      }
    }
    guard targets.count > 0 else { return }
    if let reference { _ = try reference.logProbs(batch, targets, temperature: 1) }
    policy.beginUpdate()
    try policy.accumulate(batch, targets, temperature: 1) { scores in
      TokenDerivatives(dLogProbs: scores.logProbs, dEntropies: scores.logProbs, dValues: scores.values)
    }
  }
}
