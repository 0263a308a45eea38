//! On folders that stand for hosts: real files, read and written by the code that runs on real ones.

use super::*;
use crate::check::Level;
use crate::cli::{Cli, Command as CliCommand};
use crate::config::{HostCpus, RawConfig};
use clap::Parser as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

const SOMAXCONN: &str = "proc/sys/net/core/somaxconn";
const SYSCTL: &str = "etc/sysctl.d/90-tutti.conf";
const DROP_IN: &str = "etc/systemd/system/tutti.service.d/90-tutti-tune.conf";
const STATE: &str = "var/lib/tutti/tune-state.json";

/// A folder that stands for a host, gone when this is.
struct Fake(PathBuf);

impl Fake {
    /// A host whose settings are those of an ordinary kernel, some of them too small.
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("tutti-tune-{}-{n}", std::process::id()));
        let fake = Fake(root);
        for (path, text) in [
            (SOMAXCONN, "128\n"),
            ("proc/sys/net/ipv4/tcp_max_syn_backlog", "8192\n"),
            ("proc/sys/net/ipv4/tcp_syncookies", "1\n"),
            ("proc/sys/net/ipv4/tcp_mem", "100\t200\t300\n"),
            ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
            ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
            ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "1\n"),
            ("proc/sys/net/ipv4/tcp_migrate_req", "1\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("proc/sys/fs/nr_open", "1048576\n"),
            ("proc/sys/fs/file-max", "9223372036854775807\n"),
            ("proc/sys/kernel/random/boot_id", "boot-1\n"),
            ("proc/meminfo", "MemTotal:       16000000 kB\n"),
            ("proc/net/softnet_stat", "0000ffff 00000000 00000000 0 0\n"),
            ("proc/net/sockstat", "TCP: inuse 1 orphan 0 tw 0 alloc 2 mem 7\n"),
            ("etc/systemd/system.conf", ""),
        ] {
            fake.put(path, text);
        }
        fake
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn program(&self, name: &str, script: &str) {
        let path = format!("usr/sbin/{name}");
        self.put(&path, &format!("#!/bin/sh\nroot=$(dirname \"$0\")/../..\n{script}\n"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.0.join(path), mode).unwrap();
    }

    fn text(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.0.join(path)).ok()
    }

    fn has(&self, path: &str, text: &str) -> bool {
        self.text(path).is_some_and(|found| found.contains(text))
    }

    fn try_tune(&self, line: &str) -> Result<Outcome, TuneError> {
        let root = self.0.display();
        let line = format!("tutti tune {line} --root {root}");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Some(CliCommand::Tune(options)) = cli.command else { panic!("{line}") };
        let mut raw = RawConfig::default();
        raw.add_file(
            "t.toml",
            "shards = 2\ncpus = \"0-1\"\nlimits.connections = 10000\nquic.listen = \"off\"",
        )
        .unwrap();
        let allowed = vec![0, 1, 2, 3];
        let config = Config::new(&raw, &HostCpus { allowed, parallelism: 4 }).unwrap();
        run(&options, &config)
    }

    fn tune(&self, line: &str) -> Outcome {
        self.try_tune(line).unwrap()
    }

    /// Everything in it, to see that nothing changed.
    fn everything(&self) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let mut all = Vec::new();
        let mut dirs = vec![self.0.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    dirs.push(path.clone());
                    all.push((path, None));
                } else {
                    let bytes = std::fs::read(&path).ok();
                    all.push((path, bytes));
                }
            }
        }
        all.sort();
        all
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[track_caller]
fn says(outcome: &Outcome, level: Level, words: &str) {
    let fits = |finding: &Finding| finding.level == level && finding.to_string().contains(words);
    assert!(outcome.report.findings.iter().any(fits), "no {level} {words} in\n{}", outcome.report);
}

