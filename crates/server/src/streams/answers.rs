//! Answers to what a device asks of its terminal (where the cursor is, whether it works, what it is) while nobody writes: a
//! guest that waits for one goes on. While somebody does, that one's terminal answers, and nobody here.
//!
//! The emulator begins with the first question, from what was printed last, and runs on with each further one: output in
//! which nothing is asked costs a look for its escapes.

use std::time::Duration;

use rdpmux_streams::{Hub, Kind};
use rdpmux_terminal::{Grid, Terminal};
use tokio::time::Instant;

/// Of one device. See the module.
#[derive(Default)]
pub(super) struct Answers {
    scan: Scan,
    /// What was shown so far, and the offset of what comes next.
    shown: Option<(Terminal, u64)>,
    /// Bytes that were emulated and are not forgotten yet, at that time.
    spent: Option<(usize, Instant)>,
}

/// Output to be emulated.
pub(super) struct Question {
    terminal: Terminal,
    /// What came before.
    before: Vec<u8>,
    /// Offset after the output in which something is asked.
    end: u64,
}

/// Output from which the terminal's state is known well enough: some screens.
const OLD: u64 = 32 << 10;
/// Bytes that are emulated in a second for one device, and at once. Who asks more often is not answered.
const RATE: usize = 256 << 10;

impl Answers {
    /// Looks at the next output; call it before the hub has it. Gives what has to be emulated if something may be asked in it
    /// and nobody else answers.
    pub(super) fn heard(&mut self, bytes: &[u8], hub: &Hub, now: Instant) -> Option<Question> {
        let is_terminal = matches!(hub.label().kind, Kind::Serial | Kind::Console);
        if !self.scan.asks(bytes) || !is_terminal || hub.writer().is_some() {
            return None;
        }
        let total = hub.total();
        let known = self.shown.as_ref().map(|(_, to)| *to).filter(|to| to + OLD >= total);
        let before = text(hub, known.unwrap_or(total.saturating_sub(OLD)));
        if !self.spend(before.len() + bytes.len(), now) {
            return None;
        }
        let shown = self.shown.take().filter(|_| known.is_some());
        let terminal = shown.map_or_else(|| Terminal::without_scrollback(Grid::USUAL), |(terminal, _)| terminal);
        Some(Question {
            terminal,
            before,
            end: total + bytes.len() as u64,
        })
    }

    /// What the device is to be told. Takes a few ms at most; call it without the hub.
    pub(super) fn answer(&mut self, question: Question, bytes: &[u8]) -> Vec<u8> {
        let mut terminal = question.terminal;
        terminal.feed(&question.before);
        // Old questions are nobody's any more.
        terminal.take_answers();
        terminal.feed(bytes);
        let answers = terminal.take_answers();
        self.shown = Some((terminal, question.end));
        answers
    }

    fn spend(&mut self, bytes: usize, now: Instant) -> bool {
        let (spent, at) = self.spent.unwrap_or((0, now));
        let forgotten = now
            .saturating_duration_since(at)
            .min(Duration::from_secs(1))
            .as_millis();
        let spent = spent.saturating_sub(forgotten as usize * RATE / 1000);
        let has_room = spent + bytes <= RATE;
        self.spent = Some((if has_room { spent + bytes } else { spent }, now));
        has_room
    }
}

/// All output from there on.
fn text(hub: &Hub, from: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let piece = hub.history(from + bytes.len() as u64, OLD as usize);
        if piece.bytes.is_empty() {
            return bytes;
        }
        bytes.extend_from_slice(piece.bytes);
    }
}

/// Finds the ends of what may be a question (`ESC [ … n`, `ESC [ … c`), however it is cut.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Scan {
    #[default]
    Text,
    Escape,
    Control,
}

impl Scan {
    fn asks(&mut self, bytes: &[u8]) -> bool {
        let mut asks = false;
        let mut rest = bytes;
        loop {
            if *self == Self::Text {
                let Some(at) = rest.iter().position(|byte| *byte == 0x1B) else {
                    return asks;
                };
                rest = &rest[at..];
            }
            let Some((byte, after)) = rest.split_first() else {
                return asks;
            };
            rest = after;
            *self = match (*self, byte) {
                (_, 0x1B) => Self::Escape,
                (Self::Escape, b'[') => Self::Control,
                // Control characters are obeyed within a sequence.
                (Self::Escape | Self::Control, 0x00..=0x17 | 0x19 | 0x1C..=0x1F) => *self,
                (Self::Control, 0x20..=0x3F) => Self::Control,
                (Self::Control, b'n' | b'c') => {
                    asks = true;
                    Self::Text
                }
                _ => Self::Text,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use rdpmux_streams::Text;
    use rdpmux_streams::history::Keep;
    use rdpmux_streams::hub::Label;

    use super::*;

    struct Stage {
        hub: Hub,
        answers: Answers,
        now: Instant,
    }

    fn stage(kind: Kind) -> Stage {
        let label = Label {
            name: Text::cleaned("serial0"),
            title: Text::default(),
            kind,
        };
        Stage {
            hub: Hub::new(label, Keep::default()),
            answers: Answers::default(),
            now: Instant::now(),
        }
    }

    impl Stage {
        fn says(&mut self, text: &str) -> String {
            let question = self.answers.heard(text.as_bytes(), &self.hub, self.now);
            self.hub.output(text.as_bytes());
            let answer = question.map(|question| self.answers.answer(question, text.as_bytes()));
            String::from_utf8(answer.unwrap_or_default()).unwrap()
        }
    }

    #[test]
    fn what_is_asked_is_answered_from_what_was_printed() {
        let mut stage = stage(Kind::Serial);
        assert_eq!(stage.says("login: \r\n\x1b[6"), "");
        assert_eq!(stage.says("nab\x1b[5n"), "\x1b[2;1R\x1b[0n");
        assert_eq!(stage.says("c"), "");
        assert_eq!(stage.says("\x1b[6n\x1b[c"), "\x1b[2;4R\x1b[?6c");
        assert_eq!(stage.says("\x1b]0;\x1b[31n\x1b[1c\x07"), "");
    }

    #[test]
    fn only_terminals_ask_and_after_much_output_the_last_of_it_counts() {
        assert_eq!(stage(Kind::Port).says("\x1b[5n"), "");
        let mut stage = stage(Kind::Console);
        assert_eq!(stage.says("\x1b[6n"), "\x1b[1;1R");
        for _ in 0..100_000 {
            assert_eq!(stage.says("a line of many\r\n"), "");
        }
        assert_eq!(stage.says("> \x1b[6n"), "\x1b[25;3R");
    }

    #[test]
    fn a_device_that_asks_without_end_is_not_answered_without_end() {
        let mut stage = stage(Kind::Serial);
        let much = "x".repeat(4096) + "\x1b[5n";
        let answered = (0..1000).filter(|_| !stage.says(&much).is_empty()).count();
        assert!((1..=64).contains(&answered), "{answered}");
        stage.now += Duration::from_secs(1);
        assert_eq!(stage.says("\x1b[5n"), "\x1b[0n");
    }
}
