//! The yardstick of the benchmark for RabbitMQ: one message published by lapin over and over, each
//! connection with so many confirms outstanding, with nothing around it. One outstanding confirm
//! is what a worker of MongooseIM's own pool has. With a window of 0 nothing is confirmed: the end is
//! when the broker has read everything.
//!
//! `bare_amqp URI EXCHANGE BODY_FILE CONNECTIONS WINDOW MESSAGES THREADS` prints the messages per
//! second, and the seconds of processors for 100 000 of them.

use event_pusher_bench::Stopwatch;
use futures_util::future::try_join_all;
use lapin::options::{
    BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::task::JoinSet;

/// So many writes are under way together where nothing is confirmed.
const UNCONFIRMED: usize = 256;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, uri, exchange, body_file, connections, window, messages, threads] =
        arguments.as_slice()
    else {
        return Err("usage: URI EXCHANGE BODY_FILE CONNECTIONS WINDOW MESSAGES THREADS".into());
    };
    let body = std::fs::read(body_file)?;
    let (connections, window, messages) =
        (connections.parse()?, window.parse()?, messages.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.parse()?)
        .enable_all()
        .build()?;
    runtime.block_on(run(uri, exchange, body, connections, window, messages))
}

async fn run(
    uri: &str,
    exchange: &str,
    body: Vec<u8>,
    connections: usize,
    window: usize,
    messages: usize,
) -> Result<(), Failure> {
    let mut channels = Vec::new();
    for _ in 0..connections {
        channels.push(open(uri, exchange, window > 0).await?);
    }
    let stopwatch = Stopwatch::start()?;
    let mut loops = JoinSet::new();
    let each = messages / connections;
    for (_, channel) in &channels {
        loops.spawn(publish(channel.clone(), exchange.to_owned(), body.clone(), window, each));
    }
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    Ok(stopwatch.tell(each * connections)?)
}

async fn open(uri: &str, exchange: &str, confirms: bool) -> Result<(Connection, Channel), Failure> {
    let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel
        .exchange_declare(
            exchange.into(),
            ExchangeKind::Topic,
            ExchangeDeclareOptions::default(),
            FieldTable::default(),
        )
        .await?;
    if confirms {
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
    }
    Ok((connection, channel))
}

async fn publish(
    channel: Channel,
    exchange: String,
    body: Vec<u8>,
    window: usize,
    messages: usize,
) -> Result<(), Failure> {
    let mut left = messages;
    while left > 0 {
        let count = left.min(if window > 0 { window } else { UNCONFIRMED });
        let one = || async {
            let (exchange, key) =
                (exchange.as_str().into(), "alice@localhost.chat_msg_sent".into());
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default();
            channel.basic_publish(exchange, key, options, &body, properties).await
        };
        let written = try_join_all((0..count).map(|_| one())).await?;
        try_join_all(written).await?;
        left -= count;
    }
    if window == 0 {
        // A question behind all of them: the broker reads in order.
        channel.basic_qos(0, BasicQosOptions::default()).await?;
    }
    Ok(())
}
