import Support

/// A PEFT folder whose files are open: they stay readable where a run that goes on rotates its checkpoint away.
package struct AdapterFolder {
  package let settings: AdapterSettings
  let file: SafetensorsFile
  let targets: AdapterTargets

  /// - Parameter given: the folder itself, or a run's or checkpoint's that has it in `adapter/`.
  package init(_ given: String) throws(Failure) {
    let folder = AdapterSettings.locate(given)
    do throws(Failure) {
      settings = try AdapterSettings(folder: folder)
      targets = try AdapterTargets(folder: folder)
      file = try SafetensorsFile(folder + "/adapter_model.safetensors")
    } catch {
      throw Self.rotated(folder) ?? error
    }
  }

  /// What is to be said of a checkpoint that is not there any more; nil of everything else.
  private static func rotated(_ folder: String) -> Failure? {
    guard !Files.isDirectory(folder), let mark = folder.firstRange(of: "/checkpoints/step-") else { return nil }
    let checkpoints = folder[..<mark.lowerBound] + "/checkpoints"
    guard let names = try? Files.list(String(checkpoints)).filter({ $0.hasPrefix("step-") }), !names.isEmpty else { return nil }
    return .missingInput(
      "\(folder): is not there, or no longer: a run keeps its newest two checkpoints, now \(names.joined(separator: " and ")); take one of them, or copy one that is to stay")
  }
}
