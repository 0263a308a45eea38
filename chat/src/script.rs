//! The commands for scripts: each does one thing, prints plain lines or JSON, and ends.

use crate::args::Do;
use anyhow::{Context, Result, bail};
use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::AsyncBufReadExt;
use tokio::time::{sleep, timeout};
use tutti_chat::files::{self, FileFault};
use tutti_chat::link::{Link, News, is_passing};
use tutti_chat::session::{Answer, Dialer, Events, NoSession, Session, Target, Unanswered};
use tutti_chat::wire::{Command, Event, Message, RoomInit, close, code};

/// How long a room may take to open.
const ENTER_TIMEOUT: Duration = Duration::from_secs(15);
/// How often an upload is gone on with over another connection.
const UPLOAD_TRIES: u32 = 8;
/// How long a command tries to get a session, and to get one again for an upload.
const CONNECT_FOR: Duration = Duration::from_secs(30);
const COME_BACK_FOR: Duration = Duration::from_secs(60);
/// The first wait before connecting again, which doubles.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// How long to wait after a refusal for haste that does not say how long.
const HASTE: Duration = Duration::from_secs(1);

pub(crate) async fn run(target: Target, what: &Do) -> Result<()> {
    if let Do::Tail { room, json, history, count } = what {
        return tail(target, room, *json, *history, *count).await;
    }
    let dialer = Dialer::new(target)?;
    let (session, events) = connect(&dialer, CONNECT_FOR, false).await?;
    let mut talk = Talk { dialer, session, events };
    let result = match what {
        Do::Send { room, text, reply_to, action, json } => {
            let kind = if *action { "action" } else { "text" };
            talk.send(room, text, *reply_to, kind, *json).await
        }
        Do::Upload { room, file, text } => talk.upload(room, file, text.as_deref()).await,
        Do::Download { room, address, output, force } => {
            talk.download(room, address, output, *force).await
        }
        Do::Rooms { filter, json } => talk.rooms(filter.as_deref(), *json).await,
        Do::Who { room, json } => talk.who(room, *json).await,
        Do::Open { .. } | Do::Tail { .. } => Ok(()),
    };
    talk.session.goodbye("done").await;
    result
}

/// Connects, and again for so long while that may go better. A name that is in use is somebody else's, unless there may
/// be an earlier connection of ours.
async fn connect(
    dialer: &Dialer,
    patience: Duration,
    mut is_again: bool,
) -> Result<(Session, Events), NoSession> {
    let began = Instant::now();
    let mut pause = RETRY_FIRST;
    loop {
        let e = match dialer.connect(&[]).await {
            Ok(session) => return Ok(session),
            Err(e) => e,
        };
        let is_final = !is_again && matches!(e, NoSession::Refused(_));
        if is_final || !is_passing(&e) || began.elapsed() >= patience {
            return Err(e);
        }
        is_again = true;
        trying_again(&e.to_string(), pause);
        sleep(pause).await;
        pause *= 2;
    }
}

fn trying_again(why: &str, pause: Duration) {
    eprintln!("tutti-chat: {why}; trying again in {:.1} s", pause.as_secs_f32());
}

/// What names a room on the command line.
enum Named<'a> {
    Name(&'a str),
    Id(u64),
    User(u64),
}

impl<'a> Named<'a> {
    fn parse(text: &'a str) -> Result<Self> {
        if let Some(id) = text.strip_prefix("id:") {
            return Ok(Self::Id(
                id.parse().with_context(|| format!("`{text}` has no room's number"))?,
            ));
        }
        if let Some(id) = text.strip_prefix("user:") {
            return Ok(Self::User(
                id.parse().with_context(|| format!("`{text}` has no user's number"))?,
            ));
        }
        match text.strip_prefix('#').unwrap_or(text) {
            "" => bail!("a room has a name"),
            name => Ok(Self::Name(name)),
        }
    }

    fn enter(&self) -> Command {
        match *self {
            Self::Name(name) => Command::JoinByName { name: name.into() },
            Self::Id(room_id) => Command::JoinById { room_id },
            Self::User(user_id) => Command::OpenDirect { user_id },
        }
    }
}

struct Talk {
    dialer: Dialer,
    session: Session,
    events: Events,
}

/// Prints one line; `Err` when nobody reads any more.
fn print(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("standard output")
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&serde_json::to_string(value)?)
}

