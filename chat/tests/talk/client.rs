//! The library: logins, trust, order, reconnects, files.

use crate::mock::{Folder, Manner, Mock};
use std::time::Duration;
use tokio::time::timeout;
use tutti_chat::files::{self, FileFault};
use tutti_chat::link::{Link, News};
use tutti_chat::session::{
    Answer, Credentials, Dialer, Events, NoSession, Session, Target, Unanswered,
};
use tutti_chat::trust::{Distrust, Trust, authorities};
use tutti_chat::wire::{Command, Event, Signal};

const PATIENCE: Duration = Duration::from_secs(20);

fn target(mock: &Mock, name: &str) -> Target {
    Target {
        addresses: vec![mock.address],
        name: "localhost".into(),
        known_as: format!("localhost:{}", mock.address.port()),
        trust: Trust::Fingerprint(mock.fingerprint.parse().unwrap()),
        credentials: Credentials::Name(name.into()),
        capabilities: vec!["chat".into(), "hot".into(), "typing".into()],
        early_data: true,
    }
}

async fn connect(mock: &Mock, name: &str) -> (Session, Events) {
    Dialer::new(target(mock, name)).unwrap().connect(&[]).await.unwrap()
}

/// The first event that `pick` wants.
async fn next<T>(events: &mut Events, pick: impl Fn(Event) -> Option<T>) -> T {
    let found = async {
        loop {
            let event = events.next().await;
            if let Some(found) = pick(event.expect("the session goes on")) {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.expect("it comes in time")
}

async fn entered(events: &mut Events, name: &str) -> u64 {
    let init = |event| match event {
        Event::RoomInit(init) if init.name == name => Some(init.room_id),
        _ => None,
    };
    next(events, init).await
}

async fn heard(events: &mut Events) -> String {
    let said = |event| match event {
        Event::Message(message) => Some(message.content),
        _ => None,
    };
    next(events, said).await
}

fn say(room_id: u64, content: &str) -> Command {
    let content = content.into();
    Command::SendMessage { room_id, content, reply_to: None, attachments: vec![], kind: "text" }
}

#[tokio::test]
async fn two_people_talk() {
    let mock = Mock::start(Manner::default());
    let (ann, mut ann_hears) = connect(&mock, "ann").await;
    let (bo, mut bo_hears) = connect(&mock, "bo").await;
    assert_eq!(ann.hello().num_shards, 8);
    assert_eq!(entered(&mut ann_hears, "lobby").await, 1);
    let join = Command::JoinByName { name: "jam".into() };
    let room = ann_hears.during(ann.request(join.clone())).await.unwrap().room_id().unwrap();
    assert_eq!(bo_hears.during(bo.request(join)).await.unwrap().room_id(), Some(room));
    let answer = ann_hears.during(ann.request(say(room, "héllo"))).await.unwrap();
    let Answer::Accepted(ack) = answer else { panic!("{answer:?}") };
    assert_eq!(heard(&mut bo_hears).await, "héllo");
    let content = "hello".into();
    let edit = Command::EditMessage { room_id: room, message_id: ack.message_id, content };
    ann_hears.during(ann.request(edit)).await.unwrap();
    let edited = |event| match event {
        Event::MessageEdited(edit) => Some((edit.message_id, edit.content)),
        _ => None,
    };
    assert_eq!(next(&mut bo_hears, edited).await, (ack.message_id, "hello".into()));
    ann.signal(&Signal::Typing { room_id: room }).await;
    let typing = |event| match event {
        Event::Typing(typing) => Some(typing.user_id),
        _ => None,
    };
    assert_eq!(next(&mut bo_hears, typing).await, ann.auth().user_id);
    ann.ping(77).await;
    let pong = |event| matches!(event, Event::Pong { timestamp: 77 }).then_some(());
    next(&mut ann_hears, pong).await;
    ann.goodbye("bye").await;
    let left = |event| match event {
        Event::UserLeft(left) if left.room_id == room => Some(left.user_id),
        _ => None,
    };
    assert_eq!(next(&mut bo_hears, left).await, ann.auth().user_id);
    bo.goodbye("bye").await;
}

#[tokio::test]
async fn a_refusal_reaches_the_one_who_asked() {
    let mock = Mock::start(Manner::default());
    let (ann, mut hears) = connect(&mock, "ann").await;
    let refused = hears.during(ann.request(say(1, "forbidden"))).await.unwrap_err();
    assert!(matches!(refused, Unanswered::Refused(fault) if fault.code == 1004));
    let join = Command::JoinById { room_id: 4 };
    let refused = hears.during(ann.request(join)).await.unwrap_err();
    assert!(matches!(refused, Unanswered::Refused(fault) if fault.code == 1005));
    mock.cut();
    let ended = hears.during(ann.request(say(1, "x"))).await.unwrap_err();
    assert!(matches!(ended, Unanswered::Ended), "{ended:?}");
    while hears.next().await.is_some() {}
    assert_eq!(hears.end().code, Some(0x0D));
}

#[tokio::test]
async fn an_address_where_nobody_answers_leads_to_the_next() {
    let mock = Mock::start(Manner::default());
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let addresses = vec![silent.local_addr().unwrap(), mock.address];
    let target = Target { addresses, ..target(&mock, "ann") };
    let (session, _) = Dialer::new(target).unwrap().connect(&[]).await.unwrap();
    assert_eq!(session.auth().username, "ann");
}

#[tokio::test]
async fn a_login_that_is_refused_says_why() {
    let mock = Mock::start(Manner::default());
    let no = Dialer::new(target(&mock, "nobody")).unwrap().connect(&[]).await.unwrap_err();
    assert!(matches!(&no, NoSession::Refused(failed) if failed.code == 1003), "{no}");
    let _ann = connect(&mock, "ann").await;
    let no = Dialer::new(target(&mock, "ann")).unwrap().connect(&[]).await.unwrap_err();
    assert!(matches!(&no, NoSession::Refused(failed) if failed.code == 1012), "{no}");
}

#[tokio::test]
async fn a_server_is_trusted_by_what_it_shows() {
    let mock = Mock::start(Manner::default());
    let folder = Folder::new();
    let file = folder.file("config/known_servers");
    let trying = |trust: Trust, name: &str| {
        let target = Target { trust, name: name.into(), ..target(&mock, "twin") };
        async move { Dialer::new(target).unwrap().connect(&[]).await.map(|_| ()) }
    };
    let known = |accept_new| Trust::Known { file: file.clone(), accept_new };
    let distrust = |result: Result<(), NoSession>| match result {
        Err(NoSession::Distrust(distrust)) => distrust,
        other => panic!("{other:?}"),
    };
    // Unknown, accepted, known.
    let unknown = distrust(trying(known(false), "localhost").await);
    assert!(
        matches!(&unknown, Distrust::Unknown { found, .. } if found.to_string() == mock.fingerprint)
    );
    assert!(!file.exists());
    trying(known(true), "localhost").await.unwrap();
    trying(known(false), "localhost").await.unwrap();
    // Another certificate at the same place.
    let line = std::fs::read_to_string(&file).unwrap();
    assert_eq!(line, format!("localhost:{} {}\n", mock.address.port(), mock.fingerprint));
    std::fs::write(&file, line.replace(&mock.fingerprint, &"0".repeat(64))).unwrap();
    let changed = distrust(trying(known(true), "localhost").await);
    assert!(changed.to_string().contains("remove its line from"), "{changed}");
    let zeros = Trust::Fingerprint("0".repeat(64).parse().unwrap());
    assert!(matches!(distrust(trying(zeros, "localhost").await), Distrust::Changed { .. }));
    // An authority stands for names.
    let pem = folder.file("ca.pem");
    std::fs::write(&pem, &mock.pem).unwrap();
    let ca = Trust::Authorities(authorities(&pem).unwrap());
    trying(ca.clone(), "localhost").await.unwrap();
    trying(ca.clone(), "127.0.0.1").await.unwrap();
    assert!(matches!(distrust(trying(ca, "elsewhere.example").await), Distrust::Authority { .. }));
    std::fs::write(&pem, "nothing").unwrap();
    assert!(authorities(&pem).is_err());
    trying(Trust::Anything, "elsewhere.example").await.unwrap();
}

#[tokio::test]
async fn a_hot_room_stays_in_order_when_the_lane_is_slow() {
    let lane_delay = Duration::from_millis(30);
    let mock = Mock::start(Manner { lane_delay, ..Manner::default() });
    let (_ann, mut hears) = connect(&mock, "ann").await;
    entered(&mut hears, "lobby").await;
    let mut said = Vec::new();
    for round in 0..3 {
        for hot in [false, true] {
            mock.heat(1, hot);
            for n in 0..5 {
                let text = format!("{round} {hot} {n}");
                mock.say(1, &text);
                said.push(text);
            }
        }
    }
    let (mut moves, mut got) = (0, Vec::new());
    while got.len() < said.len() {
        match timeout(PATIENCE, hears.next()).await.unwrap().unwrap() {
            Event::Message(message) => got.push(message.content),
            Event::RoomPromoted(_) | Event::RoomDemoted(_) => moves += 1,
            _ => {}
        }
    }
    assert_eq!(got, said);
    assert_eq!(moves, 5);
}

#[tokio::test]
async fn a_message_is_said_once_though_its_acknowledgement_was_lost() {
    let mock = Mock::start(Manner { lose_acks: 1, refuse_haste: 0, ..Manner::default() });
    let (_bo, mut bo_hears) = connect(&mock, "bo").await;
    let mut link = Link::start(Dialer::new(target(&mock, "ann")).unwrap(), vec!["jam".into()]);
    let (mut ups, mut acks, mut early) = (0, 0, 0);
    while acks < 3 {
        match timeout(PATIENCE, link.next()).await.unwrap().expect("the link goes on") {
            News::Up { early: is_early, .. } => {
                ups += 1;
                early += usize::from(is_early);
                if ups == 1 {
                    for text in ["one", "two", "three"] {
                        link.send(say(1, text)).await;
                    }
                }
            }
            News::Event(event) if matches!(*event, Event::MessageAck(_)) => acks += 1,
            _ => {}
        }
    }
    assert_eq!(ups, 2);
    // The second login used the ticket of the first session.
    assert_eq!((early, mock.world().early_logins), (1, 1));
    for text in ["one", "two", "three"] {
        assert_eq!(heard(&mut bo_hears).await, text);
    }
    let jam = mock.world().channel("jam");
    assert_eq!(mock.world().rooms[&jam].members.len(), 1, "it is back in its room");
    link.quit().await;
    assert_eq!(mock.world().rooms[&1].messages.len(), 3);
}

#[tokio::test]
async fn a_message_that_came_too_fast_is_said_later() {
    let mock = Mock::start(Manner { refuse_haste: 2, ..Manner::default() });
    let mut link = Link::start(Dialer::new(target(&mock, "ann")).unwrap(), Vec::new());
    let mut acks = 0;
    while acks < 4 {
        match timeout(PATIENCE, link.next()).await.unwrap().unwrap() {
            News::Up { .. } => {
                for text in ["a", "b", "c", "d"] {
                    link.send(say(1, text)).await;
                }
            }
            News::Event(event) => match *event {
                Event::MessageAck(_) => acks += 1,
                Event::Fault(fault) => panic!("the link keeps that for itself: {fault:?}"),
                _ => {}
            },
            _ => {}
        }
    }
    link.quit().await;
}

#[tokio::test]
async fn a_server_without_early_data_gets_everything_again() {
    let mock = Mock::start(Manner { no_early_data: true, ..Manner::default() });
    let dialer = Dialer::new(target(&mock, "ann")).unwrap();
    for _ in 0..2 {
        let (session, mut hears) = dialer.connect(&[]).await.unwrap();
        assert!(!session.was_early());
        assert_eq!(entered(&mut hears, "lobby").await, 1);
        session.goodbye("").await;
    }
}

#[tokio::test]
async fn a_goodbye_says_when_to_come_back() {
    let mock = Mock::start(Manner::default());
    let mut link = Link::start(Dialer::new(target(&mock, "ann")).unwrap(), Vec::new());
    let mut told = Vec::new();
    while told.len() < 3 {
        match timeout(PATIENCE, link.next()).await.unwrap().unwrap() {
            News::Up { .. } => told.push("up".to_owned()),
            News::Event(event) if told.len() == 1 && matches!(*event, Event::RoomInit(_)) => {
                mock.shake_off(700);
            }
            News::Down { why, retry_in } => {
                let pause = retry_in.unwrap();
                assert!(pause >= Duration::from_millis(700), "{pause:?}");
                told.push(why);
            }
            _ => {}
        }
    }
    assert_eq!(told, ["up", "the server said goodbye: restart", "up"]);
    link.quit().await;
}

#[tokio::test]
async fn a_session_survives_a_change_of_the_port() {
    let mock = Mock::start(Manner::default());
    let dialer = Dialer::new(target(&mock, "ann")).unwrap();
    let (session, mut hears) = dialer.connect(&[]).await.unwrap();
    entered(&mut hears, "lobby").await;
    for n in 0..3 {
        dialer.rebind().unwrap();
        hears.during(session.request(say(1, &n.to_string()))).await.unwrap();
        assert_eq!(heard(&mut hears).await, n.to_string());
    }
}

#[tokio::test]
async fn a_server_that_breaks_the_protocol_is_left() {
    let oversize = [&[0x05][..], &(64 * 1024 + 1_u32).to_be_bytes()].concat();
    for (noise, why) in [
        (oversize, "too large"),
        (b"\x30\0\0\0\x02{}".to_vec(), "cannot be read"),
        (b"\x06\0\0\0\x01[".to_vec(), "cannot be read"),
    ] {
        let mock = Mock::start(Manner { noise, ..Manner::default() });
        let (_session, mut hears) = connect(&mock, "ann").await;
        let end = async {
            while hears.next().await.is_some() {}
            hears.end()
        };
        let end = timeout(PATIENCE, end).await.unwrap();
        assert!(end.why.contains(why), "{}", end.why);
    }
    // What is not known is skipped.
    let mock = Mock::start(Manner { noise: b"\x0F\0\0\0\x03xyz".to_vec(), ..Manner::default() });
    let (session, mut hears) = connect(&mock, "ann").await;
    hears.during(session.request(say(1, "still here"))).await.unwrap();
}

#[tokio::test]
async fn files_come_back_as_they_were() {
    let mock = Mock::start(Manner::default());
    let folder = Folder::new();
    let (session, mut hears) = connect(&mock, "ann").await;
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n * 7 / 3) as u8).collect();
    let path = folder.file("notes.bin");
    std::fs::write(&path, &bytes).unwrap();
    let mut seen = Vec::new();
    let sent = files::upload(&session, 1, &path, |done, of| seen.push((done, of)));
    let sent = hears.during(sent).await.unwrap();
    assert_eq!(sent.url, format!("garou:u/{}", sent.upload_id));
    assert_eq!(seen.last(), Some(&(300_000, 300_000)));
    let to = folder.file("back.bin");
    let get = |replace| files::download(&session, sent.upload_id, &to, replace, |_, _| {});
    let (path, info) = get(false).await.unwrap();
    assert_eq!((path, info.filename.as_str()), (to.clone(), "notes.bin"));
    assert_eq!(std::fs::read(&to).unwrap(), bytes);
    // A file that is there stays.
    std::fs::write(&to, "mine").unwrap();
    assert!(matches!(get(false).await, Err(FileFault::Local { .. })));
    assert_eq!(std::fs::read(&to).unwrap(), b"mine");
    get(true).await.unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), bytes);
    // One that was changed on its way does not appear.
    std::fs::remove_file(&to).unwrap();
    mock.world().uploads.get_mut(&sent.upload_id).unwrap().bytes[5] ^= 1;
    assert!(matches!(get(false).await, Err(FileFault::Damaged(_))));
    let missing = files::download(&session, 99, &to, false, |_, _| {}).await;
    assert!(matches!(missing, Err(FileFault::NotFound)));
    let names: Vec<_> =
        std::fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["notes.bin"]);
}

