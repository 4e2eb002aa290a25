#!/bin/bash
# lapin keeps tasks and their memory for each attempt to connect that fails, for ever.
#
# One would guess: nothing is left of a connection that was never made.
# What happens: before it connects, the client starts a task for commands. If the connection cannot be
# made, its thread ends without telling that task, which waits for a command that nobody can give any
# more. About 10 KB each time. An attempt that fails after that, at the greeting, leaves nothing.
# Why it matters to users here: a broker that is away for a day, tried every two seconds, would cost the
# node 400 MB. So the socket is connected here first, and the client gets one that cannot fail
# (native/delivery/src/rabbit/connect.rs).
#
# Needs cargo and crates.io; takes a minute. Leaves nothing behind.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
lapin = { version = "=4.12.3", default-features = false, features = ["tokio"] }
tokio = { version = "=1.54.1", features = ["macros", "net", "rt-multi-thread", "time"] }

[workspace]
TOML
cat > src/main.rs <<'RUST'
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use tokio::runtime::Handle;

const ATTEMPTS: usize = 10;

/// How many tasks are left a second after attempts that fail.
async fn left_after_attempts_at(port: u16) -> usize {
    let before = Handle::current().metrics().num_alive_tasks();
    for _ in 0..ATTEMPTS {
        let uri = format!("amqp://127.0.0.1:{port}/%2f");
        assert!(Connection::connect(&uri, ConnectionProperties::default()).await.is_err());
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    Handle::current().metrics().num_alive_tasks() - before
}

#[tokio::main]
async fn main() {
    let hasty = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hasty.local_addr().unwrap().port();
    thread::spawn(move || hasty.incoming().for_each(drop));
    println!("closed at once: {} tasks are left", left_after_attempts_at(port).await);

    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    println!("nobody listens: {} tasks are left", left_after_attempts_at(gone).await);
}
RUST
cargo build --quiet
echo "lapin 4.12.3: 10 attempts to connect that fail"
./target/debug/finding | tee seen
# What was seen when this was written.
diff seen - <<'SEEN'
closed at once: 0 tasks are left
nobody listens: 20 tasks are left
SEEN
