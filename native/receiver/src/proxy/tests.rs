//! Against a server that answers each line with the same line, on one runtime with its clients.

use std::{io::ErrorKind, time::Instant};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::mpsc,
    time::timeout,
};

use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, what reaches it, and a proxy before it. The end of what a client sent is an empty line, a
/// reset none.
struct Rig {
    proxy: Proxy,
    lines: mpsc::Receiver<Option<String>>,
    _serving: JoinSet<()>,
}

impl Rig {
    async fn start() -> Self {
        let socket = TcpListener::from_std(loopback::listener()).unwrap();
        let proxy = Proxy::start(socket.local_addr().unwrap().port());
        let (tell, lines) = mpsc::channel(100);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut echoes = JoinSet::new();
            loop {
                let (stream, _) = socket.accept().await.unwrap();
                echoes.spawn(echo(stream, tell.clone()));
            }
        });
        Self { proxy, lines, _serving: serving }
    }

    async fn line(&mut self) -> Option<String> {
        timeout(PATIENCE, self.lines.recv()).await.unwrap().unwrap()
    }

    fn cut(&self, cut: Cut) {
        self.proxy.change(|weather| weather.cut = Some((cut, 1)));
    }

    async fn client(&self) -> Client {
        let stream = TcpStream::connect(at(self.proxy.port())).await.unwrap();
        let (reads, writes) = stream.into_split();
        Client { reads: BufReader::new(reads), writes }
    }
}

async fn echo(stream: TcpStream, tell: mpsc::Sender<Option<String>>) {
    let (reads, mut writes) = stream.into_split();
    let mut reads = BufReader::new(reads);
    loop {
        let mut line = String::new();
        match reads.read_line(&mut line).await {
            Ok(length) => {
                let _ = tell.send(Some(line.trim_end().to_owned())).await;
                if length == 0 || writes.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
            Err(_) => return tell.send(None).await.unwrap_or_default(),
        }
    }
}

struct Client {
    reads: BufReader<OwnedReadHalf>,
    writes: OwnedWriteHalf,
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.writes.write_all(text.as_bytes()).await.unwrap();
    }

    /// Empty at an orderly end.
    async fn receive(&mut self) -> Result<String, ErrorKind> {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.reads.read_line(&mut line)).await.unwrap();
        read.map(|_| line).map_err(|error| error.kind())
    }

    async fn ask(&mut self, text: &str) -> Result<String, ErrorKind> {
        self.send(text).await;
        self.receive().await
    }
}

#[tokio::test]
async fn in_fair_weather_all_passes_and_ends_as_it_ends() {
    let mut rig = Rig::start().await;
    let mut client = rig.client().await;
    assert_eq!(client.ask("a\n").await, Ok("a\n".into()));
    client.writes.shutdown().await.unwrap();
    assert_eq!(client.receive().await, Ok(String::new()));
    assert_eq!((rig.line().await, rig.line().await), (Some("a".into()), Some(String::new())));
}

#[tokio::test]
async fn a_reset_comes_before_in_the_middle_of_or_after_a_request() {
    for (cut, arrived) in
        [(Cut::ResetBefore, None), (Cut::ResetMiddle, None), (Cut::ResetAfter, Some("abcd"))]
    {
        let mut rig = Rig::start().await;
        rig.cut(cut);
        let mut client = rig.client().await;
        assert_eq!(client.ask("abcd\n").await, Err(ErrorKind::ConnectionReset), "{cut:?}");
        if let Some(arrived) = arrived {
            assert_eq!(rig.line().await.as_deref(), Some(arrived), "{cut:?}");
        }
        assert_eq!(rig.line().await, None, "{cut:?}");
    }
}

#[tokio::test]
async fn what_the_client_sends_passes_although_an_answer_was_cut_short() {
    for (cut, answer) in [(Cut::Truncate, "ab"), (Cut::HalfClose, "")] {
        let mut rig = Rig::start().await;
        rig.cut(cut);
        let mut client = rig.client().await;
        client.send("abc\n").await;
        let mut text = String::new();
        client.reads.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, answer, "{cut:?}");
        client.send("more\n").await;
        assert_eq!(rig.line().await.as_deref(), Some("abc"), "{cut:?}");
        assert_eq!(rig.line().await.as_deref(), Some("more"), "{cut:?}");
        client.writes.shutdown().await.unwrap();
        assert_eq!(rig.line().await.as_deref(), Some(""), "{cut:?}");
    }
}

