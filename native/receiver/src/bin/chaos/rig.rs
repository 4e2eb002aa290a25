//! The receivers and their proxies.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::Scope,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use event_pusher_receiver::{
    Authority, Controls, Fault, HttpConfig, HttpReceived, HttpServer, Identity, Proxy, Received,
    SnsConfig, SnsServer, TlsConfig, Validity,
};

use crate::say;

/// How soon the threads that tell of arrivals notice the end.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) struct Rig {
    pub(crate) sns: SnsServer,
    pub(crate) http2: HttpServer,
    pub(crate) http1: HttpServer,
    pub(crate) impostor: HttpServer,
    proxies: Vec<(String, u16, Proxy)>,
    authority: Authority,
    ended: AtomicBool,
}

/// What can be done with a receiver, whatever it receives.
pub(crate) trait Steered {
    fn every(&self, requests: usize, fault: Fault);
    fn clear(&self);
    fn go_down(&self);
    fn go_up(&self);
    fn send_away(&self);
}

// === impl Rig ===

impl Rig {
    /// With proxies before other servers, too.
    pub(crate) fn start(others: Vec<(String, u16)>) -> Self {
        let authority = Authority::new("authority of the receivers");
        let sns = SnsServer::start(SnsConfig { tls: true, ..SnsConfig::default() });
        let (http2, http1) = (webhooks(&authority, true), webhooks(&authority, false));
        let impostor = webhooks(&Authority::new("an authority of nobody"), true);
        let homes = [("sns", sns.port()), ("http2", http2.port()), ("http1", http1.port())];
        let homes = homes.map(|(name, home)| (name.to_owned(), home)).into_iter().chain(others);
        let proxies = homes.map(|(name, home)| (name, home, Proxy::start(home))).collect();
        Self { sns, http2, http1, impostor, proxies, authority, ended: AtomicBool::new(false) }
    }

    pub(crate) fn authorities(&self) -> String {
        [self.authority.pem().as_str(), self.sns.ca_pem().unwrap_or_default()].concat()
    }

    /// A map of the ports of the proxies.
    pub(crate) fn ports(&self) -> String {
        let ports = self.proxies.iter().map(|(name, _, it)| format!("{name} => {}", it.port()));
        format!("#{{{}}}", ports.collect::<Vec<_>>().join(", "))
    }

    /// The proxy before this server, and the port of the server itself.
    pub(crate) fn proxy(&self, server: &str) -> Option<(&Proxy, u16)> {
        let (_, home, proxy) = self.proxies.iter().find(|(name, ..)| *name == server)?;
        Some((proxy, *home))
    }

    pub(crate) fn receiver(&self, name: &str) -> Option<&dyn Steered> {
        match name {
            "sns" => Some(&*self.sns),
            "http2" => Some(&*self.http2),
            "http1" => Some(&*self.http1),
            _ => None,
        }
    }

    pub(crate) fn tell_arrivals<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        scope.spawn(|| self.tell(|| self.sns.next_message(LOOK).map(|it| notification(&it))));
        for (name, server) in
            [("http2", &self.http2), ("http1", &self.http1), ("impostor", &self.impostor)]
        {
            scope.spawn(move || {
                self.tell(|| server.next_message(LOOK).map(|it| request(name, &it)));
            });
        }
    }

    fn tell(&self, next: impl Fn() -> Option<String>) {
        while !self.ended.load(Ordering::Relaxed) {
            if let Some(message) = next() {
                say(&format!("{{message, {message}}}"));
            }
        }
    }

    /// Nothing more is told.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl<T> Steered for Controls<T> {
    fn every(&self, requests: usize, fault: Fault) {
        self.every(requests, fault);
    }

    fn clear(&self) {
        self.clear();
    }

    fn go_down(&self) {
        self.go_down();
    }

    fn go_up(&self) {
        self.go_up();
    }

    fn send_away(&self) {
        self.send_away();
    }
}

fn webhooks(authority: &Authority, http2: bool) -> HttpServer {
    let identity = authority.identity(&Identity::LOOPBACK, Validity::Now);
    let tls = TlsConfig { http2, ..TlsConfig::new(identity) };
    HttpServer::start(HttpConfig { tls: Some(tls), ..HttpConfig::default() })
}

fn notification(it: &Received) -> String {
    let topic = it.topic_arn.rsplit(':').next().unwrap_or_default();
    arrival("sns", true, topic, it.message.as_bytes())
}

fn request(target: &str, it: &HttpReceived) -> String {
    arrival(target, it.fault.is_success(), &it.target, &it.body)
}

fn arrival(target: &str, taken: bool, topic: &str, body: &[u8]) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!(
        "#{{target => {target}, at_ms => {now}, taken => {taken}, topic => <<\"{topic}\">>, \
         body => {}}}",
        binary(body)
    )
}

/// As text where it is plain, else byte by byte.
fn binary(bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b" .-_".contains(byte);
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(plain) => format!("<<\"{text}\">>"),
        _ => format!("<<{}>>", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
    }
}
