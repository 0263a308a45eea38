use super::{check, dropping, small_lobbies};
use crate::Config;

/// Protocol page, section 5.3, and statements 31, 36, 37, 39.
#[test]
fn who_joins_is_shown_and_who_goes_leaves() {
    check(
        dropping(),
        "
        a joins x
            a: x a crown a
            a: quota 1800
        b joins x
            a: b is #626262
            b: x ab crown a
            b: quota 1200
        b joins x
            b: x ab crown a
            b: quota 1200
        b joins y
            a: b left
            b: y b crown b
            b: quota 1800
        ",
    );
}

/// Statements 137 to 140.
#[test]
fn two_connections_of_a_user_are_one_participant() {
    check(
        Config::default(),
        "
        a joins x
            a: x a crown a
            a: quota 1800
        b joins x
            a: b is #626262
            b: x ab crown a
            b: quota 1200
        bb joins x
            bb: x ab crown a
            bb: quota 1200
        b says hi
            a: b says hi
            b: b says hi
            bb: b says hi
        b plays 1
            a: b plays 1
            bb: b plays 1
        b leaves
        a says you
            a: a says you
            bb: a says you
        bb leaves
            a: b left
        ",
    );
}

/// Statements 43 and 44; a user who is in a full lobby can add connections (section 5.1).
#[test]
fn a_full_lobby_leads_to_the_next_but_not_through_the_backdoor() {
    check(
        small_lobbies(),
        "
        a joins lobby
            a: lobby a
            a: quota 600
        b joins lobby
            a: b is #626262
            b: lobby ab
            b: quota 600
        c joins lobby
            c: lobby2 c
            c: quota 600
        aa joins lobby
            aa: lobby ab
            aa: quota 600
        c joins lobby
            c: lobby2 c
            c: quota 600
        c joins backdoor
            a: c is #636363
            aa: c is #636363
            b: c is #636363
            c: lobby abc
            c: quota 600
        ",
    );
}

/// Statement 107; the holder and whoever is inside already are not held up (section 5.3, 3 and 6).
#[test]
fn a_limit_keeps_others_out_but_not_the_last_holder() {
    check(
        dropping(),
        "
        a joins x
            a: x a crown a
            a: quota 1800
        a sets limit=1
            a: x a crown a
        b joins x
            b: x is full
            b: test/awkward b
            b: quota 600
        aa joins x
            aa: x a crown a
            aa: quota 1800
        a joins lobby
            a: lobby a
            a: quota 600
        a sets limit=9
        aa sets limit=2
            aa: x a crown a
        c joins x
            aa: c is #636363
            c: x ac crown a
            c: quota 1200
        aa sets limit=1
            aa: x ac crown a
            c: x ac crown a
        aa leaves
            c: a left
            c: x c crown lies, a had it
        a joins x
            a: x ca crown a
            a: quota 1800
            c: a is #616161
            c: x ca crown a
        ",
    );
}

#[test]
fn who_is_too_new_has_to_wait() {
    check(
        dropping(),
        "
        a joins x
            a: x a crown a
            a: quota 1800
        a sets known=5000
            a: x a crown a
        b joins x
            b: too new for x
            b: test/awkward b
            b: quota 600
        wait 5000
        b joins x
            a: b is #626262
            b: x ab crown a
            b: quota 1200
        ",
    );
}

/// Statements 47, 48 and 60.
#[test]
fn an_empty_channel_is_kept_for_a_while() {
    check(
        dropping(),
        "
        a joins x
            a: x a crown a
            a: quota 1800
        a says hi
            a: a says hi
        a joins y
            a: y a crown a
            a: quota 1800
        wait 2900
        a joins x
            a: x a crown a
            a: history hi
            a: quota 1800
        a joins y
            a: y a crown a
            a: quota 1800
        wait 3100
        b joins x
            b: x b crown b
            b: quota 1800
        ",
    );
}

/// Section 13a, 2: over the rate the latest wish is kept and served when the rate allows.
#[test]
fn the_latest_of_too_many_joins_is_served_later() {
    check(
        dropping(),
        "
        a joins lobby
            a: lobby a
            a: quota 600
        a joins test/1
            a: test/1 a
            a: quota 600
        a joins test/2
            a: test/2 a
            a: quota 600
        a joins test/3
            a: test/3 a
            a: quota 600
        a joins test/4
            a: test/4 a
            a: quota 600
        a joins test/5
            a: test/5 a
            a: quota 600
        a joins test/6
        a joins test/7
        wait 390
        wait 20
            a: test/7 a
            a: quota 600
        ",
    );
}
