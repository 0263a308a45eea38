//! Files: uploads and downloads of a session, and showing them in messages.
//!
//! Each has a stream of its own. The next piece is asked for, or read, when the last one was answered, so neither fills
//! memory, and what is said on other streams passes by.

use super::{Ask, CONTROL, Outlet, Phase, Session, commands::NOT_IN, inlet::Verdict};
use crate::{
    doors::quic::{
        ErrorCode,
        client::{Refusal, UploadFrame, UploadPart, UploadStart},
        frame::{self, Frame, kind},
        stream_code,
        wire::{self, ErrorInfo},
    },
    quic::{Link, StreamId},
    uploads::{Answer, Fault, PIECE_BYTES_MAX, Request, Start},
};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};
use tutti_shards::{Attachment, Now, RoomCommand, RoomId, RoomRequest, UploadId};

/// Downloads of a connection at once.
const DOWNLOADS_MAX: usize = 2;
/// Bytes after which a client is told how far its upload is; with a piece on top it is still told often enough.
const ACK_EVERY: u64 = 64 << 10;
/// What is said to one who shows a file that is not theirs to show there.
const NO_UPLOAD: &str = "no such upload";
/// How downloads rank among streams.
const PRIORITY_DOWNLOAD: u8 = 50;

/// What holds for the files of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileLimits {
    /// Most bytes of an upload; 0 when none are taken.
    pub bytes_max: u64,
    /// Most uploads at once.
    pub at_once_max: usize,
    /// How long nothing may come of an upload, or be taken of a download.
    pub stall: Duration,
}

impl FileLimits {
    /// No files are taken.
    pub const NONE: FileLimits =
        FileLimits { bytes_max: 0, at_once_max: 2, stall: Duration::from_secs(30) };

    fn stall_us(&self) -> u64 {
        self.stall.as_micros() as u64
    }
}

/// Files on their way.
#[derive(Debug, Default)]
pub(super) struct Files {
    uploads: BTreeMap<StreamId, Uploading>,
    downloads: BTreeMap<StreamId, Downloading>,
    /// A message that waits until it is known whether its author may show these files.
    claim: Option<Box<(u32, RoomId, RoomRequest)>>,
}

#[derive(Debug)]
struct Uploading {
    nonce: String,
    room: u64,
    /// What will be asked for when the owner of the room has said that its user may post there, and the seat that was
    /// asked with.
    asked: Option<(u32, Box<Start>)>,
    /// `None` until it may be sent.
    id: Option<UploadId>,
    received: u64,
    /// How far its client was told, at most what was received.
    told: u64,
    /// Whether something was asked and is not answered.
    waits: bool,
    /// When it brought something last.
    heard_us: u64,
}

#[derive(Debug)]
struct Downloading {
    id: UploadId,
    outlet: Outlet,
    offset: u64,
    /// Its size, once it may be read.
    size: Option<u64>,
    waits: bool,
}

impl Files {
    /// Whether an upload's stream has to wait for the disk.
    pub(super) fn holds(&self, stream: StreamId) -> bool {
        self.uploads.get(&stream).is_some_and(|upload| upload.waits)
    }

    /// Whether a message waits.
    pub(super) fn is_claiming(&self) -> bool {
        self.claim.is_some()
    }

    /// An upload's stream has brought something.
    pub(super) fn heard(&mut self, stream: StreamId, now: Now) {
        if let Some(upload) = self.uploads.get_mut(&stream) {
            upload.heard_us = now.mono_us;
        }
    }

    /// The way out of a download.
    pub(super) fn outlet_mut(&mut self, stream: StreamId) -> Option<&mut Outlet> {
        self.downloads.get_mut(&stream).map(|download| &mut download.outlet)
    }

    /// A download is over: all of it has arrived, or its client does not want it. Whether there was one.
    pub(super) fn download_is_over(&mut self, stream: StreamId) -> bool {
        self.downloads.remove(&stream).is_some()
    }

    /// When something has stalled.
    pub(super) fn next_deadline_us(&self, limits: &FileLimits) -> Option<u64> {
        let uploads = self.uploads.values().filter(|upload| !upload.waits);
        let uploads = uploads.map(|upload| upload.heard_us);
        let downloads = self.downloads.values().filter_map(|one| one.outlet.waits_since_us());
        uploads.chain(downloads).min().map(|since| since + limits.stall_us())
    }

