//! The command of OpenSSL: what it makes, and its server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Keys and certificates by their names, `NAME.key` and `NAME.pem`. It goes with its owner.
pub struct Folder(PathBuf);

/// `openssl s_server`, which takes any connection. It ends with its owner.
pub struct Server {
    process: Child,
    port: u16,
}

/// A kind of key: the algorithm and options of `openssl genpkey`.
pub type Key<'a> = &'a [&'a str];

pub const P256: Key<'_> = &["EC", "ec_paramgen_curve:P-256"];
pub const V12: &str = "-tls1_2";
pub const V13: &str = "-tls1_3";

const NAMES: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";

// === impl Folder ===

impl Folder {
    pub fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("event_pusher_openssl_{}_{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// An authority with this common name and its own signature.
    pub fn authority(&self, name: &str, key: Key<'_>, common_name: &str) {
        self.key(name, key);
        let subject = format!("/CN={common_name}");
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        self.run(&["req", "-x509", "-new", "-subj", &subject, "-key", &key, "-out", &certificate]);
    }

    /// A server on loopback, for which the authority named `ca` vouches with this hash function.
    pub fn issued(&self, name: &str, key: Key<'_>, hash: &str) {
        self.request(name, key);
        fs::write(self.path("extensions"), NAMES).unwrap();
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.pem"));
        let hash = if hash.is_empty() { &[][..] } else { &[hash] };
        let from_to = ["-in", &request, "-out", &certificate, "-extfile", "extensions"];
        self.run(&[&["x509", "-req"], &CA[..], &from_to[..], hash].concat());
    }

    /// The same without extensions, which makes it one of version 1.
    pub fn issued_v1(&self, name: &str, key: Key<'_>) {
        self.request(name, key);
        let (request, certificate) = (format!("{name}.csr"), format!("{name}.pem"));
        let from_to = ["-in", &request, "-out", &certificate];
        self.run(&[&["x509", "-req"], &CA[..], &from_to[..]].concat());
    }

    /// The same by the shortest command, which makes it one of an authority.
    pub fn issued_at_once(&self, name: &str, key: Key<'_>, common_name: &str) {
        self.key(name, key);
        let subject = format!("/CN={common_name}");
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        let rest = ["-subj", &subject, "-addext", NAMES, "-key", &key, "-out", &certificate];
        self.run(
            &[&["req", "-x509", "-new", "-CA", "ca.pem", "-CAkey", "ca.key"], &rest[..]].concat(),
        );
    }

    fn key(&self, name: &str, key: Key<'_>) {
        let file = format!("{name}.key");
        let mut arguments = vec!["genpkey", "-out", &file, "-algorithm", key[0]];
        arguments.extend(key[1..].iter().flat_map(|option| ["-pkeyopt", option]));
        self.run(&arguments);
    }

    fn request(&self, name: &str, key: Key<'_>) {
        self.key(name, key);
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        self.run(&["req", "-new", "-subj", "/CN=localhost", "-key", &key, "-out", &request]);
    }

    fn run(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.0).output();
        let output = output.expect("openssl is installed");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {complaint}");
    }
}

const CA: [&str; 5] = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

// === impl Server ===

impl Server {
    /// A server that shows the certificate of that name, and is as weak as it can be.
    pub fn start(folder: &Folder, name: &str, more: &[&str]) -> Self {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www", "-cipher", "ALL:@SECLEVEL=0"])
            .args(["-cert", &certificate, "-key", &key])
            .args(more)
            .current_dir(&folder.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let lines = BufReader::new(process.stdout.as_mut().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            line.strip_prefix("ACCEPT 127.0.0.1:").map(|port| port.parse().unwrap())
        });
        Self { process, port: port.expect("the server starts") }
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
