//! `eim-server eim config-data`: what a factory or a device maker loads into eUICCs and IPAs.

use crate::boot::{self, BootPorts};
use crate::config::Config;
use crate::provisioning::{self, Notation, Object};
use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::manage::{self, EimConfiguration, TokenRequest};
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The notation. `der`, `png` and `c` write two files.
    #[arg(long, value_enum, default_value_t = Format::Hex)]
    format: Format,
    /// Writes to this file. With `der`, `png` and `c` it takes EimConfigurationData, and a second file beside it, named with
    /// `-add-initial`, takes AddInitialEimRequest; default `eim-configuration.der`, `.png` or `.h`.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Whether the eUICC is to give the association a token.
    #[arg(long, value_enum, default_value_t = Token::None)]
    token: Token,
    /// Another eimId of this server, where it has several.
    #[arg(long, value_name = "EIM_ID")]
    eim_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Token {
    /// No token.
    None,
    /// The eUICC allocates one; record what it answers, or packages can't be signed.
    Allocate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line each, hexadecimal.
    Hex,
    /// A line each, base64.
    Base64,
    /// Two files.
    Der,
    /// An object with base64 members, as GET /api/v1/eim has them.
    Json,
    /// Two QR codes of the upper-case hexadecimal, as PNG images.
    Png,
    /// Two C headers.
    C,
}

pub(super) async fn run(arguments: &Arguments, config: &Config) -> anyhow::Result<()> {
    let eim = boot::compose(config, BootPorts::default()).await?.eim;
    let token = match arguments.token {
        Token::None => TokenRequest::None,
        Token::Allocate => TokenRequest::Allocate,
    };
    let configuration = manage::eim_configuration(arguments.eim_id.as_deref(), token, &eim)?;
    let files = match arguments.format {
        Format::Der => Some((Notation::Der, "eim-configuration.der")),
        Format::Png => Some((Notation::Png, "eim-configuration.png")),
        Format::C => Some((Notation::C, "eim-configuration.h")),
        Format::Hex | Format::Base64 | Format::Json => None,
    };
    if let Some((notation, name)) = files {
        let path = arguments.out.clone().unwrap_or_else(|| PathBuf::from(name));
        let second = beside(&path);
        for (path, object) in [(&path, Object::EimConfigurationData), (&second, Object::AddInitialEimRequest)] {
            write(path, &provisioning::write(object.of(&configuration), object, notation)?)?;
        }
        eprintln!("EimConfigurationData in {}, AddInitialEimRequest in {}", path.display(), second.display());
        return Ok(());
    }
    let text = text(&configuration, arguments.format);
    match &arguments.out {
        Some(path) => write(path, text.as_bytes()),
        None => Ok(super::print(&text)?),
    }
}

fn text(configuration: &EimConfiguration, format: Format) -> String {
    let EimConfiguration { eim_configuration_data: data, add_initial_eim_request: request, .. } = configuration;
    match format {
        Format::Json => {
            let members = serde_json::json!({
                "eimConfigurationData": STANDARD.encode(data),
                "addInitialEimRequest": STANDARD.encode(request),
            });
            format!("{members:#}\n")
        }
        Format::Base64 => lines(&STANDARD.encode(data), &STANDARD.encode(request)),
        Format::Hex | Format::Der | Format::Png | Format::C => {
            lines(&hex::encode_upper(data), &hex::encode_upper(request))
        }
    }
}

fn lines(data: &str, request: &str) -> String {
    format!("eimConfigurationData: {data}\naddInitialEimRequest: {request}\n")
}

fn beside(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-add-initial{extension}"))
}

fn write(path: &Path, octets: &[u8]) -> anyhow::Result<()> {
    fs::write(path, octets).with_context(|| format!("{} can't be written", path.display()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_second_file_lies_beside_the_first() {
        assert_eq!(beside(Path::new("out/eim.der")), Path::new("out/eim-add-initial.der"));
        assert_eq!(beside(Path::new("eim")), Path::new("eim-add-initial"));
    }

    #[test]
    fn every_notation_carries_both() {
        let configuration =
            EimConfiguration { eim_configuration_data: vec![0x30, 0], add_initial_eim_request: vec![0xbf, 0x57, 0] };
        assert_eq!(text(&configuration, Format::Hex), "eimConfigurationData: 3000\naddInitialEimRequest: BF5700\n");
        assert!(text(&configuration, Format::Base64).contains("MAA="));
        let json: serde_json::Value = serde_json::from_str(&text(&configuration, Format::Json)).unwrap();
        assert_eq!(json["addInitialEimRequest"], "v1cA");
    }
}
