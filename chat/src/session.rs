//! One connection to a server: its streams, its requests and their answers.

mod reading;
mod router;

use crate::frame::Frame;
use crate::trust::{Distrust, Trust, Verifier};
use crate::wire::{
    AuthFailed, AuthOk, Command, CommandOk, Control, Event, Fault, Goodbye, HelloAck,
};
use crate::wire::{MessageAck, RoomHistory, RoomList, Signal, close};
use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint, VarInt};
pub(crate) use reading::FrameReader;
pub use reading::ReadFault;
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// The protocol's name in TLS.
pub const ALPN: &[u8] = b"garou/1";
/// Server streams that a server may have open at once: as many lanes as there can be, hot rooms, and some.
const SERVER_STREAMS: u32 = 96;
/// A server pings every 25 s; one of which nothing is heard for this long is gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a whole login may take.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);
/// How long one of several addresses may take before the next is tried.
const NEXT_ADDRESS: Duration = Duration::from_secs(3);
/// How long a request waits for its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames that may wait between the parts of a session before the streams are read more slowly.
const QUEUE_FRAMES: usize = 1024;
/// Events that are kept while a request waits.
const BACKLOG_EVENTS_MAX: usize = 100_000;

/// How one proves who one is.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// A JWT.
    Token(String),
    /// A name, where the server allows that.
    Name(String),
}

/// Whom to connect to, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the server may be; the first that answers is it.
    pub addresses: Vec<SocketAddr>,
    /// The name that its certificate has to have where authorities are trusted; a host name or an address.
    pub name: String,
    /// `HOST:PORT` as its fingerprint is remembered.
    pub known_as: String,
    /// Which certificates are believed.
    pub trust: Trust,
    /// Who one is.
    pub credentials: Credentials,
    /// What the server is told that this client can do.
    pub capabilities: Vec<String>,
    /// Whether a returning client sends with its first packet.
    pub early_data: bool,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum NoSession {
    /// This side cannot open a socket, or the target makes no sense.
    #[error("{0}")]
    Local(String),
    /// The certificate is not believed.
    #[error(transparent)]
    Distrust(#[from] Distrust),
    /// The server does not believe the credentials.
    #[error("the server refuses the login: {}", .0.message)]
    Refused(AuthFailed),
    /// It answered something that is not the protocol's handshake.
    #[error("the server did not follow the protocol: {0}")]
    Protocol(String),
    /// The connection did not come about, or ended at once.
    #[error("{0}")]
    Ended(End),
    /// It took too long.
    #[error("the server did not answer in {} s", LOGIN_TIMEOUT.as_secs())]
    Timeout,
}

/// How a session ended.
#[derive(Clone, Debug, Default)]
pub struct End {
    /// What the server said before it closed.
    pub goodbye: Option<Goodbye>,
    /// The code it closed with.
    pub code: Option<u64>,
    /// What this side found wrong, or what the network did.
    pub why: String,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.goodbye {
            Some(goodbye) if !goodbye.reason.is_empty() => {
                write!(f, "the server said goodbye: {}", goodbye.reason)
            }
            _ => f.write_str(&self.why),
        }
    }
}

impl End {
    fn new(error: &ConnectionError) -> Self {
        let (code, why) = match error {
            ConnectionError::ApplicationClosed(closed) => {
                let code = closed.error_code.into_inner();
                (Some(code), close::name(code).to_owned())
            }
            ConnectionError::ConnectionClosed(closed) if u64::from(closed.error_code) == 0x178 => {
                (Some(0x178), close::name(0x178).to_owned())
            }
            ConnectionError::ConnectionClosed(closed) => {
                (None, format!("the server closed: {closed}"))
            }
            ConnectionError::TimedOut => (None, "the server does not answer".to_owned()),
            ConnectionError::Reset => {
                (None, "the server does not know the connection any more".to_owned())
            }
            ConnectionError::LocallyClosed => (None, "closed".to_owned()),
            other => (None, other.to_string()),
        };
        Self { goodbye: None, code, why }
    }
}

