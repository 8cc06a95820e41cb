//! Round trips and bandwidth, asked on the message channel and answered by IronRDP's words.

use ironrdp_core::{decode, encode_vec};
use ironrdp_pdu::rdp::autodetect::{
    AutoDetectReqPdu, AutoDetectRequest, AutoDetectResponse, AutoDetectRspPdu, BW_RESULTS_CONTINUOUS,
    BW_START_RELIABLE_UDP, BW_STOP_RELIABLE_UDP, RTT_REQUEST_CONTINUOUS,
};
use rdpmux_model::Size;
use rdpmux_rdp::{SessionError, SessionEvent};

use crate::client::{self, Options, Pair};
use crate::hostile::send_data_request;

fn pair() -> Pair {
    let mut pair = client::connect(&Options::default());
    pair.start();
    pair.events.clear();
    pair
}

fn asked(pair: &mut Pair, out: &[u8]) -> AutoDetectRequest {
    pair.deliver(out);
    let message = pair.messages.pop().expect("on the message channel");
    decode::<AutoDetectReqPdu>(&message).expect("a request").request
}

fn answer(pair: &mut Pair, response: AutoDetectResponse) {
    let bytes = encode_vec(&AutoDetectRspPdu::new(response)).unwrap();
    let channel = pair.result.message_channel_id.unwrap();
    pair.say(&send_data_request(channel, &bytes));
}

#[test]
fn a_round_trip_is_answered_once_by_its_number() {
    let mut pair = pair();
    let mut sequences = Vec::new();
    for _ in 0..3 {
        let mut out = Vec::new();
        let sequence = pair.session.round_trip(&mut out).expect("the client takes it");
        let request = AutoDetectRequest::RttRequest {
            sequence_number: sequence,
            request_type: RTT_REQUEST_CONTINUOUS,
        };
        assert_eq!(asked(&mut pair, &out), request);
        sequences.push(sequence);
    }
    for sequence_number in [sequences[1], sequences[1], sequences[0], sequences[2], 999] {
        answer(&mut pair, AutoDetectResponse::RttResponse { sequence_number });
    }
    let number = |e: &SessionEvent| match e {
        SessionEvent::RoundTrip { sequence } => *sequence,
        other => panic!("{other:?}"),
    };
    let answered: Vec<_> = pair.events.iter().map(number).collect();
    assert_eq!(answered, [sequences[1], sequences[2]]);
}

#[test]
fn bandwidth_is_measured_between_two_marks() {
    let mut pair = pair();
    let mut out = Vec::new();
    assert_eq!(pair.session.bandwidth_stop(&mut out), None, "nothing was begun");
    assert!(pair.session.bandwidth_start(&mut out));
    let start = asked(&mut pair, &out);
    assert!(matches!(
        start,
        AutoDetectRequest::BandwidthMeasureStart {
            request_type: BW_START_RELIABLE_UDP,
            ..
        }
    ));
    out.clear();
    assert!(
        !pair.session.bandwidth_start(&mut out) && out.is_empty(),
        "one at a time"
    );
    let sequence = pair.session.bandwidth_stop(&mut out).expect("it was begun");
    let stop = asked(&mut pair, &out);
    assert!(
        matches!(&stop, AutoDetectRequest::BandwidthMeasureStop { request_type: BW_STOP_RELIABLE_UDP, sequence_number, .. }
            if *sequence_number == sequence),
        "{stop:?}"
    );
    for sequence_number in [sequence + 1, sequence, sequence] {
        answer(
            &mut pair,
            AutoDetectResponse::BandwidthMeasureResults {
                sequence_number,
                response_type: BW_RESULTS_CONTINUOUS,
                time_delta_ms: 120,
                byte_count: 300_000,
            },
        );
    }
    assert!(matches!(
        pair.events[..],
        [SessionEvent::Bandwidth { elapsed_ms: 120, bytes: 300_000, sequence: answered }] if answered == sequence
    ));
}

#[test]
fn of_very_many_questions_the_last_are_remembered() {
    let mut pair = pair();
    let mut out = Vec::new();
    let sequences: Vec<_> = (0..70_000)
        .map(|_| pair.session.round_trip(&mut out).unwrap())
        .collect();
    let (old, recent) = (sequences[60_000], sequences[69_990]);
    for sequence_number in [old, recent] {
        answer(&mut pair, AutoDetectResponse::RttResponse { sequence_number });
    }
    assert!(matches!(pair.events[..], [SessionEvent::RoundTrip { sequence }] if sequence == recent));
}

#[test]
fn answers_that_are_cut_end_the_session_and_other_messages_do_not() {
    let mut out = Vec::new();
    let whole = [0, 0x20, 0, 0, 14, 1, 1, 0, 0x0B, 0, 1, 0, 0, 0, 2, 0, 0, 0];
    for length in 0..whole.len() {
        let mut pair = pair();
        let channel = pair.result.message_channel_id.unwrap();
        let bytes = send_data_request(channel, &whole[..length]);
        let result = pair.session.feed(&bytes, &mut pair.events, &mut out);
        assert!(matches!(result, Err(SessionError::Peer { .. })), "{length}");
    }
    let mut pair = pair();
    let channel = pair.result.message_channel_id.unwrap();
    for other in [
        &[0, 0x40, 0, 0, 1, 2][..],
        &whole,
        &[0, 0x20, 0, 0, 6, 1, 1, 0, 0xFF, 0xFF],
    ] {
        pair.say(&send_data_request(channel, other));
    }
    assert!(pair.events.is_empty(), "{:?}", pair.events);
}

#[test]
fn nothing_is_asked_while_a_desktop_changes() {
    let mut pair = client::connect(&Options {
        egfx: false,
        ..Options::default()
    });
    pair.start();
    pair.session.resize_legacy(Size::new(640, 480), &mut Vec::new());
    let mut out = Vec::new();
    assert!(pair.session.round_trip(&mut out).is_none() && !pair.session.bandwidth_start(&mut out));
    assert!(out.is_empty());
}
