# Each thing one does with the project, in one command. `make` alone lists them.

PREFIX ?= /usr/local
BUILD := build
DIST ?= $(CURDIR)/$(BUILD)/dist
# One cargo cache for all of them; CMake follows it.
export CARGO_TARGET_DIR ?= $(CURDIR)/target
RELEASE = $(abspath $(CARGO_TARGET_DIR))/release
# What a program needs beside libaliot.a: see CMakeLists.txt.
NATIVE := -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc

# The library for programs in C. Without --crate-type cargo builds it for programs in Rust as well, and
# then does no link-time optimisation at all, whatever the profile says.
BUILD_LIBRARY := cargo rustc --locked --lib --crate-type cdylib,staticlib

NEEDED_TO_BUILD := cmake cc
NEEDED_TO_TEST := $(NEEDED_TO_BUILD) c++ doxygen faketime fiu-run microsocks mosquitto mosquitto_pub openssl \
	nft ip pkg-config stunnel tinyproxy valgrind MQTTAsync.h chromium chromedriver
# Other people's clients in Python, for the simulator's tests.
PYTHON := $(CURDIR)/$(BUILD)/python/bin/python
# The fuzz targets have a workspace of their own, and what is built for them a place of its own: the
# library with another feature would have the same file name.
FUZZ := --manifest-path fuzz/Cargo.toml
NEEDED_TO_BENCH := cc strip python3 openssl mosquitto mosquitto.h MQTTAsync.h openssl/ssl.h

.PHONY: help deps demo test features features-deep docs python bench instructions release-small soak deep \
	deep-package deny mutants coverage install dist fuzz repeat deep-faults loom asan asan-behaviour tsan \
	tsan-behaviour clean

help:
	@echo 'make demo      the examples at work against the simulated platform, on this machine'
	@echo 'make test      everything that must pass before a change is taken'
	@echo 'make install   library, header, CMake and pkg-config package; PREFIX=$(PREFIX), DESTDIR='
	@echo 'make docs      the API reference, into build/docs/html'
	@echo 'make dist      source tarball with every crate in it, into build/dist'
	@echo 'make bench     libaliot, libmosquitto and paho side by side; BENCH=quick, ONLY="publish latency"'
	@echo 'make instructions   counts the instructions of the hot paths anew, for make test to compare'
	@echo 'make release-small  the library for devices whose storage is scarcer than their time'
	@echo 'make fuzz      each fuzz target for as long as FUZZ_SECONDS says, 600 by default'
	@echo 'make soak      1,000 devices through a fault every 20 s, for ALIOT_SOAK_SECONDS=600; a report and a plot'
	@echo 'make repeat    every test with a thread, a socket or a clock, REPEAT=20 times'
	@echo 'make loom      every order, up to two preemptions, in which the threads of a client can meet'
	@echo 'make asan      the C programs with an instrumented library: addresses, leaks, undefined behaviour'
	@echo 'make asan-behaviour, make tsan-behaviour  the same for the tests of the Rust API'
	@echo 'make tsan      the same for races between threads'
	@echo 'make deny      licences, sources, duplicates and advisories of the crates'
	@echo 'make mutants   breaks src/proto in every small way: an hour or two'
	@echo 'make coverage  lines that the tests run, by file and against the goals'
	@echo 'make deep      all of the long tests: a day'
	@echo 'make deps      what the tests need, installed on Debian, else named'
	@echo 'make clean     removes what the others built'

deps:
	@sh .ci/deps $(NEEDED_TO_TEST)

demo:
	@sh .ci/deps $(NEEDED_TO_BUILD)
	cmake -S . -B $(BUILD)/demo -DCMAKE_BUILD_TYPE=Release -DALIOT_BUILD_TESTS=OFF
	cmake --build $(BUILD)/demo
	cargo build --locked --release --package aliot-sim
	c_examples/demo.sh $(BUILD)/demo/c_examples '$(CARGO_TARGET_DIR)/release/aliot-sim'

test: deps
	@cargo fmt --version && cargo clippy --version || \
		{ echo 'please run: rustup component add rustfmt clippy'; exit 1; }
	cargo fetch --locked || cargo fetch --locked # the one retry: the registry may be slow
	cargo fetch --locked $(FUZZ) || cargo fetch --locked $(FUZZ)
	cargo fmt --all --check
	cargo fmt $(FUZZ) --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	cargo clippy --locked $(FUZZ) --no-default-features --all-targets -- -D warnings
	$(MAKE) --no-print-directory features docs python
	[ ! -x '$(PYTHON)' ] || export ALIOT_PYTHON='$(PYTHON)'; cargo test --locked --workspace
	CARGO_TARGET_DIR='$(CARGO_TARGET_DIR)/fuzz' cargo test --locked $(FUZZ) --no-default-features
	cmake -S . -B $(BUILD)/test -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS=-Werror
	cmake --build $(BUILD)/test
	cd $(BUILD)/test && ctest --output-on-failure --no-tests=error
	$(MAKE) count-check
	@# Again for what is shipped, which leaves other things on the stack. It has just been built.
	ALIOT_LIBRARY='$(RELEASE)/libaliot.so' cargo test --locked --package aliot --test memory

