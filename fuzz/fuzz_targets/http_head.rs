//! Any bytes as a request: no panic, the same head however it trickles in, files that stay in their
//! folder.
//!
//! Input: the length of a read, the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Component;
use tutti::http::{HEAD_BYTES_MAX, Head, HeadFault};
use tutti::ws::handshake;

fuzz_target!(|data: &[u8]| {
    let [read_len, bytes @ ..] = data else { return };
    let whole = Head::parse(bytes, 0);
    assert_eq!(found(&whole), trickled(bytes, usize::from(*read_len).max(1)));
    let Ok(Some(head)) = whole else { return };
    assert!(head.len() <= HEAD_BYTES_MAX);

    if let Ok(path) = head.decoded_path()
        && let Some(file) = path.to_file()
    {
        assert!(file.components().all(|part| matches!(part, Component::Normal(_))), "{file:?}");
    }
    let mut out = Vec::new();
    match handshake::upgrade(&head) {
        Ok(Some(upgrade)) => upgrade.accept(&mut out),
        Ok(None) => return,
        Err(refusal) => refusal.write(head.is_head(), &mut out),
    }
    assert!(out.starts_with(b"HTTP/1.1 "));
});

fn found(head: &Result<Option<Head<'_>>, HeadFault>) -> Option<usize> {
    head.as_ref().ok()?.as_ref().map(Head::len)
}

fn trickled(bytes: &[u8], read_len: usize) -> Option<usize> {
    let mut seen = 0;
    while seen < bytes.len() {
        let len = (seen + read_len).min(bytes.len());
        match Head::parse(&bytes[..len], seen) {
            Ok(None) => seen = len,
            head => return found(&head),
        }
    }
    None
}
