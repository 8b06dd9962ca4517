/// The element types of the safetensors format that this program reads and writes.
package enum ElementType: String, Sendable {
  case float64 = "F64"
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case int64 = "I64"
  case int32 = "I32"
  case uint8 = "U8"
  case bool = "BOOL"

  package var byteCount: Int {
    switch self {
    case .float64, .int64: 8
    case .float32, .int32: 4
    case .float16, .bfloat16: 2
    case .uint8, .bool: 1
    }
  }
}

/// A safetensors file, memory-mapped: an 8-byte header length, a JSON header, the tensors' bytes.
///
/// Everything the header claims is checked once, here: afterwards every tensor lies inside the file and has the size its
/// shape says. Format: https://huggingface.co/docs/safetensors
package final class SafetensorsFile: Sendable {
  package struct Entry: Sendable {
    package let type: ElementType
    package let shape: [Int]
    /// Byte range from the file's beginning.
    package let bytes: Range<Int>
    package var elementCount: Int { bytes.count / type.byteCount }
  }

  package let file: MappedFile
  package let entries: [String: Entry]
  package let metadata: [String: String]
  package var path: String { file.path }
  package var names: [String] { entries.keys.sorted() }

  package init(_ path: String) throws(Failure) {
    file = try MappedFile(path)
    guard file.byteCount >= 8 else {
      throw .badData("\(path): not a safetensors file: expected at least 8 bytes, found \(file.byteCount)")
    }
    let length = unsafe file.withBytes { unsafe UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    guard length <= UInt64(file.byteCount - 8), length < 1 << 30 else {
      throw .badData(
        "\(path): not a safetensors file, or cut off: the header says it has \(length) bytes, the file has \(file.byteCount - 8) after the length"
      )
    }
    let dataStart = 8 + Int(length)
    let header = try JSON.parse(
      unsafe file.withBytes { unsafe Array($0[8..<dataStart]) }, name: "\(path): safetensors header")
    guard let object = header.object else {
      throw .badData("\(path): safetensors header: expected an object, found \(header.kind)")
    }
    var entries: [String: Entry] = [:]
    var metadata: [String: String] = [:]
    for key in object.keys {
      let value = object[key]!
      if key == "__metadata__" {
        for name in value.object?.keys ?? [] { metadata[name] = value[name]?.string }
      } else {
        entries[key] = try Self.entry(value, name: "\(path): tensor \"\(key)\"", start: dataStart, end: file.byteCount)
      }
    }
    self.entries = entries
    self.metadata = metadata
    try Self.checkOverlap(entries, path: path, start: dataStart, end: file.byteCount)
  }

  private static func entry(_ value: JSON, name: String, start: Int, end: Int) throws(Failure) -> Entry {
    guard let typeName = value["dtype"]?.string else { throw .badData("\(name): the header gives no dtype") }
    guard let type = ElementType(rawValue: typeName) else {
      if typeName == "I8" || typeName.hasPrefix("F8") || typeName.hasPrefix("F6") || typeName.hasPrefix("F4") {
        throw .badData(
          "\(name): dtype \(typeName): the weights are quantised: not supported; take the folder with float32 or bfloat16 weights")
      }
      throw .badData("\(name): dtype \(typeName) is not supported; expected F32, F16, BF16, F64, I64, I32, U8 or BOOL")
    }
    guard let dimensions = value["shape"]?.array else { throw .badData("\(name): the header gives no shape") }
    var shape: [Int] = []
    var size = type.byteCount
    for dimension in dimensions {
      guard let extent = dimension.int, extent >= 0 else {
        throw .badData("\(name): a dimension must be a whole number, found \(dimension.kind)")
      }
      let (product, overflow) = size.multipliedReportingOverflow(by: extent)
      if overflow { throw .badData("\(name): the shape is too large") }
      size = product
      shape.append(extent)
    }
    guard let offsets = value["data_offsets"]?.array, offsets.count == 2, let first = offsets[0].int,
      let last = offsets[1].int
    else { throw .badData("\(name): data_offsets must be two whole numbers") }
    guard first >= 0, first <= last, last <= end - start else {
      throw .badData("\(name): data_offsets [\(first), \(last)] lie outside the file's \(end - start) data bytes")
    }
    guard last - first == size else {
      throw .badData("\(name): shape \(shape) of \(typeName) needs \(size) bytes, data_offsets give \(last - first)")
    }
    return Entry(type: type, shape: shape, bytes: (start + first)..<(start + last))
  }

  private static func checkOverlap(_ entries: [String: Entry], path: String, start: Int, end: Int) throws(Failure) {
    var reached = start
    for (name, entry) in entries.sorted(by: { ($0.value.bytes.lowerBound, $0.value.bytes.upperBound) < ($1.value.bytes.lowerBound, $1.value.bytes.upperBound) }) {
      guard entry.bytes.lowerBound == reached else {
        throw .badData("\(path): tensor \"\(name)\" overlaps another or leaves a gap before it (byte \(reached))")
      }
      reached = entry.bytes.upperBound
    }
    guard reached == end else {
      throw .badData("\(path): the tensors end at byte \(reached), the file at \(end)")
    }
  }

  package func entry(_ name: String) throws(Failure) -> Entry {
    guard let entry = entries[name] else {
      throw .badData("\(path): has no tensor \"\(name)\"")
    }
    return entry
  }

  /// A tensor's bytes, lent for the length of the call.
  package func withBytes<R, E: Error>(_ entry: Entry, _ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    unsafe try file.withBytes { (all: UnsafeRawBufferPointer) throws(E) -> R in
      unsafe try body(UnsafeRawBufferPointer(rebasing: all[entry.bytes]))
    }
  }

  /// Says that a tensor's bytes will not be needed soon: what was read of them leaves memory, and is read from the file again if it is.
  package func release(_ entry: Entry) { file.release(entry.bytes) }

  /// A tensor as float32, whatever floating type it is stored in. Exact for F32, F16 and BF16.
  package func floats(_ name: String) throws(Failure) -> [Float] {
    let entry = try entry(name)
    let count = entry.elementCount
    return try unsafe withBytes(entry) { (raw: UnsafeRawBufferPointer) throws(Failure) -> [Float] in
      switch entry.type {
      case .float32:
        return (0..<count).map { unsafe raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
      case .float64:
        return (0..<count).map { unsafe Float(raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self)) }
      case .bfloat16:
        return (0..<count).map {
          unsafe Float(bitPattern: UInt32(raw.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)) << 16)
        }
      case .float16:
        return (0..<count).map {
          unsafe HalfPrecision.float(raw.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self))
        }
      default: throw .badData("\(path): tensor \"\(name)\": expected floating point numbers, found \(entry.type.rawValue)")
      }
    }
  }

  /// The first value of a float tensor that is NaN or infinite, or that float32 has no number for; nil where all are numbers.
  package func firstNonFinite(_ entry: Entry) -> Int? {
    switch entry.type {
    case .bfloat16: unsafe withBytes(entry) { unsafe Self.place(in: $0, of: UInt16.self, exponent: 0x7F80) }
    case .float16: unsafe withBytes(entry) { unsafe Self.place(in: $0, of: UInt16.self, exponent: 0x7C00) }
    case .float32: unsafe withBytes(entry) { unsafe Self.place(in: $0, of: UInt32.self, exponent: 0x7F80_0000) }
    case .float64:
      unsafe withBytes(entry) { bytes in
        (0..<entry.elementCount).first { unsafe !Float(bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self)).isFinite }
      }
    default: nil
    }
  }

  /// Where all bits of an exponent are set: block by block without a branch, so that it runs at the speed of memory.
  private static func place<Bits: FixedWidthInteger & BitwiseCopyable>(
    in bytes: UnsafeRawBufferPointer, of type: Bits.Type, exponent: Bits
  ) -> Int? {
    let width = MemoryLayout<Bits>.size
    let count = bytes.count / width
    let block = 8192
    var start = 0
    while start < count {
      let end = min(count, start + block)
      // As wide as an element, so that as many as a register holds are looked at together.
      var found: Bits = 0
      for index in start..<end {
        found |= unsafe bytes.loadUnaligned(fromByteOffset: index * width, as: type) & exponent == exponent ? 1 : 0
      }
      if found != 0 {
        return (start..<end).first { unsafe bytes.loadUnaligned(fromByteOffset: $0 * width, as: type) & exponent == exponent }
      }
      start = end
    }
    return nil
  }

  /// A tensor of whole numbers.
  package func integers(_ name: String) throws(Failure) -> [Int64] {
    let entry = try entry(name)
    let count = entry.elementCount
    return try unsafe withBytes(entry) { (raw: UnsafeRawBufferPointer) throws(Failure) -> [Int64] in
      switch entry.type {
      case .int64: return (0..<count).map { unsafe raw.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self) }
      case .int32:
        return (0..<count).map { unsafe Int64(raw.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)) }
      case .uint8, .bool: return (0..<count).map { unsafe Int64(raw[$0]) }
      default: throw .badData("\(path): tensor \"\(name)\": expected whole numbers, found \(entry.type.rawValue)")
      }
    }
  }
}

