//! Connection ids that name their shard without showing it (protocol page, section 18.2).
//!
//! | byte | content |
//! | --- | --- |
//! | 0 | the shard, hidden by a keyed function of bytes 1 to 4 (as it is with `quic.connection_ids = "plain"`) |
//! | 1-4 | a number that does not repeat, enciphered |
//! | 5-7 | a keyed check over bytes 0 to 4 |
//!
//! The keyed functions are one AES block each. All shards share the key, and keep it over a restart: so any shard can
//! tell its server's ids from others, and where each belongs.

use quinn_proto::{ConnectionId, ConnectionIdGenerator, InvalidCid};
use ring::aead::quic::{AES_128, HeaderProtectionKey};
use std::{fmt, sync::Arc, time::Duration};

/// Bytes of each id: a short header does not say how long its id is, so all are alike.
pub(super) const ID_BYTES: usize = 8;

/// What the last byte of a block is, so that no block serves two purposes.
const HIDE: u8 = 1;
const CHECK: u8 = 2;
const NUMBER: u8 = 3;

/// Makes and reads ids.
pub(super) struct CidKey {
    key: HeaderProtectionKey,
    /// Whether the shard is hidden.
    masked: bool,
}

impl fmt::Debug for CidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl CidKey {
    pub(super) fn new(key: &[u8; 16], masked: bool) -> Self {
        let key = HeaderProtectionKey::new(&AES_128, key).expect("a key of AES-128 has 16 bytes");
        CidKey { key, masked }
    }

    /// Five bytes of the block that begins with `text`, of which at most 15 count.
    fn block(&self, text: &[u8], purpose: u8) -> [u8; 5] {
        let mut block = [0; 16];
        block[..text.len()].copy_from_slice(text);
        block[15] = purpose;
        self.key.new_mask(&block).expect("a block of AES has 16 bytes")
    }

    fn make(&self, shard: u8, number: [u8; 4]) -> [u8; ID_BYTES] {
        let mut id = [0; ID_BYTES];
        id[0] = shard ^ self.mask(&number);
        id[1..5].copy_from_slice(&number);
        let check = self.block(&id[..5], CHECK);
        id[5..].copy_from_slice(&check[..3]);
        id
    }

    /// The shard that an id belongs to; `None` for one that is not ours, but for one in 16 million.
    pub(super) fn home(&self, id: &[u8]) -> Option<u8> {
        let id: &[u8; ID_BYTES] = id.try_into().ok()?;
        let (head, check) = id.split_at(5);
        // No secret comes out by comparing until the first difference: a wrong guess costs a datagram either way.
        if self.block(head, CHECK)[..3] != *check {
            return None;
        }
        Some(head[0] ^ self.mask(&head[1..]))
    }

    /// What hides the shard, if anything does.
    fn mask(&self, number: &[u8]) -> u8 {
        if self.masked { self.block(number, HIDE)[0] } else { 0 }
    }
}

/// Makes the ids of one shard.
pub(super) struct Generator {
    key: Arc<CidKey>,
    shard: u8,
    /// Tells this start of the process from others, so that an id of one is not made again by the next.
    start: [u8; 4],
    made: u64,
}

