import Support

/// A report of headings, text, tables and charts that can be written as Markdown and as one self-contained HTML page.
package struct Document: Sendable {
  package enum Part: Sendable {
    case heading(String)
    case paragraph(String)
    case list([String])
    case table(TextTable)
    /// Charts side by side where there is room.
    case pictures([Picture])
  }

  package struct Picture: Sendable {
    /// The file's name without its ending.
    package let name: String
    package let title: String
    package let svg: String

    package init(_ name: String, title: String, svg: String) {
      self.name = name
      self.title = title
      self.svg = svg
    }
  }

  package var title: String
  package var parts: [Part]

  package init(title: String, parts: [Part] = []) {
    self.title = title
    self.parts = parts
  }

  package var pictures: [Picture] {
    parts.flatMap { part -> [Picture] in if case .pictures(let pictures) = part { pictures } else { [] } }
  }

  /// - Parameter folder: where the pictures are, as seen from the file.
  package func markdown(pictures folder: String) -> String {
    let blocks = parts.map { part -> String in
      switch part {
      case .heading(let text): "## \(text)\n"
      case .paragraph(let text): "\(text)\n"
      case .list(let items): items.map { "- \($0)\n" }.joined()
      case .table(let table): table.markdown()
      case .pictures(let pictures): pictures.map { "![\($0.title)](\(folder)/\($0.name).svg)\n" }.joined(separator: "\n")
      }
    }
    return (["# \(title)\n"] + blocks).joined(separator: "\n")
  }

  /// One page without scripts, fonts or anything from elsewhere; it follows the reader's light or dark mode.
  package func html() -> String {
    let blocks = parts.map { part -> String in
      switch part {
      case .heading(let text): "<h2>\(SVG.escaped(text))</h2>"
      case .paragraph(let text): "<p>\(SVG.escaped(text))</p>"
      case .list(let items): "<ul>\n" + items.map { "<li>\(SVG.escaped($0))</li>\n" }.joined() + "</ul>"
      case .table(let table): "<div class=\"scroll\" tabindex=\"0\">\n\(table.html())</div>"
      case .pictures(let pictures):
        "<div class=\"charts\">\n"
          + pictures.map { "<figure class=\"scroll\" tabindex=\"0\">\n\($0.svg)</figure>\n" }.joined() + "</div>"
      }
    }
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <title>\(SVG.escaped(title))</title>
      <style>
      \(Self.sheet)
      </style>
      </head>
      <body>
      <main>
      <h1>\(SVG.escaped(title))</h1>
      \(blocks.joined(separator: "\n"))
      </main>
      </body>
      </html>

      """
  }

  /// Writes `NAME.md` with its pictures in `charts/`, and `NAME.html`.
  package func write(to folder: String, named name: String) throws(Failure) {
    try Files.makeDirectory(folder + "/charts")
    for picture in pictures { try AtomicFile.write(picture.svg, to: "\(folder)/charts/\(picture.name).svg") }
    try AtomicFile.write(markdown(pictures: "charts"), to: "\(folder)/\(name).md")
    try AtomicFile.write(html(), to: "\(folder)/\(name).html")
  }

  private static let sheet = """
    :root{--paper:#ffffff;--ground:#f3f5f7;--ink:#1b1f24;--muted:#5b6470;--line:#dfe3e8}
    @media (prefers-color-scheme:dark){:root{--paper:#14181d;--ground:#0c0f12;--ink:#eef1f4;--muted:#a3adb8;--line:#2a3038}}
    *{box-sizing:border-box}
    body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 Inter,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
    main{max-width:1360px;margin:0 auto;padding:24px 20px 64px}
    h1{font-size:1.7rem;line-height:1.25;margin:8px 0 12px;overflow-wrap:anywhere}
    h2{font-size:1.2rem;margin:36px 0 8px}
    p,ul{max-width:76ch;margin:8px 0;overflow-wrap:anywhere}
    ul{padding-left:22px}
    .scroll{overflow-x:auto;max-width:100%}
    .charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,560px),1fr));gap:16px;margin:12px 0}
    figure{margin:0;min-width:0;background:var(--paper);border:1px solid var(--line);border-radius:10px}
    figure svg{display:block;width:100%;height:auto;min-width:520px}
    table{border-collapse:collapse;background:var(--paper);border:1px solid var(--line);margin:12px 0;font-size:.92rem;font-variant-numeric:tabular-nums}
    th,td{padding:6px 12px;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
    th{color:var(--muted);font-weight:600}
    tr:last-child td{border-bottom:0}
    .right{text-align:right}
    """
}

extension TextTable {
  /// An HTML table.
  package func html() -> String {
    func row(_ cells: [String], _ tag: String) -> String {
      "<tr>"
        + zip(columns, cells).map { column, cell in
          "<\(tag)\(column.alignment == .right ? " class=\"right\"" : "")>\(SVG.escaped(cell))</\(tag)>"
        }.joined() + "</tr>\n"
    }
    return "<table>\n<thead>\n" + row(columns.map(\.title), "th") + "</thead>\n<tbody>\n"
      + rows.map { row($0, "td") }.joined() + "</tbody>\n</table>\n"
  }
}
