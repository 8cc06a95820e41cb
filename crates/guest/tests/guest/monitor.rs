//! QEMU's monitor as a stream, on real QEMUs.

use rdpmux_guest::qemu::Config;
use rdpmux_guest::{GuestEvent, GuestSpec, StreamPort, spawn};
use rdpmux_streams::Kind;
use rdpmux_streams::hub::{Input, Output};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::hypervisor::{Hypervisor, MEMTEST, programs, qmp_path};
use crate::viewer::LIMIT;

/// Types a line and returns what is shown until the next prompt.
async fn types(port: &mut StreamPort, line: &str) -> String {
    port.input
        .send(Input::Bytes(format!("{line}\r").into_bytes()))
        .await
        .expect("taken");
    shown(port).await
}

async fn shown(port: &mut StreamPort) -> String {
    let mut text = String::new();
    while !text.ends_with("(qemu) ") {
        let output = timeout(LIMIT, port.output.recv()).await.expect("an answer");
        if let Output::Bytes(bytes) = output.expect("it runs") {
            text += &String::from_utf8_lossy(&bytes);
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_monitor_are_run_and_answered() {
    for program in programs() {
        let directory = TempDir::new().expect("directory");
        let mut qemu = Hypervisor::start(&program, &directory, &[&["-vga", "std"], MEMTEST].concat());
        let config = Config {
            monitor: true,
            ..Config::qmp(qmp_path(&directory))
        };
        let (sender, mut events) = mpsc::channel(16);
        let _task = spawn(GuestSpec::Qemu(config), "web1".to_owned(), sender);
        let mut port = loop {
            let event = timeout(LIMIT, events.recv()).await.expect("in time");
            if let GuestEvent::StreamAdded(port) = event.expect("running") {
                break port;
            }
        };
        assert_eq!((port.label.name.as_str(), port.label.kind), ("monitor", Kind::Monitor));
        assert_eq!(shown(&mut port).await, "(qemu) ");
        assert_eq!(
            types(&mut port, "info statux\x7fs").await,
            "info statux\x08 \x08s\r\nVM status: running\r\n(qemu) "
        );
        types(&mut port, "stop").await;
        assert_eq!(qemu.command("query-status", &json!({}))["status"], "paused");
        let answer = types(&mut port, "nonsense \"").await;
        assert!(answer.contains("unknown command"), "{answer}");
        assert_eq!(types(&mut port, "  ").await, "  \r\n(qemu) ");
        // Longer than anything that QEMU says otherwise.
        let answer = types(&mut port, "info mtree").await;
        assert!(answer.len() > 5000 && !answer.replace("\r\n", "").contains('\n'));
        drop(qemu);
        // The connection ends, and so does the source.
        while timeout(LIMIT, port.output.recv()).await.expect("in time").is_some() {}
    }
}
