//! The interactive client.
//!
//! [`App`](app::App) is what a person sees and does, without any I/O: keys and news go in, actions come out. This file
//! connects it with the terminal and the link.

mod app;
mod commands;
mod draw;
mod editor;
mod help;
mod wrap;

use anyhow::{Context, Result};
use app::{Action, App};
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::execute;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tutti_chat::files;
use tutti_chat::link::{Link, News};
use tutti_chat::session::Dialer;

/// How often the screen is looked at when nothing happens.
const TICK: Duration = Duration::from_millis(500);

/// Gives the terminal back, also when this program panics or fails.
struct Screen;

impl Screen {
    fn take() -> Result<(Self, ratatui::DefaultTerminal)> {
        let terminal = ratatui::try_init().context("cannot use the terminal")?;
        let screen = Self;
        execute!(std::io::stdout(), EnableBracketedPaste).context("cannot use the terminal")?;
        Ok((screen, terminal))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(std::io::stdout(), DisableBracketedPaste);
        ratatui::restore();
    }
}

/// Unix milliseconds.
fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) async fn run(dialer: Dialer, rooms: Vec<String>) -> Result<()> {
    let rooms: Vec<String> =
        rooms.iter().map(|room| room.trim_start_matches('#').to_owned()).collect();
    let mut link = Link::start(dialer, rooms.clone());
    let (screen, mut terminal) = Screen::take()?;
    let (keys_tx, mut keys) = mpsc::channel(64);
    // Reading keys blocks; the thread ends with the program.
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if keys_tx.blocking_send(event).is_err() {
                return;
            }
        }
    });
    let (done_tx, mut done) = mpsc::channel::<String>(16);
    let mut app = App::new(rooms);
    let mut tick = tokio::time::interval(TICK);
    let result = loop {
        if let Err(e) = terminal.draw(|frame| draw::draw(frame, &mut app, Instant::now())) {
            break Err(e).context("cannot draw");
        }
        let mut actions = tokio::select! {
            Some(event) = keys.recv() => app.input(&event, Instant::now()),
            news = link.next() => match news {
                Some(news) => app.news(news, Instant::now(), clock()),
                None => break Ok(()),
            },
            Some(text) = done.recv() => {
                app.say(text);
                Vec::new()
            }
            _ = tick.tick() => app.tick(Instant::now(), clock()),
        };
        // What is there already is drawn together.
        for _ in 0..256 {
            match take_now(&mut link).await {
                Some(news) => actions.extend(app.news(news, Instant::now(), clock())),
                None => break,
            }
        }
        let mut quit = false;
        for action in actions {
            quit |= act(action, &mut app, &mut link, &done_tx).await;
        }
        if quit {
            break Ok(());
        }
    };
    drop(screen);
    link.quit().await;
    match (result, app.failure) {
        (Ok(()), Some(why)) => Err(anyhow::anyhow!(why)),
        (result, _) => result,
    }
}

async fn take_now(link: &mut Link) -> Option<News> {
    tokio::select! {
        biased;
        news = link.next() => news,
        () = std::future::ready(()) => None,
    }
}

/// Does one thing; `true` ends the client.
async fn act(action: Action, app: &mut App, link: &mut Link, done: &mpsc::Sender<String>) -> bool {
    match action {
        Action::Send(command, purpose) => {
            let nonce = link.send(command).await;
            app.sent(nonce, purpose);
        }
        Action::Signal(signal) => link.signal(signal).await,
        Action::Upload { room_id, path } => {
            let Some(session) = link.session().await else {
                app.say("there is no connection".into());
                return false;
            };
            let (done, link_send) = (done.clone(), session.clone());
            tokio::spawn(async move {
                let text = match files::upload(&session, room_id, &path, |_, _| {}).await {
                    Ok(uploaded) => {
                        let name = path.file_name().map_or("file".into(), |n| n.to_string_lossy());
                        let show = app::attachment(room_id, name.into_owned(), uploaded.upload_id);
                        match link_send.request(show).await {
                            Ok(_) => return,
                            Err(e) => format!("{}: {e}", path.display()),
                        }
                    }
                    Err(e) => format!("{}: {e}", path.display()),
                };
                let _ = done.send(text).await;
            });
        }
        Action::Download { upload_id, to } => {
            let Some(session) = link.session().await else {
                app.say("there is no connection".into());
                return false;
            };
            let done = done.clone();
            tokio::spawn(async move {
                let to = to.unwrap_or_else(|| PathBuf::from("."));
                let text = match files::download(&session, upload_id, &to, false, |_, _| {}).await {
                    Ok((path, info)) => format!("saved {} ({} bytes)", path.display(), info.size),
                    Err(e) => format!("download: {e}"),
                };
                let _ = done.send(text).await;
            });
        }
        Action::Quit => return true,
    }
    false
}
