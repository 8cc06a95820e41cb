//! Channels that an embedder brings, with IronRDP's client at the other end.

use ironrdp_core::impl_as_any;
use ironrdp_dvc::{DvcClientProcessor, DvcMessage, DvcProcessor};
use ironrdp_pdu::PduResult;
use ironrdp_pdu::gcc::ChannelName;
use ironrdp_svc::{SvcClientProcessor, SvcMessage, SvcProcessor};
use rdpmux_client::Plain;
use rdpmux_rdp::{ChannelEvent, ChannelKind, ChannelRefusal, SessionEvent};

use crate::client::{Options, Pair, connect, connect_with};

/// Turns round what it gets.
#[derive(Debug)]
struct Mirror;

impl_as_any!(Mirror);
impl DvcClientProcessor for Mirror {}
impl SvcClientProcessor for Mirror {}

fn turned(payload: &[u8]) -> Plain {
    Plain(payload.iter().rev().copied().collect())
}

impl DvcProcessor for Mirror {
    fn channel_name(&self) -> &str {
        "Example.Mirror"
    }

    fn start(&mut self, _: u32) -> PduResult<Vec<DvcMessage>> {
        Ok(Vec::new())
    }

    fn process(&mut self, _: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        Ok(vec![Box::new(turned(payload))])
    }
}

impl SvcProcessor for Mirror {
    fn channel_name(&self) -> ChannelName {
        ChannelName::from_static(b"mirror\0\0")
    }

    fn process(&mut self, payload: &[u8]) -> PduResult<Vec<SvcMessage>> {
        Ok(vec![SvcMessage::from(turned(payload))])
    }
}

fn with_mirrors() -> Pair {
    connect_with(&Options::default(), None, |connector, channels| {
        connector.attach_static_channel(Mirror);
        channels.with_dynamic_channel(Mirror)
    })
}

fn news(pair: &mut Pair) -> Vec<(usize, ChannelEvent)> {
    let events = std::mem::take(&mut pair.events).into_iter();
    let events = events.filter_map(|event| match event {
        SessionEvent::Channel { number, event } => Some((number, event)),
        _ => None,
    });
    events.collect()
}

#[test]
fn messages_of_any_length_go_both_ways_on_static_and_dynamic_channels() {
    let mut pair = with_mirrors();
    let kinds = [ChannelKind::Static, ChannelKind::Dynamic];
    let names = ["Mirror", "Example.Mirror"];
    for (number, kind) in kinds.into_iter().enumerate() {
        assert_eq!(pair.session.add_channel(kind, names[number]), Ok(number));
    }
    pair.start();
    assert_eq!(news(&mut pair), [(0, ChannelEvent::Opened), (1, ChannelEvent::Opened)]);
    assert!(pair.session.dynamic_id(0).is_none() && pair.session.dynamic_id(1).is_some());
    for length in [1, 1589, 1590, 1600, 70_000, 200_000] {
        let message: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        for number in 0..2 {
            let mut out = Vec::new();
            pair.session.write_channel(number, &message, &mut out);
            pair.deliver(&out);
            let back = message.iter().rev().copied().collect();
            assert_eq!(news(&mut pair), [(number, ChannelEvent::Message(back))], "{length}");
        }
    }
    let mut out = Vec::new();
    pair.session.close_channel(1, &mut out);
    pair.session.write_channel(1, b"after its end", &mut out);
    pair.deliver(&out);
    assert_eq!(news(&mut pair), []);
}

#[test]
fn what_the_client_does_not_have_is_closed_and_names_that_have_a_meaning_are_refused() {
    let mut pair = connect(&Options::default());
    let session = &mut pair.session;
    assert_eq!(session.add_channel(ChannelKind::Static, "rdpdr"), Ok(0));
    assert_eq!(session.add_channel(ChannelKind::Dynamic, "Example"), Ok(1));
    for (kind, name, refusal) in [
        (ChannelKind::Static, "CLIPRDR", ChannelRefusal::Taken),
        (ChannelKind::Dynamic, "echo", ChannelRefusal::Taken),
        (ChannelKind::Dynamic, "Example", ChannelRefusal::Taken),
        (ChannelKind::Static, "eight888", ChannelRefusal::Name),
        (ChannelKind::Dynamic, "", ChannelRefusal::Name),
        (ChannelKind::Dynamic, "a\0b", ChannelRefusal::Name),
    ] {
        assert_eq!(session.add_channel(kind, name), Err(refusal), "{name:?}");
    }
    let many = (0..100).filter(|n| session.add_channel(ChannelKind::Dynamic, &format!("c{n}")).is_ok());
    assert_eq!(many.count(), 30);
    pair.start();
    let news = news(&mut pair);
    assert_eq!(news.len(), 32);
    assert!(news.iter().all(|(_, event)| *event == ChannelEvent::Closed));
}

#[test]
fn graphics_that_were_given_away_are_the_embedders_if_the_client_opens_them() {
    let mut pair = connect(&Options::default());
    let number = pair.session.give_graphics_away().expect("once");
    assert_eq!(pair.session.give_graphics_away(), Err(ChannelRefusal::Taken));
    pair.start();
    assert!(pair.session.graphics_are_elsewhere());
    let mut events = Vec::new();
    pair.session.graphics_timeout(&mut events);
    assert!(events.is_empty() && pair.take_writer().is_none());
    let news = news(&mut pair);
    assert_eq!(news[0], (number, ChannelEvent::Opened));
    assert!(
        matches!(&news[1], (_, ChannelEvent::Message(message)) if message[0] == 0x12),
        "CapsAdvertise"
    );
    // Without the pipeline the client gets our pictures.
    let mut pair = connect(&Options {
        egfx: false,
        ..Options::default()
    });
    assert_eq!(pair.session.give_graphics_away(), Ok(0));
    pair.start();
    assert!(!pair.session.graphics_are_elsewhere() && pair.take_writer().is_some());
}

#[test]
fn payloads_of_the_embedders_come_back_by_the_channel_echo() {
    let mut pair = connect_with(&Options::default(), None, |_, channels| {
        channels.with_dynamic_channel(Parrot)
    });
    let mut out = Vec::new();
    assert!(!pair.session.echo(b"too early", &mut out));
    pair.start();
    assert!(pair.events.iter().any(|event| matches!(event, SessionEvent::EchoReady)));
    assert!(pair.session.echo(b"ping", &mut out));
    pair.deliver(&out);
    let answered = |event: &SessionEvent| matches!(event, SessionEvent::Echo(payload) if payload == b"ping");
    assert!(pair.events.iter().any(answered));
}

/// The client of the channel.
struct Parrot;

impl_as_any!(Parrot);
impl DvcClientProcessor for Parrot {}

impl DvcProcessor for Parrot {
    fn channel_name(&self) -> &str {
        "ECHO"
    }

    fn start(&mut self, _: u32) -> PduResult<Vec<DvcMessage>> {
        Ok(Vec::new())
    }

    fn process(&mut self, _: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        Ok(vec![Box::new(Plain(payload.to_vec()))])
    }
}