/// IEEE 754 half precision, by arithmetic, so that it works where the compiler has no `Float16`.
package enum HalfPrecision {
  package static func float(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 31
    let fraction = UInt32(bits & 0x3FF)
    switch exponent {
    case 0: return Float(bitPattern: sign | (Float(fraction) * 0x1p-24).bitPattern)
    case 31: return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    default: return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }

  /// Rounded to nearest even.
  package static func bits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    let sign = UInt16(truncatingIfNeeded: (bits >> 16) & 0x8000)
    let magnitude = Float(bitPattern: bits & 0x7FFF_FFFF)
    if magnitude.isNaN { return sign | 0x7E00 }
    if magnitude >= 65520 { return sign | 0x7C00 }
    if magnitude < 0x1p-14 { return sign | UInt16((magnitude * 0x1p24).rounded(.toNearestOrEven)) }
    let rest = magnitude.bitPattern
    let rounded = rest + 0xFFF + ((rest >> 13) & 1)
    return sign | UInt16(truncatingIfNeeded: (rounded >> 13) - (112 << 10))
  }
}

/// bfloat16: the upper half of a float32.
package enum BFloat16 {
  package static func float(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

  /// Rounded to nearest even.
  package static func bits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
    return UInt16(truncatingIfNeeded: (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)
  }
}

/// Gathers tensors and writes them as one safetensors file: wide elements first, then by name, data aligned to 8 bytes, the file atomic.
package struct SafetensorsWriter: Sendable {
  package struct Tensor: Sendable {
    let type: ElementType
    let shape: [Int]
    let bytes: [UInt8]
  }

  private var tensors: [String: Tensor] = [:]
  private let metadata: [String: String]

  package init(metadata: [String: String] = ["format": "pt"]) { self.metadata = metadata }

  package mutating func add(_ name: String, _ values: [Float], shape: [Int], as type: ElementType = .float32) {
    precondition(shape.reduce(1, *) == values.count, "the shape fits the values")
    tensors[name] = Tensor(type: type, shape: shape, bytes: SafetensorsStream.bytes(values, as: type))
  }

  package mutating func add(_ name: String, _ values: [Double], shape: [Int]) {
    tensors[name] = Tensor(type: .float64, shape: shape, bytes: Self.raw(values))
  }

  package mutating func add(_ name: String, _ values: [Int64], shape: [Int]) {
    tensors[name] = Tensor(type: .int64, shape: shape, bytes: Self.raw(values))
  }

  package mutating func add(_ name: String, _ values: [UInt8], shape: [Int]) {
    tensors[name] = Tensor(type: .uint8, shape: shape, bytes: values)
  }

  fileprivate static func raw<T: BitwiseCopyable>(_ values: [T]) -> [UInt8] {
    unsafe values.withUnsafeBytes { unsafe Array($0) }
  }

  package func write(to path: String) throws(Failure) {
    let list = tensors.map { SafetensorsStream.Tensor($0.key, shape: $0.value.shape, type: $0.value.type) }
    try SafetensorsStream.writeBytes(list, metadata: metadata, to: path) { tensor in tensors[tensor.name]?.bytes ?? [] }
  }
}

/// Writes a safetensors file whose tensors are made one after another, so that only one of them is in memory: the header says where
/// each will lie before the first is made.
package enum SafetensorsStream {
  package struct Tensor: Sendable {
    package let name: String
    package let shape: [Int]
    package let type: ElementType

    package init(_ name: String, shape: [Int], type: ElementType) {
      self.name = name
      self.shape = shape
      self.type = type
    }

    package var byteCount: Int { shape.reduce(type.byteCount, *) }
  }

  /// A tensor and what makes its bytes when its turn comes.
  package struct Part {
    package let tensor: Tensor
    let bytes: () throws(Failure) -> [UInt8]

    /// Float32 values.
    package init(_ name: String, shape: [Int], values: @escaping () throws(Failure) -> [Float]) {
      tensor = Tensor(name, shape: shape, type: .float32)
      bytes = { () throws(Failure) in SafetensorsStream.bytes(try values(), as: .float32) }
    }

    package init(_ name: String, whole: [Int64]) {
      tensor = Tensor(name, shape: [whole.count], type: .int64)
      bytes = { () throws(Failure) in SafetensorsWriter.raw(whole) }
    }

    package init(_ name: String, bytes: [UInt8]) {
      tensor = Tensor(name, shape: [bytes.count], type: .uint8)
      self.bytes = { () throws(Failure) in bytes }
    }
  }

  package static func write(_ parts: [Part], metadata: [String: String], to path: String) throws(Failure) {
    let byName = Dictionary(uniqueKeysWithValues: parts.map { ($0.tensor.name, $0) })
    try writeBytes(parts.map(\.tensor), metadata: metadata, to: path) { tensor throws(Failure) in
      try byName[tensor.name]?.bytes() ?? []
    }
  }

  /// The order in which tensors lie in a file: wide elements first, then by name.
  package static func ordered(_ tensors: [Tensor]) -> [Tensor] {
    tensors.sorted { ($1.type.byteCount, $0.name) < ($0.type.byteCount, $1.name) }
  }

  /// - Parameter values: gives a tensor's values when its turn comes; they are rounded to its type.
  package static func write(
    _ tensors: [Tensor], metadata: [String: String] = ["format": "pt"], to path: String, values: (Tensor) throws(Failure) -> [Float]
  ) throws(Failure) {
    try writeBytes(tensors, metadata: metadata, to: path) { tensor throws(Failure) in
      bytes(try values(tensor), as: tensor.type)
    }
  }

  /// - Parameter bytes: gives a tensor's bytes when its turn comes.
  package static func write(
    _ tensors: [Tensor], metadata: [String: String] = ["format": "pt"], to path: String, bytes: (Tensor) throws(Failure) -> [UInt8]
  ) throws(Failure) {
    try writeBytes(tensors, metadata: metadata, to: path, bytes: bytes)
  }

  /// Values as a file holds them, rounded to their type.
  package static func bytes(_ values: [Float], as type: ElementType) -> [UInt8] {
    switch type {
    case .bfloat16: SafetensorsWriter.raw(values.map(BFloat16.bits))
    case .float16: SafetensorsWriter.raw(values.map(HalfPrecision.bits))
    default: SafetensorsWriter.raw(values)
    }
  }

  static func writeBytes(
    _ tensors: [Tensor], metadata: [String: String], to path: String, bytes: (Tensor) throws(Failure) -> [UInt8]
  ) throws(Failure) {
    let tensors = ordered(tensors)
    var header = JSON.Object()
    if !metadata.isEmpty {
      var entries = JSON.Object()
      for key in metadata.keys.sorted() { entries[key] = .string(metadata[key]!) }
      header["__metadata__"] = .object(entries)
    }
    var offset = 0
    for tensor in tensors {
      header[tensor.name] = [
        "dtype": .string(tensor.type.rawValue), "shape": .array(tensor.shape.map { .integer($0) }),
        "data_offsets": .array([.integer(offset), .integer(offset + tensor.byteCount)]),
      ]
      offset += tensor.byteCount
    }
    var text = Array(JSON.object(header).text().utf8)
    while text.count % 8 != 0 { text.append(0x20) }
    let file = try AtomicFile(path)
    try file.write(SafetensorsWriter.raw([UInt64(text.count).littleEndian]))
    try file.write(text)
    for tensor in tensors {
      let content = try bytes(tensor)
      precondition(content.count == tensor.byteCount, "the shape fits the values")
      try file.write(content)
    }
    try file.commit()
  }
}
