/// The exit codes of the program, as `sysexits.h` names them.
package enum ExitCode: Int32, Sendable {
  case success = 0
  case usage = 64
  case badData = 65
  case missingInput = 66
  case internalError = 70
  case inputOutput = 74
  case interrupted = 75
}

/// An error a user can act on: one line that says what, where, what was expected, what was found and what to do.
package struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
  package let code: ExitCode
  package let message: String

  package init(_ code: ExitCode, _ message: String) {
    self.code = code
    self.message = message
  }

  package static func usage(_ message: String) -> Failure { Failure(.usage, message) }
  package static func badData(_ message: String) -> Failure { Failure(.badData, message) }
  package static func missingInput(_ message: String) -> Failure { Failure(.missingInput, message) }
  package static func inputOutput(_ message: String) -> Failure { Failure(.inputOutput, message) }
  package static func internalError(_ message: String) -> Failure { Failure(.internalError, message) }

  /// Nobody reads standard output any more. Whoever did has seen enough, as `head` has: the program ends with 0 and says nothing.
  package static let readerGone = Failure(.success, "standard output: its reader is gone")

  package var description: String { message }
}
