internal import CPluginCheck
import Support

/// One end of the way between a run and the process of its plugin: messages lie in memory that both map, a socket says when there is one.
@safe final class PluginChannel {
  /// A message's kind: a call, or how it ended.
  enum Kind: Int {
    case open = 1, select, advantages, loss, save, restore
    /// An answer, and an answer that is a failure.
    case done, failed
  }

  /// Descriptors of the plugin's process.
  static let socketDescriptor: Int32 = 3
  static let memoryDescriptor: Int32 = 4
  static let reportDescriptor: Int32 = 5

  private let socket: Int32
  private let memory: Int32
  private var mapping: UnsafeMutableRawBufferPointer
  private static let chunk = 1 << 20

  /// - Parameters:
  ///   - socket: closed with this.
  ///   - memory: a file of memory, closed with this.
  init(socket: Int32, memory: Int32) {
    (self.socket, self.memory) = (socket, memory)
    unsafe mapping = unsafe UnsafeMutableRawBufferPointer(start: nil, count: 0)
  }

  deinit {
    if let start = unsafe mapping.baseAddress { unsafe munmap(start, mapping.count) }
    close(socket)
    close(memory)
  }

  /// Both ends of a new way: this process's, and two descriptors for the other's, which are the caller's to close.
  static func make() throws(Failure) -> (channel: PluginChannel, socket: Int32, memory: Int32) {
    var ends: [Int32] = [-1, -1]
    if unsafe nr_channel(&ends) != 0 { throw .inputOutput("cannot make a channel to the plugin's process: \(lastSystemError())") }
    let memory = nr_shared_file()
    let copy = fcntl(memory, F_DUPFD_CLOEXEC, 10)
    if memory < 0 || copy < 0 {
      for end in ends { close(end) }
      if memory >= 0 { close(memory) }
      throw .inputOutput("cannot make memory to share with the plugin's process: \(lastSystemError())")
    }
    return (PluginChannel(socket: ends[0], memory: memory), ends[1], copy)
  }

  /// What a header is: the message's kind and its length.
  private static let headerBytes = 16

  /// Says a message; false where the other end is gone.
  func send(_ kind: Kind, _ message: PluginWireWriter = PluginWireWriter()) throws(Failure) -> Bool {
    let bytes = message.bytes
    try map(atLeast: bytes.count, growing: true)
    unsafe mapping.copyBytes(from: bytes)
    var header: [UInt8] = []
    for number in [kind.rawValue, bytes.count] { unsafe withUnsafeBytes(of: number) { unsafe header.append(contentsOf: $0) } }
    while true {
      let count = unsafe nr_send(socket, header, header.count)
      if count == header.count { return true }
      if count < 0 && errno == EINTR { continue }
      return false
    }
  }

  /// The next message; nil where the other end is gone.
  func receive() throws(Failure) -> (Kind, PluginWireReader)? {
    var header = [UInt8](repeating: 0, count: Self.headerBytes)
    var filled = 0
    while filled < header.count {
      let count = unsafe header.withUnsafeMutableBytes { unsafe read(socket, $0.baseAddress! + filled, $0.count - filled) }
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { return nil }
      filled += count
    }
    let (kind, length) = unsafe header.withUnsafeBytes { unsafe ($0.loadUnaligned(as: Int.self), $0.loadUnaligned(fromByteOffset: 8, as: Int.self)) }
    guard let kind = Kind(rawValue: kind), length >= 0, length <= 1 << 40 else { throw .internalError("the plugin writes to descriptor \(Self.socketDescriptor), which is not its business") }
    try map(atLeast: length, growing: false)
    return (kind, PluginWireReader(unsafe Array(mapping[..<length])))
  }

  /// Whether there is a message, or the other end is gone, within so long.
  func isReady(within milliseconds: Int32) -> Bool {
    var polled = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&polled, 1, milliseconds) > 0
  }

  private func map(atLeast bytes: Int, growing: Bool) throws(Failure) {
    if unsafe bytes <= mapping.count { return }
    let size = (bytes / Self.chunk + 1) * Self.chunk
    var status = stat()
    if growing, unsafe fstat(memory, &status) == 0, status.st_size < size, ftruncate(memory, off_t(size)) != 0 {
      throw .inputOutput("no room for \(size) bytes shared with the plugin's process: \(lastSystemError())")
    }
    guard unsafe fstat(memory, &status) == 0, status.st_size >= bytes else { throw .internalError("what is shared with the plugin's process has been cut") }
    let whole = Int(status.st_size)
    let start = unsafe mmap(nil, whole, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0)
    guard let start = unsafe start, unsafe start != MAP_FAILED else { throw .inputOutput("cannot map \(whole) bytes: \(lastSystemError())") }
    if let old = unsafe mapping.baseAddress { unsafe munmap(old, mapping.count) }
    unsafe mapping = unsafe UnsafeMutableRawBufferPointer(start: start, count: whole)
  }
}
