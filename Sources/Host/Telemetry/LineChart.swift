/// Curves over steps, as a picture of its own: ``svg()`` needs no script, no font and no network, and follows the
/// reader's light or dark mode.
package struct LineChart: Sendable {
  package struct Point: Sendable {
    package var x: Double
    package var y: Double
    /// The ends of the confidence interval, where there is one.
    package var low: Double?
    package var high: Double?

    package init(_ x: Double, _ y: Double, low: Double? = nil, high: Double? = nil) {
      self.x = x
      self.y = y
      self.low = low
      self.high = high
    }
  }

  package struct Series: Sendable {
    package var name: String
    /// In the order of x. A point that is not finite is a gap in the curve.
    package var points: [Point]
    /// Weight of the past in an exponential mean, 0 to 1: the mean is drawn over the faint raw curve. Nil draws the raw
    /// curve alone.
    package var smoothing: Double?

    package init(_ name: String, _ points: [Point], smoothing: Double? = nil) {
      self.name = name
      self.points = points
      self.smoothing = smoothing
    }
  }

  /// A part of the x axis, from here to the next stage: a separator with a label.
  package struct Stage: Sendable {
    package var name: String
    package var start: Double

    package init(_ name: String, from start: Double) {
      self.name = name
      self.start = start
    }
  }

  package enum Scale: Sendable { case number, percent }

  package var title: String
  package var subtitle: String
  package var xLabel: String
  package var yLabel: String
  /// Fixed ends of the y axis, beyond which curves are drawn at the edge; nil takes them from the data.
  package var yRange: ClosedRange<Double>?
  package var yScale: Scale
  package var stages: [Stage]
  package var series: [Series]
  package var width = 880.0
  package var height = 480.0

  package init(
    title: String, subtitle: String = "", xLabel: String = "step", yLabel: String = "",
    yRange: ClosedRange<Double>? = nil, yScale: Scale = .number, stages: [Stage] = [], series: [Series]
  ) {
    self.title = title
    self.subtitle = subtitle
    self.xLabel = xLabel
    self.yLabel = yLabel
    self.yRange = yRange
    self.yScale = yScale
    self.stages = stages
    self.series = series
  }
}

extension LineChart.Point {
  var isFinite: Bool { x.isFinite && y.isFinite }

  /// The interval, if both of its ends can be drawn.
  var interval: (low: Double, high: Double)? {
    guard isFinite, let low, let high, low.isFinite, high.isFinite else { return nil }
    return (low, high)
  }
}

extension LineChart.Series {
  /// The exponential mean of the finite points, its beginning corrected for the missing past (as Adam corrects its
  /// moments); gaps stay gaps.
  var smoothed: [LineChart.Point] {
    guard let smoothing, smoothing > 0, smoothing < 1 else { return points }
    var mean = 0.0
    var weight = 0.0
    return points.map { point in
      guard point.isFinite else { return LineChart.Point(point.x, .nan) }
      mean = smoothing * mean + (1 - smoothing) * point.y
      weight = smoothing * weight + (1 - smoothing)
      return LineChart.Point(point.x, mean / weight)
    }
  }
}
