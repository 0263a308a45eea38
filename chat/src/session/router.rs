//! The tasks of one session: readers of all streams, one router that orders and delivers, and writers.

use super::{Answer, End, FrameReader, QUEUE_FRAMES, ReadFault, Shared, Watched, locked};
use crate::frame::{self, Frame, kind};
use crate::order::Order;
use crate::wire::{Control, Event, Fault, close};
use bytes::Bytes;
use quinn::VarInt;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long the readers have to hand over what came before the end.
const LAST_FRAMES: Duration = Duration::from_millis(50);

/// A frame that came, or what is wrong with the stream it should have come on.
enum Came {
    /// On control, or in a datagram.
    Control(Frame),
    /// On a lane or a hot stream.
    Room(Frame),
    Wrong {
        code: u32,
        why: String,
    },
}

/// Where all that the server sends comes together.
pub(super) struct Router {
    shared: Arc<Shared>,
    order: Order,
    control: mpsc::Sender<Option<Bytes>>,
    events: mpsc::Sender<Event>,
    goodbye: Option<crate::wire::Goodbye>,
}

impl Router {
    pub(super) fn new(
        shared: Arc<Shared>,
        control: mpsc::Sender<Option<Bytes>>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self { shared, order: Order::default(), control, events, goodbye: None }
    }

    /// Runs until the connection ends or the server breaks the protocol.
    pub(super) async fn run(
        mut self,
        connection: quinn::Connection,
        control: FrameReader,
        first: VecDeque<Frame>,
    ) {
        let (came_tx, mut came) = mpsc::channel(QUEUE_FRAMES);
        let readers = [
            tokio::spawn(read_control(control, came_tx.clone())),
            tokio::spawn(read_datagrams(connection.clone(), came_tx.clone())),
            tokio::spawn(accept(connection.clone(), came_tx)),
        ];
        let mut fault = None;
        for frame in first {
            fault = self.take(Came::Control(frame)).await.err().or(fault);
        }
        while fault.is_none() {
            tokio::select! {
                biased;
                Some(next) = came.recv() => fault = self.take(next).await.err(),
                _ = connection.closed() => break,
            }
        }
        // What arrived just before the end may still be with the readers: the reason, above all.
        while fault.is_none()
            && let Ok(Some(next)) = timeout(LAST_FRAMES, came.recv()).await
        {
            fault = self.take(next).await.err();
        }
        let mut end = match fault {
            Some((code, why)) => {
                connection.close(VarInt::from_u32(code), why.as_bytes());
                End { code: None, why, goodbye: None }
            }
            None => End::new(&connection.closed().await),
        };
        end.goodbye = self.goodbye.take();
        *locked(&self.shared.end) = Some(end);
        // Those that wait for answers are told by the drop.
        locked(&self.shared.waiting).clear();
        locked(&self.shared.uploads).clear();
        for reader in readers {
            reader.abort();
        }
    }

    /// `Err` is the close code and the reason of what the server did wrong.
    async fn take(&mut self, came: Came) -> Result<(), (u32, String)> {
        let (frame, on_room_stream) = match came {
            Came::Control(frame) => (frame, false),
            Came::Room(frame) => (frame, true),
            Came::Wrong { code, why } => return Err((code, why)),
        };
        let bytes = frame.payload.len();
        let event = Event::read(&frame).map_err(|e| (close::PROTOCOL, e.to_string()))?;
        let Some(event) = event else { return Ok(()) };
        if on_room_stream && event.room_id().is_none() {
            let why = format!("a frame of type {:#04x} on a stream of rooms", frame.kind);
            return Err((close::PROTOCOL, why));
        }
        let mut out = Vec::new();
        self.order.take(event, bytes, &mut out).map_err(|e| (close::PROTOCOL, e.to_string()))?;
        for event in out {
            self.deliver(event).await;
        }
        Ok(())
    }

    async fn deliver(&mut self, event: Event) {
        match &event {
            Event::Ping { timestamp } => {
                let pong = Control::Pong { timestamp: *timestamp }.encode();
                let _ = self.control.try_send(Some(pong));
                return;
            }
            Event::UploadAck(_) | Event::UploadCancelled(_) => return self.deliver_upload(event),
            Event::Goodbye(goodbye) => self.goodbye = Some(goodbye.clone()),
            Event::Fault(fault) => {
                if let Some(nonce) = &fault.nonce {
                    if let Some(upload) = locked(&self.shared.uploads).get(nonce) {
                        let _ = upload.news.send(event);
                        return;
                    }
                    self.answer(nonce, None, Err(fault.clone()));
                }
            }
            Event::CommandOk(ok) => {
                if let Some(nonce) = &ok.nonce {
                    self.answer(nonce, Some(ok.command), Ok(Answer::Done(ok.clone())));
                }
            }
            Event::MessageAck(ack) => {
                self.answer(&ack.nonce, None, Ok(Answer::Accepted(ack.clone())));
            }
            Event::RoomList(list) => {
                if let Some(nonce) = &list.nonce {
                    self.answer(nonce, None, Ok(Answer::Rooms(list.clone())));
                }
            }
            Event::RoomHistory(history) => {
                if let Some(nonce) = &history.nonce {
                    self.answer(nonce, None, Ok(Answer::History(history.clone())));
                }
            }
            _ => {}
        }
        // When nobody wants events any more the session goes on for its other users.
        let _ = self.events.send(event).await;
    }

