# Each thing one does with the project, in one command. `make` alone lists them.

PREFIX ?= /usr/local
BUILD := build
# One cargo cache for all of them; CMake follows it.
export CARGO_TARGET_DIR ?= $(CURDIR)/target

NEEDED_TO_BUILD := cmake cc
NEEDED_TO_TEST := $(NEEDED_TO_BUILD) c++ microsocks mosquitto mosquitto_pub openssl pkg-config \
	stunnel tinyproxy valgrind

.PHONY: help deps demo test bench deep install clean

help:
	@echo 'make demo      the examples at work against the simulated platform, on this machine'
	@echo 'make test      everything that must pass before a change is taken'
	@echo 'make install   library, header, CMake and pkg-config package; PREFIX=$(PREFIX), DESTDIR='
	@echo 'make bench     measurements'
	@echo 'make deep      the long tests'
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
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --workspace
	cmake -S . -B $(BUILD)/test -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS=-Werror
	cmake --build $(BUILD)/test
	cd $(BUILD)/test && ctest --output-on-failure --no-tests=error

bench:
	@echo 'make bench: there are no measurements yet'

deep:
	@echo 'make deep: there are no long tests yet, nothing was run'
	@echo 'to come: fuzzing, soak, mutants, coverage, ThreadSanitizer, many repetitions'

install:
	@sh .ci/deps $(NEEDED_TO_BUILD)
	cmake -S . -B $(BUILD)/install -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX='$(PREFIX)' \
		-DALIOT_BUILD_EXAMPLES=OFF -DALIOT_BUILD_TESTS=OFF
	cmake --build $(BUILD)/install
	DESTDIR='$(DESTDIR)' cmake --install $(BUILD)/install

clean:
	rm -rf $(BUILD)
	cargo clean
