//! Against QEMU as it is installed: pictures compared with its own screendump, coming and going, memory.

use rdpmux_guest::qemu::Config;
use rdpmux_guest::{GuestSpec, Notice};
use rdpmux_model::{InputEvent, Presence, Size, WheelAxis};
use serde_json::json;
use tempfile::TempDir;

use crate::hypervisor::{GRUB, Hypervisor, MEMTEST, programs, qmp_path};
use crate::picture::{self, differing};
use crate::viewer::Viewer;

const VGA: &[&str] = &["-vga", "std"];

async fn viewer(directory: &TempDir) -> Viewer {
    Viewer::of(GuestSpec::Qemu(Config::qmp(qmp_path(directory)))).await
}

/// Pixels that are blue, as the background of memtest86+ is.
fn blue(pixels: &[u8]) -> usize {
    let blue = |pixel: &&[u8; 4]| pixel[0] > 0x90 && pixel[1] < 0x30 && pixel[2] < 0x30;
    pixels.as_chunks::<4>().0.iter().filter(blue).count()
}

/// Pixels that are not dark.
fn bright(pixels: &[u8]) -> usize {
    pixels.iter().step_by(4).filter(|blue| **blue > 0x60).count()
}

/// Stops the machine and waits until the surface is what QEMU says.
async fn compare(viewer: &mut Viewer, qemu: &mut Hypervisor, name: &str) {
    qemu.command("stop", &json!({}));
    let mut left = usize::MAX;
    viewer
        .until_picture("equal picture", |size, pixels| {
            let (dumped, dump) = qemu.screendump();
            left = if size == dumped {
                differing(&picture::rgb(pixels), &dump)
            } else {
                usize::MAX
            };
            left == 0
        })
        .await;
    let (size, pixels) = viewer.head().surface.snapshot();
    picture::save(name, size, &pixels);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_is_qemus_own_and_returns_after_qemu_was_killed() {
    for (index, program) in programs().iter().enumerate() {
        let directory = TempDir::new().expect("directory");
        let mut viewer = viewer(&directory).await;
        assert_eq!(viewer.head().state.borrow().presence, Presence::Waiting);
        for life in 0..2 {
            let mut qemu = Hypervisor::start(program, &directory, &[VGA, MEMTEST].concat());
            viewer
                .until_state("running", |state| state.presence == Presence::Running)
                .await;
            viewer
                .until_picture("memtest", |size, pixels| {
                    size == Size::new(720, 400) && blue(pixels) > 100_000
                })
                .await;
            compare(&mut viewer, &mut qemu, &format!("memtest-{index}-{life}")).await;
            drop(qemu);
            viewer
                .until_state("gone", |state| matches!(state.presence, Presence::Gone { .. }))
                .await;
            let (size, pixels) = viewer.head().surface.snapshot();
            picture::save(&format!("gone-{index}-{life}"), size, &pixels);
        }
        viewer.until_event("name", |viewer| viewer.name.is_some()).await;
        assert_eq!(viewer.name.as_deref(), Some("machine-1"));
        assert_eq!(viewer.heads.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_reach_the_guest_and_notices_reach_the_owner() {
    for (index, program) in programs().iter().enumerate() {
        let directory = TempDir::new().expect("directory");
        let mut qemu = Hypervisor::start(program, &directory, &[VGA, GRUB].concat());
        let mut viewer = viewer(&directory).await;
        viewer
            .until_state("running", |state| state.presence == Presence::Running)
            .await;
        viewer.until_picture("menu", |_, pixels| bright(pixels) > 20_000).await;
        viewer.press(0x2E, false).await;
        // GRUB clears the menu bit by bit, and its cursor blinks.
        let (mut shown, mut steady) = (0, 0);
        viewer
            .until_picture("command line", |_, pixels| {
                let before = std::mem::replace(&mut shown, bright(pixels));
                steady = if shown.abs_diff(before) < 30 { steady + 1 } else { 0 };
                (500..12_000).contains(&shown) && steady > 4
            })
            .await;
        for code in [0x12, 0x2E, 0x23, 0x18, 0x39, 0x1E, 0x30] {
            viewer.press(code, false).await;
        }
        viewer
            .until_picture("typed text", |_, pixels| bright(pixels) > shown + 100)
            .await;
        for step in 1..50 {
            let motion = InputEvent::MoveTo {
                x: step * 5,
                y: step * 3,
            };
            let turn = InputEvent::Wheel {
                axis: WheelAxis::Horizontal,
                delta: 120,
            };
            for event in [motion, turn] {
                viewer.head().input.send(event).await.expect("the backend runs");
            }
        }
        compare(&mut viewer, &mut qemu, &format!("grub-{index}")).await;
        qemu.command("cont", &json!({}));
        qemu.command("system_reset", &json!({}));
        let wanted = [Notice::Paused, Notice::Resumed, Notice::Reset];
        viewer
            .until_event("notices", |viewer| {
                wanted.iter().all(|notice| viewer.notices.contains(notice))
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_found_and_memory_stays_flat_while_nobody_looks() {
    for program in programs() {
        let directory = TempDir::new().expect("directory");
        let heads = ["-device", "virtio-vga,max_outputs=2"];
        let qemu = Hypervisor::start(&program, &directory, &[&heads, MEMTEST].concat());
        let mut viewer = viewer(&directory).await;
        viewer
            .until_event("second head", |viewer| viewer.heads.len() == 2)
            .await;
        viewer
            .until_picture("text of memtest", |size, _| size == Size::new(720, 400))
            .await;
        // The guest has 256 MiB and touches all of it; QEMU's own part has to stay what it is without a display.
        let mut frames = 0;
        while frames < 30 {
            viewer.head().frames.changed().await.expect("the backend runs");
            frames += 1;
        }
        let resident = qemu.resident();
        assert!(resident < 550, "qemu has {resident} MiB");
    }
}
