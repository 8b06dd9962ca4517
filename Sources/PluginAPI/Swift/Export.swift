public import CPluginAPI

/// What `nr_plugin_entry` returns.
public typealias PluginTable = UnsafePointer<nr_plugin>

/// Builds the plugin's table, once; the whole of a plugin's entry:
///
///     @c(nr_plugin_entry) public func entry(hostMajor: UInt32, hostMinor: UInt32) -> PluginTable? { export(MyLoss.self) }
///
/// A host of another major version gets the table too: it reads both version numbers there and can name them when it refuses.
@safe public func export<Plugin: LossPlugin>(_ type: Plugin.Type) -> PluginTable? {
  if let exported = unsafe exported { return unsafe exported.table }
  return publish(LossFactory<Plugin>(Plugin.descriptor))
}

/// Builds the table of a plugin whose derivatives the tape takes.
@safe public func export<Plugin: TapedLossPlugin>(_ type: Plugin.Type) -> PluginTable? {
  if let exported = unsafe exported { return unsafe exported.table }
  return publish(TapedFactory<Plugin>(Plugin.descriptor))
}

@safe private func publish(_ factory: Factory) -> PluginTable {
  unsafe exported = factory
  return unsafe factory.table
}

/// The one plugin of this library. Written by the first call of the entry, which has no other call beside it.
nonisolated(unsafe) private var exported: Factory?

// MARK: - The C functions

@safe private func create(
  _ host: UnsafePointer<nr_host>?, _ parameters: UnsafePointer<Double>?,
  _ result: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ error: UnsafeMutablePointer<nr_error>?
) -> Int32 {
  reporting(to: error) { () throws(PluginError) in
    guard let result = unsafe result, let exported = unsafe exported else {
      throw .badArgument("create: nothing to write to")
    }
    unsafe result.pointee = nil
    let settings = unsafe Settings(declared: exported.descriptor.parameters, values: parameters)
    if let name = settings.refused {
      throw .badParameter("the value of " + name.description + " is not one its declaration allows")
    }
    let instance = try exported.make(settings)
    if let unknown = settings.unknown { throw undeclared("parameter", unknown) }
    unsafe result.pointee = Unmanaged.passRetained(instance).toOpaque()
  }
}

@safe private func instance(_ pointer: UnsafeRawPointer?) throws(PluginError) -> Instance {
  guard let pointer = unsafe pointer else { throw .badArgument("there is no instance") }
  return unsafe Unmanaged<Instance>.fromOpaque(pointer).takeUnretainedValue()
}

@safe private func select(
  _ pointer: UnsafeMutableRawPointer?, _ rollout: UnsafePointer<nr_rollout>?, _ keep: UnsafeMutablePointer<UInt8>?,
  _ error: UnsafeMutablePointer<nr_error>?
) -> Int32 {
  reporting(to: error) { () throws(PluginError) in
    let rollout = try checked(rollout)
    try unsafe instance(pointer).select(
      rollout, Selection(flags: Output(keep, rollout.groupCount, filledWith: 1)))
  }
}

@safe private func advantages(
  _ pointer: UnsafeMutableRawPointer?, _ rollout: UnsafePointer<nr_rollout>?,
  _ result: UnsafeMutablePointer<nr_advantages>?,
  _ values: UnsafeMutablePointer<nr_value>?, _ error: UnsafeMutablePointer<nr_error>?
) -> Int32 {
  reporting(to: error) { () throws(PluginError) in
    let instance = unsafe try instance(pointer)
    let rollout = try checked(rollout)
    guard let result = unsafe result, unsafe Int(result.pointee.struct_size) >= Int(NR_ADVANTAGES_1_0) else {
      throw .badArgument("nr_advantages is missing or too small")
    }
    let tokens = rollout.tokenCount
    try require(instance.needs, .reference, rollout.reference.count == tokens, "reference")
    try require(instance.needs, .critic, rollout.values.count == tokens, "values")
    let metrics = unsafe Metrics(declared: instance.descriptor.metrics, values: values)
    try instance.advantages(
      rollout,
      unsafe Advantages(
        advantages: Output(result.pointee.advantages, tokens, filledWith: 0),
        returns: Output(result.pointee.returns, tokens, filledWith: 0),
        // A host of version 1.0 has no such member.
        counted: Output(
          Int(result.pointee.struct_size) >= MemoryLayout<nr_advantages>.size ? result.pointee.counted : nil, rollout.sequenceCount,
          filledWith: 1)), metrics)
    if let unknown = metrics.unknown { throw undeclared("metric", unknown) }
  }
}

