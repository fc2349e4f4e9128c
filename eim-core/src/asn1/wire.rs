//! How a type reads itself from a data object: the tolerant half of the codec.
//!
//! rasn's derived encoders write the types. Its derived decoders refuse unknown fields, which EXTENSIBILITY IMPLIED
//! (SGP.32 v1.2 annex A, module header) and T18 require to be accepted, so reading is done here: fields are found by
//! tag, whatever is left over and unknown is ignored, a field that occurs twice is refused.

use rasn::types::{Class, Tag};

use super::error::DecodeError;
use super::tlv::Tlv;

/// A type that reads itself from a data object.
pub(crate) trait Wire: Sized {
    /// Name of the ASN.1 type.
    const NAME: &'static str;

    /// Whether equal nested tags collapse when the type is kept as received: a tagged CHOICE (T2).
    const COLLAPSES: bool = false;

    /// The tag of the type standing alone; `None` for an untagged CHOICE.
    fn natural() -> Option<Tag>;

    /// Whether a data object of this tag may be the type, standing alone or untagged in a structure.
    fn matches(tag: Tag) -> bool {
        Self::natural() == Some(tag)
    }

    /// Reads the value. The caller has checked the tag, which an implicit one may have replaced.
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError>;
}

/// Tag of class context.
pub(crate) const fn context(value: u32) -> Tag {
    Tag::new(Class::Context, value)
}

/// Tag of class application.
pub(crate) const fn application(value: u32) -> Tag {
    Tag::new(Class::Application, value)
}

/// Tag of class universal.
pub(crate) const fn universal(value: u32) -> Tag {
    Tag::new(Class::Universal, value)
}

/// Tag of class private.
pub(crate) const fn private(value: u32) -> Tag {
    Tag::new(Class::Private, value)
}

/// The fields of a SEQUENCE that is being read.
pub(crate) struct Fields<'a> {
    structure: &'static str,
    left: Vec<Tlv<'a>>,
    known: Vec<fn(Tag) -> bool>,
    tags: Vec<Tag>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(structure: &'static str, tlv: Tlv<'a>) -> Result<Self, DecodeError> {
        Ok(Self { structure, left: tlv.children()?, known: Vec::new(), tags: Vec::new() })
    }

    /// The first data object of this tag that no field has taken yet.
    pub(crate) fn take(&mut self, tag: Tag) -> Option<Tlv<'a>> {
        self.tags.push(tag);
        let at = self.left.iter().position(|tlv| tlv.tag == tag)?;
        Some(self.left.remove(at))
    }

    /// The first data object that may be a type, and that no field has taken yet.
    pub(crate) fn take_matching(&mut self, matches: fn(Tag) -> bool) -> Option<Tlv<'a>> {
        self.known.push(matches);
        let at = self.left.iter().position(|tlv| matches(tlv.tag))?;
        Some(self.left.remove(at))
    }

    /// The first data object of any tag that no field has taken yet.
    pub(crate) fn take_any(&mut self) -> Option<Tlv<'a>> {
        if self.left.is_empty() { None } else { Some(self.left.remove(0)) }
    }

    pub(crate) fn optional<T: Wire>(&mut self, field: &'static str, tag: Tag) -> Result<Option<T>, DecodeError> {
        match self.take(tag) {
            Some(tlv) => T::read(tlv).map(Some).map_err(|e| e.within(self.structure, field)),
            None => Ok(None),
        }
    }

    pub(crate) fn required<T: Wire>(&mut self, field: &'static str, tag: Tag) -> Result<T, DecodeError> {
        let structure = self.structure;
        self.optional(field, tag)?.ok_or(DecodeError::Missing { structure, field })
    }

    pub(crate) fn default<T: Wire>(&mut self, field: &'static str, tag: Tag, value: T) -> Result<T, DecodeError> {
        Ok(self.optional(field, tag)?.unwrap_or(value))
    }

    /// A field that is an untagged CHOICE, or whose type brings its tag.
    pub(crate) fn arm<T: Wire>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        match self.take_matching(T::matches) {
            Some(tlv) => T::read(tlv).map_err(|e| e.within(self.structure, field)),
            None => Err(DecodeError::Missing { structure: self.structure, field }),
        }
    }

    /// An optional CHOICE under an explicit tag.
    pub(crate) fn optional_explicit<T: Wire>(
        &mut self,
        field: &'static str,
        tag: Tag,
    ) -> Result<Option<T>, DecodeError> {
        match self.take(tag) {
            Some(tlv) => read_explicit(tlv).map(Some).map_err(|e| e.within(self.structure, field)),
            None => Ok(None),
        }
    }

    /// A CHOICE under an explicit tag.
    pub(crate) fn required_explicit<T: Wire>(&mut self, field: &'static str, tag: Tag) -> Result<T, DecodeError> {
        let structure = self.structure;
        self.optional_explicit(field, tag)?.ok_or(DecodeError::Missing { structure, field })
    }

    /// Ends the structure: unknown fields are ignored (T18), known ones must not be left over.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        for tlv in &self.left {
            if self.tags.contains(&tlv.tag) || self.known.iter().any(|matches| matches(tlv.tag)) {
                return Err(DecodeError::Duplicate { structure: self.structure, tag: tlv.tag });
            }
        }
        Ok(())
    }
}

/// Reads a CHOICE inside an explicit tag.
pub(crate) fn read_explicit<T: Wire>(tlv: Tlv<'_>) -> Result<T, DecodeError> {
    read_any(tlv.child()?)
}

