//! Sessions one after the other: when one ends, the next begins in the same rooms and with what was not acknowledged.

use crate::session::{Credentials, Dialer, End, Events, NoSession, Session, random_nonce};
use crate::wire::{AuthOk, Command, Event, HelloAck, Signal, close, code};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// The first wait before connecting again; it doubles each time.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// The longest wait before connecting again.
const RETRY_LAST: Duration = Duration::from_secs(30);
/// A session that lived this long was a good one: the next wait is the first again.
const GOOD_SESSION: Duration = Duration::from_secs(30);
/// Messages that may wait for their acknowledgement, over all rooms.
pub const UNACKNOWLEDGED_MAX: usize = 200;
/// Messages that are sent at once after a pause; a server allows some more.
const BURST: usize = 5;
/// How long to wait when the server does not say how long.
const PACE: Duration = Duration::from_secs(1);
/// What may wait between the link and its user.
const QUEUE: usize = 1024;

/// What a [`Link`] has to tell.
#[derive(Clone, Debug)]
pub enum News {
    /// A session has begun; rooms follow as `RoomInit`.
    Up {
        /// What the server said of itself.
        hello: Box<HelloAck>,
        /// Who one is.
        auth: AuthOk,
        /// Whether it began with the first packet.
        early: bool,
    },
    /// Something happened.
    Event(Box<Event>),
    /// The session has ended, or did not begin.
    Down {
        /// In words.
        why: String,
        /// When the next try is; `None` means that there is none, because it would end in the same way.
        retry_in: Option<Duration>,
    },
    /// A command could not be sent, because there is no session, or too much waits already.
    Unsent {
        /// Its nonce.
        nonce: String,
        /// In words.
        why: &'static str,
    },
}

enum Ask {
    Command(Command, String),
    Signal(Signal),
    Session(tokio::sync::oneshot::Sender<Option<Session>>),
    Quit(tokio::sync::oneshot::Sender<()>),
}

/// A connection to a server that comes back.
#[derive(Debug)]
pub struct Link {
    asks: mpsc::Sender<Ask>,
    news: mpsc::Receiver<News>,
    nonces: (String, u64),
}

impl Link {
    /// Starts connecting, and enters `rooms` by name.
    pub fn start(dialer: Dialer, rooms: Vec<String>) -> Self {
        let (asks, asked) = mpsc::channel(QUEUE);
        let (tell, news) = mpsc::channel(QUEUE);
        let keeper = Keeper {
            dialer,
            asked,
            tell,
            rooms: BTreeMap::new(),
            names: rooms,
            unacknowledged: Vec::new(),
            send_at: None,
            session: None,
            nonces: (random_nonce(), 0),
        };
        tokio::spawn(keeper.run());
        Self { asks, news, nonces: (random_nonce(), 0) }
    }

    /// The next piece of news; `None` after [`Link::quit`], or after a `Down` without a next try.
    pub async fn next(&mut self) -> Option<News> {
        self.news.recv().await
    }

    /// Sends a command, whose answer comes as an event with the nonce that this returns.
    ///
    /// A message is kept and sent again until it is acknowledged; anything else needs a session.
    pub async fn send(&mut self, command: Command) -> String {
        self.nonces.1 += 1;
        let nonce = format!("{}-{}", self.nonces.0, self.nonces.1);
        let _ = self.asks.send(Ask::Command(command, nonce.clone())).await;
        nonce
    }

    /// Sends a receipt or a signal, if there is a session.
    pub async fn signal(&self, signal: Signal) {
        let _ = self.asks.send(Ask::Signal(signal)).await;
    }

    /// The session that is open now.
    pub async fn session(&self) -> Option<Session> {
        let (tell, told) = tokio::sync::oneshot::channel();
        self.asks.send(Ask::Session(tell)).await.ok()?;
        told.await.ok().flatten()
    }

    /// Says goodbye and ends.
    pub async fn quit(mut self) {
        let (tell, told) = tokio::sync::oneshot::channel();
        let _ = self.asks.send(Ask::Quit(tell)).await;
        // News are taken so that the other side gets to the question.
        self.news.close();
        let _ = told.await;
    }
}