#[test]
fn check_changes_nothing_and_names_what_falls_short() {
    let host = Fake::new();
    let before = host.everything();
    let outcome = host.tune("check");
    assert_eq!(host.everything(), before);
    assert_eq!(outcome.exit_code(), 1);
    says(&outcome, Level::Warn, "sysctl -w net.core.somaxconn=4096");
    says(&outcome, Level::Warn, "net.ipv4.tcp_mem=\"20000 30000 40000\"");
    says(&outcome, Level::Warn, "a round trip apart");
    says(&outcome, Level::Ok, "fs.file-max is 9223372036854775807");
    let json: serde_json::Value = serde_json::from_str(&outcome.json()).unwrap();
    assert_eq!(json["level"], "warn");
    assert!(json["findings"].to_string().contains("\"effect\""));
}

#[test]
fn apply_raises_and_a_second_one_changes_nothing() {
    let host = Fake::new();
    let before = host.everything();
    let dry = host.tune("apply --dry-run");
    assert_eq!(host.everything(), before, "a dry run writes nothing");
    let outcome = host.tune("apply");
    assert_eq!(outcome.exit_code(), 0, "{}", outcome.report);
    assert_eq!(outcome.steps, dry.steps, "a dry run says what is then done");
    assert_eq!(host.text(SOMAXCONN).unwrap(), "4096\n");
    assert_eq!(host.text("proc/sys/net/ipv4/tcp_mem").unwrap(), "20000 30000 40000\n");
    assert!(host.has(SYSCTL, "net.core.somaxconn = 4096\n"));
    assert!(!host.has(SYSCTL, "syn_backlog"), "what fits is not ours");
    assert!(host.has(DROP_IN, "[Service]\nLimitNOFILE=13024\n"), "{:?}", host.text(DROP_IN));
    assert!(host.has(STATE, "\"boot\": \"boot-1\"") && host.has(STATE, "\"before\": \"128\""));
    let applied = host.everything();
    let again = host.tune("apply");
    assert_eq!((again.steps.len(), again.exit_code()), (0, 0), "{}", again.report);
    assert_eq!(host.everything(), applied);
    assert_eq!(host.tune("check").report.level(), Level::Ok);
}