/// Text from elsewhere that stays on its line and cannot draw on the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Talk {
    /// Sends a command, again after a while when it came too fast.
    async fn request(&mut self, command: Command) -> Result<Answer> {
        for _ in 0..60 {
            match self.events.during(self.session.request(command.clone())).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered::Refused(fault)) if fault.code == code::RATE_LIMITED => {
                    let wait =
                        fault.retry_after_ms.map_or(HASTE, |ms| Duration::from_millis(ms.into()));
                    self.events.during(sleep(wait)).await;
                }
                Err(Unanswered::Ended) => bail!("{}", self.events.end()),
                Err(e) => return Err(e.into()),
            }
        }
        bail!("the server goes on saying that this is too fast")
    }

    async fn enter(&mut self, room: &str) -> Result<RoomInit> {
        let answer = self.request(Named::parse(room)?.enter()).await;
        let answer = answer.with_context(|| format!("cannot enter {room}"))?;
        let room_id = answer.room_id().context("the server does not say which room it is")?;
        let init = async {
            while let Some(event) = self.events.next().await {
                if let Event::RoomInit(init) = event
                    && init.room_id == room_id
                {
                    return Ok(*init);
                }
            }
            bail!("{}", self.events.end())
        };
        timeout(ENTER_TIMEOUT, init).await.with_context(|| format!("{room} does not open"))?
    }

    async fn send(
        &mut self,
        room: &str,
        text: &str,
        reply_to: Option<u64>,
        kind: &'static str,
        json: bool,
    ) -> Result<()> {
        let room_id = self.enter(room).await?.room_id;
        let say = |content: String| Command::SendMessage {
            room_id,
            content,
            reply_to,
            attachments: Vec::new(),
            kind,
        };
        if text != "-" {
            return self.say(say(text.to_owned()), json).await;
        }
        let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
        while let Some(line) =
            self.events.during(lines.next_line()).await.context("standard input")?
        {
            if !line.trim().is_empty() {
                self.say(say(line), json).await?;
            }
        }
        Ok(())
    }

    async fn say(&mut self, message: Command, json: bool) -> Result<()> {
        match self.request(message).await? {
            Answer::Accepted(ack) if json => print_json(&ack),
            _ => Ok(()),
        }
    }

    async fn upload(&mut self, room: &str, file: &Path, text: Option<&str>) -> Result<()> {
        let mut room_id = self.enter(room).await?.room_id;
        let mut tries = 0;
        let uploaded = loop {
            let upload = files::upload(&self.session, room_id, file, |_, _| {});
            match self.events.during(upload).await {
                Ok(uploaded) => break uploaded,
                Err(FileFault::Ended | FileFault::Stalled)
                    if tries < UPLOAD_TRIES
                        && self.events.end().code != Some(close::REMOVED.into()) =>
                {
                    // The server keeps what it has of the file for a while.
                    tries += 1;
                    self.come_back().await?;
                    room_id = self.enter(room).await?.room_id;
                }
                Err(e) => {
                    return Err(e).with_context(|| format!("cannot upload {}", file.display()));
                }
            }
        };
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let content = text.map(str::to_owned).or(name).unwrap_or_else(|| "file".into());
        let attachments = vec![uploaded.upload_id];
        let show =
            Command::SendMessage { room_id, content, reply_to: None, attachments, kind: "text" };
        self.request(show).await.context("the file is there, but it cannot be shown")?;
        print(&uploaded.url)
    }

    /// Connects again after a loss.
    async fn come_back(&mut self) -> Result<()> {
        sleep(RETRY_FIRST).await;
        let back = connect(&self.dialer, COME_BACK_FOR, true).await;
        (self.session, self.events) = back.context("the connection was lost")?;
        Ok(())
    }

    async fn download(&mut self, room: &str, address: &str, to: &Path, force: bool) -> Result<()> {
        let id = files::upload_id(address).with_context(|| {
            format!("`{address}` is neither an upload's number nor its address")
        })?;
        self.enter(room).await?;
        let fetched = files::download(&self.session, id, to, force, |_, _| {});
        let (path, _) = self.events.during(fetched).await?;
        print(&path.display().to_string())
    }

    async fn rooms(&mut self, filter: Option<&str>, json: bool) -> Result<()> {
        let mut after = None;
        loop {
            let filter = filter.map(str::to_owned);
            let page = self.request(Command::ListRooms { filter, after, limit: 200 }).await?;
            let Answer::Rooms(list) = page else { bail!("the server answers something else") };
            for room in &list.rooms {
                if json {
                    print_json(room)?;
                    continue;
                }
                let people = if room.member_count == 1 { "user" } else { "users" };
                let topic =
                    room.topic.as_deref().map_or(String::new(), |topic| format!("  {topic}"));
                print(&plain(&format!("#{} ({} {people}){topic}", room.name, room.member_count)))?;
            }
            match list.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn who(&mut self, room: &str, json: bool) -> Result<()> {
        let init = self.enter(room).await?;
        for user in &init.members {
            if json {
                print_json(user)?;
                continue;
            }
            let mut marks = Vec::new();
            marks.extend((user.user_id == self.session.auth().user_id).then_some("you"));
            marks.extend(user.role.as_deref().filter(|role| *role != "member"));
            marks.extend(user.presence.as_deref().filter(|presence| *presence != "online"));
            marks.extend(user.door.as_deref().filter(|door| *door != "quic"));
            let marks =
                if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) };
            print(&plain(&format!("{}{marks}", user.username)))?;
        }
        let rest = (init.member_count as usize).saturating_sub(init.members.len());
        if rest > 0 && !json {
            print(&format!("and {rest} more"))?;
        }
        Ok(())
    }
}

