internal import CPluginAPI
internal import CPluginCheck
import Support

/// An instance for the checker: called as a host calls it, through guarded memory, with nothing checked that a test does not
/// ask for.
@safe final class CheckInstance {
  let needs: PluginNeeds
  let metricCount: Int
  private let table: UnsafePointer<nr_plugin>
  private let instance: UnsafeMutableRawPointer?
  private let host: UnsafeMutablePointer<nr_host>

  /// The guarded arrays of `create`, for any number of instances.
  @safe final class Creation {
    fileprivate let memory: CallMemory
    fileprivate let values: UnsafePointer<Double>
    fileprivate let error: UnsafeMutablePointer<nr_error>

    init(_ parameters: [Double]) throws(Failure) {
      var memory = CallMemory(.usual)
      unsafe error = try memory.structure("nr_error", nr_error(), isInput: false)
      unsafe values = try memory.input("parameters", parameters)
      memory.seal()
      self.memory = memory
    }
  }

  /// Throws with the plugin's words where it refuses.
  convenience init(_ library: PluginLibrary, _ parameters: [Double]) throws(Failure) {
    try self.init(library, Creation(parameters))
  }

  init(_ library: PluginLibrary, _ creation: Creation) throws(Failure) {
    unsafe table = unsafe library.table
    metricCount = library.descriptor.metrics.count
    let host = UnsafeMutablePointer<nr_host>.allocate(capacity: 1)
    unsafe host.initialize(to: Self.hostTable)
    unsafe creation.error.pointee.message.0 = 0
    var made: UnsafeMutableRawPointer?
    nr_check_stage(Int32(NR_CALL_CREATE))
    let status = unsafe table.pointee.create(host, creation.values, &made, creation.error)
    nr_check_stage(Int32(NR_CALL_NONE))
    if status != Int32(NR_OK) {
      unsafe host.deallocate()
      throw unsafe PluginInstance.failure(status, creation.error, "create")
    }
    unsafe instance = unsafe made
    unsafe self.host = unsafe host
    needs = unsafe PluginNeeds(rawValue: table.pointee.needs(made))
  }

  private static var hostTable: nr_host {
    var host = unsafe nr_host()
    unsafe host.struct_size = UInt32(MemoryLayout<nr_host>.size)
    unsafe host.log = { _, _, _ in }
    unsafe host.`extension` = { _, _ in nil }
    return unsafe host
  }

  /// The inputs whose gradient the instance stops on purpose.
  var stopped: Set<BatchCall.Input> {
    guard let function = unsafe table.pointee.`extension`, let found = unsafe function(NR_STOPPED_GRADIENTS) else {
      return []
    }
    let declared = unsafe found.assumingMemoryBound(to: nr_stopped_gradients.self)
    guard unsafe Int(declared.pointee.struct_size) >= MemoryLayout<nr_stopped_gradients>.size,
      let inputs = unsafe declared.pointee.inputs
    else { return [] }
    let bits = unsafe Int(inputs(instance))
    var result: Set<BatchCall.Input> = []
    if bits & NR_STOPS_CURRENT != 0 { result.insert(.current) }
    if bits & NR_STOPS_ENTROPY != 0 { result.insert(.entropy) }
    if bits & NR_STOPS_VALUES != 0 { result.insert(.values) }
    return result
  }

  var needsNow: PluginNeeds { unsafe PluginNeeds(rawValue: table.pointee.needs(instance)) }
  var hasState: Bool { unsafe table.pointee.save != nil }
  var selects: Bool { unsafe table.pointee.select != nil }

  // MARK: Calls

  /// The status of `select`; all groups are kept where the plugin has no such function.
  func callSelect(_ call: RolloutCall, prefill: UInt8 = 0xA5) -> Int32 {
    call.prepare()
    call.keep.fill(prefill)
    guard let function = unsafe table.pointee.select else {
      call.keep.fill(UInt8(1))
      return Int32(NR_OK)
    }
    nr_check_stage(Int32(NR_CALL_SELECT))
    defer { nr_check_stage(Int32(NR_CALL_NONE)) }
    return unsafe function(instance, call.raw, call.keep.start.assumingMemoryBound(to: UInt8.self), call.error)
  }

  func callAdvantages(_ call: RolloutCall, prefill: Float = CallMemory.unwritten) -> Int32 {
    call.prepare(prefill)
    nr_check_stage(Int32(NR_CALL_ADVANTAGES))
    defer { nr_check_stage(Int32(NR_CALL_NONE)) }
    return unsafe table.pointee.advantages(
      instance, call.raw, call.result, call.metrics.start.assumingMemoryBound(to: nr_value.self), call.error)
  }

  func callLoss(_ call: BatchCall, prefill: Float = CallMemory.unwritten) -> Int32 {
    call.prepare(prefill)
    nr_check_stage(Int32(NR_CALL_LOSS))
    defer { nr_check_stage(Int32(NR_CALL_NONE)) }
    return unsafe table.pointee.loss(
      instance, call.raw, call.result, call.metrics.start.assumingMemoryBound(to: nr_value.self), call.error)
  }

  // MARK: Calls whose results are finite

  func select(_ call: RolloutCall, prefill: UInt8 = 0xA5) throws(Failure) -> [Bool] {
    let status = callSelect(call, prefill: prefill)
    if status != Int32(NR_OK) { throw unsafe PluginInstance.failure(status, call.error, "select") }
    let flags = call.keep.array(of: UInt8.self)
    if let group = flags.firstIndex(where: { $0 > 1 }) {
      throw .badData("select: keep[\(group)] is \(flags[group]), expected 0 or 1")
    }
    return flags.map { $0 == 1 }
  }

