internal import CPluginCheck
import Support

/// What guards the arrays of a call.
struct Guards: OptionSet, Sendable {
  let rawValue: Int

  /// Pages without access before and after each array.
  static let pages = Guards(rawValue: 1)
  /// Inputs are read-only.
  static let sealed = Guards(rawValue: 2)
  /// The array begins at a page's begin; otherwise it ends at a page's end.
  static let atStart = Guards(rawValue: 4)

  /// What every test uses that is not about memory itself.
  static let usual: Guards = [.pages, .sealed]
}

/// Memory of its own pages, for one array or struct.
///
/// Whatever the guards, 4 KiB at least lie on both sides: a test that is not about bounds does not die of a plugin that
/// breaks them by a little, unless it guards them.
@safe final class GuardedBlock {
  let start: UnsafeMutableRawPointer
  let byteCount: Int
  let name: String
  private let mapping: UnsafeMutableRawPointer
  private let mappedBytes: Int
  /// The pages that hold the data.
  private let pages: UnsafeMutableRawBufferPointer
  private let guards: Guards
  private var slots: [Int32] = []
  private var sealedSlot: Int32 = -1

  private static let slack: UInt8 = 0xA5

  init(_ name: String, byteCount: Int, _ guards: Guards) throws(Failure) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let held = (byteCount + page - 1) / page * page
    mappedBytes = held + 2 * page
    let mapping = unsafe mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | Int32(MAP_ANONYMOUS), -1, 0)
    guard let mapping = unsafe mapping, unsafe mapping != UnsafeMutableRawPointer(bitPattern: -1) else {
      throw .internalError("no memory for \(name): \(lastSystemError())")
    }
    unsafe self.mapping = unsafe mapping
    unsafe pages = UnsafeMutableRawBufferPointer(start: mapping + page, count: held)
    unsafe start = guards.contains(.atStart) ? mapping + page : mapping + page + held - byteCount
    self.byteCount = byteCount
    self.name = name
    self.guards = guards
    if held <= 1 << 20 { unsafe pages.initializeMemory(as: UInt8.self, repeating: Self.slack) }
    if guards.contains(.pages) {
      unsafe mprotect(mapping, page, PROT_NONE)
      unsafe mprotect(mapping + page + held, page, PROT_NONE)
      slots = unsafe [
        nr_check_guard(mapping, mapping + page, "touched memory before \(name)"),
        nr_check_guard(mapping + page + held, mapping + mappedBytes, "touched memory past the end of \(name)"),
      ]
    }
  }

  /// Makes the data read-only where the guards say so, or writable again.
  func seal(_ isSealed: Bool = true) {
    guard guards.contains(.sealed), unsafe pages.count > 0 else { return }
    unsafe mprotect(pages.baseAddress, pages.count, isSealed ? PROT_READ : PROT_READ | PROT_WRITE)
    if isSealed, sealedSlot < 0 {
      sealedSlot = unsafe nr_check_guard(pages.baseAddress, pages.baseAddress! + pages.count, "wrote to the input \(name)")
    }
  }

  func copy<Element: BitwiseCopyable>(_ values: [Element]) {
    unsafe values.withUnsafeBytes { bytes in
      if let base = bytes.baseAddress { unsafe start.copyMemory(from: base, byteCount: bytes.count) }
    }
  }

  func fill<Element: BitwiseCopyable>(_ value: Element) {
    let count = byteCount / MemoryLayout<Element>.stride
    unsafe start.initializeMemory(as: Element.self, repeating: value, count: count)
  }

  func array<Element: BitwiseCopyable>(of type: Element.Type) -> [Element] {
    let count = byteCount / MemoryLayout<Element>.stride
    return unsafe Array(UnsafeBufferPointer(start: start.bindMemory(to: type, capacity: count), count: count))
  }

  /// What was written beside the array, in the pages that hold it; nil where nothing was.
  var trespass: String? {
    guard unsafe pages.count <= 1 << 20 else { return nil }
    let first = unsafe start - pages.baseAddress!
    for index in unsafe pages.indices where index < first || index >= first + byteCount {
      if unsafe pages[index] != Self.slack { return index < first ? "wrote before \(name)" : "wrote past the end of \(name)" }
    }
    return nil
  }

  deinit {
    for slot in slots { nr_check_release(slot) }
    nr_check_release(sealedSlot)
    unsafe munmap(mapping, mappedBytes)
  }
}
