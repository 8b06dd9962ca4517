/// How a dialogue is written for a model: the tokens around each turn, what the system says, and where the assistant begins.
package enum PromptForm: String, Sendable, CaseIterable {
  /// This program's own: ChatML that asks for a boxed answer and opens the assistant's thinking. Qwen2's models are trained in it.
  case qwen
  /// ChatML without a system's turn.
  case chatml
  /// ChatML with SmolLM2's default system text.
  case smollm2
  /// ChatML without a system's turn, in which earlier answers lose their thinking.
  case qwen3
  /// Llama 3.0's headers, without a system's turn.
  case llama3

  package static let thinking = "<think>"
  package static let thinkingEnd = "</think>"
  /// What of a completion belongs to the form.
  package static let marks = [thinking, thinkingEnd]

  /// What the system says in a dialogue without a system's turn of its own; nil where it then says nothing.
  package var system: String? {
    switch self {
    case .qwen: #"Please reason step by step and put your final answer within \boxed{}."#
    case .smollm2: "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    case .chatml, .qwen3, .llama3: nil
    }
  }

  /// Whether the prompt opens the assistant's thinking. Where it does not, the prompt is what the model's own template makes of the
  /// dialogue, and a completion that thinks opens its thinking itself.
  package var opensThinking: Bool { self == .qwen }

  /// The token that ends a turn.
  package var end: String { turns.end }

  /// The tokens that the form is made of.
  package var tokens: [String] { turns.tokens }

  var turns: TurnMarkers { self == .llama3 ? .llama3 : .chatML }

  /// A turn of a dialogue before the question.
  package struct Turn: Sendable, Equatable {
    package let isAssistant: Bool
    package let content: String

    package init(isAssistant: Bool, content: String) {
      self.isAssistant = isAssistant
      self.content = content
    }
  }

  /// The text a completion continues.
  package func prompt(question: String) -> String {
    prompt(marked: question).text
  }

  /// The prompt with what others wrote marked as data, so that a control token in a question is text.
  ///
  /// - Parameter system: the row's own instruction; nil takes the form's.
  package func prompt(system own: String? = nil, history: [Turn] = [], marked question: String) -> MarkedText {
    var text = MarkedText()
    text.append(form: turns.opening)
    if let own {
      text.append(form: turns.head("system"))
      text.append(data: turns.written(own))
      text.append(form: turns.end + turns.afterEnd)
    } else if let system {
      text.append(form: turns.head("system") + system + turns.end + turns.afterEnd)
    }
    for turn in history + [Turn(isAssistant: false, content: question)] {
      let content = turn.isAssistant && self == .qwen3 ? Self.withoutThinking(turn.content) : turn.content
      text.append(form: turns.head(turn.isAssistant ? "assistant" : "user"))
      text.append(data: turns.written(content), except: turn.isAssistant ? Self.marks : [])
      text.append(form: turns.end + turns.afterEnd)
    }
    text.append(form: opening)
    return text
  }

  /// What stands between the last turn and the completion.
  var opening: String { turns.head("assistant") + (opensThinking ? "\(Self.thinking)\n" : "") }

  /// A completion and the end of its turn, which one that was cut off does not have.
  package func completion(marked completion: String, isEnded: Bool = true) -> MarkedText {
    var text = MarkedText()
    text.append(data: completion, except: Self.marks)
    if isEnded { text.append(form: end) }
    return text
  }

  /// A whole dialogue, closed by the token that ends a turn.
  package func document(question: String, completion: String) -> String {
    prompt(question: question) + completion + end
  }

  /// What Qwen3's template keeps of an earlier answer: what comes after its thinking and the lines between.
  private static func withoutThinking(_ content: String) -> String {
    let bytes = Array(content.utf8)
    let mark = Array(thinkingEnd.utf8)
    guard let close = (0...max(0, bytes.count - mark.count)).last(where: { bytes[$0...].starts(with: mark) }) else { return content }
    return String(decoding: bytes[(close + mark.count)...].drop { $0 == UInt8(ascii: "\n") }, as: UTF8.self)
  }
}
