//! Whether a broker would take events: the user logs in, and the exchanges are asked for.

use std::num::NonZeroUsize;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::GOODBYE;
use super::cause::{ChannelEnd, cause, cause_at};
use super::connection::{OpenConnection, Unopened};
use super::keeper::refusal;
use super::nodes::Node;
use super::settings::{Declare, Exchange, RabbitSettings};
use crate::probe::Finding;

/// Connects to each node, asks for each exchange by a passive declaration, and leaves. Nothing is made.
pub(crate) async fn probe(settings: RabbitSettings) -> Vec<Finding> {
    let [node] = &settings.login.nodes[..] else {
        let nodes = settings.login.nodes.iter();
        let probed = nodes.map(async |node| named(node, probe_node(&settings, node).await));
        return join_all(probed).await.concat();
    };
    probe_node(&settings, node).await
}

fn named(node: &Node, findings: Vec<Finding>) -> Vec<Finding> {
    findings.into_iter().map(|finding| finding.at(node)).collect()
}

async fn probe_node(settings: &RabbitSettings, node: &Node) -> Vec<Finding> {
    let connection = match OpenConnection::open(settings, node, NonZeroUsize::MIN, false).await {
        Ok(connection) => connection,
        Err(Unopened::Connection(error) | Unopened::Channels(_, error)) => {
            let told = refusal(settings, &error).unwrap_or_else(|| cause(&error));
            return vec![Finding::Broken(told)];
        }
    };
    let login = &settings.login;
    let (user, host) = (&login.username, &login.virtual_host);
    let mut findings =
        vec![Finding::Works(format!("user {user:?} is let into virtual host {host:?}").into())];
    for exchange in &settings.exchanges {
        findings.push(probe_exchange(&connection, exchange, settings.declare).await);
    }
    // Whether the broker answers or not: nothing is under way.
    let _ = timeout(GOODBYE, connection.goodbye()).await;
    findings
}

async fn probe_exchange(
    connection: &OpenConnection,
    exchange: &Exchange,
    declare: Declare,
) -> Finding {
    let name = &exchange.name;
    match connection.declare(exchange, Declare::Passive).await {
        Ok(()) => Finding::Works(format!("exchange {name:?} is there").into()),
        Err(error)
            if ChannelEnd::of(&error) == ChannelEnd::Missing && declare == Declare::Active =>
        {
            Finding::Works(
                format!("exchange {name:?} is not there yet: it will be declared").into(),
            )
        }
        Err(error) => Finding::Broken(cause_at(exchange, &error)),
    }
}
