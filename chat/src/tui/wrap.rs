//! Breaks text into lines that fit.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// Breaks `text` into lines of at most `width` columns, between words where that is possible.
///
/// There is at least one line; line breaks of the text are kept.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(2);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let (mut line, mut columns) = (String::new(), 0);
        for word in paragraph.split_word_bounds() {
            let wide = word.width();
            if columns + wide > width && columns > 0 {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
                columns = 0;
                if word.trim().is_empty() {
                    continue;
                }
            }
            if wide <= width {
                line.push_str(word);
                columns += wide;
                continue;
            }
            // A word that is longer than a line is broken anywhere.
            for grapheme in word.graphemes(true) {
                if columns + grapheme.width() > width {
                    lines.push(std::mem::take(&mut line));
                    columns = 0;
                }
                line.push_str(grapheme);
                columns += grapheme.width();
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// Cuts `text` to `width` columns, with an ellipsis where something is left out.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut columns) = (String::new(), 1);
    for grapheme in text.graphemes(true) {
        columns += grapheme.width();
        if columns > width {
            break;
        }
        out.push_str(grapheme);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_between_words_and_keeps_breaks() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("a\n\nb", 8), ["a", "", "b"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("日本語テキスト", 6), ["日本語", "テキス", "ト"]);
    }

    #[test]
    fn no_line_is_wider_than_it_may_be() {
        let text = "the quick 狐 jumps over👩‍👩‍👧 aaaaaaaaaaaaaaaaaaaaaa\tdogs\nx";
        for width in 2..30 {
            for line in wrap(text, width) {
                assert!(line.width() <= width, "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn cuts_with_an_ellipsis() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("x", 0), "");
    }
}
