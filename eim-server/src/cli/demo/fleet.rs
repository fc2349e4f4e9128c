//! The devices of the demo: what each is there for, how it is registered, and how it behaves when it polls.

use super::{get, id_of, post};
use crate::boot::Server;
use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::ids::{Eid, Iccid};
use eim_simulator::euicc::DeviceDescription;
use eim_simulator::fleet::{Device, Fleet, fleet_iccid};
use eim_simulator::ipa::{Binding, DownloadMode, Es9Config, Ipa, IpaConfig, Package, PollOptions};
use eim_simulator::load::Api;
use eim_simulator::rsp::{Order, SmdpOptions, SmdpServer};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// The tag that the campaign goes by, and that of its canary wave.
pub(super) const TAG: &str = "demo";
pub(super) const CANARY: &str = "canary";
/// The pool that has an activation code for each device.
pub(super) const POOL: &str = "demo profiles";
/// How many devices talk at once.
const CONCURRENCY: usize = 16;
/// The impostor's answers are never believed, so its package stays open: its session ends by this bound.
const POLLS_AT_ONCE: usize = 16;
/// Of the fleet's profiles: the one that is enabled at first, and the one that becomes the Fallback Profile.
const FIRST: u8 = 1;
const FALLBACK: u8 = 3;
/// The first number of the profiles at the SM-DP+; the fleet's own are 1, 2 and 3.
const DOWNLOADED: u8 = 4;
/// stateChangeCause fallback(1).
const CAUSE_FALLBACK: i64 = 1;
/// bppCommandId loadProfileElements(5) and errorReason installFailedDueToInsufficientMemoryForProfile(10).
const NO_ROOM: (i64, i64) = (5, 10);
const CODES_AT_ONCE: usize = 1_000;

/// What a device is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It moves to a profile that its IPA downloads.
    Direct,
    /// It moves to a profile that the eIM downloads for it.
    Indirect,
    /// Its new profile finds no network: the eUICC rolls back.
    RollsBack,
    /// Its new profile loses the network after a while: the device goes to its Fallback Profile.
    FallsBack,
    /// Its eUICC has no room for another profile.
    NoRoom,
    /// It signs with a key that is not its own.
    Impostor,
}

impl Part {
    /// The parts of a fleet in which so many devices get where they should.
    pub(super) fn all(moving: u32) -> Vec<Self> {
        let moving = (0..moving).map(|index| if index % 3 == 0 { Self::Direct } else { Self::Indirect });
        moving.chain([Self::RollsBack, Self::FallsBack, Self::NoRoom, Self::Impostor]).collect()
    }

    /// Who does not get there.
    pub(super) const fn summary() -> &'static str {
        "one will find no network, one will lose it later, one has no room for a profile, one is an impostor"
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Indirect => "by the eIM",
            Self::RollsBack => "no network",
            Self::FallsBack => "loses network",
            Self::NoRoom => "no room",
            Self::Impostor => "impostor",
        }
    }

    /// The outcome that this part should come to.
    pub(super) const fn outcome(self) -> &'static str {
        match self {
            Self::Direct | Self::Indirect => "proven",
            Self::RollsBack => "rolledBack",
            Self::FallsBack => "fellBack",
            Self::NoRoom => "downloadFailed",
            Self::Impostor => "refused",
        }
    }
}

/// A device of the demo.
pub(super) struct Member {
    pub(super) device: Device,
    pub(super) part: Part,
    pub(super) binding: Binding,
    /// The profile that was enabled at first.
    pub(super) first: Iccid,
    /// The Fallback Profile.
    pub(super) fallback: Iccid,
    /// The operation that asked for its profiles.
    pub(super) listed_by: Option<String>,
}

impl Member {
    pub(super) fn eid(&self) -> Eid {
        self.device.euicc.eid()
    }

    /// Polls until the eIM has nothing more.
    async fn session(&mut self) -> anyhow::Result<()> {
        let Device { euicc, ipa } = &mut self.device;
        let ipa = ipa.as_mut().context("a device without an IPA")?;
        let mut says = PollOptions::default();
        for _ in 0..POLLS_AT_ONCE {
            let before = euicc.enabled_iccid();
            let poll = ipa.poll_once(euicc, &says).await.with_context(|| format!("a poll of {}", euicc.eid()))?;
            if matches!(poll.package, Package::Error(_)) {
                break;
            }
            says = PollOptions::default();
            if self.part == Part::FallsBack && euicc.enabled_iccid() != before {
                let code = euicc.execute_fallback();
                ensure!(code == 0, "{} could not go to its Fallback Profile: {code}", euicc.eid());
                says = PollOptions::state_change(CAUSE_FALLBACK);
            }
        }
        Ok(())
    }
}

/// All devices of the demo.
pub(super) struct Members(pub(super) Vec<Member>);

