//! Character devices that are taken over from a real QEMU whose guest never rests, and given back.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rdpmux_guest::qemu::{Config, HandBack, TakeOver};
use rdpmux_guest::{GuestEvent, GuestSpec, StreamPort, spawn};
use rdpmux_model::Pattern;
use rdpmux_streams::hub::Output;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::hypervisor::{Hypervisor, programs, qmp_path};
use crate::viewer::LIMIT;

/// A boot sector that counts on the first serial port as fast as it takes it: `aaaa` to `pppp`, a line each. What is typed
/// comes back behind a `<`, a break as `<B`.
const COUNTER: &[u8] = &[
    0x31, 0xC9, 0x89, 0xCB, 0xBE, 0x04, 0x00, 0xC1, 0xC3, 0x04, 0x88, 0xD8, 0x24, 0x0F, 0x04, 0x61, 0xE8, 0x2F, 0x00,
    0x4E, 0x75, 0xF1, 0xB0, 0x0A, 0xE8, 0x27, 0x00, 0x41, 0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x01, 0x74, 0xDE, 0x88, 0xC4,
    0xBA, 0xF8, 0x03, 0xEC, 0xF6, 0xC4, 0x10, 0x74, 0x02, 0xB0, 0x42, 0x50, 0xB0, 0x3C, 0xE8, 0x0B, 0x00, 0x58, 0xE8,
    0x07, 0x00, 0xB0, 0x0A, 0xE8, 0x02, 0x00, 0xEB, 0xC0, 0x50, 0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x20, 0x74, 0xFB, 0x58,
    0xBA, 0xF8, 0x03, 0xEE, 0xC3,
];

/// Takes over and back, this often, unless `RDPMUX_CYCLES` says otherwise, as `cargo xtask e2e streams` does.
const CYCLES: usize = 4;

fn boot_sector(directory: &Path) -> String {
    let mut sector = COUNTER.to_vec();
    sector.resize(510, 0);
    sector.extend([0x55, 0xAA]);
    // A floppy disk.
    sector.resize(1_474_560, 0);
    let path = directory.join("counter.img");
    std::fs::write(&path, sector).expect("image");
    format!("file={},format=raw,if=floppy", path.display())
}

/// How many lines count on from one another; panics where they do not.
fn counted(text: &[u8]) -> usize {
    let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    // The last may be half, and the first too where one begins to listen.
    lines.pop();
    let number = |line: &[u8]| {
        assert!(
            line.len() == 4 && line.iter().all(|byte| (b'a'..=b'p').contains(byte)),
            "{}",
            line.escape_ascii()
        );
        line.iter()
            .fold(0_u16, |number, byte| number << 4 | u16::from(byte - b'a'))
    };
    let mut before = None;
    for line in &lines {
        let now = number(line);
        assert!(
            before.is_none_or(|before: u16| before.wrapping_add(1) == now),
            "{before:?} {now}"
        );
        before = Some(now);
    }
    lines.len()
}

async fn heard(port: &mut StreamPort, wanted: usize) -> Vec<u8> {
    let mut heard = Vec::new();
    while heard.len() < wanted {
        let output = timeout(LIMIT, port.output.recv()).await.expect("the guest counts on");
        if let Some(Output::Bytes(bytes)) = output {
            heard.extend(bytes);
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "the suite `streams` shows the figure")]
async fn a_busy_line_changes_hands_many_times_without_a_stall_or_a_lost_byte() {
    let cycles = std::env::var("RDPMUX_CYCLES").map_or(CYCLES, |text| text.parse().expect("a number"));
    for program in programs() {
        let directory = TempDir::new().expect("directory");
        let log = directory.path().join("count.log");
        let (drive, serial) = (boot_sector(directory.path()), format!("file:{}", log.display()));
        let mut qemu = Hypervisor::start(
            &program,
            &directory,
            &["-vga", "std", "-drive", &drive, "-serial", &serial],
        );
        let mut through_us = 0;
        for _ in 0..cycles {
            let hand_back = HandBack::default();
            let config = Config {
                take_over: Some(TakeOver {
                    labels: vec![Pattern::new("serial*")],
                    restore: BTreeMap::new(),
                    directory: directory.path().join("journal"),
                    hand_back: hand_back.clone(),
                }),
                ..Config::qmp(qmp_path(&directory))
            };
            let (sender, mut events) = mpsc::channel(16);
            let task = spawn(GuestSpec::Qemu(config), "web1".to_owned(), sender);
            let mut port = loop {
                let event = timeout(LIMIT, events.recv()).await.expect("in time");
                if let GuestEvent::StreamAdded(port) = event.expect("running") {
                    break port;
                }
            };
            let text = heard(&mut port, 500).await;
            let first = text.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
            through_us += counted(&text[first..]);
            let draining = tokio::spawn(async move { while port.output.recv().await.is_some() {} });
            timeout(LIMIT, hand_back.all()).await.expect("handed back");
            draining.await.expect("drained");
            drop(task);
        }
        let status = qemu.command("query-status", &json!({}));
        assert_eq!(status["running"], true);
        let length = || std::fs::metadata(&log).expect("log").len();
        let before = length();
        let start = std::time::Instant::now();
        while length() < before + 1000 {
            assert!(start.elapsed() < LIMIT, "the line stalls");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(qemu);
        let text = std::fs::read(&log).expect("log");
        let all = counted(&text);
        assert!(all > through_us, "{program}");
        println!("counted {all} lines without a gap on {program}");
    }
}
