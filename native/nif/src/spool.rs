//! What is in the directory of a spool, for who looks at it from outside of pools.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use event_pusher_delivery::{Orphan, Room, orphans, room};
use rustler::{Binary, Encoder, Env, Term};

use crate::{atoms, encode};

/// `{ok, [{Folder :: binary(), Events, Bytes}]} | {error, Cause :: binary()}`: those of logs with other
/// names.
#[rustler::nif(schedule = "DirtyIo")]
fn spool_orphans<'a>(env: Env<'a>, dir: Binary<'a>, logs: Vec<Binary<'a>>) -> Term<'a> {
    let known: Vec<Vec<u8>> = logs.iter().map(|log| log.to_vec()).collect();
    let found = orphans(path(&dir), &known).map(|found| {
        let row = |Orphan { dir, records, bytes }: &Orphan| {
            (&*dir.to_string_lossy(), records, bytes).encode(env)
        };
        found.iter().map(row).collect::<Vec<_>>()
    });
    answer(env, found)
}

/// `{ok, #{free_bytes, used_bytes, is_locked}} | {error, Cause :: binary()}`
#[rustler::nif(schedule = "DirtyIo")]
fn spool_room<'a>(env: Env<'a>, dir: Binary<'a>) -> Term<'a> {
    let found = room(path(&dir)).map(|Room { free, used, is_locked }| {
        let pairs = [
            (atoms::free_bytes(), free.encode(env)),
            (atoms::used_bytes(), used.encode(env)),
            (atoms::is_locked(), is_locked.encode(env)),
        ];
        encode::map(env, &pairs)
    });
    answer(env, found)
}

fn path<'a>(dir: &'a Binary<'_>) -> &'a Path {
    Path::new(OsStr::from_bytes(dir))
}

fn answer<'a>(env: Env<'a>, found: io::Result<impl Encoder>) -> Term<'a> {
    match found {
        Ok(found) => (atoms::ok(), found).encode(env),
        Err(error) => env.error_tuple(error.to_string()),
    }
}