impl Members {
    /// Associates the fleet, connects each device and registers it. Every third device is registered without certificates, so that
    /// the eIM has to ask for them; every second one speaks JSON. The first eighth of those that move are the canaries.
    pub(super) async fn connect(
        mut fleet: Fleet,
        parts: &[Part],
        server: &Server,
        api: &mut Api,
    ) -> anyhow::Result<Self> {
        fleet.associate(&api.add_initial_eim_request().await?).context("the initial association")?;
        let trusted = std::slice::from_ref(&server.esipa_trust_der);
        let mut ipa = IpaConfig::new(server.esipa_addr, "localhost", trusted, Binding::Asn1)?;
        ipa.es9 = Some(Es9Config { trusted: vec![fleet.ci_certificate().to_vec()], routes: HashMap::new() });
        let registrations = fleet.registrations();
        let stranger = fleet.pki().euicc(u32::try_from(registrations.len())?)?;
        let moving = parts.iter().filter(|part| matches!(part, Part::Direct | Part::Indirect)).count();
        let canaries = parts.len().div_ceil(8).min(moving);
        let mut members = Vec::new();
        for (index, ((mut device, registration), part)) in
            fleet.into_devices().into_iter().zip(registrations).zip(parts).enumerate()
        {
            let binding = if index % 2 == 0 { Binding::Asn1 } else { Binding::Json };
            let mut connected = Ipa::new(ipa.clone().binding(binding));
            connected.behaviour.download = DownloadMode::Auto;
            connected.behaviour.device = DeviceDescription::default().features(match part {
                Part::Direct => &[DeviceDescription::DIRECT_RSP_SERVER_COMMUNICATION],
                _ => &[
                    DeviceDescription::INDIRECT_RSP_SERVER_COMMUNICATION,
                    DeviceDescription::EIM_DOWNLOAD_DATA_HANDLING,
                ],
            });
            connected.behaviour.connectivity_lost = *part == Part::RollsBack;
            device.ipa = Some(connected);
            match part {
                Part::Impostor => device.euicc.faults.signing_key = Some(Arc::clone(&stranger.key)),
                Part::NoRoom => device.euicc.faults.install_error = Some(NO_ROOM),
                _ => {}
            }
            let tags: &[&str] = if index < canaries { &[TAG, CANARY] } else { &[TAG] };
            let mut body = json!({ "eid": registration.eid.to_string(), "tags": tags });
            if index % 3 != 0 || *part == Part::Impostor {
                body["eumCertificate"] = STANDARD.encode(&registration.eum_certificate).into();
                body["euiccCertificate"] = STANDARD.encode(&registration.euicc_certificate).into();
            }
            post(api, "/api/v1/euiccs", Some(&body)).await?;
            let number = u32::try_from(index)?;
            members.push(Member {
                device,
                part: *part,
                binding,
                first: fleet_iccid(number, FIRST)?,
                fallback: fleet_iccid(number, FALLBACK)?,
                listed_by: None,
            });
        }
        Ok(Self(members))
    }

    /// Gives each device its Fallback Profile and asks for its profiles: a campaign takes no device whose profiles are not known.
    /// What the impostor answers is not believed, and given up.
    pub(super) async fn list_profiles(&mut self, api: &mut Api) -> anyhow::Result<()> {
        for member in &mut self.0 {
            let fallback = member.fallback.to_string();
            let body =
                json!({ "psmo": [{ "setFallbackAttribute": { "iccid": fallback } }, { "listProfileInfo": {} }] });
            member.listed_by = Some(id_of(&api.create_operation(&member.eid(), &body).await?)?);
        }
        self.sessions().await?;
        for member in &self.0 {
            let Some(id) = &member.listed_by else { continue };
            let operation = get(api, &format!("/api/v1/operations/{id}")).await?;
            match operation["state"].as_str() {
                Some("succeeded") => {}
                Some("delivered") if member.part == Part::Impostor => {
                    post(api, &format!("/api/v1/operations/{id}/abandon"), None).await?;
                }
                _ => bail!("{} did not tell its profiles: {operation}", member.eid()),
            }
        }
        Ok(())
    }

    /// Lets every device poll until the eIM has nothing more for it.
    pub(super) async fn sessions(&mut self) -> anyhow::Result<()> {
        let mut sessions =
            futures_util::stream::iter(self.0.iter_mut()).map(Member::session).buffer_unordered(CONCURRENCY);
        while let Some(ended) = sessions.next().await {
            ended?;
        }
        Ok(())
    }

    /// Lets every device bring its notifications.
    pub(super) async fn deliver_notifications(&mut self) -> anyhow::Result<()> {
        for member in &mut self.0 {
            if let Some(ipa) = &mut member.device.ipa {
                ipa.deliver_notifications(&mut member.device.euicc).await?;
            }
        }
        Ok(())
    }
}

/// The SM-DP+ of a mobile operator.
pub(super) async fn smdp(fleet: &Fleet) -> anyhow::Result<SmdpServer> {
    SmdpServer::start(fleet.pki(), SmdpOptions::default()).await.context("the simulated SM-DP+")
}

/// Orders so many profiles and puts their activation codes into the pool.
pub(super) async fn fill_pool(smdp: &SmdpServer, orders: usize, api: &mut Api) -> anyhow::Result<()> {
    let address = smdp.address();
    let mut codes: Vec<Value> = Vec::new();
    for index in 0..u32::try_from(orders)? {
        let matching_id = format!("DEMO-{index}");
        smdp.add_order(Order::new(&matching_id, fleet_iccid(index, DOWNLOADED)?, "Downloaded").notifying(&address));
        codes.push(format!("1${address}${matching_id}").into());
    }
    let pool = id_of(&post(api, "/api/v1/pools", Some(&json!({ "name": POOL }))).await?)?;
    for codes in codes.chunks(CODES_AT_ONCE) {
        post(api, &format!("/api/v1/pools/{pool}/codes"), Some(&json!({ "codes": codes }))).await?;
    }
    Ok(())
}
