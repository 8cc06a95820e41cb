//! Heads that nobody looks at: their displays rest, and whoever comes sees the present first.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rdpmux_guest::GuestSpec;
use rdpmux_guest::qemu::Config;
use rdpmux_model::{Audience, Presence, Size};
use serde_json::json;
use tempfile::TempDir;

use crate::hypervisor::{GRUB, Hypervisor, MEMTEST, QEMU7, qmp_path};
use crate::impostor::{call, pose_as_qemu};
use crate::picture::{self, differing};
use crate::viewer::Viewer;

const XRGB: u32 = 0x2002_0888;

/// Of an impatient backend.
async fn viewer(directory: &TempDir) -> Viewer {
    Viewer::of(GuestSpec::Qemu(Config {
        rest_after: Duration::from_millis(100),
        ..Config::qmp(qmp_path(directory))
    }))
    .await
}

/// Tells the backend how many look and waits until it is so.
async fn look(viewer: &mut Viewer, viewers: usize) {
    viewer.head().audience.send_replace(Audience::new(viewers, 30));
    viewer
        .until_state("as the audience wants it", |state| state.resting == (viewers == 0))
        .await;
    assert_eq!(viewer.head().state.borrow().presence, Presence::Running);
}

fn scanout(edge: u32, shade: u8) -> Vec<u8> {
    let pixels = vec![shade; edge as usize * edge as usize * 4];
    call("Scanout", "uuuuay", &[edge, edge, edge * 4, XRGB], &pixels)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_goes_with_the_last_viewer_and_the_next_one_sees_the_present() {
    let directory = TempDir::new().expect("directory");
    let (lives, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, opened) = (lives.clone(), open.clone());
    let script = move |socket: &mut UnixStream| {
        opened.fetch_add(1, Ordering::SeqCst);
        let life = count.fetch_add(1, Ordering::SeqCst) as u8;
        // As QEMU: the picture of the last refresh, then what changed since, perhaps the mode.
        let _ = socket.write_all(&scanout(64, 10 * life));
        let _ = socket.write_all(&scanout(96 + u32::from(life), 10 * life + 5));
        let _ = std::io::copy(socket, &mut std::io::sink());
        opened.fetch_sub(1, Ordering::SeqCst);
    };
    pose_as_qemu(&directory.path().join("qmp"), Arc::new(script));
    let mut viewer = viewer(&directory).await;
    viewer
        .until_picture("first picture", |size, _| size == Size::new(96, 96))
        .await;
    for life in 1..=3 {
        look(&mut viewer, 0).await;
        viewer
            .until_picture("no listener", |_, _| open.load(Ordering::SeqCst) == 0)
            .await;
        look(&mut viewer, 1).await;
        let (size, pixels) = viewer.head().surface.snapshot();
        assert_eq!(size, Size::new(96 + life, 96 + life));
        assert_eq!(u32::from(pixels[0]), 10 * life + 5);
    }
    assert_eq!(lives.load(Ordering::SeqCst), 4);
    assert_eq!(viewer.task.counters().attached.load(Ordering::Relaxed), 1);
}

/// Looks at a stopped machine that rests: what is called current has to be QEMU's own picture at once.
async fn compare(viewer: &mut Viewer, qemu: &mut Hypervisor, name: &str) {
    qemu.command("stop", &json!({}));
    look(viewer, 1).await;
    let (size, pixels) = viewer.head().surface.snapshot();
    picture::save(name, size, &pixels);
    let (dumped, dump) = qemu.screendump();
    assert_eq!(size, dumped);
    assert_eq!(differing(&picture::rgb(&pixels), &dump), 0, "{name}");
    qemu.command("cont", &json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn qemu_that_rested_shows_its_present_picture_first_and_its_end_is_noticed() {
    let directory = TempDir::new().expect("directory");
    let mut qemu = Hypervisor::start(QEMU7, &directory, &[&["-vga", "std"], MEMTEST].concat());
    let mut viewer = viewer(&directory).await;
    viewer
        .until_picture("memtest", |size, pixels| {
            size == Size::new(720, 400) && lit(pixels) > 500
        })
        .await;
    let watched = qemu.sockets();
    for round in 0..3 {
        look(&mut viewer, 0).await;
        viewer
            .until_picture("a socket less in qemu", |_, _| qemu.sockets() + 1 == watched)
            .await;
        let generation = viewer.head().surface.generation();
        // The guest draws on, which only QEMU itself knows.
        let (_, before) = qemu.screendump();
        viewer
            .until_picture("a guest that draws on", |_, _| {
                differing(&before, &qemu.screendump().1) > 0
            })
            .await;
        assert_eq!(viewer.head().surface.generation(), generation);
        compare(&mut viewer, &mut qemu, &format!("rested-{round}")).await;
    }
    look(&mut viewer, 0).await;
    drop(qemu);
    viewer
        .until_state("gone", |state| matches!(state.presence, Presence::Gone { .. }))
        .await;
    assert!(!viewer.head().state.borrow().resting);
}

#[tokio::test(flavor = "multi_thread")]
async fn modes_change_and_keys_arrive_while_a_display_rests() {
    let directory = TempDir::new().expect("directory");
    let mut qemu = Hypervisor::start(QEMU7, &directory, &[&["-vga", "std", "-S"], GRUB].concat());
    let mut viewer = viewer(&directory).await;
    viewer
        .until_state("running", |state| state.presence == Presence::Running)
        .await;
    look(&mut viewer, 0).await;
    qemu.command("cont", &json!({}));
    viewer
        .until_picture("menu in qemu", |_, _| bright(&qemu.screendump().1) > 20_000)
        .await;
    viewer.press(0x2E, false).await;
    viewer
        .until_picture("command line in qemu", |_, _| {
            (500..12_000).contains(&bright(&qemu.screendump().1))
        })
        .await;
    assert!(viewer.head().state.borrow().resting);
    compare(&mut viewer, &mut qemu, "rested-grub").await;
}

/// Pixels of four bytes that are not dark.
fn lit(pixels: &[u8]) -> usize {
    pixels.iter().step_by(4).filter(|blue| **blue > 0x60).count()
}

/// Pixels of three bytes that are not dark.
fn bright(rgb: &[u8]) -> usize {
    rgb.iter().skip(2).step_by(3).filter(|blue| **blue > 0x60).count()
}
