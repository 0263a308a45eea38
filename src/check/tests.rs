use super::*;
use crate::config::{HostCpus, RawConfig};
use std::collections::HashMap;
use std::path::Path;

/// A host made up for a test. Everything is fit unless the test says otherwise.
struct Fake {
    texts: HashMap<&'static str, &'static str>,
    ring: Result<(), RingFailure>,
    descriptors: Limit,
    locked_memory: Limit,
    bind: Option<io::ErrorKind>,
    writable: Option<io::ErrorKind>,
}

fn fake() -> Fake {
    let many = Limit { soft: Some(1024), hard: Some(1 << 20) };
    let locked_memory = Limit { soft: Some(8 << 20), hard: Some(8 << 20) };
    let texts = [
        ("/proc/sys/kernel/osrelease", "6.12.3-generic\n"),
        ("/proc/sys/kernel/io_uring_disabled", "0\n"),
        ("/proc/self/status", "Name:\ttutti\nSeccomp:\t0\nSeccomp_filters:\t0\n"),
        ("/proc/sys/net/core/somaxconn", "4096\n"),
        ("/proc/sys/net/ipv4/tcp_max_syn_backlog", "4096\n"),
        ("/proc/sys/net/ipv4/tcp_mem", "100\t200\t300\n"),
        (
            "/proc/net/sockstat",
            "sockets: used 9\nTCP: inuse 1 orphan 0 tw 0 alloc 2 mem 7\nUDP: mem 0\n",
        ),
    ];
    Fake {
        texts: texts.into(),
        ring: Ok(()),
        descriptors: many,
        locked_memory,
        bind: None,
        writable: None,
    }
}

