.PHONY: native
native:
	cargo build --release -p event_pusher_nif --quiet
	mkdir -p erlang/priv
	cmp -s target/release/libevent_pusher_nif.so erlang/priv/libevent_pusher_nif.so || \
	    cp target/release/libevent_pusher_nif.so erlang/priv/
