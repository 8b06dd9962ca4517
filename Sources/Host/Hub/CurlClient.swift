import Support

/// Fetches with libcurl. What breaks is taken up again where it broke, in this run or the next.
struct CurlClient: HubClient {
  private let curl: Curl
  private let endpoint: HubEndpoint
  private let say: (String) -> Void
  private let goesOn: () -> Bool
  /// Tries in a row of which none brings a byte.
  private static let tries = 5
  private static let longestWait = 300.0

  var description: String { "libcurl" }

  /// - Parameter say: is told why it waits.
  init(_ library: CurlLibrary, _ endpoint: HubEndpoint, say: @escaping (String) -> Void, goesOn: @escaping () -> Bool) throws(Failure) {
    curl = try Curl(library, isPlain: endpoint.address.hasPrefix("http:"))
    self.endpoint = endpoint
    self.say = say
    self.goesOn = goesOn
  }

  private var authorization: [String] { endpoint.token.map { ["Authorization: Bearer \($0)"] } ?? [] }

  func listing(_ kind: HubName.Kind, _ name: HubName) throws(HubProblem) -> HubListing {
    let url = endpoint.information(kind, name)
    let body = try text(url)
    do throws(Failure) { return try HubListing(json: try JSON.parse(body, name: url), name: url) } catch { throw .failure(error) }
  }

  func names(_ kind: HubName.Kind, of owner: String) -> [String] {
    guard let body = try? text(endpoint.names(kind, of: owner)), let json = try? JSON.parse(body, name: "names") else { return [] }
    return (json.array ?? []).compactMap { $0["id"]?.string }
  }

  /// The body of a small answer.
  private func text(_ url: String) throws(HubProblem) -> [UInt8] {
    var body: [UInt8] = []
    try patiently(url) { () throws(HubProblem) in
      body = []
      return (curl.get(url, headers: authorization, goesOn: goesOn) { _, bytes in
        body += bytes
        return body.count < 256 << 20
      }, false)
    }
    return body
  }

  func fetch(
    _ file: HubListing.File, _ kind: HubName.Kind, _ name: HubName, commit: String, into cache: HubCache, progress: @escaping (Int) -> Bool
  ) throws(HubProblem) {
    let url = endpoint.file(kind, name, commit: commit, file.path)
    let blob = HubBlob(file, cache.folder(kind, name))
    if !blob.isThere {
      // The same bytes damaged twice are damaged at their source.
      for attempt in 1... {
        try transfer(url, blob, progress: progress)
        do throws(Failure) {
          try blob.finish(name: "\(name.pinned): \(file.path)")
          break
        } catch { if attempt == 2 { throw .failure(error) } }
      }
    }
    do throws(Failure) { try blob.link(commit: commit) } catch { throw .failure(error) }
  }

  /// Brings the half-written file to its size.
  private func transfer(_ url: String, _ blob: HubBlob, progress: @escaping (Int) -> Bool) throws(HubProblem) {
    let part: HubBlob.Part
    do throws(Failure) { part = try blob.begin() } catch { throw .failure(error) }
    let goesOn = goesOn
    try patiently(url) { () throws(HubProblem) in
      let start = part.count
      if start == blob.file.size { return (Curl.Answer(status: 200), true) }
      var problem: Failure?
      let range = start > 0 ? ["Range: bytes=\(start)-"] : []
      var answer = curl.get(url, headers: authorization + range, goesOn: { goesOn() && progress(part.count) }) { answer, bytes in
        do throws(Failure) {
          // Whoever ignores the range sends all of it again.
          if answer.status == 200, part.count > 0, !part.isFresh { try part.restart() }
          part.isFresh = true
          try part.append(bytes)
          return part.count <= blob.file.size
        } catch {
          problem = error
          return false
        }
      }
      part.isFresh = false
      if let problem { throw .failure(problem) }
      if part.count > blob.file.size || answer.status == 416 {
        // Not what was begun: from the first byte on.
        do throws(Failure) { try part.restart() } catch { throw .failure(error) }
        answer.problem = "other bytes than \(blob.file.size) were sent"
      } else if answer.problem == nil, (200..<300).contains(answer.status), part.count < blob.file.size {
        answer.problem = "the answer ended after \(part.count) of \(blob.file.size) bytes"
      }
      return (answer, part.count > start)
    }
  }

  /// Tries again what may be better the next time, waiting as long as the server asks for, or longer each time.
  ///
  /// - Parameter attempt: gives the answer, and whether it brought something new.
  private func patiently(_ url: String, _ attempt: () throws(HubProblem) -> (Curl.Answer, Bool)) throws(HubProblem) {
    var failures = 0
    while true {
      let (answer, isFurther) = try attempt()
      if !goesOn() { throw .stopped }
      if answer.problem == nil, (200..<300).contains(answer.status) { return }
      failures = isFurther ? 1 : failures + 1
      let mayPass = [0, 200, 206, 408, 416, 429, 500, 502, 503, 504].contains(answer.status)
      if !mayPass || failures > Self.tries { throw problem(answer, url) }
      let asked = answer.headers["retry-after"].flatMap { Double($0) }
      let wait = min(Self.longestWait, asked ?? (isFurther ? 0.1 : Double(1 << failures) / 4))
      if wait >= 1 { say("\(Self.words(answer)); trying again in \(Format.duration(wait))") }
      let watch = Stopwatch()
      while watch.seconds < wait {
        if !goesOn() { throw .stopped }
        usleep(50_000)
      }
    }
  }

  private static func words(_ answer: Curl.Answer) -> String {
    if answer.status == 429 { return "the hub says that there were too many requests (429)" }
    return answer.problem.map { "the connection broke: \($0)" } ?? "the hub answers \(answer.status)"
  }

  private func problem(_ answer: Curl.Answer, _ url: String) -> HubProblem {
    let code = answer.headers["x-error-code"]
    switch (answer.status, code) {
    case (_, "RepoNotFound"): return .noRepository
    case (_, "RevisionNotFound"): return .noRevision
    case (_, "GatedRepo"), (401, _), (403, _): return .noAccess
    case (404, _): return .noRepository
    default:
      let said = OneLine.text(String((answer.headers["x-error-message"] ?? answer.complaint).prefix(200)))
      return .failure(.inputOutput("\(url): \(Self.words(answer))\(answer.problem != nil || said.isEmpty ? "" : ": \(said)"); what has come is kept, so the same command goes on"))
    }
  }
}
