#include "curl_calls.h"

typedef int (*setopt)(void *handle, int option, ...);

int nr_curl_set_long(void *function, void *handle, int option, long value) { return ((setopt)function)(handle, option, value); }

int nr_curl_set_pointer(void *function, void *handle, int option, const void *value) { return ((setopt)function)(handle, option, value); }

int nr_curl_set_writer(void *function, void *handle, int option, size_t (*value)(char *, size_t, size_t, void *)) {
  return ((setopt)function)(handle, option, value);
}

int nr_curl_set_watcher(void *function, void *handle, int option, int (*value)(void *, int64_t, int64_t, int64_t, int64_t)) {
  return ((setopt)function)(handle, option, value);
}
