//! eimTransactionId and transactionId (SGP.32 v1.2 2.11.1.1, SGP.22 2.5.1).

use super::{IdError, serde_as_text};
use std::fmt;
use std::str::FromStr;

macro_rules! transaction_id {
    ($(#[$doc:meta])* $name:ident, $id:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(Vec<u8>);

        impl $name {
            /// Reads 1 to 16 octets.
            ///
            /// # Errors
            /// When the length is another.
            pub fn from_octets(octets: &[u8]) -> Result<Self, IdError> {
                if (1..=16).contains(&octets.len()) {
                    Ok(Self(octets.to_vec()))
                } else {
                    Err(IdError::Length { id: $id, expected: "1 to 16 octets", found: octets.len() })
                }
            }

            /// The octets.
            #[must_use]
            pub fn octets(&self) -> &[u8] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Reads 2 to 32 hexadecimal characters.
            fn from_str(text: &str) -> Result<Self, IdError> {
                let octets = hex::decode(text)
                    .map_err(|_| IdError::Character { id: $id, expected: "pairs of hexadecimal characters" })?;
                Self::from_octets(&octets)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode_upper(&self.0))
            }
        }

        serde_as_text!($name);
    };
}

transaction_id!(
    /// The eIM's own name of one package exchange: 1 to 16 octets, echoed by eUICC and IPA, in text upper-case hex.
    EimTransactionId,
    "an eimTransactionId"
);

transaction_id!(
    /// The name that an SM-DP+ or SM-DS gave to an RSP session: 1 to 16 octets, in text upper-case hex.
    TransactionId,
    "a transactionId"
);
