//! What must hold: after every step, when the world is at rest, and after the server has stopped.

use crate::{
    setup::Op,
    wire::channel_name,
    world::{Place, World},
};
use std::collections::{BTreeMap, BTreeSet};
use tutti_shards::{ChatMessage, ConnId, DoorKind, Position, Profile, UserId};

/// After every step.
///
/// # Panics
/// When it does not hold.
pub fn always(world: &World) {
    let mut here: BTreeMap<ConnId, usize> = BTreeMap::new();
    for (s, node) in world.nodes.iter().enumerate() {
        node.shard.verify();
        for conn in node.shard.connections() {
            let before = here.insert(conn, s);
            assert!(before.is_none(), "{conn} is on shard {s} and on shard {before:?}");
        }
    }
    let mut at = 0;
    for (idx, socket) in world.sockets.iter().enumerate().filter(|(_, socket)| !socket.lost) {
        match socket.place {
            Place::At(s, _) => {
                at += 1;
                assert_eq!(here.get(&socket.conn), Some(&s), "peer {idx} is where its socket is");
            }
            Place::Flight | Place::Closed => {
                assert_eq!(here.get(&socket.conn), None, "peer {idx} is nowhere else");
            }
        }
    }
    at += world.n_session_conns();
    assert_eq!(at, here.len(), "every connection has a socket, or is a session's");
    let mut seats: BTreeMap<ConnId, String> = BTreeMap::new();
    for node in &world.nodes {
        for (name, conn) in node.shard.seats() {
            let before = seats.insert(conn, name.as_str().to_owned());
            assert!(before.is_none(), "{conn} sits in {name} and in {before:?}");
        }
    }
}

/// When nothing is on its way.
///
/// # Panics
/// When it does not hold.
pub fn at_rest(world: &World) {
    let mut owned: BTreeMap<String, u32> = BTreeMap::new();
    let mut rosters: BTreeMap<String, Vec<(UserId, Position)>> = BTreeMap::new();
    for node in &world.nodes {
        node.shard.verify_at_rest(world.now());
        for (name, count) in node.shard.to_be_listed() {
            owned.insert(name.as_str().to_owned(), count);
        }
        for (name, user, position) in node.shard.participants() {
            rosters.entry(name.as_str().to_owned()).or_default().push((user, position));
        }
    }
    for (s, node) in world.nodes.iter().enumerate() {
        let listed: BTreeMap<String, u32> =
            node.shard.listed().map(|(name, count)| (name.as_str().to_owned(), count)).collect();
        assert_eq!(listed, owned, "the directory of shard {s} agrees with the owners");
    }
    let seats: BTreeMap<ConnId, String> = world
        .nodes
        .iter()
        .flat_map(|node| node.shard.seats().map(|(name, conn)| (conn, name.as_str().to_owned())))
        .collect();
    let mut known = 0;
    let mut seated = 0;
    for &idx in &world.live {
        let (peer, socket) = (&world.peers[idx], &world.sockets[idx]);
        if let Some(terminal) = &peer.terminal {
            known += usize::from(terminal.user.is_some());
            let room = terminal.room.as_ref();
            assert_eq!(room, seats.get(&socket.conn), "terminal {idx} knows where it is");
            if let Some(room) = room {
                seated += 1;
                let roster: BTreeSet<UserId> =
                    rosters[room].iter().map(|&(user, _)| user).collect();
                assert_eq!(terminal.people, roster, "terminal {idx} knows who is in {room}");
            }
            continue;
        }
        peer.view.settle();
        known += usize::from(peer.view.user.is_some());
        assert_eq!(
            peer.view.user.is_some(),
            peer.script.said_hello && !peer.view.refused,
            "peer {idx} was answered"
        );
        let room = peer.view.room.as_ref();
        assert_eq!(
            room.map(|room| &room.name),
            seats.get(&socket.conn),
            "peer {idx} knows where it is"
        );
        let joined = peer.script.joined && peer.view.user.is_some();
        assert!(room.is_some() || !joined, "peer {idx} is in a room once it joined one");
        // Staff can send somebody to a room who never asked.
        assert!(room.is_none() || joined || world.setup.does(Op::Admin), "and not before");
        if let Some(room) = room {
            seated += 1;
            let roster: BTreeSet<UserId> =
                rosters[&room.name].iter().map(|&(user, _)| user).collect();
            let view: BTreeSet<UserId> = room.people.keys().copied().collect();
            assert_eq!(view, roster, "peer {idx} knows who is in {}", room.name);
            for &(user, position) in &rosters[&room.name] {
                if Some(user) != peer.view.user {
                    assert_eq!(
                        room.people[&user].position, position,
                        "peer {idx} knows where the cursor of {user} is"
                    );
                }
            }
            let crown = world
                .nodes
                .iter()
                .find_map(|node| node.shard.crown(&channel_name(&room.name)))
                .map(|crown| (crown.user, crown.held));
            assert_eq!(room.crown, crown, "peer {idx} knows who wears the crown of {}", room.name);
            let quotas = &world.setup.config.quotas;
            let preset = match crown {
                None => quotas.lobby,
                Some((user, true)) if Some(user) == peer.view.user => quotas.crown,
                Some(_) => quotas.normal,
            };
            assert_eq!(
                peer.view.quota,
                Some((preset.allowance, preset.max)),
                "peer {idx} knows its quota in {}",
                room.name
            );
        }
        if peer.script.follows_list
            && !world.setup.limits
            && let Some(list) = &peer.view.list
        {
            let list: BTreeMap<String, u32> = list
                .iter()
                .filter(|(name, (count, visible))| {
                    *visible && (*count > 0 || channel_name(name).is_permanent())
                })
                .map(|(name, (count, _))| (name.clone(), *count))
                .collect();
            assert_eq!(list, owned, "the list of peer {idx} agrees with the owners");
        }
        echoes(world, idx);
    }
    kept(world);
    world.check_orders();
    let (seats_of_sessions, sessions) = world.check_sessions();
    (seated, known) = (seated + seats_of_sessions, known + sessions);
    assert_eq!(seated, seats.len(), "nobody sits anywhere who is not connected");
    let presences: usize = world.nodes.iter().map(|node| node.shard.presences()).sum();
    assert_eq!(presences, known, "users' records count the connections that said hello");
}

