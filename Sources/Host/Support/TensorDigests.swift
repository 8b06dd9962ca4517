/// The digest of tensors with names, the same in whatever order they come: by name each its name, its bytes' count and the digests of its
/// pieces.
package struct TensorDigests {
  private var tensors: [(name: String, byteCount: Int, pieces: [Digest])] = []

  package init() {}

  /// - Parameter pieces: of its bytes, as ``Digest/pieces(of:_:threads:)`` gives them.
  package mutating func add(_ name: String, byteCount: Int, _ pieces: [Digest]) {
    tensors.append((name, byteCount, pieces))
  }

  package mutating func add<T: BitwiseCopyable>(_ name: String, _ values: [T]) {
    unsafe values.withUnsafeBytes { bytes in
      unsafe add(name, byteCount: bytes.count, Digest.pieces(of: bytes, [0..<bytes.count], threads: 1)[0])
    }
  }

  /// A tensor of a file.
  package mutating func add(_ name: String, _ entry: SafetensorsFile.Entry, of file: SafetensorsFile, threads: Int) {
    unsafe file.file.withBytes { bytes in
      unsafe add(name, byteCount: entry.bytes.count, Digest.pieces(of: bytes, [entry.bytes], threads: threads)[0])
    }
    file.release(entry)
  }

  package var digest: Digest {
    var writer = DigestWriter()
    for tensor in tensors.sorted(by: { $0.name < $1.name }) {
      writer.add(tensor.name)
      writer.add(tensor.byteCount)
      for piece in tensor.pieces { writer.add(piece) }
    }
    return writer.digest()
  }
}
