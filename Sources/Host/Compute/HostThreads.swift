import CKernels
import Support

/// Calls `body` for 0 ..< count on as many threads of the host as there are cores, and returns what it gave, in order.
func concurrently<R: Sendable>(_ count: Int, _ body: (Int) -> R) -> [R] {
  guard count > 1, let pool = unsafe nrk_pool_create(Int32(min(count, CPUBackend.availableCores))) else { return (0..<count).map(body) }
  defer { unsafe nrk_pool_destroy(pool) }
  let results = WaitableState<[Int: R]>([:])
  return withoutActuallyEscaping(body) { body in
    let work = Work { index in
      let result = body(index)
      results.change { $0[index] = result }
    }
    unsafe nrk_parallel(
      pool, Int64(count),
      { context, index, _ in
        guard let context = unsafe context else { return }
        unsafe Unmanaged<Work>.fromOpaque(context).takeUnretainedValue().run(Int(index))
      }, Unmanaged.passUnretained(work).toOpaque())
    return results.change { found in (0..<count).compactMap { found[$0] } }
  }
}

/// What a thread of C is given of a closure.
private final class Work {
  let run: (Int) -> Void
  init(_ run: @escaping (Int) -> Void) { self.run = run }
}
