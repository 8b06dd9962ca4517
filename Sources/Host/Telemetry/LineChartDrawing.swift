import Support

extension LineChart {
  /// The chart as a complete SVG document.
  package func svg() -> String { LineChartDrawing(self).document }
}

/// A chart with the places of its parts worked out.
private struct LineChartDrawing {
  let chart: LineChart
  let curves: [[LineChart.Point]]
  let xRange: ClosedRange<Double>
  let yRange: ClosedRange<Double>
  let yTicks: AxisTicks
  let left: Double
  let right: Double
  let top: Double
  let bottom: Double
  let legendPlaces: [(x: Double, row: Int)]
  let stageLabels: [StageLabel]

  struct StageLabel {
    let name: String
    /// Where the stage begins.
    let x: Double
    /// Whether the name stands before the separator, for want of room behind it.
    let isBefore: Bool
    /// Counted from the plot upwards.
    var row = 0
  }

  /// Series with no more points than this have each of them marked.
  private static let fewPoints = 16

  init(_ chart: LineChart) {
    self.chart = chart
    curves = chart.series.map(\.smoothed)
    let points = chart.series.flatMap(\.points).filter(\.isFinite)
    let xs = points.map(\.x) + chart.stages.map(\.start).filter(\.isFinite)
    let ys = points.map(\.y) + points.compactMap(\.interval).flatMap { [$0.low, $0.high] }
    xRange = Self.widenedForward(Self.extent(xs) ?? 0...1)
    let rounded = AxisTicks.rounded(Self.extent(ys) ?? 0...1)
    yRange = chart.yRange.map(AxisTicks.widened) ?? rounded
    let ticks = AxisTicks(yRange)
    yTicks = ticks

    let labels = ticks.values.map { Self.label($0, digits: ticks.digits, chart.yScale) }
    let widest = labels.map { SVG.width($0, size: 12) }.max() ?? 0
    left = 28 + widest + (chart.yLabel.isEmpty ? 0 : 22)
    right = chart.width - 66
    bottom = chart.height - 54
    legendPlaces = Self.legendPlaces(chart)
    stageLabels = Self.stageLabels(chart, in: xRange, left, right)
    let legendRows = Double((legendPlaces.map(\.row).max() ?? -1) + 1)
    let stageRows = Double((stageLabels.map(\.row).max() ?? -1) + 1)
    top = Self.headingHeight(chart) + legendRows * 22 + stageRows * 17 + 20
  }

  var document: String {
    let (width, height) = (SVG.number(chart.width), SVG.number(chart.height))
    var parts = [
      #"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \#(width) \#(height)" width="\#(width)" height="\#(height)" role="img">"#,
      "<title>\(SVG.escaped(chart.title))</title>", "<desc>\(SVG.escaped(description))</desc>",
      "<style>\n\(ChartStyle.sheet)\n</style>",
      SVG.rectangle(x: 0, y: 0, width: chart.width, height: chart.height, radius: 10, "paper"),
    ]
    parts += heading() + legend() + stageShades() + axes() + stageSeparators()
    for index in chart.series.indices { parts += intervals(index) }
    for index in chart.series.indices { parts += curve(index) }
    parts += endLabels()
    if !curves.contains(where: { $0.contains(where: \.isFinite) }) {
      parts.append(SVG.text("no data", x: (left + right) / 2, y: (top + bottom) / 2, "label", anchor: "middle"))
    }
    return parts.joined(separator: "\n") + "\n</svg>\n"
  }

  /// What a screen reader says: each series with its last value.
  private var description: String {
    let ends = chart.series.indices.map { index in
      let last = curves[index].last { $0.isFinite }
      return chart.series[index].name
        + (last.map { ": \(value($0.y)) at \(chart.xLabel) \(Format.significant($0.x, 6))" } ?? ": no data")
    }
    return ends.joined(separator: "; ")
  }
}

// Places and texts.
extension LineChartDrawing {
  private static func extent(_ values: [Double]) -> ClosedRange<Double>? {
    guard let low = values.min(), let high = values.max() else { return nil }
    return low...high
  }

  /// A single place on the x axis, step 7 say, gets room around it.
  private static func widenedForward(_ range: ClosedRange<Double>) -> ClosedRange<Double> {
    range.lowerBound < range.upperBound
      ? AxisTicks.widened(range) : AxisTicks.widened((range.lowerBound - 1)...(range.upperBound + 1))
  }

  private static func place(_ value: Double, in range: ClosedRange<Double>, _ low: Double, _ high: Double) -> Double {
    let share = (value - range.lowerBound) / (range.upperBound - range.lowerBound)
    return low + min(max(share, 0), 1) * (high - low)
  }

