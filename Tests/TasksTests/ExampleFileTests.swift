import Support
import Testing

@testable import Tasks

@Suite struct `Data files are read line by line` {
  private func parse(_ text: String, limit: Int? = nil) throws(Failure) -> [Example] {
    try ExampleFile.parse(Array(text.utf8), name: "data.jsonl", limit: limit)
  }

  @Test func `GSM8K's form gives up its annotations and its answer`() throws {
    let line =
      #"{"question": "How many?", "answer": "He has 3*4=<<3*4=12>>12.\nThen $<<12+988=1000>>1,000.\n#### 1,000"}"#
    let example = try #require(try parse(line).first)
    #expect(example.question == "How many?")
    #expect(example.solution == "He has 3*4=12.\nThen $1,000.")
    #expect(example.answer == "1,000")
    #expect(example.text == nil)
  }

  @Test func `OpenR1-Math's form keeps the solution, and takes a missing answer from its box`() throws {
    let lines = """
      {"problem": "P", "solution": "S \\\\boxed{7}", "answer": "8", "source": "x", "generations": ["a"]}
      {"problem": "P", "solution": "S \\\\boxed{\\\\frac{1}{2}}", "answer": null}
      {"problem": "P", "answer": 72}
      {"question": "Q", "answer": "72", "level": 3}
      """
    let examples = try parse(lines)
    #expect(examples.map(\.answer) == ["8", #"\frac{1}{2}"#, "72", "72"])
    #expect(examples.map(\.solution) == [#"S \boxed{7}"#, #"S \boxed{\frac{1}{2}}"#, nil, nil])
    #expect(examples.last?.level == 3)
  }

