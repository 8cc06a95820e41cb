//! Peers that pose as QEMU and do not behave: each loses its connection, says so on the card, and is tried again.

use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rdpmux_guest::GuestSpec;
use rdpmux_guest::qemu::Config;
use rdpmux_model::{Presence, Size};
use tempfile::TempDir;

use crate::impostor::{call, pose_as_qemu};
use crate::picture;
use crate::viewer::{LIMIT, Viewer};

const XRGB: u32 = 0x2002_0888;

fn scanout(edge: u32, shade: u8) -> Vec<u8> {
    let pixels = vec![shade; edge as usize * edge as usize * 4];
    call("Scanout", "uuuuay", &[edge, edge, edge * 4, XRGB], &pixels)
}

async fn viewer(directory: &TempDir) -> Viewer {
    Viewer::of(GuestSpec::Qemu(Config::qmp(directory.path().join("qmp")))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_ends_the_connection_and_an_honest_one_follows() {
    let mut big_header = call("Scanout", "uuuuay", &[1, 1, 4, XRGB], &[0; 4]);
    big_header[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut big_body = big_header.clone();
    big_body[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut big_endian = scanout(2, 1);
    big_endian[0] = b'B';
    let nonsense = [
        vec![0xFF; 4096],
        vec![0; 4096],
        b"HTTP/1.1 200 OK\r\n\r\n and more".to_vec(),
        big_header,
        big_body,
        big_endian,
        call("Scanout", "uuuuay", &[u32::MAX, u32::MAX, u32::MAX, XRGB], &[0; 16]),
        call("Update", "iiiiuuay", &[u32::MAX, 0, 1, 1, 4, XRGB], &[0; 4]),
        call("CursorDefine", "iiiiay", &[u32::MAX, u32::MAX, 0, 0], &[0; 4]),
    ];
    for (index, bytes) in nonsense.into_iter().enumerate() {
        let directory = TempDir::new().expect("directory");
        let lives = AtomicUsize::new(0);
        let script = move |socket: &mut UnixStream| {
            // The daemon closes its end at the first nonsense.
            let first = lives.fetch_add(1, Ordering::Relaxed) == 0;
            let _ = socket.write_all(&scanout(96, 50));
            if first {
                let _ = socket.write_all(&bytes);
            }
            let _ = std::io::copy(socket, &mut std::io::sink());
        };
        pose_as_qemu(&directory.path().join("qmp"), Arc::new(script));
        let mut viewer = viewer(&directory).await;
        let gone = |presence: &Presence| matches!(presence, Presence::Gone { .. });
        viewer
            .until_state(&format!("gone after nonsense {index}"), |state| gone(&state.presence))
            .await;
        assert_eq!(
            viewer.task.counters().refused.load(Ordering::Relaxed),
            1,
            "nonsense {index}"
        );
        viewer
            .until_state("running", |state| state.presence == Presence::Running)
            .await;
        viewer
            .until_picture("picture", |size, pixels| {
                size == Size::new(96, 96) && pixels[..3] == [50; 3]
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_the_mode_before_is_cut_and_not_refused() {
    let directory = TempDir::new().expect("directory");
    let script = |socket: &mut UnixStream| {
        // QEMU 7.2 does this while GRUB goes from 720x400 to 640x480.
        let wide = call("Update", "iiiiuuay", &[0, 0, 128, 1, 512, XRGB], &[77; 512]);
        let below = call("Update", "iiiiuuay", &[0, 200, 1, 1, 4, XRGB], &[77; 4]);
        let _ = socket.write_all(&[scanout(96, 50), wide, below].concat());
        let _ = std::io::copy(socket, &mut std::io::sink());
    };
    pose_as_qemu(&directory.path().join("qmp"), Arc::new(script));
    let mut viewer = viewer(&directory).await;
    viewer
        .until_picture("the part inside", |size, pixels| {
            size == Size::new(96, 96) && pixels[..3] == [77; 3] && pixels[96 * 4..96 * 4 + 3] == [50; 3]
        })
        .await;
    assert_eq!(viewer.task.counters().refused.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_frames_are_taken_while_nobody_looks() {
    let directory = TempDir::new().expect("directory");
    let sent = Arc::new(AtomicBool::new(false));
    let told = sent.clone();
    let script = move |socket: &mut UnixStream| {
        let (light, dark) = (scanout(512, 200), scanout(512, 20));
        for _ in 0..500 {
            socket.write_all(&light).expect("taken");
            socket.write_all(&dark).expect("taken");
        }
        socket.write_all(&scanout(64, 99)).expect("taken");
        told.store(true, Ordering::Relaxed);
        let _ = std::io::copy(socket, &mut std::io::sink());
    };
    pose_as_qemu(&directory.path().join("qmp"), Arc::new(script));
    let mut viewer = viewer(&directory).await;
    viewer
        .until_picture("last frame", |size, pixels| {
            size == Size::new(64, 64) && pixels[..3] == [99; 3]
        })
        .await;
    assert!(sent.load(Ordering::Relaxed));
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_are_no_free_qmp_say_so_on_the_card() {
    let answers = ["", "{\"hello\": 1}\r\n", "SSH-2.0-OpenSSH\r\n", "{\"QMP\": 1}\n"];
    for (index, answer) in answers.into_iter().enumerate() {
        let directory = TempDir::new().expect("directory");
        let listener = UnixListener::bind(directory.path().join("qmp")).expect("socket");
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for socket in listener.incoming() {
                let mut socket = socket.expect("accepted");
                let _ = socket.write_all(answer.as_bytes());
                open.push(socket);
            }
        });
        let mut viewer = viewer(&directory).await;
        let failed = || viewer.task.counters().failed.load(Ordering::Relaxed);
        let start = std::time::Instant::now();
        while failed() == 0 {
            assert!(start.elapsed() < LIMIT, "no failure in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(viewer.head().state.borrow().presence, Presence::Waiting);
        // The card names the trouble in more lines than the one that waits.
        viewer.until_picture("card", |_, pixels| bright(pixels) > 5_000).await;
        let (size, pixels) = viewer.head().surface.snapshot();
        picture::save(&format!("trouble-{index}"), size, &pixels);
    }
}

fn bright(pixels: &[u8]) -> usize {
    pixels.iter().step_by(4).filter(|blue| **blue > 0xB0).count()
}
