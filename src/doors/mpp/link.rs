//! Files that people sent, at addresses of the web: `/u/ID-SECRET/NAME`.
//!
//! The door reads what is asked, and says how the answer begins once it is known what the file is; the bytes come from
//! whoever keeps files. Everything is there to keep a file of a stranger from being more than a file: it is saved and
//! not shown, its type is nothing that a browser runs, and were it shown after all, the page could do nothing.

use crate::{
    http::{Head, Part, Response, Status, disposition, is_unchanged, part},
    uploads::Secret,
};
use tutti_shards::{Attachment, UploadId};

/// The first part of the paths.
const FOLDER: &str = "u";

/// What goes with each file (`docs/protocol/quic-chat.md`, "Files").
const HEADERS: &[(&str, &str)] = &[
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
    // The address is all that a stranger needs.
    ("Referrer-Policy", "no-referrer"),
    // A file goes with its message, and then from here on.
    ("Cache-Control", "private, no-cache"),
];

/// A request for a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    /// Which.
    pub upload: UploadId,
    /// What proves that its address was given out.
    pub secret: Secret,
    is_head: bool,
    range: Option<Box<str>>,
    if_range: Option<Box<str>>,
    if_none_match: Option<Box<str>>,
}

/// How the answer to a [`Link`] begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// The answer's head, or all of it.
    pub bytes: Vec<u8>,
    /// The first byte of the file that follows.
    pub from: u64,
    /// The one behind the last. Invariant: `from <= to <= size`.
    pub to: u64,
    /// A fault, for the counters; `None` for a file that was served.
    pub refused: Option<&'static str>,
}

impl Link {
    /// What a request wants, if its path is that of a file; `Err` when no file can have it.
    pub(super) fn parse(head: &Head<'_>, segments: &[String]) -> Option<Result<Self, Opening>> {
        let [folder, link, _name] = segments else { return None };
        if folder != FOLDER {
            return None;
        }
        let parse = || {
            let (id, secret) = link.split_once('-')?;
            let is_number = id.bytes().all(|byte| byte.is_ascii_digit());
            let upload = UploadId(id.parse().ok().filter(|_| is_number)?);
            let value = |name| head.value(name).map(Box::from);
            Some(Link {
                upload,
                secret: secret.parse().ok()?,
                is_head: head.is_head(),
                // A range means something to GET alone.
                range: value("range").filter(|_| !head.is_head()),
                if_range: value("if-range"),
                if_none_match: value("if-none-match"),
            })
        };
        Some(parse().ok_or_else(|| no_file(head.is_head())))
    }

    /// How the answer begins; `None` as the file when there is none at this address.
    #[must_use]
    pub fn open(&self, file: Option<&Attachment>) -> Opening {
        let Some(file) = file else { return no_file(self.is_head) };
        let etag = format!("\"{}\"", file.checksum);
        let size = file.size;
        let is_current =
            self.if_none_match.as_deref().is_some_and(|tags| is_unchanged(tags, &etag));
        // A part is wanted of the file that the client began with; it names that by its tag, or by a date, which no
        // file here has.
        let is_same = self.if_range.as_ref().is_none_or(|tag| **tag == *etag);
        let wanted = match self.range.as_deref().filter(|_| is_same) {
            Some(range) => part(range, size),
            None => Part::Whole,
        };
        let (status, from, to) = match wanted {
            _ if is_current => (Status::NotModified, 0, 0),
            Part::Whole => (Status::Ok, 0, size),
            Part::Bytes { from, to } => (Status::PartialContent, from, to),
            Part::Nothing => (Status::RangeNotSatisfiable, 0, 0),
        };
        let disposition = disposition(&file.name);
        let range = match status {
            Status::PartialContent => Some(format!("bytes {from}-{}/{size}", to - 1)),
            Status::RangeNotSatisfiable => Some(format!("bytes */{size}")),
            _ => None,
        };
        let mut headers = vec![
            ("ETag", etag.as_str()),
            ("Content-Disposition", disposition.as_str()),
            ("Accept-Ranges", "bytes"),
        ];
        headers.extend(range.as_deref().map(|range| ("Content-Range", range)));
        headers.extend(HEADERS);
        let content_type = content_type(&file.mime);
        let response =
            Response { status, content_type: &content_type, headers: &headers, body: &[] };
        let mut bytes = Vec::new();
        response.write_head(to - from, &mut bytes);
        let to = if self.is_head { from } else { to };
        let refused = (status == Status::RangeNotSatisfiable).then_some("range");
        Opening { bytes, from, to, refused }
    }
}

fn no_file(is_head: bool) -> Opening {
    let mut bytes = Vec::new();
    Response::plain(Status::NotFound).write(is_head, &mut bytes);
    Opening { bytes, from: 0, to: 0, refused: Some("no_file") }
}

