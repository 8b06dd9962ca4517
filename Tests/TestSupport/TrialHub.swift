import Support
import Synchronization

/// A hub in a test: repositories with files, large ones behind a redirection to another host, and what a real one does to its clients.
package final class TrialHub: Sendable {
  package struct Repository: Sendable {
    package var files: [String: [UInt8]]
    package var isGated = false

    package init(_ files: [String: [UInt8]]) { self.files = files }
  }

  package struct Moods: Sendable {
    /// Connections that break: after how many bytes, one for each answer with the contents of that file.
    package var breaks: [String: [Int]] = [:]
    /// Answers that there are too many requests, before any other.
    package var busy = 0
    /// Files of which another byte is sent.
    package var damaged: [String: Int] = [:]
    package var ignoresRanges = false

    package init() {}
  }

  package static let commit = String(repeating: "a1", count: 20)
  package static let token = "hf_secret"
  /// From here on a file lies elsewhere, as with git LFS.
  private static let large = 1024

  package let server: TrialServer

  package var requests: [TrialServer.Request] { server.requests }
  package var address: String { server.address }

  /// - Parameter repositories: by `models/owner/name` or `datasets/owner/name`.
  package init(_ repositories: [String: Repository], _ moods: Moods = Moods()) throws(Failure) {
    let state = State(moods)
    server = try TrialServer { request, port in state.answer(request, repositories, port) }
  }

  private final class State: Sendable {
    let moods: Mutex<Moods>
    init(_ moods: Moods) { self.moods = Mutex(moods) }

    func answer(_ request: TrialServer.Request, _ repositories: [String: Repository], _ port: UInt16) -> TrialServer.Response {
      let isBusy = moods.withLock { moods in
        defer { moods.busy = max(0, moods.busy - 1) }
        return moods.busy > 0
      }
      if isBusy { return TrialServer.Response(429, Array("slow down".utf8), ["Retry-After": "1"]) }
      var parts = request.path.split(separator: "/").map(String.init)
      let isCDN = parts.first == "cdn"
      let isAPI = parts.first == "api"
      if isCDN || isAPI { parts.removeFirst() }
      if isAPI, parts.count == 1 { return names(parts[0], request, repositories) }
      if parts.first != "datasets", parts.first != "models" { parts.insert("models", at: 0) }
      let name = parts.prefix(3).joined(separator: "/")
      let rest = Array(parts.dropFirst(3))
      guard let repository = repositories[name] else {
        return TrialServer.Response(404, Array("Repository not found".utf8), ["X-Error-Code": "RepoNotFound"])
      }
      let isKnown = request.headers["authorization"] == "Bearer \(TrialHub.token)"
      if repository.isGated, !isKnown, !isCDN {
        return TrialServer.Response(401, Array("Access to it is restricted".utf8), ["X-Error-Code": "GatedRepo"])
      }
      if isAPI { return information(repository, rest) }
      guard rest.count >= 3, ["main", TrialHub.commit].contains(rest[1]) else { return TrialServer.Response(404, [], ["X-Error-Code": "RevisionNotFound"]) }
      let path = rest.dropFirst(2).joined(separator: "/")
      guard let bytes = repository.files[path] else { return TrialServer.Response(404, [], ["X-Error-Code": "EntryNotFound"]) }
      var headers = ["X-Repo-Commit": TrialHub.commit]
      if bytes.count >= TrialHub.large, !isCDN {
        headers["X-Linked-Etag"] = "\"\(SHA256.hex(bytes))\""
        headers["X-Linked-Size"] = "\(bytes.count)"
        // Another host of the same machine.
        headers["Location"] = "http://localhost:\(port)/cdn/\(name)/resolve/main/\(path)?signed=1"
        return TrialServer.Response(302, Array("moved".utf8), headers)
      }
      headers["ETag"] = "\"\(bytes.count >= TrialHub.large ? SHA256.hex(bytes) : SHA1.gitBlob(bytes))\""
      return contents(bytes, path, request, headers)
    }

    private func contents(
      _ bytes: [UInt8], _ path: String, _ request: TrialServer.Request, _ headers: [String: String]
    ) -> TrialServer.Response {
      var sent = bytes
      let (damaged, breaks, ignores) = moods.withLock { moods in
        let isAsked = request.method == "GET"
        return (moods.damaged[path], isAsked && moods.breaks[path]?.isEmpty == false ? moods.breaks[path]?.removeFirst() : nil, moods.ignoresRanges)
      }
      if let damaged { sent[damaged] ^= 1 }
      var response = TrialServer.Response(200, sent, headers)
      if let start = request.start, !ignores {
        if start >= bytes.count { return TrialServer.Response(416) }
        response.status = 206
        response.body = Array(sent[start...])
        response.headers["Content-Range"] = "bytes \(start)-\(bytes.count - 1)/\(bytes.count)"
      }
      response.breaksAfter = breaks
      return response
    }

    private func information(_ repository: Repository, _ rest: [String]) -> TrialServer.Response {
      guard rest.first == "revision", rest.count == 2, ["main", TrialHub.commit].contains(rest[1]) else {
        return TrialServer.Response(404, Array("Invalid rev id".utf8), ["X-Error-Code": "RevisionNotFound"])
      }
      let files: [JSON] = repository.files.keys.sorted().map { path in
        let bytes = repository.files[path] ?? []
        var item: JSON.Object = ["rfilename": .string(path), "size": .integer(bytes.count), "blobId": .string(SHA1.gitBlob(bytes))]
        if bytes.count >= TrialHub.large {
          item["lfs"] = ["sha256": .string(SHA256.hex(bytes)), "size": .integer(bytes.count), "pointerSize": 134]
        }
        return .object(item)
      }
      let answer: JSON = ["id": "x/y", "sha": .string(TrialHub.commit), "private": false, "tags": [], "downloads": 0, "likes": 0, "siblings": .array(files)]
      return TrialServer.Response(200, Array(answer.text().utf8), ["Content-Type": "application/json"])
    }

    private func names(_ kind: String, _ request: TrialServer.Request, _ repositories: [String: Repository]) -> TrialServer.Response {
      let owner = request.target.ranges(of: "author=").last.map { request.target[$0.upperBound...].prefix { $0 != "&" } } ?? ""
      let found = repositories.keys.filter { $0.hasPrefix("\(kind)/\(owner)/") }.sorted()
      let items: [JSON] = found.map { ["id": .string(String($0.dropFirst(kind.count + 1))), "private": false, "tags": [], "downloads": 0, "likes": 0] }
      return TrialServer.Response(200, Array(JSON.array(items).text().utf8), ["Content-Type": "application/json"])
    }
  }
}
