//! Draws the client: rooms at the left, what is said in the middle, people at the right, the input line below.

use super::app::App;
use super::wrap::{cut, wrap};
use crate::script::local_time;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};
use std::collections::VecDeque;
use std::time::Instant;
use tutti_chat::model::{Entry, Room, Said};
use tutti_chat::wire::UserInfo;
use unicode_width::UnicodeWidthStr;

/// From this width on the people are shown.
const PEOPLE_FROM: u16 = 90;
const ROOMS_WIDTH: u16 = 22;
const PEOPLE_WIDTH: u16 = 20;
/// Lines that the input line may grow to.
const INPUT_LINES_MAX: usize = 5;
/// Columns in front of a message: the time, and a space.
const TIME_WIDTH: usize = 6;

const DIM: Style = Style::new().fg(Color::DarkGray);

/// Draws everything, and notes in `app` how much of it fits.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &mut App, now: Instant) {
    let area = frame.area();
    let input = wrap_input(app, area.width.saturating_sub(3).into());
    let input_lines = u16::try_from(input.lines.len().min(INPUT_LINES_MAX)).unwrap_or(1);
    let [top, body, hint, write] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(input_lines),
    ])
    .areas(area);
    let people = if area.width >= PEOPLE_FROM { PEOPLE_WIDTH } else { 0 };
    let rooms = if area.width >= 50 { ROOMS_WIDTH } else { 0 };
    let [left, middle, right] = Layout::horizontal([
        Constraint::Length(rooms),
        Constraint::Min(1),
        Constraint::Length(people),
    ])
    .areas(body);
    draw_title(frame, app, top);
    if rooms > 0 {
        draw_rooms(frame, app, left);
    }
    if people > 0 {
        draw_people(frame, app, right);
    }
    draw_middle(frame, app, middle);
    draw_hint(frame, app, hint, now);
    draw_input(frame, &input, write);
}

/// A person's color, else one by their number.
fn color_of(user: &UserInfo) -> Color {
    let hex = user.color.as_deref().and_then(|color| color.strip_prefix('#'));
    match hex.filter(|hex| hex.len() == 6).and_then(|hex| u32::from_str_radix(hex, 16).ok()) {
        // In the 6 x 6 x 6 cube that all terminals with more than 16 colors have; dark ones cannot be read.
        Some(rgb) => {
            let level = |shift: u32| (((rgb >> shift) & 0xFF) * 5 + 127) / 255;
            let (r, g, b) = (level(16), level(8), level(0));
            let (r, g, b) = if r + g + b < 4 { (r + 1, g + 1, b + 2) } else { (r, g, b) };
            Color::Indexed((16 + 36 * r.min(5) + 6 * g.min(5) + b.min(5)) as u8)
        }
        None => {
            const READABLE: [u8; 12] = [39, 43, 77, 110, 114, 141, 173, 179, 204, 208, 214, 221];
            Color::Indexed(READABLE[(user.user_id % 12) as usize])
        }
    }
}

fn draw_title(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let me = app.model.my_id();
    let what = match app.room() {
        None => "status".to_owned(),
        Some(room) => {
            let topic = room.topic.as_deref().map_or(String::new(), |topic| format!(" — {topic}"));
            let muted = if room.muted_until.is_some() { " (muted)" } else { "" };
            let out = if room.inside { "" } else { " (you are not in it)" };
            format!("{}{muted}{out}{topic}", room.title(me))
        }
    };
    let style = Style::new().add_modifier(Modifier::REVERSED);
    let state = if app.connected { app.status.clone() } else { format!("! {}", app.status) };
    let room = usize::from(area.width).saturating_sub(state.width() + 3);
    let left = cut(&format!(" {what}"), room);
    let gap = usize::from(area.width).saturating_sub(left.width() + state.width() + 1);
    let line = format!("{left}{}{state} ", " ".repeat(gap));
    frame.render_widget(Paragraph::new(line).style(style), area);
}

