import Compute
import Support
import TestSupport
import Testing

/// The host's side of a GPU: memory, copies and what goes wrong.
@Suite struct CUDADeviceTests {
  /// More than the staging ring holds, twice, so that parts of it are used again.
  @Test func bytesArriveHoweverMany() throws {
    let device = try Emulator.device()
    let storage = try device.allocate(20 << 20)
    for round in 0..<2 {
      let values = (0..<(5 << 20)).map { UInt32(truncatingIfNeeded: $0 &* 2_654_435_761 &+ round) }
      unsafe values.withUnsafeBytes { unsafe device.upload($0, to: storage.address) }
      let back = try device.download(storage.address, count: values.count, as: UInt32.self)
      // What is queued after a download does not change it.
      device.clear(storage.address, byteCount: storage.byteCount)
      #expect(try back.value() == values)
    }
    #expect(try device.download(storage.address, count: 100, as: UInt32.self).value().allSatisfy { $0 == 0 })
    #expect(try device.download(storage.address, count: 0, as: UInt32.self).value() == [])
  }

  @Test func memoryComesClearedAndIsCounted() throws {
    let device = try Emulator.device()
    #expect(device.memory.bytes == 0)
    var address: UInt = 0
    do {
      let first = try device.allocate(1000)
      address = first.address
      unsafe [UInt8](repeating: 7, count: 1000).withUnsafeBytes { unsafe device.upload($0, to: first.address) }
      #expect(device.memory.bytes == 1024 && device.memory.peakBytes == 1024)
    }
    #expect(device.memory.bytes == 0)
    // What was given back is taken again, and cleared.
    let second = try device.allocate(1010)
    #expect(second.address == address)
    #expect(try device.download(second.address, count: 1024, as: UInt8.self).value().allSatisfy { $0 == 0 })
    #expect(device.memory.bytes == 1024 && device.memory.allocations == 2)
  }

  @Test func rowsWithGapsAreReadAndWritten() throws {
    let backend = try CUDABackend(Emulator.device())
    let whole = try backend.tensor((0..<60).map(Float.init), rows: 6, columns: 10)
    let part = Tensor(storage: whole.storage, offset: 2, rows: 6, columns: 3, stride: 10)
    #expect(try backend.read(part) == (0..<6).flatMap { row in (2..<5).map { Float(10 * row + $0) } })
    backend.zero(part.rows(1..<3))
    let expected = (0..<60).map { index -> Float in (10..<30).contains(index) && (2..<5).contains(index % 10) ? 0 : Float(index) }
    #expect(try backend.read(whole) == expected)
    let copy = try backend.tensor(6, 3)
    backend.copy(part, to: copy)
    #expect(try backend.read(copy) == backend.read(part))
  }

  @Test func aCardThatIsNotThereIsSaid() throws {
    let driver = try CUDADriver(try Emulator.library())
    #expect(driver.deviceCount == 1)
    let error = #expect(throws: Failure.self) { try driver.device(5) }
    #expect(error?.message == "cuda:5: this machine has cuda:0 only")
    let card = try driver.device(0)
    #expect(card.capability == 90 && card.name.contains("emulated") && card.memoryBytes > 1 << 30)
  }

  @Test func aLibraryThatIsNoDriverIsSaid() throws {
    let libm = try DynamicLibrary("libm.so.6")
    let driver = #expect(throws: Failure.self) { try CUDADriver(libm) }
    #expect(driver?.message.hasPrefix("libm.so.6: the driver lacks cuInit") == true)
    let compiler = #expect(throws: Failure.self) { try KernelCompiler(libm) }
    #expect(compiler?.message.hasPrefix("libm.so.6: NVRTC lacks nvrtcVersion") == true)
  }

  @Test func aKernelThatDoesNotCompileIsSaidWithItsLine() throws {
    let sources = KernelSources.all.with(files: [("broken.cu", Array("#include \"device.cuh\"\nKERNEL(32, 1) broken(int n) {\n  int x = undeclared;\n}\n".utf8))])
    let error = #expect(throws: Failure.self) { try Emulator.device(sources: sources) }
    #expect(error?.message.contains("broken.cu for sm_90") == true && error?.message.contains("undeclared") == true)
  }