#[test]
fn revert_leaves_the_host_as_it_was() {
    let host = Fake::new();
    host.put("var/lib/tutti/.kept", "");
    let before = host.everything();
    host.tune("apply");
    let dry = host.tune("revert --dry-run");
    let reverted = host.tune("revert");
    assert_eq!(reverted.exit_code(), 0, "{}", reverted.report);
    assert_eq!(reverted.steps, dry.steps);
    let plain = |all: Vec<(PathBuf, Option<Vec<u8>>)>| {
        // The kernel answers with tabs where spaces were written; a file keeps what it was given.
        all.into_iter()
            .filter(|(path, _)| !path.ends_with("etc/sysctl.d") && !path.ends_with("system"))
            .map(|(path, text)| {
                (path, text.map(|t| String::from_utf8(t).unwrap().replace('\t', " ")))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(plain(host.everything()), plain(before));
    assert_eq!(host.tune("revert").steps, []);
}

#[test]
fn revert_leaves_what_somebody_changed_since() {
    let host = Fake::new();
    host.tune("apply");
    host.put(SOMAXCONN, "65535\n");
    host.put(SYSCTL, &(host.text(SYSCTL).unwrap() + "vm.swappiness = 1\n"));
    let reverted = host.tune("revert");
    assert_eq!(reverted.exit_code(), 1);
    says(&reverted, Level::Warn, "net.core.somaxconn is 65535, which is not ours (4096)");
    says(&reverted, Level::Warn, "90-tutti.conf was edited");
    assert_eq!(host.text(SOMAXCONN).unwrap(), "65535\n");
    assert!(host.has(SYSCTL, "swappiness"));
    assert_eq!(host.text("proc/sys/net/ipv4/tcp_slow_start_after_idle").unwrap(), "1\n");
    assert_eq!(host.text(STATE), None, "what is not ours is forgotten");
}

/// Our file would set the smaller value at the next boot, after that of the operator.
#[test]
fn a_larger_value_of_an_operator_stands() {
    let host = Fake::new();
    host.tune("apply");
    host.put(SOMAXCONN, "65535\n");
    host.put("etc/sysctl.d/50-mine.conf", "net.core.somaxconn=65535\n");
    let again = host.tune("apply");
    assert_eq!(host.text(SOMAXCONN).unwrap(), "65535\n");
    assert!(!host.has(SYSCTL, "somaxconn") && host.has(SYSCTL, "tcp_mem"), "{}", again.report);
    // Written for the next boot only: then it is raised to that at once.
    let host = Fake::new();
    host.put("etc/sysctl.d/50-mine.conf", "# mine\n-net/core/somaxconn = 65535\n");
    host.tune("apply");
    assert_eq!(host.text(SOMAXCONN).unwrap(), "65535\n");
    // A smaller one that is read after ours undoes it, which only a person can change.
    let host = Fake::new();
    host.put("etc/sysctl.d/99-old.conf", "net.core.somaxconn = 128\n");
    let outcome = host.tune("apply");
    assert_eq!(outcome.exit_code(), 1);
    says(&outcome, Level::Warn, "/etc/sysctl.d/99-old.conf sets net.core.somaxconn to 128");
}

#[test]
fn lowering_needs_force() {
    let host = Fake::new();
    let path = "proc/sys/net/ipv4/tcp_wmem";
    host.put(path, "65536\t65536\t4194304\n");
    let outcome = host.tune("apply");
    assert_eq!(outcome.exit_code(), 1);
    says(&outcome, Level::Warn, "--force");
    assert_eq!(host.text(path).unwrap(), "65536\t65536\t4194304\n");
    assert_eq!(host.tune("apply --force").exit_code(), 0);
    assert_eq!(host.text(path).unwrap(), "4096 65536 4194304\n");
    host.tune("revert");
    assert_eq!(host.text(path).unwrap(), "65536 65536 4194304\n");
}

#[test]
fn the_firewalls_table_needs_its_flag() {
    let host = Fake::new();
    let path = "proc/sys/net/netfilter/nf_conntrack_max";
    host.put(path, "4096\n");
    says(&host.tune("apply"), Level::Warn, "--conntrack");
    assert_eq!(host.text(path).unwrap(), "4096\n");
    host.tune("apply --conntrack");
    assert_eq!(host.text(path).unwrap(), "20000\n");
}

/// The firewall's module is loaded after the files were read at boot, so its table is small again.
#[test]
fn what_a_boot_undid_stays_in_our_file() {
    let host = Fake::new();
    let path = "proc/sys/net/netfilter/nf_conntrack_max";
    host.put(path, "1000\n");
    host.tune("apply --conntrack");
    let file = "etc/sysctl.d/90-tutti.conf";
    assert!(host.has(file, "nf_conntrack_max"));
    host.put("proc/sys/kernel/random/boot_id", "boot-2\n");
    host.put(path, "1000\n");
    host.tune("apply");
    assert!(host.has(file, "nf_conntrack_max"), "{:?}", host.text(file));
}

#[test]
fn strange_values_are_left_alone() {
    for strange in ["", "many", "-1", "4096 4096", "99999999999999999999999", "0x80", "\u{0}"] {
        let host = Fake::new();
        host.put(SOMAXCONN, strange);
        host.put("proc/sys/net/ipv4/tcp_mem", strange);
        host.put("proc/meminfo", strange);
        host.put("proc/net/softnet_stat", strange);
        host.put("proc/net/sockstat", strange);
        let outcome = host.tune("apply");
        assert_eq!(outcome.exit_code(), 0, "{strange:?}\n{}", outcome.report);
        assert_eq!(host.text(SOMAXCONN).unwrap(), strange);
        assert_eq!(host.text("proc/sys/net/ipv4/tcp_mem").unwrap(), strange);
        let _ = host.tune("check --pid 1 --nic eth0");
    }
}

#[test]
fn what_a_container_cannot_see_is_named() {
    let host = Fake::new();
    for key in ["fs/nr_open", "fs/file-max", "net/ipv4/tcp_mem"] {
        std::fs::remove_file(host.0.join("proc/sys").join(key)).unwrap();
    }
    host.put(".dockerenv", "");
    let outcome = host.tune("apply --conns 5000");
    assert_eq!(outcome.exit_code(), 1);
    says(
        &outcome,
        Level::Warn,
        "cannot be seen from this container: fs.nr_open at least 7024, fs.file-max at least 14048, \
         net.ipv4.tcp_mem at least 10000 15000 20000",
    );
    says(&outcome, Level::Warn, "on the host: tutti tune apply --conns 5000");
    says(&host.tune("check"), Level::Ok, "cannot be seen from here");
}

/// Whatever was noted last, an apply after it completes, and a revert brings back what was there first.
#[test]
fn an_interrupted_apply_is_completed_or_reverted() {
    for completed in [false, true] {
        let host = Fake::new();
        // It wrote down everything and set one value before it ended.
        host.tune("apply");
        let state = host.text(STATE).unwrap();
        std::fs::remove_file(host.0.join(SYSCTL)).unwrap();
        std::fs::remove_file(host.0.join(DROP_IN)).unwrap();
        host.put("proc/sys/net/ipv4/tcp_slow_start_after_idle", "1\n");
        host.put(STATE, &state);
        host.put("var/lib/tutti/.tune-state.json.new", "{ half");
        host.put("etc/sysctl.d/.90-tutti.conf.new", "ha");
        if completed {
            assert_eq!(host.tune("apply").exit_code(), 0);
            assert!(host.has(SYSCTL, "tcp_slow_start_after_idle = 0"));
            assert_eq!(host.tune("apply").steps, []);
        }
        let reverted = host.tune("revert");
        assert_eq!(reverted.exit_code(), 0, "{}", reverted.report);
        assert_eq!(host.text(SOMAXCONN).unwrap(), "128\n");
        assert_eq!(host.text("proc/sys/net/ipv4/tcp_slow_start_after_idle").unwrap(), "1\n");
        assert_eq!((host.text(SYSCTL), host.text(DROP_IN)), (None, None));
    }
}

#[test]
fn two_at_once_do_not_meet() {
    let host = Fake::new();
    let lock = Lock::take(&ThisHost::below(&host.0)).unwrap();
    assert!(matches!(host.try_tune("apply"), Err(TuneError::Busy)));
    assert!(matches!(host.try_tune("revert"), Err(TuneError::Busy)));
    assert_eq!(host.tune("check").exit_code(), 1);
    assert!(!host.tune("apply --dry-run").steps.is_empty());
    // Its end is the end of the lock, even when a child of another thread has a copy until it executes its program.
    let copy = lock.dir.try_clone().unwrap();
    drop(lock);
    assert_eq!(host.tune("apply").exit_code(), 0);
    drop(copy);
}

#[test]
fn files_of_others_are_not_touched() {
    let host = Fake::new();
    host.put("etc/sysctl.d/x", "");
    std::os::unix::fs::symlink("/dev/null", host.0.join(SYSCTL)).unwrap();
    let outcome = host.tune("apply");
    assert_eq!((outcome.exit_code(), outcome.steps.len()), (2, 0));
    says(&outcome, Level::Fail, "is a symbolic link");
    assert_eq!(host.text(SOMAXCONN).unwrap(), "128\n", "nothing was changed");
    assert!(host.0.join(SYSCTL).is_symlink());

    let host = Fake::new();
    host.put(SYSCTL, "net.core.somaxconn = 1\n");
    says(&host.tune("apply"), Level::Fail, "was not written by");
    assert_eq!(host.tune("apply --force").exit_code(), 0);
    assert!(host.has("etc/sysctl.d/90-tutti.conf.before-tutti", "somaxconn = 1"));
    assert!(host.has(SYSCTL, "somaxconn = 4096"));
}

#[test]
fn a_state_that_others_could_have_written_is_not_believed() {
    let mode = |host: &Fake, path: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(host.0.join(path), mode).unwrap();
    };
    let refused = |host: &Fake, words: &str| {
        let error = host.try_tune("revert").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let host = Fake::new();
    host.tune("apply");
    mode(&host, "var/lib/tutti", 0o777);
    refused(&host, "written by others");
    mode(&host, "var/lib/tutti", 0o755);
    mode(&host, STATE, 0o666);
    refused(&host, "written by others");
    mode(&host, STATE, 0o600);
    let good = host.text(STATE).unwrap();
    for (from, to, words) in [
        ("/proc/sys/net/core/somaxconn", "/etc/shadow", "never changes"),
        ("/proc/sys/net/core/somaxconn", "/proc/sys/net/core/../../kernel/x", "never changes"),
        ("/etc/sysctl.d/90-tutti.conf", "/etc/passwd", "never writes"),
        ("tutti.service.d", "../x.service.d", "never writes"),
        ("\"version\": 1", "\"version\": 2", "version 2"),
        ("{", "", "cannot be read"),
    ] {
        host.put(STATE, &good.replacen(from, to, 1));
        refused(&host, words);
    }
    std::fs::remove_file(host.0.join(STATE)).unwrap();
    std::os::unix::fs::symlink("/dev/null", host.0.join(STATE)).unwrap();
    refused(&host, "no plain file");
    // What DynamicUser= makes of a folder.
    let host = Fake::new();
    host.put("var/lib/private/tutti/x", "");
    std::os::unix::fs::symlink("private/tutti", host.0.join("var/lib/tutti")).unwrap();
    refused(&host, "StateDirectory=tutti/data");
}

#[test]
fn a_reboot_undoes_what_no_file_brings_back() {
    let host = card(2, "");
    host.tune("apply --nic eth0");
    assert!(host.has(STATE, "smp_affinity_list"));
    host.put("proc/sys/kernel/random/boot_id", "boot-2\n");
    // The same interrupt is another one now, and the settings are those of our file.
    host.put("proc/irq/41/smp_affinity_list", "1\n");
    let reverted = host.tune("revert");
    assert_eq!(reverted.exit_code(), 0, "{}", reverted.report);
    assert_eq!(host.text("proc/irq/41/smp_affinity_list").unwrap(), "1\n");
    assert_eq!(host.text(SOMAXCONN).unwrap(), "128\n");
}

/// A line of ours for fewer descriptors would take away what systemd gives to a unit that says nothing.
#[test]
fn a_default_of_systemd_that_is_more_is_left() {
    let host = Fake::new();
    host.program(
        "systemctl",
        "file=$root/etc/systemd/system/tutti.service.d/90-tutti-tune.conf
         found=$(grep -s \"^$4=\" $file) && echo $found && exit
         case $4 in LimitNOFILE) echo LimitNOFILE=524288;; LimitMEMLOCK) echo LimitMEMLOCK=65536;; esac",
    );
    host.tune("apply");
    assert!(!host.has(DROP_IN, "NOFILE") && host.has(DROP_IN, "LimitMEMLOCK=8388608\n"));
    assert_eq!(host.tune("apply").steps, []);
    host.tune("apply --conns 2000000");
    assert!(host.has(DROP_IN, "LimitNOFILE=2401024\n") && host.has(DROP_IN, "LimitMEMLOCK="));
    assert_eq!(host.tune("apply --conns 2000").steps, []);
}

#[test]
fn units_that_allow_more_are_left() {
    let host = Fake::new();
    host.put(
        "usr/lib/systemd/system/tutti.service",
        "[Service]\nLimitNOFILE=100\nLimitMEMLOCK=infinity\n",
    );
    host.put("etc/systemd/system/tutti.service.d/50.conf", "[Service]\nLimitNOFILE=1024:1M\n");
    host.tune("apply");
    assert_eq!(host.text(DROP_IN), None);
    says(
        &host.tune("check"),
        Level::Ok,
        "LimitNOFILE of /etc/systemd/system/tutti.service.d/50.conf",
    );
    let few = host.tune("apply --conns 2000000");
    assert!(host.has(DROP_IN, "LimitNOFILE=2401024\n"), "{}", few.report);
    assert!(!host.has(DROP_IN, "MEMLOCK"));
    says(&few, Level::Ok, "systemctl daemon-reload");
    // For fewer connections it stays as it is.
    assert_eq!(host.tune("apply --conns 2000").steps, []);
    // Another unit is another drop-in.
    host.tune("apply --unit tutti@2");
    let other = host.text("etc/systemd/system/tutti@2.service.d/90-tutti-tune.conf");
    assert!(other.unwrap().contains("LimitNOFILE=13024"));
    assert!(matches!(host.try_tune("apply --unit ../x"), Err(TuneError::Usage(_))));
}

#[test]
fn limits_are_those_of_the_service() {
    let host = Fake::new();
    host.put(
        "proc/77/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max locked memory         8388608              8388608              bytes     \n\
         Max open files            1024                 unlimited            files     \n",
    );
    let outcome = host.tune("check --pid 77");
    says(&outcome, Level::Ok, "LimitMEMLOCK of process 77 is 8388608");
    says(&outcome, Level::Warn, "LimitNOFILE of process 77 is 1024, wanted is 13024");
    assert_eq!(host.tune("check --pid 78").exit_code(), 2);
    host.program(
        "systemctl",
        "printf 'LoadState=loaded\\nMainPID=77\\nLimitNOFILE=524288\\nLimitMEMLOCK=4096\\n'",
    );
    let outcome = host.tune("check");
    says(&outcome, Level::Ok, "LimitNOFILE of tutti.service (systemctl show) is 524288");
    says(&outcome, Level::Warn, "LimitMEMLOCK of tutti.service (systemctl show) is 4096");
    says(&outcome, Level::Warn, "LimitNOFILE of process 77");
}

/// A host with a card of four possible queues, of which some are in use.
fn card(queues: u32, irqbalance: &str) -> Fake {
    let host = Fake::new();
    let dir = "sys/class/net/eth0";
    let add = |n: u32| {
        host.put(&format!("{dir}/queues/rx-{n}/rps_cpus"), "00\n");
        host.put(&format!("{dir}/queues/rx-{n}/rps_flow_cnt"), "0\n");
        host.put(&format!("{dir}/queues/tx-{n}/xps_cpus"), "00\n");
        host.put(&format!("{dir}/device/msi_irqs/{}", 40 + n), "msix\n");
        host.put(&format!("proc/irq/{}/smp_affinity_list", 40 + n), "0-3\n");
    };
    (0..queues).for_each(add);
    host.put(&format!("{dir}/device/msi_irqs/60"), "msix\n");
    host.put("proc/irq/60/smp_affinity_list", "0-3\n");
    host.put(
        "proc/interrupts",
        "            CPU0       CPU1\n  40:  1  2  PCI-MSI 1-edge  eth0-TxRx-0\n  41:  1  2  PCI-MSI 2-edge  \
         eth0-TxRx-1\n  60:  1  2  PCI-MSI 3-edge  eth0\n NMI:  0  0  Non-maskable interrupts\n",
    );
    host.put("proc/sys/net/core/rps_sock_flow_entries", "0\n");
    host.put("count", &queues.to_string());
    host.program(
        "ethtool",
        "case $1 in\n-l) printf 'Channel parameters for eth0:\\nPre-set maximums:\\nRX:\\t\\tn/a\\nCombined:\\t2\\n\
         Current hardware settings:\\nCombined:\\t%s\\n' \"$(cat \"$root/count\")\";;\n\
         -L) printf %s \"$4\" >\"$root/count\"\n\
         if [ \"$4\" = 2 ]; then for kind in rx/rps_cpus rx/rps_flow_cnt tx/xps_cpus; do\n\
         d=$root/sys/class/net/eth0/queues/${kind%/*}-1; mkdir -p \"$d\"; echo 0 >\"$d/${kind#*/}\"; done\n\
         echo 0-3 >\"$root/proc/irq/41/smp_affinity_list\"; echo >\"$root/sys/class/net/eth0/device/msi_irqs/41\"; fi;;\n\
         esac",
    );
    host.put("proc/irq/41/smp_affinity_list", "0-3\n");
    if !irqbalance.is_empty() {
        host.put("proc/812/comm", "irqbalance\n");
        host.program("systemctl", irqbalance);
    }
    host
}

#[test]
fn a_card_gets_a_queue_for_each_shard() {
    let host = card(1, "");
    let outcome = host.tune("apply --nic eth0");
    assert_eq!(outcome.exit_code(), 0, "{}", outcome.report);
    assert_eq!(host.text("count").unwrap(), "2");
    // The second queue's, which was not there before.
    for (path, value) in [
        ("proc/irq/40/smp_affinity_list", "0\n"),
        ("proc/irq/41/smp_affinity_list", "1\n"),
        ("proc/irq/60/smp_affinity_list", "0-3\n"),
        ("sys/class/net/eth0/queues/tx-0/xps_cpus", "1\n"),
        ("sys/class/net/eth0/queues/tx-1/xps_cpus", "2\n"),
        // With a queue for each shard, nothing is spread.
        ("sys/class/net/eth0/queues/rx-0/rps_cpus", "00\n"),
    ] {
        assert_eq!(host.text(path).unwrap(), value, "{path}");
    }
    assert_eq!(host.tune("apply --nic eth0").steps, []);
    assert_eq!(host.tune("check --nic eth0").report.level(), Level::Ok);
    let reverted = host.tune("revert");
    assert_eq!(reverted.exit_code(), 0, "{}", reverted.report);
    assert_eq!(host.text("count").unwrap(), "1");
    assert_eq!(host.text("proc/irq/40/smp_affinity_list").unwrap(), "0-3\n");
}

#[test]
fn queues_that_somebody_changed_since_stay() {
    let host = card(1, "");
    host.tune("apply --nic eth0");
    host.put("count", "4");
    let reverted = host.tune("revert");
    says(&reverted, Level::Warn, "eth0 has 4 queues, which is not ours (2)");
    assert_eq!(host.text("count").unwrap(), "4");
    assert_eq!(host.text(STATE), None);
}

/// What is noted stays until it can be put back.
#[test]
fn a_revert_without_ethtool_forgets_nothing() {
    let host = card(1, "");
    host.tune("apply --nic eth0");
    let (ethtool, away) = (host.0.join("usr/sbin/ethtool"), host.0.join("ethtool"));
    std::fs::rename(&ethtool, &away).unwrap();
    says(&host.tune("revert"), Level::Fail, "install ethtool, and revert again");
    assert!(host.has(STATE, "\"nic\": \"eth0\""));
    std::fs::rename(&away, &ethtool).unwrap();
    assert_eq!(host.tune("revert").exit_code(), 0);
    assert_eq!((host.text("count").unwrap().as_str(), host.text(STATE)), ("1", None));
    // A card that is gone is no reason to keep its note.
    host.tune("apply --nic eth0");
    std::fs::remove_file(&ethtool).unwrap();
    std::fs::remove_dir_all(host.0.join("sys/class/net/eth0")).unwrap();
    says(&host.tune("revert"), Level::Warn, "eth0 is not there any more");
    assert_eq!(host.text(STATE), None);
}

#[test]
fn a_card_with_one_queue_lets_the_kernel_spread_packets() {
    let host = card(1, "");
    std::fs::remove_file(host.0.join("usr/sbin/ethtool")).unwrap();
    let outcome = host.tune("apply --nic eth0");
    assert_eq!(outcome.exit_code(), 0, "{}", outcome.report);
    let rx = "sys/class/net/eth0/queues/rx-0";
    let cpus = host.text(&format!("{rx}/rps_cpus")).unwrap();
    assert!(cpus != "00\n", "{cpus}");
    assert_eq!(host.text(&format!("{rx}/rps_flow_cnt")).unwrap(), "32768\n");
    assert_eq!(host.text("proc/sys/net/core/rps_sock_flow_entries").unwrap(), "32768\n");
    assert!(host.has(SYSCTL, "net.core.rps_sock_flow_entries = 32768"));
    assert_eq!(host.tune("apply --nic eth0").steps, []);
    // A mask of somebody's stays.
    host.put(&format!("{rx}/rps_cpus"), "04\n");
    assert_eq!(host.tune("apply --nic eth0").steps, []);
    says(&host.tune("revert"), Level::Warn, "rps_cpus is 04, which is not ours");
    assert_eq!(host.text(&format!("{rx}/rps_cpus")).unwrap(), "04\n");
    assert_eq!(host.tune("apply --nic eth1").exit_code(), 2);
    assert!(matches!(host.try_tune("apply --nic ../x"), Err(TuneError::Usage(_))));
}

#[test]
fn an_interrupt_that_somebody_has_placed_stays() {
    let host = card(2, "");
    host.put("proc/irq/41/smp_affinity_list", "3\n");
    let outcome = host.tune("apply --nic eth0");
    says(&outcome, Level::Warn, "interrupt 41 goes to CPU 3, wanted is 1; --force");
    assert_eq!(host.text("proc/irq/41/smp_affinity_list").unwrap(), "3\n");
    assert_eq!(host.text("proc/irq/40/smp_affinity_list").unwrap(), "0\n");
    assert_eq!(host.tune("apply --nic eth0 --force").exit_code(), 0);
    assert_eq!(host.text("proc/irq/41/smp_affinity_list").unwrap(), "1\n");
}

/// A folder in the place of the file's folder refuses to be written, for root as well.
#[test]
fn a_file_that_cannot_be_written_is_told_with_all_that_was_done() {
    let host = Fake::new();
    host.put("etc/sysctl.d", "no folder");
    let outcome = host.tune("apply");
    assert_eq!(outcome.exit_code(), 2);
    says(&outcome, Level::Fail, "/etc/sysctl.d/90-tutti.conf: ");
    assert_eq!(host.text(SOMAXCONN).unwrap(), "4096\n");
    assert!(outcome.text(Action::Apply).contains("net.core.somaxconn  128 -> 4096"));
    assert!(host.text(DROP_IN).is_some(), "the rest goes on");
    assert_eq!(host.tune("revert").exit_code(), 0);
    assert_eq!(host.text(SOMAXCONN).unwrap(), "128\n");
}

#[test]
fn irqbalance_is_stopped_only_when_told_to() {
    let host = card(
        2,
        "[ $1 != show ] || exit 1; echo \"$1 $2\" >>\"$root/said\"; rm -rf \"$root/proc/812\"",
    );
    let outcome = host.tune("apply --nic eth0");
    says(&outcome, Level::Warn, "--irqbalance");
    assert_eq!(host.text("proc/irq/40/smp_affinity_list").unwrap(), "0-3\n");
    assert!(!host.has("said", "stop"));
    host.tune("apply --nic eth0 --irqbalance");
    assert!(host.has("said", "stop irqbalance"));
    assert_eq!(host.text("proc/irq/40/smp_affinity_list").unwrap(), "0\n");
    host.tune("revert");
    assert!(host.has("said", "start irqbalance"));
    assert_eq!(host.text("proc/irq/40/smp_affinity_list").unwrap(), "0-3\n");
}

#[test]
fn what_cannot_be_written_is_told_and_not_noted() {
    let host = Fake::new();
    // A directory in its place refuses to be written, for root as well.
    let path = host.0.join(SOMAXCONN);
    host.tune("check");
    let fails = |host: &Fake| {
        let tuner_host = ThisHost::below(&host.0);
        write_value(&tuner_host, "/proc/sys/net/core", "1").unwrap_err()
    };
    assert!(!fails(&host).to_string().is_empty());
    assert!(write_value(&ThisHost::below(&host.0), "/proc/sys/net/core/new", "1").is_err());
    assert!(!path.with_file_name("new").exists(), "it never makes a file");
    // A driver that manages its interrupts itself refuses, and the rest goes on.
    let host = card(2, "");
    let broken = host.0.join("usr/sbin/ethtool");
    std::fs::write(&broken, "#!/bin/sh\ncase $1 in -l) printf 'Combined: 4\\nCombined: 1\\n';; *) echo no >&2; exit 1;; esac\n").unwrap();
    let outcome = host.tune("apply --nic eth0");
    assert_eq!(outcome.exit_code(), 2);
    says(&outcome, Level::Fail, "eth0 cannot be set to 2: no");
    assert!(!host.has(STATE, "\"nic\""));
    assert_eq!(host.text(SOMAXCONN).unwrap(), "4096\n");
}
