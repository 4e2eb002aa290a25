//! One connection through a proxy, from its acceptance to its end.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::sleep,
};

use super::{Cut, Weather};

/// How much is read at once: a piece.
const PIECE: usize = 16 * 1024;
/// While the bytes of a second are limited, they pass in this many portions.
const PORTIONS: usize = 20;

/// What all connections of a proxy share.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) weather: watch::Receiver<Weather>,
    pub(super) resets: watch::Receiver<u64>,
    /// Pieces since the start that could have been cut.
    pub(super) pieces: Arc<AtomicUsize>,
}

/// Which way a piece goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

/// A connection ends by a reset of both sides.
struct Reset;

/// Carries a connection until it is over.
pub(super) async fn carry(mut client: TcpStream, server: SocketAddr, mut line: Line) {
    // Resets from now on are for this one, too.
    line.resets.mark_unchanged();
    if line.admit().await.is_err() {
        return reset(client);
    }
    let Some(mut upstream) = connect(server).await else { return reset(client) };
    for stream in [&client, &upstream] {
        // Only latency is at stake.
        let _ = stream.set_nodelay(true);
    }
    if line.pass(&mut client, &mut upstream).await.is_err() {
        reset(client);
        reset(upstream);
    }
}

/// A connection to oneself, which is possible on loopback, is none to a server.
async fn connect(server: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect(server).await.ok()?;
    (stream.local_addr().ok()? != server).then_some(stream)
}

fn reset(stream: TcpStream) {
    // It fails where the connection has ended already.
    let _ = stream.set_zero_linger();
}

// === impl Line ===

impl Line {
    fn now(&self) -> Weather {
        self.weather.borrow().clone()
    }

    /// What comes before a connection is looked at.
    async fn admit(&mut self) -> Result<(), Reset> {
        let mut resets = self.resets.clone();
        tokio::select! {
            _ = resets.changed() => Err(Reset),
            admitted = async {
                sleep(self.now().accept_after).await;
                self.speaks().await
            } => admitted,
        }
    }

    /// Returns at once unless it is silent; then what has come is lost, and with it the connection.
    async fn speaks(&self) -> Result<(), Reset> {
        if !self.weather.borrow().silent {
            return Ok(());
        }
        let _ = self.weather.clone().wait_for(|weather| !weather.silent).await;
        Err(Reset)
    }

    async fn pass(
        &mut self,
        client: &mut TcpStream,
        upstream: &mut TcpStream,
    ) -> Result<(), Reset> {
        let mut resets = self.resets.clone();
        let (client_reads, client_writes) = client.split();
        let (upstream_reads, upstream_writes) = upstream.split();
        tokio::select! {
            both = async {
                tokio::try_join!(
                    self.pump(client_reads, upstream_writes, Way::Up),
                    self.pump(upstream_reads, client_writes, Way::Down),
                )
            } => both.map(|_| ()),
            _ = resets.changed() => Err(Reset),
        }
    }

    /// Passes on what comes one way, until it ends there. An end is passed on as what it is.
    async fn pump(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        way: Way,
    ) -> Result<(), Reset> {
        let mut piece = vec![0; PIECE];
        loop {
            let length = from.read(&mut piece).await.map_err(|_| Reset)?;
            self.speaks().await?;
            sleep(self.now().delay).await;
            if length == 0 {
                return to.shutdown().await.map_err(|_| Reset);
            }
            let half = length / 2;
            match self.cut(way) {
                None => self.forward(&mut to, &piece[..length]).await?,
                Some(Cut::ResetBefore | Cut::ResetAfter) => return Err(Reset),
                Some(Cut::ResetMiddle) => {
                    self.forward(&mut to, &piece[..half]).await?;
                    return Err(Reset);
                }
                Some(Cut::Truncate) => {
                    self.forward(&mut to, &piece[..half]).await?;
                    return close_half(from, to).await;
                }
                Some(Cut::HalfClose) => return close_half(from, to).await,
            }
        }
    }

    /// How this piece is cut, if it is.
    fn cut(&self, way: Way) -> Option<Cut> {
        let (cut, every) = self.weather.borrow().cut?;
        let its_way = match cut {
            Cut::ResetBefore | Cut::ResetMiddle => Way::Up,
            Cut::ResetAfter | Cut::Truncate | Cut::HalfClose => Way::Down,
        };
        if its_way != way {
            return None;
        }
        let number = self.pieces.fetch_add(1, Ordering::Relaxed) + 1;
        number.is_multiple_of(every).then_some(cut)
    }

    async fn forward(&self, to: &mut WriteHalf<'_>, mut piece: &[u8]) -> Result<(), Reset> {
        while let Some(limit) = self.now().bytes_per_second {
            let (portion, rest) = piece.split_at(piece.len().min(limit.div_ceil(PORTIONS)));
            to.write_all(portion).await.map_err(|_| Reset)?;
            if rest.is_empty() {
                return Ok(());
            }
            piece = rest;
            sleep(Duration::from_secs(1) / PORTIONS as u32).await;
        }
        to.write_all(piece).await.map_err(|_| Reset)
    }
}

/// Ends one way. What comes from there is read and thrown away, or the end would become a reset.
async fn close_half(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), Reset> {
    to.shutdown().await.map_err(|_| Reset)?;
    let mut piece = vec![0; PIECE];
    while from.read(&mut piece).await.map_err(|_| Reset)? > 0 {}
    Ok(())
}