    /// What is to be asked when the connection is gone.
    pub(super) fn interrupt(&mut self) -> Vec<Ask> {
        let Files { uploads, .. } = std::mem::take(self);
        let ask = |(stream, upload): (StreamId, Uploading)| {
            Some(Ask::Upload(stream, Request::Interrupt(upload.id?)))
        };
        uploads.into_iter().filter_map(ask).collect()
    }
}

impl Session {
    pub(super) fn upload_frame(
        &mut self,
        now: Now,
        stream: StreamId,
        frame: &Frame<'_>,
        link: &mut dyn Link,
    ) -> Verdict {
        let parsed = match UploadFrame::parse(frame.kind, &frame.payload) {
            Ok(parsed) => parsed,
            Err(refusal) => {
                let nonce = self.files.uploads.get(&stream).map(|upload| upload.nonce.clone());
                self.drop_upload(stream);
                let refusal = Refusal { nonce: refusal.nonce.or(nonce), ..refusal };
                self.refuse_frame(now, link, frame.kind, &refusal);
                return Verdict::Stops(stream_code::REFUSED);
            }
        };
        let (named, part) = match parsed {
            UploadFrame::Start(start) => return self.start_upload(now, stream, start, link),
            UploadFrame::Part(named, part) => (named, part),
        };
        let Some(upload) = self.files.uploads.get_mut(&stream) else {
            // It was not begun, or is complete.
            self.error(now, link, ErrorCode::WrongStream, "no upload is under way on this stream");
            return Verdict::Stops(stream_code::WRONG);
        };
        let Some(id) = upload.id else { return Verdict::Goes };
        if named != 0 && named != id.0 {
            self.drop_upload(stream);
            self.error(now, link, ErrorCode::UploadFailed, "another upload's number");
            return Verdict::Stops(stream_code::REFUSED);
        }
        upload.waits = true;
        let request = match part {
            UploadPart::Cancel => {
                self.drop_upload(stream);
                return Verdict::Stops(stream_code::CANCELLED);
            }
            UploadPart::Complete => Request::Complete(id),
            UploadPart::Chunk { offset, data } => {
                if upload.received - upload.told + data.len() as u64 > PIECE_BYTES_MAX as u64 {
                    upload.told = upload.received;
                    let payload = progress(id, upload.received, &upload.nonce);
                    self.tell(now, kind::UPLOAD_ACK, &payload);
                }
                Request::Chunk { upload: id, offset, data: data.to_vec() }
            }
        };
        self.asks.push_back(Ask::Upload(stream, request));
        Verdict::Goes
    }

    fn start_upload(
        &mut self,
        now: Now,
        stream: StreamId,
        start: UploadStart,
        link: &mut dyn Link,
    ) -> Verdict {
        let UploadStart { room, name, mime, size, checksum, nonce } = start;
        if self.files.uploads.contains_key(&stream) {
            self.drop_upload(stream);
            self.error(now, link, ErrorCode::WrongStream, "one upload a stream");
            return Verdict::Stops(stream_code::WRONG);
        }
        let max = self.config.uploads.bytes_max;
        let refusal = if max == 0 {
            Some((ErrorCode::UploadFailed, "uploads are off"))
        } else if size > max {
            Some((ErrorCode::TooLarge, "the file is too large"))
        } else if self.files.uploads.len() >= self.config.uploads.at_once_max {
            Some((ErrorCode::UploadFailed, "too many uploads of yours are under way"))
        } else {
            None
        };
        let user = self.account.as_ref().map(|account| account.user);
        let seat = self.rooms.seat(RoomId(room));
        let (None, Some(user), Some(seat)) = (refusal, user, seat) else {
            let (code, message) = refusal.unwrap_or((ErrorCode::NotFound, NOT_IN));
            self.refuse_upload(now, link, code, message, (&nonce, room));
            return Verdict::Stops(stream_code::REFUSED);
        };
        let start = Start {
            user,
            room: RoomId(room),
            name: name.into(),
            mime: mime.into(),
            size,
            checksum: checksum.into(),
        };
        let request = RoomRequest {
            nonce: Some(nonce.as_str().into()),
            kind: kind::UPLOAD_START,
            command: RoomCommand::MayPost { ticket: stream.0 },
        };
        self.asks.push_back(Ask::Room(seat, request));
        let upload = Uploading {
            nonce,
            room,
            asked: Some((seat, Box::new(start))),
            id: None,
            received: 0,
            told: 0,
            waits: true,
            heard_us: now.mono_us,
        };
        self.files.uploads.insert(stream, upload);
        Verdict::Goes
    }

