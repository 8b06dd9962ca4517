/// Round numbers along an axis: steps of 1, 2 or 5 times a power of ten (after Heckbert, "Nice numbers for graph labels",
/// Graphics Gems, 1990).
package struct AxisTicks: Sendable, Equatable {
  package let values: [Double]
  /// Decimals that tell two ticks apart.
  package let digits: Int

  /// The ticks inside `range`, about `count` of them; a range without width is widened first.
  package init(_ range: ClosedRange<Double>, count: Int = 5, wholeNumbers: Bool = false) {
    let range = Self.widened(range)
    let (step, digits) = Self.step(range, count: count, wholeNumbers: wholeNumbers)
    let first = (range.lowerBound / step - 1e-9).rounded(.up)
    let last = (range.upperBound / step + 1e-9).rounded(.down)
    self.digits = digits
    // The count is bounded by the choice of the step; the guard is for ranges at the limits of a double.
    guard last >= first, last - first < 100 else {
      values = [range.lowerBound, range.upperBound]
      return
    }
    values = (0...Int(last - first)).map { ((first + Double($0)) * step) + 0 }
  }

  /// `range` extended to the next ticks outside.
  package static func rounded(_ range: ClosedRange<Double>, count: Int = 5) -> ClosedRange<Double> {
    let range = widened(range)
    let step = step(range, count: count, wholeNumbers: false).step
    let low = (range.lowerBound / step + 1e-9).rounded(.down) * step
    let high = (range.upperBound / step - 1e-9).rounded(.up) * step
    return low < high ? low...high : range
  }

  private static func step(
    _ range: ClosedRange<Double>, count: Int, wholeNumbers: Bool
  ) -> (step: Double, digits: Int) {
    let rough = (range.upperBound - range.lowerBound) / Double(max(count, 1))
    var power = 1.0
    var exponent = 0
    while power > rough {
      power /= 10
      exponent -= 1
    }
    while power * 10 <= rough {
      power *= 10
      exponent += 1
    }
    let factor = [1.0, 2, 5, 10].first { $0 * power >= rough * 0.999 } ?? 10
    let step = factor * power
    if wholeNumbers, step < 1 { return (1, 0) }
    return (step, max(0, factor == 10 ? -exponent - 1 : -exponent))
  }

  static func widened(_ range: ClosedRange<Double>) -> ClosedRange<Double> {
    let width = range.upperBound - range.lowerBound
    let size = max(range.lowerBound.magnitude, range.upperBound.magnitude)
    guard width.isFinite, size < 1e300 else { return 0...1 }
    if width > size * 1e-9, width > 1e-290 { return range }
    let margin = size < 1e-290 ? 0.5 : size * 0.5
    return (range.lowerBound - margin)...(range.upperBound + margin)
  }
}
