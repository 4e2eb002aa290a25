//! The yardstick of the benchmark for RabbitMQ: one message published by lapin over and over, each
//! connection with so many confirms outstanding, with nothing around it. One outstanding confirm
//! is what a worker of MongooseIM's own pool has.
//!
//! `bare_amqp URI EXCHANGE BODY_FILE CONNECTIONS WINDOW MESSAGES THREADS` prints the messages per
//! second.

use std::time::Instant;

use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::task::JoinSet;

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
    let rate = runtime.block_on(run(uri, exchange, body, connections, window, messages))?;
    println!("{rate:.0}");
    Ok(())
}

async fn run(
    uri: &str,
    exchange: &str,
    body: Vec<u8>,
    connections: usize,
    window: usize,
    messages: usize,
) -> Result<f64, Failure> {
    let mut channels = Vec::new();
    for _ in 0..connections {
        channels.push(open(uri, exchange).await?);
    }
    let begin = Instant::now();
    let mut loops = JoinSet::new();
    let each = messages / connections;
    for (_, channel) in &channels {
        loops.spawn(publish(channel.clone(), exchange.to_owned(), body.clone(), window, each));
    }
    while let Some(ended) = loops.join_next().await {
        ended??;
    }
    Ok((each * connections) as f64 / begin.elapsed().as_secs_f64())
}

async fn open(uri: &str, exchange: &str) -> Result<(Connection, Channel), Failure> {
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
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
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
        let count = left.min(window);
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
    Ok(())
}
