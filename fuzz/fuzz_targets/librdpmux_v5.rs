//! Messages of protocol 5, both directions: refused, or understood and written as the same.

use rdpmux_wire::v5::{ToDaemon, ToGuest};

/// One input.
pub fn fuzz(data: &[u8]) {
    if let Ok(message) = ToDaemon::decode(data) {
        let mut written = Vec::new();
        message.encode(&mut written);
        written.extend([0; 22]);
        assert_eq!(ToDaemon::decode(&written), Ok(message));
    }
    if let Ok(message) = ToGuest::decode(data) {
        let mut written = Vec::new();
        message.encode(&mut written);
        assert_eq!(ToGuest::decode(&written), Ok(message));
    }
}
