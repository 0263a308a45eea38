use super::keys::{KEYS, Key, Kind};
use super::*;
use crate::quic::Source;

fn host() -> HostCpus {
    HostCpus { allowed: vec![0, 1, 2, 3], parallelism: 2 }
}

fn file(text: &str) -> Result<Config, ConfigError> {
    let mut raw = RawConfig::default();
    raw.add_file("t.toml", text)?;
    Config::new(&raw, &host())
}

fn config(text: &str) -> Config {
    file(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    file(text).expect_err(text).to_string()
}

/// A value that a key takes and that is not its default, and whether it can stand beside the other defaults.
fn other_value(key: &Key) -> Value {
    match key.kind {
        Kind::Bool | Kind::BoolOr(_) => Value::Bool(key.default != "true"),
        Kind::Number { min, max, .. } => {
            let default = key.default.parse().unwrap_or(min);
            Value::Number(if default < max { default + 1 } else { default - 1 })
        }
        Kind::Choice(words) => {
            let other = words.iter().find(|word| !key.default.contains(**word)).unwrap();
            Value::Text((*other).to_owned())
        }
        Kind::Text(_) if key.name == "quic.token_secret" => {
            Value::Text("another secret of at least 32 bytes".into())
        }
        Kind::Text(_) if key.name.ends_with(".listen") => Value::Text("127.0.0.1:1".into()),
        Kind::Text(_) if key.name == "uploads.public_url" => {
            Value::Text("https://files.example".into())
        }
        Kind::Text(_) if key.name == "log" => Value::Text("warn,tutti=debug".into()),
        Kind::Text(_) => Value::Text("other than before".into()),
        Kind::List(_) if key.name == "listen" => Value::List(vec!["127.0.0.1:1".into()]),
        Kind::List(_) if key.name == "cpus" => Value::List(vec!["3".into()]),
        Kind::List(_) if key.name == "origins" => Value::List(vec!["https://a.example".into()]),
        Kind::List(_) => Value::List(vec!["10.0.0.0/8".into(), "::1".into()]),
    }
}

#[test]
fn defaults_are_those_of_the_core() {
    let config = config("");
    // The core alone keeps nothing; a server does.
    let storage = Some(Duration::from_secs(2));
    assert_eq!(config.core, tutti_shards::Config { storage, ..Default::default() });
    assert_eq!(config.listen, ["0.0.0.0:8080".parse().unwrap()]);
    assert_eq!(config.admin_listen, Some("127.0.0.1:9090".parse().unwrap()));
    assert_eq!(config.data, Data::Dir("./data".into()));
    assert_eq!(config.quic.unwrap().listen, "127.0.0.1:4433".parse().unwrap());
    assert_eq!(
        (config.quic_connections, config.quic_connections_per_address),
        (Some(10_000), Some(64))
    );
    let rates = config.sessions.rates;
    assert_eq!((rates.messages, rates.commands), (Rate::new(10, 2_000), Rate::new(40, 2_000)));
    assert_eq!((rates.joins, rates.bytes), (Rate::new(16, 8_000), Rate::new(256 << 10, 4_000)));
    assert_eq!((config.shards, config.cpus.len(), config.tokens), (2, 4, false));
    assert_eq!(config.limits.message_bytes, 128 << 10);
    assert_eq!(config.flush_delay_max, Duration::from_millis(10));
}

#[test]
fn limits_off_lifts_the_rates_and_counts_of_quic_too() {
    let config = config("limits.enabled = false\nquic.message_rate = 3");
    assert_eq!(config.sessions.rates, SessionRates::UNLIMITED);
    assert_eq!((config.quic_connections, config.quic_connections_per_address), (None, None));
    assert!(config.sessions.outbox.bytes_max > 0, "what protects memory stays");
    let uploads = config.uploads.expect("the data folder takes them");
    assert_eq!((uploads.user_bytes_max, uploads.at_once_max), (u64::MAX, usize::MAX));
    assert_eq!((uploads.file_bytes_max, uploads.total_bytes_max), (25 << 20, 1 << 30));
}

#[test]
fn quic_is_open_by_default_but_not_to_nobody() {
    let salts = "mode = \"production\"\nsalt1 = \"alpha\"\nsalt2 = \"beta\"\n";
    let shut = config(salts);
    assert!(shut.quic.is_none() && shut.quic_waits);
    assert!(
        refused(&format!("{salts}quic.listen = \"127.0.0.1:4433\"")).contains("quic.token_secret")
    );
    let off = config(&format!("{salts}quic.listen = \"off\""));
    assert!(off.quic.is_none() && !off.quic_waits);
    let secret = "quic.token_secret = \"a secret of at least thirty-two bytes\"";
    assert!(config(&format!("{salts}{secret}")).quic.is_some());
    assert!(config("quic.listen = \"off\"").quic.is_none());
}

#[test]
fn every_key_is_settable_by_file_and_environment_and_reaches_the_config() {
    // Production with salts, so that each of them is used.
    // And with a QUIC door, for its keys, and a rate of rooms, for its time.
    let base = "mode = \"production\"\nsalt1 = \"alpha\"\nsalt2 = \"beta\"\nrate.room.count = 9\n\
                [quic]\nlisten = \"127.0.0.1:4433\"\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n\
                token_secret = \"a secret of at least thirty-two bytes\"\n";
    for key in KEYS {
        let value = other_value(key);
        let mut by_file = RawConfig::default();
        if key.name != "mode" {
            by_file.add_file("base.toml", base).unwrap();
        }
        let before = Config::new(&by_file, &host()).unwrap();
        let mut by_env = by_file.clone();

        let value = match (key.name, value) {
            ("mode", _) => Value::Text("production".into()),
            // `auto` is on in production already.
            ("tokens", _) => Value::Bool(false),
            ("shards", _) => Value::Number(7),
            (_, value) => value,
        };
        by_file.add_file("t.toml", &format!("{} = {value}", key.name)).unwrap();
        let text = match &value {
            Value::Text(text) => text.clone(),
            Value::List(items) => items.join(","),
            other => other.to_string(),
        };
        by_env.add_env([(key.env().as_str(), text.as_str())]).unwrap();

        assert_eq!(by_file.value(key.name), Some(value.clone()), "{}", key.name);
        assert_eq!(by_env.value(key.name), Some(value), "{}", key.name);
        assert_eq!(by_env.origin(key.name), Origin::Env(key.env()));
        assert_eq!(by_file.origin(key.name), Origin::File { path: "t.toml".into(), line: 1 });

        let after = Config::new(&by_file, &host()).unwrap_or_else(|e| panic!("{}: {e}", key.name));
        assert_ne!(before, after, "{} changes nothing", key.name);
        assert_eq!(after, Config::new(&by_env, &host()).unwrap());
    }
}

#[test]
fn default_file_shows_every_key_and_reads_back_to_the_defaults() {
    let text = print_default();
    for key in KEYS {
        let line = format!("{} = ", key.leaf());
        let at = if key.table().is_empty() {
            0
        } else {
            text.find(&format!("\n[{}]\n", key.table())).unwrap()
        };
        assert!(text[at..].contains(&line), "{} is missing", key.name);
        assert!(text.contains(key.what) && text.contains(key.cost) && text.contains(&key.env()));
    }
    assert_eq!(config(&text), config(""));
}

#[test]
fn effective_configuration_reads_back_and_tells_origins() {
    let mut raw = RawConfig::default();
    raw.add_file("t.toml", "[lobby]\ncapacity = \"unlimited\"\n[admin]\npassword = \"hush\"")
        .unwrap();
    raw.add_env([("TUTTI_MOTD", "say \"hi\"\n# there")]).unwrap();
    raw.add_text("listen", "127.0.0.1:7,[::1]:7", Origin::Flag("--listen")).unwrap();
    let checked = Config::new(&raw, &host()).unwrap();
    let text = print_effective(&raw, &checked);
    assert!(text.contains("capacity = \"unlimited\"  # t.toml, line 2"), "{text}");
    assert!(text.contains("listen = [\"127.0.0.1:7\", \"[::1]:7\"]  # flag --listen"), "{text}");
    assert!(text.contains("shards = \"auto\"  # default; here 2"), "{text}");
    assert!(text.contains("# environment variable TUTTI_MOTD"), "{text}");
    assert!(!text.contains("hush") && text.contains("# password is set but not shown"));
    let mut read_back = config(&text);
    read_back.admin_password = Some(Hidden::new("hush"));
    assert_eq!(read_back, checked);
}

#[test]
fn flags_stand_over_environment_over_file() {
    let mut raw = RawConfig::default();
    raw.add_file("t.toml", "motd = \"file\"\nshards = 3\ndata = \"memory\"").unwrap();
    raw.add_env([("TUTTI_MOTD", "env"), ("TUTTI_SHARDS", "4")]).unwrap();
    raw.add_text("shards", "5", Origin::Flag("--shards")).unwrap();
    let config = Config::new(&raw, &host()).unwrap();
    assert_eq!((config.motd.as_str(), config.shards, config.data), ("env", 5, Data::Memory));
}

#[test]
fn limits_off_lifts_counts_and_keeps_sizes() {
    let config = config("limits.enabled = false\ndata = \"memory\"");
    assert_eq!(config.core, tutti_shards::Config::default().without_limits());
    assert_eq!(config.limits.connections, None);
    assert_eq!(config.limits.connections_per_address, None);
    assert_eq!(config.limits.accepts_per_second, None);
    assert_eq!(config.limits.message_bytes, 128 << 10);
}

#[test]
fn unlimited_is_taken_where_the_type_allows() {
    let config = config(
        "lobby.capacity = \"unlimited\"\nrate.chat.count = \"unlimited\"\n[limits]\nconnections = \"unlimited\"\n\
         connections_per_user = \"unlimited\"\nbytes_in = \"unlimited\"",
    );
    assert_eq!(config.core.lobby_capacity, None);
    assert_eq!(config.core.rates.chat, Rate::UNLIMITED);
    assert_eq!(config.core.rates.bytes_in, Rate::UNLIMITED);
    assert_eq!(config.core.connections_per_user, None);
    assert_eq!(config.limits.connections, None);
}

#[test]
fn relations_name_both_keys_and_their_origins() {
    assert_eq!(
        refused("\nlimits.message_bytes = 2000000"),
        "`limits.message_bytes` = 2000000 (t.toml, line 2) must be at most `limits.outbox_bytes` = 1048576 \
         (default): a message that is passed on must fit the receivers' outboxes"
    );
    assert!(refused("limits.ping_ms = 90000").contains("less than `limits.silence_ms`"));
    assert!(refused("hot.demote_rate = 100").contains("less than `hot.promote_rate`"));
    assert!(refused("limits.outbox_mark_bytes = 1048577").contains("limits.outbox_bytes"));
    assert!(refused("limits.outbox_total_bytes = 1048575").contains("limits.outbox_bytes"));
    assert!(refused("limits.bytes_in = 131071").contains("limits.bytes_in"));
    assert!(refused("quota.crown.max = 599").contains("quota.crown.allowance"));
    assert!(refused("chat.history = 10000").contains("for each joiner"));
    assert!(refused("limits.message_bytes = 3199").contains("limits.chat_length"));
    config("limits.message_bytes = 3200");
    config("limits.message_bytes = 1048576");
    config("hot.demote_rate = 99");
}

#[test]
fn addresses_have_to_be_addresses_and_different() {
    assert!(refused("listen = [\"localhost:80\"]").contains("0.0.0.0:8080"));
    assert!(refused("listen = []").contains("at least one"));
    assert!(refused("listen = [\"[::]:1\", \"[::]:1\"]").contains("different"));
    assert!(refused("listen = [\"127.0.0.1:9090\"]").contains("`admin.listen` (default)"));
    assert!(refused("admin.listen = \"on\"").contains("\"off\""));
    assert_eq!(config("admin.listen = \"off\"").admin_listen, None);
    config("listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"]");
    assert!(refused("trusted_proxies = [\"10.0.0.0/33\"]").contains("10.0.0.0/33"));
    let nets = config("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]").trusted_proxies;
    assert_eq!(nets, ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
}

#[test]
fn cpus_are_numbers_and_ranges() {
    assert_eq!(config("cpus = [0, \"2-3\"]").cpus, [0, 2, 3]);
    assert_eq!(config("cpus = \"3,1\"").cpus, [3, 1]);
    assert_eq!(config("cpus = \"5\"").shards, 1);
    for bad in ["3-1", "a", "1-", "-1", "0-99999"] {
        assert!(refused(&format!("cpus = \"{bad}\"")).contains("0,2-3"), "{bad}");
    }
    let many = config("cpus = \"4,6\"\nshards = 5");
    let pinned: Vec<_> = (0..5).map(|shard| many.cpu_of(tutti_shards::ShardId(shard))).collect();
    assert_eq!(pinned, [4, 6, 4, 6, 4]);
}

#[test]
fn production_refuses_sample_salts_and_takes_the_vectors() {
    let with = |salt1: &str, salt2: &str| {
        file(&format!("mode = \"production\"\nsalt1 = \"{salt1}\"\nsalt2 = \"{salt2}\""))
    };
    let vectors = with("alpha", "beta").unwrap();
    assert_eq!(vectors.salts.as_ref().unwrap().after.expose(), "beta");
    assert!(vectors.tokens);
    assert!(!format!("{vectors:?}").contains("alpha"));
    assert!(with("K7#pq", "a test of it all").is_ok());
    for sample in [
        "salt1",
        "SALT",
        "your_salt_here",
        "<Your-Salt-2-Here>",
        "changeme",
        "aaaaaa",
        "123",
        "0000",
    ] {
        let error = with(sample, "beta").expect_err(sample).to_string();
        assert!(error.contains("`salt1` (t.toml, line 2)"), "{error}");
        assert!(!error.contains(&format!("{sample:?}")), "{error}");
        with("alpha", sample).expect_err(sample);
    }
    assert!(refused("mode = \"production\"\nsalt1 = \"alpha\"").contains("`salt2`"));
    assert!(refused("mode = \"production\"\nsalt2 = \"beta\"").contains("`salt1`"));
    assert_eq!(config("mode = \"production\"").salts, None);
    assert_eq!(config("salt1 = \"salt1\"").salts, None, "development does not use them");
}

#[test]
fn operators_are_warned() {
    assert!(config("").warnings().iter().any(|warning| warning.contains("development")));
    assert!(config("listen = [\"127.0.0.1:1\", \"[::1]:1\"]").warnings().is_empty());
    let production = "mode = \"production\"\n";
    assert!(config(production).warnings().is_empty());
    let memory = config(&format!("{production}data = \"memory\"")).warnings();
    assert_eq!(memory.len(), 2, "{memory:?}");
    let open = format!("{production}trusted_proxies = \"0.0.0.0/0\"\nadmin.listen = \"0.0.0.0:9\"");
    let open = config(&open).warnings();
    assert!(open[0].contains("admin.listen") && open[1].contains("0.0.0.0/0"), "{open:?}");
    let short = format!("{production}salt1 = \"alpha\"\nsalt2 = \"beta\"");
    assert!(config(&short).warnings()[0].contains("16 characters"));
}

#[test]
fn empty_password_is_no_password() {
    assert!(refused("admin.password = \"\"").contains("admin.password"));
    let mut raw = RawConfig::default();
    raw.add_env([("TUTTI_ADMIN_PASSWORD", "")]).unwrap();
    assert_eq!(Config::new(&raw, &host()).unwrap().admin_password, None);
}

#[test]
fn a_public_quic_address_needs_a_certificate() {
    let source = |lines: &str| config(lines).quic.map(|quic| quic.source);
    assert_eq!(source("quic.listen = \"off\""), None);
    let made = Some(Source::Made(Data::Dir("./data".into())));
    assert_eq!(source("quic.listen = \"127.0.0.1:4433\""), made);
    assert_eq!(source("quic.listen = \"[::1]:4433\""), made);
    for public in ["0.0.0.0:4433", "[::]:4433", "192.0.2.1:4433"] {
        let listen = format!("quic.listen = \"{public}\"\n");
        let error = refused(&listen);
        assert!(error.contains("quic.certificate") && error.contains("self-signed"), "{error}");
        assert_eq!(source(&format!("{listen}quic.certificate = \"self-signed\"")), made);
        let error = refused(&format!("{listen}quic.certificate = \"c.pem\""));
        assert!(error.contains("quic.key"), "{error}");
        let error = refused(&format!("{listen}quic.key = \"k.pem\""));
        assert!(error.contains("quic.certificate"), "{error}");
        let files = format!("{listen}quic.certificate = \"c.pem\"\nquic.key = \"k.pem\"");
        let expected = Source::Files { certificate: "c.pem".into(), key: "k.pem".into() };
        assert_eq!(source(&files), Some(expected));
    }
    let error = refused("quic.retry_above = 10\nquic.ignore_above = 10");
    assert!(error.contains("quic.retry_above"), "{error}");
}

#[test]
fn connection_ids_hide_their_shard_unless_told_otherwise() {
    let masked = |lines: &str| config(lines).quic.unwrap().masked_ids;
    assert!(masked("") && masked("quic.connection_ids = \"masked\""));
    assert!(!masked("quic.connection_ids = \"plain\""));
    assert!(refused("quic.connection_ids = \"bare\"").contains("quic.connection_ids"));
}

#[test]
fn a_room_has_no_rate_unless_it_is_given_one() {
    assert_eq!(config("").core.rates.room, Rate::UNLIMITED);
    let lines = "rate.room.count = 30\nrate.room.per_ms = 10000";
    assert_eq!(config(lines).core.rates.room, Rate::new(30, 10_000));
    let off = format!("limits.enabled = false\n{lines}");
    assert_eq!(config(&off).core.rates.room, Rate::UNLIMITED);
}

#[test]
fn a_connection_has_limits_for_its_files() {
    let of = |lines: &str| {
        let uploads = config(lines).uploads.unwrap();
        (uploads.per_connection_max, uploads.stall)
    };
    assert_eq!(of(""), (2, Duration::from_secs(30)));
    let lines = "uploads.per_connection = 5\nuploads.stall_ms = 2000";
    assert_eq!(of(lines), (5, Duration::from_secs(2)));
    assert!(refused("uploads.per_connection = 11").contains("uploads.per_connection"));
}

#[test]
fn files_have_addresses_on_the_web_when_it_is_said_where() {
    let url = |text: &str| {
        let uploads = config(&format!("uploads.public_url = \"{text}\"")).uploads;
        uploads.and_then(|uploads| uploads.public_url)
    };
    assert_eq!(config("").uploads.unwrap().public_url, None);
    assert_eq!(url("https://piano.example").as_deref(), Some("https://piano.example"));
    assert_eq!(url("http://[::1]:8080/below//").as_deref(), Some("http://[::1]:8080/below"));
    for wrong in [
        "piano.example",
        "ftp://piano.example",
        "https://",
        "https:///u",
        "https://a b",
        "https://a?b",
        "https://a#b",
        "https://\u{e4}.example",
        "javascript:https://a",
    ]
    .into_iter()
    .chain([&*format!("https://{}", "a".repeat(200))])
    {
        let error = refused(&format!("uploads.public_url = \"{wrong}\""));
        assert!(error.contains("uploads.public_url"), "{error}");
    }
}
