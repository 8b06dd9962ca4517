import Telemetry
import Testing

@Suite("The line chart")
struct ChartTests {
  typealias Point = LineChart.Point

  static func points(_ values: [Double]) -> [Point] { values.enumerated().map { Point(Double($0), $1) } }

  static let quickstart = LineChart(
    title: "Accuracy & reward", subtitle: "base → SFT → RL", xLabel: "step", yLabel: "share", yRange: 0...1,
    yScale: .percent, stages: [.init("SFT", from: 0), .init("RL", from: 10)],
    series: [
      .init("accuracy", [Point(0, 0.1, low: 0.08, high: 0.12), Point(10, 0.6, low: 0.55, high: 0.65), Point(20, 0.8)]),
      .init("reward", (10...40).map { Point(Double($0), 0.5 + Double($0 % 3) / 10) }, smoothing: 0.8),
    ])

  @Test("It is well-formed, stands alone, and draws what it was given")
  func wellFormed() {
    let svg = Self.quickstart.svg()
    let xml = XMLChecker(svg)
    #expect(xml.problem == nil)
    #expect(xml.elements.first?.name == "svg")
    #expect(xml.elements.first?.attributes["viewBox"] == "0 0 880 480")
    #expect(xml.texts.contains("Accuracy &amp; reward"))
    for text in ["accuracy", "reward", "SFT", "RL", "0 %", "100 %", "step", "share", "80.0 %"] {
      #expect(xml.texts.contains(text), "\(text) is missing")
    }
    #expect(!svg.contains("<script") && !svg.contains("href") && svg.contains("prefers-color-scheme:dark"))
    let styles = xml.elements.compactMap { $0.attributes["class"] }
    #expect(styles.filter { $0 == "curve s1" }.count == 2, "the smoothed reward and its key")
    #expect(styles.filter { $0 == "raw s1" }.count == 1)
    #expect(styles.filter { $0 == "band f0" }.count == 1)
    #expect(styles.filter { $0 == "whisker s0" }.count == 6)
    #expect(styles.filter { $0 == "axis divider" }.count == 1, "the first stage begins at the axis")
  }

  @Test("Markup and forbidden characters in texts do no harm")
  func escaping() {
    let nasty = "</text><script>alert('1')</script> & \"x\" \u{0}\u{1B}[31m\u{FFFE} 🙂"
    let chart = LineChart(
      title: nasty, subtitle: nasty, xLabel: nasty, yLabel: nasty, stages: [.init(nasty, from: 1)],
      series: [.init(nasty, Self.points([1, 2, 3]))])
    let xml = XMLChecker(chart.svg())
    #expect(xml.problem == nil)
    #expect(!xml.elements.contains { $0.name == "script" })
  }

  @Test(
    "Odd data still draw",
    arguments: [
      [], [.nan], [5], [0], [3, 3, 3], [1, .nan, 2, .infinity, 3], [.nan, .nan],
      [-1e300, 1e300], [0, .leastNonzeroMagnitude],
      [1e308, -1e308], [1, 1 + 1e-15], [-5, -3], [0, 1e9], [2e-5, 3e-5],
    ] as [[Double]])
  func oddData(values: [Double]) {
    for range in [nil, 0...1.0, 2...2.0] {
      for smoothing in [nil, 0.9] {
        let series = LineChart.Series("s", Self.points(values), smoothing: smoothing)
        let chart = LineChart(title: "t", yRange: range, stages: [.init("a", from: .nan)], series: [series])
        let xml = XMLChecker(chart.svg())
        #expect(xml.problem == nil)
        #expect(xml.texts.contains("no data") == !values.contains(where: \.isFinite))
        for (name, attributes) in xml.elements {
          for key in ["x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "d", "points", "width", "height"] {
            guard let value = attributes[key] else { continue }
            #expect(!value.contains("n") && !value.contains("e"), "\(name) \(key)=\(value)")
          }
        }
      }
    }
  }

  @Test("A gap parts a curve, and a lone point between gaps is a mark")
  func gaps() {
    let chart = LineChart(
      title: "t", series: [.init("s", Self.points([1, 2, .nan, 3, .nan] + (0..<20).map { _ in 1.5 }))])
    let xml = XMLChecker(chart.svg())
    let curves = xml.elements.filter { $0.name == "path" && $0.attributes["class"] == "curve s0" }
    #expect(curves.count == 2)
    // The lone point, the end of the curve and the key.
    #expect(xml.elements.filter { $0.name == "circle" }.count == 3)
  }

  @Test("Curves that end together have their last values apart")
  func endLabels() {
    let chart = LineChart(
      title: "t", series: (0..<5).map { .init("s\($0)", Self.points([1, 0.001 * Double($0)])) })
    let ys = XMLChecker(chart.svg()).elements.filter { $0.attributes["class"]?.hasPrefix("end ") == true }
      .compactMap { $0.attributes["y"].flatMap(Double.init) }.sorted()
    #expect(ys.count == 5)
    #expect(zip(ys, ys.dropFirst()).allSatisfy { $1 - $0 >= 14.9 })
  }

  @Test(
    "Ticks are round numbers inside the range",
    arguments: [
      (0...1, [0, 0.2, 0.4, 0.6, 0.8, 1], 1), (0...270, [0, 100, 200], 0), (0...0.03, [0, 0.01, 0.02, 0.03], 2),
      (-1...1, [-1, -0.5, 0, 0.5, 1], 1), (997...1003, [998, 1000, 1002], 0), (5...5, [3, 4, 5, 6, 7], 0),
      (0...0, [-0.4, -0.2, 0, 0.2, 0.4], 1),
    ] as [(ClosedRange<Double>, [Double], Int)])
  func ticks(range: ClosedRange<Double>, values: [Double], digits: Int) {
    let ticks = AxisTicks(range)
    #expect(ticks.values.count == values.count)
    #expect(zip(ticks.values, values).allSatisfy { ($0 - $1).magnitude < 1e-9 })
    #expect(ticks.digits == digits)
  }

  @Test("An axis of steps has whole numbers only, and a rounded range holds its data")
  func wholeNumbers() {
    #expect(AxisTicks(0...2, count: 8, wholeNumbers: true).values == [0, 1, 2])
    #expect(AxisTicks.rounded(0.12...0.83) == 0...1)
    for (low, high) in [(0.1, 0.9), (-3, 17), (1e-6, 3e-6), (99, 101)] {
      let rounded = AxisTicks.rounded(low...high)
      #expect(rounded.lowerBound <= low + 1e-12 && rounded.upperBound >= high - 1e-12)
    }
  }
}
