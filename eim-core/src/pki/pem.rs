//! PEM (RFC 7468): finds blocks of one kind in a file and writes one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elliptic_curve::zeroize::Zeroizing;

/// The content of every block with this label, in order. `None` when a block is not closed or is not base64.
pub(super) fn blocks(text: &str, label: &str) -> Option<Vec<Vec<u8>>> {
    let begin = format!("-----BEGIN {label}-----");
    let end = format!("-----END {label}-----");
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, from)) = rest.split_once(&begin) {
        let (body, after) = from.split_once(&end)?;
        // It may be a private key: what is copied of it is overwritten.
        let digits: Zeroizing<String> =
            Zeroizing::new(body.chars().filter(|character| !character.is_ascii_whitespace()).collect());
        found.push(STANDARD.decode(digits.as_bytes()).ok()?);
        rest = after;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_blocks_of_one_label_and_refuses_broken_ones() {
        let text = "x\n-----BEGIN A-----\nAQ\nI=\r\n-----END A-----\n-----BEGIN B-----\nAw==\n-----END B-----\n-----BEGIN A-----\nBA==\n-----END A-----";
        assert_eq!(blocks(text, "A"), Some(vec![vec![1, 2], vec![4]]));
        assert_eq!(blocks("nothing", "A"), Some(vec![]));
        assert_eq!(blocks("-----BEGIN A-----\nAQ==", "A"), None);
        assert_eq!(blocks("-----BEGIN A-----\n!\n-----END A-----", "A"), None);
    }
}
