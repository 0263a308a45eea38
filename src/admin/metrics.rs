//! Prometheus text of what shards have counted. Labels are constants, so their number is bounded.

use crate::{
    control::ControlCounts,
    doors::Admissions,
    driver::Report,
    storage::{COMMIT_BUCKETS_US, Counts},
    uploads,
};
use std::fmt::Write;
use tutti_shards::{CommandKind, Ending, EventKind, Limit};

/// Upper ends of the buckets for turn times, microseconds.
const TURN_BUCKETS_US: [u64; 12] =
    [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000];

/// One metric of every shard.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&Report) -> u64,
}

macro_rules! metric {
    ($kind:literal $name:literal $help:literal $value:expr) => {
        Metric { name: $name, kind: $kind, help: $help, value: $value }
    };
}

const METRICS: &[Metric] = &[
    metric!("gauge" "connections" "Connections that finished their handshake." |r| r.gauges.connections),
    metric!("gauge" "sockets" "Sockets, those in their handshake or closing included." |r| r.driver.sockets),
    metric!("gauge" "channels" "Channels owned." |r| r.gauges.channels),
    metric!("gauge" "participants" "Participants of owned channels." |r| r.gauges.participants),
    metric!("gauge" "members" "Connections seated in a channel of any shard." |r| r.gauges.members),
    metric!("gauge" "hot_channels" "Owned channels whose fan-out is spread over the shards." |r| r.gauges.hot_channels),
    metric!("gauge" "users" "User records kept." |r| r.gauges.users),
    metric!("gauge" "nicks" "Nicks of line chat kept." |r| r.gauges.nicks),
    metric!("gauge" "directory_channels" "Channels in this shard's copy of the list. The same on all shards when nothing changes." |r| r.gauges.directory),
    metric!("gauge" "outbox_bytes" "Bytes waiting for connections that do not take them. Near limits.outbox_total_bytes, slow readers are closed earlier." |r| r.gauges.outbox_bytes),
    metric!("gauge" "slow_readers" "Connections that do not take what is sent at the moment." |r| r.gauges.blocked),
    metric!("gauge" "storage_waits" "Answers of the storage thread that the shard waits for." |r| r.gauges.storage_waits),
    metric!("gauge" "mesh_backlog" "Packets that wait for room in another shard's queue. Above 0 for long: that shard is overloaded." |r| r.driver.mesh_backlog),
    metric!("gauge" "mesh_inbox" "Packets that wait for this shard." |r| r.driver.mesh_inbox),
    metric!("counter" "opened_total" "Connections opened." |r| r.stats.opened),
    metric!("counter" "accepted_total" "Sockets accepted." |r| r.driver.accepted),
    metric!("counter" "accept_failures_total" "Accepts that failed for want of descriptors or memory. Any is worth an alert." |r| r.driver.accept_failures),
    metric!("counter" "pages_total" "Pages and files served." |r| r.driver.pages),
    metric!("counter" "bytes_received_total" "Bytes received from connections." |r| r.stats.bytes_received),
    metric!("counter" "bytes_sent_total" "Bytes sent to connections." |r| r.stats.bytes_sent),
    metric!("counter" "sends_total" "Send calls." |r| r.stats.sends),
    metric!("counter" "messages_sent_total" "Messages that those calls carried: divided by sends, messages per send." |r| r.stats.messages_sent),
    metric!("counter" "handovers_out_total" "Connections handed to another shard." |r| r.stats.handed_over),
    metric!("counter" "handovers_in_total" "Connections taken over from another shard." |r| r.stats.adopted),
    metric!("counter" "channels_created_total" "Channels created." |r| r.stats.channels_created),
    metric!("counter" "promotions_total" "Channels that became hot." |r| r.stats.promotions),
    metric!("counter" "demotions_total" "Channels that cooled." |r| r.stats.demotions),
    metric!("counter" "relay_batches_total" "Batches of messages sent to shards that relay a channel." |r| r.stats.relay_batches),
    metric!("counter" "cursors_merged_total" "Cursor moves replaced by newer ones before they were sent." |r| r.stats.cursors_merged),
    metric!("counter" "cursors_held_total" "Ticks at which a channel's cursor moves were kept back (mesh.backlog_mark)." |r| r.stats.cursors_held),
    metric!("counter" "cursors_shed_total" "Cursor moves not sent to slow readers." |r| r.stats.cursors_shed),
    metric!("counter" "storage_late_total" "Times life went on without an answer of the storage thread (storage.patience_ms). Any is worth an alert." |r| r.stats.storage_late),
    metric!("counter" "mesh_packets_total" "Packets sent to other shards." |r| r.driver.mesh_sent),
    metric!("counter" "mesh_wakes_total" "Other shards woken." |r| r.driver.mesh_wakes),
    metric!("gauge" "quic_connections" "QUIC connections, those that shake hands or end included." |r| r.driver.quic.endpoint.connections),
    metric!("gauge" "quic_handshakes" "QUIC handshakes going on. Above quic.retry_above clients have to show their address first, above quic.ignore_above they are not answered." |r| r.driver.quic.endpoint.handshakes_now),
    metric!("counter" "quic_handshakes_total" "QUIC handshakes begun." |r| r.driver.quic.endpoint.handshakes),
    metric!("counter" "quic_connected_total" "QUIC handshakes completed." |r| r.driver.quic.endpoint.connected),
    metric!("counter" "quic_handshakes_failed_total" "QUIC handshakes that broke a rule, or that the client gave up." |r| r.driver.quic.endpoint.handshakes_failed),
    metric!("counter" "quic_handshakes_slow_total" "QUIC handshakes that took longer than quic.handshake_ms. Many at once: a flood of half-open ones." |r| r.driver.quic.endpoint.handshakes_slow),
    metric!("counter" "quic_retries_total" "QUIC clients that had to show first that their address is their own." |r| r.driver.quic.endpoint.retries),
    metric!("counter" "quic_refused_total" "QUIC connections refused for a limit of connections." |r| r.driver.quic.endpoint.refused),
    metric!("counter" "quic_ignored_total" "First datagrams of QUIC clients that were not answered (quic.ignore_above)." |r| r.driver.quic.endpoint.ignored),
    metric!("counter" "quic_datagrams_received_total" "Datagrams received." |r| r.driver.quic.endpoint.datagrams_received),
    metric!("counter" "quic_datagrams_sent_total" "Datagrams sent." |r| r.driver.quic.endpoint.datagrams_sent),
    metric!("counter" "quic_withheld_total" "Datagrams not sent because their address had not shown that it hears us and had sent less than a third of it. Many: somebody moves connections to addresses that are not theirs." |r| r.driver.quic.endpoint.datagrams_withheld),
    metric!("counter" "quic_receive_calls_total" "System calls that received datagrams." |r| r.driver.quic.socket.receive_calls),
    metric!("counter" "quic_send_calls_total" "System calls that sent datagrams: divided by those sent, calls a datagram." |r| r.driver.quic.socket.send_calls),
    metric!("counter" "quic_send_blocked_total" "Times the socket of datagrams had no room. Often: raise quic.send_buffer_bytes." |r| r.driver.quic.socket.send_blocked),
    metric!("counter" "quic_send_failures_total" "Datagrams that the system would not take, probes for longer ones among them." |r| r.driver.quic.socket.send_failures),
    metric!("counter" "quic_foreign_total" "Datagrams that belong to no connection of this server. Many: somebody sends noise." |r| r.driver.quic.endpoint.datagrams_foreign),
    metric!("counter" "quic_replies_total" "Answers to datagrams without a connection: versions, resets, refusals." |r| r.driver.quic.endpoint.replies),
    metric!("counter" "quic_forwards_out_total" "Datagrams sent on to the shard that has their connection." |r| r.driver.quic.endpoint.forwards_sent),
    metric!("counter" "quic_forwards_in_total" "Datagrams that came by another shard." |r| r.driver.quic.endpoint.forwards_received),
    metric!("counter" "quic_forwards_dropped_total" "Datagrams not sent on because too many waited. Any for long: that shard is overloaded." |r| r.driver.quic.endpoint.forwards_dropped),
    metric!("counter" "quic_moves_total" "QUIC clients that went on from another address." |r| r.driver.quic.endpoint.moves),
    metric!("gauge" "quic_sessions" "QUIC sessions, those that are not logged in included." |r| r.driver.quic.sessions.sessions),
    metric!("gauge" "quic_hot_streams" "Busy rooms that have a stream of their own, over all QUIC sessions (quic.hot_rooms)." |r| r.driver.quic.sessions.hot_streams),
    metric!("counter" "quic_throttled_total" "Commands of QUIC clients refused for a rate (quic.message_rate and others)." |r| r.driver.quic.sessions.throttled),
    metric!("counter" "turns_total" "Rounds of the shard's loop." |r| r.driver.turns),
    metric!("counter" "sleeps_total" "Times the shard slept." |r| r.driver.sleeps),
    metric!("counter" "flushes_delayed_total" "Flushes put off to send more at once." |r| r.driver.flushes_delayed),
    metric!("counter" "decode_panics_total" "Panics while a peer's bytes were decoded: a bug. Any is worth an alert and a report." |r| r.driver.decode_panics),
];