  @Test func `of several traces the first that is whole and right is learned`() throws {
    func row(_ whole: String, _ verified: String, _ judged: String) -> String {
      #"{"problem": "P", "solution": "S", "answer": "8", "generations": ["a", "b", "c"], "is_reasoning_complete": \#(whole), "correctness_math_verify": \#(verified), "correctness_llama": \#(judged), "messages": [{"role": "user", "content": "P"}, {"role": "assistant", "content": "b"}]}"#
    }
    let (all, none) = ("[true, true, true]", "[false, false, false]")
    let examples = try parse(
      [
        row(all, all, "null"), row("[false, true, true]", all, "null"), row(all, "[false, false, true]", "[true, true, true]"),
        row(all, none, "[false, true, true]"), row(all, "null", "[false, false, true]"), row(all, none, "null"), row(none, all, all), row(all, "null", "null"),
        row("null", "[false, true, false]", "null"),
      ].joined(separator: "\n"))
    #expect(examples.map(\.solution) == ["a", "b", "c", "b", "c", "S", "S", "S", "b"])
    #expect(examples.map { $0.origin == .unverified } == [false, false, false, false, false, true, true, true, false])
    #expect(examples.allSatisfy { $0.question == "P" && $0.answer == "8" })
    #expect(throws: Failure(.badData, "data.jsonl: line 1: key \"correctness_llama\": expected a list of 3, one for each of \"generations\", found an array of 1")) {
      try parse(row(all, none, "[true]"))
    }
  }

  @Test func `of a table the columns are read that its form needs`() {
    let traces = ["problem", "solution", "answer", "source", "uuid", "is_reasoning_complete", "generations", "correctness_math_verify", "correctness_llama", "messages"]
    func needed(_ columns: [String], _ purpose: ExampleFile.Purpose, _ keys: ExampleFile.Keys = .init()) -> [String] {
      ExampleColumns.needed(of: columns, keys: keys, for: purpose)
    }
    #expect(needed(traces, .learning) == ["problem", "solution", "answer", "is_reasoning_complete", "generations", "correctness_math_verify", "correctness_llama"])
    #expect(needed(traces, .answers) == ["problem", "solution", "answer"])
    #expect(needed(["problem", "answer", "messages", "id"], .learning) == ["problem", "answer", "messages"])
    #expect(needed(["q", "meta", "x"], .answers, .init(question: "q", answer: "meta.gold")) == ["q", "meta"])
    #expect(needed(["foo", "bar"], .learning) == ["foo", "bar"])
  }

  @Test func `a text is taken as it is, a prompt with its completion`() throws {
    let examples = try parse(
      """
      {"text": " <|im_start|>user\\n "}
      {"prompt": "P", "completion": "C \\\\boxed{5}"}
      """)
    #expect(examples[0].text == " <|im_start|>user\n ")
    #expect(examples[0].question == "")
    #expect(examples[1].question == "P")
    #expect(examples[1].solution == #"C \boxed{5}"#)
    #expect(examples[1].answer == "5")
  }

  @Test func `a byte order mark, CRLF and blank lines do not matter`() throws {
    let examples = try parse("\u{FEFF}{\"text\": \"a\"}\r\n\r\n{\"text\": \"b\"}\r\n\n  \n")
    #expect(examples.map(\.text) == ["a", "b"])
  }

  @Test func `the limit ends the reading`() throws {
    #expect(try parse("{\"text\": \"a\"}\nnot JSON", limit: 1).count == 1)
    #expect(try parse("not JSON", limit: 0).isEmpty)
  }

  @Test(
    arguments: [
      ("{\"text\": \"a\"}\n{\"text\": }", "data.jsonl: line 2, column 10: not JSON: expected a value, found '}'"),
      ("{\"text\": \"a\"}\n\n[1, 2]", "data.jsonl: line 3: expected one JSON object per line, found an array of 2"),
      (
        "{\"text\": 5.5, \"x\": []}\n{\"text\": []}",
        "data.jsonl: line 2: key \"text\": expected a string, found an array of 0"
      ),
      (
        "{\"question\": \"Q\"}",
        "data.jsonl: line 1: key \"answer\": expected the gold answer (or a \\boxed{} in \"solution\"), found no such key"
      ),
      (
        "{\"question\": \"Q\", \"answer\": \"S\\n#### \"}",
        "data.jsonl: line 1: key \"answer\": expected the gold answer (or a \\boxed{} in \"solution\"), found no answer in it"
      ),
      (
        "{\"problem\": \" \", \"answer\": \"1\"}",
        "data.jsonl: line 1: key \"problem\": expected a text, found an empty string"
      ),
      (
        "{\"prompt\": \"P\"}",
        "data.jsonl: line 1: key \"completion\": expected a string beside \"prompt\" (or a gold \"answer\"), found no such key"
      ),
      ("{\"text\": \"\"}", "data.jsonl: line 1: key \"text\": expected a text, found an empty string"),
      (
        "{\"foo\": \"x\", \"output\": \"y\"}",
        "data.jsonl: line 1: expected the keys \"question\" and \"answer\", or \"problem\", \"solution\" and \"answer\", or \"prompt\" and \"completion\" or \"answer\", or \"messages\", or \"text\" (--question-key and --answer-key name others); found \"foo\", \"output\""
      ),
    ])
  func `a bad line is named with its number, key and what stands there`(text: String, message: String) {
    #expect(throws: Failure(.badData, message)) { try parse(text) }
  }

  @Test func `bytes that are not UTF-8 are refused with their line`() {
    let bytes = Array("{\"text\": \"a\"}\n{\"text\": \"".utf8) + [0xFF, 0x22, 0x7D]
    #expect(throws: Failure(.badData, "data.jsonl: line 2, column 12: not JSON: the string is not UTF-8")) {
      try ExampleFile.parse(bytes, name: "data.jsonl")
    }
  }

  @Test func `missing, empty and Parquet files each say so`() throws {
    let folder = "/tmp/nano-reasoner-tasks-\(getpid())"
    try Files.makeDirectory(folder)
    defer { try? Files.removeTree(folder) }
    #expect(throws: Failure.self) { try ExampleFile.read(folder + "/none.jsonl") }
    try AtomicFile.write("\n \n", to: folder + "/empty.jsonl")
    #expect(throws: Failure(.badData, "\(folder)/empty.jsonl: expected one JSON object per line, found an empty file"))
    {
      try ExampleFile.read(folder + "/empty.jsonl")
    }
    for name in ["a.parquet", "b.jsonl"] {
      try AtomicFile.write("PAR1xxxx", to: folder + "/" + name)
      do throws(Failure) {
        _ = try ExampleFile.read(folder + "/" + name)
        Issue.record("read \(name)")
      } catch {
        #expect(error.code == .badData)
        #expect(error.message.contains("a Parquet file that is cut off"))
      }
    }
  }

  @Test func `annotations without an end stay`() {
    #expect(ExampleFile.withoutAnnotations("a<<1+1=2>>2 << 3 <<") == "a2 << 3 <<")
    #expect(ExampleFile.withoutAnnotations(String(repeating: "<<", count: 50_000)).utf8.count == 100_000)
  }

  @Test func `a written line reads back as the same example`() throws {
    let examples = [
      Example(question: "Q \"1\"", solution: "3 * 4 = 12.", answer: "12", level: 1),
      Example(question: "Q", answer: "1,000"),
      Example(question: "", text: "raw\n"),
      Example(question: "P", solution: "C", origin: .turn),
    ]
    #expect(try parse(examples.map(\.jsonLine).joined(separator: "\n")) == examples)
  }

  @Test func `the key is the content's, the same on every machine`() {
    #expect(Example(question: "a", answer: "bc").key != Example(question: "ab", answer: "c").key)
    #expect(Example(question: "a", answer: "1").key == Example(question: "a", solution: "s", answer: "1", level: 2).key)
    #expect(Example(question: "a").key != Example(question: "a", answer: "").key)
    #expect(Example(question: "How many?", answer: "72").key == 0x0CFD_7EA5_0BE8_4BFE)
  }
}
