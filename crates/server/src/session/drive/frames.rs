//! Frames of one session: when the next one may go, how good it is, what the client has of it.

use std::time::Duration;

use rdpmux_engine::codec::nsc;
use rdpmux_engine::{Pacer, PacerConfig, Pipeline, Profile, Readiness, VideoForm, VideoProfile};
use rdpmux_model::{FrameId, QueueDepth, Size};
use rdpmux_rdp::{FramePipe, FrameWriter, SurfaceCodec};
use tokio::time::Instant;
use tracing::debug;

use super::{Drive, End};
use crate::session::stream::{Ask, Follow, Made, Next};

/// A frame on its way: where it ends in the outbox and since when the client has all of it.
pub(super) struct Unacknowledged {
    id: FrameId,
    end: u64,
    delivered: Option<Instant>,
}

impl Drive {
    pub(super) fn on_pipe(&mut self, writer: FrameWriter) {
        debug!(session = %self.id, pipe = ?writer.kind(), "graphics ready");
        self.acknowledges = writer.acknowledges();
        let max_frames = self.context.config.limits.frames_in_flight;
        let config = PacerConfig {
            acknowledges: self.acknowledges,
            max_frames,
            ..PacerConfig::default()
        };
        self.pacer = Pacer::new(config);
        self.unacknowledged.clear();
        self.follow = Some(Follow::alone(self.id, writer, self.seat.desktop().surface()));
    }

    pub(super) fn on_ack(&mut self, id: FrameId, queue_depth: QueueDepth) {
        if let Some(index) = self.unacknowledged.iter().position(|frame| frame.id == id) {
            self.unacknowledged.drain(..=index);
        }
        if queue_depth == QueueDepth::Suspended {
            self.unacknowledged.clear();
        }
        self.pacer.on_ack(Instant::now().into_std(), id, queue_depth);
    }

    pub(super) fn on_progress(&mut self) {
        let (now, written) = (Instant::now(), self.outbox.written());
        self.meter.note(written, self.pacer.stats().min_round_trip);
        for frame in self.unacknowledged.iter_mut().filter(|frame| frame.end <= written) {
            frame.delivered.get_or_insert(now);
        }
    }

    /// Hands a frame to the outbox.
    pub(super) fn send(&mut self, made: &Made) -> Result<(), End> {
        let mut out = Vec::new();
        if let Some(follow) = &self.follow {
            follow.frame(made, &mut out);
        }
        if let Some(size) = made.size {
            self.sizes.show(size);
        }
        let Some(id) = made.id else { return self.push(out) };
        self.meter.count_frame();
        let now = Instant::now();
        self.gauge.tell(now, self.acknowledges, &mut self.pacer);
        self.pacer.on_sent(now.into_std(), id, out.len());
        let rate = self.pacer.link_rate();
        match made.raw {
            Some(_) if made.is_whole => self.tempo.on_picture(now.into_std()),
            Some(_) => self.tempo.on_part(now.into_std()),
            // What nobody waits for goes only when there is nothing else.
            None => self.tempo.on_current(now.into_std()),
        }
        if let Some(raw) = made.raw {
            self.changed_at = now;
            self.quality.note(now.into_std(), raw, out.len(), rate);
        }
        for bytes in self.gauge.around(now, out, &mut self.rdp) {
            self.outbox.push(bytes)?;
        }
        if self.acknowledges {
            self.unacknowledged.push_back(Unacknowledged {
                id,
                end: self.outbox.queued(),
                delivered: None,
            });
        }
        Ok(())
    }

    /// Sends what the client lacks, as far as it can take it now.
    pub(super) fn pump(&mut self) -> Result<(), End> {
        let shows_all = self.send_all()?;
        self.seat.set_waits(shows_all);
        Ok(())
    }

    /// Whether the client shows everything and can take more.
    fn send_all(&mut self) -> Result<bool, End> {
        let backlog = usize::try_from(self.outbox.backlog()).unwrap_or(usize::MAX);
        self.pacer.on_backlog(backlog);
        while self.can_send() {
            self.join();
            let Some(next) = self.next_frame()? else {
                return Ok(false);
            };
            match next {
                Next::Frame(made) => self.send(&made)?,
                Next::Wait => return Ok(false),
                Next::Nothing => {
                    self.tempo.on_current(Instant::now().into_std());
                    return Ok(true);
                }
                Next::Resize(size) => return self.reactivate(size).map(|()| false),
                Next::Failed(error) => return Err(End::Bug(error)),
            }
        }
        Ok(false)
    }

    fn can_send(&self) -> bool {
        let now = Instant::now();
        !self.suppressed && !self.awaits_guest(now) && self.pacer.ready(now.into_std()) == Readiness::Ready
    }

    /// Whether the guest rested while nobody looked and has not shown yet how it looks now.
    fn awaits_guest(&self, now: Instant) -> bool {
        now < self.patience && self.state.borrow().resting
    }

