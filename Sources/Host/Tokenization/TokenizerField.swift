import Support

/// A value in a JSON file and the way to it, for errors that say where, what was expected and what was found.
struct TokenizerField {
  let value: JSON?
  let file: String
  /// The way from the top: `model.merges[3]`; empty at the top.
  let keys: String

  init(_ value: JSON?, file: String, keys: String = "") {
    self.value = value
    self.file = file
    self.keys = keys
  }

  subscript(key: String) -> TokenizerField {
    TokenizerField(value?[key], file: file, keys: keys.isEmpty ? key : "\(keys).\(key)")
  }

  /// An element or entry of this value, which the caller has at hand.
  func entry(_ value: JSON?, _ index: String) -> TokenizerField {
    TokenizerField(value, file: file, keys: "\(keys)[\(index)]")
  }

  /// Whether there is a value other than null.
  var isPresent: Bool { value.map { !$0.isNull } ?? false }

  func failure(_ what: String) -> Failure { .badData(keys.isEmpty ? "\(file): \(what)" : "\(file): \(keys): \(what)") }

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
    guard let array = value?.array ?? (isPresent ? nil : fallback) else { throw unexpected("an array") }
    return array.enumerated().map { entry($1, "\($0)") }
  }

  func id() throws(Failure) -> Int32 {
    guard let id = Self.id(value) else { throw unexpected("an id from 0 to \(Vocabulary.highestID)") }
    return id
  }

  static func id(_ value: JSON?) -> Int32? {
    guard let id = value?.int, (0...Vocabulary.highestID).contains(id) else { return nil }
    return Int32(id)
  }

  func requireType(_ type: String) throws(Failure) {
    if value?["type"]?.string != type { throw self["type"].unexpected("\"\(type)\"") }
  }
}
