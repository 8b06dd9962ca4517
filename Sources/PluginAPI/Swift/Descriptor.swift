internal import CPluginAPI

/// What a plugin says about itself. Ids and names are part of users' configurations: never rename them.
public struct Descriptor: Sendable {
  let id, version, title, reference, card: StaticString
  let stateVersion: UInt32
  let parameters: [Parameter]
  let metrics: [Metric]

  /// - Parameters:
  ///   - id: the name users select by: lower-case letters, digits, `-`, `_`.
  ///   - title: one line.
  ///   - reference: the paper or URL the mathematics comes from.
  ///   - card: lines `topic: text` that say what the loss means: aggregation, clip, deviation, KL.
  ///   - stateVersion: above 0 where an instance has state to save; another number refuses older checkpoints.
  public init(
    id: StaticString, version: StaticString, title: StaticString, reference: StaticString, card: StaticString = "",
    stateVersion: UInt32 = 0, parameters: [Parameter] = [], metrics: [Metric] = []
  ) {
    (self.id, self.version, self.title) = (id, version, title)
    (self.reference, self.card, self.stateVersion) = (reference, card, stateVersion)
    (self.parameters, self.metrics) = (parameters, metrics)
  }
}

/// A hyper-parameter: declared once, then the key for its value in ``Settings``.
///
/// `presets` gives one preset for each choice of the first parameter, which then is the variant: a paper's form of an
/// algorithm with the paper's own constants.
public struct Parameter: Sendable {
  let name, help: StaticString
  let kind: Int32
  let minimum, maximum: Double
  let presets: [Double]
  let choices: [StaticString]

  public static func real(_ name: StaticString, preset: Double, in range: ClosedRange<Double>, _ help: StaticString)
    -> Self
  {
    .real(name, presets: [preset], in: range, help)
  }

  public static func real(_ name: StaticString, presets: [Double], in range: ClosedRange<Double>, _ help: StaticString)
    -> Self
  {
    Parameter(
      name: name, help: help, kind: 0, minimum: range.lowerBound, maximum: range.upperBound, presets: presets,
      choices: [])
  }

  public static func integer(_ name: StaticString, preset: Int, in range: ClosedRange<Int>, _ help: StaticString)
    -> Self
  {
    .integer(name, presets: [preset], in: range, help)
  }

  public static func integer(_ name: StaticString, presets: [Int], in range: ClosedRange<Int>, _ help: StaticString)
    -> Self
  {
    Parameter(
      name: name, help: help, kind: 1, minimum: Double(range.lowerBound), maximum: Double(range.upperBound),
      presets: presets.map { Double($0) }, choices: [])
  }

  public static func boolean(_ name: StaticString, preset: Bool, _ help: StaticString) -> Self {
    .boolean(name, presets: [preset], help)
  }

  public static func boolean(_ name: StaticString, presets: [Bool], _ help: StaticString) -> Self {
    Parameter(
      name: name, help: help, kind: 2, minimum: 0, maximum: 1, presets: presets.map { $0 ? 1 : 0 }, choices: [])
  }

  /// The first choice is the preset.
  public static func choice(_ name: StaticString, _ choices: [StaticString], _ help: StaticString) -> Self {
    .choice(name, choices, presets: [0], help)
  }

  /// `presets` are positions in `choices`.
  public static func choice(
    _ name: StaticString, _ choices: [StaticString], presets: [Int], _ help: StaticString
  ) -> Self {
    Parameter(
      name: name, help: help, kind: 3, minimum: 0, maximum: Double(choices.count - 1),
      presets: presets.map { Double($0) }, choices: choices)
  }
}

/// A number the plugin reports; the fold says how the values of several micro-batches become one.
public struct Metric: Sendable {
  enum Fold: Int32 { case mean = 0, sum, minimum, maximum }

  let name, help: StaticString
  let fold: Fold

  /// The weighted mean.
  public static func mean(_ name: StaticString, _ help: StaticString) -> Metric {
    Metric(name: name, help: help, fold: .mean)
  }
  public static func sum(_ name: StaticString, _ help: StaticString) -> Metric {
    Metric(name: name, help: help, fold: .sum)
  }
  public static func minimum(_ name: StaticString, _ help: StaticString) -> Metric {
    Metric(name: name, help: help, fold: .minimum)
  }
  public static func maximum(_ name: StaticString, _ help: StaticString) -> Metric {
    Metric(name: name, help: help, fold: .maximum)
  }
}

/// The values of an instance's parameters, by their declarations. They may be kept.
public final class Settings {
  private let declared: [Parameter]
  /// A copy of the host's; none where it gave none.
  private let values: [Double]
  /// A parameter that was asked for but never declared.
  private(set) var unknown: StaticString?

  init(declared: [Parameter], values: UnsafePointer<Double>?) {
    self.declared = declared
    if let values = unsafe values {
      self.values = unsafe Array(UnsafeBufferPointer(start: values, count: declared.count))
    } else {
      self.values = []
    }
  }

  /// The first parameter whose value its declaration does not allow.
  var refused: StaticString? {
    for index in 0..<declared.count {
      let parameter = declared[index]
      guard index < values.count, values[index] >= parameter.minimum, values[index] <= parameter.maximum,
        parameter.kind == 0 || values[index] == values[index].rounded(.towardZero)
      else { return parameter.name }
    }
    return nil
  }

  /// A real parameter's value.
  public subscript(parameter: Parameter) -> Double {
    for index in 0..<values.count where same(declared[index].name, parameter.name) { return values[index] }
    unknown = parameter.name
    return parameter.presets[0]
  }

  public func integer(_ parameter: Parameter) -> Int { Int(self[parameter]) }
  public func boolean(_ parameter: Parameter) -> Bool { self[parameter] != 0 }

  /// Whether a choice parameter stands at the choice of that name.
  public func choice(_ parameter: Parameter, is name: StaticString) -> Bool {
    let index = integer(parameter)
    return index >= 0 && index < parameter.choices.count && same(parameter.choices[index], name)
  }
}

/// Where a call reports its metrics. What is not recorded is not reported.
@safe public final class Metrics {
  private let declared: [Metric]
  private let values: UnsafeMutablePointer<nr_value>?
  private(set) var unknown: StaticString?

  init(declared: [Metric], values: UnsafeMutablePointer<nr_value>?) {
    self.declared = declared
    unsafe self.values = unsafe values
    for index in 0..<declared.count { unsafe values?[index] = nr_value(value: 0, weight: 0) }
  }

  /// Records a value; `weight` is how many tokens, sequences or groups it stands for. Weight 0 says nothing.
  public func record(_ metric: Metric, _ value: Double, weight: Double = 1) {
    for index in 0..<declared.count where same(declared[index].name, metric.name) {
      if let values = unsafe values { unsafe values[index] = nr_value(value: value, weight: weight) }
      return
    }
    unknown = metric.name
  }
}

/// Whether two literals hold the same bytes, without Unicode tables.
func same(_ a: StaticString, _ b: StaticString) -> Bool {
  if a.utf8CodeUnitCount != b.utf8CodeUnitCount { return false }
  if unsafe a.utf8Start == b.utf8Start { return true }
  for index in 0..<a.utf8CodeUnitCount where unsafe a.utf8Start[index] != b.utf8Start[index] { return false }
  return true
}
