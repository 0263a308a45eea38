use super::{check, dropping};
use crate::Config;

#[test]
fn who_is_kicked_is_told_and_gone() {
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
        operator kicks b
            a: b left
            b: Kicked { reason: None }
            b: closed, Kicked
        operator kicks b
        ",
    );
}

#[test]
fn a_muted_user_is_told_and_not_heard_until_the_end() {
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
        operator mutes b 2500
            a: b is #626262
            b: b is #626262
            b: Muted { seconds: 3 }
        b says hello
            b: StillMuted { seconds: 3 }
        b whispers a hello
            b: StillMuted { seconds: 3 }
        wait 2499
        b says hello
            b: StillMuted { seconds: 1 }
        wait 1
        b says hello
            a: b says hello
            b: b says hello
        ",
    );
}

#[test]
fn a_mute_of_one_channel_is_of_that_alone_and_can_be_lifted() {
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
        operator mutes b 60000 x
            b: Muted { seconds: 60 }
        b says hello
            b: StillMuted { seconds: 60 }
        b joins y
            a: b left
            b: y b crown b
            b: quota 1800
        b says hello
            b: b says hello
        b joins x
            a: b is #626262
            b: x ab crown a
            b: quota 1200
        b says hello
            b: StillMuted { seconds: 60 }
        operator mutes b 0 x
            b: Muted { seconds: 0 }
        b says hello
            a: b says hello
            b: b says hello
        ",
    );
}

#[test]
fn everyone_in_a_closed_channel_goes_to_the_lobby_and_it_is_gone() {
    check(
        Config::default(),
        "
        a joins x
            a: x a crown a
            a: quota 1800
        a says hello
            a: a says hello
        b joins x
            a: b is #626262
            b: x ab crown a
            b: history hello
            b: quota 1200
        operator closes x
            a: ChannelClosed { channel: \"x\", reason: None }
            a: lobby a
            a: quota 600
            a: b is #626262
            b: ChannelClosed { channel: \"x\", reason: None }
            b: lobby ab
            b: quota 600
        b joins x
            a: b left
            b: x b crown b
            b: quota 1800
        ",
    );
}

#[test]
fn operators_ban_without_a_crown_but_nobody_from_a_lobby() {
    check(
        dropping(),
        "
        a joins x
            a: x a crown a
            a: quota 1800
        operator bans a 60000 x
            a: removed from x for 1
            a: test/awkward a
            a: quota 600
        a joins x
            a: still banned in x for 1
            a: test/awkward a
            a: quota 600
        b joins lobby
            b: lobby b
            b: quota 600
        operator bans b 60000 lobby
        ",
    );
}

#[test]
fn guests_are_heard_once_they_are_no_guests() {
    check(
        Config::default(),
        "
        a joins x
            a: x a crown a
            a: quota 1800
        wait 1000
        operator hears no guests 5000
        a says hello
            a: StillMuted { seconds: 4 }
        wait 4000
        a says hello
            a: a says hello
        b joins x
            a: b is #626262
            b: x ab crown a
            b: history hello
            b: quota 1200
        b says hello
            b: StillMuted { seconds: 5 }
        operator hears guests
        b says hello
            a: b says hello
            b: b says hello
        ",
    );
}