@safe private func loss(
  _ pointer: UnsafeMutableRawPointer?, _ batch: UnsafePointer<nr_batch>?, _ result: UnsafeMutablePointer<nr_gradients>?,
  _ values: UnsafeMutablePointer<nr_value>?, _ error: UnsafeMutablePointer<nr_error>?
) -> Int32 {
  reporting(to: error) { () throws(PluginError) in
    let instance = unsafe try instance(pointer)
    guard let raw = unsafe batch, unsafe Int(raw.pointee.struct_size) >= Int(NR_BATCH_1_0) else {
      throw .badArgument("nr_batch is missing or too small")
    }
    guard let result = unsafe result, unsafe Int(result.pointee.struct_size) >= Int(NR_GRADIENTS_1_0) else {
      throw .badArgument("nr_gradients is missing or too small")
    }
    let batch = unsafe Batch(raw)
    let tokens = batch.tokenCount
    try require(instance.needs, .reference, batch.reference.count == tokens, "reference")
    try require(instance.needs, .critic, batch.values.count == tokens, "values")
    try require(instance.needs, .entropy, batch.entropy.count == tokens, "entropy")
    try require(instance.needs, .sampler, batch.sampler.count == tokens, "sampler")
    let metrics = unsafe Metrics(declared: instance.descriptor.metrics, values: values)
    let gradients = unsafe Gradients(
      current: Output(result.pointee.d_current, tokens, filledWith: 0),
      entropy: Output(result.pointee.d_entropy, tokens, filledWith: 0),
      values: Output(result.pointee.d_values, tokens, filledWith: 0))
    let loss = try instance.loss(batch, gradients, metrics)
    if let unknown = metrics.unknown { throw undeclared("metric", unknown) }
    unsafe result.pointee.loss = loss
  }
}

@safe private func save(
  _ pointer: UnsafeMutableRawPointer?, _ bytes: UnsafeMutableRawPointer?, _ capacity: Int,
  _ size: UnsafeMutablePointer<Int>?,
  _ error: UnsafeMutablePointer<nr_error>?
) -> Int32 {
  reporting(to: error) { () throws(PluginError) in
    let state = unsafe try instance(pointer).save()
    unsafe size?.pointee = state.count
    guard capacity >= state.count else {
      throw PluginError(status: Int32(NR_NO_SPACE), message: "the state does not fit")
    }
    guard let bytes = unsafe bytes else { return }
    for index in 0..<state.count { unsafe bytes.storeBytes(of: state[index], toByteOffset: index, as: UInt8.self) }
  }
}

@safe private func restore(
  _ pointer: UnsafeMutableRawPointer?, _ bytes: UnsafeRawPointer?, _ size: Int, _ error: UnsafeMutablePointer<nr_error>?
) -> Int32 {
  reporting(to: error) { () throws(PluginError) in
    try unsafe instance(pointer).restore(Values(bytes?.assumingMemoryBound(to: UInt8.self), size))
  }
}

