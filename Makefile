# Installs what a build made: `make install PREFIX=/usr/local`, `make uninstall`. DESTDIR stages it elsewhere.
#
#   bin/nano-reasoner                         the program
#   include/nr_plugin.h                       the contract, for plugins in C, C++, Rust, Zig
#   lib/nano-reasoner/plugins/libnr-*.so      the algorithms
#   lib/pkgconfig/nano-reasoner-plugin.pc     pkg-config --cflags nano-reasoner-plugin
#   share/nano-reasoner/plugin-api            overlay, build script and templates for plugins in Swift
#   share/nano-reasoner/base                  the base model, where there is one

PREFIX ?= /usr/local
DESTDIR ?=
SWIFT ?= swift
# The Swift runtime is linked into the program, so that it runs where there is no Swift.
SWIFTFLAGS ?= -c release --static-swift-stdlib
INSTALL ?= install

build = .build/install
version = $(shell sed -n 's/.*programVersion = "\(.*\)".*/\1/p' Sources/Host/Training/RunRecord.swift)
id = sed -n 's/.*id: "\([a-z0-9_-]*\)", version.*/\1/p' $$source*.swift
root = $(DESTDIR)$(PREFIX)
api = $(root)/share/nano-reasoner/plugin-api
plugins = $(root)/lib/nano-reasoner/plugins

.PHONY: all test test-isa test-cuda test-cpu-kernels test-kernels mutants fuzz install uninstall

