//! The forms of an ECDSA value: `r || s` of 64 octets, and the DER sequence that some software sends instead.

use super::der::{self, Reader, tag};

/// The form in which a value that verified had arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureForm {
    /// `r || s`, 32 octets each, as the specifications want it.
    Fixed,
    /// `30 { 02 r, 02 s }`, tolerated.
    Der,
}

/// Why an ECDSA value was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Neither 64 octets nor DER.
    #[error("a signature of {octets} octets has no known form")]
    Format {
        /// The length that was seen.
        octets: usize,
    },
    /// It does not verify.
    #[error("the signature does not verify")]
    Mismatch,
}

/// Reads `30 { 02 r, 02 s }` into `r || s`. Zero passes here and fails in verification.
pub(super) fn fixed_from_der(signature: &[u8]) -> Result<[u8; 64], SignatureError> {
    read(signature).map_err(|_| SignatureError::Format { octets: signature.len() })
}

fn read(signature: &[u8]) -> Result<[u8; 64], der::Fault> {
    let mut values = Reader::new(der::single(signature, tag::SEQUENCE)?.content);
    let mut fixed = [0; 64];
    for half in fixed.chunks_exact_mut(32) {
        let digits = unsigned(values.expect(tag::INTEGER)?.content)?;
        let start = 32_usize.checked_sub(digits.len()).ok_or("an INTEGER of more than 256 bits")?;
        half[start..].copy_from_slice(digits);
    }
    values.end()?;
    Ok(fixed)
}

/// The magnitude of a minimal INTEGER that is not negative.
const fn unsigned(content: &[u8]) -> Result<&[u8], der::Fault> {
    match content {
        [] | [0x80..=0xff, ..] | [0, 0..=0x7f, ..] => Err("an INTEGER that is negative or not minimal"),
        [0, digits @ ..] => Ok(digits),
        digits => Ok(digits),
    }
}

/// The data object of a signature, `5F37 len value`, as it is covered by the signature after it (SGP.22 5.7.5).
/// Only for values below 128 octets, which every verified signature is.
pub(super) fn data_object(signature: &[u8]) -> Vec<u8> {
    let mut object = vec![0x5f];
    object.extend(der::element(0x37, signature));
    object
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn der_values_become_fixed_width() {
        let fixed = fixed_from_der(&hex::decode("300702010102020080").unwrap()).unwrap();
        assert_eq!((fixed[31], fixed[62], fixed[63]), (1, 0, 0x80));
        let long = format!("3026022100{}020100", "ff".repeat(32));
        assert_eq!(fixed_from_der(&hex::decode(long).unwrap()).unwrap()[..32], [0xff; 32]);
    }

    #[test]
    fn refuses_der_that_is_not_der() {
        let negative = "3006020181020101";
        let padded = "300702020001020101";
        let trailing = "300602010102010100";
        let third = "3009020101020101020101";
        let long = format!("3026022101{}020100", "ff".repeat(32));
        for octets in ["", "3000", "3003020101", "30050201010200", negative, padded, trailing, third, &long] {
            let octets = hex::decode(octets).unwrap();
            assert_eq!(fixed_from_der(&octets), Err(SignatureError::Format { octets: octets.len() }));
        }
    }
}