fn draw_rooms(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let me = app.model.my_id();
    let width = usize::from(area.width) - 2;
    let mark = |current: bool| {
        if current { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() }
    };
    let mut lines = vec![Line::styled(cut(" status", width), mark(app.current.is_none()))];
    for room in app.list() {
        let unread = if room.unread > 0 { format!(" {}", room.unread) } else { String::new() };
        let hot = if room.hot { " ♨" } else { "" };
        let name = cut(
            &format!(" {}", room.title(me)),
            width.saturating_sub(unread.width() + hot.width()),
        );
        let gap = width.saturating_sub(name.width() + unread.width() + hot.width());
        let mut style = mark(app.current == Some(room.room_id));
        if room.mentioned {
            style = style.fg(Color::Yellow);
        }
        if room.unread > 0 {
            style = style.add_modifier(Modifier::BOLD);
        }
        if !room.inside {
            style = style.patch(DIM);
        }
        lines.push(Line::styled(format!("{name}{hot}{}{unread}", " ".repeat(gap)), style));
    }
    let block = Block::new().borders(Borders::RIGHT).border_style(DIM);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn draw_people(frame: &mut Frame<'_>, app: &App, area: Rect) {
    let Some(room) = app.room() else { return };
    let width = usize::from(area.width) - 2;
    let mut members: Vec<&UserInfo> = room.members.values().collect();
    members.sort_by_key(|member| (rank(member), member.username.to_lowercase()));
    let mut lines = vec![Line::styled(count(room.member_count), DIM)];
    for member in members {
        let (dot, dim) = match member.presence.as_deref() {
            Some("away") => ("◌", true),
            Some("offline") => ("·", true),
            _ => ("●", false),
        };
        let sign = match member.role.as_deref() {
            Some("owner") => "♛",
            Some("admin") => "&",
            Some("moderator") => "@",
            _ => "",
        };
        let door = match member.door.as_deref() {
            Some("mpp") => " ♪",
            Some("tcp") => " >",
            _ => "",
        };
        let name =
            cut(&format!("{sign}{}", member.username), width.saturating_sub(3 + door.width()));
        let style = Style::new().fg(color_of(member));
        let style = if dim { DIM } else { style };
        lines.push(Line::from(vec![
            Span::styled(format!(" {dot} "), style),
            Span::styled(name, style),
            Span::styled(door, DIM),
        ]));
    }
    let block = Block::new().borders(Borders::LEFT).border_style(DIM);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn count(people: u32) -> String {
    if people == 1 { " 1 person".into() } else { format!(" {people} people") }
}

/// The highest first.
fn rank(user: &UserInfo) -> u8 {
    match user.role.as_deref() {
        Some("owner") => 0,
        Some("admin") => 1,
        Some("moderator") => 2,
        Some("guest") => 4,
        _ => 3,
    }
}

fn draw_middle(frame: &mut Frame<'_>, app: &mut App, area: Rect) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    app.pane_lines = height;
    let Some(room) = app.room() else {
        let mut lines: VecDeque<Line<'_>> = VecDeque::new();
        for text in app.log.iter().rev() {
            // What goes on below stands under the descriptions of `/help`.
            let (first, rest) = match text.char_indices().nth(super::help::INDENT) {
                Some((at, _)) if text.starts_with("  ") => text.split_at(at),
                _ => ("", text.as_str()),
            };
            let indent = " ".repeat(first.chars().count());
            for (n, line) in
                wrap(rest, width.saturating_sub(indent.len())).into_iter().enumerate().rev()
            {
                let front = if n == 0 { first } else { indent.as_str() };
                lines.push_front(Line::raw(format!("{front}{line}")));
            }
            if lines.len() > height + app.scroll {
                break;
            }
        }
        app.at_top = lines.len() <= height + app.scroll;
        app.scroll = app.scroll.min(lines.len().saturating_sub(height));
        return render_bottom(frame, lines, app.scroll, area);
    };
    // From the newest line up, as far as is in sight.
    let me = app.model.my_id();
    let mut lines: VecDeque<Line<'_>> = VecDeque::new();
    for pending in room.pending.iter().rev() {
        let (mark, style) = match &pending.refused {
            None => ("  …   ".to_owned(), DIM),
            Some(why) => (format!("  !   ({why}) "), Style::new().fg(Color::Red)),
        };
        for (n, line) in wrap(&format!("{mark}{}", pending.content), width).iter().enumerate().rev()
        {
            let indent = if n > 0 { "      " } else { "" };
            lines.push_front(Line::styled(format!("{indent}{line}"), style));
        }
    }
    let mut scroll = app.scroll;
    let mut reached_top = true;
    let mut day = None;
    for entry in room.entries.iter().rev() {
        let at = match entry {
            Entry::Notice(at, _) => *at,
            Entry::Message(id) => room.messages.get(id).map_or(0, |said| said.timestamp),
        };
        let this_day = local_time(at, "%A, %d %B %Y");
        if let Some(day) = day.replace(this_day.clone())
            && day != this_day
        {
            lines.push_front(Line::styled(format!("      ── {day}"), DIM));
        }
        let below = lines.len();
        let drawn = match entry {
            Entry::Notice(at, text) => notice(*at, text, width),
            Entry::Message(id) => match room.messages.get(id) {
                Some(said) => message(room, said, me, app.selected == Some(*id), width),
                None => Vec::new(),
            },
        };
        for line in drawn.into_iter().rev() {
            lines.push_front(line);
        }
        if matches!(entry, Entry::Message(id) if app.selected == Some(*id)) {
            // The selected message is kept in sight.
            scroll = scroll.min(below).max(lines.len().saturating_sub(height));
        }
        let selected_is_above = app.selected.is_some_and(|id| match entry {
            Entry::Message(this) => id < *this,
            Entry::Notice(..) => true,
        });
        if lines.len() > scroll + height && !selected_is_above {
            reached_top = false;
            break;
        }
    }
    if reached_top && !room.more && room.inside {
        lines.push_front(Line::styled("      ── the beginning of what is kept", DIM));
    }
    let scroll = scroll.min(lines.len().saturating_sub(height));
    app.at_top = lines.len() <= scroll + height && reached_top;
    app.scroll = scroll;
    render_bottom(frame, lines, scroll, area);
}

/// Shows the last lines, but for the `scroll` very last.
fn render_bottom(frame: &mut Frame<'_>, lines: VecDeque<Line<'_>>, scroll: usize, area: Rect) {
    let height = usize::from(area.height);
    let end = lines.len().saturating_sub(scroll);
    let start = end.saturating_sub(height);
    let shown: Vec<Line<'_>> = lines.into_iter().skip(start).take(end - start).collect();
    let used = u16::try_from(shown.len()).unwrap_or(area.height).min(area.height);
    let area = Rect { y: area.y + area.height - used, height: used, ..area };
    frame.render_widget(Paragraph::new(shown), area);
}

fn notice(at: u64, text: &str, width: usize) -> Vec<Line<'static>> {
    let time = local_time(at, "%H:%M");
    let lines = wrap(&format!("* {text}"), width.saturating_sub(TIME_WIDTH));
    let mut out = Vec::new();
    for (n, line) in lines.into_iter().enumerate() {
        let front = if n == 0 { format!("{time} ") } else { " ".repeat(TIME_WIDTH) };
        out.push(Line::styled(format!("{front}{line}"), DIM));
    }
    out
}

/// Text that keeps its line breaks and cannot draw.
fn clean(text: &str) -> String {
    text.chars().filter(|&c| c == '\n' || !c.is_control()).collect()
}

fn bytes(n: u64) -> String {
    match n {
        0..1024 => format!("{n} B"),
        1024..1_048_576 => format!("{:.1} KiB", n as f64 / 1024.0),
        _ => format!("{:.1} MiB", n as f64 / 1_048_576.0),
    }
}

fn message(room: &Room, said: &Said, me: u64, selected: bool, width: usize) -> Vec<Line<'static>> {
    let text_width = width.saturating_sub(TIME_WIDTH);
    let name = clean(&said.sender.username).replace('\n', " ");
    let name_style = Style::new().fg(color_of(&said.sender)).add_modifier(Modifier::BOLD);
    let indent = || Span::raw(" ".repeat(TIME_WIDTH));
    let mut out = Vec::new();
    if let Some(to) = said.reply_to {
        let quoted = room.messages.get(&to).map_or_else(
            || "a message that is not here".to_owned(),
            |to| format!("{}: {}", to.sender.username, clean(&to.content).replace('\n', " ")),
        );
        let line = cut(&format!("╭ {quoted}"), text_width);
        out.push(Line::from(vec![indent(), Span::styled(line, DIM)]));
    }
    let (front, body) = match (said.deleted, said.action) {
        (true, _) => (format!("{name}: "), "(deleted)".to_owned()),
        (false, true) => (format!("* {name} "), clean(&said.content)),
        (false, false) => (format!("{name}: "), clean(&said.content)),
    };
    let edited = if said.edited && !said.deleted { " (edited)" } else { "" };
    let lines = wrap(&format!("{front}{body}{edited}"), text_width);
    let mut body_style = if said.deleted { DIM } else { Style::new() };
    if said.sender.user_id == me {
        body_style = body_style.add_modifier(Modifier::DIM);
    }
    for (n, line) in lines.into_iter().enumerate() {
        if n > 0 {
            out.push(Line::from(vec![indent(), Span::styled(line, body_style)]));
            continue;
        }
        let time = Span::styled(format!("{} ", local_time(said.timestamp, "%H:%M")), DIM);
        // A name that is wider than the pane was broken by the wrapping.
        let spans = match line.strip_prefix(front.as_str()) {
            Some(rest) => {
                vec![
                    time,
                    Span::styled(front.clone(), name_style),
                    Span::styled(rest.to_owned(), body_style),
                ]
            }
            None => vec![time, Span::styled(line, name_style)],
        };
        out.push(Line::from(spans));
    }
    for file in &said.attachments {
        let line =
            format!("[file] {} ({}) {}", clean(&file.filename), bytes(file.size), clean(&file.url));
        for line in wrap(&line, text_width) {
            out.push(Line::from(vec![indent(), Span::styled(line, Style::new().fg(Color::Cyan))]));
        }
    }
    if !said.reactions.is_empty() {
        let mut text = String::new();
        for reaction in &said.reactions {
            let mine = if reaction.user_ids.contains(&me) { "*" } else { "" };
            text.push_str(&format!("{} {}{mine}  ", clean(&reaction.emoji), reaction.count));
        }
        for line in wrap(text.trim_end(), text_width) {
            out.push(Line::from(vec![
                indent(),
                Span::styled(line, Style::new().fg(Color::Yellow)),
            ]));
        }
    }
    if selected {
        out = out
            .into_iter()
            .map(|line| line.patch_style(Style::new().bg(Color::Indexed(237))))
            .collect();
    }
    out
}