impl Host for Fake {
    fn text(&self, path: &str) -> Option<String> {
        self.texts.get(path).map(|text| (*text).to_owned())
    }
    fn names(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
    fn ring(&self) -> Result<(), RingFailure> {
        self.ring.clone()
    }
    fn descriptors(&self) -> Limit {
        self.descriptors
    }
    fn locked_memory(&self) -> Limit {
        self.locked_memory
    }
    fn allowed_cpus(&self) -> Vec<usize> {
        vec![0, 1, 2, 5]
    }
    fn bind(&self, _: SocketAddr) -> io::Result<()> {
        self.bind.map_or(Ok(()), |kind| Err(kind.into()))
    }
    fn writable(&self, _: &Path) -> io::Result<()> {
        self.writable.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

fn config(settings: &str) -> Config {
    let mut raw = RawConfig::default();
    raw.add_file("t.toml", settings).unwrap();
    raw.add_text("mode", "production", crate::config::Origin::Default).unwrap();
    Config::new(&raw, &HostCpus { allowed: vec![0, 1, 2, 5], parallelism: 4 }).unwrap()
}

fn refused(errno: rustix::io::Errno, change: impl Fn(&mut Fake)) -> Refusal {
    let mut host = fake();
    host.ring = Err(RingFailure::Errno(errno.raw_os_error()));
    change(&mut host);
    let refusal = probe_io_uring(&host).unwrap_err();
    let unfit = ready_to_start(&config(""), &host, false).unwrap_err().to_string();
    assert!(unfit.contains(&refusal.to_string()) && unfit.contains(refusal.remedy()), "{unfit}");
    assert_eq!(Report::new(&config(""), &host).exit_code(), 2);
    refusal
}

#[test]
fn fit_host_is_fit() {
    let report = Report::new(&config(""), &fake());
    assert_eq!((report.level(), report.exit_code()), (Level::Ok, 0), "{report}");
    assert_eq!(ready_to_start(&config(""), &fake(), false), Ok(()));
    assert!(report.to_string().contains("ok    cpus          0-2,5 of 0-2,5"), "{report}");
}

#[test]
fn each_refusal_of_io_uring_is_told_from_the_others() {
    use rustix::io::Errno;
    let set = |path: &'static str, text: &'static str| {
        move |host: &mut Fake| {
            host.texts.insert(path, text);
        }
    };
    let release = "/proc/sys/kernel/osrelease";
    let disabled = "/proc/sys/kernel/io_uring_disabled";
    let filter = set("/proc/self/status", "Name:\tx\nSeccomp:\t2\n");

    let old = refused(Errno::NOSYS, set(release, "4.19.0-27-amd64\n"));
    assert_eq!(old, Refusal::KernelTooOld { release: "4.19.0-27-amd64".into() });
    assert!(matches!(refused(Errno::INVAL, set(release, "5.4.0")), Refusal::KernelTooOld { .. }));
    assert!(matches!(refused(Errno::NOSYS, |_| {}), Refusal::CompiledOut { .. }));
    assert_eq!(refused(Errno::NOSYS, filter), Refusal::Seccomp);
    assert_eq!(refused(Errno::PERM, filter), Refusal::Seccomp);
    assert_eq!(refused(Errno::PERM, set(disabled, "2\n")), Refusal::DisabledForAll);
    assert_eq!(refused(Errno::PERM, set(disabled, "1\n")), Refusal::DisabledForMost);
    assert_eq!(refused(Errno::PERM, |_| {}), Refusal::Other { errno: Errno::PERM.raw_os_error() });
    let locked = |host: &mut Fake| host.locked_memory.soft = Some(65_536);
    let memlock = refused(Errno::NOMEM, locked);
    assert_eq!(memlock, Refusal::Memlock { soft: 65_536 });
    assert!(memlock.to_string().contains("64 KiB"));
    // The kernel may make a ring that the runtime then refuses.
    let mut little = fake();
    little.locked_memory.soft = Some((512 << 10) - 1);
    assert!(matches!(probe_io_uring(&little), Err(Refusal::Memlock { .. })));
    little.locked_memory.soft = Some(512 << 10);
    assert_eq!(probe_io_uring(&little), Ok(()));
    let unlimited = |host: &mut Fake| host.locked_memory.soft = None;
    assert!(matches!(refused(Errno::NOMEM, unlimited), Refusal::Other { .. }));
    assert_eq!(refused(Errno::MFILE, |_| {}), Refusal::Descriptors);

    let mut lacking = fake();
    lacking.ring = Err(RingFailure::Missing(vec!["STATX"]));
    assert!(matches!(probe_io_uring(&lacking), Err(Refusal::KernelTooOld { .. })));
    // A host that says nothing of itself still gets an answer.
    let mut silent = fake();
    silent.texts.clear();
    silent.ring = Err(RingFailure::Errno(Errno::NOSYS.raw_os_error()));
    assert!(matches!(probe_io_uring(&silent), Err(Refusal::CompiledOut { .. })));
    assert_eq!(Report::new(&config(""), &silent).exit_code(), 2);
}

#[track_caller]
fn finds(settings: &str, host: &Fake, name: &str, level: Level, words: &str) {
    let report = Report::new(&config(settings), host);
    let found = report.findings.iter().filter(|finding| finding.name == name);
    let shown: Vec<_> = found.map(|f| (f.level, format!("{f:?}"))).collect();
    assert!(
        shown.iter().any(|(found, text)| *found == level && text.contains(words)),
        "{name}: {shown:?}"
    );
}

#[test]
fn settings_beyond_the_host_are_found() {
    finds("cpus = \"1,3-5\"", &fake(), "cpus", Level::Fail, "CPU 3-4");
    finds("cpus = \"1,3-5\"", &fake(), "cpus", Level::Fail, "--cpus 0-2,5");
    finds("shards = 5", &fake(), "shards", Level::Warn, "--shards 4");
    finds("shards = 4", &fake(), "shards", Level::Ok, "4 on 4");
    finds("listen_backlog = 4097", &fake(), "somaxconn", Level::Warn, "net.core.somaxconn=4097");
    finds("listen_backlog = 4097", &fake(), "syn backlog", Level::Warn, "tcp_max_syn_backlog=4097");
    finds("listen_backlog = 4096", &fake(), "somaxconn", Level::Ok, "4096");
}

#[test]
fn settings_follow_what_the_host_shows() {
    // Packets that the kernel could not take, in hexadecimal columns: processed, dropped, squeezed.
    let mut host = fake();
    host.texts.insert("/proc/sys/net/core/netdev_max_backlog", "1000\n");
    host.texts.insert("/proc/sys/net/core/netdev_budget", "300\n");
    host.texts.insert("/proc/net/softnet_stat", "0000ffff 00000000 00000001 0\nff 0 0\n");
    assert!(!Report::new(&config(""), &host).to_string().contains("netdev"));
    host.texts.insert("/proc/net/softnet_stat", "0000ffff 00000001 000000ff 0\nff 0 0\n");
    finds("", &host, "netdev backlog", Level::Warn, "netdev_max_backlog=5000");
    finds("", &host, "netdev budget", Level::Warn, "netdev_budget=600");
    // Ports of a proxy on this host.
    host.texts.insert("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
    assert!(!Report::new(&config(""), &host).to_string().contains("local ports"));
    let proxy = "trusted_proxies = \"127.0.0.1\"";
    finds(proxy, &host, "local ports", Level::Warn, "wanted is 10240 65535");
    let few = format!("{proxy}\nlimits.connections = 20000");
    finds(&few, &host, "local ports", Level::Ok, "32768 60999");
    // Buffers of datagrams, where there are any.
    host.texts.insert("/proc/sys/net/core/rmem_max", "212992\n");
    assert!(!Report::new(&config(""), &host).to_string().contains("rmem_max"));
    let quic = "quic.listen = \"127.0.0.1:4433\"\nquic.names = true";
    finds(quic, &host, "rmem_max", Level::Warn, "net.core.rmem_max=4194304");
    // A hardened host is told of only when io_uring does not work there.
    host.texts.insert("/proc/sys/kernel/io_uring_disabled", "1\n");
    finds("", &host, "io_uring", Level::Ok, "works");
    assert!(
        shortfalls(&config("limits.connections = 20000"), &host)
            .iter()
            .all(|f| f.name != "io_uring")
    );
    host.ring = Err(RingFailure::Errno(1));
    finds("", &host, "io_uring", Level::Warn, "kernel.io_uring_disabled=0");
}

#[test]
fn each_kind_of_wish_only_raises_and_never_guesses() {
    let better = |wanted: Wanted, found: &str| match wanted.better(found) {
        Ok(better) => better.unwrap_or_else(|| "fits".to_owned()),
        Err(_) => "strange".to_owned(),
    };
    for (wanted, found, expected) in [
        (Wanted::AtLeast(5), "4", "5"),
        (Wanted::AtLeast(5), "5", "fits"),
        (Wanted::AtLeast(5), "6", "fits"),
        (Wanted::AtLeast(5), "", "strange"),
        (Wanted::AtLeast(5), "-1", "strange"),
        (Wanted::AtLeast(5), "5 5", "strange"),
        (Wanted::Switch(0), "1", "0"),
        (Wanted::Switch(0), "0", "fits"),
        (Wanted::Three([1, 5, 9]), "2\t3 10", "2 5 10"),
        (Wanted::Three([1, 5, 9]), "1 5 9", "fits"),
        (Wanted::Three([1, 5, 9]), "1 5", "strange"),
        (Wanted::FirstAtMost(4), "5 6 7", "4 6 7"),
        (Wanted::FirstAtMost(4), "4 6 7", "fits"),
        (Wanted::Range(10, 20), "15 30", "10 30"),
        (Wanted::Range(10, 20), "5 30", "fits"),
    ] {
        assert_eq!(better(wanted, found), expected, "{wanted} of {found:?}");
    }
}

#[test]
fn tcp_memory_under_pressure_is_found() {
    let mut host = fake();
    host.texts.insert("/proc/net/sockstat", "TCP: inuse 1 orphan 0 tw 0 alloc 2 mem 140\n");
    finds("", &host, "tcp memory", Level::Warn, "300 450 600");
    host.texts.insert("/proc/net/sockstat", "TCP: inuse 1 orphan 0 tw 0 alloc 2 mem 139\n");
    finds("", &host, "tcp memory", Level::Ok, "139 pages");
    host.texts.insert("/proc/net/sockstat", "TCP: mem");
    finds("", &host, "tcp memory", Level::Ok, "not told");
}

#[test]
fn descriptors_are_counted_and_connections_capped() {
    let settings = "shards = 1\nlimits.connections = 1000";
    let needed = descriptors_needed(&config(settings)).unwrap();
    let mut host = fake();
    host.descriptors.hard = Some(needed);
    finds(settings, &host, "descriptors", Level::Ok, "raised at start");
    host.descriptors.hard = Some(needed - 1);
    finds(settings, &host, "descriptors", Level::Warn, "999 connections fit");
    finds("limits.enabled = false", &host, "descriptors", Level::Ok, "allowed");

    let soft = |soft| Limit { soft, hard: soft };
    let mut config = config(settings);
    assert_eq!(cap_connections(&mut config, soft(None)), []);
    assert_eq!(cap_connections(&mut config, soft(Some(needed))), []);
    let lowered = cap_connections(&mut config, soft(Some(needed - 1)));
    assert_eq!(lowered, [("line.connections", 199)], "a tenth of the 1999 that are left");
    config.line.connections = Some(1000);
    let lowered = cap_connections(&mut config, soft(Some(needed - 1000)));
    assert_eq!(lowered, [("line.connections", 100), ("limits.connections", 900)]);
    config.limits.connections = None;
    assert_eq!(cap_connections(&mut config, soft(Some(needed))), [("limits.connections", 1900)]);
    let lowered = cap_connections(&mut config, soft(Some(0)));
    assert_eq!(lowered, [("line.connections", 1), ("limits.connections", 1)]);
}

#[test]
fn addresses_and_directories_that_cannot_be_used_are_found() {
    let with = |kind| Fake { bind: Some(kind), ..fake() };
    finds("", &with(io::ErrorKind::AddrInUse), "listen", Level::Fail, "sport = :8080");
    finds("", &with(io::ErrorKind::AddrInUse), "admin.listen", Level::Fail, "sport = :9090");
    let low = "listen = \"0.0.0.0:80\"";
    finds(low, &with(io::ErrorKind::PermissionDenied), "listen", Level::Fail, "port_start=80");
    finds("", &with(io::ErrorKind::AddrNotAvailable), "listen", Level::Fail, "ip address");
    let host = Fake { writable: Some(io::ErrorKind::PermissionDenied), ..fake() };
    finds("", &host, "data", Level::Fail, "--data");
    finds("data = \"memory\"", &host, "data", Level::Ok, "memory");
    assert!(ready_to_start(&config(""), &host, false).is_err());
}

#[test]
fn warnings_of_the_configuration_are_findings() {
    let report = Report::new(&config("data = \"memory\""), &fake());
    assert_eq!(report.exit_code(), 1);
    finds("data = \"memory\"", &fake(), "configuration", Level::Warn, "salt1");
}

#[test]
fn json_says_the_same() {
    let report = Report::new(&config("shards = 9"), &fake());
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["level"], "warn");
    let findings = json["findings"].as_array().unwrap();
    assert_eq!(findings.len(), report.findings.len());
    let shards = findings.iter().find(|finding| finding["name"] == "shards").unwrap();
    assert_eq!(
        (&shards["level"], &shards["remedy"]),
        (&"warn".into(), &"--shards 4, or --shards auto".into())
    );

    let mut raw = RawConfig::default();
    let error = raw.add_file("t.toml", "nonsense = 1").unwrap_err();
    assert_eq!(Report::of_error(&error).exit_code(), 2);
}

#[test]
fn this_host_answers() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    assert_eq!(ThisHost::default().bind(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert!(ThisHost::default().bind("127.0.0.1:0".parse().unwrap()).is_ok());
    assert!(
        ThisHost::default().writable(&std::env::temp_dir().join("tutti-not/there/yet")).is_ok()
    );
    assert!(ThisHost::default().writable(Path::new("/proc/self/status/below")).is_err());
    assert!(!ThisHost::default().allowed_cpus().is_empty());
    assert!(ThisHost::default().text("/proc/sys/kernel/osrelease").is_some());
    let raised = raise_descriptors().unwrap();
    assert_eq!(ThisHost::default().descriptors(), raised);
    // Whatever this host is, the probe gives an answer that can be shown.
    if let Err(refusal) = probe_io_uring(&ThisHost::default()) {
        assert!(!refusal.to_string().is_empty() && !refusal.remedy().is_empty());
    }
}
