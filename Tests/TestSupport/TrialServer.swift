import Support
import Synchronization

/// An HTTP server on the loopback interface that answers as a test says: one request a connection.
package final class TrialServer: Sendable {
  package struct Request: Sendable {
    package let method: String
    /// Path and query.
    package let target: String
    package let headers: [String: String]

    package var path: String { String(target.prefix { $0 != "?" }) }
    /// The first byte that is asked for.
    package var start: Int? { headers["range"].flatMap { Int($0.dropFirst("bytes=".count).prefix { $0.isNumber }) } }
  }

  package struct Response: Sendable {
    package var status: Int
    package var headers: [String: String]
    package var body: [UInt8]
    /// The connection breaks behind so many bytes of the body.
    package var breaksAfter: Int?

    package init(_ status: Int, _ body: [UInt8] = [], _ headers: [String: String] = [:]) {
      self.status = status
      self.body = body
      self.headers = headers
    }
  }

  package let port: UInt16
  private let listener: Int32
  private let log: Log

  private final class Log: Sendable {
    let requests = Mutex<[Request]>([])
  }

  package var requests: [Request] { log.requests.withLock { $0 } }
  package var address: String { "http://127.0.0.1:\(port)" }

  package init(_ answer: @escaping @Sendable (Request, UInt16) -> Response) throws(Failure) {
    signal(SIGPIPE, SIG_IGN)
    #if os(Linux)
    let kind = Int32(SOCK_STREAM.rawValue)
    #else
    let kind = SOCK_STREAM
    #endif
    let listener = socket(AF_INET, kind, 0)
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = unsafe withUnsafeMutablePointer(to: &place) { place in
      unsafe place.withMemoryRebound(to: sockaddr.self, capacity: 1) { place in
        unsafe bind(listener, place, length) == 0 && listen(listener, 64) == 0 && getsockname(listener, place, &length) == 0
      }
    }
    if !isBound { throw .inputOutput("no port for a test: \(lastSystemError())") }
    let port = UInt16(bigEndian: place.sin_port)
    let log = Log()
    (self.port, self.listener, self.log) = (port, listener, log)
    _ = BackgroundThread.start {
      while true {
        let connection = accept(listener, nil, nil)
        if connection < 0 {
          if errno == EINTR || errno == ECONNABORTED { continue }
          return
        }
        _ = BackgroundThread.start {
          Self.serve(connection) { request in
            log.requests.withLock { $0.append(request) }
            return answer(request, port)
          }
          close(connection)
        }
      }
    }
  }

  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  private static func serve(_ connection: Int32, _ answer: (Request) -> Response) {
    guard let head = head(connection), let first = head.first?.split(separator: " "), first.count == 3 else { return }
    var headers: [String: String] = [:]
    for line in head.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      headers[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].drop { $0 == " " })
    }
    let response = answer(Request(method: String(first[0]), target: String(first[1]), headers: headers))
    var lines = ["HTTP/1.1 \(response.status) X", "Connection: close", "Content-Length: \(response.body.count)"]
    for (name, value) in response.headers { lines.append("\(name): \(value)") }
    var bytes = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    if first[0] != "HEAD" { bytes += response.breaksAfter.map { Array(response.body.prefix($0)) } ?? response.body }
    try? AtomicFile.write(bytes, descriptor: connection, name: "a connection")
    shutdown(connection, Int32(SHUT_WR))
  }

  /// The lines before the body.
  private static func head(_ connection: Int32) -> [String]? {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let text = String(decoding: bytes, as: UTF8.self)
      if text.hasSuffix("\r\n\r\n") { return text.split(separator: "\r\n").map(String.init) }
      let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(connection, $0.baseAddress!, $0.count) }
      if count <= 0 || bytes.count > 1 << 16 { return nil }
      bytes += buffer[..<count]
    }
  }
}
