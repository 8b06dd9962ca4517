import Support

/// Brings a model or a data set from the hub into its cache, with what is read here and nothing else.
package struct HubDownload {
  /// How far it is.
  package struct Progress: Sendable {
    package let file: String
    /// Bytes that are there and that there are of all files together.
    package let done: Int
    package let total: Int
    /// Bytes that this run brought, for the rate.
    package let brought: Int
  }

  package struct Result: Sendable {
    package let kind: HubName.Kind
    package let snapshot: String
    package let files: [HubListing.File]
    package let commit: String
    /// What it was fetched with.
    package let client: String

    package var bytes: Int { files.reduce(0) { $0 + $1.size } }
  }

  /// Which client fetches.
  package enum Way: String, Sendable, CaseIterable {
    case auto
    case python = "huggingface-hub"
    case curl
  }

  private let client: any HubClient
  private let cache: HubCache
  private let endpoint: HubEndpoint
  private let progress: (Progress) -> Void
  private let goesOn: () -> Bool

  /// - Parameters:
  ///   - say: is told what is worth knowing on the way.
  ///   - goesOn: asked all the time; false ends the download, which goes on where it was the next time.
  package init(
    _ way: Way, endpoint: HubEndpoint, cache: HubCache, say: @escaping (String) -> Void, progress: @escaping (Progress) -> Void,
    goesOn: @escaping () -> Bool
  ) throws(Failure) {
    for name in ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"] {
      if let value = environmentVariable(name)?.lowercased(), ["1", "on", "yes", "true"].contains(value) {
        throw .usage("\(name) is set: nothing is fetched; unset it, or use what the hub's cache holds")
      }
    }
    client = try Self.client(way, endpoint, say: say, goesOn: goesOn)
    self.cache = cache
    self.endpoint = endpoint
    self.progress = progress
    self.goesOn = goesOn
  }

  /// What libcurl is called on the systems there are.
  package static var curlNames: [String] { CurlLibrary.names }

  package var clientName: String { client.description }

  private static func client(
    _ way: Way, _ endpoint: HubEndpoint, say: @escaping (String) -> Void, goesOn: @escaping () -> Bool
  ) throws(Failure) -> any HubClient {
    var reason: String?
    if way != .curl {
      do throws(Failure) { return try PythonClient(endpoint, goesOn: goesOn) } catch {
        if way == .python { throw error }
        reason = error.message
      }
    }
    if let library = CurlLibrary.shared { return try CurlClient(library, endpoint, say: say, goesOn: goesOn) }
    throw .missingInput(
      "nothing here fetches from the hub: no \(CurlLibrary.names[0]) (Debian, Ubuntu: apt-get install libcurl4)\(reason.map { ", and \($0)" } ?? "")")
  }

  /// - Parameter kind: nil: what there is of that name; a model where there are both.
  package func run(_ name: HubName, kind: HubName.Kind?) throws(Failure) -> Result {
    let (kind, listing) = try find(name, kind)
    let files = kind == .model ? try modelFiles(name, listing) : try datasetFiles(name, listing)
    let repository = cache.folder(kind, name)
    let total = files.reduce(0) { $0 + $1.size }
    try checkRoom(files, repository)
    var done = 0
    let before = files.reduce(0) { $0 + HubBlob.bytes(of: $1, in: repository) }
    for file in files {
      let base = done
      try fetch(file, kind, name, listing) { bytes in
        progress(Progress(file: file.path, done: base + bytes, total: total, brought: max(0, base + bytes - before)))
      }
      done += file.size
    }
    // Last: whoever looks for this revision finds it whole.
    try AtomicFile.makeReference(name.revision ?? "main", commit: listing.commit, in: repository)
    return Result(kind: kind, snapshot: "\(repository)/snapshots/\(listing.commit)", files: files, commit: listing.commit, client: client.description)
  }

  // MARK: What is fetched

  private func find(_ name: HubName, _ wanted: HubName.Kind?) throws(Failure) -> (HubName.Kind, HubListing) {
    let kinds: [HubName.Kind] = wanted.map { [$0] } ?? (name.part == nil ? [.model, .dataset] : [.dataset])
    var hidden: HubName.Kind?
    for kind in kinds {
      do throws(HubProblem) { return (kind, try client.listing(kind, name)) } catch {
        switch error {
        case .noRepository: continue
        case .noAccess:
          // The hub says the same of what is private and of what there is not.
          hidden = hidden ?? kind
          continue
        default: throw failure(error, kind, name)
        }
      }
    }
    if let hidden { throw failure(.noAccess, hidden, name) }
    throw failure(.noRepository, kinds[0], name, among: kinds)
  }

  private func modelFiles(_ name: HubName, _ listing: HubListing) throws(Failure) -> [HubListing.File] {
    let weights = try listing.weights(name) { file throws(Failure) in
      try fetch(file, .model, name, listing) { _ in }
      return try JSON.read("\(cache.folder(.model, name))/snapshots/\(listing.commit)/\(file.path)")
    }
    return listing.modelDescription.filter { !weights.contains($0) } + weights
  }

  private func datasetFiles(_ name: HubName, _ listing: HubListing) throws(Failure) -> [HubListing.File] {
    let paths = listing.files.map(\.path)
    var readme: String?
    if let file = listing["README.md"] {
      try fetch(file, .dataset, name, listing) { _ in }
      readme = try Files.readText("\(cache.folder(.dataset, name))/snapshots/\(listing.commit)/README.md")
    }
    let (configuration, split) = try DatasetLayout(readme: readme, files: paths).choose(name)
    let wanted = split.map { [$0] } ?? configuration.splits
    let chosen = Set(wanted.flatMap { $0.files(of: paths) })
    if chosen.isEmpty { throw .missingInput("\(name.pinned): holds no file of \(configuration.name)/\(wanted.map(\.name).joined(separator: ", "))") }
    if let other = chosen.sorted().first(where: { !DatasetLayout.isData($0) }) {
      throw .missingInput("\(name.pinned): \(other): is neither Parquet nor JSON lines, which are what is read here")
    }
    return listing.files.filter { $0.path == "README.md" || chosen.contains($0.path) }
  }

  /// Whether the disk has room for what is missing.
  private func checkRoom(_ files: [HubListing.File], _ repository: String) throws(Failure) {
    try Files.makeDirectory(repository)
    let missing = files.reduce(0) { $0 + $1.size - HubBlob.bytes(of: $1, in: repository) }
    var status = statvfs()
    guard unsafe statvfs(repository, &status) == 0 else { return }
    let free = Int(status.f_bavail) * Int(status.f_frsize)
    if missing > free {
      throw .inputOutput("\(repository): \(missing >> 20) MiB are to be fetched and the disk has \(free >> 20) MiB; HF_HUB_CACHE names another folder")
    }
  }

  private func fetch(
    _ file: HubListing.File, _ kind: HubName.Kind, _ name: HubName, _ listing: HubListing, progress: @escaping (Int) -> Void
  ) throws(Failure) {
    do throws(HubProblem) {
      try client.fetch(file, kind, name, commit: listing.commit, into: cache) { bytes in
        progress(bytes)
        return true
      }
    } catch { throw failure(error, kind, name) }
    progress(file.size)
  }

  // MARK: What went wrong

  private func failure(_ problem: HubProblem, _ kind: HubName.Kind, _ name: HubName, among kinds: [HubName.Kind] = []) -> Failure {
    let page = endpoint.page(kind, name)
    switch problem {
    case .failure(let failure): return failure
    case .stopped: return Failure(.interrupted, "\(name.pinned): stopped; what has come is kept, and the same command goes on with it")
    case .noRevision: return .missingInput("\(name.pinned): the hub has no revision \(name.revision ?? "main") of it; \(page)/tree/main shows those there are")
    case .noAccess:
      let advice = endpoint.tokenSource.map { "the token of \($0) may not read it" } ?? "give a token that may read it: HF_TOKEN, or a file \(endpoint.tokenFile)"
      return .missingInput("\(name.pinned): the hub does not give it to everybody, or there is none of that name: if it is gated, accept its licence at \(page); \(advice)")
    case .noRepository:
      let known = (kinds.isEmpty ? [kind] : kinds).flatMap { client.names($0, of: name.owner) }
      let hint = NearestName.find(name.repository, among: known).map { "; did you mean \($0)?" } ?? ""
      return .missingInput("\(name.pinned): the hub at \(endpoint.address) has no \((kinds.isEmpty ? [kind] : kinds).map(\.words).joined(separator: " or ")) of that name\(hint)")
    }
  }
}

extension AtomicFile {
  /// Writes which commit a revision stands for.
  fileprivate static func makeReference(_ revision: String, commit: String, in repository: String) throws(Failure) {
    if revision == commit { return }
    let path = "\(repository)/refs/\(revision)"
    try Files.makeDirectory(Files.directory(of: path))
    try write(commit, to: path)
  }
}
