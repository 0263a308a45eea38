//! Payloads: one JSON object each, read more strictly than JSON asks for.
//!
//! Refused are duplicate keys, values nested deeper than [`DEPTH_MAX`], half surrogate pairs, bytes behind the object,
//! and every number that is not a whole one from 0 to 2^53 - 1, which is what JavaScript holds exactly. Unknown keys
//! are ignored, and `null` is the same as an absent key.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::{collections::BTreeMap, fmt};

/// How deep values may be nested; the payload itself is the first level.
pub const DEPTH_MAX: u8 = 8;
/// The largest number.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// What is wrong with a payload.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PayloadFault {
    /// It is not an object as above.
    #[error("{0}")]
    Malformed(String),
    /// A key that has to be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A key's value is of another type, or out of its range.
    #[error("{0} is not {1}")]
    Unfit(&'static str, &'static str),
}

#[derive(Clone, PartialEq, Debug)]
enum Value {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<Value>),
    /// Nothing reads an object within an object.
    Object,
}

/// A payload's keys and values.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Payload(BTreeMap<String, Value>);

impl Payload {
    /// Reads a payload; none at all is `{}`.
    ///
    /// # Errors
    /// [`PayloadFault::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, PayloadFault> {
        if bytes.is_empty() {
            return Ok(Payload::default());
        }
        let malformed = |error: serde_json::Error| PayloadFault::Malformed(error.to_string());
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let payload = deserializer.deserialize_map(Keys { depth: 1 }).map_err(malformed)?;
        deserializer.end().map_err(malformed)?;
        Ok(Payload(payload))
    }

    /// Takes a value out; `null` is none.
    fn take(&mut self, key: &str) -> Option<Value> {
        self.0.remove(key).filter(|value| *value != Value::Null)
    }

    /// A number, if there.
    ///
    /// # Errors
    /// When it is something else, or over `max`.
    pub fn number(&mut self, key: &'static str, max: u64) -> Result<Option<u64>, PayloadFault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Number(number)) if number <= max => Ok(Some(number)),
            Some(_) => Err(PayloadFault::Unfit(key, "a number in its range")),
        }
    }

    /// A text, if there.
    ///
    /// # Errors
    /// When it is something else, or longer than `bytes_max`.
    pub fn text(
        &mut self,
        key: &'static str,
        bytes_max: usize,
    ) -> Result<Option<String>, PayloadFault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Text(text)) if text.len() <= bytes_max => Ok(Some(text)),
            Some(_) => Err(PayloadFault::Unfit(key, "a text in its length")),
        }
    }

    /// A flag, if there.
    ///
    /// # Errors
    /// When it is something else.
    pub fn flag(&mut self, key: &'static str) -> Result<Option<bool>, PayloadFault> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(PayloadFault::Unfit(key, "true or false")),
        }
    }

    /// A list of ids; empty when it is not there.
    ///
    /// # Errors
    /// When it is something else, or longer than `max`.
    pub fn ids(&mut self, key: &'static str, max: usize) -> Result<Vec<u64>, PayloadFault> {
        let unfit = PayloadFault::Unfit(key, "a list of ids in its length");
        self.list(key, max, unfit, |value| match value {
            Value::Number(number) if number > 0 => Some(number),
            _ => None,
        })
    }

    /// A list of texts; empty when it is not there.
    ///
    /// # Errors
    /// When it is something else, or longer than `max`.
    pub fn texts(&mut self, key: &'static str, max: usize) -> Result<Vec<String>, PayloadFault> {
        let unfit = PayloadFault::Unfit(key, "a list of texts in its length");
        self.list(key, max, unfit, |value| match value {
            Value::Text(text) => Some(text),
            _ => None,
        })
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        max: usize,
        unfit: PayloadFault,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<Vec<T>, PayloadFault> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some(Value::List(values)) if values.len() <= max => {
                values.into_iter().map(read).collect::<Option<_>>().ok_or(unfit)
            }
            Some(_) => Err(unfit),
        }
    }

    /// An id, if there.
    ///
    /// # Errors
    /// When it is something else, or 0.
    pub fn id(&mut self, key: &'static str) -> Result<Option<u64>, PayloadFault> {
        match self.number(key, NUMBER_MAX)? {
            Some(0) => Err(PayloadFault::Unfit(key, "an id")),
            id => Ok(id),
        }
    }
}

