//! The name of the function that an ASN.1 message calls, for metrics: it stands in its first two octets.

/// The function of a message from an IPA, by its tag (SGP.32 v1.2 annex A, EsipaMessageFromIpaToEim).
pub(super) fn of_asn1(body: &[u8]) -> &'static str {
    match body {
        [0xbf, 0x39, ..] => "initiateAuthentication",
        [0xbf, 0x3a, ..] => "getBoundProfilePackage",
        [0xbf, 0x3b, ..] => "authenticateClient",
        [0xbf, 0x3d, ..] => "handleNotification",
        [0xbf, 0x41, ..] => "cancelSession",
        [0xbf, 0x4e, ..] => "transferEimPackage",
        [0xbf, 0x4f, ..] => "getEimPackage",
        [0xbf, 0x50, ..] => "provideEimPackageResult",
        _ => "unknown",
    }
}
