import Support

/// Machine code of kernels between runs: a file for each text, architecture and compiler, which is whole or not used.
package struct KernelCache: Sendable {
  /// nil: nothing is kept.
  package let folder: String?

  package init(_ folder: String?) { self.folder = folder }

  /// The cache of the user.
  package static var user: KernelCache { KernelCache(Files.userCache.map { $0 + "/kernels" }) }

  /// Everything that the machine code depends on.
  static func key(_ file: KernelSources.File, headers: [(name: String, text: String)], architecture: String, compiler: String) -> String {
    let parts =
      [compiler] + KernelCompiler.options(architecture: architecture) + [file.name, file.text] + headers.flatMap { [$0.name, $0.text] }
    return SHA256.hex(Array(parts.map { "\($0.utf8.count):\($0)" }.joined().utf8))
  }

  /// In front of the machine code: what it is, its length and its digest.
  private static let mark = Array("nano-reasoner kernel 1\n".utf8)
  private static let headLength = mark.count + 64

  private func path(_ key: String) -> String? { folder.map { "\($0)/\(key).cubin" } }

  /// The machine code of a key; nil where there is none or what is there is damaged.
  func read(_ key: String) -> [UInt8]? {
    guard let path = path(key), let bytes = try? Files.read(path), bytes.count > Self.headLength, bytes.starts(with: Self.mark) else { return nil }
    let image = Array(bytes[Self.headLength...])
    let digest = String(decoding: bytes[Self.mark.count..<Self.headLength], as: UTF8.self)
    return SHA256.hex(image) == digest ? image : nil
  }

  /// Keeps machine code; where that is not possible it is compiled again next time.
  func write(_ image: [UInt8], _ key: String) {
    guard let folder, let path = path(key) else { return }
    do {
      try Files.makeDirectory(folder)
      try AtomicFile.write(Self.mark + Array(SHA256.hex(image).utf8) + image, to: path)
    } catch {}
  }
}