/// A good answer to a command.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the variants are the frames that answer")]
pub enum Answer {
    Done(CommandOk),
    Accepted(MessageAck),
    Rooms(RoomList),
    History(RoomHistory),
}

impl Answer {
    /// The room that the answer names.
    pub fn room_id(&self) -> Option<u64> {
        match self {
            Self::Done(ok) => ok.room_id,
            Self::Accepted(ack) => Some(ack.room_id),
            Self::History(history) => Some(history.room_id),
            Self::Rooms(_) => None,
        }
    }
}

/// Why a command was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unanswered {
    /// The server refused it.
    #[error("{} ({})", .0.message, .0.code)]
    Refused(Fault),
    /// The session ended before.
    #[error("the connection ended before the answer")]
    Ended,
    /// No answer came.
    #[error("no answer in {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
}

type Waiting = HashMap<String, (u8, oneshot::Sender<Result<Answer, Fault>>)>;

/// What the tasks of one session share.
#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// Uploads by nonce.
    uploads: Mutex<HashMap<String, Watched>>,
    end: Mutex<Option<End>>,
}

/// An upload that somebody waits for.
#[derive(Debug)]
struct Watched {
    /// The server's number for it, once it is known.
    id: Option<u64>,
    news: mpsc::UnboundedSender<Event>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a socket for that address is bound to.
fn any(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    }
}

/// A random text for nonces, 16 hex digits.
pub fn random_nonce() -> String {
    let random = getrandom::u64().expect("the system has random numbers");
    format!("{random:016x}")
}

/// Opens sessions with one server; keeps its tickets, by which later ones begin faster.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// Each address with the socket of its family.
    places: Vec<(SocketAddr, Endpoint)>,
    config: quinn::ClientConfig,
    verifier: Arc<Verifier>,
    target: Target,
}

