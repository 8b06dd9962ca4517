import Support
import Synchronization

/// Ctrl-C, SIGTERM and SIGHUP: the first asks the training loop to stop after its step, the second stops at once.
///
/// A signal belongs to the process, so this is the one piece of global state; the handler touches nothing but two atomics
/// and `write`.
package enum Interruption {
  private static let requested = Atomic<Bool>(false)
  private static let isOnTerminal = Atomic<Bool>(false)

  /// Whether the run was asked to stop; loops look at it once a step.
  package static var isRequested: Bool { requested.load(ordering: .relaxed) }

  /// Takes over SIGINT, SIGTERM and SIGHUP, which `nohup` may have turned off and then stays so. To be called once, by a command that can stop and go on later.
  package static func install() {
    requested.store(false, ordering: .relaxed)
    isOnTerminal.store(isatty(STDERR_FILENO) == 1, ordering: .relaxed)
    for number in [SIGINT, SIGTERM] {
      signal(number) { _ in
        let saved = errno
        if Interruption.requested.exchange(true, ordering: .relaxed) { _exit(ExitCode.interrupted.rawValue) }
        // A terminal's cursor stands behind the live line and the echoed ^C.
        if Interruption.isOnTerminal.load(ordering: .relaxed) { Interruption.write("\n") }
        Interruption.write("stopping; press Ctrl-C again to stop at once\n")
        errno = saved
      }
    }
    // A terminal that goes away tells the same process twice, itself and through its shell: neither is in a hurry.
    let before = signal(SIGHUP) { _ in Interruption.requested.store(true, ordering: .relaxed) }
    if unsafe (unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)) { signal(SIGHUP, SIG_IGN) }
  }

  /// Gives the signals back to the system and forgets a request.
  package static func uninstall() {
    for number in [SIGINT, SIGTERM, SIGHUP] { signal(number, SIG_DFL) }
    requested.store(false, ordering: .relaxed)
  }

  private static func write(_ message: StaticString) {
    unsafe _ = Support.write(STDERR_FILENO, message.utf8Start, message.utf8CodeUnitCount)
  }
}
