//! The live view: renewed every second, until q, Ctrl-C or the end of the server.

use super::{
    link::{Link, LinkError},
    show,
};
use crate::control::{Do, Request};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};
use std::{
    io::{self, Read, Write},
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_secs(1);
/// Another screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// A terminal that gives each key at once. Dropping it makes it as it was.
struct Screen {
    before: Termios,
}

impl Screen {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        // Ctrl-C comes as a key too, so that the screen is put back.
        raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let screen = Screen { before };
        write!(io::stdout(), "{ENTER}")?;
        Ok(screen)
    }

    /// Draws over what is there: from the top, each line to its end, and nothing below.
    fn draw(&self, text: &str) -> io::Result<()> {
        let size = tcgetwinsize(io::stdout())?;
        // A terminal that does not know its size says 0.
        let or = |size: u16, usual: u16| usize::from(if size == 0 { usual } else { size });
        let (rows, columns) = (or(size.ws_row, 24).max(2), or(size.ws_col, 80));
        let mut frame = String::from("\x1b[H");
        for line in text.lines().take(rows - 1) {
            frame.extend(line.chars().take(columns));
            frame.push_str("\x1b[K\r\n");
        }
        frame.push_str("\x1b[Jq quits");
        let mut out = io::stdout();
        out.write_all(frame.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write!(io::stdout(), "{LEAVE}");
        let _ = io::stdout().flush();
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

pub(super) fn watch(link: &mut Link, what: &Do, on_behalf: Option<&str>) -> Result<(), LinkError> {
    let request = Request { id: None, on_behalf: on_behalf.map(str::to_owned), what: what.clone() };
    let first = link.ask(&request, &mut |_| {})?;
    let screen = Screen::enter()?;
    screen.draw(&show::top(&first, None))?;
    let (mut before, mut since) = (first, Instant::now());
    loop {
        if quits(INTERVAL)? {
            return Ok(());
        }
        let now = link.ask(&request, &mut |_| {})?;
        let seconds = since.elapsed().as_secs_f64().max(0.001);
        screen.draw(&show::top(&now, Some((&before, seconds))))?;
        (before, since) = (now, Instant::now());
    }
}

/// Waits for the next round; whether a key ended the view meanwhile.
fn quits(interval: Duration) -> io::Result<bool> {
    let until = Instant::now() + interval;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let stdin = io::stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        let time = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos().max(1_000_000)) };
        match poll(&mut fds, Some(&time)) {
            Ok(0) => {}
            Ok(_) => {
                let mut keys = [0; 64];
                let count = stdin.lock().read(&mut keys)?;
                let ends = |key: &u8| matches!(key, b'q' | b'Q' | 3 | 4);
                if count == 0 || keys.iter().take(count).any(ends) {
                    return Ok(true);
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
