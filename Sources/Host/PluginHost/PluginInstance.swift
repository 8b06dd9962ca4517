internal import CPluginAPI
internal import CPluginCheck
import Support

/// What a plugin tells the host while it runs.
package enum PluginLogLevel: Int32, Sendable {
  case debug = 0
  case information, warning, error
}

/// A plugin with its parameters. One thread at a time; everything it returns has been checked.
package final class PluginInstance: LossAlgorithm {
  package typealias Log = @Sendable (PluginLogLevel, String) -> Void

  package let library: PluginLibrary
  package let parameters: PluginParameters
  package let needs: PluginNeeds
  /// Whether ``select(_:)`` asks the plugin: without that function all groups are kept.
  package var selects: Bool { unsafe library.table.pointee.select != nil }
  private let handle: Handle
  /// The step of the last call of stage 1, for what is said where the plugin ends the program.
  private var lastStep: UInt64 = 0
  private var id: String { library.id }

  package var identity: AlgorithmIdentity {
    AlgorithmIdentity(
      id: library.id, version: library.descriptor.version, sha256: library.sha256, stateVersion: library.descriptor.stateVersion)
  }

  package init(
    _ library: PluginLibrary, _ parameters: PluginParameters, log: @escaping Log = PluginInstance.logToStandardError
  ) throws(Failure) {
    self.library = library
    self.parameters = parameters
    handle = try Handle(library, parameters.values, log)
    let needs = unsafe library.table.pointee.needs(handle.instance)
    let known = PluginNeeds.known.reduce(0) { $0 | $1.need.rawValue }
    if needs & ~known != 0 {
      throw .badData(
        "plugin \(library.id): needs something this host does not have (bits 0x\(String(needs & ~known, radix: 16))); a newer host is needed"
      )
    }
    self.needs = PluginNeeds(rawValue: needs)
  }

  /// Binds `key=value` settings and makes the instance.
  package convenience init(
    _ library: PluginLibrary, settings: [String] = [], log: @escaping Log = PluginInstance.logToStandardError
  ) throws(Failure) {
    try self.init(library, PluginParameters(settings, for: library.descriptor), log: log)
  }

  /// From now on a plugin that ends this process is named, with stage and step, in one line on standard error.
  package static func nameWhatEndsTheProgram() { nr_run_install() }

  package static let logToStandardError: Log = { level, message in
    if level.rawValue < PluginLogLevel.warning.rawValue { return }
    try? AtomicFile.write(Array("plugin: \(OneLine.text(message))\n".utf8), descriptor: 2, name: "standard error")
  }

  /// An empty fold for this plugin's metrics.
  package var metricFold: PluginMetricFold { PluginMetricFold(library.descriptor.metrics) }

  /// Which groups to train on. The plugin does not see `old`, `reference` and `values`: they are not computed yet.
  package func select(_ rollout: PluginRollout) throws(Failure) -> [Bool] {
    let rollout = rollout.forSelection
    try rollout.check("plugin \(id): select")
    guard let function = unsafe library.table.pointee.select else {
      return Array(repeating: true, count: rollout.groupCount)
    }
    var memory = PluginMemory()
    var raw = unsafe try nr_rollout(rollout, &memory)
    let keep = unsafe memory.bytes(rollout.groupCount + 1, of: 0xA5)
    let error = unsafe memory.error()
    unsafe nr_run_enter(id, Int32(NR_CALL_SELECT), UInt64(rollout.step + 1))
    let status = unsafe function(handle.instance, &raw, keep, error)
    nr_run_leave()
    try check(status, error, "select")
    var result: [Bool] = []
    for group in 0..<rollout.groupCount {
      let flag = unsafe keep[group]
      if flag > 1 {
        throw refusal(
          "select", flag == 0xA5 ? "left keep[\(group)] unwritten" : "keep[\(group)] is \(flag), expected 0 or 1")
      }
      result.append(flag == 1)
    }
    if unsafe keep[rollout.groupCount] != 0xA5 { throw refusal("select", "wrote past the end of keep") }
    return result
  }

  /// Stage 1. `rollout` has `old`, and what the instance needs.
  package func advantages(_ rollout: PluginRollout) throws(Failure) -> PluginAdvantages {
    let rollout = rollout.limited(to: needs)
    try rollout.check("plugin \(id): advantages")
    lastStep = UInt64(rollout.step + 1)
    try require(rollout.old != nil, "advantages", "old")
    try require(!needs.contains(.reference) || rollout.reference != nil, "advantages", "reference")
    try require(!needs.contains(.critic) || rollout.values != nil, "advantages", "values")
    var memory = PluginMemory()
    var raw = unsafe try nr_rollout(rollout, &memory)
    let advantages = memory.output(rollout.tokenCount)
    let returns = needs.contains(.critic) ? memory.output(rollout.tokenCount) : nil
    var result = unsafe nr_advantages()
    unsafe result.struct_size = UInt32(MemoryLayout<nr_advantages>.size)
    unsafe result.advantages = advantages.start
    unsafe result.returns = returns?.start
    let counted = unsafe memory.bytes(rollout.sequenceCount + 1, of: 1)
    unsafe counted[rollout.sequenceCount] = 0xA5
    unsafe result.counted = counted
    let metrics = unsafe memory.metrics(library.descriptor.metrics.count)
    let error = unsafe memory.error()
    unsafe nr_run_enter(id, Int32(NR_CALL_ADVANTAGES), UInt64(rollout.step + 1))
    let status = unsafe library.table.pointee.advantages(handle.instance, &raw, &result, metrics, error)
    nr_run_leave()
    try check(status, error, "advantages")
    var counts: [Bool] = []
    for sequence in 0..<rollout.sequenceCount {
      let flag = unsafe counted[sequence]
      if flag > 1 { throw refusal("advantages", "counted[\(sequence)] is \(flag), expected 0 or 1") }
      counts.append(flag == 1)
    }
    if unsafe counted[rollout.sequenceCount] != 0xA5 { throw refusal("advantages", "wrote past the end of counted") }
    return PluginAdvantages(
      advantages: try take(advantages, memory, "advantages", "advantages"),
      returns: try returns.map { (output) throws(Failure) in try take(output, memory, "advantages", "returns") }, counted: counts,
      metrics: try read(metrics, "advantages"))
  }

  /// Stage 2, for one micro-batch.
  package func loss(_ batch: PluginBatch) throws(Failure) -> PluginGradients {
    let batch = batch.limited(to: needs)
    try batch.check("plugin \(id): loss")
    try require(!needs.contains(.reference) || batch.reference != nil, "loss", "reference")
    try require(!needs.contains(.sampler) || batch.sampler != nil, "loss", "sampler")
    try require(!needs.contains(.entropy) || batch.entropy != nil, "loss", "entropy")
    let critic = needs.contains(.critic)
    try require(!critic || batch.values != nil, "loss", "values")
    try require(!critic || batch.oldValues != nil, "loss", "old_values")
    try require(!critic || batch.returns != nil, "loss", "returns")
    let count = batch.tokenCount
    var memory = PluginMemory()
    var raw = unsafe try nr_batch(batch, &memory)
    let dCurrent = memory.output(count)
    let dEntropy = needs.contains(.entropy) ? memory.output(count) : nil
    let dValues = critic ? memory.output(count) : nil
    var result = unsafe nr_gradients()
    unsafe result.struct_size = UInt32(MemoryLayout<nr_gradients>.size)
    unsafe result.loss = .nan
    unsafe result.d_current = dCurrent.start
    unsafe result.d_entropy = dEntropy?.start
    unsafe result.d_values = dValues?.start
    let metrics = unsafe memory.metrics(library.descriptor.metrics.count)
    let error = unsafe memory.error()
    unsafe nr_run_enter(id, Int32(NR_CALL_LOSS), UInt64(batch.step + 1))
    let status = unsafe library.table.pointee.loss(handle.instance, &raw, &result, metrics, error)
    nr_run_leave()
    try check(status, error, "loss")
    let loss = unsafe result.loss
    guard loss.isFinite else { throw refusal("loss", "the loss is \(loss), not a finite number", .badData) }
    return PluginGradients(
      loss: loss, dCurrent: try take(dCurrent, memory, "loss", "d_current"),
      dEntropy: try dEntropy.map { (output) throws(Failure) in try take(output, memory, "loss", "d_entropy") },
      dValues: try dValues.map { (output) throws(Failure) in try take(output, memory, "loss", "d_values") },
      metrics: try read(metrics, "loss"))
  }

  /// The instance's state for a checkpoint; empty where the plugin has none.
  package func save() throws(Failure) -> [UInt8] {
    guard let function = unsafe library.table.pointee.save else { return [] }
    var memory = PluginMemory()
    let error = unsafe memory.error()
    var size = 0
    unsafe nr_run_enter(id, Int32(NR_CALL_SAVE), lastStep)
    defer { nr_run_leave() }
    let first = unsafe function(handle.instance, nil, 0, &size, error)
    if first != Int32(NR_NO_SPACE) { try check(first, error, "save") }
    guard size >= 0, size < 1 << 30 else { throw refusal("save", "asks for \(size) bytes; 1 GiB is the most") }
    if size == 0 { return [] }
    let bytes = unsafe memory.bytes(size, of: 0)
    var written = size
    let second = unsafe function(handle.instance, bytes, size, &written, error)
    try check(second, error, "save")
    guard written == size else { throw refusal("save", "asked for \(size) bytes and then wrote \(written)") }
    return unsafe Array(UnsafeBufferPointer(start: bytes, count: size))
  }

  /// Takes back what ``save()`` gave, to an instance with the same parameters.
  package func restore(_ state: [UInt8]) throws(Failure) {
    guard let function = unsafe library.table.pointee.restore else {
      if state.isEmpty { return }
      throw .badData("plugin \(id): restore: the checkpoint has \(state.count) bytes of state, this plugin has none")
    }
    var memory = PluginMemory()
    let bytes = unsafe memory.copy(state)
    let error = unsafe memory.error()
    unsafe nr_run_enter(id, Int32(NR_CALL_RESTORE), lastStep)
    let status = unsafe function(handle.instance, bytes, state.count, error)
    nr_run_leave()
    try check(status, error, "restore")
  }

  // MARK: Helpers

  private func take(
    _ output: PluginMemory.Output, _ memory: borrowing PluginMemory, _ stage: String, _ name: String
  ) throws(Failure) -> [Float] {
    do throws(Failure) { return try memory.take(output, name) } catch {
      throw refusal(stage, error.message, error.code)
    }
  }

  @safe private func read(_ raw: UnsafePointer<nr_value>, _ stage: String) throws(Failure) -> [PluginMetricValue] {
    var result: [PluginMetricValue] = []
    for (index, metric) in library.descriptor.metrics.enumerated() {
      let value = unsafe PluginMetricValue(value: raw[index].value, weight: raw[index].weight)
      guard value.weight.isFinite, value.weight >= 0, value.weight == 0 || value.value.isFinite else {
        throw refusal(stage, "metric \(metric.name) is \(value.value) with weight \(value.weight)", .badData)
      }
      result.append(value)
    }
    return result
  }

  private func require(_ given: Bool, _ stage: String, _ array: String) throws(Failure) {
    if !given { throw .internalError("plugin \(id): \(stage): the instance needs \(array), the caller gave none") }
  }

  private func refusal(_ stage: String, _ what: String, _ code: ExitCode = .internalError) -> Failure {
    Failure(code, "plugin \(id): \(stage): \(what)")
  }

  @safe private func check(_ status: Int32, _ error: UnsafePointer<nr_error>, _ stage: String) throws(Failure) {
    try Self.check(status, error, "plugin \(id): \(stage)")
  }

  @safe fileprivate static func check(_ status: Int32, _ error: UnsafePointer<nr_error>, _ name: String) throws(Failure)
  {
    if status != Int32(NR_OK) { throw failure(status, error, name) }
  }

  /// What a status other than `NR_OK` and the plugin's words come to.
  @safe static func failure(_ status: Int32, _ error: UnsafePointer<nr_error>, _ name: String) -> Failure {
    let start = unsafe UnsafeRawPointer(error) + 4
    var bytes: [UInt8] = []
    while bytes.count < 507 {
      let byte = unsafe start.load(fromByteOffset: bytes.count, as: UInt8.self)
      if byte == 0 { break }
      bytes.append(byte == 10 || byte == 13 ? 32 : byte)
    }
    let (code, reason): (ExitCode, String) =
      switch Int(status) {
      case NR_BAD_ARGUMENT: (.internalError, "bad argument")
      case NR_BAD_PARAMETER: (.usage, "bad parameter")
      case NR_NOT_FINITE: (.badData, "not a finite number")
      case NR_BAD_STATE: (.badData, "bad state")
      case NR_NO_SPACE: (.internalError, "no space")
      case NR_INTERNAL: (.internalError, "internal error")
      default: (.internalError, "unknown status \(status)")
      }
    let message = bytes.isEmpty ? "" : ": " + String(decoding: bytes, as: UTF8.self)
    return Failure(code, "\(name): \(reason)\(message)")
  }
}