/// The time of day here.
pub(crate) fn local_time(unix_ms: u64, format: &str) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => at.to_zoned(jiff::tz::TimeZone::system()).strftime(format).to_string(),
        Err(_) => "?".into(),
    }
}

fn line(message: &Message) -> String {
    let time = local_time(message.timestamp, "%Y-%m-%d %H:%M:%S");
    let mut text = plain(&message.content);
    for file in &message.attachment_info {
        text.push_str(&plain(&format!(
            " [file] {} ({} bytes) {}",
            file.filename, file.size, file.url
        )));
    }
    let name = plain(&message.sender.username);
    match message.kind.as_str() {
        "action" => format!("[{time}] * {name} {text}"),
        _ => format!("[{time}] {name}: {text}"),
    }
}

/// Follows a room over reconnects; a message is printed once.
async fn tail(
    target: Target,
    room: &str,
    json: bool,
    history: usize,
    count: Option<usize>,
) -> Result<()> {
    let mut tail = Tail {
        json,
        room_id: None,
        known: VecDeque::new(),
        earlier: history,
        opened: false,
        left: count,
    };
    let enter = Named::parse(room)?.enter();
    let mut link = Link::start(Dialer::new(target)?, Vec::new());
    let mut entering = String::new();
    // Which room it is may become known after the room has begun.
    let mut unnamed: Vec<RoomInit> = Vec::new();
    while tail.left != Some(0) || !tail.opened {
        let news = tokio::select! {
            news = link.next() => news,
            signal = tokio::signal::ctrl_c() => { signal?; break }
        };
        match news {
            Some(News::Up { .. }) => entering = link.send(enter.clone()).await,
            Some(News::Event(event)) => match *event {
                Event::CommandOk(ok) if ok.nonce.as_ref() == Some(&entering) => {
                    tail.room_id = ok.room_id;
                    for init in unnamed.drain(..) {
                        tail.init(&init)?;
                    }
                }
                Event::Fault(fault) if fault.nonce.as_ref() == Some(&entering) => {
                    bail!("cannot enter {room}: {} ({})", fault.message, fault.code);
                }
                Event::RoomInit(init) if tail.room_id.is_none() => unnamed.push(*init),
                Event::RoomInit(init) => tail.init(&init)?,
                event if event.room_id().is_some() && event.room_id() == tail.room_id => {
                    tail.event(&event)?;
                }
                _ => {}
            },
            Some(News::Unsent { .. }) => {}
            Some(News::Down { why, retry_in: Some(pause) }) => {
                trying_again(&why, pause);
            }
            Some(News::Down { why, retry_in: None }) => bail!("{why}"),
            None => break,
        }
    }
    link.quit().await;
    Ok(())
}

/// More messages than a room begins with.
const KNOWN_MAX: usize = 1_000;

struct Tail {
    json: bool,
    room_id: Option<u64>,
    /// The newest messages that were printed or passed over. Their ids need not rise: a room may have another owner
    /// after the server has started anew.
    known: VecDeque<u64>,
    /// How many of those that the room begins with are printed.
    earlier: usize,
    opened: bool,
    left: Option<usize>,
}

impl Tail {
    fn init(&mut self, init: &RoomInit) -> Result<()> {
        if self.room_id != Some(init.room_id) {
            return Ok(());
        }
        self.opened = true;
        let recent = init.recent_messages.iter();
        let new: Vec<_> = recent.filter(|m| !self.known.contains(&m.message_id)).collect();
        new.iter().for_each(|message| self.know(message.message_id));
        let new: Vec<_> = new.into_iter().filter(|message| !message.deleted).collect();
        for message in &new[new.len().saturating_sub(self.earlier)..] {
            self.message(message)?;
        }
        // After a reconnect all that was missed is printed.
        self.earlier = usize::MAX;
        Ok(())
    }

    fn know(&mut self, id: u64) {
        if self.known.len() >= KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back(id);
    }

    fn message(&mut self, message: &Message) -> Result<()> {
        if self.json {
            return print_json(&Event::Message(message.clone()));
        }
        if message.deleted { Ok(()) } else { print(&line(message)) }
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Message(message) => {
                self.know(message.message_id);
                self.message(message)?;
                self.left = self.left.map(|left| left.saturating_sub(1));
                Ok(())
            }
            Event::RoomClose(closed) if closed.reason != "left" => {
                bail!("you are out: {}", closed.reason)
            }
            event if self.json => print_json(event),
            Event::MessageEdited(edit) => {
                let time = local_time(edit.edited_at, "%Y-%m-%d %H:%M:%S");
                print(&format!("[{time}] (edit of {}): {}", edit.message_id, plain(&edit.content)))
            }
            _ => Ok(()),
        }
    }
}