    /// Tells the one who waits for `nonce`. `CommandOk` does not answer what asks for a list.
    fn answer(&self, nonce: &str, done: Option<u8>, answer: Result<Answer, Fault>) {
        let mut waiting = locked(&self.shared.waiting);
        let wants_list = [kind::LIST_ROOMS, kind::FETCH_HISTORY];
        if done.is_some() && waiting.get(nonce).is_some_and(|(kind, _)| wants_list.contains(kind)) {
            return;
        }
        if let Some((_, tell)) = waiting.remove(nonce) {
            let _ = tell.send(answer);
        }
    }

    fn deliver_upload(&self, event: Event) {
        let mut uploads = locked(&self.shared.uploads);
        let (id, nonce) = match &event {
            Event::UploadAck(ack) => (ack.upload_id, ack.nonce.as_ref()),
            Event::UploadCancelled(cancel) => (cancel.upload_id, None),
            _ => return,
        };
        let of = |(key, upload): &(&String, &mut Watched)| match nonce {
            Some(nonce) => nonce == *key,
            None => upload.id == Some(id),
        };
        if let Some((_, upload)) = uploads.iter_mut().find(of) {
            upload.id = Some(id);
            let _ = upload.news.send(event);
        }
    }
}

async fn read_control(mut reader: FrameReader, came: mpsc::Sender<Came>) {
    loop {
        let next = match reader.next().await {
            Ok(Some(frame)) => Came::Control(frame),
            // The connection's end tells more than the stream's.
            Ok(None) | Err(ReadFault::Stream(_)) => return std::future::pending().await,
            Err(ReadFault::Frame(e)) => Came::Wrong { code: close::TOO_LARGE, why: e.to_string() },
        };
        if came.send(next).await.is_err() {
            return;
        }
    }
}

async fn read_datagrams(connection: quinn::Connection, came: mpsc::Sender<Came>) {
    while let Ok(datagram) = connection.read_datagram().await {
        let Some(frame) = frame::whole(datagram) else { continue };
        let known = (kind::TYPING..=kind::PRESENCE_AWAY).contains(&frame.kind);
        // Anything else in a datagram is nothing. One that cannot be read is not worth a session either.
        if known && Event::read(&frame).is_ok() && came.send(Came::Control(frame)).await.is_err() {
            return;
        }
    }
}

/// Takes the streams that the server opens, each read by a task of its own, so that none waits for another.
async fn accept(connection: quinn::Connection, came: mpsc::Sender<Came>) {
    while let Ok(stream) = connection.accept_uni().await {
        tokio::spawn(read_rooms(FrameReader::new(stream), came.clone()));
    }
}

async fn read_rooms(mut reader: FrameReader, came: mpsc::Sender<Came>) {
    let mut opened = false;
    loop {
        let next = match reader.next().await {
            Ok(Some(frame)) if opened => Came::Room(frame),
            Ok(Some(frame)) if frame.kind == kind::STREAM_OPEN => {
                opened = true;
                Came::Control(frame)
            }
            Ok(Some(frame)) => Came::Wrong {
                code: close::PROTOCOL,
                why: format!("a stream begins with a frame of type {:#04x}", frame.kind),
            },
            Ok(None) | Err(ReadFault::Stream(_)) => return,
            Err(ReadFault::Frame(e)) => Came::Wrong { code: close::TOO_LARGE, why: e.to_string() },
        };
        if came.send(next).await.is_err() {
            return;
        }
    }
}

/// Writes what comes to `stream`, and ends the stream with `None`.
pub(super) async fn write_control(
    mut stream: quinn::SendStream,
    mut frames: mpsc::Receiver<Option<Bytes>>,
) {
    while let Some(frame) = frames.recv().await {
        let Some(frame) = frame else {
            let _ = stream.finish();
            // Dropping the stream earlier would be the same; what is queued behind is not wanted any more.
            return;
        };
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}

pub(super) async fn write(mut stream: quinn::SendStream, mut frames: mpsc::Receiver<Bytes>) {
    while let Some(frame) = frames.recv().await {
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// The ACK stream is opened with the first receipt.
pub(super) async fn write_receipts(
    connection: quinn::Connection,
    mut frames: mpsc::Receiver<Bytes>,
) {
    let Some(first) = frames.recv().await else { return };
    let Ok(mut stream) = connection.open_uni().await else { return };
    if stream.write_all(&first).await.is_ok() {
        write(stream, frames).await;
    }
}
