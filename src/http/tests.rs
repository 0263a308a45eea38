use super::*;
use proptest::prelude::*;

const GET: &[u8] = b"GET /a/b?c=d&e HTTP/1.1\r\nHost: here\r\nAccept: x\r\naccept:  y \r\n\r\nrest";

fn head(bytes: &[u8]) -> Head<'_> {
    Head::parse(bytes, 0).unwrap().unwrap()
}

#[test]
fn a_head_ends_where_the_rest_begins() {
    let head = head(GET);
    assert_eq!((head.method(), head.path(), head.query()), ("GET", "/a/b", Some("c=d&e")));
    assert!(head.is_http_1_1() && !head.is_head() && !head.has_body());
    assert_eq!(&GET[head.len()..], b"rest");
    assert_eq!(head.value("HOST"), Some("here"));
    assert_eq!(head.values("Accept").collect::<Vec<_>>(), [b"x", b"y"]);
    assert_eq!(head.value("accept"), None, "two values are not one");
    assert_eq!(head.value("absent"), None);
}

#[test]
fn a_head_may_trickle_in() {
    let end = GET.len() - b"rest".len();
    for len in 0..end {
        assert!(Head::parse(&GET[..len], len.saturating_sub(1)).unwrap().is_none(), "{len}");
    }
    assert_eq!(Head::parse(&GET[..end], end - 1).unwrap().unwrap().len(), end);
    let bare = b"GET / HTTP/1.0\nHost: here\n\n";
    assert_eq!(Head::parse(bare, bare.len() - 1).unwrap().unwrap().len(), bare.len());
}

#[test]
fn empty_lines_before_a_request_are_passed_over() {
    assert!(Head::parse(b"\r\n\r\n", 0).unwrap().is_none());
    let late = b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(head(late).len(), late.len());
    assert!(Head::parse(b"\n\n\n\n", 0).unwrap().is_none());
    assert_eq!(Head::parse(b"\n\n\n\n\n", 4).err(), Some(HeadFault::Malformed));
}

#[test]
fn a_head_has_at_most_8_kib() {
    let with_len = |len: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: h\r\nCookie: \r\n\r\n";
        frame.replace("Cookie: ", &format!("Cookie: {}", "x".repeat(len - frame.len())))
    };
    assert_eq!(head(with_len(HEAD_BYTES_MAX).as_bytes()).len(), HEAD_BYTES_MAX);
    let over = with_len(HEAD_BYTES_MAX + 1);
    assert_eq!(Head::parse(over.as_bytes(), 0).err(), Some(HeadFault::TooLong));
    let endless = vec![b'x'; HEAD_BYTES_MAX];
    assert!(Head::parse(&endless[1..], 0).unwrap().is_none());
    assert_eq!(Head::parse(&endless, 0).err(), Some(HeadFault::TooLong));
    assert_eq!(HeadFault::TooLong.status(), Status::HeadTooLong);
}

#[test]
fn a_head_has_at_most_64_headers() {
    let with_headers = |n| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(n));
    assert_eq!(head(with_headers(64).as_bytes()).values("a").count(), 64);
    let over = with_headers(65);
    assert_eq!(Head::parse(over.as_bytes(), 0).err(), Some(HeadFault::TooLong));
}

#[test]
fn what_is_not_http_is_malformed() {
    let samples: [&[u8]; 10] = [
        b"!GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\0",
        b" GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nSpace : before colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
    ];
    for sample in samples {
        assert_eq!(Head::parse(sample, 0).err(), Some(HeadFault::Malformed), "{sample:x?}");
    }
    assert_eq!(HeadFault::Malformed.status(), Status::BadRequest);
}

#[test]
fn lists_are_searched_over_lines_and_without_case() {
    let bytes = b"GET / HTTP/1.1\r\nConnection: keep-alive ,UPGRADE\r\nconnection: x\r\n\r\n";
    let head = head(bytes);
    for token in ["upgrade", "Keep-Alive", "x"] {
        assert!(head.has_token("Connection", token), "{token}");
    }
    for token in ["up", "keep-alive ,upgrade", ""] {
        assert!(!head.has_token("Connection", token), "{token}");
    }
}

#[test]
fn bodies_are_noticed() {
    let body =
        |header: &str| head(format!("GET / HTTP/1.1\r\n{header}\r\n\r\n").as_bytes()).has_body();
    assert!(body("Content-Length: 5"));
    assert!(body("Transfer-Encoding: chunked"));
    assert!(!body("Content-Length: 0"));
    assert!(!body("Content-Type: x/y"));
}

