//! What an operation asks for: from the API's JSON notation to the types of the wire, each mistake with its place.

mod configuration;
pub(in crate::domain) mod fields;

use crate::asn1::{
    Eco, EcoDeleteEim, EimIdText, Empty, Null, OctetString, Oid, ProfileInfoListRequest,
    ProfileInfoListRequestSearchCriteria, Psmo, PsmoConfigureImmediateEnable, PsmoDelete, PsmoDisable, PsmoEnable,
    PsmoSetFallbackAttribute, SetDefaultDpAddressRequest,
};
use crate::domain::Kind;
use crate::domain::order::DownloadOrder;
use fields::Fields;
use serde_json::{Map, Value};

/// A value of a request that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where it stands in the request, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What was expected there.
    pub message: String,
}

impl FieldError {
    /// A field error.
    #[must_use]
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// How many operations one package may carry.
pub const OPERATIONS_MAX: usize = 32;

/// The tags that may be asked for in an IpaEuiccDataRequest (SGP.32 v1.2 2.11.1.2), in the order of IpaEuiccData.
pub const DATA_TAGS: [&str; 11] = ["A0", "81", "A2", "BF20", "BF22", "83", "84", "A5", "A6", "A8", "A9"];

/// What an operation asks for, in the types of the wire.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Profile state operations, executed in order.
    Psmo(Vec<Psmo>),
    /// eIM configuration operations, executed in order.
    Eco(Vec<Eco>),
    /// Data of IPA and eUICC, by concatenated tags.
    EuiccData(Vec<u8>),
    /// A profile download. Read from the store alone: what the API takes holds secrets, see [`crate::domain::order`].
    ProfileDownload(DownloadOrder),
}

impl Request {
    /// Reads the one member of `body` that names a kind. Other members are left to the caller.
    ///
    /// # Errors
    /// Every value that can't be taken, with its place.
    pub fn parse(body: &Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let mut errors = Vec::new();
        let request = Self::read(body, &mut errors);
        match request {
            Some(request) if errors.is_empty() => Ok(request),
            _ => Err(errors),
        }
    }

    fn read(body: &Map<String, Value>, errors: &mut Vec<FieldError>) -> Option<Self> {
        let kinds: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| body.contains_key(kind.as_str())).collect();
        let [kind] = kinds.as_slice() else {
            errors.push(FieldError::new("", "exactly one of psmo, eco, euiccData and profileDownload is expected"));
            return None;
        };
        let pointer = format!("/{}", kind.as_str());
        let value = &body[kind.as_str()];
        match kind {
            Kind::Psmo => operations(value, &pointer, errors, psmo).map(Self::Psmo),
            Kind::Eco => operations(value, &pointer, errors, eco).map(Self::Eco),
            Kind::EuiccData => data_tags(value, &pointer, errors).map(Self::EuiccData),
            Kind::ProfileDownload => {
                let order = DownloadOrder::from_stored(value);
                if order.is_none() {
                    errors.push(FieldError::new(pointer, "a stored profile download is expected"));
                }
                order.map(Self::ProfileDownload)
            }
        }
    }

    /// The kind of operation that carries it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Psmo(_) => Kind::Psmo,
            Self::Eco(_) => Kind::Eco,
            Self::EuiccData(_) => Kind::EuiccData,
            Self::ProfileDownload(_) => Kind::ProfileDownload,
        }
    }

    /// The name of each operation, in order: the ASN.1 arm.
    #[must_use]
    pub fn operation_names(&self) -> Vec<&'static str> {
        match self {
            Self::Psmo(list) => list.iter().map(psmo_name).collect(),
            Self::Eco(list) => list.iter().map(eco_name).collect(),
            Self::EuiccData(_) => vec!["euiccData"],
            Self::ProfileDownload(_) => vec!["profileDownload"],
        }
    }

    /// Whether it changes which profile is enabled, so that the device must be seen again before it counts as done.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        matches!(self, Self::Psmo(list) if list.iter().any(|psmo| matches!(psmo, Psmo::Enable(_) | Psmo::Disable(_))))
    }
}

/// The ASN.1 arm of a profile state operation.
#[must_use]
pub const fn psmo_name(psmo: &Psmo) -> &'static str {
    match psmo {
        Psmo::Enable(_) => "enable",
        Psmo::Disable(_) => "disable",
        Psmo::Delete(_) => "delete",
        Psmo::ListProfileInfo(_) => "listProfileInfo",
        Psmo::GetRAT(_) => "getRAT",
        Psmo::ConfigureImmediateEnable(_) => "configureImmediateEnable",
        Psmo::SetFallbackAttribute(_) => "setFallbackAttribute",
        Psmo::UnsetFallbackAttribute(_) => "unsetFallbackAttribute",
        Psmo::SetDefaultDpAddress(_) => "setDefaultDpAddress",
    }
}

/// The ASN.1 arm of an eIM configuration operation.
#[must_use]
pub const fn eco_name(eco: &Eco) -> &'static str {
    match eco {
        Eco::AddEim(_) => "addEim",
        Eco::DeleteEim(_) => "deleteEim",
        Eco::UpdateEim(_) => "updateEim",
        Eco::ListEim(_) => "listEim",
    }
}

