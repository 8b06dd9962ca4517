/// Named numbers in the order they were first set.
package struct Metrics: Sendable, Equatable, ExpressibleByDictionaryLiteral {
  package private(set) var names: [String] = []
  private var values: [String: Double] = [:]

  package init() {}

  package init(dictionaryLiteral elements: (String, Double)...) {
    for (name, value) in elements { self[name] = value }
  }

  package var count: Int { names.count }

  package subscript(name: String) -> Double? {
    get { values[name] }
    set {
      if let newValue {
        if values.updateValue(newValue, forKey: name) == nil { names.append(name) }
      } else if values.removeValue(forKey: name) != nil {
        names.removeAll { $0 == name }
      }
    }
  }

  /// Adds the metrics of `other`, each under its name with `prefix` in front; a name that is there is overwritten.
  package mutating func merge(_ other: Metrics, prefix: String = "") {
    for name in other.names { self[prefix + name] = other[name] }
  }
}
