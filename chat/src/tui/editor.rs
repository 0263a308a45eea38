//! The input line: text and a cursor, by what people see as characters.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

/// Text being written.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    text: String,
    /// Bytes before the cursor, at a boundary of graphemes.
    at: usize,
}

impl Editor {
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text in front of the cursor.
    pub(crate) fn before(&self) -> &str {
        &self.text[..self.at]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Replaces everything, with the cursor at the end.
    pub(crate) fn set(&mut self, text: impl Into<String>) {
        self.text = text.into();
        self.at = self.text.len();
    }

    /// Takes everything out.
    pub(crate) fn take(&mut self) -> String {
        self.at = 0;
        std::mem::take(&mut self.text)
    }

    pub(crate) fn insert(&mut self, text: &str) {
        // A paste of another system's line ends, and nothing that draws.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text: String = text.chars().filter(|&c| c == '\n' || !c.is_control()).collect();
        self.text.insert_str(self.at, &text);
        self.at += text.len();
    }

    /// Replaces the `bytes` in front of the cursor.
    pub(crate) fn replace_before(&mut self, bytes: usize, text: &str) {
        let from = self.at - bytes;
        self.text.replace_range(from..self.at, text);
        self.at = from + text.len();
    }

    fn previous(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.at, self.text.len(), true);
        cursor.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn next(&self) -> usize {
        let mut cursor = GraphemeCursor::new(self.at, self.text.len(), true);
        cursor.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len())
    }

    /// Where the word before the cursor begins.
    fn word(&self) -> usize {
        let mut words = self.text[..self.at].split_word_bound_indices();
        words.rfind(|(_, word)| !word.trim().is_empty()).map_or(0, |(at, _)| at)
    }

    pub(crate) fn left(&mut self) {
        self.at = self.previous();
    }

    pub(crate) fn right(&mut self) {
        self.at = self.next();
    }

    pub(crate) fn word_left(&mut self) {
        self.at = self.word();
    }

    pub(crate) fn word_right(&mut self) {
        let mut words = self.text[self.at..].split_word_bound_indices();
        let word = words.find(|(_, word)| !word.trim().is_empty());
        self.at = word.map_or(self.text.len(), |(at, word)| self.at + at + word.len());
    }

    pub(crate) fn home(&mut self) {
        self.at = 0;
    }

    pub(crate) fn end(&mut self) {
        self.at = self.text.len();
    }

    pub(crate) fn backspace(&mut self) {
        let from = self.previous();
        self.text.replace_range(from..self.at, "");
        self.at = from;
    }

    pub(crate) fn delete(&mut self) {
        let to = self.next();
        self.text.replace_range(self.at..to, "");
    }

    pub(crate) fn delete_word(&mut self) {
        let from = self.word();
        self.text.replace_range(from..self.at, "");
        self.at = from;
    }

    pub(crate) fn delete_to_start(&mut self) {
        self.text.replace_range(..self.at, "");
        self.at = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.set(text);
        editor
    }

    #[test]
    fn moves_and_deletes_by_what_is_seen() {
        let mut editor = with("ae\u{301}👩‍👩‍👧b");
        editor.left();
        editor.backspace();
        assert_eq!(editor.text(), "ae\u{301}b");
        editor.backspace();
        assert_eq!((editor.text(), editor.before()), ("ab", "a"));
        editor.delete();
        editor.delete();
        assert_eq!(editor.text(), "a");
        editor.home();
        editor.left();
        editor.backspace();
        editor.insert("x");
        assert_eq!(editor.text(), "xa");
    }

    #[test]
    fn words_are_skipped_and_deleted() {
        let mut editor = with("one two  ");
        editor.delete_word();
        assert_eq!(editor.text(), "one ");
        editor.word_left();
        assert_eq!(editor.before(), "");
        editor.word_right();
        assert_eq!(editor.before(), "one");
    }

    #[test]
    fn a_paste_cannot_draw() {
        let mut editor = Editor::default();
        editor.insert("a\r\nb\u{1b}[2J\rc\0");
        assert_eq!(editor.take(), "a\nb[2J\nc");
        assert!(editor.is_empty());
    }
}
