import Support

/// Where a run is written, as what, and how it is kept.
package struct RunPlacement: Sendable {
  package let folder: RunFolder
  package let record: RunRecord
  package let keeping: RunKeeping

  package init(_ folder: RunFolder, _ record: RunRecord, _ keeping: RunKeeping) {
    self.folder = folder
    self.record = record
    self.keeping = keeping
  }

  /// Makes the folder of a new run, or checks that the run to be resumed is this one.
  func open() throws(Failure) { try folder.open(record, resuming: keeping.resumes) }
}
