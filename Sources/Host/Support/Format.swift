/// Numbers as people read them.
package enum Format {
  /// With exactly `digits` decimals: `0.710`.
  package static func fixed(_ value: Double, _ digits: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = (value.magnitude * scale).rounded()
    guard scaled < 9e15 else { return "\(value)" }
    let text = String(UInt64(scaled))
    let sign = value < 0 && scaled > 0 ? "-" : ""
    if digits == 0 { return sign + text }
    let padded = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
    return "\(sign)\(padded.dropLast(digits)).\(padded.suffix(digits))"
  }

  /// To `digits` significant digits, small and large ones in powers of ten: `0.0123`, `3.1e-6`.
  package static func significant(_ value: Double, _ digits: Int = 3) -> String {
    guard value.isFinite, value != 0 else { return fixed(value, 0) }
    var exponent = 0
    var mantissa = value.magnitude
    while mantissa >= 10 {
      mantissa /= 10
      exponent += 1
    }
    while mantissa < 1 {
      mantissa *= 10
      exponent -= 1
    }
    if (-4..<6).contains(exponent) { return trimmed(fixed(value, max(0, digits - 1 - exponent))) }
    return "\(value < 0 ? "-" : "")\(trimmed(fixed(mantissa, digits - 1)))e\(exponent)"
  }

  /// Every digit it has, without a superfluous fraction: `3`, `0.28`.
  package static func shortest(_ value: Double) -> String {
    if let whole = Int(exactly: value), abs(whole) < 1 << 53 { return String(whole) }
    return "\(value)"
  }

  /// A count with a unit prefix: `87`, `12.3k`, `1.5M`.
  package static func count(_ value: Double) -> String {
    guard value.isFinite else { return fixed(value, 0) }
    var scaled = value
    for prefix in ["", "k", "M", "G"] {
      let digits = scaled.magnitude < 9.95 || (!prefix.isEmpty && scaled.magnitude < 99.95) ? 1 : 0
      if scaled.magnitude < 999.5 || prefix == "G" {
        return (prefix.isEmpty ? trimmed(fixed(scaled, digits)) : fixed(scaled, digits)) + prefix
      }
      scaled /= 1000
    }
    return fixed(value, 0)
  }

  /// A share of one as per cent: `68.2 %`.
  package static func percent(_ share: Double, _ digits: Int = 1) -> String {
    share.isFinite ? "\(fixed(share * 100, digits)) %" : fixed(share, 0)
  }

  /// Seconds as `0.42s`, `8.1s`, `42s`, `1m 23s`, `2h 05m`, `3d 04h`.
  package static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "?" }
    if seconds < 0.995 { return fixed(seconds, 2) + "s" }
    if seconds < 9.95 { return fixed(seconds, 1) + "s" }
    let whole = Int(seconds.rounded())
    func padded(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    if whole < 60 { return "\(whole)s" }
    if whole < 3600 { return "\(whole / 60)m \(padded(whole % 60))s" }
    if whole < 86400 { return "\(whole / 3600)h \(padded(whole / 60 % 60))m" }
    return "\(whole / 86400)d \(padded(whole / 3600 % 24))h"
  }

  /// Without zeros at the end of the decimals.
  package static func trimmed(_ text: String) -> String {
    guard text.contains(".") else { return text }
    var text = Substring(text)
    while text.hasSuffix("0") { text.removeLast() }
    if text.hasSuffix(".") { text.removeLast() }
    return String(text)
  }
}
