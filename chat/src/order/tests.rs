//! The rules one by one, and a model of a server that moves rooms between streams at random.

use super::*;
use crate::wire::{RoomClose, RoomInit, UserLeft};
use proptest::prelude::*;
use std::collections::VecDeque;

fn init(room_id: u64, seq: u64, membership: u32) -> Event {
    let json = format!(
        r#"{{"room_id":{room_id},"name":"r","room_type":"channel","seq":{seq},"membership":{membership}}}"#
    );
    Event::RoomInit(serde_json::from_str::<Box<RoomInit>>(&json).unwrap())
}

fn close(room_id: u64, membership: u32) -> Event {
    let reason = "left".into();
    Event::RoomClose(RoomClose { room_id, reason, by: None, until: None, membership })
}

fn numbered(room_id: u64, seq: u64) -> Event {
    Event::UserLeft(UserLeft { room_id, user_id: 5, left_at: 0, seq, reason: String::new() })
}

/// `i3/1` is an init with seq 3 of membership 1, `x1` a close of membership 1, a number an event.
fn words(events: &[Event]) -> String {
    let word = |event: &Event| match event {
        Event::RoomInit(e) => format!("i{}/{}", e.seq, e.membership),
        Event::RoomClose(e) => format!("x{}", e.membership),
        other => other.sequence().unwrap().1.to_string(),
    };
    events.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn parse(word: &str) -> Event {
    if let Some(rest) = word.strip_prefix('i') {
        let (seq, membership) = rest.split_once('/').unwrap();
        return init(1, seq.parse().unwrap(), membership.parse().unwrap());
    }
    match word.strip_prefix('x') {
        Some(membership) => close(1, membership.parse().unwrap()),
        None => numbered(1, word.parse().unwrap()),
    }
}

#[track_caller]
fn check(arriving: &str, delivered: &str) {
    let (mut order, mut out) = (Order::default(), Vec::new());
    for word in arriving.split(' ') {
        order.take(parse(word), 100, &mut out).unwrap();
    }
    assert_eq!(words(&out), delivered);
}

#[test]
fn what_comes_early_is_held_until_the_gap_closes() {
    check("i4/1 5 8 7 6 9", "i4/1 5 6 7 8 9");
}

#[test]
fn what_was_delivered_is_not_delivered_again() {
    check("i4/1 5 5 6 4 3", "i4/1 5 6");
}

#[test]
fn what_comes_before_the_init_waits_for_it() {
    check("6 5 i4/1 7", "i4/1 5 6 7");
}

#[test]
fn the_expected_number_never_goes_back() {
    // 5 and 6 came on the new hot stream, before the lane's init of the second membership.
    check("i4/1 5 6 i4/2 5 6 7", "i4/1 5 6 i4/2 7");
    // The init jumps over what was held.
    check("i4/1 7 8 i7/2", "i4/1 i7/2 8");
}

#[test]
fn an_old_membership_cannot_end_the_new_one() {
    check("i4/1 i9/2 x1 10", "i4/1 i9/2 10");
    check("i4/1 x2 i9/2 10", "i4/1 x2");
    check("x1 i4/1 5 i9/2 10", "x1 i9/2 10");
}

#[test]
fn between_two_memberships_events_are_held() {
    check("i4/1 x1 10 11 i9/2", "i4/1 x1 i9/2 10 11");
}

#[test]
fn what_is_held_is_bounded_and_given_back() {
    let (mut order, mut out) = (Order::default(), Vec::new());
    order.take(init(1, 0, 1), 100, &mut out).unwrap();
    for n in 0..4 {
        order.take(numbered(1, 2 + n), 1 << 20, &mut out).unwrap();
    }
    assert_eq!(order.held_bytes(), HELD_BYTES_MAX);
    assert_eq!(order.take(numbered(2, 9), 1, &mut out), Err(HeldTooMuch));
    order.take(numbered(1, 1), 1, &mut out).unwrap();
    assert_eq!(order.held_bytes(), 1);
    order.take(init(2, 9, 1), 100, &mut out).unwrap();
    assert_eq!(order.held_bytes(), 0);
}

/// What happens to one room at its owner, as one connection of a member sees it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Event,
    Promote,
    Demote,
    Leave {
        quietly: bool,
    },
    Join,
    /// The receiver reads one frame of the n-th stream that has any.
    Read(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Event),
        1 => Just(Step::Promote),
        1 => Just(Step::Demote),
        1 => any::<bool>().prop_map(|quietly| Step::Leave { quietly }),
        2 => Just(Step::Join),
        6 => (0..8usize).prop_map(Step::Read),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever the streams do, each event of the membership that is current at the end is delivered once and in order.
    #[test]
    fn moves_lose_repeat_and_reorder_nothing(steps in steps()) {
        // Stream 0 is the lane, each promotion opens another one.
        let mut streams: Vec<VecDeque<Event>> = vec![VecDeque::new()];
        let (mut hot, mut inside, mut membership, mut seq) = (None, false, 0, 0);
        let mut since_join = Vec::new();
        let (mut order, mut out) = (Order::default(), Vec::new());
        for step in steps {
            match step {
                Step::Event => {
                    seq += 1;
                    if inside {
                        since_join.push(seq);
                        let stream: usize = hot.unwrap_or(0);
                        streams[stream].push_back(numbered(1, seq));
                    }
                }
                // R6: only after the receiver has read the previous hot stream to its end.
                Step::Promote
                    if inside && hot.is_none() && streams[1..].iter().all(VecDeque::is_empty) =>
                {
                    hot = Some(streams.len());
                    streams.push(VecDeque::new());
                }
                Step::Demote => hot = None,
                Step::Leave { quietly } if inside => {
                    streams[hot.take().unwrap_or(0)].push_back(close(1, membership));
                    inside = false;
                    // Another connection of the user may be inside still; then nothing is announced.
                    seq += u64::from(!quietly);
                }
                Step::Join if !inside => {
                    inside = true;
                    membership += 1;
                    since_join.clear();
                    streams[0].push_back(init(1, seq, membership));
                }
                Step::Read(n) => {
                    let waiting: Vec<usize> =
                        (0..streams.len()).filter(|&n| !streams[n].is_empty()).collect();
                    if let Some(&stream) = waiting.get(n % waiting.len().max(1)) {
                        let event = streams[stream].pop_front().unwrap();
                        order.take(event, 1, &mut out).unwrap();
                    }
                }
                _ => {}
            }
        }
        // The rest, the newest stream first, which is the worst order.
        for stream in streams.iter_mut().rev() {
            for event in stream.drain(..) {
                order.take(event, 1, &mut out).unwrap();
            }
        }
        let delivered: Vec<u64> =
            out.iter().filter_map(Event::sequence).map(|(_, seq)| seq).collect();
        prop_assert!(delivered.is_sorted_by(|a, b| a < b), "{}", words(&out));
        if inside {
            let is_last = |e: &Event| {
                matches!(e, Event::RoomInit(e) if e.membership == membership)
            };
            let at = out.iter().rposition(is_last);
            prop_assert!(at.is_some(), "never entered: {}", words(&out));
            let closed = out[at.unwrap()..].iter().any(|e| matches!(e, Event::RoomClose(_)));
            prop_assert!(!closed, "believes to be outside: {}", words(&out));
            for seq in &since_join {
                prop_assert!(delivered.contains(seq), "lost {seq}: {}", words(&out));
            }
            prop_assert_eq!(order.held_bytes(), 0);
        }
    }
}
