//! A view of a parsed JSON value.
//!
//! The parser leaves a flat tape of nodes; a value is the run of nodes that it consists of. Nothing here recurses
//! deeper than the parser's depth limit.

use super::write;
use simd_json::{Node, StaticNode, Tape};

/// One JSON value on a tape.
#[derive(Clone, Copy)]
pub(super) struct Value<'a>(&'a [Node<'a>]);

impl<'a> Value<'a> {
    /// The outermost value.
    pub(super) fn root(tape: &'a Tape<'a>) -> Self {
        Value(&tape.0)
    }

    /// The text, if it is a string.
    pub(super) fn string(self) -> Option<&'a str> {
        match self.0.first()? {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, which is always finite, if it is one.
    pub(super) fn number(self) -> Option<f64> {
        match self.0.first()? {
            Node::Static(StaticNode::I64(value)) => Some(*value as f64),
            Node::Static(StaticNode::U64(value)) => Some(*value as f64),
            Node::Static(StaticNode::F64(value)) => Some(*value),
            _ => None,
        }
    }

    /// The number, also when it is written in a string.
    pub(super) fn number_or_text(self) -> Option<f64> {
        let written =
            |text: &str| text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
        self.number().or_else(|| self.string().and_then(written))
    }

    /// The flag, if it is one.
    pub(super) fn boolean(self) -> Option<bool> {
        match self.0.first()? {
            Node::Static(StaticNode::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self.0.first(), Some(Node::Static(StaticNode::Null)))
    }

    /// Whether JavaScript takes the value for true.
    pub(super) fn is_truthy(self) -> bool {
        match self.0.first() {
            Some(Node::String(text)) => !text.is_empty(),
            Some(Node::Object { .. } | Node::Array { .. }) => true,
            Some(Node::Static(StaticNode::Bool(value))) => *value,
            _ => self.number().is_some_and(|value| value != 0.0),
        }
    }

    /// The elements, if it is an array.
    pub(super) fn items(self) -> Option<Values<'a>> {
        match self.0.split_first()? {
            (Node::Array { len, .. }, rest) => Some(Values { rest, left: *len }),
            _ => None,
        }
    }

    /// The member of this name, if it is an object that has one. Of several the last counts, as in JavaScript.
    pub(super) fn get(self, key: &str) -> Option<Value<'a>> {
        let mut found = None;
        for (name, value) in self.members()? {
            if name == key {
                found = Some(value);
            }
        }
        found
    }

    fn members(self) -> Option<impl Iterator<Item = (&'a str, Value<'a>)>> {
        let (Node::Object { len, .. }, rest) = self.0.split_first()? else { return None };
        let mut values = Values { rest, left: 2 * *len };
        Some(std::iter::from_fn(move || Some((values.next()?.string()?, values.next()?))))
    }

    /// Appends the value as compact JSON.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        match self.0.first() {
            Some(Node::String(text)) => write::string(out, text),
            Some(Node::Array { .. }) => {
                out.push(b'[');
                for (i, item) in self.items().into_iter().flatten().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Some(Node::Object { .. }) => {
                out.push(b'{');
                for (i, (name, value)) in self.members().into_iter().flatten().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    write::string(out, name);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
            Some(Node::Static(StaticNode::Bool(true))) => out.extend_from_slice(b"true"),
            Some(Node::Static(StaticNode::Bool(false))) => out.extend_from_slice(b"false"),
            Some(Node::Static(StaticNode::I64(value))) => write::integer(out, *value),
            Some(Node::Static(StaticNode::U64(value))) => write::integer(out, *value),
            Some(Node::Static(StaticNode::F64(value))) => write::float(out, *value),
            _ => out.extend_from_slice(b"null"),
        }
    }
}

/// The values that follow one another in an array or object.
pub(super) struct Values<'a> {
    rest: &'a [Node<'a>],
    left: usize,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        self.left = self.left.checked_sub(1)?;
        let nodes = match self.rest.first()? {
            Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
            _ => 1,
        };
        let (value, rest) = self.rest.split_at_checked(nodes)?;
        self.rest = rest;
        Some(Value(value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Values<'_> {}

/// Replaces escapes of lone surrogates by that of U+FFFD, in place.
///
/// JavaScript writes them when a text was cut within a character outside the BMP. JSON has them, but Unicode text
/// does not, so a parser would refuse the whole frame.
pub(super) fn mend_lone_surrogates(json: &mut [u8]) {
    const REPLACEMENT: &[u8; 6] = b"\\ufffd";
    let mut rest = json;
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        rest = rest.split_at_mut(at).1;
        let (lone, skip) = match escaped_unit(rest) {
            Some(0xd800..=0xdbff) => match rest.get(6..).and_then(escaped_unit) {
                Some(0xdc00..=0xdfff) => (false, 12),
                _ => (true, 6),
            },
            Some(0xdc00..=0xdfff) => (true, 6),
            Some(_) => (false, 6),
            None => (false, 2),
        };
        if lone && let Some(escape) = rest.get_mut(..6) {
            escape.copy_from_slice(REPLACEMENT);
        }
        rest = rest.split_at_mut_checked(skip).map_or(&mut [], |(_, tail)| tail);
    }
}

/// The UTF-16 code unit that the `\uXXXX` at the front of `json` stands for.
fn escaped_unit(json: &[u8]) -> Option<u16> {
    let digits = json.strip_prefix(b"\\u")?.get(..4)?;
    digits
        .iter()
        .try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(json: &str) -> String {
        let mut bytes = json.as_bytes().to_vec();
        mend_lone_surrogates(&mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn lone_surrogates_are_mended_and_nothing_else() {
        for (json, expected) in [
            (r#"a\ud83d"#, r#"a\ufffd"#),
            (r#"\uDE00x"#, r#"\ufffdx"#),
            (r#"\ud83d\ude00"#, r#"\ud83d\ude00"#),
            (r#"\ud83d\ud83d\ude00"#, r#"\ufffd\ud83d\ude00"#),
            (r#"\ud83dA\ude00"#, r#"\ufffdA\ufffd"#),
            (r#"\\ud83d"#, r#"\\ud83d"#),
            (r#"\\\ud83d"#, r#"\\\ufffd"#),
            (r#"\ud83d\"#, r#"\ufffd\"#),
            (r#"\ud8"#, r#"\ud8"#),
            (r#"\"#, r#"\"#),
            (r#"é\n\u00e9\ud800é"#, r#"é\n\u00e9\ufffdé"#),
        ] {
            assert_eq!(mended(json), expected, "{json}");
        }
    }

    #[test]
    fn values_are_written_as_they_were_read() {
        let json = r#"{"a":[1,-2,0.5,true,false,null,"x\n\"é",[],{}],"b":{"c":[[18446744073709551615]]},"":1e+300}"#;
        let mut bytes = json.as_bytes().to_vec();
        let tape = simd_json::to_tape(&mut bytes).unwrap();
        let mut out = Vec::new();
        Value::root(&tape).write(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), json);
    }

    #[test]
    fn of_several_members_the_last_counts() {
        let mut bytes = br#"{"m":"a","x":[1,{"m":"no"}],"m":"b"}"#.to_vec();
        let tape = simd_json::to_tape(&mut bytes).unwrap();
        assert_eq!(Value::root(&tape).get("m").and_then(Value::string), Some("b"));
        assert_eq!(Value::root(&tape).get("y").map(|_| ()), None);
    }
}
