//! Any files in the directory of a log: what is read back is what is intact there, and memory has a
//! bound that goes by their size.

#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use event_pusher_spool::fuzzing::log;
use libfuzzer_sys::fuzz_target;

/// Counts what Rust has, and the most that it had.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// Places for what waits to be written, and buffers for what is read.
const ALWAYS: usize = 8 << 20;
/// For each byte of an input: files are longer, and are compared as a whole.
const FOR_EACH: usize = 1024;

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), SeqCst) + layout.size();
        MOST.fetch_max(now, SeqCst);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), SeqCst);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static DIR: LazyLock<PathBuf> =
    LazyLock::new(|| format!("/dev/shm/event_pusher_fuzz_{}", std::process::id()).into());

fuzz_target!(|data: &[u8]| {
    let before = NOW.load(SeqCst);
    MOST.store(before, SeqCst);
    log(&DIR, data);
    let most = MOST.load(SeqCst) - before;
    assert!(most < ALWAYS + FOR_EACH * data.len(), "{most} bytes for {}", data.len());
});
