//! Contents of files, passed from one viewer to another piece by piece as the one who pastes asks for them, and lists of
//! files that are kept while they are pasted. Numbers are the hub's towards the giver, the taker's own towards the taker.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdpmux_model::{ClipboardFormat, FilePart, FileRequest, SessionId};
use tracing::{info, warn};

use super::hub::{Effect, Hub, Owner};
use super::transfer::{AUDIT, MEMORY};

/// A question about a file that is under way.
pub(super) struct PendingFile {
    taker: SessionId,
    giver: SessionId,
    /// The taker's number.
    stream: u32,
    part: FilePart,
    /// Place of the file in the giver's list.
    index: u32,
    pub(super) due: Instant,
}

/// A list that a giver keeps for a taker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lock {
    giver: SessionId,
    id: u32,
}

impl Hub {
    /// A viewer wants a part of a file.
    pub(super) fn file_wanted(&mut self, now: Instant, session: SessionId, request: FileRequest) {
        let stream = request.stream;
        match self.file_request(session, request) {
            Some((giver, request)) => {
                let pending = PendingFile {
                    taker: session,
                    giver,
                    stream,
                    part: request.part,
                    index: request.index,
                    due: now + PATIENCE,
                };
                self.files.insert(request.stream, pending);
                self.out.push(Effect::FetchFile {
                    session: giver,
                    request,
                });
            }
            None => self.out.push(Effect::AnswerFile {
                session,
                stream,
                data: None,
            }),
        }
    }

    /// Who has the file and what to ask there.
    fn file_request(&mut self, session: SessionId, request: FileRequest) -> Option<(SessionId, FileRequest)> {
        let taker = self.viewers.get(&session)?;
        let under_way = self.files.values().filter(|file| file.taker == session).count();
        if !taker.policy.outward.files || under_way >= UNDER_WAY {
            return None;
        }
        let lock = request.lock.and_then(|id| taker.locks.get(&id)).copied();
        let giver = match lock {
            Some(lock) => lock.giver,
            None => self.giver(session)?,
        };
        let limit = taker.policy.limit.min(self.viewers.get(&giver)?.policy.limit);
        let part = match request.part {
            FilePart::Size => FilePart::Size,
            FilePart::Range { position, length } => {
                let left = limit.saturating_sub(position);
                let length = u64::from(length).min(left).min(PIECE as u64);
                // Beyond the limit there is nothing; the question for the size has said so.
                FilePart::Range {
                    position,
                    length: u32::try_from(length).ok().filter(|length| *length > 0)?,
                }
            }
        };
        let asked = FileRequest {
            stream: self.number(),
            index: request.index,
            part,
            lock: lock.map(|lock| lock.id),
        };
        Some((giver, asked))
    }

    /// Who offers files to this viewer now.
    fn giver(&self, session: SessionId) -> Option<SessionId> {
        let Owner::Viewer(owner) = self.owner else { return None };
        let has_files = |owner| {
            let viewer = self.viewers.get(&owner)?;
            viewer.offer.iter().any(ClipboardFormat::is_file_list).then_some(owner)
        };
        (owner != session).then_some(owner).and_then(has_files)
    }

    /// A giver's answer.
    pub(super) fn file_data(&mut self, session: SessionId, number: u32, data: Option<Bytes>) {
        if self.files.get(&number).is_none_or(|file| file.giver != session) {
            return;
        }
        let Some(file) = self.files.remove(&number) else { return };
        let data = data.filter(|data| self.may_pass(&file, data));
        if data.is_some() && matches!(file.part, FilePart::Range { .. }) {
            self.record_reading(&file);
        }
        self.out.push(Effect::AnswerFile {
            session: file.taker,
            stream: file.stream,
            data,
        });
    }

