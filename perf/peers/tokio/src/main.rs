//! A Multiplayer Piano server the way it is usually written for tokio: tokio-tungstenite, a socket split into a task
//! that reads and a task that writes, and a broadcast channel a room.
//!
//! It limits nothing. A receiver that falls behind its room's channel misses messages and goes on, which is what
//! usually happens when somebody does not think about it.
//!
//! One task that selects over socket and room would be shorter. But tungstenite clears its read buffer of 128 KiB
//! each time it is asked whether there is something to read, and that would be once a message sent: a third of all CPU
//! time, and nobody's usual way once they have looked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Parser;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast::{self, Receiver, Sender, error::RecvError};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_async};

/// Messages that a room keeps for receivers that are behind.
const ROOM_CAPACITY: usize = 1024;

/// A Multiplayer Piano server on tokio.
#[derive(Debug, Parser)]
struct Options {
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:9800")]
    listen: SocketAddr,
    /// Worker threads of the runtime.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
}

/// What a client sends. Anything else is ignored.
#[derive(Deserialize)]
#[serde(tag = "m")]
enum Incoming {
    #[serde(rename = "hi")]
    Hi,
    #[serde(rename = "ch")]
    Join {
        #[serde(rename = "_id")]
        name: String,
    },
    #[serde(rename = "n")]
    Notes { t: Number, n: Vec<Value> },
    #[serde(rename = "a")]
    Chat { message: String },
    #[serde(rename = "m")]
    Move { x: Value, y: Value },
    #[serde(rename = "t")]
    Time { e: Option<Number> },
    #[serde(rename = "+ls")]
    List,
    #[serde(rename = "-ls")]
    Unlist,
    #[serde(rename = "bye")]
    Bye,
}

