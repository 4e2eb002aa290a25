use proptest::prelude::*;

use super::*;

/// A state of one exchange, whose connections are numbers.
fn state(current: Connection<u8>, exchange: ExchangeState) -> State<u8> {
    State { connection: current, exchanges: vec![exchange], ..State::new(0) }
}

#[test]
fn what_an_exchange_is_after_an_event() {
    use ExchangeEvent as E;
    use ExchangeState as S;
    let (old, new) = (|| Cause::from("old"), || Cause::from("new"));
    let states = [
        S::Undeclared,
        S::Declared,
        S::DeclarationRefused(old()),
        S::DeclarationOnTrial(old()),
        S::PublishingRefused(old()),
        S::PublishingOnTrial(old()),
    ];
    let events = [
        E::Declared,
        E::DeclarationRefused(new()),
        E::Taken,
        E::Missing,
        E::PublishingRefused(new()),
        E::ChannelEnded,
        E::Connected,
        E::TimeToTryAgain,
    ];
    let table = [
        (S::Undeclared, E::Declared, S::Declared),
        (S::Undeclared, E::DeclarationRefused(new()), S::DeclarationRefused(new())),
        (S::Declared, E::Missing, S::Undeclared),
        (S::Declared, E::ChannelEnded, S::Undeclared),
        (S::Declared, E::Connected, S::Undeclared),
        (S::DeclarationRefused(old()), E::TimeToTryAgain, S::DeclarationOnTrial(old())),
        (S::DeclarationOnTrial(old()), E::Declared, S::Declared),
        (S::DeclarationOnTrial(old()), E::DeclarationRefused(new()), S::DeclarationRefused(new())),
        (S::PublishingRefused(old()), E::TimeToTryAgain, S::PublishingOnTrial(old())),
        (S::PublishingOnTrial(old()), E::Taken, S::Declared),
        (S::PublishingOnTrial(old()), E::Missing, S::Undeclared),
        (S::PublishingOnTrial(old()), E::Connected, S::PublishingRefused(old())),
    ];
    for before in &states {
        for event in &events {
            let line = table.iter().find(|(state, on, _)| (state, on) == (before, event));
            let expected = match event {
                E::PublishingRefused(_) => S::PublishingRefused(new()),
                // What is not in the table changes nothing.
                _ => line.map_or_else(|| before.clone(), |(_, _, after)| after.clone()),
            };
            let mut after = before.clone();
            let changed = after.apply(event.clone());
            assert_eq!(after, expected, "{before:?}, {event:?}");
            assert_eq!(changed, *before != after, "{before:?}, {event:?}");
        }
    }
}

#[test]
fn what_the_connection_is_after_an_event() {
    use ConnectionState::{Blocked, Down, Up};
    let connections = || [Connection::Down, Connection::Up(1), Connection::Blocked(1)];
    let cause = || Cause::from("cause");
    let refused = || Event::NotConnected { cause: cause(), refused: Some("user".into()) };
    // For each event, what a connection is after it that was down, up and blocked.
    let table: [(Event<u8>, [ConnectionState; 3]); 8] = [
        (Event::Connected { connection: 2, limited: None }, [Up, Up, Up]),
        (refused(), [Down, Down, Down]),
        (Event::Lost(cause()), [Down, Down, Down]),
        (Event::Closed, [Down, Down, Down]),
        (Event::Blocked(cause()), [Down, Blocked, Blocked]),
        (Event::Unblocked, [Down, Up, Up]),
        (Event::TimeToTryAgain, [Down, Up, Blocked]),
        (Event::Exchange(0, ExchangeEvent::ChannelEnded), [Down, Up, Blocked]),
    ];
    for (event, row) in table {
        for (current, after) in connections().into_iter().zip(row) {
            let case = format!("{current:?}, {event:?}");
            let mut state = state(current, ExchangeState::Undeclared);
            state.apply(event.clone());
            assert_eq!(state.status().state, after, "{case}");
        }
    }
}

