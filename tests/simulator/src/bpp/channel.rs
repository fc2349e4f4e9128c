//! Protection of blocks: AES-128 in CBC mode and AES-CMAC (SGP.22 v2.5 2.6.4.4; SCP03t of SGP.02 4.1.3.3).

use super::keys::Keys;
use crate::tlv::{Tlv, element};
use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit};
use cmac::{Cmac, Mac};

/// The longest plaintext of one block.
pub(super) const MAX_PLAINTEXT_BYTES: usize = 1007;
const MAC_BYTES: usize = 8;

/// One side of a channel: its keys, the MAC of the last block, and the number of the next.
pub(super) struct Channel {
    keys: Keys,
    chaining: [u8; 16],
    counter: u128,
}

/// A block whose MAC or padding is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl Channel {
    pub fn new(keys: Keys) -> Self {
        Self { chaining: keys.initial_mac_chaining_value, keys, counter: 1 }
    }

    /// Cuts a command into blocks under this tag, encrypts and authenticates them.
    pub fn encrypt(&mut self, tag: u32, plaintext: &[u8]) -> Vec<u8> {
        let mut blocks = Vec::new();
        for part in plaintext.chunks(MAX_PLAINTEXT_BYTES) {
            let mut padded = part.to_vec();
            padded.push(0x80);
            padded.resize(padded.len().div_ceil(16) * 16, 0);
            let mut mode = cbc::Encryptor::<Aes128>::new(&Array(self.keys.enc), &Array(self.initial_vector()));
            for block in padded.chunks_exact_mut(16) {
                if let Ok(block) = block.try_into() {
                    mode.encrypt_block(block);
                }
            }
            blocks.extend(self.with_mac(tag, &padded));
        }
        blocks
    }

    /// Cuts a command into blocks under this tag and authenticates them.
    pub fn authenticate(&mut self, tag: u32, plaintext: &[u8]) -> Vec<u8> {
        plaintext.chunks(MAX_PLAINTEXT_BYTES).flat_map(|part| self.with_mac(tag, part)).collect()
    }

    /// The contents of a block made by [`Self::authenticate`].
    pub fn check<'a>(&mut self, block: &Tlv<'a>) -> Result<&'a [u8], Broken> {
        let split = block.content.len().checked_sub(MAC_BYTES).ok_or(Broken)?;
        let (contents, _) = block.content.split_at(split);
        if self.with_mac(block.tag, contents) == block.octets { Ok(contents) } else { Err(Broken) }
    }

    /// The contents of a block made by [`Self::encrypt`].
    pub fn decrypt(&mut self, block: &Tlv<'_>) -> Result<Vec<u8>, Broken> {
        let initial_vector = self.initial_vector();
        let mut octets = self.check(block)?.to_vec();
        if octets.len() % 16 != 0 {
            return Err(Broken);
        }
        let mut mode = cbc::Decryptor::<Aes128>::new(&Array(self.keys.enc), &Array(initial_vector));
        for block in octets.chunks_exact_mut(16) {
            if let Ok(block) = block.try_into() {
                mode.decrypt_block(block);
            }
        }
        let end = octets.iter().rposition(|octet| *octet != 0).filter(|at| octets.get(*at) == Some(&0x80));
        octets.truncate(end.ok_or(Broken)?);
        Ok(octets)
    }

    /// `AES( S-ENC, number of the block )`.
    fn initial_vector(&self) -> [u8; 16] {
        let mut block = Array(self.counter.to_be_bytes());
        Aes128::new(&Array(self.keys.enc)).encrypt_block(&mut block);
        block.0
    }

    /// `tag length contents MAC`; the MAC is over `chaining value, tag, length, contents`, and the next chaining value.
    fn with_mac(&mut self, tag: u32, contents: &[u8]) -> Vec<u8> {
        let mut octets = element(tag, &[contents, &[0; MAC_BYTES]]);
        octets.truncate(octets.len() - MAC_BYTES);
        let mut mac = Cmac::<Aes128>::new(&Array(self.keys.cmac));
        mac.update(&self.chaining);
        mac.update(&octets);
        self.chaining = mac.finalize().into_bytes().into();
        self.counter += 1;
        octets.extend(self.chaining.iter().take(MAC_BYTES));
        octets
    }
}
