"""The machine's limits, measured: multiply-adds a second (float32; bfloat16 where there is vdpbf16ps) and bytes read a second, by
machine.c. And the program's CPU kernels as a shared library. Both are compiled with clang into ~/.cache/nano-reasoner-bench."""

import ctypes
import os
import pathlib
import shutil
import statistics
import subprocess

from peers.folders import CACHE, ROOT

KERNELS = ROOT / "Sources/Host/CKernels"


def compiled(name, sources, flags):
    """The shared library, compiled anew where a source or header is newer."""
    library = CACHE / name
    newest = max(f.stat().st_mtime for source in sources for f in source.parent.rglob("*.[ch]"))
    if not library.exists() or library.stat().st_mtime < newest:
        clang = shutil.which("clang") or "/opt/swift/usr/bin/clang"
        CACHE.mkdir(parents=True, exist_ok=True)
        part = library.with_suffix(f".{os.getpid()}")
        subprocess.run([clang, "-O3", "-shared", "-fPIC", *flags, *map(str, sources), "-lm", "-lpthread", "-o", str(part)], check=True)
        part.rename(library)
    return ctypes.CDLL(str(library))


def kernels():
    """Sources/Host/CKernels of this checkout, with Package.swift's flags. One library a checkout, so that two can be compared."""
    sources = sorted(KERNELS.glob("[a-z]*.c"))
    name = f"kernels-{ROOT.name}.so"
    return compiled(name, sources, ["-std=c11", "-ffp-contract=off", "-fno-math-errno", "-I", str(KERNELS / "include")])


def waited():
    """Seconds in which some process waited for a processor, and those that the host took, since the system began; None where unsaid."""
    try:
        pressure = next(line for line in open("/proc/pressure/cpu") if line.startswith("some"))
    except OSError:
        return None
    stolen = int(open("/proc/stat").readline().split()[8]) / os.sysconf("SC_CLK_TCK") / os.cpu_count()
    return int(pressure.rsplit("=", 1)[1]) / 1e6 + stolen


def last_cache():
    """Bytes of the largest cache; 0 where the system does not say."""
    sizes = [f.read_text().strip() for f in pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max((int(s[:-1]) * {"K": 1 << 10, "M": 1 << 20}[s[-1]] for s in sizes), default=0)


class Machine:
    """Best figures so far; `measure` may be called again between rows, as a neighbour makes one measurement low but none high."""

    def __init__(self, threads):
        self.library = compiled("machine.so", [pathlib.Path(__file__).with_name("machine.c")], ["-std=gnu11"])
        self.library.nrb_rate.restype = ctypes.c_double
        self.library.nrb_rate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_size_t]
        self.threads, self.rates, self.measured, self.cache = threads, {}, {}, last_cache()

    def measure(self):
        for count in sorted({1, self.threads}):
            for code, name in enumerate(["fp32", "bf16", "read"]):
                if name == "bf16" and not self.library.nrb_has_bf16():
                    continue
                rate = self.library.nrb_rate(code, count, 5, 1 << 30 if name == "read" else 0)
                self.measured.setdefault((name, count), []).append(rate)
                # Neighbours take of the memory's bandwidth, more at one time than at another: the best of a run is nobody's.
                taken = statistics.median if name == "read" else max
                self.rates[name, count] = taken(self.measured[name, count])

    def peak(self, kind, threads=None):
        """Operations a second; bfloat16's is float32's where no instruction multiplies bfloat16."""
        count = threads or self.threads
        return self.rates.get((kind, count)) or self.rates["fp32", count]

    def bandwidth(self, threads=None):
        return self.rates["read", threads or self.threads]

    def record(self):
        return {f"{name}_{count}": round(rate / 1e9, 1) for (name, count), rate in self.rates.items()}
