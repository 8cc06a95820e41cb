//! Encodes frames off the session tasks. Each session has at most one job here and places are given in the order of
//! asking, so sessions with much to draw do not starve the others.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdpmux_engine::FrameJob;
use rdpmux_model::FrameId;
use rdpmux_rdp::{FrameError, FrameWriter};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// As many encodes at once as the machine has cores.
pub(crate) struct EncodePool {
    places: Arc<Semaphore>,
}

/// A frame ready for the wire, and the writer that comes back.
pub(crate) struct Encoded {
    pub(crate) writer: FrameWriter,
    /// Bytes of the pixels that were looked at.
    pub(crate) raw: usize,
    pub(crate) result: Result<(FrameId, Bytes), FrameError>,
}

impl EncodePool {
    pub(crate) fn for_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            places: Arc::new(Semaphore::new(cores)),
        }
    }

    /// Starts a job; `clock` is the session's age for the frame's time stamp.
    pub(crate) fn submit(&self, job: FrameJob, mut writer: FrameWriter, clock: Duration) -> JoinHandle<Encoded> {
        let places = Arc::clone(&self.places);
        tokio::spawn(async move {
            let _place = places.acquire_owned().await.expect("the semaphore is never closed");
            let encode = move || {
                let mut out = Vec::new();
                let raw = job.raw_bytes();
                let result = writer.write(&job.encode(), clock.as_millis() as u32, &mut out);
                Encoded {
                    writer,
                    raw,
                    result: result.map(|id| (id, Bytes::from(out))),
                }
            };
            match tokio::task::spawn_blocking(encode).await {
                Ok(encoded) => encoded,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        })
    }
}