impl Dialer {
    /// Prepares to connect. Has to be called inside of a tokio runtime.
    ///
    /// # Errors
    /// [`NoSession::Local`] when there is no socket.
    pub fn new(target: Target) -> Result<Self, NoSession> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Arc::new(Verifier::new(
            target.trust.clone(),
            target.known_as.clone(),
            provider.clone(),
        ));
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|e| NoSession::Local(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        tls.enable_early_data = target.early_data;
        let crypto =
            QuicClientConfig::try_from(tls).map_err(|e| NoSession::Local(e.to_string()))?;
        let mut transport = quinn::TransportConfig::default();
        transport
            .max_concurrent_uni_streams(SERVER_STREAMS.into())
            .max_concurrent_bidi_streams(0_u8.into())
            .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("it is a short time")));
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        let (mut places, mut fault) = (Vec::<(SocketAddr, Endpoint)>::new(), None);
        for address in &target.addresses {
            let same = places.iter().find(|(other, _)| other.is_ipv4() == address.is_ipv4());
            let endpoint = match same {
                Some((_, endpoint)) => Ok(endpoint.clone()),
                None => Endpoint::client(any(*address)),
            };
            match endpoint {
                Ok(endpoint) => places.push((*address, endpoint)),
                // A machine without IPv6 still has the other addresses.
                Err(e) => fault = Some(e),
            }
        }
        if places.is_empty() {
            let why = fault.map_or("no address".to_owned(), |e| e.to_string());
            return Err(NoSession::Local(format!("cannot open a UDP socket: {why}")));
        }
        Ok(Self { places, config, verifier, target })
    }

    /// Moves to a new UDP socket, as when the network changes; sessions go on over it.
    ///
    /// # Errors
    /// Those of opening a socket.
    pub fn rebind(&self) -> std::io::Result<()> {
        for (address, endpoint) in &self.places {
            endpoint.rebind(std::net::UdpSocket::bind(any(*address))?)?;
        }
        Ok(())
    }

    /// Connects and logs in. `first` are frames of chat commands that are sent without waiting for the login.
    ///
    /// # Errors
    /// Why there is no session, at the last address.
    pub async fn connect(&self, first: &[Bytes]) -> Result<(Session, Events), NoSession> {
        let mut result = Err(NoSession::Timeout);
        for (n, place) in self.places.iter().enumerate() {
            let last = n + 1 == self.places.len();
            let patience = if last { LOGIN_TIMEOUT } else { NEXT_ADDRESS };
            let login = timeout(patience, self.login(place, first)).await;
            result = login.unwrap_or(Err(NoSession::Timeout)).map_err(|e| {
                match self.verifier.take_distrust() {
                    Some(distrust) => NoSession::Distrust(distrust),
                    None => e,
                }
            });
            // One that answers is the server, also when it refuses.
            if !matches!(result, Err(NoSession::Timeout | NoSession::Local(_))) {
                break;
            }
        }
        result
    }

    async fn login(
        &self,
        (address, endpoint): &(SocketAddr, Endpoint),
        first: &[Bytes],
    ) -> Result<(Session, Events), NoSession> {
        let ended = |e: &ConnectionError| NoSession::Ended(End::new(e));
        let connecting = endpoint
            .connect_with(self.config.clone(), *address, &self.target.name)
            .map_err(|e| NoSession::Local(e.to_string()))?;
        let (connection, early) = match connecting.into_0rtt() {
            Ok((connection, _)) => (connection, true),
            Err(connecting) => (connecting.await.map_err(|e| ended(&e))?, false),
        };
        let greeted = match self.greet(&connection, first).await {
            // The server has forgotten the ticket: all that was sent early is void, and is sent again.
            Err(GreetFault::EarlyDataRejected) => {
                self.greet(&connection, first).await.map(|greeting| (greeting, false))
            }
            greeted => greeted.map(|greeting| (greeting, early)),
        };
        match greeted {
            Ok((greeting, early)) => Ok(Session::start(connection, greeting, early)),
            Err(GreetFault::NoSession(e)) => {
                connection.close(VarInt::from_u32(close::NORMAL), b"");
                Err(e)
            }
            Err(GreetFault::Gone | GreetFault::EarlyDataRejected) => {
                Err(ended(&connection.closed().await))
            }
        }
    }

    async fn greet(
        &self,
        connection: &quinn::Connection,
        first: &[Bytes],
    ) -> Result<Greeting, GreetFault> {
        let (mut control, recv) = connection.open_bi().await.map_err(|_| GreetFault::Gone)?;
        let (method, credentials) = match &self.target.credentials {
            Credentials::Token(token) => ("token", token.clone()),
            Credentials::Name(name) => ("username", name.clone()),
        };
        let hello = Control::Hello {
            version: 1,
            capabilities: self.target.capabilities.clone(),
            encodings: ["json"],
            client: concat!("tutti-chat ", env!("CARGO_PKG_VERSION")).into(),
        };
        let mut flight = BytesMut::from(&hello.encode()[..]);
        flight.extend_from_slice(&Control::Auth { method, credentials }.encode());
        control.write_all(&flight).await?;
        let mut chat = connection.open_uni().await.map_err(|_| GreetFault::Gone)?;
        for frame in first {
            chat.write_all(frame).await?;
        }
        let mut reader = FrameReader::new(recv);
        let (mut hello, mut early) = (None, VecDeque::new());
        loop {
            let frame = reader.next().await?.ok_or(GreetFault::Gone)?;
            let event = Event::read(&frame).map_err(|e| GreetFault::protocol(&e))?;
            match event {
                Some(Event::HelloAck(ack)) if ack.encoding != "json" || ack.num_shards == 0 => {
                    return Err(GreetFault::protocol(&"it picked what was not offered"));
                }
                Some(Event::HelloAck(ack)) => hello = Some(ack),
                Some(Event::AuthOk(auth)) => {
                    let hello = hello.ok_or_else(|| GreetFault::protocol(&"no HelloAck"))?;
                    return Ok(Greeting { hello, auth, control, chat, reader, early });
                }
                Some(Event::AuthFailed(failed)) => {
                    return Err(GreetFault::NoSession(NoSession::Refused(failed)));
                }
                Some(Event::Goodbye(goodbye)) => {
                    let why = goodbye.reason.clone();
                    let end = End { code: None, why, goodbye: Some(goodbye) };
                    return Err(GreetFault::NoSession(NoSession::Ended(end)));
                }
                Some(Event::Fault(fault)) if hello.is_none() => {
                    return Err(GreetFault::protocol(&fault.message));
                }
                _ => early.push_back(frame),
            }
        }
    }
}

