import Support
import Testing

@Suite("Numbers as people read them")
struct FormatTests {
  @Test(
    "Decimals are exact in number and rounded",
    arguments: [
      (0.71, 3, "0.710"), (0.0005, 3, "0.001"), (-0.0004, 3, "0.000"), (-1.5, 0, "-2"), (12.345, 1, "12.3"),
      (0.999, 2, "1.00"), (1e20, 2, "1e+20"), (.nan, 2, "nan"), (-.infinity, 2, "-inf"),
    ] as [(Double, Int, String)])
  func fixed(value: Double, digits: Int, text: String) { #expect(Format.fixed(value, digits) == text) }

  @Test(
    "Significant digits go over to powers of ten",
    arguments: [
      (0.01234, "0.0123"), (123.4, "123"), (2e-5, "2e-5"), (-3.14159e-7, "-3.14e-7"), (0, "0"), (1, "1"),
      (1_234_567, "1.23e6"),
    ] as [(Double, String)])
  func significant(value: Double, text: String) { #expect(Format.significant(value) == text) }

  @Test(
    "Counts carry a unit prefix",
    arguments: [
      (0, "0"), (3.44, "3.4"), (87.2, "87"), (999.6, "1.0k"), (12_345, "12.3k"), (123_456, "123k"), (1_500_000, "1.5M"),
      (7e12, "7000G"),
    ] as [(Double, String)])
  func counts(value: Double, text: String) { #expect(Format.count(value) == text) }

  @Test(
    "Durations",
    arguments: [
      (0, "0.00s"), (0.42, "0.42s"), (0.999, "1.0s"), (8.14, "8.1s"), (9.97, "10s"), (59.6, "1m 00s"), (83, "1m 23s"),
      (7500, "2h 05m"), (273_600, "3d 04h"), (-1, "?"), (.infinity, "?"),
    ] as [(Double, String)])
  func durations(seconds: Double, text: String) { #expect(Format.duration(seconds) == text) }

  @Test("Shares as per cent") func percent() { #expect(Format.percent(0.6815) == "68.2 %") }

  @Test("The shortest form has every digit and no superfluous fraction", arguments: [(3, "3"), (0.28, "0.28"), (-1, "-1"), (1e300, "1e+300")] as [(Double, String)])
  func shortest(value: Double, text: String) { #expect(Format.shortest(value) == text) }
}
