import PluginHost
import Support

/// A plugin in C for what no shipped algorithm needs yet: a critic trained on squared errors, and a `select` that drops
/// groups of equal rewards (or all of them) and asks for fresh ones.
enum TrialPlugin {
  static let hasCompiler = ["/usr/bin/cc", "/usr/bin/clang", "/usr/bin/gcc"].contains { Files.exists($0) }

  /// - Parameters:
  ///   - drop: `none`, `equal` or `all` groups.
  ///   - fails: the step and epoch, counted from 0, whose loss is an error.
  static func compile(
    needs: String, drop: String, fails: (step: Int, epoch: Int)? = nil, in folder: TrialFolder
  ) throws(Failure) -> PluginLibrary {
    let source = folder.file("trial.c")
    let library = folder.file("trial-\(drop)\(fails.map { "-\($0.step)-\($0.epoch)" } ?? "").so")
    let failing = fails.map { "-DFAIL_STEP=\($0.step) -DFAIL_EPOCH=\($0.epoch)" } ?? ""
    try AtomicFile.write(text, to: source)
    let header = Files.directory(of: Files.directory(of: Files.directory(of: Place.goldens))) + "/Sources/PluginAPI/C/include"
    let command =
      "cc -std=c11 -shared -fPIC -O1 -I '\(header)' -D'NEEDS=\(needs)' -DDROP_\(drop) \(failing) -o '\(library)' '\(source)' 2>&1"
    guard let stream = unsafe popen(command, "r") else { throw .internalError("cannot run cc") }
    let output = unsafe try Files.readAll(fileno(stream), name: "cc")
    guard unsafe pclose(stream) == 0 else { throw .internalError("cc: \(String(decoding: output, as: UTF8.self))") }
    return try PluginLibrary(library)
  }

  private static let text = """
    #include "nr_plugin.h"
    #include <stdlib.h>
    #include <string.h>

    typedef struct state { uint64_t calls; } state;

    static nr_status create(const nr_host *host, const double *parameters, void **self, nr_error *e) {
      (void)host; (void)parameters; (void)e;
      *self = calloc(1, sizeof(state));
      return *self ? NR_OK : NR_INTERNAL;
    }
    static void destroy(void *self) { free(self); }
    static uint32_t needs(const void *self) { (void)self; return NEEDS; }
    static nr_status choose(void *self, const nr_rollout *r, uint8_t *keep, nr_error *e) {
      (void)self; (void)e;
      for (uint32_t g = 0; g < r->group_count; g++) {
        keep[g] = 1;
    #ifdef DROP_all
        keep[g] = 0;
    #endif
    #ifdef DROP_equal
        keep[g] = 0;
        for (int64_t s = r->group_offsets[g]; s < r->group_offsets[g + 1]; s++)
          if (r->rewards[s] != r->rewards[r->group_offsets[g]]) keep[g] = 1;
    #endif
      }
      return NR_OK;
    }
    static nr_status advantages(void *self, const nr_rollout *r, nr_advantages *out, nr_value *values, nr_error *e) {
      (void)self; (void)values; (void)e;
      for (uint32_t s = 0; s < r->sequence_count; s++)
        for (int64_t t = r->token_offsets[s]; t < r->token_offsets[s + 1]; t++) {
          out->advantages[t] = r->rewards[s] - (r->values ? r->values[t] : 0.5f);
          if (out->returns) out->returns[t] = r->rewards[s];
        }
      return NR_OK;
    }
    static nr_status loss(void *self, const nr_batch *b, nr_gradients *out, nr_value *values, nr_error *e) {
      (void)values; (void)e;
    #ifdef FAIL_STEP
      if (b->step == FAIL_STEP && b->epoch == FAIL_EPOCH) return NR_INTERNAL;
    #endif
      out->loss = 0;
      for (int64_t t = 0; t < b->token_count; t++) {
        out->loss -= b->advantages[t] * b->current[t] / b->update_tokens;
        out->d_current[t] = -b->advantages[t] / b->update_tokens;
        if (out->d_values) {
          float error = b->values[t] - b->returns[t];
          out->loss += 0.5 * error * error / b->update_tokens;
          out->d_values[t] = error / b->update_tokens;
        }
      }
      ((state *)self)->calls++;
      return NR_OK;
    }
    static nr_status save(void *self, void *bytes, size_t capacity, size_t *size, nr_error *e) {
      (void)e;
      *size = sizeof(uint64_t);
      if (capacity < *size) return NR_NO_SPACE;
      memcpy(bytes, &((state *)self)->calls, *size);
      return NR_OK;
    }
    static nr_status restore(void *self, const void *bytes, size_t size, nr_error *e) {
      (void)e;
      if (size != sizeof(uint64_t)) return NR_BAD_STATE;
      memcpy(&((state *)self)->calls, bytes, size);
      return NR_OK;
    }
    static const nr_plugin plugin = {
      NR_MAGIC, sizeof(nr_plugin), NR_ABI_MAJOR, 0, 1, 0, 0, "trial", "1.0.0", "A trial", "nowhere", "aggregation: tokens", NULL, NULL,
      create, destroy, needs, choose, advantages, loss, save, restore, NULL };
    const nr_plugin *nr_plugin_entry(uint32_t major, uint32_t minor) { (void)major; (void)minor; return &plugin; }
    """
}
