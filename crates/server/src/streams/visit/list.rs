//! What a client of streams may know of: the list of them, its changes, and what is kept of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdpmux_streams::{ErrorCode, Removal, Rights, Text, ToClient};

use super::Visit;
use crate::streams::Desk;

impl Visit {
    /// The desks that the client may know of.
    fn visible(&self) -> impl Iterator<Item = (Arc<Desk>, Rights)> {
        self.streams.desks().into_iter().filter_map(|desk| {
            let rights = self.visitor.on(desk.hub.lock().label().kind);
            rights.has(Rights::WATCH).then_some((desk, rights))
        })
    }

    pub(super) fn list(&mut self, follow: bool) {
        let visible: Vec<_> = self.visible().collect();
        let mut known = BTreeMap::new();
        for (desk, rights) in &visible {
            let hub = desk.hub.lock();
            known.insert(desk.key, hub.revision());
            ToClient::Added(hub.entry(desk.key, *rights)).encode(&mut self.out);
        }
        let count = u32::try_from(visible.len()).unwrap_or(u32::MAX);
        ToClient::ListEnd { count }.encode(&mut self.out);
        self.known = follow.then_some(known);
    }

    pub(super) fn find(&self, name: &Text<'_>) -> Result<(Arc<Desk>, Rights), ErrorCode> {
        let is_meant = |(desk, _): &(Arc<Desk>, Rights)| desk.hub.lock().label().name == *name;
        self.visible().find(is_meant).ok_or(ErrorCode::NoSuchStream)
    }

    pub(super) fn follow_list(&mut self) {
        let Some(mut known) = self.known.take() else {
            return;
        };
        let visible: Vec<_> = self.visible().collect();
        let is_there = |key: u32| visible.iter().any(|(desk, _)| desk.key == key);
        known.retain(|key, _| {
            let stays = is_there(*key);
            if !stays {
                let why = if self.streams.has(*key) {
                    Removal::RightWithdrawn
                } else {
                    Removal::Unplugged
                };
                ToClient::Removed { key: *key, why }.encode(&mut self.out);
            }
            stays
        });
        for (desk, rights) in &visible {
            let hub = desk.hub.lock();
            match known.insert(desk.key, hub.revision()) {
                None => ToClient::Added(hub.entry(desk.key, *rights)).encode(&mut self.out),
                Some(before) if before != hub.revision() => {
                    ToClient::Changed(hub.entry(desk.key, *rights)).encode(&mut self.out);
                }
                Some(_) => {}
            }
        }
        self.known = Some(known);
    }

    pub(super) fn history(&mut self, request: u32, mut from: u64, max: u32, name: &Text<'_>, limit: u32) {
        let found = self.find(name).and_then(|(desk, rights)| {
            let may = rights.has(Rights::HISTORY);
            may.then_some(desk).ok_or(ErrorCode::Denied)
        });
        let desk = match found {
            Ok(desk) => desk,
            Err(code) => return self.fail(request, code),
        };
        let hub = desk.hub.lock();
        let mut left = max as usize;
        loop {
            let piece = hub.history(from, left.min(limit as usize - ToClient::OVERHEAD));
            left -= piece.bytes.len();
            let is_last = piece.bytes.is_empty() || left == 0;
            let message = ToClient::History {
                request,
                from: piece.offset,
                is_last,
                bytes: piece.bytes,
            };
            message.encode(&mut self.out);
            from = piece.offset + piece.bytes.len() as u64;
            if is_last {
                return;
            }
        }
    }
}
