//! The client driven by keys and frames, and drawn on a screen that can be read.

use super::*;
use crate::tui::draw::draw;
use ratatui::Terminal as Screen;
use ratatui::backend::TestBackend;
use tutti_chat::frame::Frame;
use tutti_chat::wire::AuthOk;

struct World {
    app: App,
    now: Instant,
    screen: Screen<TestBackend>,
}

impl World {
    fn new() -> Self {
        let screen = Screen::new(TestBackend::new(60, 12)).unwrap();
        let mut world = Self { app: App::new(vec!["asked".into()]), now: Instant::now(), screen };
        let auth = AuthOk { user_id: 7, username: "Ann".into(), rooms: vec![1], expires_at: None };
        let json = r#"{"version":1,"session_id":"s","num_shards":8}"#;
        let hello = serde_json::from_str(json).unwrap();
        world.app.news(News::Up { hello, auth, early: false }, world.now, 0);
        world.room(1, "lobby", "channel");
        world
    }

    fn tell(&mut self, kind: u8, json: &str) -> Vec<Action> {
        let frame = Frame { kind, payload: json.as_bytes().to_vec().into() };
        let event = Event::read(&frame).unwrap().unwrap();
        self.app.news(News::Event(Box::new(event)), self.now, 0)
    }

    fn room(&mut self, id: u64, name: &str, room_type: &str) -> Vec<Action> {
        self.tell(
            0x37,
            &format!(
                r#"{{"room_id":{id},"name":"{name}","room_type":"{room_type}","seq":0,"membership":1,"member_count":2,
                "members":[{{"user_id":7,"username":"Ann"}},{{"user_id":8,"username":"Bo"}}]}}"#
            ),
        )
    }

    fn hear(&mut self, id: u64, content: &str) {
        self.tell(
            0x30,
            &format!(
                r#"{{"message_id":{id},"room_id":1,"sender":{{"user_id":8,"username":"Bo"}},"content":"{content}",
                "timestamp":{id},"seq":{id}}}"#
            ),
        );
    }

    fn press(&mut self, code: KeyCode) -> Vec<Action> {
        self.app.input(&Terminal::Key(KeyEvent::new(code, KeyModifiers::NONE)), self.now)
    }

    /// Types text and Enter; gives what Enter did.
    fn write(&mut self, text: &str) -> Vec<Action> {
        for c in text.chars() {
            self.press(KeyCode::Char(c));
        }
        self.press(KeyCode::Enter)
    }

    /// The screen's lines, without what is empty at their ends.
    fn lines(&mut self) -> Vec<String> {
        self.screen.draw(|frame| draw(frame, &mut self.app, self.now)).unwrap();
        let buffer = self.screen.backend().buffer();
        let rows = buffer.content.chunks(buffer.area.width.into());
        rows.map(|row| {
            row.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned()
        })
        .collect()
    }

    #[track_caller]
    fn shows(&mut self, text: &str) {
        let lines = self.lines();
        assert!(
            lines.iter().any(|line| line.contains(text)),
            "no `{text}` in\n{}",
            lines.join("\n")
        );
    }

    #[track_caller]
    fn hides(&mut self, text: &str) {
        let lines = self.lines();
        assert!(!lines.iter().any(|line| line.contains(text)), "`{text}` in\n{}", lines.join("\n"));
    }
}

fn sent(actions: &[Action]) -> &Command {
    match actions {
        [Action::Send(command, _)] => command,
        other => panic!("not one command: {other:?}"),
    }
}

