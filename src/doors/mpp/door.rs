//! The door itself: HTTP and WebSocket around the codec.

use super::{Auth, Decoder, Limits, Link, MppWire, Opening};
use crate::{
    address::{self, TrustedProxies},
    admission::{Admission, Grant, Refused},
    assets::Assets,
    config::Config,
    doors::{Commands, Greeted, Received, Welcome},
    http::{Head, Response, Status},
    identity::Identity,
    ws::{self, Item, encode, handshake},
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tutti_shards::{CloseReason, Format, UserId};

/// Who a connection's other end is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Client {
    /// Its address, resolved behind trusted proxies.
    address: IpAddr,
    /// The user that the address stands for, if it stands for one.
    user: Option<UserId>,
}

/// The WebSocket close code of a reason, and its words (protocol page, section 2.4).
fn close_code(reason: CloseReason) -> (u16, &'static str) {
    match reason {
        CloseReason::Bye => (1000, ""),
        CloseReason::Stopping => (4000, "server stopping"),
        CloseReason::BytesIn => (4002, "too many bytes"),
        CloseReason::Backlog => (4003, "not reading fast enough"),
        CloseReason::Silent => (4004, "timed out"),
        CloseReason::NoHello => (4004, "no hi in time"),
        CloseReason::MessagesIn => (4007, "too many messages"),
        CloseReason::TooManyConnections => (4009, "too many connections of this user"),
        CloseReason::Kicked => (4010, "closed by an operator"),
        CloseReason::Banned => (4008, "banned from this server"),
        // Line chat's.
        CloseReason::NickTaken | CloseReason::Stalled | CloseReason::Idle => (1008, ""),
    }
}

/// What all connections of this door share, on all shards.
#[derive(Debug)]
pub struct Shared {
    config: Config,
    identity: Arc<Identity>,
    proxies: TrustedProxies,
    assets: Arc<Assets>,
    admission: Arc<Admission>,
}

impl Shared {
    /// Gathers it.
    #[must_use]
    pub fn new(
        config: &Config,
        identity: Arc<Identity>,
        assets: Arc<Assets>,
        admission: Arc<Admission>,
    ) -> Self {
        let proxies = TrustedProxies::new(config.trusted_proxies.clone());
        Shared { config: config.clone(), identity, proxies, assets, admission }
    }

    /// The same under other settings.
    #[must_use]
    pub fn reloaded(&self, config: &Config) -> Self {
        let identity = Arc::new(self.identity.reloaded(config));
        Shared::new(config, identity, self.assets.clone(), self.admission.clone())
    }
}

/// The door on one shard.
pub struct Door {
    shared: Arc<Shared>,
    decoder: Decoder,
    limits: ws::Limits,
}

/// A connection before its upgrade.
#[derive(Debug)]
pub struct Greeting {
    peer: IpAddr,
    /// Whether the peer is a trusted proxy.
    proxied: bool,
    /// What a PROXY header said.
    source: Option<IpAddr>,
    preface_read: bool,
    input: Vec<u8>,
    /// Bytes of `input` that did not make a head.
    seen: usize,
}

/// A connection after its upgrade. Small, because most are idle.
#[derive(Debug)]
pub struct Session {
    decoder: ws::Decoder,
    client: Client,
}