/// The side of the link that has the session.
struct Keeper {
    dialer: Dialer,
    asked: mpsc::Receiver<Ask>,
    tell: mpsc::Sender<News>,
    /// Rooms that one is in, and the names of those that are entered by name.
    rooms: BTreeMap<u64, Option<String>>,
    /// Rooms to enter that the server has not answered for yet.
    names: Vec<String>,
    unacknowledged: Vec<Unacknowledged>,
    /// When those that are not sent are sent.
    send_at: Option<Instant>,
    session: Option<Session>,
    nonces: (String, u64),
}

/// A message that the server has not taken yet.
struct Unacknowledged {
    nonce: String,
    command: Command,
    /// In this session, and not refused for its haste.
    sent: bool,
}

/// What ends the link for ever.
struct Quit;

impl Keeper {
    async fn run(mut self) {
        let _ = self.keep().await;
    }

    async fn keep(&mut self) -> Result<(), Quit> {
        let mut wait = RETRY_FIRST;
        loop {
            let began = Instant::now();
            let (why, retry_after, again) = match self.connect().await? {
                Ok((session, events)) => {
                    let end = self.live(session, events).await?;
                    if began.elapsed() >= GOOD_SESSION {
                        wait = RETRY_FIRST;
                    }
                    let after = end.goodbye.as_ref().and_then(|goodbye| goodbye.retry_after_ms);
                    (end.to_string(), after, end.code != Some(close::REMOVED.into()))
                }
                Err(e) => (e.to_string(), None, is_passing(&e)),
            };
            // Not all clients of a server that restarts come back in one instant.
            let jitter = getrandom::u64().unwrap_or(0) % (wait.as_millis() as u64 / 2);
            let pause = wait.max(Duration::from_millis(retry_after.unwrap_or(0).into()))
                + Duration::from_millis(jitter);
            wait = (wait * 2).min(RETRY_LAST);
            self.tell(News::Down { why, retry_in: again.then_some(pause) }).await?;
            if !again {
                return Ok(());
            }
            let until = Instant::now() + pause;
            loop {
                tokio::select! {
                    () = sleep_until(until) => break,
                    ask = self.asked.recv() => self.answer(ask).await?,
                }
            }
        }
    }

    async fn tell(&self, news: News) -> Result<(), Quit> {
        self.tell.send(news).await.map_err(|_| Quit)
    }

    fn nonce(&mut self) -> String {
        self.nonces.1 += 1;
        format!("{}-{}", self.nonces.0, self.nonces.1)
    }

    /// All that has to be said again goes with the first packets of the new session.
    async fn connect(&mut self) -> Result<Result<(Session, Events), NoSession>, Quit> {
        let mut first = Vec::new();
        let names: Vec<_> = self.rooms.values().flatten().chain(&self.names).cloned().collect();
        for name in names {
            let nonce = self.nonce();
            first.push(Command::JoinByName { name }.encode(&nonce));
        }
        for (n, message) in self.unacknowledged.iter_mut().enumerate() {
            message.sent = n < BURST;
            if message.sent {
                first.push(message.command.encode(&message.nonce));
            }
        }
        let dialer = self.dialer.clone();
        let connecting = dialer.connect(&first);
        tokio::pin!(connecting);
        loop {
            tokio::select! {
                done = &mut connecting => return Ok(done),
                ask = self.asked.recv() => self.answer(ask).await?,
            }
        }
    }

    async fn live(&mut self, session: Session, mut events: Events) -> Result<End, Quit> {
        let early = session.was_early();
        let hello = Box::new(session.hello().clone());
        let auth = session.auth().clone();
        self.session = Some(session);
        self.tell(News::Up { hello, auth, early }).await?;
        let unsent = self.unacknowledged.iter().any(|message| !message.sent);
        self.send_at = unsent.then(|| Instant::now() + PACE);
        loop {
            let send_at = self.send_at.unwrap_or_else(Instant::now);
            tokio::select! {
                event = events.next() => match event {
                    Some(event) if self.is_haste(&event) => {}
                    Some(event) => {
                        self.note(&event);
                        self.tell(News::Event(Box::new(event))).await?;
                    }
                    None => break,
                },
                () = sleep_until(send_at), if self.send_at.is_some() => self.send_rest().await,
                ask = self.asked.recv() => self.answer(ask).await?,
            }
        }
        self.session = None;
        Ok(events.end())
    }