  func advantages(_ call: RolloutCall, prefill: Float = CallMemory.unwritten) throws(Failure) -> PluginAdvantages {
    let status = callAdvantages(call, prefill: prefill)
    if status != Int32(NR_OK) { throw unsafe PluginInstance.failure(status, call.error, "advantages") }
    return PluginAdvantages(
      advantages: try finite(call.advantages, "advantages"),
      returns: try call.returns.map { (block) throws(Failure) in try finite(block, "advantages") }, counted: try counted(call),
      metrics: metrics(call.metrics))
  }

  func loss(_ call: BatchCall, prefill: Float = CallMemory.unwritten) throws(Failure) -> PluginGradients {
    let status = callLoss(call, prefill: prefill)
    if status != Int32(NR_OK) { throw unsafe PluginInstance.failure(status, call.error, "loss") }
    let loss = unsafe call.result.pointee.loss
    if !loss.isFinite { throw .badData("loss: the loss is \(loss), not a finite number") }
    return PluginGradients(
      loss: loss, dCurrent: try finite(call.dCurrent, "loss"),
      dEntropy: try call.dEntropy.map { (block) throws(Failure) in try finite(block, "loss") },
      dValues: try call.dValues.map { (block) throws(Failure) in try finite(block, "loss") },
      metrics: metrics(call.metrics))
  }

  /// Only the loss, for finite differences.
  func lossAlone(_ call: BatchCall) throws(Failure) -> Double {
    let status = callLoss(call)
    if status != Int32(NR_OK) { throw unsafe PluginInstance.failure(status, call.error, "loss") }
    return unsafe call.result.pointee.loss
  }

  // MARK: State

  /// The status, the size that was named, and the bytes; `capacity` nil asks for the size only.
  func callSave(capacity: Int?) throws(Failure) -> (status: Int32, size: Int, bytes: [UInt8]) {
    guard let function = unsafe table.pointee.save else { return (Int32(NR_OK), 0, []) }
    var memory = CallMemory(.usual)
    let error = unsafe try memory.structure("nr_error", nr_error(), isInput: false)
    let block = try memory.output("the state's bytes", byteCount: capacity ?? 0)
    block.fill(UInt8(0xA5))
    defer { withExtendedLifetime(memory) {} }
    var size = -1
    nr_check_stage(Int32(NR_CALL_SAVE))
    let status = unsafe function(instance, capacity == nil ? nil : block.start, capacity ?? 0, &size, error)
    nr_check_stage(Int32(NR_CALL_NONE))
    return (status, size, block.array(of: UInt8.self))
  }

  func save() throws(Failure) -> [UInt8] {
    let (status, size, _) = try callSave(capacity: nil)
    guard size >= 0, size < 1 << 30 else { throw .badData("save: names a size of \(size) bytes") }
    if size == 0 { return [] }
    guard status == Int32(NR_NO_SPACE) else {
      throw .badData("save: without room for \(size) bytes it returned \(status), expected NR_NO_SPACE")
    }
    let saved = try callSave(capacity: size)
    guard saved.status == Int32(NR_OK), saved.size == size else {
      throw .badData("save: with room for \(size) bytes it returned \(saved.status) and the size \(saved.size)")
    }
    return saved.bytes
  }

  /// Whether the plugin takes the bytes.
  func restore(_ state: [UInt8]) throws(Failure) -> Bool {
    guard let function = unsafe table.pointee.restore else { return state.isEmpty }
    var memory = CallMemory(.usual)
    let error = unsafe try memory.structure("nr_error", nr_error(), isInput: false)
    let bytes = unsafe try memory.input("the state's bytes", state)
    memory.seal()
    nr_check_stage(Int32(NR_CALL_RESTORE))
    defer {
      nr_check_stage(Int32(NR_CALL_NONE))
      withExtendedLifetime(memory) {}
    }
    return unsafe function(instance, bytes, state.count, error) == Int32(NR_OK)
  }

  deinit {
    nr_check_stage(Int32(NR_CALL_DESTROY))
    unsafe table.pointee.destroy(instance)
    nr_check_stage(Int32(NR_CALL_NONE))
    unsafe host.deallocate()
  }

  // MARK: Helpers

  private func counted(_ call: RolloutCall) throws(Failure) -> [Bool] {
    let flags = call.counted.array(of: UInt8.self)
    if let sequence = flags.firstIndex(where: { $0 > 1 }) {
      throw .badData("advantages: counted[\(sequence)] is \(flags[sequence]), expected 0 or 1")
    }
    return flags.map { $0 == 1 }
  }

  private func finite(_ block: GuardedBlock, _ stage: String) throws(Failure) -> [Float] {
    let values = block.array(of: Float.self)
    if let index = values.firstIndex(where: { !$0.isFinite }) {
      let what =
        values[index].bitPattern == CallMemory.unwritten.bitPattern ? "was left unwritten" : "is \(values[index])"
      throw .badData("\(stage): \(block.name)[\(index)] of \(values.count) \(what)")
    }
    return values
  }

  private func metrics(_ block: GuardedBlock) -> [PluginMetricValue] {
    let numbers = block.array(of: Double.self)
    return stride(from: 0, to: numbers.count, by: 2).map {
      PluginMetricValue(value: numbers[$0], weight: numbers[$0 + 1])
    }
  }
}
