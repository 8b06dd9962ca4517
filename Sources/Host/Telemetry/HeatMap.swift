import Support

/// Numbers in rows and columns as colours: what is above zero in one, what is below in another, the stronger the larger. A picture of its own as
/// ``LineChart`` is.
package struct HeatMap: Sendable {
  package var title: String
  package var subtitle: String
  package var rows: [String]
  package var columns: [String]
  /// `[rows][columns]`; nil is drawn as nothing.
  package var values: [[Double?]]
  /// The size that has the full colour.
  package var limit: Double
  /// Whether each cell says its number.
  package var hasNumbers: Bool

  package init(
    title: String, subtitle: String = "", rows: [String], columns: [String], values: [[Double?]], limit: Double = 1, hasNumbers: Bool = true
  ) {
    (self.title, self.subtitle, self.rows, self.columns, self.values) = (title, subtitle, rows, columns, values)
    (self.limit, self.hasNumbers) = (limit, hasNumbers)
  }

  /// The picture as a complete SVG document.
  package func svg() -> String {
    let height = hasNumbers ? 34.0 : 26.0
    let width = hasNumbers ? max(64, (columns.map { SVG.width($0, size: 13) }.max() ?? 0) + 14) : max(6, min(22, 1100 / Double(max(1, columns.count))))
    let left = 24 + min(260, rows.map { SVG.width($0, size: 13) }.max() ?? 0) + 12
    let top = (subtitle.isEmpty ? 48 : 68) + (hasNumbers ? 24.0 : 8)
    let whole = (width: max(560, left + width * Double(columns.count) + 24), height: top + height * Double(rows.count) + 24)
    var parts = [
      #"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \#(SVG.number(whole.width)) \#(SVG.number(whole.height))" width="\#(SVG.number(whole.width))" height="\#(SVG.number(whole.height))" role="img">"#,
      "<title>\(SVG.escaped(title))</title>", "<desc>\(SVG.escaped(description))</desc>", "<style>\n\(ChartStyle.sheet)\n.cell{font-size:13px;font-weight:400}\n</style>",
      SVG.rectangle(x: 0, y: 0, width: whole.width, height: whole.height, radius: 10, "paper"), SVG.text(title, x: 24, y: 36, "title"),
    ]
    if !subtitle.isEmpty { parts.append(SVG.text(subtitle, x: 24, y: 57, "label key")) }
    if hasNumbers {
      for (index, name) in columns.enumerated() {
        parts.append(SVG.text(name, x: left + (Double(index) + 0.5) * width, y: top - 10, "label key", anchor: "middle"))
      }
    }
    for (row, name) in rows.enumerated() {
      let y = top + Double(row) * height
      parts.append(SVG.text(name, x: left - 12, y: y + height / 2 + 4, "label key", anchor: "end"))
      for (column, value) in values[row].enumerated() {
        let x = left + Double(column) * width
        guard let value, value.isFinite else { continue }
        let share = limit > 0 ? min(1, abs(value) / limit) : 0
        let place = #"x="\#(SVG.number(x + 1))" y="\#(SVG.number(y + 1))" width="\#(SVG.number(width - 2))" height="\#(SVG.number(height - 2))""#
        let label = "\(name), \(column < columns.count ? columns[column] : ""): \(Format.significant(value))"
        parts.append(#"<rect \#(place) rx="3" class="f\#(value < 0 ? 1 : 0)" fill-opacity="\#(Format.fixed(0.06 + 0.44 * share, 3))"><title>\#(SVG.escaped(label))</title></rect>"#)
        if hasNumbers { parts.append(SVG.text(Format.fixed(value, 2), x: x + width / 2, y: y + height / 2 + 4, "title cell", anchor: "middle")) }
      }
    }
    return parts.joined(separator: "\n") + "\n</svg>\n"
  }

  /// What a screen reader says.
  private var description: String {
    guard hasNumbers else { return subtitle }
    return zip(rows, values).map { name, row in
      "\(name): " + zip(columns, row).map { "\($0) \($1.map { Format.fixed($0, 2) } ?? "none")" }.joined(separator: ", ")
    }.joined(separator: "; ")
  }
}
