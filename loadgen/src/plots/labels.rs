//! Names at the ends of the lines, in place of a legend that the eye has to go back to.

use std::ops::Range;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Placed;
use super::ink::{self, units};
use super::{Area, Drawn};

/// Least distance of two labels in CSS pixels.
pub(super) const STEP: i32 = 15;
/// Longest name that is written out.
const NAME_CHARS_MAX: usize = 26;
/// Between the plot and the labels, in CSS pixels.
const GAP: i32 = 12;

/// About as wide is so much text of the usual size, in CSS pixels.
pub(super) fn width(chars: usize) -> i32 {
    (chars as f64 * 6.6).ceil() as i32
}

/// The text, or its beginning.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max - 1).chain(['…']).collect()
}

/// The room that the labels take at the right, in CSS pixels.
pub(super) fn room(lines: &[Placed<'_>]) -> i32 {
    let named = lines.iter().filter(|line| !line.points.is_empty() && !line.name.is_empty());
    let longest = named.map(|line| line.name.chars().count().min(NAME_CHARS_MAX)).max();
    longest.map_or(20, |chars| GAP + width(chars) + 6)
}

/// Writes each line's name as near to its end (in the library's numbers) as the others allow.
pub(super) fn draw(
    area: &Area<'_>,
    right: i32,
    plot: Range<i32>,
    width: i32,
    ends: Vec<(&Placed<'_>, (i32, i32))>,
) -> Drawn {
    let mut ends: Vec<_> = ends.into_iter().filter(|(line, _)| !line.name.is_empty()).collect();
    ends.sort_by_key(|(_, end)| end.1);
    let wanted: Vec<i32> = ends.iter().map(|(_, end)| end.1).collect();
    let left = (right + units(GAP)).min(width);
    for ((line, end), at) in ends.into_iter().zip(spread(&wanted, units(STEP), plot)) {
        let lead = vec![(end.0 + units(4), end.1), (left - units(3), at)];
        area.draw(&PathElement::new(lead, line.colour.mix(0.45).stroke_width(3)))?;
        let style = ink::text(12, line.colour, false).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(cut(line.name, NAME_CHARS_MAX), (left, at), style))?;
    }
    Ok(())
}

/// Places in rising order, none nearer than `step` to the next, each as near as that to where it is
/// wanted, and inside `range` when they fit.
fn spread(wanted: &[i32], step: i32, range: Range<i32>) -> Vec<i32> {
    // Labels that touch form a block, which lies where its members want it on average.
    struct Block {
        sum: i64,
        members: i64,
    }
    impl Block {
        /// Of its first member.
        fn place(&self, step: i32) -> i64 {
            let own = i64::from(step) * self.members * (self.members - 1) / 2;
            (self.sum - own) / self.members
        }
    }
    let mut blocks: Vec<Block> = Vec::with_capacity(wanted.len());
    for &want in wanted {
        blocks.push(Block { sum: i64::from(want), members: 1 });
        while let [.., above, below] = &mut blocks[..] {
            let end = above.place(step) + i64::from(step) * above.members;
            if below.place(step) >= end {
                break;
            }
            above.sum += below.sum;
            above.members += below.members;
            blocks.pop();
        }
    }
    let each = blocks.iter().flat_map(|block| {
        let first = block.place(step);
        (0..block.members).map(move |n| first + n * i64::from(step))
    });
    let mut places: Vec<i32> = Vec::with_capacity(wanted.len());
    for place in each {
        let least = places.last().map_or(range.start, |last| last + step);
        places.push(i32::try_from(place).unwrap_or(least).max(least));
    }
    let mut most = range.end;
    for place in places.iter_mut().rev() {
        *place = (*place).min(most);
        most = *place - step;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_do_not_overlap() {
        assert_eq!(spread(&[5, 50, 90], 10, 0..100), [5, 50, 90]);
        assert_eq!(spread(&[50, 50, 50], 10, 0..100), [40, 50, 60]);
        assert_eq!(spread(&[95, 96, 97], 10, 0..100), [80, 90, 100]);
        assert_eq!(spread(&[0, 0], 10, 0..100), [0, 10]);
        assert_eq!(spread(&[20, 48, 52, 80], 10, 0..100), [20, 45, 55, 80]);
        assert!(spread(&[], 10, 0..100).is_empty());
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("äbcd", 3), "äb…");
    }
}