/// Renders everything.
pub(super) fn render(
    reports: &[Report],
    admissions: &Admissions,
    storage: &Counts,
    operator: &ControlCounts,
) -> String {
    let mut out = String::with_capacity(16 << 10);
    for Metric { name, kind, help, value } in METRICS {
        head(&mut out, name, kind, help);
        for report in reports {
            line(&mut out, name, report, "", value(report));
        }
    }
    by_label(
        &mut out,
        reports,
        "commands_total",
        "Commands from peers, by kind.",
        "kind",
        CommandKind::LABELS,
        |r| &r.stats.commands,
    );
    by_label(
        &mut out,
        reports,
        "events_total",
        "Messages for peers, one for each receiver, by kind.",
        "kind",
        EventKind::LABELS,
        |r| &r.stats.events,
    );
    by_label(
        &mut out,
        reports,
        "limit_hits_total",
        "Times a limit was hit. Sudden growth of one is worth a look at who.",
        "limit",
        Limit::LABELS,
        |r| &r.stats.limits,
    );
    for report in reports {
        for (limit, count) in &report.driver.limits {
            line(&mut out, "limit_hits_total", report, &format!(",limit=\"{limit}\""), *count);
        }
    }
    by_label(
        &mut out,
        reports,
        "closed_total",
        "Connections that ended, by reason.",
        "reason",
        Ending::LABELS,
        |r| &r.stats.endings,
    );
    head(
        &mut out,
        "refused_total",
        "counter",
        "Connections answered and closed before they were opened, by reason.",
    );
    for report in reports {
        for (reason, count) in &report.driver.refused {
            line(&mut out, "refused_total", report, &format!(",reason=\"{reason}\""), *count);
        }
    }
    head(
        &mut out,
        "faults_total",
        "counter",
        "Connections that broke their protocol or its limits, by reason.",
    );
    for report in reports {
        for (reason, count) in &report.driver.faults {
            line(&mut out, "faults_total", report, &format!(",reason=\"{reason}\""), *count);
        }
    }
    head(
        &mut out,
        "quic_closes_total",
        "counter",
        "QUIC sessions closed from here, by close code. 0x09 are floods, 0x0a slow readers; 0x0d is a bug of ours.",
    );
    for report in reports {
        for (code, count) in report.driver.quic.sessions.closes.iter().enumerate() {
            let label = format!(",code=\"{code:#04x}\"");
            line(&mut out, "quic_closes_total", report, &label, *count);
        }
    }
    frames(&mut out, reports);
    turn_times(&mut out, reports);
    stored(&mut out, storage);
    process(&mut out, admissions);
    operated(&mut out, &admissions.mpp, operator);
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP tutti_{name} {help}\n# TYPE tutti_{name} {kind}");
}

