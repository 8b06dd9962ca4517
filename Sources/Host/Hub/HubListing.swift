import Support

/// What a repository holds at one commit.
package struct HubListing: Sendable {
  package struct File: Sendable, Equatable {
    package let path: String
    package let size: Int
    /// The digest of the contents: SHA-256 of a large file, git's own of a small one. It is the name of the blob in the cache.
    package let digest: String

    /// Whether it is a SHA-256.
    package var isLarge: Bool { digest.utf8.count == 64 }
  }

  package let commit: String
  package let files: [File]

  package init(commit: String, files: [File]) {
    self.commit = commit
    self.files = files
  }

  /// As `/api/…/revision/…?blobs=true` says it. What leads out of a folder, or names no digest, is not trusted.
  init(json: JSON, name: String) throws(Failure) {
    func isDigest(_ text: String, _ count: Int) -> Bool { text.utf8.count == count && text.allSatisfy(\.isHexDigit) }
    guard let commit = json["sha"]?.string, isDigest(commit, 40) else {
      throw .badData("\(name): \"sha\": expected a commit of 40 hexadecimal digits, found \(json["sha"]?.kind ?? "nothing")")
    }
    var files: [File] = []
    for item in json["siblings"]?.array ?? [] {
      guard let path = item["rfilename"]?.string, !path.isEmpty, !path.utf8.contains(0),
        path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy({ !["", ".", ".."].contains($0) })
      else { throw .badData("\(name): \"rfilename\": expected a path in the repository, found \(item["rfilename"]?.kind ?? "nothing")") }
      let large = item["lfs"]
      guard let digest = large?["sha256"]?.string ?? item["blobId"]?.string, isDigest(digest, large?.object == nil ? 40 : 64),
        let size = large?["size"]?.int ?? item["size"]?.int, size >= 0
      else { throw .badData("\(name): \(path): expected its size and its digest, found neither \"lfs\" nor \"blobId\" with them") }
      files.append(File(path: path, size: size, digest: digest))
    }
    self.init(commit: commit, files: files)
  }

  package subscript(path: String) -> File? { files.first { $0.path == path } }

  // MARK: What is needed

  private static let modelFiles: Set<String> = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "chat_template.jinja", "chat_template.json", "adapter_config.json", "adapter_model.safetensors",
  ]
  static let singleWeights = "model.safetensors"
  static let shardIndex = "model.safetensors.index.json"

  /// The files of a model that are read here, the weights aside.
  var modelDescription: [File] { files.filter { Self.modelFiles.contains($0.path) } }

  /// The weights: the one file, or the shards that the index names; no weights in other forms.
  ///
  /// - Parameter index: reads a file of the repository.
  func weights(_ name: HubName, index: (File) throws(Failure) -> JSON) throws(Failure) -> [File] {
    if let single = self[Self.singleWeights] { return [single] }
    guard let indexFile = self[Self.shardIndex] else {
      if self["adapter_model.safetensors"] != nil { return [] }
      let other = files.first { [".bin", ".gguf", ".pt", ".pth", ".h5", ".msgpack"].contains(where: $0.path.hasSuffix) }
      throw .missingInput("\(name.pinned): holds no weights in safetensors\(other.map { ", but \($0.path)" } ?? ""), which is what is read here; a newer revision or another upload may")
    }
    guard let map = try index(indexFile)["weight_map"]?.object else {
      throw .badData("\(name.pinned): \(Self.shardIndex): \"weight_map\": expected an object")
    }
    var shards: [File] = []
    for shard in Set(map.keys.compactMap { map[$0]?.string }).sorted() {
      guard let file = self[shard] else { throw .badData("\(name.pinned): \(Self.shardIndex) names \(shard), which the repository does not hold") }
      shards.append(file)
    }
    return [indexFile] + shards
  }
}
