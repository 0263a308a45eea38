//! Statements 123 to 127: `t`, `bye`, `devices`.

use crate::ROOMS;
use serde_json::json;
use std::time::{Duration, Instant};
use tutti_tests::WITHIN;
use tutti_tests::mpp::{Ended, now_ms};
use tutti_tests::server::Plan;

on_1_2_5_shards!(t_is_answered, t_is_limited, bye_closes, devices_are_swallowed);

/// Statements 123, 124, 125.
fn t_is_answered(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut b = server.join(room);
        let mut a = server.join(room);
        b.clear();
        a.send(json!({"m": "t", "e": 123}));
        let t = a.expect("t");
        assert_eq!(t["e"].as_f64(), Some(123.0));
        assert!((t["t"].as_f64().expect("a number") - now_ms()).abs() < 5000.0, "{t}");
        a.send(json!({"m": "t", "e": 1_761_000_000_100.25}));
        assert_eq!(a.expect("t")["e"].as_f64(), Some(1_761_000_000_100.25));
        a.send(json!({"m": "t"}));
        let t = a.expect("t");
        assert!(t["t"].is_number() && t.get("e").is_none(), "{t}");
        for e in [json!({"a": 1}), json!("123"), json!(null), json!([1]), json!(true)] {
            a.send(json!({"m": "t", "e": e}));
            let t = a.expect("t");
            assert!(t["t"].is_number() && t.get("e").is_none(), "{t}");
        }
        a.nothing();
        b.nothing();
    }
}

/// Statement 123, at the default rate: 10 per 5 s.
fn t_is_limited(plan: Plan) {
    let server = plan.unset("rate.time").start();
    let mut a = server.join(ROOMS[0]);
    for e in 0..30 {
        a.send(json!({"m": "t", "e": e}));
    }
    a.say("behind them");
    a.expect("a");
    let answered = a.drain_kind("t").len();
    assert!((10..=13).contains(&answered), "{answered} answers");
}

/// Statement 126.
fn bye_closes(plan: Plan) {
    let server = plan.start();
    for room in ROOMS {
        let mut b = server.join(room);
        let mut a = server.join(room);
        b.clear();
        // What comes after it in the same frame is not read any more.
        a.send(json!([{"m": "bye"}, {"m": "a", "message": "after"}, {"m": "ch", "_id": "lobby"}]));
        assert_eq!(a.ended(), Ended::Close(Some(1000)));
        assert_eq!(b.expect("bye")["p"], a.id());
        b.nothing();
    }
    // Before `hi` as well.
    let mut a = server.open();
    a.send(json!({"m": "bye"}));
    a.closed_with(1000);
    // And the socket itself ends, too.
    let end = a.ws().read(Instant::now() + WITHIN);
    assert_eq!(end, Some(tutti_tests::ws::Event::End));
}

/// Statement 127.
fn devices_are_swallowed(plan: Plan) {
    let server = plan.start();
    let mut b = server.join(ROOMS[1]);
    let mut a = server.join(ROOMS[1]);
    b.clear();
    let device = json!({
        "type": "input", "manufacturer": "m", "name": "n", "version": "1", "enabled": true, "volume": 1,
    });
    a.send(json!({"m": "devices", "list": vec![device; 100]}));
    a.send(json!([{"m": "devices"}, {"m": "devices", "list": 5}]));
    a.nothing();
    b.nothing();
    b.quiet_for(Duration::from_millis(100));
}