# The library without what may be left out, and with each of it alone.
FEATURES := websocket registration sign-check client-certificate
features:
	@for features in '' $(FEATURES); do \
		echo "cargo check, features: $${features:-none}"; \
		cargo check --quiet --locked --lib --no-default-features --features "$$features" || exit 1; \
	done

# Without Python, pip or a registry the tests that want it say that they were skipped.
python:
	@[ -x '$(PYTHON)' ] || { python3 -m venv $(BUILD)/python && \
		'$(PYTHON)' -m pip install -q aliyun-iot-linkkit 'paho-mqtt<2'; } || \
		{ rm -rf $(BUILD)/python; echo 'no Python clients: their tests will be skipped'; }

docs:
	@sh .ci/deps doxygen
	mkdir -p build
	rm -rf build/docs
	doxygen docs/Doxyfile
	@for name in $$(cat tests/abi/symbols.txt); do \
		grep -q "$$name()" build/docs/html/group__*.html || { echo "no $$name in the reference"; exit 1; }; \
	done
	@echo 'the reference begins with build/docs/html/index.html'

bench:
	@sh .ci/deps $(NEEDED_TO_BENCH)
	$(BUILD_LIBRARY) --release
	$(BUILD_LIBRARY) --profile release-small
	$(MAKE) -C bench B='$(abspath $(BUILD))/bench' LIB='$(RELEASE)' NATIVE='$(NATIVE)'
	BENCH='$(BENCH)' python3 bench/run.py $(BUILD)/bench '$(RELEASE)' $(ONLY)

instructions: count-write

# `count-check` fails if a hot path has grown, `count-write` accepts what it is now.
count-%:
	@sh .ci/deps cc valgrind
	$(BUILD_LIBRARY) --release
	cargo build --locked --release --features bench --example hot_paths
	@mkdir -p $(BUILD)
	$(CC) -O2 -Wall -Wextra -Werror -Iinclude bench/instructions/calls.c '$(RELEASE)/libaliot.a' \
		-o $(BUILD)/calls $(NATIVE)
	sh bench/instructions/count.sh $* '$(RELEASE)/examples/hot_paths' '$(abspath $(BUILD))/calls'

release-small:
	$(BUILD_LIBRARY) --profile release-small
	@ls -l '$(RELEASE)-small/libaliot.so' '$(RELEASE)-small/libaliot.a'

# And that what was left out says so.
features-deep: features
	cargo test --locked --lib --no-default-features left_out

deep: features-deep deep-package deep-faults loom asan asan-behaviour tsan tsan-behaviour repeat coverage deny fuzz mutants soak

# ---- Checkers: tests/checkers/README.md ----

# Optimised a little: what Rust has on the stack must fit into that of a small thread.
CHECKED := CARGO_PROFILE_DEV_OPT_LEVEL=1 RUSTC_BOOTSTRAP=1
HOST := x86_64-unknown-linux-gnu
ASAN_DIR := $(CARGO_TARGET_DIR)/asan
TSAN_DIR := $(CARGO_TARGET_DIR)/tsan
TSAN := $(CURDIR)/$(BUILD)/tsan
# Those with several threads of the application's own.
CONCURRENT := test_lone test_threads test_phases test_reentrancy test_process test_session test_stress \
	test_churn test_runtime

# Every order in which the threads of a client can meet, up to two preemptions.
loom:
	cargo test --locked --package aliot --lib --features loom tests_models

# The instrumented library in the C programs and the examples.
asan:
	@sh .ci/deps $(NEEDED_TO_TEST)
	$(CHECKED) RUSTFLAGS=-Zsanitizer=address cargo build --locked --lib --target $(HOST) \
		--target-dir '$(ASAN_DIR)'
	ALIOT_CHECKER=address ALIOT_CHECKED_LIBRARY='$(ASAN_DIR)/$(HOST)/debug/libaliot.so' \
		cargo test --locked --package aliot --test c_programs

# The tests of the Rust API, and the simulator with them. First the bugs that were planted in Rust.
API_TESTS := --test behaviour --test normative --test sequences
ASAN_TEST = $(CHECKED) RUSTFLAGS=-Zsanitizer=address cargo test --locked --package aliot --target $(HOST) \
	--target-dir '$(ASAN_DIR)'
# Not these of the faults: they measure resident memory, of which AddressSanitizer keeps what was freed;
# limit the address space, of which it reserves terabytes; or preload libraries that come before it,
# with faults of their own.
NOT_WITH_ASAN := leaks:: in_bounded_memory memory_is_bounded little_address_space \
	a_wall_clock_that_jumps system_calls_that_fail_at_random
