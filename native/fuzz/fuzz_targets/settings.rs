//! Any options: they can be used, or there are complaints that name a field and no secret.

#![no_main]

use std::str::Lines;

use event_pusher_delivery::{
    BackendOptions, BasicAuth, Declare, Exchange, HttpCredentials, HttpOptions, InvalidSettings,
    OnFull, PoolOptions, RabbitOptions, SnsOptions, TlsOptions, VerifyMode,
};
use libfuzzer_sys::fuzz_target;

/// What no complaint may show. It takes the place of passwords and keys.
const PLANTED: &str = "kGp7Planted";

fuzz_target!(|text: &str| {
    if text.contains(PLANTED) {
        return;
    }
    let mut lines = text.lines();
    let first = next(&mut lines);
    let mut numbers = first.split(' ').map(|number| number.parse().unwrap_or(u64::MAX));
    let mut number = || numbers.next().unwrap_or(1);
    let options = PoolOptions {
        pool_size: number(),
        limit: None,
        max_events: number(),
        max_bytes: number(),
        on_full: OnFull::DropNew,
        max_age_ms: Some(number()),
        retry_count: Some(number()),
        retry_time_ms: number(),
        retry_max_ms: number(),
        drain_timeout_ms: number(),
        circuit_breaker_failures: number(),
        spool: None,
        backend: backend(number() % 3, number(), &mut lines),
        retry_max_age_ms: Some(number()),
    };
    if let Err(InvalidSettings(complaints)) = options.check() {
        assert!(!complaints.is_empty());
        for complaint in complaints {
            assert!(
                complaint.contains(": must be ") && complaint.contains(", got "),
                "{complaint}"
            );
            assert!(!complaint.contains(PLANTED), "{complaint}");
            assert!(!complaint.contains(char::is_control), "{complaint:?}");
        }
    }
});

fn next(lines: &mut Lines<'_>) -> String {
    lines.next().unwrap_or_default().to_owned()
}

fn backend(which: u64, number: u64, lines: &mut Lines<'_>) -> BackendOptions {
    match which {
        0 => BackendOptions::Sns(SnsOptions {
            sns_host: with_user(number, next(lines)),
            region: next(lines),
            partition: next(lines),
            account_id: next(lines),
            access_key_id: next(lines),
            topics: vec![("pm_messages_topic".to_owned(), next(lines))],
            secret_access_key: format!("{PLANTED}{}", next(lines)).as_str().into(),
            publish_batch: true,
            connect_timeout_ms: number,
            request_timeout_ms: number,
            tls: tls(lines),
        }),
        1 => BackendOptions::Http(HttpOptions {
            host: with_user(number, next(lines)),
            path_prefix: next(lines),
            path: with_token(number, next(lines)),
            tls: Some(tls(lines)),
            http2: true,
            connect_timeout_ms: number,
            request_timeout_ms: number,
            credentials: credentials(lines),
        }),
        _ => BackendOptions::Rabbit(RabbitOptions {
            host: with_user(number, next(lines)),
            hosts: vec![with_user(number, next(lines)); usize::from(number % 2 == 1)],
            port: 5672,
            username: next(lines),
            password: PLANTED.into(),
            virtual_host: next(lines),
            connection_name: next(lines),
            tls: Some(tls(lines)),
            confirms: true,
            mandatory: true,
            declare: Declare::Active,
            exchanges: vec![exchange(lines), exchange(lines)],
            reconnect_delay_ms: number,
            reconnect_max_ms: number,
            nack_retry_count: Some(number),
            nack_retry_time_ms: number,
            nack_retry_max_ms: number,
        }),
    }
}

/// A password before the host, for odd numbers.
fn with_user(number: u64, host: String) -> String {
    match host.split_once("://") {
        Some((scheme, rest)) if number % 2 == 1 => format!("{scheme}://user:{PLANTED}@{rest}"),
        _ => host,
    }
}

/// Of each kind, good or not. There is no file with a token.
fn credentials(lines: &mut Lines<'_>) -> HttpCredentials {
    let secret = |text: String| format!("{PLANTED}{text}").as_str().into();
    HttpCredentials {
        signing_secrets: Some(vec![
            format!("whsec_{}", next(lines)).as_str().into(),
            secret(next(lines)),
        ]),
        headers: vec![(next(lines), secret(next(lines)))],
        basic_auth: Some(BasicAuth {
            username: secret(next(lines)),
            password: secret(next(lines)),
        }),
        bearer_token_file: None,
    }
}

/// A token in a query.
fn with_token(number: u64, path: String) -> String {
    if number % 2 == 1 { format!("{path}?token={PLANTED}") } else { path }
}

fn exchange(lines: &mut Lines<'_>) -> Exchange {
    Exchange { section: "section".into(), name: next(lines), kind: next(lines), durable: true }
}

/// Nothing is verified, so that no authorities are read.
fn tls(lines: &mut Lines<'_>) -> TlsOptions {
    TlsOptions {
        verify_mode: VerifyMode::None,
        versions: next(lines).split(' ').map(str::to_owned).collect(),
        ciphers: Some(next(lines)),
        password: Some(PLANTED.into()),
        ..TlsOptions::default()
    }
}