    /// The owner of a room has said whether a file may be sent for it.
    pub(super) fn may_upload(&mut self, now: Now, payload: &[u8], link: &mut dyn Link) {
        let Some((ticket, error)) = payload.split_first_chunk() else { return };
        let stream = StreamId(u64::from_be_bytes(*ticket));
        // It may have been given up in the meantime.
        let Some(upload) = self.files.uploads.get_mut(&stream) else { return };
        let Some((_, start)) = upload.asked.take() else { return };
        if error.is_empty() {
            return self.asks.push_back(Ask::Upload(stream, Request::Start(start)));
        }
        self.files.uploads.remove(&stream);
        self.control.push(&self.common, error, now.mono_us);
        self.stop_upload(stream, link);
        self.count_refusal(now, link);
    }

    /// A seat is gone, and with it the answers to what was asked with it.
    pub(super) fn forget_asked(&mut self, now: Now, seat: u32, link: &mut dyn Link) {
        let waits = |upload: &Uploading| upload.asked.as_ref().is_some_and(|(of, _)| *of == seat);
        let uploads = self.files.uploads.iter().filter(|(_, upload)| waits(upload));
        for stream in uploads.map(|(&stream, _)| stream).collect::<Vec<_>>() {
            let Some(upload) = self.files.uploads.remove(&stream) else { continue };
            let about = (&*upload.nonce, upload.room);
            self.refuse_upload(now, link, ErrorCode::NotFound, NOT_IN, about);
            self.stop_upload(stream, link);
        }
    }

    fn stop_upload(&mut self, stream: StreamId, link: &mut dyn Link) {
        self.inlets.remove(stream);
        link.stop(stream, stream_code::REFUSED);
    }

    fn refuse_upload(
        &mut self,
        now: Now,
        link: &mut dyn Link,
        code: ErrorCode,
        message: &str,
        (nonce, room): (&str, u64),
    ) {
        let info = ErrorInfo {
            code,
            message,
            context: None,
            command: Some(kind::UPLOAD_START),
            nonce: Some(nonce),
            room_id: Some(room),
            retry_after_ms: None,
        };
        self.refuse(now, link, &info);
    }

    /// Gives an upload up that its client does not want, or broke. Whether there was one.
    pub(super) fn drop_upload(&mut self, stream: StreamId) -> bool {
        let upload = self.files.uploads.remove(&stream);
        if let Some(id) = upload.as_ref().and_then(|upload| upload.id) {
            self.asks.push_back(Ask::Upload(stream, Request::Cancel(id)));
        }
        upload.is_some()
    }

    /// Gives an upload up that we do not go on with, and says so.
    pub(super) fn cancel_upload(&mut self, now: Now, stream: StreamId, reason: &str) {
        let id = self.files.uploads.get(&stream).and_then(|upload| upload.id);
        if self.drop_upload(stream) {
            self.tell_cancelled(now, id, reason);
        }
    }

    /// Says that we do not go on with an upload, and reads no more of it.
    fn end_upload(
        &mut self,
        now: Now,
        stream: StreamId,
        id: Option<UploadId>,
        reason: &str,
        link: &mut dyn Link,
    ) {
        self.tell_cancelled(now, id, reason);
        self.inlets.remove(stream);
        link.stop(stream, stream_code::CANCELLED);
    }

    fn tell_cancelled(&mut self, now: Now, id: Option<UploadId>, reason: &str) {
        let payload = json!({ "upload_id": id.map_or(0, |id| id.0), "reason": reason });
        self.tell(now, kind::UPLOAD_CANCEL, &payload);
    }

    /// Asks whether these files may be shown, and says the rest when they may.
    pub(super) fn show(
        &mut self,
        now: Now,
        seat: u32,
        (room, request): (RoomId, RoomRequest),
        uploads: Vec<UploadId>,
        link: &mut dyn Link,
    ) {
        let user = self.account.as_ref().map(|account| account.user);
        let (Some(user), true) = (user, self.config.uploads.bytes_max > 0) else {
            return self.refuse_request(now, room, &request, NO_UPLOAD, link);
        };
        self.files.claim = Some(Box::new((seat, room, request)));
        self.asks.push_back(Ask::Upload(CONTROL, Request::Claim { user, room, uploads }));
    }