/// Owns a plugin's instance and the host table it was made with.
@safe private struct Handle: ~Copyable {
  let instance: UnsafeMutableRawPointer?
  private let table: UnsafePointer<nr_plugin>
  private let host: UnsafeMutablePointer<nr_host>
  private let sink: Unmanaged<LogSink>

  init(_ library: PluginLibrary, _ parameters: [Double], _ log: @escaping PluginInstance.Log) throws(Failure) {
    let sink = unsafe Unmanaged.passRetained(LogSink(id: library.id, log: log))
    let host = UnsafeMutablePointer<nr_host>.allocate(capacity: 1)
    unsafe host.initialize(to: nr_host())
    unsafe host.pointee.struct_size = UInt32(MemoryLayout<nr_host>.size)
    unsafe host.pointee.context = sink.toOpaque()
    unsafe host.pointee.log = { context, level, message in
      guard let context = unsafe context, let message = unsafe message else { return }
      let sink = unsafe Unmanaged<LogSink>.fromOpaque(context).takeUnretainedValue()
      unsafe sink.log(PluginLogLevel(rawValue: level) ?? .information, "\(sink.id): " + String(cString: message))
    }
    unsafe host.pointee.`extension` = { _, _ in nil }
    var memory = PluginMemory()
    let error = unsafe memory.error()
    var made: UnsafeMutableRawPointer?
    unsafe nr_run_enter(library.id, Int32(NR_CALL_CREATE), 0)
    let status = unsafe library.table.pointee.create(host, memory.copy(parameters), &made, error)
    nr_run_leave()
    unsafe (instance, table) = unsafe (status == Int32(NR_OK) ? made : nil, library.table)
    unsafe (self.host, self.sink) = unsafe (host, sink)
    try PluginInstance.check(status, error, "plugin \(library.id)")
  }

  deinit {
    unsafe nr_run_enter("", Int32(NR_CALL_DESTROY), 0)
    unsafe table.pointee.destroy(instance)
    nr_run_leave()
    unsafe host.deinitialize(count: 1)
    unsafe host.deallocate()
    unsafe sink.release()
  }
}

private final class LogSink: Sendable {
  let id: String
  let log: PluginInstance.Log

  init(id: String, log: @escaping PluginInstance.Log) {
    self.id = id
    self.log = log
  }
}
