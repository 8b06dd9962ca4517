import Tasks

/// The questions of a benchmark: those that are trained on and those that are held out.
package struct BenchQuestions: Sendable {
  package let training: [Example]
  /// What errors call the training questions.
  package let trainingName: String
  package let heldOut: [Example]
  package let heldOutName: String

  package init(training: [Example], trainingName: String, heldOut: [Example], heldOutName: String) {
    self.training = training
    self.trainingName = trainingName
    self.heldOut = heldOut
    self.heldOutName = heldOutName
  }
}
