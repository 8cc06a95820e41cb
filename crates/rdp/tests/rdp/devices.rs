//! The channel for character devices over a whole connection: it is offered to whom it is permitted, carries bytes both
//! ways, and a client without it is a client like any other.

use rdpmux_rdp::{SessionEvent, StreamsChannel, StreamsEvent};

use crate::client::{Options, Pair, connect_with};
use crate::sound::Channel;

const NAME: &str = "RDPMUX.STREAMS";

fn connect(channel: Option<Channel>) -> Pair {
    connect_with(&Options::default(), None, |_, channels| match channel {
        Some(channel) => channels.with_dynamic_channel(channel),
        None => channels,
    })
}

fn take(pair: &mut Pair) -> Vec<StreamsEvent> {
    let events = pair.events.drain(..);
    events
        .filter_map(|event| match event {
            SessionEvent::Streams(event) => Some(event),
            _ => None,
        })
        .collect()
}

fn says(pair: &mut Pair, bytes: &[u8]) {
    let mut out = Vec::new();
    pair.session.write_streams(bytes, &mut out);
    pair.deliver(&out);
}

/// Sends back what it hears, from the end.
fn mirror(heard: &[u8]) -> Vec<Vec<u8>> {
    vec![heard.iter().rev().copied().collect()]
}

#[test]
fn bytes_go_both_ways_until_the_channel_is_closed() {
    let (channel, heard) = Channel::new(NAME, mirror);
    let mut pair = connect(Some(channel));
    pair.session.permit_streams();
    pair.start();
    assert_eq!(take(&mut pair), [StreamsEvent::Opened(StreamsChannel::Dynamic)]);
    let long: Vec<u8> = (0..20_000_u32).map(|number| number as u8).collect();
    says(&mut pair, &long);
    let back: Vec<u8> = long.iter().rev().copied().collect();
    assert_eq!(take(&mut pair), [StreamsEvent::Bytes(back)]);
    let mut out = Vec::new();
    pair.session.close_streams(&mut out);
    pair.deliver(&out);
    says(&mut pair, b"late");
    assert_eq!(heard.lock().unwrap().len(), 1);
    assert_eq!(take(&mut pair), []);
}

#[test]
fn without_the_right_it_is_not_offered() {
    let (channel, _) = Channel::new(NAME, mirror);
    let mut pair = connect(Some(channel));
    pair.start();
    says(&mut pair, b"nobody hears it");
    assert_eq!(take(&mut pair), []);
}

#[test]
fn a_client_without_the_channel_is_as_any_other() {
    let mut pair = connect(None);
    pair.session.permit_streams();
    pair.start();
    says(&mut pair, b"nobody hears it");
    assert_eq!(take(&mut pair), [StreamsEvent::Closed]);
}
