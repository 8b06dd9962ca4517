/// The look of a chart: colours for light and dark paper, and a marker for each series, so that no two series differ by
/// colour alone.
enum ChartStyle {
  /// Okabe and Ito's palette for all kinds of colour vision (jfly.uni-koeln.de/color), darkened where it is too pale for
  /// white paper and lightened for dark paper.
  private static let colours: [(light: String, dark: String)] = [
    ("#0072b2", "#4cb4f0"), ("#d55e00", "#ff9b54"), ("#008f6b", "#36cfa2"), ("#b04a8a", "#ea9dcb"),
    ("#8a6d00", "#ecd04e"), ("#2f8fc4", "#9bd4f7"), ("#b3312c", "#ff8f87"), ("#6a6f76", "#b9bec5"),
  ]

  static func index(_ series: Int) -> Int { series % colours.count }

  /// The colours of series as variables of a page that draws them itself: `--series-0` … on light and on dark paper.
  static let variables: String = {
    func rules(_ colour: (Int) -> String) -> String { colours.indices.map { "--series-\($0):\(colour($0));" }.joined() }
    return ":root{\(rules { colours[$0].light })}\n:root[data-theme=dark]{\(rules { colours[$0].dark })}\n"
  }()

  static var count: Int { colours.count }

  static let sheet: String = {
    func rules(
      _ paper: String, _ ink: String, _ muted: String, _ grid: String, _ axis: String, _ shade: String,
      _ colour: (Int) -> String
    ) -> String {
      let base = """
        .paper{fill:\(paper)}.halo{stroke:\(paper)}.title{fill:\(ink)}.label{fill:\(muted)}.grid{stroke:\(grid)}\
        .axis{stroke:\(axis)}.shade{fill:\(shade)}
        """
      return base + colours.indices.map { ".s\($0){stroke:\(colour($0))}.f\($0){fill:\(colour($0))}" }.joined()
    }
    let light = rules("#ffffff", "#1b1f24", "#5b6470", "#e6e9ed", "#9aa3ad", "#f6f7f9") { colours[$0].light }
    let dark = rules("#14181d", "#eef1f4", "#a3adb8", "#2a3038", "#5d6772", "#1b2027") { colours[$0].dark }
    return """
      text{font-family:Inter,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:12px}
      .title{font-size:18px;font-weight:600}.key{font-size:13px}
      .stage{font-size:12px;font-weight:600}
      .curve{fill:none;stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}
      .raw{fill:none;stroke-width:1;stroke-opacity:.32;stroke-linejoin:round}
      .band{fill-opacity:.14}.whisker{fill:none;stroke-width:1.4;stroke-opacity:.75}
      .grid{stroke-width:1}.axis{stroke-width:1;fill:none}.divider{stroke-dasharray:3 4}
      .halo{stroke-width:1.5;paint-order:stroke;stroke-linejoin:round}
      .end{font-weight:600;stroke-width:4}
      \(light)
      @media (prefers-color-scheme:dark){\(dark)}
      """
  }()

  /// A circle, square, diamond or triangle around a place.
  static func marker(_ series: Int, x: Double, y: Double, size: Double = 4) -> String {
    let attributes = #"class="f\#(index(series)) halo""#
    func polygon(_ corners: [(Double, Double)]) -> String {
      let points = corners.map { "\(SVG.number(x + $0.0 * size)),\(SVG.number(y + $0.1 * size))" }
      return #"<polygon points="\#(points.joined(separator: " "))" \#(attributes)/>"#
    }
    switch series % 4 {
    case 0: return #"<circle cx="\#(SVG.number(x))" cy="\#(SVG.number(y))" r="\#(SVG.number(size))" \#(attributes)/>"#
    case 1: return polygon([(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)])
    case 2: return polygon([(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)])
    default: return polygon([(0, -1.2), (1.15, 0.9), (-1.15, 0.9)])
    }
  }
}