/// A value that has to be there.
///
/// # Errors
/// [`PayloadFault::Missing`] when it is not.
pub fn required<T>(
    key: &'static str,
    value: Result<Option<T>, PayloadFault>,
) -> Result<T, PayloadFault> {
    value?.ok_or(PayloadFault::Missing(key))
}

struct Keys {
    depth: u8,
}

impl<'de> Visitor<'de> for Keys {
    type Value = BTreeMap<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Any { depth: self.depth })?;
            if keys.contains_key(&key) {
                return Err(A::Error::custom("a key stands twice"));
            }
            keys.insert(key, value);
        }
        Ok(keys)
    }
}

/// Any value inside of `depth` others.
#[derive(Clone, Copy)]
struct Any {
    depth: u8,
}

impl Any {
    fn inside<E: serde::de::Error>(self) -> Result<Any, E> {
        match self.depth {
            DEPTH_MAX => Err(E::custom("values are nested too deep")),
            depth => Ok(Any { depth: depth + 1 }),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Any {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a flag, null, a list, an object or a whole number")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Value, E> {
        if number > NUMBER_MAX {
            return Err(E::custom("a number is over 2^53 - 1"));
        }
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inside)? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        let Any { depth } = self.inside()?;
        Keys { depth }.visit_map(map)?;
        Ok(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn refused(text: &str) {
        let parsed = Payload::parse(text.as_bytes());
        assert!(matches!(parsed, Err(PayloadFault::Malformed(_))), "{text}: {parsed:?}");
    }

    #[test]
    fn nothing_is_an_empty_object() {
        assert_eq!(Payload::parse(b""), Ok(Payload::default()));
        assert_eq!(Payload::parse(b"{}"), Ok(Payload::default()));
    }

    #[test]
    fn what_json_leaves_open_is_refused() {
        refused(r#"{"a":1,"a":1}"#);
        refused(r#"{"unknown":{"b":1,"b":2}}"#);
        refused(r#"{"a":1} x"#);
        refused(r#"{"a":1}{}"#);
        refused(r#"{"a":"\ud800"}"#);
        refused(r#"{"a":"\udc00x"}"#);
        refused(r#"[1]"#);
        refused("1");
        for number in ["-1", "1.0", "1e3", "9007199254740992", "1e400", "-0"] {
            refused(&format!("{{\"a\":{number}}}"));
        }
        assert!(Payload::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn eight_levels_pass_and_nine_do_not() {
        let nested =
            |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(Payload::parse(nested(8).as_bytes()).is_ok());
        refused(&nested(9));
        let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(Payload::parse(objects(8).as_bytes()).is_ok());
        refused(&objects(9));
        refused(&format!("{{\"a\":{}", "[".repeat(60_000)));
    }

    #[test]
    fn values_are_taken_by_type() {
        let text = r#"{"n":9007199254740991,"t":"\ud83c\udf39","f":true,"l":[1,2],"z":0,"x":null}"#;
        let mut payload = Payload::parse(text.as_bytes()).unwrap();
        assert_eq!(payload.number("n", NUMBER_MAX), Ok(Some(NUMBER_MAX)));
        assert_eq!(payload.text("t", 4), Ok(Some("🌹".to_owned())));
        assert_eq!(payload.flag("f"), Ok(Some(true)));
        assert_eq!(payload.ids("l", 2), Ok(vec![1, 2]));
        assert!(payload.id("z").is_err(), "no id is 0");
        assert_eq!(payload.id("x"), Ok(None), "null is absent");
        assert_eq!(required("y", payload.id("y")), Err(PayloadFault::Missing("y")));
        let mut payload = Payload::parse(br#"{"n":7,"t":"abc","l":[1,2,3]}"#).unwrap();
        assert!(payload.number("n", 6).is_err());
        assert!(payload.text("t", 2).is_err());
        assert!(payload.ids("l", 2).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in "[{}\\[\\]\",:a-c0-9\\\\ude\\.-]{0,60}") {
            let _ = Payload::parse(text.as_bytes());
        }
    }
}
