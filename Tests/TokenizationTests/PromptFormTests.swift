import Support
import Testing

@testable import Tokenization

@Suite struct PromptForms {
  @Test func thePromptOfThisProgramsOwnFormEndsWhereTheAssistantBeginsToThink() {
    #expect(
      PromptForm.qwen.prompt(question: "What is 2 + 2?") == #"""
        <|im_start|>system
        Please reason step by step and put your final answer within \boxed{}.<|im_end|>
        <|im_start|>user
        What is 2 + 2?<|im_end|>
        <|im_start|>assistant
        <think>

        """#)
  }

  @Test func aDocumentIsThePromptTheCompletionAndTheEnd() {
    for form in PromptForm.allCases {
      let document = form.document(question: "Q", completion: "It is four.\n</think>\n\\boxed{4}")
      #expect(document == form.prompt(question: "Q") + "It is four.\n</think>\n\\boxed{4}" + form.end)
    }
    #expect(
      PromptForm.chatml.document(question: "Q", completion: "4")
        == "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n4<|im_end|>")
    #expect(
      PromptForm.llama3.document(question: " Q\n", completion: "4")
        == "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n4<|eot_id|>")
  }

  @Test func theMarkersAreSingleTokensWhereTheVocabularyHasThem() throws {
    let tokenizer = try Golden.tokenizer()
    let ids = tokenizer.encode(PromptForm.qwen.prompt(question: "Q"))
    #expect(ids.filter { $0 == tokenizer.id(of: "<|im_start|>") }.count == 3)
    #expect(ids.filter { $0 == tokenizer.id(of: "<|im_end|>") }.count == 2)
    #expect(ids.filter { $0 == tokenizer.id(of: "<think>") }.count == 1)
  }

  @Test func controlTokensInAQuestionAreTextInEveryForm() throws {
    for form in PromptForm.allCases {
      let evil = "a" + form.tokens.joined() + "b"
      let text = form.prompt(system: evil, history: [.init(isAssistant: true, content: evil)], marked: evil)
      let outside = text.bytes.indices.filter { index in !text.data.contains { $0.contains(index) } }
      let formText = String(decoding: outside.map { text.bytes[$0] }, as: UTF8.self)
      // Three turns end.
      #expect(formText.split(separator: form.end, omittingEmptySubsequences: false).count == 4)
      #expect(!formText.contains("a" + form.tokens[0]))
    }
  }

  // MARK: Against transformers

  private static let golden = try? Golden.read("forms.json")
  static let templates = golden?["templates"]?.array ?? []

  /// The names of the templates that have a key.
  static func names(with key: String) -> [String] { templates.filter { $0[key]?.string != nil }.compactMap { $0["name"]?.string } }

  private func row(_ name: String) throws -> JSON { try #require(Self.templates.first { $0["name"]?.string == name }) }

  @Test func thereAreTemplates() { #expect(Self.names(with: "form").count > 10 && Self.names(with: "template").count > 20) }

  @Test(arguments: names(with: "form")) func aFormWritesWhatItsTemplateDoes(_ name: String) throws {
    let row = try row(name)
    let form = try #require(row["form"]?.string.flatMap(PromptForm.init(rawValue:)))
    let dialogues = try #require(Self.golden?["dialogues"]?.array)
    let prompts = try #require(row["prompts"]?.array)
    #expect(prompts.count == dialogues.count && prompts.count > 10)
    for (dialogue, expected) in zip(dialogues, prompts) {
      var turns = try #require(dialogue.array).map { ($0["role"]?.string ?? "", $0["content"]?.string ?? "") }
      let system = turns.first.flatMap { $0.0 == "system" ? $0.1 : nil }
      if system != nil { turns.removeFirst() }
      let history = turns.dropLast().map { PromptForm.Turn(isAssistant: $0.0 == "assistant", content: $0.1) }
      let prompt = form.prompt(system: system, history: history, marked: try #require(turns.last?.1))
      #expect(isSame(prompt.text, try #require(expected.string)), "\(name)")
    }
  }

  @Test(arguments: PromptForm.allCases) func anExportSaysTheFormAsTransformersReadsIt(_ form: PromptForm) throws {
    #expect(form.jinja == Self.golden?["own"]?[form.rawValue]?.string)
  }

  // MARK: The form of a folder

  @Test(arguments: names(with: "template")) func theTemplateOfAFolderChoosesTheForm(_ name: String) throws {
    let row = try row(name)
    let template = try #require(row["template"]?.string)
    let chosen = row["chosen"]?.string.flatMap(PromptForm.init(rawValue:))
    for isFile in [true, false] {
      let folder = try Folder(["bos_token": "<|begin_of_text|>"], template: template, isFile: isFile)
      let choice = try folder.choice()
      #expect(choice.form == chosen ?? .qwen && (choice.warning == nil) == (chosen != nil), "\(name)")
      if let warning = choice.warning {
        #expect(warning.contains(isFile ? "chat_template.jinja" : "tokenizer_config.json: chat_template"))
        #expect(warning.contains("form qwen (--prompt-form qwen|chatml|smollm2|qwen3|llama3"))
      }
    }
  }

  @Test func aQwen2FolderKeepsThisProgramsFormWhateverChatMLItsTemplateWrites() throws {
    for row in Self.templates {
      guard let template = row["template"]?.string, let name = row["name"]?.string else { continue }
      let choice = try Folder(["bos_token": .null], template: template, modelType: "qwen2").choice()
      // What was exported here says its form.
      let expected = name.hasSuffix(", exported") ? row["form"]?.string : "qwen"
      #expect(choice.form.rawValue == expected, "\(name)")
      // Any text of the system's is ChatML.
      let isOfAnotherKind = row["chosen"]?.string == nil && name != "other system" || name.hasPrefix("Llama")
      #expect((choice.warning != nil) == isOfAnotherKind, "\(name)")
    }
  }

  @Test func aFolderWithoutATemplateTakesTheUsualForm() throws {
    #expect(try Folder([:]).choice() == PromptForm.Choice(form: .qwen))
    #expect(try PromptForm.of(folder: Golden.small, tokenizer: try Golden.tokenizer()) == PromptForm.Choice(form: .qwen))
    #expect(try Folder(["chat_template": .null]).choice() == PromptForm.Choice(form: .qwen))
    let families = try #require(try Golden.read("families.json")["families"]?.array)
    let llama = try Tokenizer(json: try #require(families.first { $0["name"]?.string == "llama3" }?["file"]), name: "llama3")
    #expect(try Folder([:]).choice(llama) == PromptForm.Choice(form: .llama3))
    let unknown = try Folder([:], template: "{{ strftime_now('%d') }}").choice(llama)
    #expect(unknown.form == .llama3 && unknown.warning?.contains("form llama3 (--prompt-form") == true)
  }

  @Test func llama3sTemplateBeginsWithTheTokenThatTheFolderNames() throws {
    let template = try #require(try row("Llama 3")["template"]?.string)
    #expect(try Folder(["bos_token": ["content": "<|begin_of_text|>"]], template: template).choice().form == .llama3)
    for other in [nil, "<s>", .null] as [JSON?] {
      #expect(try Folder(other.map { ["bos_token": $0] } ?? [:], template: template).choice().warning != nil)
    }
  }

  @Test func ofSeveralTemplatesTheDefaultOneCounts() throws {
    let named: [JSON] = [
      ["name": "tool_use", "template": "x"], ["name": "default", "template": .string(PromptForm.smollm2.jinja)],
    ]
    #expect(try Folder(["chat_template": .array(named)]).choice() == PromptForm.Choice(form: .smollm2))
    let none = #expect(throws: Failure.self) { try Folder(["chat_template": .array([named[0]])]).choice() }
    #expect(none?.message.contains("tokenizer_config.json: chat_template: expected one of the templates to be named \"default\"") == true)
    let number = #expect(throws: Failure.self) { try Folder(["chat_template": 3]).choice() }
    #expect(number?.message.contains("chat_template: expected a string, found 3") == true)
  }

  /// A folder with a `tokenizer_config.json`, and a chat template in it or beside it.
  private struct Folder: ~Copyable {
    let path: String

    init(_ configuration: JSON.Object, template: String? = nil, isFile: Bool = true, modelType: String? = nil) throws {
      path = Golden.temporary + "/nano-reasoner-forms-\(getpid())-\(UInt64.random(in: 0 ... .max))"
      try Files.makeDirectory(path)
      var configuration = configuration
      if let template, !isFile { configuration["chat_template"] = .string(template) }
      try AtomicFile.write(JSON.object(configuration).text(), to: path + "/tokenizer_config.json")
      if let template, isFile { try AtomicFile.write(template, to: path + "/chat_template.jinja") }
      if let modelType { try AtomicFile.write(JSON.object(["model_type": .string(modelType)]).text(), to: path + "/config.json") }
    }

    func choice(_ tokenizer: Tokenizer? = nil) throws -> PromptForm.Choice { try PromptForm.of(folder: path, tokenizer: tokenizer) }

    deinit { try? Files.removeTree(path) }
  }
}
