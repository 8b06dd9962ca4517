/// Wall time on the monotonic clock.
package struct Stopwatch: Sendable {
  private var start: ContinuousClock.Instant

  package init() { start = ContinuousClock.now }

  /// Seconds since the start or the last ``lap()``.
  package var seconds: Double { (ContinuousClock.now - start) / .seconds(1) }

  /// Seconds since the start or the last lap; begins the next one.
  package mutating func lap() -> Double {
    let now = ContinuousClock.now
    defer { start = now }
    return (now - start) / .seconds(1)
  }
}

extension Stopwatch {
  /// Nanoseconds since the machine started, to name temporary things.
  package static var nanoseconds: UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
