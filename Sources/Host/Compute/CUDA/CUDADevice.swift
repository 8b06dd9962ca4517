import CCUDA
import Support
import Synchronization

/// A GPU with its kernels: memory, copies and launches on one stream, in the order of the calls.
///
/// What goes wrong on the device is kept and said where something is asked of it: a launch does not throw.
@safe package final class CUDADevice: DeviceQueue, @unchecked Sendable {
  package let properties: CUDADeviceProperties
  let driver: CUDADriver
  private let context: UnsafeMutableRawPointer?
  private let stream: UnsafeMutableRawPointer?
  private let modules: [UnsafeMutableRawPointer?]
  private let kernels: [String: LoadedKernel]
  private let staging: StagingRing
  private let blocks = Mutex<[Int: [PinnedBlock.Memory]]>([:])
  private let failed = Mutex<Failure?>(nil)
  private let use = Mutex(MemoryUse())
  /// Memory that was given back, by size: what is queued on it comes before what whoever takes it next queues.
  private let kept = Mutex<[Int: [UInt]]>([:])
  private let keptBytes = Atomic<Int>(0)
  private let isRecording = Atomic<Bool>(false)
  private static let mostKept = 64 << 20

  @safe private struct LoadedKernel {
    let function: UnsafeMutableRawPointer?
    let threads: UInt32
  }

  /// - Parameters:
  ///   - sources: files whose kernels are to be had.
  ///   - progress: called once with the number of files that have to be compiled, where there are any.
  package init(
    _ driver: CUDADriver, ordinal: Int, compiler: KernelCompiler, cache: KernelCache, sources: KernelSources = .all,
    progress: (Int) -> Void = { _ in }
  ) throws(Failure) {
    self.driver = driver
    properties = try driver.device(ordinal)
    guard properties.capability >= CUDADeviceProperties.leastCapability else {
      throw .usage("cuda:\(ordinal): \(properties.name) has compute capability \(properties.capability / 10).\(properties.capability % 10); 8.0 is the least that there are kernels for")
    }
    let code = MachineCode(sources, architecture: "sm_\(properties.capability)", compiler, cache)
    let images = try code.images(progress)
    let table = driver.table
    var context: UnsafeMutableRawPointer?
    unsafe context = nil
    try driver.check(unsafe table.retain_context(&context, properties.handle), "cuda:\(ordinal)")
    try driver.check(unsafe table.set_context(context), "cuda:\(ordinal)")
    var stream: UnsafeMutableRawPointer?
    unsafe stream = nil
    try driver.check(unsafe table.create_stream(&stream, UInt32(NRC_STREAM_NON_BLOCKING)), "cuda:\(ordinal): a stream")
    var modules: [UnsafeMutableRawPointer?] = unsafe []
    var kernels: [String: LoadedKernel] = [:]
    for (index, file) in sources.files.enumerated() {
      var module: UnsafeMutableRawPointer?
      unsafe module = nil
      var status = unsafe table.load_module(&module, images[index].bytes)
      // What was kept may be another machine's or another compiler's of the same version.
      if status != 0, images[index].isKept { status = unsafe table.load_module(&module, try code.compiled(index)) }
      try driver.check(status, "cuda:\(ordinal): the machine code of \(file.name)")
      unsafe modules.append(module)
      for kernel in file.kernels {
        var function: UnsafeMutableRawPointer?
        unsafe function = nil
        try driver.check(unsafe table.function(&function, module, kernel.name), "cuda:\(ordinal): \(kernel.name) of \(file.name)")
        _ = unsafe table.set_function_attribute(function, Int32(NRC_FUNCTION_SHARED_LIMIT), Int32(properties.sharedBytes))
        kernels[kernel.name] = unsafe LoadedKernel(function: function, threads: UInt32(kernel.threads))
      }
    }
    unsafe self.context = context
    unsafe self.stream = stream
    unsafe self.modules = modules
    self.kernels = kernels
    staging = try StagingRing(driver)
  }

  deinit {
    let table = driver.table
    _ = unsafe table.set_context(context)
    _ = unsafe table.wait_for_stream(stream)
    freeKept()
    staging.release(driver)
    for list in blocks.withLock({ $0.values }) { for memory in list { memory.release(driver) } }
    for unsafe module in unsafe modules { _ = unsafe table.unload_module(module) }
    _ = unsafe table.destroy_stream(stream)
    _ = table.release_context(properties.handle)
  }

  // MARK: What went wrong

  /// The first thing that went wrong on the device.
  package func check() throws(Failure) {
    if let failure = failed.withLock({ $0 }) { throw failure }
  }

  /// Keeps what went wrong for whoever asks something of the device next.
  package func fail(_ failure: Failure) { failed.withLock { if $0 == nil { $0 = failure } } }

  private func note(_ status: nrc_status, _ what: @autoclosure () -> String) {
    guard status != 0 else { return }
    fail(.internalError("cuda:\(properties.ordinal): \(what()): \(driver.text(status))"))
  }

  private func require(_ status: nrc_status, _ what: @autoclosure () -> String) throws(Failure) {
    note(status, what())
    try check()
  }

  private func makeCurrent() { note(unsafe driver.table.set_context(context), "the context") }

  // MARK: Memory

  /// What is taken for so many bytes.
  static func rounded(_ byteCount: Int) -> Int { (max(byteCount, 1) + 255) / 256 * 256 }

  package var driverVersion: Int { driver.version }
  package var memory: MemoryUse { use.withLock { $0 } }

  /// Bytes that are free now.
  package func availableBytes() throws(Failure) -> Int {
    makeCurrent()
    var (available, total) = (0, 0)
    try require(unsafe driver.table.memory_info(&available, &total), "its memory")
    return available
  }

  /// Cleared memory.
  package func allocate(_ byteCount: Int) throws(Failure) -> Storage {
    try check()
    makeCurrent()
    let size = Self.rounded(byteCount)
    let address = try address(of: size)
    note(unsafe driver.table.fill(nrc_address(address), 0, size, stream), "clearing memory")
    use.withLock { $0.take(size) }
    return Storage(address: address, byteCount: size) { [self] address, size in
      use.withLock { $0.bytes -= size }
      if keptBytes.load(ordering: .relaxed) + size <= Self.mostKept {
        keptBytes.add(size, ordering: .relaxed)
        kept.withLock { $0[size, default: []].append(address) }
      } else {
        free([address])
      }
    }
  }

  private func address(of size: Int) throws(Failure) -> UInt {
    if let address = kept.withLock({ $0[size]?.popLast() }) {
      keptBytes.subtract(size, ordering: .relaxed)
      return address
    }
    var address: nrc_address = 0
    var status = unsafe driver.table.allocate(&address, size)
    if status == NRC_OUT_OF_MEMORY {
      freeKept()
      status = unsafe driver.table.allocate(&address, size)
    }
    if status == NRC_OUT_OF_MEMORY {
      throw .internalError(
        "out of memory: cannot allocate \(size >> 20) MiB on cuda:\(properties.ordinal); use fewer sequences at a time, a shorter length, --quantize nf4 or --checkpointing on")
    }
    try require(status, "an allocation of \(size >> 20) MiB")
    return UInt(address)
  }

  /// Gives memory back to the driver when nothing is queued on it any more.
  private func free(_ addresses: [UInt]) {
    guard !addresses.isEmpty else { return }
    makeCurrent()
    note(unsafe driver.table.wait_for_stream(stream), "its work")
    for address in addresses { note(driver.table.free(nrc_address(address)), "giving memory back") }
  }

  private func freeKept() {
    let all = kept.withLock { kept in
      defer { kept = [:] }
      return kept
    }
    for (size, addresses) in all { keptBytes.subtract(size * addresses.count, ordering: .relaxed) }
    free(all.values.flatMap { $0 })
  }

  // MARK: Copies

  /// Copies bytes to the device; they are staged when it returns.
  package func upload(_ bytes: UnsafeRawBufferPointer, to address: UInt) {
    // A graph would read the ring again, where something else lies by then.
    precondition(!isRecording.load(ordering: .relaxed), "what is recorded reads nothing of the host")
    makeCurrent()
    unsafe staging.each(bytes, driver, stream) { place, offset, count in
      note(unsafe driver.table.copy_to_device(nrc_address(address) + UInt64(offset), place, count, stream), "a copy to the device")
    }
  }

  /// A copy of bytes of the device, which are there when they are asked for.
  package func download<Element: BitwiseCopyable & Sendable>(_ address: UInt, count: Int, as type: Element.Type) throws(Failure)
    -> Pending<[Element]>
  {
    if count == 0 { return Pending([]) }
    try check()
    makeCurrent()
    let size = count * MemoryLayout<Element>.stride
    let block = try PinnedBlock(self, byteCount: size)
    try require(unsafe driver.table.copy_to_host(block.pointer, nrc_address(address), size, stream), "a copy from the device")
    try require(unsafe driver.table.record_event(block.event, stream), "an event")
    return Pending { [self] () throws(Failure) in
      makeCurrent()
      try require(unsafe driver.table.wait_for_event(block.event), "its work")
      let start = unsafe block.pointer.assumingMemoryBound(to: Element.self)
      return unsafe Array(UnsafeBufferPointer(start: start, count: count))
    }
  }

  package func copy(from source: UInt, to destination: UInt, byteCount: Int) {
    guard byteCount > 0 else { return }
    makeCurrent()
    note(unsafe driver.table.copy_on_device(nrc_address(destination), nrc_address(source), byteCount, stream), "a copy on the device")
  }

  package func clear(_ address: UInt, byteCount: Int) {
    guard byteCount > 0 else { return }
    makeCurrent()
    note(unsafe driver.table.fill(nrc_address(address), 0, byteCount, stream), "clearing memory")
  }

  package func wait() throws(Failure) {
    makeCurrent()
    try require(unsafe driver.table.wait_for_stream(stream), "its work")
  }

  // MARK: Launches

  /// Queues a kernel over a grid of blocks; an empty grid is no launch.
  package func launch<Arguments>(
    _ name: StaticString, grid x: Int, y: Int, z: Int, shared: Int, _ arguments: Arguments
  ) {
    guard x > 0, y > 0, z > 0 else { return }
    guard let kernel = kernels[name.description] else { preconditionFailure("no kernel \(name)") }
    makeCurrent()
    note(
      unsafe withUnsafePointer(to: driver.table) { table in
        unsafe withUnsafePointer(to: arguments) { pointer in
          unsafe nrc_launch(
            table, kernel.function, UInt32(x), UInt32(y), UInt32(z), kernel.threads, UInt32(shared), stream, pointer)
        }
      }, "\(name)")
  }

  package func queue(_ what: String, _ body: (_ stream: UnsafeMutableRawPointer?) -> Int32) {
    makeCurrent()
    let status = unsafe body(stream)
    if status != 0 { fail(.internalError("cuda:\(properties.ordinal): \(what): status \(status)")) }
  }

  // MARK: Graphs

  /// Launches of a body, to be queued together.
  @safe private final class Graph: @unchecked Sendable {
    let executable: UnsafeMutableRawPointer?
    private let device: CUDADevice

    init(_ executable: UnsafeMutableRawPointer?, _ device: CUDADevice) {
      unsafe self.executable = executable
      self.device = device
    }

    deinit {
      device.makeCurrent()
      device.note(unsafe device.driver.table.destroy_executable(executable), "giving a graph back")
    }
  }

  package func graph(_ body: () throws(Failure) -> Void) throws(Failure) -> (any Sendable & AnyObject)? {
    try check()
    makeCurrent()
    try require(unsafe driver.table.begin_capture(stream, Int32(NRC_CAPTURE_OF_THREAD)), "a recording")
    isRecording.store(true, ordering: .relaxed)
    let outcome: Result<Void, Failure>
    do throws(Failure) { outcome = .success(try body()) } catch { outcome = .failure(error) }
    isRecording.store(false, ordering: .relaxed)
    var graph: UnsafeMutableRawPointer?
    unsafe graph = nil
    let ended = unsafe driver.table.end_capture(stream, &graph)
    try outcome.get()
    try require(ended, "a recording")
    var executable: UnsafeMutableRawPointer?
    unsafe executable = nil
    let made = unsafe driver.table.make_executable(&executable, graph, 0)
    note(unsafe driver.table.destroy_graph(graph), "giving a graph back")
    try require(made, "a graph")
    return unsafe Graph(executable, self)
  }

  package func launch(graph: any Sendable & AnyObject) throws(Failure) {
    guard let graph = graph as? Graph else { preconditionFailure("a graph of this device") }
    try check()
    makeCurrent()
    note(unsafe driver.table.launch_graph(graph.executable, stream), "a graph")
  }

  // MARK: Pinned memory

  /// Pinned memory of a download, with the event that says it is there; goes back to be used again.
  @safe private final class PinnedBlock: @unchecked Sendable {
    @safe struct Memory: @unchecked Sendable {
      let pointer: UnsafeMutableRawPointer
      let event: UnsafeMutableRawPointer?

      func release(_ driver: CUDADriver) {
        _ = unsafe driver.table.destroy_event(event)
        _ = unsafe driver.table.free_host(pointer)
      }
    }
    private let memory: Memory
    private let size: Int
    private let device: CUDADevice

    var pointer: UnsafeMutableRawPointer { unsafe memory.pointer }
    var event: UnsafeMutableRawPointer? { unsafe memory.event }

    init(_ device: CUDADevice, byteCount: Int) throws(Failure) {
      var size = 4096
      while size < byteCount { size *= 2 }
      self.size = size
      self.device = device
      if let memory = device.blocks.withLock({ $0[size]?.popLast() }) {
        self.memory = memory
        return
      }
      var pointer: UnsafeMutableRawPointer?
      unsafe pointer = nil
      try device.require(unsafe device.driver.table.allocate_host(&pointer, size, 0), "pinned memory")
      var event: UnsafeMutableRawPointer?
      unsafe event = nil
      try device.require(unsafe device.driver.table.create_event(&event, UInt32(NRC_EVENT_NO_TIMING)), "an event")
      memory = unsafe Memory(pointer: pointer!, event: event)
    }

    /// What is written into it next comes later on the same stream.
    deinit { device.blocks.withLock { $0[size, default: []].append(memory) } }
  }
}

