//! `eim-server keys`

use crate::config::Config;
use crate::signing::{Custody, KeySource, label};
use eim_core::ids::KeyId;
use eim_core::pki::Curve;
use eim_core::ports::EimSigner;

#[derive(Debug, clap::Args)]
pub(super) struct Generate {
    /// The label of the key in the token of [pkcs11]: not empty, without commas, without spaces around it.
    #[arg(long, value_parser = label)]
    label: String,
    /// The curve.
    #[arg(long, value_enum, default_value_t = CurveName::P256)]
    curve: CurveName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CurveName {
    /// NIST P-256.
    P256,
    /// brainpoolP256r1.
    #[value(name = "brainpoolP256r1")]
    BrainpoolP256r1,
}

/// Makes a key in the token and prints its id; what to write into the configuration goes to standard error.
pub(super) fn generate(arguments: &Generate, config: &Config) -> anyhow::Result<()> {
    let custody = Custody::new(config.pkcs11.options());
    let curve = match arguments.curve {
        CurveName::P256 => Curve::P256,
        CurveName::BrainpoolP256r1 => Curve::BrainpoolP256r1,
    };
    let signer = custody.token()?.generate(&arguments.label, curve)?;
    eprintln!("eim.signing_key or eim.further_signing_keys: {}", KeySource::Pkcs11(arguments.label.clone()));
    Ok(super::print(&KeyId::of_spki(signer.public_key()).to_string())?)
}
