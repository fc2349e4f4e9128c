//! Many devices at once: eUICCs of one PKI, each with an IPA, driven concurrently.

use crate::euicc::{Euicc, EuiccError, Profile};
use crate::ipa::{Ipa, IpaConfig, IpaError, Session, SessionOptions};
use crate::pki::{EuiccIdentity, FleetPki, PkiError};
use eim_core::ids::{Eid, Iccid, IdError};
use eim_core::pki::Curve;
use futures_util::StreamExt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a fleet could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The PKI.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// An identifier that can't be; a mistake in this crate.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The eIM's AddInitialEimRequest was not taken.
    #[error("{eid}: the eUICC did not take the eIM: {cause}")]
    Association {
        /// Which eUICC.
        eid: Eid,
        /// Why.
        cause: EuiccError,
    },
    /// There is already an association, or the configuration can't be used.
    #[error("{eid}: the eUICC answered AddInitialEim with {}", hex::encode(answer))]
    AssociationRefused {
        /// Which eUICC.
        eid: Eid,
        /// The answer, `BF57 { 81 code }`.
        answer: Vec<u8>,
    },
    /// No IPA was connected: [`Fleet::connect`] comes first.
    #[error("the fleet was not connected to an eIM")]
    NotConnected,
}

/// What an operator registers about a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The EID.
    pub eid: Eid,
    /// CERT.EUM.ECDSA, DER.
    pub eum_certificate: Vec<u8>,
    /// CERT.EUICC.ECDSA, DER.
    pub euicc_certificate: Vec<u8>,
}

/// One device.
#[derive(Debug)]
pub struct Device {
    /// Its eUICC.
    pub euicc: Euicc,
    /// Its IPA, once the fleet is connected.
    pub ipa: Option<Ipa>,
}

/// What became of a device's session.
#[derive(Debug)]
pub struct DeviceReport {
    /// Which device.
    pub eid: Eid,
    /// Its session, or why it broke off.
    pub session: Result<Session, IpaError>,
}

/// A fleet. Each eUICC has two operational profiles, the first enabled, and a third that may be the Fallback Profile.
#[derive(Debug)]
pub struct Fleet {
    pki: FleetPki,
    devices: Vec<Device>,
}

impl Fleet {
    /// Makes so many devices on P-256. The same seed gives the same fleet.
    ///
    /// # Errors
    /// [`FleetError`] when keys can't be made, which does not happen in practice.
    pub fn generate(seed: u64, devices: u32) -> Result<Self, FleetError> {
        Self::generate_on(Curve::P256, seed, devices)
    }

    /// The same on this curve.
    ///
    /// # Errors
    /// Those of [`Self::generate`].
    pub fn generate_on(curve: Curve, seed: u64, devices: u32) -> Result<Self, FleetError> {
        Self::generate_range(curve, seed, 0..devices)
    }

    /// The devices with these indices of the fleet with this seed: other devices below the same CI.
    ///
    /// # Errors
    /// Those of [`Self::generate`].
    pub fn generate_range(curve: Curve, seed: u64, indices: Range<u32>) -> Result<Self, FleetError> {
        let pki = FleetPki::generate_on(curve, seed)?;
        let ci: Arc<[u8]> = pki.ci_certificate().into();
        let devices = indices
            .map(|index| {
                Ok(Device { euicc: Self::euicc_of(pki.euicc(index)?, index)?.trusting(ci.clone()), ipa: None })
            })
            .collect::<Result<_, FleetError>>()?;
        Ok(Self { pki, devices })
    }

    /// The eUICC of one device of the fleet with this seed.
    ///
    /// # Errors
    /// Those of [`Self::generate`].
    pub fn generate_device(seed: u64, index: u32) -> Result<Euicc, FleetError> {
        let pki = FleetPki::generate(seed)?;
        Ok(Self::euicc_of(pki.euicc(index)?, index)?.trusting(pki.ci_certificate()))
    }

    /// An eUICC of this identity with the profiles of the fleet's device `index`. It trusts no CI yet: for downloads
    /// see [`Euicc::trusting`].
    ///
    /// # Errors
    /// [`FleetError::Id`] never: the digits are made here.
    pub fn euicc_of(identity: EuiccIdentity, index: u32) -> Result<Euicc, FleetError> {
        Ok(Euicc::new(identity)
            .with_profile(Profile::operational(fleet_iccid(index, 1)?, "First").enabled())
            .with_profile(Profile::operational(fleet_iccid(index, 2)?, "Second"))
            .with_profile(Profile::operational(fleet_iccid(index, 3)?, "Fallback").fallback_allowed()))
    }

