//! From a name, a file and `--set` to a checked scenario.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use toml::{Table, Value};

use super::{Scenario, presets};

/// A scenario key set from outside, as `--set band.members=500` names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    path: Vec<String>,
    value: Value,
}

impl Setting {
    /// A key of the scenario's first group.
    #[must_use]
    pub fn of_first_group(path: &[&str], value: impl Into<Value>) -> Self {
        let path = std::iter::once("").chain(path.iter().copied()).map(str::to_owned).collect();
        Self { path, value: value.into() }
    }

    /// A key of what the first group sends, whatever it is.
    #[must_use]
    pub fn of_first_stream(key: &str, value: impl Into<Value>) -> Self {
        Self::of_first_group(&["", key], value)
    }

    /// A key of the scenario itself.
    #[must_use]
    pub fn of_scenario(key: &str, value: impl Into<Value>) -> Self {
        Self { path: vec![key.to_owned()], value: value.into() }
    }
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, value) =
            text.split_once('=').ok_or("it looks like KEY=VALUE or GROUP.KEY=VALUE")?;
        let parsed = format!("value = {value}").parse::<Table>();
        // What is no TOML value is a string, so that quotes are not needed in a shell.
        let value = match parsed {
            Ok(mut table) => table.remove("value").ok_or("there is no value")?,
            Err(_) => Value::String(value.to_owned()),
        };
        Ok(Self { path: path.trim().split('.').map(str::to_owned).collect(), value })
    }
}

/// Loads the scenario that `name` names: a preset, or a file when it ends with `.toml`.
///
/// Returns its name and the scenario.
///
/// # Errors
/// An unknown name, a file that cannot be read, a key or value that is wrong: with what would be right.
pub fn load(name: &str, settings: &[Setting]) -> Result<(String, Scenario)> {
    if name.ends_with(".toml") {
        let path = Path::new(name);
        let text =
            std::fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        return Ok((stem, load_text(name, &text, settings)?));
    }
    let Some(text) = presets::text(name) else {
        let near = nearest(name, presets::names()).map(|near| format!(" (near: `{near}`)"));
        bail!(
            "there is no scenario `{name}`{}; these are: {}; or name a file that ends with .toml",
            near.unwrap_or_default(),
            presets::names().collect::<Vec<_>>().join(", ")
        );
    };
    Ok((name.to_owned(), load_text(name, text, settings)?))
}

/// Reads a scenario from its text; `origin` names it in errors.
///
/// # Errors
/// As [`load`].
pub fn load_text(origin: &str, text: &str, settings: &[Setting]) -> Result<Scenario> {
    // Read as it is first: only then do errors know lines.
    toml::from_str::<Scenario>(text)
        .map_err(|error| anyhow!("{origin}: {}", explain(&error.to_string())))?;
    let mut table: Table = text.parse().with_context(|| origin.to_owned())?;
    for setting in settings {
        apply(&mut table, setting).with_context(|| format!("{origin}, --set"))?;
    }
    let scenario: Scenario = Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| anyhow!("{origin}: {}", explain(&error.to_string())))?;
    scenario.check().map_err(|fault| anyhow!("{origin}: {fault}"))?;
    Ok(scenario)
}

fn apply(table: &mut Table, setting: &Setting) -> Result<()> {
    let (last, way) = setting.path.split_last().context("a key is missing")?;
    let mut at = table;
    let mut way = way.iter().peekable();
    if let Some(first) = way.next_if(|_| true) {
        let groups = at.get_mut("group").and_then(Value::as_array_mut);
        let groups = groups.context("the scenario has no [[group]]")?;
        let names: Vec<String> = groups
            .iter()
            .filter_map(|group| Some(group.get("name")?.as_str()?.to_owned()))
            .collect();
        let found = match first.as_str() {
            "" => groups.first_mut(),
            name => groups
                .iter_mut()
                .find(|group| group.get("name").and_then(Value::as_str) == Some(name)),
        };
        at = found.and_then(Value::as_table_mut).with_context(|| {
            format!("no group is named `{first}`; there are: {}", names.join(", "))
        })?;
    }
    for part in way {
        let part = match part.as_str() {
            "" => ["notes", "chat", "cursors", "pings"]
                .into_iter()
                .find(|stream| at.contains_key(*stream))
                .unwrap_or("notes"),
            part => part,
        };
        at = at
            .entry(part)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .with_context(|| format!("`{part}` holds no keys"))?;
    }
    at.insert(last.clone(), setting.value.clone());
    Ok(())
}

/// Adds the nearest known key to what serde says of an unknown one.
fn explain(error: &str) -> String {
    let error = error.trim_end();
    let Some((_, rest)) = error.split_once("unknown field `") else { return error.to_owned() };
    let Some((wrong, rest)) = rest.split_once('`') else { return error.to_owned() };
    let known = rest.split('`').skip(1).step_by(2);
    match nearest(wrong, known) {
        Some(near) => format!("{error}\nhelp: the nearest known key to `{wrong}` is `{near}`"),
        None => error.to_owned(),
    }
}

fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = known.map(|name| (strsim::jaro_winkler(wrong, name), name));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.7).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "about = \"x\"\n[[group]]\nname = \"band\"\nmembers = 10\nnotes = { rate = 5 }\n";

    #[test]
    fn settings_reach_every_key() {
        let set = |all: &[&str]| {
            let settings: Vec<_> =
                all.iter().map(|text| text.parse().expect("a setting")).collect();
            load_text("x.toml", TEXT, &settings)
        };
        let scenario =
            set(&["band.members=7", "band.notes.rate=2.5", "dialect=quick"]).expect("good");
        let band = &scenario.groups[0];
        assert_eq!((band.members, band.notes.expect("notes").rate), (7, 2.5));
        assert_eq!(scenario.dialect, super::super::Dialect::Quick);
        let first = Setting::of_first_group(&["notes", "senders"], 3);
        let scenario = load_text("x.toml", TEXT, &[first]).expect("good");
        assert_eq!(scenario.groups[0].notes.expect("notes").senders, Some(3));
        let first = Setting::of_first_stream("rate", 3.0);
        let scenario = load_text("x.toml", TEXT, std::slice::from_ref(&first)).expect("good");
        assert_eq!(scenario.groups[0].notes.expect("notes").rate, 3.0);
        let scenario = load_text("x.toml", &TEXT.replace("notes", "chat"), &[first]).expect("good");
        assert_eq!(scenario.groups[0].chat.expect("chat").rate, 3.0);
        let error = set(&["bnad.members=7"]).expect_err("no such group");
        assert!(format!("{error:#}").contains("there are: band"), "{error:#}");
    }

    #[test]
    fn a_wrong_key_names_its_line_and_the_nearest() {
        let text = TEXT.replace("members", "membres");
        let error = load_text("x.toml", &text, &[]).expect_err("wrong").to_string();
        assert!(error.contains("line 4") && error.contains("is `members`"), "{error}");
        let setting = "band.notes.rat=1".parse().expect("a setting");
        let error = load_text("x.toml", TEXT, &[setting]).expect_err("wrong").to_string();
        assert!(error.contains("is `rate`"), "{error}");
        let error = load("cannonical", &[]).expect_err("wrong").to_string();
        assert!(error.contains("near: `canonical`"), "{error}");
    }
}
