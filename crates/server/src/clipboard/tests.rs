mod files;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdpmux_model::{ClipboardFormat, ClipboardKinds, ClipboardPolicy, DesktopName, GuestClipboardState, SessionId};
use rdpmux_rdp::ClipboardEvent;

use super::hub::{Effect, Hub, NoText};
use super::text;

const A: SessionId = SessionId(1);
const B: SessionId = SessionId(2);
const C: SessionId = SessionId(3);
const UNICODE: u32 = ClipboardFormat::UNICODE_TEXT;
const HTML: u32 = 0xC010;
const PNG: u32 = 0xC011;
const LIST: u32 = 0xC012;

/// A hub with a virtual clock.
struct Bench {
    hub: Hub,
    now: Instant,
}

fn format(id: u32) -> ClipboardFormat {
    let name = match id {
        HTML => Some("HTML Format"),
        PNG => Some("PNG"),
        LIST => Some(ClipboardFormat::FILE_LIST),
        _ => None,
    };
    ClipboardFormat {
        id,
        name: name.map(str::to_owned),
    }
}

impl Bench {
    fn new() -> Self {
        Self {
            hub: Hub::new(DesktopName::new("web1").expect("valid")),
            now: Instant::now(),
        }
    }

    /// Viewers that may do everything and have nothing on their clipboards.
    fn with(sessions: &[SessionId]) -> Self {
        let mut bench = Self::new();
        for session in sessions {
            bench.join(*session, ClipboardPolicy::ALL);
        }
        bench
    }

    fn join(&mut self, session: SessionId, policy: ClipboardPolicy) {
        self.hub.join(session, format!("user{}", session.0), policy);
        // A newcomer without content.
        self.copy(session, &[]);
    }

    fn event(&mut self, session: SessionId, event: ClipboardEvent) -> Vec<Effect> {
        self.hub.client(self.now, session, event);
        self.hub.effects()
    }

    fn copy(&mut self, session: SessionId, formats: &[u32]) -> Vec<Effect> {
        let formats = formats.iter().map(|id| format(*id)).collect();
        self.event(
            session,
            ClipboardEvent::Copied {
                formats,
                crossed: false,
            },
        )
    }

    fn pass(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.hub.tick(self.now);
        self.hub.effects()
    }

    /// Lets an offer settle; what each viewer was told, in the order of sessions.
    fn settle(&mut self) -> Vec<(SessionId, Vec<u32>)> {
        let mut told: Vec<_> = self
            .pass(Duration::from_millis(100))
            .into_iter()
            .filter_map(|effect| match effect {
                Effect::Announce { session, formats } => Some((session, formats.iter().map(|f| f.id).collect())),
                _ => None,
            })
            .collect();
        told.sort();
        told
    }

    fn want(&mut self, session: SessionId, format: u32) -> Vec<Effect> {
        self.event(session, ClipboardEvent::Wanted { format })
    }

    fn give(&mut self, session: SessionId, token: u32, data: Option<&[u8]>) -> Vec<Effect> {
        let data = data.map(Bytes::copy_from_slice);
        self.event(session, ClipboardEvent::Data { token, data })
    }

    fn guest(&mut self, ready: bool, grab: Option<u64>) -> Vec<Effect> {
        let state = GuestClipboardState {
            ready,
            grab,
            ..GuestClipboardState::default()
        };
        self.hub.guest(self.now, state);
        self.hub.effects()
    }
}

/// The only effect is a question to `session` for `format`; its number.
fn asked(effects: &[Effect], session: SessionId, format: u32) -> u32 {
    match effects {
        [
            Effect::Fetch {
                session: who,
                format: what,
                token,
                ..
            },
        ] if (*who, *what) == (session, format) => *token,
        other => panic!("{other:?}"),
    }
}

