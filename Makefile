# Every target installs what it misses. See README.md, or run "make help".

.PHONY: help setup native build host demo test chaos crash outage hostile fuzz bench bench-release package release-test lint \
    advisories picture fmt clean

help:
	@echo "make demo      plays a conversation and an outage, and shows what arrives at all receivers"
	@echo "make test      all tests: Rust, Python and Erlang; make test SUITES='a_SUITE b_SUITE': only these"
	@echo "make hostile   a million calls of the library with any terms, then full load: about a minute"
	@echo "make fuzz      what reads from outside, with any bytes; FUZZ_SECONDS=60 for each of 8 targets"
	@echo "make lint      all static checks"
	@echo "make chaos     everything fails for 5 minutes; shows that nothing is lost silently and nothing grows"
	@echo "make crash     kills a node 20 times; shows that what was on disk arrives: about 2 minutes"
	@echo "make outage    all receivers dead for MINUTES=2, without a spool and with one; shows memory and disk"
	@echo "make advisories   known holes in dependencies, for machines with a network"
	@echo "make bench     what a hook costs its caller, what a pool delivers; ONLY=http,hook, COMPARE=commit"
	@echo "make bench-release MONGOOSEIM=DIR   the server's own HTTP module and ours, in a real MongooseIM"
	@echo "make build     the application, in _build/default/lib/event_pusher"
	@echo "make package   what operators install, in dist/"
	@echo "make release-test MONGOOSEIM=DIR   the package in a copy of a real MongooseIM; NODES=2: in a cluster"
	@echo "make picture   the picture of the dashboard in docs/images, with real data of an outage"
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

# For CHAOS_SECONDS, by default 300, and as planned from CHAOS_SEED, by default another one each time.
# With CHAOS_SPOOL=1, events are on disk as well.
chaos: host
	@test -e target/release/chaos || echo "chaos: compiling the receivers takes a minute the first time"
	cargo build --release $(quiet) --package event_pusher_receiver
	@tools/chaos

# CRASH_KILLS times, by default 20, as planned from CRASH_SEED, by default another one each time.
crash: host
	@test -e target/release/chaos || echo "crash: compiling the receivers takes a minute the first time"
	cargo build --release $(quiet) --package event_pusher_receiver
	@tools/crash

# For MINUTES each, by default 2, with OUTAGE_RATE events a second to each pool; at the same time with
# OUTAGE_TOGETHER=1.
outage: host
	@OUTAGE_MINUTES=$(or $(MINUTES),2) tools/outage

# HOSTILE_SEED, HOSTILE_FIRST and HOSTILE_CALLS make calls again.
hostile: host
	@test -e target/release/receiver || echo "hostile: compiling its programs takes a minute the first time"
	cargo build --release $(quiet) --package event_pusher_receiver --package event_pusher_watch
	@tools/hostile

fuzz: setup
	@tools/fuzz $(TARGETS)

advisories: setup
	@tools/advisories

# ONLY=http,hook: these cases; COMPARE=commit: that one in turn with this. See docs/benchmarks.md.
bench: host
	@test -e target/release/bare_amqp || echo "bench: compiling its programs takes a minute the first time"
	cargo build --release $(quiet) --package event_pusher_receiver --package event_pusher_bench
	@tools/bench

# The server's own modules and ours, in copies of a real MongooseIM.
bench-release: host
	cargo build --release $(quiet) --package event_pusher_receiver
	@tools/bench-release "$(MONGOOSEIM)"

picture: host
	@tools/picture

package: setup
	@tools/package

# The package in a copy of a real MongooseIM, or in NODES=2 that are a cluster.
release-test: setup
	@NODES="$(NODES)" tools/release-test "$(MONGOOSEIM)"

lint: setup
	@tools/lint

fmt:
	cargo fmt --all

clean:
	rm -rf _build target dist erlang/priv
