internal import CPluginCheck
import Support

/// The process of an isolated plugin: opens the library, answers calls until the run is gone.
package enum PluginChild {
  /// The program's first argument that makes it the process of a plugin; no command, and not for users.
  package static let argument = "--plugin-child"

  package static func main() -> ExitCode {
    // Ctrl-C in the terminal is for the run, which ends this process when it ends.
    signal(SIGINT, SIG_IGN)
    nr_check_install(PluginChannel.reportDescriptor)
    nr_end_with(PluginChannel.socketDescriptor)
    let channel = PluginChannel(socket: PluginChannel.socketDescriptor, memory: PluginChannel.memoryDescriptor)
    do throws(Failure) {
      var served: PluginInstance?
      while let (kind, message) = try channel.receive() {
        var message = message
        var answer = PluginWireWriter()
        var failure: Failure?
        do throws(Failure) { try serve(kind, &message, &answer, &served) } catch { failure = error }
        if let failure {
          answer = PluginWireWriter()
          answer.failure(failure)
        }
        guard try channel.send(failure == nil ? .done : .failed, answer) else { break }
      }
      return .success
    } catch {
      try? AtomicFile.write(Array("nano-reasoner: \(error.message)\n".utf8), descriptor: 2, name: "standard error")
      return error.code
    }
  }

  private static func serve(
    _ kind: PluginChannel.Kind, _ message: inout PluginWireReader, _ answer: inout PluginWireWriter, _ served: inout PluginInstance?
  ) throws(Failure) {
    if kind == .open {
      let (path, sha256, settings) = (try message.text(), try message.text(), try message.text())
      limitMemory(try message.number())
      let library = try PluginLibrary(path)
      guard library.sha256 == sha256 else { throw .badData("\(path): was changed after it was described; run the command again") }
      let parameters = try PluginParameters(json: try JSON.parse(settings, name: "parameters"), for: library.descriptor)
      let instance = try PluginInstance(library, parameters, log: PluginInstance.logToStandardError)
      answer.number(Int(instance.needs.rawValue))
      served = instance
      return
    }
    guard let instance = served else { throw .internalError("the plugin's process was asked before it was told which plugin") }
    switch kind {
    case .select: answer.array(try instance.select(try message.rollout()).map { UInt8($0 ? 1 : 0) })
    case .advantages:
      let stage = try instance.advantages(try message.rollout())
      answer.array(stage.advantages)
      answer.array(ifAny: stage.returns)
      answer.array(stage.counted.map { UInt8($0 ? 1 : 0) })
      answer.metrics(stage.metrics)
    case .loss:
      let gradients = try instance.loss(try message.batch())
      answer.real(gradients.loss)
      answer.array(gradients.dCurrent)
      answer.array(ifAny: gradients.dEntropy)
      answer.array(ifAny: gradients.dValues)
      answer.metrics(gradients.metrics)
    case .save: answer.array(try instance.save())
    case .restore: try instance.restore(try message.array(of: UInt8.self))
    case .open, .done, .failed: throw .internalError("the plugin's process was asked for \(kind)")
    }
  }

  /// What it may allocate beyond what it holds when it begins; then allocations fail.
  private static func limitMemory(_ mebibytes: Int) {
    #if os(Linux)
    let bytes = UInt(mebibytes + 1024) << 20
    var limit = rlimit(rlim_cur: bytes, rlim_max: bytes)
    unsafe setrlimit(Int32(RLIMIT_DATA.rawValue), &limit)
    #endif
  }
}
