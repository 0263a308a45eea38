//! Uploads and downloads of files.

use crate::frame::kind;
use crate::session::{FrameReader, ReadFault, Session};
use crate::wire::{Event, Fault, Upload, UploadInfo};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A server that does not take or give a byte for this long has stalled.
const STALL: Duration = Duration::from_secs(30);
/// Bytes of a file that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Code of a stream that is given up.
const CANCELLED: u32 = 0x10;

/// Why a file did not get through.
#[derive(Debug, thiserror::Error)]
pub enum FileFault {
    /// The file here cannot be read or written.
    #[error("{}: {source}", path.display())]
    Local {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file is larger than the server takes.
    #[error("the file has {size} bytes; the server takes at most {max}")]
    TooLarge {
        /// Of the file, bytes.
        size: u64,
        /// What the server takes, bytes.
        max: u64,
    },
    /// The server refused it.
    #[error("the server refuses it: {} ({})", .0.message, .0.code)]
    Refused(Fault),
    /// It is not there, or one is not in its room.
    #[error("there is no such file, or you are not in its room")]
    NotFound,
    /// The server gave up.
    #[error("the server cancelled it: {0}")]
    Cancelled(String),
    /// Nothing happened for a while.
    #[error("nothing happened for {} s", STALL.as_secs())]
    Stalled,
    /// The connection ended.
    #[error("the connection ended")]
    Ended,
    /// What came is not the file that was announced.
    #[error("what came is not the announced file: {0}")]
    Damaged(String),
}

/// A file that the server has taken.
#[derive(Clone, Debug)]
pub struct Uploaded {
    /// What a message names it by.
    pub upload_id: u64,
    /// Where others find it.
    pub url: String,
}

fn local(path: &Path) -> impl Fn(std::io::Error) -> FileFault + '_ {
    |source| FileFault::Local { path: path.into(), source }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The type of a file by its name's end; what is not known is just bytes.
fn mime_type(name: &str) -> &'static str {
    let end = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    match end.as_deref() {
        Some("txt" | "log") => "text/plain",
        Some("md") => "text/markdown",
        Some("json") => "application/json",
        Some("pdf") => "application/pdf",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("svg") => "image/svg+xml",
        Some("mid" | "midi") => "audio/midi",
        Some("mp3") => "audio/mpeg",
        Some("ogg") => "audio/ogg",
        Some("wav") => "audio/wav",
        Some("mp4") => "video/mp4",
        Some("zip") => "application/zip",
        Some("gz") => "application/gzip",
        _ => "application/octet-stream",
    }
}

/// Sends the file at `path` for `room_id`, telling `progress` how many of how many bytes the server has.
///
/// What the server has from a connection that was lost is not sent again: it goes on there.
///
/// Nobody sees it until a message of the same person in that room names it.
///
/// # Errors
/// Why the server does not have it.
pub async fn upload(
    session: &Session,
    room_id: u64,
    path: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Uploaded, FileFault> {
    let mut file = File::open(path).await.map_err(local(path))?;
    // Twice through the file: the checksum comes first, and the file may be larger than the memory.
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0_u64, vec![0; CHUNK_BYTES]);
    let max = session.hello().limits.upload_bytes;
    loop {
        let n = file.read(&mut buffer).await.map_err(local(path))?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        size += n as u64;
        if size > max {
            let size = file.metadata().await.map_or(size, |meta| meta.len());
            return Err(FileFault::TooLarge { size, max });
        }
    }
    let name = path.file_name().map_or_else(|| "file".into(), |name| name.to_string_lossy());
    let nonce = session.nonce();
    let start = Upload::Start {
        room_id,
        filename: name.trim_start_matches('.').into(),
        mime_type: mime_type(&name).into(),
        size,
        checksum: hex(&hash.finalize()),
        nonce: nonce.clone(),
    };
    let mut news = session.watch_upload(&nonce);
    // The first acknowledgement says where to begin.
    let (begin, begins) = oneshot::channel();
    let mut begin = Some(begin);
    let send = async {
        let file = File::open(path).await.map_err(local(path))?;
        let mut stream = session.connection().open_uni().await.map_err(|_| FileFault::Ended)?;
        let chunk = (session.hello().limits.upload_chunk as usize).clamp(1, CHUNK_BYTES);
        stream.write_all(&start.encode()).await.map_err(|_| FileFault::Ended)?;
        let Ok(offset) = begins.await else { return Ok(stream) };
        match send_chunks(&mut stream, offset, file, path, chunk).await {
            Err(FileFault::Ended) | Ok(()) => Ok(stream),
            Err(e) => {
                let _ = stream.reset(CANCELLED.into());
                Err(e)
            }
        }
    };
    let mut sent = None;
    let result = {
        tokio::pin!(send);
        loop {
            tokio::select! {
                // The stream is kept until the end, as its drop would finish or reset it.
                stream = &mut send, if sent.is_none() => match stream {
                    Ok(stream) => sent = Some(stream),
                    Err(e) => break Err(e),
                },
                event = timeout(STALL, news.recv()) => match event {
                    Err(_) => break Err(FileFault::Stalled),
                    Ok(None) => break Err(FileFault::Ended),
                    Ok(Some(Event::UploadAck(ack))) => {
                        progress(ack.bytes_received, size);
                        if let Some(begin) = begin.take() {
                            let have = ack.bytes_received;
                            let _ = begin.send(if have <= size { have } else { 0 });
                        }
                        if let Some(url) = ack.url {
                            break Ok(Uploaded { upload_id: ack.upload_id, url });
                        }
                    }
                    Ok(Some(Event::UploadCancelled(cancel))) => {
                        break Err(FileFault::Cancelled(cancel.reason));
                    }
                    Ok(Some(Event::Fault(fault))) => break Err(FileFault::Refused(fault)),
                    Ok(Some(_)) => {}
                },
            }
        }
    };
    session.forget_upload(&nonce);
    result
}

