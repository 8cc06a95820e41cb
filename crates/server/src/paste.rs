//! Pasting as typing, for guests without an agent: a viewer who presses Ctrl+Alt+Shift+V in a session has what it would
//! paste typed on the guest's keyboard, in the guest's layout if that is known, else in the client's. Any key of the
//! viewer's stops it. The typing itself is [`Hand::type_text`](crate::Hand::type_text)'s.

use rdpmux_model::{InputEvent, Scancode};
use tokio::task::JoinHandle;
use tracing::info;

use crate::clipboard::ClipboardSeat;
use crate::desktop::{DesktopEnded, DesktopHandle, Typed};
use crate::typing::Layout;

async fn type_text(desktop: &DesktopHandle, text: &str, layout: Option<Layout>) -> Result<Typed, DesktopEnded> {
    let layout = desktop
        .peripherals()
        .layout
        .or(layout)
        .or_else(|| Layout::by_name("us"));
    match layout {
        Some(layout) => desktop.hand().await?.type_text(text, layout).await,
        None => Ok(Typed::default()),
    }
}

/// What becomes of a viewer's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes to the guest.
    Pass,
    /// It was meant for us.
    Keep,
    /// It completes the chord: lift the keys of the chord and type.
    Paste,
}

/// The chord of one session and what it has started.
#[derive(Default)]
pub(crate) struct Paster {
    chord: Chord,
    task: Option<JoinHandle<()>>,
}

/// Which keys of the chord are down.
#[derive(Default)]
struct Chord {
    modifiers: [bool; MODIFIERS.len()],
    /// The chord's letter is down since it completed the chord.
    letter: bool,
}

impl Chord {
    fn key(&mut self, scancode: Scancode, down: bool) -> Fate {
        if let Some(index) = MODIFIERS.iter().position(|(key, _)| *key == scancode) {
            self.modifiers[index] = down;
            return Fate::Pass;
        }
        if scancode != LETTER {
            return Fate::Pass;
        }
        match (down, self.letter) {
            (true, false) if self.is_complete() => {
                self.letter = true;
                Fate::Paste
            }
            (true, true) => Fate::Keep,
            (false, true) => {
                self.letter = false;
                Fate::Keep
            }
            _ => Fate::Pass,
        }
    }

    fn is_complete(&self) -> bool {
        [Modifier::Control, Modifier::Alt, Modifier::Shift]
            .into_iter()
            .all(|wanted| {
                let mut keys = MODIFIERS.iter().zip(self.modifiers);
                keys.any(|((_, modifier), down)| down && *modifier == wanted)
            })
    }
}

impl Paster {
    /// Looks at what a viewer did before the guest sees it.
    pub(crate) fn input(&mut self, event: InputEvent) -> Fate {
        let InputEvent::Key { scancode, down } = event else {
            return Fate::Pass;
        };
        let fate = self.chord.key(scancode, down);
        let is_modifier = MODIFIERS.iter().any(|(key, _)| *key == scancode);
        match fate {
            Fate::Paste if self.is_busy() => Fate::Keep,
            // The key says "stop" and means nothing else.
            Fate::Pass if down && !is_modifier && self.stop() => Fate::Keep,
            fate => fate,
        }
    }

    /// Types what the viewer would paste.
    pub(crate) fn start(&mut self, seat: &ClipboardSeat, desktop: &DesktopHandle, layout: Option<Layout>) {
        let (text, desktop) = (seat.text(), desktop.clone());
        self.task = Some(tokio::spawn(async move {
            let name = desktop.name().clone();
            match text.await {
                Ok(Ok(text)) if text.chars().count() > LONGEST => {
                    info!(desktop = %name, bytes = text.len(), limit = LONGEST, "the text is too long to be typed");
                }
                Ok(Ok(text)) => match type_text(&desktop, &text, layout).await {
                    Ok(typed) => info!(target: "rdpmux::audit", desktop = %name, characters = typed.characters,
                        left_out = typed.left_out, "clipboard typed"),
                    Err(error) => info!(desktop = %name, %error, "typing ended"),
                },
                Ok(Err(reason)) => info!(desktop = %name, %reason, "nothing to type"),
                Err(_) => {}
            }
        }));
    }