/// Pinned memory through which bytes go to the device: a part is used again when what was copied from it has arrived.
@safe final class StagingRing: @unchecked Sendable {
  static let segmentBytes = 1 << 20
  private static let segments = 8

  private let memory: UnsafeMutableRawPointer
  private var events: [UnsafeMutableRawPointer?]
  private var isInFlight = Array(repeating: false, count: StagingRing.segments)
  private var segment = 0
  private var used = 0
  private let lock = Mutex(())

  init(_ driver: CUDADriver) throws(Failure) {
    var pointer: UnsafeMutableRawPointer?
    unsafe pointer = nil
    try driver.check(unsafe driver.table.allocate_host(&pointer, Self.segmentBytes * Self.segments, 0), "pinned memory")
    unsafe memory = pointer!
    unsafe events = []
    for _ in 0..<Self.segments {
      var event: UnsafeMutableRawPointer?
      unsafe event = nil
      try driver.check(unsafe driver.table.create_event(&event, UInt32(NRC_EVENT_NO_TIMING)), "an event")
      unsafe events.append(event)
    }
  }

  func release(_ driver: CUDADriver) {
    for unsafe event in unsafe events { _ = unsafe driver.table.destroy_event(event) }
    _ = unsafe driver.table.free_host(memory)
  }

