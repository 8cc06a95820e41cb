//! An alpha plane for clients that insist on one: RDP 6.0 planar bitmaps come from the encoder without it, which only
//! clients with `DRAW_ALLOW_SKIP_ALPHA` take ([MS-RDPBCGR] 2.2.7.1.2). rdesktop is one that does not.

const NO_ALPHA: u8 = 0x20;
const RUN_LENGTHS: u8 = 0x10;

/// A planar bitmap in a form that does not leave out alpha.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WithAlpha {
    /// Still planar.
    Planar(Vec<u8>),
    /// 32 bits per pixel without compression, from planes without run lengths.
    Raw(Vec<u8>),
}

/// Adds the plane; `None` if the payload is no planar bitmap of this size without alpha.
pub(super) fn add(planar: &[u8], width: usize, height: usize) -> Option<WithAlpha> {
    let (header, planes) = planar.split_first()?;
    match *header {
        header if header == NO_ALPHA | RUN_LENGTHS => {
            let mut out = Vec::with_capacity(planar.len() + height * (width / 32 + 3));
            out.push(RUN_LENGTHS);
            // Zeros in the first row, and no difference to the row before in all others.
            (0..height).for_each(|_| zeros(width, &mut out));
            out.extend_from_slice(planes);
            Some(WithAlpha::Planar(out))
        }
        NO_ALPHA => {
            let area = width * height;
            let (red, rest) = planes.split_at_checked(area)?;
            let (green, rest) = rest.split_at_checked(area)?;
            let blue = rest.get(..area)?;
            let pixels = blue.iter().zip(green).zip(red);
            Some(WithAlpha::Raw(
                pixels.flat_map(|((b, g), r)| [*b, *g, *r, 0xFF]).collect(),
            ))
        }
        _ => None,
    }
}

/// `RDP6_RLE_SEGMENT`s ([MS-RDPEGDI] 2.2.2.5.1.1) for one row of zeros.
fn zeros(mut width: usize, out: &mut Vec<u8>) {
    while width > 0 {
        let run = match width {
            32.. => {
                let run = width.min(47);
                out.push((run as u8 - 32) << 4 | 2);
                run
            }
            16.. => {
                out.push((width as u8 - 16) << 4 | 1);
                width
            }
            3.. => {
                out.push(width as u8);
                width
            }
            few => {
                out.push((few as u8) << 4);
                out.resize(out.len() + few, 0);
                few
            }
        };
        width -= run;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_of_zeros_comes_before_the_others() {
        assert_eq!(
            add(&[0x30, 1, 2], 64, 2),
            Some(WithAlpha::Planar(vec![0x10, 0xF2, 0x11, 0xF2, 0x11, 1, 2]))
        );
        assert_eq!(add(&[0x30, 9], 5, 1), Some(WithAlpha::Planar(vec![0x10, 5, 9])));
        assert_eq!(
            add(&[0x30, 9], 49, 1),
            Some(WithAlpha::Planar(vec![0x10, 0xF2, 0x20, 0, 0, 9]))
        );
    }

    #[test]
    fn planes_without_run_lengths_become_pixels() {
        let planes = [0x20, 1, 2, 3, 4, 5, 6, 0];
        assert_eq!(
            add(&planes, 2, 1),
            Some(WithAlpha::Raw(vec![5, 3, 1, 0xFF, 6, 4, 2, 0xFF]))
        );
        assert_eq!(add(&planes[..5], 2, 1), None);
        assert_eq!(add(&[0x10, 1], 2, 1), None);
    }
}
