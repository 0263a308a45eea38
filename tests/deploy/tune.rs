//! `scripts/tune-host` and the built binary on the kernel's real settings.
//!
//! Each run has a network namespace of its own, whose settings begin with the kernel's defaults, and a mount namespace
//! in which `/etc` and `/var/lib` are its own. So nothing of the host changes.

use crate::can_run;
use std::process::{Command, Output};
use tutti_tests::server::{binary, repository};

/// Runs a script of shell commands there. `tune` in it is the program.
#[track_caller]
fn inside(script: &str) -> Output {
    let around = format!(
        "set -eu\n\
         mount -t sysfs sysfs /sys\n\
         for dir in /etc/sysctl.d /etc/systemd /var/lib; do mount -t tmpfs tmpfs $dir; done\n\
         ip link set lo up\n\
         tune() {{ {tune} \"$@\"; }}\n{script}",
        tune = repository().join("scripts/tune-host").display()
    );
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", &around])
        .env("TUTTI_BIN", binary())
        .output()
        .expect("unshare runs");
    assert!(
        output.status.success(),
        "{script}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn can_unshare() -> bool {
    can_run(&["unshare", "ip"])
}

#[test]
fn apply_twice_and_revert_on_real_settings() {
    if !can_unshare() {
        return;
    }
    inside(
        "cd /proc/sys/net
         all() {
           cat core/somaxconn ipv4/tcp_max_syn_backlog
           cat ipv4/tcp_slow_start_after_idle ipv4/tcp_migrate_req
         }
         sysctl() { echo $2 >/proc/sys/$1; }
         sysctl net/core/somaxconn 100; sysctl net/ipv4/tcp_max_syn_backlog 100
         all >/tmp/tune-before.$$
         # Not all can be seen from a namespace, which is said and is why it is 1.
         tune apply --conns 1000 --dry-run && exit 9 || [ $? = 1 ]
         all | cmp - /tmp/tune-before.$$
         tune apply --conns 1000 >/tmp/tune-said.$$ || [ $? = 1 ]
         hidden='cannot be seen from this .*: net.ipv4.tcp_mem at least 2000 3000 4000'
         grep -q \"$hidden\" /tmp/tune-said.$$
         grep -q 'on the host: tutti tune apply --conns 1000' /tmp/tune-said.$$
         [ $(cat core/somaxconn) = 4096 ] && [ $(cat ipv4/tcp_max_syn_backlog) = 4096 ]
         [ $(cat ipv4/tcp_slow_start_after_idle) = 0 ] && [ $(cat ipv4/tcp_migrate_req) = 1 ]
         grep -q 'net.core.somaxconn = 4096' /etc/sysctl.d/90-tutti.conf
         tune apply --conns 1000 | grep -q 'nothing to change'
         tune apply --conns 1000 --json | grep -q '\"changes\": \\[\\]'
         tune check --conns 1000 | grep -q 'somaxconn is 4096'
         # A larger value of somebody's stays, through an apply and a revert.
         sysctl net/core/somaxconn 60000
         tune apply --conns 1000 || [ $? = 1 ]
         [ $(cat core/somaxconn) = 60000 ]; ! grep -q somaxconn /etc/sysctl.d/90-tutti.conf
         tune revert >/tmp/tune-said.$$ && exit 9 || [ $? = 1 ]
         grep -q 'net.core.somaxconn is 60000, which is not ours' /tmp/tune-said.$$
         [ $(cat core/somaxconn) = 60000 ]; sysctl net/core/somaxconn 100
         all | cmp - /tmp/tune-before.$$
         [ ! -e /etc/sysctl.d/90-tutti.conf ] && [ ! -e /var/lib/tutti/tune-state.json ]
         [ ! -e /etc/systemd/system/tutti.service.d ]
         tune revert | grep -q 'nothing to change'
         rm -f /tmp/tune-*.$$",
    );
}

/// A pair of virtual cards has queues and masks like any other.
#[test]
fn a_cards_masks_are_set_and_put_back() {
    if !can_unshare() {
        return;
    }
    inside(
        "ip link add v0 numrxqueues 1 numtxqueues 1 type veth peer name v1
         queue=/sys/class/net/v0/queues/rx-0
         before=$(cat $queue/rps_cpus)
         tune apply --nic v0 --conns 1000 --shards 2 --cpus 0 || [ $? = 1 ]
         [ $(cat $queue/rps_cpus) != $before ] && [ $(cat $queue/rps_flow_cnt) = 32768 ]
         tune apply --nic v0 --conns 1000 --shards 2 --cpus 0 | grep -q 'nothing to change'
         tune revert
         [ $(cat $queue/rps_cpus) = $before ] && [ $(cat $queue/rps_flow_cnt) = 0 ]
         tune apply --nic nothere --conns 1000 && exit 9 || [ $? = 2 ]",
    );
}

/// Killed at any moment: what is noted is enough to put everything back.
#[test]
fn killed_in_the_middle_it_can_be_reverted() {
    if !can_unshare() {
        return;
    }
    inside(
        "cd /proc/sys/net
         echo 100 >core/somaxconn; echo 100 >ipv4/tcp_max_syn_backlog
         for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
           timeout -s KILL 0.00$n \"$TUTTI_BIN_KEPT\" tune apply --conns 1000 >/dev/null || true
           tune revert >/dev/null
           [ $(cat core/somaxconn) = 100 ] && [ $(cat ipv4/tcp_max_syn_backlog) = 100 ]
           [ ! -e /etc/sysctl.d/90-tutti.conf ] && [ ! -e /var/lib/tutti/tune-state.json ]
         done"
            .replace("$TUTTI_BIN_KEPT", &binary().to_string_lossy())
            .as_str(),
    );
}

#[test]
fn check_needs_no_rights_and_apply_says_that_it_does() {
    if !can_run(&["setpriv"]) {
        return;
    }
    // A copy that everybody can reach.
    let scratch = crate::Scratch::new("unprivileged");
    let program = scratch.at("tutti");
    std::fs::copy(binary(), &program).expect("a writable folder");
    let tune = |action: &[&str]| {
        Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&program)
            .arg("tune")
            .args(action)
            .env_remove("TUTTI_BIN")
            .current_dir("/")
            .output()
            .expect("setpriv runs")
    };
    assert!(matches!(tune(&["check"]).status.code(), Some(0 | 1)), "{:?}", tune(&["check"]));
    assert!(matches!(tune(&["apply", "--dry-run"]).status.code(), Some(0 | 1)));
    let refused = tune(&["apply"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("sudo tutti tune"));
}

/// The limits of a real process are what it really has.
#[test]
fn a_running_server_is_looked_at() {
    let server = tutti_tests::server::Plan::new(1).start();
    let pid = server.pid().as_raw_nonzero().to_string();
    let output = tutti_tests::server::run(&["tune", "check", "--conns", "10", "--pid", &pid]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(&format!("LimitNOFILE of process {pid} is ")), "{said}");
    let output = tutti_tests::server::run(&["tune", "check", "--conns", "90000000", "--pid", &pid]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("wanted is 108001024") && said.contains("restart"), "{said}");
}
