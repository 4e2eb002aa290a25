//! Clients that show every byte, and a TLS set-up for each.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use event_pusher_receiver::{
    Authority, Fault, HttpConfig, HttpServer, Identity, TlsConfig, Validity,
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const POST: &str =
    "POST /hook?a=%20b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody";

pub fn plain_server() -> HttpServer {
    HttpServer::start(HttpConfig::default())
}

pub fn server_that(fault: Fault) -> HttpServer {
    let server = plain_server();
    server.always(fault);
    server
}

pub fn tls_server(tls: TlsConfig) -> HttpServer {
    HttpServer::start(HttpConfig { tls: Some(tls), ..HttpConfig::default() })
}

/// An authority, and what a server needs that it vouches for.
pub fn trusted() -> (Authority, TlsConfig) {
    let authority = Authority::new("authority of a test");
    let identity = authority.identity(&Identity::LOOPBACK, Validity::Now);
    (authority, TlsConfig::new(identity))
}

/// Which TLS a client speaks.
pub struct Client {
    pub identity: Option<(String, String)>,
    pub protocols: Vec<&'static str>,
    pub versions: Vec<&'static SupportedProtocolVersion>,
}

impl Default for Client {
    fn default() -> Self {
        Self { identity: None, protocols: Vec::new(), versions: rustls::ALL_VERSIONS.to_vec() }
    }
}

impl Client {
    /// Connects to a server as `localhost`, trusting these roots.
    pub async fn connect(
        self,
        server: &HttpServer,
        roots: &str,
    ) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.config(roots)));
        let name = ServerName::try_from("localhost").unwrap();
        connector.connect(name, connect(server).await?).await
    }

    fn config(self, roots: &str) -> ClientConfig {
        let mut store = RootCertStore::empty();
        store.add(CertificateDer::from_pem_slice(roots.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(store);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
        };
        config.alpn_protocols = self.protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        config
    }
}

pub async fn connect(server: &HttpServer) -> io::Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", server.port())).await
}

/// Sends a request as the last one of its connection; all that comes back until it ends.
pub async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> io::Result<String> {
    let last = request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    stream.write_all(last.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

pub async fn post(server: &HttpServer) -> io::Result<String> {
    exchange(connect(server).await?, POST).await
}

/// A connection of HTTP/2, whose driver ends with it.
pub struct Http2 {
    sender: http2::SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Http2 {
    pub async fn connect(server: &HttpServer, roots: &str) -> Self {
        let client = Client { protocols: vec!["h2", "http/1.1"], ..Client::default() };
        let stream = client.connect(server, roots).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let io = TokioIo::new(stream);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async { _ = connection.await });
        Self { sender, _driver: driver }
    }

    pub async fn post(&self, path: &str) -> hyper::Result<(StatusCode, Bytes)> {
        let uri = format!("https://localhost{path}");
        let request = Request::post(uri).body(Full::new(Bytes::from_static(b"body"))).unwrap();
        let answer = self.sender.clone().send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}
