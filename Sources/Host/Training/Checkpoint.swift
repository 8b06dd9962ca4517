import Support

/// The checkpoints of a run: `checkpoints/step-N/`, each written beside and renamed when it is whole, and renamed before it is removed.
package struct CheckpointStore: Sendable {
  private let folder: String
  private let keep: Int
  private static let prefix = "step-"
  /// No run is longer: numbers that follow from a step, such as positions in the data, are far from overflowing.
  static let largestStep = 1 << 40

  /// - Parameter keep: how many of the newest stay.
  package init(run: String, keep: Int = 2) {
    folder = run + "/checkpoints"
    self.keep = keep
  }

  package func path(step: Int) -> String { "\(folder)/\(Self.prefix)\(step)" }

  /// Steps with a checkpoint, ascending.
  package func steps() throws(Failure) -> [Int] {
    guard Files.isDirectory(folder) else { return [] }
    return try Files.list(folder).compactMap { name in
      guard name.hasPrefix(Self.prefix), let step = Int(name.dropFirst(Self.prefix.count)), (0...Self.largestStep).contains(step) else { return nil }
      return name == "\(Self.prefix)\(step)" ? step : nil
    }.sorted()
  }

  package func newest() throws(Failure) -> Int? { try steps().last }

  /// Writes a checkpoint through `body`, which fills the folder it is given. Those of later steps go: they are damaged, or the run would
  /// not have come back here.
  package func write(step: Int, _ body: (String) throws(Failure) -> Void) throws(Failure) {
    // A run that was moved or removed meanwhile is not made again.
    try Files.makeOneDirectory(folder)
    try sweep()
    let temporary = "\(folder)/.writing-\(step)-\(getpid())"
    try Files.makeOneDirectory(temporary)
    do throws(Failure) {
      try body(temporary)
      try Files.syncDirectory(temporary)
      if Files.exists(path(step: step)) { try remove(step) }
      try Files.rename(temporary, to: path(step: step))
    } catch {
      try? Files.removeTree(temporary)
      throw error
    }
    let all = try steps()
    for other in all where other > step { try remove(other) }
    for old in all.filter({ $0 <= step }).dropLast(keep) { try remove(old) }
  }

  /// Removes a checkpoint that was written where it does not belong, and the folder around it if nothing else is there.
  func takeBack(step: Int) {
    try? Files.removeTree(path(step: step))
    unsafe rmdir(folder)
  }

  /// Removes all checkpoints, so that a run that begins again leaves none of its future behind.
  package func removeAll() throws(Failure) {
    for step in try steps() { try remove(step) }
  }

  /// Removes what a process that ended left half-written or half-removed. Only whoever has claimed the run may.
  func sweep() throws(Failure) {
    guard Files.isDirectory(folder) else { return }
    for name in try Files.list(folder) where name.hasPrefix(".writing-") || name.hasPrefix(".removing-") {
      try Files.removeTree("\(folder)/\(name)")
    }
  }

  /// A checkpoint has its name only while it is whole.
  private func remove(_ step: Int) throws(Failure) {
    let leaving = "\(folder)/.removing-\(step)-\(getpid())"
    try Files.removeTree(leaving)
    try Files.rename(path(step: step), to: leaving)
    try Files.removeTree(leaving)
  }
}
