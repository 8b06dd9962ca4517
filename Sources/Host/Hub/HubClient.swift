import Support

/// What fetches from the hub: its own Python client, or libcurl.
protocol HubClient {
  /// Which one it is, in words.
  var description: String { get }
  /// What a repository holds.
  func listing(_ kind: HubName.Kind, _ name: HubName) throws(HubProblem) -> HubListing
  /// The names of an owner's repositories, for a hint; empty where they cannot be had.
  func names(_ kind: HubName.Kind, of owner: String) -> [String]
  /// Puts one file into the cache: its blob, and a link to it in the snapshot.
  ///
  /// - Parameter progress: called with the bytes that are there; false ends the transfer.
  func fetch(
    _ file: HubListing.File, _ kind: HubName.Kind, _ name: HubName, commit: String, into cache: HubCache, progress: @escaping (Int) -> Bool
  ) throws(HubProblem)
}

/// What the hub does not give.
enum HubProblem: Error {
  /// There is none of that name, or none that this token may know of.
  case noRepository
  case noRevision
  /// It is there, but not for this token: its licence must be accepted, or it is private.
  case noAccess
  /// Somebody asked for an end.
  case stopped
  case failure(Failure)
}
