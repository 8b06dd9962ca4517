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
    prompt(marked: question).text
  }

  /// What of a completion belongs to the form.
  package static let marks = [thinking, thinkingEnd]

  /// A turn of a dialogue before the question.
  package struct Turn: Sendable, Equatable {
    package let isAssistant: Bool
    package let content: String

    package init(isAssistant: Bool, content: String) {
      self.isAssistant = isAssistant
      self.content = content
    }
  }

  /// The prompt with what others wrote marked as data, so that a control token in a question is text.
  ///
  /// - Parameter system: the row's own instruction; nil takes the form's.
  package func prompt(system own: String? = nil, history: [Turn] = [], marked question: String) -> MarkedText {
    var text = MarkedText()
    text.append(form: "\(Self.start)system\n")
    if let own { text.append(data: own) } else { text.append(form: system) }
    text.append(form: "\(Self.end)\n")
    for turn in history + [Turn(isAssistant: false, content: question)] {
      text.append(form: "\(Self.start)\(turn.isAssistant ? "assistant" : "user")\n")
      text.append(data: turn.content, except: turn.isAssistant ? Self.marks : [])
      text.append(form: "\(Self.end)\n")
    }
    text.append(form: "\(Self.start)assistant\n\(Self.thinking)\n")
    return text
  }

  /// A completion and the end of its turn, which one that was cut off does not have.
  package func completion(marked completion: String, isEnded: Bool = true) -> MarkedText {
    var text = MarkedText()
    text.append(data: completion, except: Self.marks)
    if isEnded { text.append(form: Self.end) }
    return text
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
