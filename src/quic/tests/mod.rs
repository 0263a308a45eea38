//! The transport, against the clients of quinn-proto over a network that is not there. What other implementations make
//! of it is tested from outside.

mod flood;
mod handshake;
mod life;
mod moves;
mod network;
mod resume;
mod sockets;
mod world;

use super::*;

#[test]
fn a_streams_number_tells_who_opened_it_and_who_sends() {
    let kinds = [0, 1, 2, 3].map(|id| (StreamId(id).is_of_client(), StreamId(id).is_one_way()));
    assert_eq!(kinds, [(true, false), (false, false), (true, true), (false, true)]);
}