    pub(super) fn fetch(&mut self, stream: StreamId, frame: &Frame<'_>) -> Verdict {
        let Some((id, offset)) = crate::doors::quic::client::fetch(&frame.payload) else {
            return Verdict::Stops(stream_code::REFUSED);
        };
        if self.files.downloads.contains_key(&stream) || self.files.downloads.len() >= DOWNLOADS_MAX
        {
            self.files.downloads.remove(&stream);
            return Verdict::Stops(stream_code::REFUSED);
        }
        let outlet = Outlet::new(stream);
        let download = Downloading { id, outlet, offset, size: None, waits: true };
        self.files.downloads.insert(stream, download);
        self.asks.push_back(Ask::Upload(stream, Request::Find(id)));
        Verdict::Goes
    }

    /// What was asked about a stream is answered.
    pub fn uploaded(&mut self, now: Now, stream: StreamId, answer: Answer, link: &mut dyn Link) {
        if matches!(self.phase, Phase::Closing | Phase::Gone) {
            self.asks.extend(left_over(stream, &answer));
            return;
        }
        match answer {
            Answer::Started(begun) => {
                let (id, received) = match begun {
                    Ok(begun) => begun,
                    Err(fault) => return self.upload_failed(now, stream, fault, link),
                };
                let Some(upload) = self.files.uploads.get_mut(&stream) else {
                    // It was given up in the meantime.
                    return self.asks.push_back(Ask::Upload(stream, Request::Cancel(id)));
                };
                (upload.id, upload.received, upload.told) = (Some(id), received, received);
                (upload.waits, upload.heard_us) = (false, now.mono_us);
                let payload = progress(id, received, &upload.nonce);
                self.tell(now, kind::UPLOAD_ACK, &payload);
            }
            Answer::TakenOver(id) => {
                let upload = self.files.uploads.get(&stream);
                if upload.is_none_or(|upload| upload.id != Some(id)) {
                    return;
                }
                // Without giving it up: it is the other connection's.
                self.files.uploads.remove(&stream);
                self.end_upload(now, stream, Some(id), "another connection goes on with it", link);
            }
            Answer::Taken(Err(fault)) | Answer::Kept(Err(fault)) => {
                self.upload_failed(now, stream, fault, link);
            }
            Answer::Taken(Ok(received)) => {
                let Some(upload) = self.files.uploads.get_mut(&stream) else { return };
                (upload.waits, upload.heard_us) = (false, now.mono_us);
                upload.received = received;
                // One that could have been gone on with may begin anew instead.
                upload.told = upload.told.min(received);
                if let Some(id) = upload.id.filter(|_| received >= upload.told + ACK_EVERY) {
                    upload.told = received;
                    let payload = progress(id, received, &upload.nonce);
                    self.tell(now, kind::UPLOAD_ACK, &payload);
                }
            }
            Answer::Kept(Ok(attachment)) => {
                let Some(upload) = self.files.uploads.remove(&stream) else { return };
                let Attachment { id, size, url, .. } = *attachment;
                let payload = json!({
                    "upload_id": id, "bytes_received": size, "url": url, "nonce": upload.nonce,
                });
                self.tell(now, kind::UPLOAD_ACK, &payload);
            }
            Answer::Claimed(found) => {
                let Some(claim) = self.files.claim.take() else { return };
                let (seat, room, mut request) = *claim;
                if self.rooms.seat(room) != Some(seat) {
                    return self.refuse_request(now, room, &request, NOT_IN, link);
                }
                match (found, &mut request.command) {
                    (Some(found), RoomCommand::Say { attachments, .. }) => {
                        *attachments = found;
                        self.asks.push_back(Ask::Room(seat, request));
                    }
                    _ => self.refuse_request(now, room, &request, NO_UPLOAD, link),
                }
            }
            Answer::Found(found) => self.found(now, stream, found, link),
            // Sessions ask by number, never by address.
            Answer::Opened(_) => {}
            Answer::Piece(piece) => {
                let Some(download) = self.files.downloads.get_mut(&stream) else { return };
                let Some(piece) = piece else {
                    // It was deleted in the meantime.
                    self.files.downloads.remove(&stream);
                    return link.reset(stream, stream_code::CANCELLED);
                };
                download.waits = false;
                let mut bytes = Vec::with_capacity(piece.len() + 128);
                wire::chunk(download.id.0, download.offset, &piece, &mut bytes);
                download.offset += piece.len() as u64;
                download.outlet.push(&self.common, &bytes, now.mono_us);
            }
        }
    }

