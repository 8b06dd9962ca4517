import Support

/// A point in time as ISO 8601 in UTC: `2026-03-01T12:34:56.789Z`.
package struct Timestamp: Sendable, Equatable, CustomStringConvertible {
  package let description: String

  init(description: String) { self.description = description }

  package init(secondsSince1970 seconds: Int, milliseconds: Int = 0) {
    func padded(_ value: Int, _ width: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, width - text.count)) + text
    }
    let (days, second) = seconds.quotientAndFloorRemainder(dividingBy: 86400)
    let (year, month, day) = Self.civil(days)
    let date = "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    let clock = "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
    description = "\(date)T\(clock).\(padded(milliseconds, 3))Z"
  }

  package static var now: Timestamp {
    var now = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &now)
    return Timestamp(secondsSince1970: now.tv_sec, milliseconds: now.tv_nsec / 1_000_000)
  }

  /// The Gregorian date of a day counted from 1970-01-01, by Howard Hinnant's `civil_from_days`
  /// (howardhinnant.github.io/date_algorithms.html).
  private static func civil(_ days: Int) -> (year: Int, month: Int, day: Int) {
    let (era, dayOfEra) = (days + 719_468).quotientAndFloorRemainder(dividingBy: 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
  }
}

extension Int {
  fileprivate func quotientAndFloorRemainder(dividingBy divisor: Int) -> (Int, Int) {
    let remainder = self % divisor
    return remainder < 0 ? (self / divisor - 1, remainder + divisor) : (self / divisor, remainder)
  }
}
