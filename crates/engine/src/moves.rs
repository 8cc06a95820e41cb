//! What moved? Finds scrolled text and dragged windows by comparing the new pixels with what the client shows, so that a
//! copy on the client's side replaces sending them.
//!
//! Candidates come from hashes: rows of single tiles for vertical scrolls, blocks of 32 pixels at any place for all other
//! moves. A candidate grows to a rectangle and is then counted pixel by pixel: it is taken only if it makes many more
//! pixels right than wrong. What it makes wrong, or misses, the comparison after it finds.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use rdpmux_model::{Client, Point, Rect, TILE};
use rdpmux_pixel::hash;

use crate::fresh::Fresh;
use crate::screen::Screen;

/// A copy on the client's screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) source: Rect<Client>,
    pub(crate) to: Point<Client>,
}

/// How often to look: content in which nothing moves (a video) is looked at more and more rarely.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patience {
    failures: u32,
    skip: u32,
}

impl Patience {
    /// Whether to look at this frame.
    fn looks(&mut self) -> bool {
        match self.skip.checked_sub(1) {
            Some(left) => {
                self.skip = left;
                false
            }
            None => true,
        }
    }

    fn note(&mut self, found: bool) {
        self.failures = if found { 0 } else { (self.failures + 1).min(4) };
        self.skip = (1 << self.failures) / 2 - u32::from(self.failures > 0);
    }
}

/// Fewer new tiles than this are not worth the search.
const FEWEST_TILES: usize = 6;
/// Pixels that a copy must make right, and how many for each one that it makes wrong.
const FEWEST_PIXELS: usize = 3000;
const GAIN_PER_LOSS: usize = 3;
/// The search ends when less than this share of the new tiles is still wrong.
const LEFT_SHARE: usize = 5;
/// Copies per frame.
const MOST_MOVES: usize = 4;
/// Equal hashes that make a candidate.
const FEWEST_VOTES: u32 = 16;
/// Tile columns whose rows are hashed for a vertical scroll.
const SAMPLED_COLUMNS: usize = 8;
/// Rows whose blocks are looked up for other moves are this far apart.
const ROW_STEP: usize = 8;

/// Finds copies, applies them to `screen`, and hands each to `found`. Tiles that a copy touches besides the new ones are
/// added to `fresh` with the pixels that they had.
pub(crate) fn find(screen: &mut Screen, fresh: &mut Fresh, mut found: impl FnMut(Move)) {
    // Where nothing is known, as on the first picture, nothing can be copied from.
    let mut wrong: Vec<usize> = fresh.indices().filter(|&tile| screen.is_known(tile)).collect();
    let enough = FEWEST_TILES.max(wrong.len() / LEFT_SHARE);
    if wrong.len() < FEWEST_TILES || !screen.patience.looks() {
        return;
    }
    let mut moves = 0;
    while moves < MOST_MOVES && wrong.len() >= enough {
        let search = Search {
            screen,
            fresh,
            wrong: &wrong,
        };
        let Some(candidate) = search.best() else {
            break;
        };
        keep_what_is_right(screen, fresh, candidate);
        screen.copy(candidate.source, candidate.to);
        found(candidate);
        moves += 1;
        wrong = fresh.indices().filter(|&tile| is_wrong(screen, fresh, tile)).collect();
    }
    screen.patience.note(moves > 0);
}

fn is_wrong(screen: &Screen, fresh: &Fresh, tile: usize) -> bool {
    let (x, y, whole) = screen.grid.tile(tile);
    let (here, new) = (screen.rows(whole.on_surface(x, y)), fresh.rows(tile));
    let len = whole.width() * 4;
    !screen.is_known(tile) || (0..whole.height()).any(|row| here.row(row, len) != new.row(row, len))
}

/// Tiles under the target that did not change must be compared with their own pixels afterwards.
fn keep_what_is_right(screen: &Screen, fresh: &mut Fresh, found: Move) {
    let target = Rect::<Client>::new(found.to.x, found.to.y, found.source.width, found.source.height);
    for tile in screen.grid.tiles_in(target) {
        if fresh.contains(tile) {
            continue;
        }
        let (x, y, whole) = screen.grid.tile(tile);
        let rows = screen.rows(whole.on_surface(x, y));
        fresh.add(tile, whole, |out| {
            (0..whole.height()).for_each(|row| out.extend_from_slice(rows.row(row, whole.width() * 4)));
        });
    }
}

