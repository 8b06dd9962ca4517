import Support
import TestSupport
import Testing

/// How prompts are written, by the folder's chat template and by --prompt-form.
@Suite struct PromptFormCommandTests {
  private static let base = Place.repository + "/Models/base"
  private static let question = #"{"question": "Q", "answer": "2 * 3 = 6.\n#### 6"}"#

  private func show(_ row: String, _ model: String = base, _ more: String...) throws -> (text: String, learned: String, error: String) {
    let folder = try TrialFolder()
    let data = try folder.write(row + "\n", "data.jsonl")
    let result = try tool(["data", "show", "--model", model, "--data", data, "--json", "--loss-on", "completion"] + more)
    #expect(result.code == 0, "\(result.error)")
    let tokens = try #require(result.json["examples"]?.array?.first?["tokens"]?.array)
    func text(_ tokens: [JSON]) -> String { tokens.compactMap { $0["text"]?.string }.joined() }
    return (text(tokens), text(tokens.filter { $0["loss"]?.bool == true }), result.error)
  }

  @Test(arguments: [
    ("qwen", "<|im_start|>system\nPlease reason step by step and put your final answer within \\boxed{}.<|im_end|>\n", "<think>\n"),
    ("chatml", "", ""), ("qwen3", "", ""),
    ("smollm2", "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n", ""),
  ])
  func aFormChoosesTheSystemsTextAndWhoOpensTheThinking(_ form: String, _ system: String, _ opening: String) throws {
    let shown = try show(Self.question, Self.base, "--prompt-form", form)
    let completion = "2 * 3 = 6.\n</think>\n\\boxed{6}<|im_end|>"
    #expect(shown.text == "\(system)<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n<think>\n\(completion)")
    #expect(shown.learned == (opening.isEmpty ? "<think>\n" : "") + completion && shown.error.isEmpty)
  }