/// The type that a file is shown under: its own where a browser makes nothing of it but a picture, sound or text.
/// Everything else is bytes; as a script, say, the page of this very server could be talked into loading it.
fn content_type(mime: &str) -> String {
    let mime = mime.to_ascii_lowercase();
    match mime.as_str() {
        "text/plain" => "text/plain; charset=utf-8".to_owned(),
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" => mime,
        _ if mime.starts_with("audio/") || mime.starts_with("video/") => mime,
        _ => "application/octet-stream".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "00112233445566778899aabbccddeeff";

    fn link(more: &str, path: &str) -> Option<Result<Link, Opening>> {
        let text = format!("{path} HTTP/1.1\r\nHost: h\r\n{more}\r\n");
        let head = Head::parse(text.as_bytes(), 0).unwrap().unwrap();
        let path = head.decoded_path().unwrap();
        Link::parse(&head, path.segments())
    }

    fn file(name: &str, mime: &str) -> Attachment {
        Attachment {
            id: UploadId(7),
            name: name.into(),
            mime: mime.into(),
            size: 100,
            checksum: "ab".repeat(32).into(),
            url: "x".into(),
        }
    }

    /// The answer's status, and its head.
    fn open(method: &str, more: &str, file: Option<&Attachment>) -> (String, String, Opening) {
        let asked = link(more, &format!("{method} /u/7-{SECRET}/a.txt")).unwrap().unwrap();
        let opening = asked.open(file);
        let head = String::from_utf8(opening.bytes.clone()).unwrap();
        (head[9..12].to_owned(), head, opening)
    }

    #[test]
    fn only_addresses_of_files_are_files() {
        let asked = link("", &format!("GET /u/7-{SECRET}/any%2Fname")).unwrap().unwrap();
        assert_eq!((asked.upload, asked.secret), (UploadId(7), SECRET.parse().unwrap()));
        for room in ["GET /u", "GET /u/7", "GET /u/a/b/c", "GET /v/a/b", "GET /u%2Fa%2Fb"] {
            assert!(link("", room).is_none(), "{room}");
        }
        let long = "9".repeat(40);
        for none in ["", "7", "-", "7-", &format!("-{SECRET}"), &format!("+7-{SECRET}"), "7-0011"]
            .into_iter()
            .chain([&*format!("7-{SECRET}0"), &format!("{long}-{SECRET}")])
        {
            let opening = link("", &format!("GET /u/{none}/a")).unwrap().unwrap_err();
            assert!(opening.bytes.starts_with(b"HTTP/1.1 404"), "{none}");
            assert_eq!(opening.refused, Some("no_file"));
        }
    }

    #[test]
    fn a_file_is_only_a_file() {
        for (mime, shown) in [
            ("text/plain", "text/plain; charset=utf-8"),
            ("IMAGE/PNG", "image/png"),
            ("audio/ogg", "audio/ogg"),
            ("video/mp4", "video/mp4"),
            ("text/html", "application/octet-stream"),
            ("image/svg+xml", "application/octet-stream"),
            ("text/javascript", "application/octet-stream"),
            ("application/pdf", "application/octet-stream"),
        ] {
            let (status, head, opening) = open("GET", "", Some(&file("\u{e4}.txt", mime)));
            assert_eq!(
                (&*status, opening.from, opening.to, opening.refused),
                ("200", 0, 100, None)
            );
            for line in [
                &*format!("Content-Type: {shown}\r\n"),
                "Content-Length: 100\r\n",
                "Content-Disposition: attachment; filename=\"_.txt\"; filename*=UTF-8''%C3%A4.txt",
                "X-Content-Type-Options: nosniff\r\n",
                "Content-Security-Policy: sandbox; default-src 'none'\r\n",
                "Accept-Ranges: bytes\r\n",
                &format!("ETag: \"{}\"\r\n", "ab".repeat(32)),
            ] {
                assert!(head.contains(line), "{line} in {head}");
            }
            assert!(head.ends_with("\r\n\r\n"));
        }
    }

    #[test]
    fn parts_conditions_and_head() {
        let it = file("a", "text/plain");
        let tag = format!("\"{}\"", "ab".repeat(32));
        for (method, more, status, part, length) in [
            ("GET", "Range: bytes=10-19\r\n".to_owned(), "206", (10, 20), 10),
            ("GET", "Range: bytes=-1\r\n".to_owned(), "206", (99, 100), 1),
            ("GET", "Range: bytes=100-\r\n".to_owned(), "416", (0, 0), 0),
            ("GET", format!("Range: bytes=0-0\r\nIf-Range: {tag}\r\n"), "206", (0, 1), 1),
            ("GET", "Range: bytes=0-0\r\nIf-Range: \"old\"\r\n".to_owned(), "200", (0, 100), 100),
            ("GET", format!("If-None-Match: {tag}\r\n"), "304", (0, 0), 0),
            ("GET", format!("Range: bytes=100-\r\nIf-None-Match: W/{tag}\r\n"), "304", (0, 0), 0),
            ("GET", "If-None-Match: \"old\"\r\n".to_owned(), "200", (0, 100), 100),
            ("HEAD", String::new(), "200", (0, 0), 100),
            ("HEAD", "Range: bytes=10-19\r\n".to_owned(), "200", (0, 0), 100),
        ] {
            let (found, head, opening) = open(method, &more, Some(&it));
            assert_eq!((&*found, opening.from, opening.to), (status, part.0, part.1), "{more}");
            let says_length = head.contains(&format!("Content-Length: {length}\r\n"));
            assert_eq!(says_length, status != "304", "{head}");
            let range = match status {
                "206" => Some(format!("Content-Range: bytes {}-{}/100\r\n", part.0, part.1 - 1)),
                "416" => Some("Content-Range: bytes */100\r\n".to_owned()),
                _ => None,
            };
            match range {
                Some(range) => assert!(head.contains(&range), "{head}"),
                None => assert!(!head.contains("Content-Range"), "{head}"),
            }
        }
        assert_eq!(open("GET", "", None).0, "404");
        let (_, head, _) = open("HEAD", "", None);
        assert!(head.ends_with("\r\n\r\n"), "{head}");
    }
}
