//! People at terminals, as far as one shard or two show it.

use super::*;
use crate::StoreRequest;

/// All lobbies are full, and no channel more can be made.
#[test]
fn a_terminal_for_which_there_is_no_lobby_is_somewhere() {
    for shards in [1, 2] {
        let config = Config { channels_max: 1, lobby_capacity: Some(1), ..dropping() };
        let config = Arc::new(config);
        let seeds = Seeds { placement: [1, 2, 3, 4], local: 5 };
        let shard = |id| Shard::new(ShardId(id), shards, config.clone(), seeds, Lines);
        let mut all: Vec<Shard<Lines>> = (0..shards).map(shard).collect();
        let now = Now { mono_us: 1_000_000, wall_ms: 1_700_000_000_000 };
        for nick in ["anna", "bert", "carl", "dora"] {
            log_in(&mut all[0], now, nick);
            let mut hops = 0;
            while let Some((at, output)) =
                (0..all.len()).find_map(|at| Some((at, all[at].poll_output()?)))
            {
                hops += 1;
                assert!(hops < 1_000, "somebody is nowhere");
                let from = ShardId(at as u16);
                match output {
                    Output::Mesh { to, message } => all[to.index()].handle_mesh(now, from, message),
                    Output::Handover { to, bundle, .. } => {
                        all[to.index()].adopt(now, from, *bundle);
                    }
                    _ => {}
                }
            }
        }
        let seats = all.iter().flat_map(Shard::seats);
        let mut names: Vec<&str> = seats.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names.len(), 4, "everyone is somewhere: {names:?}");
        assert_eq!((names[0], names[3]), ("lobby", "test/awkward"));
    }
}

/// An operator closes a channel, and the lobby of those who are in it is one that was kept.
#[test]
fn those_of_a_closed_channel_wait_outside() {
    let storage = Some(Duration::from_secs(5));
    let config = Config { storage, lobby_capacity: Some(1), ..dropping() };
    let seeds = Seeds { placement: [1, 2, 3, 4], local: 5 };
    let mut shard = Shard::new(ShardId(0), 1, Arc::new(config), seeds, Lines);
    let now = Now { mono_us: 1_000_000, wall_ms: 1_700_000_000_000 };
    let answer = |shard: &mut Shard<Lines>, all: bool| {
        while let Some(output) = shard.poll_output() {
            let Output::Store(request) = output else { continue };
            let is_lobby2 = matches!(&request, StoreRequest::LoadChannel { channel, .. }
                if channel.as_str() == "lobby2");
            if let Some(reply) = request.unanswered().filter(|_| all || !is_lobby2) {
                shard.stored(now, reply);
            }
        }
    };
    shard.begin(now);
    let join = |name: &str, user: &str, shard: &mut Shard<Lines>| {
        let (key, _) = shard.open(now, Format::MPP_TEXT, b"");
        let user = Some(super::user(user));
        shard.handle_command(now, key, Command::Hello { user, token: None });
        answer(shard, false);
        let target = JoinTarget::Named(ChannelName::parse(name).unwrap());
        shard.handle_command(now, key, Command::Join { target, set: None });
        answer(shard, false);
        key
    };
    join("lobby", "a", &mut shard);
    let key = join("room", "b", &mut shard);
    let channel = ChannelName::parse("room").unwrap();
    let place = |shard: &Shard<Lines>| {
        let seats = shard.seats().map(|(name, _)| name.as_str().to_owned());
        let mut seats: Vec<String> = seats.collect();
        seats.sort_unstable();
        seats
    };
    assert_eq!(place(&shard), ["lobby", "room"]);
    shard.operate(now, Order::Close { channel, reason: None });
    let waiting: Vec<Output> = std::iter::from_fn(|| shard.poll_output()).collect();
    assert_eq!((place(&shard), shard.flow(key)), (vec!["lobby".to_owned()], Flow::Pause));
    for output in waiting {
        let Output::Store(request) = output else { continue };
        if let Some(reply) = request.unanswered() {
            shard.stored(now, reply);
        }
    }
    assert_eq!(place(&shard), ["lobby", "lobby2"]);
}

/// An operator closes a channel, all lobbies are full, and no channel more can be made.
#[test]
fn a_terminal_in_a_closed_channel_is_somewhere() {
    let config = Config { channels_max: 3, lobby_capacity: Some(1), ..dropping() };
    let seeds = Seeds { placement: [1, 2, 3, 4], local: 5 };
    let mut shard = Shard::new(ShardId(0), 1, Arc::new(config), seeds, Lines);
    let now = Now { mono_us: 1_000_000, wall_ms: 1_700_000_000_000 };
    shard.begin(now);
    let join = |nick: &str, room: Option<&str>, shard: &mut Shard<Lines>| {
        let key = log_in(shard, now, nick);
        if let Some(room) = room {
            let target = JoinTarget::Named(ChannelName::parse(room).unwrap());
            shard.handle_command(now, key, Command::Join { target, set: None });
        }
        while shard.poll_output().is_some() {}
    };
    join("anna", Some("room"), &mut shard);
    join("bert", None, &mut shard);
    let place = |shard: &Shard<Lines>| {
        let mut seats: Vec<String> =
            shard.seats().map(|(name, _)| name.as_str().to_owned()).collect();
        seats.sort_unstable();
        seats
    };
    assert_eq!(place(&shard), ["lobby", "room"]);
    let channel = ChannelName::parse("room").unwrap();
    shard.operate(now, Order::Close { channel, reason: None });
    assert_eq!(place(&shard), ["lobby", "test/awkward"]);
}
