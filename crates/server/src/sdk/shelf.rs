//! Where a picture of the whole desktop lies while no client can take it: a display paints at its own rate, and to compare
//! and copy a picture that the next one replaces is work for nobody. All else is shown at once, in the order that it came.

use std::future::pending;
use std::time::Duration;

use rdpmux_model::Size;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::display::DisplayUpdate;
use super::pixel_format::with_rows;

/// See the module.
#[derive(Default)]
pub(super) struct Shelf(Option<(DisplayUpdate, Instant)>);

/// Others than clients look at the desktop, too: it is never older than this.
const LONGEST: Duration = Duration::from_millis(250);

impl Shelf {
    /// Takes an update for a desktop of this size. Gives what is to be shown now, in this order.
    pub(super) fn put(
        &mut self,
        update: DisplayUpdate,
        desktop: Size,
        somebody_waits: bool,
    ) -> [Option<DisplayUpdate>; 2] {
        if is_pointer(&update) {
            return [None, Some(update)];
        }
        if !is_whole(&update, desktop) {
            return [self.take(), Some(update)];
        }
        let replaced = self.0.take();
        if somebody_waits {
            return [None, Some(update)];
        }
        let until = replaced.map_or_else(|| Instant::now() + LONGEST, |(_, until)| until);
        self.0 = Some((update, until));
        [None, None]
    }

    /// What lies there.
    pub(super) fn take(&mut self) -> Option<DisplayUpdate> {
        self.0.take().map(|(update, _)| update)
    }

    /// What lies there, when it is to be shown: a client waits for a picture, or it is old. Cancel-safe.
    pub(super) async fn next(&mut self, waiting: &mut watch::Receiver<usize>) -> DisplayUpdate {
        if let Some((_, until)) = &self.0 {
            // If nobody is left who could wait it is time as well.
            let _ = timeout_at(*until, waiting.wait_for(|count| *count > 0)).await;
        }
        match self.take() {
            Some(update) => update,
            None => pending().await,
        }
    }
}

fn is_pointer(update: &DisplayUpdate) -> bool {
    !matches!(update, DisplayUpdate::Bitmap(_) | DisplayUpdate::Resize(_))
}

/// Whether nothing of the desktop can be seen after it that was there before.
fn is_whole(update: &DisplayUpdate, desktop: Size) -> bool {
    let DisplayUpdate::Bitmap(bitmap) = update else {
        return false;
    };
    let size = Size::new(bitmap.width.get().into(), bitmap.height.get().into());
    let is_sound = || with_rows(&bitmap.data, size, bitmap.stride.get(), bitmap.format, |_| ()).is_ok();
    (bitmap.x, bitmap.y, size) == (0, 0, desktop) && is_sound()
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU16, NonZeroUsize};

    use tokio::time::timeout;

    use super::*;
    use crate::{BitmapUpdate, DesktopSize, PixelFormat};

    const DESKTOP: Size = Size::new(4, 2);

    /// Of one byte value; of the whole desktop if it begins in column 0.
    fn bitmap(x: u16, value: u8, bytes: usize) -> DisplayUpdate {
        DisplayUpdate::Bitmap(BitmapUpdate {
            x,
            y: 0,
            width: NonZeroU16::new(4 - x).expect("inside"),
            height: NonZeroU16::new(2).expect("a constant"),
            format: PixelFormat::BgrX32,
            data: vec![value; bytes].into(),
            stride: NonZeroUsize::new(16).expect("a constant"),
        })
    }

    fn values(shown: [Option<DisplayUpdate>; 2]) -> Vec<Option<u8>> {
        let value = |update| match update {
            DisplayUpdate::Bitmap(bitmap) => bitmap.data.first().copied(),
            _ => None,
        };
        shown.into_iter().flatten().map(value).collect()
    }

    #[test]
    fn a_picture_that_nobody_can_take_is_replaced_by_the_next() {
        let mut shelf = Shelf::default();
        for value in 1..4 {
            assert_eq!(values(shelf.put(bitmap(0, value, 32), DESKTOP, false)), []);
        }
        assert_eq!(values(shelf.put(DisplayUpdate::HidePointer, DESKTOP, false)), [None]);
        assert_eq!(values([shelf.take(), shelf.take()]), [Some(3)]);
        assert_eq!(values(shelf.put(bitmap(0, 4, 32), DESKTOP, false)), []);
        assert_eq!(values(shelf.put(bitmap(0, 5, 32), DESKTOP, true)), [Some(5)]);
        assert!(shelf.take().is_none(), "the older one is not shown after the newer one");
    }

    #[test]
    fn what_does_not_hide_it_is_shown_after_it() {
        let part = || bitmap(1, 7, 28);
        let cut = || bitmap(0, 8, 31);
        let resize = || DisplayUpdate::Resize(DesktopSize { width: 8, height: 8 });
        let after = [(part(), Some(7)), (cut(), Some(8)), (resize(), None)];
        for (update, value) in after {
            let mut shelf = Shelf::default();
            assert_eq!(values(shelf.put(bitmap(0, 6, 32), DESKTOP, false)), []);
            assert_eq!(values(shelf.put(update, DESKTOP, false)), [Some(6), value]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_shown_when_a_client_waits_and_after_a_while() {
        let (sender, mut waiting) = watch::channel(1);
        let mut shelf = Shelf::default();
        let mut soon = async |shelf: &mut Shelf| {
            let next = timeout(LONGEST / 2, shelf.next(&mut waiting)).await;
            values([next.ok(), None])
        };
        assert_eq!(soon(&mut shelf).await, [], "nothing is there");
        sender.send_replace(0);
        shelf.put(bitmap(0, 1, 32), DESKTOP, false);
        assert_eq!(soon(&mut shelf).await, []);
        // A picture that replaces another is not younger.
        shelf.put(bitmap(0, 2, 32), DESKTOP, false);
        assert_eq!(soon(&mut shelf).await, [Some(2)]);
        shelf.put(bitmap(0, 3, 32), DESKTOP, false);
        assert_eq!(soon(&mut shelf).await, []);
        sender.send_replace(1);
        assert_eq!(soon(&mut shelf).await, [Some(3)]);
    }
}
