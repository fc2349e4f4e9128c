//! What a device lacks of what is wanted, judged by what its eUICC has told, and what would cure it.

use super::spec::{Installed, ProfileName, Wanted, WantedFallback};
use crate::domain::authority::Rights;
use crate::domain::fleet::guard::{self, CheckResult, Known, Subject};
use crate::domain::{Euicc, EuiccState, Profile};
use crate::ids::Iccid;
use serde_json::{Value, json};

/// One thing that cures a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Correction {
    /// A missing profile is downloaded.
    Obtain,
    /// A profile becomes the Fallback Profile.
    SetFallback(Iccid),
    /// A profile is enabled.
    Enable(Iccid),
    /// No profile is the Fallback Profile any more.
    UnsetFallback,
    /// A profile is deleted.
    Delete(Iccid),
}

impl Correction {
    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Obtain => "download",
            Self::SetFallback(_) => "setFallbackAttribute",
            Self::Enable(_) => "enable",
            Self::UnsetFallback => "unsetFallbackAttribute",
            Self::Delete(_) => "delete",
        }
    }
}

/// One thing that is not as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What makes it the same one at another look: a member of the state, and the profile.
    pub finding: String,
    /// `enabled`, `fallback` or `installed`.
    pub member: &'static str,
    /// In a sentence.
    pub message: String,
    /// What would cure it.
    pub cure: Result<Correction, String>,
}

impl Difference {
    /// What makes an attempt to cure it the same at another look.
    #[must_use]
    pub fn step(&self) -> Option<(String, Correction)> {
        let correction = *self.cure.as_ref().ok()?;
        let what = match correction {
            Correction::Obtain => self.finding.split_once(':').map_or_else(String::new, |(_, name)| name.to_owned()),
            Correction::SetFallback(iccid) | Correction::Enable(iccid) | Correction::Delete(iccid) => iccid.raw_hex(),
            Correction::UnsetFallback => String::new(),
        };
        Some((format!("{}:{what}", correction.as_str()), correction))
    }

    /// As the API shows it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = json!({ "member": self.member, "message": self.message });
        match &self.cure {
            Ok(correction) => value["correction"] = correction.as_str().into(),
            Err(reason) => value["notCorrectable"] = reason.clone().into(),
        }
        value
    }
}

/// How a device stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// As it is wanted.
    InLine,
    /// It can't be said.
    Unknown {
        /// A stable word.
        name: &'static str,
        /// In a sentence.
        message: String,
    },
    /// Otherwise than it is wanted.
    Drifting(Vec<Difference>),
}

/// Compares. `can_obtain` says whether a missing profile could be got.
#[must_use]
pub fn drift(wanted: &Wanted, can_obtain: bool, euicc: &Euicc, profiles: &[Profile]) -> Drift {
    if euicc.state == EuiccState::Unmanaged {
        let message = "This eIM was deleted from the eUICC, so it is not told of changes.".to_owned();
        return Drift::Unknown { name: guard::MANAGED, message };
    }
    let known = Known { euicc, profiles, busy_with: None, policies: &[], rights: None::<&Rights> };
    let checks = guard::checks(Subject::Remove { disabled: &[], deleted: &[] }, known, &[], &[]);
    let list = checks.into_iter().find(|check| check.name == guard::PROFILE_LIST);
    if let Some(check) = list.filter(|check| check.result != CheckResult::Passed) {
        let message = match check.cure {
            Some(cure) => format!("{} {cure}", check.message),
            None => check.message,
        };
        return Drift::Unknown { name: guard::PROFILE_LIST, message };
    }
    let mut compared = Compared { profiles, can_obtain, wanted, found: vec![] };
    match compared.all() {
        Err(message) => Drift::Unknown { name: "notReported", message },
        Ok(()) if compared.found.is_empty() => Drift::InLine,
        Ok(()) => Drift::Drifting(compared.found),
    }
}

struct Compared<'a> {
    wanted: &'a Wanted,
    profiles: &'a [Profile],
    can_obtain: bool,
    found: Vec<Difference>,
}

/// What was not reported of a profile, in a sentence.
fn not_reported(what: &str, profile: &Profile) -> String {
    format!("The eUICC did not report the {what} of the profile {}.", profile.iccid)
}

