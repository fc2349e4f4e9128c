//! What happens in a run, all of it derived from a seed: who is asked for what, and which accident comes at which exchange.
//!
//! An accident is tied to the number of an exchange between a device and the eIM, not to a time. Which device has that exchange, and what a server is at
//! when it dies, is up to the scheduler: a seed gives the same plan, not the same interleaving.

use eim_simulator::fleet::fleet_iccid;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// Exchanges within which all accidents come.
const BUSY: u64 = 90;
/// Portions of octets between servers and SM-DP+ within which all accidents come.
const FAR: u64 = 120;

/// How the servers are set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One process on SQLite.
    Embedded,
    /// Fronts and workers on PostgreSQL and RabbitMQ.
    Production,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Production => "production",
        })
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(Self::Embedded),
            "production" => Ok(Self::Production),
            _ => Err("embedded or production".to_owned()),
        }
    }
}

/// A small source of numbers (splitmix64).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One below `bound`, which is at least 1.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True so often.
    pub const fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// When a server is killed, seen from an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The request has not reached a front yet.
    BeforeRequest,
    /// So long after the request was sent on.
    During {
        /// Microseconds.
        after_us: u64,
    },
    /// A front has answered, and the device does not get the answer.
    AfterResponse,
}

/// What goes wrong with an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accident {
    /// The connection breaks before the eIM gets the request.
    LoseRequest,
    /// The connection breaks before the device gets the response.
    LoseResponse,
    /// The eIM gets the request twice, one after the other; the device gets the second response.
    Twice,
    /// The eIM gets the request twice at once, on two fronts where there are two; the device gets the later response.
    AtOnce,
    /// SIGKILL or SIGTERM, and a new start.
    Kill {
        /// Which server of the run.
        server: usize,
        /// SIGTERM.
        gently: bool,
        /// When.
        moment: Moment,
        /// How long it is gone.
        rest_ms: u64,
    },
    /// PostgreSQL ends every connection of the run.
    EndDatabaseConnections,
    /// Every connection to the broker breaks.
    CutBroker,
    /// Nothing passes between servers and broker for a while.
    StallBroker {
        /// For how long.
        ms: u64,
    },
}

/// What goes wrong between a server and the SM-DP+.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FarAccident {
    /// The connection breaks before these octets pass.
    Cut,
    /// SIGKILL to a server before these octets pass.
    KillBefore {
        /// Which server of the run.
        server: usize,
    },
    /// SIGKILL to a server just after these octets have passed.
    KillAfter {
        /// Which server of the run.
        server: usize,
    },
}

/// Something that is asked for through the API.
#[derive(Debug, Clone, PartialEq)]
pub struct Errand {
    /// Asked for when there were so many exchanges.
    pub after: u64,
    /// The device's index.
    pub device: usize,
    /// Its name, and the Idempotency-Key.
    pub label: String,
    /// What is asked for; a download lacks its activation code, which the run adds.
    pub body: Value,
    /// Whether the request is sent a second time, as after a lost answer.
    pub twice: bool,
}

/// How a device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Habits {
    /// Speaks JSON instead of ASN.1.
    pub json: bool,
    /// Downloads by itself.
    pub direct: bool,
    /// Brings notifications along with package results.
    pub with_notifications: bool,
    /// Brings the installation result in the result of the trigger.
    pub result_in_trigger: bool,
    /// Finds no network after an enable with rollback.
    pub loses_network: bool,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What everything follows from.
    pub seed: u64,
    /// How the servers are set up.
    pub mode: Mode,
    /// Fronts; the embedded server is one.
    pub fronts: usize,
    /// Workers.
    pub workers: usize,
    /// Devices.
    pub devices: Vec<Habits>,
    /// In the order in which they are asked for.
    pub errands: Vec<Errand>,
    /// By the number of the exchange.
    pub accidents: BTreeMap<u64, Accident>,
    /// By the number of a portion of octets between servers and SM-DP+; there may be fewer.
    pub far: BTreeMap<u64, FarAccident>,
    /// Of a hundred messages at the broker, how many come once more.
    pub repeated_percent: u64,
}

impl Plan {
    /// The plan of this seed.
    #[must_use]
    pub fn of(seed: u64, mode: Mode) -> Self {
        Self::with(seed, mode, false)
    }

    /// The same; with pairs a production run has two fronts and two workers whatever the seed says.
    #[must_use]
    pub fn with(seed: u64, mode: Mode, pairs: bool) -> Self {
        let mut rng = Rng::new(seed ^ if mode == Mode::Embedded { 0x0e } else { 0x9d00 });
        let (fronts, workers) = match mode {
            Mode::Embedded => (1, 0),
            Mode::Production => (1 + rng.below(2) as usize, 1 + rng.below(2) as usize),
        };
        let (fronts, workers) = if pairs && mode == Mode::Production { (2, 2) } else { (fronts, workers) };
        let devices: Vec<Habits> = (0..8 + rng.below(5))
            .map(|_| Habits {
                json: rng.chance(40),
                direct: rng.chance(20),
                with_notifications: rng.chance(30),
                result_in_trigger: rng.chance(30),
                loses_network: rng.chance(20),
            })
            .collect();
        let mut errands: Vec<Errand> =
            devices.iter().enumerate().flat_map(|(device, habits)| errands(device, habits, &mut rng)).collect();
        errands.sort_by_key(|errand| errand.after);
        let accidents = accidents(mode, fronts + workers, &mut rng);
        let far = far_accidents(if mode == Mode::Embedded { 0..1 } else { fronts..fronts + workers }, &mut rng);
        let repeated_percent = if mode == Mode::Production { [0, 10, 50][rng.below(3) as usize] } else { 0 };
        Self { seed, mode, fronts, workers, devices, errands, accidents, far, repeated_percent }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {} {}: {} fronts, {} workers, {} devices, {}% of the messages repeated",
            self.seed,
            self.mode,
            self.fronts,
            self.workers,
            self.devices.len(),
            self.repeated_percent
        )?;
        for (device, habits) in self.devices.iter().enumerate() {
            writeln!(f, "  device {device}: {habits:?}")?;
        }
        for Errand { after, device, label, body, twice } in &self.errands {
            let again = if *twice { " twice" } else { "" };
            writeln!(f, "  after {after}: device {device} {label}{again} {body}")?;
        }
        for (number, accident) in &self.accidents {
            writeln!(f, "  at {number}: {accident:?}")?;
        }
        for (number, accident) in &self.far {
            writeln!(f, "  at portion {number}: {accident:?}")?;
        }
        Ok(())
    }
}