/// Where a pixel comes from, relative to where it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Shift {
    x: i32,
    y: i32,
}

impl Shift {
    /// `rect` at its source, if that is on the screen.
    fn source(self, rect: Rect<Client>, screen: &Screen) -> Option<Rect<Client>> {
        let x = rect.x.checked_add_signed(self.x)?;
        let y = rect.y.checked_add_signed(self.y)?;
        let source = Rect::new(x, y, rect.width, rect.height);
        (source == source.intersect(screen.grid.size().rect())).then_some(source)
    }
}

struct Search<'a> {
    screen: &'a Screen,
    fresh: &'a Fresh,
    /// The tiles of `fresh` that differ from what the client shows.
    wrong: &'a [usize],
}

impl Search<'_> {
    fn best(&self) -> Option<Move> {
        self.vertical().or_else(|| self.anywhere())
    }

    /// A scroll: rows of tiles that are found above or below in the same column of tiles.
    fn vertical(&self) -> Option<Move> {
        let columns = self.busy_columns();
        let mut votes: Votes<Shift, Vec<(usize, usize)>> = Votes::default();
        for &column in &columns {
            self.vote_column(column, &mut votes);
        }
        let (shift, matches) = votes.into_iter().max_by_key(|(_, matches)| matches.len())?;
        if (matches.len() as u32) < FEWEST_VOTES {
            return None;
        }
        let rect = bounds(matches.iter().map(|&(column, row)| {
            let x = column as u32 * TILE;
            Rect::new(x, row as u32, TILE.min(self.screen.grid.size().width - x), 1)
        }));
        self.judge(self.grow(rect, shift), shift)
    }

    /// Up to [`SAMPLED_COLUMNS`] columns of tiles with at least two new ones.
    fn busy_columns(&self) -> Vec<usize> {
        let (columns, _) = self.screen.grid.size().tiles();
        let mut counts = vec![0_u32; columns as usize];
        for tile in self.wrong {
            counts[tile % columns as usize] += 1;
        }
        let busy: Vec<usize> = (0..counts.len()).filter(|&column| counts[column] >= 2).collect();
        let step = busy.len().div_ceil(SAMPLED_COLUMNS).max(1);
        busy.into_iter().skip(step / 2).step_by(step).collect()
    }

    fn vote_column(&self, column: usize, votes: &mut Votes<Shift, Vec<(usize, usize)>>) {
        let grid = self.screen.grid;
        let (left, width) = (
            column * TILE as usize,
            TILE.min(grid.size().width - column as u32 * TILE) as usize,
        );
        let old: Vec<u64> = (0..grid.size().height as usize)
            .map(|y| hash::row(self.screen.row(y, left, width)))
            .collect();
        let places = unique(old.iter().copied().zip(0..));
        for (y, before) in old.iter().enumerate() {
            let tile = grid.index(column as u32, y as u32 / TILE);
            let Some(row) = self.fresh.row(tile, y) else { continue };
            let new = hash::row(row);
            if new == *before {
                continue;
            }
            if let Some(&Some(from)) = places.get(&new) {
                let shift = Shift {
                    x: 0,
                    y: from as i32 - y as i32,
                };
                votes.entry(shift).or_default().push((column, y));
            }
        }
    }

    /// Any other move: blocks of the client's picture that are found at another place of the new one.
    fn anywhere(&self) -> Option<Move> {
        let places = self.old_blocks();
        let mut votes: Votes<Shift, (u32, Rect<Client>)> = Votes::default();
        let area = self.area();
        let mut line = Vec::new();
        for y in (area.y..area.bottom()).step_by(ROW_STEP) {
            self.line(y as usize, area.x as usize, area.width as usize, &mut line);
            hash::rolling(&line, |column, hash| {
                let Some(&Some(from)) = places.get(&hash) else { return };
                let x = area.x + column as u32;
                let (from_x, from_y) = (from % (1 << 16), from >> 16);
                let shift = Shift {
                    x: from_x as i32 - x as i32,
                    y: from_y as i32 - y as i32,
                };
                if shift != (Shift { x: 0, y: 0 }) {
                    let (count, around) = votes.entry(shift).or_insert((0, Rect::new(0, 0, 0, 0)));
                    *count += 1;
                    *around = around.union(Rect::new(x, y, hash::BLOCK as u32, 1));
                }
            });
        }
        let (shift, (count, rect)) = votes.into_iter().max_by_key(|(_, (count, _))| *count)?;
        if count < FEWEST_VOTES {
            return None;
        }
        self.judge(self.grow(rect, shift), shift)
    }

    /// The blocks of the changed tiles as the client shows them, by hash: x in the lower 16 bits, y above.
    fn old_blocks(&self) -> Votes<u64, Option<u32>> {
        let grid = self.screen.grid;
        let blocks = self.wrong.iter().flat_map(|&tile| {
            let (x, y, whole) = grid.tile(tile);
            let (x, y) = (x * TILE, y * TILE);
            (0..whole.height() as u32).flat_map(move |row| {
                let line = self.screen.row((y + row) as usize, x as usize, whole.width());
                let (blocks, _) = line.as_chunks::<4>().0.as_chunks::<{ hash::BLOCK }>();
                let place = move |i: usize| (x + (i * hash::BLOCK) as u32) | (y + row) << 16;
                blocks
                    .iter()
                    .enumerate()
                    .map(move |(i, block)| (hash::block(block), place(i)))
            })
        });
        unique(blocks)
    }

    /// The smallest rectangle around the new tiles.
    fn area(&self) -> Rect<Client> {
        let grid = self.screen.grid;
        bounds(self.wrong.iter().map(|&tile| {
            let (x, y, whole) = grid.tile(tile);
            whole.on_surface(x, y)
        }))
    }

    /// The new pixels of a part of a row.
    fn line(&self, y: usize, x: usize, width: usize, out: &mut Vec<u8>) {
        out.clear();
        let tile_edge = TILE as usize;
        let (mut at, end) = (x, x + width);
        while at < end {
            let next = ((at / tile_edge + 1) * tile_edge).min(end);
            let tile = self.screen.grid.index((at / tile_edge) as u32, (y / tile_edge) as u32);
            let inside = at % tile_edge * 4;
            match self.fresh.row(tile, y) {
                Some(row) => out.extend_from_slice(&row[inside..inside + (next - at) * 4]),
                None => out.extend_from_slice(self.screen.row(y, at, next - at)),
            }
            at = next;
        }
    }

    /// Moves the edges of a rectangle in which a shift was seen to where it ends.
    fn grow(&self, seed: Rect<Client>, shift: Shift) -> Rect<Client> {
        let Some(limits) = self.limits(shift) else { return seed };
        let seed = seed.intersect(limits);
        if seed.is_empty() {
            return seed;
        }
        let rect = self.grow_sideways(seed, shift, limits);
        self.grow_vertically(rect, shift, limits)
    }

    /// Targets whose sources are on the screen.
    fn limits(&self, shift: Shift) -> Option<Rect<Client>> {
        let size = self.screen.grid.size();
        let cut = |length: u32, shift: i32| {
            let start = shift.min(0).unsigned_abs();
            let end = length.checked_sub(shift.max(0) as u32)?;
            end.checked_sub(start).map(|length| (start, length))
        };
        let ((x, width), (y, height)) = (cut(size.width, shift.x)?, cut(size.height, shift.y)?);
        Some(Rect::new(x, y, width, height))
    }

    /// Left and right: most rows decide, since some are interrupted by a cursor or a selection.
    fn grow_sideways(&self, seed: Rect<Client>, shift: Shift, limits: Rect<Client>) -> Rect<Client> {
        let mut new = Vec::new();
        let step = (seed.height as usize / 64).max(1);
        let (mut lefts, mut rights) = (Vec::new(), Vec::new());
        for y in (seed.y..seed.bottom()).step_by(step) {
            self.line(y as usize, limits.x as usize, limits.width as usize, &mut new);
            let old = self.old_line(y, limits.x, limits.width, shift);
            let equal = |from: usize, to: usize| new[from * 4..to * 4] == old[from * 4..to * 4];
            let (start, end) = ((seed.x - limits.x) as usize, (seed.right() - limits.x) as usize);
            let middle = (start + end) / 2;
            if !equal(middle.saturating_sub(4), middle) {
                continue;
            }
            let left = (0..middle)
                .rev()
                .take_while(|&x| equal(x, x + 1))
                .last()
                .unwrap_or(middle);
            let right = (middle..limits.width as usize).take_while(|&x| equal(x, x + 1)).last();
            lefts.push(left as u32);
            rights.push(right.unwrap_or(middle) as u32 + 1);
        }
        if lefts.is_empty() {
            return seed;
        }
        lefts.sort_unstable();
        rights.sort_unstable();
        let left = limits.x + lefts[lefts.len() / 2];
        let right = limits.x + rights[rights.len() / 2];
        Rect::new(left, seed.y, right.saturating_sub(left), seed.height)
    }

    /// Up and down, as long as most of a row fits.
    fn grow_vertically(&self, rect: Rect<Client>, shift: Shift, limits: Rect<Client>) -> Rect<Client> {
        let mut new = Vec::new();
        let mut fits = |y: u32| {
            self.line(y as usize, rect.x as usize, rect.width as usize, &mut new);
            let old = self.old_line(y, rect.x, rect.width, shift);
            let (new, old) = (new.as_chunks::<4>().0, old.as_chunks::<4>().0);
            let equal = new.iter().zip(old).filter(|(new, old)| new == old).count();
            equal * 8 >= new.len() * 7
        };
        let mut top = rect.y;
        while top > limits.y && fits(top - 1) {
            top -= 1;
        }
        let mut bottom = rect.bottom();
        while bottom < limits.bottom() && fits(bottom) {
            bottom += 1;
        }
        Rect::new(rect.x, top, rect.width, bottom - top)
    }

    /// A row of what the client shows at the source of a target row.
    fn old_line(&self, y: u32, x: u32, width: u32, shift: Shift) -> &[u8] {
        let (x, y) = (x.saturating_add_signed(shift.x), y.saturating_add_signed(shift.y));
        self.screen.row(y as usize, x as usize, width as usize)
    }

    /// Counts what a copy makes right and wrong.
    fn judge(&self, target: Rect<Client>, shift: Shift) -> Option<Move> {
        let source = shift.source(target, self.screen).filter(|source| !source.is_empty())?;
        if !self.screen.grid.tiles_in(source).all(|tile| self.screen.is_known(tile)) {
            return None;
        }
        let (mut gain, mut loss) = (0, 0);
        let mut new = Vec::new();
        for y in target.y..target.bottom() {
            self.line(y as usize, target.x as usize, target.width as usize, &mut new);
            let here = self.screen.row(y as usize, target.x as usize, target.width as usize);
            let there = self.old_line(y, target.x, target.width, shift);
            let (right, wrong) = count(&new, here, there);
            gain += right;
            loss += wrong;
        }
        (gain >= FEWEST_PIXELS && gain >= loss * GAIN_PER_LOSS).then_some(Move {
            source,
            to: Point::new(target.x, target.y),
        })
    }
}

