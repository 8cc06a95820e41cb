//! When is the second picture of 4:4:4 worth its bytes and time? Where 4:2:0 would show colours wrongly (coloured text and
//! lines; films are soft in colour), and as long as the link has room for a fine main picture beside it.

/// Decides for each picture of one stream.
#[derive(Debug, Default)]
pub(super) struct Chroma {
    /// Pictures until the colours are looked at again.
    wait: u32,
    /// 4:2:0 shows them wrongly.
    is_lost: bool,
    /// The link had no room for both pictures.
    is_narrow: bool,
    /// So many pictures in a row were fine alone.
    fine: u32,
    /// The last picture had a second one.
    was_sent: bool,
}

// Chosen, not measured: how often to look, and from where on it is worth it.
/// Colours are looked at in one of so many pictures.
const LOOK: u32 = 8;
/// From so many samples of a thousand on colours are lost, and below so few they are well again.
const LOST: u32 = 4;
const WELL: u32 = 2;
/// Both pictures coarser than this: the main one alone is better. Two take about twice the bytes, which is six steps.
/// Steps cost less than colours: a film with coloured text had 37 dB with both at 22 and 27 dB without, at 25 kB each, and
/// 27 dB without at 26 too.
const COARSE: u8 = 33;
/// A main picture that was this fine for a while has room for a second one.
const FINE: u8 = 26;
const WHILE: u32 = 30;

impl Chroma {
    /// Whether the picture with this quantiser gets a second one. `lost_chroma` tells how many of a thousand samples
    /// it would make better.
    pub(super) fn is_wanted(&mut self, quantizer: u8, lost_chroma: impl FnOnce() -> u32) -> bool {
        if self.wait == 0 {
            self.wait = LOOK;
            self.is_lost = lost_chroma() >= if self.is_lost { WELL } else { LOST };
        }
        self.wait -= 1;
        self.is_narrow |= quantizer > COARSE;
        self.is_lost && !self.is_narrow
    }

    /// A picture was sent, alone or not. Whether its bytes tell anything about the next one's: not after a change.
    pub(super) fn sent(&mut self, with_second: bool, quantizer: u8) -> bool {
        self.fine = if quantizer <= FINE && !with_second {
            self.fine + 1
        } else {
            0
        };
        if self.fine >= WHILE {
            self.is_narrow = false;
        }
        std::mem::replace(&mut self.was_sent, with_second) == with_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many pictures get a second one.
    fn seconds(chroma: &mut Chroma, pictures: u32, quantizer: u8, lost: u32) -> u32 {
        let sent = (0..pictures).filter(|_| {
            let is_wanted = chroma.is_wanted(quantizer, || lost);
            chroma.sent(is_wanted, quantizer);
            is_wanted
        });
        sent.count() as u32
    }

    #[test]
    fn only_lost_colours_are_sent_and_they_are_found_soon() {
        let mut chroma = Chroma::default();
        assert_eq!(seconds(&mut chroma, 100, 22, LOST - 1), 0);
        assert!(seconds(&mut chroma, 100, 22, LOST) > 100 - LOOK);
        assert_eq!(seconds(&mut chroma, 100, 22, WELL), 100, "not at each small change");
        assert!(seconds(&mut chroma, 100, 22, WELL - 1) < LOOK);
    }

    #[test]
    fn a_narrow_link_gets_the_main_picture_until_that_is_fine_for_a_while() {
        let mut chroma = Chroma::default();
        assert_eq!(seconds(&mut chroma, 10, COARSE, 50), 10);
        assert_eq!(seconds(&mut chroma, 100, COARSE + 1, 50), 0);
        assert_eq!(seconds(&mut chroma, 100, FINE + 1, 50), 0);
        assert_eq!(seconds(&mut chroma, 100, FINE, 50), 100 - WHILE);
    }

    #[test]
    fn the_bytes_around_a_change_tell_nothing() {
        let mut chroma = Chroma::default();
        let told = [false, true, true, false, false].map(|second| chroma.sent(second, 22));
        assert_eq!(told, [true, false, true, false, true]);
    }
}
