//! Any bytes, cut into any reads: no panic, bounded memory, and the same items as in one read.
//!
//! Input: the message limit in steps of 16 bytes, the number of reads to cut off, their lengths,
//! the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tutti::ws::{Decoder, Fault, Item, Limits};

/// What the decoder itself may take while something is unfinished.
const FIXED_BYTES_MAX: usize = 512;

fuzz_target!(|data: &[u8]| {
    let [steps, n_cuts, rest @ ..] = data else { return };
    let limits = Limits { message_bytes: usize::from(*steps) * 16 };
    let (cuts, stream) = rest.split_at(usize::from(*n_cuts).min(rest.len()));
    let mut reads = Vec::new();
    let mut left = stream;
    for cut in cuts {
        let (read, after) = left.split_at(usize::from(*cut).min(left.len()));
        reads.push(read);
        left = after;
    }
    reads.push(left);
    let whole = decode(&limits, &[stream]);
    assert_eq!(decode(&limits, &reads), whole);
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(decode(&limits, &bytes), whole);
});

fn decode(limits: &Limits, reads: &[&[u8]]) -> (Vec<String>, Option<Fault>) {
    let mut decoder = Decoder::default();
    let mut items = Vec::new();
    let mut received = 0;
    for read in reads {
        received += read.len();
        let mut read = read.to_vec();
        let mut input = read.as_mut_slice();
        loop {
            match decoder.next(limits, &mut input) {
                Ok(None) => break,
                Ok(Some(item)) => {
                    if let Item::Text(text) = &item {
                        assert!(std::str::from_utf8(text).is_ok());
                    }
                    let is_last = matches!(item, Item::Close(_));
                    items.push(format!("{item:?}"));
                    if is_last {
                        return (items, None);
                    }
                }
                Err(fault) => {
                    assert_eq!(decoder.bytes_held(), 0);
                    return (items, Some(fault));
                }
            }
        }
        assert!(input.is_empty());
        assert!(decoder.bytes_held() <= FIXED_BYTES_MAX + 2 * received);
    }
    (items, None)
}
