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
            ("signing_certificate", optional_path(config.eim.signing_certificate.as_ref())),
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
    section(&mut out, "api", &[("listen", text(config.api.listen))]);
    // The display of an address leaves its password out.
    section(&mut out, "store", &[("url", text(config.store_url())), ("pool_size", config.store.pool_size.to_string())]);
    section(&mut out, "queue", &[("url", text(config.queue.url))]);
    section(&mut out, "pki", &[("ci_dir", optional_path(config.pki.ci_dir.as_ref()))]);
    section(&mut out, "lab", &[("enabled", config.lab.enabled.to_string())]);
    section(&mut out, "outbound", &[("allow_private", config.outbound.allow_private.to_string())]);
    let limits = &config.limits;
    section(
        &mut out,
        "limits",
        &[
            ("body_bytes", limits.body_bytes.to_string()),
            ("workers", limits.workers.to_string()),
            ("max_connections", limits.max_connections.to_string()),
            ("max_handshakes", limits.max_handshakes.to_string()),
            ("backlog", limits.backlog.to_string()),
            ("handshake_timeout_ms", limits.handshake_timeout_ms.to_string()),
            ("request_timeout_ms", limits.request_timeout_ms.to_string()),
            ("keep_alive_ms", limits.keep_alive_ms.to_string()),
            ("shutdown_timeout_s", limits.shutdown_timeout_s.to_string()),
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
        let url = "postgres://eim:secret@db.example:5432/eim";
        let config = load(None, [("EIM__STORE__URL".to_owned(), url.to_owned())]).unwrap();
        let shown = effective(&config);
        assert!(shown.contains("db.example") && !shown.contains("secret"), "{shown}");
    }
}
