//! The section `[vnc]`: whether and where VNC viewers connect.

use std::net::{Ipv4Addr, SocketAddr};

use rdpmux_server::VncSettings;

use super::Vnc;
use super::check::listen;
use super::error::Problems;
use super::raw;

/// Pseudo-encodings with a meaning of their own that a viewer may name besides: Tight PNG, QEMU's, pointers, sizes and levels.
const TAKEN: [std::ops::RangeInclusive<i64>; 2] = [-512..=-412, -320..=-1];

/// Judges the section.
pub(super) fn check(raw: &raw::Vnc, problems: &mut Problems<'_>) -> Vnc {
    let given = raw
        .listen
        .as_ref()
        .and_then(|text| listen("vnc.listen", text, problems));
    let streams_2009 = raw.streams_2009.as_ref().and_then(|number| {
        let encoding = i32::try_from(*number.get_ref()).ok();
        let is_free = |number: &i32| *number < 0 && !TAKEN.iter().any(|taken| taken.contains(&i64::from(*number)));
        let encoding = encoding.filter(is_free);
        if encoding.is_none() {
            problems.at(
                number.span().start,
                format!(
                    "`vnc.streams_2009` takes a negative number that means nothing else, for example -900, not {}",
                    number.get_ref()
                ),
            );
        }
        encoding
    });
    Vnc {
        listen: given.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 5900))),
        settings: VncSettings { streams_2009 },
    }
}
