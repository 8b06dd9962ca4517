import CHub
import Support

/// The system's libcurl, opened when it is needed.
@safe struct CurlLibrary {
  static let names = ["libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.so", "libcurl.4.dylib"]

  let library: DynamicLibrary
  fileprivate let setOption: UnsafeMutableRawPointer
  fileprivate let create: @convention(c) () -> OpaquePointer?
  fileprivate let perform: @convention(c) (OpaquePointer) -> Int32
  fileprivate let free: @convention(c) (OpaquePointer) -> Void
  fileprivate let describe: @convention(c) (Int32) -> UnsafePointer<CChar>?
  fileprivate let append: @convention(c) (OpaquePointer?, UnsafePointer<CChar>) -> OpaquePointer?
  fileprivate let freeList: @convention(c) (OpaquePointer?) -> Void

  /// The library as this process has it; nil where there is none.
  static let shared = CurlLibrary()

  private init?() {
    guard let library = DynamicLibrary.first(of: Self.names), let setOption = unsafe library.symbol("curl_easy_setopt"),
      let start = unsafe library.symbol("curl_global_init"), let create = unsafe library.symbol("curl_easy_init"),
      let perform = unsafe library.symbol("curl_easy_perform"), let free = unsafe library.symbol("curl_easy_cleanup"),
      let describe = unsafe library.symbol("curl_easy_strerror"), let append = unsafe library.symbol("curl_slist_append"),
      let freeList = unsafe library.symbol("curl_slist_free_all")
    else { return nil }
    typealias Start = @convention(c) (Int) -> Int32
    // CURL_GLOBAL_ALL
    guard unsafe unsafeBitCast(start, to: Start.self)(3) == 0 else { return nil }
    self.library = library
    unsafe self.setOption = setOption
    unsafe self.create = unsafe unsafeBitCast(create, to: (@convention(c) () -> OpaquePointer?).self)
    unsafe self.perform = unsafe unsafeBitCast(perform, to: (@convention(c) (OpaquePointer) -> Int32).self)
    unsafe self.free = unsafe unsafeBitCast(free, to: (@convention(c) (OpaquePointer) -> Void).self)
    unsafe self.describe = unsafe unsafeBitCast(describe, to: (@convention(c) (Int32) -> UnsafePointer<CChar>?).self)
    unsafe self.append = unsafe unsafeBitCast(append, to: (@convention(c) (OpaquePointer?, UnsafePointer<CChar>) -> OpaquePointer?).self)
    unsafe self.freeList = unsafe unsafeBitCast(freeList, to: (@convention(c) (OpaquePointer?) -> Void).self)
  }
}

// What dlsym gave is code that never goes away.
extension CurlLibrary: @unchecked Sendable {}

/// One request at a time over a connection that stays open between them.
@safe final class Curl {
  /// What came back, its body aside.
  struct Answer {
    var status = 0
    /// By names in small letters, of the last of all redirections.
    var headers: [String: String] = [:]
    /// The body of an answer that is no success, as far as it is of use.
    var complaint = ""
    /// What broke on the way; nil where the answer came whole.
    var problem: String?
  }

  /// What libcurl's callbacks work on.
  private final class Exchange {
    var answer = Answer()
    /// Takes a part of the body; false: it cannot be kept.
    let receive: (Answer, [UInt8]) -> Bool
    let goesOn: () -> Bool

    init(receive: @escaping (Answer, [UInt8]) -> Bool, goesOn: @escaping () -> Bool) {
      self.receive = receive
      self.goesOn = goesOn
    }

    func header(_ line: String) {
      // Each answer of a chain of redirections begins anew.
      if line.hasPrefix("HTTP/") {
        answer = Answer()
        answer.status = line.split(separator: " ").dropFirst().first.flatMap { Int($0.prefix(3)) } ?? 0
      } else if let colon = line.firstIndex(of: ":") {
        let value = line[line.index(after: colon)...].drop { $0 == " " }
        answer.headers[line[..<colon].lowercased()] = String(value.prefix { !$0.isNewline })
      }
    }

    func body(_ bytes: [UInt8]) -> Bool {
      if (200..<300).contains(answer.status) { return receive(answer, bytes) }
      if answer.complaint.utf8.count < 4096 { answer.complaint += String(decoding: bytes.prefix(4096), as: UTF8.self) }
      return true
    }
  }

