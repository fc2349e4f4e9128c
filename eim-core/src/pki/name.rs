//! Distinguished names: comparison and the two attributes that name an organization and an eUICC.

use super::der::{self, Fault, Reader, tag};

/// More attributes than any certificate of this PKI has.
const MAX_ATTRIBUTES: usize = 32;

const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const SERIAL_NUMBER: &[u8] = &[0x55, 0x04, 0x05];

/// A distinguished name (RFC 5280 4.1.2.4), with the octets as received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    octets: Vec<u8>,
    attributes: Vec<Attribute>,
}

/// One attribute and the relative name (by position) that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    rdn: usize,
    kind: Vec<u8>,
    value: Value,
}

/// Attribute values compare as text whatever string type carries them; other types compare as octets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    Other(Vec<u8>),
}

impl Name {
    /// Reads a complete Name element.
    pub(super) fn parse(octets: &[u8]) -> Result<Self, Fault> {
        let mut rdns = Reader::new(der::single(octets, tag::SEQUENCE)?.content);
        let mut attributes = Vec::new();
        let mut rdn = 0;
        while !rdns.is_empty() {
            let mut members = rdns.nested(tag::SET)?;
            loop {
                let mut member = members.nested(tag::SEQUENCE)?;
                let kind = member.expect(tag::OID)?.content.to_vec();
                let value = Value::parse(member.any()?)?;
                member.end()?;
                attributes.push(Attribute { rdn, kind, value });
                if attributes.len() > MAX_ATTRIBUTES {
                    return Err("a name with too many attributes");
                }
                if members.is_empty() {
                    break;
                }
            }
            rdn += 1;
        }
        Ok(Self { octets: octets.to_vec(), attributes })
    }

    /// The DER of the name as received.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The organization (O), when there is exactly one and it is text.
    #[must_use]
    pub fn organization(&self) -> Option<&str> {
        self.only_text(ORGANIZATION)
    }

    /// The serialNumber attribute, when there is exactly one and it is text. In an eUICC certificate it is the EID.
    #[must_use]
    pub fn serial_number(&self) -> Option<&str> {
        self.only_text(SERIAL_NUMBER)
    }

    fn only_text(&self, kind: &[u8]) -> Option<&str> {
        let mut values = self.attributes.iter().filter(|attribute| attribute.kind == kind);
        match (values.next(), values.next()) {
            (Some(Attribute { value: Value::Text(text), .. }), None) => Some(text),
            _ => None,
        }
    }

    /// Whether both are the same name: the same attributes in the same order, whatever string types carry them.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.octets == other.octets || self.attributes == other.attributes
    }

    /// Whether this name is inside the permitted subtree `permitted` of an EUM (SGP.22 2.4.3, SGP.26): O is equal, the
    /// serialNumber starts with the digits of the subtree's, and anything else the subtree asks for is there. Unlike
    /// RFC 5280 the subtree is no prefix of the name. A subtree without O or without digits permits nothing.
    pub(super) fn is_inside(&self, permitted: &Self) -> bool {
        let (Some(organization), Some(prefix)) = (permitted.organization(), permitted.serial_number()) else {
            return false;
        };
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        digits
            && self.organization() == Some(organization)
            && self.serial_number().is_some_and(|number| number.starts_with(prefix))
            && permitted.attributes.iter().filter(|wanted| wanted.kind != SERIAL_NUMBER).all(|wanted| {
                self.attributes.iter().any(|found| found.kind == wanted.kind && found.value == wanted.value)
            })
    }
}

impl Value {
    fn parse(tlv: der::Tlv<'_>) -> Result<Self, Fault> {
        match tlv.tag {
            tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING => std::str::from_utf8(tlv.content)
                .map(|text| Self::Text(text.to_owned()))
                .map_err(|_| "a name with text that is not UTF-8"),
            _ => Ok(Self::Other(tlv.octets.to_vec())),
        }
    }
}
