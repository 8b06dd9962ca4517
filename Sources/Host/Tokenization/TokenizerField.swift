import Foundations

/// A value in a JSON file and the way to it, for errors that say where, what was expected and what was found.
struct TokenizerField {
  let value: JSON?
  /// The file and the keys: `model/tokenizer.json: model.vocab`.
  let path: String

  init(_ value: JSON?, _ path: String) {
    self.value = value
    self.path = path
  }

  subscript(key: String) -> TokenizerField {
    TokenizerField(value?[key], path.hasSuffix(".json") || !path.contains(": ") ? "\(path): \(key)" : "\(path).\(key)")
  }

  /// Whether there is a value other than null.
  var isPresent: Bool { value.map { !$0.isNull } ?? false }

  func failure(_ what: String) -> Failure { .badData("\(path): \(what)") }

  func unexpected(_ expected: String) -> Failure {
    failure("expected \(expected), found \(value?.kind ?? "nothing")")
  }

  func object() throws(Failure) -> TokenizerField {
    if value?.object == nil { throw unexpected("an object") }
    return self
  }

  func objectValue() throws(Failure) -> JSON.Object {
    guard let object = value?.object else { throw unexpected("an object") }
    return object
  }

  func string(default fallback: String? = nil) throws(Failure) -> String {
    if let fallback, !isPresent { return fallback }
    guard let string = value?.string else { throw unexpected("a string") }
    return string
  }

  func bool(default fallback: Bool) throws(Failure) -> Bool {
    if !isPresent { return fallback }
    guard let bool = value?.bool else { throw unexpected("true or false") }
    return bool
  }

  /// The elements; what is absent is `fallback`, or an error without one.
  func array(default fallback: [JSON]?) throws(Failure) -> [TokenizerField] {
    if let fallback, !isPresent { return fallback.map { TokenizerField($0, path) } }
    guard let array = value?.array else { throw unexpected("an array") }
    return array.enumerated().map { TokenizerField($1, "\(path)[\($0)]") }
  }

  func id() throws(Failure) -> Int32 {
    guard let id = value?.int, (0..<Vocabulary.highestID).contains(id) else {
      throw unexpected("an id from 0 to \(Vocabulary.highestID - 1)")
    }
    return Int32(id)
  }

  func requireType(_ type: String) throws(Failure) {
    if value?["type"]?.string != type { throw self["type"].unexpected("\"\(type)\"") }
  }
}
