use super::*;
use crate::scenario::load_text;

const BAND: &str = "about = \"x\"\n[[group]]\nname = \"a\"\nchannels = 2\nmembers = 2\n\
                    notes = { senders = 1, rate = 100 }\nchat = { rate = 1 }\n\
                    [[group]]\nname = \"b\"\nchannels = 2\nmembers = 1\nwith = \"a\"\n\
                    roams = { every_s = 1, how = \"switch\" }\n";

/// Sender 0 (channel 0), a listener there, and a roamer.
struct World {
    scenario: Scenario,
    schedules: Vec<(Line, Schedule)>,
    books: Books,
}

const SENDER: u32 = 0;
const LISTENER: u32 = 1;
const ROAMER: u32 = 2;

fn world(exact: bool) -> World {
    let scenario = load_text("x", BAND, &[]).expect("good");
    let lines = Line::all(&scenario);
    let schedules: Vec<_> = lines
        .into_iter()
        .map(|line| {
            let schedule = Schedule::new(line.n_senders(), line.rate, 1_761_000_000_000_000);
            (line, schedule)
        })
        .collect();
    let receiver = |group, index, steady| Receiver {
        person: Person { group, index },
        room: 0,
        channel: index % 2,
        steady,
        prompt: true,
    };
    let receivers = vec![receiver(0, 0, true), receiver(0, 2, true), receiver(1, 0, false)];
    let ids = [("zero", 0), ("one", 1), ("two", 2), ("three", 3)];
    let directory = ids
        .into_iter()
        .map(|(id, index)| (id.as_bytes().into(), Person { group: 0, index }))
        .collect();
    let terms = Terms {
        scenario: &scenario,
        exact,
        lines: &schedules,
        window_us: (0, u64::MAX),
        directory: Arc::new(directory),
        receivers,
    };
    let books = Books::new(terms);
    World { scenario, schedules, books }
}

impl World {
    fn time_us(&self, sender: u32, number: u64) -> u64 {
        self.schedules[0].1.time_us(sender, number)
    }

    fn note(&mut self, receiver: u32, by: &str, sender: u32, number: u64) {
        let intended_us = self.time_us(sender, number);
        let (key, velocity) = (key_of(number), velocity_of(sender, number) as f64 / 1e3);
        self.raw(receiver, by, intended_us, key, velocity);
    }