impl Door {
    /// The door on one shard.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Self {
        let limits = &shared.config.limits;
        let codec = Limits {
            name_length_max: limits.name_length,
            chat_length_max: limits.chat_length,
            channel_name_length_max: limits.channel_name_length,
            tag_length_max: limits.tag_length,
            custom_json_bytes_max: limits.custom_json_bytes,
            custom_targets_max: limits.custom_targets,
            notice_ms_max: limits.notice_ms_max,
            notice_ms_default: limits.notice_ms_default,
            json_depth_max: limits.json_depth,
        };
        let limits = ws::Limits { message_bytes: limits.message_bytes };
        Door { decoder: Decoder::new(codec), limits, shared }
    }

    /// Goes on under other settings.
    pub fn reload(&mut self, shared: Arc<Shared>) {
        let mut next = Door::new(shared);
        next.decoder.count_on(&self.decoder);
        *self = next;
    }

    /// How often limits of single messages were hit, by their labels.
    pub fn limit_hits(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.decoder.limit_hits()
    }

    /// How this door's events are encoded.
    #[must_use]
    pub fn wire(&self) -> MppWire {
        let history = self.shared.config.core.chat_history as usize;
        MppWire::new(&self.shared.config.motd).with_history(history)
    }

    /// A connection was accepted from `peer`. Counts it for its address, unless it may be a proxy that speaks for
    /// another.
    ///
    /// # Errors
    /// The answer to one that is over a limit.
    pub fn greet(
        &self,
        peer: IpAddr,
        grant: &mut Grant,
        now: Duration,
    ) -> Result<Box<Greeting>, Greeted> {
        let proxied = self.shared.proxies.trusts(peer);
        if !proxied {
            grant.charge(peer, now).map_err(over_limit)?;
        }
        let preface_read = !(self.shared.config.proxy_protocol && proxied);
        Ok(Box::new(Greeting {
            peer,
            proxied,
            source: None,
            preface_read,
            input: Vec::new(),
            seen: 0,
        }))
    }

    /// Takes more of a connection's first bytes.
    pub fn receive_greeting(
        &self,
        greeting: &mut Greeting,
        bytes: &[u8],
        grant: &mut Grant,
        now: Duration,
    ) -> Greeted {
        greeting.input.extend_from_slice(bytes);
        if !greeting.preface_read {
            match address::parse_preface(&greeting.input) {
                Ok(None) => return Greeted::Unfinished,
                Ok(Some(address::Preface::Absent)) => {}
                Ok(Some(address::Preface::Header { consumed, source })) => {
                    greeting.input.drain(..consumed);
                    greeting.source = source.map(|source| source.ip());
                }
                Err(_) => return refuse(Status::BadRequest, "proxy_header"),
            }
            greeting.preface_read = true;
        }
        let seen = std::mem::replace(&mut greeting.seen, greeting.input.len());
        match Head::parse(&greeting.input, seen) {
            Ok(None) => Greeted::Unfinished,
            Ok(Some(head)) => self.answer(&head, greeting, grant, now),
            Err(fault) => refuse(fault.status(), "malformed_head"),
        }
    }

    fn answer(
        &self,
        head: &Head<'_>,
        greeting: &Greeting,
        grant: &mut Grant,
        now: Duration,
    ) -> Greeted {
        let shared = &*self.shared;
        let mut address = greeting.peer;
        if greeting.proxied {
            let peer = greeting.source.unwrap_or(greeting.peer);
            let real_ip = head.values("x-real-ip").last();
            let forwarded: Vec<&[u8]> = head.values("x-forwarded-for").collect();
            address = shared.proxies.client(peer, forwarded, real_ip);
            if let Err(refused) = grant.charge(address, now) {
                return over_limit(refused);
            }
        }
        let upgrade = match handshake::upgrade(head) {
            Ok(upgrade) => upgrade,
            Err(refusal) => {
                let mut bytes = Vec::new();
                refusal.write(head.is_head(), &mut bytes);
                return Greeted::Answer { bytes, body: None, refused: Some("malformed_upgrade") };
            }
        };
        let Some(upgrade) = upgrade else { return self.page(head) };
        if !shared.config.origins.allow(upgrade.origin) {
            return refuse(Status::Forbidden, "origin");
        }
        let mut preface = Vec::new();
        upgrade.accept(&mut preface);
        let client = Client { address, user: shared.identity.by_address(address) };
        let rest = greeting.input.get(head.len()..).unwrap_or_default().to_vec();
        let session = Session { decoder: ws::Decoder::default(), client };
        let (format, session) = (Format::MPP_TEXT, crate::doors::Session::Mpp(session));
        Greeted::Welcome(Box::new(Welcome {
            preface,
            rest,
            format,
            session,
            first: Vec::new(),
            since: None,
        }))
    }

    fn page(&self, head: &Head<'_>) -> Greeted {
        let Ok(path) = head.decoded_path() else {
            return refuse(Status::BadRequest, "malformed_path");
        };
        let uploads = self.shared.config.uploads.as_ref();
        if uploads.is_some_and(|uploads| uploads.public_url.is_some())
            && let Some(asked) = Link::parse(head, path.segments())
        {
            return match asked {
                Ok(link) => Greeted::File(Box::new(link)),
                Err(Opening { bytes, refused, .. }) => {
                    Greeted::Answer { bytes, body: None, refused }
                }
            };
        }
        let Some((asset, is_lasting)) = self.shared.assets.find(&path) else {
            return refuse(Status::NotFound, "no_page");
        };
        let content = asset.body(head.values("accept-encoding"));
        let unchanged =
            head.value("if-none-match").is_some_and(|tags| tags.contains(&content.etag));
        let caching = if is_lasting { "public, max-age=31536000, immutable" } else { "no-cache" };
        let mut headers = vec![("ETag", content.etag.as_str()), ("Cache-Control", caching)];
        if asset.varies() {
            headers.push(("Vary", "Accept-Encoding"));
        }
        headers.extend(content.encoding.map(|encoding| ("Content-Encoding", encoding)));
        headers.extend(self.shared.assets.headers());
        let (status, body) =
            if unchanged { (Status::NotModified, &[][..]) } else { (Status::Ok, &*content.bytes) };
        let response =
            Response { status, content_type: asset.content_type, headers: &headers, body };
        // Only the head is copied; the body is shared by all who ask for it.
        let mut bytes = Vec::new();
        response.write(true, &mut bytes);
        let body = (!head.is_head() && !unchanged).then(|| content.bytes.clone());
        Greeted::Answer { bytes, body, refused: None }
    }

    /// Takes one thing off the front of `input`, which is empty when there is no more.
    ///
    /// `format` is what the connection speaks; it follows what the peer is heard speaking.
    pub fn receive(
        &mut self,
        session: &mut Session,
        input: &mut &mut [u8],
        format: &mut Format,
        now: Duration,
        out: &mut Commands,
    ) -> Received {
        let mut rest = std::mem::take(input);
        let auth = Peer { shared: &self.shared, client: session.client, now };
        let received = match session.decoder.next(&self.limits, &mut rest) {
            Ok(None) => Received::Nothing,
            Ok(Some(Item::Text(payload))) => {
                Received::Commands(self.decoder.text(payload, format, &auth, out))
            }
            Ok(Some(Item::Binary(payload))) => {
                Received::Commands(self.decoder.binary(payload, format, &auth, out))
            }
            Ok(Some(Item::Fragment | Item::Pong(_))) => Received::Commands(1),
            Ok(Some(Item::Ping(payload))) => {
                let mut bytes = Vec::new();
                encode::pong(payload, &mut bytes);
                Received::Reply(bytes)
            }
            Ok(Some(Item::Close(status))) => {
                let mut last = Vec::new();
                encode::close(status.map(|(code, _)| (code, "")), &mut last);
                Received::End { last, fault: None }
            }
            Err(fault) => {
                let (mut last, reason) = (Vec::new(), fault.to_string());
                encode::close(Some((fault.close_code(), &reason)), &mut last);
                let label = match fault.close_code() {
                    1007 => "invalid_utf8",
                    1009 => "message_bytes",
                    _ => "websocket_protocol",
                };
                Received::End { last, fault: Some(label) }
            }
        };
        *input = rest;
        received
    }

    /// What is sent to a connection for which there is no room at all.
    pub const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 10\r\nContent-Length: 0\r\n\r\n";

    /// The answer to a request that did not come in time.
    #[must_use]
    pub fn too_slow() -> Vec<u8> {
        let mut bytes = Vec::new();
        Response::plain(Status::Timeout).write(false, &mut bytes);
        bytes
    }

    /// What tells a peer that its bytes ran into a bug.
    #[must_use]
    pub fn farewell_for_bug() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode::close(Some((1011, "internal error")), &mut bytes);
        bytes
    }

    /// What tells a peer why it is closed.
    #[must_use]
    pub fn farewell(reason: CloseReason) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode::close(Some(close_code(reason)), &mut bytes);
        bytes
    }
}