  private func x(_ value: Double) -> Double { Self.place(value, in: xRange, left, right) }
  private func y(_ value: Double) -> Double { Self.place(value, in: yRange, bottom, top) }
  private func place(_ point: LineChart.Point) -> (x: Double, y: Double) { (x(point.x), y(point.y)) }

  private static func label(_ value: Double, digits: Int, _ scale: LineChart.Scale) -> String {
    switch scale {
    case .percent: Format.fixed(value * 100, max(0, digits - 2)) + " %"
    case .number:
      digits > 4 || value.magnitude >= 1e5 ? Format.significant(value) : Format.fixed(value, digits)
    }
  }

  private func value(_ value: Double) -> String {
    chart.yScale == .percent ? Format.percent(value) : Format.significant(value)
  }

  private static func headingHeight(_ chart: LineChart) -> Double { chart.subtitle.isEmpty ? 38 : 58 }

  /// Keys side by side, in as many rows as they need.
  private static func legendPlaces(_ chart: LineChart) -> [(x: Double, row: Int)] {
    var places: [(x: Double, row: Int)] = []
    var (x, row) = (24.0, 0)
    for series in chart.series {
      let width = 31 + SVG.width(series.name, size: 13)
      if x > 24, x + width > chart.width - 16 { (x, row) = (24, row + 1) }
      places.append((x, row))
      x += width + 22
    }
    return places
  }

  /// The stages' names, each in the lowest row where it covers none after it: so no separator crosses a name, as the
  /// separator of a stage ends at its own name.
  private static func stageLabels(
    _ chart: LineChart, in range: ClosedRange<Double>, _ left: Double, _ right: Double
  ) -> [StageLabel] {
    var labels: [StageLabel] = []
    var extents: [ClosedRange<Double>] = []
    for stage in chart.stages.reversed() where stage.start.isFinite {
      let x = place(stage.start, in: range, left, right)
      let width = 10 + SVG.width(stage.name, size: 12.5)
      let isBefore = x + width > chart.width - 8
      let extent = isBefore ? (x - width)...x : x...(x + width)
      let taken = labels.indices.filter { extents[$0].overlaps(extent) }.map { labels[$0].row }
      let row = (0...).first { !taken.contains($0) } ?? 0
      labels.append(StageLabel(name: stage.name, x: x, isBefore: isBefore, row: row))
      extents.append(extent)
    }
    return labels.reversed()
  }

  /// The finite stretches of a curve between its gaps.
  private static func stretches(
    _ points: [LineChart.Point], where isDrawn: (LineChart.Point) -> Bool
  ) -> [ArraySlice<LineChart.Point>] {
    points.split { !isDrawn($0) }
  }
}

// The parts, from the back to the front.
extension LineChartDrawing {
  private func heading() -> [String] {
    var parts = [SVG.text(chart.title, x: 24, y: 36, "title")]
    if !chart.subtitle.isEmpty { parts.append(SVG.text(chart.subtitle, x: 24, y: 57, "label key")) }
    return parts
  }

  private func legend() -> [String] {
    zip(chart.series.indices, legendPlaces).flatMap { index, place in
      let y = Self.headingHeight(chart) + 22 + Double(place.row) * 22
      return [
        SVG.line(place.x, y - 4, place.x + 24, y - 4, "curve s\(ChartStyle.index(index))"),
        ChartStyle.marker(index, x: place.x + 12, y: y - 4),
        SVG.text(chart.series[index].name, x: place.x + 31, y: y, "label key"),
      ]
    }
  }

  /// Every other stage on a faint ground.
  private func stageShades() -> [String] {
    chart.stages.indices.filter { $0 % 2 == 1 }.map { index in
      let start = x(chart.stages[index].start)
      let end = index + 1 < chart.stages.count ? x(chart.stages[index + 1].start) : right
      return SVG.rectangle(x: start, y: top, width: max(0, end - start), height: bottom - top, "shade")
    }
  }

  private func stageSeparators() -> [String] {
    var parts: [String] = []
    for label in stageLabels {
      let baseline = top - 6 - Double(label.row) * 17
      let isInside = label.x > left + 1
      if isInside { parts.append(SVG.line(label.x, baseline - 9, label.x, bottom, "axis divider")) }
      let x = !isInside ? label.x : label.isBefore ? label.x - 6 : label.x + 6
      parts.append(SVG.text(label.name, x: x, y: baseline, "label stage", anchor: label.isBefore ? "end" : "start"))
    }
    return parts
  }

