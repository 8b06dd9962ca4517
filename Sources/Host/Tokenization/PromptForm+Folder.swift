import Support

extension PromptForm {
  /// The form of a model's folder, and what its user should know of the choice.
  package struct Choice: Sendable, Equatable {
    package let form: PromptForm
    /// Why the prompts may not be those of the folder's own template; nil where they are.
    package var warning: String?
  }

  /// The form that a folder's chat template says.
  ///
  /// A Qwen2 folder (`model_type` of its `config.json`) gets this program's own form, whatever ChatML its template writes: only what was
  /// exported here says otherwise. So does a folder without a template, unless its tokenizer knows Llama 3's control tokens alone.
  package static func of(folder path: String, tokenizer: Tokenizer?) throws(Failure) -> Choice {
    let configurationPath = path + "/tokenizer_config.json"
    let configuration = Files.exists(configurationPath) ? TokenizerField(try JSON.read(configurationPath), file: configurationPath) : nil
    guard let template = try template(path, configuration) else { return Choice(form: usual(tokenizer)) }
    if let own = allCases.first(where: { template.text.utf8.elementsEqual($0.jinja.utf8) }) { return Choice(form: own) }
    let meaning = KnownTemplates.meaning(of: template.text)
    if let meaning, meaning != .llama3, try modelType(path) == "qwen2" { return Choice(form: .qwen) }
    switch meaning {
    case .chatML(system: nil): return Choice(form: .chatml)
    case .chatML(let system?) where system == PromptForm.smollm2.system: return Choice(form: .smollm2)
    case .chatML(let system?) where qwenSystems.contains(system): return Choice(form: .qwen)
    case .qwen3: return Choice(form: .qwen3)
    case .llama3 where try beginsText(configuration): return Choice(form: .llama3)
    default: break
    }
    let form = usual(tokenizer)
    return Choice(
      form: form,
      warning: "\(template.place): the chat template is none that this program computes; prompts are written in the form \(form.rawValue) (--prompt-form \(allCases.map(\.rawValue).joined(separator: "|")) chooses)")
  }

  /// The default system texts of Qwen1.5, Qwen2, Qwen2.5 and Qwen2.5-Math.
  private static let qwenSystems: Set<String> = [
    "You are a helpful assistant", "You are a helpful assistant.", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.",
    #"Please reason step by step, and put your final answer within \boxed{}."#,
  ]

  /// The form of a folder whose template says nothing.
  private static func usual(_ tokenizer: Tokenizer?) -> PromptForm {
    func knows(_ form: PromptForm) -> Bool { form.tokens.allSatisfy { tokenizer?.id(of: $0) != nil } }
    return knows(.llama3) && !knows(.qwen) ? .llama3 : .qwen
  }

  /// The chat template and where it stands: the file of its own goes before the key, as in `transformers`.
  private static func template(_ path: String, _ configuration: TokenizerField?) throws(Failure) -> (text: String, place: String)? {
    let file = path + "/chat_template.jinja"
    if Files.exists(file) { return (try Files.readText(file), file) }
    guard let field = configuration?["chat_template"], field.isPresent else { return nil }
    let place = "\(field.file): \(field.keys)"
    if field.value?.array == nil { return (try field.string(), place) }
    for named in try field.array(default: nil) where try named["name"].string() == "default" {
      return (try named["template"].string(), place)
    }
    throw field.failure("expected one of the templates to be named \"default\", found none")
  }

  private static func modelType(_ path: String) throws(Failure) -> String? {
    let file = path + "/config.json"
    return Files.exists(file) ? try JSON.read(file)["model_type"]?.string : nil
  }

  /// Whether the token that Llama 3's template puts in front is the one that the form has there.
  private static func beginsText(_ configuration: TokenizerField?) throws(Failure) -> Bool {
    guard let token = configuration?["bos_token"], token.isPresent else { return false }
    return (token.value?.string ?? token["content"].value?.string) == TurnMarkers.llama3.opening
  }
}
