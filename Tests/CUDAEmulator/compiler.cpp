/* compiler.cpp - libnvrtc's entry points: the kernels' text goes, unchanged, through clang++ as C++, and the "cubin" is a shared library.

   What was compiled once is kept in a folder, by content. */
#include "emulator.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
enum Result : int { SUCCESS = 0, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6, INTERNAL_ERROR = 11 };

/* ---- texts --------------------------------------------------------------------------------------------------------------- */

struct Text { char *start; size_t size, room; }; /* grows; always ends with a zero once something was added */

static void add(Text *t, const void *bytes, size_t n) {
  if (t->size + n + 1 > t->room) {
    t->room = (t->size + n + 1) * 2;
    t->start = (char *)realloc(t->start, t->room);
  }
  if (n) memcpy(t->start + t->size, bytes, n);
  t->size += n;
  t->start[t->size] = 0;
}
__attribute__((format(printf, 2, 3))) static void say(Text *t, const char *form, ...) {
  char line[8192];
  va_list list;
  va_start(list, form);
  int n = vsnprintf(line, sizeof line, form, list);
  va_end(list);
  add(t, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}
static void discard(Text *t) { free(t->start), *t = Text(); }
static bool read_all(Text *t, const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char bytes[1 << 16];
  for (ssize_t n; (n = read(file, bytes, sizeof bytes)) > 0;) add(t, bytes, (size_t)n);
  close(file);
  add(t, "", 0);
  return true;
}
static bool write_all(const char *path, const void *bytes, size_t n) {
  int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return false;
  bool good = true;
  for (const char *p = (const char *)bytes; n && good;) {
    ssize_t done = write(file, p, n);
    good = done > 0;
    if (good) p += done, n -= (size_t)done;
  }
  return !close(file) && good;
}

/* ---- names of contents: FNV-1a of 128 bits, with lengths so that parts cannot run together ------------------------------------------ */

struct Hash { unsigned __int128 value; };
static void begin(Hash *h) { h->value = (unsigned __int128)0x6c62272e07bb0142ull << 64 | 0x62b821756295c58dull; }
static void mix(Hash *h, const void *bytes, size_t n) {
  const unsigned __int128 prime = (unsigned __int128)1 << 88 | 0x13b;
  const u8 *p = (const u8 *)bytes;
  for (size_t i = 0; i < sizeof n; i++) h->value = (h->value ^ (n >> 8 * i & 255)) * prime;
  for (size_t i = 0; i < n; i++) h->value = (h->value ^ p[i]) * prime;
}
static void mix(Hash *h, const char *text) { mix(h, text, strlen(text)); }

/* ---- the compiler -------------------------------------------------------------------------------------------------------- */

static const char *const flags[] = {
    "-O2", "-ffp-contract=off", "-fno-math-errno", "-fno-strict-aliasing", "-fno-exceptions", "-fno-rtti", "-fPIC", "-shared",
    "-fvisibility=hidden", "-fstack-clash-protection", "-w", "-nostdlib++", "-nostdinc++",
#if defined(__aarch64__)
    "-mcpu=native",
#else
    "-march=native",
#endif
};
/* Every access is seen as it stands in the text: none joined with another. */
static const char *const check_flags[] = {
    "-fsanitize=thread", "-fno-vectorize", "-fno-slp-vectorize", "-mllvm", "-tsan-instrument-func-entry-exit=0", "-mllvm",
    "-tsan-instrument-atomics=0", "-mllvm", "-tsan-instrument-read-before-write=1",
};
static char compiler[PATH_MAX], include[PATH_MAX];
static Text compiler_version, header, processor;
static pthread_once_t looked = PTHREAD_ONCE_INIT, searched = PTHREAD_ONCE_INIT;

static bool on_path(const char *name, char *path) {
  const char *folders = getenv("PATH");
  for (const char *at = folders ? folders : "/usr/bin"; *at;) {
    int n = (int)strcspn(at, ":");
    snprintf(path, PATH_MAX, "%.*s/%s", n, at, name);
    if (n && !access(path, X_OK)) return true;
    at += n + (at[n] == ':');
  }
  return false;
}
static bool beside(const char *path, char *other) { /* clang++ in the folder of `path` */
  const char *slash = strrchr(path, '/');
  snprintf(other, PATH_MAX, "%.*s/clang++", slash ? (int)(slash - path) : 1, slash ? path : ".");
  return !access(other, X_OK);
}
/* Runs a program, its output in a file. */
static int execute(const char *const *words, const char *output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t child;
  int status = posix_spawnp(&child, words[0], &actions, &attributes, (char *const *)words, environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (status) return -1;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
static int remove_one(const char *path, const struct stat *, int, struct FTW *) { return remove(path); }
static void remove_folder(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }
static bool new_folder(char *path) {
  const char *base = getenv("TMPDIR");
  snprintf(path, PATH_MAX, "%s/nremu-XXXXXX", base && *base ? base : "/tmp");
  return mkdtemp(path);
}

/* nremu.h, and what -march=native stands for: the first processor. */
static void look_around() {
  read_settings();
  const char *folder = getenv("NREMU_INCLUDE");
  snprintf(include, sizeof include, "%s", folder && *folder ? folder : __FILE__);
  if (!folder || !*folder) {
    char *slash = strrchr(include, '/');
    if (slash) *slash = 0;
    else snprintf(include, sizeof include, ".");
  }
  char path[PATH_MAX + 16];
  snprintf(path, sizeof path, "%s/nremu.h", include);
  add(&header, "", 0);
  read_all(&header, path);
  static const char *const names[] = {"model name", "flags", "CPU part", "Features"};
  Text all = {};
  add(&all, "", 0), add(&processor, "", 0);
  read_all(&all, "/proc/cpuinfo");
  for (const char *line = all.start; *line && *line != '\n'; line += strcspn(line, "\n"), line += *line == '\n')
    for (const char *name : names)
      if (!strncmp(line, name, strlen(name))) add(&processor, line, strcspn(line, "\n"));
  discard(&all);
}
static void find_compiler() {
  const char *given = getenv("NREMU_CXX");
  char swift[PATH_MAX], real[PATH_MAX], output[PATH_MAX + 16];
  bool found = false;
  if (given && *given) found = snprintf(compiler, sizeof compiler, "%s", given) > 0;
  if (!found && on_path("swift", swift)) found = beside(swift, compiler) || (realpath(swift, real) && beside(real, compiler));
  if (!found && !on_path("clang++", compiler)) snprintf(compiler, sizeof compiler, "clang++");
  add(&compiler_version, "", 0);
  if (!new_folder(real)) return;
  snprintf(output, sizeof output, "%s/version", real);
  const char *words[] = {compiler, "--version", NULL};
  execute(words, output);
  read_all(&compiler_version, output);
  remove_folder(real);
}
u64 image_identity() {
  pthread_once(&looked, look_around);
  Hash h;
  begin(&h);
  mix(&h, IMAGE_MAGIC, 8), mix(&h, header.start), mix(&h, processor.start);
  for (const char *flag : flags) mix(&h, flag);
  if (settings.check)
    for (const char *flag : check_flags) mix(&h, flag);
  return (u64)h.value;
}

/* ---- the folder of what was compiled ------------------------------------------------------------------------------------------ */

/* Only a folder that is the user's alone is used: libraries are loaded from it. */
static bool cache_folder(char *path) {
  const char *given = getenv("NREMU_CACHE"), *base = getenv("TMPDIR");
  if (given && *given) snprintf(path, PATH_MAX, "%s", given);
  else snprintf(path, PATH_MAX, "%s/nremu-%u", base && *base ? base : "/tmp", (unsigned)getuid());
  struct stat s;
  if (mkdir(path, 0700) && errno != EEXIST) return false;
  return !stat(path, &s) && S_ISDIR(s.st_mode) && s.st_uid == getuid() && !(s.st_mode & 022);
}
static void name_of(Hash *h, const char *folder, char *path) {
  snprintf(path, PATH_MAX + 64, "%s/%016llx%016llx.image", folder, (u64)(h->value >> 64), (u64)h->value);
}
/* What nobody used for two weeks goes. */
static void trim(const char *folder) {
  DIR *d = opendir(folder);
  if (!d) return;
  while (struct dirent *e = readdir(d)) {
    char path[PATH_MAX + 300];
    struct stat s;
    snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    size_t n = strlen(e->d_name);
    bool ours = (n > 6 && !strcmp(e->d_name + n - 6, ".image")) || strstr(e->d_name, ".image.");
    if (ours && !stat(path, &s) && s.st_mtime < time(NULL) - 14 * 86400) unlink(path);
  }
  closedir(d);
}
static bool take(const char *path, Text *image) {
  Text t = {};
  if (!read_all(&t, path)) return false;
  const Image *i = (const Image *)t.start;
  if (t.size < sizeof *i || memcmp(i->magic, IMAGE_MAGIC, 8) || t.size < sizeof *i + i->bytes) {
    discard(&t);
    return false;
  }
  utimensat(AT_FDCWD, path, NULL, 0);
  *image = t;
  return true;
}
static void keep(const char *folder, const char *path, const Text *image) {
  char other[PATH_MAX + 128];
  snprintf(other, sizeof other, "%s.%d.%lx", path, (int)getpid(), (unsigned long)pthread_self());
  if (!write_all(other, image->start, image->size) || rename(other, path)) unlink(other);
  trim(folder);
}

/* ---- programs ------------------------------------------------------------------------------------------------------------ */

struct Program {
  u64 magic;
  char *source, *name;
  int headers;
  char **header_names, **header_texts;
  Text log, image;
};
enum : u64 { PROGRAM = 0x4d4152474f5250ull };

EXPORT const char *nvrtcGetErrorString(int code) {
  static const char *const names[] = {
      "NVRTC_SUCCESS", "NVRTC_ERROR_OUT_OF_MEMORY", "NVRTC_ERROR_PROGRAM_CREATION_FAILURE", "NVRTC_ERROR_INVALID_INPUT",
      "NVRTC_ERROR_INVALID_PROGRAM", "NVRTC_ERROR_INVALID_OPTION", "NVRTC_ERROR_COMPILATION", "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE",
      "NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION", "NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION",
      "NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID", "NVRTC_ERROR_INTERNAL_ERROR"};
  return code >= 0 && code < 12 ? names[code] : "NVRTC_ERROR unknown";
}
EXPORT int nvrtcVersion(int *major, int *minor) {
  if (!major || !minor) return INVALID_INPUT;
  *major = 13, *minor = 0;
  return SUCCESS;
}
static const int archs[] = {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121};
EXPORT int nvrtcGetNumSupportedArchs(int *count) {
  if (!count) return INVALID_INPUT;
  *count = sizeof archs / sizeof *archs;
  return SUCCESS;
}
EXPORT int nvrtcGetSupportedArchs(int *list) {
  if (!list) return INVALID_INPUT;
  memcpy(list, archs, sizeof archs);
  return SUCCESS;
}
EXPORT int nvrtcCreateProgram(Program **program, const char *source, const char *name, int headers, const char *const *texts,
                              const char *const *names) {
  if (!program || !source || headers < 0 || (headers && (!texts || !names))) return INVALID_INPUT;
  Program *p = (Program *)calloc(1, sizeof *p);
  p->magic = PROGRAM, p->source = strdup(source), p->name = strdup(name && *name ? name : "default_program"), p->headers = headers;
  p->header_names = (char **)calloc((size_t)headers + 1, sizeof(char *));
  p->header_texts = (char **)calloc((size_t)headers + 1, sizeof(char *));
  for (int i = 0; i < headers; i++) p->header_names[i] = strdup(names[i]), p->header_texts[i] = strdup(texts[i]);
  *program = p;
  return SUCCESS;
}
EXPORT int nvrtcDestroyProgram(Program **program) {
  if (!program || !*program || (*program)->magic != PROGRAM) return INVALID_PROGRAM;
  Program *p = *program;
  for (int i = 0; i < p->headers; i++) free(p->header_names[i]), free(p->header_texts[i]);
  free(p->header_names), free(p->header_texts), free(p->source), free(p->name);
  discard(&p->log), discard(&p->image);
  p->magic = 0;
  free(p);
  *program = NULL;
  return SUCCESS;
}

/* What the options say. */
struct Options {
  int capability; /* 0: of no device, there is no image */
  bool exact, verbose;
  char standard[16];
  const char *defines[256];
  int define_count;
};
static const char *value_of(const char *option, const char *name) { /* name=value */
  size_t n = strlen(name);
  return !strncmp(option, name, n) && option[n] == '=' ? option + n + 1 : NULL;
}
static bool is_one_of(const char *text, const char *const *list) {
  for (; *list; list++)
    if (!strcmp(text, *list)) return true;
  return false;
}
static Result parse(Options *o, int count, const char *const *options, Text *log) {
  static const char *const harmless[] = {"-default-device", "--device-as-default-execution-space", "-lineinfo", "--generate-line-info",
                                         "-restrict", "--restrict", NULL};
  static const char *const standards[] = {"c++11", "c++14", "c++17", "c++20", NULL}, *const truths[] = {"true", "false", NULL};
  static const char *const valued[][2] = {{"-arch", "--gpu-architecture"}, {"-std", "--std"}, {"-D", "--define-macro"},
                                          {"-fmad", "--fmad"}, {"-Xptxas", "--ptxas-options"}};
  strcpy(o->standard, "c++17");
  for (int i = 0; i < count; i++) {
    const char *option = options[i], *value = NULL;
    if (!option) return INVALID_INPUT;
    if (is_one_of(option, harmless)) continue;
    int kind = 0;
    for (; kind < 5 && !value; kind++) { /* --name=value, --name value, -Dvalue */
      for (const char *name : valued[kind]) {
        if (!value) value = value_of(option, name);
        if (!value && !strcmp(option, name) && i + 1 < count) value = options[++i];
      }
      if (kind == 2 && !value && !strncmp(option, "-D", 2) && option[2]) value = option + 2;
      if (value) break;
    }
    if (!value) {
      say(log, "nvrtc: error: unrecognized option %s found\n", option);
      return INVALID_OPTION;
    }
    if (kind == 0) {
      const char *number = !strncmp(value, "sm_", 3) ? value + 3 : !strncmp(value, "compute_", 8) ? value + 8 : "";
      char *rest;
      long capability = strtol(number, &rest, 10);
      bool known = !*rest || (!rest[1] && (*rest == 'a' || *rest == 'f') && capability >= 90);
      bool listed = false;
      for (int a : archs) listed |= a == capability;
      if (!known || !listed) {
        say(log, "nvrtc: error: invalid value for --gpu-architecture (-arch)\n");
        return INVALID_OPTION;
      }
      o->capability = *value == 's' ? (int)capability : 0, o->exact = *rest == 'a';
    } else if (kind == 1) {
      if (!is_one_of(value, standards)) {
        say(log, "nvrtc: error: invalid value for --std(-std)\n");
        return INVALID_OPTION;
      }
      strcpy(o->standard, value);
    } else if (kind == 2) {
      if (o->define_count == 256) return INVALID_OPTION;
      o->defines[o->define_count++] = value;
    } else if (kind == 3) { /* off or on: here a product and a sum are fused only where the text says so */
      if (!is_one_of(value, truths)) {
        say(log, "nvrtc: error: --fmad (-fmad) expects true or false\n");
        return INVALID_OPTION;
      }
    } else if (!strcmp(value, "-v") || !strcmp(value, "--verbose")) o->verbose = true;
    else {
      say(log, "nvrtc: error: the emulator does not know the option %s of ptxas\n", value);
      return INVALID_OPTION;
    }
  }
  return SUCCESS;
}

/* Kernels stand in the preprocessed text as: annotate("nr_kernel", THREADS, BLOCKS))) void NAME( */
struct Kernel { char name[128], threads[256], blocks[256]; };
static bool next_kernel(const char **at, Kernel *k) {
  static const char mark[] = "annotate(\"nr_kernel\",";
  const char *p = strstr(*at, mark);
  if (!p) return false;
  p += sizeof mark - 1;
  const char *begin = p, *comma = NULL;
  for (int depth = 0; *p && (depth || *p != ')'); p++) {
    if (*p == '(') depth++;
    else if (*p == ')') depth--;
    else if (*p == ',' && !depth) comma = p;
  }
  const char *name = strstr(p, "void");
  *at = p;
  if (!comma || !name) return false;
  name += 4;
  while (*name && strspn(name, " \t\r\n")) name += strspn(name, " \t\r\n");
  while (*name == '#') { /* a line marker between */
    name += strcspn(name, "\n");
    name += strspn(name, " \t\r\n");
  }
  snprintf(k->name, sizeof k->name, "%.*s", (int)strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"), name);
  snprintf(k->threads, sizeof k->threads, "%.*s", (int)(comma - begin), begin);
  snprintf(k->blocks, sizeof k->blocks, "%.*s", (int)(p - comma - 1), comma + 1);
  return true;
}

static bool write_header(const char *folder, const char *name, const char *text) {
  char path[PATH_MAX + 300];
  if (*name == '/' || strstr(name, "..")) return false;
  for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
    snprintf(path, sizeof path, "%s/%.*s", folder, (int)(slash - name), name);
    mkdir(path, 0700);
  }
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return write_all(path, text, strlen(text));
}

/* The words of a command. */
struct Command { const char *words[600]; int count; };
template <int N> static void append(Command *c, const char *const (&words)[N]) {
  for (const char *word : words) c->words[c->count++] = word;
}

static Result build(Program *p, const Options *o, const char *folder) {
  char source[PATH_MAX + 16], whole[PATH_MAX + 16], library[PATH_MAX + 16], output[PATH_MAX + 16];
  char standard[32], own[PATH_MAX + 4], emulator[PATH_MAX + 4];
  snprintf(source, sizeof source, "%s/kernel.cpp", folder), snprintf(whole, sizeof whole, "%s/whole.cpp", folder);
  snprintf(library, sizeof library, "%s/kernel.so", folder), snprintf(output, sizeof output, "%s/log", folder);
  snprintf(standard, sizeof standard, "-std=%s", o->standard);
  snprintf(own, sizeof own, "-I%s", folder), snprintf(emulator, sizeof emulator, "-I%s", include);
  for (int i = 0; i < p->headers; i++)
    if (!write_header(folder, p->header_names[i], p->header_texts[i])) return INTERNAL_ERROR;
  Text text = {}, exports = {}, names = {};
  say(&text, "#line 1 \"%s\"\n", p->name);
  add(&text, p->source, strlen(p->source)), add(&text, "\n", 1);
  bool written = write_all(source, text.start, text.size);
  discard(&text);
  if (!written) return INTERNAL_ERROR;

  Command c = {};
  append(&c, {compiler, standard, "-E", "-nostdinc++", "-DNREMU=1", own, emulator, "-o", whole, source});
  for (int i = 0; i < o->define_count; i++) append(&c, {"-D", o->defines[i]});
  int status = execute(c.words, output);
  if (status < 0) say(&p->log, "nremu: %s cannot be started: set NREMU_CXX to a clang++\n", compiler);
  read_all(&p->log, output);
  if (status) return COMPILATION;

  if (!read_all(&text, whole)) return INTERNAL_ERROR;
  add(&names, "\n", 1);
  say(&exports, "\n#line 1 \"entries\"\n#define NR_ENTRY extern \"C\" __attribute__((visibility(\"default\")))\n");
  say(&exports, "NR_ENTRY const char nr_image = 0;\n");
  Kernel k;
  for (const char *at = text.start; next_kernel(&at, &k);) {
    char one[140];
    snprintf(one, sizeof one, "\n%s\n", k.name);
    if (strstr(names.start, one)) continue; /* declared before it is defined */
    say(&names, "%s\n", k.name);
    say(&exports, "NR_ENTRY void nr_entry_%s(void *const *parameters) { nr_call(%s, parameters); }\n", k.name, k.name);
    say(&exports, "NR_ENTRY int nr_size_%s(int which) { return nr_size_of(%s, which); }\n", k.name, k.name);
    say(&exports, "NR_ENTRY const int nr_bounds_%s[2] = {%s, %s};\n", k.name, k.threads, k.blocks);
  }
  add(&text, exports.start, exports.size);
  written = write_all(whole, text.start, text.size);
  discard(&text), discard(&exports), discard(&names);
  if (!written) return INTERNAL_ERROR;

  c = {};
  append(&c, {compiler, standard, "-o", library, whole});
  append(&c, flags);
  if (settings.check) append(&c, check_flags);
  status = execute(c.words, output);
  read_all(&p->log, output);
  if (status) return COMPILATION;
  if (!read_all(&text, library)) return INTERNAL_ERROR;
  Image image = {};
  memcpy(image.magic, IMAGE_MAGIC, 8);
  image.bytes = text.size, image.identity = image_identity(), image.capability = o->capability, image.exact = o->exact;
  add(&p->image, &image, sizeof image), add(&p->image, text.start, text.size);
  discard(&text);
  return SUCCESS;
}

/* As ptxas -v says it, of each kernel in the image: its name stands there as nr_bounds_NAME. The numbers are made up. */
static void describe(Program *p, const Options *o) {
  static const char mark[] = "nr_bounds_";
  say(&p->log, "ptxas info    : 0 bytes gmem\n");
  Text names = {};
  add(&names, "\n", 1);
  const char *end = p->image.start + p->image.size;
  for (const char *at = p->image.start; (at = (const char *)memmem(at, (size_t)(end - at), mark, sizeof mark - 1));) {
    at += sizeof mark - 1;
    char line[200];
    if (strlen(at) > 127) continue;
    snprintf(line, sizeof line, "\n%s\n", at);
    if (strstr(names.start, line)) continue;
    say(&names, "%s\n", at);
    const char *suffix = o->exact ? "a" : "";
    say(&p->log, "ptxas info    : Compiling entry function '%s' for 'sm_%d%s'\n", at, o->capability, suffix);
    say(&p->log, "ptxas info    : Function properties for %s\n", at);
    say(&p->log, "ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n");
    say(&p->log, "ptxas info    : Used 32 registers, used 1 barriers\n");
  }
  discard(&names);
}
EXPORT int nvrtcCompileProgram(Program *p, int count, const char *const *options) {
  if (!p || p->magic != PROGRAM) return INVALID_PROGRAM;
  if (count < 0 || (count && !options)) return INVALID_INPUT;
  pthread_once(&looked, look_around);
  pthread_once(&searched, find_compiler);
  discard(&p->log), discard(&p->image);
  Options o = {};
  Result result = parse(&o, count, options, &p->log);
  if (result) return result;
  Hash h;
  begin(&h);
  u64 identity = image_identity();
  mix(&h, &identity, sizeof identity), mix(&h, compiler), mix(&h, compiler_version.start);
  mix(&h, p->name), mix(&h, p->source), mix(&h, o.standard), mix(&h, &o.capability, sizeof o.capability), mix(&h, &o.exact, sizeof o.exact);
  for (int i = 0; i < p->headers; i++) mix(&h, p->header_names[i]), mix(&h, p->header_texts[i]);
  for (int i = 0; i < o.define_count; i++) mix(&h, o.defines[i]);
  char cache[PATH_MAX], kept[PATH_MAX + 64], folder[PATH_MAX];
  bool caches = cache_folder(cache);
  if (caches) name_of(&h, cache, kept);
  if (!caches || !take(kept, &p->image)) {
    if (!new_folder(folder)) return INTERNAL_ERROR;
    result = build(p, &o, folder);
    if (getenv("NREMU_KEEP")) fprintf(stderr, "nremu: %s: what was compiled is in %s\n", p->name, folder);
    else remove_folder(folder);
    if (result) return result;
    if (caches) keep(cache, kept, &p->image);
  }
  if (o.verbose && o.capability) describe(p, &o);
  if (!o.capability) discard(&p->image); /* for no device: PTX only, which the emulator does not make */
  return SUCCESS;
}
static int size_of(Program *p, const Text *t, size_t *size, size_t more) {
  if (!p || p->magic != PROGRAM) return INVALID_PROGRAM;
  if (!size) return INVALID_INPUT;
  *size = t->size + more;
  return SUCCESS;
}
EXPORT int nvrtcGetProgramLogSize(Program *p, size_t *size) { return size_of(p, p ? &p->log : NULL, size, 1); }
EXPORT int nvrtcGetProgramLog(Program *p, char *log) {
  if (!p || p->magic != PROGRAM) return INVALID_PROGRAM;
  memcpy(log, p->log.start ? p->log.start : "", p->log.size + 1);
  return SUCCESS;
}
EXPORT int nvrtcGetCUBINSize(Program *p, size_t *size) { return size_of(p, p ? &p->image : NULL, size, 0); }
EXPORT int nvrtcGetCUBIN(Program *p, char *image) {
  if (!p || p->magic != PROGRAM) return INVALID_PROGRAM;
  if (p->image.size) memcpy(image, p->image.start, p->image.size);
  return SUCCESS;
}
EXPORT int nvrtcGetPTXSize(Program *p, size_t *size) {
  if (!p || p->magic != PROGRAM) return INVALID_PROGRAM;
  *size = 1;
  return SUCCESS;
}
EXPORT int nvrtcGetPTX(Program *p, char *text) {
  if (!p || p->magic != PROGRAM) return INVALID_PROGRAM;
  *text = 0;
  return SUCCESS;
}
