# SPDX-License-Identifier: MIT
#
# A thin front for CMake: everything here can be done with cmake --preset.
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
DESTDIR ?=
PRESETS ?=
TESTS ?=
BUILD = build/release

.DEFAULT_GOAL := help
.PHONY: help run test bench bench-gc bench-malloc configure build install lint format clean

help: ## this list
	@echo 'mallocgc: a typed, garbage-collected heap for C'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | \
	  awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

# Always, and in less than a second: a package that make test or make bench
# installed is noticed by this.
configure:
	@mkdir -p build
	@cmake --preset release >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }

build: configure ## the library and the command, in build/release
	@cmake --build $(BUILD) -j $(JOBS) --target mallocgc_shared mallocgc_static mallocgc

run: ## build, then load real JSON documents into the heap and report
	@tools/install-deps.sh run
	@$(MAKE) --no-print-directory build
	@$(BUILD)/bin/mallocgc demo

test: ## every test, in every build and stress mode (PRESETS=debug TESTS=regex: a part)
	@tools/install-deps.sh test
	@python3 tools/run_tests.py --jobs $(JOBS) --presets '$(PRESETS)' --tests '$(TESTS)'

bench: ## benchmarks beside libgc, malloc and (when installed) Go
	@tools/install-deps.sh bench
	@$(MAKE) --no-print-directory configure
	@cmake --build $(BUILD) -j $(JOBS) --target bench

bench-gc: ## the collector beside libgc, malloc and Go: time, memory, pauses, latency
	@tools/install-deps.sh bench
	@$(MAKE) --no-print-directory configure
	@cmake --build $(BUILD) -j $(JOBS) --target bench-gc

bench-malloc: ## programs under our malloc, glibc's and every other that is installed
	@tools/install-deps.sh bench
	@$(MAKE) --no-print-directory configure
	@cmake --build $(BUILD) -j $(JOBS) --target bench-malloc

install: ## install under PREFIX (default /usr/local)
	@tools/install-deps.sh run
	@$(MAKE) --no-print-directory configure
	@cmake --build $(BUILD) -j $(JOBS)
	@DESTDIR='$(DESTDIR)' cmake --install $(BUILD) --prefix '$(PREFIX)'

lint: ## layers, names, documentation, sizes, formatting
	@tools/install-deps.sh lint
	@python3 tools/lint/lint.py

format: ## rewrite the sources with clang-format
	@python3 tools/lint/check_format.py --fix

clean: ## remove build/
	@rm -rf build