/// What a finished login leaves.
struct Greeting {
    hello: HelloAck,
    auth: AuthOk,
    control: quinn::SendStream,
    chat: quinn::SendStream,
    reader: FrameReader,
    early: VecDeque<Frame>,
}

enum GreetFault {
    NoSession(NoSession),
    EarlyDataRejected,
    Gone,
}

impl GreetFault {
    fn protocol(why: &dyn std::fmt::Display) -> Self {
        Self::NoSession(NoSession::Protocol(why.to_string()))
    }
}

impl From<quinn::WriteError> for GreetFault {
    fn from(e: quinn::WriteError) -> Self {
        match e {
            quinn::WriteError::ZeroRttRejected => Self::EarlyDataRejected,
            _ => Self::Gone,
        }
    }
}

impl From<ReadFault> for GreetFault {
    fn from(e: ReadFault) -> Self {
        match e {
            ReadFault::Stream(quinn::ReadError::ZeroRttRejected) => Self::EarlyDataRejected,
            ReadFault::Stream(_) => Self::Gone,
            ReadFault::Frame(e) => Self::protocol(&e),
        }
    }
}

/// A handle of one session. Clones are the same session, which lives until [`Session::goodbye`] or the server ends it.
#[derive(Clone, Debug)]
pub struct Session {
    connection: quinn::Connection,
    hello: Arc<HelloAck>,
    auth: Arc<AuthOk>,
    early: bool,
    nonces: Arc<(String, std::sync::atomic::AtomicU64)>,
    control: mpsc::Sender<Option<Bytes>>,
    chat: mpsc::Sender<Bytes>,
    receipts: mpsc::Sender<Bytes>,
    shared: Arc<Shared>,
}

impl Session {
    fn start(connection: quinn::Connection, greeting: Greeting, early: bool) -> (Self, Events) {
        let Greeting { hello, auth, control, chat, reader, early: frames } = greeting;
        let shared = Arc::new(Shared::default());
        let (control_tx, control_rx) = mpsc::channel(QUEUE_FRAMES);
        let (chat_tx, chat_rx) = mpsc::channel(QUEUE_FRAMES);
        let (receipts_tx, receipts_rx) = mpsc::channel(QUEUE_FRAMES);
        let (events_tx, events) = mpsc::channel(QUEUE_FRAMES);
        tokio::spawn(router::write_control(control, control_rx));
        tokio::spawn(router::write(chat, chat_rx));
        tokio::spawn(router::write_receipts(connection.clone(), receipts_rx));
        let router = router::Router::new(shared.clone(), control_tx.clone(), events_tx);
        tokio::spawn(router.run(connection.clone(), reader, frames));
        let session = Self {
            connection,
            hello: Arc::new(hello),
            auth: Arc::new(auth),
            early,
            nonces: Arc::new((random_nonce(), 0.into())),
            control: control_tx,
            chat: chat_tx,
            receipts: receipts_tx,
            shared: shared.clone(),
        };
        (session, Events { events, backlog: VecDeque::new(), shared })
    }

    /// What the server said of itself.
    pub fn hello(&self) -> &HelloAck {
        &self.hello
    }

    /// Who one is.
    pub fn auth(&self) -> &AuthOk {
        &self.auth
    }

    /// Whether the login was sent with the first packet, and taken.
    pub fn was_early(&self) -> bool {
        self.early
    }

    /// The QUIC connection, for what this library does not do.
    pub fn connection(&self) -> &quinn::Connection {
        &self.connection
    }

