# SPDX-License-Identifier: GPL-2.0-only
#
# A thin front: the build is meson's, the work is done by scripts that can be
# run by hand. In: a clone, on a machine with make. Out: build/.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.DEFAULT_GOAL := build
.PHONY: build setup setup-test setup-bench demo test bench bench-fig6 install format clean help ninja

MESONFLAGS ?=
DESTDIR ?=
# The gate builds with warnings as errors; a newer compiler than ours must not
# keep a user from building.
werror := $(if $(CI),-Dwerror=true)

setup:
	@.ci/setup demo

setup-test:
	@.ci/setup test

setup-bench:
	@.ci/setup bench

# Configure once, and again when setup installed something: a library that was
# absent may be there now.
ninja:
	@if [ ! -f build/build.ninja ]; then \
		meson setup build $(werror) $(MESONFLAGS); \
	elif [ build/setup/apt.log -nt build/build.ninja ]; then \
		meson setup --reconfigure build $(werror) $(MESONFLAGS); \
	elif [ -n "$(werror)$(MESONFLAGS)" ]; then \
		meson configure build $(werror) $(MESONFLAGS); \
	fi
	@ninja -C build

build: setup
	@$(MAKE) ninja

demo: build
	@cli/demo

test: setup-test
	@$(MAKE) ninja
	@tests/run $(TESTS)

bench: setup-bench
	@$(MAKE) ninja
	@bench/run $(BENCH)

bench-fig6: setup-bench
	@$(MAKE) ninja
	@bench/fig6 $(BENCH)

install: build
	@DESTDIR='$(DESTDIR)' meson install -C build --no-rebuild

format: setup-test
	@find . -path './build*' -prune -o -name '*.[ch]' -print0 | xargs -0r clang-format-19 -i

# build/vm holds a downloaded kernel, which the next build wants again.
clean:
	@if [ -d build ]; then find build -mindepth 1 -maxdepth 1 ! -name vm -exec rm -rf {} +; fi

help:
	@echo 'make            install what is missing, build'
	@echo 'make demo       the same, then show it at work (in a VM where the host has no sched_ext)'
	@echo 'make test       the same, then run every test; TESTS="unit sim" picks tiers'
	@echo 'make bench      the same, then run the experiments'
	@echo 'make bench-fig6 the same, then requests and batch under load, as Figure 6 of the paper'
	@echo 'make install    install under the prefix; DESTDIR=, MESONFLAGS=--prefix=... as usual'
	@echo 'make format     let clang-format-19 mend the C files'
	@echo 'make setup      only install what is missing'
	@echo 'make clean      forget the build, keep the VM kernel; rm -rf build forgets all'
