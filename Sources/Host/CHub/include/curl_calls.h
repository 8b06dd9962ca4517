// Calls of libcurl's functions that take any number of arguments, which Swift cannot make; the functions come from dlsym.
#ifndef NR_CURL_CALLS_H
#define NR_CURL_CALLS_H

#include <stddef.h>
#include <stdint.h>

int nr_curl_set_long(void *function, void *handle, int option, long value);
int nr_curl_set_pointer(void *function, void *handle, int option, const void *value);
int nr_curl_set_writer(void *function, void *handle, int option, size_t (*value)(char *, size_t, size_t, void *));
int nr_curl_set_watcher(void *function, void *handle, int option, int (*value)(void *, int64_t, int64_t, int64_t, int64_t));

#endif
