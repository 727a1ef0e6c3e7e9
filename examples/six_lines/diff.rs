//! What lines two texts differ in.

use std::fmt::Write;

/// A line of either text, or of both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line<'a> {
    Same(&'a str),
    Removed(&'a str),
    Added(&'a str),
}

/// The lines of both texts, by a longest common subsequence.
pub(crate) fn lines<'a>(before: &'a str, after: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    // How many lines the rests from here have in common.
    let mut common = vec![vec![0; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(Line::Same(old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(Line::Removed(old[i]));
            i += 1;
        } else {
            lines.push(Line::Added(new[j]));
            j += 1;
        }
    }
    lines
}

/// How many lines are changed, added or removed. Where lines stand in the place of others, each is
/// counted once.
pub(crate) fn changed(lines: &[Line<'_>]) -> usize {
    let places = lines.split(|line| matches!(line, Line::Same(_)));
    let sizes = places.map(|place| {
        let removed = place.iter().filter(|line| matches!(line, Line::Removed(_))).count();
        removed.max(place.len() - removed)
    });
    sizes.sum()
}

/// The differences, each with a line before and after it that is not empty.
pub(crate) fn text(lines: &[Line<'_>]) -> String {
    let differs = |at: usize| !matches!(lines.get(at), Some(Line::Same(_)) | None);
    let mut text = String::new();
    let mut was_shown = true;
    for (at, line) in lines.iter().enumerate() {
        let is_near = differs(at + 1) || at > 0 && differs(at - 1);
        let is_shown = differs(at) || is_near && *line != Line::Same("");
        if is_shown && !was_shown && !text.is_empty() {
            text.push_str(" …\n");
        }
        was_shown = is_shown;
        let (sign, line) = match line {
            Line::Same(_) if !is_shown => continue,
            Line::Same(line) => (' ', line),
            Line::Removed(line) => ('-', line),
            Line::Added(line) => ('+', line),
        };
        writeln!(text, "{sign}{line}").expect("a string takes all that is written");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_the_place_of_another_is_one_change() {
        let lines = lines("a\nb\nc\nd\n", "a\nB\nB2\nc\ne\nd\n");
        let expected = [
            Line::Same("a"),
            Line::Removed("b"),
            Line::Added("B"),
            Line::Added("B2"),
            Line::Same("c"),
            Line::Added("e"),
            Line::Same("d"),
        ];
        assert_eq!(lines, expected);
        assert_eq!(changed(&lines), 3);
        assert_eq!(changed(&[]), 0);
    }

    #[test]
    fn what_is_far_from_every_change_is_left_out() {
        let lines = lines("a\nb\nc\nd\ne\nf\n", "a\nb\nC\nd\ne\nf\ng\n");
        assert_eq!(text(&lines), " b\n-c\n+C\n d\n …\n f\n+g\n");
    }
}