#[test]
fn what_is_written_is_said_and_shown_until_it_is_taken() {
    let mut world = World::new();
    world.shows("#lobby");
    let actions = world.write("hello there");
    assert!(
        matches!(sent(&actions), Command::SendMessage { room_id: 1, content, .. } if content == "hello there")
    );
    let Some(Action::Send(_, purpose)) = actions.into_iter().next() else { unreachable!() };
    world.app.sent("n1".into(), purpose);
    world.shows("…   hello there");
    world.tell(0x62, r#"{"nonce":"n1","message_id":5,"timestamp":1,"room_id":1}"#);
    world.hides("hello there");
    world.hear(5, "hello there");
    world.shows("Bo: hello there");
}

#[test]
fn two_slashes_say_one_and_a_typo_is_not_said() {
    let mut world = World::new();
    assert!(
        matches!(sent(&world.write("//shrug")), Command::SendMessage { content, .. } if content == "/shrug")
    );
    assert_eq!(world.write("/jion secret"), []);
    world.shows("unknown command /jion");
    assert_eq!(world.app.editor.text(), "/jion secret");
}

#[test]
fn the_selected_message_is_what_commands_act_on() {
    let mut world = World::new();
    for (id, text) in [(1, "first"), (2, "second"), (3, "third")] {
        world.hear(id, text);
    }
    world.press(KeyCode::Up);
    world.press(KeyCode::Up);
    assert_eq!(world.app.selected, Some(2));
    let actions = world.write("/react 👍");
    let react = Command::AddReaction { room_id: 1, message_id: 2, emoji: "👍".into() };
    assert_eq!(*sent(&actions), react);
    let actions = world.write("/reply yes");
    assert!(matches!(sent(&actions), Command::SendMessage { reply_to: Some(2), .. }));
    assert_eq!(world.app.selected, None);
    world.tell(0x33, r#"{"message_id":2,"room_id":1,"user_id":7,"emoji":"👍","seq":4}"#);
    // The second cell of a wide character is a blank here.
    world.shows("👍  1*");
}

#[test]
fn scrolling_past_the_top_fetches_once() {
    let mut world = World::new();
    for id in 101..=130 {
        world.hear(id, &format!("line {id}"));
    }
    world.shows("line 130");
    let mut fetches = 0;
    for _ in 0..12 {
        fetches += world.press(KeyCode::PageUp).len();
        world.lines();
    }
    assert_eq!(fetches, 1);
    world.shows("line 101");
    // A new line does not move what is read.
    let middle = |lines: Vec<String>| -> Vec<String> {
        lines[1..10].iter().map(|line| line.chars().skip(22).collect()).collect()
    };
    let before = middle(world.lines());
    world.hear(131, "newer");
    assert_eq!(middle(world.lines()), before);
    world.press(KeyCode::Esc);
    world.shows("newer");
}

#[test]
fn another_room_counts_what_is_unread_and_tab_goes_there() {
    let mut world = World::new();
    world.room(9, "jam", "channel");
    assert_eq!(world.app.current, Some(1));
    world.room(12, "asked", "channel");
    assert_eq!(world.app.current, Some(12));
    world.app.model.rooms.remove(&12);
    world.app.go(Some(1));
    world.press(KeyCode::Tab);
    assert_eq!(world.app.current, Some(9));
    world.hear(1, "psst");
    world.shows("#lobby            1");
    world.press(KeyCode::BackTab);
    world.shows("Bo: psst");
    world.hides("#lobby            1");
}

#[test]
fn a_private_message_waits_for_its_room() {
    let mut world = World::new();
    let actions = world.write("/msg bo hi there");
    assert_eq!(*sent(&actions), Command::OpenDirect { user_id: 8 });
    let Some(Action::Send(_, purpose)) = actions.into_iter().next() else { unreachable!() };
    world.app.sent("n1".into(), purpose);
    assert_eq!(world.tell(0x0A, r#"{"nonce":"n1","command":32,"room_id":50}"#), []);
    let actions = world.room(50, "x", "direct");
    assert!(
        matches!(sent(&actions), Command::SendMessage { room_id: 50, content, .. } if content == "hi there")
    );
    world.shows("@Bo");
}

#[test]
fn typing_is_told_seldom_and_shown() {
    let mut world = World::new();
    let typing = vec![Action::Signal(Signal::Typing { room_id: 1 })];
    assert!(matches!(
        world.press(KeyCode::Char('a'))[..],
        [Action::Signal(Signal::Typing { room_id: 1 })]
    ));
    assert_eq!(world.press(KeyCode::Char('b')), []);
    world.now += TYPING_EVERY;
    assert_eq!(world.press(KeyCode::Char('c')), typing);
    for _ in 0..2 {
        assert_eq!(world.press(KeyCode::Backspace), []);
    }
    assert_eq!(
        world.press(KeyCode::Backspace),
        [Action::Signal(Signal::StopTyping { room_id: 1 })]
    );
    assert_eq!(world.write("/me"), []);
    world.app.editor.take();
    world.app.hint.clear();
    world.tell(0x80, r#"{"room_id":1,"user_id":8}"#);
    world.shows("Bo is typing");
}

#[test]
fn names_and_commands_are_completed() {
    let mut world = World::new();
    for (written, completed) in
        [("b", "Bo: "), ("hi b", "hi Bo "), ("/hi", "/history "), ("/wh", "/who "), ("zz", "zz")]
    {
        world.app.editor.set(written);
        world.press(KeyCode::Tab);
        assert_eq!(world.app.editor.text(), completed);
    }
}

#[test]
fn people_are_named_by_a_unique_beginning() {
    let mut world = World::new();
    assert_eq!(
        *sent(&world.write("/kick B too loud")),
        Command::KickUser { room_id: 1, user_id: 8, reason: Some("too loud".into()) }
    );
    world.write("/kick nobody");
    world.shows("there is no nobody here");
    world.app.editor.take();
    let ban = Command::BanUser { room_id: 1, user_id: 8, duration_ms: 1_800_000, reason: None };
    assert_eq!(*sent(&world.write("/ban bo")), ban);
    assert_eq!(world.write("/mute bo x"), []);
    world.shows("usage: /mute WHO MINUTES");
}

#[test]
fn text_of_others_cannot_draw_and_any_size_of_screen_works() {
    let mut world = World::new();
    world.hear(1, "bell\\u0007 esc\\u001b[2J two\\nlines");
    world.shows("Bo: bell esc[2J two");
    world.shows("      lines");
    for (width, height) in [(1, 1), (3, 2), (20, 4), (49, 5), (50, 6), (90, 7), (200, 60)] {
        world.screen.backend_mut().resize(width, height);
        world.press(KeyCode::Up);
        world.app.editor.insert("wide 狐 text that is long\nand has lines");
        world.lines();
    }
}

#[test]
fn a_lost_connection_is_told_and_the_end_ends() {
    let mut world = World::new();
    let down = News::Down { why: "gone".into(), retry_in: Some(Duration::from_millis(500)) };
    world.app.news(down, world.now, 0);
    world.shows("! no connection");
    world.shows("gone; trying again in 0.5 s");
    // What is said meanwhile is kept.
    assert!(matches!(sent(&world.write("later")), Command::SendMessage { .. }));
    world.app.news(News::Down { why: "refused".into(), retry_in: None }, world.now, 0);
    assert_eq!(world.app.tick(world.now, 0), [Action::Quit]);
    assert_eq!(world.app.failure.as_deref(), Some("refused"));
}
