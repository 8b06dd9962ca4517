import CKernels
import Support

/// Calls `body` for 0 ..< count on as many threads of the host as there are cores, and returns what it gave, in order.
func concurrently<R: Sendable>(_ count: Int, _ body: (Int) -> R) -> [R] {
  guard count > 1, let pool = unsafe nrk_pool_create(Int32(min(count, CPUBackend.availableCores))) else { return (0..<count).map(body) }
  defer { unsafe nrk_pool_destroy(pool) }
  return withoutActuallyEscaping(body) { body in
    let work = Work(count, body)
    unsafe nrk_parallel(
      pool, Int64(count),
      { context, index, _ in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<AnyWork>.fromOpaque(context).takeUnretainedValue().run(Int(index))
      }, Unmanaged<AnyWork>.passUnretained(work).toOpaque())
    return work.taken()
  }
}

private class AnyWork {
  func run(_ index: Int) {}
}

private final class Work<R: Sendable>: AnyWork, @unchecked Sendable {
  private let body: (Int) -> R
  private let results: WaitableState<[Int: R]>
  private let count: Int

  init(_ count: Int, _ body: @escaping (Int) -> R) {
    self.count = count
    self.body = body
    results = WaitableState([:])
  }

  override func run(_ index: Int) {
    let result = body(index)
    results.change { $0[index] = result }
  }

  func taken() -> [R] { results.change { found in (0..<count).compactMap { found[$0] } } }
}
