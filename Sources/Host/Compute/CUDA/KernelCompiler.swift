import CCUDA
import Support

/// NVRTC: makes the machine code of kernels at run time. It needs no GPU.
@safe package final class KernelCompiler: @unchecked Sendable {
  private let table: nrc_compiler
  package let path: String
  /// As in "13.0".
  package let version: String

  package init(_ library: DynamicLibrary) throws(Failure) {
    var table = nrc_compiler()
    if let missing = unsafe nrc_load_compiler(library.handle, &table) {
      throw .badData("\(library.path): NVRTC lacks \(unsafe String(cString: missing)): it is older than CUDA 12")
    }
    self.table = table
    path = library.path
    var (major, minor): (Int32, Int32) = (0, 0)
    guard unsafe table.version(&major, &minor) == 0 else { throw .badData("\(library.path): NVRTC does not say its version") }
    version = "\(major).\(minor)"
  }

  /// Multiply-adds are fused where the text says so and nowhere else: the bits of a result are those of the text.
  static func options(architecture: String) -> [String] {
    ["--gpu-architecture=\(architecture)", "--std=c++17", "-default-device", "--fmad=false", "--ptxas-options=-v"]
  }

  /// What became of a file.
  package struct Output: Sendable {
    package let image: [UInt8]
    package let log: String
  }

  package func compile(_ file: KernelSources.File, headers: [(name: String, text: String)], architecture: String) throws(Failure) -> Output {
    var program: UnsafeMutableRawPointer?
    unsafe program = nil
    let created = unsafe Self.withCStrings(headers.map(\.text)) { texts in
      unsafe Self.withCStrings(headers.map(\.name)) { names in
        unsafe table.create(&program, file.text, file.name, Int32(headers.count), texts, names)
      }
    }
    guard created == 0 else { throw .internalError("\(file.name): \(text(created))") }
    defer { _ = unsafe table.destroy(&program) }
    let options = Self.options(architecture: architecture)
    let compiled = unsafe Self.withCStrings(options) { unsafe table.compile(program, Int32(options.count), $0) }
    var size = 0
    var log = ""
    if unsafe table.log_size(program, &size) == 0, size > 1 {
      var bytes = [CChar](repeating: 0, count: size)
      if unsafe table.log(program, &bytes) == 0 {
        log = String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      }
    }
    guard compiled == 0 else { throw .internalError("\(file.name) for \(architecture): \(text(compiled))\n\(log)") }
    guard unsafe table.image_size(program, &size) == 0, size > 0 else {
      throw .internalError("\(file.name) for \(architecture): NVRTC \(version) made no machine code")
    }
    var image = [CChar](repeating: 0, count: size)
    let read = unsafe table.image(program, &image)
    guard read == 0 else { throw .internalError("\(file.name) for \(architecture): \(text(read))") }
    return Output(image: image.map { UInt8(bitPattern: $0) }, log: log)
  }

  private func text(_ status: Int32) -> String {
    guard let text = table.error_text(status) else { return "error \(status)" }
    return unsafe String(cString: text)
  }

  private static func withCStrings<R>(_ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> R) -> R {
    let copies = unsafe strings.map { unsafe strdup($0) }
    defer { for unsafe copy in unsafe copies { unsafe free(copy) } }
    let pointers = unsafe copies.map { unsafe UnsafePointer($0) }
    return unsafe pointers.withUnsafeBufferPointer { unsafe body($0.baseAddress) }
  }
}

/// What ptxas says of a kernel.
package struct KernelResources: Sendable, Equatable {
  package let kernel: String
  package let registers: Int
  /// Bytes that a thread keeps in memory because its registers do not suffice, and all that it keeps there.
  package let spillBytes, stackBytes: Int

  /// Of a log of `--ptxas-options=-v`.
  package static func parse(_ log: String) -> [KernelResources] {
    var found: [KernelResources] = []
    var (name, spill, stack): (String?, Int, Int) = (nil, 0, 0)
    for line in log.split(separator: "\n") {
      let words = line.split(separator: " ")
      func number(before words: [Substring], _ phrase: [Substring]) -> Int? {
        guard phrase.count < words.count else { return nil }
        for index in 1...(words.count - phrase.count) where Array(words[index..<(index + phrase.count)]) == phrase { return Int(words[index - 1]) }
        return nil
      }
      let plain = words.map { $0.last == "," ? $0.dropLast() : $0 }
      if let at = plain.firstIndex(of: "entry"), at + 2 < plain.count, plain[at + 1] == "function" {
        name = String(plain[at + 2].filter { $0 != "'" })
        (spill, stack) = (0, 0)
      } else if let bytes = number(before: plain, ["bytes", "stack", "frame"]) {
        stack = bytes
        spill = (number(before: plain, ["bytes", "spill", "stores"]) ?? 0) + (number(before: plain, ["bytes", "spill", "loads"]) ?? 0)
      } else if let registers = number(before: plain, ["registers"]), let kernel = name {
        found.append(KernelResources(kernel: kernel, registers: registers, spillBytes: spill, stackBytes: stack))
        name = nil
      }
    }
    return found
  }
}
