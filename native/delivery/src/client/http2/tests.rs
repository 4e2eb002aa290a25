use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

use super::super::post::Place;
use super::*;

const LONG: Duration = Duration::from_secs(3600);

type Served = h2::server::Connection<TcpStream, Bytes>;

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (ours, listener.accept().await.unwrap().0)
}

/// Both ends of a connection, which nobody drives.
async fn ends() -> (SendRequest<Bytes>, Connection<Socket, Bytes>, Served) {
    let (ours, theirs) = sockets().await;
    let (ours, theirs) =
        (Builder::new().handshake(Socket::Plain(ours)), h2::server::handshake(theirs));
    let (ours, theirs) = tokio::join!(ours, theirs);
    let (sender, ours) = ours.unwrap();
    (sender, ours, theirs.unwrap())
}

/// Both ends of a connection. What drives ours runs in the set.
async fn connected(tasks: &mut JoinSet<()>) -> (Arc<Http2>, Served) {
    let (socket, served) = sockets().await;
    let served = async { h2::server::handshake(served).await.unwrap() };
    let lease = Lease::until(Instant::now() + LONG);
    let (connection, served) = tokio::join!(Http2::new(Socket::Plain(socket), lease), served);
    let (connection, driver) = connection.unwrap();
    tasks.spawn(driver);
    (Arc::new(connection), served)
}

async fn exchange(connection: &Arc<Http2>) -> Result<Answer, Broken> {
    let place = Place::new(&Url::parse("https://a.example/").unwrap());
    let post = place.post(HeaderMap::new(), Bytes::from_static(b"body")).unwrap();
    Stream::on(connection).unwrap().exchange(&post, LONG, LONG).await
}

/// What a request comes to that the receiver treats like this.
async fn broken(treat: impl FnOnce(&mut h2::server::SendResponse<Bytes>)) -> Broken {
    let mut tasks = JoinSet::new();
    let (connection, mut served) = connected(&mut tasks).await;
    let serving = async {
        let (_request, mut answer) = served.accept().await.unwrap().unwrap();
        treat(&mut answer);
        while served.accept().await.is_some() {}
    };
    match select(pin!(exchange(&connection)), pin!(serving)).await {
        Either::Left((result, _)) => result.unwrap_err(),
        Either::Right(_) => panic!("the connection has ended"),
    }
}

#[tokio::test]
async fn a_request_that_the_receiver_has_not_processed_is_free() {
    assert!(broken(|answer| answer.send_reset(Reason::REFUSED_STREAM)).await.free);
    assert!(!broken(|answer| answer.send_reset(Reason::INTERNAL_ERROR)).await.free);
}

#[tokio::test]
async fn headers_that_are_too_long_to_read_are_not_taken_for_a_refusal() {
    let broken = broken(|answer| {
        let mut response = Response::new(());
        for _ in 0..HEADERS_LIMIT / 10_000 + 1 {
            let value = HeaderValue::from_str(&"x".repeat(10_000)).unwrap();
            response.headers_mut().append("x-long", value);
        }
        answer.send_response(response, true).unwrap();
    })
    .await;
    assert!(!broken.free, "{}", broken.failure);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_no_ping_is_given_up_and_its_requests_are_attempts() {
    let mut tasks = JoinSet::new();
    let (connection, served) = connected(&mut tasks).await;
    let broken = exchange(&connection).await.unwrap_err();
    assert_eq!(broken.failure, Failure::transient("no answer to a ping"));
    assert!(!broken.free, "the receiver may have it");
    tasks.join_next().await.unwrap().unwrap();
    assert!(Stream::on(&connection).is_none());
    drop(served);
}

#[tokio::test]
async fn a_connection_that_answers_pings_is_kept() {
    const SHORT: Duration = Duration::from_millis(10);
    let (_sender, mut ours, mut theirs) = ends().await;
    let pings = ours.ping_pong().unwrap();
    let vitals = Vitals { requests: 1.into(), ..Vitals::default() };
    let silence = timeout(20 * SHORT, silence(pings, &vitals, SHORT, LONG));
    let both = async { tokio::join!(ours, async { while theirs.accept().await.is_some() {} }) };
    match select(pin!(silence), pin!(both)).await {
        Either::Left((silence, _)) => assert!(silence.is_err(), "it was given up"),
        Either::Right(_) => panic!("the connection has ended"),
    }
}