impl<'a> Compared<'a> {
    fn all(&mut self) -> Result<(), String> {
        if let Some(enabled) = &self.wanted.enabled {
            self.enabled(enabled)?;
        }
        match &self.wanted.fallback {
            None => {}
            Some(WantedFallback::None) => self.no_fallback()?,
            Some(WantedFallback::Profile(name)) => self.fallback(name)?,
        }
        match &self.wanted.installed {
            None => {}
            Some(Installed::Exactly(names)) => {
                self.included("exactly", names)?;
                self.no_others(names)?;
            }
            Some(Installed::Some { includes, excludes }) => {
                self.included("includes", includes)?;
                self.excluded(excludes)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, finding: String, member: &'static str, message: String, cure: Result<Correction, String>) {
        self.found.push(Difference { finding, member, message, cure });
    }

    /// The profiles that have this name for certain.
    fn named(&self, name: &ProfileName) -> Result<Vec<&'a Profile>, String> {
        let certain: Vec<&Profile> = self.profiles.iter().filter(|profile| name.fits(profile) == Some(true)).collect();
        match self.profiles.iter().find(|profile| name.fits(profile).is_none()) {
            Some(profile) if certain.is_empty() => Err(not_reported("name", profile)),
            _ => Ok(certain),
        }
    }

    /// How a profile is got that is not there.
    fn missing(&self) -> Result<Correction, String> {
        if self.can_obtain {
            return Ok(Correction::Obtain);
        }
        Err("It is not installed, and the desired state does not say with obtain how it is got.".to_owned())
    }

    /// What is done with the one profile of this name.
    fn the_one(&self, found: &[&Profile], correction: impl FnOnce(Iccid) -> Correction) -> Result<Correction, String> {
        match found {
            [] => self.missing(),
            [one] => Ok(correction(one.iccid)),
            _ => Err("Several installed profiles fit, and it is not said which one is meant.".to_owned()),
        }
    }

    fn enabled(&mut self, name: &ProfileName) -> Result<(), String> {
        let found = self.named(name)?;
        if found.iter().any(|profile| profile.enabled == Some(true)) {
            return Ok(());
        }
        if let Some(profile) = found.iter().find(|profile| profile.enabled.is_none()) {
            return Err(not_reported("state", profile));
        }
        let now: Vec<String> = self
            .profiles
            .iter()
            .filter(|profile| profile.enabled == Some(true))
            .map(|profile| profile.iccid.to_string())
            .collect();
        let now = if now.is_empty() { "no profile is".to_owned() } else { format!("{} is", now.join(", ")) };
        let message = format!("{} is to be enabled, and {now} enabled.", capitalised(&name.in_words()));
        let cure = self.the_one(&found, Correction::Enable);
        self.note(format!("enabled:{}", name.to_value()), "enabled", message, cure);
        Ok(())
    }

    fn fallback(&mut self, name: &ProfileName) -> Result<(), String> {
        let found = self.named(name)?;
        if found.iter().any(|profile| profile.fallback == Some(true)) {
            return Ok(());
        }
        if let Some(profile) = found.iter().find(|profile| profile.fallback.is_none()) {
            return Err(not_reported("fallback attribute", profile));
        }
        let now = self.profiles.iter().find(|profile| profile.fallback == Some(true));
        let now = now.map_or_else(|| "no profile is it".to_owned(), |profile| format!("{} is it", profile.iccid));
        let message = format!("{} is to be the Fallback Profile, and {now}.", capitalised(&name.in_words()));
        let cure = self.the_one(&found, Correction::SetFallback);
        self.note(format!("fallback:{}", name.to_value()), "fallback", message, cure);
        Ok(())
    }

    fn no_fallback(&mut self) -> Result<(), String> {
        if let Some(profile) = self.profiles.iter().find(|profile| profile.fallback == Some(true)) {
            let message = format!("No profile is to be the Fallback Profile, and {} is it.", profile.iccid);
            self.note("fallback:none".to_owned(), "fallback", message, Ok(Correction::UnsetFallback));
            return Ok(());
        }
        let untold = self.profiles.iter().find(|profile| profile.fallback.is_none());
        untold.map_or(Ok(()), |profile| Err(not_reported("fallback attribute", profile)))
    }

    fn included(&mut self, list: &str, names: &[ProfileName]) -> Result<(), String> {
        for name in names {
            if self.named(name)?.is_empty() {
                let message = format!("{} is to be installed, and is not.", capitalised(&name.in_words()));
                let cure = self.missing();
                self.note(format!("{list}:{}", name.to_value()), "installed", message, cure);
            }
        }
        Ok(())
    }

    fn excluded(&mut self, names: &[ProfileName]) -> Result<(), String> {
        for profile in self.profiles {
            let fits: Vec<Option<bool>> = names.iter().map(|name| name.fits(profile)).collect();
            if fits.contains(&Some(true)) {
                let message = format!("The profile {} is not to be installed, and is.", profile.iccid);
                self.surplus(profile, message);
            } else if fits.contains(&None) {
                return Err(not_reported("name", profile));
            }
        }
        Ok(())
    }

    /// Test and provisioning profiles don't count: they come with the card or the device.
    fn no_others(&mut self, names: &[ProfileName]) -> Result<(), String> {
        for profile in self.profiles {
            let fits: Vec<Option<bool>> = names.iter().map(|name| name.fits(profile)).collect();
            if fits.contains(&Some(true)) {
                continue;
            }
            if fits.contains(&None) {
                return Err(not_reported("name", profile));
            }
            match profile.profile_class {
                None => return Err(not_reported("class", profile)),
                Some(2) => {
                    let message = format!("The profile {} is not among those to be installed, and is.", profile.iccid);
                    self.surplus(profile, message);
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn surplus(&mut self, profile: &Profile, message: String) {
        let cure = if profile.enabled != Some(false) {
            Err("It is enabled. It is deleted once another profile has taken its place.".to_owned())
        } else if profile.fallback.is_none() {
            Err("No list told whether it is the Fallback Profile. It is deleted once one says that it is not."
                .to_owned())
        } else if profile.fallback == Some(true) {
            Err("It is the Fallback Profile. It is deleted once it is that no more.".to_owned())
        } else {
            Ok(Correction::Delete(profile.iccid))
        };
        self.note(format!("surplus:{}", profile.iccid.raw_hex()), "installed", message, cure);
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
