# SPDX-License-Identifier: GPL-2.0-only
#
# Builds the module, the library and the tests; `make help` lists the targets.
# Everything that is built lands in build/.
#
#   KDIR                    headers of the kernel that `make modules` builds for
#   DESTDIR PREFIX LIBDIR UDEVDIR   where `make install` puts things
#   V=1                     show the module's commands

TOP	:= $(abspath $(dir $(lastword $(MAKEFILE_LIST))))
BUILD	?= $(TOP)/build
DESTDIR	?=
PREFIX	?= /usr/local
LIBDIR	?= $(PREFIX)/lib
UDEVDIR	?= $(PREFIX)/lib/udev
RELEASE	:= $(shell uname -r)
KDIR	?= $(wildcard /lib/modules/$(RELEASE)/build)
KERNELS	:= 6.1 6.12 7.3

override BUILD := $(abspath $(BUILD))
export BUILD

# Where to look for the tests' harness. Evaluated by the targets that need it.
LINUX_SOURCE ?= $(shell $(TOP)/tools/ntvm-kernel source 6.12)

NATIVE := $(BUILD)/kernel/native

.PHONY: all
all: $(if $(KDIR),modules,no-modules) lib

.PHONY: help
help:
	@echo 'make                module for the running kernel (or KDIR=...) and library'
	@echo 'make modules        the module alone'
	@echo 'make modules-VER    the module for Debian'\''s kernel VER: $(KERNELS) debug'
	@echo 'make lib            libnt'
	@echo 'make selftests      the tests'
	@echo 'make check          build for all kernels and run all tests in QEMU'
	@echo 'make check-debug    run the tests on a kernel with KASAN and lockdep (BRIEF=1: less of them)'
	@echo 'make check-neighbours  whether one process can slow others, minutes for each kernel'
	@echo 'make check-static   what can be checked without running anything'
	@echo 'make fuzz-pure      fuzz the pure files, each FUZZ_SECONDS (60); fuzz-pure-coverage: lines reached'
	@echo 'make coverage       which lines of the module the tests reach, on a kernel with gcov'
	@echo 'make mutate         plant bugs in the module and see that the tests find them'
	@echo 'make soak           everything meets everything, SOAK_SECONDS (600) for each of SOAK_KERNELS'
	@echo 'make demo           a demonstration, in QEMU'
	@echo 'make wine           the Wine backend and, with mingw, the Windows programs that test it'
	@echo 'make wine-demo      Windows programs with and without the module, in QEMU (WINEFLAGS=...)'
	@echo 'make bench          the measurements, in QEMU (BENCHFLAGS=--baseline=REV: two modules)'
	@echo 'make install        library, headers, manual pages, udev rule and, if built, module and Wine backend'
	@echo 'make clean          remove build/'

.PHONY: no-modules
no-modules:
	@echo 'The running kernel ($(RELEASE)) has no headers installed: the module is not built.'
	@echo 'Install them, or name others with KDIR=..., or try "make modules-6.12".'

# The module's build directory is a copy, so that the sources stay clean and
# builds for several kernels do not meet.
.PHONY: modules
ifeq ($(KDIR),)
modules: no-modules
	@false
else
modules: sync-native
	$(MAKE) -C $(KDIR) M=$(NATIVE) modules
	@mkdir -p $(BUILD)/modules/native
	@cp $(NATIVE)/ntvm.ko $(BUILD)/modules/native/ntvm.ko
	@echo 'The module is build/modules/native/ntvm.ko'
endif

.PHONY: sync-native
sync-native:
	@mkdir -p $(NATIVE)
	@cd $(TOP) && find Kbuild module uapi -name '*.[ch]' -o -name Kbuild | while read -r f; do \
		mkdir -p "$(NATIVE)/$$(dirname "$$f")"; \
		cmp -s "$$f" "$(NATIVE)/$$f" || cp "$$f" "$(NATIVE)/$$f"; \
	done

.PHONY: modules-debug $(KERNELS:%=modules-%)
modules-debug $(KERNELS:%=modules-%): modules-%:
	@$(TOP)/tools/ntvm-kernel build $*

.PHONY: lib
lib:
	$(MAKE) -C $(TOP)/lib all

.PHONY: selftests
selftests: lib
	$(MAKE) -C $(TOP)/selftests LINUX_SOURCE="$(LINUX_SOURCE)" all

.PHONY: check
check:
	@$(TOP)/tools/ntvm-check

.PHONY: check-debug
check-debug:
	@$(TOP)/tools/ntvm-check $(if $(BRIEF),--brief) debug

.PHONY: check-neighbours
check-neighbours:
	@$(TOP)/tools/ntvm-check --only test_neighbour

.PHONY: check-static
check-static:
	@$(TOP)/tools/ntvm-static

FUZZ_SECONDS ?= 60
.PHONY: fuzz-pure fuzz-pure-coverage
fuzz-pure: FUZZ_GOAL := fuzz
fuzz-pure-coverage: FUZZ_GOAL := coverage
fuzz-pure fuzz-pure-coverage:
	@$(TOP)/tools/ntvm-kernel ensure clang libclang-rt-14-dev llvm-14
	@$(MAKE) --no-print-directory -C $(TOP)/selftests/unit LINUX_SOURCE="$(LINUX_SOURCE)" \
		SECONDS=$(FUZZ_SECONDS) $(FUZZ_GOAL)

.PHONY: coverage
coverage:
	@$(TOP)/tools/ntvm-coverage $(COVERAGEFLAGS)

.PHONY: mutate
mutate:
	@$(TOP)/tools/ntvm-mutate $(MUTATEFLAGS)

.PHONY: soak
soak:
	@$(TOP)/tools/ntvm-soak

.PHONY: demo
demo:
	@$(TOP)/tools/ntvm-demo $(DEMOFLAGS)

.PHONY: wine
wine:
	$(MAKE) -C $(TOP)/wine all

.PHONY: wine-demo
wine-demo:
	@$(TOP)/tools/ntvm-wine-demo $(WINEFLAGS)

.PHONY: bench
bench:
	@$(TOP)/tools/ntvm-bench $(BENCHFLAGS)

.PHONY: install
install:
	$(MAKE) -C $(TOP)/lib install DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)"
	install -D -m 644 $(TOP)/tools/60-ntvm.rules "$(DESTDIR)$(UDEVDIR)/rules.d/60-ntvm.rules"
	if [ -f $(BUILD)/wine/libntvm-wine.so ]; then \
		$(MAKE) -C $(TOP)/wine install DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" LIBDIR="$(LIBDIR)"; \
	fi
ifneq ($(KDIR),)
	if [ -f $(NATIVE)/ntvm.ko ]; then \
		$(MAKE) -C $(KDIR) M=$(NATIVE) INSTALL_MOD_PATH="$(DESTDIR)" modules_install; \
	fi
endif

.PHONY: clean
clean:
	rm -rf $(BUILD)