/// One peer, as the codec asks about it.
struct Peer<'a> {
    shared: &'a Shared,
    client: Client,
    now: Duration,
}

impl Auth for Peer<'_> {
    fn hello(&self, token: Option<&str>) -> (Option<UserId>, Option<Box<str>>) {
        let (user, token) = self.shared.identity.resolve(token, self.client.user);
        (user, token.map(Into::into))
    }

    fn password(&self, given: &str) -> bool {
        let (identity, admission) = (&self.shared.identity, &self.shared.admission);
        if !identity.has_staff() || !admission.may_guess(self.client.address, self.now) {
            return false;
        }
        let right = identity.is_staff(given);
        if !right {
            admission.wrong_guess(self.client.address, self.now);
        }
        right
    }
}

fn over_limit(refused: Refused) -> Greeted {
    let mut bytes = Vec::new();
    let headers = &[("Retry-After", "10")];
    let response = match refused {
        Refused::Banned => Response::text(Status::Forbidden, "You are banned from this server.\n"),
        Refused::Panic(_) => Response { headers, ..Response::plain(Status::Unavailable) },
        Refused::Connections | Refused::Address | Refused::Attempts => {
            Response { headers, ..Response::plain(Status::TooManyRequests) }
        }
    };
    response.write(false, &mut bytes);
    Greeted::Answer { bytes, body: None, refused: Some(refused.label()) }
}

fn refuse(status: Status, why: &'static str) -> Greeted {
    let mut bytes = Vec::new();
    Response::plain(status).write(false, &mut bytes);
    Greeted::Answer { bytes, body: None, refused: Some(why) }
}
