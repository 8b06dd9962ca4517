import Arguments
import Support
import Testing

@Suite("Reading options from a configuration file")
struct ConfigurationTests {
  @Test("The command line wins over the file and the file over defaults")
  func precedence() throws {
    let file = try TrialFile(
      #"{"model": "m", "data": "d", "out": "o", "group_size": 4, "lr": 1, "temperature": 0.5, "level": null, "resume": true}"#
    )
    let arguments = try TrialProgram.parse(
      "rl", "--config", file.path, "--lr", "2", "--out=elsewhere", "--resume=false")
    #expect(try arguments.integer("group-size") == 4)
    #expect(try arguments.number("lr") == 2)
    #expect(try arguments.number("temperature") == 0.5)
    #expect(try arguments.text("out") == "elsewhere")
    #expect(try arguments.optionalInteger("level") == nil)
    #expect(try !arguments.flag("resume"))
    #expect(try arguments.source("lr") == .commandLine)
    #expect(try arguments.source("temperature") == .configuration)
    #expect(try arguments.source("precision") == .default)
  }

  @Test("Parameters merge key by key")
  func parameters() throws {
    let file = try TrialFile(#"{"set": {"beta": 0.04, "variant": "paper", "whiten": true}, "algos": ["a", "b"]}"#)
    let arguments = try TrialProgram.rl("--config", file.path, "--set", "beta=0")
    #expect(
      try arguments.assignments("set") == [
        Assignment(key: "variant", value: "paper"), Assignment(key: "whiten", value: "true"),
        Assignment(key: "beta", value: "0"),
      ])
    #expect(try arguments.list("algos") == ["a", "b"])
  }

  @Test(
    "A wrong file is one line with the path, the key, what was expected and what was found",
    arguments: [
      (#"{"grop_size": 4}"#, "\"grop_size\" is not an option of rl; did you mean \"group-size\"?"),
      (#"{"zebra": 4}"#, "\"zebra\" is not an option of rl"),
      (#"{"config": "other.json"}"#, "\"config\" is not an option of rl"),
      (#"{"group_size": 4, "group-size": 4}"#, "\"group-size\" stands twice, in kebab and in snake case"),
      (#"{"group_size": "4"}"#, "\"group_size\": expected a whole number from 1 to 64, found \"4\""),
      (#"{"group_size": 4.5}"#, "\"group_size\": expected a whole number from 1 to 64, found 4.5"),
      (#"{"lr": -1}"#, "\"lr\": expected a finite number above 0 and at most 10, found -1"),
      (#"{"precision": "fp16"}"#, "\"precision\": expected fp32 or bf16, found \"fp16\""),
      (#"{"resume": 1}"#, "\"resume\": expected true or false, found 1"),
      (#"{"set": ["beta"]}"#, "\"set\": expected an object of keys and values, found an array of 1"),
      (#"{"set": {"beta": []}}"#, "\"set\": expected an object of keys and values, found an object"),
      (#"{"algos": [1]}"#, "\"algos\": expected an array of names, found an array of 1"),
      (#"{"note": [1]}"#, "\"note\": expected an array, each text, found an array of 1"),
      (#"[]"#, "expected an object of options, found an array of 0"),
      (#"{"lr": }"#, "line 1, column 8: not JSON: expected a value, found '}'"),
    ])
  func errors(text: String, message: String) throws {
    let file = try TrialFile(text)
    let failure = TrialProgram.failure(["rl", "--config", file.path])
    #expect(failure == .badData("rl: \(file.path): \(message)"))
  }

  @Test("A file that is not there is missing input")
  func missing() {
    #expect(TrialProgram.failure(["rl", "--config", "/nowhere/run.json"])?.code == .missingInput)
  }

  @Test("All effective values come out as JSON and serve as a configuration again")
  func roundTrip() throws {
    let arguments = try TrialProgram.rl("--set", "beta=0.04", "--lr", "3e-4", "--algos", "a,b", "--note", "x")
    #expect(
      arguments.json == [
        "model": "m", "precision": "fp32", "device": "auto", "data": "d", "lr": 3e-4, "temperature": 1.0,
        "top-p": .null, "shift": 0.5, "group-size": 8, "level": .null, "set": ["beta": "0.04"], "algos": ["a", "b"],
        "note": ["x"], "out": "o", "resume": false, "full": false,
      ])
    let file = try TrialFile(arguments.json.text(pretty: true))
    #expect(try TrialProgram.parse("rl", "--config", file.path).json == arguments.json)
  }
}

/// A file in the temporary folder that goes away with the value.
final class TrialFile {
  let path: String

  init(_ text: String) throws(Failure) {
    path = "/tmp/arguments-\(getpid())-\(UInt64.random(in: 0 ... .max)).json"
    try AtomicFile.write(text, to: path)
  }

  deinit { Files.remove(path) }
}
