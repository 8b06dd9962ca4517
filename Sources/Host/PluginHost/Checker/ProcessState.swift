import Support

/// What of a process a library must leave alone when it is opened, since the program relies on it: how it is stopped, where its output
/// goes, and where its files are.
struct ProcessState {
  private let handlers: [UInt]
  private let blocked: [Bool]
  private let isOpen: [Bool]
  private let folder: String?

  /// Signals by which a run is stopped, and those of a closed pipe and a full disk.
  private static let signals: [(number: Int32, name: String)] = [
    (SIGINT, "SIGINT"), (SIGTERM, "SIGTERM"), (SIGHUP, "SIGHUP"), (SIGPIPE, "SIGPIPE"), (SIGXFSZ, "SIGXFSZ"),
  ]

  init() {
    var set = sigset_t()
    unsafe sigprocmask(SIG_BLOCK, nil, &set)
    handlers = Self.signals.map { signal in
      var action = sigaction()
      unsafe sigaction(signal.number, nil, &action)
      #if canImport(Darwin)
      return unsafe UInt(bitPattern: unsafe unsafeBitCast(action.__sigaction_u.__sa_handler, to: Int.self))
      #else
      return unsafe UInt(bitPattern: unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self))
      #endif
    }
    blocked = Self.signals.map { unsafe sigismember(&set, $0.number) == 1 }
    isOpen = (0..<4).map { fcntl(Int32($0), F_GETFD) >= 0 }
    folder = Files.resolved(".")
  }

  /// In words, what is otherwise now; nil where nothing is.
  func difference(to now: ProcessState) -> String? {
    var parts: [String] = []
    let changed = Self.signals.indices.filter { handlers[$0] != now.handlers[$0] || blocked[$0] != now.blocked[$0] }
    if !changed.isEmpty { parts.append("changes what \(changed.map { Self.signals[$0].name }.joined(separator: ", ")) \(changed.count == 1 ? "does" : "do")") }
    let closed = isOpen.indices.filter { isOpen[$0] && !now.isOpen[$0] }
    if !closed.isEmpty { parts.append("closes the descriptors \(closed.map(String.init).joined(separator: ", "))") }
    if folder != now.folder { parts.append("changes the current folder") }
    return parts.isEmpty ? nil : "when it is opened, it \(parts.joined(separator: ", ")): a run could not be stopped or would lose its output"
  }
}
