//! A hub with clients that are slow, greedy, silent or rude.

use std::time::Duration;

use super::*;
use crate::frame::Splitter;
use crate::words::Wish;

const NAME: &str = "serial0";

struct Stage {
    hub: Hub,
    now: Instant,
}

fn stage(first: usize, last: usize) -> Stage {
    let label = Label {
        name: Text::cleaned(NAME),
        title: Text::default(),
        kind: Kind::Serial,
    };
    Stage {
        hub: Hub::new(label, Keep { first, last }),
        now: Instant::now(),
    }
}

fn terms(who: &str) -> Terms {
    Terms {
        request: 1,
        stream: 5,
        rights: Rights::ALL,
        mode: Mode::Watch,
        replay: Replay::None,
        credit: 1 << 16,
        who: Text::cleaned(who),
    }
}

impl Stage {
    fn open(&mut self, terms: Terms) -> SeatId {
        self.hub.open(terms, self.now, &mut Vec::new()).expect("opens")
    }

    /// Everything that the client is told now, as short words; output that lies together is joined.
    fn told(&mut self, id: SeatId) -> String {
        let mut bytes = Vec::new();
        while self.hub.pull(id, 64, &mut bytes) {}
        words(&bytes)
    }

    fn input(&mut self, id: SeatId, bytes: &[u8]) -> Result<(), ErrorCode> {
        self.hub.input(id, bytes, self.now)
    }

    fn device_got(&mut self) -> String {
        let mut got = String::new();
        while let Some(input) = self.hub.take_input(3) {
            match input {
                Input::Bytes(bytes) => got += str::from_utf8(&bytes).expect("ascii"),
                Input::Break(ms) => got += &format!("<{ms}>"),
            }
        }
        got
    }
}

fn words(bytes: &[u8]) -> String {
    let mut splitter = Splitter::default();
    splitter.feed(bytes);
    let (mut words, mut end) = (Vec::<String>::new(), None);
    while let Some(frame) = splitter.next_frame().expect("good frames") {
        let word = match ToClient::decode(&frame).expect("good messages").expect("known") {
            ToClient::Data {
                offset,
                bytes,
                is_replay,
                ..
            } => {
                let text = str::from_utf8(bytes).expect("ascii");
                let is_next = end.replace((offset + bytes.len() as u64, is_replay)) == Some((offset, is_replay));
                match words.last_mut().filter(|_| is_next) {
                    Some(last) => {
                        *last += text;
                        continue;
                    }
                    None => format!("{}{offset}:{text}", if is_replay { "old " } else { "" }),
                }
            }
            ToClient::Gap { from, to, why, .. } => format!("gap {from}-{to} {why:?}"),
            ToClient::Writer { writer, who, .. } if who.is_empty() => format!("{writer:?}"),
            ToClient::Writer { writer, who, .. } => format!("{writer:?} {who}"),
            ToClient::Credit { add, .. } => format!("+{add}"),
            ToClient::Event { what, .. } => format!("{what:?}"),
            ToClient::Closed { code, offset, .. } => format!("closed {code:?} {offset}"),
            ToClient::Opened { mode, offset, .. } => format!("opened {mode:?} {offset}"),
            other => panic!("{other:?}"),
        };
        words.push(word);
    }
    words.join(", ")
}

#[test]
fn every_client_gets_every_byte_once() {
    let mut stage = stage(100, 100);
    let (a, b) = (stage.open(terms("a")), stage.open(terms("b")));
    assert_eq!(stage.told(a), "Nobody");
    stage.hub.output(b"hello ");
    assert_eq!(stage.told(a), "0:hello ");
    stage.hub.output(b"world");
    assert_eq!(stage.told(a), "6:world");
    assert_eq!(stage.told(b), "Nobody, 0:hello world");
    assert_eq!(stage.told(b), "");
}

#[test]
fn a_late_client_gets_what_it_asks_for_and_knows_that_it_is_old() {
    let mut stage = stage(4, 6);
    stage.hub.output(b"0123456789abcdef");
    let replayed = |stage: &mut Stage, replay| {
        let id = stage.open(Terms { replay, ..terms("a") });
        stage.told(id)
    };
    assert_eq!(replayed(&mut stage, Replay::None), "Nobody");
    assert_eq!(replayed(&mut stage, Replay::Last(2)), "Nobody, old 14:ef");
    assert_eq!(replayed(&mut stage, Replay::Last(100)), "Nobody, old 10:abcdef");
    assert_eq!(replayed(&mut stage, Replay::From(12)), "Nobody, old 12:cdef");
    assert_eq!(
        replayed(&mut stage, Replay::From(0)),
        "Nobody, old 0:0123, gap 4-10 Expired, old 10:abcdef"
    );
    assert_eq!(replayed(&mut stage, Replay::From(u64::MAX)), "Nobody");
    let rights = Rights::WATCH;
    let id = stage.open(Terms {
        rights,
        replay: Replay::From(0),
        ..terms("a")
    });
    assert_eq!(stage.told(id), "Nobody", "old output takes a right");
    let id = stage.open(Terms {
        replay: Replay::Last(3),
        ..terms("b")
    });
    stage.hub.output(b"gh");
    assert_eq!(stage.told(id), "Nobody, old 13:def, 16:gh", "old and live are apart");
}

