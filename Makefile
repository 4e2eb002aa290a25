# Every target installs what it misses. See README.md, or run "make help".

.PHONY: help setup native build host demo test bench package release-test lint fmt clean

help:
	@echo "make demo      plays a conversation and an outage, and shows what arrives at all receivers"
	@echo "make test      all tests: Rust, Python and Erlang; make test SUITES='a_SUITE b_SUITE': only these"
	@echo "make lint      all static checks"
	@echo "make bench     what a hook costs its caller, what a pool delivers"
	@echo "make build     the application, in _build/default/lib/event_pusher"
	@echo "make package   what operators install, in dist/"
	@echo "make release-test MONGOOSEIM=DIR   the package in a copy of a real MongooseIM"
	@echo "make setup     installs what the others need, which they do as well"
	@echo "make fmt       formats the Rust code"
	@echo "make clean     removes what was built"

setup:
	@tools/setup

# A terminal shows the progress of cargo; without one there is a line for each step.
quiet := $(shell test -t 2 || echo --quiet)
library = target/release/libevent_pusher_nif.so

# Called by rebar3 as well: the library that the Erlang application loads. A package has its own.
ifeq ($(NATIVE),none)
native: ; @:
else
native:
	@test -e $(library) || echo "native: compiling the library takes about 4 minutes the first time"
	cargo build --release $(quiet) --package event_pusher_nif
	@mkdir -p erlang/priv
	@cmp -s $(library) erlang/priv/libevent_pusher_nif.so || \
	    cp $(library) erlang/priv/libevent_pusher_nif.so
endif

# The library comes first, and not from rebar3, which would start cargo where Ctrl-C does not reach
# it. By itself, Erlang asks what to do after Ctrl-C; with +Bd it ends.
rebar3 = NATIVE=none ERL_FLAGS=+Bd rebar3

build: setup native
	$(rebar3) compile

# The application with the stand-in for MongooseIM, the tests and the examples.
host: setup native
	$(rebar3) as host compile
	@tools/suites

demo: host
	@tools/demo

test: host
	@tools/test $(SUITES)

bench: host
	@test -e target/release/bare_amqp || echo "bench: compiling its programs takes a minute the first time"
	cargo build --release $(quiet) --package event_pusher_receiver --package event_pusher_bench
	@tools/bench

package: setup
	@tools/package

# The package in a copy of a real MongooseIM.
release-test: setup
	@tools/release-test "$(MONGOOSEIM)"

lint: setup
	@tools/lint

fmt:
	cargo fmt --all

clean:
	rm -rf _build target dist erlang/priv
