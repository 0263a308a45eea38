//! Pages of the list of channels.

use super::*;
use crate::{ChannelInfo, ChannelKind, Settings};

/// A shard that knows so many channels of one person each, `room 00000` and on.
fn shard_with(channels: usize) -> Shard<Lines> {
    let seeds = Seeds { placement: [1, 2, 3, 4], local: 5 };
    let mut shard = Shard::new(ShardId(0), 1, Arc::new(dropping()), seeds, Lines);
    let info = |n: usize| {
        let name = ChannelName::parse(&format!("room {n:05}")).unwrap();
        let settings = Settings::new(ChannelKind::Normal);
        Arc::new(ChannelInfo {
            name,
            settings,
            count: 1,
            crown: None,
            banned: [].into(),
            topic: None,
        })
    };
    let all: Vec<Arc<ChannelInfo>> = (0..channels).map(info).collect();
    shard.directory.apply(ShardId(0), 1, &all, 0);
    shard
}

#[test]
fn pages_hold_everything_once() {
    let shard = shard_with(25);
    let (mut names, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = shard.rooms_listed(after, Some("room"), 10);
        names.extend(page.rooms.iter().map(|info| info.name.to_string()));
        pages += 1;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((names.len(), pages), (25, 3));
    assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]));
    // One that is full ends the list when nothing follows.
    assert!(shard.rooms_listed(None, Some("room"), 25).next.is_none());
}

#[test]
fn what_is_rare_is_looked_for_page_by_page() {
    let shard = shard_with(ROOMS_LOOKED_AT + 10);
    let last = format!("room {:05}", ROOMS_LOOKED_AT + 9);
    let page = shard.rooms_listed(None, Some(&last), 10);
    assert!(page.rooms.is_empty(), "so many are not looked at for one page");
    let next = shard.rooms_listed(page.next, Some(&last), 10);
    assert_eq!(next.rooms[0].name.as_str(), last);
    // Those with nobody in them, which are always there, come last.
    assert!(next.next.is_none());
}
