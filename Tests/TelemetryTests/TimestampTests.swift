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

  @Test("The time now has the same form") func now() {
    #expect(Timestamp.now.description.count == 24)
  }
}
