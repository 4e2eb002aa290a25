//! One connection: speaks HTTP on it and ends it as badly as asked.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, futures::Notified},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    handler::{Connection, Ending, Handler},
    streams::Streams,
};

/// Speaks HTTP/1.1.
pub(crate) async fn plain(stream: TcpStream, id: u64, handler: Arc<impl Handler>) {
    let connection = Connection { id, client_certificate: false, server_name: None };
    over_http1(stream, connection, handler).await;
}

/// Speaks what the handshake has agreed on.
pub(crate) async fn secured(
    stream: TcpStream,
    tls: TlsAcceptor,
    id: u64,
    handler: Arc<impl Handler>,
) {
    // A client that refuses our certificate has not asked for anything.
    let Ok(stream) = tls.accept(stream).await else { return };
    let session = stream.get_ref().1;
    let connection = Connection {
        id,
        client_certificate: session.peer_certificates().is_some(),
        server_name: session.server_name().map(str::to_owned),
    };
    match session.alpn_protocol() {
        Some(b"h2") => over_http2(stream, connection, handler).await,
        _ => over_http1(stream, connection, handler).await,
    }
}

async fn over_http1<S: Wire>(stream: S, connection: Connection, handler: Arc<impl Handler>) {
    let ending = OnceLock::new();
    let service = service_fn(|request| {
        let (connection, handler, ending) = (&connection, &handler, &ending);
        Box::pin(async move {
            let answer = handler.handle(connection, request).await;
            answer.inspect_err(|end| _ = ending.set(end.clone()))
        })
    });
    let mut http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // What goes wrong here is either an ending of ours or the client's affair.
    _ = until_over(
        Pin::new(&mut http),
        handler.farewell(),
        |http| http.graceful_shutdown(),
        |http, context| http.get_mut().poll_without_shutdown(context),
    )
    .await;
    let stream = http.into_parts().io.into_inner();
    finish(stream, ending.into_inner()).await;
}

async fn finish<S: Wire>(mut stream: S, ending: Option<Ending>) {
    match ending {
        Some(Ending::Reset) => {
            _ = stream.tcp().set_zero_linger();
            return;
        }
        Some(Ending::Bytes(bytes)) => _ = stream.write_all(&bytes).await,
        None => (),
    }
    _ = stream.shutdown().await;
}

/// Every ending drops the whole connection: its streams are not told.
async fn over_http2<S>(stream: S, connection: Connection, handler: Arc<impl Handler>)
where
    S: Wire + Send + 'static,
{
    let (streams, concurrent) = (Streams::default(), handler.streams());
    let over = Arc::new(Notify::new());
    let (connection, for_streams) = (Arc::new(connection), Arc::clone(&handler));
    let service = service_fn(|request| {
        let (connection, handler, over) = (connection.clone(), for_streams.clone(), over.clone());
        async move {
            match handler.handle(&connection, request).await {
                Ok(answer) => Ok::<_, Infallible>(answer),
                Err(_) => {
                    over.notify_one();
                    std::future::pending().await
                }
            }
        }
    });
    let http = http2::Builder::new(streams.spawner())
        .max_concurrent_streams(concurrent)
        .serve_connection(TokioIo::new(stream), service);
    let http = pin!(http);
    let spoken =
        until_over(http, handler.farewell(), |http| http.graceful_shutdown(), Future::poll);
    tokio::select! {
        // What goes wrong here is the client's affair.
        _ = streams.accompany(spoken) => (),
        () = over.notified() => (),
    }
}

/// Speaks on a connection until it is over. Its client is asked to leave once the farewell comes.
async fn until_over<C, T>(
    mut connection: Pin<&mut C>,
    farewell: Notified<'_>,
    leave: impl Fn(Pin<&mut C>),
    speak: impl Fn(Pin<&mut C>, &mut Context<'_>) -> Poll<T>,
) -> T {
    let (mut farewell, mut leaving) = (pin!(farewell), false);
    std::future::poll_fn(|context| {
        if !leaving && farewell.as_mut().poll(context).is_ready() {
            leaving = true;
            leave(connection.as_mut());
        }
        speak(connection.as_mut(), context)
    })
    .await
}

/// A stream that knows its socket.
trait Wire: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}