async fn send_chunks(
    stream: &mut quinn::SendStream,
    mut offset: u64,
    mut file: File,
    path: &Path,
    chunk: usize,
) -> Result<(), FileFault> {
    let ended = |_| FileFault::Ended;
    file.seek(SeekFrom::Start(offset)).await.map_err(local(path))?;
    let mut buffer = vec![0; chunk];
    loop {
        let n = file.read(&mut buffer).await.map_err(local(path))?;
        if n == 0 {
            break;
        }
        // 0 is "the upload of this stream", so nothing has to wait for its number.
        stream.write_all(&Upload::chunk(0, offset, &buffer[..n])).await.map_err(ended)?;
        offset += n as u64;
    }
    stream.write_all(&Upload::Complete { upload_id: 0 }.encode()).await.map_err(ended)?;
    stream.finish().map_err(|_| FileFault::Ended)
}

/// The number of an upload: alone, or in an address such as `garou:u/123` or `https://.../u/123-secret/name`.
pub fn upload_id(text: &str) -> Option<u64> {
    let after = text.rsplit_once("u/").map_or(text, |(_, after)| after);
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|&id| id > 0)
}

/// A name for a file from elsewhere that cannot leave the folder, hide, or draw on a terminal.
pub fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|c| !c.is_control()).collect();
    match clean.trim().trim_start_matches('.') {
        "" => "download".into(),
        clean => clean.into(),
    }
}

/// Fetches the upload into `to`: a folder, or the new file's path. An existing file is left alone unless `replace`.
///
/// The file appears when all of it has come and its checksum is right.
///
/// # Errors
/// Why it is not here.
pub async fn download(
    session: &Session,
    upload_id: u64,
    to: &Path,
    replace: bool,
    mut progress: impl FnMut(u64, u64),
) -> Result<(PathBuf, UploadInfo), FileFault> {
    let open = session.connection().open_bi();
    let (mut ask, answer) = open.await.map_err(|_| FileFault::Ended)?;
    let fetch = Upload::Fetch { upload_id, offset: 0 };
    ask.write_all(&fetch.encode()).await.map_err(|_| FileFault::Ended)?;
    let _ = ask.finish();
    let mut frames = FrameReader::new(answer);
    let info = match next(&mut frames).await? {
        Some(Event::UploadInfo(info)) => info,
        _ => return Err(FileFault::Damaged("it does not begin with UploadInfo".into())),
    };
    let is_folder = tokio::fs::metadata(to).await.is_ok_and(|meta| meta.is_dir());
    let path = if is_folder { to.join(safe_name(&info.filename)) } else { to.to_owned() };
    let exists = || std::io::Error::from(std::io::ErrorKind::AlreadyExists);
    if !replace && tokio::fs::symlink_metadata(&path).await.is_ok() {
        return Err(local(&path)(exists()));
    }
    let mut part = path.clone().into_os_string();
    part.push(format!(".{}.part", session.nonce()));
    let part = PathBuf::from(part);
    let received = receive(&mut frames, &info, &part, &mut progress).await;
    let moved = match received {
        Ok(()) if replace => tokio::fs::rename(&part, &path).await.map_err(local(&path)),
        // A link fails when there is a file by now, and a rename would replace it.
        Ok(()) => match tokio::fs::hard_link(&part, &path).await {
            Ok(()) => tokio::fs::remove_file(&part).await.map_err(local(&part)),
            Err(e) => Err(local(&path)(e)),
        },
        Err(e) => Err(e),
    };
    if let Err(e) = moved {
        let _ = tokio::fs::remove_file(&part).await;
        return Err(e);
    }
    Ok((path, info))
}

