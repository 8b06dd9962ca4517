/// Where the parts of a matrix of four bits lie in its memory on a GPU: codes in the order of a file, then the magnitudes.
struct NF4Layout {
  /// Bytes from the beginning: the codes are at 0.
  let absmaxCodes, absmax, map, byteCount: Int

  init(outputs: Int, inputs: Int, isNested: Bool) {
    func rounded(_ bytes: Int) -> Int { (bytes + 255) / 256 * 256 }
    let blocks = NF4Blocks.blockCount(outputs * inputs)
    absmaxCodes = rounded(NF4Blocks.codeCount(outputs * inputs))
    absmax = absmaxCodes + (isNested ? rounded(blocks) : 0)
    map = absmax + rounded(4 * (isNested ? NF4Blocks.nestedCount(blocks) : blocks))
    byteCount = map + (isNested ? 4 * 257 : 0)
  }
}

/// The addresses of those parts.
struct NF4Parts {
  let codes, absmaxCodes, absmax, map: UInt64
  let isNested, rounds: Int32

  /// nil where a matrix is of another format.
  init?(_ matrix: PackedMatrix) {
    guard case .nf4(let format) = matrix.format else { return nil }
    let layout = NF4Layout(outputs: matrix.outputs, inputs: matrix.inputs, isNested: format.isNested)
    let start = UInt64(matrix.storage.address)
    codes = start
    absmaxCodes = start + UInt64(layout.absmaxCodes)
    absmax = start + UInt64(layout.absmax)
    map = start + UInt64(layout.map)
    isNested = format.isNested ? 1 : 0
    rounds = format.roundsToBFloat16 ? 1 : 0
  }
}
