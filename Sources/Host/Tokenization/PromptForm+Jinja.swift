extension PromptForm {
  /// The same prompts as a Jinja template for `tokenizer_config.json`, so that `apply_chat_template` agrees.
  ///
  /// All but the default form name themselves in a comment, by which a folder that was trained in one is told from others.
  package var jinja: String {
    let systemTurn = system.map { turns.head("system") + $0 + turns.end + turns.afterEnd }
    let (note, loop): (String, String)
    switch self {
    case .qwen: (note, loop) = ("", chatMLLoop("message['content']"))
    case .chatml, .smollm2: (note, loop) = (Self.note(self), chatMLLoop("message['content']"))
    case .qwen3:
      let forget =
        "{% set content = message['content'] %}{% if message['role'] == 'assistant' and not loop.last and '\(Self.thinkingEnd)' in content %}"
        + "{% set content = content.split('\(Self.thinkingEnd)')[-1].lstrip('\\n') %}{% endif %}"
      (note, loop) = (Self.note(self), chatMLLoop("content", before: forget))
    case .llama3:
      let turn =
        "'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '\(end)'"
      (note, loop) = (
        Self.note(self),
        "{% for message in messages %}{% set content = \(turn) %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
          + "{{ content }}{% endfor %}"
      )
    }
    return note + (systemTurn.map { "{% if messages[0]['role'] != 'system' %}{{ \(Self.quoted($0)) }}{% endif %}" } ?? "") + loop
      + "{% if add_generation_prompt %}{{ \(Self.quoted(opening)) }}{% endif %}"
  }

  private func chatMLLoop(_ content: String, before: String = "") -> String {
    "{% for message in messages %}\(before){{ '<|im_start|>' + message['role'] + '\\n' + \(content) + '\(end)\\n' }}{% endfor %}"
  }

  private static func note(_ form: PromptForm) -> String { "{# nano-reasoner: prompt form \(form.rawValue) #}" }

  private static func quoted(_ text: String) -> String {
    var output = "'"
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": output += "\\\\"
      case "'": output += "\\'"
      case "\n": output += "\\n"
      default: output.unicodeScalars.append(scalar)
      }
    }
    return output + "'"
  }
}
