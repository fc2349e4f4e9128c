//! Why octets were refused, or a value could not be written.
//!
//! A peer's functional errors are values of the messages, never one of these errors.

use rasn::types::Tag;

/// Octets that are not the value they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input is longer than the limit.
    #[error("{bytes} octets are more than the {limit} that are read")]
    TooLarge {
        /// Length of the input.
        bytes: usize,
        /// [`Limits::max_bytes`](super::Limits::max_bytes).
        limit: usize,
    },
    /// The TLVs are nested deeper than the limit.
    #[error("nested deeper than {limit} levels")]
    TooDeep {
        /// [`Limits::max_depth`](super::Limits::max_depth).
        limit: usize,
    },
    /// The input has more TLVs than the limit.
    #[error("more than {limit} data objects")]
    TooManyElements {
        /// [`Limits::max_elements`](super::Limits::max_elements).
        limit: usize,
    },
    /// A tag, a length or a value ends behind the octets it lies in.
    #[error("a data object is cut off or reaches past its parent")]
    Truncated,
    /// A length octet 80: not allowed in DER, not tolerated here.
    #[error("indefinite length")]
    IndefiniteLength,
    /// A length or a tag number that no message can have.
    #[error("a length or tag number is out of range")]
    OutOfRange,
    /// Octets follow the data object.
    #[error("{octets} octets follow the data object")]
    Trailing {
        /// How many.
        octets: usize,
    },
    /// The outer tag is none that was asked for.
    #[error("tag {tag} is not a {expected}")]
    UnexpectedTag {
        /// The tag that was read.
        tag: Tag,
        /// What was asked for, an ASN.1 type name.
        expected: &'static str,
    },
    /// A mandatory field is absent.
    #[error("{structure} lacks {}", spelled(field))]
    Missing {
        /// ASN.1 type name.
        structure: &'static str,
        /// Name of the field.
        field: &'static str,
    },
    /// A field occurs twice.
    #[error("{structure} has field {tag} twice")]
    Duplicate {
        /// ASN.1 type name.
        structure: &'static str,
        /// Tag of the field.
        tag: Tag,
    },
    /// A value outside its type: size, range, characters, primitive or constructed form.
    #[error("{reason}")]
    Value {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A field of a structure could not be read.
    #[error("{structure}.{}: {cause}", spelled(field))]
    Within {
        /// ASN.1 type name.
        structure: &'static str,
        /// Name of the field.
        field: &'static str,
        /// What was wrong inside.
        cause: Box<DecodeError>,
    },
}

/// A field as the ASN.1 writes it, but for the capitals of abbreviations: `eim_id` is `eimId`.
fn spelled(field: &str) -> String {
    let mut spelled = String::with_capacity(field.len());
    let mut capital = false;
    for letter in field.chars() {
        match letter {
            '_' => capital = true,
            _ if capital => {
                spelled.push(letter.to_ascii_uppercase());
                capital = false;
            }
            _ if spelled.is_empty() => spelled.push(letter.to_ascii_lowercase()),
            _ => spelled.push(letter),
        }
    }
    spelled
}

impl DecodeError {
    pub(crate) fn value(reason: &'static str) -> Self {
        Self::Value { reason }
    }

    pub(crate) fn within(self, structure: &'static str, field: &'static str) -> Self {
        Self::Within { structure, field, cause: Box::new(self) }
    }
}

/// A value that has no encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value cannot be encoded: {reason}")]
pub struct EncodeError {
    /// What the encoder said.
    pub reason: String,
}
