//! Prints the values in force, as TOML that can be read again, without secrets.

use super::Config;
use std::fmt::Display;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Every value in force, as TOML. Passwords in addresses are replaced.
#[must_use]
pub fn effective(config: &Config) -> String {
    let mut out = String::new();
    section(&mut out, "data", &[("dir", path(&config.data.dir))]);
    section(
        &mut out,
        "eim",
        &[
            ("id", text(config.eim.id.as_deref().unwrap_or_default())),
            ("fqdn", text(&config.eim.fqdn)),
            ("id_type", text(config.eim.id_type)),
            ("signing_key", optional_path(config.eim.signing_key.as_ref())),
            ("further_signing_keys", list(&config.eim.further_signing_keys)),
            ("signing_certificate", optional_path(config.eim.signing_certificate.as_ref())),
            ("identities", optional_path(config.eim.identities.as_ref())),
        ],
    );
    let pkcs11 = &config.pkcs11;
    section(
        &mut out,
        "pkcs11",
        &[
            ("module", optional_path(pkcs11.module.as_ref())),
            ("token", text(&pkcs11.token)),
            ("pin_file", optional_path(pkcs11.pin_file.as_ref())),
            ("sessions", pkcs11.sessions.to_string()),
        ],
    );
    section(
        &mut out,
        "esipa",
        &[
            ("listen", text(config.esipa.listen)),
            ("tls_certificate", optional_path(config.esipa.tls_certificate.as_ref())),
            ("tls_key", optional_path(config.esipa.tls_key.as_ref())),
        ],
    );
    let api = &config.api;
    section(&mut out, "api", &[("listen", text(api.listen)), ("event_streams", api.event_streams.to_string())]);
    // The display of an address leaves its password out.
    section(&mut out, "store", &[("url", text(config.store_url())), ("pool_size", config.store.pool_size.to_string())]);
    let queue = &config.queue;
    section(&mut out, "queue", &[("url", text(&queue.url)), ("prefix", text(&queue.prefix))]);
    section(&mut out, "secrets", &[("key", optional_path(config.secrets.key.as_ref()))]);
    section(&mut out, "pki", &[("ci_dir", optional_path(config.pki.ci_dir.as_ref()))]);
    section(&mut out, "lab", &[("enabled", config.lab.enabled.to_string())]);
    let reported_token = text(config.associations.reported_token.as_str());
    let look_over_days = config.associations.look_over_days.to_string();
    section(&mut out, "associations", &[("reported_token", reported_token), ("look_over_days", look_over_days)]);
    let outbound = &config.outbound;
    section(
        &mut out,
        "outbound",
        &[
            ("allow_private", outbound.allow_private.to_string()),
            ("allow_hosts", list(&outbound.allow_hosts)),
            ("routes", list(&outbound.routes)),
            ("connect_timeout_ms", outbound.connect_timeout_ms.to_string()),
            ("timeout_ms", outbound.timeout_ms.to_string()),
            ("response_bytes", outbound.response_bytes.to_string()),
            ("calls_per_server", outbound.calls_per_server.to_string()),
            ("waiting_per_server", outbound.waiting_per_server.to_string()),
            ("calls", outbound.calls.to_string()),
            ("breaker_failures", outbound.breaker_failures.to_string()),
            ("breaker_pause_ms", outbound.breaker_pause_ms.to_string()),
            ("smds_address_field", text(outbound.smds_address_field.as_str())),
        ],
    );
    let webhooks = &config.webhooks;
    section(
        &mut out,
        "webhooks",
        &[
            ("ca_file", optional_path(webhooks.ca_file.as_ref())),
            ("timeout_ms", webhooks.timeout_ms.to_string()),
            ("calls", webhooks.calls.to_string()),
        ],
    );
    let limits = &config.limits;
    section(
        &mut out,
        "limits",
        &[
            ("body_bytes", limits.body_bytes.to_string()),
            ("import_bytes", limits.import_bytes.to_string()),
            ("workers", limits.workers.to_string()),
            ("max_connections", limits.max_connections.to_string()),
            ("max_handshakes", limits.max_handshakes.to_string()),
            ("backlog", limits.backlog.to_string()),
            ("handshake_timeout_ms", limits.handshake_timeout_ms.to_string()),
            ("request_timeout_ms", limits.request_timeout_ms.to_string()),
            ("write_timeout_ms", limits.write_timeout_ms.to_string()),
            ("keep_alive_ms", limits.keep_alive_ms.to_string()),
            ("shutdown_timeout_s", limits.shutdown_timeout_s.to_string()),
            ("connections_per_address", limits.connections_per_address.to_string()),
            ("handshakes_per_address", limits.handshakes_per_address.to_string()),
            ("connection_per_second", limits.connection_per_second.to_string()),
            ("connection_burst", limits.connection_burst.to_string()),
            ("eid_per_second", limits.eid_per_second.to_string()),
            ("eid_burst", limits.eid_burst.to_string()),
            ("eid_at_once", limits.eid_at_once.to_string()),
            ("strangers_per_second", limits.strangers_per_second.to_string()),
            ("strangers_burst", limits.strangers_burst.to_string()),
            ("requests_at_once", limits.requests_at_once.to_string()),
            ("requests_waiting", limits.requests_waiting.to_string()),
            ("relayed_at_once", limits.relayed_at_once.to_string()),
            ("api_requests_at_once", limits.api_requests_at_once.to_string()),
            ("api_requests_waiting", limits.api_requests_waiting.to_string()),
            ("api_key_per_second", limits.api_key_per_second.to_string()),
            ("api_key_burst", limits.api_key_burst.to_string()),
            ("api_key_at_once", limits.api_key_at_once.to_string()),
        ],
    );
    section(&mut out, "log", &[("format", text(config.log.format)), ("level", text(&config.log.level))]);
    out
}

fn section(out: &mut String, name: &str, values: &[(&str, String)]) {
    if !out.is_empty() {
        out.push('\n');
    }
    // Writing to a String does not fail.
    let _ = writeln!(out, "[{name}]");
    for (key, value) in values {
        let _ = writeln!(out, "{key} = {value}");
    }
}

fn text(value: impl Display) -> String {
    // A JSON string is a TOML basic string.
    serde_json::Value::String(value.to_string()).to_string()
}

fn list<T: Display>(items: &[T]) -> String {
    text(items.iter().map(T::to_string).collect::<Vec<_>>().join(", "))
}

fn path(path: &std::path::Path) -> String {
    text(path.display())
}

fn optional_path(path: Option<&PathBuf>) -> String {
    path.map_or_else(|| text(""), |path| text(path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::load;

    #[test]
    fn every_key_is_shown_and_can_be_read_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let shown = effective(&Config::default());
        std::fs::write(file.path(), &shown).unwrap();
        assert_eq!(effective(&load(Some(file.path()), []).unwrap()), shown);
        for line in super::super::load::DEFAULT.lines().filter(|line| !line.starts_with('#')) {
            if let Some((key, _)) = line.split_once(" = ") {
                assert!(shown.contains(&format!("\n{key} = ")), "{key} is not shown");
            }
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let variables = [
            ("EIM__STORE__URL", "postgres://eim:hunter2@db.example:5432/eim"),
            ("EIM__QUEUE__URL", "amqp://eim:hunter2@broker.example/eim"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = load(None, variables).unwrap();
        let shown = effective(&config);
        assert!(shown.contains("db.example") && shown.contains("broker.example"), "{shown}");
        assert!(!shown.contains("hunter2") && !format!("{config:?}").contains("amqp://eim:hunter2"), "{shown}");
    }
}
