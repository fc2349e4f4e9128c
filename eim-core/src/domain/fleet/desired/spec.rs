//! What is wanted, as the API says it.

use crate::domain::euicc::{Euicc, Profile};
use crate::domain::fleet::filter::DeviceFilter;
use crate::domain::fleet::switch::Target;
use crate::domain::fleet::{guard, plan};
use crate::domain::order::Secrets;
use crate::domain::request::FieldError;
use crate::domain::request::fields::Fields;
use crate::ids::Iccid;
use serde_json::{Map, Value, json};

const NAME_MAX: usize = 128;
/// The most profiles that one list may name.
const PROFILES_MAX: usize = 32;
const PRIORITY_MAX: i64 = 100;
const PRIORITY: i64 = 50;
/// How many devices are brought back at the same time, when nobody says, and at most.
const MAX_IN_FLIGHT: i64 = 100;
const MAX_IN_FLIGHT_MAX: i64 = 100_000;
/// After how many bad outcomes it stops, when nobody says.
const STOP_AFTER: i64 = 20;
const ATTEMPTS: i64 = 3;
const ATTEMPTS_MAX: i64 = 20;
const BACK_OFF_SECONDS: i64 = 3_600;
const BACK_OFF_SECONDS_MIN: i64 = 60;
const BACK_OFF_SECONDS_MAX: i64 = 7 * 86_400;

/// How a profile is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileName {
    /// By its number.
    Iccid(Iccid),
    /// By what it says of itself; at least one of the two.
    Matching {
        /// serviceProviderName, compared without regard to case.
        service_provider: Option<String>,
        /// profileName, compared without regard to case.
        name: Option<String>,
    },
}

/// Which profile is to be the Fallback Profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedFallback {
    /// This one.
    Profile(ProfileName),
    /// None.
    None,
}

/// Which profiles are to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installed {
    /// Those of the first list, and none of the second.
    Some {
        /// Each of them is installed.
        includes: Vec<ProfileName>,
        /// None of them is installed.
        excludes: Vec<ProfileName>,
    },
    /// These, and no other operational profile.
    Exactly(Vec<ProfileName>),
}

/// What is wanted of the profiles of a device; at least one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The profile that is enabled.
    pub enabled: Option<ProfileName>,
    /// The Fallback Profile.
    pub fallback: Option<WantedFallback>,
    /// The profiles that are installed.
    pub installed: Option<Installed>,
}

/// How often a device is brought back, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often each difference is tried before it is given up.
    pub attempts: i64,
    /// How long is waited after the first attempt that failed, seconds; it doubles.
    pub back_off_seconds: i64,
}

/// A desired state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredSpec {
    /// The operator's name for it.
    pub name: String,
    /// Which devices it is for; `None` for one of a device's own.
    pub filter: Option<DeviceFilter>,
    /// Of several that match a device the one with the highest number counts.
    pub priority: i64,
    /// Whether devices are brought back.
    pub enforce: bool,
    /// What is wanted.
    pub wanted: Wanted,
    /// How often and how fast.
    pub retry: Retry,
    /// Checks of the guard that are waived by name.
    pub waive: Vec<String>,
    /// Least free memory for a download, octets.
    pub memory_bytes: i64,
    /// How many devices are brought back at the same time at most.
    pub max_in_flight: i64,
    /// After so many corrections that ended badly nothing more is begun.
    pub stop_after: i64,
}

/// A desired state as it was read: with how a missing profile is got, and the secrets of that.
pub type Read = (DesiredSpec, Option<(Target, Secrets)>);

impl DesiredSpec {
    /// Reads a desired state of the API. `own` is the name of one that belongs to a device; such a one has neither filter nor
    /// priority.
    ///
    /// # Errors
    /// Every value that can't be taken, with its place; what contradicts itself, too.
    pub fn from_api(value: &Value, own: Option<&str>) -> Result<Read, Vec<FieldError>> {
        let mut errors = Vec::new();
        let read = Self::read(value, own, &mut errors);
        match read {
            Some(read) if errors.is_empty() => Ok(read),
            _ => Err(errors),
        }
    }

