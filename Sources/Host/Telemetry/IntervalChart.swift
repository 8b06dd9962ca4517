import Support

/// Estimates with their intervals, one row each, on a common axis: a picture of its own as ``LineChart`` is.
package struct IntervalChart: Sendable {
  package struct Row: Sendable {
    package var name: String
    package var estimate: Double
    package var low: Double
    package var high: Double
    /// What the estimate is made of, such as one value per seed: small marks on the row.
    package var parts: [Double]
    /// Which colour and marker, as the series of a ``LineChart``.
    package var series: Int

    package init(_ name: String, _ estimate: Double, low: Double, high: Double, parts: [Double] = [], series: Int) {
      self.name = name
      self.estimate = estimate
      self.low = low
      self.high = high
      self.parts = parts
      self.series = series
    }
  }

  package enum Scale: Sendable {
    case percent
    /// Shares shown as percentage points with their sign.
    case points
  }

  package var title: String
  package var subtitle: String
  package var xLabel: String
  package var scale: Scale
  /// A dashed line down all rows.
  package var mark: (value: Double, name: String)?
  package var rows: [Row]
  package var width = 640.0

  package init(
    title: String, subtitle: String = "", xLabel: String, scale: Scale, mark: (value: Double, name: String)? = nil,
    rows: [Row]
  ) {
    self.title = title
    self.subtitle = subtitle
    self.xLabel = xLabel
    self.scale = scale
    self.mark = mark
    self.rows = rows
  }

  private static let rowHeight = 34.0

  /// The chart as a complete SVG document.
  package func svg() -> String {
    let drawn = rows.filter { $0.estimate.isFinite && $0.low.isFinite && $0.high.isFinite }
    let values = drawn.flatMap { [$0.estimate, $0.low, $0.high] + $0.parts.filter(\.isFinite) } + (mark.map { [$0.value] } ?? [])
    let range = AxisTicks.rounded((values.min() ?? 0)...(values.max() ?? 1))
    let ticks = AxisTicks(range)
    let names = rows.map { SVG.width($0.name, size: 13) }.max() ?? 0
    let left = 24 + min(240, names) + 14
    let right = width - 84
    let top = (subtitle.isEmpty ? 38 : 58) + (mark == nil ? 12 : 30.0)
    let bottom = top + Double(rows.count) * Self.rowHeight
    let height = bottom + 54
    func x(_ value: Double) -> Double {
      let share = (value - range.lowerBound) / (range.upperBound - range.lowerBound)
      return left + min(max(share, 0), 1) * (right - left)
    }

    var parts = [
      #"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \#(SVG.number(width)) \#(SVG.number(height))" width="\#(SVG.number(width))" height="\#(SVG.number(height))" role="img">"#,
      "<title>\(SVG.escaped(title))</title>", "<desc>\(SVG.escaped(description))</desc>",
      "<style>\n\(ChartStyle.sheet)\n</style>",
      SVG.rectangle(x: 0, y: 0, width: width, height: height, radius: 10, "paper"),
      SVG.text(title, x: 24, y: 36, "title"),
    ]
    if !subtitle.isEmpty { parts.append(SVG.text(subtitle, x: 24, y: 57, "label key")) }
    for tick in ticks.values {
      parts.append(SVG.line(x(tick), top, x(tick), bottom, "grid"))
      parts.append(SVG.text(text(tick, digits: max(0, ticks.digits - 2)), x: x(tick), y: bottom + 18, "label", anchor: "middle"))
    }
    parts.append(SVG.line(left, bottom, right, bottom, "axis"))
    parts.append(SVG.text(xLabel, x: (left + right) / 2, y: bottom + 40, "label", anchor: "middle"))
    if let mark {
      parts.append(SVG.line(x(mark.value), top - 8, x(mark.value), bottom, "axis divider"))
      parts.append(SVG.text(mark.name, x: x(mark.value), y: top - 13, "label stage", anchor: "middle"))
    }
    for (index, row) in rows.enumerated() {
      let y = top + (Double(index) + 0.5) * Self.rowHeight
      parts.append(SVG.text(row.name, x: left - 14, y: y + 4, "label key", anchor: "end"))
      guard row.estimate.isFinite, row.low.isFinite, row.high.isFinite else {
        parts.append(SVG.text("no data", x: right + 10, y: y + 4, "label"))
        continue
      }
      let colour = ChartStyle.index(row.series)
      let style = "whisker s\(colour)"
      parts.append(SVG.line(x(row.low), y, x(row.high), y, style))
      for end in [row.low, row.high] { parts.append(SVG.line(x(end), y - 5, x(end), y + 5, style)) }
      for part in row.parts where part.isFinite {
        parts.append(SVG.line(x(part), y - 11, x(part), y - 6, "curve s\(colour)"))
      }
      parts.append(ChartStyle.marker(row.series, x: x(row.estimate), y: y, size: 5))
      parts.append(SVG.text(text(row.estimate, digits: 1), x: right + 10, y: y + 4, "end f\(colour) halo"))
    }
    return parts.joined(separator: "\n") + "\n</svg>\n"
  }

  private func text(_ value: Double, digits: Int) -> String {
    switch scale {
    case .percent: Format.percent(value, digits)
    case .points: Format.points(value, digits)
    }
  }

  /// What a screen reader says.
  private var description: String {
    rows.map { "\($0.name): \(text($0.estimate, digits: 1)), \(text($0.low, digits: 1)) to \(text($0.high, digits: 1))" }
      .joined(separator: "; ")
  }
}

extension Format {
  /// A difference of shares in percentage points with its sign: `+3.1`, `−0.4`, `0.0`.
  package static func points(_ difference: Double, _ digits: Int = 1) -> String {
    let size = fixed(abs(difference) * 100, digits)
    let isZero = size.allSatisfy { $0 == "0" || $0 == "." }
    return isZero ? size : difference < 0 ? "−\(size)" : "+\(size)"
  }
}