/// What one device is asked for: its profiles first, then this and that.
fn errands(device: usize, habits: &Habits, rng: &mut Rng) -> Vec<Errand> {
    let iccid = |number| fleet_iccid(device as u32, number).map(|iccid| iccid.to_string()).unwrap_or_default();
    let list = json!({ "psmo": [{ "listProfileInfo": {} }] });
    let first = json!({ "psmo": [{ "setFallbackAttribute": { "iccid": iccid(3) } }, { "listProfileInfo": {} }] });
    let mut bodies = vec![if rng.chance(50) { first } else { list.clone() }];
    let mut downloads = 1;
    for _ in 0..1 + rng.below(4) {
        bodies.push(match rng.below(12) {
            0..=2 => json!({ "psmo": [{ "enable": { "iccid": iccid(2), "rollback": habits.loses_network || rng.chance(50) } }] }),
            3 => json!({ "psmo": [{ "enable": { "iccid": iccid(1) } }] }),
            4 => json!({ "psmo": [{ "delete": { "iccid": iccid(2) } }] }),
            5 => json!({ "psmo": [{ "disable": { "iccid": iccid(1) } }] }),
            6 => json!({ "psmo": [{ "getRAT": {} }, { "listProfileInfo": {} }] }),
            7 => json!({ "eco": [{ "listEim": {} }] }),
            8 => json!({ "euiccData": { "tags": ["81", "BF20", "BF22", "83", "84"] } }),
            9 | 10 if downloads > 0 => {
                downloads -= 1;
                json!({ "profileDownload": { "indirect": !habits.direct } })
            }
            _ => list.clone(),
        });
    }
    let bodies = bodies.into_iter().enumerate();
    bodies
        .map(|(number, body)| Errand {
            after: if number == 0 { 0 } else { rng.below(BUSY) },
            device,
            label: format!("d{device}-{number}"),
            body,
            twice: rng.chance(20),
        })
        .collect()
}

fn accidents(mode: Mode, servers: usize, rng: &mut Rng) -> BTreeMap<u64, Accident> {
    let mut accidents = BTreeMap::new();
    let production = mode == Mode::Production;
    for _ in 0..2 + rng.below(3) {
        let server = rng.below(servers as u64) as usize;
        let moment = match rng.below(6) {
            0 => Moment::BeforeRequest,
            1 => Moment::AfterResponse,
            _ => Moment::During { after_us: rng.below(12_000) },
        };
        let rest_ms = [0, 20, 200][rng.below(3) as usize];
        let gently = rng.chance(15);
        accidents.insert(1 + rng.below(BUSY), Accident::Kill { server, gently, moment, rest_ms });
    }
    for _ in 0..3 + rng.below(6) {
        let accident = match rng.below(if production { 9 } else { 5 }) {
            0 => Accident::LoseRequest,
            1 | 2 => Accident::LoseResponse,
            3 => Accident::Twice,
            4 => Accident::AtOnce,
            5 | 6 => Accident::EndDatabaseConnections,
            7 => Accident::CutBroker,
            _ => Accident::StallBroker { ms: 20 + rng.below(300) },
        };
        accidents.entry(1 + rng.below(BUSY)).or_insert(accident);
    }
    accidents
}

/// Those of whoever calls the SM-DP+.
fn far_accidents(callers: Range<usize>, rng: &mut Rng) -> BTreeMap<u64, FarAccident> {
    let mut accidents = BTreeMap::new();
    for _ in 0..rng.below(4) {
        let server = callers.start + rng.below(callers.len() as u64) as usize;
        let accident = match rng.below(3) {
            0 => FarAccident::Cut,
            1 => FarAccident::KillBefore { server },
            _ => FarAccident::KillAfter { server },
        };
        accidents.insert(1 + rng.below(FAR), accident);
    }
    accidents
}

#[cfg(test)]
mod tests {
    use super::{Accident, Mode, Plan};

    #[test]
    fn a_seed_gives_the_same_plan() {
        for mode in [Mode::Embedded, Mode::Production] {
            assert_eq!(Plan::of(7, mode).to_string(), Plan::of(7, mode).to_string());
            assert_ne!(Plan::of(7, mode).to_string(), Plan::of(8, mode).to_string());
        }
    }

    #[test]
    fn every_plan_kills() {
        let kills = |plan: &Plan| plan.accidents.values().any(|accident| matches!(accident, Accident::Kill { .. }));
        assert!((0..500).all(|seed| kills(&Plan::of(seed, Mode::Production))));
        let pairs = |seed| Plan::with(seed, Mode::Production, true);
        assert!((0..50).all(|seed| (pairs(seed).fronts, pairs(seed).workers) == (2, 2)));
    }
}
