//! Against QEMU as it is installed: pictures compared with its own screendump, coming and going, memory.

use rdpmux_guest::qemu::{Address, Config};
use rdpmux_guest::{GuestSpec, Notice};
use rdpmux_model::{InputEvent, Presence, Size, WheelAxis};
use serde_json::json;
use tempfile::TempDir;

use crate::hypervisor::{Bus, GRUB, Hypervisor, MEMTEST, programs, qmp_path};
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

/// Whether this process has a memory file of a QEMU open.
fn holds_a_shared_frame() -> bool {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("descriptors");
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets
        .into_iter()
        .any(|target| target.to_string_lossy().starts_with("/memfd:"))
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
            // Once is enough to have seen a guest with colours; it takes its time on a busy host.
            let wanted = if life == 0 { 100_000 } else { 0 };
            viewer
                .until_picture("memtest", |size, pixels| {
                    size == Size::new(720, 400) && blue(pixels) >= wanted
                })
                .await;
            compare(&mut viewer, &mut qemu, &format!("memtest-{index}-{life}")).await;
            // From version 10 on, frames come in shared memory.
            assert!(index == 0 || holds_a_shared_frame(), "{program}");
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

#[tokio::test(flavor = "multi_thread")]
async fn machines_on_a_bus_are_told_apart_by_their_uuid() {
    let uuids = [
        "11111111-2222-3333-4444-555555555555",
        "aaaaaaaa-2222-3333-4444-555555555555",
    ];
    let buses = TempDir::new().expect("directory");
    let bus = Bus::start(&buses);
    let config = |vm: Option<&str>| Config {
        address: Address::Bus {
            address: bus.address.clone(),
            vm: vm.map(str::to_owned),
        },
        qmp_stay: true,
        rest_after: Config::REST_AFTER,
        monitor: false,
        take_over: None,
    };
    let directories = uuids.map(|_| TempDir::new().expect("directory"));
    let display = format!("dbus,addr={}", bus.address);
    let mut machines: Vec<_> = uuids
        .iter()
        .zip(&directories)
        .map(|(uuid, directory)| {
            let arguments = [VGA, &["-uuid", uuid], MEMTEST].concat();
            Hypervisor::start_with(&display, "qemu-system-x86_64", directory, &arguments)
        })
        .collect();
    let mut viewer = Viewer::of(GuestSpec::Qemu(config(Some(uuids[1])))).await;
    viewer
        .until_state("running", |state| state.presence == Presence::Running)
        .await;
    viewer
        .until_picture("memtest", |size, pixels| {
            size == Size::new(720, 400) && bright(pixels) > 0
        })
        .await;
    compare(&mut viewer, &mut machines[1], "bus").await;
    let unnamed = Viewer::of(GuestSpec::Qemu(config(None))).await;
    let failed = || {
        unnamed
            .task
            .counters()
            .failed
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    while failed() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    drop(machines.pop());
    viewer
        .until_state("gone", |state| matches!(state.presence, Presence::Gone { .. }))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_display_that_is_taken_is_asked_for_again_and_then_left_alone() {
    let directory = TempDir::new().expect("directory");
    let mut qemu = Hypervisor::start("qemu-system-x86_64", &directory, &[VGA, MEMTEST].concat());
    let mut viewer = viewer(&directory).await;
    viewer
        .until_state("running", |state| state.presence == Presence::Running)
        .await;
    let attached = |viewer: &Viewer| {
        viewer
            .task
            .counters()
            .attached
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    for times in 1..=3 {
        qemu.take_display();
        viewer.until_picture("another attempt", |_, _| true).await;
        while attached(&viewer) == times {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        viewer
            .until_state("running", |state| state.presence == Presence::Running)
            .await;
    }
    qemu.take_display();
    viewer
        .until_state("gone", |state| matches!(state.presence, Presence::Gone { .. }))
        .await;
    assert_eq!(attached(&viewer), 4);
}