/// What is kept is what there is: all that the core asked to be kept, with every restart in between.
fn kept(world: &World) {
    if !world.storage.is_faithful() {
        return;
    }
    let (state, now) = (&world.storage.state, world.now());
    for (name, kept) in &state.channels {
        let channel = channel_name(name);
        if channel.is_private() {
            // Nobody loads them again yet.
            continue;
        }
        let owner = world.nodes.iter().find(|node| node.shard.remembered(&channel).is_some());
        // One to which nobody has come back yet is not there.
        let Some(shard) = owner.map(|node| &node.shard) else { continue };
        let (settings, history) = shard.remembered(&channel).expect("it was found by that");
        if let Some(kept) = &kept.settings {
            assert_eq!(settings, kept, "the settings of {name} are kept");
        }
        let most = match world.setup.config.chat_history {
            0 => 0,
            shown => shown.max(tutti_shards::HISTORY_MIN) as usize,
        };
        let last = kept.messages.len().saturating_sub(most);
        // Numbers within a room begin anew.
        let said = |message: &ChatMessage| ChatMessage { seq: 0, ..message.clone() };
        let messages: Vec<_> =
            kept.messages[last..].iter().map(|(_, message)| said(message)).collect();
        let history: Vec<_> = history.into_iter().map(said).collect();
        assert_eq!(history, messages, "what was said in {name} is kept");
        if !world.setup.limits {
            for (&user, &until_ms) in &kept.bans {
                let banned = shard.is_banned(&channel, user, now);
                // On the brink of its end the two clocks need not agree.
                if until_ms.abs_diff(now.wall_ms) > 2 {
                    assert_eq!(banned, until_ms > now.wall_ms, "{user} and the ban in {name}");
                }
            }
        }
    }
    for (&user, profile) in &state.users {
        let known = world.nodes.iter().find_map(|node| node.shard.profile(user));
        if let Some(known) = known {
            // Who has no account is called what they say when they come.
            let is_named = known.account.is_some() || known.door != DoorKind::Quic;
            let name = |user: &Profile| user.name.clone().filter(|_| is_named);
            let shown = |user: &Profile| (name(user), user.color, user.muted_until_ms);
            let (a, b) = (shown(known), shown(profile));
            assert_eq!(a, b, "who {user} is, is kept");
        }
    }
}

