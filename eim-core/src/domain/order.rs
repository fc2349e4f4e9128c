//! What a profile download asks for: where the profile waits, who fetches it, and what is secret about it (SGP.32 v1.2
//! 3.2.3, SGP.22 4.1).
//!
//! A stored request names the server and leaves out activation code and confirmation code; those are [`Secrets`], which
//! are sealed before they are stored.

use super::request::FieldError;
use super::request::fields::Fields;
use crate::asn1::{
    ContactSmds, IpaFeatures, Null, ProfileDownloadData, ProfileDownloadTriggerRequest, Text, TransactionId,
};
use crate::ids::{ActivationCode, RspAddress};
use crate::pki::Oid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where the profile waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// At the SM-DP+ that an activation code names.
    ActivationCode {
        /// The SM-DP+.
        address: RspAddress,
        /// Its object identifier, where the code names it.
        oid: Option<String>,
        /// Whether the code says that a confirmation code is asked for.
        confirmation_code_required: bool,
    },
    /// At the default SM-DP+ of the eUICC.
    DefaultSmdp,
    /// Where an SM-DS says.
    Smds {
        /// The SM-DS; `None` for the root SM-DS of the eUICC.
        address: Option<RspAddress>,
    },
}

/// Who talks to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The IPA.
    Direct,
    /// The eIM.
    Indirect,
    /// Whoever the capabilities of the IPA suggest.
    Auto,
}

/// What a download asks for, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadOrder {
    /// Where the profile waits.
    pub source: Source,
    /// Whether the eIM holds a confirmation code.
    pub confirmation_code: bool,
    /// Who talks to the server.
    pub mode: Mode,
    /// The SM-DS that led here, first one first: they are not asked again, and their number is bounded.
    pub via: Vec<String>,
}

/// How many SM-DS may lead from one to the next.
pub const SMDS_DEPTH_MAX: usize = 3;
/// The longest confirmation code, octets.
const CONFIRMATION_CODE_MAX: usize = 64;

/// What must not be seen: neither in a log nor in the database.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secrets {
    #[serde(skip_serializing_if = "Option::is_none")]
    activation_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation_code: Option<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// The secrets of an event of an SM-DS: the event's identifier is the matchingId at the server that it names.
    #[must_use]
    pub fn of_code(code: &ActivationCode) -> Self {
        Self { activation_code: Some(code.reveal().to_owned()), confirmation_code: None }
    }

    /// Reads what [`Self::to_octets`] wrote.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        serde_json::from_slice(octets).ok()
    }

    /// The octets to be sealed.
    #[must_use]
    pub fn to_octets(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether there is nothing to hide.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.activation_code.is_none() && self.confirmation_code.is_none()
    }

    /// The activation code.
    #[must_use]
    pub fn activation_code(&self) -> Option<ActivationCode> {
        self.activation_code.as_ref()?.parse().ok()
    }

    /// The confirmation code.
    #[must_use]
    pub fn confirmation_code(&self) -> Option<&str> {
        self.confirmation_code.as_deref()
    }
}

/// Reads `profileDownload` of a request of the API.
///
/// # Errors
/// Every value that can't be taken, with its place.
pub fn from_api(value: &Value) -> Result<(DownloadOrder, Secrets), Vec<FieldError>> {
    from_api_at(value, "/profileDownload")
}

/// The same for an object at another place of a request.
///
/// # Errors
/// Every value that can't be taken, with its place.
pub fn from_api_at(value: &Value, pointer: &str) -> Result<(DownloadOrder, Secrets), Vec<FieldError>> {
    let mut errors = Vec::new();
    let read = Fields::of(value, pointer.to_owned(), &mut errors).and_then(read_api);
    match read {
        Some(read) if errors.is_empty() => Ok(read),
        _ => Err(errors),
    }
}