#[test]
fn who_comes_back_goes_on_exactly_where_it_was() {
    let mut stage = stage(0, 1000);
    let mut got = String::new();
    let mut offset = 0;
    for round in 0..20u32 {
        let id = stage.open(Terms {
            replay: Replay::From(offset),
            ..terms("a")
        });
        stage.hub.output(format!("line {round}\n").as_bytes());
        let told = stage.told(id);
        for word in told.split(", ").skip(1) {
            got += word.split_once(':').expect("output").1;
        }
        offset = got.len() as u64;
        let mut out = Vec::new();
        stage.hub.close(id, None, &mut out);
        assert_eq!(words(&out), format!("closed None {offset}"));
        stage.hub.output(b"while it was away\n");
    }
    let wanted: String = (0..20).map(|n| format!("line {n}\nwhile it was away\n")).collect();
    assert_eq!(got + "while it was away\n", wanted);
}

#[test]
fn a_slow_client_gets_a_gap_and_holds_up_nobody() {
    let mut stage = stage(0, 10);
    let slow = stage.open(Terms {
        credit: 3,
        ..terms("slow")
    });
    let quick = stage.open(terms("quick"));
    stage.hub.output(b"01234567");
    assert_eq!(stage.told(slow), "Nobody, 0:012");
    assert_eq!(stage.told(quick), "Nobody, 0:01234567");
    stage.hub.output(b"89abcdef");
    assert_eq!(stage.told(slow), "", "nothing without credit");
    assert_eq!(stage.told(quick), "8:89abcdef");
    stage.hub.grant(slow, 100).expect("a good credit");
    assert_eq!(stage.told(slow), "gap 3-6 Slow, 6:6789abcdef");
}

#[test]
fn credits_that_overflow_are_an_error() {
    let mut stage = stage(0, 10);
    let id = stage.open(Terms {
        credit: 1,
        ..terms("a")
    });
    assert_eq!(stage.hub.grant(id, u32::MAX - 1), Ok(()));
    assert_eq!(stage.hub.grant(id, 1), Err(ErrorCode::CreditOverrun));
    assert_eq!(stage.input(id, &[b'x'; 4097]), Err(ErrorCode::CreditOverrun));
}

#[test]
fn one_client_writes_and_everybody_knows_who() {
    let mut stage = stage(10, 10);
    let write = |who| Terms {
        mode: Mode::Write,
        ..terms(who)
    };
    let mut out = Vec::new();
    let a = stage.hub.open(write("alice"), stage.now, &mut out).expect("opens");
    let b = stage.hub.open(write("bob"), stage.now, &mut out).expect("opens");
    assert_eq!(words(&out), "opened Write 0, opened Watch 0");
    assert_eq!(stage.told(a), "You alice");
    assert_eq!(stage.told(b), "Other alice");
    stage.input(a, b"ls").expect("within the credit");
    stage.input(b, b"rm").expect("within the credit");
    assert_eq!(stage.told(b), "Other alice, +2", "dropped, and told so");
    assert_eq!(stage.device_got(), "ls");
    assert_eq!(stage.told(a), "+2");
    stage.hub.wish(b, Wish::Ask, stage.now);
    assert_eq!(stage.told(b), "Other alice");
    stage.hub.wish(b, Wish::TakeOver, stage.now);
    assert_eq!((stage.told(a), stage.told(b)), ("Other bob".into(), "You bob".into()));
    stage.hub.wish(b, Wish::Release, stage.now);
    assert_eq!((stage.told(a), stage.told(b)), ("Nobody".into(), "Nobody".into()));
    stage.hub.wish(a, Wish::Ask, stage.now);
    stage.hub.close(a, Some(ErrorCode::Denied), &mut Vec::new());
    assert_eq!(stage.told(b), "Nobody", "who leaves does not write");
}