    fn is_busy(&self) -> bool {
        self.task.as_ref().is_some_and(|task| !task.is_finished())
    }

    /// Stops what is being typed; whether there was something.
    pub(crate) fn stop(&mut self) -> bool {
        let task = self.task.take().filter(|task| !task.is_finished());
        if let Some(task) = &task {
            task.abort();
            info!("typing was stopped by a key");
        }
        task.is_some()
    }

    /// The keys that a viewer holds when it completes the chord, as they go up.
    pub(crate) fn lifted() -> impl Iterator<Item = InputEvent> {
        let up = |(scancode, _): &(Scancode, Modifier)| InputEvent::Key {
            scancode: *scancode,
            down: false,
        };
        MODIFIERS.iter().map(up)
    }
}

impl Drop for Paster {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Modifier {
    Control,
    Alt,
    Shift,
}

const fn key(code: u8, extended: bool) -> Scancode {
    match Scancode::new(code, extended) {
        Some(scancode) => scancode,
        None => panic!("not a scan code"),
    }
}

const MODIFIERS: [(Scancode, Modifier); 6] = [
    (key(0x1D, false), Modifier::Control),
    (key(0x1D, true), Modifier::Control),
    (key(0x38, false), Modifier::Alt),
    (key(0x38, true), Modifier::Alt),
    (key(0x2A, false), Modifier::Shift),
    (key(0x36, false), Modifier::Shift),
];
/// V on every Latin layout.
const LETTER: Scancode = key(0x2F, false);
/// Characters that are typed at most: five minutes.
const LONGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL: Scancode = key(0x1D, false);
    const ALT: Scancode = key(0x38, false);
    const SHIFT: Scancode = key(0x36, false);

    fn press(chord: &mut Chord, keys: &[Scancode]) -> Vec<Fate> {
        keys.iter().map(|scancode| chord.key(*scancode, true)).collect()
    }

    #[test]
    fn the_chord_is_its_four_keys_and_the_letter_stays_with_us_until_it_is_up() {
        let mut chord = Chord::default();
        let fates = press(&mut chord, &[CONTROL, ALT, SHIFT, LETTER, LETTER]);
        assert_eq!(fates, [Fate::Pass, Fate::Pass, Fate::Pass, Fate::Paste, Fate::Keep]);
        assert_eq!(chord.key(CONTROL, false), Fate::Pass);
        assert_eq!(chord.key(LETTER, true), Fate::Keep);
        assert_eq!(chord.key(LETTER, false), Fate::Keep);
        assert_eq!(chord.key(LETTER, true), Fate::Pass, "control is up");
    }

    #[test]
    fn fewer_keys_are_no_chord() {
        for keys in [[CONTROL, ALT], [CONTROL, SHIFT], [ALT, SHIFT]] {
            let mut chord = Chord::default();
            press(&mut chord, &keys);
            assert_eq!(chord.key(LETTER, true), Fate::Pass);
            assert_eq!(chord.key(LETTER, false), Fate::Pass);
        }
    }

    #[tokio::test]
    async fn any_key_but_those_of_the_chord_stops_the_typing_and_does_nothing_else() {
        let mut paster = Paster::default();
        paster.task = Some(tokio::spawn(std::future::pending()));
        let key = |scancode, down| InputEvent::Key { scancode, down };
        assert_eq!(paster.input(key(CONTROL, false)), Fate::Pass);
        assert_eq!(paster.input(key(SHIFT, true)), Fate::Pass);
        assert!(paster.is_busy());
        assert_eq!(paster.input(key(LETTER, true)), Fate::Keep);
        assert_eq!(paster.input(key(LETTER, true)), Fate::Pass);
    }
}