    /// The PKI.
    #[must_use]
    pub const fn pki(&self) -> &FleetPki {
        &self.pki
    }

    /// CERT.CI.ECDSA, DER: what the eIM has to trust.
    #[must_use]
    pub fn ci_certificate(&self) -> &[u8] {
        self.pki.ci_certificate()
    }

    /// Writes `ci.der` into a folder that an eIM can load its roots from.
    ///
    /// # Errors
    /// [`FleetError::Pki`] when that fails.
    pub fn write_ci_dir(&self, dir: &Path) -> Result<PathBuf, FleetError> {
        Ok(self.pki.write_ci_dir(dir)?)
    }

    /// The devices, in order of their index.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The devices, to set faults and behaviour.
    pub fn devices_mut(&mut self) -> &mut [Device] {
        &mut self.devices
    }

    /// The devices, in order of their index, without the fleet.
    #[must_use]
    pub fn into_devices(self) -> Vec<Device> {
        self.devices
    }

    /// The device with this EID.
    pub fn device_mut(&mut self, eid: &Eid) -> Option<&mut Device> {
        self.devices.iter_mut().find(|device| device.euicc.eid() == *eid)
    }

    /// The EIDs, in order of the devices.
    #[must_use]
    pub fn eids(&self) -> Vec<Eid> {
        self.devices.iter().map(|device| device.euicc.eid()).collect()
    }

    /// What an operator registers.
    #[must_use]
    pub fn registrations(&self) -> Vec<Registration> {
        let registration = |device: &Device| {
            let identity = device.euicc.identity();
            Registration {
                eid: identity.eid,
                eum_certificate: identity.eum_certificate.clone(),
                euicc_certificate: identity.certificate.clone(),
            }
        };
        self.devices.iter().map(registration).collect()
    }

    /// Gives every eUICC the eIM's AddInitialEimRequest (`BF57`), as a device maker would.
    ///
    /// # Errors
    /// [`FleetError`] naming the first eUICC that does not take it.
    pub fn associate(&mut self, add_initial_eim_request: &[u8]) -> Result<(), FleetError> {
        for device in &mut self.devices {
            let eid = device.euicc.eid();
            let answer = device
                .euicc
                .add_initial_eim(add_initial_eim_request)
                .map_err(|cause| FleetError::Association { eid, cause })?;
            if device.euicc.associations().is_empty() {
                return Err(FleetError::AssociationRefused { eid, answer });
            }
        }
        Ok(())
    }

    /// Gives every device an IPA; existing connections are dropped.
    pub fn connect(&mut self, config: &IpaConfig) {
        for device in &mut self.devices {
            device.ipa = Some(Ipa::new(config.clone()));
        }
    }

    /// Runs a session on every device, at most `concurrency` at once. `on_report` is told of each as it ends.
    ///
    /// # Errors
    /// [`FleetError::NotConnected`] before [`Self::connect`]; what happens to a device is in its report.
    pub async fn run_sessions(
        &mut self,
        concurrency: usize,
        options: &SessionOptions,
        mut on_report: impl FnMut(&DeviceReport),
    ) -> Result<Vec<DeviceReport>, FleetError> {
        if self.devices.iter().any(|device| device.ipa.is_none()) {
            return Err(FleetError::NotConnected);
        }
        let mut sessions = futures_util::stream::iter(&mut self.devices)
            .filter_map(|Device { euicc, ipa }| {
                std::future::ready(ipa.as_mut().map(|ipa| async move {
                    let session = ipa.run_session(euicc, options).await;
                    DeviceReport { eid: euicc.eid(), session }
                }))
            })
            .buffer_unordered(concurrency.max(1));
        let mut reports = Vec::new();
        while let Some(report) = sessions.next().await {
            on_report(&report);
            reports.push(report);
        }
        Ok(reports)
    }
}

/// The ICCID of a fleet device's profile: `number` 1 is enabled at first, 2 is not, 3 may be the Fallback Profile.
///
/// # Errors
/// [`IdError`] never: the digits are made here.
pub fn fleet_iccid(index: u32, number: u8) -> Result<Iccid, IdError> {
    // 89 telecommunications, 999 no country, then the device, the profile, and the Luhn digit
    let digits = format!("8999900{index:010}{number:02}");
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(position, digit)| {
            let digit = u32::from(digit - b'0');
            let doubled = if position % 2 == 0 { digit * 2 } else { digit };
            doubled / 10 + doubled % 10
        })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10).parse()
}