fn read_api(mut fields: Fields<'_>) -> Option<(DownloadOrder, Secrets)> {
    const SOURCES: &str = "exactly one of activationCode, defaultSmdp and smds is expected";
    let mut secrets = Secrets::default();
    let code = fields.member("activationCode").is_some();
    let default = fields.member("defaultSmdp").is_some();
    let smds = fields.member("smds").is_some();
    let source = match (code, default, smds) {
        (true, false, false) => fields
            .parsed("activationCode", "an activation code of a host name (1$address$matchingId)", |text| {
                let code: ActivationCode = text.parse().ok()?;
                Some((source_of(&code)?, code))
            })
            .map(|(source, code)| {
                secrets.activation_code = Some(code.reveal().to_owned());
                source
            }),
        (false, true, false) => {
            if !fields.flag("defaultSmdp") {
                fields.wrong("defaultSmdp", "true is expected");
            }
            Some(Source::DefaultSmdp)
        }
        (false, false, true) => {
            let mut address = None;
            if let Some(mut smds) = fields.object("smds") {
                address = smds.parsed("address", "the host name of an SM-DS", |text| text.parse().ok());
                smds.finish();
            }
            Some(Source::Smds { address })
        }
        _ => {
            fields.wrong("activationCode", SOURCES);
            None
        }
    };
    let confirmation_code = fields.parsed("confirmationCode", "a text of 1 to 64 octets", |text| {
        ((1..=CONFIRMATION_CODE_MAX).contains(&text.len()) && !text.contains('\0')).then(|| text.to_owned())
    });
    let mode = match fields.member("indirect") {
        None => Some(Mode::Auto),
        Some(value) => Mode::from_value(value),
    };
    let asks_for_code = matches!(source, Some(Source::ActivationCode { confirmation_code_required: true, .. }));
    match mode {
        None => fields.wrong("indirect", "true, false or \"auto\" is expected"),
        // Who fetches it directly has the code at the device.
        Some(Mode::Indirect | Mode::Auto) if asks_for_code && fields.member("confirmationCode").is_none() => {
            fields.wrong("confirmationCode", "the activation code asks for a confirmation code");
        }
        Some(Mode::Direct) if confirmation_code.is_some() => {
            let message = "the trigger of a direct download can't carry a confirmation code: leave it to the device, or \
                           ask for an indirect download";
            fields.wrong("confirmationCode", message);
        }
        Some(_) => {}
    }
    secrets.confirmation_code = confirmation_code;
    fields.finish();
    let confirmation_code = secrets.confirmation_code.is_some();
    Some((DownloadOrder { source: source?, confirmation_code, mode: mode?, via: vec![] }, secrets))
}

/// The order of an activation code, to be fetched by whoever the capabilities suggest, with its secrets. `None` as in
/// [`source_of`].
#[must_use]
pub fn of_code(code: &ActivationCode) -> Option<(DownloadOrder, Secrets)> {
    let source = source_of(code)?;
    Some((DownloadOrder { source, confirmation_code: false, mode: Mode::Auto, via: vec![] }, Secrets::of_code(code)))
}

/// Where an activation code leads; `None` when its address is no host name or its OID can't be one.
#[must_use]
pub fn source_of(code: &ActivationCode) -> Option<Source> {
    if code.smdp_oid().is_some_and(|oid| oid.parse::<Oid>().is_err()) {
        return None;
    }
    Some(Source::ActivationCode {
        address: code.smdp_address().parse().ok()?,
        oid: code.smdp_oid().map(str::to_owned),
        confirmation_code_required: code.confirmation_code_required(),
    })
}

impl Mode {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(true) => Some(Self::Indirect),
            Value::Bool(false) => Some(Self::Direct),
            Value::String(word) if word == "auto" => Some(Self::Auto),
            _ => None,
        }
    }

    fn to_value(self) -> Value {
        match self {
            Self::Indirect => json!(true),
            Self::Direct => json!(false),
            Self::Auto => json!("auto"),
        }
    }
}

impl DownloadOrder {
    /// The request as it is stored and shown: without secrets.
    #[must_use]
    pub fn to_request(&self) -> Value {
        let mut members = Map::new();
        match &self.source {
            Source::ActivationCode { address, oid, confirmation_code_required } => {
                let shown = json!({
                    "smdpAddress": address,
                    "smdpOid": oid,
                    "confirmationCodeRequired": confirmation_code_required,
                });
                members.insert("activationCode".to_owned(), shown);
            }
            Source::DefaultSmdp => drop(members.insert("defaultSmdp".to_owned(), json!(true))),
            Source::Smds { address } => {
                let smds = address.as_ref().map_or_else(|| json!({}), |address| json!({ "address": address }));
                members.insert("smds".to_owned(), smds);
            }
        }
        if self.confirmation_code {
            members.insert("confirmationCode".to_owned(), json!(true));
        }
        if !self.via.is_empty() {
            members.insert("via".to_owned(), json!(self.via));
        }
        members.insert("indirect".to_owned(), self.mode.to_value());
        json!({ "profileDownload": members })
    }

