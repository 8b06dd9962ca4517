import CKernels
import Support

/// A weight matrix of four bits in the order and with the numbers of a file, as bitsandbytes makes it on a CPU (QLoRA, arXiv 2305.14314):
/// blocks of 64 weights, row after row, each a code of sixteen numbers times the largest magnitude of its block.
package struct NF4Blocks: Sendable, Equatable {
  package let outputs: Int
  package let inputs: Int
  /// Two codes a byte, the first in the upper half.
  package let codes: [UInt8]
  package let magnitudes: Magnitudes

  /// The largest magnitudes of blocks.
  package enum Magnitudes: Sendable, Equatable {
    case float32([Float])
    /// A byte each, times the largest magnitude of 256 of them, plus one offset.
    case nested(NestedMagnitudes)
  }

  /// Magnitudes that are quantised themselves.
  package struct NestedMagnitudes: Sendable, Equatable {
    package let codes: [UInt8]
    package let absmax: [Float]
    /// The 256 numbers that codes stand for.
    package let map: [Float]
    package let offset: Float

    package init(codes: [UInt8], absmax: [Float], map: [Float], offset: Float) {
      self.codes = codes
      self.absmax = absmax
      self.map = map
      self.offset = offset
    }

    /// Of the largest magnitudes of blocks.
    package init(_ magnitudes: [Float]) {
      var (codes, absmax) = ([UInt8](repeating: 0, count: magnitudes.count), [Float](repeating: 0, count: NF4Blocks.nestedCount(magnitudes.count)))
      offset = unsafe nrk_nf4_nest(Int64(magnitudes.count), magnitudes, &codes, &absmax)
      map = unsafe Array(UnsafeBufferPointer(start: nrk_nf4_map(), count: 256))
      self.codes = codes
      self.absmax = absmax
    }
  }

  /// Weights of a block, and magnitudes of a block of those.
  package static let blockSize = 64
  package static let nestedBlockSize = 256

  /// The sixteen numbers.
  package static var numbers: [Float] {
    var numbers = [Float](repeating: 0, count: 16)
    let codes = (0..<8).map { UInt8($0 << 5 | ($0 << 1 | 1)) }
    unsafe nrk_nf4_expand(16, codes, [1], nil, nil, 0, &numbers)
    return numbers
  }

  package static func codeCount(_ weights: Int) -> Int { (weights + 1) / 2 }
  package static func blockCount(_ weights: Int) -> Int { (weights + blockSize - 1) / blockSize }
  package static func nestedCount(_ blocks: Int) -> Int { (blocks + nestedBlockSize - 1) / nestedBlockSize }

  package init(outputs: Int, inputs: Int, codes: [UInt8], magnitudes: Magnitudes) {
    let count = outputs * inputs
    switch magnitudes {
    case .float32(let values): precondition(values.count == Self.blockCount(count))
    case .nested(let nested):
      precondition(nested.codes.count == Self.blockCount(count) && nested.absmax.count == Self.nestedCount(nested.codes.count))
      precondition(nested.map.count == 256)
    }
    precondition(codes.count == Self.codeCount(count))
    self.outputs = outputs
    self.inputs = inputs
    self.codes = codes
    self.magnitudes = magnitudes
  }

  /// The format of a weight made of them.
  package func format(roundsToBFloat16: Bool) -> WeightFormat {
    var isNested = false
    if case .nested = magnitudes { isNested = true }
    return .nf4(NF4Format(roundsToBFloat16: roundsToBFloat16, isNested: isNested))
  }

  /// The values as float32, row-major.
  package func floats() -> [Float] {
    unsafe Array(unsafeUninitializedCapacity: outputs * inputs) { buffer, count in
      count = outputs * inputs
      guard let base = buffer.baseAddress else { return }
      switch magnitudes {
      case .float32(let values): unsafe nrk_nf4_expand(Int64(count), codes, values, nil, nil, 0, base)
      case .nested(let nested): unsafe nrk_nf4_expand(Int64(count), codes, nested.absmax, nested.codes, nested.map, nested.offset, base)
      }
    }
  }
}