impl Generator {
    pub(super) fn new(key: Arc<CidKey>, shard: u8, start: [u8; 4]) -> Self {
        Generator { key, shard, start, made: 0 }
    }
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        self.made += 1;
        let mut text = [0; 13];
        text[..4].copy_from_slice(&self.start);
        text[4] = self.shard;
        text[5..].copy_from_slice(&self.made.to_be_bytes());
        let [a, b, c, d, _] = self.key.block(&text, NUMBER);
        ConnectionId::new(&self.key.make(self.shard, [a, b, c, d]))
    }

    fn validate(&self, cid: &ConnectionId) -> Result<(), InvalidCid> {
        (self.key.home(cid) == Some(self.shard)).then_some(()).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Where a datagram belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Route {
    /// To the shard that has it.
    Here,
    /// To this other one.
    To(u8),
    /// Nowhere: it is too short to be QUIC, or names a shard that there is none of, or is nobody's of this server.
    Nowhere,
}

/// Where a datagram belongs that came to shard `me` of `shards`, by what does not change between versions of QUIC
/// (RFC 8999) and does not depend on the fixed bit, which clients may grease.
pub(super) fn route(key: &CidKey, me: u8, shards: u16, datagram: &[u8]) -> Route {
    let is_long = datagram.first().is_some_and(|first| first & 0x80 != 0);
    let id = if is_long {
        datagram.get(5).and_then(|length| datagram.get(6..6 + usize::from(*length)))
    } else {
        datagram.get(1..1 + ID_BYTES)
    };
    let Some(id) = id else { return Route::Nowhere };
    match key.home(id) {
        Some(home) if home == me => Route::Here,
        Some(home) if u16::from(home) < shards => Route::To(home),
        Some(_) => Route::Nowhere,
        // A new connection, or one in its first round trip; its client has made the id.
        None if is_long => Route::Here,
        // No reset either: it would tell that there is somebody.
        None => Route::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn key() -> Arc<CidKey> {
        Arc::new(CidKey::new(b"sixteen bytes...!".first_chunk().unwrap(), true))
    }

    fn short(id: &[u8]) -> Vec<u8> {
        [&[0x40], id, &[0; 20]].concat()
    }

    fn long(id: &[u8]) -> Vec<u8> {
        [&[0xc0, 0, 0, 0, 1, id.len() as u8], id, &[0; 1200]].concat()
    }

    #[test]
    fn every_shard_knows_every_shards_ids_and_no_others() {
        let key = key();
        for shard in [0, 1, 7, 255] {
            let mut generator = Generator::new(key.clone(), shard, [1; 4]);
            for _ in 0..1_000 {
                let id = generator.generate_cid();
                assert_eq!(id.len(), ID_BYTES);
                assert_eq!(key.home(&id), Some(shard));
                assert!(generator.validate(&id).is_ok());
                for bit in 0..64 {
                    let mut other = id;
                    other[bit / 8] ^= 1 << (bit % 8);
                    assert_eq!(key.home(&other), None, "one wrong bit is noticed");
                }
            }
        }
        let other = CidKey::new(&[9; 16], true);
        let id = Generator::new(key, 3, [1; 4]).generate_cid();
        assert_eq!(other.home(&id), None, "another server's ids are not ours");
    }

    /// Checklist 108. A bare shard number would take one value of 256; chi-squared with 255 degrees of freedom stays
    /// below 350 but once in 20,000 draws, and the draws here are always the same.
    #[test]
    fn first_bytes_of_one_shards_ids_are_evenly_spread() {
        let mut generator = Generator::new(key(), 2, [7; 4]);
        let mut counts = [0u32; 256];
        let mut ids = HashSet::new();
        for _ in 0..25_600 {
            let id = generator.generate_cid();
            counts[usize::from(id[0])] += 1;
            assert!(ids.insert(id.to_vec()), "no id is made twice");
        }
        let chi: f64 = counts.iter().map(|n| (f64::from(*n) - 100.0).powi(2) / 100.0).sum();
        assert!(chi < 350.0, "{chi}");
    }

    #[test]
    fn plain_ids_show_their_shard_and_are_checked_all_the_same() {
        let key = Arc::new(CidKey::new(&[9; 16], false));
        let mut generator = Generator::new(key.clone(), 2, [7; 4]);
        for _ in 0..1_000 {
            let id = generator.generate_cid();
            assert_eq!((id[0], key.home(&id)), (2, Some(2)));
            let mut other = id;
            other[0] = 1;
            assert_eq!(key.home(&other), None);
            assert_eq!(route(&key, 1, 3, &short(&id)), Route::To(2));
        }
    }

    #[test]
    fn another_start_makes_other_ids() {
        let ids = |start| -> HashSet<Vec<u8>> {
            let mut generator = Generator::new(key(), 0, start);
            (0..1_000).map(|_| generator.generate_cid().to_vec()).collect()
        };
        assert_eq!(ids([0; 4]).intersection(&ids([1; 4])).count(), 0);
    }

    #[test]
    fn datagrams_go_to_the_shard_that_their_id_names() {
        let key = key();
        let id_of = |shard| Generator::new(key.clone(), shard, [1; 4]).generate_cid();
        let check = |datagram: &[u8], expected| {
            assert_eq!(
                route(&key, 1, 3, datagram),
                expected,
                "{:x?}",
                &datagram[..9.min(datagram.len())]
            );
        };
        check(&short(&id_of(1)), Route::Here);
        check(&long(&id_of(1)), Route::Here);
        check(&short(&id_of(2)), Route::To(2));
        check(&long(&id_of(0)), Route::To(0));
        check(&short(&id_of(3)), Route::Nowhere);
        check(&long(&id_of(200)), Route::Nowhere);
        check(&long(&[5; 20]), Route::Here);
        check(&long(&[5; 8]), Route::Here);
        check(&long(&[]), Route::Here);
        check(&short(&[5; 8]), Route::Nowhere);
        check(&[], Route::Nowhere);
        check(&[0x40; 8], Route::Nowhere);
        check(&[0xc0, 0, 0, 0, 1], Route::Nowhere);
        check(&[0xc0, 0, 0, 0, 1, 8, 1, 2], Route::Nowhere);
        // The fixed bit is 0 where a client greases it.
        let mut greased = short(&id_of(2));
        greased[0] &= !0x40;
        check(&greased, Route::To(2));
    }
}