    fn read(value: &Value, own: Option<&str>, errors: &mut Vec<FieldError>) -> Option<Read> {
        let mut fields = Fields::of(value, String::new(), errors)?;
        let name = fields.parsed("name", "a text of 1 to 128 octets", |text| {
            ((1..=NAME_MAX).contains(&text.len()) && !text.contains('\0')).then(|| text.to_owned())
        });
        let name = match own {
            None => {
                fields.missing("name");
                name
            }
            Some(own) => name.or_else(|| Some(own.to_owned())),
        };
        let (mut filter, mut priority) = (None, PRIORITY);
        let (mut max_in_flight, mut stop_after) = (MAX_IN_FLIGHT, STOP_AFTER);
        if own.is_none() {
            fields.missing("filter");
            fields.member("filter");
            filter = given(value, "filter");
            priority = fields.number("priority", 0..=PRIORITY_MAX).unwrap_or(PRIORITY);
            max_in_flight = fields.number("maxInFlight", 1..=MAX_IN_FLIGHT_MAX).unwrap_or(MAX_IN_FLIGHT);
            stop_after = fields.number("stopAfter", 1..=MAX_IN_FLIGHT_MAX).unwrap_or(STOP_AFTER);
        }
        let enforce = fields.flag("enforce");
        let mut retry = Retry { attempts: ATTEMPTS, back_off_seconds: BACK_OFF_SECONDS };
        if let Some(mut asked) = fields.object("retry") {
            retry.attempts = asked.number("attempts", 1..=ATTEMPTS_MAX).unwrap_or(ATTEMPTS);
            let range = BACK_OFF_SECONDS_MIN..=BACK_OFF_SECONDS_MAX;
            retry.back_off_seconds = asked.number("backOffSeconds", range).unwrap_or(BACK_OFF_SECONDS);
            asked.finish();
        }
        let waivable = "names of checks that can be waived (fallback, memory)";
        let is_waivable = |text: &str| guard::WAIVABLE.contains(&text);
        let waive = fields.texts("waive", waivable, guard::WAIVABLE.len(), is_waivable).unwrap_or_default();
        let memory_bytes = fields.number("memoryBytes", 0..=plan::MEMORY_BYTES_MAX).unwrap_or(plan::MEMORY_BYTES);
        fields.missing("state");
        for name in ["state", "obtain"] {
            fields.member(name);
        }
        fields.finish();
        let (state, obtain) = (given(value, "state"), given(value, "obtain"));
        let filter = match filter {
            None => None,
            Some(filter) => Some(DeviceFilter::from_api(filter, "/filter", errors)?),
        };
        let obtain = match obtain {
            None => None,
            Some(obtain) => Some(plan::source(obtain, "/obtain", errors)?),
        };
        let wanted = Wanted::read(state?, errors)?;
        let spec = Self {
            name: name?,
            filter,
            priority,
            enforce,
            wanted,
            retry,
            waive,
            memory_bytes,
            max_in_flight,
            stop_after,
        };
        Some((spec, obtain))
    }

    /// The desired state in the form that [`Self::from_api`] reads, without how a missing profile is got.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = json!({
            "name": self.name,
            "enforce": self.enforce,
            "state": self.wanted.to_value(),
            "retry": { "attempts": self.retry.attempts, "backOffSeconds": self.retry.back_off_seconds },
            "waive": self.waive,
            "memoryBytes": self.memory_bytes,
        });
        if let Some(filter) = &self.filter {
            value["filter"] = filter.to_value();
            value["priority"] = self.priority.into();
            value["maxInFlight"] = self.max_in_flight.into();
            value["stopAfter"] = self.stop_after.into();
        }
        value
    }
}

impl Wanted {
    fn read(value: &Value, errors: &mut Vec<FieldError>) -> Option<Self> {
        const MEMBERS: [&str; 3] = ["enabled", "fallback", "installed"];
        let before = errors.len();
        let mut fields = Fields::of(value, "/state".to_owned(), errors)?;
        for name in MEMBERS {
            fields.member(name);
        }
        fields.finish();
        let members = MEMBERS.map(|name| given(value, name));
        if members.iter().all(Option::is_none) && errors.len() == before {
            errors.push(FieldError::new("/state", "at least one of enabled, fallback and installed is expected"));
        }
        let [enabled, fallback, installed] = members;
        let wanted = Self {
            enabled: enabled.and_then(|value| ProfileName::read(value, "/state/enabled", errors)),
            fallback: fallback.and_then(|value| read_fallback(value, errors)),
            installed: installed.and_then(|value| Installed::read(value, errors)),
        };
        if errors.len() == before {
            wanted.contradictions(errors);
        }
        (errors.len() == before).then_some(wanted)
    }

