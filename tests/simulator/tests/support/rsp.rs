//! An SM-DP+ and an SM-DS that say what a test wants, behind a fake eIM (both bindings) or by themselves (ES9+), over
//! real TLS. Packages are bound for the key that the eUICC gave.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::pki::{Curve, SigningKey};
use eim_simulator::bpp::{self, BindRequest};
use eim_simulator::pki::TestPki;
use eim_simulator::tlv::{Tlv, element, integer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub fn pki() -> TestPki {
    let dir = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors/pki");
    TestPki::load(&dir).unwrap()
}

pub fn der(name: &str) -> Vec<u8> {
    pki().certificate(Curve::P256, name).unwrap()
}

pub fn key(name: &str) -> SigningKey {
    pki().key(Curve::P256, name).unwrap()
}

pub fn signature(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    element(0x5f37, &[&key.sign_deterministic(message)])
}

pub fn ci_key_id() -> Vec<u8> {
    pki().euicc(Curve::P256, "euicc1").unwrap().ci_key_id
}

/// `BF25` with one notification of install and delete to `address`, and `rest` behind it.
pub fn metadata(iccid: &[u8], address: &str, rest: &[u8]) -> Vec<u8> {
    let entry =
        |bits: &[u8], address: &str| element(0x30, &[&element(0x80, &[bits]), &element(0x81, &[address.as_bytes()])]);
    let configuration = [entry(&[4, 0x90], address), entry(&[6, 0x40], "other.example")].concat();
    element(
        0xbf25,
        &[
            &element(0x5a, &[iccid]),
            &element(0x91, &[b"Operator"]),
            &element(0x92, &[b"Plan"]),
            &element(0xb6, &[&configuration]),
            rest,
        ],
    )
}

pub struct Rsp {
    pub address: String,
    pub transaction: Vec<u8>,
    pub metadata: Vec<u8>,
    /// Octets of the profile.
    pub size: usize,
    /// The last octet of packages is missing.
    pub cut_off: bool,
    /// The last package.
    pub package: Vec<u8>,
    pub code_required: bool,
    pub known_otpk: Option<Vec<u8>>,
    /// hashCc, matchingId and ctxParams1 of an eIM.
    pub hash_cc: Option<[u8; 32]>,
    pub matching_id: Option<String>,
    pub ctx_params1: Option<Vec<u8>>,
    /// The trigger that getEimPackage gives.
    pub trigger: Vec<u8>,
    /// An SM-DS first: `Some(None)` has no event, else a trigger (eIM) or the address of the server (ES11).
    pub smds: Option<Option<Vec<u8>>>,
    /// This function gives this ESipa code, or this subject and reason.
    pub refuse: Option<(&'static str, i64, &'static str, &'static str)>,
    pub status: Option<(&'static str, u16)>,
    pub euicc_signature1: Vec<u8>,
    pub calls: Vec<(String, Vec<u8>)>,
}

impl Rsp {
    pub fn new(address: &str, iccid: &[u8]) -> Self {
        Self {
            address: address.to_owned(),
            transaction: vec![0xaa; 16],
            size: 1000,
            cut_off: false,
            package: Vec::new(),
            metadata: metadata(iccid, address, &[]),
            code_required: false,
            known_otpk: None,
            hash_cc: None,
            matching_id: None,
            ctx_params1: None,
            trigger: Vec::new(),
            smds: None,
            refuse: None,
            status: None,
            euicc_signature1: Vec::new(),
            calls: Vec::new(),
        }
    }

    pub fn server_signed1(&self, challenge: &[u8]) -> Vec<u8> {
        let address = element(0x83, &[self.address.as_bytes()]);
        let own = element(0x84, &[&[0xcc; 16]]);
        element(0x30, &[&element(0x80, &[&self.transaction]), &element(0x81, &[challenge]), &address, &own])
    }

    pub fn smdp_signed2(&self) -> Vec<u8> {
        let flag = element(0x01, &[&[if self.code_required { 0xff } else { 0 }]]);
        let otpk = self.known_otpk.as_ref().map(|otpk| element(0x5f49, &[otpk])).unwrap_or_default();
        element(0x30, &[&element(0x80, &[&self.transaction]), &flag, &otpk])
    }

    /// serverSigned1, serverSignature1, certificate.
    pub fn initiated(&self, challenge: &[u8]) -> [Vec<u8>; 3] {
        let name = if self.smds.is_some() { "ds_auth" } else { "dp_auth" };
        let signed = self.server_signed1(challenge);
        let signature = signature(&key(name), &signed);
        [signed, signature, der(name)]
    }

    /// smdpSigned2, smdpSignature2, certificate.
    pub fn offer(&self) -> [Vec<u8>; 3] {
        let signed = self.smdp_signed2();
        let signature = signature(&key("dp_pb"), &[signed.clone(), self.euicc_signature1.clone()].concat());
        [signed, signature, der("dp_pb")]
    }

    pub fn note_response(&mut self, bf38: &[u8]) {
        let arm = Tlv::only(Tlv::only(bf38).unwrap().content).unwrap();
        self.euicc_signature1 = arm.child(0x5f37).map(|tlv| tlv.octets.to_vec()).unwrap_or_default();
    }

    /// The package for a `BF21`; the last one again for its error arm.
    pub fn bound(&mut self, bf21: &[u8]) -> Vec<u8> {
        let arm = Tlv::only(Tlv::only(bf21).unwrap().content).unwrap();
        let Some(signed) = arm.child(0x30) else { return self.package.clone() };
        let otpk = signed.child(0x5f49).map(|otpk| otpk.content.to_vec()).or(self.known_otpk.clone()).unwrap();
        self.package = bpp::bind(&BindRequest {
            transaction_id: &self.transaction,
            eid: *pki().euicc(Curve::P256, "euicc1").unwrap().eid.octets(),
            euicc_otpk: &otpk,
            smdp_ot_secret: [0x11; 32],
            pb_key: &key("dp_pb"),
            metadata: &self.metadata,
            profile: &vec![7; self.size],
            protection_keys: false,
        })
        .unwrap();
        if self.cut_off {
            self.package.pop();
        }
        self.package.clone()
    }

    pub fn names(&self) -> Vec<&str> {
        self.calls.iter().map(|(name, _)| name.as_str()).collect()
    }

    pub fn call(&self, name: &str) -> Vec<u8> {
        self.calls.iter().find(|(found, _)| found == name).map(|(_, body)| body.clone()).unwrap()
    }

    fn answer(&mut self, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let asn1 = path.ends_with("/asn1");
        let name = if asn1 { asn1_name(body) } else { path.rsplit('/').next().unwrap() }.to_owned();
        self.calls.push((name.clone(), body.to_vec()));
        if let Some((_, status)) = self.status.filter(|(refused, _)| *refused == name) {
            return (status, Vec::new());
        }
        match (name.as_str(), asn1) {
            ("handleNotification", _) => (204, Vec::new()),
            (name, true) => (200, self.asn1(name, &Tlv::only(body).unwrap())),
            (name, false) => (200, self.json(name, path, &serde_json::from_slice(body).unwrap())),
        }
    }

    fn asn1(&mut self, name: &str, request: &Tlv<'_>) -> Vec<u8> {
        let refusal = self.refuse.filter(|(refused, ..)| *refused == name);
        if let Some((_, code, ..)) = refusal {
            let tag = if name == "authenticateClient" { 0x82 } else { 0x81 };
            return element(request.tag, &[&integer(tag, code)]);
        }
        let arm = |arm, parts: &[&[u8]]| element(request.tag, &[&element(arm, parts)]);
        match name {
            "getEimPackage" => element(0xbf4f, &[&self.trigger]),
            "provideEimPackageResult" => element(0xbf50, &[&element(0x30, &[])]),
            "initiateAuthentication" => {
                let [signed, signature, certificate] = self.initiated(request.child(0x81).unwrap().content);
                let id = self.matching_id.as_ref().map(|id| element(0x0c, &[id.as_bytes()])).unwrap_or_default();
                let context = self.ctx_params1.as_ref().map(|context| element(0xa2, &[context])).unwrap_or_default();
                let key_id = element(0x04, &[&ci_key_id()]);
                arm(0xa0, &[&signed, &signature, &key_id, &certificate, &id, &context])
            }
            "authenticateClient" => {
                self.note_response(request.child(0xbf38).unwrap().octets);
                let transaction = element(0x80, &[&self.transaction]);
                if let Some(event) = self.smds.take() {
                    return arm(0xa1, &[&transaction, &event.unwrap_or_default()]);
                }
                let [signed, signature, certificate] = self.offer();
                let hash = self.hash_cc.map(|hash| element(0x04, &[&hash])).unwrap_or_default();
                arm(0xa0, &[&transaction, &self.metadata, &signed, &signature, &certificate, &hash])
            }
            "getBoundProfilePackage" => {
                let package = self.bound(request.child(0xbf21).unwrap().octets);
                arm(0xa0, &[&package])
            }
            "cancelSession" => arm(0xa0, &[]),
            other => panic!("{other}"),
        }
    }

    fn json(&mut self, name: &str, path: &str, request: &Value) -> Vec<u8> {
        let refusal = self.refuse.filter(|(refused, ..)| *refused == name);
        let mut answer = json!({"header": {"functionExecutionStatus": {"status": "Executed-Success"}}});
        if let Some((_, _, subject, reason)) = refusal {
            answer["header"]["functionExecutionStatus"] = json!({"status": "Failed",
                "statusCodeData": {"subjectCode": subject, "reasonCode": reason}});
            return answer.to_string().into_bytes();
        }
        let direct = path.contains("es9plus");
        let octets = |name: &str| STANDARD.decode(request[name].as_str().unwrap()).unwrap();
        // some servers break lines
        let base64 = |octets: &[u8]| STANDARD.encode(octets).replacen('A', "\r\nA", 1);
        answer["transactionId"] = hex::encode_upper(&self.transaction).into();
        match name {
            "getEimPackage" => answer["profileDownloadTriggerRequest"] = STANDARD.encode(&self.trigger).into(),
            "initiateAuthentication" => {
                let [signed, signature, certificate] = self.initiated(&octets("euiccChallenge"));
                answer["serverSigned1"] = base64(&signed).into();
                answer["serverSignature1"] = base64(&signature).into();
                answer["serverCertificate"] = base64(&certificate).into();
                let member = if direct { "euiccCiPKIdToBeUsed" } else { "euiccCiPKIdentifierToBeUsed" };
                answer[member] = base64(&element(0x04, &[&ci_key_id()])).into();
                if let Some(context) = &self.ctx_params1 {
                    answer["ctxParams1"] = base64(context).into();
                }
                if let Some(id) = &self.matching_id {
                    answer["matchingId"] = id.clone().into();
                }
            }
            "authenticateClient" => {
                self.note_response(&octets("authenticateServerResponse"));
                if let Some(event) = self.smds.take() {
                    if direct {
                        let server = event.map(|octets| String::from_utf8(octets).unwrap());
                        let entry = |server| json!({"eventId": "EVENT-1", "rspServerAddress": server});
                        answer["eventEntries"] = server.into_iter().map(entry).collect();
                    } else if let Some(trigger) = event {
                        answer["profileDownloadTrigger"] = base64(&trigger).into();
                    }
                    return answer.to_string().into_bytes();
                }
                let [signed, signature, certificate] = self.offer();
                answer["profileMetadata"] = base64(&self.metadata).into();
                answer["smdpSigned2"] = base64(&signed).into();
                answer["smdpSignature2"] = base64(&signature).into();
                answer["smdpCertificate"] = base64(&certificate).into();
                if let Some(hash) = self.hash_cc {
                    answer["hashCc"] = STANDARD.encode(hash).into();
                }
            }
            "getBoundProfilePackage" => {
                let package = self.bound(&octets("prepareDownloadResponse"));
                answer["boundProfilePackage"] = base64(&package).into();
            }
            _ => {}
        }
        answer.to_string().into_bytes()
    }
}

fn asn1_name(body: &[u8]) -> &'static str {
    match Tlv::only(body).unwrap().tag {
        0xbf4f => "getEimPackage",
        0xbf50 => "provideEimPackageResult",
        0xbf39 => "initiateAuthentication",
        0xbf3b => "authenticateClient",
        0xbf3a => "getBoundProfilePackage",
        0xbf3d => "handleNotification",
        0xbf41 => "cancelSession",
        other => panic!("{other:x}"),
    }
}

/// A TLS configuration with a certificate that rustls itself can't read.
pub fn gsma_tls(name: &str) -> rustls::ServerConfig {
    gsma_tls_with(name, name)
}

pub fn gsma_tls_with(certificate: &str, key_name: &str) -> rustls::ServerConfig {
    let provider = rustls::crypto::ring::default_provider();
    let pem = key(key_name).to_pkcs8_pem().unwrap();
    let private = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let private = provider.key_provider.load_private_key(private).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![CertificateDer::from(der(certificate))], private);
    rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)))
}

pub async fn serve(config: rustls::ServerConfig, rsp: Arc<Mutex<Rsp>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, rsp) = (acceptor.clone(), rsp.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                let mut buffer = Vec::new();
                loop {
                    let end = loop {
                        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                            break end + 4;
                        }
                        if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                            return;
                        }
                    };
                    let head = String::from_utf8(buffer[..end].to_vec()).unwrap().to_ascii_lowercase();
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
                    let length: usize = length.map_or(0, |value| value.trim().parse().unwrap());
                    while buffer.len() < end + length {
                        if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    // the case of the path matters
                    let line = String::from_utf8(buffer[..end].to_vec()).unwrap();
                    let path = line.split(' ').nth(1).unwrap().to_owned();
                    let body: Vec<u8> = buffer.drain(..end + length).skip(end).collect();
                    let (status, body) = rsp.lock().unwrap().answer(&path, &body);
                    let length =
                        if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
                    let head = format!("HTTP/1.1 {status} x\r\n{length}x-admin-protocol: gsma/rsp/v2.5.0\r\n\r\n");
                    if stream.write_all(&[head.as_bytes(), &body].concat()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}