  /// A device that fails says so where something is asked of it, names the operation, and goes on saying it.
  @Test func whatGoesWrongOnTheDeviceIsSaidLater() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      let sources = KernelSources.all.with(
        files: [("wild.cu", Array("#include \"device.cuh\"\nKERNEL(32, 1) wild(u64 *x) { copy_async_16((u8 *)0, x + 99999999, true); }\n".utf8))])
      let device = try Emulator.device(sources: sources)
      let storage = try device.allocate(64)
      device.launch("wild", grid: 1, UInt64(storage.address))
      for _ in 0..<2 {
        do throws(Failure) { _ = try device.download(storage.address, count: 4, as: Float.self).value() } catch { print(error.message) }
      }
      do throws(Failure) { _ = try device.allocate(64) } catch { print(error.message) }
    }
    let lines = String(decoding: try #require(result).standardOutputContent, as: UTF8.self).split(separator: "\n")
    #expect(lines.count == 3 && Set(lines).count == 1)
    #expect(lines.first?.hasPrefix("cuda:0: ") == true && lines.first?.contains("CUDA_ERROR") == true)
  }

  @Test func withoutMemoryTheAdviceIsGiven() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      unsafe setenv("NREMU_MEMORY", "\(64 << 20)", 1)
      let backend = try CUDABackend(Emulator.device())
      let first = try backend.allocate(byteCount: 40 << 20)
      do throws(Failure) { _ = try backend.allocate(byteCount: 40 << 20) } catch { print(error.message) }
      print(first.byteCount >> 20, backend.memory.bytes >> 20)
    }
    let text = String(decoding: try #require(result).standardOutputContent, as: UTF8.self)
    #expect(text == "out of memory: cannot allocate 40 MiB on cuda:0; use fewer sequences at a time, a shorter length, --quantize nf4 or --checkpointing on\n40 40\n")
  }

  /// Nothing is of the first card: a second does the same, and its memory is its own.
  @Test func theSecondCardComputesToo() async throws {
    let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
      unsafe setenv("NREMU_DEVICES", "2", 1)
      let (first, second) = (try CUDABackend(Emulator.device(0)), try CUDABackend(Emulator.device(1)))
      var sums: [Double] = []
      for backend in [first, second, first] {
        let x = try backend.vector((0..<100).map(Float.init))
        backend.scale(x, by: 2)
        sums.append(try backend.sumOfSquares(x, backend.parts([0..<100])).value())
      }
      print(sums, first.name != second.name)
    }
    let text = String(decoding: try #require(result).standardOutputContent, as: UTF8.self)
    #expect(text == "[1313400.0, 1313400.0, 1313400.0] true\n")
  }

  /// What is recorded is queued as one piece from its third time on, and once more made where its memory has moved.
  @Test func aRecordingBecomesAGraph() throws {
    let backend = try CUDABackend(Emulator.device())
    let arena = try Arena(on: backend)
    let (x, y) = (try backend.tensor(1, 100), try backend.tensor(Array(repeating: 1, count: 100), rows: 1, columns: 100))
    var calls = 0
    let recording = try backend.record(in: arena) { () throws(Failure) in
      calls += 1
      try arena.scope { () throws(Failure) in
        let copy = try arena.tensor(1, 100)
        backend.copy(y, to: copy)
        backend.add(copy, to: x)
      }
    }
    // The first run gave the arena its memory, so the second runs at a place of its own; the third is recorded.
    for _ in 0..<6 { try backend.replay(recording) }
    #expect(calls == 3)
    #expect(try backend.read(x) == Array(repeating: 7, count: 100))
    try arena.scope { () throws(Failure) in
      _ = try arena.tensor(1, 50)
      for _ in 0..<4 { try backend.replay(recording) }
    }
    #expect(calls == 5)
    #expect(try backend.read(x) == Array(repeating: 11, count: 100))
  }
}
