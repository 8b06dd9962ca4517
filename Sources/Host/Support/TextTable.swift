/// A table for a terminal or, in another form, for a Markdown file.
package struct TextTable: Sendable {
  package enum Alignment: Sendable { case left, right }

  package struct Column: Sendable {
    package let title: String
    package let alignment: Alignment

    package init(_ title: String, _ alignment: Alignment = .left) {
      self.title = title
      self.alignment = alignment
    }
  }

  package let columns: [Column]
  package private(set) var rows: [[String]] = []

  package init(_ columns: [Column]) { self.columns = columns }

  /// Adds a row; cells that are missing stay empty, cells without a column are left out.
  package mutating func append(_ cells: [String]) {
    let flat = cells.prefix(columns.count).map { OneLine.text(String($0.map { $0.isNewline ? " " : $0 })) }
    rows.append(flat + Array(repeating: "", count: columns.count - flat.count))
  }

  /// Columns two spaces apart under a rule; each line ends in a line feed.
  package func text() -> String {
    let widths = widths(of: [columns.map(\.title)] + rows)
    func line(_ cells: [String]) -> String {
      var line = columns.indices.map { pad(cells[$0], widths[$0], columns[$0].alignment) }.joined(separator: "  ")
      while line.hasSuffix(" ") { line.removeLast() }
      return line
    }
    let rule = widths.map { String(repeating: "─", count: $0) }.joined(separator: "  ")
    return ([line(columns.map(\.title)), rule] + rows.map(line)).map { $0 + "\n" }.joined()
  }

  /// A Markdown table whose source is aligned too.
  package func markdown() -> String {
    let titles = columns.map { Self.escaped($0.title) }
    let rows = self.rows.map { $0.map(Self.escaped) }
    let widths = widths(of: [titles] + rows).map { max(3, $0) }
    func line(_ cells: [String]) -> String {
      "| " + columns.indices.map { pad(cells[$0], widths[$0], columns[$0].alignment) }.joined(separator: " | ") + " |"
    }
    let rule = columns.indices.map { index in
      let dashes = String(repeating: "-", count: widths[index] + 1)
      return columns[index].alignment == .right ? dashes + ":" : dashes + "-"
    }
    return ([line(titles), "|" + rule.joined(separator: "|") + "|"] + rows.map(line)).map { $0 + "\n" }.joined()
  }

  /// Rows with aligned columns two spaces apart; the last cell of each is left as it is.
  package static func aligned(_ rows: [[String]], indent: Int = 0) -> [String] {
    var widths: [Int] = []
    for row in rows {
      for (column, cell) in row.enumerated() {
        if column == widths.count { widths.append(0) }
        widths[column] = max(widths[column], cell.count)
      }
    }
    return rows.map { row in
      let cells = row.enumerated().map { column, cell in
        column == row.count - 1 ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
      }
      return String(repeating: " ", count: indent) + cells.joined(separator: "  ")
    }
  }

  private func widths(of rows: [[String]]) -> [Int] {
    columns.indices.map { index in rows.map { $0[index].count }.max() ?? 0 }
  }

  private func pad(_ cell: String, _ width: Int, _ alignment: Alignment) -> String {
    let space = String(repeating: " ", count: width - cell.count)
    return alignment == .left ? cell + space : space + cell
  }

  private static func escaped(_ cell: String) -> String {
    String(cell.flatMap { $0 == "|" ? ["\\", "|"] : [$0] })
  }
}
