internal import CPluginAPI
import Support

/// The guarded arrays and structs of one call: inputs that are sealed when it begins, outputs that are filled before it.
@safe struct CallMemory: PluginInputs {
  /// A quiet NaN that arithmetic does not make.
  static let unwritten = Float(bitPattern: 0x7FDE_AD0F)

  let guards: Guards
  private(set) var inputs: [GuardedBlock] = []
  private(set) var outputs: [GuardedBlock] = []

  init(_ guards: Guards) { self.guards = guards }

  mutating func input<Element: BitwiseCopyable>(_ name: String, _ values: [Element]) throws(Failure)
    -> UnsafePointer<Element>
  {
    let block = try GuardedBlock(name, byteCount: values.count * MemoryLayout<Element>.stride, guards)
    block.copy(values)
    inputs.append(block)
    return unsafe UnsafePointer(block.start.assumingMemoryBound(to: Element.self))
  }

  /// A struct as a host of another version sends it: the first `byteCount` bytes, or more than there are, which hold ones.
  mutating func structure<Structure>(
    _ name: String, _ value: Structure, byteCount: Int? = nil, isInput: Bool
  ) throws(Failure) -> UnsafeMutablePointer<Structure> {
    let size = MemoryLayout<Structure>.size
    let block = try GuardedBlock(name, byteCount: byteCount ?? size, guards)
    block.fill(UInt8.max)
    unsafe withUnsafeBytes(of: value) {
      unsafe block.start.copyMemory(from: $0.baseAddress!, byteCount: min(size, block.byteCount))
    }
    unsafe block.start.storeBytes(of: UInt32(block.byteCount), as: UInt32.self)
    if isInput { inputs.append(block) } else { outputs.append(block) }
    return unsafe block.start.assumingMemoryBound(to: Structure.self)
  }

  mutating func output(_ name: String, byteCount: Int) throws(Failure) -> GuardedBlock {
    let block = try GuardedBlock(name, byteCount: byteCount, guards)
    outputs.append(block)
    return block
  }

  func seal(_ isSealed: Bool = true) { for block in inputs { block.seal(isSealed) } }

  /// The first place beside an output that was written to.
  func checkBounds(_ stage: String) throws(Failure) {
    for block in outputs {
      if let trespass = block.trespass { throw .badData("\(stage) \(trespass)") }
    }
  }
}
