//! The chords of a session. Pasting as typing, for guests without an agent: a viewer who presses Ctrl+Alt+Shift+V has what
//! it would paste typed on the guest's keyboard, in the guest's layout if that is known, else in the client's. Any key of
//! the viewer's stops it. The typing itself is [`Hand::type_text`](crate::Hand::type_text)'s. Ctrl+Alt+Shift+N asks for the
//! machine's next desktop, which is the session's to do.

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
    /// It completes the other chord: lift its keys and show the machine's next desktop.
    Next,
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
    /// The letter that is down since it completed a chord.
    letter: Option<Scancode>,
}

impl Chord {
    fn key(&mut self, scancode: Scancode, down: bool) -> Fate {
        if let Some(index) = MODIFIERS.iter().position(|(key, _)| *key == scancode) {
            self.modifiers[index] = down;
            return Fate::Pass;
        }
        if self.letter == Some(scancode) {
            self.letter = self.letter.filter(|_| down);
            return Fate::Keep;
        }
        let fate = match scancode {
            PASTE => Fate::Paste,
            NEXT => Fate::Next,
            _ => Fate::Pass,
        };
        if fate == Fate::Pass || !down || !self.is_complete() {
            return Fate::Pass;
        }
        self.letter = Some(scancode);
        fate
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
            Fate::Paste | Fate::Next if self.is_busy() => Fate::Keep,
            // The key says "stop" and means nothing else.
            Fate::Pass if down && !is_modifier && self.stop() => Fate::Keep,
            fate => fate,
        }
    }

    /// The chord's letter is the guest's after all.
    pub(crate) fn let_pass(&mut self) {
        self.chord.letter = None;
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
/// V and N on every Latin layout.
const PASTE: Scancode = key(0x2F, false);
const NEXT: Scancode = key(0x31, false);
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
        let fates = press(&mut chord, &[CONTROL, ALT, SHIFT, PASTE, PASTE]);
        assert_eq!(fates, [Fate::Pass, Fate::Pass, Fate::Pass, Fate::Paste, Fate::Keep]);
        assert_eq!(chord.key(CONTROL, false), Fate::Pass);
        assert_eq!(chord.key(PASTE, true), Fate::Keep);
        assert_eq!(chord.key(PASTE, false), Fate::Keep);
        assert_eq!(chord.key(PASTE, true), Fate::Pass, "control is up");
    }

    #[test]
    fn each_chord_has_its_letter_and_one_that_means_nothing_here_is_the_guest_s() {
        let mut paster = Paster::default();
        let mut press = |scancode, down| paster.input(InputEvent::Key { scancode, down });
        for modifier in [CONTROL, ALT, SHIFT] {
            assert_eq!(press(modifier, true), Fate::Pass);
        }
        assert_eq!(press(NEXT, true), Fate::Next);
        assert_eq!(press(NEXT, false), Fate::Keep);
        assert_eq!(press(NEXT, true), Fate::Next);
        paster.let_pass();
        let up = InputEvent::Key {
            scancode: NEXT,
            down: false,
        };
        assert_eq!(paster.input(up), Fate::Pass);
    }

    #[test]
    fn fewer_keys_are_no_chord() {
        for keys in [[CONTROL, ALT], [CONTROL, SHIFT], [ALT, SHIFT]] {
            let mut chord = Chord::default();
            press(&mut chord, &keys);
            assert_eq!(chord.key(PASTE, true), Fate::Pass);
            assert_eq!(chord.key(PASTE, false), Fate::Pass);
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
        assert_eq!(paster.input(key(PASTE, true)), Fate::Keep);
        assert_eq!(paster.input(key(PASTE, true)), Fate::Pass);
    }
}
