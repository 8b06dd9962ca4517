internal import CPluginAPI
import Support

/// The memory of one call: copies of the inputs, so that a plugin cannot change the host's, and outputs that tell
/// whether they were written, and whether more than they was.
@safe struct PluginMemory: ~Copyable, PluginInputs {
  private var blocks: [UnsafeMutableRawPointer] = unsafe []

  /// A quiet NaN that arithmetic does not make.
  private static let unwritten: UInt32 = 0x7FDE_AD0F
  private static let guardByte: UInt8 = 0xA5
  private static let guardBytes = 64

  @safe struct Output {
    let start: UnsafeMutablePointer<Float>
    let count: Int
  }

  private mutating func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer {
    let block = UnsafeMutableRawPointer.allocate(byteCount: max(byteCount, 1), alignment: 64)
    unsafe blocks.append(block)
    return unsafe block
  }

  mutating func input<Element: BitwiseCopyable>(_ name: String, _ values: [Element]) -> UnsafePointer<Element> {
    unsafe copy(values)
  }

  mutating func copy<Element: BitwiseCopyable>(_ values: [Element]) -> UnsafePointer<Element> {
    let block = unsafe allocate(values.count * MemoryLayout<Element>.stride)
    unsafe values.withUnsafeBytes {
      unsafe block.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(block), byteCount: $0.count)
    }
    return unsafe UnsafePointer(block.bindMemory(to: Element.self, capacity: values.count))
  }

  mutating func output(_ count: Int) -> Output {
    let bytes = count * MemoryLayout<Float>.stride
    let block = unsafe allocate(bytes + Self.guardBytes)
    unsafe (block + bytes).initializeMemory(as: UInt8.self, repeating: Self.guardByte, count: Self.guardBytes)
    let start = unsafe block.bindMemory(to: Float.self, capacity: count)
    unsafe start.initialize(repeating: Float(bitPattern: Self.unwritten), count: count)
    return unsafe Output(start: start, count: count)
  }

  /// What the plugin wrote, or what is wrong with it.
  func take(_ output: Output, _ name: String) throws(Failure) -> [Float] {
    let end = unsafe UnsafeRawPointer(output.start + output.count)
    for index in 0..<Self.guardBytes {
      if unsafe end.load(fromByteOffset: index, as: UInt8.self) != Self.guardByte {
        throw .internalError("wrote past the end of \(name), which has \(output.count) elements")
      }
    }
    let values = unsafe Array(UnsafeBufferPointer(start: output.start, count: output.count))
    if let index = values.firstIndex(where: { !$0.isFinite }) {
      if values[index].bitPattern == Self.unwritten {
        throw .internalError("left \(name)[\(index)] of \(output.count) unwritten")
      }
      throw .badData("\(name)[\(index)] is \(values[index]), not a finite number")
    }
    return values
  }

  mutating func bytes(_ count: Int, of value: UInt8) -> UnsafeMutablePointer<UInt8> {
    let start = unsafe allocate(count).bindMemory(to: UInt8.self, capacity: count)
    unsafe start.initialize(repeating: value, count: count)
    return unsafe start
  }

  mutating func metrics(_ count: Int) -> UnsafeMutablePointer<nr_value> {
    let start = unsafe allocate(count * MemoryLayout<nr_value>.stride).bindMemory(to: nr_value.self, capacity: count)
    unsafe start.initialize(repeating: nr_value(value: 0, weight: 0), count: count)
    return unsafe start
  }

  mutating func error() -> UnsafeMutablePointer<nr_error> {
    let block = unsafe allocate(MemoryLayout<nr_error>.size)
    unsafe block.initializeMemory(as: UInt8.self, repeating: 0, count: MemoryLayout<nr_error>.size)
    let error = unsafe block.bindMemory(to: nr_error.self, capacity: 1)
    unsafe error.pointee.struct_size = UInt32(MemoryLayout<nr_error>.size)
    return unsafe error
  }

  deinit {
    for index in unsafe blocks.indices { unsafe blocks[index].deallocate() }
  }
}
