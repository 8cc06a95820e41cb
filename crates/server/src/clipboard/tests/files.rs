//! Lists of files and their content.

use std::time::Duration;

use bytes::Bytes;
use rdpmux_model::{ClipboardPolicy, FilePart, FileRequest, SessionId};
use rdpmux_rdp::ClipboardEvent;

use super::{A, B, Bench, C, LIST, UNICODE, answer, asked};
use crate::clipboard::files::descriptor;
use crate::clipboard::hub::Effect;

fn file(stream: u32, part: FilePart) -> FileRequest {
    FileRequest {
        stream,
        index: 0,
        part,
        lock: None,
    }
}

/// The only effect is a question about a file to `session`.
fn asked_file(effects: &[Effect], session: SessionId) -> FileRequest {
    match effects {
        [Effect::FetchFile { session: who, request }] if *who == session => *request,
        other => panic!("{other:?}"),
    }
}

fn file_answer(session: SessionId, stream: u32, data: Option<&[u8]>) -> Effect {
    Effect::AnswerFile {
        session,
        stream,
        data: data.map(Bytes::copy_from_slice),
    }
}

#[test]
fn files_pass_piece_by_piece_under_the_hubs_own_numbers() {
    let mut bench = Bench::with(&[A, B, C]);
    bench.copy(A, &[LIST]);
    assert_eq!(bench.settle(), [(B, vec![LIST]), (C, vec![LIST])]);
    let range = FilePart::Range {
        position: 0,
        length: 100,
    };
    let from_b = asked_file(&bench.event(B, ClipboardEvent::FileWanted(file(7, range))), A);
    let from_c = asked_file(&bench.event(C, ClipboardEvent::FileWanted(file(7, range))), A);
    assert_ne!(from_b.stream, from_c.stream);
    let mut give = |session, stream, data: &[u8]| {
        let data = Some(Bytes::copy_from_slice(data));
        bench.event(session, ClipboardEvent::FileData { stream, data })
    };
    assert_eq!(give(C, from_b.stream, b"forged"), [], "only who was asked can answer");
    assert_eq!(give(A, from_c.stream, b"c"), [file_answer(C, 7, Some(b"c"))]);
    assert_eq!(give(A, from_b.stream, b"b"), [file_answer(B, 7, Some(b"b"))]);
    assert_eq!(give(A, from_b.stream, b"again"), []);
}

#[test]
fn files_above_the_limit_are_refused_at_their_size_and_beyond_it() {
    let mut bench = Bench::with(&[A]);
    bench.join(
        B,
        ClipboardPolicy {
            limit: 1000,
            ..ClipboardPolicy::ALL
        },
    );
    bench.copy(A, &[LIST]);
    bench.settle();
    let size = asked_file(&bench.event(B, ClipboardEvent::FileWanted(file(1, FilePart::Size))), A);
    let data = Some(Bytes::copy_from_slice(&1001u64.to_le_bytes()));
    let stream = size.stream;
    assert_eq!(
        bench.event(A, ClipboardEvent::FileData { stream, data }),
        [file_answer(B, 1, None)]
    );
    let range = |position| FilePart::Range { position, length: 600 };
    let request = asked_file(&bench.event(B, ClipboardEvent::FileWanted(file(2, range(500)))), A);
    let cut = FilePart::Range {
        position: 500,
        length: 500,
    };
    assert_eq!(request.part, cut);
    let beyond = bench.event(B, ClipboardEvent::FileWanted(file(3, range(1000))));
    assert_eq!(beyond, [file_answer(B, 3, None)]);
    let overflow = bench.event(B, ClipboardEvent::FileWanted(file(4, range(u64::MAX))));
    assert_eq!(overflow, [file_answer(B, 4, None)]);
}

#[test]
fn a_locked_list_is_served_after_the_next_copy_and_let_go_with_its_taker() {
    let mut bench = Bench::with(&[A, B, C]);
    bench.copy(A, &[LIST]);
    bench.settle();
    let lock = match bench.event(B, ClipboardEvent::Locked(5))[..] {
        [Effect::Lock { session: A, id }] => id,
        ref other => panic!("{other:?}"),
    };
    bench.copy(C, &[UNICODE]);
    bench.settle();
    let mut request = file(9, FilePart::Size);
    let void = bench.event(B, ClipboardEvent::FileWanted(request));
    assert_eq!(void, [file_answer(B, 9, None)], "the clipboard has no files now");
    request.lock = Some(5);
    let asked = asked_file(&bench.event(B, ClipboardEvent::FileWanted(request)), A);
    assert_eq!(asked.lock, Some(lock));
    bench.hub.leave(bench.now, B);
    assert_eq!(bench.hub.effects(), [Effect::Unlock { session: A, id: lock }]);
}

#[test]
fn questions_about_files_are_bounded_and_expire() {
    let mut bench = Bench::with(&[A, B]);
    bench.copy(A, &[LIST]);
    bench.settle();
    for stream in 0..8 {
        asked_file(
            &bench.event(B, ClipboardEvent::FileWanted(file(stream, FilePart::Size))),
            A,
        );
    }
    let ninth = bench.event(B, ClipboardEvent::FileWanted(file(8, FilePart::Size)));
    assert_eq!(ninth, [file_answer(B, 8, None)]);
    assert_eq!(bench.pass(Duration::from_secs(31)).len(), 8);
    for id in 0..100 {
        bench.event(B, ClipboardEvent::Locked(id));
    }
    bench.hub.leave(bench.now, B);
    assert_eq!(bench.hub.effects().len(), 8, "so many lists are kept for one viewer");
}

#[test]
fn a_list_of_files_with_names_that_lead_elsewhere_does_not_pass() {
    let mut bench = Bench::with(&[A, B]);
    bench.copy(A, &[LIST]);
    bench.settle();
    for (name, passes) in [("a.txt", true), ("..\\a.txt", false)] {
        let list = [&1u32.to_le_bytes()[..], &descriptor(name, 5)].concat();
        let token = asked(&bench.want(B, LIST), A, LIST);
        assert_eq!(
            bench.give(A, token, Some(&list)),
            [answer(B, passes.then_some(&list[..]))]
        );
    }
}
