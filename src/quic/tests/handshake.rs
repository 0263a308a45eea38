//! TLS of a connection, against rustls as the client has it.

use super::world::World;
use bytes::BytesMut;
use quinn_proto::{
    Side, TransportErrorCode,
    crypto::{PacketKey, Session},
    transport_parameters::TransportParameters,
};
use rustls::quic::{ClientConnection, KeyChange, Secrets, Version};
use std::sync::Arc;

/// A session whose handshake is complete, and the client's secrets of the phase behind the first.
fn complete(world: &World) -> (Box<dyn Session>, Secrets) {
    let server = world.shared.server.crypto.clone();
    let params = TransportParameters::read(Side::Server, &mut &[][..]).unwrap();
    let mut bytes = Vec::new();
    params.write(&mut bytes);
    let mut session = server.start_session(1, &params);
    let tls = Arc::new(world.client_tls(&[b"garou/1"]));
    let name = "localhost".try_into().unwrap();
    let mut client = ClientConnection::new(tls, Version::V1, name, bytes).unwrap();
    let (mut secrets, mut told) = (None, 0);
    // What is written at once is of one epoch, and is read before the next.
    for _ in 0..20 {
        let mut out = Vec::new();
        if let Some(KeyChange::OneRtt { next, .. }) = client.write_hs(&mut out) {
            secrets = Some(next);
        }
        if !out.is_empty() {
            told += usize::from(session.read_handshake(&out).unwrap());
        }
        let mut out = Vec::new();
        session.write_handshake(&mut out);
        if !out.is_empty() {
            client.read_hs(&out).unwrap();
        }
    }
    assert!(!client.is_handshaking() && !session.is_handshaking());
    assert_eq!(told, 1, "it is said once that the client is known");
    (session, secrets.unwrap())
}

/// A client that goes on in TLS, by a key update of TLS for example, breaks the rule (RFC 9001, section 6).
#[test]
fn nothing_of_tls_is_taken_after_the_handshake() {
    let (mut session, _) = complete(&World::new(21, 1));
    let key_update = [24, 0, 0, 1, 0];
    let error = session.read_handshake(&key_update).unwrap_err();
    assert_eq!(error.code, TransportErrorCode::crypto(10));
    let mut out = Vec::new();
    assert!(session.write_handshake(&mut out).is_none() && out.is_empty());
    assert!(!session.is_handshaking());
}

/// Each phase has the client's keys of that phase, in whichever order they come to be used.
#[test]
fn keys_of_later_phases_are_those_of_the_client() {
    let (mut session, mut secrets) = complete(&World::new(22, 1));
    let ours: Vec<_> = (0..6).map(|_| session.next_1rtt_keys().unwrap()).collect();
    let theirs: Vec<_> = (0..6).map(|_| secrets.next_packet_keys()).collect();
    for phase in [5, 0, 3, 1, 4, 2] {
        let (ours, theirs) = (&ours[phase], &theirs[phase]);
        assert_eq!(ours.local.tag_len(), theirs.local.tag_len());
        assert_eq!(ours.local.integrity_limit(), theirs.local.integrity_limit());
        assert_eq!(ours.local.confidentiality_limit(), theirs.local.confidentiality_limit());
        let pairs: [(&dyn PacketKey, &dyn PacketKey); 2] =
            [(&*ours.local, &theirs.remote), (&theirs.local, &*ours.remote)];
        for (seal, open) in pairs {
            let (header, text) = (b"header", b"text");
            let mut packet = [&header[..], text, &[0; 16]].concat();
            seal.encrypt(7, &mut packet, header.len());
            let mut payload = BytesMut::from(&packet[header.len()..]);
            assert!(open.decrypt(7, header, &mut payload).is_ok(), "phase {phase}");
            assert_eq!(&payload[..], text);
            let mut payload = BytesMut::from(&packet[header.len()..]);
            assert!(open.decrypt(8, header, &mut payload).is_err());
        }
    }
}
