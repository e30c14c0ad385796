# What one does with this repository. `make` lists the targets.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory

PREFIX ?= /usr/local
DESTDIR ?=
# Which rows of the benchmark, none for all: `make bench ROWS="registry-to-oci many-layers"`.
ROWS ?=

# The programs that are usable, and so are installed and packaged.
PROGRAMS := creel-copy creel-inspect creel-build creel-run
BUILD_PROGRAMS := cargo build --locked $(PROGRAMS:%=--package %)

# Crates that a feature of some dependency could bring in, and that swap the gzip
# implementation behind our back or bind us to a C library of the system.
UNWANTED_CRATES := libz-sys libz-ng-sys openssl-sys

# NEED:PACKAGE, see scripts/install-missing.sh.
BUILD_NEEDS := cc:gcc /usr/include/stdio.h:libc6-dev
PEER_NEEDS := skopeo:skopeo umoci:umoci docker-registry:docker-registry
BENCH_NEEDS := $(PEER_NEEDS) buildah:buildah podman:podman
DEMO_NEEDS := docker-registry:docker-registry runc:runc /bin/busybox:busybox-static
TEST_NEEDS := $(PEER_NEEDS) podman:podman buildah:buildah dockerd:docker.io runc:runc \
	htpasswd:apache2-utils newuidmap:uidmap /bin/busybox:busybox-static jq:jq openssl:openssl \
	bzip2:bzip2 xz:xz-utils zstd:zstd mkfs.xfs:xfsprogs mkfs.ext4:e2fsprogs \
	getfattr:attr git:git ssh-agent:openssh-client /etc/ssl/certs/ca-certificates.crt:ca-certificates tmux:tmux \
	chromium:chromium rpmbuild:rpm db5.3_load:db5.3-util
# ocidir, one of the independent implementations, links OpenSSL and zlib.
INTEROP_NEEDS := pkg-config:pkg-config /usr/include/openssl/ssl.h:libssl-dev

INTEROP := tests/interop/Cargo.toml

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: cargo
cargo:
	@command -v cargo >/dev/null || { \
		echo "cargo is not here. Rust 1.95 or newer is needed; get it from https://rustup.rs:"; \
		echo "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"; \
		exit 1; } >&2
	@scripts/install-missing.sh building $(BUILD_NEEDS)

.PHONY: release
release: cargo ## Build the programs, optimised, into target/release
	$(BUILD_PROGRAMS) --release

# Built in a profile of its own: about 5 CPU minutes instead of 24.
.PHONY: demo
demo: cargo ## Show what the programs do: offline, in a temporary folder
	@scripts/install-missing.sh "the demo" $(DEMO_NEEDS)
	$(BUILD_PROGRAMS) --profile demo
	@scripts/demo.sh target/demo

.PHONY: test
test: cargo ## Run all tests, those against other implementations included
	@scripts/install-missing.sh "the tests" $(TEST_NEEDS) $(INTEROP_NEEDS) || test "$${CI:-}" != true
	cargo build --locked --workspace
	cargo test --locked --workspace
	cargo test --locked --manifest-path $(INTEROP)

.PHONY: soak
soak: export CREEL_SOAK := 1
soak: test ## The long form of the tests

.PHONY: bench
bench: cargo ## Measure against Debian's peers: make bench ROWS="registry-to-oci"
	@scripts/install-missing.sh "the benchmark" $(BENCH_NEEDS)
	cargo build --release --locked --workspace
	target/release/creel-bench $(ROWS)

.PHONY: lint
lint: cargo ## Check format, warnings, documentation and the dependency tree
	cargo fmt --all --check
	cargo fmt --manifest-path $(INTEROP) --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
	scripts/check-crates.sh $(UNWANTED_CRATES)
	@# Advisories are left out: they need the network, and change without the repository.
	@if cargo deny --version >/dev/null 2>&1; then \
		cargo deny --locked check bans licenses sources; \
	else \
		echo "cargo-deny is not installed: licences and bans were not checked"; \
	fi

.PHONY: man
man: release ## Write the man pages to target/man
	mkdir -p target/man
	for program in $(PROGRAMS); do target/release/$$program man target/man; done

.PHONY: install
install: ## Install programs, man pages and completions: make install PREFIX=
	@# sudo usually has no cargo in its PATH: what was built before is installed then.
	@if command -v cargo >/dev/null || [ ! -x target/release/$(firstword $(PROGRAMS)) ]; then \
		$(MAKE) release; fi
	scripts/stage.sh target/release "$(DESTDIR)$(PREFIX)" $(PROGRAMS)

.PHONY: dist
dist: release ## Make a tarball and a Debian package in target/dist
	@scripts/install-missing.sh packaging dpkg-deb:dpkg
	scripts/dist.sh target/release target/dist $(PROGRAMS)

.PHONY: clean
clean: ## Remove what was built
	cargo clean
	cargo clean --manifest-path $(INTEROP)
