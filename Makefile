# Every target installs what it misses. See README.md.

.PHONY: setup native build demo test bench package release-test lint fmt clean

setup:
	tools/setup

# Called by rebar3 as well: the library that the Erlang application loads. A package has its own.
ifeq ($(NATIVE),none)
native: ; @:
else
native:
	cargo build --release --quiet --package event_pusher_nif
	mkdir -p erlang/priv
	cmp -s target/release/libevent_pusher_nif.so erlang/priv/libevent_pusher_nif.so || \
	    cp target/release/libevent_pusher_nif.so erlang/priv/libevent_pusher_nif.so
endif

build: setup
	rebar3 compile

# The application with the stand-in for MongooseIM, the tests and the examples.
.PHONY: host
host: setup
	rebar3 as host compile
	tools/suites

demo: host
	tools/demo

test: host
	tools/test $(SUITES)

bench: host
	cargo build --release --quiet --package event_pusher_receiver --package event_pusher_bench
	tools/bench

package: setup
	tools/package

# The package in a copy of a real MongooseIM.
release-test: setup
	tools/release-test "$(MONGOOSEIM)"

lint: setup
	tools/lint

fmt:
	cargo fmt --all

clean:
	rm -rf _build target dist erlang/priv
