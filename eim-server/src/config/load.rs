//! Reads the three sources and names the key of everything that is wrong.

use super::{Associations, Config};
use config::{Environment, File, FileFormat, Map, Value, ValueKind};
use eim_core::rsp::initiate_authentication::AddressField;
use serde::de::{Deserialize, Deserializer, Error as _};
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub(super) const DEFAULT: &str = include_str!("default.toml");
const PREFIX: &str = "EIM__";

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration file {} can't be read: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the configuration file {} is not valid TOML: {reason}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// Why, with line and column.
        reason: String,
    },
    /// Keys that do not exist.
    #[error("unknown configuration key {key} in {source_name}; `eim-server check-config` lists all keys")]
    UnknownKey {
        /// As `section.key`, or as the variable was written.
        key: String,
        /// The file or the environment.
        source_name: String,
    },
    /// A value that its key can't have.
    #[error("{0}")]
    Value(String),
}

/// Reads the configuration from `default.toml`, then the file, then the variables that begin with `EIM__`. Other
/// variables are ignored.
///
/// # Errors
/// When the file can't be read, a key is unknown or a value is not what its key takes; the message names it.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let known = known_keys()?;
    let mut builder = config::Config::builder().add_source(File::from_str(DEFAULT, FileFormat::Toml));
    if let Some(path) = file {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })?;
        let syntax =
            |error: config::ConfigError| ConfigError::Syntax { path: path.to_owned(), reason: error.to_string() };
        for key in keys_of(&text).map_err(syntax)? {
            if !known.contains(&key) {
                return Err(ConfigError::UnknownKey { key, source_name: format!("file {}", path.display()) });
            }
        }
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }
    let mut variables = Map::new();
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if !known.contains(&rest.to_lowercase().replace("__", ".")) {
            return Err(ConfigError::UnknownKey { key: name, source_name: "the environment".to_owned() });
        }
        variables.insert(name, value);
    }
    let environment = Environment::with_prefix("EIM").prefix_separator("__").separator("__").source(Some(variables));
    let merged = builder.add_source(environment).build().map_err(|error| ConfigError::Value(error.to_string()))?;
    let config: Config = merged.try_deserialize().map_err(|error| ConfigError::Value(error.to_string()))?;
    check(&config)?;
    Ok(config)
}

/// What no single value shows.
fn check(config: &Config) -> Result<(), ConfigError> {
    let refuse = |text: String| Err(ConfigError::Value(text));
    if config.data.dir.as_os_str().is_empty() {
        return refuse("data.dir must name a folder".to_owned());
    }
    if config.associations.look_over_days > Associations::LOOK_OVER_DAYS_MAX {
        return refuse(format!("associations.look_over_days must be 0 to {}", Associations::LOOK_OVER_DAYS_MAX));
    }
    if config.eim.fqdn.is_empty() {
        return refuse("eim.fqdn must be a host name".to_owned());
    }
    if let Some(id) = &config.eim.id
        && let Err(error) = eim_core::ids::EimId::from_str(id)
    {
        return refuse(format!("eim.id: {error}"));
    }
    if config.eim.signing_certificate.is_some() && config.eim.signing_key.is_none() {
        return refuse("eim.signing_certificate needs eim.signing_key".to_owned());
    }
    if config.esipa.tls_certificate.is_some() != config.esipa.tls_key.is_some() {
        return refuse("esipa.tls_certificate and esipa.tls_key must be set both or not at all".to_owned());
    }
    if config.outbound.calls_per_server + config.outbound.waiting_per_server >= config.outbound.calls {
        return refuse(
            "outbound.calls must be more than outbound.calls_per_server and outbound.waiting_per_server together, or one \
             slow server holds up all others"
                .to_owned(),
        );
    }
    let prefix = &config.queue.prefix;
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(named) {
        return refuse("queue.prefix must be 1 to 64 letters, digits, -, _ and dots".to_owned());
    }
    if let Err(reason) = crate::telemetry::filter(&config.log.level) {
        return refuse(format!("log.level: {reason}"));
    }
    for (key, value, range) in numbers(config) {
        if !range.contains(&value) {
            return refuse(format!("{key} must be {} to {}", range.start(), range.end()));
        }
    }
    Ok(())
}