#[test]
fn rights_are_looked_at_for_each_thing() {
    let mut stage = stage(10, 10);
    let mut refused = |rights, mode| {
        let terms = Terms {
            rights,
            mode,
            ..terms("a")
        };
        stage.hub.open(terms, stage.now, &mut Vec::new()).err()
    };
    let (watch, write) = (Rights::WATCH, Rights::WATCH.with(Rights::WRITE));
    assert_eq!(refused(Rights::NONE, Mode::Watch), Some(ErrorCode::NoSuchStream));
    assert_eq!(refused(Rights::WRITE, Mode::Write), Some(ErrorCode::NoSuchStream));
    assert_eq!(refused(watch, Mode::Write), Some(ErrorCode::Denied));
    assert_eq!(refused(write, Mode::TakeOver), Some(ErrorCode::Denied));
    assert_eq!(refused(write, Mode::Write), None);
    let watcher = stage.open(Terms {
        rights: watch,
        ..terms("w")
    });
    stage.hub.wish(watcher, Wish::TakeOver, stage.now);
    assert_eq!(stage.told(watcher), "Other a");
    let writer = stage.hub.writer().expect("a writes");
    assert!(!stage.hub.send_break(writer, 0, stage.now, 0), "a break takes a right");
    stage.hub.resize(writer, 80, 25);
    assert_eq!(stage.hub.entry(0, watch).size, (0, 0), "so does a size");
}

#[test]
fn breaks_come_in_their_place_and_are_told() {
    let mut stage = stage(10, 10);
    let (a, b) = (
        stage.open(Terms {
            mode: Mode::Write,
            ..terms("a")
        }),
        stage.open(terms("b")),
    );
    stage.input(a, b"ab").expect("within the credit");
    assert!(stage.hub.send_break(a, 250, stage.now, 1));
    assert!(!stage.hub.send_break(b, 250, stage.now, 1), "b does not write");
    stage.input(a, b"cd").expect("within the credit");
    assert_eq!(stage.device_got(), "ab<250>cd");
    assert_eq!(stage.told(b), "Other a, Break");
    for _ in 0..100 {
        stage.hub.send_break(a, 0, stage.now, 1);
    }
    assert_eq!(stage.device_got(), "<0>".repeat(8));
}

#[test]
fn a_silent_writer_is_released() {
    let mut stage = stage(10, 10);
    let id = stage.open(Terms {
        mode: Mode::Write,
        ..terms("a")
    });
    stage.now += Hub::IDLE - Duration::from_secs(1);
    stage.hub.tick(stage.now);
    stage.input(id, b"x").expect("within the credit");
    stage.now += Hub::IDLE - Duration::from_secs(1);
    stage.hub.tick(stage.now);
    assert_eq!(stage.told(id), "You a");
    stage.now += Duration::from_secs(1);
    assert_eq!(stage.hub.release_due(), Some(stage.now));
    stage.hub.tick(stage.now);
    assert_eq!((stage.told(id).as_str(), stage.hub.release_due()), ("Nobody", None));
}

#[test]
fn what_a_device_does_not_take_is_bounded() {
    let mut stage = stage(10, 10);
    for round in 0..100 {
        let id = stage.open(Terms {
            mode: Mode::TakeOver,
            ..terms("a")
        });
        stage.input(id, &[b'x'; 4096]).expect("within the credit");
        let told = stage.told(id);
        assert_eq!(told.contains("+4096"), round >= 16, "what finds no room is given back");
        stage.hub.close(id, None, &mut Vec::new());
    }
    assert_eq!(stage.device_got().len(), 64 << 10);
    let id = stage.open(Terms {
        mode: Mode::Write,
        ..terms("a")
    });
    stage.input(id, b"too late").expect("within the credit");
    stage.hub.set_state(State::Off);
    assert_eq!(stage.told(id), "You a, +8");
    assert_eq!(
        stage.device_got(),
        "",
        "what a machine that is off did not take, it never does"
    );
}

#[test]
fn places_and_events_are_bounded() {
    let mut stage = stage(10, 10);
    let first = stage.open(terms("a"));
    for _ in 1..Hub::SEATS {
        stage.open(terms("a"));
    }
    assert_eq!(
        stage.hub.open(terms("a"), stage.now, &mut Vec::new()),
        Err(ErrorCode::Limit)
    );
    assert_eq!(stage.hub.entry(7, Rights::WATCH).watchers, 64);
    for at in 0..1000 {
        stage.hub.event(Event::Reset, at);
    }
    assert_eq!(stage.told(first).matches("Reset").count(), Hub::EVENTS);
    stage.hub.event(Event::SourceLost, 0);
    assert_eq!(stage.told(first), "SourceLost");
}

#[test]
fn the_list_shows_what_changed() {
    let mut stage = stage(10, 10);
    let before = stage.hub.revision();
    stage.hub.output(b"much");
    stage.hub.set_state(State::NoSource);
    assert_eq!(stage.hub.revision(), before, "nothing that a list shows");
    stage.hub.set_state(State::Open);
    let id = stage.open(Terms {
        mode: Mode::Write,
        ..terms("alice")
    });
    stage.hub.resize(id, 132, 50);
    assert!(stage.hub.revision() > before);
    let entry = stage.hub.entry(7, Rights::WATCH);
    assert_eq!(
        (entry.state, entry.total, entry.watchers, entry.size),
        (State::Open, 4, 1, (132, 50))
    );
    assert_eq!((entry.name.as_str(), entry.writer.as_str()), (NAME, "alice"));
}