    fn to_value(&self) -> Value {
        let mut members = Map::new();
        if let Some(enabled) = &self.enabled {
            members.insert("enabled".to_owned(), enabled.to_value());
        }
        match &self.fallback {
            None => {}
            Some(WantedFallback::None) => {
                members.insert("fallback".to_owned(), json!({ "none": true }));
            }
            Some(WantedFallback::Profile(name)) => {
                members.insert("fallback".to_owned(), name.to_value());
            }
        }
        let list = |names: &[ProfileName]| names.iter().map(ProfileName::to_value).collect::<Vec<_>>();
        match &self.installed {
            None => {}
            Some(Installed::Exactly(names)) => {
                members.insert("installed".to_owned(), json!({ "exactly": list(names) }));
            }
            Some(Installed::Some { includes, excludes }) => {
                let mut installed = Map::new();
                for (name, names) in [("includes", includes), ("excludes", excludes)] {
                    if !names.is_empty() {
                        installed.insert(name.to_owned(), list(names).into());
                    }
                }
                members.insert("installed".to_owned(), installed.into());
            }
        }
        Value::Object(members)
    }

    /// What can't be so together, whatever is on the device.
    fn contradictions(&self, errors: &mut Vec<FieldError>) {
        let fallback = match &self.fallback {
            Some(WantedFallback::Profile(name)) => Some(name),
            _ => None,
        };
        let needed = [("/state/enabled", self.enabled.as_ref()), ("/state/fallback", fallback)];
        for (place, name) in needed.into_iter().filter_map(|(place, name)| Some((place, name?))) {
            match &self.installed {
                Some(Installed::Exactly(names)) if !names.iter().any(|listed| listed.may_be(name)) => {
                    errors.push(FieldError::new(place, "it is not among installed/exactly, so it would be deleted"));
                }
                Some(Installed::Some { excludes, .. }) if excludes.iter().any(|excluded| excluded.covers(name)) => {
                    errors.push(FieldError::new(place, "it is among installed/excludes, so it would be deleted"));
                }
                _ => {}
            }
        }
        if let Some(Installed::Some { includes, excludes }) = &self.installed {
            for (index, included) in includes.iter().enumerate() {
                if excludes.iter().any(|excluded| excluded.covers(included)) {
                    let place = format!("/state/installed/includes/{index}");
                    errors.push(FieldError::new(place, "it is among excludes, too"));
                }
            }
        }
    }
}

fn read_fallback(value: &Value, errors: &mut Vec<FieldError>) -> Option<WantedFallback> {
    if value.get("none").is_none_or(Value::is_null) {
        return ProfileName::read(value, "/state/fallback", errors).map(WantedFallback::Profile);
    }
    let mut fields = Fields::of(value, "/state/fallback".to_owned(), errors)?;
    if !fields.flag("none") {
        fields.wrong("none", "true is expected");
    }
    fields.finish();
    Some(WantedFallback::None)
}

impl Installed {
    fn read(value: &Value, errors: &mut Vec<FieldError>) -> Option<Self> {
        const MEMBERS: [&str; 3] = ["includes", "excludes", "exactly"];
        let before = errors.len();
        let mut fields = Fields::of(value, "/state/installed".to_owned(), errors)?;
        for name in MEMBERS {
            fields.member(name);
        }
        let [includes, excludes, exactly] = MEMBERS.map(|name| given(value, name));
        if exactly.is_some() && (includes.is_some() || excludes.is_some()) {
            fields.wrong("exactly", "it says all; includes and excludes can't stand beside it");
        }
        if exactly.is_none() && includes.is_none() && excludes.is_none() {
            fields.wrong("includes", "at least one of includes, excludes and exactly is expected");
        }
        fields.finish();
        let mut list = |name: &str, value: Option<&Value>| {
            value.map_or_else(Vec::new, |value| read_names(value, &format!("/state/installed/{name}"), errors))
        };
        let (includes, excludes) = (list("includes", includes), list("excludes", excludes));
        let installed = match exactly {
            Some(_) => Self::Exactly(list("exactly", exactly)),
            None => Self::Some { includes, excludes },
        };
        (errors.len() == before).then_some(installed)
    }
}

/// A member, unless absent or null.
fn given<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.get(name).filter(|value| !value.is_null())
}

fn read_names(value: &Value, pointer: &str, errors: &mut Vec<FieldError>) -> Vec<ProfileName> {
    let Some(list) = value.as_array().filter(|list| (1..=PROFILES_MAX).contains(&list.len())) else {
        errors.push(FieldError::new(pointer, format!("a list of 1 to {PROFILES_MAX} profiles is expected")));
        return vec![];
    };
    let mut names: Vec<ProfileName> = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let place = format!("{pointer}/{index}");
        match ProfileName::read(value, &place, errors) {
            Some(name) if names.contains(&name) => errors.push(FieldError::new(place, "it is there twice")),
            Some(name) => names.push(name),
            None => {}
        }
    }
    names
}

