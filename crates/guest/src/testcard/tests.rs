use rdpmux_model::{Button, InputEvent, PointerShape, Scancode, Size, WheelAxis};
use tokio::sync::mpsc;

use super::Config;
use crate::port::{GuestEvent, HeadPort};
use crate::{GuestSpec, GuestTask, spawn};

async fn card(size: Size) -> (GuestTask, HeadPort) {
    let (sender, mut events) = mpsc::channel(4);
    let task = spawn(
        GuestSpec::TestCard(Config { size, still: true }),
        "web1".to_owned(),
        sender,
    );
    let Some(GuestEvent::HeadAdded(port)) = events.recv().await else {
        panic!("head 0 comes first")
    };
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    (task, port)
}

async fn press(port: &mut HeadPort, code: u8) {
    let scancode = Scancode::new(code, false).expect("a valid code");
    for down in [true, false] {
        act(port, InputEvent::Key { scancode, down }).await;
    }
}

/// Sends an event and waits until the picture has changed.
async fn act(port: &mut HeadPort, event: InputEvent) {
    port.frames.borrow_and_update();
    port.input.send(event).await.expect("the card runs");
    port.frames.changed().await.expect("the card runs");
}

#[tokio::test]
async fn two_still_cards_are_equal_and_input_is_echoed_the_same_way() {
    let (_a_task, mut a) = card(Size::new(1024, 768)).await;
    let (_b_task, mut b) = card(Size::new(1024, 768)).await;
    let before = a.surface.snapshot();
    assert!(before == b.surface.snapshot());
    for port in [&mut a, &mut b] {
        press(port, 0x1E).await;
        act(port, InputEvent::MoveTo { x: 300, y: 200 }).await;
        act(
            port,
            InputEvent::Button {
                button: Button::Left,
                down: true,
            },
        )
        .await;
        act(
            port,
            InputEvent::Wheel {
                axis: WheelAxis::Vertical,
                delta: -120,
            },
        )
        .await;
    }
    assert!(a.surface.snapshot() != before);
    assert!(a.surface.snapshot() == b.surface.snapshot());
}

#[tokio::test]
async fn f3_changes_the_size_and_f4_the_pointer() {
    let (_task, mut port) = card(Size::new(1024, 768)).await;
    press(&mut port, 0x3D).await;
    assert_eq!(port.surface.size(), Size::new(1280, 800));
    assert!(matches!(port.state.borrow().pointer.clone(), PointerShape::Image(i) if i.size() == Size::new(32, 32)));
    press(&mut port, 0x3E).await;
    assert!(matches!(port.state.borrow().pointer.clone(), PointerShape::Image(i) if i.size() == Size::new(96, 96)));
    press(&mut port, 0x3E).await;
    assert_eq!(port.state.borrow().pointer, PointerShape::Hidden);
}

#[tokio::test]
async fn absurd_sizes_positions_and_floods_of_text_do_no_harm() {
    for size in [Size::new(0, 0), Size::new(u32::MAX, 1)] {
        let (_task, mut port) = card(size).await;
        assert!(port.surface.size().is_valid());
        act(
            &mut port,
            InputEvent::MoveTo {
                x: u32::MAX,
                y: u32::MAX,
            },
        )
        .await;
        act(
            &mut port,
            InputEvent::MoveBy {
                dx: i32::MIN,
                dy: i32::MAX,
            },
        )
        .await;
        for code in 1..=0x7F {
            press(&mut port, code).await;
            for extended in [true, false] {
                let scancode = Scancode::new(code, extended).expect("a valid code");
                let event = InputEvent::Key { scancode, down: true };
                port.input.send(event).await.expect("the card runs");
            }
        }
    }
}

#[tokio::test]
async fn the_card_ends_when_nobody_takes_its_events() {
    let (sender, mut events) = mpsc::channel(1);
    let task = spawn(GuestSpec::TestCard(Config::default()), String::new(), sender);
    let Some(GuestEvent::HeadAdded(port)) = events.recv().await else {
        panic!("head 0 comes first")
    };
    drop(events);
    port.input.closed().await;
    drop(task);
}
