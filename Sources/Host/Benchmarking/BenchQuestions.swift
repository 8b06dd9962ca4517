import Tasks

/// The questions of a benchmark: those that are trained on and those that are held out.
package struct BenchQuestions: Sendable {
  package let training: [Example]
  /// What errors call the training questions.
  package let trainingName: String
  package let heldOut: [Example]
  package let heldOutName: String
  /// Evaluated on as well; the verdict is that of `heldOut`.
  package var further: [Further] = []

  /// Another set of held-out questions.
  package struct Further: Sendable {
    /// What it is called in reports and in the names of its files.
    package let name: String
    package let examples: [Example]

    package init(name: String, examples: [Example]) { (self.name, self.examples) = (name, examples) }
  }

  package init(training: [Example], trainingName: String, heldOut: [Example], heldOutName: String) {
    self.training = training
    self.trainingName = trainingName
    self.heldOut = heldOut
    self.heldOutName = heldOutName
  }
}
