import Support
import Transformer

extension ModelFolder {
  /// The digests of everything of a model's folder that decides what a run computes, its weights as a whole, as a run's record has
  /// them.
  ///
  /// - Parameter progress: for what is being read, what is to be told of it.
  package func digests(progress: (String) -> (Int, Int) -> Void) throws(Failure) -> JSON.Object {
    let others = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"].map { "\(path)/\($0)" }
    var digests = JSON.Object()
    for file in weightFiles + others.filter(Files.exists) {
      let name = Files.name(of: file)
      digests["\(name) sha256"] = .string(try DigestCache.user.hex(file: file, progress: progress("reading \(name)")))
    }
    return digests
  }
}
