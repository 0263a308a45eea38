//! The HTTP side and the admin listener.

use crate::ROOMS;
use tutti_tests::eventually;
use tutti_tests::http;
use tutti_tests::mpp::Client;
use tutti_tests::server::Plan;

on_1_2_5_shards!(
    methods,
    a_client_folder_is_served,
    compressed_files_and_sounds_are_served,
    addresses_of_files_do_not_show_rooms,
    health_and_readiness,
    metrics_count,
);

fn methods(plan: Plan) {
    let server = plan.start();
    let addr = server.addr();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let head = format!(
            "{method} / HTTP/1.1\r\nHost: {addr}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(http::request(addr, &head).status, 405, "{method}");
    }
    let page = http::get(addr, "/");
    let head = format!("HEAD / HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    let answer = http::try_request(addr, head.as_bytes());
    // A HEAD has no body, whatever its length says, so the reader sees it end early.
    assert!(answer.is_none_or(|a| a.body.is_empty() && (a.status == 200 || a.status == 405)));
    assert_eq!(page.status, 200);
}

fn a_client_folder_is_served(plan: Plan) {
    let folder =
        std::env::temp_dir().join(format!("tutti-page-{}-{}", std::process::id(), plan.shards()));
    std::fs::create_dir_all(folder.join("sounds")).expect("a writable folder");
    let script = "let x = 1;\n".repeat(40_000);
    for (name, content) in [
        ("index.html", "<!doctype html><html>mine</html>"),
        ("script.js", &script),
        ("style.css", "a{}"),
        ("sounds/a b.json", "{}"),
        ("empty.txt", ""),
    ] {
        std::fs::write(folder.join(name), content).expect("a writable folder");
    }
    let server = plan.arg("--client-dir").arg(folder.to_string_lossy()).start();
    let addr = server.addr();
    for (path, body, kind) in [
        ("/", "<!doctype html><html>mine</html>", "text/html"),
        ("/Some%20Room", "<!doctype html><html>mine</html>", "text/html"),
        ("/sounds", "<!doctype html><html>mine</html>", "text/html"),
        ("/test%2Fawkward", "<!doctype html><html>mine</html>", "text/html"),
        ("/script.js", &script, "javascript"),
        ("/script.js?v=2", &script, "javascript"),
        ("/style.css", "a{}", "text/css"),
        ("/sounds/a%20b.json", "{}", "json"),
        ("/empty.txt", "", "text/plain"),
    ] {
        let answer = http::get(addr, path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text() == body, "{path}: {} bytes", answer.body.len());
        assert!(
            answer.header("content-type").is_some_and(|t| t.contains(kind)),
            "{path}: {}",
            answer.head
        );
    }
    // An upgrade on the path of a file is an upgrade.
    let ws = server.socket_with(&tutti_tests::ws::Dial::default().path("/script.js"));
    Client::new(ws.expect("an upgrade")).hi();
    std::fs::remove_dir_all(folder).expect("the folder was ours");
}

fn compressed_files_and_sounds_are_served(plan: Plan) {
    let folder =
        std::env::temp_dir().join(format!("tutti-packed-{}-{}", std::process::id(), plan.shards()));
    std::fs::create_dir_all(folder.join("packs/Upright")).expect("a writable folder");
    for (name, content) in [
        ("index.html", "mine"),
        ("app.js", "as it is"),
        ("app.js.br", "smaller"),
        ("packs/Upright/a-1.mp3", "la"),
    ] {
        std::fs::write(folder.join(name), content).expect("a writable folder");
    }
    let server = plan
        .arg("--client-dir")
        .arg(folder.to_string_lossy())
        .arg("--sounds")
        .arg(folder.join("packs").to_string_lossy())
        .start();
    let addr = server.addr();
    let ask = |more: &str| {
        let head =
            format!("GET /app.js HTTP/1.1\r\nHost: {addr}\r\n{more}Connection: close\r\n\r\n");
        http::request(addr, &head)
    };
    let (plain, packed) = (ask(""), ask("Accept-Encoding: gzip, br\r\n"));
    assert_eq!((plain.text(), plain.header("content-encoding")), ("as it is".into(), None));
    assert_eq!(packed.text(), "smaller");
    assert_eq!(packed.header("content-encoding").map(str::trim), Some("br"));
    for answer in [&plain, &packed] {
        assert_eq!(answer.header("vary").map(str::trim), Some("Accept-Encoding"));
    }
    let tag = |answer: &http::Response| answer.header("etag").expect("a tag").trim().to_owned();
    assert_ne!(tag(&plain), tag(&packed));
    let again = format!("Accept-Encoding: br\r\nIf-None-Match: {}\r\n", tag(&packed));
    assert_eq!(ask(&again).status, 304);
    let again = format!("Accept-Encoding: br\r\nIf-None-Match: {}\r\n", tag(&plain));
    assert_eq!(ask(&again).status, 200, "the tag of another form");

    let index = http::get(addr, "/sounds/index.json");
    assert!(index.text().contains(r#""a-1":"/sounds/Upright/a-1.mp3""#), "{}", index.text());
    let sound = http::get(addr, "/sounds/Upright/a-1.mp3");
    assert_eq!(sound.text(), "la");
    assert!(sound.header("content-type").is_some_and(|kind| kind.contains("audio/mpeg")));
    std::fs::remove_dir_all(folder).expect("the folder was ours");
}

/// Files themselves are of the QUIC door, and so is their test (`tests/quic/test_files_http.py`).
fn addresses_of_files_do_not_show_rooms(plan: Plan) {
    let path = format!("/u/8725724278030337-{}/a.txt", "0123456789abcdef".repeat(2));
    let without = plan.clone().set("quic.listen", "\"127.0.0.1:0\"").start();
    let page = http::get(without.addr(), "/");
    let room = http::get(without.addr(), &path);
    assert_eq!((room.status, room.body), (200, page.body), "a room like any other");
    let plan = plan.admin().set("quic.listen", "\"127.0.0.1:0\"");
    let server = plan.set("uploads.public_url", "\"https://files.example\"").start();
    let addr = server.addr();
    for none in [&*path, "/u/1/a", "/u//", "/u/-/", "/u/%00-1/a", "/u/..%2f..%2fetc-passwd/a"] {
        let answer = http::get(addr, none);
        let expected = if none.contains("%00") { 400 } else { 404 };
        assert_eq!(answer.status, expected, "{none}: {}", answer.head);
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    let head = format!("HEAD {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: 0\r\n\r\n");
    let answer = http::try_request(addr, head.as_bytes());
    assert!(answer.is_none_or(|answer| answer.status == 404 && answer.body.is_empty()));
    for method in ["POST", "PUT", "DELETE"] {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        assert_eq!(http::request(addr, &head).status, 405, "{method}");
    }
    for room in ["/u", "/u/", "/u/1", "/u/a/b/c", "/U/1-2/a"] {
        let answer = http::get(addr, room);
        assert!(answer.header("content-type").is_some_and(|it| it.contains("html")), "{room}");
    }
    let ws = server.socket_with(&tutti_tests::ws::Dial::default().path(&path));
    Client::new(ws.expect("an upgrade is an upgrade")).hi();
    let text = http::get(server.admin(), "/metrics").text();
    let value = |name: &str| samples(&text, |it| it == name);
    assert_eq!(value("tutti_uploads_links_opened_total"), Some(0.0));
    assert_eq!(value("tutti_uploads_links_wrong_total"), Some(2.0), "those of the right form");
}

fn health_and_readiness(plan: Plan) {
    let server = plan.admin().start();
    let admin = server.admin();
    for path in ["/healthz", "/readyz"] {
        eventually(path, || (http::get(admin, path).status == 200).then_some(()));
    }
    assert_eq!(http::get(admin, "/nothing-here").status, 404);
    // The public listener does not show them: there it is a room like any other.
    let public = http::get(server.addr(), "/metrics");
    assert!(!public.text().contains("# TYPE"), "{}", public.text());
}

/// The sum of all samples whose name and labels fit, or `None` when there is none.
fn samples(text: &str, fits: impl Fn(&str) -> bool) -> Option<f64> {
    let found: Vec<f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(name, _)| fits(name))
        .filter_map(|(_, value)| value.parse().ok())
        .collect();
    (!found.is_empty()).then(|| found.iter().sum())
}

fn metrics_count(plan: Plan) {
    let server = plan.admin().start();
    let read = || {
        let answer = http::get(server.admin(), "/metrics");
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").is_some_and(|t| t.starts_with("text/plain")));
        answer.text()
    };
    let mut clients: Vec<Client> =
        ROOMS.iter().chain(&ROOMS).map(|room| server.join(room)).collect();
    for client in &mut clients {
        client.clear();
    }
    let text = eventually("six connections in the metrics", || {
        let text = read();
        let count = samples(&text, |n| n.starts_with("tutti_connections") && !n.contains("_total"));
        (count == Some(6.0)).then_some(text)
    });
    // Every sample has a type and a help line.
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().expect("a name");
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let typed = |name: &str| text.contains(&format!("# TYPE {name} "));
        assert!(typed(name) || base.is_some_and(typed), "{line}");
    }
    for word in [
        "channels",
        "members",
        "messages",
        "bytes",
        "sends",
        "handovers",
        "mesh",
        "outbox",
        "turn",
        "hot",
    ] {
        assert!(
            text.lines().any(|l| l.starts_with("tutti_") && l.contains(word)),
            "nothing about {word} in\n{text}"
        );
    }
    drop(clients);
    eventually("no connection in the metrics", || {
        let count =
            samples(&read(), |n| n.starts_with("tutti_connections") && !n.contains("_total"));
        (count == Some(0.0)).then_some(())
    });
}
