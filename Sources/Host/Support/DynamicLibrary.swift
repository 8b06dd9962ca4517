/// A shared library opened by path or name, never closed: code that ran once may be on a stack or in a table.
@safe package struct DynamicLibrary: @unchecked Sendable {
  package let path: String
  /// As `dlopen` gave it.
  package let handle: UnsafeMutableRawPointer

  /// Opens with immediate binding and local symbols, as a plugin or a system library.
  package init(_ path: String) throws(Failure) {
    unsafe dlerror()
    guard let handle = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) else {
      let reason = unsafe dlerror().map { unsafe String(cString: $0) } ?? "unknown reason"
      throw .badData("\(path): cannot load the library: \(reason)")
    }
    self.path = path
    unsafe self.handle = handle
  }

  /// The first of several names that there is; nil where there is none.
  package static func first(of names: [String]) -> DynamicLibrary? {
    for name in names { if let library = try? DynamicLibrary(name) { return library } }
    return nil
  }

  /// The address of an exported symbol, nil where the library has none of that name.
  package func symbol(_ name: String) -> UnsafeMutableRawPointer? {
    unsafe dlsym(handle, name)
  }
}
