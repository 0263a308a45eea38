use super::{check, dropping};
use crate::Config;

/// Statements 87, 93 and 98.
#[test]
fn the_holder_gives_the_crown() {
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
        b gives b
        a gives a
        a gives b
            a: x ab crown b
            a: quota 1200
            b: x ab crown b
            b: quota 1800
        a gives a
        a drops
        ",
    );
}

/// Statements 88 to 92 and section 13a, 14.
#[test]
fn a_lying_crown_is_the_last_holders_for_a_while() {
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
        a gives z
            a: x ab crown lies, a had it
            a: quota 1200
            b: x ab crown lies, a had it
        a drops
        a gives z
        b gives b
        a gives a
            a: x ab crown a
            a: quota 1800
            b: x ab crown a
        a drops
            a: x ab crown lies, a had it
            a: quota 1200
            b: x ab crown lies, a had it
        wait 14999
        b gives b
        wait 1
        b gives a
        b gives b
            a: x ab crown b
            b: x ab crown b
            b: quota 1800
        ",
    );
}

/// Statements 94 and 96: the classic rule.
#[test]
fn a_crown_that_fell_comes_back_with_its_holder() {
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
        a leaves
            b: a left
            b: x b crown lies, a had it
        a joins x
            a: x ba crown a
            a: quota 1800
            b: a is #616161
            b: x ba crown a
        ",
    );
}

/// Our own rule: whoever has been there longest inherits.
#[test]
fn a_crown_passes_to_whoever_has_been_there_longest() {
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
        c joins x
            a: c is #636363
            b: c is #636363
            c: x abc crown a
            c: quota 1200
        a leaves
            b: a left
            b: x bc crown b
            b: quota 1800
            c: a left
            c: x bc crown b
        b joins y
            b: y b crown b
            b: quota 1800
            c: b left
            c: x c crown c
            c: quota 1800
        c joins y
            b: c is #636363
            c: y bc crown b
            c: quota 1200
        d joins x
            d: x d crown lies, c had it
            d: quota 1200
        ",
    );
}

/// The holder's other connection keeps the crown (section 5.5).
#[test]
fn a_holder_leaves_with_the_last_connection() {
    check(
        Config::default(),
        "
        a joins x
            a: x a crown a
            a: quota 1800
        aa joins x
            aa: x a crown a
            aa: quota 1800
        b joins x
            a: b is #626262
            aa: b is #626262
            b: x ab crown a
            b: quota 1200
        a leaves
        aa leaves
            b: a left
            b: x b crown b
            b: quota 1800
        ",
    );
}

/// Statements 70, 71, 100 and 101.
#[test]
fn settings_are_the_holders() {
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
        b sets solo=on
        a sets solo=on
            a: x ab crown a
            b: x ab crown a
        b plays 1
        a plays 1
            b: a plays 1
        a drops
            a: x ab crown lies, a had it
            a: quota 1200
            b: x ab crown lies, a had it
        a plays 1
        a joins lobby
            a: lobby a
            a: quota 600
            b: a left
        a sets solo=on
        a gives a
        ",
    );
}