/// What so many of would be no limit, or more than one process has use for.
const MANY: u64 = 1_000_000;
/// So many of what holds a place in memory, or a thread, for each.
const SOME: u64 = 65_535;
/// Of devices and of the API each; the store takes 4096 transactions at a time, and not all are of requests.
const REQUESTS: u64 = 2_000;
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Every number with what it may be. Outside of it the server could not start, would serve nobody, or would have no limit at all.
#[rustfmt::skip]
fn numbers(config: &Config) -> Vec<(&'static str, u64, RangeInclusive<u64>)> {
    let Config { store, pkcs11, api, outbound, webhooks, limits, .. } = config;
    let size = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    vec![
        ("store.pool_size", size(store.pool_size), 1..=1_024),
        ("pkcs11.sessions", size(pkcs11.sessions), 1..=1_024),
        ("api.event_streams", size(api.event_streams), 0..=SOME),
        ("outbound.connect_timeout_ms", outbound.connect_timeout_ms, 1..=HOUR_MS),
        ("outbound.timeout_ms", outbound.timeout_ms, 1..=HOUR_MS),
        ("outbound.response_bytes", size(outbound.response_bytes), 1..=1 << 26),
        ("outbound.calls_per_server", size(outbound.calls_per_server), 1..=SOME),
        ("outbound.waiting_per_server", size(outbound.waiting_per_server), 0..=SOME),
        ("outbound.calls", size(outbound.calls), 1..=2 * SOME + 1),
        ("outbound.breaker_failures", u64::from(outbound.breaker_failures), 1..=MANY),
        ("outbound.breaker_pause_ms", outbound.breaker_pause_ms, 0..=DAY_MS),
        ("webhooks.timeout_ms", webhooks.timeout_ms, 1..=HOUR_MS),
        ("webhooks.calls", size(webhooks.calls), 1..=SOME),
        ("limits.body_bytes", size(limits.body_bytes), 1..=1 << 26),
        ("limits.import_bytes", limits.import_bytes, 1..=1 << 40),
        ("limits.workers", size(limits.workers), 0..=1_024),
        ("limits.max_connections", size(limits.max_connections), 1..=MANY),
        ("limits.max_handshakes", size(limits.max_handshakes), 1..=SOME),
        ("limits.backlog", u64::from(limits.backlog), 1..=SOME),
        ("limits.handshake_timeout_ms", limits.handshake_timeout_ms, 1..=HOUR_MS),
        ("limits.request_timeout_ms", limits.request_timeout_ms, 1..=HOUR_MS),
        ("limits.write_timeout_ms", limits.write_timeout_ms, 1..=HOUR_MS),
        ("limits.keep_alive_ms", limits.keep_alive_ms, 1..=DAY_MS),
        ("limits.shutdown_timeout_s", limits.shutdown_timeout_s, 0..=3_600),
        ("limits.connections_per_address", size(limits.connections_per_address), 1..=MANY),
        ("limits.handshakes_per_address", size(limits.handshakes_per_address), 1..=MANY),
        ("limits.connection_per_second", u64::from(limits.connection_per_second), 1..=MANY),
        ("limits.connection_burst", u64::from(limits.connection_burst), 1..=MANY),
        ("limits.eid_per_second", u64::from(limits.eid_per_second), 1..=MANY),
        ("limits.eid_burst", u64::from(limits.eid_burst), 1..=MANY),
        ("limits.eid_at_once", size(limits.eid_at_once), 1..=MANY),
        ("limits.strangers_per_second", u64::from(limits.strangers_per_second), 1..=MANY),
        ("limits.strangers_burst", u64::from(limits.strangers_burst), 1..=MANY),
        ("limits.requests_at_once", size(limits.requests_at_once), 1..=REQUESTS),
        ("limits.requests_waiting", size(limits.requests_waiting), 0..=MANY),
        ("limits.relayed_at_once", size(limits.relayed_at_once), 1..=MANY),
        ("limits.api_requests_at_once", size(limits.api_requests_at_once), 1..=REQUESTS),
        ("limits.api_requests_waiting", size(limits.api_requests_waiting), 0..=MANY),
        ("limits.api_key_per_second", u64::from(limits.api_key_per_second), 1..=MANY),
        ("limits.api_key_burst", u64::from(limits.api_key_burst), 1..=MANY),
        ("limits.api_key_at_once", size(limits.api_key_at_once), 1..=MANY),
    ]
}

