import Support

/// What travels between a run and the process of its plugin, as bytes: numbers of eight bytes, arrays with their length in front.
struct PluginWireWriter {
  private(set) var bytes: [UInt8] = []

  mutating func number(_ value: Int) { append(value) }
  mutating func bits(_ value: UInt64) { append(value) }
  mutating func real(_ value: Double) { append(value) }
  mutating func text(_ value: String) { array(Array(value.utf8)) }

  mutating func array<Element: BitwiseCopyable>(_ values: [Element]) {
    number(values.count)
    unsafe values.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
  }

  mutating func array<Element: BitwiseCopyable>(ifAny values: [Element]?) {
    guard let values else { return number(-1) }
    array(values)
  }

  private mutating func append<Value: BitwiseCopyable>(_ value: Value) {
    unsafe withUnsafeBytes(of: value) { unsafe bytes.append(contentsOf: $0) }
  }
}

/// Takes back what ``PluginWireWriter`` wrote. The other side is a process that a plugin runs in: nothing it says is believed.
struct PluginWireReader {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  private static let damaged = Failure.internalError("what came from the plugin's process is damaged: the plugin has written over memory that is not its own")

  mutating func number() throws(Failure) -> Int { try value(0) }
  mutating func bits() throws(Failure) -> UInt64 { try value(0) }
  mutating func real() throws(Failure) -> Double { try value(0) }
  mutating func text() throws(Failure) -> String { String(decoding: try array(of: UInt8.self), as: UTF8.self) }

  mutating func array<Element: BitwiseCopyable>(of type: Element.Type) throws(Failure) -> [Element] {
    guard let values = try arrayIfAny(of: type) else { throw Self.damaged }
    return values
  }

  mutating func arrayIfAny<Element: BitwiseCopyable>(of type: Element.Type) throws(Failure) -> [Element]? {
    let count = try number()
    if count == -1 { return nil }
    let size = MemoryLayout<Element>.stride
    guard count >= 0, count <= (bytes.count - position) / size else { throw Self.damaged }
    let start = position
    position += count * size
    return unsafe [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
      unsafe bytes.withUnsafeBytes { unsafe UnsafeMutableRawBufferPointer(buffer).copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<(start + count * size)])) }
      initialized = count
    }
  }

  private mutating func value<Value: BitwiseCopyable>(_ preset: Value) throws(Failure) -> Value {
    let size = MemoryLayout<Value>.size
    guard bytes.count - position >= size else { throw Self.damaged }
    defer { position += size }
    return unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: position, as: Value.self) }
  }
}

// MARK: What is sent

extension PluginWireWriter {
  mutating func rollout(_ rollout: PluginRollout) {
    array(rollout.groupKeys)
    array(rollout.groupOffsets)
    array(rollout.tokenOffsets)
    array(rollout.rewards)
    array(rollout.rewardParts)
    number(rollout.rewardNames.count)
    for name in rollout.rewardNames { text(name) }
    array(rollout.sequenceFlags)
    for values in [rollout.old, rollout.reference, rollout.values, rollout.sampler] { array(ifAny: values) }
    for value in [rollout.step, rollout.totalSteps, rollout.tokenLimit] { number(value) }
    bits(rollout.seed)
  }

  mutating func batch(_ batch: PluginBatch) {
    array(batch.tokenOffsets)
    array(batch.sequenceIDs)
    for value in [batch.step, batch.tokenLimit, batch.update.epoch, batch.update.minibatch, batch.update.tokens, batch.update.sequences, batch.update.groups] {
      number(value)
    }
    for values in [batch.current, batch.old, batch.advantages] { array(values) }
    for values in [batch.reference, batch.sampler, batch.entropy, batch.values, batch.oldValues, batch.returns] { array(ifAny: values) }
  }

  mutating func metrics(_ metrics: [PluginMetricValue]) {
    number(metrics.count)
    for metric in metrics {
      real(metric.value)
      real(metric.weight)
    }
  }

  mutating func failure(_ failure: Failure) {
    number(Int(failure.code.rawValue))
    text(failure.message)
  }
}

extension PluginWireReader {
  mutating func rollout() throws(Failure) -> PluginRollout {
    let (keys, groups, tokens) = (try array(of: UInt64.self), try array(of: Int.self), try array(of: Int.self))
    let (rewards, parts) = (try array(of: Float.self), try array(of: Float.self))
    var names: [String] = []
    for _ in 0..<max(0, try number()) { names.append(try text()) }
    let flags = try array(of: UInt8.self)
    var optional: [[Float]?] = []
    for _ in 0..<4 { optional.append(try arrayIfAny(of: Float.self)) }
    let (step, totalSteps, tokenLimit) = (try number(), try number(), try number())
    var rollout = PluginRollout(
      groupKeys: keys, groupOffsets: groups, tokenOffsets: tokens, rewards: rewards, sequenceFlags: flags, tokenLimit: tokenLimit)
    (rollout.rewardParts, rollout.rewardNames) = (parts, names)
    (rollout.old, rollout.reference, rollout.values, rollout.sampler) = (optional[0], optional[1], optional[2], optional[3])
    (rollout.step, rollout.totalSteps, rollout.seed) = (step, totalSteps, try bits())
    return rollout
  }

  mutating func batch() throws(Failure) -> PluginBatch {
    let (offsets, ids) = (try array(of: Int.self), try array(of: Int.self))
    var numbers: [Int] = []
    for _ in 0..<7 { numbers.append(try number()) }
    let (current, old, advantages) = (try array(of: Float.self), try array(of: Float.self), try array(of: Float.self))
    var optional: [[Float]?] = []
    for _ in 0..<6 { optional.append(try arrayIfAny(of: Float.self)) }
    let update = PluginUpdate(epoch: numbers[2], minibatch: numbers[3], tokens: numbers[4], sequences: numbers[5], groups: numbers[6])
    return PluginBatch(
      tokenOffsets: offsets, sequenceIDs: ids, step: numbers[0], update: update, tokenLimit: numbers[1], current: current, old: old,
      advantages: advantages, reference: optional[0], sampler: optional[1], entropy: optional[2], values: optional[3], oldValues: optional[4],
      returns: optional[5])
  }

  mutating func metrics() throws(Failure) -> [PluginMetricValue] {
    var metrics: [PluginMetricValue] = []
    for _ in 0..<max(0, try number()) { metrics.append(PluginMetricValue(value: try real(), weight: try real())) }
    return metrics
  }

  mutating func failure() throws(Failure) -> Failure {
    Failure(ExitCode(rawValue: Int32(truncatingIfNeeded: try number())) ?? .internalError, OneLine.text(try text()))
  }
}