    fn next_frame(&mut self) -> Result<Option<Next>, End> {
        let Some(follow) = &mut self.follow else {
            return Ok(None);
        };
        let surface = self.seat.desktop().surface();
        let monitors = self.seat.desktop().monitors();
        if let Some(entries) = &self.cache_offer
            && follow.leave()
            && follow
                .import_cache(entries, surface)
                .map_err(|error| End::Bug(error.to_string()))?
        {
            self.cache_offer = None;
        }
        if self.repaint && follow.leave() {
            follow.refresh([surface.size().rect()]);
            self.repaint = false;
        }
        if self.quality.is_reduced() {
            // A link that needs rougher pictures does not decide for the others.
            follow.leave();
        }
        let (kind, rate) = (follow.kind(), self.pacer.link_rate());
        let refinement_budget = self.quality.refinement_budget(rate).min(Profile::REFINEMENT_BUDGET);
        let is_quiet = self.changed_at.elapsed() > QUIET;
        // On a narrow link even one exact tile would hold up the next change.
        let has_room = self.pacer.stats().frames_in_flight == 0 && refinement_budget >= LEAST_REFINEMENT;
        let ask = Ask {
            surface,
            monitors: &monitors,
            profile: Profile {
                byte_budget: self.quality.budget(rate),
                refinement_budget,
                quant: self.quality.quant(),
                video: video(kind, self.pacer.bytes_per(VIDEO_PICTURE)),
                ..Profile::new(pipeline(kind))
            },
            may_refine: is_quiet || has_room,
            told: (!matches!(kind, FramePipe::Egfx { .. })).then_some(self.legacy_size),
            pool: &self.context.pool,
        };
        Ok(Some(follow.next(&ask)))
    }

    /// A client that shows what others do shares the frames to come with them.
    fn join(&mut self) {
        let common = self.seat.desktop().streams();
        let follow = self.follow.as_mut().filter(|_| !self.quality.is_reduced());
        if follow.is_some_and(|follow| follow.join(common, Instant::now())) {
            debug!(session = %self.id, "shares its frames");
        }
    }

    /// Changes the size of a desktop without EGFX. The pipe comes back with `Reactivated`.
    fn reactivate(&mut self, size: Size) -> Result<(), End> {
        let mut out = Vec::new();
        self.rdp.set_monitors(&self.seat.desktop().monitors());
        self.rdp.resize_legacy(size, &mut out);
        self.legacy_size = size;
        self.sizes.show(size);
        self.follow = None;
        self.pipe_due = Instant::now() + self.context.config.limits.write;
        self.push(out)
    }

    /// When a frame that the client has must have been acknowledged.
    pub(super) fn ack_due(&self) -> Option<Instant> {
        let delivered = self.unacknowledged.front()?.delivered?;
        Some(delivered + self.context.config.limits.write)
    }
}

/// Resolves when the stream has a new frame. Cancel-safe.
pub(super) async fn made(follow: &mut Option<Follow>) {
    match follow {
        Some(follow) => follow.changed().await,
        None => std::future::pending().await,
    }
}

/// The protocol's words for the engine.
fn pipeline(pipe: FramePipe) -> Pipeline {
    match pipe {
        FramePipe::Egfx { progressive, .. } => Pipeline::Egfx { progressive },
        FramePipe::SurfaceCommands { codec } => match codec {
            SurfaceCodec::RemoteFx => Pipeline::SurfaceCommands,
            SurfaceCodec::Qoi => Pipeline::Qoi { zstd: false },
            SurfaceCodec::Qoiz => Pipeline::Qoi { zstd: true },
            SurfaceCodec::NsCodec {
                dynamic_fidelity: true, ..
            } => Pipeline::NsCodec(nsc::Quality::BEST),
            SurfaceCodec::NsCodec {
                subsampling,
                color_loss,
                ..
            } => Pipeline::NsCodec(nsc::Quality {
                color_loss,
                subsampling,
            }),
        },
        FramePipe::Bitmap { bits_per_pixel } => Pipeline::Bitmap { bits_per_pixel },
    }
}

/// How a client is sent videos, on a link that carries so many bytes in [`VIDEO_PICTURE`].
fn video(pipe: FramePipe, room: Option<usize>) -> Option<VideoProfile> {
    let form = match pipe {
        FramePipe::Egfx { avc444: true, .. } => VideoForm::Avc444,
        FramePipe::Egfx { avc420: true, .. } => VideoForm::Avc420,
        _ => return None,
    };
    Some(VideoProfile {
        form,
        room: room.unwrap_or(usize::MAX),
    })
}

/// What one of 30 pictures per second may take: 70 % of its time, so that the rest of the desktop gets through.
const VIDEO_PICTURE: Duration = Duration::from_millis(23);
/// After so long without a change the link is taken to be free for refinements.
const QUIET: Duration = Duration::from_millis(250);
/// Raw bytes of the smallest refinement, one tile.
const LEAST_REFINEMENT: usize = 64 * 64 * 4;
