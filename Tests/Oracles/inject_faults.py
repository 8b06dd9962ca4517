"""Lets one system call of a run fail at a time, and resumes: what a full disk, a broken one or a signal at the worst instant leaves.

usage: inject_faults.py BINARY [--stage sft|rl] [--every N] [--kill] [--keep]

A library that is loaded before libc counts the calls of open for writing, write, fsync, rename, mkdir, unlink and ftruncate that touch the
run's folder, and at the one asked for returns ENOSPC, EIO or EDQUOT, or writes a part; with --kill it ends the process by SIGKILL
instead, before or after the call. Each run must end with a line and a code (no signal, no hang), and the resumed run with the bytes of a
run that nothing happened to. Every N-th call is tried. Exit 0 if all did. Needs cc.
"""

import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRELOAD = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long calls;
static long target = -1;
static int kind;
static const char *folder;
static char ours[4096];

__attribute__((constructor)) static void begin(void) {
  const char *t = getenv("FAULT_AT"), *k = getenv("FAULT_KIND");
  folder = getenv("FAULT_IN");
  target = t ? atol(t) : -1;
  kind = k ? atoi(k) : 0;
  unsetenv("LD_PRELOAD");
}
__attribute__((destructor)) static void end(void) {
  const char *path = getenv("FAULT_COUNT");
  FILE *file = path ? fopen(path, "w") : NULL;
  if (file) { fprintf(file, "%ld\n", atomic_load(&calls)); fclose(file); }
}
/* 0: go on; 1: fail with errno; 2: write a part; 3: killed after. */
static int hit(void) {
  if (atomic_fetch_add(&calls, 1) != target) return 0;
  if (kind == 4) kill(getpid(), SIGKILL);
  if (kind == 5) return 3;
  if (kind == 3) return 2;
  errno = kind == 0 ? ENOSPC : kind == 1 ? EIO : EDQUOT;
  return 1;
}
static int inside(const char *path) { return folder && path && strncmp(path, folder, strlen(folder)) == 0; }
#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define AROUND(result) { int h = hit(); if (h == 1) return -1; __typeof__(result) r = (result); if (h == 3) kill(getpid(), SIGKILL); return r; }

