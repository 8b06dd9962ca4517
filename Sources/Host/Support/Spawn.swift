/// Starts programs, each in a process group of its own: Ctrl-C in the terminal reaches this one only, and whatever a child starts can be
/// ended with it.
package enum Spawn {
  /// What stands behind a descriptor of the child.
  package enum Source {
    case descriptor(Int32)
    /// A file, opened with these flags.
    case file(String, Int32)
  }

  /// - Parameters:
  ///   - words: the program, looked up on PATH where it is a bare name, and its arguments.
  ///   - descriptors: set in this order; others that are not closed by exec are inherited.
  /// - Throws: a failure whose message is the system's alone.
  package static func start(_ words: [String], _ descriptors: [(number: Int32, source: Source)]) throws(Failure) -> pid_t {
    #if canImport(Darwin)
    var actions: posix_spawn_file_actions_t? = nil
    var attributes: posix_spawnattr_t? = nil
    #else
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    #endif
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for (number, source) in descriptors {
      switch source {
      case .descriptor(let other): unsafe posix_spawn_file_actions_adddup2(&actions, other, number)
      case .file(let path, let flags): unsafe posix_spawn_file_actions_addopen(&actions, number, path, flags, 0o666)
      }
    }
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    // A thread may block signals, and a process inherits that: then none would end it.
    var none = sigset_t()
    unsafe sigemptyset(&none)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK))
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
    defer { for unsafe argument in unsafe arguments { unsafe free(argument) } }
    var process: pid_t = 0
    let status = unsafe posix_spawnp(&process, arguments[0]!, &actions, &attributes, &arguments, environ)
    if status != 0 { throw .missingInput(unsafe String(cString: strerror(status))) }
    return process
  }
}