fn line(out: &mut String, name: &str, report: &Report, labels: &str, value: u64) {
    let _ = writeln!(out, "tutti_{name}{{shard=\"{}\"{labels}}} {value}", report.shard.0);
}

fn by_label<const N: usize>(
    out: &mut String,
    reports: &[Report],
    name: &str,
    help: &str,
    label: &str,
    values: &[&str],
    counts: fn(&Report) -> &[u64; N],
) {
    head(out, name, "counter", help);
    for report in reports {
        for (value, count) in values.iter().zip(counts(report)) {
            line(out, name, report, &format!(",{label}=\"{value}\""), *count);
        }
    }
}

/// Frames of the QUIC door by type, those of which there were any.
fn frames(out: &mut String, reports: &[Report]) {
    let directions = [
        (
            "quic_frames_in_total",
            "Frames of QUIC clients, by type; \"other\" are types that mean nothing.",
        ),
        (
            "quic_frames_out_total",
            "Frames to QUIC clients, by type, whether or not they have left yet.",
        ),
    ];
    for (at, (name, help)) in directions.into_iter().enumerate() {
        head(out, name, "counter", help);
        for report in reports {
            for &(kind, came, went) in &report.driver.quic.sessions.frames {
                let kind = kind.map_or_else(|| "other".to_owned(), |kind| format!("{kind:#04x}"));
                let count = if at == 0 { came } else { went };
                line(out, name, report, &format!(",type=\"{kind}\""), count);
            }
        }
    }
}