    /// A nonce that this session has not used.
    pub fn nonce(&self) -> String {
        let (prefix, n) = &*self.nonces;
        format!("{prefix}-{}", n.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
    }

    /// Sends a command whose answer comes as an event with `nonce`. `false` when the session has ended.
    pub async fn send(&self, command: &Command, nonce: &str) -> bool {
        self.chat.send(command.encode(nonce)).await.is_ok()
    }

    /// Sends a command and waits for its answer.
    ///
    /// Events have to be taken meanwhile: see [`Events::during`].
    ///
    /// # Errors
    /// Why there is no good answer.
    pub async fn request(&self, command: Command) -> Result<Answer, Unanswered> {
        let nonce = self.nonce();
        let (tell, told) = oneshot::channel();
        locked(&self.shared.waiting).insert(nonce.clone(), (command.kind(), tell));
        let asked = async {
            if locked(&self.shared.end).is_some() || !self.send(&command, &nonce).await {
                return Err(Unanswered::Ended);
            }
            told.await.map_err(|_| Unanswered::Ended)?.map_err(Unanswered::Refused)
        };
        let answer = timeout(REQUEST_TIMEOUT, asked).await.unwrap_or(Err(Unanswered::Timeout));
        locked(&self.shared.waiting).remove(&nonce);
        answer
    }

    /// Sends a receipt or a signal; what cannot be sent at once may get lost, except for receipts.
    pub async fn signal(&self, signal: &Signal) {
        let frame = signal.encode();
        if signal.is_receipt() {
            let _ = self.receipts.send(frame).await;
        } else if self.connection.max_datagram_size().is_some_and(|max| frame.len() <= max) {
            let _ = self.connection.send_datagram(frame);
        } else {
            let _ = self.control.send(Some(frame)).await;
        }
    }

    /// Sends a `Ping`, whose `Pong` comes as an event.
    pub async fn ping(&self, timestamp: u64) {
        let _ = self.control.send(Some(Control::Ping { timestamp }.encode())).await;
    }

    /// News of the upload with `nonce`: acknowledgements, a refusal or a cancel. Nothing more after the session's end.
    pub(crate) fn watch_upload(&self, nonce: &str) -> mpsc::UnboundedReceiver<Event> {
        let (tell, told) = mpsc::unbounded_channel();
        // A session that has ended never tells anything; neither does a dropped sender.
        if locked(&self.shared.end).is_none() {
            locked(&self.shared.uploads).insert(nonce.into(), Watched { id: None, news: tell });
        }
        told
    }

    pub(crate) fn forget_upload(&self, nonce: &str) {
        locked(&self.shared.uploads).remove(nonce);
    }

    /// Says goodbye and waits until the server has closed, at most a second.
    pub async fn goodbye(&self, reason: &str) {
        let goodbye = Control::Goodbye { reason: reason.into() }.encode();
        let _ = self.control.send(Some(goodbye)).await;
        let _ = self.control.send(None).await;
        let _ = timeout(Duration::from_secs(1), self.connection.closed()).await;
        self.connection.close(VarInt::from_u32(close::NORMAL), b"goodbye");
    }
}

/// What a session's server says, in order within each room.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
    backlog: VecDeque<Event>,
    shared: Arc<Shared>,
}

impl Events {
    /// The next event; `None` when the session has ended.
    pub async fn next(&mut self) -> Option<Event> {
        match self.backlog.pop_front() {
            Some(event) => Some(event),
            None => self.events.recv().await,
        }
    }

    /// Runs `work` while events come in, which are kept for later.
    ///
    /// Of more than 100,000 events the oldest are dropped.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        let mut open = true;
        loop {
            tokio::select! {
                done = &mut work => return done,
                event = self.events.recv(), if open => match event {
                    Some(event) => {
                        if self.backlog.len() == BACKLOG_EVENTS_MAX {
                            self.backlog.pop_front();
                        }
                        self.backlog.push_back(event);
                    }
                    None => open = false,
                },
            }
        }
    }

    /// How the session ended, once [`Events::next`] has given `None`.
    pub fn end(&self) -> End {
        locked(&self.shared.end).clone().unwrap_or_default()
    }
}