asan-behaviour:
	@sh .ci/deps $(NEEDED_TO_TEST)
	ALIOT_CHECKER=address $(ASAN_TEST) --test checkers
	$(ASAN_TEST) $(API_TESTS)
	$(ASAN_TEST) --test faults -- $(addprefix --skip ,$(NOT_WITH_ASAN))

tsan:
	@sh .ci/deps $(NEEDED_TO_TEST)
	tests/checkers/tsan-toolchain '$(TSAN)'
	$(CHECKED) RUSTC='$(TSAN)/rustc' RUSTFLAGS='-Zsanitizer=thread -Zexternal-clangrt' \
		'$(TSAN)/cargo' build --locked -Zbuild-std --lib --target $(HOST) \
		--target-dir '$(TSAN_DIR)'
	for program in $(CONCURRENT); do \
		ALIOT_STRESS_ROUNDS=50 ALIOT_C_PROGRAM=$$program ALIOT_CHECKER=thread CC='$(TSAN)/clang' \
		ALIOT_CHECKED_LIBRARY='$(TSAN_DIR)/$(HOST)/debug/libaliot.so' \
		cargo test --locked --package aliot --test c_programs -- \
		c_programs_do_what_they_promise sanitizers_find_what_was_planted || exit 1; \
	done

# The same tests as with asan-behaviour.
TSAN_TEST = $(CHECKED) RUSTC='$(TSAN)/rustc' RUSTFLAGS='-Zsanitizer=thread -Zexternal-clangrt' \
	CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER='$(TSAN)/tsan-clang' TSAN_OPTIONS=exitcode=66 \
	'$(TSAN)/cargo' test --locked -Zbuild-std --package aliot --target $(HOST) \
	--target-dir '$(TSAN_DIR)-behaviour'
tsan-behaviour:
	@sh .ci/deps $(NEEDED_TO_TEST)
	tests/checkers/tsan-toolchain '$(TSAN)'
	ALIOT_CHECKER=thread $(TSAN_TEST) --test checkers
	$(TSAN_TEST) $(API_TESTS)

# The tarball without a network, and the library for a named target in a sysroot.
deep-package:
	@sh .ci/deps $(NEEDED_TO_TEST)
	cargo test --locked --test package -- --ignored --test-threads=1

install:
	@sh .ci/deps $(NEEDED_TO_BUILD)
	cmake -S . -B $(BUILD)/install -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX='$(PREFIX)' \
		-DALIOT_BUILD_EXAMPLES=OFF -DALIOT_BUILD_TESTS=OFF
	cmake --build $(BUILD)/install
	DESTDIR='$(DESTDIR)' cmake --install $(BUILD)/install

dist:
	@.ci/dist '$(DIST)'

clean:
	rm -rf $(BUILD)
	cargo clean

soak:
	@sh .ci/deps cc mosquitto nft ip
	cargo test --locked --release --test soak

# The tests of the faults, as long as a soak.
deep-faults:
	@sh .ci/deps $(NEEDED_TO_TEST)
	ALIOT_SOAK_SECONDS=$${ALIOT_SOAK_SECONDS:-600} cargo test --locked -p aliot --test faults -- --nocapture
	for program in test_threads test_churn test_process test_phases test_session; do \
		ALIOT_LONG=1 ALIOT_C_PROGRAM=$$program cargo test --locked -p aliot --test c_programs -- \
		--nocapture c_programs_do_what_they_promise || exit 1; \
	done
	ALIOT_LONG=1 cargo test --locked -p aliot --test c_programs -- --nocapture accidents::

# Programs of cargo, into build/tools, where they are not installed.
export PATH := $(abspath $(BUILD))/tools/bin:$(PATH)
TOOL = command -v cargo-$(1) >/dev/null || \
	CARGO_TARGET_DIR='$(abspath $(BUILD))/tools/target' cargo install --locked \
		--root '$(abspath $(BUILD))/tools' cargo-$(1)

deny:
	@$(call TOOL,deny)
	cargo deny --all-features --locked check bans licenses sources
	@if cargo deny fetch db; then cargo deny --all-features --locked check --disable-fetch advisories; \
	else echo 'SKIPPED: the database of advisories cannot be fetched from here'; fi

mutants:
	@$(call TOOL,mutants)
	.ci/mutants '$(abspath $(BUILD))/mutants' $(MUTANTS)

coverage:
	@sh .ci/deps $(NEEDED_TO_TEST) "$$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/llvm-cov-\1/p')"
	@$(call TOOL,llvm-cov)
	.ci/coverage '$(abspath $(BUILD))/coverage'

# libFuzzer through cargo-fuzz, with the stable compiler. Named targets alone: fuzz/run codec topic
fuzz:
	@sh .ci/deps c++
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz@0.13.2
	fuzz/run

repeat: deps
	$(MAKE) --no-print-directory python
	[ ! -x '$(PYTHON)' ] || export ALIOT_PYTHON='$(PYTHON)'; REPEAT=$${REPEAT:-20} sh tests/repeat.sh