impl ProfileName {
    fn read(value: &Value, pointer: &str, errors: &mut Vec<FieldError>) -> Option<Self> {
        let before = errors.len();
        let mut fields = Fields::of(value, pointer.to_owned(), errors)?;
        let mut found = None;
        if fields.has_iccid() || fields.member("profile").is_none() {
            found = fields.iccid().and_then(|iccid| Iccid::from_octets(&iccid).ok()).map(Self::Iccid);
        } else if let Some(mut profile) = fields.object("profile") {
            let (service_provider, name) = (profile.text("serviceProvider"), profile.text("name"));
            if service_provider.is_none() && name.is_none() && !profile.has_mistakes() {
                profile.wrong("serviceProvider", "at least one of serviceProvider and name is needed");
            }
            profile.finish();
            found = Some(Self::Matching { service_provider, name });
        }
        fields.finish();
        found.filter(|_| errors.len() == before)
    }

    /// The name in the form of the API.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Iccid(iccid) => match iccid.digits() {
                Some(digits) => json!({ "iccid": digits }),
                None => json!({ "rawIccid": iccid.raw_hex() }),
            },
            Self::Matching { service_provider, name } => {
                let members = [("serviceProvider", service_provider), ("name", name)];
                let given =
                    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))));
                json!({ "profile": given.collect::<Map<_, _>>() })
            }
        }
    }

    /// The name in a few words.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Iccid(iccid) => format!("the profile {iccid}"),
            Self::Matching { service_provider, name } => match (name, service_provider) {
                (Some(name), Some(provider)) => format!("the profile \"{name}\" of {provider}"),
                (Some(name), None) => format!("the profile \"{name}\""),
                (None, provider) => format!("a profile of {}", provider.as_deref().unwrap_or_default()),
            },
        }
    }

    /// Whether a profile has this name; `None` when what the name speaks of was not reported.
    #[must_use]
    pub fn fits(&self, profile: &Profile) -> Option<bool> {
        match self {
            Self::Iccid(iccid) => Some(profile.iccid == *iccid),
            Self::Matching { service_provider, name } => {
                let same = |wanted: &Option<String>, found: &Option<String>| match (wanted, found) {
                    (None, _) => Some(true),
                    (Some(_), None) => None,
                    (Some(wanted), Some(found)) => Some(wanted.to_lowercase() == found.to_lowercase()),
                };
                let both = [same(service_provider, &profile.service_provider), same(name, &profile.name)];
                if both.contains(&Some(false)) { Some(false) } else { both[0].and(both[1]) }
            }
        }
    }

    /// Whether one profile could have both names.
    fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Iccid(one), Self::Iccid(two)) => one == two,
            (Self::Matching { service_provider, name }, Self::Matching { service_provider: provider, name: other }) => {
                let differ = |one: &Option<String>, two: &Option<String>| {
                    one.as_ref().zip(two.as_ref()).is_some_and(|(one, two)| one.to_lowercase() != two.to_lowercase())
                };
                !differ(service_provider, provider) && !differ(name, other)
            }
            _ => true,
        }
    }

    /// Whether every profile that has the other name has this one as well.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Iccid(one), Self::Iccid(two)) => one == two,
            (Self::Matching { service_provider, name }, Self::Matching { service_provider: provider, name: other }) => {
                let implied = |one: &Option<String>, two: &Option<String>| {
                    one.as_ref()
                        .is_none_or(|one| two.as_ref().is_some_and(|two| one.to_lowercase() == two.to_lowercase()))
                };
                implied(service_provider, provider) && implied(name, other)
            }
            _ => false,
        }
    }
}

/// The state that counts for a device: its own, or of those that match the one with the highest priority, of several the
/// oldest. `filters` are by age, oldest first.
#[must_use]
pub fn winner<'a, T>(
    own: Option<&'a T>,
    filters: &'a [T],
    spec: impl Fn(&T) -> &DesiredSpec,
    euicc: &Euicc,
    now: i64,
) -> Option<&'a T> {
    let mut best = None;
    for one in filters.iter().filter(|one| spec(one).filter.as_ref().is_some_and(|filter| filter.matches(euicc, now))) {
        if best.is_none_or(|best: &T| spec(one).priority > spec(best).priority) {
            best = Some(one);
        }
    }
    own.or(best)
}

/// Changes a value by a JSON merge patch (RFC 7396).
pub fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    let Some(members) = value.as_object_mut() else { return };
    for (name, change) in patch {
        if change.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}