#[test]
fn targets_in_absolute_form() {
    let split = split_target;
    assert_eq!(split("http://host/a?b"), ("/a", Some("b")));
    assert_eq!(split("ws://host:80"), ("/", None));
    assert_eq!(split("ws://host?q"), ("/", Some("q")));
    assert_eq!(split("/r?to=http://x/y"), ("/r", Some("to=http://x/y")));
    assert_eq!(split("/a://b"), ("/a://b", None));
    assert_eq!(split("*"), ("*", None));
}

#[track_caller]
fn check_path(path: &str, expected: Result<&[&str], PathFault>) {
    let decoded = DecodedPath::parse(path);
    let segments = decoded.as_ref().map(|path| path.segments().to_vec()).map_err(|fault| *fault);
    assert_eq!(segments, expected.map(|segments| segments.iter().map(|s| s.to_string()).collect()));
}

#[test]
fn paths_are_cut_before_they_are_decoded() {
    check_path("/", Ok(&[""]));
    check_path("/a/b/", Ok(&["a", "b", ""]));
    check_path("/test%2Fawkward", Ok(&["test/awkward"]));
    check_path("/%E2%9C%A7%20x", Ok(&["✧ x"]));
    check_path("/100%", Ok(&["100%"]));
    check_path("/%4", Ok(&["%4"]));
    check_path("/%zz%2541", Ok(&["%zz%41"]));
    check_path("/...", Ok(&["..."]));
    check_path("", Err(PathFault::NotAbsolute));
    check_path("*", Err(PathFault::NotAbsolute));
    for path in ["/..", "/a/../b", "/%2e%2E/x", "/.", "/a/.%2e"] {
        check_path(path, Err(PathFault::DotSegment));
    }
    check_path("/%ff", Err(PathFault::NotUtf8));
    check_path("/%00", Err(PathFault::Control));
    check_path("/a%0d%0ab", Err(PathFault::Control));
}

#[test]
fn files_stay_below_their_folder() {
    let file = |path| DecodedPath::parse(path).unwrap().to_file();
    assert_eq!(file("/"), Some("index.html".into()));
    assert_eq!(file("/a/"), Some("a/index.html".into()));
    assert_eq!(file("/a/b%20c.js"), Some("a/b c.js".into()));
    for path in ["//etc/passwd", "/a//b", "/%2Fetc", "/..%2Fx", "/.git/config", "/a%5Cb"] {
        assert_eq!(file(path), None, "{path}");
    }
}

fn written(response: Response<'_>, is_head: bool) -> String {
    let mut out = Vec::new();
    response.write(is_head, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn every_answer_closes_and_has_a_length() {
    let all = [
        Status::Ok,
        Status::BadRequest,
        Status::Unauthorized,
        Status::Forbidden,
        Status::NotFound,
        Status::MethodNotAllowed,
        Status::Timeout,
        Status::UpgradeRequired,
        Status::TooManyRequests,
        Status::HeadTooLong,
        Status::Unavailable,
    ];
    for status in all {
        let text = written(Response::plain(status), false);
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut parsed = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(at) = parsed.parse(text.as_bytes()).unwrap() else {
            panic!("incomplete: {text}");
        };
        assert_eq!((parsed.code, parsed.reason), (Some(status.code()), Some(status.phrase())));
        let value = |name: &str| {
            let header = parsed.headers.iter().find(|header| header.name == name)?;
            Some(std::str::from_utf8(header.value).unwrap())
        };
        assert!(value("Connection").unwrap().ends_with("close"));
        assert_eq!(value("Content-Length").unwrap(), text[at..].len().to_string());
        assert_eq!(value("Allow").is_some(), status == Status::MethodNotAllowed);
        let version = (status == Status::UpgradeRequired).then_some("13");
        assert_eq!(value("Sec-WebSocket-Version"), version);
    }
}

#[test]
fn an_answer_to_head_has_no_body() {
    let headers = [("Cache-Control", "no-cache"), ("X-Name", "a\r\nSet-Cookie: b")];
    let response =
        Response { status: Status::Ok, content_type: "text/css", headers: &headers, body: b"p{}" };
    let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/css\r\n\
        Content-Length: 3\r\nCache-Control: no-cache\r\nX-Name: aSet-Cookie: b\r\n\r\n";
    assert_eq!(written(response, true), head);
    assert_eq!(written(response, false), format!("{head}p{{}}"));
}

proptest! {
    #[test]
    fn any_bytes_are_a_head_or_refused(bytes: Vec<u8>, seen: usize) {
        let _ = Head::parse(&bytes, seen);
    }

    #[test]
    fn any_path_is_decoded_or_refused(path in "/[a-z%0-9A-F./]{0,30}") {
        if let Ok(decoded) = DecodedPath::parse(&path) {
            let slashes = path.matches('/').count();
            prop_assert_eq!(decoded.segments().len(), slashes);
            if let Some(file) = decoded.to_file() {
                let normal = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(file.components().all(normal));
            }
        }
    }
}
