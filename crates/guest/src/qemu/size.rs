//! The task that tells QEMU what one head should be like (`SetUIInfo`), for as long as the head is there. Only virtio-gpu
//! passes it on to its guest; a guest that does not follow leaves everything as it is.

use std::time::Duration;

use rdpmux_engine::SurfaceReader;
use rdpmux_model::HeadShape;
use tokio::sync::watch;
use tokio::time::timeout;

use super::display::CONSOLE;
use super::floor::Floor;
use super::input::Target;

/// Longest wait for QEMU's answer.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// What the task reads and where it looks.
pub(super) struct SizePort {
    pub(super) index: u32,
    pub(super) shape: watch::Receiver<Option<HeadShape>>,
    pub(super) target: watch::Receiver<Option<Target>>,
    pub(super) surface: SurfaceReader,
    pub(super) floor: Floor,
}

/// Runs until nobody can want another shape.
pub(super) async fn run(mut port: SizePort) {
    // What this QEMU knows already.
    let mut told = None;
    loop {
        let target = port.target.borrow_and_update().clone();
        let shape = *port.shape.borrow_and_update();
        match (target, shape) {
            (None, _) => told = None,
            (Some(target), Some(shape)) if told != Some(shape) => {
                told = Some(shape);
                if tell(&target, shape).await {
                    port.floor.set(port.index, shape, &port.surface);
                }
            }
            _ => {}
        }
        tokio::select! {
            biased;
            changed = port.target.changed() => if changed.is_err() { return },
            changed = port.shape.changed() => if changed.is_err() { return },
        }
    }
}

/// Whether QEMU has taken it; the guest may still not follow.
async fn tell(target: &Target, shape: HeadShape) -> bool {
    let HeadShape {
        x,
        y,
        size,
        width_mm,
        height_mm,
    } = shape;
    // QEMU: q width_mm, q height_mm, i xoff, i yoff, u width, u height.
    let (x, y) = (x.cast_signed(), y.cast_signed());
    let body = (width_mm, height_mm, x, y, size.width, size.height);
    let call = target.display.call(&target.path, CONSOLE, "SetUIInfo", &body);
    match timeout(ANSWER_TIME, call).await {
        Ok(Ok(_)) => {
            tracing::debug!(console = %target.path, %shape, "head told its shape");
            true
        }
        Ok(Err(error)) => {
            tracing::info!(console = %target.path, %error, "this display does not take sizes from its viewers");
            false
        }
        Err(_) => {
            tracing::warn!(console = %target.path, "qemu does not answer to a new size");
            false
        }
    }
}