/// Every key, as `section.key`: those of `default.toml`, which holds all.
fn known_keys() -> Result<BTreeSet<String>, ConfigError> {
    keys_of(DEFAULT).map_err(|error| ConfigError::Value(format!("default.toml: {error}")))
}

fn keys_of(text: &str) -> Result<BTreeSet<String>, config::ConfigError> {
    let table: Map<String, Value> =
        config::Config::builder().add_source(File::from_str(text, FileFormat::Toml)).build()?.try_deserialize()?;
    let mut keys = BTreeSet::new();
    collect("", table, &mut keys);
    Ok(keys)
}

fn collect(prefix: &str, table: Map<String, Value>, keys: &mut BTreeSet<String>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value.kind {
            ValueKind::Table(inner) if !inner.is_empty() => collect(&key, inner, keys),
            // An empty table is harmless when its section exists; under any other name it is unknown as it stands.
            ValueKind::Table(_) if prefix.is_empty() && DEFAULT.contains(&format!("\n[{key}]\n")) => {}
            _ => {
                keys.insert(key);
            }
        }
    }
}

pub(super) fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.trim().parse().map_err(D::Error::custom)
}

pub(super) fn parsed_or_none<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    text_or_none(deserializer)?.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

pub(super) fn text_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok((!text.trim().is_empty()).then(|| text.trim().to_owned()))
}

pub(super) fn path_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    Ok(text_or_none(deserializer)?.map(PathBuf::from))
}

/// A text of items between commas.
pub(super) fn list<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| item.parse().map_err(|error| D::Error::custom(format!("{item}: {error}")))).collect()
}

