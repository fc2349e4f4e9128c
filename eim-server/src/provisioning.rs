//! EimConfigurationData and AddInitialEimRequest in the notations that factories and device makers take: octets, text, a QR
//! image, a C header (SGP.32 v1.2 3.5.2). They hold public keys and no secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::manage::EimConfiguration;
use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode};
use std::fmt::Write;

/// Which object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// AddInitialEimRequest (BF57): what an IPA hands to the eUICC.
    AddInitialEimRequest,
    /// EimConfigurationData: what the EUM loads.
    EimConfigurationData,
}

impl Object {
    /// The name in ASN.1, for each.
    pub const WORDS: [(&'static str, Self); 2] =
        [("addInitialEimRequest", Self::AddInitialEimRequest), ("eimConfigurationData", Self::EimConfigurationData)];

    /// Its octets.
    #[must_use]
    pub fn of(self, configuration: &EimConfiguration) -> &[u8] {
        match self {
            Self::AddInitialEimRequest => &configuration.add_initial_eim_request,
            Self::EimConfigurationData => &configuration.eim_configuration_data,
        }
    }

    /// The name of its array in C.
    const fn c_name(self) -> &'static str {
        match self {
            Self::AddInitialEimRequest => "ADD_INITIAL_EIM_REQUEST",
            Self::EimConfigurationData => "EIM_CONFIGURATION_DATA",
        }
    }
}

/// In which notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// The octets.
    Der,
    /// Upper-case hexadecimal, a line.
    Hex,
    /// Base64, a line.
    Base64,
    /// A QR code (ISO/IEC 18004) of the upper-case hexadecimal, as a PNG image.
    Png,
    /// A C header with the octets as an array.
    C,
}

impl Notation {
    /// The word for each.
    pub const WORDS: [(&'static str, Self); 5] =
        [("der", Self::Der), ("hex", Self::Hex), ("base64", Self::Base64), ("png", Self::Png), ("c", Self::C)];

    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Der => "application/octet-stream",
            Self::Hex | Self::Base64 => "text/plain; charset=utf-8",
            Self::Png => "image/png",
            Self::C => "text/x-c; charset=utf-8",
        }
    }
}

/// What can't be written.
#[derive(Debug, thiserror::Error)]
pub enum ProvisioningError {
    /// A QR code holds 4296 hexadecimal digits at most (ISO/IEC 18004, version 40-L).
    #[error(
        "the object has {octets} octets, too many for a QR code; take another notation, or a TLS trust anchor that is a bare key"
    )]
    TooLarge {
        /// Its length.
        octets: usize,
    },
    /// The image can't be encoded.
    #[error("the image can't be written: {0}")]
    Image(#[from] png::EncodingError),
}

/// Writes an object.
///
/// # Errors
/// When it does not fit into a QR code.
pub fn write(octets: &[u8], object: Object, notation: Notation) -> Result<Vec<u8>, ProvisioningError> {
    Ok(match notation {
        Notation::Der => octets.to_vec(),
        Notation::Hex => format!("{}\n", hex::encode_upper(octets)).into_bytes(),
        Notation::Base64 => format!("{}\n", STANDARD.encode(octets)).into_bytes(),
        Notation::Png => png(octets)?,
        Notation::C => c_header(octets, object).into_bytes(),
    })
}

/// Pixels of a module, and modules of the quiet zone (ISO/IEC 18004).
const MODULE: usize = 4;
const QUIET: usize = 4;

fn png(octets: &[u8]) -> Result<Vec<u8>, ProvisioningError> {
    // Digits and capitals alone: the dense alphanumeric mode, which every reader gives back unchanged.
    let text = hex::encode_upper(octets);
    let too_large = |_: QrError| ProvisioningError::TooLarge { octets: octets.len() };
    let code = QrCode::with_error_correction_level(&text, EcLevel::M)
        .or_else(|_| QrCode::with_error_correction_level(&text, EcLevel::L))
        .map_err(too_large)?;
    let width = code.width();
    let side = (width + 2 * QUIET) * MODULE;
    let colors = code.to_colors();
    let mut pixels = vec![0xff; side * side];
    for (index, _) in colors.iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
        let (row, column) = (index / width + QUIET, index % width + QUIET);
        for line in row * MODULE..(row + 1) * MODULE {
            let from = line * side + column * MODULE;
            if let Some(module) = pixels.get_mut(from..from + MODULE) {
                module.fill(0);
            }
        }
    }
    let mut image = Vec::new();
    let side = u32::try_from(side).map_err(|_| ProvisioningError::TooLarge { octets: octets.len() })?;
    let mut encoder = png::Encoder::new(&mut image, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(image)
}

fn c_header(octets: &[u8], object: Object) -> String {
    let name = object.c_name();
    let mut text = format!(
        "/* {} (SGP.32 v1.2), DER. */\n#ifndef {name}_H\n#define {name}_H\n\nstatic const unsigned char {name}[{}] = {{\n",
        match object {
            Object::AddInitialEimRequest => "AddInitialEimRequest",
            Object::EimConfigurationData => "EimConfigurationData",
        },
        octets.len(),
    );
    for line in octets.chunks(12) {
        let line: Vec<String> = line.iter().map(|octet| format!("0x{octet:02X}")).collect();
        // Writing into a String can't fail.
        let _ = writeln!(text, "    {},", line.join(", "));
    }
    text.push_str("};\n\n#endif\n");
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_c_header_has_the_octets_in_order() {
        let octets: Vec<u8> = (0..14).collect();
        let text = String::from_utf8(write(&octets, Object::AddInitialEimRequest, Notation::C).unwrap()).unwrap();
        assert!(text.contains("ADD_INITIAL_EIM_REQUEST[14] = {\n    0x00, 0x01,"), "{text}");
        assert!(text.contains("0x0B,\n    0x0C, 0x0D,\n};\n"), "{text}");
    }

    #[test]
    fn what_does_not_fit_into_a_qr_code_is_refused() {
        assert!(write(&[0xab; 2000], Object::EimConfigurationData, Notation::Png).is_ok());
        let error = write(&[0xab; 2200], Object::EimConfigurationData, Notation::Png).unwrap_err();
        assert!(error.to_string().contains("2200 octets"), "{error}");
    }

    /// The image is white around, and holds the modules of the code at four pixels each.
    #[test]
    fn an_image_has_the_modules_of_the_code() {
        let octets = [0xbf, 0x57, 0x00];
        let image = write(&octets, Object::AddInitialEimRequest, Notation::Png).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&image)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let side = usize::try_from(info.width).unwrap();
        let code = QrCode::with_error_correction_level("BF5700", EcLevel::M).unwrap();
        assert_eq!(side, (code.width() + 8) * 4);
        for y in 0..side {
            for x in 0..side {
                let inside = |at: usize| (4..4 + code.width()).contains(&(at / 4)).then(|| at / 4 - 4);
                let dark = matches!((inside(x), inside(y)), (Some(x), Some(y)) if code[(x, y)] == Color::Dark);
                assert_eq!(pixels[y * side + x], if dark { 0 } else { 255 }, "{x},{y}");
            }
        }
    }
}
