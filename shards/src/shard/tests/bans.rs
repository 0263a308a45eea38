use super::{check, dropping};
use crate::Config;

/// Statements 108 to 111 and 115: everyone is told once, those who are elsewhere too.
#[test]
fn a_ban_moves_all_of_a_users_connections_and_ends() {
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
        bb joins x
            bb: x ab crown a
            bb: quota 1200
        bbb joins lobby
            bbb: lobby b
            bbb: quota 600
        a bans b 60000
            a: b left
            a: somebody is removed for 1
            b: removed from x for 1
            b: test/awkward b
            b: quota 600
            bb: removed from x for 1
            bb: test/awkward b
            bb: quota 600
            bbb: removed from x for 1
        b joins x
            b: still banned in x for 1
            b: test/awkward b
            b: quota 600
        wait 60000
        b joins x
            a: b is #626262
            b: x ab crown a
            b: quota 1200
        ",
    );
}

/// Statements 111 and 112.
#[test]
fn only_the_holder_bans_and_lifts_bans() {
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
        b bans a 60000
        a bans b 60000
            a: b left
            a: somebody is removed for 1
            b: removed from x for 1
            b: test/awkward b
            b: quota 600
        a bans q 60000
        a unbans b
            a: somebody may come again
        a unbans b
        b joins x
            a: b is #626262
            b: x ab crown a
            b: quota 1200
        a bans b 0
        wait 2000
        a bans b 0
            a: b left
            a: somebody is removed for 0
            b: removed from x for 0
            b: test/awkward b
            b: quota 600
        ",
    );
}

/// Statement 116, with the crown passing on instead of falling.
#[test]
fn who_bans_themselves_goes_with_a_certificate() {
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
        a bans a 60000
            a: removed from x for 1
            a: certificate
            a: test/awkward a
            a: quota 600
            b: a left
            b: x b crown b
            b: quota 1800
            b: somebody is removed for 1
            b: certificate
        ",
    );
}
