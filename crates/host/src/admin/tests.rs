//! The socket as programs meet it: with test cards behind it, requests of every kind, and hostile ones.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdStream;

use rdpmux_guest::testcard;
use rdpmux_model::{DesktopName, Pattern, Rights};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::config::{Config, Machine, Source};
use crate::registry::{Grant, Registry};
use crate::task::TaskGuard;

struct House {
    directory: TempDir,
    _registry: Registry,
    _door: (AdminSocket, TaskGuard),
}

impl House {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("tempdir");
        let config = Config {
            machines: vec![Machine {
                name: DesktopName::new("north").expect("valid"),
                source: Source::TestCard(testcard::Config::default()),
                resize: true,
                layout: None,
                take_over: crate::config::TakeOver::default(),
                streams: Vec::new(),
            }],
            grants: vec![Grant {
                users: vec![Pattern::new("victor")],
                vms: vec![Pattern::new("*")],
                rights: Rights::VIEW,
                clipboard: rdpmux_model::ClipboardPolicy::NONE,
                streams: crate::StreamGrant::NONE,
            }],
            ..Config::default()
        };
        let registry = Registry::start(&config).await;
        let office = Office {
            board: registry.board(),
            sessions: Sessions::default(),
        };
        let (socket, listener) = AdminSocket::bind(&directory.path().join("admin.sock")).expect("bound");
        let task = TaskGuard::spawn(serve(listener, Arc::new(office)));
        Self {
            directory,
            _registry: registry,
            _door: (socket, task),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("admin.sock")
    }

    /// The asking side blocks.
    async fn ask(&self, request: serde_json::Value) -> Result<Reply, CallError> {
        let request = parse(request.to_string().as_bytes())?;
        let path = self.path();
        let asked = tokio::task::spawn_blocking(move || call(&[path], &request));
        asked.await.expect("no panic")
    }

    async fn refusal(&self, request: serde_json::Value) -> Problem {
        match self.ask(request).await.expect_err("refused") {
            CallError::Refused(problem) => problem,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn the_operator_gets_pictures_and_types_and_others_by_their_rights() {
    let house = House::new().await;
    let reply = house
        .ask(json!({ "do": "screenshot", "desktop": "NORTH" }))
        .await
        .expect("a picture");
    let decoder = png::Decoder::new(std::io::Cursor::new(&reply.payload));
    let info = decoder.read_info().expect("a png").info().size();
    assert_eq!(json!({ "width": info.0, "height": info.1 }), reply.value);
    let keys =
        json!({ "do": "keys", "desktop": "north", "chords": ["ctrl-alt-del", "f1"], "text": "Hé!", "layout": "fr" });
    assert_eq!(
        house.ask(keys).await.expect("typed").value,
        json!({ "chords": 2, "characters": 3 })
    );
    assert!(
        house
            .ask(json!({ "do": "screenshot", "desktop": "north", "as": "victor" }))
            .await
            .is_ok()
    );
    for request in [
        json!({ "do": "keys", "desktop": "north", "text": "a", "as": "victor" }),
        json!({ "do": "power", "desktop": "north", "action": "reset", "as": "victor" }),
        json!({ "do": "screenshot", "desktop": "north", "as": "mallory" }),
        json!({ "do": "screenshot", "desktop": "nowhere", "as": "victor" }),
    ] {
        let problem = house.refusal(request.clone()).await;
        assert_eq!(problem.kind, ProblemKind::Denied, "{request} {problem}");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_said_by_name() {
    let house = House::new().await;
    for (request, kind) in [
        (
            json!({ "do": "screenshot", "desktop": "nowhere" }),
            ProblemKind::NotFound,
        ),
        (json!({ "do": "screenshot", "desktop": "a b\n" }), ProblemKind::NotFound),
        (
            json!({ "do": "power", "desktop": "north", "action": "reset" }),
            ProblemKind::Unavailable,
        ),
        (
            json!({ "do": "keys", "desktop": "north", "chords": ["hyper-x"] }),
            ProblemKind::BadRequest,
        ),
        (
            json!({ "do": "keys", "desktop": "north", "text": "ж" }),
            ProblemKind::BadRequest,
        ),
        (
            json!({ "do": "keys", "desktop": "north", "text": "a", "layout": "xx" }),
            ProblemKind::BadRequest,
        ),
        (json!({ "do": "disconnect", "session": "s1" }), ProblemKind::NotFound),
    ] {
        let problem = house.refusal(request.clone()).await;
        assert_eq!(problem.kind, kind, "{request} {problem}");
    }
    assert_eq!(
        house.ask(json!({ "do": "sessions" })).await.expect("none").value,
        json!([])
    );
}

#[tokio::test]
async fn hostile_programs_harm_nobody() {
    let house = House::new().await;
    // They take all places and say nothing, or no end.
    let mut silent: Vec<_> = (0..CONNECTIONS - 2)
        .map(|_| StdStream::connect(house.path()).expect("connected"))
        .collect();
    let path = house.path();
    let flood = tokio::task::spawn_blocking(move || {
        let mut stream = StdStream::connect(path).expect("connected");
        let garbage = vec![b'{'; 64 << 10];
        while stream.write_all(&garbage).is_ok() {}
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    });
    flood.await.expect("it was cut off");
    let path = house.path();
    let wrong = tokio::task::spawn_blocking(move || {
        let mut stream = StdStream::connect(path).expect("connected");
        stream.write_all(b"\n\0\xFF\n{\"do\":\"sessions\"}\n").expect("written");
        stream.shutdown(std::net::Shutdown::Write).expect("shut");
        let mut answers = String::new();
        stream.read_to_string(&mut answers).expect("answers");
        answers
    });
    let answers = wrong.await.expect("no panic");
    let kinds: Vec<_> = answers.lines().map(|line| line.contains("bad_request")).collect();
    assert_eq!(kinds, [true, true, false], "{answers}");
    assert!(house.ask(json!({ "do": "sessions" })).await.is_ok());
    silent.clear();
}

#[tokio::test]
async fn a_program_that_leaves_stops_its_typing_and_gives_its_place_back() {
    let house = House::new().await;
    // Five minutes of typing each, in all places.
    let text = json!({ "do": "keys", "desktop": "north", "text": "x".repeat(30_000) }).to_string() + "\n";
    for _ in 0..CONNECTIONS {
        let mut stream = StdStream::connect(house.path()).expect("connected");
        stream.write_all(text.as_bytes()).expect("written");
    }
    let freed = async {
        while house.ask(json!({ "do": "sessions" })).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, freed).await.expect("all places are free again");
}

#[tokio::test]
async fn the_socket_is_private_taken_over_from_the_dead_only_and_removed_at_the_end() {
    let house = House::new().await;
    let mode = std::fs::metadata(house.path()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = AdminSocket::bind(&house.path()).map(drop).expect_err("it lives");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let dead = house.directory.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).expect("bound"));
    let (socket, _listener) = AdminSocket::bind(&dead).expect("taken over");
    drop(socket);
    assert!(!dead.exists());
    let file = house.directory.path().join("file");
    std::fs::write(&file, "precious").expect("written");
    assert!(AdminSocket::bind(&file).is_err() && file.exists());
}

#[test]
fn without_a_daemon_the_error_says_where_it_was_looked_for() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("admin.sock");
    let error = call(std::slice::from_ref(&path), &Request::Sessions {}).expect_err("nobody");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}
