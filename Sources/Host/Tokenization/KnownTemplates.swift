import Support

/// The chat templates that are known to write the prompts of a form.
enum KnownTemplates {
  /// What a template writes, of its kind of markers.
  enum Meaning: Sendable, Equatable {
    /// ChatML with this text of the system's by default.
    case chatML(system: String?)
    case qwen3
    /// Llama 3.0's, whose first turn has the tokenizer's `bos_token` in front.
    case llama3
  }

  static func meaning(of template: String) -> Meaning? {
    guard let outline = TemplateOutline(template) else { return nil }
    if chatML.contains(outline.parts) { return .chatML(system: outline.system) }
    if outline.system == nil, llama3.contains(outline.parts) { return .llama3 }
    switch SHA256.hex(Array(outline.parts.joined(separator: "\u{1F}").utf8)) {
    case qwen25Digest: return .chatML(system: outline.system)
    case qwen3Digest: return .qwen3
    case qwen3InstructDigest: return .chatML(system: outline.system)
    default: return nil
    }
  }

  /// The templates with tools of Qwen2.5, Qwen3 and Qwen3-Instruct-2507, by the SHA-256 of their outlines
  /// (Tests/Oracles/check_prompt_forms.py shows that the forms write what they do).
  private static let qwen25Digest = "ee17029320719031acabdaf3735c7225043fd0d6b578426fc0b049d3ad2b4834"
  private static let qwen3Digest = "d351621e09a3e3051fa2e493254323027d87889834709b968dd255f8ba6a1cf0"
  private static let qwen3InstructDigest = "6345835b1473be39c4e439fd4862401da8ec7db1846784d233a15e7c13d31cb2"

  /// The short templates: with and without a system text, which stands in front of the turns or with the first (Qwen2, SmolLM2).
  private static let chatML: Set<[String]> = {
    let turn = "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    let system = "messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n?<|im_end|>\n' }}{% endif %}"
    let opening = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    let defined = "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
    let templates = [
      "{% for message in messages %}\(turn){% endfor %}\(opening)",
      "{% for message in messages %}{% if loop.first and \(system)\(turn){% endfor %}\(opening)",
      "{% if \(system){% for message in messages %}\(turn){% endfor %}\(opening)",
    ]
    return outlines(templates + templates.map { defined + $0 })
  }()

  /// As Llama 3.0 was published first, with a prompt behind every dialogue, and as it is now.
  private static let llama3: Set<[String]> = {
    let turn = "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>'"
    let opening = "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    let loop =
      "{% for message in loop_messages %}{% set content = \(turn) %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
      + "{% endif %}{{ content }}{% endfor %}"
    let start = "{% set loop_messages = messages %}"
    return outlines([
      start + loop + opening, "\(start)\(loop){% if add_generation_prompt %}\(opening){% endif %}", PromptForm.llama3.jinja,
    ])
  }()

  private static func outlines(_ templates: [String]) -> Set<[String]> { Set(templates.compactMap { TemplateOutline($0)?.parts }) }
}
