//! The yardstick of the benchmark for HTTP: the bytes of one request, signed by aws-sigv4 or not,
//! sent by reqwest over and over, with nothing around it.
//!
//! `event_pusher_bench signed|plain URL CA_FILE BODY_FILE CONCURRENCY REQUESTS THREADS` prints the
//! requests per second, and the seconds of processors for 100 000 of them.
//!
//! `event_pusher_bench paced URL CA_FILE BODY_FILE PAUSE_MS REQUESTS THREADS` pauses after each answer,
//! and prints when each request was handed to reqwest, in nanoseconds since 1970.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use event_pusher_bench::Stopwatch;
use reqwest::Client;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinSet;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, kind, url, ca_file, body_file, number, requests, threads] = arguments.as_slice() else {
        return Err(
            "usage: signed|plain|paced URL CA_FILE BODY_FILE NUMBER REQUESTS THREADS".into()
        );
    };
    let client = client(&PathBuf::from(ca_file))?;
    let body = std::fs::read(body_file)?;
    let (number, requests) = (number.parse()?, requests.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.parse()?)
        .enable_all()
        .build()?;
    let url = url.clone();
    match kind.as_str() {
        "paced" => {
            runtime.block_on(paced(client, url, body, Duration::from_millis(number), requests))
        }
        kind => {
            let concurrency = usize::try_from(number)?;
            runtime.block_on(run(client, kind == "signed", url, body, concurrency, requests))
        }
    }
}

fn client(ca_file: &PathBuf) -> Result<Client, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Client::builder().tls_backend_preconfigured(tls).http1_only().no_proxy().build()?)
}

async fn paced(
    client: Client,
    url: String,
    body: Vec<u8>,
    pause: Duration,
    requests: usize,
) -> Result<(), Failure> {
    for _ in 0..requests {
        let sent = SystemTime::now().duration_since(UNIX_EPOCH)?;
        request(&client, &url, &body, Vec::new()).await?;
        println!("{}", sent.as_nanos());
        tokio::time::sleep(pause).await;
    }
    Ok(())
}

async fn run(
    client: Client,
    signed: bool,
    url: String,
    body: Vec<u8>,
    concurrency: usize,
    requests: usize,
) -> Result<(), Failure> {
    let left = Arc::new(AtomicUsize::new(requests));
    let stopwatch = Stopwatch::start()?;
    let mut loops = JoinSet::new();
    for _ in 0..concurrency {
        let (client, url, body, left) = (client.clone(), url.clone(), body.clone(), left.clone());
        loops.spawn(async move {
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                let headers = if signed { sign_request(&url, &body)? } else { Vec::new() };
                request(&client, &url, &body, headers).await?;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    Ok(stopwatch.tell(requests)?)
}

fn sign_request(url: &str, body: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let identity = Credentials::new("AKIDEXAMPLE", "secret", None, None, "bench").into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("sns")
        .time(SystemTime::now())
        .settings(settings)
        .build()?;
    let headers = [("content-type", CONTENT_TYPE)];
    let signable =
        SignableRequest::new("POST", url, headers.into_iter(), SignableBody::Bytes(body))?;
    let (signed, _) = sign(signable, &SigningParams::V4(params))?.into_parts();
    Ok(signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

async fn request(
    client: &Client,
    url: &str,
    body: &[u8],
    headers: Vec<(String, String)>,
) -> Result<(), Failure> {
    let mut request = client.post(url).header("content-type", CONTENT_TYPE).body(body.to_vec());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = request.send().await?.error_for_status()?;
    response.bytes().await?;
    Ok(())
}
