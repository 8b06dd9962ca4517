import Support

/// Fetches with the hub's own Python client (`Helper/hub_helper.py`). What it brings is checked here.
final class PythonClient: HubClient {
  let description: String
  private let process: HelperProcess
  private let goesOn: () -> Bool
  /// Python with a large environment takes a while to begin.
  private static let patience = 120.0

  init(_ endpoint: HubEndpoint, goesOn: @escaping () -> Bool) throws(Failure) {
    signal(SIGPIPE, SIG_IGN)
    self.goesOn = goesOn
    let python = PythonHelper.interpreter
    let script = String(decoding: PythonHelper.script(PackageResources.hub_helper_py), as: UTF8.self)
    process = try HelperProcess(PythonHelper.words("-c", script), log: nil)
    let start: JSON = ["endpoint": .string(endpoint.address), "token": endpoint.token.map { .string($0) } ?? .null]
    let watch = Stopwatch()
    guard process.write(Array((start.text() + "\n").utf8), while: { watch.seconds < Self.patience }), let line = process.readLine(within: Self.patience),
      let hello = try? JSON.parse(line, name: "huggingface_hub")
    else { throw .missingInput("\(python) does not answer; set NR_PYTHON to a Python that has huggingface_hub") }
    if let problem = hello["error"]?.string { throw .missingInput(problem) }
    description = "huggingface_hub \(hello["version"]?.string ?? "") of \(python)"
  }

  /// - Parameter progress: called while it is waited for; false ends the waiting.
  private func ask(_ request: JSON, progress: () -> Bool = { true }) throws(HubProblem) -> JSON {
    let watch = Stopwatch()
    let gone = HubProblem.failure(.inputOutput("\(description): the process has ended or hangs"))
    guard process.write(Array((request.text() + "\n").utf8), while: { watch.seconds < Self.patience }) else { throw gone }
    while true {
      if let line = process.readLine(within: 0.25) {
        guard let answer = try? JSON.parse(line, name: "huggingface_hub") else { throw gone }
        switch answer["problem"]?.string {
        case nil: return answer
        case "repository": throw .noRepository
        case "revision": throw .noRevision
        case "access": throw .noAccess
        default: throw .failure(.inputOutput("\(description): \(answer["message"]?.string ?? "failed")"))
        }
      }
      if !goesOn() || !progress() {
        // Where nobody waits for it, nothing is fetched.
        process.terminate()
        _ = process.ends(within: 5)
        throw .stopped
      }
      if process.ends(within: 0) { throw gone }
    }
  }

  func listing(_ kind: HubName.Kind, _ name: HubName) throws(HubProblem) -> HubListing {
    let answer = try ask(["list": .string(kind.rawValue), "name": .string(name.repository), "revision": .string(name.revision ?? "main")])
    do throws(Failure) { return try HubListing(json: answer, name: name.pinned) } catch { throw .failure(error) }
  }

  func names(_ kind: HubName.Kind, of owner: String) -> [String] {
    let answer = try? ask(["names": .string(kind.rawValue), "owner": .string(owner)])
    return (answer?["names"]?.array ?? []).compactMap(\.string)
  }

  func fetch(
    _ file: HubListing.File, _ kind: HubName.Kind, _ name: HubName, commit: String, into cache: HubCache, progress: @escaping (Int) -> Bool
  ) throws(HubProblem) {
    let repository = cache.folder(kind, name)
    let blob = HubBlob(file, repository)
    let wasThere = blob.isThere
    // By the commit, so that all files are of one.
    _ = try ask([
      "fetch": .string(file.path), "kind": .string(kind.rawValue), "name": .string(name.repository), "revision": .string(commit), "cache": .string(cache.path),
    ]) { progress(HubBlob.bytes(of: file, in: repository)) }
    if wasThere { return }
    do throws(Failure) {
      guard blob.isThere else { throw .inputOutput("\(description): \(name.pinned): \(file.path): has not brought the \(file.size) bytes that the hub announces") }
      try blob.check(name: "\(name.pinned): \(file.path)")
    } catch { throw .failure(error) }
  }
}
