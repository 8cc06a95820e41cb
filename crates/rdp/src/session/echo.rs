//! The channel `ECHO` ([MS-RDPEECO]): the client sends back what it gets. It measures the round trip of clients without
//! network auto-detection.

use std::collections::VecDeque;

use ironrdp_core::impl_as_any;
use ironrdp_dvc::{DvcMessage, DvcProcessor, DvcServerProcessor};
use ironrdp_pdu::PduResult;

use super::autodetect::{forget, remember};

/// Begins all our questions, so that nothing else is taken for an answer.
const MARK: [u8; 6] = *b"rdpmux";

/// Processor of the channel.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    sequence: u16,
    asked: VecDeque<u16>,
    answered: Option<u16>,
}

impl_as_any!(Echo);
impl DvcServerProcessor for Echo {}

impl Echo {
    /// A new question and its number.
    pub(crate) fn ask(&mut self) -> (u16, Vec<u8>) {
        self.sequence = self.sequence.wrapping_add(1);
        remember(&mut self.asked, self.sequence);
        (self.sequence, [&MARK[..], &self.sequence.to_le_bytes()].concat())
    }

    /// The question that was answered since the last call.
    pub(crate) fn answered(&mut self) -> Option<u16> {
        self.answered.take()
    }
}

impl DvcProcessor for Echo {
    fn channel_name(&self) -> &str {
        "ECHO"
    }

    fn start(&mut self, _channel: u32) -> PduResult<Vec<DvcMessage>> {
        Ok(Vec::new())
    }

    /// An answer to what was not asked is stepped over.
    fn process(&mut self, _channel: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        if let Some(&[low, high]) = payload.strip_prefix(&MARK) {
            let sequence = u16::from_le_bytes([low, high]);
            if forget(&mut self.asked, sequence) {
                self.answered = Some(sequence);
                tracing::trace!(sequence, "echo answered");
            }
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_to_our_own_questions_count_and_each_once() {
        let mut echo = Echo::default();
        let (first, question) = echo.ask();
        for foreign in [
            &b""[..],
            b"rdpmux",
            b"rdpmux\x01\x00\x00",
            b"rdpmux\xFF\xFF",
            b"other!\x01\x00",
        ] {
            assert!(echo.process(0, foreign).is_ok_and(|answers| answers.is_empty()));
            assert_eq!(echo.answered(), None, "{foreign:?}");
        }
        for expected in [Some(first), None] {
            assert!(echo.process(0, &question).is_ok());
            assert_eq!(echo.answered(), expected);
        }
    }
}