fn draw_hint(frame: &mut Frame<'_>, app: &App, area: Rect, now: Instant) {
    let width = usize::from(area.width);
    let typing = app.room().map(|room| room.typing(now)).unwrap_or_default();
    let typing = match typing.as_slice() {
        [] => String::new(),
        [one] => format!("{one} is typing"),
        [one, two] => format!("{one} and {two} are typing"),
        many => format!("{} people are typing", many.len()),
    };
    let text = match (app.hint.is_empty(), app.scroll) {
        (false, _) => app.hint.clone(),
        (true, 0) => typing,
        (true, _) => "older messages; PageDown or Esc for the newest".into(),
    };
    let text = clean(&text).replace('\n', " ");
    frame.render_widget(Paragraph::new(cut(&format!(" {text}"), width)).style(DIM), area);
}

/// The input, broken into lines, and where the cursor is in it.
struct Input {
    lines: Vec<String>,
    cursor: (usize, usize),
}

/// Breaks by columns alone, so that the cursor's place follows from the text before it.
fn wrap_input(app: &App, width: usize) -> Input {
    use unicode_segmentation::UnicodeSegmentation;
    let width = width.max(4);
    let (text, before) = (app.editor.text(), app.editor.before().len());
    let (mut lines, mut columns, mut cursor) = (vec![String::new()], 0, (0, 0));
    let mut at = 0;
    for grapheme in text.graphemes(true) {
        let wide = grapheme.width();
        if grapheme == "\n" || columns + wide > width {
            if at == before {
                cursor = (lines.len() - 1, columns);
            }
            lines.push(String::new());
            columns = 0;
        }
        if at == before && grapheme != "\n" {
            cursor = (lines.len() - 1, columns);
        }
        at += grapheme.len();
        if grapheme != "\n"
            && let Some(line) = lines.last_mut()
        {
            line.push_str(grapheme);
            columns += wide;
        }
    }
    if at == before {
        cursor = (lines.len() - 1, columns);
    }
    Input { lines, cursor }
}

fn draw_input(frame: &mut Frame<'_>, input: &Input, area: Rect) {
    let height = usize::from(area.height).max(1);
    // The line with the cursor is in sight.
    let first = (input.cursor.0 + 1).saturating_sub(height);
    let lines: Vec<Line<'_>> = input
        .lines
        .iter()
        .enumerate()
        .skip(first)
        .take(height)
        .map(|(n, line)| {
            let front = if n == 0 { "> " } else { "  " };
            Line::from(vec![Span::styled(front, DIM), Span::raw(line.clone())])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
    let x = area.x + u16::try_from(input.cursor.1 + 2).unwrap_or(0);
    let y = area.y + u16::try_from(input.cursor.0 - first).unwrap_or(0);
    frame.set_cursor_position(Position { x: x.min(area.right().saturating_sub(1)), y });
}
