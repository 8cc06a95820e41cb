//! The test card as people see it.

use rdpmux_guest::{GuestSpec, testcard};
use rdpmux_model::{InputEvent, Size};

use crate::picture;
use crate::viewer::Viewer;

#[tokio::test]
async fn the_card_is_a_picture_at_every_size() {
    for size in [
        Size::new(1024, 768),
        Size::new(800, 600),
        Size::new(640, 480),
        Size::new(1920, 1080),
    ] {
        let config = testcard::Config { size, still: true };
        let mut viewer = Viewer::of(GuestSpec::TestCard(config)).await;
        for code in [0x23, 0x12, 0x26, 0x26, 0x18, 0x39, 0x11, 0x18, 0x13, 0x26, 0x20] {
            viewer.press(code, false).await;
        }
        let move_to = InputEvent::MoveTo {
            x: size.width / 2,
            y: size.height / 2,
        };
        viewer.head().input.send(move_to).await.expect("the card runs");
        let before = viewer.head().surface.generation();
        viewer.until_picture("echo", |_, _| true).await;
        while viewer.head().surface.generation() == before {
            viewer.head().frames.changed().await.expect("the card runs");
        }
        let (shown, pixels) = viewer.head().surface.snapshot();
        assert_eq!(shown, size);
        picture::save(&format!("testcard-{size}"), shown, &pixels);
        let colors: std::collections::HashSet<_> = pixels.as_chunks::<4>().0.iter().collect();
        assert!(colors.len() > 500, "{} colours", colors.len());
    }
}
