//! A server's metrics in the Prometheus text format.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer that is read.
const BYTES_MAX: u64 = 16 << 20;

/// Values by name, summed over all labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Metrics {
    counters: BTreeMap<String, f64>,
    gauges: BTreeMap<String, f64>,
}

impl Metrics {
    /// Asks for them over HTTP.
    ///
    /// # Errors
    /// When `url` is no such address, or does not answer with 200 in time.
    pub(crate) fn fetch(url: &str) -> Result<Self> {
        let rest =
            url.strip_prefix("http://").context("it looks like http://127.0.0.1:9090/metrics")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, "metrics"));
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let address = with_port.to_socket_addrs()?.next().context("the host has no address")?;
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(BYTES_MAX).read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status = head.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200"), "{status}");
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            bail!("chunked answers are not read");
        }
        Ok(Self::parse(body))
    }

    fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        let mut kinds = BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                if let Some((name, kind)) = rest.split_once(' ') {
                    kinds.insert(name, kind.trim());
                }
                continue;
            }
            let Some((name, value)) = sample(line) else { continue };
            let family = ["_sum", "_count", "_bucket"].iter().find_map(|end| {
                let base = name.strip_suffix(end)?;
                kinds.contains_key(base).then_some((base, *end))
            });
            let is_counter = match (kinds.get(name), family) {
                // Buckets are many, and their sum means nothing.
                (None, Some((_, "_bucket"))) => continue,
                (None, Some(_)) | (Some(&"counter"), _) => true,
                _ => false,
            };
            let of = if is_counter { &mut metrics.counters } else { &mut metrics.gauges };
            *of.entry(name.to_owned()).or_default() += value;
        }
        metrics
    }

    /// Growth of each counter since `before`, and the value of each gauge. Counters that did not move
    /// and gauges at 0 are left out.
    pub(crate) fn since(&self, before: &Self) -> BTreeMap<String, f64> {
        let growth = self.counters.iter().map(|(name, value)| {
            (name.clone(), value - before.counters.get(name).copied().unwrap_or(0.0))
        });
        let gauges = self.gauges.iter().map(|(name, value)| (name.clone(), *value));
        growth.chain(gauges).filter(|(_, value)| *value != 0.0).collect()
    }
}

/// Name and value of a line.
fn sample(line: &str) -> Option<(&str, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let (name, rest) = match line.find('{') {
        Some(at) => (&line[..at], &line[line.rfind('}')? + 1..]),
        None => line.split_once(' ')?,
    };
    Some((name, rest.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_and_gauges_are_told_apart_and_summed_over_labels() {
        let text = |n: u32| {
            format!(
                "# TYPE sent_total counter\nsent_total{{shard=\"0\"}} {n}\nsent_total{{shard=\"1\"}} 5\n\
                 # TYPE open gauge\nopen 7\n# TYPE turn histogram\nturn_bucket{{le=\"+Inf\"}} 9\n\
                 turn_sum 1.5\nturn_count {n}\nnonsense\n"
            )
        };
        let (before, after) = (Metrics::parse(&text(10)), Metrics::parse(&text(14)));
        let since = after.since(&before);
        let expected = [("sent_total", 4.0), ("open", 7.0), ("turn_count", 4.0)];
        assert_eq!(since, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }
}
