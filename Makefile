# `make demo` and `make test` start from a fresh clone; the rest is for those who stay.
#
#   make demo [ARGS=--keep]   set up, build, watch real requests go through the director
#   make test                 set up, then every check and every test; end to end only as root
#   make appliance [KINDS=…]  the director on bound NICs, in virtual machines: as root, minutes
#   make oracle               record the kernel's IPVS anew, in a virtual machine, and replay it
#   make fuzz [SEEDS="1 20"]  random packets and scheduler decisions, recorded and replayed at once
#   make setup | build | bench | clean
#
#   make install [PREFIX=/usr/local] [DESTDIR=]   what `make build` built, where it is used; as root
#   make deb [DEB=folder]                         the same as a Debian package

CARGO ?= cargo
ARGS ?=
SEEDS ?= 1 20
PREFIX ?= /usr/local
DESTDIR ?=
TARGET := $(or $(CARGO_TARGET_DIR),target)
# Where the two things to install are, and where the package goes.
BUILT ?= $(TARGET)/release
DEB ?= $(BUILT)
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo)
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: setup build demo test bench appliance install deb oracle fuzz clean
.NOTPARALLEL:

setup:
	@setup/setup.sh

build: setup
	$(CARGO) build --release --package uvs --bin uvs
	$(CARGO) build --release --package uvs-preload

demo: build
	@$(AS_ROOT) $(TARGET)/release/uvs demo $(ARGS)

# Two builds: without DPDK and with debug assertions, as on any machine; and the one that runs. End to end is one test of the latter.
test: setup
	@setup/python.sh
	$(call layer,formatting)
	$(CARGO) fmt --all --check
	$(call layer,clippy with and without DPDK)
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) clippy --workspace --all-targets --no-default-features -- -D warnings
	$(call layer,unit and property tests and the lab: without DPDK or root and with debug assertions)
	$(CARGO) test --workspace --no-default-features
	$(call layer,release: the same and golden recordings and DPDK devices$(comma) end to end as root)
	$(CARGO) test --profile checked --package uvs
	$(call layer,recordings of FullNAT$(comma) judged by a model of their own)
	python3 tests/oracle/verify/fullnat.py
	$(call layer,all passed$(if $(filter 0,$(shell id -u)),,$(comma) but end to end (tests/e2e) was left out: it needs root))

# A heading, so that one sees which layer a failure belongs to.
layer = @printf '\n==== make test: %s ====\n' "$(1)"
comma := ,

# What a packet costs (ARGS=--quick: in a minute), then what its parts cost. The load device needs DPDK's driver headers, which its
# build fetches from Debian once.
bench: build
	benches/lbgen/build.sh
	$(TARGET)/release/uvs bench $(ARGS)
	$(CARGO) bench --package uvs --bench sched --bench table --bench rewrite

# Virtual machines with emulated NICs that are bound to DPDK (KINDS=e1000e: one kind). Not part of `make test`: ten minutes of emulation.
appliance: build
	@SETUP_LIST=$(CURDIR)/tests/appliance/packages.txt setup/setup.sh
	@$(AS_ROOT) tests/appliance/run.sh $(TARGET)/release/uvs $(KINDS)

# Neither builds: root often has no cargo.
install:
	@setup/install.sh "$(BUILT)" "$(DESTDIR)" "$(PREFIX)"

deb:
	@setup/deb.sh "$(BUILT)" "$(DEB)"

# The kernel itself is asked what the recordings of tests/golden say: some 15 minutes of emulation.
oracle:
	@SETUP_LIST=$(CURDIR)/tests/oracle/packages.txt setup/setup.sh
	tests/oracle/record.sh $(TARGET)/oracle/golden
	GOLDEN_DIR=$(abspath $(TARGET)/oracle/golden) $(CARGO) test --release --test golden --test ipvsadm

fuzz:
	@SETUP_LIST=$(CURDIR)/tests/oracle/packages.txt setup/setup.sh
	ORACLE_OUT=$(abspath $(TARGET)/oracle) tests/oracle/fuzz.sh $(SEEDS)

clean:
	$(CARGO) clean
