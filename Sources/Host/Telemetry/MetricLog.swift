import Foundations

package struct MetricLog {
  private let path: String
  package init(path: String, resumingAfter step: Int, stage: String) throws(Failure) { self.path = path }
  package func append(stage: String, step: Int, _ metrics: [(name: String, value: Double)]) throws(Failure) {
    var object: JSON.Object = ["stage": .string(stage), "step": .integer(step)]
    for (name, value) in metrics { object[name] = .number(value) }
    try SampleLog.append(JSON.object(object).text() + "\n", to: path)
  }
}

package struct SampleLog {
  private let path: String
  package init(path: String, resumingAfter step: Int, stage: String) throws(Failure) { self.path = path }
  package func append(_ record: JSON) throws(Failure) { try Self.append(record.text() + "\n", to: path) }
  static func append(_ text: String, to path: String) throws(Failure) {
    let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw .inputOutput("\(path): cannot append: \(lastSystemError())") }
    defer { close(descriptor) }
    try AtomicFile.write(Array(text.utf8), descriptor: descriptor, name: path)
  }
}
