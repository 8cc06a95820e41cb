//! Is the client there, and how far away? Questions of the round trip and the heartbeat. The clock is the caller's.

use super::Session;
use crate::wire;

/// `SEC_HEARTBEAT` ([MS-RDPBCGR] 2.2.8.1.1.2.1).
const SECURITY_HEARTBEAT: u16 = 0x4000;

impl Session {
    /// Asks the client to answer at once, by [`SessionEvent::RoundTrip`](super::SessionEvent::RoundTrip) with this
    /// number: the caller takes the time. Asks by network auto-detection ([MS-RDPBCGR] 2.2.14.1.1), or through the
    /// channel `ECHO` where the client has only that; `None` if it takes neither. Of very many unanswered questions only
    /// the last are remembered.
    pub fn round_trip(&mut self, out: &mut Vec<u8>) -> Option<u16> {
        if !self.is_live() {
            return None;
        }
        match &mut self.auto_detect {
            Some(auto_detect) => Some(auto_detect.round_trip(out)),
            None => self.channels.as_mut()?.echo(out),
        }
    }

    /// Says that the server lives ([MS-RDPBCGR] 2.2.16.1): to be called when nothing else was sent for `period` seconds.
    /// The client may warn its user after `warn` missed ones, and try to reconnect after `reconnect` more. `false` if the
    /// client takes no heartbeats.
    pub fn heartbeat(&self, period: u8, warn: u8, reconnect: u8, out: &mut Vec<u8>) -> bool {
        let Some(channel) = self.link.heartbeat.filter(|_| self.is_live()) else {
            return false;
        };
        wire::send_data(out, channel, |out| {
            out.extend_from_slice(&SECURITY_HEARTBEAT.to_le_bytes());
            out.extend_from_slice(&[0, 0, 0, period, warn, reconnect]);
        });
        true
    }
}