pub(super) fn smds_address_field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AddressField, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "smdpAddress" => Ok(AddressField::SmdpAddress),
        "smdsAddress" => Ok(AddressField::SmdsAddress),
        _ => Err(D::Error::custom("expected \"smdpAddress\" or \"smdsAddress\"")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn refusal(text: Option<&str>, pairs: &[(&str, &str)]) -> String {
        let file = text.map(file);
        load(file.as_ref().map(tempfile::NamedTempFile::path), environment(pairs)).unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_complete() {
        let config = Config::default();
        assert_eq!(config.esipa.listen.port(), 8443);
        assert!(config.eim.id.is_none() && config.store.url.is_none());
        assert_eq!(config.store_url().to_string(), "sqlite://./eim-data/eim.db");
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_default() {
        let file = file("[api]\nlisten = '127.0.0.1:1'\n[limits]\nworkers = 3\n[pki]\n");
        let variables =
            environment(&[("EIM__API__LISTEN", "127.0.0.1:2"), ("EIM__LAB__ENABLED", "true"), ("PATH", "x")]);
        let config = load(Some(file.path()), variables).unwrap();
        assert_eq!((config.api.listen.port(), config.limits.workers, config.lab.enabled), (2, 3, true));
    }

    /// Whoever adds a number says what it may be.
    #[test]
    fn every_number_has_a_range_and_its_default_is_in_it() {
        let table: Map<String, Value> = config::Config::builder()
            .add_source(File::from_str(DEFAULT, FileFormat::Toml))
            .build()
            .unwrap()
            .try_deserialize()
            .unwrap();
        let ranges = numbers(&Config::default());
        let mut found = 0;
        for (section, values) in table {
            for (name, value) in values.into_table().unwrap() {
                if let ValueKind::I64(default) = value.kind {
                    let key = format!("{section}.{name}");
                    found += 1;
                    let own: Vec<_> = ranges.iter().filter(|(named, ..)| *named == key).collect();
                    // It is of a kind that has its own bounds.
                    assert!(own.len() == 1 || key == "associations.look_over_days", "{key}");
                    assert!(
                        own.iter()
                            .all(|(_, value, range)| i64::try_from(*value) == Ok(default) && range.contains(value))
                    );
                }
            }
        }
        assert_eq!(found, ranges.len() + 1);
    }

    #[test]
    fn an_unknown_key_is_named() {
        for (text, key) in [("[esipa]\nlistn = 'x'", "esipa.listn"), ("x = 1", " x "), ("[nope]", " nope ")] {
            let message = refusal(Some(text), &[]);
            assert!(message.contains("unknown configuration key") && message.contains(key), "{message}");
        }
        for name in ["EIM__ESIPA__LISTN", "EIM__NOPE", "EIM__DATA__DIR__X"] {
            assert!(refusal(None, &[(name, "1")]).contains(name));
        }
    }

    #[test]
    fn a_wrong_value_names_its_key() {
        for (name, value, key) in [
            ("EIM__ESIPA__LISTEN", "nowhere", "esipa.listen"),
            ("EIM__LIMITS__BODY_BYTES", "many", "limits.body_bytes"),
            ("EIM__LIMITS__BODY_BYTES", "0", "limits.body_bytes"),
            ("EIM__LIMITS__WORKERS", "-1", "limits.workers"),
            ("EIM__LIMITS__EID_PER_SECOND", "0", "limits.eid_per_second"),
            ("EIM__LIMITS__EID_BURST", "-1", "limits.eid_burst"),
            ("EIM__LIMITS__REQUESTS_AT_ONCE", "0", "limits.requests_at_once"),
            ("EIM__LIMITS__CONNECTIONS_PER_ADDRESS", "0", "limits.connections_per_address"),
            ("EIM__LIMITS__WRITE_TIMEOUT_MS", "0", "limits.write_timeout_ms"),
            ("EIM__LIMITS__WORKERS", "9999999", "limits.workers must be 0 to 1024"),
            ("EIM__LIMITS__BODY_BYTES", "1099511627776", "limits.body_bytes"),
            ("EIM__LIMITS__MAX_CONNECTIONS", "100000000", "limits.max_connections"),
            ("EIM__LIMITS__HANDSHAKE_TIMEOUT_MS", "86400000", "limits.handshake_timeout_ms"),
            ("EIM__LIMITS__SHUTDOWN_TIMEOUT_S", "86400", "limits.shutdown_timeout_s"),
            ("EIM__LIMITS__REQUESTS_AT_ONCE", "100000", "limits.requests_at_once"),
            ("EIM__LIMITS__BACKLOG", "0", "limits.backlog"),
            ("EIM__LIMITS__IMPORT_BYTES", "0", "limits.import_bytes"),
            ("EIM__API__EVENT_STREAMS", "1000000", "api.event_streams"),
            ("EIM__LAB__ENABLED", "perhaps", "lab.enabled"),
            ("EIM__EIM__ID_TYPE", "name", "eim.id_type"),
            ("EIM__STORE__URL", "mysql://x", "store.url"),
            ("EIM__QUEUE__URL", "kafka://guest:secret@broker", "queue.url"),
            ("EIM__QUEUE__PREFIX", "a b", "queue.prefix"),
            ("EIM__OUTBOUND__ROUTES", "smdp.example", "outbound.routes"),
            ("EIM__OUTBOUND__ALLOW_HOSTS", "a b", "outbound.allow_hosts"),
            ("EIM__OUTBOUND__TIMEOUT_MS", "0", "outbound.timeout_ms"),
            ("EIM__OUTBOUND__SMDS_ADDRESS_FIELD", "address", "outbound.smds_address_field"),
            ("EIM__ASSOCIATIONS__REPORTED_TOKEN", "always", "associations.reported_token"),
            ("EIM__ASSOCIATIONS__LOOK_OVER_DAYS", "366", "associations.look_over_days"),
            ("EIM__ASSOCIATIONS__LOOK_OVER_DAYS", "-1", "associations.look_over_days"),
            ("EIM__LOG__FORMAT", "xml", "log.format"),
            ("EIM__LOG__LEVEL", "a=b=c", "log.level"),
            ("EIM__LOG__LEVEL", "loud", "log.level"),
            ("EIM__ESIPA__TLS_KEY", "x.pem", "esipa.tls_certificate"),
        ] {
            let message = refusal(None, &[(name, value)]);
            assert!(message.contains(key) && !message.contains("secret"), "{name}: {message}");
        }
        assert!(refusal(Some("[log\n"), &[]).contains("not valid TOML"));
    }
}
