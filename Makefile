# `make demo` and `make test` start from a fresh clone; the rest is for those who stay.
#
#   make demo [ARGS=--keep]   set up, build, watch real requests go through the director
#   make test                 set up, then every check and every test; end to end only as root
#   make setup | build | bench | clean

CARGO ?= cargo
ARGS ?=
TARGET := $(or $(CARGO_TARGET_DIR),target)
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: setup build demo test bench clean
.NOTPARALLEL:

setup:
	@setup/setup.sh

build: setup
	$(CARGO) build --release --bin uvs

demo: build
	@$(AS_ROOT) $(TARGET)/release/uvs demo $(ARGS)

# Two builds: without DPDK and with debug assertions, as on any machine; and the one that runs. End to end is one test of the latter.
test: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --workspace --all-targets --no-default-features -- -D warnings
	$(CARGO) test --workspace --no-default-features
	$(CARGO) test --release --package uvs
	@[ "$$(id -u)" = 0 ] || echo "make test: all passed but end to end (tests/e2e), which needs root and was left out"

bench: setup
	$(CARGO) bench --package uvs

clean:
	$(CARGO) clean
