import Compute
import Support

/// The tensors in which bitsandbytes saves a weight of four bits: its codes under its own name, and beside them magnitudes and settings.
enum NF4Tensors {
  private static let (absmax, map, nestedAbsmax, nestedMap) = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map")
  static let state = ".quant_state.bitsandbytes__nf4"

  /// What may stand beside a weight.
  static let suffixes = [absmax, map, nestedAbsmax, nestedMap, state]

  static func isNested(_ name: String, _ has: (String) -> Bool) -> Bool { has(name + nestedAbsmax) }

  /// The blocks of a weight, all that is said of them checked.
  ///
  /// - Parameter file: the file that holds a tensor.
  static func read(
    _ name: String, shape: [Int], from file: (String) throws(Failure) -> SafetensorsFile, has: (String) -> Bool
  ) throws(Failure) -> NF4Blocks {
    let count = shape.reduce(1, *)
    func entry(_ name: String, _ type: ElementType, _ shape: [Int]?) throws(Failure) -> (file: SafetensorsFile, entry: SafetensorsFile.Entry) {
      let file = try file(name)
      let entry = try file.entry(name)
      guard entry.type == type, shape == nil || entry.shape == shape else {
        throw .badData(
          "\(file.path): tensor \"\(name)\": expected \(type.rawValue) of shape \(shape.map { "\($0)" } ?? "[bytes]") in weights of NF4, found \(entry.type.rawValue) of shape \(entry.shape)")
      }
      if let place = file.firstNonFinite(entry) {
        throw .badData("\(file.path): tensor \"\(name)\": value \(place) is not a finite number; the weights are damaged")
      }
      return (file, entry)
    }
    func bytes(_ name: String, _ shape: [Int]?) throws(Failure) -> [UInt8] {
      let (file, entry) = try entry(name, .uint8, shape)
      defer { file.release(entry) }
      return unsafe file.withBytes(entry) { unsafe Array($0) }
    }
    func floats(_ name: String, _ count: Int) throws(Failure) -> [Float] {
      try entry(name, .float32, [count]).file.floats(name)
    }
    let codes = try bytes(name, [NF4Blocks.codeCount(count), 1])
    let isNested = isNested(name, has)
    let offset = try check(state: try bytes(name + state, nil), shape: shape, isNested: isNested, name: "\(try file(name + state).path): tensor \"\(name + state)\"")
    guard try floats(name + map, 16).map(\.bitPattern) == NF4Blocks.numbers.map(\.bitPattern) else {
      throw .badData("\(try file(name + map).path): tensor \"\(name + map)\": expected the sixteen numbers of NF4, found others; other types of 4 bits are not computed")
    }
    let blocks = NF4Blocks.blockCount(count)
    guard isNested else {
      return NF4Blocks(outputs: shape[0], inputs: shape[1], codes: codes, magnitudes: .float32(try floats(name + absmax, blocks)))
    }
    return NF4Blocks(
      outputs: shape[0], inputs: shape[1], codes: codes,
      magnitudes: .nested(
        NF4Blocks.NestedMagnitudes(
          codes: try bytes(name + absmax, [blocks]), absmax: try floats(name + nestedAbsmax, NF4Blocks.nestedCount(blocks)),
          map: try floats(name + nestedMap, 256), offset: offset)))
  }

  /// The settings of a weight, as JSON in bytes; returns the offset of its magnitudes.
  private static func check(state: [UInt8], shape: [Int], isNested: Bool, name: String) throws(Failure) -> Float {
    let settings = try JSON.parse(state, name: name)
    func expect(_ key: String, _ expected: JSON) throws(Failure) {
      let found = settings[key]
      if found == expected || found?.double != nil && found?.double == expected.double { return }
      throw .badData("\(name): \"\(key)\": expected \(expected.text()), found \(found?.text() ?? "nothing"); nothing else is computed")
    }
    try expect("quant_type", "nf4")
    try expect("blocksize", .integer(NF4Blocks.blockSize))
    try expect("shape", .array(shape.map { .integer($0) }))
    guard isNested else { return 0 }
    try expect("nested_blocksize", .integer(NF4Blocks.nestedBlockSize))
    try expect("nested_dtype", "float32")
    guard let offset = settings["nested_offset"]?.double, Float(offset).isFinite else {
      throw .badData("\(name): \"nested_offset\": expected a number, found \(settings["nested_offset"]?.kind ?? "nothing")")
    }
    return Float(offset)
  }

  /// What of a weight lies beside its codes: everything but the codes themselves, which are large and made again when they are written.
  struct Saved {
    let count: Int
    private let magnitudes: NF4Blocks.Magnitudes
    private let state: [UInt8]

    /// - Parameter type: what the weights were before, as `bfloat16`.
    init(_ blocks: NF4Blocks, from type: String) {
      count = blocks.outputs * blocks.inputs
      magnitudes = blocks.magnitudes
      var object: JSON.Object = [
        "quant_type": "nf4", "blocksize": .integer(NF4Blocks.blockSize), "dtype": .string(type),
        "shape": [.integer(blocks.outputs), .integer(blocks.inputs)],
      ]
      if case .nested(let nested) = blocks.magnitudes {
        object["nested_blocksize"] = .integer(NF4Blocks.nestedBlockSize)
        object["nested_dtype"] = "float32"
        object["nested_offset"] = .number(Double(nested.offset))
      }
      state = Array(JSON.object(object).text().utf8)
    }

    /// The tensors of a weight of that name, its codes first.
    func tensors(_ name: String) -> [SafetensorsStream.Tensor] {
      func tensor(_ suffix: String, _ shape: [Int], _ type: ElementType) -> SafetensorsStream.Tensor {
        SafetensorsStream.Tensor(name + suffix, shape: shape, type: type)
      }
      let blocks = NF4Blocks.blockCount(count)
      var tensors = [
        tensor("", [NF4Blocks.codeCount(count), 1], .uint8), tensor(map, [16], .float32), tensor(NF4Tensors.state, [state.count], .uint8),
      ]
      switch magnitudes {
      case .float32: tensors.append(tensor(absmax, [blocks], .float32))
      case .nested(let nested):
        tensors += [
          tensor(absmax, [blocks], .uint8), tensor(nestedAbsmax, [nested.absmax.count], .float32), tensor(nestedMap, [256], .float32),
        ]
      }
      return tensors
    }

    /// The bytes of one of them, but for the codes.
    func bytes(_ suffix: some StringProtocol) throws(Failure) -> [UInt8] {
      switch (String(suffix), magnitudes) {
      case (NF4Tensors.state, _): return state
      case (NF4Tensors.map, _): return SafetensorsStream.bytes(NF4Blocks.numbers, as: .float32)
      case (absmax, .float32(let values)): return SafetensorsStream.bytes(values, as: .float32)
      case (absmax, .nested(let nested)): return nested.codes
      case (nestedAbsmax, .nested(let nested)): return SafetensorsStream.bytes(nested.absmax, as: .float32)
      case (nestedMap, .nested(let nested)): return SafetensorsStream.bytes(nested.map, as: .float32)
      default: throw .internalError("weights of NF4 have no \(suffix)")
      }
    }
  }
}