    /// Reads what [`Self::to_request`] wrote.
    #[must_use]
    pub fn from_stored(value: &Value) -> Option<Self> {
        let source = if let Some(code) = value.get("activationCode") {
            Source::ActivationCode {
                address: code.get("smdpAddress")?.as_str()?.parse().ok()?,
                oid: code.get("smdpOid").and_then(Value::as_str).map(str::to_owned),
                confirmation_code_required: code.get("confirmationCodeRequired").and_then(Value::as_bool)?,
            }
        } else if let Some(smds) = value.get("smds") {
            let address = smds.get("address").and_then(Value::as_str);
            Source::Smds { address: address.map(str::parse).transpose().ok()? }
        } else {
            value.get("defaultSmdp")?;
            Source::DefaultSmdp
        };
        let via = value.get("via").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            source,
            confirmation_code: value.get("confirmationCode").and_then(Value::as_bool).unwrap_or_default(),
            mode: Mode::from_value(value.get("indirect")?)?,
            via: via.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }

    /// Whether the eIM talks to the server, as far as it can choose: what the operator asked for, else what the IPA can
    /// do. An IPA that can do both does it directly, unless it leaves the download data to the eIM.
    #[must_use]
    pub fn is_indirect(&self, capabilities: Capabilities<'_>) -> bool {
        match self.mode {
            Mode::Indirect => true,
            Mode::Direct => false,
            Mode::Auto => {
                // Only the eIM can use the code that it holds.
                self.confirmation_code
                    || capabilities.has("eimDownloadDataHandling")
                    || (capabilities.has("indirectRspServerCommunication")
                        && !capabilities.has("directRspServerCommunication"))
            }
        }
    }

    /// Whether the trigger leaves out where the profile waits, because the eIM keeps that to itself.
    #[must_use]
    pub fn keeps_data(&self, capabilities: Capabilities<'_>) -> bool {
        self.is_indirect(capabilities) && capabilities.has("eimDownloadDataHandling")
    }

    /// The server to contact for the device; `None` when the eUICC's own is meant and was not reported.
    #[must_use]
    pub fn server(&self, capabilities: Capabilities<'_>) -> Option<RspAddress> {
        match &self.source {
            Source::ActivationCode { address, .. } => Some(address.clone()),
            Source::DefaultSmdp => capabilities.address("defaultSmdpAddress"),
            Source::Smds { address: Some(address) } => Some(address.clone()),
            Source::Smds { address: None } => capabilities.address("rootSmdsAddress"),
        }
    }

    /// Whether more must be known of the device before the trigger goes out.
    #[must_use]
    pub fn needs_data(&self, capabilities: Capabilities<'_>) -> bool {
        match self.mode {
            Mode::Direct => false,
            // Also an indirect download goes differently by what the IPA can do.
            Mode::Auto | Mode::Indirect if !capabilities.are_known() => true,
            _ => self.is_indirect(capabilities) && self.server(capabilities).is_none(),
        }
    }

    /// The trigger (SGP.32 v1.2 2.11.1.3); `None` when the activation code is gone.
    #[must_use]
    pub fn trigger(
        &self,
        secrets: &Secrets,
        capabilities: Capabilities<'_>,
        eim_transaction_id: Option<TransactionId>,
    ) -> Option<ProfileDownloadTriggerRequest> {
        let data = match &self.source {
            Source::ActivationCode { .. } => {
                let code = secrets.activation_code()?;
                ProfileDownloadData::ActivationCode(Text::new(code.reveal()).ok()?)
            }
            Source::DefaultSmdp => ProfileDownloadData::ContactDefaultSmdp(Null),
            Source::Smds { address } => {
                let smds_address = address.as_ref().map(|address| address.as_str().to_owned());
                ProfileDownloadData::ContactSmds(ContactSmds { smds_address })
            }
        };
        let profile_download_data = (!self.keeps_data(capabilities)).then_some(data);
        Some(ProfileDownloadTriggerRequest { profile_download_data, eim_transaction_id })
    }
}

/// What the IPA reported about itself, unsigned.
#[derive(Debug, Clone, Copy)]
pub struct Capabilities<'a>(pub Option<&'a Value>);

impl<'a> Capabilities<'a> {
    fn member(self, name: &str) -> Option<&'a Value> {
        self.0?.get(name)
    }

    fn features(self) -> Option<IpaFeatures> {
        IpaFeatures::deserialize(self.member("ipaCapabilities")?.get("ipaFeatures")?).ok()
    }

    /// Whether ipaCapabilities were reported in a form that can be read.
    #[must_use]
    pub fn are_known(self) -> bool {
        self.features().is_some()
    }

    /// Whether this bit of ipaFeatures is set.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.features().is_some_and(|features| features.has(name))
    }

    /// An address of the eUICC.
    #[must_use]
    pub fn address(self, name: &str) -> Option<RspAddress> {
        self.member(name)?.as_str()?.parse().ok()
    }

    /// An object as it was reported, DER.
    #[must_use]
    pub fn der(self, name: &str) -> Option<Vec<u8>> {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode(self.member(name)?.as_str()?).ok()
    }
}
