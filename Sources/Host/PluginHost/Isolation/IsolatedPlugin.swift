import Support

/// A plugin in a process of its own. What it does to that process, it does not do to the run: a crash, a call that does not end, memory without
/// end and an exit() become a failure that names plugin, stage and step. The next call begins a new process, with the state that was saved last.
package final class IsolatedPlugin: LossAlgorithm {
  private let card: PluginCard
  private let parameters: PluginParameters
  private let isolation: PluginIsolation
  private let program: String
  package private(set) var needs: PluginNeeds = []
  /// nil until the next call where it has ended.
  private var process: PluginProcess?
  private var state: [UInt8] = []
  private var lastStep = 0

  /// - Parameter program: what is started: this program, unless a test says otherwise.
  package init(
    _ card: PluginCard, _ parameters: PluginParameters, _ isolation: PluginIsolation = PluginIsolation(), program: String? = Files.program
  ) throws(Failure) {
    guard let program else { throw .internalError("the program's own path is unknown, so that no process can be started for the plugin") }
    (self.card, self.parameters, self.isolation, self.program) = (card, parameters, isolation, program)
    _ = try running()
  }

  package var identity: AlgorithmIdentity {
    AlgorithmIdentity(id: card.id, version: card.descriptor.version, sha256: card.sha256, stateVersion: card.descriptor.stateVersion)
  }
  package var metricFold: PluginMetricFold { PluginMetricFold(card.descriptor.metrics) }

  package func select(_ rollout: PluginRollout) throws(Failure) -> [Bool] {
    lastStep = rollout.step
    let rollout = rollout.forSelection
    try rollout.check("plugin \(card.id): select")
    var answer = try call(.select, "select") { $0.rollout(rollout) }
    return try flags(&answer, rollout.groupCount, "select")
  }

  package func advantages(_ rollout: PluginRollout) throws(Failure) -> PluginAdvantages {
    lastStep = rollout.step
    let rollout = rollout.limited(to: needs)
    try rollout.check("plugin \(card.id): advantages")
    var answer = try call(.advantages, "advantages") { $0.rollout(rollout) }
    let (tokens, critic) = (rollout.tokenCount, needs.contains(.critic))
    return PluginAdvantages(
      advantages: try numbers(&answer, tokens, "advantages"), returns: try numbers(&answer, tokens, "advantages", isThere: critic),
      counted: try flags(&answer, rollout.sequenceCount, "advantages"), metrics: try metrics(&answer, "advantages"))
  }

  package func loss(_ batch: PluginBatch) throws(Failure) -> PluginGradients {
    lastStep = batch.step
    let batch = batch.limited(to: needs)
    try batch.check("plugin \(card.id): loss")
    var answer = try call(.loss, "loss") { $0.batch(batch) }
    let loss = try answer.real()
    guard loss.isFinite else { throw damaged("loss") }
    return PluginGradients(
      loss: loss, dCurrent: try numbers(&answer, batch.tokenCount, "loss"),
      dEntropy: try numbers(&answer, batch.tokenCount, "loss", isThere: needs.contains(.entropy)),
      dValues: try numbers(&answer, batch.tokenCount, "loss", isThere: needs.contains(.critic)), metrics: try metrics(&answer, "loss"))
  }

  package func save() throws(Failure) -> [UInt8] {
    // A process that has begun anew has this state and no other.
    if process == nil { return state }
    var answer = try call(.save, "save") { _ in }
    state = try answer.array(of: UInt8.self)
    return state
  }

  package func restore(_ state: [UInt8]) throws(Failure) {
    _ = try call(.restore, "restore") { $0.array(state) }
    self.state = state
  }

  // MARK: The process

  /// The process, begun where it is not there.
  private func running() throws(Failure) -> PluginProcess {
    if let process { return process }
    let process = try PluginProcess(program)
    self.process = process
    var answer = try call(.open, "create") { message in
      message.text(card.path)
      message.text(card.sha256)
      message.text(parameters.json.text())
      message.number(isolation.mebibytes)
    }
    needs = PluginNeeds(rawValue: UInt32(truncatingIfNeeded: try answer.number()))
    if needs.rawValue & ~PluginNeeds.known.reduce(0, { $0 | $1.need.rawValue }) != 0 { throw damaged("needs") }
    if !state.isEmpty { _ = try call(.restore, "restore") { $0.array(state) } }
    return process
  }

  private func call(
    _ kind: PluginChannel.Kind, _ stage: String, _ fill: (inout PluginWireWriter) -> Void
  ) throws(Failure) -> PluginWireReader {
    let process = try running()
    var message = PluginWireWriter()
    fill(&message)
    let answer: PluginProcess.Answer
    do throws(Failure) { answer = try process.ask(kind, message, within: isolation) } catch {
      self.process = nil
      throw Failure(error.code, "\(place(stage)): \(error.message)")
    }
    switch answer {
    case .done(let answer): return answer
    // What the plugin itself refuses leaves its process as it is.
    case .failed(let failure): throw failure
    case .ended(let how):
      self.process = nil
      throw .internalError("\(place(stage)): \(how)")
    }
  }

  // MARK: What came back

  /// Steps are counted from 1, as in logs.
  private func place(_ stage: String) -> String { "plugin \(card.id): \(stage) of step \(lastStep + 1)" }

  private func damaged(_ stage: String) -> Failure {
    process = nil
    return .internalError("\(place(stage)): what came back from its process is no answer: it has written over memory that is not its own")
  }

  private func numbers(_ answer: inout PluginWireReader, _ count: Int, _ stage: String) throws(Failure) -> [Float] {
    let values = try answer.array(of: Float.self)
    guard values.count == count, values.allSatisfy(\.isFinite) else { throw damaged(stage) }
    return values
  }

  private func numbers(_ answer: inout PluginWireReader, _ count: Int, _ stage: String, isThere: Bool) throws(Failure) -> [Float]? {
    if isThere { return try numbers(&answer, count, stage) }
    guard try answer.arrayIfAny(of: Float.self) == nil else { throw damaged(stage) }
    return nil
  }

  private func flags(_ answer: inout PluginWireReader, _ count: Int, _ stage: String) throws(Failure) -> [Bool] {
    let values = try answer.array(of: UInt8.self)
    guard values.count == count, values.allSatisfy({ $0 <= 1 }) else { throw damaged(stage) }
    return values.map { $0 == 1 }
  }

  private func metrics(_ answer: inout PluginWireReader, _ stage: String) throws(Failure) -> [PluginMetricValue] {
    let values = try answer.metrics()
    guard values.count == card.descriptor.metrics.count, values.allSatisfy({ $0.weight >= 0 && ($0.weight == 0 || $0.value.isFinite) }) else {
      throw damaged(stage)
    }
    return values
  }
}
