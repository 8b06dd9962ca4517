import Support
import Telemetry
import Testing

@Suite struct TimestampTests {
  @Test(
    "Times are ISO 8601 in UTC",
    arguments: [
      (0, 0, "1970-01-01T00:00:00.000Z"), (951_782_400, 7, "2000-02-29T00:00:00.007Z"),
      (1_772_368_496, 789, "2026-03-01T12:34:56.789Z"), (-1, 0, "1969-12-31T23:59:59.000Z"),
      (4_107_542_399, 999, "2100-02-28T23:59:59.999Z"),
    ])
  func time(seconds: Int, milliseconds: Int, text: String) {
    #expect(Timestamp(secondsSince1970: seconds, milliseconds: milliseconds).description == text)
  }

  @Test("The time now is that of the clock, in the same form") func now() {
    var clock = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &clock)
    func text(_ milliseconds: Int) -> String {
      Timestamp(secondsSince1970: clock.tv_sec + milliseconds / 1000, milliseconds: milliseconds % 1000).description
    }
    // The form sorts as time does.
    let now = Timestamp.now.description
    #expect(text(clock.tv_nsec / 1_000_000) <= now && now <= text(clock.tv_nsec / 1_000_000 + 60_000), "\(now)")
  }
}
