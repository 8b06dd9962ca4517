import Support

/// A plugin for people and for programs: `plugin list` and `plugin show`.
package struct PluginDescription {
  package let card: PluginCard
  private var descriptor: PluginDescriptor { card.descriptor }
  private var needs: [String]? { card.needs }

  package init(_ card: PluginCard) { self.card = card }

  /// Of a library that is open.
  package init(_ library: PluginLibrary) { self.init(PluginCard(describing: library)) }

  package var json: JSON {
    [
      "id": .string(descriptor.id), "version": .string(descriptor.version), "title": .string(descriptor.title),
      "reference": .string(descriptor.reference), "path": .string(card.path), "sha256": .string(card.sha256),
      "abi": .string("\(descriptor.abiMajor).\(descriptor.abiMinor)"),
      "state_version": .integer(descriptor.stateVersion),
      "needs": needs.map { .array($0.map { .string($0) }) } ?? .null,
      "card": .array(descriptor.card.split(separator: "\n").map { .string(String($0)) }),
      "parameters": .array(descriptor.parameters.map(json)),
      "metrics": .array(
        descriptor.metrics.map {
          ["name": .string($0.name), "fold": .string($0.fold.rawValue), "help": .string($0.help)]
        }),
    ]
  }

  private func json(_ parameter: PluginParameter) -> JSON {
    var object: JSON.Object = [
      "name": .string(parameter.name), "kind": .string(parameter.kind.rawValue), "help": .string(parameter.help),
      "preset": parameter.json(parameter.preset),
    ]
    if parameter.kind == .choice {
      object["choices"] = .array(parameter.choices.map { .string($0) })
    } else {
      object["minimum"] = parameter.json(parameter.minimum)
      object["maximum"] = parameter.json(parameter.maximum)
    }
    if let variant = descriptor.parameters.first, !parameter.variantPresets.isEmpty {
      var presets = JSON.Object()
      for (choice, preset) in zip(variant.choices, parameter.variantPresets) {
        presets[choice] = parameter.json(preset)
      }
      object["presets"] = .object(presets)
    }
    return .object(object)
  }

  package var text: String {
    var lines = ["\(descriptor.id) \(descriptor.version): \(descriptor.title)", ""]
    lines += Self.rows([
      ["reference", descriptor.reference], ["file", card.path], ["SHA-256", card.sha256],
      ["ABI", "\(descriptor.abiMajor).\(descriptor.abiMinor)"],
      [
        "needs",
        needs.map { $0.isEmpty ? "nothing, with the presets" : $0.joined(separator: ", ") } ?? "refuses its presets",
      ],
      ["state", descriptor.stateVersion == 0 ? "none" : "version \(descriptor.stateVersion)"],
    ])
    if !descriptor.card.isEmpty {
      lines += ["", "What it computes"]
      lines += Self.rows(
        descriptor.card.split(separator: "\n").map { line in
          let parts = line.split(separator: ":", maxSplits: 1)
          return parts.count == 2
            ? [String(parts[0]), String(parts[1].drop { $0 == " " })] : ["", String(line)]
        })
    }
    if !descriptor.parameters.isEmpty {
      lines += ["", "Parameters (--set name=value)"]
      lines += Self.rows(
        descriptor.parameters.map { [$0.name, Self.domain($0), "preset " + preset($0), $0.help] })
    }
    if !descriptor.metrics.isEmpty {
      lines += ["", "Metrics"]
      lines += Self.rows(descriptor.metrics.map { [$0.name, $0.fold.rawValue, $0.help] })
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func domain(_ parameter: PluginParameter) -> String {
    switch parameter.kind {
    case .choice: parameter.choices.joined(separator: " | ")
    case .boolean: "true | false"
    case .real, .integer:
      "\(parameter.kind.rawValue) \(parameter.text(parameter.minimum)) to \(parameter.text(parameter.maximum))"
    }
  }

  private static func rows(_ rows: [[String]]) -> [String] { TextTable.aligned(rows, indent: 2) }

  private func preset(_ parameter: PluginParameter) -> String {
    let preset = parameter.text(parameter.preset)
    guard let variant = descriptor.parameters.first else { return preset }
    let others = zip(variant.choices, parameter.variantPresets).filter { $0.1 != parameter.preset }
    if others.isEmpty { return preset }
    return "\(preset) (\(others.map { "\($0.0): \(parameter.text($0.1))" }.joined(separator: ", ")))"
  }
}

extension PluginRegistry {
  /// `plugin list`: one line per plugin, then the files that cannot be used and why.
  package var text: String {
    var lines: [String] = []
    for plugin in plugins {
      lines.append("\(plugin.id) \(plugin.descriptor.version)  \(plugin.descriptor.title)\n    \(plugin.path)")
    }
    if plugins.isEmpty { lines.append("No plugin found. Looked in: \(searchPath.joined(separator: ", "))") }
    for file in broken { lines.append("cannot be used: \(file.reason.message)") }
    return lines.joined(separator: "\n") + "\n"
  }

  package var json: JSON {
    [
      "search_path": .array(searchPath.map { .string($0) }),
      "plugins": .array(plugins.map { PluginDescription($0).json }),
      "broken": .array(broken.map { ["path": .string($0.path), "reason": .string($0.reason.message)] }),
    ]
  }
}