    /// Writes down that a viewer reads a file, once for each file of a list: its pieces are many, and not every client
    /// asks for the size before.
    fn record_reading(&mut self, file: &PendingFile) {
        let (giver, taker, index) = (file.giver, file.taker, file.index);
        let Some(viewer) = self.viewers.get_mut(&taker) else {
            return;
        };
        if viewer.files_read.len() < FILES_READ && !viewer.files_read.insert((giver, index)) {
            return;
        }
        info!(target: AUDIT, desktop = %self.name, from = %giver, to = %taker, user = self.who(taker), kind = "file", index,
            "clipboard: a file is read");
    }

    fn may_pass(&self, file: &PendingFile, data: &Bytes) -> bool {
        let (giver, taker) = (file.giver, file.taker);
        let limit = |session| self.viewers.get(&session).map_or(0, |viewer| viewer.policy.limit);
        match file.part {
            FilePart::Range { length, .. } => data.len() <= length as usize,
            FilePart::Size => {
                let Ok(size) = <[u8; 8]>::try_from(&data[..]).map(u64::from_le_bytes) else {
                    return false;
                };
                let limit = limit(giver).min(limit(taker));
                if size > limit {
                    warn!(desktop = %self.name, from = %giver, to = %taker, bytes = size, limit, "clipboard: file refused, it is too long");
                    return false;
                }
                info!(target: AUDIT, desktop = %self.name, from = %giver, to = %taker, user = self.who(taker), kind = "file",
                    bytes = size, "clipboard");
                true
            }
        }
    }

    /// A viewer wants the list of files that is on the clipboard kept.
    pub(super) fn lock(&mut self, session: SessionId, id: u32) {
        let Some(giver) = self.giver(session) else { return };
        let kept = Lock {
            giver,
            id: self.number(),
        };
        let Some(viewer) = self.viewers.get_mut(&session) else {
            return;
        };
        if viewer.locks.len() >= LOCKS || !viewer.policy.outward.files {
            return;
        }
        let before = viewer.locks.insert(id, kept);
        self.release(before);
        self.out.push(Effect::Lock {
            session: giver,
            id: kept.id,
        });
    }

    /// A viewer is done with a list.
    pub(super) fn unlock(&mut self, session: SessionId, id: u32) {
        let lock = self
            .viewers
            .get_mut(&session)
            .and_then(|viewer| viewer.locks.remove(&id));
        self.release(lock);
    }

    fn release(&mut self, lock: Option<Lock>) {
        if let Some(lock) = lock.filter(|lock| self.viewers.contains_key(&lock.giver)) {
            self.out.push(Effect::Unlock {
                session: lock.giver,
                id: lock.id,
            });
        }
    }

    /// A viewer has left: nobody waits for its files any longer, and its own questions are void.
    pub(super) fn leave_files(&mut self, session: SessionId, locks: HashMap<u32, Lock>) {
        for lock in locks.into_values() {
            self.release(Some(lock));
        }
        self.files.retain(|_, file| file.taker != session);
        self.give_up(|file| file.giver == session);
    }

    /// Gives up what took too long.
    pub(super) fn expire_files(&mut self, now: Instant) {
        self.give_up(|file| file.due <= now);
    }

    fn give_up(&mut self, is_over: impl Fn(&PendingFile) -> bool) {
        let out = &mut self.out;
        self.files.retain(|_, file| {
            let over = is_over(file);
            if over {
                out.push(Effect::AnswerFile {
                    session: file.taker,
                    stream: file.stream,
                    data: None,
                });
            }
            !over
        });
    }
}

/// From a question about a file to the end of its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Questions about files that one viewer may have under way.
const UNDER_WAY: usize = 8;
/// Files that a viewer is remembered to have read; a list has no more.
const FILES_READ: usize = 10_000;
/// Lists that are kept for one viewer.
const LOCKS: usize = 8;
/// Bytes of one piece; who asks for more gets so much and asks again.
const PIECE: usize = 8 << 20;
const _: () = assert!(PIECE <= MEMORY);
