//! Proxies in the environment, which belongs to a whole process: a process of their own has them.

use std::process::Command;

use crate::rig::{Setup, pool_to, push, server};
use crate::support::settled;

/// Where the process with proxies in its environment has to post to.
const RECEIVER: &str = "EVENT_PUSHER_TEST_RECEIVER";

#[tokio::test]
async fn proxies_in_the_environment_are_not_used() {
    match std::env::var(RECEIVER) {
        Err(_) => run_with_proxies(),
        Ok(url) => {
            let pool = pool_to(&url, Setup { retries: 0, ..Setup::default() });
            push(&pool, 1);
            assert_eq!(settled(&pool).await.counts.delivered, 1);
        }
    }
}

/// Runs the test once more, in a process with proxies.
fn run_with_proxies() {
    let (proxy, receiver) = (server(), server());
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "proxies::proxies_in_the_environment_are_not_used"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    {
        test.env(name, proxy.url());
    }
    test.env_remove("NO_PROXY").env_remove("no_proxy").env(RECEIVER, receiver.url());
    let output = test.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!((receiver.stats().messages, proxy.stats().connections), (1, 0));
}
