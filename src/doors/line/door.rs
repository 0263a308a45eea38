//! The door itself: what a connection is before and after it has a nick, and the rates that it keeps to.

use super::{
    Framer, Line, LineWire,
    command::{self, Asked, Lengths},
    encode::is_crlf,
    prompt::{self, Attempts, GOODBYE, INVALID_UTF8, PROMPT, Step, WELCOME},
    put_line,
};
use crate::{
    address::{self, TrustedProxies},
    admission::{Admission, Grant, Refused},
    config::{Config, LineLimits},
    doors::{Commands, Greeted, Received, Welcome},
    identity::Identity,
};
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};
use tutti_shards::{Bucket, CloseReason, Command, Format, LineCommand, Login, Rate};

/// Lines of one connection that are executed before others get their turn.
const LINES_A_TURN: u8 = 16;
/// `/join`: so many at once, and one a second.
const JOINS: Rate = Rate::new(5, 5_000);
/// `/nick` and `/color`: so many at once, and one in 5 seconds.
const CHANGES: Rate = Rate::new(2, 10_000);
/// Lines dropped for their rate within [`FLOOD_WINDOW`] at which the connection is closed.
const FLOOD_LINES: u32 = 100;
const FLOOD_WINDOW: Duration = Duration::from_secs(30);
/// Lines that are too long or not UTF-8 within [`SPOILED_WINDOW`] at which the connection is closed.
const SPOILED_LINES: u32 = 5;
const SPOILED_WINDOW: Duration = Duration::from_secs(60);
/// How often at most one is told that one sends too fast.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What all connections of this door share, on all shards.
#[derive(Debug)]
pub struct Shared {
    limits: LineLimits,
    lengths: Lengths,
    identity: Arc<Identity>,
    proxies: TrustedProxies,
    proxy_protocol: bool,
    pub(in crate::doors) admission: Arc<Admission>,
}

impl Shared {
    /// Gathers it.
    #[must_use]
    pub fn new(config: &Config, identity: Arc<Identity>, admission: Arc<Admission>) -> Self {
        Shared {
            limits: config.line.limits,
            lengths: Lengths {
                text: config.limits.chat_length,
                room: config.limits.channel_name_length,
            },
            identity,
            proxies: TrustedProxies::new(config.trusted_proxies.clone()),
            proxy_protocol: config.proxy_protocol,
            admission,
        }
    }
}

impl Shared {
    /// The same under other settings.
    #[must_use]
    pub fn reloaded(&self, config: &Config) -> Self {
        let (identity, admission) = (self.identity.clone(), self.admission.clone());
        Shared::new(config, identity, admission)
    }
}

/// The door on one shard.
pub struct Door {
    pub(in crate::doors) shared: Arc<Shared>,
    hits: BTreeMap<&'static str, u64>,
}

/// A connection that has not said a well-formed nick yet.
#[derive(Debug)]
pub struct Greeting {
    client: IpAddr,
    /// What may be a PROXY header, while that is not known.
    preface: Option<Vec<u8>>,
    framer: Framer,
    attempts: Attempts,
    since: Duration,
}

/// A connection that the core knows.
#[derive(Debug)]
pub struct Session {
    framer: Framer,
    client: IpAddr,
    attempts: Attempts,
    /// A line that waits for a change of format to be told first.
    put_off: Option<Line>,
    lines: Bucket,
    joins: Bucket,
    changes: Bucket,
    dropped: Window,
    spoiled: Window,
    told: Duration,
    /// The turn in which lines were executed last, and how many.
    turn: Duration,
    in_turn: u8,
    /// Whether the peer has said all that it says.
    pub(in crate::doors) ended: bool,
}

/// Counts what happens within a stretch of time.
#[derive(Clone, Copy, Default, Debug)]
struct Window {
    since: Duration,
    count: u32,
}

impl Window {
    /// Counts one more; how many there are within `length` now.
    fn count(&mut self, now: Duration, length: Duration) -> u32 {
        if now >= self.since + length {
            *self = Window { since: now, count: 0 };
        }
        self.count += 1;
        self.count
    }
}