/// Reads a list of objects with one member each, whose name says what is to be done.
fn operations<T>(
    value: &Value,
    pointer: &str,
    errors: &mut Vec<FieldError>,
    read: fn(&str, &mut Fields<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(list) = value.as_array().filter(|list| (1..=OPERATIONS_MAX).contains(&list.len())) else {
        errors.push(FieldError::new(pointer, format!("a list of 1 to {OPERATIONS_MAX} operations is expected")));
        return None;
    };
    let before = errors.len();
    let read: Vec<Option<T>> = list
        .iter()
        .enumerate()
        .map(|(index, item)| {
            let pointer = format!("{pointer}/{index}");
            let mut members = item.as_object().into_iter().flatten();
            let (Some((name, body)), None) = (members.next(), members.next()) else {
                errors.push(FieldError::new(pointer, "an object with exactly one member, the operation, is expected"));
                return None;
            };
            let mut fields = Fields::of(body, format!("{pointer}/{name}"), errors)?;
            let operation = read(name, &mut fields);
            fields.finish();
            operation
        })
        .collect();
    if errors.len() > before { None } else { read.into_iter().collect() }
}

fn psmo(name: &str, fields: &mut Fields<'_>) -> Option<Psmo> {
    Some(match name {
        "enable" => {
            let iccid = fields.iccid();
            let rollback_flag = fields.flag("rollback").then_some(Null);
            Psmo::Enable(PsmoEnable { iccid: iccid?, rollback_flag })
        }
        "disable" => Psmo::Disable(PsmoDisable { iccid: fields.iccid()? }),
        "delete" => Psmo::Delete(PsmoDelete { iccid: fields.iccid()? }),
        "listProfileInfo" => Psmo::ListProfileInfo(list_profile_info(fields)),
        "getRAT" => Psmo::GetRAT(Empty {}),
        "configureImmediateEnable" => Psmo::ConfigureImmediateEnable(PsmoConfigureImmediateEnable {
            immediate_enable_flag: fields.flag("immediateEnableFlag").then_some(Null),
            default_smdp_oid: fields.parsed("defaultSmdpOid", "a dotted OID", |text| Oid::parse(text).ok()),
            default_smdp_address: fields.text("defaultSmdpAddress"),
        }),
        "setFallbackAttribute" => Psmo::SetFallbackAttribute(PsmoSetFallbackAttribute { iccid: fields.iccid()? }),
        "unsetFallbackAttribute" => Psmo::UnsetFallbackAttribute(Empty {}),
        "setDefaultDpAddress" => {
            fields.missing("defaultDpAddress");
            let address = fields.text("defaultDpAddress");
            Psmo::SetDefaultDpAddress(SetDefaultDpAddressRequest { default_dp_address: address? })
        }
        _ => {
            fields.unknown_operation(
                "enable, disable, delete, listProfileInfo, getRAT, configureImmediateEnable, setFallbackAttribute, \
                 unsetFallbackAttribute and setDefaultDpAddress",
            );
            return None;
        }
    })
}

fn list_profile_info(fields: &mut Fields<'_>) -> ProfileInfoListRequest {
    let class = fields.parsed("class", "test, provisioning or operational", |text| {
        ["test", "provisioning", "operational"].iter().position(|class| *class == text)
    });
    let tag_list = fields.hex_list("tags").map(OctetString::from_vec);
    let search_criteria = match class {
        Some(class) => {
            if fields.has_iccid() {
                fields.wrong("class", "either class or iccid is expected, not both");
            }
            i64::try_from(class).ok().map(ProfileInfoListRequestSearchCriteria::ProfileClass)
        }
        None if fields.has_iccid() => fields.iccid().map(ProfileInfoListRequestSearchCriteria::Iccid),
        None => None,
    };
    ProfileInfoListRequest { search_criteria, tag_list }
}

fn eco(name: &str, fields: &mut Fields<'_>) -> Option<Eco> {
    Some(match name {
        "addEim" => {
            let configuration = configuration::read(fields)?;
            if configuration.counter_value.is_none() && fields.member("counterValue").is_none() {
                fields.wrong("counterValue", "addEim needs an initial counterValue");
            }
            if configuration.eim_public_key_data.is_none() && fields.member("eimPublicKeyData").is_none() {
                fields.wrong("eimPublicKeyData", "addEim needs the key of the eIM to be added");
            }
            Eco::AddEim(configuration)
        }
        "updateEim" => {
            let update = configuration::read(fields)?;
            if configuration::is_empty(&update) && !fields.has_mistakes() {
                fields.wrong_as_a_whole("a member beside eimId is expected: this one would change nothing");
            }
            Eco::UpdateEim(update)
        }
        "deleteEim" => {
            let eim_id = fields.parsed("eimId", "an eimId of 1 to 128 octets", |text| EimIdText::new(text).ok());
            fields.missing("eimId");
            Eco::DeleteEim(EcoDeleteEim { eim_id: eim_id? })
        }
        "listEim" => Eco::ListEim(Empty {}),
        _ => {
            fields.unknown_operation("addEim, updateEim, deleteEim and listEim");
            return None;
        }
    })
}

fn data_tags(value: &Value, pointer: &str, errors: &mut Vec<FieldError>) -> Option<Vec<u8>> {
    let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
    let tags: Vec<String> = match fields.member("tags") {
        None => DATA_TAGS.iter().map(ToString::to_string).collect(),
        Some(Value::Array(tags)) if !tags.is_empty() => {
            tags.iter().map(|tag| tag.as_str().unwrap_or_default().to_uppercase()).collect()
        }
        Some(_) => {
            fields.wrong("tags", "a list of tags is expected");
            return None;
        }
    };
    let mut octets = Vec::new();
    for (index, tag) in tags.iter().enumerate() {
        match DATA_TAGS.contains(&tag.as_str()).then(|| hex::decode(tag).ok()).flatten() {
            Some(tag) => octets.extend(tag),
            None => fields.wrong(&format!("tags/{index}"), &format!("one of {} is expected", DATA_TAGS.join(", "))),
        }
    }
    fields.finish();
    Some(octets)
}

#[cfg(test)]
mod tests;