/// The next event of a download's stream that is not a chunk.
async fn next(frames: &mut FrameReader) -> Result<Option<Event>, FileFault> {
    match next_frame(frames).await? {
        Some(frame) => Event::read(&frame).map_err(|e| FileFault::Damaged(e.to_string())),
        None => Ok(None),
    }
}

async fn next_frame(frames: &mut FrameReader) -> Result<Option<crate::frame::Frame>, FileFault> {
    match timeout(STALL, frames.next()).await {
        Err(_) => Err(FileFault::Stalled),
        Ok(Ok(frame)) => Ok(frame),
        Ok(Err(ReadFault::Stream(quinn::ReadError::Reset(_)))) => Err(FileFault::NotFound),
        Ok(Err(ReadFault::Stream(_))) => Err(FileFault::Ended),
        Ok(Err(ReadFault::Frame(e))) => Err(FileFault::Damaged(e.to_string())),
    }
}

/// Metadata of a chunk; what is in it beside the offset repeats what is known.
#[derive(Deserialize)]
struct Chunk {
    offset: u64,
    size: u32,
}

/// The offset and the data of a chunk's payload.
fn chunk(payload: &[u8]) -> Option<(u64, &[u8])> {
    let (length, rest) = payload.split_first_chunk::<2>()?;
    let (meta, data) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    let meta: Chunk = serde_json::from_slice(meta).ok()?;
    (meta.size as usize == data.len()).then_some((meta.offset, data))
}

async fn receive(
    frames: &mut FrameReader,
    info: &UploadInfo,
    part: &Path,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), FileFault> {
    let damaged = |why: &str| FileFault::Damaged(why.into());
    let mut file = File::create_new(part).await.map_err(local(part))?;
    let (mut hash, mut have) = (Sha256::new(), 0_u64);
    while let Some(frame) = next_frame(frames).await? {
        if frame.kind != kind::UPLOAD_CHUNK {
            continue;
        }
        let (offset, data) =
            chunk(&frame.payload).ok_or_else(|| damaged("a chunk cannot be read"))?;
        if offset != have {
            return Err(damaged("a piece is missing"));
        }
        have += data.len() as u64;
        if have > info.size {
            return Err(damaged("it is longer than announced"));
        }
        hash.update(data);
        file.write_all(data).await.map_err(local(part))?;
        progress(have, info.size);
    }
    file.flush().await.map_err(local(part))?;
    if have != info.size {
        return Err(damaged("it is shorter than announced"));
    }
    if hex(&hash.finalize()) != info.checksum {
        return Err(damaged("the checksum is wrong"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_named_by_number_or_address() {
        for text in [
            "77",
            "garou:u/77",
            "https://a.example/u/77-00ff/x.txt",
            "https://a.example/x/u/77-1/u.txt",
        ] {
            assert_eq!(upload_id(text), Some(77), "{text}");
        }
        for text in ["", "0", "x", "garou:u/", "99999999999999999999999"] {
            assert_eq!(upload_id(text), None, "{text}");
        }
    }

    #[test]
    fn names_from_elsewhere_stay_in_the_folder() {
        for (name, safe) in [
            ("notes.txt", "notes.txt"),
            ("../../etc/passwd", "passwd"),
            ("x\\y\\.bashrc", "bashrc"),
            ("..", "download"),
            ("a/", "download"),
            ("\u{1b}[2Jx", "[2Jx"),
        ] {
            assert_eq!(safe_name(name), safe);
        }
    }

    #[test]
    fn a_chunk_is_its_metadata_and_exactly_its_size() {
        let sent = Upload::chunk(0, 5, b"abc");
        assert_eq!(chunk(&sent[5..]), Some((5, &b"abc"[..])));
        assert_eq!(chunk(&sent[5..sent.len() - 1]), None);
        assert_eq!(chunk(b"\xFF\xFFx"), None);
        assert_eq!(chunk(b""), None);
    }
}