@safe func makeTable(_ descriptor: Descriptor) -> nr_plugin {
  var table = unsafe nr_plugin()
  unsafe table.magic = UInt32(NR_MAGIC)
  unsafe table.struct_size = UInt32(MemoryLayout<nr_plugin>.size)
  unsafe table.abi_major = UInt32(NR_ABI_MAJOR)
  unsafe table.abi_minor = UInt32(NR_ABI_MINOR)
  unsafe table.state_version = descriptor.stateVersion
  unsafe table.parameter_count = UInt32(descriptor.parameters.count)
  unsafe table.metric_count = UInt32(descriptor.metrics.count)
  unsafe table.id = text(descriptor.id)
  unsafe table.version = text(descriptor.version)
  unsafe table.title = text(descriptor.title)
  unsafe table.reference = text(descriptor.reference)
  unsafe table.card = text(descriptor.card)
  unsafe table.parameters = kept(
    descriptor.parameters.map { parameter in
      unsafe nr_parameter(
        name: text(parameter.name), help: text(parameter.help), kind: parameter.kind, minimum: parameter.minimum,
        maximum: parameter.maximum, preset: parameter.presets[0],
        choices: parameter.choices.isEmpty ? nil : kept(parameter.choices.map { unsafe Optional(text($0)) } + [nil]),
        variant_presets: parameter.presets.count > 1 ? kept(parameter.presets) : nil)
    })
  unsafe table.metrics = kept(
    descriptor.metrics.map { unsafe nr_metric(name: text($0.name), help: text($0.help), fold: $0.fold.rawValue) })
  unsafe table.create = { PluginAPI.create($0, $1, $2, $3) }
  unsafe table.destroy = { pointer in
    if let pointer = unsafe pointer { unsafe Unmanaged<Instance>.fromOpaque(pointer).release() }
  }
  unsafe table.needs = { pointer in
    guard let pointer = unsafe pointer else { return 0 }
    return unsafe Unmanaged<Instance>.fromOpaque(pointer).takeUnretainedValue().needs.rawValue
  }
  unsafe table.select = { PluginAPI.select($0, $1, $2, $3) }
  unsafe table.advantages = { PluginAPI.advantages($0, $1, $2, $3, $4) }
  unsafe table.loss = { PluginAPI.loss($0, $1, $2, $3, $4) }
  unsafe table.`extension` = { id in
    guard let id = unsafe id, let exported = unsafe exported, unsafe isText(id, "stopped-gradients/1") else {
      return nil
    }
    return unsafe UnsafeRawPointer(exported.stoppedGradients)
  }
  if descriptor.stateVersion > 0 {
    unsafe table.save = { PluginAPI.save($0, $1, $2, $3, $4) }
    unsafe table.restore = { PluginAPI.restore($0, $1, $2, $3) }
  }
  return unsafe table
}

// MARK: - Helpers

/// Literals end in a zero byte and live as long as the library.
@safe private func text(_ literal: StaticString) -> UnsafePointer<CChar> {
  unsafe UnsafeRawPointer(literal.utf8Start).assumingMemoryBound(to: CChar.self)
}

func isText(_ text: UnsafePointer<CChar>, _ literal: StaticString) -> Bool {
  for index in 0..<literal.utf8CodeUnitCount where unsafe UInt8(bitPattern: text[index]) != literal.utf8Start[index] {
    return false
  }
  return unsafe text[literal.utf8CodeUnitCount] == 0
}

/// A copy that lives as long as the library.
@safe private func kept<Element>(_ elements: [Element]) -> UnsafePointer<Element>? {
  if elements.isEmpty { return nil }
  let start = UnsafeMutablePointer<Element>.allocate(capacity: elements.count)
  for index in 0..<elements.count { unsafe (start + index).initialize(to: elements[index]) }
  return unsafe UnsafePointer(start)
}

@safe private func checked(_ rollout: UnsafePointer<nr_rollout>?) throws(PluginError) -> Rollout {
  guard let rollout = unsafe rollout, unsafe Int(rollout.pointee.struct_size) >= Int(NR_ROLLOUT_1_0) else {
    throw .badArgument("nr_rollout is missing or too small")
  }
  return unsafe Rollout(rollout)
}

private func require(_ needs: Needs, _ need: Needs, _ given: Bool, _ name: String) throws(PluginError) {
  if needs.contains(need) && !given { throw .badArgument("this instance needs " + name + ", the host gave none") }
}

private func undeclared(_ what: String, _ name: StaticString) -> PluginError {
  .internalError("the " + what + " " + name.description + " is not in the descriptor")
}

/// Runs a stage and turns what it throws into a status and a message in the caller's buffer.
@safe private func reporting(to error: UnsafeMutablePointer<nr_error>?, _ body: () throws(PluginError) -> Void) -> Int32
{
  do throws(PluginError) {
    try body()
    return Int32(NR_OK)
  } catch let failure {
    guard let buffer = unsafe error else { return failure.status }
    let capacity = unsafe Int(buffer.pointee.struct_size) - 4
    let start = unsafe UnsafeMutableRawPointer(buffer) + 4
    var position = 0
    for scalar in failure.message.unicodeScalars {
      let bytes = UTF8.encode(scalar)!
      if position + bytes.count + 1 > capacity { break }
      for byte in bytes {
        unsafe start.storeBytes(of: byte, toByteOffset: position, as: UInt8.self)
        position += 1
      }
    }
    if capacity > 0 { unsafe start.storeBytes(of: 0, toByteOffset: position, as: UInt8.self) }
    return failure.status
  }
}