#[tokio::test]
async fn an_upload_whose_connection_is_cut_goes_on_over_the_next() {
    let mock = Mock::start(Manner::default());
    let folder = Folder::new();
    let bytes: Vec<u8> = (0..400_000_u32).map(|n| (n * 7 / 3) as u8).collect();
    let path = folder.file("cut.bin");
    std::fs::write(&path, &bytes).unwrap();
    let (session, mut hears) = connect(&mock, "ann").await;
    let cut = hears.during(files::upload(&session, 1, &path, |_, _| {})).await;
    assert!(matches!(cut, Err(FileFault::Ended)), "{cut:?}");
    let (session, mut hears) = connect(&mock, "ann").await;
    let mut seen = Vec::new();
    let sent = files::upload(&session, 1, &path, |done, _| seen.push(done));
    let sent = hears.during(sent).await.unwrap();
    assert!(seen[0] >= 128 * 1024, "it begins where the first one ended: {seen:?}");
    assert_eq!(mock.world().uploads[&sent.upload_id].bytes, bytes);
}

#[tokio::test]
async fn uploads_that_end_early_say_why() {
    let mock = Mock::start(Manner::default());
    let folder = Folder::new();
    let (session, mut hears) = connect(&mock, "ann").await;
    for (name, size, why) in [
        ("refused.txt", 100, "not that file"),
        ("stopped.bin", 900_000, "the disk is full"),
        ("large.bin", (1 << 20) + 1, "at most 1048576"),
    ] {
        let path = folder.file(name);
        std::fs::write(&path, vec![1; size]).unwrap();
        let failed = hears.during(files::upload(&session, 1, &path, |_, _| {})).await.unwrap_err();
        assert!(failed.to_string().contains(why), "{failed}");
    }
    let missing = files::upload(&session, 1, &folder.file("missing"), |_, _| {}).await;
    assert!(matches!(missing, Err(FileFault::Local { .. })));
}