static int open_any(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
  int writes = (flags & O_ACCMODE) != O_RDONLY;
  int h = writes && inside(path) ? hit() : 0;
  if (h == 1) return -1;
  int result = real(path, flags, mode);
  if (h == 3) kill(getpid(), SIGKILL);
  if (result >= 0 && result < 4096) ours[result] = writes && inside(path);
  return result;
}
int open(const char *path, int flags, ...) { REAL(open); va_list a; va_start(a, flags); mode_t m = va_arg(a, mode_t); va_end(a); return open_any(real, path, flags, m); }
int open64(const char *path, int flags, ...) { REAL(open64); va_list a; va_start(a, flags); mode_t m = va_arg(a, mode_t); va_end(a); return open_any(real, path, flags, m); }
ssize_t write(int fd, const void *bytes, size_t size) {
  REAL(write);
  if (fd < 0 || fd >= 4096 || !ours[fd]) return real(fd, bytes, size);
  int h = hit();
  if (h == 1) return -1;
  if (h == 2) return size > 1 ? real(fd, bytes, size / 2) : real(fd, bytes, size);
  ssize_t r = real(fd, bytes, size);
  if (h == 3) kill(getpid(), SIGKILL);
  return r;
}
int close(int fd) { REAL(close); if (fd >= 0 && fd < 4096) ours[fd] = 0; return real(fd); }
int fsync(int fd) { REAL(fsync); AROUND(real(fd)) }
int rename(const char *a, const char *b) { REAL(rename); if (!inside(b)) return real(a, b); AROUND(real(a, b)) }
int mkdir(const char *p, mode_t m) { REAL(mkdir); if (!inside(p)) return real(p, m); AROUND(real(p, m)) }
int unlink(const char *p) { REAL(unlink); if (!inside(p)) return real(p); AROUND(real(p)) }
int rmdir(const char *p) { REAL(rmdir); if (!inside(p)) return real(p); AROUND(real(p)) }
int ftruncate(int fd, off_t n) { REAL(ftruncate); if (fd < 0 || fd >= 4096 || !ours[fd]) return real(fd, n); AROUND(real(fd, n)) }
int ftruncate64(int fd, off64_t n) { REAL(ftruncate64); if (fd < 0 || fd >= 4096 || !ours[fd]) return real(fd, n); AROUND(real(fd, n)) }
"""
KINDS = ["ENOSPC", "EIO", "EDQUOT", "half a write", "killed before", "killed after"]


def command(binary, stage, out, data):
    words = [binary, stage, "--model", str(ROOT / "Models/base"), "--data", data, "--out", out, "--checkpoint-every", "2", "--threads", "1"]
    if stage == "sft":
        return words + ["--max-steps", "5", "--batch-size", "2"]
    return words + ["--algo", "grpo", "--steps", "5", "--group-size", "2", "--prompts-per-step", "1", "--max-new-tokens", "8"]


def digest(folder, stage):
    """What must be the same: the result, and the lines of the log without times."""
    import json
    parts = []
    for name in ["adapter/adapter_model.safetensors", "adapter/adapter_config.json"]:
        path = folder / name
        parts.append(hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "none")
    lines = []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        lines.append({k: v for k, v in record.items() if k in ("step", "loss", "reward", "gradient_norm", "learning_rate")})
    return parts, lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--stage", default="sft", choices=["sft", "rl"])
    parser.add_argument("--every", type=int, default=7)
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--keep", action="store_true")
    o = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="nr-faults-"))
    binary = str(pathlib.Path(o.binary).resolve())
    (work / "fault.c").write_text(PRELOAD)
    subprocess.run(["cc", "-O1", "-w", "-shared", "-fPIC", "-o", work / "fault.so", work / "fault.c", "-ldl"], check=True)
    data = str(work / "data.jsonl")
    subprocess.run([binary, "data", "make", "--count", "12", "--seed", "3", "--out", data], check=True, capture_output=True)

    def run(out, at, kind, resume=False):
        environment = dict(os.environ)
        if at is not None:
            environment |= {"LD_PRELOAD": str(work / "fault.so"), "FAULT_AT": str(at), "FAULT_KIND": str(kind), "FAULT_IN": str(out), "FAULT_COUNT": str(work / "count")}
        words = command(binary, o.stage, str(out), data) + (["--resume"] if resume else [])
        return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)

    straight = work / "straight"
    first = run(straight, -1, 0)
    assert first.returncode == 0, first.stderr
    calls = int((work / "count").read_text())
    want = digest(straight, o.stage)
    counts, bad = {}, []
    for at in range(0, calls, o.every):
        kind = (4 + at // o.every % 2) if o.kill else at // o.every % 4
        out = work / "run"
        shutil.rmtree(out, ignore_errors=True)
        result = run(out, at, kind)
        expected = -9 if o.kill else None
        name = KINDS[kind]
        told = "finished" if result.returncode == 0 else "killed" if result.returncode == -9 else f"ended with {result.returncode}"
        counts[(name, told)] = counts.get((name, told), 0) + 1
        if result.returncode < 0 and result.returncode != expected:
            bad.append((at, name, f"signal {-result.returncode}", result.stderr[-300:]))
            continue
        if result.returncode > 0 and not result.stderr.strip():
            bad.append((at, name, "no word", ""))
        # Where nothing has been recorded yet, there is nothing to go on from: the run begins anew.
        resumed = run(out, None, None, resume=(out / "run.json").exists())
        if resumed.returncode != 0 and "nothing to resume" in resumed.stderr + "":
            shutil.rmtree(out)
            resumed = run(out, None, None)
        if resumed.returncode != 0:
            bad.append((at, name, f"resume ended with {resumed.returncode}", resumed.stderr.strip()[-400:]))
        elif digest(out, o.stage) != want:
            bad.append((at, name, "other bytes", ""))
    for (name, told), number in sorted(counts.items()):
        print(f"{name:14} {told:16} {number}")
    print(f"{sum(counts.values())} of {calls} calls of {o.stage}, {len(bad)} went wrong")
    for entry in bad[:20]:
        print(*entry, sep=" | ")
    if not o.keep:
        shutil.rmtree(work)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
