import Arguments
import Benchmarking
import PluginHost
import Support

/// What stands behind an algorithm of `bench`: parameters of its plugin, and options of its runs.
enum HostOptions {
  /// Parts the settings of an algorithm. A parameter of the plugin comes before an option that is called the same; an option's full name, which
  /// has a dash or belongs to no parameter, always means the option.
  static func parted(_ settings: [String], for card: PluginCard) throws(Failure) -> (plugin: [String], run: RunOverrides) {
    let parameters = Set(card.descriptor.parameters.map(\.name))
    var (plugin, run): ([String], RunOverrides) = ([], RunOverrides())
    for setting in settings {
      let parts = setting.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, !parameters.contains(parts[0]), let option = option(parts[0]) else {
        // What is neither is the plugin's to refuse, unless it is nearly an option.
        if parts.count == 2, !parameters.contains(parts[0]), let near = nearest(parts[0], parameters) {
          throw .usage("--algos \(card.id):\(setting): \(card.id) has no parameter \(parts[0]) and a run no option of that name; did you mean \(near)?")
        }
        plugin.append(setting)
        continue
      }
      guard run[option] == nil else { throw .usage("--algos \(card.id): \(option.rawValue) stands there twice") }
      run[option] = try value(parts[1], option, card)
    }
    return (plugin, run)
  }

  private static func option(_ name: String) -> RunOverrides.Option? {
    RunOverrides.Option(rawValue: name) ?? RunOverrides.Option.allCases.first { $0.shortName == name }
  }

  private static func nearest(_ name: String, _ parameters: Set<String>) -> String? {
    NearestName.find(name, among: RunOverrides.Option.allCases.flatMap { [$0.rawValue] + ($0.shortName.map { [$0] } ?? []) } + parameters.sorted())
  }

  private static func value(_ text: String, _ option: RunOverrides.Option, _ card: PluginCard) throws(Failure) -> Double {
    let (range, isWhole) = range(of: option)
    guard let value = Double(text), value.isFinite, range.contains(value), !isWhole || value == value.rounded() else {
      throw .usage(
        "--algos \(card.id):\(option.rawValue)=\(text): expected a \(isWhole ? "whole " : "")number from \(Format.shortest(range.lowerBound)) to \(Format.shortest(range.upperBound))")
    }
    return value
  }

  /// As the options of `rl` have it.
  private static func range(of option: RunOverrides.Option) -> (ClosedRange<Double>, isWhole: Bool) {
    func whole(_ range: ClosedRange<Int>) -> (ClosedRange<Double>, Bool) { (Double(range.lowerBound)...Double(range.upperBound), true) }
    switch option {
    case .learningRate, .valueLearningRate: return (Limits.learningRate, false)
    case .weightDecay: return (Limits.weightDecay, false)
    case .gradientNorm: return (Limits.gradientNorm, false)
    case .temperature: return (Limits.smallestTrainingTemperature...Limits.temperature.upperBound, false)
    case .groupSize, .promptsPerStep: return whole(Limits.group)
    case .maxNewTokens: return whole(Limits.tokens)
    case .innerEpochs: return whole(Limits.innerEpochs)
    case .minibatches: return whole(Limits.minibatches)
    case .refillRounds: return whole(0...1000)
    }
  }
}