/// What a peer said came back to it, all of it and in order, unless something may have been refused.
fn echoes(world: &World, idx: usize) {
    let (peer, setup) = (&world.peers[idx], &world.setup);
    if setup.limits || peer.view.refused {
        return;
    }
    // What somebody says while being removed is not heard any more, nor is what is said where chat is off.
    let governed = setup.sessions > 0 && setup.govern;
    if governed || setup.does(Op::Ban) || setup.does(Op::Admin) || setup.does(Op::Operate) {
        return;
    }
    assert_eq!(
        peer.view.times, peer.script.expected_times,
        "peer {idx} was told the time whenever it asked"
    );
    if !setup.does(Op::Settings) {
        assert_eq!(
            peer.view.echoes, peer.script.expected_echoes,
            "peer {idx} reads all that it said"
        );
    }
}

/// Everyone says, plays and moves once more: all of it has to arrive.
///
/// With the order that the ledger checks this shows that nothing before it was lost either.
///
/// # Panics
/// When it does not.
pub fn probe(world: &mut World) {
    // One that is closed for its backlog behind this has moved like the others.
    let mut connections: BTreeMap<UserId, u32> = BTreeMap::new();
    for &idx in &world.live {
        if let Some(user) = world.peers[idx].view.user {
            *connections.entry(user).or_default() += 1;
        }
    }
    let live = world.live.clone();
    for &idx in &live {
        if let Some(terminal) = world.peers[idx].terminal.as_mut().filter(|t| t.room.is_some()) {
            let command = terminal.say();
            world.say(idx, vec![command]);
        }
        if world.peers[idx].view.room.is_none() {
            continue;
        }
        let script = &mut world.peers[idx].script;
        let commands = vec![script.chat(), script.notes(1), script.cursor()];
        world.say(idx, commands);
    }
    world.settle();
    always(world);
    at_rest(world);
    if world.setup.limits {
        return;
    }
    for &idx in &world.live {
        let Some(terminal) = &world.peers[idx].terminal else { continue };
        let (Some(user), Some(room)) = (terminal.user, &terminal.room) else { continue };
        let silent = world.is_silenced(user, room) || world.may_be_heard_again(user);
        let heard = terminal.echo == Some(terminal.last_said());
        assert!(heard || silent, "terminal {idx} reads the last that it said in {room}");
    }
    for &from in &world.live {
        let (sender, Some(room)) = (&world.peers[from], &world.peers[from].view.room) else {
            continue;
        };
        let user = sender.view.user.expect("members have said hello");
        for &to in &world.live {
            let Some(there) = &world.peers[to].view.room else { continue };
            if there.name != room.name {
                continue;
            }
            if there.chat && !world.may_be_heard_again(user) {
                let muted = world.is_muted(user, room);
                assert_eq!(
                    there.chat_of.get(&from) == Some(&sender.script.chats),
                    !muted,
                    "peer {to} reads the last that peer {from} said, unless that one is muted"
                );
            }
            let may_play = !there.solo || there.crown == Some((user, true));
            if may_play && from != to {
                assert_eq!(
                    there.notes_of.get(&from),
                    Some(&sender.script.marks),
                    "peer {to} hears the last that peer {from} played"
                );
            }
            if from != to && connections[&user] == 1 {
                assert_eq!(
                    there.people[&user].position,
                    sender.script.position(),
                    "peer {to} sees where peer {from} is"
                );
            }
        }
    }
}

/// When the server has stopped.
///
/// # Panics
/// When something is left.
pub fn after_stop(world: &World) {
    for (s, node) in world.nodes.iter().enumerate() {
        let gauges = node.shard.gauges();
        assert_eq!(gauges.connections, 0, "shard {s} has let everyone go");
        assert_eq!((gauges.participants, gauges.members), (0, 0));
        assert_eq!(gauges.outbox_bytes, 0);
        node.shard.verify_at_rest(world.now());
    }
    assert!(world.live.is_empty(), "everyone was told");
    let presences: usize = world.nodes.iter().map(|node| node.shard.presences()).sum();
    assert_eq!(presences, 0, "users' records count nobody");
}