/// What it is sent. The tag comes first, which clients that do not parse rely on.
#[derive(Serialize)]
#[serde(tag = "m")]
enum Outgoing<'a> {
    #[serde(rename = "b")]
    Challenge { code: &'a str },
    #[serde(rename = "hi")]
    Hi { t: u64, u: &'a User, permissions: Value, motd: &'a str },
    #[serde(rename = "ch")]
    Channel { p: &'a str, ch: Channel<'a>, ppl: Vec<&'a User> },
    #[serde(rename = "p")]
    Joined(&'a User),
    #[serde(rename = "bye")]
    Left { p: &'a str },
    #[serde(rename = "n")]
    Notes { t: Number, p: &'a str, n: Vec<Value> },
    #[serde(rename = "a")]
    Chat { t: u64, a: &'a str, p: &'a User },
    #[serde(rename = "m")]
    Move { id: &'a str, x: &'a Value, y: &'a Value },
    #[serde(rename = "t")]
    Time {
        t: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        e: Option<Number>,
    },
    #[serde(rename = "ls")]
    List { c: bool, u: Vec<Channel<'a>> },
}

#[derive(Clone, Serialize)]
struct User {
    id: String,
    #[serde(rename = "_id")]
    user_id: String,
    name: String,
    color: String,
    x: Value,
    y: Value,
}

#[derive(Serialize)]
struct Channel<'a> {
    #[serde(rename = "_id")]
    name: &'a str,
    id: &'a str,
    count: usize,
    settings: Value,
}

impl<'a> Channel<'a> {
    fn new(name: &'a str, count: usize) -> Self {
        let settings = json!({
            "lobby": true, "visible": true, "chat": true, "crownsolo": false,
            "color": "#73b3cc", "color2": "#273546",
        });
        Self { name, id: name, count, settings }
    }
}

/// A frame for everybody who is subscribed, except one connection.
#[derive(Clone)]
struct Broadcast {
    except: Option<u64>,
    text: Utf8Bytes,
}

struct Room {
    /// By id.
    people: HashMap<String, User>,
    sender: Sender<Broadcast>,
}

/// What all connections share.
struct Hub {
    rooms: Mutex<HashMap<String, Room>>,
    /// Changes of the list of rooms.
    list: Sender<Broadcast>,
    /// How many connections there were.
    connections: AtomicU64,
}

impl Hub {
    fn rooms(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        self.rooms.lock().expect("nothing panics while it holds the rooms")
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("raise the limit of open files")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(options.threads.into())
        .enable_all()
        .build()?;
    runtime.block_on(serve(options.listen))
}

async fn serve(listen: SocketAddr) -> Result<()> {
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen at {listen}"))?;
    let list = broadcast::channel(ROOM_CAPACITY).0;
    let hub = Arc::new(Hub { rooms: Mutex::default(), list, connections: AtomicU64::new(0) });
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let hub = hub.clone();
                // How a connection ends concerns nobody else.
                tokio::spawn(async move { _ = connection(stream, hub).await });
            }
            // Out of descriptors, mostly; some will be free in a moment.
            Err(error) => {
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, hub: Arc<Hub>) -> Result<()> {
    // As the other peers' libraries do by themselves; without it a note waits for the last one's ACK.
    stream.set_nodelay(true)?;
    let (sink, mut source) = accept_async(stream).await?.split();
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes)?;
    let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let user = User {
        user_id: id.clone(),
        name: "Anonymous".into(),
        color: format!("#{}", &id[..6]),
        x: 200.into(),
        y: 100.into(),
        id,
    };
    let number = hub.connections.fetch_add(1, Ordering::Relaxed);
    let (orders, queue) = mpsc::unbounded_channel();
    let mut client = Client { number, hub, user, seat: None, orders };
    client.send(&Outgoing::Challenge { code: "" });
    tokio::spawn(write(sink, queue, number));
    while let Some(Ok(message)) = source.next().await {
        if let Message::Text(text) = message {
            client.frame(&text);
        }
    }
    client.leave();
    Ok(())
}

/// What the reading side asks of the writing side. Dropping the sender ends it.
enum Order {
    Send(Utf8Bytes),
    /// Send this, and then what the room says.
    Enter(Utf8Bytes, Receiver<Broadcast>),
    Follow(Receiver<Broadcast>),
    Unfollow,
    Close,
}

async fn write(
    mut sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    mut orders: UnboundedReceiver<Order>,
    number: u64,
) -> Result<(), tungstenite::Error> {
    let (mut room, mut list) = (None, None);
    loop {
        let broadcast = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Send(text)) => Broadcast { except: None, text },
                Some(Order::Enter(text, receiver)) => {
                    room = Some(receiver);
                    Broadcast { except: None, text }
                }
                Some(Order::Follow(receiver)) => {
                    list = Some(receiver);
                    continue;
                }
                Some(Order::Unfollow) => {
                    list = None;
                    continue;
                }
                Some(Order::Close) => return sink.close().await,
                None => return Ok(()),
            },
            broadcast = next(&mut room) => broadcast,
            broadcast = next(&mut list) => broadcast,
        };
        if broadcast.except != Some(number) {
            sink.send(Message::Text(broadcast.text)).await?;
        }
    }
}

struct Seat {
    name: String,
    sender: Sender<Broadcast>,
}

/// The reading side of a connection.
struct Client {
    number: u64,
    hub: Arc<Hub>,
    user: User,
    seat: Option<Seat>,
    orders: UnboundedSender<Order>,
}

impl Client {
    fn frame(&mut self, text: &str) {
        let messages: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
        for message in messages {
            if let Ok(message) = serde_json::from_value(message) {
                self.message(message);
            }
        }
    }

    fn message(&mut self, message: Incoming) {
        match message {
            Incoming::Hi => {
                let (t, u) = (now_ms(), &self.user);
                self.send(&Outgoing::Hi { t, u, permissions: json!({}), motd: "Welcome" });
            }
            Incoming::Join { name } => self.join(&name),
            Incoming::Notes { t, n } => {
                self.broadcast(&Outgoing::Notes { t, p: &self.user.id, n }, true);
            }
            Incoming::Chat { message } => {
                let chat = Outgoing::Chat { t: now_ms(), a: &message, p: &self.user };
                self.broadcast(&chat, false);
            }
            Incoming::Move { x, y } => {
                self.broadcast(&Outgoing::Move { id: &self.user.id, x: &x, y: &y }, true);
                (self.user.x, self.user.y) = (x, y);
                if let Some(seat) = &self.seat
                    && let Some(room) = self.hub.rooms().get_mut(&seat.name)
                {
                    room.people.insert(self.user.id.clone(), self.user.clone());
                }
            }
            Incoming::Time { e } => self.send(&Outgoing::Time { t: now_ms(), e }),
            Incoming::List => {
                self.order(Order::Follow(self.hub.list.subscribe()));
                let rooms = self.hub.rooms();
                let u = rooms.iter().map(|(name, room)| Channel::new(name, room.people.len()));
                self.send(&Outgoing::List { c: true, u: u.collect() });
            }
            Incoming::Unlist => self.order(Order::Unfollow),
            Incoming::Bye => self.order(Order::Close),
        }
    }

    /// Takes a seat in the room, or tells who is there when this client has it already.
    fn join(&mut self, name: &str) {
        if self.seat.as_ref().is_none_or(|seat| seat.name != name) {
            self.leave();
        }
        let hub = self.hub.clone();
        let mut rooms = hub.rooms();
        let room = rooms.entry(name.to_owned()).or_insert_with(|| Room {
            people: HashMap::new(),
            sender: broadcast::channel(ROOM_CAPACITY).0,
        });
        let seat = Seat { name: name.to_owned(), sender: room.sender.clone() };
        let entered = self.seat.replace(seat).is_none();
        if entered {
            room.people.insert(self.user.id.clone(), self.user.clone());
            send_to(&room.sender, &Outgoing::Joined(&self.user), Some(self.number));
            let u = vec![Channel::new(name, room.people.len())];
            send_to(&hub.list, &Outgoing::List { c: false, u }, None);
        }
        let ch = Channel::new(name, room.people.len());
        let ppl = room.people.values().collect();
        let text = encode(&Outgoing::Channel { p: &self.user.id, ch, ppl });
        self.order(match entered {
            true => Order::Enter(text, room.sender.subscribe()),
            false => Order::Send(text),
        });
    }

    fn leave(&mut self) {
        let Some(seat) = self.seat.take() else { return };
        let mut rooms = self.hub.rooms();
        let Some(room) = rooms.get_mut(&seat.name) else { return };
        room.people.remove(&self.user.id);
        send_to(&room.sender, &Outgoing::Left { p: &self.user.id }, Some(self.number));
        let count = room.people.len();
        if count == 0 {
            rooms.remove(&seat.name);
        }
        let u = vec![Channel::new(&seat.name, count)];
        send_to(&self.hub.list, &Outgoing::List { c: false, u }, None);
    }

    /// To everybody in the room, or to all but this client.
    fn broadcast(&self, message: &Outgoing<'_>, except_self: bool) {
        if let Some(seat) = &self.seat {
            send_to(&seat.sender, message, except_self.then_some(self.number));
        }
    }

    fn send(&self, message: &Outgoing<'_>) {
        self.order(Order::Send(encode(message)));
    }

    fn order(&self, order: Order) {
        // It fails when the writing side has ended, and then the reading side is about to.
        _ = self.orders.send(order);
    }
}

/// The next thing to pass on; never, without a receiver. What was missed is gone.
async fn next(receiver: &mut Option<Receiver<Broadcast>>) -> Broadcast {
    let Some(receiver) = receiver else { return std::future::pending().await };
    loop {
        match receiver.recv().await {
            Ok(broadcast) => return broadcast,
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

fn send_to(sender: &Sender<Broadcast>, message: &Outgoing<'_>, except: Option<u64>) {
    // It fails when nobody is subscribed, and then nobody wants it.
    _ = sender.send(Broadcast { except, text: encode(message) });
}

/// A frame holds an array of messages; these hold one.
fn encode(message: &Outgoing<'_>) -> Utf8Bytes {
    serde_json::to_string(&[message]).expect("plain data serializes").into()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as u64
}