fn turn_times(out: &mut String, reports: &[Report]) {
    head(
        out,
        "turn_seconds",
        "histogram",
        "How long rounds of a shard's loop took. Above 0.01 people notice.",
    );
    for report in reports {
        let (shard, turns) = (report.shard.0, &report.driver.turn_us);
        for end in TURN_BUCKETS_US {
            let (count, end) = (turns.count_between(0, end), end as f64 / 1e6);
            let _ = writeln!(
                out,
                "tutti_turn_seconds_bucket{{shard=\"{shard}\",le=\"{end}\"}} {count}"
            );
        }
        let (count, sum) = (turns.len(), turns.mean() * turns.len() as f64 / 1e6);
        let _ = writeln!(out, "tutti_turn_seconds_bucket{{shard=\"{shard}\",le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "tutti_turn_seconds_sum{{shard=\"{shard}\"}} {sum}");
        let _ = writeln!(out, "tutti_turn_seconds_count{{shard=\"{shard}\"}} {count}");
    }
}

fn stored(out: &mut String, storage: &Counts) {
    let metrics: [(&str, &str, &str, u64); 9] = [
        (
            "storage_queue",
            "gauge",
            "Writes and questions that wait for the storage thread.",
            storage.queued,
        ),
        ("storage_queue_max", "gauge", "Most that may wait (storage.queue).", storage.queue_max),
        (
            "storage_failing",
            "gauge",
            "1 while the disk refuses writes. Worth an alert: what is not kept is lost at a restart.",
            storage.failing.into(),
        ),
        ("storage_batches_total", "counter", "Transactions committed.", storage.batches),
        ("storage_writes_total", "counter", "Writes that they held.", storage.writes),
        ("storage_reads_total", "counter", "Questions answered.", storage.reads),
        (
            "storage_errors_total",
            "counter",
            "Writes, commits and questions that failed.",
            storage.errors,
        ),
        (
            "storage_dropped_total",
            "counter",
            "Writes for which there was no room, or that could not be made: lost. Any is worth an alert.",
            storage.dropped,
        ),
        (
            "storage_file_bytes",
            "gauge",
            "Size of the database and its log.",
            storage.file_bytes.unwrap_or(0),
        ),
    ];
    singles(out, &metrics);
    head(
        out,
        "storage_commit_seconds",
        "histogram",
        "How long commits took, the disk's part of it included.",
    );
    let mut count = 0;
    for (end, commits) in COMMIT_BUCKETS_US.iter().zip(storage.commits) {
        count += commits;
        let end = *end as f64 / 1e6;
        let _ = writeln!(out, "tutti_storage_commit_seconds_bucket{{le=\"{end}\"}} {count}");
    }
    let (all, sum) = (storage.commits.iter().sum::<u64>(), storage.commit_us as f64 / 1e6);
    let _ = writeln!(out, "tutti_storage_commit_seconds_bucket{{le=\"+Inf\"}} {all}");
    let _ = writeln!(out, "tutti_storage_commit_seconds_sum {sum}");
    let _ = writeln!(out, "tutti_storage_commit_seconds_count {all}");
}

/// Metrics of one value each: name, kind, help and value.
fn singles(out: &mut String, metrics: &[(&str, &str, &str, u64)]) {
    for (name, kind, help, value) in metrics {
        head(out, name, kind, help);
        let _ = writeln!(out, "tutti_{name} {value}");
    }
}

/// The files that people send, where they are taken.
pub(super) fn uploads(out: &mut String, counts: &uploads::Counts) {
    let metrics = [
        ("uploads_files", "gauge", "Files that are kept.", counts.files),
        (
            "uploads_unattached",
            "gauge",
            "Of these, those that no message shows; each goes after uploads.unattached_ms.",
            counts.unseen,
        ),
        (
            "uploads_bytes",
            "gauge",
            "What files, and uploads on their way, count against uploads.total_bytes.",
            counts.bytes,
        ),
        (
            "uploads_bytes_max",
            "gauge",
            "Most that they may (uploads.total_bytes). When it is reached and messages show all of them, nothing more is taken.",
            counts.bytes_max,
        ),
        (
            "uploads_in_progress",
            "gauge",
            "Uploads on their way. At uploads.at_once further ones are refused.",
            counts.live,
        ),
        (
            "uploads_interrupted",
            "gauge",
            "Uploads whose connections were lost, and that can be gone on with.",
            counts.interrupted,
        ),
        ("uploads_queue", "gauge", "Requests that wait for the thread of uploads.", counts.waiting),
        ("uploads_completed_total", "counter", "Uploads that were completed.", counts.kept),
        (
            "uploads_expired_total",
            "counter",
            "Files that went because their time was over.",
            counts.expired,
        ),
        (
            "uploads_received_bytes_total",
            "counter",
            "Bytes of files that people sent.",
            counts.received_bytes,
        ),
        (
            "uploads_sent_bytes_total",
            "counter",
            "Bytes of files that were read for downloads.",
            counts.sent_bytes,
        ),
        (
            "uploads_links_opened_total",
            "counter",
            "Requests over HTTP for a file by its address (uploads.public_url).",
            counts.opened,
        ),
        (
            "uploads_links_wrong_total",
            "counter",
            "Requests over HTTP by an address that no file has (any more). Many more than opened: somebody is guessing, in vain.",
            counts.not_opened,
        ),
    ];
    singles(out, &metrics);
    head(
        out,
        "uploads_refused_total",
        "counter",
        "Uploads refused or given up, by reason. disk_full and disk are worth an alert, total_quota a look at uploads.total_bytes.",
    );
    for (reason, count) in &counts.refused {
        let _ = writeln!(out, "tutti_uploads_refused_total{{reason=\"{reason}\"}} {count}");
    }
}

/// What operators did, and whom the gate turned away.
fn operated(out: &mut String, admission: &crate::admission::Admission, operator: &ControlCounts) {
    let gate = admission.gate().counts();
    let [requests, failures, refused, long_lines, mutes] = operator.read();
    for (name, kind, help, value) in [
        ("site_bans", "gauge", "Bans from the whole server.", gate.bans as u64),
        (
            "panic_level",
            "gauge",
            "The panic level. Above 0 for long: somebody forgot.",
            gate.panic.into(),
        ),
        (
            "banned_refused_total",
            "counter",
            "Connections and hellos of the banned.",
            gate.refused_banned,
        ),
        (
            "panic_limited_total",
            "counter",
            "Connections over panic.connections_per_second.",
            gate.refused_limited,
        ),
        (
            "panic_closed_total",
            "counter",
            "Connections while nobody is let in.",
            gate.refused_closed,
        ),
        ("control_requests_total", "counter", "Requests on the control socket.", requests),
        ("control_failures_total", "counter", "Those that were not done.", failures),
        (
            "control_peers_refused_total",
            "counter",
            "Control connections over control.peers.",
            refused,
        ),
        (
            "control_long_lines_total",
            "counter",
            "Control lines over control.line_bytes.",
            long_lines,
        ),
        ("mutes_total", "counter", "Mutes given by operators.", mutes),
    ] {
        head(out, name, kind, help);
        let _ = writeln!(out, "tutti_{name} {value}");
    }
}

fn process(out: &mut String, admissions: &Admissions) {
    let counts = admissions.mpp.counts();
    let line = admissions.line.counts();
    let quic = admissions.quic.counts();
    head(out, "door_sockets", "gauge", "Sockets of each door, those in their greeting included.");
    for (door, counts) in [("mpp", &counts), ("line", &line), ("quic", &quic)] {
        let _ = writeln!(out, "tutti_door_sockets{{door=\"{door}\"}} {}", counts.connections);
    }
    for (name, count, what) in [
        (
            "quic_login_failures_total",
            quic.wrong_passwords,
            "Failed logins over QUIC. A rise: somebody tries out tokens.",
        ),
        (
            "quic_logins_refused_total",
            quic.ignored_passwords,
            "Logins over QUIC refused because too many of the address had failed (quic.login_failures).",
        ),
    ] {
        head(out, name, "counter", what);
        let _ = writeln!(out, "tutti_{name} {count}");
    }
    head(out, "admitted_sockets", "gauge", "Sockets that count against limits.connections.");
    let _ = writeln!(out, "tutti_admitted_sockets {}", counts.connections);
    head(
        out,
        "addresses",
        "gauge",
        "Client addresses with connections that count for their address.",
    );
    let _ = writeln!(out, "tutti_addresses {}", counts.addresses);
    for (name, help, count) in [
        ("wrong_passwords_total", "Wrong staff passwords.", counts.wrong_passwords),
        (
            "ignored_passwords_total",
            "Staff passwords ignored because the address had too many wrong ones (admin.guesses).",
            counts.ignored_passwords,
        ),
    ] {
        head(out, name, "counter", help);
        let _ = writeln!(out, "tutti_{name} {count}");
    }
    head(out, "build_info", "gauge", "The version, as a label.");
    let _ = writeln!(out, "tutti_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    if let Some(bytes) = resident_bytes() {
        head(out, "process_resident_memory_bytes", "gauge", "Resident memory.");
        let _ = writeln!(out, "tutti_process_resident_memory_bytes {bytes}");
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
