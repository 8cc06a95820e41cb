//! The channel `ECHO` ([MS-RDPEECO]): the client sends back what it gets. It measures the round trip of clients without
//! network auto-detection.

use std::collections::VecDeque;

use ironrdp_core::impl_as_any;
use ironrdp_dvc::{DvcMessage, DvcProcessor, DvcServerProcessor};
use ironrdp_pdu::PduResult;

use super::autodetect::{forget, remember};

/// Begins all our questions, so that nothing else is taken for an answer.
const MARK: [u8; 6] = *b"rdpmux";

/// What happened on the channel.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EchoNews {
    /// The client opened it.
    Opened,
    /// It answered the question of this number.
    Answered(u16),
    /// It answered what the program had asked.
    Payload(Vec<u8>),
}

/// Processor of the channel.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    sequence: u16,
    asked: VecDeque<u16>,
    /// What the program asked.
    payloads: VecDeque<Vec<u8>>,
    news: Vec<EchoNews>,
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

    /// A question of the program's; `false` if the client owes too many answers.
    pub(super) fn ask_with(&mut self, payload: &[u8]) -> bool {
        let may = self.payloads.len() < PAYLOADS;
        if may {
            self.payloads.push_back(payload.to_vec());
        }
        may
    }

    pub(super) fn take_news(&mut self) -> Vec<EchoNews> {
        core::mem::take(&mut self.news)
    }
}

impl DvcProcessor for Echo {
    fn channel_name(&self) -> &str {
        "ECHO"
    }

    fn start(&mut self, _channel: u32) -> PduResult<Vec<DvcMessage>> {
        self.news.push(EchoNews::Opened);
        Ok(Vec::new())
    }

    /// An answer to what was not asked is stepped over.
    fn process(&mut self, _channel: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        if let Some(at) = self.payloads.iter().position(|asked| asked == payload) {
            self.news.extend(self.payloads.remove(at).map(EchoNews::Payload));
        } else if let Some(&[low, high]) = payload.strip_prefix(&MARK) {
            let sequence = u16::from_le_bytes([low, high]);
            if forget(&mut self.asked, sequence) {
                self.news.push(EchoNews::Answered(sequence));
                tracing::trace!(sequence, "echo answered");
            }
        }
        Ok(Vec::new())
    }
}

/// Questions of the program's that the client may owe an answer to.
const PAYLOADS: usize = 16;

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
            assert_eq!(echo.take_news(), [], "{foreign:?}");
        }
        for expected in [vec![EchoNews::Answered(first)], Vec::new()] {
            assert!(echo.process(0, &question).is_ok());
            assert_eq!(echo.take_news(), expected);
        }
    }

    #[test]
    fn what_a_program_asks_is_answered_by_the_same_bytes_only_and_bounded() {
        let mut echo = Echo::default();
        assert!(echo.ask_with(b"ping") && echo.ask_with(b"ping"));
        for (answer, count) in [(&b"pong"[..], 0), (b"ping", 1), (b"ping", 1), (b"ping", 0)] {
            assert!(echo.process(0, answer).is_ok());
            assert_eq!(echo.take_news().len(), count);
        }
        let taken = (0..100).filter(|_| echo.ask_with(b"ping")).count();
        assert_eq!(taken, PAYLOADS);
    }
}