# Embedded Swift has no static library to link: the plugins are built as anybody builds one.
all:
	$(SWIFT) build $(SWIFTFLAGS) --scratch-path $(build) --product nano-reasoner
	mkdir -p $(build)/plugins
	set -e; for source in Plugins/*/; do \
	  Sources/PluginAPI/build-plugin.sh $$source$$(basename $$source).swift -o $(build)/plugins/libnr-$$($(id)).so; done
	$(CLANG) -std=c11 -O2 -Wall -Wextra -fPIC -shared -fvisibility=hidden -I Sources/PluginAPI/C/include \
	  -o $(build)/plugins/libnr-python.so Sources/PluginAPI/Python/bridge.c

test:
	./nr test

# What computes, under each table of CPU kernels in turn: tests take the best one this machine has. One that it does not have is said.
test-isa:
	$(SWIFT) build -c release --build-tests
	set -e; bin=$$($(SWIFT) build -c release --show-bin-path); for isa in avx512-bf16 avx512 avx2 portable; do \
	  if NR_ISA=$$isa $$bin/nano-reasoner doctor | grep -q "$$isa[,)]"; then \
	    echo "test-isa: $$isa"; \
	    NR_TEST_BACKENDS=cpu NR_ISA=$$isa $(SWIFT) test -c release --skip-build --filter 'ComputeTests|TransformerTests|RolloutsTests'; \
	  else echo "test-isa: SKIPPED $$isa: this machine does not have it"; fi; done

# Kernels of the CPU in bfloat16 against plain loops over a model of the instruction, under each table: bit for bit, but for one that does not
# fuse a multiplication and an addition. SHORT=1: fewer shapes.
SHORT ?=
CPU_KERNELS = .build/cpu-kernels
test-cpu-kernels: $(CPU_KERNELS)/products $(CPU_KERNELS)/attention $(CPU_KERNELS)/head
	set -e; for isa in avx512-bf16 avx512 avx2 portable; do NR_ISA=$$isa $(CPU_KERNELS)/products; \
	  NR_ISA=$$isa $(CPU_KERNELS)/attention $(if $(SHORT),12,40); NR_ISA=$$isa $(CPU_KERNELS)/head $(SHORT); done

# The emulated GPU: warps in three orders, then with every load and store of every kernel looked at.
test-cuda:
	$(SWIFT) build -c release --build-tests
	set -e; for schedule in 0 1 77773; do echo "test-cuda: schedule $$schedule"; \
	  NREMU_SCHEDULE=$$schedule $(SWIFT) test -c release --skip-build --filter 'ComputeTests|TransformerTests|RolloutsTests'; done
	echo "test-cuda: every load and store"
	NREMU_CHECK=1 $(SWIFT) test -c release --skip-build --filter 'ComputeTests|TransformerTests|RolloutsTests'

# The kernels against plain loops: on the emulated GPU, or with DEVICE=gpu on this machine's, whose NVRTC NR_CUDA_LIBRARIES may name. And
# whether the harnesses notice when a kernel is broken: ONLY takes those mutants whose name matches, JOBS as many at a time.
CLANG ?= clang
DEVICE ?= emulator
ONLY ?= .
JOBS ?= 1
sources = Sources/Host/Compute/CUDA/Kernels
emulator = Tests/CUDAEmulator
kernels = .build/kernels
harnesses = product product_backward rows_bf16 flash vocabulary
programs = $(harnesses:%=$(kernels)/%)
of_cpu = $(patsubst Sources/Host/CKernels/%.c,$(kernels)/cpu/%.o,$(wildcard Sources/Host/CKernels/*.c))
emulated = NR_CUDA_LIBRARIES=$(CURDIR)/$(kernels)/emulator NREMU_INCLUDE=$(CURDIR)/$(emulator) NREMU_CACHE=$(CURDIR)/$(kernels)/cache

test-kernels: $(programs) $(kernels)/emulator/libcuda.so.1
	status=0; for harness in $(harnesses); do echo "test-kernels: $$harness"; \
	  $(if $(filter gpu,$(DEVICE)),,$(emulated)) $(kernels)/$$harness $(sources) || status=1; done; exit $$status

mutants: $(programs) $(kernels)/emulator/libcuda.so.1
	python3 $(emulator)/kernels/mutants.py --programs $(kernels) --jobs $(JOBS) --only '$(ONLY)'

$(kernels)/emulator/libcuda.so.1: $(wildcard $(emulator)/*.cpp $(emulator)/*.h)
	mkdir -p $(kernels)/emulator
	$(CLANG)++ -std=c++17 -O2 -fno-exceptions -fno-rtti -Wall -Wextra -fPIC -shared -o $@ $(wildcard $(emulator)/*.cpp) -ldl -lpthread
	ln -sf libcuda.so.1 $(kernels)/emulator/libnvrtc.so.13

$(kernels)/cpu/%.o: Sources/Host/CKernels/%.c $(wildcard Sources/Host/CKernels/*.h Sources/Host/CKernels/include/*.h)
	mkdir -p $(kernels)/cpu
	$(CLANG) -std=c11 -O3 -ffp-contract=off -fno-math-errno -Wall -Wextra -I Sources/Host/CKernels/include -c -o $@ $<

$(CPU_KERNELS)/%: Tests/CPUKernels/%.c $(wildcard Tests/CPUKernels/*.h) $(of_cpu)
	mkdir -p $(CPU_KERNELS)
	$(CLANG) -std=gnu11 -O2 -march=native -ffp-contract=off -fno-math-errno -Wall -Wextra -Wno-psabi -Wno-unused-function -I Sources/Host/CKernels \
	  -I Sources/Host/CKernels/include -o $@ $(filter %.c %.o,$^) -lm -lpthread

# Additions and multiplications in the order of the text, fused only where it says so.
$(programs): $(kernels)/%: $(emulator)/kernels/%.c $(emulator)/kernels/common.h $(emulator)/harness/gpu.h $(wildcard $(sources)/*.h)
	mkdir -p $(kernels)
	$(CLANG) -std=gnu11 -O3 -march=native -ffp-contract=off -fno-math-errno -Wall -Wextra -Wno-unused-function -Wno-sign-compare \
	  -I $(sources) -I Sources/Host/CKernels/include -o $@ $(filter %.c %.o,$^) -ldl -lm -lpthread
$(kernels)/rows_bf16: $(of_cpu)

# Every parser against mutants of its files for so many seconds; SEED begins elsewhere. A mutant that ends the program lies
# in nr-fuzz-PID, in $TMPDIR or /dev/shm.
SECONDS ?= 60
SEED ?= 1
fuzz:
	NR_FUZZ_SECONDS=$(SECONDS) NR_FUZZ_SEED=$(SEED) ./nr test --filter FuzzTests

install: all
	$(INSTALL) -d $(root)/bin $(root)/include $(root)/lib/pkgconfig $(plugins) $(api)/C/include $(api)/Swift \
	  $(api)/Templates/c $(api)/Templates/swift $(api)/Templates/rust $(api)/Templates/python
	bin=$$($(SWIFT) build $(SWIFTFLAGS) --scratch-path $(build) --show-bin-path) && \
	  $(INSTALL) -s -m 755 $$bin/nano-reasoner $(root)/bin/nano-reasoner
	$(INSTALL) -m 755 $(build)/plugins/libnr-*.so $(plugins)
	$(INSTALL) -m 644 Sources/PluginAPI/C/include/nr_plugin.h $(root)/include/nr_plugin.h
	$(INSTALL) -m 644 Sources/PluginAPI/C/include/* $(api)/C/include
	$(INSTALL) -m 644 Sources/PluginAPI/Swift/*.swift $(api)/Swift
	$(INSTALL) -m 644 Sources/PluginAPI/Templates/README.md Sources/PluginAPI/Templates/test.sh $(api)/Templates
	$(INSTALL) -m 644 Sources/PluginAPI/Templates/c/* $(api)/Templates/c
	$(INSTALL) -m 644 Sources/PluginAPI/Templates/swift/* $(api)/Templates/swift
	$(INSTALL) -m 644 Sources/PluginAPI/Templates/rust/* $(api)/Templates/rust
	$(INSTALL) -m 644 Sources/PluginAPI/Templates/python/* $(api)/Templates/python
	$(INSTALL) -m 644 Sources/PluginAPI/plugin.map $(api)/plugin.map
	$(INSTALL) -m 755 Sources/PluginAPI/build-plugin.sh $(api)/build-plugin.sh
	printf '%s\n' 'prefix=$(PREFIX)' 'includedir=$${prefix}/include' \
	  'plugindir=$${prefix}/lib/nano-reasoner/plugins' 'apidir=$${prefix}/share/nano-reasoner/plugin-api' '' \
	  'Name: nano-reasoner-plugin' 'Description: what a loss plugin of Nano-Reasoner is built with' \
	  'Version: $(version)' 'Cflags: -I$${includedir}' > $(root)/lib/pkgconfig/nano-reasoner-plugin.pc
	if [ -f Models/base/config.json ]; then \
	  $(INSTALL) -d $(root)/share/nano-reasoner/base && \
	  $(INSTALL) -m 644 Models/base/* $(root)/share/nano-reasoner/base; fi

# Plugins that others put beside these stay.
uninstall:
	rm -f $(root)/bin/nano-reasoner $(root)/include/nr_plugin.h $(root)/lib/pkgconfig/nano-reasoner-plugin.pc
	for source in Plugins/*/; do \
	  rm -f $(plugins)/libnr-$$($(id)).so; done
	rm -f $(plugins)/libnr-python.so
	rm -rf $(root)/share/nano-reasoner
	rmdir $(plugins) $(root)/lib/nano-reasoner 2>/dev/null || true
