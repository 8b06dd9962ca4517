import Support

/// What became of one test.
package struct CheckOutcome: Sendable, Equatable {
  package enum Status: String, Sendable {
    case passed, failed, skipped
    /// A test it rests on failed.
    case blocked
  }

  package let test: CheckTest
  package let status: Status
  /// What went wrong, why it was skipped, or what there is to note.
  package let message: String
  package let seconds: Double

  package init(_ test: CheckTest, _ status: Status, _ message: String = "", seconds: Double = 0) {
    self.test = test
    self.status = status
    self.message = message
    self.seconds = seconds
  }

  package var json: JSON {
    [
      "test": .string(test.rawValue), "status": .string(status.rawValue), "message": .string(message),
      "seconds": .number(seconds),
    ]
  }

  /// Takes back what ``json`` gave; nil where it is something else.
  init?(json: JSON) {
    guard let test = json["test"]?.string.flatMap(CheckTest.init), let message = json["message"]?.string,
      let status = json["status"]?.string.flatMap(Status.init), let seconds = json["seconds"]?.double
    else { return nil }
    self.init(test, status, message, seconds: seconds)
  }
}