impl Door {
    /// The door on one shard.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        Door { shared, hits: BTreeMap::new() }
    }

    /// How often limits of lines were hit, by their labels.
    pub fn limit_hits(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.hits.iter().map(|(&label, &count)| (label, count))
    }

    /// How this door's events are encoded.
    #[must_use]
    pub fn wire(&self) -> LineWire {
        LineWire::new(self.shared.limits.history)
    }

    /// How long a connection may take to say a nick.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.shared.limits.nick_timeout
    }

    /// What is sent to a connection for which there is no room at all.
    pub const FULL: &[u8] = b"Registration failed: Server is full\n";

    /// A connection was accepted from `peer`; what it is sent at once. Counts it for its address, unless it may be a
    /// proxy that speaks for another: then its header is waited for.
    ///
    /// # Errors
    /// The answer to one that is over a limit.
    pub fn greet(
        &self,
        peer: IpAddr,
        grant: &mut Grant,
        now: Duration,
    ) -> Result<(Box<Greeting>, Vec<u8>), Greeted> {
        let proxied = self.shared.proxy_protocol && self.shared.proxies.trusts(peer);
        if !proxied {
            grant.charge(peer, now).map_err(refused)?;
        }
        let max = self.shared.limits.nick_attempts;
        let greeting = Greeting {
            client: peer,
            preface: proxied.then(Vec::new),
            framer: Framer::default(),
            attempts: Attempts { made: 0, max },
            since: now,
        };
        let first = if proxied { Vec::new() } else { welcome() };
        Ok((Box::new(greeting), first))
    }

    /// Takes more of a connection's first bytes.
    pub fn receive_greeting(
        &self,
        greeting: &mut Greeting,
        bytes: &[u8],
        grant: &mut Grant,
        now: Duration,
    ) -> Greeted {
        let mut answer = Vec::new();
        let held;
        let mut input = bytes;
        if let Some(mut preface) = greeting.preface.take() {
            preface.extend_from_slice(bytes);
            let consumed = match address::parse_preface(&preface) {
                Ok(None) => {
                    greeting.preface = Some(preface);
                    return Greeted::Unfinished;
                }
                Ok(Some(address::Preface::Absent)) => 0,
                Ok(Some(address::Preface::Header { consumed, source })) => {
                    greeting.client = source.map_or(greeting.client, |source| source.ip());
                    consumed
                }
                Err(_) => return end(Vec::new(), Some("proxy_header")),
            };
            if let Err(why) = grant.charge(greeting.client, now) {
                return refused(why);
            }
            answer = welcome();
            held = preface;
            input = held.get(consumed..).unwrap_or_default();
        }
        let bytes_max = self.shared.limits.line_bytes;
        while let Some(line) = greeting.framer.next(&mut input, bytes_max) {
            if prompt::is_http(&line) {
                return end(Vec::new(), Some("line.http"));
            }
            if line == Line::TooLong {
                // It may be the beginning of a request as well as anything, and is no nick.
                let crlf = greeting.framer.wants_crlf();
                put_line(&mut answer, crlf, &prompt::too_long(bytes_max));
                return end(answer, Some("line.line_bytes"));
            }
            let crlf = greeting.framer.wants_crlf();
            match prompt::take(&line, bytes_max, &mut greeting.attempts, crlf) {
                Step::Nothing => {}
                Step::Again(bytes) => answer.extend_from_slice(&bytes),
                Step::End(bytes, limit) => {
                    answer.extend_from_slice(&bytes);
                    return end(answer, limit);
                }
                Step::Claim { nick, last } => {
                    let format = if crlf { Format::LINE_CRLF } else { Format::LINE };
                    let framer = std::mem::take(&mut greeting.framer);
                    let session = Session::new(framer, greeting.client, greeting.attempts);
                    let first = vec![self.login(greeting.client, nick, last)];
                    return Greeted::Welcome(Box::new(Welcome {
                        preface: answer,
                        rest: input.to_vec(),
                        format,
                        session: crate::doors::Session::Line(Box::new(session)),
                        first,
                        since: Some(greeting.since),
                    }));
                }
            }
        }
        if answer.is_empty() { Greeted::Unfinished } else { Greeted::Reply(answer) }
    }

    fn login(&self, client: IpAddr, nick: tutti_shards::Nick, last: bool) -> Command {
        let user = Some(self.shared.identity.by_nick(client, &nick.key()));
        let origin = self.shared.identity.origin(client);
        Command::Login(Box::new(Login { nick, user, origin, last }))
    }

    /// Whether the end of the input would end a line that has one yet.
    #[must_use]
    pub fn has_unfinished_line(greeting: &Greeting) -> bool {
        greeting.preface.is_none() && greeting.framer.is_within_line()
    }

    /// The answer to one who did not say a nick in time.
    #[must_use]
    pub fn too_slow(greeting: &Greeting) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_line(&mut bytes, greeting.framer.wants_crlf(), TIMED_OUT);
        bytes
    }

    /// What one at the prompt is told when the server stops.
    #[must_use]
    pub fn stopping(greeting: &Greeting) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_line(&mut bytes, greeting.framer.wants_crlf(), STOPPING);
        bytes
    }

    /// What tells a peer why it is closed.
    #[must_use]
    pub fn farewell(session: &Session, reason: CloseReason) -> Vec<u8> {
        let text = match reason {
            CloseReason::Bye => GOODBYE,
            CloseReason::Stopping => STOPPING,
            CloseReason::NoHello | CloseReason::Silent | CloseReason::Idle => TIMED_OUT,
            // Those do not read, or were told already.
            _ => return Vec::new(),
        };
        let mut bytes = Vec::new();
        put_line(&mut bytes, session.framer.wants_crlf(), text);
        bytes
    }

    /// What tells a peer that its bytes ran into a bug.
    #[must_use]
    pub fn farewell_for_bug(session: &Session) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_line(&mut bytes, session.framer.wants_crlf(), "ERROR: Server error");
        bytes
    }

    /// Takes a line off the front of `input`. `is_named` says whether the connection has a nick.
    pub fn receive(
        &mut self,
        session: &mut Session,
        input: &mut &mut [u8],
        format: Format,
        is_named: bool,
        now: Duration,
        out: &mut Commands,
    ) -> Received {
        if session.turn != now {
            session.turn = now;
            session.in_turn = 0;
        }
        if session.in_turn >= LINES_A_TURN {
            return Received::Enough;
        }
        let put_off = session.put_off.take();
        let is_new = put_off.is_none();
        let line = match put_off {
            Some(line) => Some(line),
            None => {
                let rest = std::mem::take(input);
                let (line, consumed) = {
                    let mut unread: &[u8] = rest;
                    let line = session.framer.next(&mut unread, self.shared.limits.line_bytes);
                    (line, rest.len() - unread.len())
                };
                *input = rest.get_mut(consumed..).unwrap_or_default();
                line.or_else(|| session.ended.then(|| session.framer.finish()).flatten())
            }
        };
        let Some(line) = line else { return Received::Nothing };
        // Once a line: where the change got lost, as when its room let it go just then, the next line asks again.
        if is_new && session.framer.wants_crlf() && !is_crlf(format) {
            session.put_off = Some(line);
            out.push_back(Command::Speak(format.with_crlf()));
            return Received::Commands(0);
        }
        session.in_turn += 1;
        if is_named {
            self.take(session, &line, now, out)
        } else {
            self.take_at_prompt(session, &line, out)
        }
    }

    fn take_at_prompt(
        &mut self,
        session: &mut Session,
        line: &Line,
        out: &mut Commands,
    ) -> Received {
        let crlf = session.framer.wants_crlf();
        let bytes_max = self.shared.limits.line_bytes;
        match prompt::take(line, bytes_max, &mut session.attempts, crlf) {
            Step::Nothing => Received::Commands(0),
            Step::Again(bytes) => Received::Reply(bytes),
            Step::End(last, fault) => Received::End { last, fault },
            Step::Claim { nick, last } => {
                out.push_back(self.login(session.client, nick, last));
                Received::Commands(0)
            }
        }
    }

    fn take(
        &mut self,
        session: &mut Session,
        line: &Line,
        now: Duration,
        out: &mut Commands,
    ) -> Received {
        let text = match line {
            Line::TooLong => {
                Err(("line.line_bytes", prompt::too_long(self.shared.limits.line_bytes)))
            }
            Line::Bytes(bytes) => {
                command::text_of(bytes).ok_or(("line.invalid_utf8", INVALID_UTF8.to_owned()))
            }
        };
        let text = match text {
            Ok(text) if text.is_empty() => return Received::Commands(0),
            Ok(text) => text,
            Err((limit, answer)) => {
                self.hit(limit);
                let reply = session.reply(&answer);
                if session.spoiled.count(now, SPOILED_WINDOW) >= SPOILED_LINES {
                    return Received::End { last: reply, fault: Some("line.spoiled") };
                }
                return Received::Reply(reply);
            }
        };
        let rates = self.shared.limits.rates_enforced;
        let now_us = now.as_micros() as u64;
        let asked = command::parse(&text, self.shared.lengths);
        // Whoever wants to go is not held up.
        let limited = rates && asked != Asked::Quit;
        if limited && !session.lines.take(self.shared.limits.lines, now_us, 1) {
            return self.too_fast(session, now);
        }
        let bucket = match &asked {
            Asked::Core(LineCommand::Go(_) | LineCommand::Leave) => {
                Some((&mut session.joins, JOINS, "line.join_rate"))
            }
            Asked::Core(LineCommand::Rename(_) | LineCommand::Color(_)) => {
                Some((&mut session.changes, CHANGES, "line.change_rate"))
            }
            _ => None,
        };
        if rates
            && let Some((bucket, rate, limit)) = bucket
            && !bucket.take(rate, now_us, 1)
        {
            self.hit(limit);
            return Received::Reply(session.reply(TOO_FAST));
        }
        match asked {
            Asked::Nothing => Received::Commands(0),
            Asked::Core(command) => {
                out.push_back(Command::Line(Box::new(command)));
                Received::Commands(0)
            }
            Asked::Help => {
                let mut bytes = Vec::new();
                let crlf = session.framer.wants_crlf();
                command::help().for_each(|line| put_line(&mut bytes, crlf, &line));
                Received::Reply(bytes)
            }
            Asked::Quit => {
                out.push_back(Command::Bye);
                Received::Commands(0)
            }
            Asked::Refused(why) => Received::Reply(session.reply(&format!("ERROR: {why}"))),
        }
    }

    fn too_fast(&mut self, session: &mut Session, now: Duration) -> Received {
        self.hit("line.rate");
        if session.dropped.count(now, FLOOD_WINDOW) >= FLOOD_LINES {
            let last = session.reply("ERROR: Flooding");
            return Received::End { last, fault: Some("line.flooding") };
        }
        if session.told != Duration::ZERO && now < session.told + TOLD_EVERY {
            return Received::Commands(0);
        }
        session.told = now;
        Received::Reply(session.reply(TOO_FAST))
    }

    fn hit(&mut self, limit: &'static str) {
        *self.hits.entry(limit).or_default() += 1;
    }
}

