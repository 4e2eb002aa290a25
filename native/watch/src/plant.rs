//! What holds a scheduler, so that it can be shown that it is seen.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use crate::account::Account;

/// Works for that long, however often others have the processor meanwhile.
pub(crate) fn work(ms: u64) {
    let Ok(begin) = Account::now() else { return };
    let enough = Duration::from_millis(ms);
    while Account::now().is_ok_and(|now| now.since(&begin).worked < enough) {}
}

/// Waits for a lock that another thread has for that long.
pub(crate) fn lock(ms: u64) {
    let (lock, (taken, is_taken)) = (Mutex::new(()), sync_channel(1));
    thread::scope(|scope| {
        scope.spawn(|| {
            let held = lock.lock();
            let told = taken.send(());
            thread::sleep(Duration::from_millis(ms));
            drop((held, told));
        });
        let begun = is_taken.recv();
        drop((begun, lock.lock()));
    });
}
