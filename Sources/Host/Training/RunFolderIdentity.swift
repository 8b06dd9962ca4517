import Support

/// Where a run writes, by device and inode: a folder that was moved, removed or replaced while the run goes on is not what its path says.
struct RunFolderIdentity {
  private let folder: RunFolder
  private let identity: FileIdentity?
  private let log: FileIdentity?

  init(_ folder: RunFolder, _ logs: borrowing RunLogs) throws(Failure) {
    self.folder = folder
    identity = FileIdentity(folder.path)
    log = logs.identity
    try check()
  }

  /// The same after an error that may come of a removal under way: it is given a moment to end.
  ///
  /// - Parameter leave: called where the folder is no longer the run's.
  func settled(_ leave: () -> Void = {}) throws(Failure) {
    usleep(200_000)
    do throws(Failure) { try check() } catch {
      leave()
      throw error
    }
  }

  /// Fails where the run's folder or its log is no longer what it was.
  func check() throws(Failure) {
    guard let identity, FileIdentity(folder.path) == identity else {
      throw .inputOutput("\(folder.path): was moved, removed or replaced while the run went on, which ends here; where it was moved, go on with --resume and its new --out")
    }
    guard let log, FileIdentity(folder.metrics) == log else {
      throw .inputOutput("\(folder.metrics): was moved, removed or replaced while the run went on, which ends here; put it back and go on with --resume")
    }
  }
}
