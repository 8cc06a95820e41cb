//! Lines of the admin socket, and names of key chords.

use rdpmux_host::admin;
use rdpmux_server::Chord;

/// One input.
pub fn fuzz(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        match admin::parse(line) {
            // What was understood is written as something that is understood alike.
            Ok(request) => {
                let written = serde_json::to_vec(&request).expect("a request is plain text");
                assert_eq!(admin::parse(&written).as_ref(), Ok(&request));
            }
            Err(problem) => assert!(problem.text.len() < 1024),
        }
    }
    if let Ok(text) = core::str::from_utf8(data) {
        match text.parse::<Chord>() {
            Ok(chord) => assert!((1..=Chord::MOST).contains(&chord.keys().len())),
            Err(error) => assert!(error.to_string().len() < 1024),
        }
    }
}