  private func axes() -> [String] {
    var parts: [String] = []
    for tick in yTicks.values {
      let y = y(tick)
      parts.append(SVG.line(left, y, right, y, "grid"))
      let text = Self.label(tick, digits: yTicks.digits, chart.yScale)
      parts.append(SVG.text(text, x: left - 9, y: y + 4, "label", anchor: "end"))
    }
    let xTicks = AxisTicks(xRange, count: 8, wholeNumbers: true)
    for tick in xTicks.values {
      let x = x(tick)
      parts.append(SVG.line(x, bottom, x, bottom + 5, "axis"))
      let text = Self.label(tick, digits: xTicks.digits, .number)
      parts.append(SVG.text(text, x: x, y: bottom + 20, "label", anchor: "middle"))
    }
    parts.append(SVG.line(left, bottom, right, bottom, "axis"))
    parts.append(SVG.text(chart.xLabel, x: (left + right) / 2, y: chart.height - 14, "label", anchor: "middle"))
    if !chart.yLabel.isEmpty {
      let text = SVG.text(chart.yLabel, x: 0, y: 0, "label", anchor: "middle")
      let middle = "\(SVG.number(28)) \(SVG.number((top + bottom) / 2))"
      parts.append(#"<g transform="translate(\#(middle)) rotate(-90)">\#(text)</g>"#)
    }
    return parts
  }

  /// A band where intervals follow each other, a whisker where one stands alone.
  private func intervals(_ index: Int) -> [String] {
    var parts: [String] = []
    let points = chart.series[index].points
    for stretch in Self.stretches(points, where: { $0.interval != nil }) {
      let ends = stretch.compactMap { point in point.interval.map { (x(point.x), y($0.low), y($0.high)) } }
      if ends.count > 1 {
        let outline = ends.map { ($0.0, $0.2) } + ends.reversed().map { ($0.0, $0.1) }
        parts.append(SVG.path(outline, closed: true, "band f\(ChartStyle.index(index))"))
      }
      guard points.count <= Self.fewPoints else { continue }
      for (x, low, high) in ends {
        let style = "whisker s\(ChartStyle.index(index))"
        parts.append(SVG.line(x, low, x, high, style))
        parts.append(SVG.line(x - 4, low, x + 4, low, style))
        parts.append(SVG.line(x - 4, high, x + 4, high, style))
      }
    }
    return parts
  }

  private func curve(_ index: Int) -> [String] {
    var parts: [String] = []
    let series = chart.series[index]
    let colour = "s\(ChartStyle.index(index))"
    if series.smoothing != nil {
      for stretch in Self.stretches(series.points, where: \.isFinite) where stretch.count > 1 {
        parts.append(SVG.path(stretch.map(place), "raw \(colour)"))
      }
    }
    for stretch in Self.stretches(curves[index], where: \.isFinite) {
      if stretch.count > 1 { parts.append(SVG.path(stretch.map(place), "curve \(colour)")) }
      if stretch.count == 1 || series.points.count <= Self.fewPoints {
        parts += stretch.map(place).map { ChartStyle.marker(index, x: $0.x, y: $0.y) }
      }
    }
    return parts
  }

  /// The last value of each curve at its end, moved apart where they would overlap.
  private func endLabels() -> [String] {
    var ends: [(index: Int, x: Double, y: Double, labelY: Double, value: Double)] = []
    for index in chart.series.indices {
      guard let last = curves[index].last(where: \.isFinite) else { continue }
      let (x, y) = place(last)
      ends.append((index, x, y, y, last.y))
    }
    ends.sort { $0.y < $1.y }
    func above(_ i: Int) -> [Int] { (0..<i).filter { (ends[$0].x - ends[i].x).magnitude < 64 } }
    for i in ends.indices {
      for j in above(i) { ends[i].labelY = max(ends[i].labelY, ends[j].labelY + 15) }
    }
    for i in ends.indices.reversed() {
      ends[i].labelY = min(ends[i].labelY, bottom - 2)
      for j in above(i) { ends[j].labelY = min(ends[j].labelY, ends[i].labelY - 15) }
    }
    return ends.flatMap { end in
      // Curves that end almost together have their labels in one column.
      let labelX = (end.x > right - 14 ? right : end.x) + 10
      return [
        ChartStyle.marker(end.index, x: end.x, y: end.y),
        SVG.text(value(end.value), x: labelX, y: end.labelY + 4, "end f\(ChartStyle.index(end.index)) halo"),
      ]
    }
  }
}
