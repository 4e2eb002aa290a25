//! A web server with TLS. It answers with the version of HTTP, the authority that it was asked
//! for, and the name that was sent in TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::HOST;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::pem_file::PemFile;

/// The server ends with this.
pub struct Web {
    pub ca: PemFile,
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

// === impl Web ===

impl Web {
    /// A server on 127.0.0.1 with a certificate for this name.
    pub async fn start(name: &str) -> Self {
        let (ca_pem, config) = certified(name);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepting = JoinSet::new();
        let connections = Arc::default();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        accepting.spawn(accept(listener, acceptor, Arc::clone(&connections)));
        Self { ca: PemFile::new(&ca_pem), address, connections, _accepting: accepting }
    }

    /// How many were made.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn authority(&self, host: &str) -> String {
        format!("{host}:{}", self.address.port())
    }

    pub fn url(&self, host: &str) -> String {
        format!("https://{}/path?a=b", self.authority(host))
    }
}

fn certified(name: &str) -> (String, ServerConfig) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (authority.pem(), config)
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, count: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        count.fetch_add(1, Ordering::Relaxed);
        connections.spawn(serve(stream, acceptor.clone()));
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor) {
    // A client that refuses the certificate says so on its own side.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let tls = stream.get_ref().1;
    let name = tls.server_name().unwrap_or("-").to_owned();
    let http2 = tls.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| answer(request, name.clone()));
    let stream = TokioIo::new(stream);
    // The end of a connection, whatever it is, is seen by the client.
    if http2 {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(stream, service).await;
    } else {
        let builder = hyper::server::conn::http1::Builder::new();
        let _ = builder.serve_connection(stream, service).await;
    }
}

async fn answer(
    request: Request<Incoming>,
    name: String,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = request.headers().get(HOST).map(|host| host.to_str().unwrap().to_owned());
    let authority = header.or(request.uri().authority().map(ToString::to_string)).unwrap();
    let text = format!("{:?} {authority} {name}", request.version());
    Ok(Response::new(Full::new(text.into())))
}