  private enum Option {
    static let url: Int32 = 10002, headers: Int32 = 10023, followsRedirects: Int32 = 52, mostRedirects: Int32 = 68, noSignals: Int32 = 99
    static let connectSeconds: Int32 = 78, slowBytes: Int32 = 19, slowSeconds: Int32 = 20, agent: Int32 = 10018
    static let protocols: Int32 = 181, redirectProtocols: Int32 = 182, noProgress: Int32 = 43
    static let writer: Int32 = 20011, writerData: Int32 = 10001, headerWriter: Int32 = 20079, headerData: Int32 = 10029
    static let watcher: Int32 = 20219, watcherData: Int32 = 10057
    /// Bits of the protocols.
    static let http = 1, https = 2
  }

  private let curl: CurlLibrary
  private let handle: OpaquePointer
  private static let agent = "nano-reasoner"

  /// - Parameter isPlain: whether what is asked is not encrypted itself; what is encrypted is not redirected to what is not.
  init(_ curl: CurlLibrary, isPlain: Bool) throws(Failure) {
    guard let handle = unsafe curl.create() else { throw .internalError("libcurl cannot be initialised") }
    self.curl = curl
    unsafe self.handle = handle
    set(Option.followsRedirects, 1)
    set(Option.mostRedirects, 10)
    set(Option.noSignals, 1)
    set(Option.protocols, Option.http | Option.https)
    set(Option.redirectProtocols, isPlain ? Option.http | Option.https : Option.https)
    // What gives nothing for so long has broken; what is slow has not.
    set(Option.connectSeconds, 30)
    set(Option.slowBytes, 1)
    set(Option.slowSeconds, 60)
    set(Option.noProgress, 0)
    set(Option.agent, Self.agent)
  }

  deinit { unsafe curl.free(handle) }

  private func set(_ option: Int32, _ value: Int) { _ = unsafe nr_curl_set_long(curl.setOption, UnsafeMutableRawPointer(handle), option, value) }

  private func set(_ option: Int32, _ text: String) {
    // libcurl keeps a copy of its own.
    _ = unsafe text.withCString { unsafe nr_curl_set_pointer(curl.setOption, UnsafeMutableRawPointer(handle), option, $0) }
  }

  /// Asks for a URL.
  ///
  /// - Parameters:
  ///   - headers: lines as `Range: bytes=7-`. `Authorization` is not sent on to other hosts.
  ///   - receive: takes the parts of the body of a success; false ends the transfer.
  ///   - goesOn: asked all the time; false ends the transfer.
  func get(
    _ url: String, headers: [String], goesOn: @escaping () -> Bool = { true }, receive: @escaping (Answer, [UInt8]) -> Bool
  ) -> Answer {
    let exchange = Exchange(receive: receive, goesOn: goesOn)
    let data = unsafe Unmanaged.passUnretained(exchange).toOpaque()
    let (function, whole) = unsafe (curl.setOption, UnsafeMutableRawPointer(handle))
    set(Option.url, url)
    var list: OpaquePointer?
    for header in headers { unsafe list = curl.append(list, header) ?? list }
    defer { unsafe curl.freeList(list) }
    _ = unsafe nr_curl_set_pointer(function, whole, Option.headers, list.map { unsafe UnsafeRawPointer($0) })
    for option in [Option.writerData, Option.headerData, Option.watcherData] { _ = unsafe nr_curl_set_pointer(function, whole, option, data) }
    _ = unsafe nr_curl_set_writer(function, whole, Option.writer) { bytes, size, count, data in
      guard let data = unsafe data else { return 0 }
      let exchange = unsafe Unmanaged<Exchange>.fromOpaque(data).takeUnretainedValue()
      return unsafe exchange.body(Array(UnsafeRawBufferPointer(start: bytes, count: size * count))) ? size * count : 0
    }
    _ = unsafe nr_curl_set_writer(function, whole, Option.headerWriter) { bytes, size, count, data in
      guard let data = unsafe data else { return 0 }
      let exchange = unsafe Unmanaged<Exchange>.fromOpaque(data).takeUnretainedValue()
      unsafe exchange.header(String(decoding: UnsafeRawBufferPointer(start: bytes, count: size * count), as: UTF8.self))
      return size * count
    }
    _ = unsafe nr_curl_set_watcher(function, whole, Option.watcher) { data, _, _, _, _ in
      guard let data = unsafe data else { return 1 }
      return unsafe Unmanaged<Exchange>.fromOpaque(data).takeUnretainedValue().goesOn() ? 0 : 1
    }
    let code = withExtendedLifetime(exchange) { unsafe curl.perform(handle) }
    var answer = exchange.answer
    if code != 0 { answer.problem = unsafe curl.describe(code).map { unsafe String(cString: $0) } ?? "libcurl error \(code)" }
    return answer
  }
}