#[test]
fn what_an_operator_is_told_of_a_connection() {
    let mut state = State::new(1);
    let refused = |cause: &str, refused: Option<&str>| Event::NotConnected {
        cause: cause.to_owned().into(),
        refused: refused.map(|text| text.to_owned().into()),
    };
    state.apply(refused("403", Some("user")));
    // The broker is away for a moment: the user is still refused, as far as is known.
    state.apply(refused("timed out", None));
    let status = state.status();
    assert_eq!((status.failed, status.cause.as_deref()), (2, Some("timed out")));
    assert_eq!(status.refused.as_deref(), Some("user"));
    state.apply(Event::Connected { connection: 1, limited: Some("2 channels".into()) });
    state.apply(Event::Lost("reset".into()));
    state.apply(Event::Connected { connection: 2, limited: None });
    let expected = ConnectionStatus {
        state: ConnectionState::Up,
        opened: 2,
        lost: 1,
        failed: 2,
        cause: Some("reset".into()),
        refused: None,
        limited: None,
    };
    assert_eq!(state.status(), expected);
    state.apply(Event::Closed);
    assert_eq!(state.status(), ConnectionStatus { state: ConnectionState::Down, ..expected });
}

#[test]
fn all_refusals_are_told_in_one_text() {
    let exchanges = vec![
        ExchangeState::Declared,
        ExchangeState::DeclarationRefused("type".into()),
        ExchangeState::PublishingOnTrial("write".into()),
    ];
    let state = State::<u8> { exchanges, ..State::new(0) };
    assert_eq!(state.status().refused.as_deref(), Some("type; write"));
}

fn exchange_event() -> impl Strategy<Value = ExchangeEvent> {
    use ExchangeEvent::*;
    prop_oneof![
        Just(Declared),
        Just(DeclarationRefused("declaration".into())),
        Just(Taken),
        Just(Missing),
        Just(PublishingRefused("publishing".into())),
        Just(ChannelEnded),
    ]
}

fn event() -> impl Strategy<Value = Event<u8>> {
    let about_the_connection = prop_oneof![
        (0..9_u8).prop_map(|connection| Event::Connected { connection, limited: None }),
        Just(Event::NotConnected { cause: "timed out".into(), refused: None }),
        Just(Event::Lost("reset".into())),
        Just(Event::Closed),
        Just(Event::Blocked("memory".into())),
        Just(Event::Unblocked),
        Just(Event::TimeToTryAgain),
    ];
    let about_an_exchange = (0..2_usize, exchange_event())
        .prop_map(|(exchange, event)| Event::Exchange(exchange, event));
    prop_oneof![about_the_connection, about_an_exchange]
}

proptest! {
    #[test]
    fn nothing_is_published_without_a_connection_while_it_is_blocked_or_to_what_is_refused(
        events in prop::collection::vec(event(), 0..60)
    ) {
        use ExchangeState::{Declared, PublishingOnTrial};
        let mut state = State::new(2);
        // As the events themselves tell it.
        let (mut connection, mut blocked) = (None, false);
        for event in events {
            match &event {
                Event::Connected { connection: new, .. } => {
                    (connection, blocked) = (Some(*new), false);
                }
                Event::NotConnected { .. } | Event::Lost(_) | Event::Closed => connection = None,
                Event::Blocked(_) => blocked = true,
                Event::Unblocked => blocked = false,
                Event::TimeToTryAgain | Event::Exchange(..) => {}
            }
            state.apply(event);
            for (index, exchange) in state.exchanges.iter().enumerate() {
                let open = matches!(exchange, Declared | PublishingOnTrial(_)) && !blocked;
                let expected = connection.filter(|_| open);
                prop_assert_eq!(state.connection_for(index).copied(), expected);
            }
        }
    }

    #[test]
    fn a_refusal_is_told_until_the_exchange_itself_shows_otherwise(
        events in prop::collection::vec(event(), 0..60)
    ) {
        use ExchangeEvent::{Declared, DeclarationRefused, Missing, PublishingRefused, Taken};
        let mut state = State::new(2);
        for event in events {
            let before = state.exchanges.clone();
            state.apply(event.clone());
            for (index, (before, after)) in before.iter().zip(&state.exchanges).enumerate() {
                let shows = matches!(
                    &event,
                    Event::Exchange(
                        exchange,
                        Declared | DeclarationRefused(_) | Missing | PublishingRefused(_) | Taken,
                    ) if *exchange == index
                );
                if let Some(refused) = before.refused() && !shows {
                    prop_assert_eq!(after.refused(), Some(refused));
                }
            }
        }
    }

    #[test]
    fn no_change_is_kept_from_the_keeper(
        events in prop::collection::vec(event(), 0..60)
    ) {
        let mut state = State::new(2);
        for event in events {
            let before = format!("{state:?}");
            let changed = state.apply(event);
            let after = format!("{state:?}");
            prop_assert!(changed || before == after);
        }
    }
}