/// Pixels of a row that only the copy makes right, and that it makes wrong.
fn count<'a>(new: &'a [u8], here: &'a [u8], there: &'a [u8]) -> (usize, usize) {
    let pixels = |row: &'a [u8]| row.as_chunks::<4>().0.iter().map(|pixel| u32::from_le_bytes(*pixel));
    let (mut right, mut wrong) = (0_u32, 0_u32);
    for ((new, here), there) in pixels(new).zip(pixels(here)).zip(pixels(there)) {
        right += u32::from(new != here) & u32::from(new == there);
        wrong += u32::from(new == here) & u32::from(new != there);
    }
    (right as usize, wrong as usize)
}

/// The values by key; a key that is there twice with other values has none.
fn unique(entries: impl Iterator<Item = (u64, u32)>) -> Votes<u64, Option<u32>> {
    let mut map = Votes::default();
    for (key, value) in entries {
        map.entry(key).and_modify(|known| *known = None).or_insert(Some(value));
    }
    map
}

fn bounds(rects: impl Iterator<Item = Rect<Client>>) -> Rect<Client> {
    rects.fold(Rect::new(0, 0, 0, 0), Rect::union)
}

/// Maps by hashes of pixels, which need no further hashing, and by shifts, which are few.
type Votes<K, V> = HashMap<K, V, BuildHasherDefault<Folded>>;

/// Folds what is hashed by multiplication.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9E37_79B1_85EB_CA87).rotate_left(32);
    }

    fn write_i32(&mut self, value: i32) {
        self.write_u64(u64::from(value as u32));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_moves_is_looked_at_ever_more_rarely_until_something_does() {
        let mut patience = Patience::default();
        let mut looks = |frames: u32, found: bool| {
            let look = |_: &u32| patience.looks().then(|| patience.note(found)).is_some();
            (0..frames).filter(look).count()
        };
        assert_eq!(looks(1, false), 1);
        assert_eq!(looks(8, false), 3);
        assert_eq!(looks(80, false), 10, "one of eight from then on");
        assert!(looks(8, true) >= 1);
        assert_eq!(looks(8, true), 8, "each, once something moved");
    }
}