fn answer(session: SessionId, data: Option<&[u8]>) -> Effect {
    Effect::Answer {
        session,
        data: data.map(Bytes::copy_from_slice),
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text::encode(UNICODE, text).expect("plain")
}

#[test]
fn the_last_copier_owns_and_is_asked_only_when_somebody_pastes() {
    let mut bench = Bench::with(&[A, B, C]);
    assert_eq!(bench.copy(A, &[UNICODE, HTML, 3]), []);
    let all = vec![13, 1, 7, HTML];
    assert_eq!(
        bench.settle(),
        [(B, all.clone()), (C, all)],
        "formats without a meaning are left out"
    );
    bench.copy(B, &[PNG]);
    assert_eq!(bench.settle(), [(A, vec![PNG]), (C, vec![PNG])]);
    assert_eq!(bench.want(C, HTML), [answer(C, None)], "that copy is gone");
    let token = asked(&bench.want(C, PNG), B, PNG);
    assert_eq!(bench.give(B, token, Some(b"png")), [answer(C, Some(b"png"))]);
    assert_eq!(bench.want(B, PNG), [answer(B, None)], "nobody gets his own copy back");
}

#[test]
fn text_is_converted_for_who_wants_another_encoding() {
    let mut bench = Bench::with(&[A, B]);
    bench.copy(A, &[ClipboardFormat::TEXT]);
    assert_eq!(bench.settle(), [(B, vec![13, 1, 7])]);
    let token = asked(&bench.want(B, UNICODE), A, ClipboardFormat::TEXT);
    let effects = bench.give(A, token, Some(b"Gr\xFC\xDFe\r\nx\0"));
    assert_eq!(effects, [answer(B, Some(&utf16("Grüße\nx")))]);
}

#[test]
fn policy_stops_each_direction_and_kind() {
    let text = ClipboardKinds {
        text: true,
        ..ClipboardKinds::NONE
    };
    let policy = |inward, outward| ClipboardPolicy {
        inward,
        outward,
        limit: 1000,
    };
    let mut bench = Bench::new();
    bench.join(A, policy(text, ClipboardKinds::NONE));
    bench.join(B, policy(ClipboardKinds::NONE, ClipboardKinds::ALL));
    bench.copy(A, &[UNICODE, PNG, LIST]);
    assert_eq!(
        bench.settle(),
        [(B, vec![13, 1, 7])],
        "pictures and files do not get in"
    );
    assert_eq!(
        bench.want(B, PNG),
        [answer(B, None)],
        "asking for them anyway does not help"
    );
    bench.copy(B, &[UNICODE]);
    assert_eq!(bench.settle(), [], "who may not give does not become the owner");
    bench.join(C, ClipboardPolicy::ALL);
    bench.copy(C, &[UNICODE]);
    assert_eq!(bench.settle(), [(B, vec![13, 1, 7])], "who may not take is not told");
    assert_eq!(bench.want(A, UNICODE), [answer(A, None)]);
}

#[test]
fn too_much_is_not_given() {
    let mut bench = Bench::with(&[A]);
    bench.join(
        B,
        ClipboardPolicy {
            limit: 4,
            ..ClipboardPolicy::ALL
        },
    );
    bench.copy(A, &[PNG]);
    bench.settle();
    let token = asked(&bench.want(B, PNG), A, PNG);
    assert_eq!(bench.give(A, token, Some(b"five!")), [answer(B, None)]);
}

#[test]
fn one_transfer_at_a_time_and_a_question_of_many_is_asked_once() {
    let mut bench = Bench::with(&[A, B, C]);
    bench.copy(A, &[UNICODE, PNG]);
    bench.settle();
    let token = asked(&bench.want(B, PNG), A, PNG);
    assert_eq!(bench.want(B, UNICODE), [], "B is answered in order");
    assert_eq!(bench.want(C, PNG), []);
    let effects = bench.give(A, token, Some(b"png"));
    let png = |session| answer(session, Some(b"png"));
    assert_eq!(effects, [png(B), answer(B, None), png(C)]);
}

#[test]
fn questions_to_one_owner_wait_for_each_other() {
    let mut bench = Bench::with(&[A, B, C]);
    bench.copy(A, &[UNICODE, PNG]);
    bench.settle();
    let first = asked(&bench.want(B, PNG), A, PNG);
    assert_eq!(bench.want(C, UNICODE), []);
    let effects = bench.give(A, first, None);
    assert_eq!(effects[0], answer(B, None));
    let second = asked(&effects[1..], A, UNICODE);
    assert_eq!(bench.give(A, second, Some(&utf16("x"))), [answer(C, Some(&utf16("x")))]);
}

#[test]
fn an_owner_that_never_answers_costs_the_others_their_patience_only() {
    let mut bench = Bench::with(&[A, B]);
    bench.copy(A, &[UNICODE]);
    bench.settle();
    let token = asked(&bench.want(B, UNICODE), A, UNICODE);
    assert_eq!(bench.pass(Duration::from_secs(29)), []);
    assert_eq!(bench.pass(Duration::from_secs(2)), [answer(B, None)]);
    assert_eq!(
        bench.give(A, token, Some(b"late")),
        [],
        "what comes too late finds nobody"
    );
    asked(&bench.want(B, UNICODE), A, UNICODE);
}

#[test]
fn an_owner_that_leaves_takes_its_copy_along() {
    let mut bench = Bench::with(&[A, B]);
    bench.copy(A, &[UNICODE]);
    bench.settle();
    bench.want(B, UNICODE);
    bench.hub.leave(bench.now, A);
    assert_eq!(bench.hub.effects(), [answer(B, None)]);
    assert_eq!(bench.settle(), [(B, vec![])]);
    assert_eq!(bench.want(B, UNICODE), [answer(B, None)]);
}

#[test]
fn who_connects_does_not_take_the_clipboard_from_a_viewer_but_learns_of_it() {
    let mut bench = Bench::with(&[A]);
    bench.copy(A, &[UNICODE]);
    bench.settle();
    bench.hub.join(B, "late".to_owned(), ClipboardPolicy::ALL);
    let effects = bench.copy(B, &[PNG]);
    assert!(matches!(&effects[..], [Effect::Announce { session: B, formats }] if formats.len() == 3));
    bench.copy(B, &[PNG]);
    assert_eq!(bench.settle(), [(A, vec![PNG])], "its next copy is one");
}

#[test]
fn an_offer_that_crossed_ours_is_void() {
    let mut bench = Bench::with(&[A, B]);
    bench.copy(A, &[UNICODE]);
    bench.settle();
    let crossed = ClipboardEvent::Copied {
        formats: vec![format(PNG)],
        crossed: true,
    };
    bench.event(B, crossed);
    assert_eq!(bench.settle(), []);
    asked(&bench.want(B, UNICODE), A, UNICODE);
}

#[test]
fn two_viewers_that_echo_each_other_do_not_spin() {
    let mut bench = Bench::with(&[A, B]);
    bench.copy(A, &[UNICODE]);
    let mut announcements = 0;
    for _ in 0..6000 {
        // A minute in steps of 10 ms; whoever is told announces the same at once.
        for effect in bench.pass(Duration::from_millis(10)) {
            if let Effect::Announce { session, .. } = effect {
                announcements += 1;
                bench.copy(session, &[UNICODE]);
            }
        }
    }
    assert!(announcements < 100, "{announcements}");
}

#[test]
fn text_is_fetched_for_a_guest_that_takes_it_and_brought_up_to_date_when_it_pasted() {
    let mut bench = Bench::with(&[A, B]);
    bench.copy(A, &[UNICODE]);
    assert_eq!(bench.settle().len(), 1, "without an agent nothing is fetched");
    let token = asked(&bench.guest(true, None), A, UNICODE);
    let offered = Effect::OfferGuest(Some(Arc::from("a\nb")));
    assert_eq!(bench.give(A, token, Some(&utf16("a\nb"))), [offered]);
    let state = GuestClipboardState {
        ready: true,
        pasted: 1,
        ..GuestClipboardState::default()
    };
    bench.hub.guest(bench.now, state);
    asked(&bench.hub.effects(), A, UNICODE);
    bench.copy(B, &[PNG]);
    let effects = bench.pass(Duration::from_millis(100));
    assert!(
        effects.contains(&Effect::OfferGuest(None)),
        "a picture is nothing for it: {effects:?}"
    );
}

#[test]
fn text_that_is_too_long_for_the_guest_is_not_offered() {
    let mut bench = Bench::with(&[A]);
    bench.guest(true, None);
    bench.copy(A, &[UNICODE]);
    let token = asked(&bench.pass(Duration::from_millis(100)), A, UNICODE);
    let long = utf16(&"x".repeat((1 << 20) + 1));
    assert_eq!(bench.give(A, token, Some(&long)), [Effect::OfferGuest(None)]);
}

#[test]
fn the_guests_copy_is_fetched_once_and_given_in_every_encoding() {
    let mut bench = Bench::with(&[A, B]);
    bench.guest(true, Some(1));
    let texts = vec![13, 1, 7];
    // The guest's text is announced like any other.
    assert_eq!(bench.settle(), [(A, texts.clone()), (B, texts)]);
    assert_eq!(bench.want(A, UNICODE), [Effect::FetchGuest { grab: 1 }]);
    assert_eq!(bench.want(B, ClipboardFormat::TEXT), []);
    bench.hub.guest_text(1, Some(Arc::from("ü\n")));
    assert_eq!(
        bench.hub.effects(),
        [answer(A, Some(&utf16("ü\n"))), answer(B, Some(b"\xFC\r\n\0"))]
    );
    assert_eq!(bench.want(A, UNICODE), [answer(A, Some(&utf16("ü\n")))]);
    bench.guest(true, Some(2));
    assert_eq!(bench.want(A, UNICODE), [Effect::FetchGuest { grab: 2 }], "a new copy");
    assert_eq!(bench.pass(Duration::from_secs(31)).last(), Some(&answer(A, None)));
}

#[test]
fn who_connects_takes_the_clipboard_from_the_guest_only_with_text_that_is_there() {
    let mut bench = Bench::new();
    bench.guest(true, Some(1));
    bench.settle();
    bench.hub.join(A, "alice".to_owned(), ClipboardPolicy::ALL);
    let token = asked(&bench.copy(A, &[UNICODE, PNG]), A, UNICODE);
    let effects = bench.give(A, token, None);
    assert!(
        matches!(&effects[..], [Effect::Announce { session: A, .. }]),
        "it learns of the guest's: {effects:?}"
    );
    bench.hub.join(B, "bob".to_owned(), ClipboardPolicy::ALL);
    let token = asked(&bench.copy(B, &[UNICODE]), B, UNICODE);
    bench.give(B, token, Some(&utf16("copied before connecting")));
    assert_eq!(bench.settle(), [(A, vec![13, 1, 7])]);
}

#[test]
fn text_for_typing_is_what_the_viewer_would_paste() {
    let mut bench = Bench::with(&[A, B]);
    bench.join(
        C,
        ClipboardPolicy {
            inward: ClipboardKinds::NONE,
            ..ClipboardPolicy::ALL
        },
    );
    let wanted = |bench: &mut Bench, session, ticket| {
        bench.hub.wanted_for_typing(bench.now, session, ticket);
        bench.hub.effects()
    };
    let refused = |ticket, reason| Effect::Text {
        ticket,
        text: Err(reason),
    };
    assert_eq!(wanted(&mut bench, A, 1), [refused(1, NoText::Empty)]);
    bench.copy(A, &[UNICODE]);
    bench.settle();
    assert_eq!(wanted(&mut bench, C, 2), [refused(2, NoText::Policy)]);
    for (ticket, session) in [(3, A), (4, B)] {
        let token = asked(&wanted(&mut bench, session, ticket), A, UNICODE);
        let text = Ok(Arc::from("x\ny"));
        assert_eq!(
            bench.give(A, token, Some(&utf16("x\ny"))),
            [Effect::Text { ticket, text }]
        );
    }
}
