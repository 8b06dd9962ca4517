import Support
import Testing

@Suite("Tables")
struct TableTests {
  static let table = {
    var table = TextTable([.init("stage"), .init("accuracy", .right), .init("95 % interval", .right)])
    table.append(["base", "12.0 %", "9.4–15.1"])
    table.append(["SFT | LoRA", "68.2 %"])
    table.append(["RL", "81.6 %", "78.0–84.8", "left out"])
    return table
  }()

  @Test("Columns are aligned in text")
  func text() {
    #expect(
      Self.table.text() == """
        stage       accuracy  95 % interval
        ──────────  ────────  ─────────────
        base          12.0 %       9.4–15.1
        SFT | LoRA    68.2 %
        RL            81.6 %      78.0–84.8

        """)
  }

  @Test("Markdown is aligned, and a bar in a cell escaped")
  func markdown() {
    #expect(
      Self.table.markdown() == #"""
        | stage       | accuracy | 95 % interval |
        |-------------|---------:|--------------:|
        | base        |   12.0 % |      9.4–15.1 |
        | SFT \| LoRA |   68.2 % |               |
        | RL          |   81.6 % |     78.0–84.8 |

        """#)
  }

  @Test("A table without rows is a head") func empty() {
    #expect(TextTable([.init("a")]).text() == "a\n─\n")
    #expect(TextTable([.init("a")]).markdown() == "| a   |\n|-----|\n")
  }

  @Test("Rows without titles are aligned, but for the last cell of each")
  func aligned() {
    #expect(
      TextTable.aligned([["a", "bcd", "e"], ["long", "f"], ["g"]], indent: 1) == [" a     bcd  e", " long  f", " g"])
  }
}