const TOO_FAST: &str = "ERROR: You are sending too fast";
const TIMED_OUT: &str = "ERROR: Timed out";
const STOPPING: &str = "*** Server is shutting down. Goodbye!";

impl Session {
    fn new(framer: Framer, client: IpAddr, attempts: Attempts) -> Self {
        Session {
            framer,
            client,
            attempts,
            put_off: None,
            lines: Bucket::default(),
            joins: Bucket::default(),
            changes: Bucket::default(),
            dropped: Window::default(),
            spoiled: Window::default(),
            told: Duration::ZERO,
            turn: Duration::ZERO,
            in_turn: 0,
            ended: false,
        }
    }

    /// Whether there may be something to execute that does not stand in the unread input.
    pub(in crate::doors) fn has_more(&self) -> bool {
        self.ended || self.put_off.is_some()
    }

    fn reply(&self, text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_line(&mut bytes, self.framer.wants_crlf(), text);
        bytes
    }
}

fn welcome() -> Vec<u8> {
    let mut bytes = Vec::new();
    put_line(&mut bytes, false, WELCOME);
    bytes.extend_from_slice(PROMPT);
    bytes
}

fn refused(why: Refused) -> Greeted {
    match why {
        Refused::Banned => {
            let mut bytes = Vec::new();
            put_line(&mut bytes, false, "Registration failed: You are banned from this server");
            end(bytes, Some(why.label()))
        }
        Refused::Address => end(Door::FULL.to_vec(), Some("line.connections_per_address")),
        _ => end(Door::FULL.to_vec(), Some(why.label())),
    }
}

fn end(bytes: Vec<u8>, refused: Option<&'static str>) -> Greeted {
    // One that left of its own wish was no page, but has been served as well as one.
    Greeted::Answer { bytes, body: None, refused: Some(refused.unwrap_or("line.quit")) }
}