    fn upload_failed(&mut self, now: Now, stream: StreamId, fault: Fault, link: &mut dyn Link) {
        let Some(upload) = self.files.uploads.remove(&stream) else { return };
        let code = match fault {
            Fault::TooLarge => ErrorCode::TooLarge,
            _ => ErrorCode::UploadFailed,
        };
        let about = (&*upload.nonce, upload.room);
        self.refuse_upload(now, link, code, &fault.to_string(), about);
        self.stop_upload(stream, link);
    }

    fn found(
        &mut self,
        now: Now,
        stream: StreamId,
        found: Option<Box<(RoomId, Attachment)>>,
        link: &mut dyn Link,
    ) {
        let Some(download) = self.files.downloads.get_mut(&stream) else { return };
        let found = found
            .filter(|found| self.rooms.seat(found.0).is_some() && download.offset <= found.1.size);
        let Some(found) = found else {
            self.files.downloads.remove(&stream);
            self.inlets.remove(stream);
            link.reset(stream, stream_code::REFUSED);
            return link.stop(stream, stream_code::REFUSED);
        };
        link.set_priority(stream, PRIORITY_DOWNLOAD);
        let Attachment { id, name, mime, size, checksum, .. } = found.1;
        (download.size, download.waits) = (Some(size), false);
        let payload = json!({
            "upload_id": id, "filename": name, "mime_type": mime, "size": size,
            "checksum": checksum,
        });
        let mut bytes = Vec::new();
        wire::json(kind::UPLOAD_INFO, &payload, &mut bytes);
        download.outlet.push(&self.common, &bytes, now.mono_us);
    }

    /// Gives downloads' streams what waits, and asks for what follows.
    pub(super) fn write_files(&mut self, link: &mut dyn Link) {
        for (&stream, download) in &mut self.files.downloads {
            // One that is stopped is told about as an event.
            let _ = download.outlet.flush(link);
            let Some(size) = download.size else { continue };
            if download.waits || download.outlet.waiting() > 0 {
                continue;
            }
            if download.offset < size {
                download.waits = true;
                let request = Request::Read { upload: download.id, offset: download.offset };
                self.asks.push_back(Ask::Upload(stream, request));
            } else {
                download.outlet.end();
                let _ = download.outlet.flush(link);
            }
        }
    }

    /// Gives up what has stalled.
    pub(super) fn check_files(&mut self, now: Now, link: &mut dyn Link) {
        let stall_us = self.config.uploads.stall_us();
        let is_over = |since_us: u64| now.mono_us >= since_us + stall_us;
        let uploads = self.files.uploads.iter();
        let stalled = uploads.filter(|(_, upload)| !upload.waits && is_over(upload.heard_us));
        for stream in stalled.map(|(&stream, _)| stream).collect::<Vec<_>>() {
            let id = self.files.uploads.remove(&stream).and_then(|upload| upload.id);
            // Its connection may be gone without a word: its user may go on with it over another one.
            self.asks.extend(id.map(|id| Ask::Upload(stream, Request::Interrupt(id))));
            self.end_upload(now, stream, id, "nothing came for too long", link);
        }
        self.files.downloads.retain(|&stream, download| {
            let stalled = download.outlet.waits_since_us().is_some_and(is_over);
            if stalled {
                link.reset(stream, stream_code::STALLED);
            }
            !stalled
        });
    }
}

/// What has to be asked after an answer for whose session nobody is there any more.
pub(in crate::doors::quic) fn left_over(stream: StreamId, answer: &Answer) -> Option<Ask> {
    match answer {
        Answer::Started(Ok((id, _))) => Some(Ask::Upload(stream, Request::Interrupt(*id))),
        _ => None,
    }
}

/// How far an upload is.
fn progress(id: UploadId, received: u64, nonce: &str) -> serde_json::Value {
    json!({ "upload_id": id, "bytes_received": received, "url": null, "nonce": nonce })
}

const _: () = assert!(PIECE_BYTES_MAX + 1024 <= (264 << 10) - frame::HEADER_BYTES);