#[tokio::test]
async fn every_third_piece_is_cut() {
    let rig = Rig::start().await;
    rig.proxy.change(|weather| weather.cut = Some((Cut::ResetAfter, 3)));
    let mut client = rig.client().await;
    assert_eq!(client.ask("1\n").await, Ok("1\n".into()));
    assert_eq!(client.ask("2\n").await, Ok("2\n".into()));
    assert_eq!(client.ask("3\n").await, Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn nobody_listens_while_connections_are_refused() {
    let rig = Rig::start().await;
    let mut before = rig.client().await;
    assert_eq!(before.ask("a\n").await, Ok("a\n".into()));
    rig.proxy.change(|weather| weather.refuse = true);
    let begin = Instant::now();
    while TcpStream::connect(at(rig.proxy.port())).await.is_ok() {
        assert!(begin.elapsed() < PATIENCE, "still listening");
    }
    assert_eq!(before.ask("b\n").await, Ok("b\n".into()));
    rig.proxy.change(|weather| weather.refuse = false);
    let begin = Instant::now();
    while TcpStream::connect(at(rig.proxy.port())).await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "not listening again");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn silence_swallows_and_ends_in_a_reset() {
    let mut rig = Rig::start().await;
    let (mut lost, mut idle) = (rig.client().await, rig.client().await);
    assert_eq!(lost.ask("a\n").await, Ok("a\n".into()));
    assert_eq!(idle.ask("b\n").await, Ok("b\n".into()));
    rig.proxy.change(|weather| weather.silent = true);
    lost.send("lost\n").await;
    let mut new = rig.client().await;
    new.send("lost, too\n").await;
    assert!(timeout(Duration::from_millis(100), lost.receive()).await.is_err());
    rig.proxy.change(|weather| weather.silent = false);
    assert_eq!(lost.receive().await, Err(ErrorKind::ConnectionReset));
    assert_eq!(new.receive().await, Err(ErrorKind::ConnectionReset));
    assert_eq!(idle.ask("c\n").await, Ok("c\n".into()));
    let arrived = [rig.line().await, rig.line().await, rig.line().await, rig.line().await];
    assert_eq!(arrived, [Some("a".into()), Some("b".into()), None, Some("c".into())]);
}

#[tokio::test]
async fn delay_and_limit_make_it_take_longer() {
    let rig = Rig::start().await;
    let mut client = rig.client().await;
    rig.proxy.change(|weather| weather.delay = Duration::from_millis(50));
    let begin = Instant::now();
    assert_eq!(client.ask("a\n").await, Ok("a\n".into()));
    assert!(begin.elapsed() >= Duration::from_millis(100));
    rig.proxy.change(|weather| {
        *weather = Weather { bytes_per_second: Some(100), ..Weather::default() };
    });
    let (begin, text) = (Instant::now(), "12345678901234567890\n");
    assert_eq!(client.ask(text).await, Ok(text.into()));
    // Portions of 5 bytes: the fifth one is on its way after four waits, each way.
    assert!(begin.elapsed() >= Duration::from_millis(200));
    rig.proxy.change(|weather| weather.accept_after = Duration::from_millis(50));
    let begin = Instant::now();
    assert_eq!(rig.client().await.ask("b\n").await, Ok("b\n".into()));
    assert!(begin.elapsed() >= Duration::from_millis(50));
}

#[tokio::test]
async fn all_present_connections_are_reset_at_once() {
    let rig = Rig::start().await;
    let mut clients = [rig.client().await, rig.client().await];
    for client in &mut clients {
        assert_eq!(client.ask("a\n").await, Ok("a\n".into()));
    }
    assert_eq!(rig.proxy.open(), 2);
    rig.proxy.reset();
    for client in &mut clients {
        assert_eq!(client.receive().await, Err(ErrorKind::ConnectionReset));
    }
    assert_eq!(rig.client().await.ask("b\n").await, Ok("b\n".into()));
}

#[tokio::test]
async fn a_server_that_is_away_is_a_reset_and_another_one_can_take_its_place() {
    let other = Rig::start().await;
    let away = loopback::listener().local_addr().unwrap().port();
    let proxy = Proxy::start(away);
    let mut client = TcpStream::connect(at(proxy.port())).await.unwrap();
    let error = client.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    proxy.route(other.proxy.port());
    let mut client = TcpStream::connect(at(proxy.port())).await.unwrap();
    client.write_all(b"a\n").await.unwrap();
    assert_eq!(client.read(&mut [0; 2]).await.unwrap(), 2);
}