  /// A form that leaves the thinking to the completion changes nothing of what somebody wrote.
  @Test(arguments: [
    (#"{"prompt": "Q", "completion": "2 + 3 = 5\nSo \\boxed{5}."}"#, "2 + 3 = 5\nSo \\boxed{5}."),
    (#"{"prompt": "Q", "completion": "<think>ok</think>\n\n\\boxed{5}<|im_end|>\n"}"#, "<think>ok</think>\n\n\\boxed{5}"),
    (#"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}"#, "A"),
    (#"{"instruction": "Q", "output": "five", "answer": "5"}"#, "<think>\nfive\n</think>\n\\boxed{5}"),
    (#"{"problem": "Q", "solution": "<think>\nlong\n</think>\nSo seven.", "answer": "7"}"#, "<think>\nlong\n</think>\nSo seven.\n\\boxed{7}"),
    (#"{"question": "Q", "completion": "ok.\n</think>\n\\boxed{4}", "gold": "5", "truncated": false}"#, "ok.\n</think>\n\\boxed{4}"),
    (#"{"prompt": "Q", "answer": 7}"#, "<think>\n</think>\n\\boxed{7}"),
  ])
  func aTurnStaysAsItIsWhereThePromptOpensNoThinking(_ row: String, _ turn: String) throws {
    let shown = try show(row, Self.base, "--prompt-form", "chatml")
    #expect(shown.learned == turn + "<|im_end|>")
    #expect(shown.text == "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n\(turn)<|im_end|>")
  }

  @Test func aTemplateThatIsNotComputedIsAWarningAndTheFormIsStillTheUsualOne() throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    let usual = try show(Self.question, model)
    #expect(usual.error.isEmpty)
    try folder.write("{{ bos_token }}{% for m in messages %}[INST]{{ m.content }}[/INST]{% endfor %}", "model/chat_template.jinja")
    let unknown = try show(Self.question, model)
    #expect(unknown.text == usual.text && unknown.learned == usual.learned)
    #expect(unknown.error.split(separator: "\n").count == 1)
    for part in ["warning: ", model + "/chat_template.jinja", "the form qwen", "--prompt-form"] { #expect(unknown.error.contains(part)) }
    let named = try show(Self.question, model, "--prompt-form", "qwen")
    #expect(named.text == usual.text && named.error.isEmpty)
    let generated = try tool("generate", "--model", model, "--prompt", "Q", "--max-new-tokens", "2", "--json")
    #expect(generated.code == 0 && generated.error.split(separator: "\n").count == 1)
    #expect(try tool("generate", "--model", model, "--prompt", "Q", "--raw", "--prompt-form", "qwen").code == 64)
  }

  @Test func aFormWhoseTokensTheTokenizerLacksIsRefused() throws {
    let folder = try TrialFolder()
    let data = try folder.write(Self.question + "\n", "data.jsonl")
    expectRefusal(
      try tool("data", "show", "--model", Self.base, "--data", data, "--prompt-form", "llama3"), 64, "--prompt-form llama3", "tokenizer.json",
      "<|begin_of_text|>")
    expectRefusal(try tool("data", "show", "--model", Self.base, "--data", data, "--prompt-form", "vicuna"), 64, "--prompt-form", "smollm2")
  }

  @Test func aRunKeepsItsFormAndWhatItTrainsSaysIt() throws {
    let folder = try TrialFolder()
    let data = try folder.write(Self.question + "\n", "data.jsonl")
    func train(_ out: String, _ more: String...) throws -> ToolResult {
      try tool(["sft", "--model", Place.model, "--data", data, "--full", "--max-steps", "1", "--quiet", "--out", folder.file(out)] + more)
    }
    for (out, form) in [("usual", "qwen"), ("plain", "chatml")] {
      let trained = out == "usual" ? try train(out) : try train(out, "--prompt-form", form)
      #expect(trained.code == 0 && trained.error.isEmpty, "\(trained.error)")
      #expect(try JSON.read(folder.file("\(out)/run.json"))["identity"]?["prompt-form"]?.string == form)
      let model = folder.file("\(out)/model")
      #expect(try Files.readText(model + "/chat_template.jinja").contains("<think>") == (form == "qwen"))
      // The folder says the form again, without being told.
      #expect(try show(Self.question, model).text == show(Self.question, Place.model, "--prompt-form", form).text)
      #expect(try show(Self.question, model).error.isEmpty)
    }
    expectRefusal(try train("plain", "--resume"), 65, "prompt-form", "chatml", "qwen")
    #expect(try train("plain", "--resume", "--prompt-form", "chatml").code == 0)
    let out = folder.file("merged")
    #expect(try tool("export", "--model", Place.model, "--adapter", Place.adapter, "--prompt-form", "smollm2", "--out", out).code == 0)
    #expect(try Files.readText(out + "/chat_template.jinja").contains("named SmolLM"))
  }

  /// As `tokenizer(text)` of transformers: with the token that begins a text where the tokenizer adds one.
  @Test func aRawPromptBeginsAsTheTokenizerBeginsTexts() throws {
    let folder = try TrialFolder()
    let model = try folder.copy(Place.model, "model")
    func generate(_ prompt: String) throws -> JSON? {
      try tool("generate", "--model", model, "--raw", "--prompt", prompt, "--max-new-tokens", "6", "--json").json["completions"]?.array?.first?["log_probs"]
    }
    let (plain, begun) = (try generate("Tom has"), try generate("<|im_start|>Tom has"))
    let ids = try tool("tokenize", "--model", model, input: "Tom has").output
    var file = try #require(try JSON.read(model + "/tokenizer.json").object)
    file["post_processor"] = [
      "type": "TemplateProcessing",
      "single": [["SpecialToken": ["id": "<|im_start|>", "type_id": 0]], ["Sequence": ["id": "A", "type_id": 0]]], "pair": [],
      "special_tokens": ["<|im_start|>": ["id": "<|im_start|>", "ids": [298], "tokens": ["<|im_start|>"]]],
    ]
    try AtomicFile.write(JSON.object(file).text(), to: model + "/tokenizer.json")
    #expect(try generate("Tom has") == begun && begun != plain && begun != nil)
    // Nothing else is given a beginning: neither ids nor texts to train on.
    #expect(try tool("tokenize", "--model", model, input: "Tom has").output == ids)
    #expect(try show(#"{"text": "Tom has"}"#, model).text == "Tom has")
  }
}