    /// Whether a message was refused because it came too fast; then it is sent again later.
    fn is_haste(&mut self, event: &Event) -> bool {
        let Event::Fault(fault) = event else { return false };
        if fault.code != code::RATE_LIMITED {
            return false;
        }
        let of = |message: &&mut Unacknowledged| fault.nonce.as_ref() == Some(&message.nonce);
        let Some(message) = self.unacknowledged.iter_mut().find(of) else { return false };
        message.sent = false;
        let wait = fault.retry_after_ms.map_or(PACE, |ms| Duration::from_millis(ms.into()));
        self.send_at = self.send_at.max(Some(Instant::now() + wait));
        true
    }

    /// Sends what is not sent yet, some at a time.
    async fn send_rest(&mut self) {
        let Some(session) = self.session.clone() else { return };
        let mut left = BURST;
        for message in self.unacknowledged.iter_mut().filter(|message| !message.sent) {
            if left == 0 {
                self.send_at = Some(Instant::now() + PACE);
                return;
            }
            left -= 1;
            message.sent = session.send(&message.command, &message.nonce).await;
        }
        self.send_at = None;
    }

    /// Keeps in mind what the next session needs.
    fn note(&mut self, event: &Event) {
        match event {
            Event::RoomInit(room) => {
                self.names.retain(|name| *name != room.name);
                // Group and direct rooms are entered by the server itself, the lobby too, but it may be another lobby.
                let by_name = (room.room_type == "channel").then(|| room.name.clone());
                self.rooms.insert(room.room_id, by_name);
            }
            Event::RoomUpdated(room) => {
                if let Some(Some(name)) = self.rooms.get_mut(&room.room_id) {
                    name.clone_from(&room.name);
                }
            }
            Event::RoomClose(closed) => {
                self.rooms.remove(&closed.room_id);
            }
            Event::MessageAck(ack) => {
                self.unacknowledged.retain(|message| message.nonce != ack.nonce);
            }
            Event::Fault(fault) => {
                self.unacknowledged.retain(|message| fault.nonce.as_ref() != Some(&message.nonce));
            }
            _ => {}
        }
    }

    async fn transmit(&self, command: &Command, nonce: &str) -> bool {
        match &self.session {
            Some(session) => session.send(command, nonce).await,
            None => false,
        }
    }

    async fn answer(&mut self, ask: Option<Ask>) -> Result<(), Quit> {
        match ask {
            None => Err(self.end().await),
            Some(Ask::Quit(tell)) => {
                let quit = self.end().await;
                let _ = tell.send(());
                Err(quit)
            }
            Some(Ask::Session(tell)) => {
                let _ = tell.send(self.session.clone());
                Ok(())
            }
            Some(Ask::Signal(signal)) => {
                if let Some(session) = &self.session {
                    session.signal(&signal).await;
                }
                Ok(())
            }
            Some(Ask::Command(command, nonce)) => {
                let is_message = matches!(command, Command::SendMessage { .. });
                if is_message && self.unacknowledged.len() >= UNACKNOWLEDGED_MAX {
                    let why = "too many messages wait for the server";
                    return self.tell(News::Unsent { nonce, why }).await;
                }
                if is_message {
                    // Behind those that wait, so that they are heard in the order in which they were written.
                    let sent = self.send_at.is_none() && self.transmit(&command, &nonce).await;
                    self.unacknowledged.push(Unacknowledged { nonce, command, sent });
                    Ok(())
                } else if self.transmit(&command, &nonce).await {
                    Ok(())
                } else {
                    self.tell(News::Unsent { nonce, why: "there is no connection" }).await
                }
            }
        }
    }

    async fn end(&mut self) -> Quit {
        if let Some(session) = self.session.take() {
            session.goodbye("bye").await;
        }
        Quit
    }
}

/// Whether another try may go better.
pub fn is_passing(e: &NoSession) -> bool {
    match e {
        // The connection before may not be noticed as gone yet.
        NoSession::Refused(failed) => {
            failed.code == code::NAME_IN_USE || failed.code == code::RATE_LIMITED
        }
        NoSession::Ended(end) => {
            !matches!(end.code, Some(0x178)) && end.code != Some(close::AUTH_FAILED.into())
        }
        NoSession::Timeout => true,
        NoSession::Local(_) | NoSession::Distrust(_) | NoSession::Protocol(_) => false,
    }
}

impl Credentials {
    /// The name that is asked for; a token has its own.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Token(_) => None,
        }
    }
}