    fn raw(&mut self, receiver: u32, by: &str, intended_us: u64, key: &str, velocity: f64) {
        let t = intended_us as f64 / 1e3;
        let text =
            format!(r#"{{"m":"n","t":{t},"p":"{by}","n":[{{"n":"{key}","v":{velocity}}}]}}"#);
        self.books.deliver(receiver, What::Note, Message::Text(text.as_bytes()), intended_us + 250);
    }

    /// Lost and surplus when senders 0 and 1 sent so many notes and nobody chatted.
    fn settle(&self, sent: [u64; 2]) -> (u64, u64) {
        self.books.settle(&self.scenario, &[sent.to_vec(), vec![0; 4]])
    }
}

#[test]
fn every_kind_of_wrong_delivery_is_told_apart() {
    let mut world = world(true);
    // Number 4 comes late, 6 twice, 2 and 9 never.
    for number in [0, 1, 3, 5, 4, 6, 6, 7, 8] {
        world.note(LISTENER, "zero", 0, number);
    }
    assert_eq!(world.settle([10, 0]).0, 2);
    let counts = world.books.counts;
    assert_eq!((counts.repeated, counts.reordered, counts.corrupted, counts.stray), (1, 1, 0, 0));
    assert_eq!(world.books.accounts[0].latency_us.value_at_quantile(0.5), 250);

    let time_us = world.time_us(0, 9);
    world.raw(LISTENER, "zero", time_us + 1, "c4", 0.5);
    world.raw(LISTENER, "zero", time_us, "c4", 0.5);
    world.raw(LISTENER, "nobody", time_us, "c4", 0.5);
    assert_eq!(world.books.counts.corrupted, 3, "a time never sent, another key, a stranger");
    world.note(SENDER, "zero", 0, 0);
    world.note(LISTENER, "one", 1, 0);
    world.note(LISTENER, "two", 0, 9);
    assert_eq!(world.books.counts.stray, 3, "an echo, another channel, one who does not play");
}

#[test]
fn who_comes_and_goes_misses_nothing_between() {
    let mut world = world(true);
    for number in [5, 6, 8] {
        world.note(ROAMER, "zero", 0, number);
    }
    world.books.moved(ROAMER, 1);
    assert_eq!(world.books.counts.lost, 1, "7 never came");
    world.note(ROAMER, "one", 1, 40);
    world.note(ROAMER, "zero", 0, 9);
    assert_eq!(world.books.counts.stray, 1, "the old channel is over");
    // 10 for the listener, none for the roamer.
    assert_eq!(world.settle([10, 50]).0, 10);
}

#[test]
fn totals_see_what_is_missing_and_what_is_too_much() {
    let mut world = world(false);
    for number in 0..7 {
        world.note(LISTENER, "zero", 0, number);
    }
    let sent = [vec![7, 0], vec![0; 4]];
    assert!(world.books.is_complete(&world.scenario, &sent));
    assert_eq!(world.settle([7, 0]), (0, 0));
    assert_eq!(world.settle([10, 0]), (3, 0));
    assert_eq!(world.settle([5, 0]), (0, 2));
}

#[test]
fn chat_is_heard_by_its_sender_too() {
    let mut world = world(true);
    let schedule = world.schedules[1].1.clone();
    for (receiver, number) in [(SENDER, 0), (SENDER, 1), (LISTENER, 0)] {
        let mut line = Vec::new();
        let intended_us = schedule.time_us(0, number);
        let mark = wire::Mark { kind: Kind::Chat, sender: 0, number, intended_us };
        wire::mark::put_line(&mut line, mark);
        let line = String::from_utf8(line).expect("text");
        let text = format!(r#"{{"m":"a","t":1,"a":"{line}","p":{{"_id":"zero","id":"zero"}}}}"#);
        world.books.deliver(receiver, What::Chat, Message::Text(text.as_bytes()), intended_us);
    }
    let sent = [vec![0, 0], vec![2, 0, 0, 0]];
    assert_eq!(world.books.settle(&world.scenario, &sent).0, 1);
    assert_eq!(world.books.counts.faults(), 0);
}

#[test]
fn merged_cursor_moves_lose_nothing_but_the_last_position() {
    let text = BAND.replace("notes = { senders = 1, rate = 100 }", "cursors = { rate = 20 }");
    let scenario = load_text("x", &text, &[]).expect("good");
    let line = Line::all(&scenario).into_iter().find(|line| line.kind == Kind::Cursor);
    let line = line.expect("a stream of cursors");
    let schedule = Schedule::new(line.n_senders(), line.rate, 1_000_000);
    let person = Person { group: 0, index: 2 };
    let receiver = Receiver { person, room: 0, channel: 0, steady: true, prompt: true };
    let directory = [(Box::from(*b"zero"), Person { group: 0, index: 0 })].into_iter().collect();
    let mut books = Books::new(Terms {
        scenario: &scenario,
        exact: true,
        lines: &[(line, schedule)],
        window_us: (0, u64::MAX),
        directory: Arc::new(directory),
        receivers: vec![receiver],
    });
    let mut say = |position: &str| {
        let text = format!(r#"{{"m":"m","id":"zero","x":"{position}","y":"0.00"}}"#);
        books.deliver(0, What::Cursor, Message::Text(text.as_bytes()), 2_000_000);
        (books.settle(&scenario, &[vec![10, 0, 0, 0]]).0, books.counts.reordered)
    };
    assert_eq!(say("0.03"), (1, 0), "position 3 of 10");
    assert_eq!(say("0.09"), (0, 0), "the last one");
    assert_eq!(say("0.09"), (0, 0), "once more");
    assert_eq!(say("0.05"), (0, 1), "an older one");
}
