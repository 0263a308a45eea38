use super::{check, dropping};
use crate::{Config, Rate, Rates};

/// Statements 59 and 61.
#[test]
fn chat_has_a_rate_and_can_be_off() {
    check(
        dropping(),
        "
        b joins lobby
            b: lobby b
            b: quota 600
        b says 1
            b: b says 1
        b says 2
            b: b says 2
        b says 3
            b: b says 3
        b says 4
            b: b says 4
        b says 5
        wait 1000
        b says 6
            b: b says 6
        a joins x
            a: x a crown a
            a: quota 1800
        a sets chat=off
            a: x a crown a
        a says 1
        ",
    );
}

/// Whoever says it, and whatever they may say themselves.
#[test]
fn a_room_has_a_rate_for_all_together() {
    let rates = Rates { room: Rate::new(3, 3_000), ..Rates::default() };
    check(
        Config { rates, ..Config::default() },
        "
        a joins lobby
            a: lobby a
            a: quota 600
        b joins lobby
            a: b is #626262
            b: lobby ab
            b: quota 600
        a says 1
            a: a says 1
            b: a says 1
        b says 2
            a: b says 2
            b: b says 2
        a says 3
            a: a says 3
            b: a says 3
        b says 4
        a says 5
        a whispers b psst
            a: a whispers psst to b
            b: a whispers psst to b
        c joins x
            c: x c crown c
            c: quota 1800
        c says elsewhere
            c: c says elsewhere
        wait 1000
        b says 6
            a: b says 6
            b: b says 6
        b says 7
        ",
    );
}

/// Statements 128 and 129.
#[test]
fn a_whisper_reaches_two_and_no_history() {
    check(
        Config::default(),
        "
        a joins lobby
            a: lobby a
            a: quota 600
        b joins lobby
            a: b is #626262
            b: lobby ab
            b: quota 600
        c joins lobby
            a: c is #636363
            b: c is #636363
            c: lobby abc
            c: quota 600
        a whispers b psst
            a: a whispers psst to b
            b: a whispers psst to b
        a whispers z psst
        d joins lobby
            a: d is #646464
            b: d is #646464
            c: d is #646464
            d: lobby abcd
            d: quota 600
        ",
    );
}

/// Statement 72 and the decision of section 0: told once in ten seconds.
#[test]
fn notes_over_the_quota_are_refused_with_a_word() {
    check(
        Config::default(),
        "
        a joins lobby
            a: lobby a
            a: quota 600
        b joins lobby
            a: b is #626262
            b: lobby ab
            b: quota 600
        a plays 600
            b: a plays 1
        a plays 300
            a: too fast
        a plays 200
            b: a plays 1
        a plays 1
        wait 10000
        a plays 900
            a: too fast
        ",
    );
}

/// Statements 79 and 80: the first at once, then the newest of each tick.
#[test]
fn cursors_are_gathered() {
    check(
        Config::default(),
        "
        a joins lobby
            a: lobby a
            a: quota 600
        b joins lobby
            a: b is #626262
            b: lobby ab
            b: quota 600
        a moves 1 1
            b: a at 1 1
        a moves 2 2
        a moves 3 3
        wait 40
            b: a at 3 3
        wait 100
        a moves 4 4
            b: a at 4 4
        ",
    );
}

/// Statement 86.
#[test]
fn a_new_colour_is_shown_in_every_room_of_the_user() {
    check(
        Config::default(),
        "
        a joins lobby
            a: lobby a
            a: quota 600
        aa joins test/x
            aa: test/x a
            aa: quota 600
        a is #123456
            a: a is #123456
            aa: a is #123456
        ",
    );
}
