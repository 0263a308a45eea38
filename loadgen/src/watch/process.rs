//! What `/proc` says about a process and the machine.

use std::fs;
use std::io;

/// Memory of a process as `/proc/PID/status` shows it, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Everything resident (`VmRSS`).
    pub(crate) rss: u64,
    /// The anonymous part (`RssAnon`): heap and stacks, without the program file's pages.
    pub(crate) anon: u64,
}

/// User and system CPU time of all threads of `pid`, living and ended, in nanoseconds. The same sum
/// as `utime + stime` in `/proc/PID/stat`, but not rounded to 10 ms.
///
/// # Errors
/// When there is no such process.
pub(crate) fn cpu_ns(pid: u32) -> io::Result<u64> {
    let missing = |_| io::Error::new(io::ErrorKind::InvalidInput, "no such process id");
    let pid = libc::pid_t::try_from(pid).map_err(missing)?;
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is a live, writable clockid_t.
    let failed = unsafe { libc::clock_getcpuclockid(pid, &mut clock) };
    if failed != 0 {
        return Err(io::Error::from_raw_os_error(failed));
    }
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a live, writable timespec, and `clock` came from the call above.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// How long the threads of `pid` were ready to run while something else had their core, in
/// nanoseconds since they started. When this grows during a run, the run was disturbed.
///
/// # Errors
/// When there is no such process.
pub(crate) fn run_queue_wait_ns(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the two reads.
        let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += stat.split_whitespace().nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0);
    }
    Ok(sum)
}

/// Resident memory of `pid`.
///
/// # Errors
/// When there is no such process.
pub(crate) fn memory(pid: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
            * 1024
    };
    Ok(Memory { rss: field("VmRSS:"), anon: field("RssAnon:") })
}

/// How many threads `pid` has.
///
/// # Errors
/// When there is no such process.
pub(crate) fn threads(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/task"))?.count())
}

/// How many file descriptors `pid` has open.
///
/// # Errors
/// When there is no such process, or it is somebody else's.
pub(crate) fn descriptors(pid: u32) -> io::Result<u64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64)
}

/// How often the threads of `pid` gave up their core by themselves, and how often they lost it.
///
/// # Errors
/// When there is no such process.
pub(crate) fn switches(pid: u32) -> io::Result<(u64, u64)> {
    let (mut voluntary, mut involuntary) = (0, 0);
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the two reads.
        let status = fs::read_to_string(task?.path().join("status")).unwrap_or_default();
        for line in status.lines() {
            let number = |rest: &str| rest.trim().parse::<u64>().unwrap_or(0);
            if let Some(rest) = line.strip_prefix("voluntary_ctxt_switches:") {
                voluntary += number(rest);
            } else if let Some(rest) = line.strip_prefix("nonvoluntary_ctxt_switches:") {
                involuntary += number(rest);
            }
        }
    }
    Ok((voluntary, involuntary))
}

/// Command line of `pid`; `None` when it cannot be read.
pub(crate) fn command_line(pid: u32) -> Option<Vec<String>> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let parts = bytes.split(|&byte| byte == 0).filter(|part| !part.is_empty());
    Some(parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect())
}

/// Bytes that the kernel's slab caches hold in all (`Slab` of `/proc/meminfo`), machine-wide.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn slab_bytes() -> io::Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Slab:"));
    Ok(line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        * 1024)
}

/// Whether something listens on `port` of TCP, or of UDP, in this network namespace. Found without connecting, so
/// that a process can be looked at before its first connection.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn is_listening(port: u16, udp: bool) -> io::Result<bool> {
    Ok(!listening_inodes(port, udp)?.is_empty())
}

/// The process that listens on `port` of TCP, or of UDP, in this network namespace, as far as it may be seen.
pub(crate) fn listener(port: u16, udp: bool) -> Option<u32> {
    let wanted: Vec<String> =
        listening_inodes(port, udp).ok()?.iter().map(|inode| format!("socket:[{inode}]")).collect();
    if wanted.is_empty() {
        return None;
    }
    for process in fs::read_dir("/proc").ok()? {
        let path = process.ok()?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(path.join("fd")) else { continue };
        let listens = descriptors.flatten().any(|descriptor| {
            let link = fs::read_link(descriptor.path());
            link.is_ok_and(|link| wanted.iter().any(|socket| link.as_os_str() == socket.as_str()))
        });
        if listens {
            return Some(pid);
        }
    }
    None
}

fn listening_inodes(port: u16, udp: bool) -> io::Result<Vec<String>> {
    let wanted = format!(":{port:04X}");
    // LISTEN of TCP; UDP sockets without a peer have the state CLOSE.
    let (state, tables) = match udp {
        false => ("0A", ["/proc/net/tcp", "/proc/net/tcp6"]),
        true => ("07", ["/proc/net/udp", "/proc/net/udp6"]),
    };
    let mut inodes = Vec::new();
    for table in tables {
        let Ok(table) = fs::read_to_string(table) else { continue };
        for line in table.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let [_, local, _, found, _, _, _, _, _, inode, ..] = fields[..]
                && found == state
                && local.ends_with(&wanted)
            {
                inodes.push(inode.to_owned());
            }
        }
    }
    Ok(inodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_has_memory_and_used_time() {
        let pid = std::process::id();
        let memory = memory(pid).expect("own status is readable");
        assert!(memory.rss > 100_000 && memory.anon > 0 && memory.anon <= memory.rss);
        assert!(cpu_ns(pid).expect("own clock is readable") > 0);
        assert!(threads(pid).expect("own tasks are readable") >= 1);
        assert!(descriptors(pid).expect("own descriptors are readable") >= 3);
        assert!(switches(pid).is_ok());
        assert!(!command_line(pid).expect("own command line is readable").is_empty());
    }

    #[test]
    fn a_listener_is_seen_and_its_absence_too() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        assert!(is_listening(port, false).expect("readable"));
        assert_eq!(super::listener(port, false), Some(std::process::id()));
        drop(listener);
        assert!(!is_listening(port, false).expect("readable"));
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("bound").port();
        assert!(is_listening(port, true).expect("readable"));
        assert_eq!(super::listener(port, true), Some(std::process::id()));
    }
}
