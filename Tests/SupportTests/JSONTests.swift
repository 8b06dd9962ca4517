import Support
import TestSupport
import Testing

@Suite struct JSONTests {
  @Test func numbersAreReadToTheBitAsPythonReadsThem() throws {
    let expected = try #require(try JSON.read(goldens + "/numbers.json").object)
    #expect(expected.count > 20)
    for text in expected.keys {
      let number = try #require(try JSON.parse(text, name: "test").double, "\(text)")
      let bits = try #require(UInt64(expected[text]?.string ?? "", radix: 16))
      // "-0" is the whole number 0 here, as it is in Python; Double keeps a sign that an integer does not have.
      #expect(number == Double(bitPattern: bits), "\(text)")
      if text.contains(where: { ".eE".contains($0) }) { #expect(number.bitPattern == bits, "\(text)") }
    }
  }

  @Test func wholeNumbersStayExact() throws {
    #expect(try JSON.parse("9223372036854775807", name: "test") == .integer(.max))
    #expect(try JSON.parse("-9223372036854775808", name: "test") == .integer(.min))
    #expect(try JSON.parse("4.0", name: "test").int == 4)
    #expect(try JSON.parse("4.5", name: "test").int == nil)
    #expect(try JSON.parse("1e300", name: "test").int == nil)
    #expect(JSON.number(.nan).int == nil)
  }

  /// Texts that RFC 8259 allows; the cases are those of Seriot's JSONTestSuite ("y_").
  @Test(arguments: [
    (#"[[]   ]"#, "[[]]"), (#"[""]"#, #"[""]"#), ("[]", "[]"), (#" [1]"#, "[1]"), ("[1,null,null,null,2]", "[1, null, null, null, 2]"),
    ("[2] ", "[2]"), ("[0e+1]", "[0.0]"), ("[20e1]", "[200.0]"), ("[-0.000]", "[-0.0]"), ("\t{}\r\n", "{}"),
    (#"{"" : 0}"#, #"{"":0}"#), (#"{"foo\u0000bar": 42}"#, #"{"foo\u0000bar":42}"#), (#""\u0060\u012a\u12AB""#, "\"`Īካ\""),
    (#""\ud801\udc37""#, "\"𐐷\""), (#""\"\\\/\b\f\n\r\t""#, #""\"\\/\u0008\u000c\n\r\t""#), (#"["\u0012"]"#, #"["\u0012"]"#),
    ("\"\u{2028}\u{2029}\"", "\"\u{2028}\u{2029}\""), ("\"\u{10FFFF}\"", "\"\u{10FFFF}\""), ("\"e\u{301}\"", "\"e\u{301}\""),
    (#""\uD834\uDd1e""#, "\"𝄞\""), ("true", "true"), ("null", "null"), ("\"\u{7f}\"", #""\u007f""#),
  ])
  func validTextsAreReadAndWrittenBack(_ text: String, _ written: String) throws {
    #expect(try Array(JSON.parse(text, name: "test").text().utf8) == Array(written.utf8))
  }

  /// A lone surrogate is no scalar: it becomes U+FFFD, and what stands beside it stays.
  @Test(arguments: [
    (#""\ud800""#, "\u{FFFD}"), (#""\udc00x""#, "\u{FFFD}x"), (#""\ud800\n""#, "\u{FFFD}\n"),
    (#""\ud800A""#, "\u{FFFD}A"), (#""\ud800\ud801\udc37""#, "\u{FFFD}𐐷"), (#""\ud800\u0041""#, "\u{FFFD}A"),
  ])
  func loneSurrogatesBecomeTheReplacementCharacter(_ text: String, _ expected: String) throws {
    #expect(try JSON.parse(text, name: "test").string == expected)
  }

  /// Texts that RFC 8259 forbids; most are JSONTestSuite's ("n_").
  @Test(arguments: [
    "", " ", "[1 true]", #"["": 1]"#, #"["",]"#, "[,1]", "[1,,2]", #"["x"]]"#, "[1,", "[", "]", "[1", "{\"a\":1", "{\"a\"",
    "{,}", #"{"x", null}"#, #"{"a":1,}"#, #"{1:1}"#, #"{a:1}"#, #"{'a':1}"#, #"{"a":1 "b":2}"#, "[-]", "[- 1]", "[+1]", "[.5]",
    "[1.]", "[1.e1]", "[1e]", "[1e+]", "[0x1]", "[01]", "[-01]", "[00]", "[NaN]", "[Infinity]", "[-Infinity]", "[1_0]", "[１]",
    "[tru]", "[True]", "[nul", "nulll", "[\"a\u{0}\"]", "[\"\t\"]", "[\"\n\"]", #"["\x00"]"#, #"["\a"]"#, #"["\u00"]"#,
    #"["\u00G0"]"#, #"["\uD800\u"]"#, #"["\u１２３４"]"#, #"["\"#, #"["\"]"#, #"["abc"#, "[1]x", "[1]//", "/**/[1]", "{} {}", "\u{FEFF}[]",
    "\u{A0}[]", #"{"a":1,"a":2}"#,
  ])
  func invalidTextsAreRefusedInOneLineWithTheirPlace(_ text: String) throws {
    let failure = try #require(failure { () throws(Failure) in try JSON.parse(text, name: "some.json") }, "\(text.debugDescription) was accepted")
    #expect(failure.code == .badData)
    #expect(failure.message.hasPrefix("some.json: line "), "\(failure.message)")
    #expect(failure.message.contains(", column "))
    #expect(!failure.message.contains("\n"))
  }

  @Test(arguments: [
    [0x22, 0xFF, 0x22], [0x22, 0xC0, 0xAF, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22],
    [0x22, 0xE2, 0x82, 0x22], [0x22, 0x5C, 0x6E, 0xFF, 0x22], [0xFF], [0xFE, 0xFF, 0x00, 0x5B],
  ] as [[UInt8]])
  func bytesThatAreNotUTF8AreRefused(_ bytes: [UInt8]) {
    #expect(failure { () throws(Failure) in try JSON.parse(bytes, name: "some.json") }?.code == .badData)
  }

  @Test func theErrorNamesLineAndColumn() {
    let failure = failure { () throws(Failure) in try JSON.parse("{\n  \"a\": 1,\n  \"b\": ?\n}", name: "some.json") }
    #expect(failure?.message.hasPrefix("some.json: line 3, column 8: ") == true)
  }

  @Test func deepNestingIsReadUpToALimitAndRefusedBeyondIt() throws {
    func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
    #expect(failure { () throws(Failure) in try JSON.parse(nested(512), name: "test") } == nil)
    #expect(failure { () throws(Failure) in try JSON.parse(nested(513), name: "test") }?.code == .badData)
    #expect(failure { () throws(Failure) in try JSON.parse(nested(1_000_000), name: "test") }?.code == .badData)
    let objects = String(repeating: #"{"a":"#, count: 200_000)
    #expect(failure { () throws(Failure) in try JSON.parse(objects, name: "test") }?.code == .badData)
  }

  @Test func keysKeepTheirOrderAndAreToldApartByteForByte() throws {
    let json = try JSON.parse("{\"z\": 1, \"\u{E9}\": 2, \"a\": 3, \"e\u{301}\": 4}", name: "test")
    let object = try #require(json.object)
    #expect(object.keys.map { Array($0.utf8) } == ["z", "\u{E9}", "a", "e\u{301}"].map { Array($0.utf8) })
    #expect(object["\u{E9}"] == 2)
    #expect(object["e\u{301}"] == 4)
  }

  @Test func whatIsWrittenIsReadBackEqual() throws {
    let value: JSON = [
      "numbers": [0, -1, 0.1, .number(0x1p-1060), 1.7976931348623157e308, .number(-0.0), .integer(.min), 4.0, .number(1e15)],
      "text": .string((0..<0x300).compactMap { Unicode.Scalar($0) }.map { String(Character($0)) }.joined() + "𝄞\u{10FFFF}"),
      "nested": [[], [:], [[[:]]], .null, true, false],
    ]
    for pretty in [false, true] {
      #expect(try JSON.parse(value.text(pretty: pretty), name: "test") == value)
    }
    #expect(JSON.array([.number(.nan), .number(.infinity)]).text() == "[null, null]")
  }
}
