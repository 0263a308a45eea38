//! What must hold for any bytes from a peer, as functions that fuzz targets and tests call.
#![allow(missing_docs)]

use super::{Auth, Decoder, Limits};
use std::collections::VecDeque;
use tutti_shards::{Command, Format, UserId};

struct Anyone;

impl Auth for Anyone {
    fn hello(&self, token: Option<&str>) -> (Option<UserId>, Option<Box<str>>) {
        (None, token.map(Into::into))
    }

    fn password(&self, given: &str) -> bool {
        given == "password"
    }
}

/// A text frame never panics, and the short cut gives what the parser gives.
pub fn text(payload: &[u8]) {
    let mut decoder = Decoder::new(Limits::default());
    let earlier = || VecDeque::from([Command::Bye]);
    let (mut short, mut long) = (earlier(), earlier());
    let (mut short_format, mut long_format) = (Format::MPP_QUICK, Format::MPP_QUICK);
    let n = decoder.text(&mut payload.to_vec(), &mut short_format, &Anyone, &mut short);
    let m = decoder.text_by_parser(&mut payload.to_vec(), &mut long_format, &Anyone, &mut long);
    assert_eq!((n, short_format, &short), (m, long_format, &long));
    let spoken = short_format == Format::MPP_TEXT;
    assert_eq!(short.get(1) == Some(&Command::Speak(Format::MPP_TEXT)), spoken);
    judge(payload, n, usize::from(spoken), &short);
}

/// A binary frame never panics, and is taken whole or not at all.
pub fn binary(payload: &[u8]) {
    let mut decoder = Decoder::new(Limits::default());
    let mut out = VecDeque::from([Command::Bye]);
    let mut format = Format::MPP_TEXT;
    let n = decoder.binary(payload, &mut format, &Anyone, &mut out);
    let spoken = format == Format::MPP_QUICK;
    if payload.first() == Some(&0) {
        assert!(!spoken && n == 1 && matches!(out.len(), 1 | 3));
        assert_eq!(out.len() == 3, out.get(1) == Some(&Command::SpeakBinaryCustom));
        return judge(payload, 2, 0, &out);
    }
    assert_eq!(out.get(1) == Some(&Command::Speak(Format::MPP_QUICK)), spoken);
    assert!(spoken || out.len() == 1, "a frame that was refused left commands");
    judge(payload, n, usize::from(spoken), &out);
}

/// What came before is untouched, and what came in is bounded by the frame.
fn judge(payload: &[u8], counted: usize, spoken: usize, out: &VecDeque<Command>) {
    assert_eq!(out.front(), Some(&Command::Bye));
    assert!(counted >= 1 && out.len() <= 1 + spoken + counted);
    let bytes: usize = out.iter().map(heap_bytes).sum();
    assert!(bytes <= 8 * payload.len() + 256, "{bytes} bytes were made of {}", payload.len());
}

/// What a command owns beside itself, roughly.
fn heap_bytes(command: &Command) -> usize {
    match command {
        Command::Hello { token, .. } => token.as_ref().map_or(0, |token| token.len()),
        Command::Play(batch) if batch.notes.spilled() => {
            batch.notes.capacity() * size_of::<tutti_shards::Note>()
        }
        Command::Chat { text, .. } | Command::Direct { text, .. } => text.as_str().len(),
        Command::Custom(custom) => custom.body.cost(),
        _ => 0,
    }
}
