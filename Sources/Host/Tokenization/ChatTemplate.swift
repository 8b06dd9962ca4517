/// ChatML as the training of this program writes it: system, user, and an assistant that begins by thinking.
package struct ChatTemplate: Sendable, Equatable {
  package static let start = "<|im_start|>"
  package static let end = "<|im_end|>"
  package static let thinking = "<think>"
  package static let thinkingEnd = "</think>"

  package var system = #"Please reason step by step and put your final answer within \boxed{}."#

  package init() {}

  package init(system: String) { self.system = system }

  /// The text a completion continues: it ends after `<think>` and a new line.
  package func prompt(question: String) -> String {
    "\(Self.start)system\n\(system)\(Self.end)\n\(Self.start)user\n\(question)\(Self.end)\n\(Self.start)assistant\n"
      + "\(Self.thinking)\n"
  }

  /// A whole dialogue, closed by `<|im_end|>`.
  package func document(question: String, completion: String) -> String {
    prompt(question: question) + completion + Self.end
  }

  /// The same prompt as a Jinja template for `tokenizer_config.json`, so `apply_chat_template` agrees.
  package var jinja: String {
    func quoted(_ text: String) -> String {
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
    let systemTurn = quoted("\(Self.start)system\n\(system)\(Self.end)\n")
    let turn = "'\(Self.start)' + message['role'] + '\\n' + message['content'] + '\(Self.end)\\n'"
    let opening = quoted("\(Self.start)assistant\n\(Self.thinking)\n")
    return "{% if messages[0]['role'] != 'system' %}{{ \(systemTurn) }}{% endif %}"
      + "{% for message in messages %}{{ \(turn) }}{% endfor %}"
      + "{% if add_generation_prompt %}{{ \(opening) }}{% endif %}"
  }
}
