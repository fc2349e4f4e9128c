//! A device: a software eUICC with an IPA in one of the bindings.

use eim_core::ids::{Eid, Iccid};
use eim_simulator::euicc::Euicc;
use eim_simulator::ipa::{Answer, Binding, Exchange, Function, Ipa, PollOptions, PollOutcome, Session, SessionOptions};
use eim_simulator::tlv::element;
use serde_json::{Value, json};

/// The seed of the PKI that the usual devices are of.
pub const FLEET_SEED: u64 = 11;

/// A device.
pub struct Device {
    /// Its eUICC.
    pub euicc: Euicc,
    /// Its IPA.
    pub ipa: Ipa,
}

impl Device {
    /// The EID as the API shows it.
    #[must_use]
    pub fn eid(&self) -> String {
        self.euicc.eid().to_string()
    }

    /// The ICCID of a profile, counted from 1, as the API shows it.
    #[must_use]
    pub fn iccid(&self, number: u8) -> String {
        self.raw_iccid(number).digits().expect("digits")
    }

    /// The ICCID of a profile, counted from 1. It does not go away with the profile.
    #[must_use]
    pub fn raw_iccid(&self, number: u8) -> Iccid {
        let eid = self.eid();
        format!("8999{}{number:02}5", &eid[19..30]).parse().expect("an ICCID")
    }

    /// `{"psmo": [{"enable": ..}]}` of a profile.
    #[must_use]
    pub fn enable(&self, number: u8, rollback: bool) -> Value {
        json!({ "psmo": [{ "enable": { "iccid": self.iccid(number), "rollback": rollback } }] })
    }

    /// Polls once.
    pub async fn poll(&mut self) -> PollOutcome {
        self.poll_with(&PollOptions::default()).await
    }

    /// Polls once and says this.
    pub async fn poll_with(&mut self, options: &PollOptions) -> PollOutcome {
        self.ipa.poll_once(&mut self.euicc, options).await.expect("a poll")
    }

    /// Asks for a package and does nothing with it.
    pub async fn fetch(&mut self) -> Vec<u8> {
        let body = self.ipa.get_eim_package_raw(&self.euicc.eid(), &PollOptions::default()).await.expect("a package");
        match self.ipa.config().binding {
            Binding::Asn1 => body,
            Binding::Json => {
                // The package alone, so that both bindings are compared by the same octets.
                let members: Value = serde_json::from_slice(&body).expect("JSON");
                crate::world::asn1_of_get_eim_package(&members)
            }
        }
    }

    /// Polls until there is nothing more.
    pub async fn session(&mut self) -> Session {
        let session = self.ipa.run_session(&mut self.euicc, &SessionOptions::default()).await.expect("a session");
        assert!(session.is_complete(), "the eIM never has enough");
        session
    }

    /// Brings an EimPackageResult, and removes from the eUICC what is acknowledged.
    pub async fn deliver(&mut self, result: &[u8]) -> Answer {
        let answer = self.ipa.deliver(&self.euicc.eid(), result).await.expect("an answer");
        if let Answer::Acknowledged(numbers) = &answer {
            for number in numbers {
                self.euicc.remove_notification(*number);
            }
        }
        answer
    }

    /// Sends a body to a function, whatever it is, in the binding of the IPA.
    pub async fn send(&mut self, function: Function, body: &[u8]) -> Exchange {
        let path = function.path(self.ipa.config().binding);
        self.ipa.post_raw(path, &[], body).await.expect("an exchange")
    }

    /// Sends an EimPackageResult the way the binding has it, with this eidValue, and gives the exchange.
    pub async fn provide(&mut self, eid: Option<&Eid>, result: &[u8]) -> Exchange {
        use base64::Engine;
        let body = match self.ipa.config().binding {
            Binding::Asn1 => {
                let eid = eid.map(|eid| element(0x5a, &[eid.octets()])).unwrap_or_default();
                element(0xbf50, &[&eid, result])
            }
            Binding::Json => {
                let mut body = json!({ "eimPackageResult": base64::engine::general_purpose::STANDARD.encode(result) });
                if let Some(eid) = eid {
                    body["eidValue"] = eid.to_string().into();
                }
                body.to_string().into_bytes()
            }
        };
        self.send(Function::ProvideEimPackageResult, &body).await
    }
}
