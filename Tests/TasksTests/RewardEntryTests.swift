import Support
import TestSupport
import Testing

@testable import Tasks

/// The grammar of `--reward`.
@Suite struct RewardEntryTests {
  private func read(_ text: String) throws -> [RewardEntry] { try RewardEntry.read(text) }

  @Test func aNameAFileAndACommandEachMayCarryAWeight() throws {
    #expect(try read("answer") == [RewardEntry(.answer(.numeric))])
    #expect(try read("exact=0.5") == [RewardEntry(.answer(.exact), weight: 0.5)])
    #expect(try read("format,length:64=-1e-2,overlong:16") == [
      RewardEntry(.format), RewardEntry(.length(target: 64), weight: -0.01), RewardEntry(.overlong(buffer: 16)),
    ])
    #expect(try read("./my_reward.py") == [RewardEntry(.python(path: "./my_reward.py", function: nil))])
    #expect(try read("a,b=c/my.py:fn=0") == [RewardEntry(.python(path: "a,b=c/my.py", function: "fn"), weight: 0)])
    #expect(try read("command:./grade --strict") == [RewardEntry(.command("./grade --strict"))])
    #expect(try read("command:./grade --mode=a,b=0.5") == [RewardEntry(.command("./grade --mode=a,b"), weight: 0.5)])
    #expect(try read("command:./grade --k=3=1") == [RewardEntry(.command("./grade --k=3"))])
    #expect(try read("command:python3 my.py") == [RewardEntry(.command("python3 my.py"))])
  }

  /// What `run.json` keeps is read as what it was made of.
  @Test(arguments: [
    "numeric", "math-verify=2", "format=0.2", "length", "length:512=0.0003", "overlong", "overlong:64=-1.5", "my.py", "a=1/my.py:fn=1e-7",
    "command:./grade --k=3=1", "command:x=0",
  ])
  func anEntryIsReadBackFromItsText(_ text: String) throws {
    let entry = try #require(try read(text).first)
    #expect(try read(entry.text) == [entry])
  }

  @Test(arguments: [
    ("formt", "did you mean format?"), ("", "expected answer"), ("answer,", "expected answer"), ("answer, format", "found \" format\""),
    ("format=", "expected a number as the weight"), ("format=much", "found \"much\""), ("my.py=abc", "expected a number as the weight"),
    ("format=1e7", "expected a weight"), ("my.py=1e400", "expected a weight"), ("format=nan", "found \"nan\""), ("=0.5", "expected answer"),
    ("format:x", "takes nothing behind a colon"), ("length:-1", "number of tokens from 0"), ("overlong:0", "number of tokens from 1"),
    ("overlong:1.5", "number of tokens"), ("answer,my.py:f,format", "of its own"), ("command:", "expected a command line"), ("command: =2", "expected a command line"),
    ("my.py:", "expected answer"), ("my.py:two words", "expected answer"), (".py", "expected answer"), ("my.txt", "expected answer"),
  ])
  func whatIsNoEntryIsRefusedInOneLine(_ text: String, _ expected: String) throws {
    let error = failure { () throws(Failure) in _ = try RewardEntry.read(text) }
    #expect(error?.code == .usage)
    #expect(error?.message.hasPrefix("--reward \"") == true && error?.message.contains(expected) == true, "\(error?.message ?? "accepted")")
    #expect(error?.message.contains("\n") == false)
  }

  @Test func oneAnswerIsTheRewardThatItAlwaysWas() throws {
    for texts in [[], ["numeric"], ["answer"], ["answer=1"]] {
      let plan = try RewardPlan(texts)
      #expect(plan.isAnswerAlone && plan.grader == .numeric)
      #expect(try plan.identity() == ["reward": "numeric"])
    }
    #expect(try RewardPlan(["exact"]).identity() == ["reward": "exact"])
    for texts in [["answer=2"], ["answer", "format"], ["format"]] { #expect(try !RewardPlan(texts).isAnswerAlone) }
  }

  @Test func partsHaveNamesOfTheirOwnAndTheFirstGraderSaysWhatIsCorrect() throws {
    let plan = try RewardPlan(["format", "exact", "numeric=0.5", "a/len.py", "b/len.py", "x.py:fn", "length:1,length:2", "command:./gra-de.sh -x"])
    #expect(plan.names == ["format", "correct", "numeric", "len", "len-2", "fn", "length", "length-2", "gra-de.sh"])
    #expect(plan.grader == .exact)
    #expect(try RewardPlan(["answer", "format=0.2", "command:./grade --k=3"]).summary == "1 × numeric + 0.2 × format + 3 × command:./grade --k")
    #expect(try RewardPlan(["format"]).grader == .numeric)
    #expect(try RewardPlan(["correct.py", "answer"]).names == ["correct-2", "correct"])
    for twice in [["answer", "numeric"], ["format", "format=2"], ["length,length:0"]] {
      #expect(failure { () throws(Failure) in _ = try RewardPlan(twice) }?.message.contains("given twice") == true)
    }
  }

  @Test func aFilesDigestIsPartOfWhatARunIs() throws {
    let folder = try TrialFolder()
    let (path, program) = (try folder.write("def reward(**k): ...\n", "r.py"), try folder.write("#!/bin/sh\n", "grade"))
    let identity = try RewardPlan(["\(path)=0.5", "command:\(program) --strict"]).identity()
    #expect(identity["reward"] == [.string("\(path)=0.5"), .string("command:\(program) --strict=1")])
    #expect(identity["reward_sha256"]?[path]?.string == SHA256.hex(Array("def reward(**k): ...\n".utf8)))
    #expect(identity["reward_sha256"]?[program]?.string == SHA256.hex(Array("#!/bin/sh\n".utf8)))
    let missing = failure { () throws(Failure) in _ = try RewardPlan([folder.file("no.py")]).identity() }
    #expect(missing?.code == .missingInput && missing?.message.contains("no.py") == true)
  }
}
