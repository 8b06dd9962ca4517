import Foundations

/// The checkpoints of a run: `checkpoints/step-N/`, each written beside and renamed when it is whole.
package struct CheckpointStore: Sendable {
  private let folder: String
  private let keep: Int

  /// - Parameter keep: how many of the newest stay.
  package init(run: String, keep: Int = 2) {
    folder = run + "/checkpoints"
    self.keep = keep
  }

  package func path(step: Int) -> String { "\(folder)/step-\(step)" }

  /// Steps with a checkpoint, ascending.
  package func steps() throws(Failure) -> [Int] {
    guard Files.isDirectory(folder) else { return [] }
    return try Files.list(folder).compactMap { name in
      guard name.hasPrefix("step-") else { return nil }
      return Int(name.dropFirst("step-".count))
    }.sorted()
  }

  package func newest() throws(Failure) -> Int? { try steps().last }

  /// Writes a checkpoint through `body`, which fills the folder it is given.
  package func write(step: Int, _ body: (String) throws(Failure) -> Void) throws(Failure) {
    try Files.makeDirectory(folder)
    for name in try Files.list(folder) where name.hasPrefix(".writing-") { try Files.removeTree("\(folder)/\(name)") }
    let temporary = "\(folder)/.writing-\(step)-\(getpid())"
    try Files.makeDirectory(temporary)
    do throws(Failure) {
      try body(temporary)
    } catch {
      try? Files.removeTree(temporary)
      throw error
    }
    Files.syncDirectory(temporary)
    if Files.exists(path(step: step)) { try Files.removeTree(path(step: step)) }
    try Files.rename(temporary, to: path(step: step))
    for old in try steps().dropLast(keep) { try Files.removeTree(path(step: old)) }
  }

  /// Removes checkpoints after a step, so that a run that begins again leaves none of its future behind.
  package func removeAll() throws(Failure) {
    for step in try steps() { try Files.removeTree(path(step: step)) }
  }
}
