//! associationToken: binds packages to one association of an eIM with an eUICC (SGP.32 v1.2 2.11.1.1.1).

/// The token of an association. It is never sent in a package, only signed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AssociationToken(i64);

impl AssociationToken {
    /// The value that asks the eUICC to allocate a token (`84 01 FF`).
    pub const ALLOCATE: Self = Self(-1);

    /// A token with this value.
    #[must_use]
    pub const fn new(value: i64) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> i64 {
        self.0
    }

    /// The data object that is appended to the octets to be signed: `84 len INTEGER`, minimal and signed.
    /// Without a token it is that of zero: `84 01 00`.
    #[must_use]
    pub fn suffix(token: Option<Self>) -> Vec<u8> {
        let octets = token.map_or(0, Self::value).to_be_bytes();
        let redundant = octets
            .windows(2)
            .take_while(|pair| (pair[0] == 0x00 && pair[1] & 0x80 == 0) || (pair[0] == 0xff && pair[1] & 0x80 != 0))
            .count();
        let integer = &octets[redundant..];
        let mut tlv = Vec::with_capacity(2 + integer.len());
        tlv.push(0x84);
        tlv.push(integer.len() as u8);
        tlv.extend_from_slice(integer);
        tlv
    }
}