/// Reads a type where it stands with a tag of its own.
pub(crate) fn read_any<T: Wire>(tlv: Tlv<'_>) -> Result<T, DecodeError> {
    if T::matches(tlv.tag) { T::read(tlv) } else { Err(DecodeError::UnexpectedTag { tag: tlv.tag, expected: T::NAME }) }
}

impl<T: Wire> Wire for Vec<T> {
    const NAME: &'static str = "SEQUENCE OF";

    fn natural() -> Option<Tag> {
        Some(Tag::SEQUENCE)
    }

    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        tlv.children()?.into_iter().map(read_any).collect()
    }
}

/// Gives types rasn's `Decode` on top of [`Wire`].
macro_rules! rasn_decode {
    ($type:ty) => {
        $crate::asn1::wire::rasn_decode!(@generic [] $type);
    };
    (@generic [$($generics:tt)*] $type:ty) => {
        impl<$($generics)*> rasn::Decode for $type {
            fn decode_with_tag_and_constraints<D: rasn::Decoder>(
                decoder: &mut D,
                tag: rasn::types::Tag,
                _: &rasn::types::Constraints,
            ) -> Result<Self, D::Error> {
                let any = decoder.decode_any(rasn::types::Tag::EOC)?;
                $crate::asn1::wire::read_tagged(any.as_bytes(), tag)
                    .map_err(|error| <D::Error as rasn::de::Error>::custom(error, decoder.codec()))
            }
        }
    };
}
pub(crate) use rasn_decode;

/// Reads a type whose tag rasn has given; EOC means the type's own.
pub(crate) fn read_tagged<T: Wire>(octets: &[u8], tag: Tag) -> Result<T, DecodeError> {
    let tlv = Tlv::only(octets)?;
    if tag == Tag::EOC {
        read_any(tlv)
    } else if tlv.tag == tag {
        T::read(tlv)
    } else {
        Err(DecodeError::UnexpectedTag { tag: tlv.tag, expected: T::NAME })
    }
}

/// Reads a SEQUENCE: one line per field, `field: how(tag)`.
macro_rules! sequence {
    ($type:ident = $natural:expr; { $($field:ident : $how:ident ( $($arg:expr),* )),* $(,)? }) => {
        impl $crate::asn1::wire::Wire for $type {
            const NAME: &'static str = stringify!($type);

            fn natural() -> Option<rasn::types::Tag> {
                Some($natural)
            }

            fn read(tlv: $crate::asn1::tlv::Tlv<'_>) -> Result<Self, $crate::asn1::error::DecodeError> {
                #[allow(unused_mut, reason = "a SEQUENCE may have no fields")]
                let mut fields = $crate::asn1::wire::Fields::of(stringify!($type), tlv)?;
                let value = Self { $($field: fields.$how(stringify!($field) $(, $arg)*)?),* };
                fields.finish()?;
                Ok(value)
            }
        }
        $crate::asn1::wire::rasn_decode!($type);
    };
}
pub(crate) use sequence;

/// Reads a CHOICE: one line per arm. `implicit` replaces the tag of the arm's type, `explicit` wraps it.
/// With `= tag` the CHOICE itself is tagged, and equal nested tags collapse (T2).
macro_rules! choice {
    (@how implicit, $tlv:expr) => { $crate::asn1::wire::Wire::read($tlv) };
    (@how explicit, $tlv:expr) => { $crate::asn1::wire::read_explicit($tlv) };
    (@arms $type:ident, $tlv:ident, { $($arm:ident : $how:ident ( $tag:expr )),* }) => {{
        $(
            if $tlv.tag == $tag {
                return choice!(@how $how, $tlv).map(Self::$arm).map_err(|e| e.within(stringify!($type), stringify!($arm)));
            }
        )*
        Err($crate::asn1::error::DecodeError::UnexpectedTag { tag: $tlv.tag, expected: stringify!($type) })
    }};
    ($type:ident; { $($arm:ident : $how:ident ( $tag:expr )),* $(,)? }) => {
        impl $crate::asn1::wire::Wire for $type {
            const NAME: &'static str = stringify!($type);

            fn natural() -> Option<rasn::types::Tag> {
                None
            }

            fn matches(tag: rasn::types::Tag) -> bool {
                [$($tag),*].contains(&tag)
            }

            fn read(tlv: $crate::asn1::tlv::Tlv<'_>) -> Result<Self, $crate::asn1::error::DecodeError> {
                choice!(@arms $type, tlv, { $($arm : $how ( $tag )),* })
            }
        }
        $crate::asn1::wire::rasn_decode!($type);
    };
    ($type:ident = $natural:expr; { $($arm:ident : $how:ident ( $tag:expr )),* $(,)? }) => {
        impl $crate::asn1::wire::Wire for $type {
            const NAME: &'static str = stringify!($type);
            const COLLAPSES: bool = true;

            fn natural() -> Option<rasn::types::Tag> {
                Some($natural)
            }

            fn read(tlv: $crate::asn1::tlv::Tlv<'_>) -> Result<Self, $crate::asn1::error::DecodeError> {
                let tlv = tlv.peel($natural).child()?;
                choice!(@arms $type, tlv, { $($arm : $how ( $tag )),* })
            }
        }
        $crate::asn1::wire::rasn_decode!($type);
    };
}
pub(crate) use choice;