  /// Copies bytes into the ring, a part after another, each to be queued as it is there.
  func each(
    _ bytes: UnsafeRawBufferPointer, _ driver: CUDADriver, _ stream: UnsafeMutableRawPointer?,
    queue: (_ place: UnsafeRawPointer, _ offset: Int, _ count: Int) -> Void
  ) {
    lock.withLock { _ in
      var done = 0
      while done < bytes.count {
        let count = min(bytes.count - done, Self.segmentBytes)
        let place = unsafe take(count, driver, stream)
        unsafe place.copyMemory(from: bytes.baseAddress! + done, byteCount: count)
        unsafe queue(place, done, count)
        done += count
      }
    }
  }

  /// A place for at most `segmentBytes`, to be copied from on the stream.
  private func take(_ count: Int, _ driver: CUDADriver, _ stream: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer {
    if used + count > Self.segmentBytes {
      _ = unsafe driver.table.record_event(events[segment], stream)
      isInFlight[segment] = true
      segment = (segment + 1) % Self.segments
      used = 0
      if isInFlight[segment] {
        _ = unsafe driver.table.wait_for_event(events[segment])
        isInFlight[segment] = false
      }
    }
    defer { used += (count + 63) / 64 * 64 }
    return unsafe memory + segment * Self.segmentBytes + used
  }
}
